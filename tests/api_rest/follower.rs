//! The SQL side of a switch under test: a follower that reads its journal.

use cardswitch::engine::record::{self, Record};
use cardswitch::journal::{Handle, Reader};
use cardswitch::store::Store;
use cardswitch::store::follow::{self, FollowSettings, RecordSource, SourceError};
use cardswitch::store::lag::ProjectionLag;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

struct JournalSource {
    journal: Handle,
    reader: Reader,
}

fn source_error(error: impl std::fmt::Display) -> SourceError {
    SourceError::Lasting(error.to_string())
}

impl RecordSource for JournalSource {
    fn journal_id(&self) -> u128 {
        self.journal.journal_id()
    }

    fn durable(&self) -> u64 {
        self.journal.durable()
    }

    fn seek(&mut self, from: u64) -> Result<(), SourceError> {
        self.reader = self.journal.reader(from).map_err(source_error)?;
        Ok(())
    }

    fn next_batch(
        &mut self,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(u64, Record)>, SourceError> {
        let read_to = self.reader.position().sequence;
        self.journal.subscribe().wait_beyond(read_to, wait);
        let mut batch = Vec::new();
        while batch.len() < limit
            && let Some((sequence, bytes)) = self.reader.next().map_err(source_error)?
        {
            batch.push((sequence, record::read(bytes).map_err(source_error)?));
        }
        Ok(batch)
    }
}

/// Follows until `shutdown`; what ends it otherwise fails the test that waits for it.
pub async fn run(
    journal: Handle,
    store: Store,
    lag: Arc<ProjectionLag>,
    shutdown: CancellationToken,
) {
    let reader = journal.reader(1).unwrap();
    let source = JournalSource { journal, reader };
    let settings = FollowSettings::default();
    let followed = follow::run(source, store, settings, lag, shutdown).await;
    followed.unwrap();
}
