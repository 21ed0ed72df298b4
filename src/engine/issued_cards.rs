//! Every card that was ever issued, by id and by the hash of its number. What may be issued is decided
//! elsewhere.

use super::command::CardType;
use super::controls::Controls;
use super::ids::{AccountId, CardId, CardholderId, LinkId, ProgramId};
use super::long_list::LongList;
use super::registry::LinkKey;
use super::reissue::Chain;
use super::shipping::ShippingOrder;
use super::slot_index::{SlotIndex, hash_of_id};
use super::time::Expiry;
use super::wallet::Wallet;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// An encrypted card number; what is inside is the business of the security module.
pub type SealedPan = ArrayVec<u8, 48>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueCard {
    pub card_id: CardId,
    pub root: AccountId,
    pub account_id: AccountId,
    pub program_id: ProgramId,
    pub card_type: CardType,
    /// Keyed hash of the card number, by which it is looked up and never issued twice.
    #[serde(with = "postcard::fixint::le")]
    pub pan_hash: u128,
    pub sealed_pan: SealedPan,
    pub first6: u32,
    pub last4: u16,
    pub expiry: Expiry,
    pub links: SmallVec<[LinkKey; 2]>,
    pub controls: Controls,
    /// Further accounts to draw on.
    pub wallet: Option<Box<Wallet>>,
    pub cardholder_id: Option<CardholderId>,
    /// Who pays for the card, where that is not its account.
    pub paid_by: Option<AccountId>,
    /// For the shard: of a physical one that is to be made and sent.
    pub shipping: Option<Box<ShippingOrder>>,
}

/// What the registry keeps of an issued card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCard {
    pub root: AccountId,
    pub program_id: ProgramId,
    pub pan_hash: u128,
    pub sealed_pan: SealedPan,
    pub expiry: Expiry,
    pub links: SmallVec<[LinkId; 2]>,
    pub cardholder_id: Option<CardholderId>,
    /// Of one that replaced another or was replaced.
    pub chain: Option<Chain>,
}

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
