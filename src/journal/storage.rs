//! The few file operations that the journal needs, as a trait, so that the same code runs on files,
//! on memory, and on a simulated disk that loses power. No journal format is known here.

mod crashing;
mod file;
mod memory;

use std::{io, sync::Arc, time::Duration};

pub use crashing::{CrashingStorage, Fault, Faults, Loss};
pub use file::FileStorage;
pub use memory::MemoryStorage;

/// One flat folder of files.
pub trait Storage: Send + Sync {
    /// Names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new empty file; fails if the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// An existing file.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>>;
    /// Gives a file another name; a file of that name is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name; those who hold the file open keep it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Takes the folder for one writer, until the value is dropped. `None`: someone else has it.
    fn lock(&self) -> io::Result<Option<Box<dyn FolderLock>>>;
    /// Whether a writer has the folder now.
    fn is_locked(&self) -> io::Result<bool>;
    /// Free space for ordinary users, in bytes.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Where a file lies, for messages. An empty name gives the folder.
    fn path(&self, name: &str) -> String;
    /// Time since some fixed moment, for measuring only. Simulated storages count operations.
    fn elapsed(&self) -> Duration;
}

/// An open file. Reads and writes may be short or interrupted, as the system's are.
pub trait StorageFile: Send + Sync {
    /// Writes some bytes from the front of `bytes`; says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads some bytes; 0 only at the end of the file.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes everything written durable, with the file's length.
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn byte_length(&self) -> io::Result<u64>;
}

/// Holds a folder for one writer while it lives.
pub trait FolderLock: Send {}

/// What an opened file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only; needs no write permission.
    Read,
    /// Reading and writing.
    Write,
}

/// Whether a file was not opened only because the process, or the system, has too many open.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE]
        .map(Some)
        .contains(&Errno::from_io_error(error))
}

/// Calls in a row that may make no progress before a write counts as failed.
const STALLS: u32 = 16;

/// Writes all of `bytes`, through short, empty and interrupted writes.
pub(super) fn write_all(file: &dyn StorageFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let (mut done, mut stalls) = (0, 0);
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => stalls += 1,
            Ok(count) => (done, stalls) = (done + count, 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if stalls > STALLS {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// Fills `out` as far as the file goes, through short and interrupted reads; says how far.
pub(super) fn read_up_to(file: &dyn StorageFile, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Syncs, through interruptions. Any other failure is final: it must never be tried again.
pub(super) fn sync(file: &dyn StorageFile) -> io::Result<()> {
    loop {
        match file.sync_data() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A file as [`io::Read`], from its beginning.
pub(super) struct FileReader {
    pub file: Arc<dyn StorageFile>,
    pub offset: u64,
}

impl io::Read for FileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = read_up_to(&*self.file, out, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
