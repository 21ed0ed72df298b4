//! Files of rows with commas between their cells (RFC 4180). What the cells mean lives with whoever takes such files.

use std::iter::Peekable;
use std::str::Chars;

/// The number of the line on which a row begins, and its cells, or what is wrong with it. Nothing follows what is wrong.
pub type Row = (u32, Result<Vec<String>, &'static str>);

pub fn rows(text: &str) -> Vec<Row> {
    let mut reading = Reading {
        letters: text.trim_start_matches('\u{feff}').chars().peekable(),
        line: 1,
    };
    let mut rows = Vec::new();
    while reading.letters.peek().is_some() {
        let (line, row) = (reading.line, reading.row());
        let is_wrong = row.is_err();
        rows.push((line, row));
        if is_wrong {
            break;
        }
    }
    rows
}

struct Reading<'a> {
    letters: Peekable<Chars<'a>>,
    line: u32,
}

impl Reading<'_> {
    fn row(&mut self) -> Result<Vec<String>, &'static str> {
        let mut cells = Vec::new();
        loop {
            let (cell, is_last) = match self.letters.next_if_eq(&'"') {
                Some(_) => self.quoted()?,
                None => self.plain(),
            };
            cells.push(cell);
            if is_last {
                return Ok(cells);
            }
        }
    }

    /// A quotation mark within is a letter.
    fn plain(&mut self) -> (String, bool) {
        let mut cell = String::new();
        loop {
            match self.letters.next() {
                Some(',') => return (cell, false),
                Some(letter) if !self.ends_row(letter) => cell.push(letter),
                _ => return (cell, true),
            }
        }
    }

    /// Behind its opening mark; those within are doubled.
    fn quoted(&mut self) -> Result<(String, bool), &'static str> {
        let mut cell = String::new();
        loop {
            match self.letters.next() {
                None => return Err("a quotation mark is not closed"),
                Some('"') if self.letters.next_if_eq(&'"').is_none() => break,
                Some(letter) => {
                    self.line += u32::from(letter == '\n');
                    cell.push(letter);
                }
            }
        }
        match self.letters.next() {
            Some(',') => Ok((cell, false)),
            None => Ok((cell, true)),
            Some(letter) if self.ends_row(letter) => Ok((cell, true)),
            Some(_) => Err(
                "a quotation mark closes a cell before its end; those within a cell are doubled",
            ),
        }
    }

    fn ends_row(&mut self, letter: char) -> bool {
        let is_end = letter == '\n' || letter == '\r' && self.letters.next_if_eq(&'\n').is_some();
        self.line += u32::from(is_end);
        is_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> String {
        let rows = rows(text).into_iter().map(|(line, row)| match row {
            Ok(cells) => format!("{line}:{}", cells.join("|")),
            Err(wrong) => format!("{line}! {wrong}"),
        });
        rows.collect::<Vec<_>>().join(" / ")
    }

    #[test]
    fn cells_and_rows_are_as_rfc_4180_says() {
        assert_eq!(told("a,b,,c"), "1:a|b||c");
        assert_eq!(told("\"a,b\",c"), "1:a,b|c");
        assert_eq!(told("\"a \"\"b\"\"\",c"), "1:a \"b\"|c");
        assert_eq!(told("a,b\r\n\"c\r\nd\",e\nf\n"), "1:a|b / 2:c\r\nd|e / 4:f");
        assert_eq!(told("a\n\n\"\"\"b\"\n"), "1:a / 2: / 3:\"b");
        assert_eq!(told(""), "");
    }

    #[test]
    fn a_mark_within_a_cell_is_a_letter_and_one_at_its_beginning_has_its_end() {
        assert_eq!(
            told("RE 5\" pipe,100\nG1,100\nRE 7\" pipe,100"),
            "1:RE 5\" pipe|100 / 2:G1|100 / 3:RE 7\" pipe|100"
        );
        assert_eq!(told("a\n\"b,c"), "1:a / 2! a quotation mark is not closed");
        let closed = told("a\n\"b\"c,d\ne");
        assert!(closed.starts_with("1:a / 2! a quotation mark closes a cell"));
        assert!(closed.ends_with("doubled"), "{closed}");
    }

    proptest! {
        #[test]
        fn what_was_quoted_comes_back(cells in proptest::collection::vec("(?s).{0,12}", 1..6)) {
            let quoted: Vec<_> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            let line = quoted.join(",");
            let next = 2 + line.matches('\n').count() as u32;
            let found = rows(&format!("{line}\r\nx"));
            prop_assert_eq!(found, [(1, Ok(cells)), (next, Ok(vec!["x".to_owned()]))]);
        }

        #[test]
        fn any_text_is_rows_or_wrong(text: String) {
            rows(&text);
        }
    }
}
