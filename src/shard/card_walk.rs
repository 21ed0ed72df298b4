//! Going through all cards of a shard, some in each turn, for those of which something is due, and sleeping until there is a reason
//! to. When that is recorded is in `bulk.rs`.

use super::worker::{CLOCK_PATIENCE, Worker};
use crate::engine::card_expiry;
use crate::engine::fees::monthly;
use crate::engine::slot_index::Slot;
use crate::engine::state::{Card, State};
use crate::engine::time::Timestamp;
use std::time::Duration;

/// Cards looked at in one turn at most; the rest come in the next ones, and messages do not wait for all of them.
const PER_TURN: Slot = 4_096;

/// What a card may be looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    MonthlyFee,
    Expiry,
}

impl Due {
    fn is_due(self, state: &State, card: &Card, at: Timestamp) -> bool {
        match self {
            Due::MonthlyFee => monthly::due(state, card, at).is_some(),
            Due::Expiry => card_expiry::is_due(state, card, at),
        }
    }
}

impl Worker {
    /// Gathers what is due of some cards from `first` on; the one to go on with, or nothing where all were gone through.
    pub(super) fn walk_cards(&mut self, first: Slot, due: Due, at: Timestamp) -> Option<Slot> {
        let count = self.state.cards.len() as Slot;
        let end = count.min(first.saturating_add(PER_TURN));
        for slot in first..end {
            let card = &self.state.cards[slot];
            if due.is_due(&self.state, card, at) {
                let program_id = self.state.account_of(card).program_id;
                self.bulk.add(program_id, due, card.id);
            }
        }
        (end < count).then_some(end)
    }

    /// How long the loop may sleep until then: the clock may be set.
    pub(super) fn patience_until(&self, then: Timestamp) -> Duration {
        let left_ms = then.0.saturating_sub(self.clock.now().0).max(0);
        Duration::from_millis(left_ms as u64).min(CLOCK_PATIENCE)
    }
}
