//! A memory with a horizon: values by key that count only for a stretch of time. What is kept in
//! one does not live here.

use super::facts::RepeatKey;
use super::idempotency::IdempotencyKey;
use super::ids::TopUpId;
use super::queue::Queue;
use super::slot_index::{Slot, SlotIndex, hash_of_id};
use super::time::Timestamp;

/// What values can be remembered by.
pub trait Key: Copy + Eq {
    /// Spread over all 64 bits, and not to be guessed where others choose the keys.
    fn hash(self) -> u64;
}

impl Key for RepeatKey {
    fn hash(self) -> u64 {
        self.0 as u64
    }
}

impl Key for IdempotencyKey {
    fn hash(self) -> u64 {
        self.0 as u64
    }
}

impl Key for TopUpId {
    fn hash(self) -> u64 {
        hash_of_id(self.0)
    }
}

/// Values by key, each with the time at which it was remembered. A value past its retention no longer
/// counts, removed or not, so that no decision depends on when memory is reclaimed.
#[derive(Debug, Clone)]
pub struct Recent<K, V> {
    /// In the order of remembering.
    entries: Queue<Entry<K, V>>,
    by_key: SlotIndex,
}

#[derive(Debug, Clone)]
struct Entry<K, V> {
    at: Timestamp,
    key: K,
    /// Nothing where the key was remembered again later.
    value: Option<V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Recent<K, V> {
        Recent {
            entries: Queue::default(),
            by_key: SlotIndex::default(),
        }
    }
}

impl<K: Key, V> Recent<K, V> {
    /// The value remembered less than `retention_ms` before `at`.
    pub fn find(&self, key: K, at: Timestamp, retention_ms: i64) -> Option<&V> {
        let entry = self.entries.get(self.slot(key)?);
        let live = entry.at.plus_ms(retention_ms) > at;
        entry.value.as_ref().filter(|_| live)
    }

    /// To change it where it is: it counts for as long as it would have, and nothing else of it is kept.
    pub fn find_mut(&mut self, key: K, at: Timestamp, retention_ms: i64) -> Option<&mut V> {
        let slot = self.slot(key)?;
        let entry = self.entries.get_mut(slot);
        let live = entry.at.plus_ms(retention_ms) > at;
        entry.value.as_mut().filter(|_| live)
    }

    fn slot(&self, key: K) -> Option<Slot> {
        self.by_key
            .find(key.hash(), |slot| self.entries.get(slot).key == key)
    }

    /// Reads the place of this key (see `touch.rs`).
    pub(super) fn touch(&self, key: K) -> u64 {
        self.by_key.touch(key.hash())
    }

    pub fn remember(&mut self, key: K, at: Timestamp, value: V) {
        let before = self.slot(key);
        let value = Some(value);
        let slot = self.entries.push(Entry { at, key, value });
        match before {
            None => self.by_key.insert(key.hash(), slot),
            Some(before) => {
                self.entries.get_mut(before).value = None;
                self.by_key.replace(key.hash(), before, slot);
            }
        }
    }

    /// Frees what was remembered `retention_ms` or longer before `now`, but no more than two at once:
    /// whoever calls this after each `remember` keeps up, and does not wait for all that has piled up
    /// since the day before.
    pub fn forget(&mut self, now: Timestamp, retention_ms: i64) {
        self.forget_into(now, retention_ms, |_, _, _| {});
    }

    /// The same, and hands on what counted until now.
    pub fn forget_into(
        &mut self,
        now: Timestamp,
        retention_ms: i64,
        mut take: impl FnMut(K, Timestamp, V),
    ) {
        for _ in 0..2 {
            let Some((slot, first)) = self.entries.first() else {
                break;
            };
            if first.at.plus_ms(retention_ms) > now {
                break;
            }
            let (key, at) = (first.key, first.at);
            if let Some(value) = self.entries.get_mut(slot).value.take() {
                self.by_key.remove(key.hash(), slot);
                take(key, at, value);
            }
            self.entries.remove_first();
        }
    }

    /// What is remembered, each once, in the order of remembering.
    pub fn iter(&self) -> impl Iterator<Item = (K, Timestamp, &V)> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| Some((entry.key, entry.at, entry.value.as_ref()?)))
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
    use crate::engine::queue::PIECE;
    use crate::engine::slot_index::SLOTS;
    use proptest::prelude::*;

    impl Key for u64 {
        fn hash(self) -> u64 {
            hash_of_id(self)
        }
    }

    #[test]
    fn a_value_counts_until_its_retention_is_over_even_if_not_yet_removed() {
        let mut recent = Recent::default();
        recent.remember(7, Timestamp(1_000), 1);
        assert_eq!(recent.find(7, Timestamp(1_499), 500), Some(&1));
        assert_eq!(recent.find(7, Timestamp(1_500), 500), None);
        recent.forget(Timestamp(1_499), 500);
        assert_eq!(recent.len(), 1);
        recent.forget(Timestamp(1_500), 500);
        assert!(recent.is_empty());
    }

    #[test]
    fn remembering_again_renews() {
        let mut recent = Recent::default();
        recent.remember(7, Timestamp(1_000), 1);
        recent.remember(7, Timestamp(1_400), 2);
        for _ in 0..2 {
            recent.forget(Timestamp(1_600), 500);
        }
        assert_eq!(recent.find(7, Timestamp(1_600), 500), Some(&2));
        assert_eq!(
            recent.iter().collect::<Vec<_>>(),
            [(7, Timestamp(1_400), &2)]
        );
    }

    /// A list that is searched from its end.
    #[derive(Default)]
    struct Naive(Vec<(u64, Timestamp, u32)>);

    impl Naive {
        fn find(&self, key: u64, at: Timestamp, retention_ms: i64) -> Option<&u32> {
            let found = self.0.iter().rev().find(|(of, ..)| *of == key)?;
            (found.1.plus_ms(retention_ms) > at).then_some(&found.2)
        }

        fn live(&self, at: Timestamp, retention_ms: i64) -> Vec<(u64, Timestamp, &u32)> {
            let last =
                |place: usize, key: u64| self.0[place + 1..].iter().all(|(of, ..)| *of != key);
            let all = self.0.iter().enumerate();
            let lasts = all.filter(|(place, entry)| last(*place, entry.0));
            let lasts = lasts.map(|(_, (key, at, value))| (*key, *at, value));
            lasts
                .filter(|entry| entry.1.plus_ms(retention_ms) > at)
                .collect()
        }
    }

    proptest! {
        #[test]
        fn it_is_a_list_searched_from_its_end(
            steps in proptest::collection::vec((0u64..40, 0i64..40), 0..400), first_piece in 0u32..3
        ) {
            const RETENTION_MS: i64 = 500;
            let (mut recent, mut naive) = (Recent::default(), Naive::default());
            // Close to where slots begin anew.
            recent.entries.first_piece = SLOTS - PIECE as u32 * first_piece;
            recent.entries.first_piece %= SLOTS;
            let mut at = Timestamp(0);
            for (value, (key, later_ms)) in steps.into_iter().enumerate() {
                at = at.plus_ms(later_ms);
                prop_assert_eq!(recent.find(key, at, RETENTION_MS), naive.find(key, at, RETENTION_MS));
                recent.remember(key, at, value as u32);
                naive.0.push((key, at, value as u32));
                let before = recent.entries.iter().count();
                recent.forget(at, RETENTION_MS);
                prop_assert!(before - recent.entries.iter().count() <= 2);
                for _ in 0..400 {
                    recent.forget(at, RETENTION_MS);
                }
                prop_assert_eq!(recent.iter().collect::<Vec<_>>(), naive.live(at, RETENTION_MS));
                prop_assert_eq!(recent.len(), recent.iter().count());
            }
        }
    }

    #[test]
    fn many_come_and_go_and_slots_begin_anew() {
        let mut recent = Recent::default();
        recent.entries.first_piece = SLOTS - 4 * PIECE as u32;
        for number in 0..20_000u64 {
            let at = Timestamp(number as i64);
            recent.remember(number, at, number);
            recent.forget(at, 5_000);
            assert_eq!(
                recent.find(number.saturating_sub(4_999), at, 5_000),
                Some(&number.saturating_sub(4_999))
            );
        }
        assert_eq!(recent.len(), 5_000);
        assert!(recent.entries.pieces.len() <= 6);
        for _ in 0..2_500 {
            recent.forget(Timestamp(30_000), 5_000);
        }
        assert!(recent.is_empty());
    }
}
