//! The archive's file, kept usable: after an error of the disk the library refuses everything until its file is closed
//! and opened anew, and that is done here. What is in the tables, and what to keep in them, does not live here.

use super::tables::Tables;
use crate::journal::Sequence;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One time that the file was opened. What was kept in it and not made durable is gone when it is opened anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening(u64);

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Tables(#[from] redb::Error),
    #[error("opening it failed inside; see above")]
    Panicked,
    #[error("an error of the disk closed it, and it is opened anew in a moment")]
    Closed,
    #[error(
        "it was opened anew after an error of the disk, and what was not durable is to be kept again"
    )]
    OpenedAnew,
}

/// Opens the file of this name; told whether this process opens it for the first time.
pub(super) type Open = Box<dyn Fn(&str, bool) -> Result<Tables, redb::Error> + Send + Sync>;

pub(super) struct ArchiveFile {
    name: String,
    open: Open,
    now: RwLock<Now>,
}

struct Now {
    /// Absent until the file can be opened, and from an error of the disk until it is opened anew.
    tables: Option<Tables>,
    opening: Opening,
    was_open: bool,
    /// The journal whose archive it is, and its last record, until that was held against the tables.
    unclaimed: Option<(u128, Sequence)>,
}

/// Opens tables. Those that cannot be read are removed and begun anew.
pub(super) fn open_or_begin_anew(
    name: &str,
    open: impl Fn() -> Result<Tables, redb::Error>,
    remove: impl Fn() -> std::io::Result<()>,
) -> Result<Tables, redb::Error> {
    // On a file that was cut off or written over, the library panics: that is damage, like any other.
    let damage = match catch_unwind(AssertUnwindSafe(&open)) {
        Ok(Err(error)) if is_unreadable(&error) => error.to_string(),
        Err(_) => "opening it failed inside; see above".to_owned(),
        Ok(opened) => return opened,
    };
    tracing::warn!(
        file = name,
        damage,
        "the archive cannot be read and is begun anew"
    );
    remove().map_err(redb::Error::Io)?;
    open()
}

/// A file that only another one can take the place of. Any other error may pass.
fn is_unreadable(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. } => true,
        redb::Error::Io(error) => [InvalidData, UnexpectedEof].contains(&error.kind()),
        _ => false,
    }
}

/// After such an error the library refuses everything else.
fn is_of_the_disk(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}

impl ArchiveFile {
    /// Opens nothing yet.
    pub fn new(name: String, open: Open) -> ArchiveFile {
        let now = RwLock::new(Now {
            tables: None,
            opening: Opening(1),
            was_open: false,
            unclaimed: None,
        });
        ArchiveFile { name, open, now }
    }

    fn now(&self) -> RwLockReadGuard<'_, Now> {
        self.now.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for all who read and write.
    fn now_alone(&self) -> RwLockWriteGuard<'_, Now> {
        self.now.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whose archive it is, at once or as soon as it can be opened. What is another journal's, or ahead of this one, is
    /// removed: false then.
    pub fn claim(&self, journal_id: u128, durable: Sequence) -> Result<bool, FileError> {
        self.now_alone().unclaimed = Some((journal_id, durable));
        let opening = self.opening()?;
        let is_ours = self.write(opening, |tables| tables.claim(journal_id, durable))?;
        // The tables may be ahead of that record from now on.
        self.now_alone().unclaimed = None;
        Ok(is_ours)
    }

    /// Which opening this is; the file is opened if it is closed.
    pub fn opening(&self) -> Result<Opening, FileError> {
        let now = self.now();
        if now.tables.is_some() {
            return Ok(now.opening);
        }
        drop(now);
        let mut now = self.now_alone();
        if now.tables.is_none() {
            let is_first = !now.was_open;
            // On a file that was cut off or written over, the library panics.
            let opened = catch_unwind(AssertUnwindSafe(|| (self.open)(&self.name, is_first)));
            let tables = opened.map_err(|_| FileError::Panicked)??;
            if let Some((journal_id, durable)) = now.unclaimed {
                tables.claim(journal_id, durable)?;
                now.unclaimed = None;
            }
            (now.tables, now.was_open) = (Some(tables), true);
        }
        Ok(now.opening)
    }

    /// Reads in whatever opening this is.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Tables) -> Result<T, redb::Error>,
    ) -> Result<T, FileError> {
        let now = self.now();
        let done = work(now.tables.as_ref().ok_or(FileError::Closed)?);
        let opening = now.opening;
        drop(now);
        done.map_err(|error| self.note(opening, error))
    }

    /// Writes in this opening and in no other.
    pub fn write<T>(
        &self,
        opening: Opening,
        work: impl FnOnce(&Tables) -> Result<T, redb::Error>,
    ) -> Result<T, FileError> {
        let now = self.now();
        if now.opening != opening {
            return Err(FileError::OpenedAnew);
        }
        let done = work(now.tables.as_ref().ok_or(FileError::Closed)?);
        drop(now);
        done.map_err(|error| self.note(opening, error))
    }

    /// Closes the file after an error of the disk.
    fn note(&self, opening: Opening, error: redb::Error) -> FileError {
        if is_of_the_disk(&error) {
            let mut now = self.now_alone();
            if now.opening == opening {
                now.tables = None;
                now.opening = Opening(opening.0 + 1);
            }
        }
        error.into()
    }
}
