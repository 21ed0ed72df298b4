//! Counts of the archive for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of lookups by their time; one more is above all of them.
pub const LOOKUP_BOUNDS_US: [u64; 7] = [10, 30, 100, 300, 1_000, 10_000, 100_000];

#[derive(Debug, Default)]
pub struct ArchiveStats {
    lookups: AtomicU64,
    found: AtomicU64,
    lookup_us: AtomicU64,
    lookup_buckets: [AtomicU64; LOOKUP_BOUNDS_US.len() + 1],
    waiting: AtomicU64,
    dropped: AtomicU64,
    pruned: AtomicU64,
    failures: AtomicU64,
    refilling: AtomicU64,
}

impl ArchiveStats {
    pub(super) fn count_lookup(&self, time: Duration, is_found: bool) {
        let us = time.as_micros() as u64;
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.found.fetch_add(u64::from(is_found), Ordering::Relaxed);
        self.lookup_us.fetch_add(us, Ordering::Relaxed);
        let bucket = LOOKUP_BOUNDS_US.iter().position(|bound| us <= *bound);
        let bucket = bucket.unwrap_or(LOOKUP_BOUNDS_US.len());
        self.lookup_buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_waiting(&self, items: usize) {
        self.waiting.store(items as u64, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, items: usize) {
        self.dropped.fetch_add(items as u64, Ordering::Relaxed);
    }

    pub(super) fn count_pruned(&self, items: usize) {
        self.pruned.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Whether it was the first.
    pub(super) fn count_failure(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed) == 0
    }

    pub(super) fn set_refilling(&self, refilling: bool) {
        self.refilling
            .store(u64::from(refilling), Ordering::Relaxed);
    }

    pub fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed)
    }

    pub fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    pub fn lookup_time(&self) -> Duration {
        Duration::from_micros(self.lookup_us.load(Ordering::Relaxed))
    }

    /// Lookups within each bound, and above all of them.
    pub fn lookup_buckets(&self) -> [u64; LOOKUP_BOUNDS_US.len() + 1] {
        let mut buckets = self.lookup_buckets.iter();
        std::array::from_fn(|_| {
            let bucket = buckets.next();
            bucket.map_or(0, |count| count.load(Ordering::Relaxed))
        })
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn pruned(&self) -> u64 {
        self.pruned.load(Ordering::Relaxed)
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn refilling(&self) -> u64 {
        self.refilling.load(Ordering::Relaxed)
    }
}
