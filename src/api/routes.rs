//! All routes with the scope that each needs, and the server.

use super::auth::guarded;
use super::{
    Gate, accounts, authorizations, cardholders, cards, decision_endpoints, envelope, exceptions,
    exchange_rates, groups, health, ledger_entries, links, list, metrics, programs, reveal, rules,
    settlement_reports, top_ups, transactions,
};
use crate::engine::command::{AccountStatusChange, StatusChange};
use crate::engine::exceptions::ExceptionChange;
use crate::engine::risk::rule::RuleChange;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, patch, post, put};

/// The whole interface. Until the gate is opened, only `/healthz` succeeds.
pub fn router(gate: Gate) -> Router {
    let on = |scope, route: MethodRouter<Gate>| guarded(&gate, scope, without_query(route));
    let list = |scope, route: MethodRouter<Gate>| guarded(&gate, scope, route);
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route(
            "/v1/programs",
            on("programs:write", post(programs::create))
                .merge(list("programs:read", get(programs::many))),
        )
        .route("/v1/programs/{id}", on("programs:read", get(programs::one)))
        .route(
            "/v1/exchange_rates",
            on("rates:write", put(exchange_rates::replace))
                .merge(on("rates:read", get(exchange_rates::current))),
        )
        .merge(account_routes(&gate))
        .merge(card_routes(&gate))
        .merge(rule_routes(&gate))
        .merge(group_routes(&gate))
        .merge(exception_routes(&gate))
        .route(
            "/v1/authorizations",
            list("authorizations:read", get(authorizations::many)),
        )
        .route(
            "/v1/authorizations/{id}",
            on("authorizations:read", get(authorizations::one)),
        )
        .route(
            "/v1/authorizations/{id}/expire",
            on("authorizations:expire", post(authorizations::expire)),
        )
        .route(
            "/v1/transactions",
            list("transactions:read", get(transactions::many)),
        )
        .route(
            "/v1/transactions/{id}",
            on("transactions:read", get(transactions::one)),
        )
        .route(
            "/v1/settlement_reports",
            list("reports:read", get(settlement_reports::json)),
        )
        .route(
            "/v1/settlement_reports.csv",
            list("reports:read", get(settlement_reports::csv)),
        )
        .fallback(envelope::no_route)
        .method_not_allowed_fallback(envelope::wrong_method)
        .layer(from_fn(envelope::envelope))
        .with_state(gate)
}

fn account_routes(gate: &Gate) -> Router<Gate> {
    let on = |scope, route: MethodRouter<Gate>| guarded(gate, scope, without_query(route));
    let list = |scope, route: MethodRouter<Gate>| guarded(gate, scope, route);
    let change = |change: AccountStatusChange| {
        post(move |gate, id, request| accounts::change_status(gate, id, request, change))
    };
    Router::new()
        .route(
            "/v1/accounts",
            on("accounts:write", post(accounts::create))
                .merge(list("accounts:read", get(accounts::many))),
        )
        .route("/v1/accounts/{id}", on("accounts:read", get(accounts::one)))
        .route(
            "/v1/accounts/{id}/top_ups",
            on("funds:topup", post(top_ups::create)),
        )
        .route(
            "/v1/accounts/{id}/ledger_entries",
            list("accounts:read", get(ledger_entries::many)),
        )
        .route(
            "/v1/accounts/{id}/freeze",
            on("accounts:freeze", change(AccountStatusChange::Freeze)),
        )
        .route(
            "/v1/accounts/{id}/unfreeze",
            on("accounts:unfreeze", change(AccountStatusChange::Unfreeze)),
        )
        .route(
            "/v1/accounts/{id}/close",
            on("accounts:close", change(AccountStatusChange::Close)),
        )
}

fn card_routes(gate: &Gate) -> Router<Gate> {
    let on = |scope, route: MethodRouter<Gate>| guarded(gate, scope, without_query(route));
    let list = |scope, route: MethodRouter<Gate>| guarded(gate, scope, route);
    let change = |change: StatusChange| {
        post(move |gate, id, request| cards::change_status(gate, id, request, change))
    };
    Router::new()
        .route(
            "/v1/cards",
            on("cards:issue", post(cards::create)).merge(list("cards:read", get(cards::many))),
        )
        .route(
            "/v1/cards/{id}",
            on("cards:read", get(cards::one)).merge(on("limits:write", patch(cards::update))),
        )
        .route(
            "/v1/cards/{id}/activate",
            on("cards:issue", change(StatusChange::Activate)),
        )
        .route(
            "/v1/cards/{id}/freeze",
            on("cards:freeze", change(StatusChange::Freeze)),
        )
        .route(
            "/v1/cards/{id}/unfreeze",
            on("cards:unfreeze", change(StatusChange::Unfreeze)),
        )
        .route(
            "/v1/cards/{id}/close",
            on("cards:close", change(StatusChange::Close)),
        )
        .route(
            "/v1/cards/{id}/reveal",
            on("cards:reveal", post(reveal::reveal)),
        )
}

fn rule_routes(gate: &Gate) -> Router<Gate> {
    let on = |scope, route: MethodRouter<Gate>| guarded(gate, scope, without_query(route));
    let list = |scope, route: MethodRouter<Gate>| guarded(gate, scope, route);
    let change = |change: RuleChange| {
        post(move |gate, id, request| rules::change_state(gate, id, request, change))
    };
    Router::new()
        .route(
            "/v1/rules",
            on("rules:draft", post(rules::create)).merge(list("rules:read", get(rules::many))),
        )
        .route("/v1/rules/{id}", on("rules:read", get(rules::one)))
        .route(
            "/v1/rules/{id}/promote",
            on("rules:promote", change(RuleChange::Promote)),
        )
        .route(
            "/v1/rules/{id}/demote",
            on("rules:promote", change(RuleChange::Demote)),
        )
        .route(
            "/v1/rules/{id}/retire",
            on("rules:promote", change(RuleChange::Retire)),
        )
}

fn exception_routes(gate: &Gate) -> Router<Gate> {
    let on = |scope, route: MethodRouter<Gate>| guarded(gate, scope, without_query(route));
    let list = |scope, route: MethodRouter<Gate>| guarded(gate, scope, route);
    let change = |change: ExceptionChange| {
        post(move |gate, id, request| exceptions::change(gate, id, request, change))
    };
    Router::new()
        .route(
            "/v1/exceptions",
            on("exceptions:request", post(exceptions::create))
                .merge(list("exceptions:read", get(exceptions::many))),
        )
        .route(
            "/v1/exceptions/{id}",
            on("exceptions:read", get(exceptions::one)),
        )
        .route(
            "/v1/exceptions/{id}/approve",
            on("exceptions:approve", change(ExceptionChange::Approve)),
        )
        .route(
            "/v1/exceptions/{id}/reject",
            on("exceptions:approve", change(ExceptionChange::Reject)),
        )
        .route(
            "/v1/exceptions/{id}/end",
            on("exceptions:approve", change(ExceptionChange::End)),
        )
}

/// What controls name or depend on.
fn group_routes(gate: &Gate) -> Router<Gate> {
    let on = |scope, route: MethodRouter<Gate>| guarded(gate, scope, without_query(route));
    let list = |scope, route: MethodRouter<Gate>| guarded(gate, scope, route);
    Router::new()
        .route(
            "/v1/cardholders",
            on("cardholders:write", post(cardholders::create)),
        )
        .route(
            "/v1/cardholders/{id}",
            on("cardholders:read", get(cardholders::one)),
        )
        .route(
            "/v1/cardholders/{id}/verify",
            on("cardholders:write", post(cardholders::verify)),
        )
        .route(
            "/v1/links/{type}/{id}",
            list("cards:read", get(links::one)).merge(on("limits:write", put(links::replace))),
        )
        .route(
            "/v1/decision_endpoints",
            on("decision_endpoints:write", post(decision_endpoints::create)).merge(list(
                "decision_endpoints:read",
                get(decision_endpoints::many),
            )),
        )
        .route(
            "/v1/decision_endpoints/{id}",
            on("decision_endpoints:read", get(decision_endpoints::one)).merge(on(
                "decision_endpoints:write",
                patch(decision_endpoints::update),
            )),
        )
        .route(
            "/v1/decision_endpoints/{id}/rotate_secret",
            on(
                "decision_endpoints:write",
                post(decision_endpoints::rotate_secret),
            ),
        )
        .route(
            "/v1/decision_endpoints/{id}/ping",
            on("decision_endpoints:write", post(decision_endpoints::ping)),
        )
        .route(
            "/v1/mcc_groups",
            on("rules:write", post(groups::create_mcc_group))
                .merge(list("rules:read", get(groups::many_mcc_groups))),
        )
        .route(
            "/v1/mcc_groups/{id}",
            on("rules:read", get(groups::one_mcc_group))
                .merge(on("rules:write", patch(groups::update_mcc_group))),
        )
        .route(
            "/v1/merchant_lists",
            on("rules:write", post(groups::create_merchant_list))
                .merge(list("rules:read", get(groups::many_merchant_lists))),
        )
        .route(
            "/v1/merchant_lists/{id}",
            on("rules:read", get(groups::one_merchant_list))
                .merge(on("rules:write", patch(groups::update_merchant_list))),
        )
}

/// For routes that take no parameters behind a `?`.
fn without_query(route: MethodRouter<Gate>) -> MethodRouter<Gate> {
    route.route_layer(from_fn(list::refuse_query))
}

/// Serves until `shutdown` is done and the requests under way are answered.
pub async fn serve(
    listener: tokio::net::TcpListener,
    gate: Gate,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(gate))
        .with_graceful_shutdown(shutdown)
        .await
}
