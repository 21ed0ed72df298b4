//! Where a limit's window ends, from bundled time-zone data. Counting does not live here.

use super::controls::Window;
use super::time::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};

/// The end of a window, which names the window: whole minutes since 1970-01-01T00:00Z (no zone in
/// use is off by part of a minute). The largest number is a window that never ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WindowEnd(pub u32);

impl WindowEnd {
    pub const NEVER: WindowEnd = WindowEnd(u32::MAX);

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

/// The end of the window of this kind that `at` lies in. `None` for a window without a count.
pub fn window_end(window: Window, zone_name: &str, at: Timestamp) -> Option<WindowEnd> {
    let step: fn(Date) -> Option<Date> = match window {
        Window::Transaction => return None,
        Window::Lifetime => return Some(WindowEnd::NEVER),
        Window::Day => |date| date.tomorrow().ok(),
        Window::Week => |date| next_monday(date),
        Window::Month => |date| advance(date.first_of_month(), 1.month()),
        Window::Year => |date| advance(date.first_of_year(), 1.year()),
    };
    if zone_name == "UTC" && window == Window::Day {
        return Some(WindowEnd(((at.0.div_euclid(86_400_000) + 1) * 1440) as u32));
    }
    let zone = time_zone(zone_name).unwrap_or(TimeZone::UTC);
    let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
    let start_of_next = step(zone.to_datetime(instant).date())?;
    let end = zone
        .to_zoned(start_of_next.at(0, 0, 0, 0))
        .ok()?
        .timestamp();
    Some(WindowEnd((end.as_second() / 60) as u32))
}

fn advance(date: Date, span: Span) -> Option<Date> {
    date.checked_add(span).ok()
}

fn next_monday(date: Date) -> Option<Date> {
    date.nth_weekday(1, Weekday::Monday).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
