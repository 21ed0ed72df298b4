//! The status of the account that the card draws on, of those above it, and of its program.

use crate::engine::checks::{Checks, Context};
use crate::engine::programs::ProgramStatus;
use crate::engine::reason::DeclineReason;
use crate::engine::state::AccountStatus;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let first = |status, reason| {
        let mut accounts = std::iter::once(&context.account).chain(&context.above);
        let account_id = accounts.find(|account| account.status == status)?.id;
        Some((reason, Detail::Account { account_id }))
    };
    let no = first(AccountStatus::Closed, DeclineReason::AccountClosed)
        .or_else(|| first(AccountStatus::Frozen, DeclineReason::AccountFrozen))
        .or_else(|| {
            let is_suspended = context.program.status == ProgramStatus::Suspended;
            is_suspended.then_some((DeclineReason::ProgramSuspended, Detail::None))
        });
    match no {
        Some((reason, detail)) => checks.fail(Step::AccountStatus, reason, detail),
        None => checks.pass(Step::AccountStatus, Detail::None),
    }
}
