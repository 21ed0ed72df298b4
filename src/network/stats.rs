//! Counts of one network for `/metrics`: plain atomics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Upper bounds of the latency buckets, in microseconds.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600,
    1_638_400,
];

#[derive(Debug, Default)]
pub struct NetworkStats {
    pub sessions_open: AtomicU64,
    pub sessions_total: AtomicU64,
    pub sessions_refused: AtomicU64,
    pub sessions_signed_off: AtomicU64,
    pub sign_offs: AtomicU64,
    pub messages_received: AtomicU64,
    pub messages_answered: AtomicU64,
    pub format_errors: AtomicU64,
    pub overload_refusals: AtomicU64,
    pub late_approvals: AtomicU64,
    pub frame_errors: AtomicU64,
    latency_buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    latency_sum_us: AtomicU64,
}

/// Counts a connection among those on which nobody is signed on, as long as that is so and the connection there.
pub struct SignedOff<'s> {
    stats: &'s NetworkStats,
    is_counted: bool,
}

impl<'s> SignedOff<'s> {
    pub fn new(stats: &'s NetworkStats) -> SignedOff<'s> {
        SignedOff {
            stats,
            is_counted: false,
        }
    }

    pub fn set(&mut self, is_signed_off: bool) {
        let count = &self.stats.sessions_signed_off;
        match (self.is_counted, is_signed_off) {
            (false, true) => count.fetch_add(1, Ordering::Relaxed),
            (true, false) => count.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.is_counted = is_signed_off;
    }
}

impl Drop for SignedOff<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl NetworkStats {
    pub fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts answers just written, by when their messages came, and empties the list.
    pub fn count_answers(&self, received: &mut Vec<Instant>) {
        if received.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut counts = [0_u64; LATENCY_BOUNDS_US.len() + 1];
        let mut sum_us = 0;
        NetworkStats::add(&self.messages_answered, received.len());
        for received in received.drain(..) {
            let latency_us = now.duration_since(received).as_micros() as u64;
            counts[LATENCY_BOUNDS_US.partition_point(|bound| *bound < latency_us)] += 1;
            sum_us += latency_us;
        }
        for (bucket, count) in self.latency_buckets.iter().zip(counts) {
            if count > 0 {
                bucket.fetch_add(count, Ordering::Relaxed);
            }
        }
        self.latency_sum_us.fetch_add(sum_us, Ordering::Relaxed);
    }

    /// Counts per bucket (the last is beyond all bounds), and the sum in microseconds.
    pub fn latency(&self) -> (Vec<u64>, u64) {
        let counts = self
            .latency_buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed));
        (
            counts.collect(),
            self.latency_sum_us.load(Ordering::Relaxed),
        )
    }
}
