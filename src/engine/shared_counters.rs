//! Counters of limits that no account, program or card has: those of linked objects, by limit, in the tree that uses
//! them. Where a use counts is in `counters.rs`.

use super::counters::Counters;
use super::ids::{AccountId, LimitId};
use std::collections::BTreeMap;

/// By the root account of the tree and the limit; no two linked objects have a limit with the same id.
#[derive(Debug, Clone, Default)]
pub struct SharedCounters(BTreeMap<(AccountId, LimitId), Counters>);

impl SharedCounters {
    pub fn get(&self, root: AccountId, limit_id: LimitId) -> Option<&Counters> {
        self.0.get(&(root, limit_id))
    }

    /// Those of a limit that may have been used never before.
    pub(super) fn entry(&mut self, root: AccountId, limit_id: LimitId) -> &mut Counters {
        self.0.entry((root, limit_id)).or_default()
    }

    /// In the order of trees and limits.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, LimitId, &Counters)> {
        let all = self.0.iter();
        all.map(|((root, limit_id), counters)| (*root, *limit_id, counters))
    }
}
