//! What the switch calls: one entry for each type of event, as a webhook endpoint gets it. The routes are described beside.

use super::events::of_type_alone;
use crate::store::events::types::EventType;
use serde_json::{Map, Value, json};

pub fn webhooks() -> Map<String, Value> {
    let all = EventType::ALL.iter();
    all.map(|event| (event.name().to_owned(), json!({ "post": call(*event) })))
        .collect()
}

fn call(event: EventType) -> Value {
    json!({
        "operationId": format!("on_{}", event.name().replace('.', "_")),
        "tags": ["webhooks"],
        "summary": event.when(),
        "description": format!(
            "Told to endpoints whose key has `{}`. Signed as Standard Webhooks 1.0.0 says; at least once, with the same \
             `webhook-id` on every try.",
            event.scope().name()
        ),
        "x-scope": event.scope().name(),
        // The signature stands in for it.
        "security": [],
        "parameters": [
            header("webhook-id", "The event's id.", json!("evt_0h2k9m4p7r1t3")),
            header("webhook-timestamp", "When this try was made, in seconds since 1970.", json!("1795867200")),
            header("webhook-signature", "One signature for each secret that counts, with spaces between.", json!("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=")),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": of_type_alone(event) } } },
        "responses": {
            "2XX": { "description": "It was taken." },
            "410": { "description": "The endpoint is gone: it is called no more." },
            "default": { "description": "It was not taken, and is told again later; `Retry-After` is kept to." },
        },
    })
}

fn header(name: &str, what: &str, example: Value) -> Value {
    json!({
        "name": name, "in": "header", "required": true, "description": what,
        "schema": { "type": "string", "examples": [example] },
    })
}
