//! Which authorization, known before, a record has changed. How it changed lives in `apply_messages.rs`.

use super::command::Action;
use super::event::{AdviceOutcome, Event, ReversalOutcome};
use super::ids::AuthorizationId;

pub fn changed(action: &Action, event: &Event) -> Option<AuthorizationId> {
    match (event, action) {
        (Event::Resolved(_), Action::Resolve(resolve)) => Some(resolve.authorization_id),
        (Event::HoldReleased { .. }, Action::ReleaseHold(release)) => {
            Some(release.authorization_id)
        }
        (Event::Reversed(reversed), _) => match reversed.outcome {
            ReversalOutcome::Undone(undone) => Some(undone.authorization_id),
            _ => None,
        },
        (Event::Advised(advised), _) => match advised.outcome {
            AdviceOutcome::Amended {
                authorization_id, ..
            }
            | AdviceOutcome::Completed {
                authorization_id, ..
            } => Some(authorization_id),
            _ => None,
        },
        (Event::Authorized(authorized), _) => authorized
            .increased
            .as_ref()
            .map(|known| known.authorization_id),
        (Event::Withheld(withheld), _) => withheld.undone.map(|undone| undone.authorization_id),
        _ => None,
    }
}
