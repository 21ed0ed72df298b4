//! Lookups on a thread of their own, so that nobody waits for a disk that hangs, or dies of a file that is damaged.

use super::ArchiveSettings;
use super::file::{ArchiveFile, FileError};
use crate::engine::recall::{Found, Lookup};
use crate::engine::time::Timestamp;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

/// How long a shard waits for what it looks up, and then goes on without.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lookups that wait at the most: each shard has one under way.
const WAITING_MAX: usize = 256;

#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("a lookup took longer than {} ms", PATIENCE.as_millis())]
    TooLate,
    #[error(
        "the thread that looks up has ended; see the log, and remove the file if it is damaged"
    )]
    Ended,
}

struct Asked {
    lookup: Lookup,
    at: Timestamp,
    settings: ArchiveSettings,
    answer: SyncSender<Result<Found, FileError>>,
}

pub(super) struct Reader(SyncSender<Asked>);

impl Reader {
    /// Starts the thread; it ends with the reader.
    pub fn start(file: Arc<ArchiveFile>) -> std::io::Result<Reader> {
        let (ask, asked) = mpsc::sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("archive-lookups".into())
            .spawn(move || serve(&file, &asked))?;
        Ok(Reader(ask))
    }

    pub fn find(
        &self,
        lookup: &Lookup,
        at: Timestamp,
        settings: ArchiveSettings,
    ) -> Result<Found, LookupError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let asked = Asked {
            lookup: lookup.clone(),
            at,
            settings,
            answer,
        };
        match self.0.try_send(asked) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(LookupError::TooLate),
            Err(TrySendError::Disconnected(_)) => return Err(LookupError::Ended),
        }
        match answered.recv_timeout(PATIENCE) {
            Ok(found) => Ok(found?),
            Err(RecvTimeoutError::Timeout) => Err(LookupError::TooLate),
            Err(RecvTimeoutError::Disconnected) => Err(LookupError::Ended),
        }
    }
}

fn serve(file: &ArchiveFile, asked: &Receiver<Asked>) {
    while let Ok(asked) = asked.recv() {
        let found = file.read(|tables| tables.find(&asked.lookup, asked.at, asked.settings));
        // Who has waited for too long does not hear it.
        let _ = asked.answer.send(found);
    }
}
