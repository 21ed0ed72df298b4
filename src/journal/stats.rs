//! Counters of the writer, for metrics: plain atomics that anybody may read at any time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the sync histogram's buckets, in microseconds; one more bucket has no bound.
pub const SYNC_BOUNDS_US: [u64; 12] = [
    50, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000, 20_000, 100_000, 1_000_000,
];

/// Counts since the journal was opened.
#[derive(Debug, Default)]
pub struct Stats {
    frames: AtomicU64,
    marks: AtomicU64,
    bytes: AtomicU64,
    rotations: AtomicU64,
    rotation_waits: AtomicU64,
    compressed: AtomicU64,
    tidy_failures: AtomicU64,
    /// When the group that is being written was begun, in nanoseconds; 0 while there is none.
    commit_began_ns: AtomicU64,
    syncs: AtomicU64,
    sync_ns: AtomicU64,
    sync_max_ns: AtomicU64,
    buckets: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsReading {
    /// Frames written, marks included.
    pub frames: u64,
    /// Frames without records.
    pub marks: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Changes to the next segment.
    pub rotations: u64,
    /// Times that the commit thread waited for a segment to be prepared.
    pub rotation_waits: u64,
    /// Sealed segments compressed.
    pub compressed: u64,
    /// Compressions and removals that failed and will be tried again.
    pub tidy_failures: u64,
    /// Calls of `fdatasync` for frames.
    pub syncs: u64,
    /// Their total time.
    pub sync_time: Duration,
    /// The longest.
    pub sync_max: Duration,
    /// Syncs per bucket of [`SYNC_BOUNDS_US`], not cumulative.
    pub sync_buckets: [u64; SYNC_BOUNDS_US.len() + 1],
}

impl Stats {
    /// Reads all counters.
    pub fn read(&self) -> StatsReading {
        StatsReading {
            frames: self.frames.load(Relaxed),
            marks: self.marks.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            rotations: self.rotations.load(Relaxed),
            rotation_waits: self.rotation_waits.load(Relaxed),
            compressed: self.compressed.load(Relaxed),
            tidy_failures: self.tidy_failures.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            sync_time: Duration::from_nanos(self.sync_ns.load(Relaxed)),
            sync_max: Duration::from_nanos(self.sync_max_ns.load(Relaxed)),
            sync_buckets: std::array::from_fn(|at| self.buckets[at].load(Relaxed)),
        }
    }

    pub(super) fn commit_began(&self, at: Duration) {
        let ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.commit_began_ns.store(ns.max(1), Relaxed);
    }

    pub(super) fn commit_ended(&self) {
        self.commit_began_ns.store(0, Relaxed);
    }

    /// When the group that is being written was begun, by the storage's clock.
    pub(super) fn commit_since(&self) -> Option<Duration> {
        let ns = self.commit_began_ns.load(Relaxed);
        (ns > 0).then(|| Duration::from_nanos(ns))
    }

    pub(super) fn count_frame(&self, bytes: usize) {
        self.frames.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn count_mark(&self) {
        self.marks.fetch_add(1, Relaxed);
    }

    pub(super) fn count_rotation(&self) {
        self.rotations.fetch_add(1, Relaxed);
    }

    pub(super) fn count_compressed(&self, done: bool) {
        self.compressed.fetch_add(u64::from(done), Relaxed);
    }

    pub(super) fn count_tidy_failure(&self) {
        self.tidy_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn count_rotation_wait(&self) {
        self.rotation_waits.fetch_add(1, Relaxed);
    }

    pub(super) fn count_sync(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Relaxed);
        self.sync_ns.fetch_add(ns, Relaxed);
        self.sync_max_ns.fetch_max(ns, Relaxed);
        let bucket = SYNC_BOUNDS_US.partition_point(|bound| bound * 1_000 < ns);
        self.buckets[bucket].fetch_add(1, Relaxed);
    }
}
