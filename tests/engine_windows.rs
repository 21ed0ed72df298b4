//! Ends of windows and clocks on the wall around daylight-saving changes and ends of months, as Python's
//! `zoneinfo` has them.

use cardswitch::engine::controls::Window;
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::time_windows::Days;
use cardswitch::engine::window::{local_minute_of_week, window_end};

fn time(text: &str) -> Timestamp {
    let parsed: jiff::Timestamp = text.parse().unwrap();
    Timestamp(parsed.as_millisecond())
}

/// A window, its zone, a time in it, and its end.
const ENDS: &[(Window, &str, &str, &str)] = &[
    (
        Window::Day,
        "Europe/Berlin",
        "2026-03-28T22:59:59Z",
        "2026-03-28T23:00:00Z",
    ),
    (
        Window::Day,
        "Europe/Berlin",
        "2026-03-29T12:00:00Z",
        "2026-03-29T22:00:00Z",
    ),
    (
        Window::Day,
        "Europe/Berlin",
        "2026-10-25T12:00:00Z",
        "2026-10-25T23:00:00Z",
    ),
    (
        Window::Week,
        "Europe/Berlin",
        "2026-03-24T12:00:00Z",
        "2026-03-29T22:00:00Z",
    ),
    (
        Window::Week,
        "Europe/Berlin",
        "2026-10-25T22:59:59Z",
        "2026-10-25T23:00:00Z",
    ),
    (
        Window::Month,
        "Europe/Berlin",
        "2026-03-15T00:00:00Z",
        "2026-03-31T22:00:00Z",
    ),
    (
        Window::Month,
        "Europe/Berlin",
        "2026-10-31T22:59:59Z",
        "2026-10-31T23:00:00Z",
    ),
    (
        Window::Year,
        "Europe/Berlin",
        "2026-07-01T00:00:00Z",
        "2026-12-31T23:00:00Z",
    ),
    (
        Window::Day,
        "America/New_York",
        "2026-03-08T06:00:00Z",
        "2026-03-09T04:00:00Z",
    ),
    (
        Window::Day,
        "America/New_York",
        "2026-11-01T06:00:00Z",
        "2026-11-02T05:00:00Z",
    ),
    (
        Window::Month,
        "America/New_York",
        "2026-11-01T03:59:59Z",
        "2026-11-01T04:00:00Z",
    ),
    (
        Window::Month,
        "America/New_York",
        "2026-11-01T04:00:00Z",
        "2026-12-01T05:00:00Z",
    ),
    (
        Window::Day,
        "America/Havana",
        "2026-03-08T04:00:00Z",
        "2026-03-08T05:00:00Z",
    ),
    (
        Window::Day,
        "America/Havana",
        "2026-03-08T12:00:00Z",
        "2026-03-09T04:00:00Z",
    ),
    (
        Window::Day,
        "Australia/Lord_Howe",
        "2026-04-04T12:59:59Z",
        "2026-04-04T13:00:00Z",
    ),
    (
        Window::Day,
        "Australia/Lord_Howe",
        "2026-04-05T00:00:00Z",
        "2026-04-05T13:30:00Z",
    ),
    (
        Window::Day,
        "Pacific/Apia",
        "2011-12-30T09:59:59Z",
        "2011-12-30T10:00:00Z",
    ),
    (
        Window::Week,
        "Pacific/Apia",
        "2011-12-29T00:00:00Z",
        "2012-01-01T10:00:00Z",
    ),
    (
        Window::Month,
        "UTC",
        "2028-02-28T23:59:59Z",
        "2028-03-01T00:00:00Z",
    ),
    (
        Window::Month,
        "UTC",
        "2026-02-28T23:59:59Z",
        "2026-03-01T00:00:00Z",
    ),
    (
        Window::Month,
        "UTC",
        "2100-02-28T12:00:00Z",
        "2100-03-01T00:00:00Z",
    ),
    (
        Window::Month,
        "Asia/Kolkata",
        "2028-02-29T18:29:59Z",
        "2028-02-29T18:30:00Z",
    ),
    (
        Window::Month,
        "Pacific/Kiritimati",
        "2026-01-31T09:59:59Z",
        "2026-01-31T10:00:00Z",
    ),
    (
        Window::Month,
        "Pacific/Kiritimati",
        "2026-01-31T10:00:00Z",
        "2026-02-28T10:00:00Z",
    ),
    (
        Window::Month,
        "UTC",
        "2026-12-31T23:59:59Z",
        "2027-01-01T00:00:00Z",
    ),
    (
        Window::Year,
        "Pacific/Honolulu",
        "2027-01-01T09:59:59Z",
        "2027-01-01T10:00:00Z",
    ),
    (
        Window::Week,
        "UTC",
        "2026-12-31T12:00:00Z",
        "2027-01-04T00:00:00Z",
    ),
];

#[test]
fn windows_end_where_the_calendar_says() {
    for (window, zone, at, end) in ENDS {
        let found = window_end(*window, zone, time(at)).unwrap().resets_at();
        assert_eq!(found, Some(time(end)), "{window:?} {zone} {at}");
        let last = time(end).plus_ms(-1);
        let found = window_end(*window, zone, last).unwrap().resets_at();
        assert_eq!(
            found,
            Some(time(end)),
            "{window:?} {zone} to its last moment"
        );
        let next = window_end(*window, zone, time(end)).unwrap().resets_at();
        assert!(
            next > Some(time(end)),
            "{window:?} {zone} and then the next"
        );
    }
}

/// A zone, a time, and what its clock shows.
const CLOCKS: &[(&str, &str, &str, u16, u16)] = &[
    ("UTC", "2026-11-30T00:00:00Z", "mon", 0, 0),
    ("Europe/Berlin", "2026-03-29T00:59:59Z", "sun", 1, 59),
    ("Europe/Berlin", "2026-03-29T01:00:00Z", "sun", 3, 0),
    ("Europe/Berlin", "2026-10-25T00:59:59Z", "sun", 2, 59),
    ("Europe/Berlin", "2026-10-25T01:00:00Z", "sun", 2, 0),
    ("America/New_York", "2026-03-08T06:59:59Z", "sun", 1, 59),
    ("America/New_York", "2026-03-08T07:00:00Z", "sun", 3, 0),
    ("America/New_York", "2026-11-01T05:59:59Z", "sun", 1, 59),
    ("America/New_York", "2026-11-01T06:00:00Z", "sun", 1, 0),
    ("Australia/Lord_Howe", "2026-04-04T14:59:59Z", "sun", 1, 59),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z", "sun", 1, 30),
    ("Asia/Kathmandu", "2026-11-29T18:15:00Z", "mon", 0, 0),
    ("Pacific/Kiritimati", "2026-11-29T09:59:59Z", "sun", 23, 59),
    ("Pacific/Kiritimati", "2026-11-29T10:00:00Z", "mon", 0, 0),
    ("Nowhere/Land", "2026-11-30T01:02:03Z", "mon", 1, 2),
];

#[test]
fn clocks_show_what_they_show_on_the_wall() {
    for (zone, at, day, hour, minute) in CLOCKS {
        let days = Days::NAMES.iter().position(|name| name == day).unwrap() as u16;
        let expected = (days * 24 + hour) * 60 + minute;
        assert_eq!(
            local_minute_of_week(zone, time(at)),
            expected,
            "{zone} {at}"
        );
    }
    for at in [i64::MIN, -1, 0, i64::MAX] {
        for zone in ["UTC", "Europe/Berlin"] {
            assert!(local_minute_of_week(zone, Timestamp(at)) < 7 * 24 * 60);
        }
    }
}
