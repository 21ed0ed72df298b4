//! The card's effective status: its own, its expiry and its one use included, or that of what it is linked to.

use crate::engine::checks::{Checks, Context};
use crate::engine::kinds::Direction;
use crate::engine::link_states::LinkStatus;
use crate::engine::reason::DeclineReason;
use crate::engine::state::CardStatus;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let own = own(context);
    let link = context.registry.link_states.worst_of_card(context.card);
    let of_link = link.map_or(LinkStatus::Active, |(status, _)| status);
    let of_both = match of_link.over(context.card.status) {
        Some(LinkStatus::Closed) => Some(DeclineReason::CardClosed),
        Some(_) => Some(DeclineReason::CardFrozen),
        None => own,
    };
    match of_both {
        Some(reason) => match link {
            Some((_, link_id)) if own != Some(reason) => {
                checks.fail(Step::CardStatus, reason, Detail::Link { link_id });
            }
            _ if reason == DeclineReason::CardUsed => fail_as_used(context, checks),
            _ => checks.fail(Step::CardStatus, reason, Detail::None),
        },
        None => checks.pass(Step::CardStatus, Detail::None),
    }
}

fn own(context: &Context) -> Option<DeclineReason> {
    Some(match context.card.status {
        CardStatus::Active if context.card.expiry.is_past_at(context.at) => {
            DeclineReason::CardExpired
        }
        CardStatus::Active if is_used_up(context) => DeclineReason::CardUsed,
        CardStatus::Active => return None,
        CardStatus::Inactive => DeclineReason::CardNotActivated,
        CardStatus::Frozen | CardStatus::FrozenInactive => DeclineReason::CardFrozen,
        CardStatus::Blocked | CardStatus::BlockedFraud | CardStatus::ClosedFraud => {
            DeclineReason::CardBlocked
        }
        CardStatus::BlockedLost | CardStatus::ClosedLost => DeclineReason::CardLost,
        CardStatus::BlockedStolen | CardStatus::ClosedStolen => DeclineReason::CardStolen,
        CardStatus::Closed => DeclineReason::CardClosed,
    })
}

/// Names what used it, and the first who asks for single use.
fn fail_as_used(context: &Context, checks: &mut Checks) {
    let (step, reason) = (Step::CardStatus, DeclineReason::CardUsed);
    let used_by = context.kept_on.used_by();
    let detail = used_by.map_or(Detail::None, |authorization_id| Detail::UsedBy {
        authorization_id,
    });
    let mut all = context.controls();
    match all.find(|(_, controls)| controls.single_use) {
        Some((owner, _)) => checks.fail_of(step, reason, owner, detail),
        None => checks.fail(step, reason, detail),
    }
}

/// A credit still passes: what the card was used for must be able to come back. So does what adds to its one use.
fn is_used_up(context: &Context) -> bool {
    let original = context.original.map(|original| original.id);
    let used_by = context.kept_on.used_by();
    context.direction() != Direction::Credit
        && used_by.is_some()
        && used_by != original
        && context.controls().any(|(_, controls)| controls.single_use)
}
