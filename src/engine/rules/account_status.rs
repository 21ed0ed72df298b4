//! The status of the account that the card draws on, and of its root.

use crate::engine::checks::{Checks, Context};
use crate::engine::reason::DeclineReason;
use crate::engine::state::AccountStatus;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    let statuses = [context.account.status, context.root.status];
    if statuses.contains(&AccountStatus::Closed) {
        checks.fail(
            Step::AccountStatus,
            DeclineReason::AccountClosed,
            Detail::None,
        );
    } else if statuses.contains(&AccountStatus::Frozen) {
        checks.fail(
            Step::AccountStatus,
            DeclineReason::AccountFrozen,
            Detail::None,
        );
    } else {
        checks.pass(Step::AccountStatus, Detail::None);
    }
}
