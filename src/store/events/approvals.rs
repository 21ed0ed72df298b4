//! The events of approvals. Those of all other records are in `derive.rs`.

use super::about::Subject;
use super::fold::Draft;
use super::types::EventType;
use crate::engine::approvals::{
    Approval, ApprovalChange, ApprovalPlace, ApprovalState, ChangeApproval, GuardedWrite,
};
use crate::engine::ids::ApprovalId;
use crate::engine::registry::LinkKey;
use crate::json::signer::signer as signer_json;
use serde_json::json;

/// Whoever hears of the card, the account or the linked object that is to be changed hears of it, or else of the program.
fn subject(id: ApprovalId, place: &ApprovalPlace) -> Subject {
    match place.write {
        GuardedWrite::ChangeCard(id) => Subject::Card(id),
        GuardedWrite::TopUp(id) | GuardedWrite::ChangeAccount(id) => Subject::Account(id),
        GuardedWrite::SetLinkControls {
            ref link_type,
            id: ref link_id,
        } => {
            let key = LinkKey {
                program_id: place.program_id,
                link_type: link_type.clone(),
                id: link_id.clone(),
            };
            Subject::OfLink(key, id.to_string())
        }
        _ => Subject::OfProgram(place.program_id, id.to_string()),
    }
}

pub(super) fn of_requested(wanted: &Approval) -> Draft {
    let approval = json!({
        "id": wanted.id.to_string(),
        "object": "approval",
        "status": ApprovalState::Pending.name(),
        "program_id": wanted.program_id.to_string(),
        "requested_by": signer_json(&wanted.requested_by),
        "expires_at": wanted.expires_at.to_string(),
    });
    Draft {
        event_type: EventType::ApprovalRequested,
        subject: subject(wanted.id, &wanted.place()),
        content: vec![("approval", approval)],
    }
}

/// Nothing, where what was approved is carried out: that has events of its own.
pub(super) fn of_changed(
    change: &ChangeApproval,
    to: ApprovalState,
    place: &ApprovalPlace,
) -> Option<Draft> {
    let (event_type, by) = match &change.change {
        ApprovalChange::Approve { by, .. } => (EventType::ApprovalApproved, Some(by)),
        ApprovalChange::Reject { by, .. } => (EventType::ApprovalRejected, Some(by)),
        ApprovalChange::Cancel { by, .. } => (EventType::ApprovalCancelled, Some(by)),
        ApprovalChange::Finish(_) if to == ApprovalState::Failed => {
            (EventType::ApprovalFailed, None)
        }
        ApprovalChange::Finish(_) => return None,
    };
    let mut approval = json!({
        "id": change.id.to_string(),
        "object": "approval",
        "status": to.name(),
    });
    if let Some(by) = by {
        approval["decided_by"] = signer_json(by);
    }
    Some(Draft {
        event_type,
        subject: subject(change.id, place),
        content: vec![("approval", approval)],
    })
}
