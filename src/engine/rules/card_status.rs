//! The card's effective status, its expiry included.

use crate::engine::checks::{Checks, Context};
use crate::engine::reason::DeclineReason;
use crate::engine::state::CardStatus;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let reason = match context.card.status {
        CardStatus::Active if context.card.expiry.is_past_at(context.at) => {
            DeclineReason::CardExpired
        }
        CardStatus::Active => return checks.pass(Step::CardStatus, Detail::None),
        CardStatus::Inactive => DeclineReason::CardNotActivated,
        CardStatus::Frozen | CardStatus::FrozenInactive => DeclineReason::CardFrozen,
        CardStatus::Blocked => DeclineReason::CardBlocked,
        CardStatus::Closed => DeclineReason::CardClosed,
    };
    checks.fail(Step::CardStatus, reason, Detail::None);
}
