//! Records of transfers as JSON, for `record_json.rs`.

use super::message_json::posting;
use crate::engine::transfers::{EndTransfer, Transfer, Transferred};
use serde_json::{Value, json};

pub(super) fn transfer(name: &str, transfer: &Transfer) -> Value {
    json!({
        "type": name,
        "transfer_id": transfer.id.to_string(),
        "from_account_id": transfer.from_account_id.to_string(),
        "to_account_id": transfer.to_account_id.to_string(),
        "to_tree": transfer.to_root.to_string(),
        "amount": transfer.amount.amount_minor,
        "currency": transfer.amount.currency.alpha(),
    })
}

pub(super) fn end_transfer(end: &EndTransfer) -> Value {
    let mut json = transfer("end_transfer", &end.transfer);
    json["return_reason"] = end.returned.map(|reason| reason.name()).into();
    json
}

pub(super) fn transferred(transferred: &Transferred) -> Value {
    json!({
        "type": "transferred",
        "status": transferred.status.name(),
        "return_reason": transferred.return_reason.map(|reason| reason.name()),
        "postings": transferred.postings.iter().map(posting).collect::<Vec<_>>(),
    })
}
