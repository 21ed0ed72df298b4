//! The order of a list. How its pages are found is in `search.rs`.

use super::database::Value;

/// What a list is ordered by: a column that is unique, and which way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub key: &'static str,
    pub newest_first: bool,
    pub key_is_text: bool,
}

impl Order {
    pub const NEWEST_RECORD_FIRST: Order = Order {
        key: "sequence",
        newest_first: true,
        key_is_text: false,
    };

    pub fn direction(self) -> &'static str {
        if self.newest_first { "DESC" } else { "ASC" }
    }

    /// A key that is behind all others.
    pub fn end(self) -> Value {
        match (self.key_is_text, self.newest_first) {
            (true, true) => Value::Text(String::new()),
            (true, false) => Value::Text(char::MAX.to_string()),
            (false, true) => Value::Int(0),
            (false, false) => Value::Int(i64::MAX),
        }
    }
}
