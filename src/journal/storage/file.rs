//! Storage in a folder of the file system.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Access, FolderLock, Storage, StorageFile};
use crate::journal::lock;

/// A folder on a local disk. Files are created readable by their owner only.
#[derive(Debug)]
pub struct FileStorage {
    folder: PathBuf,
    started: Instant,
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
        }))
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
        Ok(Arc::new(options.open(self.folder.join(name))?))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write);
        Ok(Arc::new(options.open(self.folder.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn FolderLock>>> {
        let lock = lock::try_lock(&self.folder)?;
        Ok(lock.map(|lock| Box::new(lock) as Box<dyn FolderLock>))
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
    fn is_locked(&self) -> io::Result<bool> {
        lock::is_locked(&self.folder)
    }

