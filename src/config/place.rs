//! Where a key stands in the configuration file, for what is found wrong only after the file was read.

use toml::de::{DeTable, DeValue};

/// Line and column of a key, or of as much of the way to it as is there; sections of a list are named by
/// their number: `["network", "0", "framing"]`.
pub fn of_key(text: &str, path: &[&str]) -> Option<(usize, usize)> {
    let table = DeTable::parse(text).ok()?;
    let mut offset = None;
    let mut keys = Some(table.get_ref());
    let mut steps = path.iter();
    while let (Some(table), Some(step)) = (keys.take(), steps.next()) {
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == step) else {
            break;
        };
        offset = Some(key.span().start);
        keys = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            DeValue::Array(items) => {
                let item = steps
                    .next()
                    .and_then(|number| items.get(number.parse::<usize>().ok()?));
                offset = item.map(|item| item.span().start).or(offset);
                item.and_then(|item| item.get_ref().as_table())
            }
            _ => None,
        };
    }
    offset.map(|offset| of_offset(text, offset))
}

/// Line and column, both from 1.
pub fn of_offset(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    (line, last.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[store]\nurl = \"x\"\n\n[[network]]\nname = \"a\"\n[[network]]\nname = \"b\"\n  framing = \"no\"\n";

    #[test]
    fn a_key_is_found_and_else_its_section() {
        for (path, place) in [
            (&["store", "url"][..], Some((2, 1))),
            (&["store", "other"], Some((1, 2))),
            (&["network", "0", "name"], Some((5, 1))),
            (&["network", "1", "framing"], Some((8, 3))),
            (&["network", "1", "listen"], Some((6, 1))),
            (&["shards", "count"], None),
        ] {
            assert_eq!(of_key(TEXT, path), place, "{path:?}");
        }
    }
}
