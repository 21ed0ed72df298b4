//! Group commit: producers append under one short lock while the group before theirs is synced;
//! releases run after the sync, in the order of the appends. Also the waiting for progress.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering, fence},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::{
    Sequence,
    ahead::{Ahead, Space},
    batch::RecordBatch,
    error::JournalError,
    frame::HEADER,
    reader::Reader,
    settings::Settings,
    stats::Stats,
    storage::Storage,
};

/// What waits for a record to be durable: usually an answer.
pub trait Release: Send {
    /// Called once, on the commit thread, after the sync of the group that holds the record.
    /// `durable` is the last durable record. It must be quick and must not block: the next group
    /// waits for it. Dropped without a call if the journal fails.
    fn release(self: Box<Self>, durable: Sequence);
}

impl<F: FnOnce(Sequence) + Send> Release for F {
    fn release(self: Box<Self>, durable: Sequence) {
        self(durable);
    }
}

/// The sequences of the records of one batch, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// Sequence of the first record.
    pub first: Sequence,
    /// Sequence of the last record; `first - 1` for an empty batch.
    pub last: Sequence,
}

/// Shared by the producers and the commit thread.
pub(super) struct Shared {
    group: Mutex<Group>,
    /// The commit thread waits here for work.
    work: Condvar,
    /// Producers wait here for room.
    room: Condvar,
    pending_limit: usize,
    segment_size_bytes: u64,
    /// `None` never counts as stalled.
    stall_refuse: Option<Duration>,
    progress: Progress,
    ahead: Arc<Ahead>,
    stats: Arc<Stats>,
    storage: Arc<dyn Storage>,
    journal_id: u128,
}

/// The group that is being filled, and what waits beside it.
struct Group {
    records: RecordBatch,
    releases: Vec<Box<dyn Release>>,
    /// Releases for records before this group; due when the commit thread looks next.
    late: Vec<Box<dyn Release>>,
    /// Sequence of the next record appended.
    next: Sequence,
    committer_waits: bool,
    producers_wait: u32,
    closing: bool,
    failed: Option<String>,
}

impl Group {
    fn first(&self) -> Sequence {
        self.next - self.records.len() as u64
    }

    fn is_idle(&self) -> bool {
        self.records.is_empty() && self.late.is_empty()
    }

    fn refusal(&self) -> Result<(), JournalError> {
        match &self.failed {
            Some(reason) => Err(JournalError::Failed {
                reason: reason.clone(),
            }),
            None if self.closing => Err(JournalError::Closed),
            None => Ok(()),
        }
    }
}

/// What the commit thread takes at once.
pub(super) struct Taken {
    pub records: RecordBatch,
    pub releases: Vec<Box<dyn Release>>,
    pub late: Vec<Box<dyn Release>>,
}

impl Taken {
    pub fn new() -> Self {
        Self {
            records: RecordBatch::new(),
            releases: Vec::new(),
            late: Vec::new(),
        }
    }
}

/// Why the commit thread woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Work,
    Idle,
    Closing,
}

impl Shared {
    pub fn new(
        storage: Arc<dyn Storage>,
        journal_id: u128,
        durable: Sequence,
        settings: &Settings,
        ahead: Arc<Ahead>,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        let group = Group {
            records: RecordBatch::new(),
            releases: Vec::new(),
            late: Vec::new(),
            next: durable + 1,
            committer_waits: false,
            producers_wait: 0,
            closing: false,
            failed: None,
        };
        Arc::new(Self {
            group: Mutex::new(group),
            work: Condvar::new(),
            room: Condvar::new(),
            pending_limit: settings.pending_limit_bytes as usize,
            segment_size_bytes: settings.segment_size_bytes,
            stall_refuse: (settings.stall_refuse_ms > 0)
                .then(|| Duration::from_millis(settings.stall_refuse_ms)),
            progress: Progress::new(durable),
            ahead,
            stats,
            storage,
            journal_id,
        })
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to commit, at most `idle_after` if given.
    pub fn wait_for_work(&self, idle_after: Option<Duration>) -> Wake {
        let mut group = self.group();
        loop {
            if !group.is_idle() {
                return Wake::Work;
            }
            if group.closing {
                return Wake::Closing;
            }
            group.committer_waits = true;
            let timed_out;
            (group, timed_out) = match idle_after {
                None => (
                    self.work
                        .wait(group)
                        .unwrap_or_else(PoisonError::into_inner),
                    false,
                ),
                Some(limit) => {
                    let (group, result) = self
                        .work
                        .wait_timeout(group, limit)
                        .unwrap_or_else(PoisonError::into_inner);
                    (group, result.timed_out())
                }
            };
            group.committer_waits = false;
            if timed_out && group.is_idle() && !group.closing {
                return Wake::Idle;
            }
        }
    }

    /// Swaps the filled group against the empty one in `taken`.
    pub fn take(&self, taken: &mut Taken) {
        let mut group = self.group();
        std::mem::swap(&mut group.records, &mut taken.records);
        std::mem::swap(&mut group.releases, &mut taken.releases);
        std::mem::swap(&mut group.late, &mut taken.late);
        if group.producers_wait > 0 {
            self.room.notify_all();
        }
    }

    /// Records up to here are durable: from now on `Handle::durable` says so.
    pub fn advance(&self, durable: Sequence) {
        self.progress
            .inner
            .durable
            .store(durable, Ordering::Release);
    }

    /// Tells the followers, after the answers are out.
    pub fn publish(&self) {
        self.progress.wake_waiting();
    }

    /// Nothing is taken and nothing is released from now on.
    pub fn fail(&self, error: &JournalError) {
        let mut group = self.group();
        group.failed.get_or_insert_with(|| error.to_string());
        group.records.clear();
        let dropped = (
            std::mem::take(&mut group.releases),
            std::mem::take(&mut group.late),
        );
        self.room.notify_all();
        drop(group);
        drop(dropped);
        self.progress.wake_waiting();
    }

    pub fn close(&self) {
        let mut group = self.group();
        group.closing = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}

/// Appends records; cheap to clone, one for each producer.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    /// Takes all records of the batch, in order, as one piece of the journal, and empties it. Waits
    /// only while the group is full, which is to say for the disk. `release` is called when the
    /// last of the records is durable.
    ///
    /// # Errors
    /// [`JournalError::Failed`], [`JournalError::Closed`], [`JournalError::BatchTooLarge`]: nothing
    /// was taken, and `release` is dropped without a call.
    pub fn append(
        &self,
        batch: &mut RecordBatch,
        release: Box<dyn Release>,
    ) -> Result<SequenceRange, JournalError> {
        if batch.byte_length() > self.shared.pending_limit {
            let (bytes, limit) = (batch.byte_length() as u64, self.shared.pending_limit as u64);
            return Err(JournalError::BatchTooLarge { bytes, limit });
        }
        let mut group = self.shared.group();
        group.refusal()?;
        while group.records.byte_length() + batch.byte_length() > self.shared.pending_limit {
            group.producers_wait += 1;
            group = self
                .shared
                .room
                .wait(group)
                .unwrap_or_else(PoisonError::into_inner);
            group.producers_wait -= 1;
            group.refusal()?;
        }
        let range = SequenceRange {
            first: group.next,
            last: group.next + batch.len() as u64 - 1,
        };
        if group.records.is_empty() {
            std::mem::swap(&mut group.records, batch);
        } else {
            group
                .records
                .buffer
                .extend_from_slice(&batch.buffer[HEADER..]);
            group.records.count += batch.count;
        }
        batch.clear();
        group.next = range.last + 1;
        self.push_release(&mut group, range.last, release);
        Ok(range)
    }

    /// Calls `release` once `sequence` is durable, from the commit thread and after the releases of
    /// its group; if it is durable already, as soon as the commit thread is free. A caller that
    /// finds [`Handle::durable`] far enough may as well answer at once by itself.
    ///
    /// # Errors
    /// [`JournalError::UnknownSequence`] if nobody appended that record yet; else as `append`.
    pub fn release_after(
        &self,
        sequence: Sequence,
        release: Box<dyn Release>,
    ) -> Result<(), JournalError> {
        let mut group = self.shared.group();
        group.refusal()?;
        if sequence >= group.next {
            let last = group.next - 1;
            return Err(JournalError::UnknownSequence { sequence, last });
        }
        self.push_release(&mut group, sequence, release);
        Ok(())
    }

    fn push_release(
        &self,
        group: &mut MutexGuard<'_, Group>,
        sequence: Sequence,
        release: Box<dyn Release>,
    ) {
        if sequence >= group.first() {
            group.releases.push(release);
        } else {
            group.late.push(release);
        }
        if group.committer_waits {
            group.committer_waits = false;
            self.shared.work.notify_one();
        }
    }

    /// The last durable record.
    pub fn durable(&self) -> Sequence {
        self.shared.progress.durable()
    }

    /// For followers that wait for more.
    pub fn subscribe(&self) -> Progress {
        self.shared.progress.clone()
    }

    /// A reader in this process, from record `from` up to [`Handle::durable`].
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self, from: Sequence) -> Result<Reader, JournalError> {
        Reader::beside_writer(self.shared.storage.clone(), from, self.subscribe())
    }

    /// Where the journal lies, for what reads it beside the writer.
    pub fn storage(&self) -> Arc<dyn Storage> {
        self.shared.storage.clone()
    }

    /// Whether new work may be taken, or only what cannot be refused.
    pub fn space(&self) -> Space {
        self.shared.ahead.space()
    }

    /// Zero-filled bytes that lie ready behind the live segment.
    pub fn reserve_bytes(&self) -> u64 {
        self.shared.ahead.segments_ready() as u64 * self.shared.segment_size_bytes
    }

    /// How long the group that is being written has been on its way to the disk; zero while there is
    /// none.
    pub fn commit_time(&self) -> Duration {
        let since = self.shared.stats.commit_since();
        since.map_or(Duration::ZERO, |since| {
            self.shared.storage.elapsed().saturating_sub(since)
        })
    }

    /// True while the disk holds a group up for longer than `stall_refuse_ms`: what is taken now waits
    /// behind it, so ordinary work is better refused.
    pub fn is_stalled(&self) -> bool {
        let bound = self.shared.stall_refuse;
        bound.is_some_and(|bound| self.commit_time() > bound)
    }

    /// The last record in sealed segments: where the snapshot follower stops to take a snapshot. It
    /// is the last of its frame.
    pub fn sealed_through(&self) -> Sequence {
        self.shared.ahead.sealed_through()
    }

    /// Allows segments wholly before this record to be removed, as `retain` asks: the oldest record
    /// that the older snapshot or any follower still needs. Without a call nothing is removed.
    pub fn set_floor(&self, floor: Sequence) {
        self.shared.ahead.set_floor(floor);
    }

    /// Counters for metrics.
    pub fn stats(&self) -> Arc<Stats> {
        self.shared.stats.clone()
    }

    /// Id of this journal.
    pub fn journal_id(&self) -> u128 {
        self.shared.journal_id
    }
}

/// How far the journal is durable, with waiting.
#[derive(Clone)]
pub struct Progress {
    inner: Arc<ProgressInner>,
}

struct ProgressInner {
    durable: AtomicU64,
    waiting: Mutex<Vec<Waiting>>,
}

/// A thread that waits for a record after `known`.
struct Waiting {
    known: Sequence,
    thread: Thread,
}

impl Progress {
    fn new(durable: Sequence) -> Self {
        let inner = ProgressInner {
            durable: AtomicU64::new(durable),
            waiting: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The last durable record.
    pub fn durable(&self) -> Sequence {
        self.inner.durable.load(Ordering::Acquire)
    }

    /// Waits until a record after `known` is durable or the time is over; gives the last durable
    /// record either way.
    pub fn wait_beyond(&self, known: Sequence, timeout: Duration) -> Sequence {
        let until = Instant::now() + timeout;
        while self.durable() <= known {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let thread = thread::current();
            self.waiting().push(Waiting { known, thread });
            fence(Ordering::SeqCst);
            if self.durable() <= known {
                thread::park_timeout(left);
            }
            let this = thread::current().id();
            self.waiting().retain(|other| other.thread.id() != this);
        }
        self.durable()
    }

    /// Wakes those who have what they wait for. Never waits for the lock: a follower gives way to all
    /// others, so one that holds it may have to wait long for a processor, and the commit thread must
    /// not wait with it. Whoever holds it looks at `durable` once more before sleeping.
    fn wake_waiting(&self) {
        fence(Ordering::SeqCst);
        let durable = self.durable();
        if let Ok(mut waiting) = self.inner.waiting.try_lock() {
            waiting
                .extract_if(.., |follower| follower.known < durable)
                .for_each(|follower| follower.thread.unpark());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        let waiting = self.inner.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}
