//! Whether there is room to remember one more hold. At the ceiling new ones are refused; nothing
//! is evicted.

use crate::engine::checks::{Checks, Context};
use crate::engine::reason::DeclineReason;
use crate::engine::trace::{Detail, Step};

pub fn check(context: &Context, checks: &mut Checks) {
    if !context.stays_open() {
        // Nothing to remember.
        return checks.pass(Step::Reserve, Detail::None);
    }
    let id = context.command.authorization_id;
    if context.state.authorizations.contains(id) {
        // Ids are given out once; deciding by a doubled one would lose the first hold.
        return checks.fail(Step::Reserve, DeclineReason::InternalError, Detail::None);
    }
    let settings = &context.registry.settings;
    let in_account = (
        u64::from(context.account.open_holds),
        u64::from(settings.open_holds_per_account_max),
    );
    let in_shard = (
        context.state.authorizations.open_len() as u64,
        settings.open_holds_per_shard_max,
    );
    match [in_account, in_shard]
        .into_iter()
        .find(|(open, allowed)| open >= allowed)
    {
        Some((open, allowed)) => {
            checks.fail(
                Step::Reserve,
                DeclineReason::CapacityExceeded,
                Detail::Capacity { open, allowed },
            );
        }
        None => checks.pass(Step::Reserve, Detail::None),
    }
}
