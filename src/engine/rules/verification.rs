//! What the message proved: expiry, CVV, PIN, cryptogram. What is absent passes.

use crate::engine::checks::{Checks, Context};
use crate::engine::facts::Check;
use crate::engine::reason::DeclineReason;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let verification = &context.command.verification;
    let detail = match verification.expiry {
        Some(stated) => Detail::Expiry {
            card: context.card.expiry.0,
            message: stated.0,
        },
        None => Detail::None,
    };
    let failed = if verification
        .expiry
        .is_some_and(|stated| stated != context.card.expiry)
    {
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
    match failed {
        Some(reason) => checks.fail(Step::Verification, reason, detail),
        None => checks.pass(Step::Verification, detail),
    }
}
