//! Which accounts are to be looked at for what is watched on them: those to which something has happened, and those whose day
//! has come or whose source can give again. An account to which nothing happens costs nothing, however many are watched. All
//! of it follows from the accounts and is not stored: whoever restores a state looks at every watched account once. What is
//! to be done for one is decided in `watch.rs`.

use super::ids::AccountId;
use super::state::Account;
use super::time::{DAY_MS, Timestamp};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// Why an account that has less than its rule asks for is not topped up now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// It had its auto top-ups of today; this day (since 1970, UTC) it may have others.
    Day(i64),
    /// This account, its source or one above that, is not active.
    IsActive(AccountId),
    /// This account, its source, has nothing to give.
    HasMoney(AccountId),
}

#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// Of the command that is being applied.
    touched: SmallVec<[AccountId; 4]>,
    /// Not looked at since something happened to them: watched accounts, and those that others wait for.
    changed: BTreeSet<AccountId>,
    waits: BTreeMap<AccountId, Wait>,
    waiting: BTreeSet<(Wait, AccountId)>,
}

impl Watched {
    /// Something happens to this account.
    pub(super) fn touch(&mut self, account: &Account) {
        if account.watch.is_some() || self.is_awaited(account.id) {
            self.touched.push(account.id);
        }
    }

    fn is_awaited(&self, id: AccountId) -> bool {
        !self.waiting.is_empty()
            && [Wait::IsActive(id), Wait::HasMoney(id)]
                .into_iter()
                .any(|wait| self.first_waiting(wait).is_some())
    }

    pub(super) fn take_touched(&mut self) -> Option<AccountId> {
        self.touched.pop()
    }

    pub(super) fn note_changed(&mut self, id: AccountId) {
        self.changed.insert(id);
    }

    pub(super) fn first_changed(&self) -> Option<AccountId> {
        self.changed.first().copied()
    }

    pub(super) fn looked_at(&mut self, id: AccountId) {
        self.changed.remove(&id);
    }

    pub(super) fn set_wait(&mut self, id: AccountId, wait: Option<Wait>) {
        let before = match wait {
            Some(wait) => self.waits.insert(id, wait),
            None => self.waits.remove(&id),
        };
        if before != wait {
            before.map(|before| self.waiting.remove(&(before, id)));
            self.waiting.extend(wait.map(|wait| (wait, id)));
        }
    }

    pub(super) fn first_waiting(&self, wait: Wait) -> Option<AccountId> {
        let all = (wait, AccountId(0))..=(wait, AccountId(u64::MAX));
        self.waiting.range(all).next().map(|(_, id)| *id)
    }

    /// One that has waited for a day that has come.
    pub(super) fn first_of_day(&self, at: Timestamp) -> Option<AccountId> {
        let (day, id) = self.first_day()?;
        (day <= day_of(at)).then_some(id)
    }

    fn first_day(&self) -> Option<(i64, AccountId)> {
        // Days are in front.
        match self.waiting.first()? {
            (Wait::Day(day), id) => Some((*day, *id)),
            _ => None,
        }
    }

    /// Whether some are to be looked at now, whatever the time.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// When the day begins for which the first of them waits.
    pub fn next_day_at(&self) -> Option<Timestamp> {
        let (day, _) = self.first_day()?;
        Some(Timestamp(day.saturating_mul(DAY_MS)))
    }
}

/// Days since 1970, UTC.
pub(super) fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MS)
}
