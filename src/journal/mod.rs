//! The journal: opaque records in one numbered order, durable before anybody hears of them. Holds the
//! writer (group commit), recovery, readers, snapshots and the storage below them; knows nothing of
//! cards. The format on disk is described in `docs/journal-format.md`.
//!
//! ```
//! use cardswitch::journal::{Journal, MemoryStorage, RecordBatch, Settings};
//!
//! let storage = MemoryStorage::new();
//! let (journal, _) = Journal::open(storage, &Settings::default(), 42).unwrap();
//! let journal = journal.start(Box::new(|error| eprintln!("{error}"))).unwrap();
//! let mut batch = RecordBatch::new();
//! batch.push(b"a record");
//! let (answer, answered) = std::sync::mpsc::channel();
//! let release = Box::new(move |durable| answer.send(durable).unwrap());
//! let range = journal.handle().append(&mut batch, release).unwrap();
//! assert_eq!(answered.recv().unwrap(), range.last);
//! journal.close().unwrap();
//! ```

mod ahead;
mod batch;
mod behind;
mod commit;
mod compress;
mod error;
mod frame;
pub mod lock;
mod reader;
mod recover;
mod run;
mod scan;
mod segment;
mod settings;
mod snapshot;
mod stats;
mod storage;
mod verify;
mod writer;

pub use ahead::Space;
pub use batch::RecordBatch;
pub use commit::{Handle, Progress, Release, SequenceRange};
pub use error::JournalError;
pub use frame::{ChainHash, FORMAT_VERSION};
pub use reader::{BEGINNING, Reader};
pub use recover::{Position, Recovered, Truncated, Visit};
pub use run::{Journal, OnFatal, RunningJournal};
pub use settings::{Retain, Settings};
pub use snapshot::{
    SNAPSHOT_VERSION, SnapshotInfo, SnapshotReader, Snapshots, newest_snapshot, write_snapshot,
};
pub use stats::{SYNC_BOUNDS_US, Stats, StatsReading};
pub use storage::{
    Access, CrashingStorage, Fault, Faults, FileStorage, FolderLock, Loss, MemoryStorage, Storage,
    StorageFile,
};
pub use verify::{FrameInfo, Report, verify, verify_records};

/// Number of a record. The first is 1; they follow without a gap over the whole journal.
pub type Sequence = u64;
