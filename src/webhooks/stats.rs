//! Counts of calls to webhook endpoints, for `/metrics`: plain atomics.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct WebhookStats {
    succeeded: AtomicU64,
    failed: AtomicU64,
    exhausted: AtomicU64,
    under_way: AtomicU64,
    duration_ms: AtomicU64,
    unlogged: AtomicU64,
    events_read: AtomicU64,
}

impl WebhookStats {
    pub(super) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// However a call ends, even by being dropped.
    pub(super) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count(
        &self,
        outcome: crate::store::deliveries::DeliveryOutcome,
        duration_ms: u64,
    ) {
        use crate::store::deliveries::DeliveryOutcome::{Exhausted, Failed, Succeeded};
        let counter = match outcome {
            Succeeded => &self.succeeded,
            Failed => &self.failed,
            Exhausted => &self.exhausted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.duration_ms.fetch_add(duration_ms, Ordering::Relaxed);
    }

    pub(super) fn count_unlogged(&self, rows: u64) {
        self.unlogged.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn count_read(&self, rows: usize) {
        self.events_read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Calls that have ended, by outcome.
    pub fn ended(&self) -> [(&'static str, u64); 3] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("succeeded", read(&self.succeeded)),
            ("failed", read(&self.failed)),
            ("exhausted", read(&self.exhausted)),
        ]
    }

    pub fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Milliseconds of all calls that have ended.
    pub fn duration_ms(&self) -> u64 {
        self.duration_ms.load(Ordering::Relaxed)
    }

    /// Calls that the log does not have, as the database was away for too long.
    pub fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Relaxed)
    }

    /// Rows of events that were read from the tables.
    pub fn events_read(&self) -> u64 {
        self.events_read.load(Ordering::Relaxed)
    }
}
