//! Scripted conversations of `cardsim talk`: a small file says, message by message, what a network sends and which answer it expects.
//! Reading the file and writing its messages; sockets and printing live in `tools/cardsim`.
//!
//! A line is `NAME MTI key=value … -> CODE`, with the MTI in 1987 numbers whatever the dialect; `#` begins a comment. A
//! code is a response code, or the dialect file's word for one, such as `approved` or `insufficient_funds`.
//! `amount`, `stays` and `stood_at` are in minor units of `currency` (default USD). `of=NAME` names an earlier message
//! of the file as the original, `again=NAME` sends that one once more. Other keys: `kind`, `mcc`, `merchant`,
//! `approval=NAME` (DE38 of that one's answer), `code` (DE39 of an advice), `DE<number>`.

use super::SimError;
use super::cards::SimCard;
use super::keys::Stamp;
use crate::iso8583::mapping::{DateTimeLayout, OriginalData, ReplacementAmount};
use crate::iso8583::{Dialect, EncodeError, Encoder, Mti};
use bytes::BytesMut;
use std::collections::BTreeMap;

/// One line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saying {
    /// How later lines call it.
    pub name: String,
    /// In 1987 numbers.
    pub mti: u16,
    /// The response code that is expected, or the dialect's word for it.
    pub expected: Option<String>,
    /// As they stand in the file.
    pub words: BTreeMap<String, String>,
}

/// Reads a conversation.
pub fn read(text: &str) -> Result<Vec<Saying>, SimError> {
    let mut sayings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let wrong = |problem: &str| SimError::Script {
                line: number + 1,
                problem: problem.to_owned(),
            };
            sayings.push(saying(line).map_err(wrong)?);
        }
    }
    Ok(sayings)
}

fn saying(line: &str) -> Result<Saying, &'static str> {
    let (said, expected) = match line.split_once("->") {
        None => (line, None),
        Some((said, expected)) => (said, Some(expected.trim().to_owned())),
    };
    let mut words = said.split_whitespace();
    let name = words.next().ok_or("a line begins with a name")?.to_owned();
    let mti = words.next().and_then(|mti| mti.parse().ok());
    let mti = mti.ok_or("after the name comes a message type such as 0100")?;
    let pairs = words.map(|word| {
        word.split_once('=')
            .ok_or("the rest of a line is key=value")
    });
    let words = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok(Saying {
        name,
        mti,
        expected,
        words: words.collect::<Result<_, _>>()?,
    })
}

/// What was sent under a name, for those that come later.
#[derive(Debug, Clone)]
pub struct Sent {
    pub mti: u16,
    pub stan: u32,
    pub at: Stamp,
    /// By field number, as canonical text.
    pub fields: BTreeMap<u8, String>,
    /// DE38 of its answer.
    pub approval_code: Option<String>,
}

/// Whose STANs and times have been given out.
pub struct Speaker<'a> {
    pub dialect: &'a Dialect,
    pub card: &'a SimCard,
    pub stan: u32,
    pub at: Stamp,
}

const ACQUIRER: &str = "12345";

impl Speaker<'_> {
    /// The fields of a message, with a STAN of its own where it is none again.
    pub fn compose(
        &mut self,
        saying: &Saying,
        sent: &BTreeMap<String, Sent>,
    ) -> Result<Sent, String> {
        let word = |key: &str| saying.words.get(key).map(String::as_str);
        let earlier = |name: &str| {
            sent.get(name)
                .ok_or(format!("nothing called {name} was sent"))
        };
        if let Some(name) = word("again") {
            return Ok(Sent {
                mti: saying.mti,
                ..earlier(name)?.clone()
            });
        }
        self.stan = self.stan % 999_999 + 1;
        let original = word("of").map(earlier).transpose()?;
        let mut fields = self.common(original);
        let number = |key: &str| word(key).map(str::parse::<u64>).transpose();
        let amounts =
            |key: &str| number(key).map_err(|_| format!("{key} is a number of minor units"));
        let is_reversal = saying.mti / 100 == 4;
        match (amounts("amount")?, original) {
            (Some(amount), _) => drop(fields.insert(4, format!("{amount:012}"))),
            (None, Some(original)) => drop(fields.insert(4, original.fields[&4].clone())),
            (None, None) => drop(fields.insert(4, format!("{:012}", 0))),
        }
        if let Some(stays) = amounts("stays")? {
            self.replacement(&mut fields, stays, amounts("stood_at")?.unwrap_or(0));
        }
        let kind = word("kind").unwrap_or("purchase");
        self.kind(&mut fields, kind, is_reversal)?;
        if let Some(original) = original {
            fields.insert(self.original_field(), self.original(original));
        }
        if let Some(name) = word("approval") {
            let code = earlier(name)?.approval_code.clone();
            fields.insert(38, code.ok_or(format!("{name} got no approval code"))?);
        }
        self.literal(&mut fields, saying)?;
        Ok(Sent {
            mti: saying.mti,
            stan: self.stan,
            at: self.at,
            fields,
            approval_code: None,
        })
    }

    fn is_1993(&self) -> bool {
        self.dialect.version() == 1
    }

    /// What every message has. One about another has that one's RRN.
    fn common(&self, original: Option<&Sent>) -> BTreeMap<u8, String> {
        let (stan, card, at) = (self.stan, self.card, &self.at);
        let rrn = match original {
            Some(original) => original.fields[&37].clone(),
            None => format!("{:06}{stan:06}", at.mmdd()),
        };
        let mut fields = BTreeMap::from([
            (2, card.pan.to_string()),
            (7, format!("{:010}", at.mmddhhmmss())),
            (11, format!("{stan:06}")),
            (
                14,
                format!("{:02}{:02}", card.exp_year % 100, card.exp_month),
            ),
            (32, ACQUIRER.into()),
            (37, rrn),
            (41, "TERM0001".into()),
            (42, "MERCHANT0000001".into()),
            (49, "840".into()),
        ]);
        match self.dialect.mappings().date_time {
            DateTimeLayout::De12HhmmssDe13Mmdd => {
                let (time, date) = (format!("{:06}", at.hhmmss()), format!("{:04}", at.mmdd()));
                fields.extend([(12, time), (13, date), (18, "5411".into())]);
            }
            DateTimeLayout::De12Yymmddhhmmss => {
                let local = format!("{:012}", at.yymmddhhmmss());
                fields.extend([(12, local), (24, "100".into()), (26, "5411".into())]);
            }
        }
        fields
    }

    /// The processing code; in 1993 the function code too.
    fn kind(
        &self,
        fields: &mut BTreeMap<u8, String>,
        kind: &str,
        is_reversal: bool,
    ) -> Result<(), String> {
        let mappings = self.dialect.mappings();
        let function = match kind {
            "pre_authorization" => Some("pre_authorization"),
            "incremental" => Some("incremental_authorization"),
            _ => None,
        };
        let word = if function.is_some() { "purchase" } else { kind };
        let code = mappings.kind.code(word);
        let code = code.ok_or(format!("this dialect has no kind {kind}"))?;
        fields.insert(3, format!("{code:0<6}"));
        let function = match (is_reversal, fields.contains_key(&30)) {
            (true, true) => Some("partial_reversal"),
            (true, false) => Some("full_reversal"),
            _ => function,
        };
        if let (Some(map), Some(function)) = (&mappings.function, function) {
            let code = map.code(function);
            let code = code.ok_or(format!("this dialect has no function {function}"))?;
            fields.insert(map.at.field, code.to_owned());
        }
        Ok(())
    }

    fn replacement(&self, fields: &mut BTreeMap<u8, String>, stays: u64, stood_at: u64) {
        match self.dialect.mappings().replacement_amount {
            ReplacementAmount::De95 => {
                let rest = match self.dialect.name() {
                    "mastercard-ebcdic" => "0".repeat(30),
                    _ => format!("{:012}C00000000C00000000", 0),
                };
                fields.insert(95, format!("{stays:012}{rest}"));
            }
            ReplacementAmount::De30 => {
                fields.insert(4, format!("{stays:012}"));
                fields.insert(30, format!("{stood_at:012}{:012}", 0));
            }
        }
    }

    fn original_field(&self) -> u8 {
        match self.dialect.mappings().original_data {
            OriginalData::De90 => 90,
            OriginalData::De56 => 56,
        }
    }

    /// DE90 (1987): MTI, STAN, DE7, acquirer, forwarder. DE56 (1993): MTI, STAN, DE12, acquirer as LLVAR.
    fn original(&self, original: &Sent) -> String {
        let Sent { mti, stan, .. } = original;
        match self.dialect.mappings().original_data {
            OriginalData::De90 => {
                let sent = &original.fields[&7];
                format!("{mti:04}{stan:06}{sent}{ACQUIRER:0>11}{:011}", 0)
            }
            OriginalData::De56 => {
                let (mti, sent) = (mti + 1_000, &original.fields[&12]);
                format!("{mti}{stan:06}{sent}{:02}{ACQUIRER}", ACQUIRER.len())
            }
        }
    }

    /// What a line says of fields itself.
    fn literal(&self, fields: &mut BTreeMap<u8, String>, saying: &Saying) -> Result<(), String> {
        for (key, value) in &saying.words {
            match key.as_str() {
                "amount" | "stays" | "stood_at" | "kind" | "of" | "again" | "approval" => {}
                "mcc" => {
                    let field = if self.is_1993() { 26 } else { 18 };
                    fields.insert(field, value.clone());
                }
                "merchant" => drop(fields.insert(42, format!("{value:15}"))),
                "code" => {
                    let code = self.dialect.response_code(value).unwrap_or(value);
                    fields.insert(39, code.to_owned());
                }
                other => {
                    let field = other
                        .strip_prefix("DE")
                        .and_then(|number| number.parse().ok());
                    let field = field.ok_or(format!("there is no key {other}"))?;
                    fields.insert(field, value.replace('_', " "));
                }
            }
        }
        Ok(())
    }

    /// Writes a message.
    pub fn encode(&self, sent: &Sent, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mti = match self.is_1993() {
            true => sent.mti + 1_000,
            false => sent.mti,
        };
        let mut encoder = Encoder::new(self.dialect, out, Mti::new(mti));
        for (field, text) in &sent.fields {
            encoder.text(*field, text)?;
        }
        encoder.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_a_message_type_and_what_it_says() {
        let text = "# first\n\np1 0100 amount=4000 kind=refund -> 00\nr1 0400 of=p1\n";
        let sayings = read(text).unwrap();
        assert_eq!(sayings.len(), 2);
        assert_eq!((&*sayings[0].name, sayings[0].mti), ("p1", 100));
        assert_eq!(sayings[0].expected.as_deref(), Some("00"));
        assert_eq!(sayings[0].words["kind"], "refund");
        assert_eq!(sayings[1].expected, None);
        for (wrong, said) in [
            ("p1", "a message type"),
            ("p1 purchase", "a message type"),
            ("p1 0100 amount", "key=value"),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains(said), "{error}");
        }
    }
}
