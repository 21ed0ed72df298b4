//! Small values as text.

use crate::engine::time_windows::{Days, MINUTES_PER_DAY};

pub fn mcc_text(mcc: u16) -> String {
    format!("{mcc:04}")
}

pub fn minute_text(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// What a window's clock shows, as in `mon 19:30`.
pub fn clock_text(minute_of_week: u16) -> String {
    let day = usize::from(minute_of_week / MINUTES_PER_DAY) % Days::NAMES.len();
    let time = minute_text(minute_of_week % MINUTES_PER_DAY);
    format!("{} {time}", Days::NAMES[day])
}
