//! Records about webhook endpoints as JSON, for `journal dump`. All others are in `record_json.rs`.

use crate::api::webhook_endpoints;
use crate::engine::registry::{RegistryAction, RegistryEvent};
use crate::engine::webhook_endpoints::{NoteWebhookProgress, WaitingDelivery, WebhookMove};
use serde_json::{Value, json};

pub fn action(action: &RegistryAction) -> Value {
    match action {
        RegistryAction::PutWebhookEndpoint(endpoint) => {
            let mut json = webhook_endpoints::to_json(endpoint);
            json["type"] = "put_webhook_endpoint".into();
            json
        }
        RegistryAction::DeleteWebhookEndpoint(id) => json!({
            "type": "delete_webhook_endpoint", "webhook_endpoint_id": id.to_string(),
        }),
        RegistryAction::DisableWebhookEndpoint { id, state } => json!({
            "type": "disable_webhook_endpoint",
            "webhook_endpoint_id": id.to_string(),
            "status": state.name(),
        }),
        RegistryAction::NoteWebhookProgress(note) => noted(note),
        RegistryAction::MoveWebhook(moved) => {
            let (to, event_id) = match moved.to {
                WebhookMove::After(event_id) => ("after", event_id),
                WebhookMove::Resend(event_id, _) => ("resend", event_id),
            };
            json!({
                "type": "move_webhook",
                "webhook_endpoint_id": moved.endpoint_id.to_string(),
                "to": to,
                "event_id": event_id.to_string(),
            })
        }
        action => panic!("no record about a webhook endpoint: {action:?}"),
    }
}

fn noted(note: &NoteWebhookProgress) -> Value {
    let waiting = |waiting: &WaitingDelivery| {
        json!({
            "event_id": waiting.event_id.to_string(),
            "card_id": waiting.card_id.map(|id| id.to_string()),
            "attempts": waiting.attempts,
            "next_at": waiting.next_at.to_string(),
        })
    };
    let progress = &note.progress;
    json!({
        "type": "note_webhook_progress",
        "webhook_endpoint_id": note.endpoint_id.to_string(),
        "generation": note.generation,
        "after": progress.after.map(|id| id.to_string()),
        "waiting": progress.waiting.iter().map(waiting).collect::<Vec<_>>(),
        "failing_since": progress.failing_since.map(|at| at.to_string()),
    })
}

pub fn event(event: &RegistryEvent) -> Value {
    match event {
        RegistryEvent::WebhookEndpointPut { version } => {
            json!({ "type": "webhook_endpoint_put", "registry_version": version })
        }
        RegistryEvent::WebhookEndpointDeleted { version } => {
            json!({ "type": "webhook_endpoint_deleted", "registry_version": version })
        }
        RegistryEvent::WebhookEndpointDisabled { version, state } => json!({
            "type": "webhook_endpoint_disabled",
            "registry_version": version,
            "status": state.name(),
        }),
        RegistryEvent::WebhookProgressNoted => json!({ "type": "webhook_progress_noted" }),
        RegistryEvent::WebhookMoved { version } => {
            json!({ "type": "webhook_moved", "registry_version": version })
        }
        event => panic!("no event of a webhook endpoint: {event:?}"),
    }
}
