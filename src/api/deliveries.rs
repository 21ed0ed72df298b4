//! `/v1/deliveries`: the log of calls to webhook endpoints, newest first.

use super::auth::Caller;
use super::body::WriteRequest;
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::idempotency::{Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, events, filters, webhook_endpoints, webhook_moves};
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, DeliveryId, EventId, ProgramId,
    WebhookEndpointId,
};
use crate::engine::scopes::Scope;
use crate::store::deliveries::{DeliveryFilter, DeliveryOutcome, DeliveryRow};
use crate::store::events::types::EventType;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    // A call names its event and no more.
    let needs = [
        ("account_id", Scope::AccountsRead),
        ("card_id", Scope::CardsRead),
        ("card_chain_id", Scope::CardsRead),
        ("link_type", Scope::CardsRead),
        ("authorization_id", Scope::AuthorizationsRead),
    ];
    filters::check_scopes(&caller, &query, &needs)?;
    filters::check_scopes_of_told(&caller, &query)?;
    let object_id = events::object_id(&mut query)?;
    if let Some(id) = &object_id {
        caller.require(events::scope_of_object(id))?;
    }
    let (created_from, created_until) = filters::created(&mut query)?;
    let (link_type, link_id) = list::link(&mut query)?;
    let amounts = filters::amounts(&mut query)?;
    let filter = DeliveryFilter {
        endpoint_id: query.id("webhook_endpoint_id", WebhookEndpointId::PREFIX)?,
        event_id: query.id("event_id", EventId::PREFIX)?,
        event_type: event_type(&mut query)?,
        outcome: query.word("outcome", DeliveryOutcome::ALL)?,
        created_from,
        created_until,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        account_id: query.id("account_id", AccountId::PREFIX)?,
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        object_id,
        authorization_id: query.id("authorization_id", AuthorizationId::PREFIX)?,
        cardholder_id: query.id("cardholder_id", CardholderId::PREFIX)?,
        reason: filters::reason(&mut query)?,
        merchant_id: query.text("merchant_id", 15)?,
        currency: amounts.currency,
        amount_from: amounts.from,
        amount_until: amounts.until,
        link_type,
        link_id,
        endpoint_ids: seen(&state, &caller).await?,
    };
    let after = query.id("starting_after", DeliveryId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.deliveries(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let data = page.data.iter().map(to_json);
    Ok(list::page(data, page.has_more, page.projected_through))
}

fn event_type(query: &mut Fields) -> Result<Option<String>, ApiError> {
    let known = EventType::ALL.iter();
    let known: Vec<_> = known.map(|known| (*known, known.name())).collect();
    let event_type = query.word("event_type", &known)?;
    Ok(event_type.map(|event_type| event_type.name().to_owned()))
}

/// The endpoints whose calls a bound caller sees; `None` where it sees all, those that are gone too.
async fn seen(
    state: &ApiState,
    caller: &Caller,
) -> Result<Option<Vec<WebhookEndpointId>>, ApiError> {
    if caller.bounds().is_none() {
        return Ok(None);
    }
    let seen = webhook_endpoints::seen(state, caller).await?;
    Ok(Some(seen.iter().map(|endpoint| endpoint.id).collect()))
}

async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<DeliveryRow, ApiError> {
    let not_found =
        || ApiError::not_found("delivery_not_found", "there is no delivery with this id");
    let id = id.parse().map_err(|_| not_found())?;
    let seen = seen(state, caller).await?;
    list::check_store(state)?;
    let row = state.store.delivery(id).await.map_err(store_error)?;
    let row = row.filter(|row| {
        seen.as_ref()
            .is_none_or(|seen| seen.contains(&row.webhook_endpoint_id))
    });
    row.ok_or_else(not_found)
}

/// With the body that was sent, as long as its event is kept.
pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let row = find(&state, &caller, &id).await?;
    let mut json = to_json(&row);
    let endpoints = webhook_endpoints::seen(&state, &caller).await?;
    let mut endpoints = endpoints.iter();
    let endpoint = endpoints.find(|endpoint| endpoint.id == row.webhook_endpoint_id);
    let event = state.store.event(row.event_id).await.map_err(store_error)?;
    // No more of the event than the caller may see of it anyway.
    let event = event.filter(|event| events::may_see(&caller, event));
    let is_thin = endpoint.is_some_and(|endpoint| endpoint.thin);
    json["request_body"] = event.map_or(Value::Null, |event| match is_thin {
        true => event.body(true, &state.response_codes),
        false => events::body(&state, &caller, &event),
    });
    Ok(json_response(StatusCode::OK, json.to_string()))
}

/// Its event once more, to the same endpoint.
pub async fn resend(
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
        let row = find(&state, &caller, &id).await?;
        let event = events::find(&state, &caller, &row.event_id.to_string()).await?;
        let endpoint_id = row.webhook_endpoint_id.to_string();
        webhook_moves::resend(&state, &caller, &endpoint_id, &event).await
    };
    once(gate.state()?, request, work).await
}

fn to_json(row: &DeliveryRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "object": "delivery",
        "event_id": row.event_id.to_string(),
        "event_type": row.event_type,
        "webhook_endpoint_id": row.webhook_endpoint_id.to_string(),
        "attempt": row.attempt,
        "outcome": row.outcome.name(),
        "response_status": row.response_status,
        "response_body": row.response_body,
        "error": row.error,
        "duration_ms": row.duration_ms,
        "next_attempt_at": row.next_attempt_at_ms.map(|at| at.to_string()),
        "created_at": row.created_at_ms.to_string(),
    })
}
