//! Whether the cardholder's authentication over 3-D Secure is what controls and risk rules ask for. What a
//! message and a policy can say lives in `engine::three_ds`.

use crate::engine::checks::{Checks, Context};
use crate::engine::facts::{Channel, EntryMode};
use crate::engine::reason::DeclineReason;
use crate::engine::scope::Owner;
use crate::engine::three_ds::{
    Asked, Authentication, Cryptogram, Exemption, ThreeDs, ThreeDsMode, ThreeDsPolicy, Told,
};
use crate::engine::trace::{Detail, Step};

/// Every policy must pass, and so the strictest decides. The trace shows the one that failed, or else the
/// strictest.
pub fn check(context: &Context, checks: &mut Checks) {
    let by_rule = checks.three_ds_required.then(|| required_by_rule(context));
    let by_rule = by_rule.map(|(asked, reason)| (None, asked, reason));
    let by_controls = context.controls().filter_map(|(owner, controls)| {
        let policy = controls.three_ds.as_ref()?;
        let mode = policy.mode;
        let asked = Asked {
            mode,
            scope: Some(owner.scope),
        };
        Some((Some(owner), asked, reason_against(context, policy)))
    });
    let mut shown: Option<(Option<Owner>, Asked, Option<DeclineReason>)> = None;
    for (owner, asked, reason) in by_controls.chain(by_rule) {
        let rank = |asked: Asked, reason: Option<_>| (reason.is_some(), asked.mode);
        if shown.is_none_or(|(_, other, before)| rank(other, before) < rank(asked, reason)) {
            shown = Some((owner, asked, reason));
        }
    }
    let command = context.command;
    let says_nothing = command.three_ds == ThreeDs::default() && !command.initiated_by_merchant;
    if shown.is_none() && says_nothing {
        return checks.pass(Step::ThreeDs, Detail::None);
    }
    let nothing_asked = Asked {
        mode: ThreeDsMode::Off,
        scope: None,
    };
    let (owner, asked, reason) = shown.unwrap_or((None, nothing_asked, None));
    let told = Told {
        three_ds: command.three_ds,
        initiated_by_merchant: command.initiated_by_merchant,
        asked,
    };
    let (step, detail) = (Step::ThreeDs, told.detail());
    match (reason, owner) {
        (Some(reason), Some(owner)) => checks.fail_of(step, reason, owner, detail),
        (Some(reason), None) => checks.fail(step, reason, detail),
        (None, Some(owner)) => checks.pass_of(step, owner, detail),
        (None, None) => checks.pass(step, detail),
    }
}

/// A risk rule accepts no exemption and knows no least amount.
fn required_by_rule(context: &Context) -> (Asked, Option<DeclineReason>) {
    let policy = ThreeDsPolicy {
        mode: ThreeDsMode::Required,
        ..ThreeDsPolicy::default()
    };
    let asked = Asked {
        mode: policy.mode,
        scope: None,
    };
    (asked, reason_against(context, &policy))
}

fn reason_against(context: &Context, policy: &ThreeDsPolicy) -> Option<DeclineReason> {
    if policy.mode == ThreeDsMode::Off {
        return None;
    }
    let three_ds = &context.command.three_ds;
    if three_ds.authentication == Authentication::Failed {
        return Some(DeclineReason::ThreeDsFailed);
    }
    if three_ds.cryptogram == Cryptogram::Invalid {
        return Some(DeclineReason::CavvInvalid);
    }
    let missing = policy.mode == ThreeDsMode::Required
        && is_bought_online(context)
        && is_to_be_asked(context, policy)
        && !is_exempt(three_ds.exemption, policy)
        && !three_ds.is_fully_authenticated();
    missing.then_some(DeclineReason::ThreeDsRequired)
}

/// A recurring payment has a channel of its own.
fn is_bought_online(context: &Context) -> bool {
    let command = context.command;
    let online = match command.channel {
        Channel::Ecommerce => true,
        // Where the message does not say, how the card number was entered does.
        Channel::Unknown => command.entry_mode == EntryMode::Ecommerce,
        _ => false,
    };
    // What is asked for, even where a part of it is approved: that is what the cardholder agreed to.
    online && context.takes_money() && context.asked_minor != Some(0)
}

/// Whether a cardholder had to be there. An increment is the merchant's doing, and its cardholder was asked before: but not
/// where only what it comes to is more than passes without.
fn is_to_be_asked(context: &Context, policy: &ThreeDsPolicy) -> bool {
    let Some(original) = context.original else {
        return !context.command.initiated_by_merchant && is_above(context.asked_minor, policy);
    };
    if original.is_authenticated {
        return false;
    }
    let stands_minor = original.stands_at().account_minor;
    let comes_to_minor = context
        .asked_minor
        .map(|asked| asked.saturating_add(stands_minor));
    !is_above(Some(original.opened.account_minor), policy) && is_above(comes_to_minor, policy)
}

/// An amount in a currency that the account does not have is declined anyway, and counts as above.
fn is_above(amount_minor: Option<i64>, policy: &ThreeDsPolicy) -> bool {
    match (amount_minor, policy.above_minor) {
        (Some(amount_minor), Some(above_minor)) => amount_minor > above_minor,
        _ => true,
    }
}

fn is_exempt(exemption: Exemption, policy: &ThreeDsPolicy) -> bool {
    match exemption {
        Exemption::None => false,
        Exemption::Recurring => true,
        claimed => policy.accepted_exemptions.contains(&claimed),
    }
}
