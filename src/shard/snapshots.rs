//! Snapshots of the state, made beside the shards: a thread of its own folds what the journal has gained
//! since the last snapshot onto that snapshot and writes the next one. No shard stops for it.

use super::archive::{Archive, ArchiveError, forgotten_of, open_outboxes};
use crate::engine::record;
use crate::engine::snapshot::{self, SnapshotError};
use crate::engine::world::World;
use crate::journal::{
    Handle, JournalError, Position, Sequence, Storage, newest_snapshot, write_snapshot,
};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is forgotten on the way is kept in pieces of this many.
const KEPT_AT_ONCE: usize = 4_096;

/// How soon the thread sees that it has to stop.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotSettings {
    /// A snapshot is made after so many records; 0 makes none.
    pub every_records: u64,
}

impl Default for SnapshotSettings {
    fn default() -> SnapshotSettings {
        SnapshotSettings {
            every_records: 2_000_000,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotsError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("journal record {sequence}: {error}")]
    Record {
        sequence: Sequence,
        error: record::RecordError,
    },
    #[error(transparent)]
    Content(#[from] SnapshotError),
    #[error(transparent)]
    Archive(ArchiveError),
}

/// The state of the newest usable snapshot, and where the journal goes on after it; an empty world at the
/// beginning where there is none.
pub fn newest(
    storage: &Arc<dyn Storage>,
    shards: usize,
    mut unusable: impl FnMut(&dyn std::fmt::Display),
) -> Result<(World, Position), JournalError> {
    let mut found = newest_snapshot(storage, None)?;
    found.skipped.iter().for_each(|error| unusable(error));
    if let Some(reader) = &mut found.newest {
        let at = reader.info().at;
        match snapshot::read(reader, shards) {
            Ok(world) => return Ok((world, at)),
            Err(error) => unusable(&error),
        }
    }
    Ok((World::new(shards), Position::default()))
}

/// Makes snapshots until told to stop. `last` is the newest one there is. One that fails (the disk may be
/// full) is told to `done` and tried again when as many records again have come.
pub fn follow(
    storage: &Arc<dyn Storage>,
    journal: &Handle,
    archive: Option<&Archive>,
    settings: SnapshotSettings,
    last: Sequence,
    stop: &AtomicBool,
    mut done: impl FnMut(Result<(Sequence, u64), SnapshotsError>),
) {
    let progress = journal.subscribe();
    let mut wanted = last + settings.every_records;
    while !stop.load(Ordering::Acquire) {
        if progress.wait_beyond(wanted.saturating_sub(1), PATIENCE) < wanted {
            continue;
        }
        if let Some(result) = make(storage, journal, archive, stop).transpose() {
            let from = result.as_ref().map_or(journal.durable(), |(at, _)| *at);
            wanted = from + settings.every_records;
            done(result);
        }
    }
}

/// One snapshot of what is durable now; nothing if told to stop on the way. What its state has forgotten is in the
/// archive, and durable, before the snapshot counts.
pub fn make(
    storage: &Arc<dyn Storage>,
    journal: &Handle,
    archive: Option<&Archive>,
    stop: &AtomicBool,
) -> Result<Option<(Sequence, u64)>, SnapshotsError> {
    let until = journal.durable();
    let (mut world, start) = newest(storage, 1, |_| {})?;
    let mut archiving = None;
    if let Some(archive) = archive {
        archiving = Some((archive, archive.opening()?));
        open_outboxes(&mut world);
    }
    let mut forgotten = Vec::new();
    let mut reader = journal.reader(start.sequence + 1)?;
    // A snapshot stands at the end of a frame, whose hash ties it to the journal.
    while let Some((sequence, bytes)) = reader.next()? {
        let record =
            record::read(bytes).map_err(|error| SnapshotsError::Record { sequence, error })?;
        world.apply(&record);
        if let Some((archive, opening)) = archiving {
            forgotten.append(&mut forgotten_of(&mut world));
            if forgotten.len() >= KEPT_AT_ONCE {
                archive.keep(opening, &forgotten)?;
                forgotten.clear();
            }
        }
        if sequence >= until && reader.at_frame_end() {
            break;
        }
        if sequence.is_multiple_of(4_096) && stop.load(Ordering::Acquire) {
            return Ok(None);
        }
    }
    let at = reader.position();
    if let Some((archive, opening)) = archiving {
        archive.keep(opening, &forgotten)?;
        archive.complete(opening, start.sequence, at.sequence)?;
    }
    let info = write_snapshot(&**storage, journal.journal_id(), at, |to| {
        snapshot::write(&world, to).map_err(std::io::Error::other)
    })?;
    Ok(Some((info.at.sequence, info.bytes)))
}
