//! The status of the account that the card draws on, of those above it, and of its program.

use crate::engine::checks::{Checks, Context};
use crate::engine::programs::ProgramStatus;
use crate::engine::reason::DeclineReason;
use crate::engine::registry::Program;
use crate::engine::state::{Account, AccountStatus};
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    match forbids(context.account, &context.above, context.program) {
        Some((reason, detail)) => checks.fail(Step::AccountStatus, reason, detail),
        None => checks.pass(Step::AccountStatus, Detail::None),
    }
}

/// Why nobody may draw on an account, with those above it.
pub fn forbids(
    account: &Account,
    above: &[&Account],
    program: &Program,
) -> Option<(DeclineReason, Detail)> {
    let first = |status, reason| {
        let mut accounts = std::iter::once(&account).chain(above);
        let account_id = accounts.find(|account| account.status == status)?.id;
        Some((reason, Detail::Account { account_id }))
    };
    first(AccountStatus::Closed, DeclineReason::AccountClosed)
        .or_else(|| first(AccountStatus::Frozen, DeclineReason::AccountFrozen))
        .or_else(|| {
            let is_suspended = program.status == ProgramStatus::Suspended;
            is_suspended.then_some((DeclineReason::ProgramSuspended, Detail::None))
        })
}
