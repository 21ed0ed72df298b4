//! Windows that roll: the last so many seconds, counted in buckets of a fixed share of the window, so
//! that a limit takes bounded memory however often it is used. What is kept where does not live here
//! (see `counters.rs`).
//!
//! A bucket counts until no moment of it is within the window any more. So a use counts for at least
//! the length of the window, and for up to one bucket longer: never less than was asked for.

use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A length of time up to now, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RollingWindow {
    pub seconds: u32,
}

/// Into at most so many buckets a window is cut, and one more that it has left in part.
pub const BUCKETS_MAX: i64 = 48;

/// What a bucket may be wide, in seconds: up to half a minute, half an hour, a day.
const WIDTHS: [u32; 18] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400,
];

/// One of `WIDTHS`, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketWidth(u8);

/// A stretch of time, all uses within which leave the window at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    pub width: BucketWidth,
    /// How many of this width lie between it and 1970.
    pub number: u32,
}

impl RollingWindow {
    pub const SECONDS_MIN: u32 = 60;
    pub const SECONDS_MAX: u32 = 31 * 86_400;

    /// The narrowest buckets of which the window has not too many.
    fn bucket_width(self) -> BucketWidth {
        let fits = |width: &u32| i64::from(self.seconds) <= i64::from(*width) * BUCKETS_MAX;
        let place = WIDTHS.iter().position(fits);
        BucketWidth(place.unwrap_or(WIDTHS.len() - 1) as u8)
    }

    pub fn bucket_at(self, at: Timestamp) -> Bucket {
        let width = self.bucket_width();
        let number = at.0.div_euclid(1_000 * width.seconds());
        Bucket {
            width,
            number: number.clamp(0, i64::from(u32::MAX)) as u32,
        }
    }

    /// When a bucket no longer counts in this window.
    pub fn left_by(self, bucket: Bucket) -> Timestamp {
        Timestamp((bucket.end_seconds() + i64::from(self.seconds)) * 1_000)
    }

    /// Whether a bucket counts at this time.
    pub fn counts(self, bucket: Bucket, at: Timestamp) -> bool {
        bucket.width == self.bucket_width() && at < self.left_by(bucket)
    }
}

impl BucketWidth {
    pub fn seconds(self) -> i64 {
        // Every place is one of the table, because only `bucket_width` and `from_code` give them out.
        WIDTHS
            .get(usize::from(self.0))
            .copied()
            .map_or(1, i64::from)
    }

    /// A number other than zero, for what is stored.
    pub(super) fn code(self) -> u8 {
        self.0 + 1
    }

    pub(super) fn from_code(code: u8) -> Option<BucketWidth> {
        let place = code.checked_sub(1)?;
        (usize::from(place) < WIDTHS.len()).then_some(BucketWidth(place))
    }
}

impl Bucket {
    fn end_seconds(self) -> i64 {
        (i64::from(self.number) + 1) * self.width.seconds()
    }

    /// Whether no window with buckets of this width has it any more when `newer` begins.
    pub fn is_forgotten_by(self, newer: Bucket) -> bool {
        let kept_seconds = self.end_seconds() + BUCKETS_MAX * self.width.seconds();
        kept_seconds <= i64::from(newer.number) * newer.width.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_window() -> impl Strategy<Value = RollingWindow> {
        (RollingWindow::SECONDS_MIN..=RollingWindow::SECONDS_MAX)
            .prop_map(|seconds| RollingWindow { seconds })
    }

    #[test]
    fn a_window_has_at_most_48_buckets_and_seldom_much_fewer() {
        for (seconds, width) in [
            (60, 2),
            (240, 5),
            (3_600, 120),
            (86_400, 1_800),
            (7 * 86_400, 21_600),
            (31 * 86_400, 86_400),
        ] {
            assert_eq!(RollingWindow { seconds }.bucket_width().seconds(), width);
        }
        for seconds in RollingWindow::SECONDS_MIN..=RollingWindow::SECONDS_MAX {
            let width = RollingWindow { seconds }.bucket_width().seconds();
            assert!(i64::from(seconds) <= BUCKETS_MAX * width, "{seconds}");
            assert!(i64::from(seconds) * 100 >= 1_900 * width, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn a_use_counts_for_the_window_and_at_most_a_bucket_longer(
            window in any_window(), at in 0i64..4_000_000_000_000, later_ms in 0i64..3_000_000_000
        ) {
            let used_at = Timestamp(at);
            let bucket = window.bucket_at(used_at);
            let length_ms = i64::from(window.seconds) * 1_000;
            let now = used_at.plus_ms(later_ms);
            let counts = window.counts(bucket, now);
            prop_assert!(counts || later_ms >= length_ms);
            prop_assert!(!counts || later_ms < length_ms + bucket.width.seconds() * 1_000);
            let newer = window.bucket_at(now);
            prop_assert!(!(counts && bucket.is_forgotten_by(newer)));
        }

        #[test]
        fn any_time_has_a_bucket(window in any_window(), at: i64) {
            let bucket = window.bucket_at(Timestamp(at));
            prop_assert!(window.left_by(bucket) > Timestamp(0));
        }

        #[test]
        fn a_width_is_read_as_it_was_stored(window in any_window()) {
            let width = window.bucket_width();
            prop_assert_eq!(BucketWidth::from_code(width.code()), Some(width));
        }
    }

    #[test]
    fn no_other_code_is_a_width() {
        assert_eq!(BucketWidth::from_code(0), None);
        assert_eq!(BucketWidth::from_code(19), None);
    }
}
