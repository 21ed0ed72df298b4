//! What can go wrong with the journal, each with the place and the way out. Holds no card data: a
//! record's content never appears here.

use std::io;

use super::{Sequence, storage::is_out_of_descriptors};

/// Every failure of the journal. After [`JournalError::Failed`], [`JournalError::Io`], [`JournalError::DiskFull`] or
/// [`JournalError::OpenFiles`] from a writer, the process must stop: the state of the file is
/// unknown until the next start has read it back.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A call to the operating system failed.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// Full path of the file or folder.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Bytes that were proven durable are no longer what was written.
    #[error(
        "{file} is damaged at byte {offset}: {reason}. Records up to {intact_through} are intact. \
         The file was not changed; restore it from a backup or a replica, then start again"
    )]
    Damaged {
        /// Full path of the segment or snapshot.
        file: String,
        /// Where the first damaged frame begins (inside a compressed segment: in its plain form).
        offset: u64,
        /// What is wrong with it.
        reason: String,
        /// Last record before the damage.
        intact_through: Sequence,
    },
    /// A segment is not as long as it was made.
    #[error(
        "{file} {}. A segment keeps its length, so records may be missing from its end. The file was \
         not changed; restore it from a backup or a replica, then start again",
        length_text(*.found, .made)
    )]
    SegmentLength {
        /// Full path of the segment.
        file: String,
        /// Its length now.
        found: u64,
        /// The length that its frames name, or what every segment's length is.
        made: String,
    },
    /// A segment under the name of another one.
    #[error(
        "{file} holds segment {segment} (it begins with frame {frame}): it stands under a wrong name, or \
         is a copy. No file was changed; give each file the name of the segment that it holds (this one: \
         {name}), or restore what belongs here from a backup or a replica, then start again"
    )]
    Misnamed {
        /// Full path of the file.
        file: String,
        /// The segment that its first frame names.
        segment: u64,
        /// The number of that frame.
        frame: u64,
        /// The name that belongs to that segment.
        name: String,
    },
    /// A segment is not there, though another one shows that it was: one behind it, or the sealed one
    /// before it.
    #[error(
        "journal segment {file} is missing, though other segments show that it was there; restore \
         the file, then start again"
    )]
    MissingSegment {
        /// Full path where it should be.
        file: String,
    },
    /// Written by another release in a format that this one does not know.
    #[error(
        "{file} has format version {found}; this release reads version {known}. Start it with the \
         release that wrote it"
    )]
    FormatVersion {
        /// Full path of the file.
        file: String,
        /// Version in the file.
        found: u32,
        /// Version of this build.
        known: u32,
    },
    /// A file of another journal lies among this journal's files.
    #[error(
        "{file} belongs to journal {found:032x}, not to {expected:032x}; move it out of this folder"
    )]
    JournalId {
        /// Full path of the file.
        file: String,
        /// Id of this journal.
        expected: u128,
        /// Id in the file.
        found: u128,
    },
    /// The snapshot to continue from does not lie on this journal.
    #[error("the snapshot at record {sequence} does not fit the journal: {reason}")]
    SnapshotMismatch {
        /// Last record that the snapshot contains.
        sequence: Sequence,
        /// Why it does not fit.
        reason: String,
    },
    /// Records that were asked for are no longer kept.
    #[error(
        "record {wanted} is not in the journal: the oldest record there is {oldest}, earlier ones are \
         not kept"
    )]
    NotKept {
        /// First record asked for.
        wanted: Sequence,
        /// First record still there.
        oldest: Sequence,
    },
    /// Another process writes here.
    #[error(
        "{folder} is in use by another cardswitch process; stop that process first, or, to run two of them, \
         give this one another data.dir"
    )]
    Locked {
        /// The folder.
        folder: String,
    },
    /// Even the reserve is used up.
    #[error(
        "the disk under {folder} is full and the journal's reserve is used up ({reason}); free \
         space there and start again, no answered record is lost"
    )]
    DiskFull {
        /// The folder.
        folder: String,
        /// What the last attempt to prepare a segment ran into.
        reason: String,
    },
    /// Even the reserve is used up, and no further file can be opened.
    #[error(
        "the journal under {folder} cannot open another segment and its reserve is used up ({reason}); raise the limit of \
         open files (ulimit -n), or lower `connections_max`, and start again, no answered record is lost"
    )]
    OpenFiles {
        /// The folder.
        folder: String,
        /// What the last attempt to prepare a segment ran into.
        reason: String,
    },
    /// An earlier write or sync failed; nothing more is taken.
    #[error("the journal stopped after a failure: {reason}")]
    Failed {
        /// The first failure.
        reason: String,
    },
    /// The journal was closed in order.
    #[error("the journal is closed")]
    Closed,
    /// One batch is larger than a whole group may be.
    #[error(
        "a batch of {bytes} bytes exceeds journal.pending_limit_bytes ({limit}); raise the limit"
    )]
    BatchTooLarge {
        /// Size of the batch.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A release was to wait for a record that nobody appended.
    #[error("record {sequence} does not exist yet; the last one is {last}")]
    UnknownSequence {
        /// The record asked for.
        sequence: Sequence,
        /// Last appended record.
        last: Sequence,
    },
    /// The caller's replay refused a record.
    #[error("record {sequence} cannot be replayed: {reason}")]
    Replay {
        /// The record.
        sequence: Sequence,
        /// What the caller said.
        reason: String,
    },
    /// A record that is as it was written is not what the caller can read.
    #[error("record {sequence}: {reason}")]
    Record {
        /// The record.
        sequence: Sequence,
        /// What the caller said.
        reason: String,
    },
    /// A setting is out of range.
    #[error("journal.{key}: {reason}")]
    Setting {
        /// Name of the key.
        key: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

fn length_text(found: u64, made: &str) -> String {
    match found {
        0 => "is empty".into(),
        _ => format!("has {found} bytes but was made with {made}"),
    }
}

impl JournalError {
    /// The key of `[journal]` that is out of range, where that is what went wrong.
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            Self::Setting { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Whether a reader may find it gone when it tries again: too many files are open.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_descriptors(source))
    }

    /// Wraps a system error with what was tried on which file.
    pub(super) fn io(action: &'static str, file: String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            file,
            source,
        }
    }
}
