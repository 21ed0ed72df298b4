//! Which open hold a name in a message means. What a name is made of does not live here.

use super::facts::MatchKey;
use super::ids::{AuthorizationId, CardId};
use hashbrown::HashMap;

/// The names of the open holds, per card. Where several holds of a card share a name, it means the
/// latest, and the one before once that is closed: the index depends on the open holds only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchIndex {
    latest: HashMap<(CardId, MatchKey), AuthorizationId>,
    /// The others of a shared name, oldest first.
    earlier: HashMap<(CardId, MatchKey), Vec<AuthorizationId>>,
}

impl MatchIndex {
    pub fn find(&self, card_id: CardId, key: MatchKey) -> Option<AuthorizationId> {
        self.latest.get(&(card_id, key)).copied()
    }

    /// Adds a name of a hold; `is_later_than` compares it with another hold of the same name.
    pub fn insert(
        &mut self,
        card_id: CardId,
        key: MatchKey,
        id: AuthorizationId,
        is_later_than: impl Fn(AuthorizationId) -> bool,
    ) {
        let name = (card_id, key);
        let Some(latest) = self.latest.get_mut(&name) else {
            self.latest.insert(name, id);
            return;
        };
        if *latest == id {
            return;
        }
        let earlier = self.earlier.entry(name).or_default();
        if is_later_than(*latest) {
            earlier.push(std::mem::replace(latest, id));
        } else if !earlier.contains(&id) {
            let place = earlier.partition_point(|other| is_later_than(*other));
            earlier.insert(place, id);
        }
    }

    pub fn remove(&mut self, card_id: CardId, key: MatchKey, id: AuthorizationId) {
        let name = (card_id, key);
        let is_latest = self.latest.get(&name) == Some(&id);
        let Some(earlier) = self.earlier.get_mut(&name) else {
            if is_latest {
                self.latest.remove(&name);
            }
            return;
        };
        if !is_latest {
            earlier.retain(|other| *other != id);
        } else if let Some(next) = earlier.pop() {
            self.latest.insert(name, next);
        }
        if earlier.is_empty() {
            self.earlier.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_name_means_the_latest_open_hold_in_whatever_order_they_were_put_in() {
        let (card, key) = (CardId(1), MatchKey(7));
        let put_in = |order: &[u64]| {
            let mut index = MatchIndex::default();
            for id in order {
                let id = AuthorizationId(*id);
                index.insert(card, key, id, |other| id > other);
            }
            index
        };
        let mut index = put_in(&[1, 2, 3]);
        for order in [[2, 1, 3], [3, 2, 1], [3, 1, 2]] {
            assert_eq!(put_in(&order), index);
        }
        index.remove(card, key, AuthorizationId(3));
        assert_eq!(index, put_in(&[1, 2]));
        index.remove(card, key, AuthorizationId(1));
        assert_eq!(index.find(card, key), Some(AuthorizationId(2)));
        assert_eq!(index.find(CardId(2), key), None);
        index.remove(card, key, AuthorizationId(2));
        assert_eq!(index, MatchIndex::default());
    }
}
