//! The follower: pulls durable records from the journal and projects them, in its own time. Falls
//! behind visibly while the database is away and catches up when it is back; nobody waits for it.

use super::database::Store;
use super::error::StoreError;
use super::lag::{FollowState, ProjectionLag};
use super::pace::Pace;
use super::projection::{Fault, Projector};
use super::rows::Sequence;
use crate::engine::record::Record;
use crate::journal::ChainHash;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Why records could not be read, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("{0}")]
    Lasting(String),
    /// As while the process has too many files open.
    #[error("{0}")]
    Passing(String),
}

/// Records in journal order. Called on a thread where it may block.
pub trait RecordSource: Send + 'static {
    fn journal_id(&self) -> u128;

    /// The last durable record.
    fn durable(&self) -> Sequence;

    /// Goes to record `from`: the next batch begins there.
    fn seek(&mut self, from: Sequence) -> Result<(), SourceError>;

    /// The next durable records, at most `limit`. Waits up to `wait` for the first of them, and for no
    /// other; empty if none came.
    fn next_batch(
        &mut self,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(Sequence, Record)>, SourceError>;

    /// The journal's chain hash at this record, which names all records up to there: at hand for the last one given.
    /// `None` where the record is not kept, or there is no such hash.
    fn chain_at(&mut self, sequence: Sequence) -> Result<Option<ChainHash>, SourceError> {
        let _ = sequence;
        Ok(None)
    }
}

/// Records that follow one another, and the journal's chain hash at the last of them.
pub(super) struct Pulled {
    pub records: Vec<(Sequence, Record)>,
    pub chain: Option<ChainHash>,
}

/// The next of them. Blocks.
pub(super) fn pull<S: RecordSource>(
    source: &mut S,
    limit: usize,
    wait: Duration,
) -> Result<Pulled, SourceError> {
    let records = source.next_batch(limit, wait)?;
    let chain = match records.last() {
        Some((last, _)) => source.chain_at(*last)?,
        None => None,
    };
    Ok(Pulled { records, chain })
}

/// How the follower paces itself. The defaults keep the lag under 200 ms where there is little to do.
#[derive(Clone)]
pub struct FollowSettings {
    /// Records of one transaction at most.
    pub batch_max: usize,
    /// How long records may gather after a small batch; four times as long after one that was not so small, for
    /// then fewer transactions write the same pages fewer times.
    pub gather: Duration,
    /// How long one look for new records may take; also how soon a shutdown is seen.
    pub wait: Duration,
    /// The longest rest after a batch while more comes than could be taken.
    pub hold_back_max: Duration,
    /// The first and the longest pause before the database is tried again.
    pub retry_min: Duration,
    pub retry_max: Duration,
    /// The end of the journal when this process began. Tables that were ahead of it hold what the journal has
    /// lost, even if new records have gone past them by the time that the database can be asked.
    pub began_at: Option<Sequence>,
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl Default for FollowSettings {
    fn default() -> FollowSettings {
        FollowSettings {
            batch_max: 4096,
            gather: Duration::from_millis(25),
            wait: Duration::from_millis(100),
            hold_back_max: Duration::from_millis(200),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            began_at: None,
            fault: None,
        }
    }
}

/// Projects until `shutdown`. A database that is away is tried again for ever.
///
/// # Errors
/// What trying again cannot help: [`StoreError::OtherJournal`], [`StoreError::AheadOfJournal`],
/// [`StoreError::OtherHistory`], [`StoreError::NewerTables`], [`StoreError::Gap`], [`StoreError::Missing`], [`StoreError::Mismatch`],
/// [`StoreError::Source`]. The switch can go on without its tables; lists then stay as they are.
pub async fn run<S: RecordSource>(
    source: S,
    store: Store,
    settings: FollowSettings,
    lag: Arc<ProjectionLag>,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    let mut follower = Follower {
        began_at: settings.began_at,
        source: Some(source),
        store,
        settings,
        lag,
        shutdown,
    };
    let mut failures = 0u32;
    loop {
        let before = follower.lag.projected_through();
        let Err(error) = follower.session().await else {
            follower.lag.enter(FollowState::Stopped);
            return Ok(());
        };
        if !error.is_passing() {
            let lag = &follower.lag;
            lag.enter_with(FollowState::Failed, error.way_out());
            tracing::error!("the projection stopped: {error}");
            return Err(error);
        }
        if follower.lag.projected_through() > before {
            failures = 0;
        }
        follower.note_failure(&error);
        let pause = retry_pause(&follower.settings, failures, before);
        failures = failures.saturating_add(1);
        let over = tokio::time::timeout(pause, follower.shutdown.cancelled()).await;
        if over.is_ok() {
            follower.lag.enter(FollowState::Stopped);
            return Ok(());
        }
    }
}

/// Doubles from the first to the longest pause; a quarter of it differs from one try to the next, so
/// that several followers do not come back at the same moment.
fn retry_pause(settings: &FollowSettings, failures: u32, seed: u64) -> Duration {
    let doubled = settings.retry_min.saturating_mul(1 << failures.min(16));
    let pause = doubled.min(settings.retry_max);
    let mixed = (seed ^ u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    pause.mul_f64(0.75 + mixed as f64 / 1024.0)
}

struct Follower<S> {
    /// Absent only while a reading thread has it.
    source: Option<S>,
    store: Store,
    settings: FollowSettings,
    lag: Arc<ProjectionLag>,
    shutdown: CancellationToken,
    /// Of the settings, until the tables were held against it.
    began_at: Option<Sequence>,
}

/// What a reading thread gives back: the source and what it read.
type Reading<S> = JoinHandle<(S, Result<Pulled, SourceError>)>;

impl<S: RecordSource> Follower<S> {
    fn note_failure(&self, error: &StoreError) {
        let state = match error {
            StoreError::Away { .. } => FollowState::Away,
            _ => FollowState::Refused,
        };
        if let Some(source) = &self.source {
            self.lag.note_durable(source.durable());
        }
        let now = (state, error.way_out());
        match self.lag.enter_with(now.0, now.1) != now {
            true if error.needs_the_operator() => {
                tracing::error!("the projection is waiting: {error}");
            }
            true => tracing::warn!("the projection is waiting: {error}"),
            false => {}
        }
    }

    /// From the position that the database has, until something fails or the process shuts down.
    async fn session(&mut self) -> Result<(), StoreError> {
        let mut source = self.source.take().ok_or_else(lost_source)?;
        let shutdown = self.shutdown.clone();
        let opened = tokio::select! {
            opened = self.open(&mut source) => opened,
            // A database may say nothing for ever.
            () = shutdown.cancelled() => return Ok(()),
        };
        self.source = Some(source);
        let mut projector = opened?;
        let mut reading = self.read()?;
        let (mut pace, mut seen) = (Pace::default(), (self.lag.durable(), Instant::now()));
        loop {
            let Pulled { records, chain } = self.finish(reading).await?;
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            let behind = records.len() >= self.settings.batch_max / 2;
            if behind {
                // The next records are read and unpacked while SQL takes these.
                reading = self.read()?;
                let started = Instant::now();
                let applied = projector.apply_up_to(&records, chain).await;
                if applied.is_err() {
                    // Its records will be read again, but the source is needed.
                    let _ = self.finish(reading).await;
                    return applied;
                }
                let now = (self.lag.durable(), Instant::now());
                let came = now.0 - seen.0;
                let taken = records.len() as u64;
                let rest = pace.rest_after(taken, came, now.1 - started, now.1 - seen.1);
                seen = now;
                if !rest.is_zero() {
                    let rest = rest.min(self.settings.hold_back_max);
                    let _ = tokio::time::timeout(rest, self.shutdown.cancelled()).await;
                }
            } else {
                projector.apply_up_to(&records, chain).await?;
                (pace, seen) = (Pace::default(), (self.lag.durable(), Instant::now()));
                self.lag.note_projected(projector.position());
                if !records.is_empty() {
                    let busy = records.len() >= self.settings.batch_max / 16;
                    let gather = self.settings.gather * if busy { 4 } else { 1 };
                    let _ = tokio::time::timeout(gather, self.shutdown.cancelled()).await;
                }
                reading = self.read()?;
            }
            self.lag.note_projected(projector.position());
        }
    }

    async fn open(&mut self, source: &mut S) -> Result<Projector, StoreError> {
        let mut projector = Projector::open(&self.store, source.journal_id()).await?;
        if let Some(fault) = &self.settings.fault {
            projector = projector.with_fault(fault.clone());
        }
        let (position, durable) = (projector.position(), source.durable());
        let ended_at = self.began_at.unwrap_or(durable);
        self.store.check_fit(source, ended_at).await?;
        // From here on the tables hold what this process wrote.
        self.began_at = None;
        source.seek(position + 1)?;
        self.lag.note_durable(durable);
        self.lag.note_projected(position);
        if self.lag.enter(FollowState::Following) != FollowState::Following {
            let behind = durable - position;
            tracing::info!(position, behind, "the projection follows the journal");
        }
        Ok(projector)
    }

    fn read(&mut self) -> Result<Reading<S>, StoreError> {
        let mut source = self.source.take().ok_or_else(lost_source)?;
        let (limit, wait) = (self.settings.batch_max, self.settings.wait);
        Ok(tokio::task::spawn_blocking(move || {
            let pulled = pull(&mut source, limit, wait);
            (source, pulled)
        }))
    }

    async fn finish(&mut self, reading: Reading<S>) -> Result<Pulled, StoreError> {
        let (source, pulled) = reading.await.map_err(|_| lost_source())?;
        self.lag.note_durable(source.durable());
        self.source = Some(source);
        Ok(pulled?)
    }
}

fn lost_source() -> StoreError {
    StoreError::Source(SourceError::Lasting(
        "the reading thread ended by a panic".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        let settings = FollowSettings::default();
        let pauses: Vec<Duration> = (0..20).map(|n| retry_pause(&settings, n, 7)).collect();
        assert!(pauses[0] <= settings.retry_min);
        assert!(pauses[3] > pauses[0] * 4);
        assert!(pauses.iter().all(|pause| *pause <= settings.retry_max));
        assert_ne!(pauses[18], pauses[19]);
    }
}
