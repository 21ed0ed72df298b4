//! Of a journal record as JSON, what is about approvals. All else of it is in `record_json.rs`.

use super::record_json::with_type;
use crate::api::approvals::of_approval;
use crate::engine::approvals::{ApprovalChange, ApprovalState, ChangeApproval};
use crate::engine::registry::RegistryAction;
use crate::engine::signers::Signer;
use crate::json::signer::signer as signer_json;
use serde_json::{Value, json};

pub(super) fn action(action: &RegistryAction) -> Value {
    match action {
        RegistryAction::RequestApproval(wanted) => {
            with_type("request_approval", of_approval(wanted))
        }
        RegistryAction::ChangeApproval(change) => change_approval(change),
        action => panic!("this is not about an approval: {action:?}"),
    }
}

/// What came of it.
pub(super) fn changed(to: ApprovalState) -> Value {
    json!({ "type": "approval_changed", "status": to.name() })
}

fn change_approval(change: &ChangeApproval) -> Value {
    let by = |name: &str, by: &Signer, note: &Option<Box<str>>| json!({ "change": name, "by": signer_json(by), "note": note });
    let mut json = match &change.change {
        ApprovalChange::Approve { by: who, note, .. } => by("approve", who, note),
        ApprovalChange::Reject { by: who, note } => by("reject", who, note),
        ApprovalChange::Cancel { by: who, note } => by("cancel", who, note),
        ApprovalChange::Finish(outcome) => json!({ "change": "finish", "status": outcome.status }),
    };
    json["approval_id"] = change.id.to_string().into();
    with_type("change_approval", json)
}
