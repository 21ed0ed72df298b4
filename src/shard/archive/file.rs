//! The archive's file, kept usable: after an error of the disk the library refuses everything until its file is closed
//! and opened anew, and that is done here. What is in the tables, and what to keep in them, does not live here.

use super::tables::Tables;
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

type Open = Box<dyn Fn() -> Result<Tables, redb::Error> + Send + Sync>;

pub(super) struct ArchiveFile {
    open: Open,
    now: RwLock<Now>,
}

struct Now {
    /// Absent from an error of the disk until the file is opened anew.
    tables: Option<Tables>,
    opening: Opening,
}

/// After such an error the library refuses everything else.
fn is_of_the_disk(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}

impl ArchiveFile {
    /// `tables` were opened as `open` will open them anew.
    pub fn new(tables: Tables, open: Open) -> ArchiveFile {
        let now = RwLock::new(Now {
            tables: Some(tables),
            opening: Opening(1),
        });
        ArchiveFile { open, now }
    }

    fn now(&self) -> RwLockReadGuard<'_, Now> {
        self.now.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for all who read and write.
    fn now_alone(&self) -> RwLockWriteGuard<'_, Now> {
        self.now.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which opening this is; the file is opened anew if it is closed.
    pub fn opening(&self) -> Result<Opening, FileError> {
        let now = self.now();
        if now.tables.is_some() {
            return Ok(now.opening);
        }
        drop(now);
        let mut now = self.now_alone();
        if now.tables.is_none() {
            // On a file that was cut off or written over, the library panics.
            let opened = catch_unwind(AssertUnwindSafe(&self.open));
            now.tables = Some(opened.map_err(|_| FileError::Panicked)??);
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
