//! The messages of a conversation (`cardsim talk`): what each of its lines becomes in a dialect. Reading the file is in
//! `conversation`; sockets and printing live in `tools/cardsim`.
//!
//! Amounts are in US dollars, which `DE49=…` changes.

use super::SimError;
use super::cards::{Profile, SimCard};
use super::conversation::Saying;
use super::keys::Stamp;
use super::places::field_bytes;
use super::wire::Wire;
use crate::iso8583::mapping::{DateTimeLayout, Location, OriginalData, ReplacementAmount};
use crate::iso8583::{Dialect, EncodeError, Encoder, Mti};
use arrayvec::ArrayString;
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was sent under a name, for those that come later.
#[derive(Debug, Clone)]
pub struct Sent {
    pub mti: u16,
    pub stan: u32,
    pub at: Stamp,
    /// By field number, as canonical text.
    pub fields: BTreeMap<u8, String>,
    /// Flags that the dialect keeps in parts of a field: by field number, as they stand on the wire.
    pub flags: BTreeMap<u8, Vec<u8>>,
    /// STAN of the message that it is about.
    pub original_stan: Option<u32>,
    /// DE38 of its answer.
    pub approval_code: Option<String>,
}

/// Whose STANs and times have been given out.
pub struct Speaker<'a> {
    pub dialect: &'a Arc<Dialect>,
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
        let word = |key: &str| saying.word(key);
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
        let mut flags = self.flags(saying).map_err(|error| error.to_string())?;
        flags.retain(|field, _| !fields.contains_key(field));
        Ok(Sent {
            mti: saying.mti,
            stan: self.stan,
            at: self.at,
            fields,
            flags,
            original_stan: original.map(|original| original.stan),
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

    /// What the dialect says by a flag: kinds that are no processing code, and that more completions follow.
    fn flags(&self, saying: &Saying) -> Result<BTreeMap<u8, Vec<u8>>, SimError> {
        let sign = |flag: &str| self.dialect.mappings().flag(flag)?.any_of.first();
        let mut parts: Vec<(&Location, &str)> = Vec::new();
        let of_kind = match saying.word("kind") {
            Some("pre_authorization") => sign("pre_authorization"),
            Some("incremental") => sign("incremental_authorization"),
            _ => None,
        };
        // Where the function code or the original says it, nothing is left to say.
        let of_kind = of_kind.filter(|sign| ![24, 56, 90].contains(&sign.at.field));
        if let Some(sign) = of_kind {
            parts.extend(sign.values.first().map(|up| (&sign.at, &**up)));
        }
        if saying.word("more").is_some() {
            // Not up: these marks are one digit.
            parts.extend(sign("final_authorization").map(|sign| (&sign.at, "0")));
        }
        let fields = parts.iter().map(|(at, _)| at.field);
        let fields = fields.map(|field| {
            let bytes = field_bytes(self.dialect, field, &parts, "a flag")?;
            Ok((field, bytes))
        });
        fields.collect()
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
                "amount" | "stays" | "stood_at" | "kind" | "of" | "again" | "approval" | "more" => {
                }
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
        for field in 2..=128 {
            if let Some(text) = sent.fields.get(&field) {
                encoder.text(field, text)?;
            } else if let Some(flag) = sent.flags.get(&field) {
                encoder.bytes(field, flag)?;
            }
        }
        encoder.finish();
        Ok(())
    }

    /// Writes a sign-on or a sign-off; gives its STAN.
    pub fn manage(&mut self, function: &str, out: &mut BytesMut) -> Result<u32, SimError> {
        self.stan = self.stan % 999_999 + 1;
        let wire = Wire::new(self.dialect.clone(), &[])?;
        let written = wire.management(function, self.stan, self.at, out);
        written.map_err(|source| SimError::Encode {
            dialect: self.dialect.name().to_owned(),
            what: "network management",
            source,
        })?;
        Ok(self.stan)
    }
}

/// Says everything to nobody, so that what cannot be said is found before anything is sent.
pub fn rehearse(sayings: &[Saying], dialect: &Arc<Dialect>) -> Result<(), SimError> {
    let card = SimCard {
        pan: ArrayString::from("4111111111111111").unwrap_or_default(),
        exp_month: 12,
        exp_year: 2029,
        cvv2: None,
        currency: ArrayString::from("USD").unwrap_or_default(),
        profile: Profile::Ok,
    };
    let mut speaker = Speaker {
        dialect,
        card: &card,
        stan: 0,
        at: Stamp::from_unix(0),
    };
    let mut sent = BTreeMap::new();
    for saying in sayings {
        let composed = speaker.compose(saying, &sent);
        let mut message = composed.map_err(|problem| saying.wrong(problem))?;
        let written = speaker.encode(&message, &mut BytesMut::new());
        written.map_err(|error| saying.wrong(error.to_string()))?;
        message.approval_code = Some("A1B2C3".to_owned());
        sent.entry(saying.name.clone()).or_insert(message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::conversation::read;
    use super::*;
    use crate::iso8583::Message;

    /// The fields of the last message of a conversation, as they are read back.
    fn last(name: &str, text: &str) -> (Arc<Dialect>, BytesMut) {
        let dialect = Arc::new(Dialect::builtin(name).unwrap());
        let sayings = read(text, &dialect).unwrap();
        rehearse(&sayings, &dialect).unwrap();
        let card = SimCard {
            pan: "4111111111111111".parse().unwrap(),
            exp_month: 12,
            exp_year: 2029,
            cvv2: None,
            currency: "USD".parse().unwrap(),
            profile: Profile::Ok,
        };
        let mut speaker = Speaker {
            dialect: &dialect,
            card: &card,
            stan: 0,
            at: Stamp::from_unix(1_795_487_130),
        };
        let mut sent = BTreeMap::new();
        let mut out = BytesMut::new();
        for saying in &sayings {
            let message = speaker.compose(saying, &sent).unwrap();
            out.clear();
            speaker.encode(&message, &mut out).unwrap();
            sent.insert(saying.name.clone(), message);
        }
        (dialect.clone(), out)
    }

    #[test]
    fn what_a_dialect_says_by_a_flag_is_said_by_it() {
        let increment =
            "h 0100 amount=100 kind=pre_authorization\ni 0100 amount=5 kind=incremental of=h";
        let completion = "h 0100 amount=100\nc 0220 amount=5 of=h more=yes";
        let before = "h 0100 amount=100 kind=pre_authorization";
        for (name, text, flag, value) in [
            ("visa-base1", increment, "incremental_authorization", "3900"),
            ("visa-base1", before, "pre_authorization", "2"),
            ("mastercard-ebcdic", before, "pre_authorization", "4"),
            ("iso8583-1987-ascii", before, "pre_authorization", "06"),
            (
                "iso8583-1993-ascii",
                increment,
                "incremental_authorization",
                "106",
            ),
            (
                "iso8583-1987-binary",
                completion,
                "final_authorization",
                "0",
            ),
            (
                "iso8583-1993-binary",
                completion,
                "final_authorization",
                "0",
            ),
            ("mastercard-ebcdic", completion, "final_authorization", "0"),
        ] {
            let (dialect, bytes) = last(name, text);
            let message = Message::parse(&dialect, &bytes).unwrap();
            let at = &dialect.mappings().flag(flag).unwrap().any_of[0].at;
            let said = message.locate::<12>(at);
            assert_eq!(said.as_deref(), Some(value), "{name} {flag}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_found_before_anything_is_sent() {
        let dialect = Arc::new(Dialect::builtin("iso8583-1987-ascii").unwrap());
        for (wrong, told) in [
            ("p1 0100 kind=purchse", "this dialect has no kind purchse"),
            ("p1 0100 mcc=54111", "DE18"),
        ] {
            let text = format!("e0 0100 amount=5\n{wrong}\n");
            let error = rehearse(&read(&text, &dialect).unwrap(), &dialect).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("line 2") && error.contains(told),
                "{wrong}: {error}"
            );
        }
    }
}
