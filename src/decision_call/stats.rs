//! Counts of calls to customers, for `/metrics`: plain atomics.

use crate::engine::command::CallOutcome;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct CallStats {
    ended: [AtomicU64; CallOutcome::ALL.len()],
    waiting: AtomicU64,
    duration_ms: AtomicU64,
}

impl CallStats {
    pub(super) fn begin(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, outcome: CallOutcome, duration_ms: u32) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.ended[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.duration_ms
            .fetch_add(u64::from(duration_ms), Ordering::Relaxed);
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Milliseconds of all calls that have ended.
    pub fn duration_ms(&self) -> u64 {
        self.duration_ms.load(Ordering::Relaxed)
    }

    pub fn ended(&self) -> impl Iterator<Item = (CallOutcome, u64)> + '_ {
        let counts = self.ended.iter().map(|count| count.load(Ordering::Relaxed));
        CallOutcome::ALL.iter().copied().zip(counts)
    }
}
