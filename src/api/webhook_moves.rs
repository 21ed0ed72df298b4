//! Events once more, to an endpoint that had its chance: from a place on, or a single one. The endpoints themselves are
//! `webhook_endpoints.rs`.

use super::auth::Caller;
use super::body::WriteRequest;
use super::error::ApiError;
use super::idempotency::{Success, Write, once};
use super::list::{self, store_error};
use super::webhook_endpoints::{command, find};
use super::{ApiState, Gate};
use crate::engine::ids::{EventId, WebhookEndpointId};
use crate::engine::registry::RegistryAction;
use crate::engine::time::Timestamp;
use crate::engine::webhook_endpoints::{MoveWebhook, WebhookEndpoint, WebhookMove, WebhookState};
use crate::store::events::{EventRow, PlacedEvent};
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

/// Everything behind an event, or since a moment, once more.
pub async fn replay(
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
        let after: Option<EventId> = fields.id("after", EventId::PREFIX)?;
        let since = fields.moment("since")?;
        let after = match (after, since) {
            (Some(after), None) => {
                // A place that nothing has come to yet would silence the endpoint.
                let last = EventId::end_of(state.lag.projected_through());
                if after > last {
                    let message = "there is no event with this id yet; `since` takes a moment";
                    let none = ApiError::not_found("event_not_found", message);
                    return Err(none.with_param("after"));
                }
                after
            }
            (None, Some(since)) => before_first_since(&state, since).await?,
            _ => {
                let message = "give either `after`, an event, or `since`, a moment";
                return Err(ApiError::invalid("replay_invalid", "after", message));
            }
        };
        fields.finish()?;
        let endpoint = find(&state, &caller, &id).await?;
        called(&endpoint)?;
        let to = WebhookMove::After(after);
        move_to(&state, endpoint.id, to).await?;
        Ok(Success::ok(json!({
            "object": "replay",
            "webhook_endpoint_id": endpoint.id.to_string(),
            "after": after.to_string(),
        })))
    };
    once(gate.state()?, request, work).await
}

async fn before_first_since(state: &ApiState, since: Timestamp) -> Result<EventId, ApiError> {
    list::check_store(state)?;
    let first = state
        .store
        .first_event_since(since)
        .await
        .map_err(store_error)?;
    let first = first.ok_or_else(|| {
        let message = "no event is kept from then on";
        ApiError::not_found("event_not_found", message).with_param("since")
    })?;
    Ok(EventId(first.0.saturating_sub(1)))
}

/// One event once more, whatever became of it.
pub async fn resend(
    state: &ApiState,
    caller: &Caller,
    endpoint_id: &str,
    event: &EventRow,
) -> Result<Success, ApiError> {
    let endpoint = find(state, caller, endpoint_id).await?;
    called(&endpoint)?;
    if !PlacedEvent::of(event.clone()).is_for(&endpoint) {
        let message = "the endpoint has not subscribed to this event";
        return Err(ApiError::conflict("event_not_for_endpoint", message));
    }
    let event_id = event.id();
    let card_id = event.card_id.filter(|_| endpoint.in_order);
    move_to(state, endpoint.id, WebhookMove::Resend(event_id, card_id)).await?;
    Ok(Success::ok(json!({
        "object": "resend",
        "event_id": event_id.to_string(),
        "webhook_endpoint_id": endpoint.id.to_string(),
    })))
}

async fn move_to(state: &ApiState, id: WebhookEndpointId, to: WebhookMove) -> Result<(), ApiError> {
    let moved = MoveWebhook {
        endpoint_id: id,
        to,
    };
    command(state, RegistryAction::MoveWebhook(moved)).await
}

pub fn called(endpoint: &WebhookEndpoint) -> Result<(), ApiError> {
    let message = match (&endpoint.url, endpoint.state) {
        (None, _) => "the endpoint has no URL: its events are read from /v1/events",
        (Some(_), WebhookState::Enabled) => return Ok(()),
        (Some(_), _) => "the endpoint is not enabled; PATCH it with {\"status\": \"enabled\"}",
    };
    Err(ApiError::conflict("endpoint_not_called", message))
}
