//! Counts of calls to webhook endpoints, and how far behind each of them is, for `/metrics`; and which of them have taken a
//! ping, for their workers.

use crate::engine::ids::WebhookEndpointId;
use crate::engine::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
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
    behind: Mutex<HashMap<WebhookEndpointId, (Behind, Option<Timestamp>)>>,
    /// Since their workers looked last.
    pinged: Mutex<HashSet<WebhookEndpointId>>,
}

/// How far behind endpoints are: one, or all together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The age of the oldest event that no call was made for; of several endpoints the highest.
    pub lag_ms: u64,
    /// Events that were refused and are tried again.
    pub waiting: u64,
    /// Endpoints whose last calls have failed.
    pub failing: u64,
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

    /// With when it is called next, where nothing else happens before.
    pub(super) fn note_behind(
        &self,
        id: WebhookEndpointId,
        behind: Behind,
        next_at: Option<Timestamp>,
    ) {
        if let Ok(mut all) = self.behind.lock() {
            all.insert(id, (behind, next_at));
        }
    }

    /// When an endpoint is called next: not before it asked to be, and not while it counts as down.
    pub fn next_at(&self, id: WebhookEndpointId) -> Option<Timestamp> {
        self.behind.lock().ok()?.get(&id)?.1
    }

    /// An endpoint has taken a ping: its worker sees it the next time that it looks.
    pub fn note_ping_taken(&self, id: WebhookEndpointId) {
        if let Ok(mut pinged) = self.pinged.lock() {
            pinged.insert(id);
        }
    }

    /// Whether it has, since this was asked last.
    pub(super) fn has_taken_ping(&self, id: WebhookEndpointId) -> bool {
        let pinged = self.pinged.lock();
        pinged.is_ok_and(|mut pinged| pinged.remove(&id))
    }

    /// It is called no more.
    pub(super) fn forget(&self, id: WebhookEndpointId) {
        if let Ok(mut all) = self.behind.lock() {
            all.remove(&id);
        }
    }

    /// All endpoints that are called.
    pub fn behind(&self) -> Behind {
        let Ok(all) = self.behind.lock() else {
            return Behind::default();
        };
        all.values()
            .fold(Behind::default(), |sum, (one, _)| Behind {
                lag_ms: sum.lag_ms.max(one.lag_ms),
                waiting: sum.waiting + one.waiting,
                failing: sum.failing + one.failing,
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_that_is_furthest_behind_says_the_lag_and_all_of_them_what_waits() {
        let stats = WebhookStats::default();
        let behind = |lag_ms, waiting, failing| Behind {
            lag_ms,
            waiting,
            failing,
        };
        stats.note_behind(WebhookEndpointId(1), behind(5, 1, 1), None);
        stats.note_behind(WebhookEndpointId(2), behind(900, 2, 0), Some(Timestamp(7)));
        assert_eq!(stats.next_at(WebhookEndpointId(2)), Some(Timestamp(7)));
        assert_eq!(stats.behind(), behind(900, 3, 1));
        stats.note_behind(WebhookEndpointId(2), behind(0, 0, 0), None);
        assert_eq!(stats.behind(), behind(5, 1, 1));
        stats.forget(WebhookEndpointId(1));
        assert_eq!(stats.behind(), Behind::default());
    }

    #[test]
    fn a_ping_that_was_taken_is_seen_once() {
        let stats = WebhookStats::default();
        let (one, other) = (WebhookEndpointId(1), WebhookEndpointId(2));
        stats.note_ping_taken(one);
        stats.note_ping_taken(one);
        let seen = [one, one, other].map(|id| stats.has_taken_ping(id));
        assert_eq!(seen, [true, false, false]);
    }
}
