//! The open holds of a shard. What placing or closing one does to money does not live here.

use super::event::{ApprovalCode, LimitUse};
use super::facts::{MatchKey, MatchKeys};
use super::hold_expiry::ByExpiry;
use super::ids::{AccountId, AuthorizationId, CardId};
use super::long_list::LongList;
use super::match_index::MatchIndex;
use super::slot_index::{Slot, SlotIndex, hash_of_id};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Money set aside for one authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub authorization_id: AuthorizationId,
    pub card_id: CardId,
    pub account_id: AccountId,
    pub amount_minor: i64,
    pub placed_at: Timestamp,
    pub expires_at: Timestamp,
    pub approval_code: ApprovalCode,
    pub match_keys: MatchKeys,
    pub uses: Box<[LimitUse]>,
}

/// Holds by authorization and by name. The slot of a closed one goes to the next that is placed.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    slots: LongList<Option<Hold>>,
    free: Vec<Slot>,
    by_id: SlotIndex,
    by_name: MatchIndex<Slot>,
    by_expiry: ByExpiry,
}

impl Holds {
    pub fn get(&self, id: AuthorizationId) -> Option<&Hold> {
        self.slots[self.slot(id)?].as_ref()
    }

    pub fn contains(&self, id: AuthorizationId) -> bool {
        self.slot(id).is_some()
    }

    /// Those of this card that have this name, in no order. Which is meant is told in `matching.rs`.
    pub fn named(&self, card_id: CardId, name: MatchKey) -> impl Iterator<Item = &Hold> {
        let slots = self.by_name.find(card_id, name);
        slots.filter_map(|slot| self.slots[slot].as_ref())
    }

    fn slot(&self, id: AuthorizationId) -> Option<Slot> {
        self.by_id.find(hash_of_id(id.0), |slot| {
            let hold = &self.slots[slot];
            hold.as_ref()
                .is_some_and(|hold| hold.authorization_id == id)
        })
    }

    /// Reads the place of this id (see `touch.rs`).
    pub(super) fn touch(&self, id: AuthorizationId) -> u64 {
        self.by_id.touch(hash_of_id(id.0))
    }

    /// Reads the place of this name (see `touch.rs`).
    pub(super) fn touch_name(&self, card_id: CardId, name: MatchKey) -> u64 {
        let slot = self.by_name.find(card_id, name).next();
        slot.map_or(0, u64::from)
    }

    /// Adds a hold, whose id no other has.
    pub(super) fn insert(&mut self, hold: Hold) {
        let hash = hash_of_id(hold.authorization_id.0);
        let (card_id, names) = (hold.card_id, hold.match_keys);
        self.by_expiry
            .insert(hold.expires_at, hold.authorization_id);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(hold);
                slot
            }
            None => self.slots.push(Some(hold)),
        };
        self.by_id.insert(hash, slot);
        for name in names.stated() {
            self.by_name.insert(card_id, name, slot);
        }
    }

    pub(super) fn remove(&mut self, id: AuthorizationId) -> Option<Hold> {
        let slot = self.slot(id)?;
        self.by_id.remove(hash_of_id(id.0), slot);
        self.free.push(slot);
        let hold = self.slots[slot].take()?;
        self.by_expiry.remove(hold.expires_at, id);
        for name in hold.match_keys.stated() {
            self.by_name.remove(hold.card_id, name, slot);
        }
        Some(hold)
    }

    /// The one that ends first, and when.
    pub fn first_to_expire(&self) -> Option<(Timestamp, &Hold)> {
        let (expires_at, id) = self.by_expiry.first()?;
        Some((expires_at, self.get(id)?))
    }

    /// In no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.slots.iter().flatten()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn hold(id: u64, amount_minor: i64) -> Hold {
        Hold {
            authorization_id: AuthorizationId(id),
            card_id: CardId(1),
            account_id: AccountId(1),
            amount_minor,
            placed_at: Timestamp(0),
            expires_at: Timestamp(1),
            approval_code: ApprovalCode::default(),
            match_keys: MatchKeys::default(),
            uses: Box::default(),
        }
    }

    proptest! {
        #[test]
        fn they_are_a_map_by_id(steps in proptest::collection::vec((0u64..12, any::<bool>()), 0..200)) {
            let (mut holds, mut naive) = (Holds::default(), BTreeMap::new());
            for (amount_minor, (id, places)) in steps.into_iter().enumerate() {
                let key = AuthorizationId(id);
                if !places {
                    prop_assert_eq!(holds.remove(key), naive.remove(&id));
                } else if let std::collections::btree_map::Entry::Vacant(free) = naive.entry(id) {
                    let hold = hold(id, amount_minor as i64);
                    holds.insert(hold.clone());
                    free.insert(hold);
                }
                prop_assert_eq!(holds.get(key), naive.get(&id));
                prop_assert_eq!((holds.len(), holds.contains(key)), (naive.len(), naive.contains_key(&id)));
                let mut all: Vec<_> = holds.iter().collect();
                all.sort_by_key(|hold| hold.authorization_id);
                prop_assert_eq!(all, naive.values().collect::<Vec<_>>());
                prop_assert!(holds.slots.len() <= 12);
            }
        }
    }
}
