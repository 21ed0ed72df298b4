//! Which merchants a card may be used at: lists, and the lock to the first one.

use crate::engine::card_use::CardUseMade;
use crate::engine::checks::{Checks, Context};
use crate::engine::controls::{Controls, ListMode};
use crate::engine::reason::DeclineReason;
use crate::engine::rules::exceptions::fail_unless_lifted;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let listed = check_lists(context, checks);
    let mut all = context.controls();
    match all.find(|(_, controls)| controls.merchant_lock) {
        Some((owner, _)) if !keeps_to_lock(context) => {
            let reason = DeclineReason::MerchantLockMismatch;
            checks.fail_of(Step::Merchant, reason, owner, locked_to(context));
        }
        None if listed => {}
        _ => checks.pass(Step::Merchant, Detail::None),
    }
}

/// Looks the merchant up in every list; false where there is none. The trace says which entry named it,
/// counted from 1, and 0 where none did.
fn check_lists(context: &Context, checks: &mut Checks) -> bool {
    let mut any = false;
    for (owner, controls) in context.controls() {
        let Some(list) = &controls.merchants else {
            continue;
        };
        any = true;
        let (merchant, reference) = (&context.command.merchant, &context.command.reference);
        let place = list.find(merchant, reference, &context.registry.groups);
        let detail = Detail::List {
            scope: owner.scope,
            control_id: list.id,
            value: place.map_or(0, |place| place as u32 + 1),
        };
        match (list.mode, place) {
            (ListMode::Allow, None) => {
                let reason = DeclineReason::MerchantNotAllowed;
                fail_unless_lifted(context, checks, Step::Merchant, reason, (owner, detail));
            }
            (ListMode::Block, Some(_)) => {
                let reason = DeclineReason::MerchantBlocked;
                fail_unless_lifted(context, checks, Step::Merchant, reason, (owner, detail));
            }
            _ => checks.pass_of(Step::Merchant, owner, detail),
        }
    }
    any
}

/// A merchant that a message does not name is none that a card can be locked to.
fn keeps_to_lock(context: &Context) -> bool {
    let (merchant, reference) = (&context.command.merchant, &context.command.reference);
    match context.kept_on.locked_to() {
        Some(locked_to) => locked_to.is(merchant, reference),
        None => !merchant.id.is_empty(),
    }
}

/// The merchant as the lock knows it now; none, where nothing has locked it yet.
fn locked_to(context: &Context) -> Detail {
    let locked_to = context.kept_on.locked_to();
    Detail::LockedTo {
        id: locked_to.map(|to| to.id).unwrap_or_default(),
        acquirer_id: locked_to.map(|to| to.acquirer_id).unwrap_or_default(),
    }
}

/// What an approval with an amount makes of the card.
pub fn card_use_made(context: &Context) -> CardUseMade {
    let any = |has: fn(&Controls) -> bool| context.controls().any(|(_, controls)| has(controls));
    CardUseMade {
        uses_card: any(|controls| controls.single_use),
        locks_merchant: context.kept_on.locked_to().is_none()
            && any(|controls| controls.merchant_lock),
    }
}
