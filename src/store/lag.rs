//! How far the projection is behind the journal: numbers that metrics and answers read at any time.

use super::rows::Sequence;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the follower does right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowState {
    Starting,
    Following,
    /// The database cannot be reached; tried again.
    Away,
    /// The database is there and says no, or too many files are open to read the journal; tried again.
    Refused,
    /// Ended by an error that trying again cannot help.
    Failed,
    Stopped,
}

impl FollowState {
    pub const ALL: [FollowState; 6] = [
        FollowState::Starting,
        FollowState::Following,
        FollowState::Away,
        FollowState::Refused,
        FollowState::Failed,
        FollowState::Stopped,
    ];

    pub fn name(self) -> &'static str {
        match self {
            FollowState::Starting => "starting",
            FollowState::Following => "following",
            FollowState::Away => "away",
            FollowState::Refused => "refused",
            FollowState::Failed => "failed",
            FollowState::Stopped => "stopped",
        }
    }
}

/// Shared by the follower, who writes, and everybody who asks.
#[derive(Debug)]
pub struct ProjectionLag {
    projected: watch::Sender<Sequence>,
    durable: AtomicU64,
    state: AtomicU8,
    way_out: Mutex<Option<&'static str>>,
    born: Instant,
    /// Milliseconds after `born` at which the tables last held all that was durable.
    caught_up_ms: AtomicU64,
}

impl Default for ProjectionLag {
    fn default() -> ProjectionLag {
        ProjectionLag {
            projected: watch::Sender::new(0),
            durable: AtomicU64::new(0),
            state: AtomicU8::new(FollowState::Starting as u8),
            way_out: Mutex::default(),
            born: Instant::now(),
            caught_up_ms: AtomicU64::new(0),
        }
    }
}

impl ProjectionLag {
    /// The last record in the tables, as far as the follower knows.
    pub fn projected_through(&self) -> Sequence {
        *self.projected.borrow()
    }

    /// Tells of each move of the projection.
    pub fn subscribe(&self) -> watch::Receiver<Sequence> {
        self.projected.subscribe()
    }

    /// The last durable record that anybody has told of.
    pub fn durable(&self) -> Sequence {
        self.durable.load(Ordering::Acquire)
    }

    /// Durable records that are not in the tables yet.
    pub fn behind_records(&self) -> u64 {
        self.durable().saturating_sub(self.projected_through())
    }

    /// How long ago the tables held all that was durable; 0 while they do.
    pub fn behind_ms(&self) -> u64 {
        if self.behind_records() == 0 {
            return 0;
        }
        let caught_up_ms = self.caught_up_ms.load(Ordering::Acquire);
        self.age_ms().saturating_sub(caught_up_ms)
    }

    pub fn state(&self) -> FollowState {
        FollowState::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    /// What the operator has to do, where the tables do not follow and it is known.
    pub fn way_out(&self) -> Option<&'static str> {
        *self.way_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until record `sequence` is in the tables; false if that takes longer than `timeout`.
    pub async fn reached(&self, sequence: Sequence, timeout: Duration) -> bool {
        let mut projected = self.projected.subscribe();
        let reached = projected.wait_for(|position| *position >= sequence);
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    /// Tells how far the journal is durable; may be told by the journal itself.
    pub fn note_durable(&self, durable: Sequence) {
        self.durable.fetch_max(durable, Ordering::AcqRel);
    }

    pub(super) fn note_projected(&self, position: Sequence) {
        self.projected.send_if_modified(|projected| {
            let moved = *projected != position;
            *projected = position;
            moved
        });
        if self.behind_records() == 0 {
            self.caught_up_ms.store(self.age_ms(), Ordering::Release);
        }
    }

    /// The state before.
    pub(super) fn enter(&self, state: FollowState) -> FollowState {
        self.enter_with(state, None).0
    }

    /// The state and the way out before.
    pub(super) fn enter_with(
        &self,
        state: FollowState,
        way_out: Option<&'static str>,
    ) -> (FollowState, Option<&'static str>) {
        let mut known = self.way_out.lock().unwrap_or_else(PoisonError::into_inner);
        let way_out_before = std::mem::replace(&mut *known, way_out);
        let before = self.state.swap(state as u8, Ordering::AcqRel);
        (FollowState::ALL[usize::from(before)], way_out_before)
    }

    fn age_ms(&self) -> u64 {
        Instant::now().duration_since(self.born).as_millis() as u64
    }
}
