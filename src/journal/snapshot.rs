//! Snapshot files: opaque content at one position of the journal, complete or not there at all. The
//! two newest are kept; a damaged one is passed over. What is in them, and when one is due, is the
//! caller's business.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use super::{
    Sequence,
    error::JournalError,
    frame::ChainHash,
    recover::Position,
    segment::{TEMPORARY, remove_if_there},
    storage::{self, Access, FileReader, Storage, StorageFile},
};

/// Version of the snapshot file's own header and trailer.
pub const SNAPSHOT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"CSWSNAPS";
const HEADER: usize = 64;
/// Content length, then the BLAKE3 of everything before the hash.
const TRAILER: usize = 8 + 32;
const KEPT: usize = 2;
/// Written per call, and synced per step so that no large flush hits the journal's own syncs.
const BLOCK: usize = 256 << 10;
const STEP: u64 = 1 << 20;

/// What a snapshot says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Id of the journal it belongs to.
    pub journal_id: u128,
    /// The last record in it, and the hash of the frame that ends there.
    pub at: Position,
    /// Length of the content in bytes.
    pub bytes: u64,
}

/// A snapshot that passed its check; reads as its content.
pub struct SnapshotReader {
    info: SnapshotInfo,
    content: io::BufReader<io::Take<FileReader>>,
}

/// What was found on looking for a snapshot.
pub struct Snapshots {
    /// The newest sound one, if there is any.
    pub newest: Option<SnapshotReader>,
    /// Newer ones that could not be used, and why: worth a loud line in the log.
    pub skipped: Vec<JournalError>,
}

impl SnapshotReader {
    /// What it says about itself; `info().at` is where the replay begins.
    pub fn info(&self) -> SnapshotInfo {
        self.info
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.content.read(out)
    }
}

/// Writes a snapshot with what `content` writes, makes it durable, and then removes all but the
/// two newest. A crash at any moment leaves the former ones.
///
/// # Errors
/// [`JournalError::Io`], also for an error from `content`; no snapshot was made then.
pub fn write_snapshot(
    storage: &dyn Storage,
    journal_id: u128,
    at: Position,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<SnapshotInfo, JournalError> {
    let name = name(at.sequence);
    let temporary = name.clone() + TEMPORARY;
    let failed = |error| JournalError::io("write snapshot", storage.path(&name))(error);
    let known = storage.list().map_err(failed)?.contains(&name);
    let written = write_file(storage, &temporary, journal_id, at, content).and_then(|bytes| {
        storage.rename(&temporary, &name)?;
        storage.sync_directory()?;
        Ok(bytes)
    });
    if written.is_err() {
        // The first error is the one worth telling; the next start removes the rest. The new name as well:
        // a sync of the folder that failed may have left it in the cache only, for ever.
        let _ = storage.remove(&temporary);
        if !known {
            let _ = storage.remove(&name);
        }
    }
    let bytes = written.map_err(failed)?;
    remove_old(storage).map_err(failed)?;
    Ok(SnapshotInfo {
        journal_id,
        at,
        bytes,
    })
}

/// Finds the newest snapshot of this journal that passes its check.
///
/// # Errors
/// Only if the folder cannot be listed; damage is in [`Snapshots::skipped`].
pub fn newest_snapshot(
    storage: &Arc<dyn Storage>,
    journal_id: Option<u128>,
) -> Result<Snapshots, JournalError> {
    let listed = sequences(&**storage);
    let listed = listed.map_err(JournalError::io("list", storage.path("")))?;
    let mut found = Snapshots {
        newest: None,
        skipped: Vec::new(),
    };
    for sequence in listed {
        match check(&**storage, sequence, journal_id) {
            Ok(reader) => {
                found.newest = Some(reader);
                break;
            }
            Err(error) => found.skipped.push(error),
        }
    }
    Ok(found)
}

fn name(sequence: Sequence) -> String {
    format!("snapshot-{sequence:020}")
}

/// Sequences of all snapshots, newest first.
fn sequences(storage: &dyn Storage) -> io::Result<Vec<Sequence>> {
    let names = storage.list()?;
    let digits = names
        .iter()
        .filter_map(|name| name.strip_prefix("snapshot-"));
    let mut sequences: Vec<Sequence> = digits.filter_map(|digits| digits.parse().ok()).collect();
    sequences.sort_unstable_by(|a, b| b.cmp(a));
    Ok(sequences)
}

fn remove_old(storage: &dyn Storage) -> io::Result<()> {
    for sequence in sequences(storage)?.into_iter().skip(KEPT) {
        storage.remove(&name(sequence))?;
    }
    storage.sync_directory()
}

fn write_file(
    storage: &dyn Storage,
    temporary: &str,
    journal_id: u128,
    at: Position,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<u64> {
    remove_if_there(storage, temporary)?;
    let file = storage.create(temporary)?;
    let sink = Sink {
        file,
        offset: 0,
        synced: 0,
        hasher: blake3::Hasher::new(),
    };
    let mut out = io::BufWriter::with_capacity(BLOCK, sink);
    out.write_all(&header(journal_id, at))?;
    content(&mut out)?;
    let mut sink = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let bytes = sink.offset - HEADER as u64;
    sink.write_all(&bytes.to_le_bytes())?;
    let hash = sink.hasher.finalize();
    storage::write_all(&*sink.file, hash.as_bytes(), sink.offset)?;
    storage::sync(&*sink.file)?;
    Ok(bytes)
}

fn header(journal_id: u128, at: Position) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&SNAPSHOT_VERSION.to_le_bytes());
    header[16..32].copy_from_slice(&journal_id.to_le_bytes());
    header[32..40].copy_from_slice(&at.sequence.to_le_bytes());
    header[40..56].copy_from_slice(&at.chain.0);
    header
}

/// Reads the whole file once and compares its hash, then hands out its content.
fn check(
    storage: &dyn Storage,
    sequence: Sequence,
    journal_id: Option<u128>,
) -> Result<SnapshotReader, JournalError> {
    let (name, path) = (name(sequence), storage.path(&name(sequence)));
    let failed = |error| JournalError::io("read", path.clone())(error);
    let damaged = |offset: u64, reason: &str| {
        let (file, reason) = (path.clone(), reason.to_owned());
        JournalError::Damaged {
            file,
            offset,
            reason,
            intact_through: 0,
        }
    };
    let file = storage.open(&name, Access::Read).map_err(failed)?;
    let length = file.byte_length().map_err(failed)?;
    let Some(bytes) = length.checked_sub((HEADER + TRAILER) as u64) else {
        return Err(damaged(0, "it is too short"));
    };
    let mut head = [0; HEADER];
    storage::read_up_to(&*file, &mut head, 0).map_err(failed)?;
    if head[0..8] != MAGIC {
        return Err(damaged(0, "it does not begin as a snapshot does"));
    }
    let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    let whole = hash_of(&file, length - 32).map_err(failed)?;
    let mut trailer = [0; TRAILER];
    storage::read_up_to(&*file, &mut trailer, length - TRAILER as u64).map_err(failed)?;
    let sound = whole.as_bytes()[..] == trailer[8..] && bytes.to_le_bytes()[..] == trailer[..8];
    if version != SNAPSHOT_VERSION {
        return Err(JournalError::FormatVersion {
            file: path,
            found: version,
            known: SNAPSHOT_VERSION,
        });
    }
    if !sound {
        return Err(damaged(0, "its content does not match its hash"));
    }
    let info = info_in(&head, bytes);
    if let Some(expected) = journal_id.filter(|expected| *expected != info.journal_id) {
        return Err(JournalError::JournalId {
            file: path,
            expected,
            found: info.journal_id,
        });
    }
    if info.at.sequence != sequence {
        return Err(damaged(0, "its name is that of another snapshot"));
    }
    let content = FileReader {
        file,
        offset: HEADER as u64,
    }
    .take(bytes);
    Ok(SnapshotReader {
        info,
        content: io::BufReader::with_capacity(BLOCK, content),
    })
}

fn info_in(head: &[u8; HEADER], bytes: u64) -> SnapshotInfo {
    let mut id = [0; 16];
    id.copy_from_slice(&head[16..32]);
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&head[32..40]);
    let mut chain = ChainHash::default();
    chain.0.copy_from_slice(&head[40..56]);
    let at = Position {
        sequence: u64::from_le_bytes(sequence),
        chain,
    };
    SnapshotInfo {
        journal_id: u128::from_le_bytes(id),
        at,
        bytes,
    }
}

fn hash_of(file: &Arc<dyn StorageFile>, length: u64) -> io::Result<blake3::Hash> {
    let mut reader = FileReader {
        file: file.clone(),
        offset: 0,
    }
    .take(length);
    let (mut hasher, mut block) = (blake3::Hasher::new(), vec![0; BLOCK]);
    loop {
        match reader.read(&mut block)? {
            0 => return Ok(hasher.finalize()),
            count => drop(hasher.update(&block[..count])),
        }
    }
}

/// Writes and hashes; syncs in steps.
struct Sink {
    file: Arc<dyn StorageFile>,
    offset: u64,
    synced: u64,
    hasher: blake3::Hasher,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        storage::write_all(&*self.file, bytes, self.offset)?;
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        if self.offset - self.synced >= STEP {
            self.synced = self.offset;
            storage::sync(&*self.file)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
