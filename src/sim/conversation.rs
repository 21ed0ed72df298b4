//! The file of a conversation (`cardsim talk`): reading it, and what its lines may say. The messages that come of them
//! are made in `talk`.
//!
//! A line is `NAME MTI key=value … -> CODE`, with the MTI in 1987 numbers whatever the dialect; `#` begins a comment. A
//! code is a response code, or the dialect file's word for one, such as `approved` or `insufficient_funds`.

use super::SimError;
use crate::iso8583::Dialect;
use std::collections::BTreeMap;

/// What a line may say beside the fields that it sets itself (`DE<number>`), and what it means.
pub const KEYS: [(&str, &str); 10] = [
    ("amount", "minor units"),
    ("kind", "as docs/kinds.md calls them"),
    ("of", "the earlier message that this one is about"),
    ("again", "the earlier message that is sent once more"),
    ("stays", "of a reversal: the amount that stays"),
    ("stood_at", "the amount before that"),
    ("more", "yes: further completions will follow"),
    ("mcc", "four digits"),
    ("merchant", "its id"),
    (
        "approval",
        "the earlier message whose approval code this one states",
    ),
];

/// The one key that has its value from the dialect: DE39 of an advice.
const CODE: &str = "code";

/// One line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saying {
    /// Of the file, from 1.
    pub line: usize,
    /// How later lines call it.
    pub name: String,
    /// In 1987 numbers.
    pub mti: u16,
    /// The response code that is expected, or the dialect's word for it.
    pub expected: Option<String>,
    /// As they stand in the file.
    pub words: BTreeMap<String, String>,
}

impl Saying {
    pub fn word(&self, key: &str) -> Option<&str> {
        self.words.get(key).map(String::as_str)
    }

    /// An error at this line.
    pub fn wrong(&self, problem: String) -> SimError {
        SimError::Script {
            line: self.line,
            problem,
        }
    }
}

/// Reads a conversation that is to be held in this dialect.
pub fn read(text: &str, dialect: &Dialect) -> Result<Vec<Saying>, SimError> {
    let mut sayings: Vec<Saying> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let said = line.split('#').next().unwrap_or_default().trim();
        if said.is_empty() {
            continue;
        }
        let line = number + 1;
        let wrong = |problem| SimError::Script { line, problem };
        let saying = saying(line, said).map_err(wrong)?;
        check(&saying, &sayings, dialect).map_err(wrong)?;
        sayings.push(saying);
    }
    Ok(sayings)
}

fn saying(line: usize, text: &str) -> Result<Saying, String> {
    let (said, expected) = match text.split_once("->") {
        None => (text, None),
        Some((said, expected)) => (said, Some(expected.trim().to_owned())),
    };
    let mut words = said.split_whitespace();
    let name = words.next().ok_or("a line begins with a name")?.to_owned();
    let mti = words.next().and_then(|mti| mti.parse().ok());
    let mti = mti.ok_or("after the name comes a message type such as 0100")?;
    let mut pairs = BTreeMap::new();
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or("the rest of a line is key=value")?;
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("`{key}` stands twice"));
        }
    }
    Ok(Saying {
        line,
        name,
        mti,
        expected,
        words: pairs,
    })
}

/// What can be known to be wrong before anything is sent.
fn check(saying: &Saying, earlier: &[Saying], dialect: &Dialect) -> Result<(), String> {
    for (key, value) in &saying.words {
        match key.as_str() {
            "of" | "again" | "approval" if !earlier.iter().any(|said| said.name == *value) => {
                return Err(format!("nothing before this line is called `{value}`"));
            }
            "amount" | "stays" | "stood_at" if value.parse::<u64>().is_err() => {
                return Err(format!("`{key}={value}` is no number of minor units"));
            }
            "more" if value != "yes" => {
                return Err(format!("`more={value}`: it is `yes`, or not there"));
            }
            CODE => check_code(value, dialect)?,
            known if KEYS.iter().any(|(key, _)| *key == known) => {}
            other => check_field(other, dialect)?,
        }
    }
    let expected = saying.expected.as_deref();
    expected.map_or(Ok(()), |word| check_code(word, dialect))
}

fn check_code(word: &str, dialect: &Dialect) -> Result<(), String> {
    let width = dialect.layout(39).map_or(2, |layout| layout.max);
    if dialect.response_code(word).is_some() || word.len() == usize::from(width) {
        return Ok(());
    }
    Err(format!(
        "`{word}` is no response code of {width} characters, and no word of the dialect {} for one",
        dialect.name()
    ))
}

fn check_field(key: &str, dialect: &Dialect) -> Result<(), String> {
    let number = key.strip_prefix("DE").map(str::parse::<u8>);
    match number {
        Some(Ok(number)) if dialect.field(number).is_some() => Ok(()),
        Some(_) => Err(format!("the dialect {} has no {key}", dialect.name())),
        None => {
            let keys: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
            Err(format!(
                "there is no key `{key}`; there are {}, {CODE} and DE<number>",
                keys.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_ascii(text: &str) -> Result<Vec<Saying>, SimError> {
        read(text, &Dialect::builtin("iso8583-1987-ascii").unwrap())
    }

    #[test]
    fn a_line_is_a_name_a_message_type_and_what_it_says() {
        let text = "# first\n\np1 0100 amount=4000 kind=refund -> 00\nr1 0400 of=p1\n";
        let sayings = read_ascii(text).unwrap();
        assert_eq!(sayings.len(), 2);
        assert_eq!((&*sayings[0].name, sayings[0].mti), ("p1", 100));
        assert_eq!((sayings[0].line, sayings[1].line), (3, 4));
        assert_eq!(sayings[0].expected.as_deref(), Some("00"));
        assert_eq!(sayings[0].words["kind"], "refund");
        assert_eq!(sayings[1].expected, None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_a_way_out() {
        for (wrong, said) in [
            ("p2", "a message type"),
            ("p2 purchase", "a message type"),
            ("p2 0100 amount", "key=value"),
            ("p2 0100 mcc=1 mcc=2", "`mcc` stands twice"),
            ("p2 0100 amout=5", "there are amount, kind, of, again"),
            ("p2 0100 amount=5.00", "`amount=5.00` is no number"),
            ("p2 0400 of=p3", "nothing before this line is called `p3`"),
            ("p2 0400 of=p2", "nothing before this line is called `p2`"),
            ("p2 0100 amount=1 -> approvd", "`approvd` is no response"),
            ("p2 0120 code=aproved", "`aproved` is no response code of 2"),
            ("p2 0100 DE200=1", "has no DE200"),
            ("p2 0220 more=maybe", "it is `yes`, or not there"),
        ] {
            let text = format!("p1 0100 amount=1 -> 00\n{wrong}\n");
            let error = read_ascii(&text).unwrap_err().to_string();
            assert!(
                error.contains("line 2") && error.contains(said),
                "{wrong}: {error}"
            );
        }
    }
}
