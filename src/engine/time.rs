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
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        let date = jiff::tz::TimeZone::UTC.to_datetime(instant).date();
        (date.year(), date.month())
    }
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

    pub fn is_past_at(self, at: Timestamp) -> bool {
        let (year, month) = at.year_month();
        (i32::from(year) - 2000) * 12 + i32::from(month) - 1 > i32::from(self.0)
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
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(
            at("2026-11-24T01:02:03.004Z").to_string(),
            "2026-11-24T01:02:03.004Z"
        );
    }
}
