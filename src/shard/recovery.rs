//! From the journal to the state: the newest snapshot, and every record after it.

use super::archive::{Archive, forgotten_of, open_outboxes};
use crate::engine::recall::Forgotten;
use crate::engine::record;
use crate::engine::world::World;
use crate::journal::{Journal, JournalError, Position, Recovered, Sequence, Settings, Storage};
use std::sync::Arc;

/// What is forgotten on the way is kept in pieces of this many.
const KEPT_AT_ONCE: usize = 4_096;

/// Opens the journal for writing and folds every record after `after` into `world`. What that forgets is kept in the
/// archive. Tells `progress` now and then how far it is.
pub fn recover(
    storage: Arc<dyn Storage>,
    settings: &Settings,
    new_journal_id: u128,
    world: &mut World,
    after: Position,
    archive: Option<&Archive>,
    progress: &mut dyn FnMut(Sequence),
) -> Result<(Journal, Recovered), JournalError> {
    if archive.is_some() {
        open_outboxes(world);
    }
    let mut forgotten = Vec::new();
    // An archive that fails says so itself, and holds up nobody.
    let keep = |forgotten: &mut Vec<Forgotten>| {
        let items = std::mem::take(forgotten);
        if let Some(archive) = archive {
            archive.keep_or_queue(items);
        }
    };
    let mut visit = |sequence: Sequence, bytes: &[u8]| {
        let record = record::read(bytes).map_err(|error| error.to_string())?;
        world.apply(&record);
        forgotten.append(&mut forgotten_of(world));
        if forgotten.len() >= KEPT_AT_ONCE {
            keep(&mut forgotten);
        }
        if sequence.is_multiple_of(65_536) {
            progress(sequence);
        }
        Ok(())
    };
    let opened = Journal::open_after(storage, settings, new_journal_id, after, &mut visit)?;
    keep(&mut forgotten);
    Ok(opened)
}
