//! Where a limit's window ends, and what a clock on the wall shows, from bundled time-zone data. Counting
//! does not live here, nor do rolling windows, which need no zone (see `rolling.rs`).

use super::controls::Window;
use super::time::{DAY_MS, Timestamp, civil_from_days, days_from_civil};
use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// The end of a window, which names the window: whole minutes since 1970-01-01T00:00Z (no zone in
/// use is off by part of a minute). The largest number is a window that never ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WindowEnd(pub u32);

impl WindowEnd {
    pub const NEVER: WindowEnd = WindowEnd(u32::MAX);

    /// The end at a minute; times before 1970 and after the year 10000 are cut off.
    fn at_minute(minutes: i64) -> WindowEnd {
        WindowEnd(minutes.clamp(0, i64::from(u32::MAX) - 1) as u32)
    }

    /// The first whole minute that is not before this time.
    pub fn not_before(at: Timestamp) -> WindowEnd {
        WindowEnd::at_minute(at.0.saturating_add(59_999).div_euclid(60_000))
    }

    /// When the count starts anew, if ever.
    pub fn resets_at(self) -> Option<Timestamp> {
        (self != WindowEnd::NEVER).then(|| Timestamp(i64::from(self.0) * 60_000))
    }
}

/// A time zone of the bundled database (never the machine's own, which may differ).
pub fn time_zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    thread_local! {
        static BUNDLED: TimeZoneDatabase = TimeZoneDatabase::bundled();
    }
    BUNDLED.with(|database| database.get(name).ok())
}

/// What a clock on the wall of this zone shows, in minutes since Monday 00:00; an unknown zone is UTC.
pub fn local_minute_of_week(zone_name: &str, at: Timestamp) -> u16 {
    let offset_seconds = match zone_name {
        "UTC" => 0,
        _ => offset_seconds(zone_name, at).unwrap_or(0),
    };
    let local_minutes = (at.0.div_euclid(1_000) + i64::from(offset_seconds)).div_euclid(60);
    // 1970-01-01 was a Thursday.
    (local_minutes + 3 * MINUTES_PER_DAY).rem_euclid(7 * MINUTES_PER_DAY) as u16
}

const MINUTES_PER_DAY: i64 = 24 * 60;

/// `None` beyond the years that the calendar knows.
fn offset_seconds(zone_name: &str, at: Timestamp) -> Option<i32> {
    let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(time_zone(zone_name)?.to_offset(instant).seconds())
}

/// The end of the window of this kind that `at` lies in. `None` for a window without one end: a
/// transaction, and one that rolls.
pub fn window_end(window: Window, zone_name: &str, at: Timestamp) -> Option<WindowEnd> {
    match window {
        Window::Transaction | Window::Rolling(_) => None,
        Window::Lifetime => Some(WindowEnd::NEVER),
        _ if zone_name == "UTC" => Some(end_in_utc(window, at)),
        _ => Some(remembered_end(window, zone_name, at)),
    }
}

fn end_in_utc(window: Window, at: Timestamp) -> WindowEnd {
    let today = at.0.div_euclid(DAY_MS);
    let next = match window {
        // 1970-01-01 was a Thursday.
        Window::Week => today + 7 - (today + 3).rem_euclid(7),
        Window::Month => {
            let (year, month, _) = civil_from_days(today);
            days_from_civil(year + month / 12, month % 12 + 1, 1)
        }
        Window::Year => days_from_civil(civil_from_days(today).0 + 1, 1, 1),
        _ => today + 1,
    };
    WindowEnd::at_minute(next.saturating_mul(24 * 60))
}

/// One answer of `window_in_zone`, which holds from `start` to before `end`.
struct Remembered {
    window: Window,
    zone_name: Box<str>,
    start: Timestamp,
    end: WindowEnd,
}

/// How many answers are remembered per thread; a few zones are in use at a time.
const REMEMBERED: usize = 64;

/// The same as `window_in_zone`, which always gives the same answer for the same question. Asking the
/// zone data takes a microsecond, and most questions are of the same few days.
fn remembered_end(window: Window, zone_name: &str, at: Timestamp) -> WindowEnd {
    thread_local! {
        static ANSWERS: RefCell<[Option<Remembered>; REMEMBERED]> =
            const { RefCell::new([const { None }; REMEMBERED]) };
    }
    let letters = zone_name.as_bytes();
    let last = letters.len().saturating_sub(1);
    let mixed = [0, last / 2, last].iter().fold(
        letters.len() * 8 + calendar_place(window),
        |mixed, place| mixed * 31 + usize::from(letters.get(*place).copied().unwrap_or(0)),
    );
    ANSWERS.with_borrow_mut(|answers| {
        let slot = &mut answers[mixed % REMEMBERED];
        let fits = |known: &&Remembered| {
            let within = known.start <= at && known.end.resets_at().is_some_and(|end| at < end);
            within && known.window == window && *known.zone_name == *zone_name
        };
        if let Some(known) = slot.as_ref().filter(fits) {
            return known.end;
        }
        let (start, end) = window_in_zone(window, zone_name, at);
        *slot = Some(Remembered {
            window,
            zone_name: zone_name.into(),
            start,
            end,
        });
        end
    })
}

fn calendar_place(window: Window) -> usize {
    match window {
        Window::Day => 1,
        Window::Week => 2,
        Window::Month => 3,
        Window::Year => 4,
        Window::Transaction | Window::Lifetime | Window::Rolling(_) => 0,
    }
}

/// Start and end of a window of days or more in a zone, by the calendar; an unknown zone is UTC.
fn window_in_zone(window: Window, zone_name: &str, at: Timestamp) -> (Timestamp, WindowEnd) {
    let Some(zone) = time_zone(zone_name) else {
        return (at, end_in_utc(window, at));
    };
    by_calendar(window, &zone, at).unwrap_or((at, WindowEnd::NEVER))
}

/// `None` beyond the years that the calendar knows.
fn by_calendar(window: Window, zone: &TimeZone, at: Timestamp) -> Option<(Timestamp, WindowEnd)> {
    let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
    let date = zone.to_datetime(instant).date();
    let (first, next) = match window {
        Window::Week => (
            date.tomorrow()
                .ok()?
                .nth_weekday(-1, Weekday::Monday)
                .ok()?,
            date.nth_weekday(1, Weekday::Monday).ok()?,
        ),
        Window::Month => (
            date.first_of_month(),
            advance(date.first_of_month(), 1.month())?,
        ),
        Window::Year => (
            date.first_of_year(),
            advance(date.first_of_year(), 1.year())?,
        ),
        _ => (date, date.tomorrow().ok()?),
    };
    let midnight = |date: Date| Some(zone.to_zoned(date.at(0, 0, 0, 0)).ok()?.timestamp());
    let start = Timestamp(midnight(first)?.as_millisecond());
    Some((
        start,
        WindowEnd::at_minute(midnight(next)?.as_second().div_euclid(60)),
    ))
}

fn advance(date: Date, span: Span) -> Option<Date> {
    date.checked_add(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(window: Window, zone: &str, at: &str) -> String {
        let at = Timestamp(at.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        window_end(window, zone, at)
            .unwrap()
            .resets_at()
            .unwrap()
            .to_string()
    }

    #[test]
    fn windows_end_where_the_calendar_of_their_zone_says() {
        let cases = [
            (
                Window::Day,
                "UTC",
                "2026-11-24T23:59:59Z",
                "2026-11-25T00:00:00.000Z",
            ),
            (
                Window::Day,
                "America/New_York",
                "2026-11-24T04:59:59Z",
                "2026-11-24T05:00:00.000Z",
            ),
            // The night of the change to summer time has 23 hours, the one back 25.
            (
                Window::Day,
                "Europe/Berlin",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00.000Z",
            ),
            (
                Window::Day,
                "Europe/Berlin",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00.000Z",
            ),
            (
                Window::Week,
                "UTC",
                "2026-11-29T12:00:00Z",
                "2026-11-30T00:00:00.000Z",
            ),
            (
                Window::Week,
                "UTC",
                "2026-11-30T00:00:00Z",
                "2026-12-07T00:00:00.000Z",
            ),
            (
                Window::Month,
                "UTC",
                "2026-01-31T12:00:00Z",
                "2026-02-01T00:00:00.000Z",
            ),
            (
                Window::Month,
                "Asia/Kolkata",
                "2026-02-28T18:29:59Z",
                "2026-02-28T18:30:00.000Z",
            ),
            (
                Window::Year,
                "UTC",
                "2026-12-31T23:59:59Z",
                "2027-01-01T00:00:00.000Z",
            ),
        ];
        for (window, zone, at, expected) in cases {
            assert_eq!(end(window, zone, at), expected, "{window:?} {zone} {at}");
        }
    }

    #[test]
    fn a_transaction_has_no_window_and_a_lifetime_never_ends() {
        let at = Timestamp(1_800_000_000_000);
        assert_eq!(window_end(Window::Transaction, "UTC", at), None);
        assert_eq!(
            window_end(Window::Lifetime, "UTC", at),
            Some(WindowEnd::NEVER)
        );
        assert_eq!(WindowEnd::NEVER.resets_at(), None);
    }

    const CALENDAR: [Window; 4] = [Window::Day, Window::Week, Window::Month, Window::Year];

    #[test]
    fn our_utc_windows_are_those_of_the_calendar() {
        let mut at = Timestamp(0);
        while at.0 < 130 * 365 * DAY_MS {
            for window in CALENDAR {
                let by_calendar = by_calendar(window, &TimeZone::UTC, at).unwrap().1;
                assert_eq!(end_in_utc(window, at), by_calendar, "{window:?} {at}");
            }
            at = at.plus_ms(17 * 3_600_000 + 1);
        }
    }

    #[test]
    fn windows_follow_one_another_without_gap_in_every_zone() {
        let hour_ms = 3_600_000;
        for zone_name in jiff::tz::TimeZoneDatabase::bundled().available() {
            let zone = time_zone(zone_name.as_str()).unwrap();
            for window in CALENDAR {
                let mut at = Timestamp(1_790_000_000_000);
                for _ in 0..30 {
                    let (start, end) = by_calendar(window, &zone, at).unwrap();
                    let end_at = end.resets_at().unwrap();
                    assert!(start <= at && at < end_at, "{zone_name} {window:?} {at}");
                    let last = end_at.plus_ms(-1);
                    assert_eq!(by_calendar(window, &zone, last).unwrap(), (start, end));
                    assert_eq!(by_calendar(window, &zone, end_at).unwrap().0, end_at);
                    at = end_at.plus_ms(hour_ms);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_the_zone_data_says(
            questions in proptest::collection::vec((0usize..4, 0usize..5, 0i64..4_000_000_000_000), 1..40)
        ) {
            let zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Nowhere/Land", "America/Havana"];
            for (window, zone, at) in questions {
                let (window, zone, at) = (CALENDAR[window], zones[zone], Timestamp(at));
                let fresh = window_in_zone(window, zone, at).1;
                prop_assert_eq!(window_end(window, zone, at), Some(fresh));
                prop_assert_eq!(window_end(window, zone, at.plus_ms(1)), Some(window_in_zone(window, zone, at.plus_ms(1)).1));
            }
        }

        #[test]
        fn any_time_has_windows(at: i64) {
            for window in CALENDAR {
                prop_assert!(window_end(window, "UTC", Timestamp(at)).is_some());
                prop_assert!(window_end(window, "Europe/Berlin", Timestamp(at)).is_some());
            }
        }
    }
}
