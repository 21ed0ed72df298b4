//! What the `data` of events holds that people and the process make of what is no card, account or payment. That of all others
//! is in `events.rs`.

use super::events::{EventData, of};
use super::schema::{Fields, answer, id, moment, named, of_type, or_null, said, unset};
use crate::engine::exceptions::ExceptionState;
use crate::engine::risk::rule::RuleState;
use crate::engine::webhook_endpoints::WebhookState;
use crate::store::events::types::EventType;

/// What people and the process do to what is no card, account or payment.
pub(super) fn of_control(event: EventType) -> EventData {
    use EventType::*;
    match event {
        RulePromoted => {
            let rule = short("rule", "rule", ("state", RuleState::Active.name()));
            of("RuleEventData", vec![("rule", answer(rule, Vec::new()))])
        }
        ExceptionRequested | ExceptionApproved | ExceptionRejected | ExceptionEnded
        | ExceptionExpired => of_exception(event),
        ApprovalRequested => {
            let mut all = short("appr", "approval", ("status", "pending"));
            all.extend([
                ("program_id", id("prog")),
                ("requested_by", named("Signer")),
                ("expires_at", moment()),
            ]);
            of(
                "ApprovalRequestedEventData",
                vec![("approval", answer(all, Vec::new()))],
            )
        }
        ApprovalApproved | ApprovalRejected | ApprovalCancelled => {
            let mut all = short("appr", "approval", ("status", "approved"));
            all.push(("decided_by", named("Signer")));
            of(
                "ApprovalDecidedEventData",
                vec![("approval", answer(all, Vec::new()))],
            )
        }
        ApprovalFailed => {
            let all = short("appr", "approval", ("status", "failed"));
            of(
                "ApprovalFailedEventData",
                vec![("approval", answer(all, Vec::new()))],
            )
        }
        // All others are named above: a test holds each type against what is told of it.
        _ => {
            let state = ("status", WebhookState::Gone.name());
            let endpoint = short("we", "webhook_endpoint", state);
            of(
                "WebhookEndpointEventData",
                vec![("webhook_endpoint", answer(endpoint, Vec::new()))],
            )
        }
    }
}

fn of_exception(event: EventType) -> EventData {
    let of_state = |name, state: ExceptionState, fields: Fields| {
        let mut all = short("exc", "exception", ("state", state.name()));
        all.extend(exception());
        all.extend(fields);
        of(name, vec![("exception", answer(all, Vec::new()))])
    };
    let by = |name| vec![(name, named("Signer"))];
    match event {
        EventType::ExceptionApproved => {
            let state = ExceptionState::Approved;
            of_state("ExceptionApprovedEventData", state, by("approved_by"))
        }
        EventType::ExceptionRejected => {
            let state = ExceptionState::Rejected;
            of_state("ExceptionRejectedEventData", state, by("rejected_by"))
        }
        EventType::ExceptionEnded => {
            let state = ExceptionState::Ended;
            of_state("ExceptionEndedEventData", state, by("ended_by"))
        }
        EventType::ExceptionExpired => {
            let state = ExceptionState::Expired;
            of_state("ExceptionExpiredEventData", state, Vec::new())
        }
        _ => {
            let state = ExceptionState::Requested;
            of_state("ExceptionRequestedEventData", state, by("requested_by"))
        }
    }
}

/// Whose an exception is, what it lifts and when.
fn exception() -> Fields {
    vec![
        ("card_id", or_null(id("card"))),
        ("account_id", unset(id("acct"))),
        ("link", unset(named("LinkRef"))),
        ("lifts", named("Lifts")),
        ("starts_at", moment()),
        ("ends_at", moment()),
        ("reason", said("business trip to Tokyo")),
    ]
}

/// Id, kind and state of an object; by its id the rest can be asked for.
fn short(prefix: &str, object: &str, (state, example): (&'static str, &str)) -> Fields {
    vec![
        ("id", id(prefix)),
        ("object", of_type(object)),
        (state, said(example)),
    ]
}
