//! What the message proved: expiry, CVV, PIN, cryptogram. What is absent passes. After too many failures of a day nothing
//! that is stated is looked at, so that the answers tell nobody which try was right.

use crate::engine::checks::{Checks, Context};
use crate::engine::facts::{Check, NamedToken, Verification};
use crate::engine::reason::DeclineReason;
use crate::engine::time::Expiry;
use crate::engine::trace::{Detail, Step, StepResult};
use crate::engine::verification_tries::day_end;

pub fn check(context: &Context, checks: &mut Checks) {
    let verification = &context.command.verification;
    let tries = context.card.verification_tries;
    let settings = &context.registry.settings;
    if tries.are_exceeded(settings, context.at) && states_any(verification) {
        let reason = DeclineReason::VerificationTriesExceeded;
        return checks.fail(Step::Verification, reason, tries_so_far(context));
    }
    compare(context, checks);
}

/// Before this request.
fn tries_so_far(context: &Context) -> Detail {
    Detail::Tries {
        failed: context.card.verification_tries.failed_on_day_of(context.at),
        allowed: context.registry.settings.verification_tries_per_day_max,
        resets: day_end(context.at),
    }
}

fn states_any(verification: &Verification) -> bool {
    verification.expiry.is_some()
        || verification.cvv != Check::Absent
        || verification.pin != Check::Absent
        || verification.cryptogram != Check::Absent
}

fn compare(context: &Context, checks: &mut Checks) {
    let verification = &context.command.verification;
    let both = verification.expiry.zip(expiry(context));
    let detail = match both {
        Some((stated, known)) => Detail::Expiry {
            card: known.0,
            message: stated.0,
        },
        None => Detail::None,
    };
    let failed = if both.is_some_and(|(stated, known)| stated != known) {
        Some(DeclineReason::ExpiryMismatch)
    } else if verification.cvv == Check::Mismatch {
        Some(DeclineReason::CvvMismatch)
    } else if verification.pin == Check::Mismatch {
        Some(DeclineReason::PinIncorrect)
    } else if verification.cryptogram == Check::Mismatch {
        Some(DeclineReason::CryptogramInvalid)
    } else {
        None
    };
    let Some(reason) = failed else {
        return checks.pass(Step::Verification, detail);
    };
    checks.fail(Step::Verification, reason, detail);
    if context.registry.settings.verification_tries_per_day_max > 0 {
        let so_far = tries_so_far(context);
        checks
            .trace
            .push(Step::Verification, StepResult::Fail, so_far);
    }
}

/// Of what the message names: a token in place of the card has an expiry of its own, or none that we were told.
fn expiry(context: &Context) -> Option<Expiry> {
    match context.command.token {
        NamedToken::InPlaceOfCard(id) => {
            let token = context.state.token_of_tree(context.root.id, id);
            token?.expiry
        }
        _ => Some(context.card.expiry),
    }
}
