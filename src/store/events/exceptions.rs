//! The events of exceptions from controls. Those of all other records are in `derive.rs`.

use super::about::Subject;
use super::fold::Draft;
use super::types::EventType;
use crate::engine::exceptions::{
    ChangeException, ControlException, ExceptionState, Subject as ExceptionSubject,
};
use crate::engine::registry::LinkKey;
use crate::json::lifts;
use crate::json::signer::signer;
use serde_json::{Value, json};

/// Who sees what an exception is about hears of it.
fn subject(exception: &ControlException, link: Option<&LinkKey>) -> Subject {
    match (exception.subject, link) {
        (ExceptionSubject::Card(id), _) => Subject::Card(id),
        (ExceptionSubject::Account(id), _) => Subject::Account(id),
        (ExceptionSubject::Link(_), Some(link)) => {
            Subject::OfLink(link.clone(), exception.id.to_string())
        }
        (ExceptionSubject::Link(_), None) => Subject::Other(exception.id.to_string()),
    }
}

/// What every one tells: whose it is, what it lifts and when.
fn in_short(exception: &ControlException, link: Option<&LinkKey>, to: ExceptionState) -> Value {
    let (card_id, account_id) = match exception.subject {
        ExceptionSubject::Card(id) => (Some(id.to_string()), None),
        ExceptionSubject::Account(id) => (None, Some(id.to_string())),
        ExceptionSubject::Link(_) => (None, None),
    };
    json!({
        "id": exception.id.to_string(),
        "object": "exception",
        "state": to.name(),
        "card_id": card_id,
        "account_id": account_id,
        "link": link.map(|key| json!({ "type": key.link_type, "id": key.id })),
        "lifts": lifts::to_json(&exception.lifts),
        "starts_at": exception.starts_at.to_string(),
        "ends_at": exception.ends_at.to_string(),
        "reason": exception.reason,
    })
}

fn about(
    event_type: EventType,
    (exception, link): (&ControlException, Option<&LinkKey>),
    told: Value,
) -> Draft {
    Draft {
        event_type,
        subject: subject(exception, link),
        content: vec![("exception", told)],
    }
}

pub(super) fn of_requested(wanted: &ControlException, link: Option<&LinkKey>) -> Draft {
    let mut told = in_short(wanted, link, ExceptionState::Requested);
    told["requested_by"] = signer(&wanted.requested_by);
    about(EventType::ExceptionRequested, (wanted, link), told)
}

pub(super) fn of_expired(exception: &ControlException, link: Option<&LinkKey>) -> Draft {
    let told = in_short(exception, link, ExceptionState::Expired);
    about(EventType::ExceptionExpired, (exception, link), told)
}

pub(super) fn of_changed(
    (change, to): (&ChangeException, ExceptionState),
    exception: &ControlException,
    link: Option<&LinkKey>,
) -> Option<Draft> {
    let (event_type, by) = match to {
        ExceptionState::Requested | ExceptionState::Expired => return None,
        ExceptionState::Approved => (EventType::ExceptionApproved, "approved_by"),
        ExceptionState::Rejected => (EventType::ExceptionRejected, "rejected_by"),
        ExceptionState::Ended => (EventType::ExceptionEnded, "ended_by"),
    };
    let mut told = in_short(exception, link, to);
    told[by] = signer(&change.by);
    Some(about(event_type, (exception, link), told))
}
