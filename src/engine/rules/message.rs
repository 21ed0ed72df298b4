//! Message sanity: whether what is asked makes sense at all.

use crate::engine::checks::Checks;
use crate::engine::command::Authorize;
use crate::engine::facts::Kind;
use crate::engine::kinds::Treatment;
use crate::engine::money::MESSAGE_AMOUNT_MAX_MINOR;
use crate::engine::reason::DeclineReason;
use crate::engine::trace::{Detail, Step};

pub fn check(authorize: &Authorize, checks: &mut Checks) {
    let amount_minor = authorize.amounts.transaction.amount_minor;
    if !amounts_agree(authorize) {
        return checks.fail(Step::Message, DeclineReason::InvalidAmount, Detail::None);
    }
    // What adds to a hold cannot be posted at once.
    let is_both = authorize.posts && authorize.kind == Kind::Incremental;
    match Treatment::of(authorize.kind).filter(|_| !is_both) {
        None => checks.fail(
            Step::Message,
            DeclineReason::UnsupportedFunction,
            Detail::None,
        ),
        Some(treatment) if treatment.admits(amount_minor) => {
            checks.pass(Step::Message, Detail::None);
        }
        Some(_) => checks.fail(Step::Message, DeclineReason::InvalidAmount, Detail::None),
    }
}

/// Amounts in range, and both above zero or both zero: a billing amount of nothing must not buy
/// something.
fn amounts_agree(authorize: &Authorize) -> bool {
    let transaction_minor = authorize.amounts.transaction.amount_minor;
    let billing = authorize.amounts.billing;
    let billing_minor = billing.map_or(transaction_minor, |billing| billing.amount_minor);
    let in_range = |amount_minor: i64| (0..=MESSAGE_AMOUNT_MAX_MINOR).contains(&amount_minor);
    in_range(transaction_minor)
        && in_range(billing_minor)
        && (transaction_minor > 0) == (billing_minor > 0)
}
