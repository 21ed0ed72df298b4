//! `/v1/webhook_endpoints`: who hears of what. Calling them lives in `webhooks`; the events in `events.rs`.

use super::api_keys::{links_json, take_bounds};
use super::auth::{self, Caller};
use super::body::WriteRequest;
use super::error::{ApiError, json_response, shown};
use super::fields::{self, Fields};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::webhook_moves::called;
use super::{ApiState, Gate, ask, narrower};
use crate::engine::api_keys::{Bounds, Scope};
use crate::engine::ids::WebhookEndpointId;
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::engine::time::Timestamp;
use crate::engine::webhook_endpoints::{
    WebhookEndpoint, WebhookProgress, WebhookState, pattern_fits,
};
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use crate::store::events::types::{EventType, NamedType, not_told_yet};
use crate::webhooks::{check_url, post};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// Types and families that one endpoint may name.
pub const EVENTS_MAX: usize = 100;

/// How long the secret before a new one stays good, in seconds: as a rule, and at the most.
pub const OVERLAP_S: (i64, std::ops::RangeInclusive<i64>) = (24 * 3_600, 0..=7 * 24 * 3_600);

pub const ORDERINGS: &[(bool, &str)] = &[(false, "none"), (true, "card")];
pub const PAYLOADS: &[(bool, &str)] = &[(false, "full"), (true, "thin")];
pub const STATES: &[(WebhookState, &str)] = &[
    (WebhookState::Enabled, "enabled"),
    (WebhookState::Disabled, "disabled"),
];

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            mut ids,
            ..
        } = write;
        let mut endpoint = WebhookEndpoint {
            id: WebhookEndpointId(ids.next()),
            name: None,
            url: None,
            events: Box::default(),
            filter: Bounds::default(),
            bounds: caller.bounds().cloned().unwrap_or_default(),
            in_order: false,
            thin: false,
            state: WebhookState::Enabled,
            secret_version: 1,
            previous_secret_until: None,
            created_at: state.switchboard.clock.now(),
            created_by: caller.key_id(),
            tenant: caller.tenant(),
        };
        take(&state, &mut fields, &mut endpoint)?;
        if endpoint.events.is_empty() {
            return Err(fields.missing("events"));
        }
        fields.finish()?;
        check(&state, &caller, &endpoint).await?;
        put(&state, endpoint.clone()).await?;
        Ok(with_secret(&state, &endpoint, StatusCode::CREATED))
    };
    once(gate.state()?, request, work).await
}

/// Changes what is given, and leaves the rest.
pub async fn update(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            ..
        } = write;
        let before = find(&state, &caller, &id).await?;
        let mut endpoint = before.clone();
        if fields.is_empty() {
            return Err(fields::nothing_changes());
        }
        take(&state, &mut fields, &mut endpoint)?;
        if let Some(to) = fields.word("status", STATES)? {
            endpoint.state = to;
        }
        fields.finish()?;
        check(&state, &caller, &endpoint).await?;
        put(&state, endpoint.clone()).await?;
        Ok(Success::ok(to_json(&endpoint)).from(to_json(&before)))
    };
    once(gate.state()?, request, work).await
}

pub async fn delete(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            fields,
            ..
        } = write;
        fields.finish()?;
        let endpoint = find(&state, &caller, &id).await?;
        check(&state, &caller, &endpoint).await?;
        let action = RegistryAction::DeleteWebhookEndpoint(endpoint.id);
        command(&state, action).await?;
        let body = json!({
            "id": endpoint.id.to_string(), "object": "webhook_endpoint", "deleted": true,
        });
        Ok(Success::ok(body).from(to_json(&endpoint)))
    };
    once(gate.state()?, request, work).await
}

/// A new secret; the one before stays good for a while, and both sign.
pub async fn rotate_secret(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            ..
        } = write;
        let overlap_s = fields.integer("overlap_seconds", OVERLAP_S.1)?;
        fields.finish()?;
        let mut endpoint = find(&state, &caller, &id).await?;
        check(&state, &caller, &endpoint).await?;
        let before = to_json(&endpoint);
        let now = state.switchboard.clock.now();
        endpoint.secret_version += 1;
        let until = now.plus_ms(overlap_s.unwrap_or(OVERLAP_S.0) * 1_000);
        endpoint.previous_secret_until = Some(until);
        put(&state, endpoint.clone()).await?;
        Ok(with_secret(&state, &endpoint, StatusCode::OK).from(before))
    };
    once(gate.state()?, request, work).await
}

/// Calls the endpoint now with an event of no meaning, and says what came of it.
pub async fn ping(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            fields,
            mut ids,
            ..
        } = write;
        fields.finish()?;
        let endpoint = find(&state, &caller, &id).await?;
        called(&endpoint)?;
        let _under_way = state.pings.enter_ping(&caller)?;
        let now = state.switchboard.clock.now();
        let event_id = format!("ping_{}", ids.next());
        let body = json!({
            "id": event_id, "type": "webhook_endpoint.ping", "timestamp": now.to_string(),
            "data": { "webhook_endpoint_id": endpoint.id.to_string() },
        });
        let secrets = state.vault.endpoint_secrets();
        let body = body.to_string().into_bytes();
        let called = post(&state.calls, secrets, &endpoint, event_id, body, now).await;
        if called.is_taken() {
            state.webhook_stats.note_ping_taken(endpoint.id);
        }
        Ok(Success::ok(json!({
            "object": "ping",
            "webhook_endpoint_id": endpoint.id.to_string(),
            "status": called.status,
            "body": called.body,
            "error": called.error,
            "duration_ms": called.duration_ms,
        })))
    };
    once(gate.state()?, request, work).await
}

pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let endpoint = find(&state, &caller, &id).await?;
    let mut json = to_json(&endpoint);
    let wanted = RegistryRequest::WebhookProgress(endpoint.id);
    if let Reply::WebhookProgress(progress) = ask::registry(&state, wanted).await? {
        let now = state.switchboard.clock.now();
        let called_at = state.webhook_stats.next_at(endpoint.id);
        json["progress"] = progress_json(&endpoint, progress.as_deref(), (called_at, now));
    }
    Ok(json_response(StatusCode::OK, json.to_string()))
}

/// As noted last, about a second ago. What is due and waits for others is due now; nothing is of one that is not called.
fn progress_json(
    endpoint: &WebhookEndpoint,
    progress: Option<&WebhookProgress>,
    (called_at, now): (Option<Timestamp>, Timestamp),
) -> Value {
    let progress = progress.cloned().unwrap_or_default();
    let next_at = progress.waiting.iter().map(|waiting| waiting.next_at).min();
    // While it counts as down, or asked for time, what is due waits for that.
    let next_at = next_at.map(|next_at| called_at.unwrap_or(next_at));
    let next_at = next_at.filter(|_| endpoint.state == WebhookState::Enabled);
    let next_at = next_at.map(|next_at| next_at.max(now));
    json!({
        "after": progress.after.map(|id| id.to_string()),
        "waiting": progress.waiting.len(),
        "next_attempt_at": next_at.map(|at| at.to_string()),
        "failing_since": progress.failing_since.map(|at| at.to_string()),
    })
}

/// From memory, newest first: what was just written is in it.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let seen = seen(&state, &caller).await?;
    let all = seen.iter().rev();
    list::page_of_memory(query, all.map(|one| (one.id.to_string(), || to_json(one))))
}

/// The endpoints that a caller sees: those of keys that see the same, or all.
pub async fn seen(state: &ApiState, caller: &Caller) -> Result<Vec<WebhookEndpoint>, ApiError> {
    let view = ask::view(state).await?;
    let all = view.webhook_endpoints.iter();
    let all = all.map(|known| &known.endpoint);
    let seen = all.filter(|endpoint| caller.bounds().is_none_or(|own| *own == endpoint.bounds));
    Ok(seen.map(|endpoint| (**endpoint).clone()).collect())
}

pub async fn find(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<WebhookEndpoint, ApiError> {
    let seen = seen(state, caller).await?;
    let found = seen.into_iter().find(|known| known.id.to_string() == id);
    found.ok_or_else(|| {
        let message = "there is no webhook endpoint with this id";
        ApiError::not_found("webhook_endpoint_not_found", message)
    })
}

/// Takes the fields that are given.
fn take(
    state: &ApiState,
    fields: &mut Fields,
    endpoint: &mut WebhookEndpoint,
) -> Result<(), ApiError> {
    if let Some(name) = fields.text("name", 200)? {
        endpoint.name = Some(name.into());
    }
    if let Some(url) = fields.text("url", 500)? {
        check_url(&url, state.sandbox).map_err(|error| {
            let message = format!("url cannot be taken: {error}");
            ApiError::invalid("url_invalid", "url", message)
        })?;
        endpoint.url = Some(url.into());
    }
    if fields.has("events") {
        let events = fields.list("events", EVENTS_MAX)?.into_iter();
        endpoint.events = events
            .map(|(path, value)| pattern(&path, value))
            .collect::<Result<_, _>>()?;
        if endpoint.events.is_empty() {
            let message = "events must name a type, a family (`card.*`) or `*`; to be told nothing, set status to disabled";
            return Err(ApiError::invalid("events_empty", "events", message));
        }
    }
    if ["program_ids", "account_ids", "links"]
        .iter()
        .any(|name| fields.has(name))
    {
        // What is not given stays as it is.
        let (has_programs, has_accounts, has_links) = (
            fields.has("program_ids"),
            fields.has("account_ids"),
            fields.has("links"),
        );
        let given = take_bounds(fields)?;
        let filter = &mut endpoint.filter;
        if has_programs {
            filter.program_ids = given.program_ids;
        }
        if has_accounts {
            filter.account_ids = given.account_ids;
        }
        if has_links {
            filter.links = given.links;
        }
    }
    if let Some(in_order) = fields.word("ordering", ORDERINGS)? {
        endpoint.in_order = in_order;
    }
    if let Some(thin) = fields.word("payload", PAYLOADS)? {
        endpoint.thin = thin;
    }
    Ok(())
}

/// A type, a family, or `*`.
fn pattern(path: &str, value: Value) -> Result<Box<str>, ApiError> {
    let pattern = fields::text(path, value, 64)?;
    let is_known = types_of(&pattern).next().is_some() || not_told_yet(&pattern).next().is_some();
    match is_known {
        true => Ok(pattern.into()),
        false => {
            let message = format!(
                "`{}` is no type of event; one is, as an example, `card.frozen`, a family is `card.*`, all are `*`",
                shown(&pattern)
            );
            Err(ApiError::invalid("event_type_unknown", path, message))
        }
    }
}

fn types_of(pattern: &str) -> impl Iterator<Item = EventType> {
    let all = EventType::ALL.iter().copied();
    all.filter(move |event_type| pattern_fits(pattern, event_type.name()))
}

fn needs(caller: &Caller, (scope, name): (Scope, &str), more: &str) -> Result<(), ApiError> {
    caller.require(scope).map_err(|mut error| {
        error.message = format!("{}, for events of the type `{name}`{more}", error.message);
        error
    })
}

/// Nobody hears of more than they may see.
async fn check(
    state: &Arc<ApiState>,
    caller: &Caller,
    endpoint: &WebhookEndpoint,
) -> Result<(), ApiError> {
    let types = endpoint.events.iter().flat_map(|pattern| types_of(pattern));
    for event_type in types {
        let name = event_type.name();
        needs(caller, (event_type.scope(), name), "")?;
        if event_type.scope() == Scope::AlertsDeclines && !endpoint.thin {
            let thin = "; with \"payload\": \"thin\" it needs none";
            needs(caller, (Scope::AuthorizationsRead, name), thin)?;
        }
    }
    let later = endpoint
        .events
        .iter()
        .flat_map(|pattern| not_told_yet(pattern));
    for NamedType { name, scope, .. } in later {
        needs(caller, (*scope, name), "")?;
    }
    if let Some(own) = caller.bounds()
        && !narrower::are_within(state, own, &told_within(own, &endpoint.filter)).await?
    {
        let message = "the endpoint names what this API key is not bound to";
        return Err(auth::forbidden("bounds_beyond_caller", message));
    }
    Ok(())
}

/// What a filter comes to with the bounds of the key, which every event is held against too: it need not repeat them.
fn told_within(own: &Bounds, filter: &Bounds) -> Bounds {
    fn or<T: Clone>(named: &[T], own: &[T]) -> Box<[T]> {
        if named.is_empty() { own } else { named }.into()
    }
    Bounds {
        program_ids: or(&filter.program_ids, &own.program_ids),
        account_ids: or(&filter.account_ids, &own.account_ids),
        links: or(&filter.links, &own.links),
    }
}

async fn put(state: &ApiState, endpoint: WebhookEndpoint) -> Result<(), ApiError> {
    command(
        state,
        RegistryAction::PutWebhookEndpoint(Box::new(endpoint)),
    )
    .await
}

pub async fn command(state: &ApiState, action: RegistryAction) -> Result<(), ApiError> {
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(()),
        Reply::RegistryRefused(refusal) => Err(refused(refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn refused(refusal: RegistryRefusal) -> ApiError {
    let told = refusal.to_string();
    match refusal {
        RegistryRefusal::ProgramNotFound(_) => {
            ApiError::invalid("program_not_found", "program_ids", told)
        }
        RegistryRefusal::WebhookEndpointNotFound(_) => {
            ApiError::not_found("webhook_endpoint_not_found", told)
        }
        RegistryRefusal::TooManyWebhookEndpoints => {
            ApiError::conflict("too_many_webhook_endpoints", told)
        }
        RegistryRefusal::TooManyDeliveriesWait => {
            ApiError::conflict("too_many_deliveries_wait", told)
        }
        refusal => ApiError::internal(&refusal),
    }
}

/// The secret is shown now and not again.
fn with_secret(state: &ApiState, endpoint: &WebhookEndpoint, status: StatusCode) -> Success {
    let secrets = state.vault.endpoint_secrets();
    let secret = secrets.secret(endpoint.id.0, endpoint.secret_version);
    Success::with_secret(status, to_json(endpoint), secret)
}

pub fn to_json(endpoint: &WebhookEndpoint) -> Value {
    let texts = |ids: Vec<String>| Value::from(ids);
    let filter = &endpoint.filter;
    json!({
        "id": endpoint.id.to_string(),
        "object": "webhook_endpoint",
        "name": endpoint.name,
        "url": endpoint.url,
        "events": endpoint.events,
        "program_ids": texts(filter.program_ids.iter().map(ToString::to_string).collect()),
        "account_ids": texts(filter.account_ids.iter().map(ToString::to_string).collect()),
        "links": links_json(filter),
        "ordering": if endpoint.in_order { "card" } else { "none" },
        "payload": if endpoint.thin { "thin" } else { "full" },
        "status": endpoint.state.name(),
        "secret_version": endpoint.secret_version,
        "previous_secret_until": endpoint.previous_secret_until.map(|at| at.to_string()),
        "created_by": endpoint.created_by.map_or_else(|| "root".to_owned(), |id| id.to_string()),
        "created_at": endpoint.created_at.to_string(),
    })
}
