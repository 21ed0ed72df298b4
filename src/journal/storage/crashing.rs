//! A simulated disk that fails on purpose: it loses what was not synced, tears writes at sectors,
//! reorders them, reports errors, and comes up short; all from a seed. Below its contract it is as
//! harsh as POSIX allows: syncing a file does not sync its name, and a sync that failed leaves
//! pages that read well and never reach the disk.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Access, FolderLock, Storage, StorageFile};

/// A write reaches the disk in pieces of this size, each whole or not at all.
const SECTOR: u64 = 512;

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machine dies in this call: a change may have been begun, a sync has saved nothing.
    Crash,
    /// The call fails with an I/O error; a failed sync loses what it should have saved.
    InputOutput,
    /// The call fails for want of space.
    DiskFull,
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// At the Nth call, the first being 0.
    pub at: Option<(u64, Fault)>,
    /// Reads and writes are short, empty (writes) and interrupted at random.
    pub ragged: bool,
    /// Seed of every random choice.
    pub seed: u64,
}

/// What a restart finds.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// The process died: everything it wrote can be read, unsynced parts are still unsynced.
    Process,
    /// The power went: of the unsynced parts a random choice survived.
    Power(u64),
}

/// The simulated disk.
pub struct CrashingStorage {
    disk: Arc<Mutex<Disk>>,
    locked: Arc<AtomicBool>,
}

#[derive(Clone, Default)]
struct Disk {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    files: Vec<Content>,
    faults: Faults,
    random: Random,
    calls: Vec<String>,
    dead: bool,
}

#[derive(Clone, Default)]
struct Content {
    /// As processes read it.
    seen: Vec<u8>,
    /// As the disk holds it.
    durable: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Set(String, usize),
    Remove(String),
}

/// SplitMix64.
#[derive(Clone, Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl CrashingStorage {
    /// An empty disk with these faults ahead.
    pub fn new(faults: Faults) -> Arc<Self> {
        Self::with(Disk {
            faults,
            random: Random(faults.seed),
            ..Disk::default()
        })
    }

    /// The same disk after a restart, with the next faults ahead.
    pub fn restart(&self, loss: Loss, faults: Faults) -> Arc<Self> {
        let mut disk = self.disk().clone();
        if let Loss::Power(seed) = loss {
            disk.lose_power(&mut Random(seed));
        }
        (disk.faults, disk.random) = (faults, Random(faults.seed));
        (disk.calls, disk.dead) = (Vec::new(), false);
        Self::with(disk)
    }

    /// Every call so far, as `verb name`.
    pub fn calls(&self) -> Vec<String> {
        self.disk().calls.clone()
    }

    fn with(disk: Disk) -> Arc<Self> {
        let locked = Arc::new(AtomicBool::new(false));
        Arc::new(Self {
            disk: Arc::new(Mutex::new(disk)),
            locked,
        })
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        call: String,
        apply: impl FnOnce(&mut Disk) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut disk = self.disk();
        disk.call(call)?;
        apply(&mut disk)
    }
}

impl Disk {
    /// Counts a call and fails it if its time has come.
    fn call(&mut self, call: String) -> io::Result<()> {
        if self.dead {
            return Err(gone());
        }
        let number = self.calls.len() as u64;
        self.calls.push(call);
        match self.faults.at {
            Some((at, fault)) if at == number => match fault {
                Fault::Crash => {
                    self.dead = true;
                    Ok(())
                }
                // EIO and ENOSPC.
                Fault::InputOutput => Err(io::Error::from_raw_os_error(5)),
                Fault::DiskFull => Err(io::Error::from_raw_os_error(28)),
            },
            _ => Ok(()),
        }
    }

    fn set_name(&mut self, name: &str, file: usize) {
        self.names.insert(name.to_owned(), file);
        self.pending_names
            .push(NameChange::Set(name.to_owned(), file));
    }

    fn remove_name(&mut self, name: &str) -> io::Result<usize> {
        let file = self.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        self.pending_names.push(NameChange::Remove(name.to_owned()));
        Ok(file)
    }

    /// How much a short call does of `length`; `None` if it is interrupted.
    fn ragged(&mut self, length: usize, least: usize) -> Option<usize> {
        if !self.faults.ragged || length == 0 {
            return Some(length);
        }
        match self.random.below(5) {
            0 => None,
            1 => Some(least),
            _ => Some((self.random.below(length as u64) as usize + 1).max(least)),
        }
    }

    /// Keeps what was synced and a random part of the rest: nothing, all, or pieces.
    fn lose_power(&mut self, random: &mut Random) {
        let chance = [0, 100, random.below(100)][random.below(3) as usize];
        let survives = |random: &mut Random| random.below(100) < chance;
        for change in std::mem::take(&mut self.pending_names) {
            if survives(random) {
                apply(&mut self.durable_names, change);
            }
        }
        self.names = self.durable_names.clone();
        for file in &mut self.files {
            for (offset, bytes) in std::mem::take(&mut file.pending) {
                let mut at = offset;
                while at < offset + bytes.len() as u64 {
                    let end = (at / SECTOR + 1) * SECTOR;
                    let end = end.min(offset + bytes.len() as u64);
                    let piece = &bytes[(at - offset) as usize..(end - offset) as usize];
                    if survives(random) {
                        place(&mut file.durable, at, piece);
                    }
                    at = end;
                }
            }
            file.seen = file.durable.clone();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the simulated machine is gone")
}

fn apply(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Set(name, file) => drop(names.insert(name, file)),
        NameChange::Remove(name) => drop(names.remove(&name)),
    }
}

fn place(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

impl Storage for CrashingStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut disk = self.disk();
        disk.call("list".into())?;
        Ok(disk.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.change(format!("create {name}"), |disk| {
            if disk.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.files.push(Content::default());
            let file = disk.files.len() - 1;
            disk.set_name(name, file);
            Ok(())
        })?;
        let file = self.disk().names[name];
        Ok(Arc::new(CrashingFile {
            disk: self.disk.clone(),
            file,
            name: name.to_owned(),
        }))
    }

    fn open(&self, name: &str, _: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.disk();
        disk.call(format!("open {name}"))?;
        let file = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(CrashingFile {
            disk: self.disk.clone(),
            file,
            name: name.to_owned(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(format!("rename {from} {to}"), |disk| {
            let file = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            disk.set_name(to, file);
            disk.remove_name(from).map(drop)
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(format!("remove {name}"), |disk| {
            disk.remove_name(name).map(drop)
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut disk = self.disk();
        let synced = disk.call("sync-directory".into());
        if disk.dead {
            return Err(gone());
        }
        // A failed sync loses what it should have saved.
        let changes = std::mem::take(&mut disk.pending_names);
        if synced.is_ok() {
            changes
                .into_iter()
                .for_each(|change| apply(&mut disk.durable_names, change));
        }
        synced
    }

    fn lock(&self) -> io::Result<Option<Box<dyn FolderLock>>> {
        let free = !self.locked.swap(true, Ordering::AcqRel);
        Ok(free.then(|| Box::new(CrashingLock(self.locked.clone())) as Box<dyn FolderLock>))
    }

    fn is_locked(&self) -> io::Result<bool> {
        Ok(self.locked.load(Ordering::Acquire))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn path(&self, name: &str) -> String {
        format!("simulated/{name}")
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.disk().calls.len() as u64)
    }
}

struct CrashingFile {
    disk: Arc<Mutex<Disk>>,
    file: usize,
    name: String,
}

impl CrashingFile {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageFile for CrashingFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk();
        disk.call(format!("write {}", self.name))?;
        let length = disk
            .ragged(bytes.len(), 0)
            .ok_or(io::ErrorKind::Interrupted)?;
        let file = &mut disk.files[self.file];
        place(&mut file.seen, offset, &bytes[..length]);
        file.pending.push((offset, bytes[..length].to_vec()));
        Ok(length)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk();
        disk.call(format!("read {}", self.name))?;
        let length = disk
            .ragged(out.len(), 1)
            .ok_or(io::ErrorKind::Interrupted)?;
        let rest = disk.files[self.file]
            .seen
            .get(offset as usize..)
            .unwrap_or_default();
        let count = rest.len().min(length);
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk();
        let synced = disk.call(format!("sync {}", self.name));
        if disk.dead {
            return Err(gone());
        }
        let file = &mut disk.files[self.file];
        let pending = std::mem::take(&mut file.pending);
        if synced.is_ok() {
            pending
                .iter()
                .for_each(|(at, bytes)| place(&mut file.durable, *at, bytes));
        }
        synced
    }

    fn byte_length(&self) -> io::Result<u64> {
        let mut disk = self.disk();
        disk.call(format!("length {}", self.name))?;
        Ok(disk.files[self.file].seen.len() as u64)
    }
}

struct CrashingLock(Arc<AtomicBool>);

impl FolderLock for CrashingLock {}

impl Drop for CrashingLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
