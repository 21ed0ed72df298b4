//! What was used of limits, in which window. Where a window begins and ends does not live here (see
//! `window.rs` and `rolling.rs`), nor whose counters count what (see `rules/limits.rs`).

use super::ids::LimitId;
use super::rolling::{Bucket, RollingWindow};
use super::time::Timestamp;
use super::window::WindowEnd;
use serde::{Deserialize, Serialize};

/// Where a use of a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedIn {
    Window(WindowEnd),
    Bucket(Bucket),
}

/// The live counters of limits; those never used take no room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub calendar: Box<[Counter]>,
    /// Behind a pointer of its own, because few have any.
    pub rolling: Option<Box<RollingCounters>>,
}

/// What was used of one limit in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub limit_id: LimitId,
    /// Below zero where a refund gave back what was undone by a reversal too; that counts as nothing used.
    pub used_minor: i64,
    pub count: u32,
    pub window: WindowEnd,
}

/// Buckets in the order of their times. What no window has any more goes when another use is added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingCounters(Vec<RollingCounter>);

/// What was used of one limit in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct RollingCounter {
    limit_id: LimitId,
    used_minor: i64,
    count: u32,
    bucket: Bucket,
}

impl Counters {
    /// What was used in this window: amount in minor units, and count.
    pub fn used(&self, limit_id: LimitId, window: WindowEnd) -> (i64, u32) {
        let counter = self
            .calendar
            .iter()
            .find(|c| c.limit_id == limit_id && c.window == window);
        counter.map_or((0, 0), |counter| (counter.used_minor.max(0), counter.count))
    }

    /// The amount used in one window or bucket.
    pub fn used_in(&self, limit_id: LimitId, counted_in: CountedIn) -> i64 {
        match counted_in {
            CountedIn::Window(window) => self.used(limit_id, window).0,
            CountedIn::Bucket(bucket) => {
                let all = self.rolling.iter().flat_map(|rolling| &rolling.0);
                let mut same = all.filter(|c| c.limit_id == limit_id && c.bucket == bucket);
                same.next().map_or(0, |counter| counter.used_minor.max(0))
            }
        }
    }

    /// What was used in a window that rolls, bucket by bucket from the oldest.
    pub fn used_by_bucket(
        &self,
        limit_id: LimitId,
        window: RollingWindow,
        at: Timestamp,
    ) -> impl Iterator<Item = (CountedIn, i64)> {
        let buckets = self.buckets(limit_id, window, at);
        buckets.map(|(_, counter)| (CountedIn::Bucket(counter.bucket), counter.used_minor))
    }

    /// What was used in a window that rolls.
    pub fn used_rolling(
        &self,
        limit_id: LimitId,
        window: RollingWindow,
        at: Timestamp,
    ) -> (i64, u32) {
        let (used_minor, count) = self.sum_rolling(limit_id, window, at);
        (used_minor.max(0), count)
    }

    fn sum_rolling(&self, limit_id: LimitId, window: RollingWindow, at: Timestamp) -> (i64, u32) {
        self.buckets(limit_id, window, at)
            .fold((0, 0), |(used_minor, count), (_, bucket)| {
                (
                    used_minor.saturating_add(bucket.used_minor),
                    count.saturating_add(bucket.count),
                )
            })
    }

    /// When so much has left a rolling window that what is left of it `fits`, should nothing be added;
    /// never, where it would not even if all had left.
    pub fn fits_at(
        &self,
        limit_id: LimitId,
        window: RollingWindow,
        at: Timestamp,
        fits: impl Fn(i64, u32) -> bool,
    ) -> Option<Timestamp> {
        let (mut used_minor, mut count) = self.sum_rolling(limit_id, window, at);
        let mut leaving = self.buckets(limit_id, window, at);
        let mut fits_from = at;
        while !fits(used_minor.max(0), count) {
            let (left_by, bucket) = leaving.next()?;
            used_minor = used_minor.saturating_sub(bucket.used_minor);
            count = count.saturating_sub(bucket.count);
            fits_from = left_by;
        }
        Some(fits_from)
    }

    /// What still counts, from the oldest, each with the time when it leaves.
    fn buckets(
        &self,
        limit_id: LimitId,
        window: RollingWindow,
        at: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, &RollingCounter)> {
        let all = self.rolling.iter().flat_map(|rolling| &rolling.0);
        let counted =
            move |c: &&RollingCounter| c.limit_id == limit_id && window.counts(c.bucket, at);
        all.filter(counted)
            .map(move |counter| (window.left_by(counter.bucket), counter))
    }

    /// Adds a use: of so many payments, one or none. Another window than the one counted means that that one is over, or that
    /// the limit was changed: the count starts anew.
    pub fn add(&mut self, limit_id: LimitId, counted_in: CountedIn, amount_minor: i64, count: u32) {
        let window = match counted_in {
            CountedIn::Window(window) => window,
            CountedIn::Bucket(bucket) => {
                let rolling = self.rolling.get_or_insert_default();
                return rolling.add(limit_id, bucket, amount_minor, count);
            }
        };
        let fresh = Counter {
            limit_id,
            used_minor: amount_minor,
            count,
            window,
        };
        match self
            .calendar
            .iter_mut()
            .find(|counter| counter.limit_id == limit_id)
        {
            None => {
                let mut counters = Vec::with_capacity(self.calendar.len() + 1);
                counters.extend_from_slice(&self.calendar);
                counters.push(fresh);
                self.calendar = counters.into_boxed_slice();
            }
            Some(counter) if counter.window == window => {
                counter.used_minor = counter.used_minor.saturating_add(amount_minor);
                counter.count = counter.count.saturating_add(count);
            }
            Some(counter) => *counter = fresh,
        }
    }

    /// Moves a use that was added before, in its own window or bucket, if that is still counted. A sum, whatever the
    /// order in which purchases, refunds and their reversals come.
    pub fn adjust(
        &mut self,
        limit_id: LimitId,
        counted_in: CountedIn,
        amount_minor: i64,
        count: i32,
    ) {
        let counter = match counted_in {
            CountedIn::Window(window) => self
                .calendar
                .iter_mut()
                .find(|c| c.limit_id == limit_id && c.window == window)
                .map(|c| (&mut c.used_minor, &mut c.count)),
            CountedIn::Bucket(bucket) => self
                .rolling
                .iter_mut()
                .flat_map(|rolling| &mut rolling.0)
                .find(|c| c.limit_id == limit_id && c.bucket == bucket)
                .map(|c| (&mut c.used_minor, &mut c.count)),
        };
        if let Some((used_minor, counted)) = counter {
            *used_minor = used_minor.saturating_add(amount_minor);
            *counted = counted.saturating_add_signed(count);
        }
    }
}

impl RollingCounters {
    fn add(&mut self, limit_id: LimitId, bucket: Bucket, amount_minor: i64, count: u32) {
        self.0.retain(|counter| {
            let other_buckets =
                counter.limit_id == limit_id && counter.bucket.width != bucket.width;
            !other_buckets && !counter.bucket.is_forgotten_by(bucket)
        });
        let same = |c: &&mut RollingCounter| c.limit_id == limit_id && c.bucket == bucket;
        match self.0.iter_mut().find(same) {
            Some(counter) => {
                counter.used_minor = counter.used_minor.saturating_add(amount_minor);
                counter.count = counter.count.saturating_add(count);
            }
            None => self.0.push(RollingCounter {
                limit_id,
                used_minor: amount_minor,
                count,
                bucket,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: LimitId = LimitId(1);
    const DAY: RollingWindow = RollingWindow { seconds: 86_400 };

    #[test]
    fn a_use_is_given_back_to_its_own_window_only() {
        let (monday_end, tuesday_end) = (WindowEnd(100), WindowEnd(200));
        let (monday, tuesday) = (
            CountedIn::Window(monday_end),
            CountedIn::Window(tuesday_end),
        );
        let mut counters = Counters::default();
        counters.add(LIMIT, monday, 500, 1);
        counters.add(LIMIT, monday, 250, 1);
        assert_eq!(counters.used(LIMIT, monday_end), (750, 2));
        counters.adjust(LIMIT, monday, -500, -1);
        assert_eq!(counters.used(LIMIT, monday_end), (250, 1));
        counters.add(LIMIT, tuesday, 10, 1);
        counters.adjust(LIMIT, monday, -250, -1);
        assert_eq!(counters.used(LIMIT, tuesday_end), (10, 1));
        assert_eq!(counters.used(LIMIT, monday_end), (0, 0));
    }

    fn at_minute(minute: i64) -> Timestamp {
        Timestamp(1_800_000_000_000 + minute * 60_000)
    }

    fn bucket(minute: i64) -> CountedIn {
        CountedIn::Bucket(DAY.bucket_at(at_minute(minute)))
    }

    #[test]
    fn a_rolling_window_forgets_bucket_by_bucket() {
        let mut counters = Counters::default();
        for (minute, amount_minor) in [(0, 100), (10, 50), (60, 7)] {
            counters.add(LIMIT, bucket(minute), amount_minor, 1);
        }
        let used =
            |counters: &Counters, minute| counters.used_rolling(LIMIT, DAY, at_minute(minute));
        let day = 24 * 60;
        assert_eq!(used(&counters, 60), (157, 3));
        assert_eq!(used(&counters, day + 29), (157, 3));
        assert_eq!(used(&counters, day + 30), (7, 1));
        assert_eq!(used(&counters, day + 90), (0, 0));
        let fits_at = |most: i64| {
            counters.fits_at(LIMIT, DAY, at_minute(60), |used_minor, _| {
                used_minor <= most
            })
        };
        assert_eq!(fits_at(157), Some(at_minute(60)));
        assert_eq!(fits_at(156), Some(at_minute(day + 30)));
        assert_eq!(fits_at(6), Some(at_minute(day + 90)));
        assert_eq!(fits_at(-1), None);
        counters.adjust(LIMIT, bucket(10), -50, -1);
        assert_eq!(used(&counters, 60), (107, 2));
        counters.add(LIMIT, bucket(60), 3, 1);
        counters.adjust(LIMIT, bucket(0), -100, -1);
        assert_eq!(used(&counters, 60), (10, 2));
    }

    #[test]
    fn the_buckets_of_a_limit_are_bounded_and_another_width_counts_anew() {
        let mut counters = Counters::default();
        for minute in 0..10_000 {
            counters.add(LIMIT, bucket(minute), 1, 1);
            assert!(counters.rolling.as_ref().unwrap().0.len() <= 50);
        }
        assert_eq!(
            counters.used_rolling(LIMIT, DAY, at_minute(9_999)).0,
            24 * 60 + 10_000 % 30
        );
        let hour = RollingWindow { seconds: 3_600 };
        let at = at_minute(10_000);
        assert_eq!(counters.used_rolling(LIMIT, hour, at), (0, 0));
        counters.add(LIMIT, CountedIn::Bucket(hour.bucket_at(at)), 5, 1);
        assert_eq!(counters.used_rolling(LIMIT, hour, at), (5, 1));
        assert_eq!(counters.rolling.as_ref().unwrap().0.len(), 1);
        // What it would be given back to is gone.
        counters.adjust(LIMIT, bucket(9_999), -1, -1);
        assert_eq!(counters.used_rolling(LIMIT, hour, at), (5, 1));
    }
}
