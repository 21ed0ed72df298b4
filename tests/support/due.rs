//! What is to be done for a watched account, by a naive look at it and at the accounts that it names, with no memory of what
//! happened.

use cardswitch::engine::ids::AccountId;
use cardswitch::engine::state::{Account, AccountStatus};
use cardswitch::engine::time::Timestamp;

fn is_active<'a>(of: &impl Fn(AccountId) -> &'a Account, account: &Account) -> bool {
    let above = account.parent_id.map(of);
    account.status == AccountStatus::Active && above.is_none_or(|above| is_active(of, above))
}

/// Whether its rule has to move money now, or to tell that it cannot.
pub fn tops_up<'a>(
    of: &impl Fn(AccountId) -> &'a Account,
    account: &Account,
    at: Timestamp,
) -> bool {
    let Some(watch) = account.watch.as_deref() else {
        return false;
    };
    watch.auto_top_up.is_some_and(|rule| {
        let source = of(rule.from_account_id.or(account.parent_id).unwrap());
        let can_give = is_active(of, source) && source.available_minor() > 0;
        let today = at.0.div_euclid(86_400_000);
        let made = if watch.day == today { watch.made } else { 0 };
        account.status == AccountStatus::Active
            && account.available_minor() < rule.below_minor
            && made < rule.per_day_max
            && (can_give || !watch.is_dry)
    })
}

/// Whether it has to be told that it is low.
pub fn falls_low(account: &Account) -> bool {
    account.watch.as_deref().is_some_and(|watch| {
        let below = watch.low_below_minor;
        !watch.is_low && below.is_some_and(|below| account.available_minor() < below)
    })
}
