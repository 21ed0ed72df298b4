//! The clock and the source of ids: where time and numbers enter, as facts in commands.

use crate::engine::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time, or a hand-moved one in tests and simulations.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
                Timestamp(since_epoch.map_or(0, |elapsed| elapsed.as_millis() as i64))
            }
            Clock::Manual(now_ms) => Timestamp(now_ms.load(Ordering::Acquire)),
        }
    }
}

/// Ids in the order of time: milliseconds since 2025-01-01T00:00Z, then 22 bits that count within one.
#[derive(Debug)]
pub struct IdSource {
    clock: Clock,
    last: AtomicU64,
}

const EPOCH_MS: i64 = 1_735_689_600_000;

impl IdSource {
    /// Ids after `last`, the highest that the journal knows.
    pub fn after(clock: Clock, last: u64) -> IdSource {
        IdSource {
            clock,
            last: AtomicU64::new(last),
        }
    }

    /// Above every id that could have been given out up to `at`.
    pub fn last_of(at: Timestamp) -> u64 {
        ((at.0 - EPOCH_MS + 1).max(0) as u64) << 22
    }

    /// When an id was given out, or shortly before.
    pub fn time_of(id: u64) -> Timestamp {
        Timestamp(EPOCH_MS + (id >> 22) as i64)
    }

    /// The first of `count` consecutive ids that nobody else gets.
    pub fn reserve(&self, count: u64) -> u64 {
        let by_time = ((self.clock.now().0 - EPOCH_MS).max(0) as u64) << 22;
        let next = |last: u64| Some((last + 1).max(by_time) + count - 1);
        let last = self
            .last
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        // The update function never refuses, so both arms carry the number before it.
        let before = last.unwrap_or_else(|last| last);
        (before + 1).max(by_time)
    }

    pub fn one(&self) -> u64 {
        self.reserve(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_repeat_even_when_the_clock_goes_back() {
        let now_ms = Arc::new(AtomicI64::new(EPOCH_MS + 1_000));
        let ids = IdSource::after(Clock::Manual(now_ms.clone()), 0);
        let first = ids.reserve(3);
        now_ms.store(EPOCH_MS + 10, Ordering::Release);
        assert_eq!(ids.one(), first + 3);
        now_ms.store(EPOCH_MS + 2_000, Ordering::Release);
        assert_eq!(ids.one(), 2_000 << 22);
    }
}
