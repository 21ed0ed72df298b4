//! Does for watched accounts what follows from their state: auto top-ups, and telling that a balance is low. What that is
//! is decided in `engine/watch.rs`.

use super::clock::IdSource;
use super::worker::Worker;
use crate::engine::command::{Action, Command};
use crate::engine::ids::{AccountId, TransferId};
use crate::engine::state::State;
use crate::engine::time::Timestamp;
use crate::engine::watch::{self, AutoTopUp, Due, NoteLowBalance};
use crate::journal::{RecordBatch, Space};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Commands of one turn at most; the rest come in the next.
const PER_TURN: usize = 4_096;

/// Trees with watched accounts in which something has happened.
pub struct Watches {
    changed: BTreeSet<AccountId>,
    ids: Arc<IdSource>,
}

impl Watches {
    /// At the start every tree is looked at: the process may have ended between a record and what follows it.
    pub fn new(state: &State, ids: Arc<IdSource>) -> Watches {
        Watches {
            changed: state.watched.keys().copied().collect(),
            ids,
        }
    }

    pub fn note(&mut self, state: &State, root: AccountId) {
        if !state.watched.is_empty() && state.watched.contains_key(&root) {
            self.changed.insert(root);
        }
    }

    /// What is left of the disk is for others.
    pub fn patience(&self, space: Space) -> Option<Duration> {
        let waits = !self.changed.is_empty() && space != Space::Reserve;
        waits.then_some(Duration::ZERO)
    }
}

impl Worker {
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
            let Some(root) = self.watches.changed.first().copied() else {
                return;
            };
            let action = match watch::due(&self.state, root, at) {
                None => {
                    self.watches.changed.remove(&root);
                    continue;
                }
                Some(Due::LowBalance(account_id)) => {
                    Action::NoteLowBalance(NoteLowBalance { account_id })
                }
                Some(Due::AutoTopUp(account_id)) => Action::AutoTopUp(AutoTopUp {
                    transfer_id: TransferId(self.watches.ids.one()),
                    account_id,
                }),
            };
            self.carry_out(Command { root, at, action }, None, space, records);
        }
    }
}
