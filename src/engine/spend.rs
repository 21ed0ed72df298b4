//! What is used of every limit that binds a card, and what is left. Nothing is decided by it.

use super::controls::Limit;
use super::ids::CardId;
use super::looked_at::LookedAt;
use super::rules::limits::Counting;
use super::scope::Owner;
use super::state::State;
use super::time::Timestamp;
use super::window::WindowEnd;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Whose limit it is.
    pub owner: Owner,
    pub limit: Limit,
    pub used_minor: i64,
    pub used_count: u32,
    /// The end of its window, or of one that rolls when a use of now would have left it.
    pub resets: WindowEnd,
}

/// In the order in which limits are checked; on the card's first account. `None` where there is no such card.
pub fn of_card(state: &State, card_id: CardId, at: Timestamp) -> Option<Vec<Spent>> {
    let card = state.card(card_id)?;
    let looked_at = LookedAt::of(state, card, state.account_of(card))?;
    let spent = looked_at.limits().map(|(owner, limit)| {
        let counting = Counting::of(limit, looked_at.counters_of(owner.scope, limit), at);
        Spent {
            owner,
            limit: limit.clone(),
            used_minor: counting.used.0,
            used_count: counting.used.1,
            resets: counting.ends,
        }
    });
    Some(spent.collect())
}
