//! Going through all cards of a shard, some in each turn, and sleeping until there is a reason to. What is done for a card lives
//! with those who go through them.

use super::worker::{CLOCK_PATIENCE, RECORD_BYTES_PER_APPEND, Worker};
use crate::engine::ids::CardId;
use crate::engine::slot_index::Slot;
use crate::engine::time::Timestamp;
use crate::journal::{RecordBatch, Space};
use std::time::Duration;

/// Cards looked at in one turn at most; the rest come in the next ones, and messages do not wait for all of them.
const PER_TURN: Slot = 4_096;

/// What is done for a card.
type Each = fn(&mut Worker, CardId, Timestamp, Space, &mut RecordBatch);

impl Worker {
    /// Some cards from `first` on; the one to go on with, or nothing where all were gone through.
    pub(super) fn walk_cards(
        &mut self,
        first: Slot,
        (at, space): (Timestamp, Space),
        records: &mut RecordBatch,
        each: Each,
    ) -> Option<Slot> {
        let count = self.state.cards.len() as Slot;
        let end = count.min(first.saturating_add(PER_TURN));
        let mut slot = first;
        // What is journalled in one piece stays small.
        while slot < end && records.byte_length() < RECORD_BYTES_PER_APPEND {
            each(self, self.state.cards[slot].id, at, space, records);
            slot += 1;
        }
        (slot < count).then_some(slot)
    }

    /// How long the loop may sleep until then: the clock may be set.
    pub(super) fn patience_until(&self, then: Timestamp) -> Duration {
        let left_ms = then.0.saturating_sub(self.clock.now().0).max(0);
        Duration::from_millis(left_ms as u64).min(CLOCK_PATIENCE)
    }
}
