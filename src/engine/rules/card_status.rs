//! The card's effective status: its own, its expiry and its one use included, or that of what it is linked to.

use crate::engine::checks::{Checks, Context};
use crate::engine::ids::LinkId;
use crate::engine::kinds::Direction;
use crate::engine::link_states::LinkStatus;
use crate::engine::reason::DeclineReason;
use crate::engine::registry::RegistryView;
use crate::engine::state::{Card, CardStatus};
use crate::engine::time::Timestamp;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let own = own(context.card, context.at);
    let own = own.or_else(|| is_used_up(context).then_some(DeclineReason::CardUsed));
    let step = Step::CardStatus;
    match with_links(context.registry, context.card, own) {
        Some((reason, Some(link_id))) => checks.fail(step, reason, Detail::Link { link_id }),
        Some((DeclineReason::CardUsed, None)) => fail_as_used(context, checks),
        Some((reason, None)) => checks.fail(step, reason, Detail::None),
        None => checks.pass(step, Detail::None),
    }
}

/// Why a card may not pay, whatever it was used for: by itself, or by what it is linked to.
pub fn forbids(registry: &RegistryView, card: &Card, at: Timestamp) -> Option<DeclineReason> {
    with_links(registry, card, own(card, at)).map(|(reason, _)| reason)
}

/// The worse of both, and the link where that decides.
fn with_links(
    registry: &RegistryView,
    card: &Card,
    own: Option<DeclineReason>,
) -> Option<(DeclineReason, Option<LinkId>)> {
    let link = registry.link_states.worst_of_card(card);
    let of_link = link.map_or(LinkStatus::Active, |(status, _)| status);
    let reason = match of_link.over(card.status) {
        Some(LinkStatus::Closed) => DeclineReason::CardClosed,
        Some(_) => DeclineReason::CardFrozen,
        None => own?,
    };
    let by_link = link.filter(|_| own != Some(reason));
    Some((reason, by_link.map(|(_, link_id)| link_id)))
}

fn own(card: &Card, at: Timestamp) -> Option<DeclineReason> {
    Some(match card.status {
        CardStatus::Active if card.expiry.is_past_at(at) => DeclineReason::CardExpired,
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
