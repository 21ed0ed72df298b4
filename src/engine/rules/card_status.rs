//! The card's effective status, its expiry and its one use included.

use crate::engine::checks::{Checks, Context};
use crate::engine::kinds::Direction;
use crate::engine::reason::DeclineReason;
use crate::engine::state::CardStatus;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let reason = match context.card.status {
        CardStatus::Active if context.card.expiry.is_past_at(context.at) => {
            DeclineReason::CardExpired
        }
        CardStatus::Active if is_used_up(context) => DeclineReason::CardUsed,
        CardStatus::Active => return checks.pass(Step::CardStatus, Detail::None),
        CardStatus::Inactive => DeclineReason::CardNotActivated,
        CardStatus::Frozen | CardStatus::FrozenInactive => DeclineReason::CardFrozen,
        CardStatus::Blocked => DeclineReason::CardBlocked,
        CardStatus::Closed => DeclineReason::CardClosed,
    };
    checks.fail(Step::CardStatus, reason, Detail::None);
}

/// A credit still passes: what the card was used for must be able to come back. So does what adds to its one use.
fn is_used_up(context: &Context) -> bool {
    let original = context.original.map(|original| original.id);
    let used_by = context.card.used_by();
    context.direction() != Direction::Credit
        && used_by.is_some()
        && used_by != original
        && context.controls().any(|(_, controls)| controls.single_use)
}
