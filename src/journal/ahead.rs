//! Segments prepared ahead of the live one, so that the change to the next costs the commit thread
//! nothing and a full disk is noticed a whole reserve early. Also holds what the helper threads need
//! to know: how far segments are sealed, and which records are still needed.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Sequence,
    compress::{self, Pace},
    error::JournalError,
    segment,
    settings::Settings,
    stats::Stats,
    storage::{Storage, StorageFile, is_out_of_descriptors},
};

/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// So often a file may not be opened for want of descriptors before that counts: connections come and go.
const DESCRIPTOR_TRIES: u32 = 20;

/// Whether there is room for ordinary work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The reserve is whole.
    Ample,
    /// The disk is full, as a rule, and the reserve is being used: refuse new work, take what must be taken.
    Reserve,
}

/// Shared between the commit thread and the helper that prepares.
#[derive(Default)]
pub(super) struct Ahead {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<(u64, Arc<dyn StorageFile>)>,
    /// Number of the next segment to prepare.
    next: u64,
    /// Why there is no room: from the first attempt that failed until the reserve is whole again.
    failure: Option<Failure>,
    /// Attempts in a row that only a descriptor was missing for.
    descriptor_tries: u32,
    /// The commit thread waits for a segment, and none was tried since.
    urgent: bool,
    /// A helper thread runs; without one, `take` prepares by itself.
    helped: bool,
    stopping: bool,
    /// Segments below this number take no more frames; their last record.
    sealed_below: u64,
    sealed_through: Sequence,
    /// No record from here on may be removed.
    floor: Sequence,
}

impl Ahead {
    /// Starts with the prepared segments that recovery found; `next` is the number to prepare next.
    pub fn set(&self, ready: VecDeque<(u64, Arc<dyn StorageFile>)>, next: u64) {
        let mut state = self.state();
        (state.ready, state.next) = (ready, next);
    }

    /// Room for ordinary work?
    pub fn space(&self) -> Space {
        if self.state().failure.is_some() {
            Space::Reserve
        } else {
            Space::Ample
        }
    }

    /// How many whole segments lie ready.
    pub fn segments_ready(&self) -> usize {
        self.state().ready.len()
    }

    /// The prepared segment with this number. Waits for the helper if it is late.
    pub fn take(
        &self,
        storage: &dyn Storage,
        settings: &Settings,
        number: u64,
        stats: &Stats,
    ) -> Result<Arc<dyn StorageFile>, JournalError> {
        let mut state = self.state();
        let mut asked = false;
        loop {
            if let Some((ready, file)) = state.ready.pop_front() {
                debug_assert_eq!(ready, number, "segments are prepared in order");
                self.changed.notify_all();
                return Ok(file);
            }
            if let Some(failure) = state.failure.clone().filter(|_| asked && !state.urgent) {
                return Err(failure.into_error(storage.path("")));
            }
            if !asked {
                (state.urgent, asked) = (true, true);
            }
            if state.helped {
                stats.count_rotation_wait();
                self.changed.notify_all();
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            } else {
                drop(state);
                self.prepare_one(storage, settings);
                state = self.state();
            }
        }
    }

    /// Prepares one segment if one is missing; true if it did. A failure shows in `space`.
    pub fn prepare_one(&self, storage: &dyn Storage, settings: &Settings) -> bool {
        let state = self.state();
        if state.ready.len() >= settings.segments_ahead() {
            return false;
        }
        let number = state.next;
        drop(state);
        let created = segment::create(storage, number, settings.segment_size_bytes);
        let mut state = self.state();
        state.urgent = false;
        let folder = storage.path("");
        let done = created.is_ok();
        match created {
            Ok(file) => {
                state.descriptor_tries = 0;
                state.ready.push_back((number, file));
                state.next = number + 1;
                let whole = state.ready.len() >= settings.segments_ahead();
                if whole && state.failure.take().is_some() {
                    tracing::info!(%folder, "the journal's reserve is whole again: new work is taken");
                }
            }
            Err(error) if state.may_pass(&error) => {}
            Err(error) => {
                let failure = Failure::of(&error);
                let reserve_bytes = state.ready.len() as u64 * settings.segment_size_bytes;
                if state.failure.replace(failure.clone()).is_none() {
                    failure.tell(&folder, reserve_bytes);
                }
            }
        }
        self.changed.notify_all();
        done
    }

    /// The helper thread's life: prepare whatever is missing, until told to stop.
    pub fn help(&self, storage: &dyn Storage, settings: &Settings) {
        loop {
            while !self.state().stopping && self.prepare_one(storage, settings) {}
            let mut state = self.state();
            let missing = state.ready.len() < settings.segments_ahead();
            if state.stopping {
                return;
            }
            // A failed attempt is repeated after a pause, or at once when the writer waits.
            if !missing {
                drop(
                    self.changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner),
                );
            } else if !state.urgent {
                let (after, _) = self
                    .changed
                    .wait_timeout(state, RETRY)
                    .unwrap_or_else(PoisonError::into_inner);
                state = after;
                drop(state);
            }
        }
    }

    /// Says that a helper thread runs from now on, or no longer.
    pub fn set_helped(&self, helped: bool) {
        let mut state = self.state();
        (state.helped, state.stopping) = (helped, !helped);
        self.changed.notify_all();
    }

    /// Notes that segments below this one will not change any more, and their last record.
    pub fn seal_below(&self, number: u64, through: Sequence) {
        let mut state = self.state();
        (state.sealed_below, state.sealed_through) = (number, through);
        self.changed.notify_all();
    }

    /// The last record in sealed segments.
    pub fn sealed_through(&self) -> Sequence {
        self.state().sealed_through
    }

    /// Allows records before this one to be removed. Never goes back.
    pub fn set_floor(&self, floor: Sequence) {
        let mut state = self.state();
        state.floor = state.floor.max(floor);
        self.changed.notify_all();
    }

    /// Compresses or removes one segment, if there is one to do; true if it did.
    pub fn tidy_one(
        &self,
        storage: &Arc<dyn Storage>,
        settings: &Settings,
        stats: &Stats,
        pace: &mut Pace<'_>,
    ) -> bool {
        let (sealed_below, floor) = {
            let state = self.state();
            (state.sealed_below, state.floor)
        };
        let removed = compress::remove_oldest(storage, settings, sealed_below, floor);
        let done = match removed {
            Ok(false) if settings.compress => {
                let done = compress::compress_oldest(storage, sealed_below, pace);
                done.inspect(|done| stats.count_compressed(*done))
            }
            other => other,
        };
        done.unwrap_or_else(|_| {
            stats.count_tidy_failure();
            false
        })
    }

    /// The compressing thread's life. It works at most half of the time, and gives up when told.
    pub fn tidy(&self, storage: &Arc<dyn Storage>, settings: &Settings, stats: &Stats) {
        loop {
            let seen = {
                let state = self.state();
                (state.sealed_below, state.floor)
            };
            let mut began = storage.elapsed();
            let mut pace = || {
                let go_on = self.pause(storage.elapsed().saturating_sub(began));
                began = storage.elapsed();
                go_on
            };
            while self.tidy_one(storage, settings, stats, &mut pace) {}
            let unchanged =
                |state: &mut State| !state.stopping && (state.sealed_below, state.floor) == seen;
            let state = self.changed.wait_while(self.state(), unchanged);
            if state.unwrap_or_else(PoisonError::into_inner).stopping {
                return;
            }
        }
    }

    /// Pauses as long as asked, less if the journal is closing; false then.
    fn pause(&self, time: Duration) -> bool {
        let going_on = |state: &mut State| !state.stopping;
        let paused = self
            .changed
            .wait_timeout_while(self.state(), time, going_on);
        !paused.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this attempt is one of those that do not count yet.
    fn may_pass(&mut self, error: &io::Error) -> bool {
        if !is_out_of_descriptors(error) {
            self.descriptor_tries = 0;
            return false;
        }
        self.descriptor_tries += 1;
        self.descriptor_tries <= DESCRIPTOR_TRIES
    }
}

/// Why no segment can be prepared.
#[derive(Clone)]
enum Failure {
    Disk(String),
    OpenFiles(String),
}

impl Failure {
    fn of(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::StorageFull => Failure::Disk("no space left".into()),
            _ if is_out_of_descriptors(error) => Failure::OpenFiles(error.to_string()),
            _ => Failure::Disk(error.to_string()),
        }
    }

    fn tell(&self, folder: &str, reserve_bytes: u64) {
        match self {
            Failure::Disk(reason) => tracing::error!(
                %folder, %reason, reserve_bytes,
                "the disk is full: only reversals are taken until there is room for the journal's reserve"
            ),
            Failure::OpenFiles(reason) => tracing::error!(
                %folder, %reason, reserve_bytes,
                "too many files are open (ulimit -n): only reversals are taken until the journal can open its reserve"
            ),
        }
    }

    fn into_error(self, folder: String) -> JournalError {
        match self {
            Failure::Disk(reason) => JournalError::DiskFull { folder, reason },
            Failure::OpenFiles(reason) => JournalError::OpenFiles { folder, reason },
        }
    }
}
