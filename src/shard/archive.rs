//! The archive: what shards forget, kept on disk for the message that comes late. A cache of the journal, and never
//! the only copy: it holds at least what every state that is folded from a snapshot has forgotten, and is filled again
//! where it is lost. What is put back, and for which message, is decided in `engine/recall.rs`.
//!
//! Shards hand over what they forget and go on; a thread of its own writes it, in any time it takes. What waits for it
//! is found too. A lookup reads the file on the shard's thread: a handful of keys, counted and timed.

mod file;
mod reader;
mod refill;
mod stats;
mod tables;

pub use file::{FileError, Opening};
pub use refill::refill;
pub use stats::{ArchiveStats, LOOKUP_BOUNDS_US};

use crate::engine::authorizations::{Authorization, names_of};
use crate::engine::recall::{Forgotten, Found, Lookup};
use crate::engine::time::Timestamp;
use crate::engine::world::World;
use crate::journal::{Progress, Sequence};
use file::{ArchiveFile, open_or_begin_anew};
use reader::Reader;
use serde::Deserialize;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tables::Tables;

/// What waits to be written at the most, in authorizations and answers. Beyond it nothing is taken, and found again
/// after the next start only.
const WAITING_MAX: usize = 200_000;

/// Written in one piece at the most.
const WRITTEN_AT_ONCE: usize = 4_096;

/// What is written and not made durable at the most: the next start puts it in again, so it need not be.
const SYNCED_AFTER: usize = 50_000;

/// How long the thread waits for more before it makes durable what it has.
const PATIENCE: Duration = Duration::from_secs(1);

/// The `[archive]` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveSettings {
    pub closed_on_disk_days: u32,
    pub first_answers_on_disk_days: u32,
}

impl Default for ArchiveSettings {
    fn default() -> ArchiveSettings {
        ArchiveSettings {
            closed_on_disk_days: 400,
            first_answers_on_disk_days: 7,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(
        "the archive {file} cannot be used: {error}; if that lasts, and the disk has room, stop the switch and remove the file: \
         it is filled again from the journal"
    )]
    Tables { file: String, error: FileError },
    #[error(
        "the archive {file} is in use by another cardswitch process; stop that process, or give this one another folder ([data] dir)"
    )]
    InUse { file: String },
    #[error("cannot start the thread that looks up in the archive: {0}")]
    Thread(std::io::Error),
}

/// The way to the archive; shared by all who have one.
#[derive(Clone)]
pub struct Archive {
    shared: Arc<Shared>,
}

struct Shared {
    file: Arc<ArchiveFile>,
    reader: Reader,
    name: String,
    settings: ArchiveSettings,
    stats: ArchiveStats,
    waiting: Mutex<Waiting>,
    /// The thread waits here for something to write.
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Arc<Batch>>,
    items: usize,
    stop: bool,
}

/// What is written and not durable.
#[derive(Default)]
struct Unsynced {
    /// In which it was written; absent where there is nothing.
    opening: Option<Opening>,
    batches: Vec<Arc<Batch>>,
    items: usize,
    latest: Timestamp,
}

/// What a shard forgot by the records up to one.
struct Batch {
    after: Sequence,
    at: Timestamp,
    items: Vec<Forgotten>,
}

impl Archive {
    /// Opens the archive in a folder of its own. One that cannot be read is begun anew. One that cannot be opened now, as on a
    /// full disk, is no error: it is opened whenever it is needed, and what shards forget waits in memory.
    ///
    /// # Errors
    /// [`ArchiveError::InUse`], [`ArchiveError::Thread`].
    pub fn open(folder: &Path, settings: ArchiveSettings) -> Result<Archive, ArchiveError> {
        let folder = folder.to_owned();
        let path = folder.join("archive.redb");
        let name = path.display().to_string();
        let open = move |name: &str, is_first| {
            std::fs::create_dir_all(&folder).map_err(redb::Error::Io)?;
            let open = || Tables::open(&path);
            match is_first {
                true => open_or_begin_anew(name, open, || std::fs::remove_file(&path)),
                false => open(),
            }
        };
        Archive::of(Box::new(open), name, settings)
    }

    /// As `open`, on any storage that keeps bytes; clones of it share them.
    pub fn over(
        backend: impl redb::StorageBackend + Clone,
        settings: ArchiveSettings,
    ) -> Result<Archive, ArchiveError> {
        let name = "in a storage of its own".to_owned();
        let open = move |name: &str, is_first| {
            let open = || Tables::over(backend.clone());
            match is_first {
                true => open_or_begin_anew(name, open, || backend.set_len(0)),
                false => open(),
            }
        };
        Archive::of(Box::new(open), name, settings)
    }

    fn of(
        open: file::Open,
        name: String,
        settings: ArchiveSettings,
    ) -> Result<Archive, ArchiveError> {
        let file = Arc::new(ArchiveFile::new(name.clone(), open));
        match file.opening() {
            Err(FileError::Tables(redb::Error::DatabaseAlreadyOpen)) => {
                return Err(ArchiveError::InUse { file: name });
            }
            Err(error) => tracing::error!(
                file = name, %error,
                "the archive cannot be opened now; the switch starts without it and tries again, and what it lacks is filled from the journal then"
            ),
            Ok(_) => {}
        }
        let reader = Reader::start(file.clone()).map_err(ArchiveError::Thread)?;
        let shared = Arc::new(Shared {
            file,
            reader,
            name,
            settings,
            stats: ArchiveStats::default(),
            waiting: Mutex::default(),
            filled: Condvar::new(),
        });
        Ok(Archive { shared })
    }

    /// Notes whose archive it is, once the journal is open. One of another journal, or ahead of this one, is emptied;
    /// false then. One that cannot be opened now is held against the journal as soon as it can be.
    pub fn claim(&self, journal_id: u128, durable: Sequence) -> Result<bool, ArchiveError> {
        let claimed = self.shared.file.claim(journal_id, durable);
        claimed.map_err(|error| self.failed(error))
    }

    /// Which opening of the file this is; after an error of the disk it is opened anew. Who keeps much for one `complete`
    /// asks once, before it begins: what was kept in an earlier opening may be gone.
    pub fn opening(&self) -> Result<Opening, ArchiveError> {
        let opening = self.shared.file.opening();
        opening.map_err(|error| self.failed(error))
    }

    pub fn stats(&self) -> &ArchiveStats {
        &self.shared.stats
    }

    fn failed(&self, error: FileError) -> ArchiveError {
        let file = self.shared.name.clone();
        ArchiveError::Tables { file, error }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let waiting = self.shared.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a shard forgot by the records up to `after`, which need not be durable yet. Waits for nothing.
    pub fn push(&self, after: Sequence, at: Timestamp, items: Vec<Forgotten>) {
        if items.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.items + items.len() > WAITING_MAX {
            self.shared.stats.count_dropped(items.len());
            return;
        }
        waiting.items += items.len();
        self.shared.stats.set_waiting(waiting.items);
        waiting
            .batches
            .push_back(Arc::new(Batch { after, at, items }));
        drop(waiting);
        self.shared.filled.notify_one();
    }

    /// Looks up what a message needs, also in what was forgotten and not handed over yet; nothing where the file cannot
    /// be read.
    pub fn find(&self, lookup: &Lookup, at: Timestamp, unsent: &[Forgotten]) -> Found {
        let began = Instant::now();
        let settings = self.shared.settings;
        let mut found = self.find_waiting(lookup, unsent);
        match self.shared.reader.find(lookup, at, settings) {
            Ok(written) => {
                found.first_answer = found.first_answer.or(written.first_answer);
                for authorization in written.authorizations {
                    keep_latest(&mut found.authorizations, &authorization);
                }
            }
            Err(error) => self.note_failure(&error),
        }
        let is_found = found.first_answer.is_some() || !found.authorizations.is_empty();
        self.shared.stats.count_lookup(began.elapsed(), is_found);
        found
    }

    fn find_waiting(&self, lookup: &Lookup, unsent: &[Forgotten]) -> Found {
        let mut found = Found::default();
        let waiting = self.waiting();
        let handed_over = waiting.batches.iter().flat_map(|batch| &batch.items);
        for item in handed_over.chain(unsent) {
            match item {
                Forgotten::Authorization(known) if known.card_id == lookup.card_id => {
                    let mut asked = lookup.names();
                    let names = names_of(known);
                    if asked.any(|name| names.contains(&name)) {
                        keep_latest(&mut found.authorizations, known);
                    }
                }
                Forgotten::FirstAnswer { key, first, .. } if Some(*key) == lookup.repeat_key => {
                    found.first_answer = Some(*first);
                }
                _ => {}
            }
        }
        found
    }

    fn note_failure(&self, error: &dyn std::fmt::Display) {
        if self.shared.stats.count_failure() {
            tracing::error!(file = %self.shared.name, %error, "the archive fails; late messages do not find what was forgotten (further failures are counted only)");
        }
    }

    /// Keeps this at once, durable or not: for those who fold the journal, and are in no hurry.
    pub fn keep(&self, opening: Opening, items: &[Forgotten]) -> Result<(), ArchiveError> {
        let file = &self.shared.file;
        let kept = file.write(opening, |tables| tables.keep(items.iter()));
        kept.map_err(|error| self.failed(error))
    }

    /// As `keep`, of durable records, for those who go on without it: what cannot be kept now waits with what shards hand over.
    pub fn keep_or_queue(&self, items: Vec<Forgotten>) {
        let file = &self.shared.file;
        let opening = file.opening();
        let kept = opening.and_then(|opening| file.write(opening, |to| to.keep(items.iter())));
        if let Err(error) = kept {
            self.note_failure(&error);
            self.push(0, Timestamp(0), items);
        }
    }

    /// Up to which record everything is here that a fold of the journal had forgotten by then.
    pub fn complete_through(&self) -> Result<Sequence, ArchiveError> {
        self.opening()?;
        let through = self.shared.file.read(Tables::complete_through);
        through.map_err(|error| self.failed(error))
    }

    /// A fold that began at `from` has handed over, in this opening, all that it forgot up to `to`. Makes it durable, and
    /// notes it where there is no gap before it.
    pub fn complete(
        &self,
        opening: Opening,
        from: Sequence,
        to: Sequence,
    ) -> Result<(), ArchiveError> {
        let noted = self.shared.file.write(opening, |tables| {
            let through = tables.complete_through()?;
            let no_gap = through >= from;
            tables.set_complete_through(if no_gap { to.max(through) } else { through })
        });
        noted.map_err(|error| self.failed(error))
    }

    /// Ends `run` after what it is writing.
    pub fn stop(&self) {
        self.waiting().stop = true;
        self.shared.filled.notify_one();
    }

    /// Writes what shards hand over, once the records are durable by which it was forgotten: what a crash takes back
    /// must not be here. What a failed write may have taken is queued again. Ends when told to.
    pub fn run(&self, journal: &Progress) {
        let mut unsynced = Unsynced::default();
        let mut fails = false;
        while let Some(batches) = self.gather(journal) {
            match self.write(&batches, &mut unsynced) {
                Ok(()) if fails && unsynced.items == 0 => {
                    fails = false;
                    let file = &self.shared.name;
                    tracing::info!(%file, "the archive is written again; nothing is lost");
                }
                Ok(()) => {}
                Err(error) => {
                    self.shared.stats.count_failure();
                    if !std::mem::replace(&mut fails, true) {
                        let file = &self.shared.name;
                        tracing::error!(%file, %error, "the archive cannot be written; it is tried again each second, and what waits for it is found in memory");
                    }
                    self.put_back(&mut unsynced);
                    self.pause();
                }
            }
        }
        if let Err(error) = self.sync(&mut unsynced) {
            self.note_failure(&error);
        }
    }

    /// Writes these, and makes durable what was written where that is due.
    fn write(&self, batches: &[Arc<Batch>], unsynced: &mut Unsynced) -> Result<(), FileError> {
        let opening = self.shared.file.opening()?;
        if *unsynced.opening.get_or_insert(opening) != opening {
            return Err(FileError::OpenedAnew);
        }
        let file = &self.shared.file;
        if !batches.is_empty() {
            let items = batches.iter().flat_map(|batch| &batch.items);
            file.write(opening, |tables| tables.keep(items))?;
            self.let_go(batches, unsynced);
        }
        match batches.is_empty() || unsynced.items >= SYNCED_AFTER {
            true => self.sync(unsynced),
            false => Ok(()),
        }
    }

    fn sync(&self, unsynced: &mut Unsynced) -> Result<(), FileError> {
        let Some(opening) = unsynced.opening.filter(|_| unsynced.items > 0) else {
            return Ok(());
        };
        let (now, settings) = (unsynced.latest, self.shared.settings);
        let synced = self.shared.file.write(opening, |to| to.sync(now, settings));
        self.shared.stats.count_pruned(synced?);
        (unsynced.items, unsynced.opening) = (0, None);
        unsynced.batches.clear();
        Ok(())
    }

    /// Waits a little, unless told to stop.
    fn pause(&self) {
        let waiting = self.waiting();
        let over = self
            .shared
            .filled
            .wait_timeout_while(waiting, PATIENCE, |waiting| !waiting.stop);
        drop(over);
    }

    /// The next batches to write, none where none comes for a while; `None` when told to stop.
    fn gather(&self, journal: &Progress) -> Option<Vec<Arc<Batch>>> {
        let mut waiting = self.waiting();
        if waiting.batches.is_empty() && !waiting.stop {
            let waited = self.shared.filled.wait_timeout(waiting, PATIENCE);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if waiting.stop {
            return None;
        }
        let Some(first) = waiting.batches.front().map(|batch| batch.after) else {
            return Some(Vec::new());
        };
        drop(waiting);
        let durable = journal.wait_beyond(first.saturating_sub(1), PATIENCE);
        let waiting = self.waiting();
        let mut batches: Vec<Arc<Batch>> = Vec::new();
        let mut items = 0;
        for batch in &waiting.batches {
            if batch.after > durable || items >= WRITTEN_AT_ONCE {
                break;
            }
            items += batch.items.len();
            batches.push(batch.clone());
        }
        Some(batches)
    }

    /// What is written is found in the tables from now on.
    fn let_go(&self, batches: &[Arc<Batch>], unsynced: &mut Unsynced) {
        let mut waiting = self.waiting();
        for batch in waiting.batches.drain(..batches.len()) {
            unsynced.items += batch.items.len();
            unsynced.latest = unsynced.latest.max(batch.at);
            unsynced.batches.push(batch);
        }
        let items: usize = batches.iter().map(|batch| batch.items.len()).sum();
        waiting.items -= items;
        self.shared.stats.set_waiting(waiting.items);
    }

    /// What was written and is not durable waits again, in front of the others.
    fn put_back(&self, unsynced: &mut Unsynced) {
        let mut waiting = self.waiting();
        while let Some(batch) = unsynced.batches.pop() {
            waiting.batches.push_front(batch);
        }
        waiting.items += unsynced.items;
        self.shared.stats.set_waiting(waiting.items);
        (unsynced.items, unsynced.opening) = (0, None);
    }
}

/// Puts one among those found, in place of an earlier state of it.
fn keep_latest(found: &mut Vec<Authorization>, authorization: &Authorization) {
    match found.iter_mut().find(|known| known.id == authorization.id) {
        None => found.push(authorization.clone()),
        Some(known) if known.changes < authorization.changes => {
            known.clone_from(authorization);
        }
        Some(_) => {}
    }
}

/// Takes what the shards of a world have forgotten.
pub fn forgotten_of(world: &mut World) -> Vec<Forgotten> {
    let shards = world.shards.iter_mut();
    shards.flat_map(|state| state.outbox.take()).collect()
}

/// What the shards of a world still remember and will forget.
pub fn remembered_of(world: &World) -> impl Iterator<Item = Forgotten> {
    world.shards.iter().flat_map(|state| {
        let all = state.authorizations.iter();
        let closed = all.filter(|authorization| !authorization.is_open());
        let closed = closed.map(|closed| Forgotten::Authorization(Box::new(closed.clone())));
        let answers = state.first_answers.iter();
        let own = answers.filter(|(_, _, first)| !first.is_with_authorization);
        closed.chain(own.map(|(key, at, first)| Forgotten::FirstAnswer {
            key,
            at,
            first: *first,
        }))
    })
}

/// From now on what these shards forget is there to be taken.
pub fn open_outboxes(world: &mut World) {
    world
        .shards
        .iter_mut()
        .for_each(|state| state.outbox.open());
}
