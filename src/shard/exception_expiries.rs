//! Records of exceptions that their time is over. Which ones that is true of is decided in `engine/exceptions.rs`; at the start
//! those are recorded whose time ended meanwhile.

use super::registry_worker::{Forward, RegistryWorker};
use super::reply::{HeldReplies, ReplySink};
use super::worker::{CLOCK_PATIENCE, Nobody};
use crate::engine::registry::RegistryAction;
use crate::journal::{JournalError, RecordBatch, Space};
use std::sync::Arc;
use std::time::Duration;

/// Exceptions whose end is recorded between two messages.
const EXPIRED_PER_TURN: usize = 64;

impl RegistryWorker {
    /// How long until the time of an exception is over, where there is one.
    pub(super) fn patience(&self) -> Option<Duration> {
        let (ends_at, _) = self.registry.exceptions.first_to_expire()?;
        if self.journal.space() == Space::Reserve {
            // What is left of the disk is for others.
            return Some(CLOCK_PATIENCE);
        }
        let left_ms = ends_at.0.saturating_sub(self.clock.now().0);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        Some(left.min(CLOCK_PATIENCE))
    }

    /// Puts on record whose time is over. Nobody waits for that.
    pub(super) fn expire_exceptions(
        &mut self,
        records: &mut RecordBatch,
    ) -> Result<(), JournalError> {
        let nobody: Arc<dyn ReplySink> = Arc::new(Nobody);
        let mut forward = Forward::default();
        for _ in 0..EXPIRED_PER_TURN {
            let now = self.clock.now().max(self.registry.now);
            let first = self.registry.exceptions.first_to_expire();
            let due = first.filter(|(ends_at, _)| *ends_at <= now);
            let Some((_, id)) = due.filter(|_| self.journal.space() != Space::Reserve) else {
                break;
            };
            let expire = RegistryAction::ExpireException(id);
            self.carry_out(0, expire, records, &nobody, &mut forward);
        }
        if !records.is_empty() {
            let nothing = Box::new(HeldReplies(Vec::new()));
            self.last_sequence = self.journal.append(records, nothing)?.last;
        }
        Ok(())
    }
}
