//! Storage in a folder of the file system.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Access, FolderLock, Storage, StorageFile, is_out_of_descriptors};
use crate::journal::lock;

/// Descriptors kept for a writer whose process has no other left: a segment that cannot be opened stops all business.
const KEPT_DESCRIPTORS: usize = 8;

/// A folder on a local disk. Files are created readable by their owner only.
#[derive(Debug)]
pub struct FileStorage {
    folder: PathBuf,
    started: Instant,
    /// Of the folder. Filled by the first who writes.
    kept: Mutex<Vec<File>>,
}

impl FileStorage {
    /// Uses `folder`, and creates it if it is not there.
    ///
    /// # Errors
    /// What the system says if the folder cannot be created.
    pub fn create(folder: &Path) -> io::Result<Arc<Self>> {
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            // The new folder's own name must survive as well.
            if let Some(parent) = folder.parent().filter(|parent| parent.is_dir()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Self::existing(folder)
    }

    /// Uses `folder` for reading; creates nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such folder.
    pub fn existing(folder: &Path) -> io::Result<Arc<Self>> {
        if !folder.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no folder {}", folder.display()),
            ));
        }
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            started: Instant::now(),
            kept: Mutex::default(),
        }))
    }

    /// Opens a file of a writer; with a kept descriptor where there is no other.
    fn open_surely(&self, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
        let opened = loop {
            match open() {
                // Another thread may be quicker, and take what is let go of here.
                Err(error) if is_out_of_descriptors(&error) && self.kept().pop().is_some() => {}
                opened => break opened,
            }
        };
        self.keep_descriptors();
        opened
    }

    fn kept(&self) -> MutexGuard<'_, Vec<File>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As many as there are to be, as far as there are any.
    fn keep_descriptors(&self) {
        let mut kept = self.kept();
        while kept.len() < KEPT_DESCRIPTORS
            && let Ok(one) = File::open(&self.folder)
        {
            kept.push(one);
        }
    }
}

impl Storage for FileStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            // A name that is not UTF-8 is not one of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let path = self.folder.join(name);
        Ok(Arc::new(self.open_surely(|| options.open(&path))?))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write);
        let path = self.folder.join(name);
        let file = match access {
            Access::Read => options.open(path)?,
            Access::Write => self.open_surely(|| options.open(&path))?,
        };
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let folder = self.open_surely(|| File::open(&self.folder))?;
        let synced = folder.sync_all();
        drop(folder);
        // Its descriptor may be one of those that were kept.
        self.keep_descriptors();
        synced
    }

    fn lock(&self) -> io::Result<Option<Box<dyn FolderLock>>> {
        let lock = lock::try_lock(&self.folder)?;
        Ok(lock.map(|lock| Box::new(lock) as Box<dyn FolderLock>))
    }

    fn is_locked(&self) -> io::Result<bool> {
        lock::is_locked(&self.folder)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(&self.folder)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    fn path(&self, name: &str) -> String {
        match name {
            "" => self.folder.display().to_string(),
            name => self.folder.join(name).display().to_string(),
        }
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl StorageFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, out, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn byte_length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
