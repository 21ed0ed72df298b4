//! Backtests that were asked for while the switch runs: they wait, are carried out one at a time by a thread that rests as
//! long as it works, and are kept in memory with what they found. A restart forgets them all. Who may ask is for the interface.

use super::history::{self, Look};
use crate::engine::backtest::{Change, TriedRule};
use crate::engine::ids::{ApiKeyId, BacktestId, ProgramId, RiskRuleId};
use crate::engine::record::{self, RecordError};
use crate::engine::shares::{Full, ShareBounds, Shares, first_of_most};
use crate::engine::time::Timestamp;
use crate::journal::{Handle, JournalError, Sequence};
use crate::shard::clock::Clock;
use jiff::civil::Date;
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Those that wait and the one that runs.
pub const OPEN: ShareBounds = ShareBounds::new(16, 4);

/// Remembered, those too. Beyond it the oldest ended one is forgotten, of the tenant that has most.
pub const KEPT_MAX: usize = 100;

/// Records between two rests.
const BATCH: usize = 512;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub id: BacktestId,
    pub rule_id: RiskRuleId,
    pub rule_version: u32,
    pub program_id: ProgramId,
    pub tenant: Option<ApiKeyId>,
    pub tried: TriedRule,
    /// The same for people.
    pub shown: String,
    pub from: Option<Date>,
    pub to: Option<Date>,
    pub examples_max: usize,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Queued,
    Running,
    Completed,
    /// The journal could not be read.
    Failed,
    Cancelled,
}

impl Status {
    pub const ALL: [Status; 5] = [
        Status::Queued,
        Status::Running,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    fn is_open(self) -> bool {
        matches!(self, Status::Queued | Status::Running)
    }
}

/// A backtest as far as it is.
#[derive(Debug, Clone)]
pub struct Seen {
    pub wanted: Wanted,
    pub status: Status,
    /// Records that were looked at, of those that there were as it began.
    pub read: Sequence,
    pub of: Sequence,
    /// Of one that is completed.
    pub result: Option<Value>,
    pub ended_at: Option<Timestamp>,
}

/// What ends one before it is completed.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it was cancelled, or the switch stops")]
    Cancelled,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("record {sequence}: {error}")]
    Record {
        sequence: Sequence,
        error: RecordError,
    },
    #[error("its span of days is empty")]
    NoDays,
    #[error("it panicked")]
    Panicked,
}

#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    journal: Handle,
    clock: Clock,
    is_stopping: Box<dyn Fn() -> bool + Send + Sync>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Ids are in the order in which they were given out.
    all: BTreeMap<BacktestId, Seen>,
    /// A thread carries them out.
    is_at_work: bool,
}

impl Desk {
    pub fn new(
        journal: Handle,
        clock: Clock,
        is_stopping: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Desk {
        Desk(Arc::new(Inner {
            journal,
            clock,
            is_stopping: Box::new(is_stopping),
            kept: Mutex::default(),
        }))
    }

    /// Takes one in, and has it carried out when its turn comes.
    ///
    /// # Errors
    /// [`Full`] where as many are open as may be.
    pub fn add(&self, wanted: Wanted) -> Result<Seen, Full> {
        let mut kept = self.0.lock();
        kept.check_room(wanted.tenant)?;
        let of = self.0.journal.durable();
        let seen = Seen {
            wanted,
            status: Status::Queued,
            read: 0,
            of,
            result: None,
            ended_at: None,
        };
        kept.all.insert(seen.wanted.id, seen.clone());
        kept.forget();
        if !std::mem::replace(&mut kept.is_at_work, true) {
            let inner = self.0.clone();
            let thread = std::thread::Builder::new().name("backtest".into());
            if let Err(error) = thread.spawn(move || inner.work()) {
                // It waits for the next one that is asked for.
                tracing::error!(%error, "no thread for backtests");
                kept.is_at_work = false;
            }
        }
        Ok(seen)
    }

    pub fn get(&self, id: BacktestId) -> Option<Seen> {
        self.0.lock().all.get(&id).cloned()
    }

    /// Newest first.
    pub fn of_rule(&self, id: RiskRuleId) -> Vec<Seen> {
        let kept = self.0.lock();
        let of_rule = kept.all.values().rev();
        of_rule
            .filter(|seen| seen.wanted.rule_id == id)
            .cloned()
            .collect()
    }

    /// Ends one that is open. What has ended stays as it is.
    pub fn cancel(&self, id: BacktestId) -> Option<Seen> {
        let mut kept = self.0.lock();
        let seen = kept.all.get_mut(&id)?;
        if seen.status.is_open() {
            seen.status = Status::Cancelled;
            seen.ended_at = Some(self.0.clock.now());
        }
        Some(seen.clone())
    }
}

impl Kept {
    fn check_room(&self, tenant: Option<ApiKeyId>) -> Result<(), Full> {
        let open = self.all.values().filter(|seen| seen.status.is_open());
        Shares::of(open.map(|seen| seen.wanted.tenant)).check(tenant, 1, &OPEN)
    }

    fn forget(&mut self) {
        while self.all.len() > KEPT_MAX {
            let ended = self.all.values().filter(|seen| !seen.status.is_open());
            let first = first_of_most(ended.map(|seen| (seen.wanted.tenant, seen.wanted.id)));
            // Fewer may be open than are kept.
            let Some(first) = first else {
                return;
            };
            self.all.remove(&first);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        yield_to_others();
        while let Some((wanted, until)) = self.next() {
            let looked = catch_unwind(AssertUnwindSafe(|| self.look(&wanted, until)));
            self.end(&wanted, looked.unwrap_or(Err(Ended::Panicked)));
        }
    }

    /// The next one that waits, and the last record that it looks at: what is durable as it begins. Where there is none, the
    /// thread ends.
    fn next(&self) -> Option<(Wanted, Sequence)> {
        let mut kept = self.lock();
        let mut all = kept.all.values_mut();
        let waits = all.find(|seen| seen.status == Status::Queued);
        let next = waits.map(|seen| {
            seen.status = Status::Running;
            seen.of = self.journal.durable();
            (seen.wanted.clone(), seen.of)
        });
        kept.is_at_work = next.is_some();
        next
    }

    fn end(&self, wanted: &Wanted, looked: Result<Value, Ended>) {
        let mut kept = self.lock();
        let Some(seen) = kept.all.get_mut(&wanted.id) else {
            return;
        };
        if seen.status != Status::Running {
            return;
        }
        seen.ended_at = Some(self.clock.now());
        match looked {
            Ok(result) => {
                seen.status = Status::Completed;
                seen.result = Some(result);
            }
            Err(Ended::Cancelled) => seen.status = Status::Cancelled,
            Err(error) => {
                tracing::error!(%error, id = %wanted.id, "a backtest failed");
                seen.status = Status::Failed;
            }
        }
    }

    /// Goes through the journal.
    fn look(&self, wanted: &Wanted, until: Sequence) -> Result<Value, Ended> {
        let days = history::days(wanted.from, wanted.to).ok_or(Ended::NoDays)?;
        let unusable = |error: &dyn std::fmt::Display| tracing::warn!(%error, "a snapshot");
        let read_from = |from| self.journal.reader(from);
        let (world, mut reader) = history::begin(&self.journal.storage(), read_from, unusable)?;
        let change = Change::Rule(wanted.tried.clone());
        let mut look = Look::new(world, change, days, wanted.examples_max);
        let mut is_over = false;
        while !is_over {
            let began = Instant::now();
            for _ in 0..BATCH {
                is_over = look.last() >= until;
                if is_over {
                    break;
                }
                let Some((sequence, bytes)) = reader.next()? else {
                    is_over = true;
                    break;
                };
                let record = record::read(bytes);
                let record = record.map_err(|error| Ended::Record { sequence, error })?;
                look.take(sequence, record);
            }
            if !self.goes_on(wanted.id, look.last()) {
                return Err(Ended::Cancelled);
            }
            // Half of one core at the most.
            std::thread::sleep(began.elapsed());
        }
        let (findings, ran) = look.end();
        Ok(findings.to_json(&wanted.shown, &ran))
    }

    fn goes_on(&self, id: BacktestId, read: Sequence) -> bool {
        let mut kept = self.lock();
        let seen = kept.all.get_mut(&id);
        let is_wanted = seen.is_some_and(|seen| {
            seen.read = read;
            seen.status == Status::Running
        });
        is_wanted && !(self.is_stopping)()
    }
}

/// Whatever else wants a core gets it first. On Linux a priority is of a thread; elsewhere it would be of the whole process.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "backtests run at the usual priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::risk::compile::compile_new;
    use crate::engine::risk::rule::RuleAction;

    fn seen(id: u64, tenant: Option<u64>, status: Status) -> Seen {
        let tried = TriedRule {
            program_id: None,
            action: RuleAction::Flag,
            compiled: compile_new("amount > 1").unwrap(),
        };
        Seen {
            wanted: Wanted {
                id: BacktestId(id),
                rule_id: RiskRuleId(1),
                rule_version: 1,
                program_id: ProgramId(1),
                tenant: tenant.map(ApiKeyId),
                tried,
                shown: String::new(),
                from: None,
                to: None,
                examples_max: 0,
                created_at: Timestamp(0),
            },
            status,
            read: 0,
            of: 0,
            result: None,
            ended_at: None,
        }
    }

    #[test]
    fn open_ones_have_a_bound_and_each_tenant_its_share() {
        let mut kept = Kept::default();
        let mut put = |id, tenant, status| {
            kept.all.insert(BacktestId(id), seen(id, tenant, status));
            kept.check_room(Some(ApiKeyId(1)))
        };
        put(1, Some(1), Status::Completed).unwrap();
        for id in 2..5 {
            put(id, Some(1), Status::Queued).unwrap();
        }
        assert_eq!(put(5, Some(1), Status::Running), Err(Full::Tenant));
        put(5, Some(1), Status::Cancelled).unwrap();
        for id in 10..18 {
            put(id, Some(id), Status::Queued).unwrap();
        }
        // The last quarter is the operator's.
        assert_eq!(put(18, Some(18), Status::Queued), Err(Full::All));
        assert_eq!(kept.check_room(None), Ok(()));
    }

    #[test]
    fn of_those_that_ended_the_oldest_of_who_has_most_is_forgotten() {
        let mut kept = Kept::default();
        for id in 0..=KEPT_MAX as u64 {
            let (tenant, status) = match id {
                0 => (Some(1), Status::Queued),
                1..5 => (Some(1), Status::Completed),
                _ => (Some(2), Status::Completed),
            };
            kept.all.insert(BacktestId(id), seen(id, tenant, status));
        }
        kept.forget();
        assert_eq!(kept.all.len(), KEPT_MAX);
        assert!(kept.all.contains_key(&BacktestId(0)) && kept.all.contains_key(&BacktestId(1)));
        assert!(!kept.all.contains_key(&BacktestId(5)));
    }
}
