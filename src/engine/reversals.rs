//! Reversals of what had not come yet, remembered for a while under every name that they gave: an original
//! that comes late is refused, and a double is recognised. Comparing names does not live here (see
//! `matching.rs`).

use super::facts::{MatchKey, MatchKeys};
use super::ids::{AccountId, CardId};
use super::match_index::MatchIndex;
use super::queue::Queue;
use super::slot_index::Slot;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A reversal that did not find its original. Its double adds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversal {
    pub root: AccountId,
    pub card_id: CardId,
    pub at: Timestamp,
    /// As the reversal named its original.
    pub match_keys: MatchKeys,
}

/// In the order of remembering. One past its retention no longer counts, forgotten or not, so that no
/// decision depends on when memory is reclaimed.
#[derive(Debug, Clone, Default)]
pub struct Reversals {
    in_order: Queue<Reversal>,
    by_name: MatchIndex<Slot>,
}

impl Reversals {
    /// Those of this card with this name, in no order.
    pub fn find(&self, card_id: CardId, name: MatchKey) -> impl Iterator<Item = &Reversal> {
        let slots = self.by_name.find(card_id, name);
        slots.map(|slot| self.in_order.get(slot))
    }

    /// Reads the place of this name (see `touch.rs`).
    pub(super) fn touch(&self, card_id: CardId, name: MatchKey) -> u64 {
        let slot = self.by_name.find(card_id, name).next();
        slot.map_or(0, u64::from)
    }

    pub fn remember(&mut self, reversal: Reversal) {
        let slot = self.in_order.push(reversal);
        for name in reversal.match_keys.stated() {
            self.by_name.insert(reversal.card_id, name, slot);
        }
    }

    /// Frees what was remembered `retention_ms` or longer before `now`, but no more than two at once (see
    /// `Recent::forget`).
    pub fn forget(&mut self, now: Timestamp, retention_ms: i64) {
        for _ in 0..2 {
            let Some((slot, first)) = self.in_order.first() else {
                break;
            };
            if first.at.plus_ms(retention_ms) > now {
                break;
            }
            for name in first.match_keys.stated() {
                self.by_name.remove(first.card_id, name, slot);
            }
            self.in_order.remove_first();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Reversal> {
        self.in_order.iter()
    }

    pub fn len(&self) -> usize {
        self.in_order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::slot_index::hash_of_id;

    /// Names are hashes.
    fn name(number: u64) -> MatchKey {
        MatchKey(hash_of_id(number))
    }

    fn reversal(at_ms: i64, rrn: u64, local: u64) -> Reversal {
        Reversal {
            root: AccountId(1),
            card_id: CardId(1),
            at: Timestamp(at_ms),
            match_keys: MatchKeys {
                by_authority: [name(rrn), name(local)]
                    .into_iter()
                    .chain([MatchKey::UNSTATED; 3])
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap(),
                ..MatchKeys::default()
            },
        }
    }

    #[test]
    fn each_is_found_by_each_of_its_names_until_it_is_forgotten() {
        let mut reversals = Reversals::default();
        for (at_ms, rrn) in [(1_000, 1), (1_100, 2), (1_200, 3)] {
            reversals.remember(reversal(at_ms, rrn, 7));
        }
        let shared = |reversals: &Reversals| {
            let found = reversals.find(CardId(1), name(7));
            let mut at_ms: Vec<i64> = found.map(|reversal| reversal.at.0).collect();
            at_ms.sort_unstable();
            at_ms
        };
        assert_eq!(shared(&reversals), [1_000, 1_100, 1_200]);
        for _ in 0..2 {
            reversals.forget(Timestamp(1_600), 500);
        }
        assert_eq!(shared(&reversals), [1_200]);
        assert_eq!(reversals.find(CardId(1), name(1)).count(), 0);
        assert_eq!(reversals.find(CardId(1), name(3)).count(), 1);
        assert_eq!(reversals.find(CardId(2), name(3)).count(), 0);
        reversals.remember(reversal(1_300, 4, 7));
        assert_eq!(shared(&reversals), [1_200, 1_300]);
        reversals.forget(Timestamp(9_000), 500);
        assert!(reversals.is_empty() && reversals.by_name.is_empty());
    }
}
