//! What the message proved: expiry, CVV, PIN, cryptogram. What is absent passes.

use crate::engine::checks::{Checks, Context};
use crate::engine::facts::{Check, NamedToken};
use crate::engine::reason::DeclineReason;
use crate::engine::time::Expiry;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
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
    match failed {
        Some(reason) => checks.fail(Step::Verification, reason, detail),
        None => checks.pass(Step::Verification, detail),
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
