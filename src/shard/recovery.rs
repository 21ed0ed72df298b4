//! From the journal to the state: the newest snapshot, and every record after it.

use crate::engine::record::{self, RecordError};
use crate::engine::world::World;
use crate::journal::{JournalError, Reader, Sequence};

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("journal record {sequence}: {source}")]
    Record { sequence: Sequence, source: RecordError },
}

/// Applies to `world` everything that `reader` has, in order. Gives the last sequence applied, or
/// `before` where there was nothing; tells `progress` now and then.
pub fn replay(
    world: &mut World,
    reader: &mut Reader,
    before: Sequence,
    mut progress: impl FnMut(Sequence),
) -> Result<Sequence, RecoveryError> {
    let mut last = before;
    while let Some((sequence, bytes)) = reader.next()? {
        let record = record::read(bytes).map_err(|source| RecoveryError::Record { sequence, source })?;
        world.apply(&record);
        last = sequence;
        if sequence.is_multiple_of(65_536) {
            progress(sequence);
        }
    }
    Ok(last)
}
