//! From the hash of a number, a card's or a token's, to the card: the one map that every connection reads and card issuing writes.
//!
//! It is rebuilt from the journal at start; nothing here is stored.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroU64,
};

use dashmap::DashMap;

/// Where the messages of a card go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardRoute {
    /// The card.
    pub card_id: u64,
    /// The root of its account tree, which chooses the shard.
    pub root_account_id: u64,
    /// Months since 2000-01 in which the card expires, for what is computed over it (CVV2).
    pub expiry: u16,
    /// The token whose number it is, where it is not the card's own.
    pub token_id: Option<NonZeroU64>,
}

/// A concurrent map from [`PanHasher::pan_hash`](super::PanHasher::pan_hash) to [`CardRoute`].
///
/// Readers of different parts never meet, and no lock outlives a call: values are copied out.
#[derive(Default)]
pub struct PanIndex {
    routes: DashMap<u128, CardRoute, BuildHasherDefault<UniformHasher>>,
}

impl PanIndex {
    /// An empty index.
    pub fn new() -> PanIndex {
        PanIndex::default()
    }

    /// The route of one card, if there is one under this PAN hash.
    pub fn lookup(&self, pan_hash: u128) -> Option<CardRoute> {
        self.routes.get(&pan_hash).map(|route| *route)
    }

    /// Looks up each hash in turn and appends one answer per hash to `found`.
    pub fn lookup_many(&self, pan_hashes: &[u128], found: &mut Vec<Option<CardRoute>>) {
        found.extend(pan_hashes.iter().map(|pan_hash| self.lookup(*pan_hash)));
    }

    /// Sets the route of a PAN hash and gives back the one it replaces.
    pub fn insert(&self, pan_hash: u128, route: CardRoute) -> Option<CardRoute> {
        self.routes.insert(pan_hash, route)
    }

    /// Removes a PAN hash and gives back its route.
    pub fn remove(&self, pan_hash: u128) -> Option<CardRoute> {
        self.routes.remove(&pan_hash).map(|(_, route)| route)
    }

    /// Number of cards; exact only while nobody writes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no card.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl fmt::Debug for PanIndex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PanIndex({} cards)", self.len())
    }
}

/// Takes the low bits of a key that already is a keyed hash, instead of hashing it again.
#[derive(Default)]
struct UniformHasher(u64);

impl Hasher for UniformHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, uniform: u128) {
        self.0 = uniform as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(card_id: u64) -> CardRoute {
        CardRoute {
            card_id,
            root_account_id: card_id / 10,
            expiry: 0,
            token_id: None,
        }
    }

    #[test]
    fn cards_come_and_go() {
        let index = PanIndex::new();
        assert!(index.is_empty());
        assert_eq!(index.insert(7, route(70)), None);
        assert_eq!(index.insert(8, route(80)), None);
        assert_eq!(index.insert(7, route(71)), Some(route(70)));
        assert_eq!((index.len(), index.lookup(7)), (2, Some(route(71))));

        let mut found = vec![None];
        index.lookup_many(&[8, 9, 7, 8], &mut found);
        let expected = [
            None,
            Some(route(80)),
            None,
            Some(route(71)),
            Some(route(80)),
        ];
        assert_eq!(found, expected);

        assert_eq!(index.remove(7), Some(route(71)));
        assert_eq!(
            (index.remove(7), index.lookup(7), index.len()),
            (None, None, 1)
        );
    }

    /// Both halves of the key are compared, though only the low one chooses the place.
    #[test]
    fn equal_low_bits_are_not_the_same_card() {
        let index = PanIndex::new();
        index.insert(5, route(1));
        index.insert(1 << 64 | 5, route(2));
        assert_eq!(index.lookup(5), Some(route(1)));
        assert_eq!(index.lookup(1 << 64 | 5), Some(route(2)));
    }

    /// A lookup holds no lock afterwards: writing while its answer is alive would block otherwise.
    #[test]
    fn answers_are_copies() {
        let index = PanIndex::new();
        index.insert(5, route(1));
        let before = index.lookup(5);
        index.insert(5, route(2));
        assert_eq!((before, index.lookup(5)), (Some(route(1)), Some(route(2))));
    }
}
