//! The journal as the follower pulls from it: durable records, unpacked, on the reading thread.

use super::follow::{RecordSource, SourceError};
use crate::engine::record::{self, Record};
use crate::journal::{ChainHash, Handle, JournalError, Progress, Reader, Sequence, Storage};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of the records of one batch, but for the last: unpacked, some take many times that.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Reads beside the writer, or from a journal that was opened and not started (for a rebuild).
pub struct JournalSource {
    handle: Handle,
    progress: Progress,
    /// Absent until the first batch and after a seek.
    reader: Option<Reader>,
    next: Sequence,
}

impl JournalSource {
    pub fn new(handle: Handle) -> JournalSource {
        JournalSource {
            progress: handle.subscribe(),
            handle,
            reader: None,
            next: 1,
        }
    }
}

impl From<JournalError> for SourceError {
    fn from(error: JournalError) -> SourceError {
        match error.may_pass() {
            true => SourceError::Passing(error.to_string()),
            false => SourceError::Lasting(error.to_string()),
        }
    }
}

impl RecordSource for JournalSource {
    fn journal_id(&self) -> u128 {
        self.handle.journal_id()
    }

    fn durable(&self) -> Sequence {
        self.progress.durable()
    }

    fn seek(&mut self, from: Sequence) -> Result<(), SourceError> {
        (self.reader, self.next) = (None, from.max(1));
        Ok(())
    }

    fn next_batch(
        &mut self,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(Sequence, Record)>, SourceError> {
        let durable = self.progress.wait_beyond(self.next - 1, wait);
        if durable < self.next {
            return Ok(Vec::new());
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.handle.reader(self.next)?),
        };
        let mut batch = Vec::with_capacity(limit.min((durable + 1 - self.next) as usize));
        let mut read_bytes = 0;
        while batch.len() < limit && read_bytes < BATCH_BYTES_MAX {
            let Some((sequence, bytes)) = reader.next()? else {
                break;
            };
            read_bytes += bytes.len();
            let record = record::read(bytes)
                .map_err(|error| SourceError::Lasting(format!("record {sequence}: {error}")))?;
            batch.push((sequence, record));
            self.next = sequence + 1;
        }
        Ok(batch)
    }

    fn chain_at(&mut self, sequence: Sequence) -> Result<Option<ChainHash>, SourceError> {
        // That of the record read last is at hand.
        let last = self.reader.as_ref().map(Reader::position);
        if let Some(last) = last.filter(|last| last.sequence == sequence) {
            return Ok(Some(last.chain));
        }
        let mut reader = match self.handle.reader(sequence) {
            Err(JournalError::NotKept { .. }) => return Ok(None),
            reader => reader?,
        };
        let found = reader.next()?.map(|(found, _)| found);
        Ok((found == Some(sequence)).then(|| reader.position().chain))
    }
}

/// Where a journal ends that nobody here writes, as the next start would find it. The default is one without records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct WrittenJournal {
    pub id: Option<u128>,
    /// A record that is there: the last one, or the one that was looked for.
    pub through: Sequence,
    /// The chain hash at the record that was looked for, where it is kept.
    pub chain: Option<ChainHash>,
}

impl WrittenJournal {
    /// Looks for record `at`, beside a writer too; changes nothing.
    ///
    /// # Errors
    /// What the journal says of damage, and failed reads.
    pub fn read(storage: Arc<dyn Storage>, at: Sequence) -> Result<WrittenJournal, JournalError> {
        let (mut reader, is_kept) = match Reader::open_written(storage.clone(), at) {
            Err(JournalError::NotKept { oldest, .. }) => {
                (Reader::open_written(storage, oldest)?, false)
            }
            reader => (reader?, true),
        };
        let found = reader.next()?.is_some();
        let position = reader.position();
        Ok(WrittenJournal {
            id: reader.journal_id(),
            through: position.sequence,
            chain: (found && is_kept).then_some(position.chain),
        })
    }
}
