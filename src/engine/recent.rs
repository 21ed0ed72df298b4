//! A memory with a horizon: values by key that count only for a stretch of time. What is kept in
//! one does not live here.

use super::time::Timestamp;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::Hash;

/// Values by key, each with the time at which it was remembered. A value past its retention no longer
/// counts, removed or not, so that no decision depends on when memory is reclaimed.
#[derive(Debug, Clone)]
pub struct Recent<K, V> {
    by_key: HashMap<K, (Timestamp, V)>,
    in_order: VecDeque<(Timestamp, K)>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Recent<K, V> {
        Recent {
            by_key: HashMap::new(),
            in_order: VecDeque::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// The value remembered less than `retention_ms` before `at`.
    pub fn find(&self, key: K, at: Timestamp, retention_ms: i64) -> Option<&V> {
        let (remembered_at, value) = self.by_key.get(&key)?;
        (remembered_at.plus_ms(retention_ms) > at).then_some(value)
    }

    /// Reads the place of this key (see `touch.rs`).
    pub(super) fn touch(&self, key: K) -> u64 {
        let found = self.by_key.get(&key);
        found.map_or(0, |(remembered_at, _)| remembered_at.0 as u64)
    }

    pub fn remember(&mut self, key: K, at: Timestamp, value: V) {
        let before = self.by_key.insert(key, (at, value));
        if before.is_none_or(|(remembered_at, _)| remembered_at != at) {
            self.in_order.push_back((at, key));
        }
    }

    /// Frees what was remembered `retention_ms` or longer before `now`.
    pub fn forget(&mut self, now: Timestamp, retention_ms: i64) {
        while let Some((at, key)) = self.in_order.front().copied() {
            if at.plus_ms(retention_ms) > now {
                break;
            }
            self.in_order.pop_front();
            if self
                .by_key
                .get(&key)
                .is_some_and(|(remembered_at, _)| *remembered_at == at)
            {
                self.by_key.remove(&key);
            }
        }
    }

    /// What is remembered, each once, in the order of remembering.
    pub fn iter(&self) -> impl Iterator<Item = (K, Timestamp, &V)> {
        self.in_order.iter().filter_map(|(at, key)| {
            let (remembered_at, value) = self.by_key.get(key)?;
            (remembered_at == at).then_some((*key, *at, value))
        })
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_until_its_retention_is_over_even_if_not_yet_removed() {
        let mut recent = Recent::default();
        recent.remember("a", Timestamp(1_000), 1);
        assert_eq!(recent.find("a", Timestamp(1_499), 500), Some(&1));
        assert_eq!(recent.find("a", Timestamp(1_500), 500), None);
        recent.forget(Timestamp(1_499), 500);
        assert_eq!(recent.len(), 1);
        recent.forget(Timestamp(1_500), 500);
        assert!(recent.is_empty());
    }

    #[test]
    fn remembering_twice_at_once_is_remembering_once() {
        let mut recent = Recent::default();
        recent.remember("a", Timestamp(1_000), 1);
        recent.remember("a", Timestamp(1_000), 2);
        assert_eq!(recent.iter().count(), 1);
        recent.forget(Timestamp(1_500), 500);
        assert!(recent.is_empty());
    }

    #[test]
    fn remembering_again_renews() {
        let mut recent = Recent::default();
        recent.remember("a", Timestamp(1_000), 1);
        recent.remember("a", Timestamp(1_400), 2);
        recent.forget(Timestamp(1_600), 500);
        assert_eq!(recent.find("a", Timestamp(1_600), 500), Some(&2));
        assert_eq!(
            recent.iter().collect::<Vec<_>>(),
            [("a", Timestamp(1_400), &2)]
        );
    }
}
