//! All routes, each with the scope that it needs and what it is about, and the server. What a key's scope and bounds
//! let it do is checked in `auth.rs` and `bounds.rs`.

use super::approvals::Verdict;
use super::auth::guarded;
use super::bounds::About;
use super::etags::{self, Turns};
use super::places::Bounds;
use super::simulate::What;
use super::{
    Gate, accounts, api_keys, approvals, audit, authorizations, backtests, bins, card_batch_worker,
    card_batches, card_changes, cardholders, cards, decision_endpoints, deliveries, envelope,
    events, exceptions, exchange_rates, fee_schedules, fees, groups, health, incoming_payments,
    ledger_entries, links, list, metrics, openapi, programs, reissue, reveal, reveal_links,
    reveals, rules, serving, settlement_reports, shipping, simulate, spend, tokens, top_ups,
    transactions, transfers, webhook_endpoints, webhook_moves,
};
use crate::engine::api_keys::Scope;
use crate::engine::command::{AccountStatusChange, StatusChange};
use crate::engine::exceptions::ExceptionChange;
use crate::engine::link_states::LinkStatus;
use crate::engine::programs::ProgramStatus;
use crate::engine::risk::rule::RuleChange;
use crate::engine::tokens::TokenChange;
use axum::Router;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use std::sync::Arc;

/// A route that needs a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub scope: Scope,
    pub about: About,
}

/// Routes as they are added.
struct Routes {
    gate: Gate,
    turns: Arc<Turns>,
    router: Router<Gate>,
    table: Vec<Route>,
}

/// The whole interface. Until the gate is opened, only `/healthz` succeeds.
pub fn router(gate: Gate) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(openapi::page))
        .route("/docs/rapidoc-min.js", get(openapi::viewer))
        .route(
            reveals::ROUTE,
            without_query(get(reveals::show).head(reveals::look)),
        )
        .merge(guarded_routes(gate.clone()).router)
        .fallback(envelope::no_route)
        .method_not_allowed_fallback(envelope::wrong_method)
        .layer(from_fn(envelope::envelope))
        .with_state(gate)
}

/// Every route that needs a key, in the order of their resources.
pub fn table() -> Vec<Route> {
    guarded_routes(Gate::default()).table
}

fn guarded_routes(gate: Gate) -> Routes {
    let routes = Routes {
        turns: gate.turns(),
        gate,
        router: Router::new(),
        table: Vec::new(),
    };
    let routes = payments(card_objects(objects(routes)));
    sandbox(told(control(routes)))
}

/// Programs, accounts and their money, cardholders. One line for each route.
#[rustfmt::skip]
fn objects(routes: Routes) -> Routes {
    use About::*;
    use Scope::*;
    let program = |to: ProgramStatus| move |gate, id, request| programs::change_status(gate, id, request, to);
    let account = |change: AccountStatusChange| {
        move |gate, id, request| accounts::change_status(gate, id, request, change)
    };
    use AccountStatusChange as OfAccount;
    routes
        .list("/v1/programs", ProgramsRead, Several, programs::many)
        .list("/v1/bins", ProgramsRead, Several, bins::many)
        .post("/v1/programs", ProgramsWrite, Everything, programs::create)
        .get("/v1/programs/{id}", ProgramsRead, Program, programs::one)
        .patch("/v1/programs/{id}", ProgramsWrite, Program, programs::update)
        .post("/v1/programs/{id}/suspend", ProgramsWrite, Program, program(ProgramStatus::Suspended))
        .post("/v1/programs/{id}/resume", ProgramsWrite, Program, program(ProgramStatus::Active))
        .list("/v1/accounts", AccountsRead, Several, accounts::many)
        .post("/v1/accounts", AccountsWrite, Body, accounts::create)
        .get("/v1/accounts/{id}", AccountsRead, Account, accounts::one)
        .patch("/v1/accounts/{id}", LimitsWrite, Account, accounts::update)
        .post("/v1/accounts/{id}/freeze", AccountsFreeze, Account, account(OfAccount::Freeze))
        .post("/v1/accounts/{id}/unfreeze", AccountsUnfreeze, Account, account(OfAccount::Unfreeze))
        .post("/v1/accounts/{id}/close", AccountsClose, Account, account(OfAccount::Close))
        .post("/v1/accounts/{id}/top_ups", FundsTopUp, Account, top_ups::create)
        .list("/v1/accounts/{id}/ledger_entries", AccountsRead, Account, ledger_entries::of_account)
        .list("/v1/ledger_entries", AccountsRead, Several, ledger_entries::many)
        .get("/v1/accounts/{id}/spend", AccountsRead, Account, spend::of_account)
        .list("/v1/top_ups", AccountsRead, Several, top_ups::many)
        .get("/v1/top_ups/{id}", AccountsRead, TopUp, top_ups::one)
        .post("/v1/top_ups/{id}/settle", FundsSettle, TopUp, top_ups::settle)
        .post("/v1/top_ups/{id}/fail", FundsSettle, TopUp, top_ups::fail)
        .post("/v1/incoming_payments", FundsSettle, Everything, incoming_payments::create)
        .list("/v1/transfers", AccountsRead, Several, transfers::many)
        .post("/v1/transfers", FundsTransfer, Body, transfers::create)
        .get("/v1/transfers/{id}", AccountsRead, Transfer, transfers::one)
        .list("/v1/cardholders", CardholdersRead, Several, cardholders::many)
        .post("/v1/cardholders", CardholdersWrite, OfProgram, cardholders::create)
        .get("/v1/cardholders/{id}", CardholdersRead, Cardholder, cardholders::one)
        .patch("/v1/cardholders/{id}", CardholdersWrite, Cardholder, cardholders::update)
        .post("/v1/cardholders/{id}/verify", CardholdersWrite, Cardholder, cardholders::verify)
}

/// Cards, their tokens, and what they are linked to.
#[rustfmt::skip]
fn card_objects(routes: Routes) -> Routes {
    use About::*;
    use Scope::*;
    let card = |change: StatusChange| {
        move |gate, id, request| cards::change_status(gate, id, request, change)
    };
    let token = |change: TokenChange| {
        move |gate, id, request| tokens::change_status(gate, id, request, change)
    };
    let link = |to: LinkStatus| move |gate, path, request| links::change_status(gate, path, request, to);
    routes
        .list("/v1/cards", CardsRead, Several, cards::many)
        .post("/v1/cards", CardsIssue, Body, cards::create)
        .get("/v1/cards/{id}", CardsRead, Card, cards::one)
        .patch("/v1/cards/{id}", LimitsWrite, Card, card_changes::update)
        .post("/v1/cards/{id}/activate", CardsIssue, Card, card(StatusChange::Activate))
        .post("/v1/cards/{id}/freeze", CardsFreeze, Card, card(StatusChange::Freeze))
        .post("/v1/cards/{id}/unfreeze", CardsUnfreeze, Card, card(StatusChange::Unfreeze))
        .post("/v1/cards/{id}/reset_verification_tries", CardsUnfreeze, Card, cards::reset_verification_tries)
        .post("/v1/cards/{id}/block", CardsBlock, Card, cards::block)
        .post("/v1/cards/{id}/close", CardsClose, Card, card(StatusChange::Close))
        .list("/v1/card_batches", CardsRead, Several, card_batches::many)
        .post("/v1/card_batches", CardsIssue, Several, card_batches::create)
        .get("/v1/card_batches/{id}", CardsRead, CardBatch, card_batches::one)
        .list("/v1/card_batches/{id}/rows", CardsRead, CardBatch, card_batches::rows)
        .post("/v1/card_batches/{id}/cancel", CardsIssue, CardBatch, card_batches::cancel)
        .post("/v1/cards/{id}/reissue", CardsIssue, Card, reissue::reissue)
        .post("/v1/cards/{id}/renew", CardsIssue, Card, reissue::renew)
        .post("/v1/cards/{id}/shipping", CardsShip, Card, shipping::change)
        .post("/v1/cards/{id}/reveal", CardsReveal, Card, reveal::reveal)
        .post("/v1/cards/{id}/reveal_links", CardsReveal, Card, reveal_links::create)
        .get("/v1/cards/{id}/spend", CardsRead, Card, spend::of_card)
        .list("/v1/tokens", CardsRead, Several, tokens::many)
        .post("/v1/tokens", TokensWrite, Body, tokens::create)
        .get("/v1/tokens/{id}", CardsRead, Token, tokens::one)
        .post("/v1/tokens/{id}/activate", TokensWrite, Token, token(TokenChange::Activate))
        .post("/v1/tokens/{id}/suspend", TokensWrite, Token, token(TokenChange::Suspend))
        .post("/v1/tokens/{id}/resume", TokensWrite, Token, token(TokenChange::Resume))
        .post("/v1/tokens/{id}/delete", TokensWrite, Token, token(TokenChange::Delete))
        .list("/v1/links/{type}/{id}", CardsRead, Link, links::one)
        .list("/v1/links/{type}/{id}/spend", CardsRead, Link, spend::of_link)
        .put("/v1/links/{type}/{id}", LimitsWrite, Link, links::replace)
        .post("/v1/links/{type}/{id}/freeze", CardsFreeze, Link, link(LinkStatus::Frozen))
        .post("/v1/links/{type}/{id}/unfreeze", CardsUnfreeze, Link, link(LinkStatus::Active))
        .post("/v1/links/{type}/{id}/close", CardsClose, Link, link(LinkStatus::Closed))
}

/// What networks did, and what we owe them.
#[rustfmt::skip]
fn payments(routes: Routes) -> Routes {
    use About::*;
    use Scope::*;
    let expire = "/v1/authorizations/{id}/expire";
    routes
        .list("/v1/authorizations", AuthorizationsRead, Several, authorizations::many)
        .get("/v1/authorizations/{id}", AuthorizationsRead, Authorization, authorizations::one)
        .post(expire, AuthorizationsExpire, Authorization, authorizations::expire)
        .list("/v1/transactions", TransactionsRead, Several, transactions::many)
        .get("/v1/transactions/{id}", TransactionsRead, Transaction, transactions::one)
        .list("/v1/fee_schedules", FeesRead, Everything, fee_schedules::many)
        .post("/v1/fee_schedules", FeesWrite, Everything, fee_schedules::create)
        .get("/v1/fee_schedules/{id}", FeesRead, Everything, fee_schedules::one)
        .patch("/v1/fee_schedules/{id}", FeesWrite, Everything, fee_schedules::update)
        .post("/v1/fee_schedules/{id}/preview", FeesRead, Everything, fee_schedules::preview)
        .post("/v1/programs/{id}/fee_preview", FeesRead, Program, fee_schedules::preview_of_program)
        .list("/v1/fees", FeesRead, Several, fees::many)
        .get("/v1/fees/{id}", FeesRead, Fee, fees::one)
        .list("/v1/settlement_reports", ReportsRead, Everything, settlement_reports::json)
        .list("/v1/settlement_reports.csv", ReportsRead, Everything, settlement_reports::csv)
        .get("/v1/exchange_rates", RatesRead, Anything, exchange_rates::current)
        .put("/v1/exchange_rates", RatesWrite, Everything, exchange_rates::replace)
}

/// What decides, and who may.
#[rustfmt::skip]
fn control(routes: Routes) -> Routes {
    use About::*;
    use Scope::*;
    let rule = |change: RuleChange| {
        move |gate, id, request| rules::change_state(gate, id, request, change)
    };
    let exception = |change: ExceptionChange| {
        move |gate, id, request| exceptions::change(gate, id, request, change)
    };
    let approval = |verdict: Verdict| {
        move |gate, id, request| approvals::decide(gate, id, request, verdict)
    };
    let (of_rule, of_exception) = ("/v1/rules/{id}", "/v1/exceptions/{id}");
    let of_backtest = "/v1/rules/{id}/backtests/{backtest_id}";
    let of_approval = "/v1/approvals/{id}";
    let endpoint = "/v1/decision_endpoints/{id}";
    routes
        .list("/v1/rules", RulesRead, Several, rules::many)
        .post("/v1/rules", RulesDraft, OfProgram, rules::create)
        .get(of_rule, RulesRead, Rule, rules::one)
        .post("/v1/rules/{id}/promote", RulesPromote, Rule, rule(RuleChange::Promote))
        .post("/v1/rules/{id}/demote", RulesPromote, Rule, rule(RuleChange::Demote))
        .post("/v1/rules/{id}/retire", RulesPromote, Rule, rule(RuleChange::Retire))
        .list("/v1/rules/{id}/backtests", RulesRead, Rule, backtests::many)
        .post("/v1/rules/{id}/backtests", RulesDraft, Rule, backtests::create)
        .get(of_backtest, RulesRead, Rule, backtests::one)
        .post("/v1/rules/{id}/backtests/{backtest_id}/cancel", RulesDraft, Rule, backtests::cancel)
        .list("/v1/mcc_groups", RulesRead, Anything, groups::many_mcc_groups)
        .post("/v1/mcc_groups", RulesWrite, Everything, groups::create_mcc_group)
        .get("/v1/mcc_groups/{id}", RulesRead, Anything, groups::one_mcc_group)
        .patch("/v1/mcc_groups/{id}", RulesWrite, Everything, groups::update_mcc_group)
        .list("/v1/merchant_lists", RulesRead, Anything, groups::many_merchant_lists)
        .post("/v1/merchant_lists", RulesWrite, Everything, groups::create_merchant_list)
        .get("/v1/merchant_lists/{id}", RulesRead, Anything, groups::one_merchant_list)
        .patch("/v1/merchant_lists/{id}", RulesWrite, Everything, groups::update_merchant_list)
        .list("/v1/exceptions", ExceptionsRead, Several, exceptions::many)
        .post("/v1/exceptions", ExceptionsRequest, Body, exceptions::create)
        .get(of_exception, ExceptionsRead, Exception, exceptions::one)
        .post("/v1/exceptions/{id}/approve", ExceptionsApprove, Exception, exception(ExceptionChange::Approve))
        .post("/v1/exceptions/{id}/reject", ExceptionsApprove, Exception, exception(ExceptionChange::Reject))
        .post("/v1/exceptions/{id}/end", ExceptionsApprove, Exception, exception(ExceptionChange::End))
        .list("/v1/approvals", ApprovalsRead, Several, approvals::many)
        .get(of_approval, ApprovalsRead, Several, approvals::one)
        .post("/v1/approvals/{id}/approve", ApprovalsWrite, Several, approval(Verdict::Approve))
        .post("/v1/approvals/{id}/reject", ApprovalsWrite, Several, approval(Verdict::Reject))
        .post("/v1/approvals/{id}/cancel", ApprovalsRead, Several, approval(Verdict::Cancel))
        .list("/v1/decision_endpoints", DecisionEndpointsRead, Several, decision_endpoints::many)
        .post("/v1/decision_endpoints", DecisionEndpointsWrite, OfProgram, decision_endpoints::create)
        .get(endpoint, DecisionEndpointsRead, DecisionEndpoint, decision_endpoints::one)
        .patch(endpoint, DecisionEndpointsWrite, DecisionEndpoint, decision_endpoints::update)
        .post("/v1/decision_endpoints/{id}/rotate_secret", DecisionEndpointsWrite, DecisionEndpoint, decision_endpoints::rotate_secret)
        .post("/v1/decision_endpoints/{id}/ping", DecisionEndpointsWrite, DecisionEndpoint, decision_endpoints::ping)
        .list("/v1/api_keys", KeysRead, Several, api_keys::many)
        .post("/v1/api_keys", KeysWrite, Several, api_keys::create)
        .get("/v1/api_keys/{id}", KeysRead, Several, api_keys::one)
        .post("/v1/api_keys/{id}/revoke", KeysWrite, Several, api_keys::revoke)
        .post("/v1/api_keys/{id}/roll", KeysWrite, Several, api_keys::roll)
        .list("/v1/audit_log", AuditRead, Several, audit::many)
}

/// What a network would send.
#[rustfmt::skip]
fn sandbox(routes: Routes) -> Routes {
    use About::Body;
    use Scope::SandboxWrite;
    let simulate = |what: What| move |gate, request| simulate::create(gate, request, what);
    routes
        .post("/v1/simulate/authorizations", SandboxWrite, Body, simulate(What::Authorization))
        .post("/v1/simulate/increments", SandboxWrite, Body, simulate(What::Increment))
        .post("/v1/simulate/advices", SandboxWrite, Body, simulate(What::Advice))
        .post("/v1/simulate/reversals", SandboxWrite, Body, simulate(What::Reversal))
        .post("/v1/simulate/clearings", SandboxWrite, Body, simulate(What::Clearing))
        .post("/v1/simulate/refunds", SandboxWrite, Body, simulate(What::Refund))
        .post("/v1/simulate/force_posts", SandboxWrite, Body, simulate(What::ForcePost))
        .post("/v1/simulate/balance_inquiries", SandboxWrite, Body, simulate(What::BalanceInquiry))
}

/// Who hears of what has happened.
#[rustfmt::skip]
fn told(routes: Routes) -> Routes {
    use About::*;
    use Scope::*;
    let endpoint = "/v1/webhook_endpoints/{id}";
    routes
        .list("/v1/webhook_endpoints", WebhooksRead, Several, webhook_endpoints::many)
        .post("/v1/webhook_endpoints", WebhooksWrite, Several, webhook_endpoints::create)
        .get(endpoint, WebhooksRead, Several, webhook_endpoints::one)
        .patch(endpoint, WebhooksWrite, Several, webhook_endpoints::update)
        .delete(endpoint, WebhooksWrite, Several, webhook_endpoints::delete)
        .post("/v1/webhook_endpoints/{id}/rotate_secret", WebhooksWrite, Several, webhook_endpoints::rotate_secret)
        .post("/v1/webhook_endpoints/{id}/ping", WebhooksWrite, Several, webhook_endpoints::ping)
        .post("/v1/webhook_endpoints/{id}/replay", WebhooksWrite, Several, webhook_moves::replay)
        .list("/v1/events", WebhooksRead, Several, events::many)
        .list("/v1/events/stream", WebhooksRead, Several, events::stream)
        .get("/v1/events/{id}", WebhooksRead, Several, events::one)
        .post("/v1/events/{id}/resend", WebhooksWrite, Several, events::resend)
        .list("/v1/deliveries", WebhooksRead, Several, deliveries::many)
        .get("/v1/deliveries/{id}", WebhooksRead, Several, deliveries::one)
        .post("/v1/deliveries/{id}/resend", WebhooksWrite, Several, deliveries::resend)
}

/// One way to add a route for each verb; `$layer` comes before the handler.
macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $method:literal, $verb:ident, $layer:expr;)*) => {$(
        $(#[$doc])*
        fn $name<H: Handler<T, Gate>, T: 'static>(
            self,
            path: &'static str,
            scope: Scope,
            about: About,
            handler: H,
        ) -> Routes {
            self.add(($method, path), scope, about, $layer($verb(handler)))
        }
    )*};
}

impl Routes {
    verbs! {
        /// A `GET` that takes parameters behind a `?`.
        list = "GET", get, std::convert::identity;
        /// One that takes none; an unknown one is refused. So are those of all below.
        get = "GET", get, without_query;
        post = "POST", post, without_query;
        patch = "PATCH", patch, without_query;
        put = "PUT", put, without_query;
        delete = "DELETE", delete, without_query;
    }

    fn add(
        mut self,
        (method, path): (&'static str, &'static str),
        scope: Scope,
        about: About,
        route: MethodRouter<Gate>,
    ) -> Routes {
        self.table.push(Route {
            method,
            path,
            scope,
            about,
        });
        let route = match method {
            "GET" => route.route_layer(from_fn(etags::etagged)),
            _ => {
                // Those that read come before those that change what they tell.
                let reads = self.router.clone().with_state(self.gate.clone());
                let state = (reads, self.turns.clone());
                route.route_layer(from_fn_with_state(state, etags::if_match))
            }
        };
        let route = guarded(&self.gate, scope, about, route);
        self.router = self.router.route(path, route);
        self
    }
}

fn without_query(route: MethodRouter<Gate>) -> MethodRouter<Gate> {
    route.route_layer(from_fn(list::refuse_query))
}

/// Serves until `shutdown` is done and the requests under way are answered.
pub async fn serve(
    listener: tokio::net::TcpListener,
    gate: Gate,
    connections: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    let issuing = tokio::spawn(card_batch_worker::run(gate.clone()));
    serving::serve(listener, router(gate), connections, shutdown).await;
    // What was under way is taken up at the next start.
    issuing.abort();
}
