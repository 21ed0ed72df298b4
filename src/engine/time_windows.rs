//! Hours of the week in which a card may be used, by the clock on the wall of a time zone: where an
//! hour is skipped or comes twice, so it is here. What the clock shows does not live here (see
//! `window.rs`).

use super::ids::ControlId;
use serde::{Deserialize, Serialize};

pub const MINUTES_PER_DAY: u16 = 24 * 60;

/// From a minute of the day to before another, on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeWindow {
    pub id: ControlId,
    /// The days on which it opens; one that spans midnight closes on the next.
    pub days: Days,
    pub from_minute: u16,
    /// At most 24:00. At or before the first, it is of the next day.
    pub to_minute: u16,
    /// IANA name of the zone whose clock it is.
    pub time_zone: Box<str>,
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Days(u8);

impl Days {
    /// From Monday.
    pub const NAMES: [&'static str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    pub const ALL: Days = Days(127);

    /// The days at these places of the week, from 0 for Monday.
    pub fn of(places: impl IntoIterator<Item = u8>) -> Days {
        let bits = places.into_iter().map(|place| 1 << (place % 7));
        Days(bits.fold(0, |days, day: u8| days | day))
    }

    pub fn contains(self, place: u8) -> bool {
        self.0 & 1 << (place % 7) != 0
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let places = (0u8..).zip(Days::NAMES);
        places.filter_map(move |(place, name)| self.contains(place).then_some(name))
    }
}

impl TimeWindow {
    /// Whether it is open at a minute of the week, counted from Monday 00:00.
    pub fn contains(&self, minute_of_week: u16) -> bool {
        let minute = minute_of_week % MINUTES_PER_DAY;
        let day = (minute_of_week / MINUTES_PER_DAY % 7) as u8;
        let day_before = (day + 6) % 7;
        if self.from_minute < self.to_minute {
            return self.days.contains(day) && (self.from_minute..self.to_minute).contains(&minute);
        }
        (self.days.contains(day) && minute >= self.from_minute)
            || (self.days.contains(day_before) && minute < self.to_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: Days, from_minute: u16, to_minute: u16) -> TimeWindow {
        TimeWindow {
            id: ControlId(1),
            days,
            from_minute,
            to_minute,
            time_zone: "UTC".into(),
        }
    }

    fn minute(day: u16, hour: u16, minute: u16) -> u16 {
        day * MINUTES_PER_DAY + hour * 60 + minute
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_before_its_last() {
        let office = window(Days::of([0, 1, 2, 3, 4]), 8 * 60, 18 * 60);
        assert!(office.contains(minute(0, 8, 0)) && office.contains(minute(4, 17, 59)));
        assert!(!office.contains(minute(0, 7, 59)) && !office.contains(minute(0, 18, 0)));
        assert!(!office.contains(minute(5, 12, 0)) && !office.contains(minute(6, 12, 0)));
        let whole_day = window(Days::of([6]), 0, MINUTES_PER_DAY);
        assert!(whole_day.contains(minute(6, 0, 0)) && whole_day.contains(minute(6, 23, 59)));
        assert!(!whole_day.contains(minute(0, 0, 0)) && !whole_day.contains(minute(5, 23, 59)));
    }

    #[test]
    fn one_that_spans_midnight_closes_on_the_day_after() {
        let night = window(Days::of([4, 6]), 22 * 60, 2 * 60);
        assert!(night.contains(minute(4, 22, 0)) && night.contains(minute(5, 1, 59)));
        assert!(!night.contains(minute(4, 1, 0)) && !night.contains(minute(5, 2, 0)));
        assert!(!night.contains(minute(5, 23, 0)) && night.contains(minute(6, 23, 0)));
        // From Sunday into the week after.
        assert!(night.contains(minute(0, 1, 59)) && !night.contains(minute(0, 22, 0)));
    }

    #[test]
    fn days_have_names_from_monday() {
        assert_eq!(Days::ALL.names().collect::<Vec<_>>(), Days::NAMES);
        assert_eq!(Days::of([6, 0]).names().collect::<Vec<_>>(), ["mon", "sun"]);
    }
}
