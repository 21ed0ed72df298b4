//! The status of the account that the card draws on, of those above it, and of its program.

use crate::engine::checks::{Checks, Context};
use crate::engine::programs::ProgramStatus;
use crate::engine::reason::DeclineReason;
use crate::engine::registry::Program;
use crate::engine::scope::{Owner, Scope};
use crate::engine::state::{Account, AccountStatus};
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    match forbids(context.account, &context.above, context.program) {
        Some((reason, owner, detail)) => {
            checks.fail_of(Step::AccountStatus, reason, owner, detail);
        }
        None => checks.pass(Step::AccountStatus, Detail::None),
    }
}

/// Why nobody may draw on an account, with those above it, and which of them says so.
pub fn forbids(
    account: &Account,
    above: &[&Account],
    program: &Program,
) -> Option<(DeclineReason, Owner, Detail)> {
    let first = |status, reason| {
        let accounts = std::iter::once(&account).chain(above);
        let scopes = std::iter::once(Scope::Account).chain(Scope::ABOVE);
        let mut accounts = scopes.zip(accounts);
        let (scope, account) = accounts.find(|(_, account)| account.status == status)?;
        let account_id = account.id;
        let owner = Owner::account(scope, account_id);
        Some((reason, owner, Detail::Account { account_id }))
    };
    first(AccountStatus::Closed, DeclineReason::AccountClosed)
        .or_else(|| first(AccountStatus::Frozen, DeclineReason::AccountFrozen))
        .or_else(|| {
            let is_suspended = program.status == ProgramStatus::Suspended;
            let reason = DeclineReason::ProgramSuspended;
            is_suspended.then_some((reason, Owner::PROGRAM, Detail::None))
        })
}
