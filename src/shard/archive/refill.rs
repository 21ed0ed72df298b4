//! Filling an archive that was lost from the journal, beside the running switch.

use super::{Archive, ArchiveError, forgotten_of, open_outboxes, remembered_of};
use crate::engine::recall::Forgotten;
use crate::engine::record;
use crate::engine::world::World;
use crate::journal::{Handle, JournalError, Sequence};
use crate::shard::snapshots::SnapshotsError;
use std::sync::atomic::{AtomicBool, Ordering};

/// Kept in one piece.
const KEPT_AT_ONCE: usize = 4_096;

/// Records between two looks at whether to stop.
const RECORDS_PER_LOOK: u64 = 4_096;

/// Folds the journal from its beginning up to record `until` and keeps all that is forgotten on the way. Nothing is to
/// be done where the archive is complete up to there. False if told to stop on the way.
pub fn refill(
    archive: &Archive,
    journal: &Handle,
    until: Sequence,
    stop: &AtomicBool,
) -> Result<bool, SnapshotsError> {
    if archive.complete_through()? >= until {
        return Ok(true);
    }
    archive.stats().set_refilling(true);
    tracing::warn!(
        until,
        "the archive lacks what the journal has; it is filled again"
    );
    let filled = fold(archive, journal, until, stop);
    archive.stats().set_refilling(false);
    if let Ok(true) = filled {
        tracing::info!(until, "the archive is complete again");
    }
    filled
}

fn fold(
    archive: &Archive,
    journal: &Handle,
    until: Sequence,
    stop: &AtomicBool,
) -> Result<bool, SnapshotsError> {
    let opening = archive.opening()?;
    let mut reader = match journal.reader(1) {
        Err(JournalError::NotKept { oldest, .. }) => {
            // Its state before that record is gone, and with it what was forgotten until then.
            tracing::warn!(
                oldest,
                "the journal does not reach back to its beginning: what was forgotten before its newest snapshot is lost"
            );
            archive.complete(opening, 0, until)?;
            return Ok(true);
        }
        reader => reader?,
    };
    let mut world = World::new(1);
    open_outboxes(&mut world);
    let mut items = Vec::new();
    while let Some((sequence, bytes)) = reader.next()? {
        let record =
            record::read(bytes).map_err(|error| SnapshotsError::Record { sequence, error })?;
        world.apply(&record);
        items.append(&mut forgotten_of(&mut world));
        if items.len() >= KEPT_AT_ONCE {
            archive.keep(opening, &items)?;
            items.clear();
        }
        if sequence >= until {
            break;
        }
        if sequence.is_multiple_of(RECORDS_PER_LOOK) && stop.load(Ordering::Acquire) {
            return Ok(false);
        }
    }
    archive.keep(opening, &items)?;
    // Another world may have forgotten by then what this one still remembers: memory is freed a little at a time, and those
    // that begin with a snapshot have less of it to free. What is remembered as well does no harm here.
    let mut remembered = remembered_of(&world);
    loop {
        let items: Vec<Forgotten> = remembered.by_ref().take(KEPT_AT_ONCE).collect();
        if items.is_empty() {
            break;
        }
        archive.keep(opening, &items)?;
    }
    archive.complete(opening, 0, until)?;
    Ok(true)
}

impl From<ArchiveError> for SnapshotsError {
    fn from(error: ArchiveError) -> SnapshotsError {
        SnapshotsError::Archive(error)
    }
}
