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
    let reason = if both.is_some_and(|(stated, known)| stated != known) {
        DeclineReason::ExpiryMismatch
    } else if verification.cvv == Check::Mismatch {
        DeclineReason::CvvMismatch
    } else if verification.pin == Check::Mismatch {
        DeclineReason::PinIncorrect
    } else if verification.cryptogram == Check::Mismatch {
        DeclineReason::CryptogramInvalid
    } else {
        return checks.pass(Step::Verification, compared(verification, both));
    };
    let was_good = checks.decline.is_none();
    checks.fail(Step::Verification, reason, compared(verification, both));
    // What an earlier step has declined is no try.
    if was_good && context.registry.settings.verification_tries_per_day_max > 0 {
        let so_far = tries_so_far(context);
        checks
            .trace
            .push(Step::Verification, StepResult::Fail, so_far);
    }
}

/// Of the message and of the card.
type BothExpiries = Option<(Expiry, Expiry)>;

fn compared(verification: &Verification, both: BothExpiries) -> Detail {
    let [cvv, pin, cryptogram] = [verification.cvv, verification.pin, verification.cryptogram]
        .map(|check| check == Check::Mismatch);
    let expiries = both.map(|(stated, known)| (known.0, stated.0));
    if cvv || pin || cryptogram {
        let (card, message) = expiries.unwrap_or_default();
        return Detail::Mismatch {
            card,
            message,
            cvv,
            pin,
            cryptogram,
        };
    }
    expiries.map_or(Detail::None, |(card, message)| Detail::Expiry {
        card,
        message,
    })
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
