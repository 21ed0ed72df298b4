//! Every card that was ever issued, by id and by the hash of its number. What may be issued is decided
//! elsewhere.

use super::ids::CardId;
use super::long_list::LongList;
use super::registry::IssuedCard;
use super::slot_index::{SlotIndex, hash_of_id};

#[derive(Debug, Clone, Default)]
pub struct IssuedCards {
    /// In the order of issue.
    cards: LongList<(CardId, IssuedCard)>,
    by_id: SlotIndex,
    by_pan_hash: SlotIndex,
}

impl IssuedCards {
    pub fn get(&self, id: CardId) -> Option<&IssuedCard> {
        let slot = self
            .by_id
            .find(hash_of_id(id.0), |slot| self.cards[slot].0 == id)?;
        Some(&self.cards[slot].1)
    }

    pub(super) fn get_mut(&mut self, id: CardId) -> Option<&mut IssuedCard> {
        let slot = self
            .by_id
            .find(hash_of_id(id.0), |slot| self.cards[slot].0 == id)?;
        Some(&mut self.cards[slot].1)
    }

    /// Whether a card has the number with this hash.
    pub fn has_pan_hash(&self, pan_hash: u128) -> bool {
        // A keyed hash already, so part of it is one too.
        let same = |slot| self.cards[slot].1.pan_hash == pan_hash;
        self.by_pan_hash.find(pan_hash as u64, same).is_some()
    }

    /// Adds a card with an id and a number that no other has.
    pub(super) fn insert(&mut self, id: CardId, card: IssuedCard) {
        let pan_hash = card.pan_hash;
        let slot = self.cards.push((id, card));
        self.by_id.insert(hash_of_id(id.0), slot);
        self.by_pan_hash.insert(pan_hash as u64, slot);
    }

    pub fn iter(&self) -> impl Iterator<Item = (CardId, &IssuedCard)> {
        self.cards.iter().map(|(id, card)| (*id, card))
    }
}
