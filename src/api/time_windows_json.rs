//! The control `time_windows` as JSON, both ways. What it means is in `engine::time_windows`.

use super::controls_json::zone;
use super::error::ApiError;
use super::fields::{Fields, word};
use super::idempotency::Ids;
use crate::engine::ids::ControlId;
use crate::engine::time_windows::{Days, MINUTES_PER_DAY, TimeWindow};
use crate::json::text::minute_text;
use serde_json::{Value, json};

/// Windows of one program, account or card.
const WINDOWS_MAX: usize = 20;

pub fn take(controls: &mut Fields, ids: &mut Ids) -> Result<Vec<TimeWindow>, ApiError> {
    let windows = controls.list("time_windows", WINDOWS_MAX)?.into_iter();
    windows
        .map(|(path, value)| window(Fields::of(&path, value)?, ids))
        .collect()
}

fn window(mut fields: Fields, ids: &mut Ids) -> Result<TimeWindow, ApiError> {
    let given = fields.id("id", ControlId::PREFIX)?;
    let id = given.unwrap_or_else(|| ControlId(ids.next()));
    let days = days(&mut fields)?;
    let from_minute = minute(&mut fields, "from")?.unwrap_or(0);
    let to_minute = minute(&mut fields, "to")?.unwrap_or(MINUTES_PER_DAY);
    if from_minute % MINUTES_PER_DAY == to_minute % MINUTES_PER_DAY && from_minute >= to_minute {
        let path = fields.path("to");
        let message = format!("{path} must be another time; leave out both for the whole day");
        return Err(ApiError::invalid("time_window_empty", path, message));
    }
    let time_zone = zone(&mut fields)?;
    fields.finish()?;
    Ok(TimeWindow {
        id,
        days,
        from_minute,
        to_minute,
        time_zone,
    })
}

/// All days where none is named.
fn days(fields: &mut Fields) -> Result<Days, ApiError> {
    let known: Vec<(u8, &str)> = (0u8..).zip(Days::NAMES).collect();
    let named = fields.list("days", Days::NAMES.len())?.into_iter();
    let places = named.map(|(path, value)| word(&path, &value, &known));
    let places = places.collect::<Result<Vec<u8>, _>>()?;
    Ok(match places.is_empty() {
        true => Days::ALL,
        false => Days::of(places),
    })
}

/// A time of day as hours and minutes, `24:00` included, where the day ends.
fn minute(fields: &mut Fields, name: &str) -> Result<Option<u16>, ApiError> {
    let path = fields.path(name);
    let Some(value) = fields.take(name) else {
        return Ok(None);
    };
    let minute = value.as_str().and_then(minute_of_day);
    let last = MINUTES_PER_DAY - u16::from(name == "from");
    minute
        .filter(|minute| *minute <= last)
        .map(Some)
        .ok_or_else(|| {
            let message = format!("{path} must be a time of day, as in 08:00");
            ApiError::invalid("time_invalid", path, message)
        })
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60).then_some(hours * 60 + minutes)
}

pub fn to_json(window: &TimeWindow) -> Value {
    json!({
        "id": window.id.to_string(),
        "days": window.days.names().collect::<Vec<_>>(),
        "from": minute_text(window.from_minute),
        "to": minute_text(window.to_minute),
        "time_zone": window.time_zone,
    })
}
