//! Going through the journal's history with a change, record by record. Where the records come from is for the caller.

use super::findings::{Findings, Ran};
use crate::engine::backtest::{Backtest, Change, request_of};
use crate::engine::record::Record;
use crate::engine::time::Timestamp;
use crate::engine::world::World;
use crate::journal::{JournalError, Reader, Sequence, Storage};
use crate::shard::snapshots;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// The state before the first record that is kept, and a reader from there.
pub fn begin(
    storage: &Arc<dyn Storage>,
    read_from: impl Fn(Sequence) -> Result<Reader, JournalError>,
    unusable: impl FnMut(&dyn Display),
) -> Result<(World, Reader), JournalError> {
    match read_from(1) {
        Ok(reader) => Ok((World::new(1), reader)),
        Err(JournalError::NotKept { .. }) => {
            let (world, after) = snapshots::newest(storage, 1, unusable)?;
            Ok((world, read_from(after.sequence + 1)?))
        }
        Err(error) => Err(error),
    }
}

/// From the first day to the last, both included, in UTC; nothing where the first is after the last. Days beyond those that
/// have a time are all before, or behind, the whole journal.
pub fn days(from: Option<Date>, to: Option<Date>) -> Option<Range<Timestamp>> {
    let midnight = |date: Date| {
        let zoned = date.to_zoned(TimeZone::UTC).ok();
        let beyond = if date.year() < 0 {
            i64::MIN
        } else {
            i64::MAX - 1
        };
        Timestamp(zoned.map_or(beyond, |zoned| zoned.timestamp().as_millisecond()))
    };
    let from = from.map_or(Timestamp(i64::MIN), midnight);
    let day_after = to.map(|date| date.tomorrow().ok());
    let to = day_after.flatten().map_or(Timestamp(i64::MAX), midnight);
    (from < to).then_some(from..to)
}

/// A look at the history, as far as it has got.
pub struct Look {
    backtest: Backtest,
    days: Range<Timestamp>,
    findings: Findings,
    first: Option<Sequence>,
    last: Sequence,
    started: Instant,
}

impl Look {
    pub fn new(world: World, change: Change, days: Range<Timestamp>, examples_max: usize) -> Look {
        Look {
            backtest: Backtest::new(world, change),
            days,
            findings: Findings::new(examples_max),
            first: None,
            last: 0,
            started: Instant::now(),
        }
    }

    pub fn take(&mut self, sequence: Sequence, mut record: Record) {
        let looked = self.backtest.take(&mut record);
        if let (Some(looked), Some((asked, authorize, recorded))) = (looked, request_of(&record))
            && self.days.contains(&asked.at)
        {
            self.findings.add(asked.at, authorize, recorded, looked);
        }
        self.first.get_or_insert(sequence);
        self.last = sequence;
    }

    pub fn last(&self) -> Sequence {
        self.last
    }

    /// Whether what the change is of has come up, and the groups and lists that it names.
    pub fn backtest(&self) -> &Backtest {
        &self.backtest
    }

    pub fn end(self) -> (Findings, Ran) {
        let ran = Ran {
            first: self.first.unwrap_or(0),
            last: self.last,
            elapsed: self.started.elapsed(),
        };
        (self.findings, ran)
    }
}
