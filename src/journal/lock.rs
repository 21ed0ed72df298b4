//! One writer per data folder: an advisory lock on a file named `lock`. The system drops it when
//! its holder dies, so a killed process leaves nothing to clean up. Readers never need it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::Duration,
};

use super::{
    error::JournalError,
    storage::{FolderLock, Storage},
};

/// A process killed a moment ago may still be leaving; 40 tries of 50 ms are two seconds.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Holds a folder for this process until dropped.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl FolderLock for DataLock {}

/// Takes the folder's lock if it is free.
///
/// # Errors
/// What the system says if the lock file cannot be opened.
pub fn try_lock(folder: &Path) -> io::Result<Option<DataLock>> {
    let mut options = OpenOptions::new();
    let options = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options.open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(DataLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a writer has the folder's lock. One that starts in this very moment tries again.
///
/// # Errors
/// What the system says if the lock file cannot be opened.
pub fn is_locked(folder: &Path) -> io::Result<bool> {
    let file = match File::open(folder.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes the lock of a storage's folder, waiting about two seconds for a process on its way out.
///
/// # Errors
/// [`JournalError::Locked`] names the folder.
pub fn lock(storage: &dyn Storage) -> Result<Box<dyn FolderLock>, JournalError> {
    for _ in 0..TRIES {
        let taken = storage
            .lock()
            .map_err(JournalError::io("lock", storage.path("")))?;
        match taken {
            Some(lock) => return Ok(lock),
            None => thread::sleep(PAUSE),
        }
    }
    Err(JournalError::Locked {
        folder: storage.path(""),
    })
}
