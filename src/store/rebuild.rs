//! Builds the tables anew from the first record on. Tables that the journal cannot fill are left
//! alone. Nobody else may project meanwhile: the caller holds the data folder's lock.

use super::database::Store;
use super::error::StoreError;
use super::follow::{Pulled, RecordSource, SourceError, pull};
use super::projection::Projector;
use super::rows::Sequence;
use std::time::Duration;

const BATCH: usize = 8192;

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildProgress {
    pub projected_through: Sequence,
    /// The last record there is.
    pub durable: Sequence,
}

/// Empties the derived tables, makes them anew where one is missing, and fills them with every durable record; tells `progress`
/// after each batch. Killed on the way, it leaves tables that the follower or another rebuild takes further.
///
/// # Errors
/// [`StoreError::Source`] before anything is emptied where the journal no longer has its first record;
/// else what SQL says.
pub async fn rebuild<S: RecordSource>(
    store: &Store,
    mut source: S,
    mut progress: impl FnMut(RebuildProgress),
) -> Result<RebuildProgress, StoreError> {
    source.seek(1)?;
    let durable = source.durable();
    let is_whole = match store.prepare().await {
        Err(error) if error.lacks_a_table() => false,
        prepared => prepared.map(|()| true)?,
    };
    let mut reading = read(source);
    let (mut source, mut pulled) = finish(reading).await?;
    match is_whole {
        true => store.empty_derived().await?,
        false => store.remake().await?,
    }
    let mut projector = Projector::open(store, source.journal_id()).await?;
    loop {
        if pulled.records.is_empty() {
            break;
        }
        reading = read(source);
        projector.apply_up_to(&pulled.records, pulled.chain).await?;
        progress(RebuildProgress {
            projected_through: projector.position(),
            durable,
        });
        (source, pulled) = finish(reading).await?;
    }
    Ok(RebuildProgress {
        projected_through: projector.position(),
        durable,
    })
}

type Reading<S> = tokio::task::JoinHandle<(S, Result<Pulled, SourceError>)>;

/// The next records are read and unpacked while SQL takes the last ones.
fn read<S: RecordSource>(mut source: S) -> Reading<S> {
    tokio::task::spawn_blocking(move || {
        let pulled = pull(&mut source, BATCH, Duration::ZERO);
        (source, pulled)
    })
}

async fn finish<S: RecordSource>(reading: Reading<S>) -> Result<(S, Pulled), StoreError> {
    let (source, pulled) = reading.await.map_err(|_| {
        StoreError::Source(SourceError::Lasting(
            "the reading thread ended by a panic".to_owned(),
        ))
    })?;
    Ok((source, pulled?))
}
