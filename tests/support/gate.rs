//! Journal storage in memory whose syncs can be held up, so that nothing gets durable for a while; its clock
//! is moved by hand, and its memory can be made to run out.

use cardswitch::journal::{Access, FolderLock, MemoryStorage, Storage, StorageFile};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Open or closed; a sync waits while it is closed.
#[derive(Default)]
pub struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    elapsed_ms: AtomicU64,
}

impl Gate {
    pub fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    pub fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    /// Moves the storage's clock.
    pub fn advance(&self, time: Duration) {
        let ms = time.as_millis() as u64;
        self.elapsed_ms.fetch_add(ms, Ordering::SeqCst);
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
    }
}

pub struct GatedStorage {
    pub memory: Arc<MemoryStorage>,
    gate: Arc<Gate>,
}

impl GatedStorage {
    pub fn new(gate: Arc<Gate>) -> Arc<GatedStorage> {
        let memory = MemoryStorage::new();
        Arc::new(GatedStorage { memory, gate })
    }

    fn gated(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let gate = self.gate.clone();
        Arc::new(GatedFile { file, gate })
    }
}

impl Storage for GatedStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.gated(self.memory.create(name)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.gated(self.memory.open(name, access)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
    fn lock(&self) -> io::Result<Option<Box<dyn FolderLock>>> {
        self.memory.lock()
    }
    fn is_locked(&self) -> io::Result<bool> {
        self.memory.is_locked()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.memory.free_bytes()
    }
    fn path(&self, name: &str) -> String {
        self.memory.path(name)
    }
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.gate.elapsed_ms.load(Ordering::SeqCst))
    }
}

struct GatedFile {
    file: Arc<dyn StorageFile>,
    gate: Arc<Gate>,
}

impl StorageFile for GatedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(out, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }
    fn byte_length(&self) -> io::Result<u64> {
        self.file.byte_length()
    }
}
