//! The status of the account that the card draws on, of those above it, and of its program.

use crate::engine::checks::{Checks, Context};
use crate::engine::programs::ProgramStatus;
use crate::engine::reason::DeclineReason;
use crate::engine::state::AccountStatus;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let any_is = |status| {
        let mut accounts = std::iter::once(&context.account).chain(&context.above);
        accounts.any(|account| account.status == status)
    };
    if any_is(AccountStatus::Closed) {
        checks.fail(
            Step::AccountStatus,
            DeclineReason::AccountClosed,
            Detail::None,
        );
    } else if any_is(AccountStatus::Frozen) {
        checks.fail(
            Step::AccountStatus,
            DeclineReason::AccountFrozen,
            Detail::None,
        );
    } else if context.program.status == ProgramStatus::Suspended {
        checks.fail(
            Step::AccountStatus,
            DeclineReason::ProgramSuspended,
            Detail::None,
        );
    } else {
        checks.pass(Step::AccountStatus, Detail::None);
    }
}
