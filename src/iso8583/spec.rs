//! Reads a dialect file into a tree in which every value knows its file, line and text, so that
//! whatever is found wrong later can be pointed at. What the keys mean is in `dialect` and its
//! neighbours.

use std::{collections::BTreeMap, ops::RangeInclusive, rc::Rc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What is wrong in a dialect file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}\n  {line} | {text}")]
pub struct SpecError {
    /// File as it was named by the caller.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// The offending line as it stands in the file.
    pub text: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    source: Rc<Source>,
    offset: usize,
}

#[derive(Debug)]
struct Source {
    file: String,
    text: String,
}

impl Place {
    pub fn error(&self, problem: impl Into<String>) -> SpecError {
        let text = &self.source.text;
        let before = text.get(..self.offset).unwrap_or_default();
        let line = before.matches('\n').count();
        SpecError {
            file: self.source.file.clone(),
            line: line + 1,
            text: text.lines().nth(line).unwrap_or_default().trim().to_owned(),
            problem: problem.into(),
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// The tree of one file.
pub(super) fn read(file: &str, text: &str) -> Result<Section, SpecError> {
    let source = Rc::new(Source {
        file: file.to_owned(),
        text: text.to_owned(),
    });
    let start = Place {
        source: source.clone(),
        offset: 0,
    };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let place = Place {
            source: source.clone(),
            offset,
        };
        place.error(error.message())
    })?;
    Ok(Section {
        keys: keys(&source, table.get_ref())?,
        place: start,
        path: String::new(),
    })
}

fn keys(source: &Rc<Source>, table: &DeTable<'_>) -> Result<BTreeMap<String, Node>, SpecError> {
    let entries = table.iter().map(|(key, value)| {
        let place = Place {
            source: source.clone(),
            offset: key.span().start,
        };
        Ok((key.get_ref().to_string(), node(source, place, value)?))
    });
    entries.collect()
}

fn node(
    source: &Rc<Source>,
    place: Place,
    value: &Spanned<DeValue<'_>>,
) -> Result<Node, SpecError> {
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(parsed.map_err(|_| place.error("number too large"))?)
        }
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| {
                let place = Place {
                    source: source.clone(),
                    offset: item.span().start,
                };
                node(source, place, item)
            });
            Value::List(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Table(keys(source, table)?),
        DeValue::Float(_) | DeValue::Datetime(_) => {
            return Err(place.error(
                "a dialect file holds text, whole numbers, true or false, lists and tables only",
            ));
        }
    };
    Ok(Node { value, place })
}

/// Lays the keys of `top` over those of `base`: tables merge, everything else replaces.
pub(super) fn overlay(base: &mut BTreeMap<String, Node>, top: BTreeMap<String, Node>) {
    for (key, node) in top {
        let Some(below) = base.get_mut(&key) else {
            base.insert(key, node);
            continue;
        };
        // What is wrong with the merged table is told of the file on top.
        below.place = node.place;
        match (&mut below.value, node.value) {
            (Value::Table(below), Value::Table(above)) => overlay(below, above),
            (below, above) => *below = above,
        }
    }
}

/// A table that is read key by key; what is left at the end is an unknown key.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub keys: BTreeMap<String, Node>,
    pub place: Place,
    pub path: String,
}

impl Section {
    pub fn from_node(path: String, node: Node) -> Result<Section, SpecError> {
        match node.value {
            Value::Table(keys) => Ok(Section {
                keys,
                place: node.place,
                path,
            }),
            _ => Err(node.place.error(format!("`{path}` must be a table"))),
        }
    }

    pub fn take(&mut self, key: &str) -> Option<Node> {
        self.keys.remove(key)
    }

    pub fn text(&mut self, key: &str) -> Result<Option<(String, Place)>, SpecError> {
        match self.take(key) {
            None => Ok(None),
            Some(Node {
                value: Value::Text(text),
                place,
            }) => Ok(Some((text, place))),
            Some(node) => Err(node.place.error(format!("`{key}` must be text in quotes"))),
        }
    }

    pub fn required_text(&mut self, key: &str) -> Result<(String, Place), SpecError> {
        let missing = self.missing(key);
        self.text(key)?.ok_or(missing)
    }

    fn missing(&self, key: &str) -> SpecError {
        self.place
            .error(format!("`{}` lacks the key `{key}`", self.path))
    }

    pub fn number(
        &mut self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, SpecError> {
        match self.take(key) {
            None => Ok(None),
            Some(Node {
                value: Value::Integer(number),
                ..
            }) if range.contains(&number) => Ok(Some(number)),
            Some(node) => Err(node.place.error(format!(
                "`{key}` must be a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    pub fn flag(&mut self, key: &str) -> Result<Option<bool>, SpecError> {
        match self.take(key) {
            None => Ok(None),
            Some(Node {
                value: Value::Flag(flag),
                ..
            }) => Ok(Some(flag)),
            Some(node) => Err(node.place.error(format!("`{key}` must be true or false"))),
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, SpecError> {
        let Some((word, place)) = self.text(key)? else {
            return Ok(None);
        };
        let found = choices.iter().find(|(name, _)| *name == word);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            place.error(format!(
                "`{key}` = {word:?} is not known; use one of: {}",
                names.join(", ")
            ))
        })
    }

    pub fn section(&mut self, key: &str) -> Result<Option<Section>, SpecError> {
        let path = self.path_of(key);
        self.take(key)
            .map(|node| Section::from_node(path, node))
            .transpose()
    }

    pub fn list(&mut self, key: &str) -> Result<Option<Vec<Node>>, SpecError> {
        match self.take(key) {
            None => Ok(None),
            Some(Node {
                value: Value::List(items),
                ..
            }) => Ok(Some(items)),
            Some(node) => Err(node.place.error(format!("`{key}` must be a list"))),
        }
    }

    /// A list of field numbers, ascending.
    pub fn field_numbers(&mut self, key: &str) -> Result<Option<Vec<u8>>, SpecError> {
        let Some(items) = self.list(key)? else {
            return Ok(None);
        };
        let mut numbers: Vec<u8> = Vec::with_capacity(items.len());
        for item in items {
            let number = match item.value {
                Value::Integer(number @ 2..=192) => number as u8,
                _ => {
                    return Err(item
                        .place
                        .error("a field number is a whole number from 2 to 192"));
                }
            };
            if numbers.contains(&number) {
                return Err(item.place.error(format!("field {number} is named twice")));
            }
            numbers.push(number);
        }
        numbers.sort_unstable();
        Ok(Some(numbers))
    }

    /// All pairs of a table of text to text; leaves nothing.
    pub fn into_texts(self) -> Result<Vec<(String, String, Place)>, SpecError> {
        let pairs = self.keys.into_iter().map(|(key, node)| match node.value {
            Value::Text(text) => Ok((key, text, node.place)),
            _ => Err(node.place.error(format!("`{key}` must be text in quotes"))),
        });
        pairs.collect()
    }

    /// Every key must have been read.
    pub fn done(self) -> Result<(), SpecError> {
        match self.keys.into_iter().next() {
            None => Ok(()),
            Some((key, node)) => {
                let inside = match self.path.as_str() {
                    "" => String::new(),
                    path => format!(" in `{path}`"),
                };
                Err(node.place.error(format!("unknown key `{key}`{inside}")))
            }
        }
    }

    pub fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}
