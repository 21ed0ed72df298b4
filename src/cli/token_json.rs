//! Of a journal record as JSON, what is about tokens. Their numbers are not told, sealed or not.

use super::record_json::month;
use crate::engine::ids::TokenId;
use crate::engine::tokens::{ChangeTokenStatus, OpenToken};
use serde_json::{Value, json};

/// To the registry, or from it to the shard.
pub(super) fn open(name: &str, open: &OpenToken) -> Value {
    let device = open.device.as_ref();
    let device = device.map(|device| json!({ "type": device.device_type, "name": device.name }));
    json!({
        "type": name,
        "token_id": open.token_id.to_string(),
        "card_id": open.card_id.to_string(),
        "first6": format!("{:06}", open.first6),
        "last4": format!("{:04}", open.last4),
        "expiry": open.expiry.map(month),
        "wallet": open.wallet,
        "device": device,
    })
}

pub(super) fn change(change: ChangeTokenStatus) -> Value {
    json!({
        "type": "change_token_status",
        "token_id": change.token_id.to_string(),
        "change": change.change.name(),
    })
}

pub(super) fn ids(tokens: &[TokenId]) -> Vec<String> {
    tokens.iter().map(ToString::to_string).collect()
}
