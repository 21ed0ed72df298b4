//! Time as the engine sees it: numbers that arrive in commands. No clock lives here.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub fn plus_ms(self, duration_ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(duration_ms))
    }

    /// The year and month (1 to 12) in UTC.
    pub fn year_month(self) -> (i16, i8) {
        let (year, month, _) = civil_from_days(self.0.div_euclid(DAY_MS));
        (year as i16, month as i8)
    }
}

/// Milliseconds of a day without leap seconds, which these times do not know.
pub(super) const DAY_MS: i64 = 86_400_000;

/// Days from 1970-01-01 to a day of the Gregorian calendar. The year is taken to begin in March,
/// so that a leap day ends it: then days before a month are a straight line, rounded.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let leap_days =
        march_year.div_euclid(4) - march_year.div_euclid(100) + march_year.div_euclid(400);
    march_year * 365 + leap_days + (march_month * 153 + 2) / 5 + day - 1 - 719_468
}

/// The year, month (1 to 12) and day of the month of a day counted from 1970-01-01.
pub(super) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const CYCLE_DAYS: i64 = 146_097;
    let from_march_0 = days + 719_468;
    let (cycle, in_cycle) = (
        from_march_0.div_euclid(CYCLE_DAYS),
        from_march_0.rem_euclid(CYCLE_DAYS),
    );
    let year_of_cycle =
        (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month, day)
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds, in UTC.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        write!(formatter, "{instant:.3}")
    }
}

/// The month in which a card expires, good through its last moment in UTC: months since 2000-01.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Expiry(pub u16);

impl Expiry {
    /// From a full year (2000 to 2099) and a month (1 to 12).
    pub fn new(year: u16, month: u8) -> Option<Expiry> {
        let in_range = (2000..2100).contains(&year) && (1..=12).contains(&month);
        in_range.then(|| Expiry((year - 2000) * 12 + u16::from(month) - 1))
    }

    pub fn year(self) -> u16 {
        2000 + self.0 / 12
    }

    pub fn month(self) -> u8 {
        (self.0 % 12) as u8 + 1
    }

    /// The first moment at which the card no longer is good.
    pub fn ends_at(self) -> Timestamp {
        let next = i64::from(self.0) + 1;
        Timestamp(days_from_civil(2000 + next / 12, next % 12 + 1, 1) * DAY_MS)
    }

    pub fn is_past_at(self, at: Timestamp) -> bool {
        at >= self.ends_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn a_card_is_good_through_the_last_moment_of_its_month() {
        let expiry = Expiry::new(2026, 11).unwrap();
        assert!(!expiry.is_past_at(at("2026-11-30T23:59:59.999Z")));
        assert!(expiry.is_past_at(at("2026-12-01T00:00:00Z")));
        assert_eq!((expiry.year(), expiry.month()), (2026, 11));
        assert_eq!(Expiry::new(2026, 13), None);
    }

    #[test]
    fn our_calendar_is_the_calendar() {
        let first = jiff::civil::date(1890, 1, 1);
        let epoch = jiff::civil::date(1970, 1, 1);
        let from = i64::from(epoch.until(first).unwrap().get_days());
        let dates = first.series(jiff::Span::new().days(1)).take(180_000);
        for (days, date) in (from..).zip(dates) {
            let (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
            assert_eq!(days_from_civil(year, month, day), days, "{date}");
            assert_eq!(civil_from_days(days), (year, month, day), "{date}");
        }
    }

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(
            at("2026-11-24T01:02:03.004Z").to_string(),
            "2026-11-24T01:02:03.004Z"
        );
    }
}
