//! The records of exceptions from controls as JSON. Those of everything else are in `record_json.rs`.

use super::record_json::with_type;
use crate::api::exceptions;
use crate::engine::exceptions::{ChangeException, ControlException, Subject};
use crate::engine::ids::ExceptionId;
use crate::engine::registry::RegistryEvent;
use crate::json::signer::signer as signer_json;
use serde_json::{Value, json};

pub(super) fn request(wanted: &ControlException) -> Value {
    let link_id = match wanted.subject {
        Subject::Link(id) => Some(id.to_string()),
        Subject::Card(_) | Subject::Account(_) => None,
    };
    let mut json = with_type("request_exception", exceptions::of_exception(wanted, None));
    json["link_id"] = link_id.into();
    json
}

pub(super) fn change(change: &ChangeException) -> Value {
    json!({
        "type": "change_exception",
        "exception_id": change.id.to_string(),
        "change": change.change.name(),
        "by": signer_json(&change.by),
        "note": change.note,
    })
}

pub(super) fn expire(id: ExceptionId) -> Value {
    json!({ "type": "expire_exception", "exception_id": id.to_string() })
}

pub(super) fn came(event: &RegistryEvent) -> Value {
    match event {
        RegistryEvent::ExceptionChanged { version, to, .. } => json!({
            "type": "exception_changed", "registry_version": version, "state": to.name(),
        }),
        RegistryEvent::ExceptionExpired { .. } => json!({ "type": "exception_expired" }),
        _ => json!({ "type": "exception_requested" }),
    }
}
