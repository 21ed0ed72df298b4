//! From the journal to the state: the newest snapshot, and every record after it.

use crate::engine::record;
use crate::engine::world::World;
use crate::journal::{Journal, JournalError, Position, Recovered, Sequence, Settings, Storage};
use std::sync::Arc;

/// Opens the journal for writing and folds every record after `after` into `world`. Tells `progress`
/// now and then how far it is.
pub fn recover(
    storage: Arc<dyn Storage>,
    settings: &Settings,
    new_journal_id: u128,
    world: &mut World,
    after: Position,
    progress: &mut dyn FnMut(Sequence),
) -> Result<(Journal, Recovered), JournalError> {
    let mut visit = |sequence: Sequence, bytes: &[u8]| {
        let record = record::read(bytes).map_err(|error| error.to_string())?;
        world.apply(&record);
        if sequence.is_multiple_of(65_536) {
            progress(sequence);
        }
        Ok(())
    };
    Journal::open_after(storage, settings, new_journal_id, after, &mut visit)
}
