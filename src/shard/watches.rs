//! Does for watched accounts what follows from their state and from the day: auto top-ups, and telling that a balance is low.
//! What that is, and at which accounts to look, is decided in `engine/watch.rs`. Nothing here has to outlive the process: a
//! state that was restored has every watched account looked at.

use super::worker::{CLOCK_PATIENCE, RECORD_BYTES_PER_APPEND, Worker};
use crate::engine::command::{Action, Command};
use crate::engine::ids::TransferId;
use crate::engine::time::Timestamp;
use crate::engine::watch::{self, AutoTopUp, Due, Look, NoteLowBalance};
use crate::journal::{RecordBatch, Space};
use std::time::Duration;

/// Accounts looked at in one turn at most; the rest come in the next.
const PER_TURN: usize = 4_096;

impl Worker {
    /// How long until an account is to be looked at.
    pub(super) fn patience_for_watched(&self) -> Option<Duration> {
        let watched = &self.state.watched;
        let next_day = watched.next_day_at().map(|day| self.patience_until(day));
        let patience = match watched.has_changed() {
            true => Some(Duration::ZERO),
            false => next_day,
        };
        match self.journal.space() {
            // What is left of the disk is for others.
            Space::Reserve => patience.map(|_| CLOCK_PATIENCE),
            _ => patience,
        }
    }

    pub(super) fn look_after_watched(
        &mut self,
        at: Timestamp,
        space: Space,
        records: &mut RecordBatch,
    ) {
        if space == Space::Reserve {
            return;
        }
        for _ in 0..PER_TURN {
            if records.byte_length() >= RECORD_BYTES_PER_APPEND {
                return;
            }
            let (root, action) = match watch::look(&mut self.state, at) {
                Look::Over => return,
                Look::Nothing => continue,
                Look::Due(root, Due::LowBalance(account_id)) => {
                    (root, Action::NoteLowBalance(NoteLowBalance { account_id }))
                }
                Look::Due(root, Due::AutoTopUp(account_id)) => {
                    let transfer_id = TransferId(self.ids.one());
                    let auto = AutoTopUp {
                        transfer_id,
                        account_id,
                    };
                    (root, Action::AutoTopUp(auto))
                }
            };
            self.carry_out(Command { root, at, action }, None, space, records);
        }
    }
}
