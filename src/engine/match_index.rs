//! What was given a name: open holds, or reversals. Which of those that share one is meant does not
//! live here (see `matching.rs`), nor what a name is made of.

use super::facts::MatchKey;
use super::ids::CardId;
use hashbrown::HashMap;

type Name = (CardId, MatchKey);

/// A power of two. Each part grows by itself: nobody waits for all names to be moved.
const PARTS: usize = 64;

/// Entries by name, per card, in no order. Names are rarely shared, so the first entry of one takes no
/// memory of its own.
#[derive(Debug, Clone)]
pub struct MatchIndex<Id> {
    first: Box<[HashMap<Name, Id>]>,
    /// The others of a shared name.
    more: HashMap<Name, Vec<Id>>,
}

impl<Id> Default for MatchIndex<Id> {
    fn default() -> MatchIndex<Id> {
        MatchIndex {
            first: (0..PARTS).map(|_| HashMap::new()).collect(),
            more: HashMap::new(),
        }
    }
}

impl<Id: Copy + Eq> MatchIndex<Id> {
    pub fn find(&self, card_id: CardId, key: MatchKey) -> impl Iterator<Item = Id> {
        let name = (card_id, key);
        let first = self.first[part_of(key)].get(&name);
        let more = first.and_then(|_| self.more.get(&name));
        first
            .into_iter()
            .chain(more.map_or(&[][..], Vec::as_slice))
            .copied()
    }

    pub fn insert(&mut self, card_id: CardId, key: MatchKey, id: Id) {
        let name = (card_id, key);
        if let Some(before) = self.first[part_of(key)].insert(name, id) {
            self.more.entry(name).or_default().push(before);
        }
    }

    /// Takes one entry out; does nothing where it is not.
    pub fn remove(&mut self, card_id: CardId, key: MatchKey, id: Id) {
        let name = (card_id, key);
        let first = &mut self.first[part_of(key)];
        let is_first = first.get(&name) == Some(&id);
        let Some(more) = self.more.get_mut(&name) else {
            if is_first {
                first.remove(&name);
            }
            return;
        };
        if !is_first {
            more.retain(|other| *other != id);
        } else if let Some(next) = more.pop() {
            first.insert(name, next);
        }
        if more.is_empty() {
            self.more.remove(&name);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.iter().all(HashMap::is_empty) && self.more.is_empty()
    }
}

/// Names are keyed hashes, so any of their bits will do.
fn part_of(key: MatchKey) -> usize {
    key.0 as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_all_that_have_it_and_to_nothing_of_another_card() {
        let (card, key) = (CardId(1), MatchKey(7));
        let mut index = MatchIndex::default();
        let found = |index: &MatchIndex<u64>| {
            let mut found: Vec<u64> = index.find(card, key).collect();
            found.sort_unstable();
            found
        };
        for id in [1, 2, 3, 4] {
            index.insert(card, key, id);
        }
        assert_eq!(found(&index), [1, 2, 3, 4]);
        assert_eq!(index.find(CardId(2), key).count(), 0);
        for (id, left) in [
            (2, &[1, 3, 4][..]),
            (9, &[1, 3, 4]),
            (4, &[1, 3]),
            (1, &[3]),
            (3, &[]),
        ] {
            index.remove(card, key, id);
            assert_eq!(found(&index), left);
        }
        assert!(index.is_empty());
    }
}
