//! Message sanity: whether what is asked makes sense at all.

use crate::engine::checks::Checks;
use crate::engine::command::Authorize;
use crate::engine::facts::Kind;
use crate::engine::reason::DeclineReason;
use crate::engine::trace::{Detail, Step};

pub fn check(authorize: &Authorize, checks: &mut Checks) {
    let amount_minor = authorize.amounts.transaction.amount_minor;
    match authorize.kind {
        Kind::Purchase
        | Kind::PreAuthorization
        | Kind::CashWithdrawal
        | Kind::PurchaseWithCashBack
        | Kind::QuasiCash
        | Kind::FuelDispenser
            if amount_minor > 0 =>
        {
            checks.pass(Step::Message, Detail::None);
        }
        Kind::AccountVerification if amount_minor == 0 => checks.pass(Step::Message, Detail::None),
        // A purchase over nothing is how many terminals ask whether a card is good.
        Kind::Purchase if amount_minor == 0 => checks.pass(Step::Message, Detail::None),
        Kind::Incremental
        | Kind::BalanceInquiry
        | Kind::Refund
        | Kind::OriginalCredit
        | Kind::AccountFunding
        | Kind::Other => checks.fail(
            Step::Message,
            DeclineReason::UnsupportedFunction,
            Detail::None,
        ),
        _ => checks.fail(Step::Message, DeclineReason::InvalidAmount, Detail::None),
    }
}
