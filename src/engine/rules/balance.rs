//! Whether the account has the money.

use crate::engine::checks::{Checks, Context};
use crate::engine::postings::can_be_charged;
use crate::engine::reason::DeclineReason;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    // An amount that cannot be put into the account's currency is refused by the currency check, and what
    // takes no money needs none.
    let (Some(amount_minor), Some(asked_minor)) = (context.amount_minor, context.asked_minor)
    else {
        return checks.skip(Step::Balance);
    };
    if !context.takes_money() {
        // What a refund brings at once must fit the balance.
        return match can_be_charged(context.account, context.charged_minor()) {
            false => checks.fail(Step::Balance, DeclineReason::InvalidAmount, Detail::None),
            true => checks.skip(Step::Balance),
        };
    }
    let available_minor = context.account.available_minor();
    let detail = Detail::Balance {
        available_minor,
        requested_minor: asked_minor,
    };
    if amount_minor > 0 && amount_minor > available_minor {
        checks.fail(Step::Balance, DeclineReason::InsufficientFunds, detail);
    } else {
        checks.pass(Step::Balance, detail);
    }
}
