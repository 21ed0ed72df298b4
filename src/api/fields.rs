//! Reading a JSON object strictly: each field is taken by name and checked, what is left over is an
//! error. Every error names the field by its path.

use super::error::{ApiError, shown};
use crate::engine::money::Currency;
use crate::engine::time::Timestamp;
use crate::security::holds_pan;
use jiff::civil::Date;
use serde_json::{Map, Value};
use std::str::FromStr;

/// An object whose fields are taken one by one. A `null` counts as absent.
#[derive(Debug)]
pub struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    pub fn of(path: &str, value: Value) -> Result<Fields, ApiError> {
        match value {
            Value::Object(map) => Ok(Fields {
                path: path.into(),
                map,
            }),
            _ => Err(wrong_type(path, "an object")),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Whether a field is there that is not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether a field is there, and be it `null`.
    pub fn names(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// A text that stays to be taken.
    pub fn peek_text(&self, name: &str) -> Option<&str> {
        self.map.get(name)?.as_str()
    }

    /// The texts of a list that stays to be taken; what is none is left out.
    pub fn peek_texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let items = self.map.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Two texts of an object that stays to be taken.
    pub fn peek_pair(&self, name: &str, (first, second): (&str, &str)) -> Option<(String, String)> {
        let object = self.map.get(name)?;
        let text = |name: &str| object.get(name)?.as_str().map(str::to_owned);
        Some((text(first)?, text(second)?))
    }

    /// The pairs of texts in a list of objects that stays to be taken; those that are none are left out.
    pub fn peek_pairs(&self, name: &str, (first, second): (&str, &str)) -> Vec<(String, String)> {
        let items = self.map.get(name).and_then(Value::as_array);
        let items = items.into_iter().flatten();
        let text = |item: &Value, name: &str| item.get(name)?.as_str().map(str::to_owned);
        items
            .filter_map(|item| Some((text(item, first)?, text(item, second)?)))
            .collect()
    }

    /// The path of a field of this object.
    pub fn path(&self, name: &str) -> String {
        match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.path),
        }
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub fn missing(&self, name: &str) -> ApiError {
        let path = self.path(name);
        ApiError::invalid("field_missing", &path, format!("{path} is required"))
    }

    /// A list or an object that is there without an entry.
    pub fn names_nothing(&self, name: &str) -> ApiError {
        let path = self.path(name);
        let message = format!("{path} names nothing; it must have an entry");
        ApiError::invalid("nothing_named", &path, message)
    }

    /// Text of 1 to `characters_max` characters, none of them a control character, without a card number.
    pub fn text(&mut self, name: &str, characters_max: usize) -> Result<Option<String>, ApiError> {
        let path = self.path(name);
        match self.take(name) {
            None => Ok(None),
            Some(value) => text(&path, value, characters_max).map(Some),
        }
    }

    pub fn required_text(&mut self, name: &str, characters_max: usize) -> Result<String, ApiError> {
        self.text(name, characters_max)?
            .ok_or_else(|| self.missing(name))
    }

    /// A whole number within a range.
    pub fn integer(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let wrong = || {
            let (least, most) = (range.start(), range.end());
            let message = format!("{path} must be a whole number from {least} to {most}");
            ApiError::invalid("number_invalid", &path, message)
        };
        if !value.is_number() {
            return Err(wrong_type(&path, "a whole number"));
        }
        let number = value.as_i64().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(wrong)
    }

    /// A day as in 2026-11-28.
    pub fn day(&mut self, name: &str) -> Result<Option<Date>, ApiError> {
        let path = self.path(name);
        let Some(text) = self.text(name, 10)? else {
            return Ok(None);
        };
        let day = text.parse().map_err(|_| {
            let message = format!("{path} must be a day, as in 2026-11-28");
            ApiError::invalid("date_invalid", path, message)
        });
        day.map(Some)
    }

    /// A point in time, RFC 3339.
    pub fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let path = self.path(name);
        let Some(text) = self.text(name, 40)? else {
            return Ok(None);
        };
        instant(&text).map(Some).ok_or_else(|| {
            let message = format!("{path} must be a time, as in 2026-11-24T09:30:00Z");
            ApiError::invalid("time_invalid", path, message)
        })
    }

    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        let path = self.path(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(wrong_type(&path, "true or false")),
        }
    }

    /// An id of ours, as in `acct_` and 13 letters or digits.
    pub fn id<Id: FromStr>(&mut self, name: &str, prefix: &str) -> Result<Option<Id>, ApiError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let id = value.as_str().and_then(|text| text.parse().ok());
        id.map(Some).ok_or_else(|| {
            let message = format!("{path} must be an id: `{prefix}_` and 13 letters or digits");
            ApiError::invalid("id_malformed", &path, message)
        })
    }

    pub fn required_id<Id: FromStr>(&mut self, name: &str, prefix: &str) -> Result<Id, ApiError> {
        self.id(name, prefix)?.ok_or_else(|| self.missing(name))
    }

    /// The currency of an amount.
    pub fn currency(&mut self, name: &str) -> Result<Option<Currency>, ApiError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let currency = currency(&path, &value)?;
        match currency.has_minor_unit() {
            true => Ok(Some(currency)),
            false => {
                let message =
                    format!("{path} has no minor unit in ISO 4217, so no amount can be in it");
                Err(ApiError::invalid("currency_unknown", path, message))
            }
        }
    }

    pub fn required_currency(&mut self, name: &str) -> Result<Currency, ApiError> {
        self.currency(name)?.ok_or_else(|| self.missing(name))
    }

    pub fn object(&mut self, name: &str) -> Result<Option<Fields>, ApiError> {
        let path = self.path(name);
        let value = self.take(name);
        value.map(|value| Fields::of(&path, value)).transpose()
    }

    /// As `list`; nothing where it is absent, which an empty one is not.
    pub fn present_list(
        &mut self,
        name: &str,
        items_max: usize,
    ) -> Result<Option<Vec<(String, Value)>>, ApiError> {
        let present = self.has(name);
        let list = self.list(name, items_max)?;
        Ok(present.then_some(list))
    }

    /// As `present_list`, of what has to have an entry where it is there.
    pub fn list_with_entries(
        &mut self,
        name: &str,
        items_max: usize,
    ) -> Result<Option<Vec<(String, Value)>>, ApiError> {
        match self.present_list(name, items_max)? {
            Some(list) if list.is_empty() => Err(self.names_nothing(name)),
            list => Ok(list),
        }
    }

    /// A list of at most `items_max` values, each with its own path.
    pub fn list(&mut self, name: &str, items_max: usize) -> Result<Vec<(String, Value)>, ApiError> {
        let path = self.path(name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() > items_max => {
                let message = format!("{path} may have {items_max} entries, not {}", items.len());
                Err(ApiError::invalid("too_many", &path, message))
            }
            Some(Value::Array(items)) => {
                let place = |(at, item)| (format!("{path}[{at}]"), item);
                Ok(items.into_iter().enumerate().map(place).collect())
            }
            Some(_) => Err(wrong_type(&path, "a list")),
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(
        &mut self,
        name: &str,
        known: &[(T, &str)],
    ) -> Result<Option<T>, ApiError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        word(&path, &value, known).map(Some)
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<(), ApiError> {
        // A field that is `null` and known was not left over, because `take` removes it too.
        let Some(name) = self.map.keys().next() else {
            return Ok(());
        };
        let path = self.path(&shown(name));
        let message = format!("{path} is not a field here; remove it or correct its name");
        Err(ApiError::invalid("field_unknown", path, message))
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let of = |at: jiff::Timestamp| Timestamp(at.as_millisecond());
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(of(at));
    }
    // The last hours of the calendar are beyond what the library counts, and stand for "for ever".
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let is_instant = pieces.time().is_some() && pieces.offset().is_some();
    (is_instant && pieces.date().year() == 9999).then(|| of(jiff::Timestamp::MAX))
}

/// Of a `PATCH` without a field.
pub fn nothing_changes() -> ApiError {
    ApiError::invalid("nothing_named", "", "the body must name what changes")
}

pub fn wrong_type(path: &str, expected: &str) -> ApiError {
    let place = if path.is_empty() { "the body" } else { path };
    let message = format!("{place} must be {expected}");
    ApiError::invalid("type_invalid", path, message)
}

pub fn text(path: &str, value: Value, characters_max: usize) -> Result<String, ApiError> {
    let Value::String(text) = value else {
        return Err(wrong_type(path, "text"));
    };
    let length = text.chars().count();
    if length == 0 || length > characters_max || text.chars().any(char::is_control) {
        let message = format!(
            "{path} must have 1 to {characters_max} characters, none of them a control character"
        );
        return Err(ApiError::invalid("text_invalid", path, message));
    }
    if holds_pan(&text) {
        let message = format!("{path} looks as if it held a card number; leave that out");
        return Err(ApiError::invalid("card_number_in_text", path, message));
    }
    Ok(text)
}

/// One of a few words.
pub fn word<T: Copy>(path: &str, value: &Value, known: &[(T, &str)]) -> Result<T, ApiError> {
    let found = known.iter().find(|(_, word)| value.as_str() == Some(word));
    found.map(|(value, _)| *value).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(_, word)| *word).collect();
        let message = format!("{path} must be one of: {}", words.join(", "));
        ApiError::invalid("value_unknown", path, message)
    })
}

pub fn currency(path: &str, value: &Value) -> Result<Currency, ApiError> {
    let currency = value.as_str().and_then(Currency::from_alpha);
    currency.ok_or_else(|| {
        let message = format!(
            "{path} must be a currency's letters, as in USD (ISO 4217), or USDT, USDC or BTC"
        );
        ApiError::invalid("currency_unknown", path, message)
    })
}
