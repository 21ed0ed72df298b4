//! Parsing and mirroring held against a second implementation that goes byte by byte and field by field: of
//! valid messages and of messages with errors it must say the same, and give the same fields and answers.

use std::ops::Range;

use bytes::BytesMut;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, subsequence},
    test_runner::{Config, TestRunner},
};

use super::{
    Dialect, Encoder, Message, Mti, ParseError,
    charset::CodePage,
    dialect::Secondary,
    field::{Content, Count, Encoding, Layout, Length, PrefixEncoding},
    message::Partial,
    proptests::{DIALECTS, even_if_counted_in_bytes, fields},
};

/// A field where it stands, with its prefix.
#[derive(Clone, Debug)]
struct Place {
    number: u8,
    range: Range<usize>,
    prefix: usize,
    /// Whether its characters are what they have to be.
    fine: bool,
}

/// An error, by the field that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Characters(u8),
    Version,
    Other(u8),
}

impl Wrong {
    fn field(self) -> u8 {
        match self {
            Wrong::Version => 0,
            Wrong::Characters(field) | Wrong::Other(field) => field,
        }
    }
}

/// What the second implementation finds, going on behind errors where that is possible.
#[derive(Debug, Default)]
struct Naive {
    mti: u16,
    places: Vec<Place>,
    wrong: Vec<Wrong>,
}

fn digit_of(byte: u8, encoding: Encoding) -> Option<u8> {
    let digit = match encoding {
        Encoding::Ebcdic(_) => byte.checked_sub(0xf0)?,
        _ => byte.checked_sub(b'0')?,
    };
    (digit < 10).then_some(digit)
}

fn nibbles(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .collect()
}

fn latin1(byte: u8, page: Option<CodePage>) -> u8 {
    page.map_or(byte, |page| page.to_latin1()[usize::from(byte)])
}

fn read(dialect: &Dialect, bytes: &[u8]) -> Naive {
    let mut naive = Naive::default();
    if let Err(wrong) = read_into(dialect, bytes, &mut naive) {
        naive.wrong.push(wrong);
    }
    naive
}

fn read_into(dialect: &Dialect, bytes: &[u8], naive: &mut Naive) -> Result<(), Wrong> {
    let envelope = dialect.envelope;
    let mut at = 0;
    let mut take = |count: usize, field| {
        let range = at..at + count;
        at += count;
        bytes.get(range).ok_or(Wrong::Other(field))
    };
    let mti: Option<Vec<u8>> = match envelope.mti {
        Encoding::Bcd(_) => Some(nibbles(take(2, 0)?)).filter(|mti| mti.iter().all(|n| *n < 10)),
        encoding => take(4, 0)?.iter().map(|b| digit_of(*b, encoding)).collect(),
    };
    let mti = mti.ok_or(Wrong::Other(0))?;
    naive.mti = mti
        .iter()
        .fold(0, |mti, digit| mti * 10 + u16::from(*digit));
    if mti[0] != envelope.version {
        naive.wrong.push(Wrong::Version);
    }
    let mut present = Vec::new();
    for word in 0..3 {
        let bits: Vec<u8> = match envelope.bitmap {
            Encoding::Raw => nibbles(take(8, 1)?),
            encoding => {
                let page = match encoding {
                    Encoding::EbcdicHex(page) => Some(page),
                    _ => None,
                };
                let digits = take(16, 1)?.iter().map(|byte| {
                    let digit = char::from(latin1(*byte, page)).to_digit(16);
                    digit.map(|digit| digit as u8).ok_or(Wrong::Other(1))
                });
                digits.collect::<Result<_, _>>()?
            }
        };
        let set = |bit: usize| bits[bit / 4] >> (3 - bit % 4) & 1 == 1;
        let (announces, another) = match word {
            0 => (true, set(0) || envelope.secondary != Secondary::OnDemand),
            1 => (envelope.tertiary, envelope.tertiary && set(0)),
            _ => (false, false),
        };
        let first = usize::from(announces);
        present.extend(
            (first..64)
                .filter(|bit| set(*bit))
                .map(|bit| word * 64 + bit + 1),
        );
        if !another {
            break;
        }
    }
    for number in present {
        let number = number as u8;
        let wrong = Wrong::Other(number);
        let layout = dialect.layout(number).ok_or(wrong)?;
        let (prefix, units) = prefix_of(layout, &bytes[at..]).ok_or(wrong)?;
        let start = at;
        at += prefix + layout.wire_length(units);
        let value = bytes.get(start + prefix..at).ok_or(wrong)?;
        let fine = is_fine(layout, value, units);
        if !fine {
            naive.wrong.push(Wrong::Characters(number));
        }
        naive.places.push(Place {
            number,
            range: start..at,
            prefix,
            fine,
        });
    }
    match at == bytes.len() {
        true => Ok(()),
        false => Err(Wrong::Other(255)),
    }
}

/// Bytes of the prefix, and how many units it announces.
fn prefix_of(layout: &Layout, input: &[u8]) -> Option<(usize, usize)> {
    let Length::Prefixed(digits) = layout.length else {
        return Some((0, usize::from(layout.max)));
    };
    let digits = usize::from(digits);
    let width = match layout.prefix {
        PrefixEncoding::Ascii | PrefixEncoding::Ebcdic => digits,
        PrefixEncoding::Bcd | PrefixEncoding::Binary => digits.div_ceil(2),
    };
    let prefix = input.get(..width)?;
    let (base, digits): (usize, Vec<u8>) = match layout.prefix {
        PrefixEncoding::Ascii => (
            10,
            prefix.iter().map(|byte| byte.wrapping_sub(b'0')).collect(),
        ),
        PrefixEncoding::Ebcdic => (
            10,
            prefix.iter().map(|byte| byte.wrapping_sub(0xf0)).collect(),
        ),
        PrefixEncoding::Bcd => (10, nibbles(prefix)),
        PrefixEncoding::Binary => (256, prefix.to_vec()),
    };
    let mut number = 0;
    for digit in digits {
        let digit = usize::from(digit);
        number = number * base + Some(digit).filter(|digit| *digit < base)?;
    }
    let units = match (layout.count, layout.encoding) {
        (Count::Units, _) => number,
        (Count::Bytes, Encoding::Hex | Encoding::EbcdicHex(_)) if number % 2 == 1 => return None,
        (Count::Bytes, Encoding::Hex | Encoding::EbcdicHex(_)) => number / 2,
        (Count::Bytes, Encoding::Bcd(_)) => number * 2,
        (Count::Bytes, _) => number,
    };
    (usize::from(layout.min)..=usize::from(layout.max))
        .contains(&units)
        .then_some((width, units))
}

fn is_fine(layout: &Layout, value: &[u8], units: usize) -> bool {
    let page = layout.page();
    let (signed, track) = (layout.content == Content::Xn, layout.content == Content::Z);
    match layout.encoding {
        Encoding::Raw => true,
        Encoding::Hex | Encoding::EbcdicHex(_) => value
            .iter()
            .all(|byte| latin1(*byte, page).is_ascii_hexdigit()),
        Encoding::Ascii | Encoding::Ebcdic(_) => {
            let mut characters = value.iter().map(|byte| latin1(*byte, page)).enumerate();
            characters.all(|(at, character)| match layout.content {
                Content::N => character.is_ascii_digit(),
                Content::A => character.is_ascii_alphabetic() || character == b' ',
                Content::An => character.is_ascii_alphanumeric() || character == b' ',
                Content::Ans if layout.eight_bit => !matches!(character, ..0x20 | 0x7f),
                Content::Ans => matches!(character, b' '..=b'~'),
                Content::Z => character.is_ascii_digit() || matches!(character, b'=' | b'D'),
                Content::Xn if at == 0 => matches!(character, b'C' | b'D'),
                Content::Xn => character.is_ascii_digit(),
                Content::B => true,
            })
        }
        Encoding::Bcd(_) if signed => {
            matches!(value[0], b'C' | b'D' | 0xc3 | 0xc4)
                && nibbles(&value[1..]).iter().all(|n| *n < 10)
        }
        Encoding::Bcd(filler) => {
            let mut digits = nibbles(value);
            if units % 2 == 1 {
                let filled = if filler.is_left() {
                    0
                } else {
                    digits.len() - 1
                };
                if digits.remove(filled) != filler.nibble() {
                    return false;
                }
            }
            track || digits.iter().all(|digit| *digit < 10)
        }
    }
}

/// The answer with DE39 of its own, put together field by field.
fn naive_answer(
    dialect: &Dialect,
    bytes: &[u8],
    mti: Mti,
    wanted: &[u8],
    places: &[&Place],
) -> Vec<u8> {
    let envelope = dialect.envelope;
    let mut out: Vec<u8> = match envelope.mti {
        Encoding::Bcd(_) => mti
            .digits()
            .chunks(2)
            .map(|pair| (pair[0] & 15) << 4 | pair[1] & 15)
            .collect(),
        Encoding::Ebcdic(_) => mti.digits().map(|digit| digit & 15 | 0xf0).to_vec(),
        _ => mti.digits().to_vec(),
    };
    let mut values: Vec<(u8, Vec<u8>)> = vec![(39, response_code(dialect))];
    for place in places.iter().filter(|place| wanted.contains(&place.number)) {
        values.push((place.number, bytes[place.range.clone()].to_vec()));
    }
    values.sort();
    let last = values.last().unwrap().0;
    let bitmaps = match envelope.secondary {
        _ if last > 128 => 3,
        Secondary::OnDemand if last <= 64 => 1,
        _ => 2,
    };
    let mut bits = vec![false; bitmaps * 64];
    bits[0] = bitmaps > 1 && envelope.secondary != Secondary::AlwaysUnannounced;
    if bitmaps > 2 {
        bits[64] = true;
    }
    for (number, _) in &values {
        bits[usize::from(*number) - 1] = true;
    }
    let bitmap = bits.chunks(8).map(|bits| {
        bits.iter()
            .fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit))
    });
    for byte in bitmap {
        match envelope.bitmap {
            Encoding::Raw => out.push(byte),
            Encoding::EbcdicHex(page) => {
                out.extend(
                    format!("{byte:02X}")
                        .bytes()
                        .map(|digit| page.from_latin1()[usize::from(digit)]),
                );
            }
            _ => out.extend(format!("{byte:02X}").bytes()),
        }
    }
    out.extend(values.into_iter().flat_map(|(_, value)| value));
    out
}

/// Zeros, as DE39 stands on the wire.
fn response_code(dialect: &Dialect) -> Vec<u8> {
    let layout = dialect.layout(39).unwrap();
    let zero = match layout.encoding {
        Encoding::Ebcdic(_) => 0xf0,
        Encoding::Bcd(_) => 0,
        _ => b'0',
    };
    vec![zero; layout.wire_length(usize::from(layout.max))]
}

/// Everything that parsing says about these bytes, and the answer to them, against the second implementation.
fn compare(dialect: &Dialect, bytes: &[u8], wanted: &[u8]) {
    let naive = read(dialect, bytes);
    let fine: Vec<&Place> = naive.places.iter().filter(|place| place.fine).collect();
    let cut: Vec<&Place> = naive.places.iter().collect();

    let strict = Message::parse(dialect, bytes);
    assert_eq!(
        error_of(&strict),
        naive.wrong.first().map(|wrong| wrong.field())
    );
    if let Ok(message) = &strict {
        same_fields(message, &naive, &fine, wanted);
    }
    let again = Message::parse_again(dialect, bytes);
    let unchecked = |wrong: &&Wrong| !matches!(wrong, Wrong::Characters(_));
    assert_eq!(
        error_of(&again),
        naive
            .wrong
            .iter()
            .find(unchecked)
            .map(|wrong| wrong.field())
    );
    if let Ok(message) = &again {
        same_fields(message, &naive, &cut, wanted);
    }
    let Partial { message, error } = Message::parse_partial(dialect, bytes);
    // That there is no bitmap says more than that the version is another.
    let first = match naive.wrong.last() {
        Some(Wrong::Other(1)) => Some(1),
        _ => naive.wrong.first().map(|wrong| wrong.field()),
    };
    assert_eq!(error.map(|error| error.field), first);
    same_fields(&message, &naive, &fine, wanted);
}

fn error_of(parsed: &Result<Message<'_>, ParseError>) -> Option<u8> {
    parsed.as_ref().err().map(|error| error.field)
}

fn same_fields(message: &Message<'_>, naive: &Naive, places: &[&Place], wanted: &[u8]) {
    let (dialect, bytes) = (message.dialect(), message.wire());
    assert_eq!(message.mti(), Mti::new(naive.mti));
    let mut bitmap = [0_u64; 3];
    for place in places {
        bitmap[usize::from(place.number - 1) / 64] |= 1 << (63 - (place.number - 1) % 64);
    }
    assert_eq!(message.bitmap(), bitmap);
    for number in 0..=u8::MAX {
        let place = places.iter().find(|place| place.number == number);
        assert_eq!(message.has(number), place.is_some());
        assert_eq!(
            message.range(number),
            place.map(|place| place.range.clone()),
            "DE{number}"
        );
        let raw = place.map(|place| &bytes[place.range.start + place.prefix..place.range.end]);
        assert_eq!(message.raw(number), raw, "DE{number}");
    }
    let numbers: Vec<u8> = message.fields().map(|field| field.number).collect();
    assert!(numbers.iter().eq(places.iter().map(|place| &place.number)));

    let mti = Mti::new(u16::from(dialect.version()) * 1000 + 110);
    let expected = naive_answer(dialect, bytes, mti, wanted, places);
    let (before, after) = wanted.split_at(wanted.partition_point(|field| *field < 39));
    let code = "0".repeat(usize::from(dialect.layout(39).unwrap().max));
    let mut in_runs = BytesMut::from(&b"before"[..]);
    let mut encoder = Encoder::new(dialect, &mut in_runs, mti);
    encoder.mirror_all(message, before).unwrap();
    encoder.text(39, &code).unwrap();
    encoder.mirror_all(message, after).unwrap();
    assert_eq!(encoder.finish(), expected.len());
    assert_eq!(&in_runs[6..], expected);

    let mut one_by_one = BytesMut::new();
    let mut encoder = Encoder::new(dialect, &mut one_by_one, mti);
    let known = |field: &&u8| dialect.layout(**field).is_some();
    for field in before.iter().filter(known) {
        assert_eq!(
            encoder.mirror(message, *field).unwrap(),
            message.has(*field)
        );
    }
    encoder.text(39, &code).unwrap();
    for field in after.iter().filter(known) {
        encoder.mirror(message, *field).unwrap();
    }
    encoder.finish();
    assert_eq!(one_by_one, expected);
}

/// A wrong byte, a wrong bit, one byte more or less, an early end.
#[derive(Clone, Debug)]
enum Damage {
    Byte(Index, u8),
    Bit(Index, u8),
    More(Index, u8),
    Less(Index),
    End(Index),
}

impl Damage {
    fn do_to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Damage::Byte(at, byte) => bytes[at.index(length)] = *byte,
            Damage::Bit(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Damage::More(at, byte) => bytes.insert(at.index(length), *byte),
            Damage::Less(at) => drop(bytes.remove(at.index(length))),
            Damage::End(at) => bytes.truncate(at.index(length)),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::More(at, byte)),
        1 => at().prop_map(Damage::Less),
        1 => at().prop_map(Damage::End),
    ]
}

fn encoded(dialect: &Dialect, fields: &mut [(u8, String)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mti = Mti::new(u16::from(dialect.version()) * 1000 + 100);
    let mut encoder = Encoder::new(dialect, &mut out, mti);
    for (number, text) in fields {
        even_if_counted_in_bytes(dialect, *number, text);
        encoder.text(*number, text).unwrap();
    }
    encoder.finish();
    out.to_vec()
}

/// Valid messages, and each with damage, of one dialect. `wanted` is what the answer is to repeat.
fn hold_against_the_naive(dialect: &'static Dialect) {
    let wanted: Vec<u8> = (2..=u8::MAX).filter(|field| *field != 39).collect();
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(64)
    });
    let cases = (
        fields(dialect),
        vec(vec(damage(), 1..4), 8),
        subsequence(wanted, 0..=253),
    );
    let outcome = runner.run(&cases, |(mut fields, damages, wanted)| {
        let bytes = encoded(dialect, &mut fields);
        assert!(Message::parse(dialect, &bytes).is_ok());
        compare(dialect, &bytes, &wanted);
        let present: Vec<u8> = fields
            .iter()
            .map(|(number, _)| *number)
            .filter(|field| *field != 39)
            .collect();
        compare(dialect, &bytes, &present);
        for damage in damages {
            let mut bytes = bytes.clone();
            damage.iter().for_each(|damage| damage.do_to(&mut bytes));
            compare(dialect, &bytes, &wanted);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{}: {error}", dialect.name());
    }
}

#[test]
fn parsing_and_mirroring_agree_with_going_field_by_field() {
    for dialect in DIALECTS.iter() {
        hold_against_the_naive(dialect);
    }
}
