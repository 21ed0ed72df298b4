//! What the registry knows of tokens: the number of each, sealed and hashed like a card's, and to whom it leads. For which
//! card one stands now, and whether it may pay, the shard knows (`tokens.rs`).

use super::command::Action;
use super::ids::{AccountId, CardId, TokenId};
use super::long_list::LongList;
use super::registry::{Registry, RegistryEvent, RegistryOutcome, RegistryRefusal, SealedPan};
use super::slot_index::{SlotIndex, hash_of_id};
use super::tokens::OpenToken;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Tokens that a card and all that replaced it may ever have.
pub const TOKENS_OF_CARD_MAX: usize = 1_000;

/// To the registry: keeps the number of a token, which no card and no other token has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestToken {
    /// The tree of its card.
    pub root: AccountId,
    /// Keyed hash of its number, by which it is looked up.
    #[serde(with = "postcard::fixint::le")]
    pub number_hash: u128,
    pub sealed_number: SealedPan,
    /// What the shard is asked for then.
    pub open: OpenToken,
}

impl RequestToken {
    pub fn pending(&self) -> PendingToken {
        PendingToken {
            root: self.root,
            open: self.open.clone(),
        }
    }
}

/// A token whose number is kept and whose shard may not have opened it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingToken {
    pub root: AccountId,
    pub open: OpenToken,
}

impl PendingToken {
    pub fn into_action(self) -> Action {
        Action::OpenToken(Box::new(self.open))
    }
}

/// What the registry keeps of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenNumber {
    pub root: AccountId,
    /// The card with which it was asked for.
    pub card_id: CardId,
    pub number_hash: u128,
    pub sealed_number: SealedPan,
}

/// The numbers of all tokens that were ever asked for.
#[derive(Debug, Clone, Default)]
pub struct TokenNumbers {
    /// In the order in which they came.
    all: LongList<(TokenId, TokenNumber)>,
    by_id: SlotIndex,
    by_hash: SlotIndex,
    /// By the first card of its chain.
    of_card: HashMap<CardId, u32>,
}

impl TokenNumbers {
    pub fn get(&self, id: TokenId) -> Option<&TokenNumber> {
        let same = |slot| self.all[slot].0 == id;
        let slot = self.by_id.find(hash_of_id(id.0), same)?;
        Some(&self.all[slot].1)
    }

    /// Whether a token has the number with this hash.
    fn has_hash(&self, hash: u128) -> bool {
        // A keyed hash already, so part of it is one too.
        let same = |slot| self.all[slot].1.number_hash == hash;
        self.by_hash.find(hash as u64, same).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (TokenId, &TokenNumber)> {
        self.all.iter().map(|(id, number)| (*id, number))
    }
}

impl Registry {
    /// Whether a card or a token has the number with this hash.
    pub fn has_number(&self, hash: u128) -> bool {
        self.issued_cards.has_pan_hash(hash) || self.token_numbers.has_hash(hash)
    }

    fn first_card(&self, id: CardId) -> CardId {
        let chain = self.issued_cards.get(id).and_then(|card| card.chain);
        chain.map_or(id, |chain| chain.first)
    }

    /// Puts the number of a token, new or restored, in its place; its card must be there.
    pub(super) fn insert_token_number(&mut self, id: TokenId, number: TokenNumber) {
        let first = self.first_card(number.card_id);
        let numbers = &mut self.token_numbers;
        *numbers.of_card.entry(first).or_default() += 1;
        let hash = number.number_hash;
        let slot = numbers.all.push((id, number));
        numbers.by_id.insert(hash_of_id(id.0), slot);
        numbers.by_hash.insert(hash as u64, slot);
    }
}

pub(super) fn decide(registry: &Registry, request: &RequestToken) -> RegistryOutcome {
    let card_id = request.open.card_id;
    let of_tree = |root: AccountId| root == request.root;
    let card = registry.issued_cards.get(card_id);
    let of_card = registry
        .token_numbers
        .of_card
        .get(&registry.first_card(card_id));
    let refusal = match card {
        _ if registry.token_numbers.get(request.open.token_id).is_some() => {
            RegistryRefusal::IdTaken
        }
        Some(card) if !of_tree(card.root) => RegistryRefusal::CardNotFound(card_id),
        None => RegistryRefusal::CardNotFound(card_id),
        // Before the number is looked up: else a card that is full would tell, for nothing, which numbers there are.
        Some(_) if of_card.is_some_and(|count| *count as usize >= TOKENS_OF_CARD_MAX) => {
            RegistryRefusal::TooManyTokens
        }
        Some(_) if registry.has_number(request.number_hash) => RegistryRefusal::TokenNumberTaken,
        Some(_) => return RegistryOutcome::Event(RegistryEvent::TokenRequested),
    };
    RegistryOutcome::Refused(refusal)
}

pub(super) fn apply(registry: &mut Registry, request: &RequestToken) {
    let number = TokenNumber {
        root: request.root,
        card_id: request.open.card_id,
        number_hash: request.number_hash,
        sealed_number: request.sealed_number.clone(),
    };
    registry.insert_token_number(request.open.token_id, number);
}
