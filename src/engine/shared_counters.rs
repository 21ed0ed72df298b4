//! Counters that no account, program or card has: of the limits of linked objects and the uses of exceptions, in the
//! tree that uses them. Where a use counts is in `counters.rs`.

use super::counters::Counters;
use super::ids::{AccountId, LimitId};
use super::scope::Scope;
use std::collections::BTreeMap;

/// By the root account of the tree, whose they are (`Link` or `Exception`), and the id. No two linked objects have a
/// limit with the same one.
pub type SharedKey = (AccountId, Scope, LimitId);

#[derive(Debug, Clone, Default)]
pub struct SharedCounters(BTreeMap<SharedKey, Counters>);

impl SharedCounters {
    pub fn get(&self, key: SharedKey) -> Option<&Counters> {
        self.0.get(&key)
    }

    /// Those of what may have been used never before.
    pub(super) fn entry(&mut self, key: SharedKey) -> &mut Counters {
        self.0.entry(key).or_default()
    }

    /// In the order of trees and ids.
    pub fn iter(&self) -> impl Iterator<Item = (SharedKey, &Counters)> {
        self.0.iter().map(|(key, counters)| (*key, counters))
    }
}
