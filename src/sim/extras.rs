//! Fields that only some messages have: results of 3-D Secure, and the marks of completions and increments. Built once,
//! where the dialect has a place for them; what every message has is in `wire`.

use std::sync::Arc;

use super::{
    places::field_bytes,
    traffic::{FollowUp, ThreeDs},
};
use crate::iso8583::{Dialect, Message, mapping::Location};

/// A field as it stands on the wire.
pub(super) type Field = (u8, Vec<u8>);

/// What is the same in all messages of a dialect.
pub(super) struct Extras {
    /// That more completions follow, and that none does.
    finals: [Option<Field>; 2],
    increment: Option<Field>,
}

/// Invented: base64 of 20 bytes, and their hexadecimal digits.
const CRYPTOGRAMS: [&str; 2] = [
    "AAABBEg0VhI0VniQEjRWAAAAAAA=",
    "0000010448345612345678901234560000000000",
];

impl Extras {
    pub fn new(dialect: &Arc<Dialect>) -> Extras {
        let maps = dialect.mappings();
        let sign = |flag: &str| maps.flag(flag).and_then(|flag| flag.any_of.first());
        let is_final = sign("final_authorization");
        // Positional marks are one digit; what is not up is another one.
        let mark = |value: &str| {
            let at = &is_final?.at;
            fields(dialect, &[(at, value)])?.pop()
        };
        let increment = sign("incremental_authorization").and_then(|sign| {
            // Where the original or the function code says it, nothing is left to say.
            let is_said = [24, 56, 90].contains(&sign.at.field);
            let value = sign.values.first().filter(|_| !is_said)?;
            fields(dialect, &[(&sign.at, &**value)])?.pop()
        });
        let up = is_final.and_then(|sign| sign.values.first());
        Extras {
            finals: [mark("0"), up.and_then(|up| mark(up))],
            increment,
        }
    }

    /// Whether the dialect can say that more completions follow.
    pub fn says_final(&self) -> bool {
        self.finals.iter().all(Option::is_some)
    }

    pub fn of(&self, follow_up: FollowUp) -> Option<&Field> {
        match follow_up {
            FollowUp::Completion { is_final } => self.finals[usize::from(is_final)].as_ref(),
            FollowUp::Increment => self.increment.as_ref(),
            FollowUp::Amendment => None,
        }
    }

    /// Fields that any of them may stand in.
    pub fn numbers(&self) -> impl Iterator<Item = u8> {
        let all = self.finals.iter().chain([&self.increment]);
        all.flatten().map(|(field, _)| *field)
    }
}

/// The fields of an online payment with this result, with the card's CVV2; none where the dialect has no place for it.
pub(super) fn three_ds(
    dialect: &Arc<Dialect>,
    result: ThreeDs,
    cvv2: Option<&str>,
) -> Option<Vec<Field>> {
    let maps = dialect.mappings();
    let word = match result {
        ThreeDs::None => return None,
        ThreeDs::Authenticated => "authenticated",
        ThreeDs::Attempted => "attempted",
        ThreeDs::NotAuthenticated => "not_authenticated",
    };
    let eci = maps.eci.as_ref()?;
    let map = maps.three_ds.iter().find(|map| map.at == *eci)?;
    let mut parts = vec![(eci, map.code(word)?)];
    if let (Some(at), Some(cvv2)) = (&maps.cvv2, cvv2) {
        parts.push((at, cvv2));
    }
    let Some(cavv) = maps
        .cavv
        .as_ref()
        .filter(|_| result != ThreeDs::NotAuthenticated)
    else {
        return fields(dialect, &parts);
    };
    CRYPTOGRAMS.iter().find_map(|cryptogram| {
        let mut parts = parts.clone();
        parts.push((cavv, cryptogram));
        fields(dialect, &parts)
    })
}

/// Builds fields from facts; nothing where one of them does not read back as it was.
fn fields(dialect: &Arc<Dialect>, parts: &[(&Location, &str)]) -> Option<Vec<Field>> {
    let mut numbers: Vec<u8> = parts.iter().map(|(at, _)| at.field).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let built = numbers.into_iter().map(|field| {
        let bytes = field_bytes(dialect, field, parts, "what only some messages have").ok()?;
        Some((field, bytes))
    });
    let built = built.collect::<Option<Vec<_>>>()?;
    reads_back(dialect, &built, parts).then_some(built)
}

fn reads_back(dialect: &Arc<Dialect>, built: &[Field], parts: &[(&Location, &str)]) -> bool {
    let mut out = bytes::BytesMut::new();
    let mti = crate::iso8583::Mti::new(u16::from(dialect.version()) * 1000 + 100);
    let mut encoder = crate::iso8583::Encoder::new(dialect, &mut out, mti);
    if built
        .iter()
        .any(|(field, bytes)| encoder.bytes(*field, bytes).is_err())
    {
        return false;
    }
    encoder.finish();
    let Ok(message) = Message::parse(dialect, &out) else {
        return false;
    };
    let is_there = |(at, text): &(&Location, &str)| {
        let found = message.locate::<64>(at);
        found.is_some_and(|found| found.trim_end() == *text)
    };
    parts.iter().all(is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `docs/cardsim.md` says of dialects.
    #[test]
    fn each_dialect_says_what_it_has_a_place_for() {
        for (name, parts, online) in [
            ("iso8583-1987-ascii", true, true),
            ("iso8583-1987-binary", true, true),
            ("iso8583-1993-ascii", true, true),
            ("iso8583-1993-binary", true, true),
            ("visa-base1", false, true),
            ("mastercard-ebcdic", true, false),
        ] {
            let dialect = Arc::new(Dialect::builtin(name).unwrap());
            let extras = Extras::new(&dialect);
            assert_eq!(extras.says_final(), parts, "{name}");
            assert_eq!(extras.increment.is_some(), name == "visa-base1", "{name}");
            for result in ThreeDs::SAID {
                let fields = three_ds(&dialect, result, Some("123"));
                assert_eq!(fields.is_some(), online, "{name} {result:?}");
            }
        }
    }
}
