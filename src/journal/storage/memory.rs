//! Storage in memory, with a limited size if asked: for tests.
//! Nothing is lost here but by dropping it.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Access, FolderLock, Storage, StorageFile};

/// Files in memory. Clones of the `Arc` share the content, like processes share a disk.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    space: Arc<Space>,
    locked: Arc<AtomicBool>,
    operations: AtomicU64,
}

#[derive(Debug)]
struct Space {
    capacity: AtomicU64,
    used: AtomicU64,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            capacity: AtomicU64::new(u64::MAX),
            used: AtomicU64::new(0),
        }
    }
}

#[derive(Debug)]
pub(super) struct MemoryFile {
    content: Mutex<Vec<u8>>,
    space: Arc<Space>,
}

impl MemoryStorage {
    /// An empty, unlimited storage.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Limits the total size of all files; writes beyond it fail as on a full disk.
    pub fn set_capacity(&self, bytes: u64) {
        self.space.capacity.store(bytes, Ordering::Relaxed);
    }

    /// The whole content of a file, if it is there.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files().get(name).cloned()?;
        Some(file.content().clone())
    }

    /// Puts a file with this content in place, as a repair or a disaster would.
    pub fn set_content(&self, name: &str, content: Vec<u8>) {
        let file = MemoryFile {
            content: Mutex::new(content),
            space: self.space.clone(),
        };
        self.space
            .used
            .fetch_add(file.content().len() as u64, Ordering::Relaxed);
        self.files().insert(name.to_owned(), Arc::new(file));
    }

    /// A second storage with the same content that shares nothing with this one.
    pub fn copy(&self) -> Arc<Self> {
        let copy = Self::new();
        for (name, file) in self.files().iter() {
            copy.set_content(name, file.content().clone());
        }
        copy
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<MemoryFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        if self.files().contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.set_content(name, Vec::new());
        self.open(name, Access::Write)
    }

    fn open(&self, name: &str, _: Access) -> io::Result<Arc<dyn StorageFile>> {
        let file = self
            .files()
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files()
            .remove(name)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Option<Box<dyn FolderLock>>> {
        let free = !self.locked.swap(true, Ordering::AcqRel);
        Ok(free.then(|| Box::new(MemoryLock(self.locked.clone())) as Box<dyn FolderLock>))
    }

    fn is_locked(&self) -> io::Result<bool> {
        Ok(self.locked.load(Ordering::Acquire))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let used = self.space.used.load(Ordering::Relaxed);
        Ok(self
            .space
            .capacity
            .load(Ordering::Relaxed)
            .saturating_sub(used))
    }

    fn path(&self, name: &str) -> String {
        format!("memory/{name}")
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.operations.fetch_add(1, Ordering::Relaxed))
    }
}

impl MemoryFile {
    fn content(&self) -> MutexGuard<'_, Vec<u8>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let length = self.content().len() as u64;
        self.space.used.fetch_sub(length, Ordering::Relaxed);
    }
}

impl StorageFile for MemoryFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (start, mut content) = (offset as usize, self.content());
        let grown = (start + bytes.len()).saturating_sub(content.len()) as u64;
        let used = self.space.used.load(Ordering::Relaxed);
        if grown > 0 && used + grown > self.space.capacity.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.space.used.fetch_add(grown, Ordering::Relaxed);
        if grown > 0 {
            content.resize(start + bytes.len(), 0);
        }
        content[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content();
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn byte_length(&self) -> io::Result<u64> {
        Ok(self.content().len() as u64)
    }
}

struct MemoryLock(Arc<AtomicBool>);

impl FolderLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
