//! Rows as the values of an INSERT for Postgres, in the text of the statement: it goes out in one message, where a COPY has
//! several, each of which waits for the other side's acknowledgement (Nagle's algorithm). Strings are those of the SQL
//! standard, which needs `standard_conforming_strings` (Postgres documentation, 4.1.2.1).

use super::columns::{Sink, TableRow};
use std::fmt::Write;

struct Text {
    sql: String,
    is_first: bool,
}

impl Text {
    fn value(&mut self) -> &mut String {
        let between = if self.is_first { "" } else { ", " };
        self.sql.push_str(between);
        self.is_first = false;
        &mut self.sql
    }
}

impl Sink for Text {
    fn null(&mut self) {
        self.value().push_str("NULL");
    }

    fn int(&mut self, value: i64) {
        // The least one has no positive counterpart to negate.
        let _ = write!(self.value(), "'{value}'");
    }

    fn text(&mut self, value: &str) {
        let sql = self.value();
        sql.push('\'');
        for part in value.split_inclusive('\'') {
            sql.push_str(part);
            if part.ends_with('\'') {
                sql.push('\'');
            }
        }
        sql.push('\'');
    }

    fn bytes(&mut self, value: &[u8]) {
        let sql = self.value();
        sql.push_str("'\\x");
        for byte in value {
            let _ = write!(sql, "{byte:02x}");
        }
        sql.push('\'');
    }
}

/// What stands behind VALUES.
pub(super) fn of<R: TableRow>(rows: &[R]) -> String {
    let mut text = Text {
        sql: String::new(),
        is_first: true,
    };
    for (place, row) in rows.iter().enumerate() {
        text.sql.push_str(if place == 0 { "(" } else { ", (" });
        text.is_first = true;
        row.put(&mut text);
        text.sql.push(')');
    }
    text.sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_a_literal_that_ends_where_it_ends() {
        let mut text = Text {
            sql: String::new(),
            is_first: true,
        };
        text.text("it's '' \\' a\nname; --");
        text.int(i64::MIN);
        text.null();
        text.bytes(&[0, 0x27, 0xff]);
        assert_eq!(
            text.sql,
            "'it''s '''' \\'' a\nname; --', '-9223372036854775808', NULL, '\\x0027ff'"
        );
    }
}
