//! The journal as a whole: opened, stepped by hand (tests, simulations), or run by its threads, which
//! are thin loops around the same steps.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    commit::{Handle, Shared, Taken, Wake},
    error::JournalError,
    reader::BEGINNING,
    recover::{self, Position, Recovered, Visit},
    settings::Settings,
    storage::Storage,
    writer::Writer,
};

/// After this long without work the newest frame gets its mark: half of the promised 10 ms.
const MARK_AFTER: Duration = Duration::from_millis(5);

/// Called once, on the commit thread, with the failure that stopped the journal.
pub type OnFatal = Box<dyn FnOnce(&JournalError) + Send>;

/// An open journal without threads: nothing moves but by `commit_pending` and its siblings.
pub struct Journal {
    writer: Writer,
    shared: Arc<Shared>,
    taken: Taken,
    /// The newest frame holds records, and no later frame proves it yet.
    unmarked: bool,
    failed: bool,
}

impl Journal {
    /// Opens the journal for writing, or begins one with `new_journal_id` (random, from the caller)
    /// if there is none. Everything that is there is checked.
    ///
    /// # Errors
    /// [`JournalError::Locked`], [`JournalError::Damaged`] and its kin; the files are unchanged.
    pub fn open(
        storage: Arc<dyn Storage>,
        settings: &Settings,
        new_journal_id: u128,
    ) -> Result<(Self, Recovered), JournalError> {
        Self::open_after(storage, settings, new_journal_id, BEGINNING, &mut |_, _| {
            Ok(())
        })
    }

    /// As [`Journal::open`], and replays every record after `after` (of the newest snapshot) on the
    /// way. Segments wholly before it are not looked at.
    ///
    /// # Errors
    /// Also [`JournalError::SnapshotMismatch`], [`JournalError::NotKept`] and
    /// [`JournalError::Replay`]. After an error, what `visit` has built must be thrown away.
    pub fn open_after(
        storage: Arc<dyn Storage>,
        settings: &Settings,
        new_journal_id: u128,
        after: Position,
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Recovered), JournalError> {
        let (writer, recovered) =
            recover::open(storage.clone(), settings, new_journal_id, after, visit)?;
        let shared = Shared::new(
            storage,
            writer.journal_id,
            writer.durable(),
            settings,
            writer.ahead.clone(),
            writer.stats.clone(),
        );
        let taken = Taken::new();
        Ok((
            Self {
                writer,
                shared,
                taken,
                unmarked: false,
                failed: false,
            },
            recovered,
        ))
    }

    /// For producers and followers.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: self.shared.clone(),
        }
    }

    /// Commits what was appended so far as one group and calls its releases; true if there was
    /// anything to do.
    ///
    /// # Errors
    /// Every error is final: no release is called any more, and every further call fails.
    pub fn commit_pending(&mut self) -> Result<bool, JournalError> {
        self.refuse_if_failed()?;
        self.shared.take(&mut self.taken);
        let durable = self.writer.durable();
        let worked = !(self.taken.records.is_empty() && self.taken.late.is_empty());
        self.taken
            .late
            .drain(..)
            .for_each(|release| release.release(durable));
        let records = self.taken.records.count;
        if records > 0 {
            let committed = self.writer.commit(&mut self.taken.records.buffer, records);
            self.check(committed)?;
            self.taken.records.clear();
            self.unmarked = true;
            let durable = self.writer.durable();
            self.shared.advance(durable);
            self.taken
                .releases
                .drain(..)
                .for_each(|release| release.release(durable));
            self.shared.publish();
        }
        Ok(worked)
    }

    /// Proves the newest frame durable, if no later frame does so yet.
    ///
    /// # Errors
    /// As `commit_pending`.
    pub fn mark_if_due(&mut self) -> Result<(), JournalError> {
        self.refuse_if_failed()?;
        if self.unmarked {
            let marked = self.writer.mark();
            self.check(marked)?;
            self.unmarked = false;
        }
        Ok(())
    }

    /// Prepares one segment ahead, if one is missing; true if it did.
    pub fn prepare_ahead(&mut self) -> bool {
        self.writer
            .ahead
            .prepare_one(&*self.writer.storage, &self.writer.settings)
    }

    /// Compresses or removes one sealed segment, if there is one to do; true if it did.
    pub fn tidy(&mut self) -> bool {
        let writer = &self.writer;
        writer.ahead.tidy_one(
            &writer.storage,
            &writer.settings,
            &writer.stats,
            &mut || true,
        )
    }

    /// Gives the journal its threads. `on_fatal` should end the process.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(self, on_fatal: OnFatal) -> Result<RunningJournal, JournalError> {
        let (handle, ahead) = (self.handle(), self.writer.ahead.clone());
        let (storage, settings) = (self.writer.storage.clone(), self.writer.settings.clone());
        let mut running = RunningJournal {
            handle,
            ahead,
            commit: None,
            helpers: Vec::new(),
        };
        running.ahead.set_helped(true);
        let (ahead, tidier) = (running.ahead.clone(), running.ahead.clone());
        let (storage_too, settings_too) = (storage.clone(), settings.clone());
        let stats = self.writer.stats.clone();
        let tidy = move || {
            // Compression may lag, answers may not. A refusal leaves everything as it was.
            let _ = rustix::process::nice(19);
            tidier.tidy(&storage_too, &settings_too, &stats)
        };
        running.helpers.push(spawn("journal-prepare", move || {
            ahead.help(&*storage, &settings)
        })?);
        running.helpers.push(spawn("journal-tidy", tidy)?);
        running.commit = Some(spawn("journal-commit", move || self.run(on_fatal))?);
        Ok(running)
    }

    fn run(mut self, on_fatal: OnFatal) -> Result<(), String> {
        // A release that panics must not leave everybody waiting for ever.
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.work())).unwrap_or_else(|_| {
            let reason = "the commit thread panicked".to_owned();
            Err(JournalError::Failed { reason })
        });
        if let Err(error) = &result {
            self.shared.fail(error);
            on_fatal(error);
        }
        result.map_err(|error| error.to_string())
    }

    fn work(&mut self) -> Result<(), JournalError> {
        loop {
            match self
                .shared
                .wait_for_work(self.unmarked.then_some(MARK_AFTER))
            {
                Wake::Work => drop(self.commit_pending()?),
                Wake::Idle => self.mark_if_due()?,
                Wake::Closing => return self.mark_if_due(),
            }
        }
    }

    fn check(&mut self, result: Result<(), JournalError>) -> Result<(), JournalError> {
        if let Err(error) = &result {
            self.failed = true;
            self.taken = Taken::new();
            self.shared.fail(error);
        }
        result
    }

    fn refuse_if_failed(&self) -> Result<(), JournalError> {
        let reason = || "see the first error".to_owned();
        if self.failed {
            Err(JournalError::Failed { reason: reason() })
        } else {
            Ok(())
        }
    }
}

/// A journal with its threads. Dropping it closes it.
pub struct RunningJournal {
    handle: Handle,
    ahead: Arc<super::ahead::Ahead>,
    commit: Option<JoinHandle<Result<(), String>>>,
    helpers: Vec<JoinHandle<()>>,
}

impl RunningJournal {
    /// For producers and followers.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Commits what was appended, marks it, and ends the threads.
    ///
    /// # Errors
    /// The failure that stopped the journal, if one did.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), JournalError> {
        self.handle.shared.close();
        let ended = self.commit.take().map(JoinHandle::join);
        self.ahead.set_helped(false);
        self.helpers
            .drain(..)
            .for_each(|helper| drop(helper.join()));
        match ended {
            Some(Ok(Err(reason))) => Err(JournalError::Failed { reason }),
            Some(Err(_)) => Err(JournalError::Failed {
                reason: "a thread panicked".into(),
            }),
            None | Some(Ok(Ok(()))) => Ok(()),
        }
    }
}

impl Drop for RunningJournal {
    fn drop(&mut self) {
        // A failure was told to `on_fatal` already.
        let _ = self.finish();
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, JournalError> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder
        .spawn(work)
        .map_err(JournalError::io("start the thread", name.to_owned()))
}
