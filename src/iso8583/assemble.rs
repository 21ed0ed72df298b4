//! Puts a field together out of its parts, and parts out of theirs. Finding them again is in `subfields`.

use bytes::{BufMut, BytesMut};

use super::{
    encode::{EncodeError, Encoder},
    field::{Content, Encoding, FieldSpec, Layout, Length},
    structure::{Part, Structure, Tlv},
    tlv::{put_ber_length, put_hex, put_length, put_tag},
    value,
};

/// A value that was put together.
enum Built {
    /// Canonical characters, still to be encoded.
    Canonical(BytesMut),
    /// As it stands on the wire.
    Wire(BytesMut),
}

impl Encoder<'_, '_> {
    /// Writes a field out of its parts, each given as canonical text (binary ones as hexadecimal
    /// digits); nested ones with dots, as [`Message::subfield`](super::Message::subfield) names them.
    /// Positional parts that are not given are filled with their padding (`presence_indicator` and
    /// `response_type` with 1). Allocates: meant for simulators
    /// and for the rare answer with nested data.
    pub fn parts(&mut self, field: u8, parts: &[(&str, &str)]) -> Result<&mut Self, EncodeError> {
        let spec = self
            .dialect()
            .field(field)
            .ok_or(EncodeError::UnknownField { field })?;
        let unknown = || EncodeError::UnknownPart { field };
        let structure = spec.structure.as_deref().ok_or_else(unknown)?;
        let fixed = spec.layout.length == Length::Fixed;
        match build(structure, fixed, parts).ok_or_else(unknown)? {
            Built::Wire(wire) => self.bytes(field, &wire),
            Built::Canonical(bytes) if spec.layout.content == Content::B => {
                self.bytes(field, &bytes)
            }
            Built::Canonical(text) => {
                self.text(field, std::str::from_utf8(&text).map_err(|_| unknown())?)
            }
        }
    }
}

/// `None` where a part is not known or does not fit.
fn build(structure: &Structure, fixed: bool, parts: &[(&str, &str)]) -> Option<Built> {
    let is_open = matches!(structure, Structure::Tlv(_) | Structure::BerTlv { .. });
    if !is_open
        && heads(parts)
            .iter()
            .any(|head| structure.part(head).is_none())
    {
        return None;
    }
    let mut out = BytesMut::new();
    Some(match structure {
        Structure::Positional(known) => {
            put_positional(known, parts, fixed, &mut out)?;
            Built::Canonical(out)
        }
        Structure::Delimited {
            delimiter,
            parts: known,
        } => {
            put_delimited(*delimiter, known, parts, &mut out)?;
            Built::Canonical(out)
        }
        Structure::Repeated { .. } => {
            let groups = parts.iter();
            groups.for_each(|(_, text)| out.put_slice(text.as_bytes()));
            Built::Canonical(out)
        }
        Structure::Tlv(tlv) => {
            put_elements(tlv, parts, &mut out)?;
            Built::Wire(out)
        }
        Structure::BerTlv { .. } => {
            put_ber(parts, &mut out)?;
            Built::Wire(out)
        }
        Structure::Bitmap {
            width,
            parts: known,
        } => {
            put_bitmap(*width, known, parts, &mut out)?;
            Built::Wire(out)
        }
    })
}

fn head(path: &str) -> &str {
    path.split_once('.').map_or(path, |(head, _)| head)
}

/// The outermost names, each once, in the order in which they come.
fn heads<'p>(parts: &[(&'p str, &str)]) -> Vec<&'p str> {
    let mut heads = Vec::new();
    for (path, _) in parts {
        if !heads.contains(&head(path)) {
            heads.push(head(path));
        }
    }
    heads
}

fn is_given(parts: &[(&str, &str)], key: &str) -> bool {
    parts.iter().any(|(path, _)| head(path) == key)
}

fn whole<'p>(parts: &[(&str, &'p str)], key: &str) -> Option<&'p str> {
    let found = parts.iter().find(|(path, _)| *path == key);
    found.map(|(_, text)| *text)
}

/// What is given of the parts of a part.
fn within<'p>(parts: &[(&'p str, &'p str)], key: &str) -> Vec<(&'p str, &'p str)> {
    let of_key = parts.iter().filter_map(|(path, text)| {
        let (head, deeper) = path.split_once('.')?;
        (head == key).then_some((deeper, *text))
    });
    of_key.collect()
}

/// One part: its text, or what its own parts come to, or its padding.
fn put_part(spec: &FieldSpec, key: &str, parts: &[(&str, &str)], out: &mut BytesMut) -> Option<()> {
    let nested = within(parts, key);
    if nested.is_empty() {
        return put_value(&spec.layout, whole(parts, key).unwrap_or(""), out);
    }
    let fixed = spec.layout.length == Length::Fixed;
    match build(spec.structure.as_deref()?, fixed, &nested)? {
        Built::Canonical(text) => put_value(&spec.layout, std::str::from_utf8(&text).ok()?, out),
        Built::Wire(wire) => put_wire(&spec.layout, &wire, out),
    }
}

/// A fixed field is filled to its end, a variable one ends with the last part given.
fn put_positional(
    known: &[Part],
    parts: &[(&str, &str)],
    fixed: bool,
    out: &mut BytesMut,
) -> Option<()> {
    let given_last = known.iter().rposition(|part| is_given(parts, &part.key));
    let count = if fixed {
        known.len()
    } else {
        given_last.map_or(0, |last| last + 1)
    };
    for part in &known[..count] {
        match &*part.key {
            // They say that the rest is there, and that its result is wanted.
            "presence_indicator" | "response_type" if !is_given(parts, &part.key) => {
                put_value(&part.spec.layout, "1", out)?;
            }
            key => put_part(&part.spec, key, parts, out)?,
        }
    }
    Some(())
}

/// Parts have no length of their own here, and so no padding.
fn put_delimited(
    delimiter: u8,
    known: &[Part],
    parts: &[(&str, &str)],
    out: &mut BytesMut,
) -> Option<()> {
    for (at, part) in known.iter().enumerate() {
        if at > 0 {
            out.put_u8(delimiter);
        }
        let nested = within(parts, &part.key);
        if nested.is_empty() {
            out.put_slice(whole(parts, &part.key).unwrap_or("").as_bytes());
            continue;
        }
        match build(part.spec.structure.as_deref()?, false, &nested)? {
            Built::Canonical(text) | Built::Wire(text) => out.put_slice(&text),
        }
    }
    Some(())
}

/// Prefix and value; `None` when the value does not fit its layout.
fn put_value(layout: &Layout, text: &str, out: &mut BytesMut) -> Option<()> {
    let binary = layout.content == Content::B;
    let units = if binary { text.len() / 2 } else { text.len() };
    if units > usize::from(layout.max) || !text.is_ascii() {
        return None;
    }
    value::put_prefix(layout, units, out);
    if !binary {
        value::put_text(layout, text.as_bytes(), out);
        return Some(());
    }
    let mut bytes = BytesMut::new();
    put_hex(text, &mut bytes)?;
    value::put_binary(layout, &bytes, out);
    Some(())
}

/// Prefix and value of one that is on the wire as it is; `None` when it is too long.
fn put_wire(layout: &Layout, wire: &[u8], out: &mut BytesMut) -> Option<()> {
    let units = match layout.encoding {
        Encoding::Bcd(_) => wire.len() * 2,
        _ => wire.len(),
    };
    if units > usize::from(layout.max) {
        return None;
    }
    value::put_prefix(layout, units, out);
    match layout.content {
        Content::B => value::put_binary(layout, wire, out),
        _ => out.put_slice(wire),
    }
    Some(())
}

fn put_elements(tlv: &Tlv, parts: &[(&str, &str)], out: &mut BytesMut) -> Option<()> {
    if let Some(lead) = &tlv.lead {
        put_part(&lead.spec, &lead.key, parts, out)?;
    }
    let is_lead = |key: &str| tlv.lead.as_ref().is_some_and(|lead| *lead.key == *key);
    for tag in heads(parts).into_iter().filter(|key| !is_lead(key)) {
        let spec = tlv.tags.get(tag).unwrap_or(&tlv.other);
        let mut value = BytesMut::new();
        put_part(spec, tag, parts, &mut value)?;
        put_tag(tlv.tag, tag, out)?;
        put_length(tlv.length, value.len(), out)?;
        out.put_slice(&value);
    }
    Some(())
}

fn put_ber(parts: &[(&str, &str)], out: &mut BytesMut) -> Option<()> {
    for (tag, text) in parts {
        put_hex(tag, out)?;
        put_ber_length(text.len() / 2, out);
        put_hex(text, out)?;
    }
    Some(())
}

fn put_bitmap(
    width: usize,
    known: &[Option<Part>],
    parts: &[(&str, &str)],
    out: &mut BytesMut,
) -> Option<()> {
    let start = out.len();
    out.put_bytes(0, width);
    for (at, part) in known.iter().enumerate() {
        let Some(part) = part else { continue };
        if !is_given(parts, &part.key) {
            continue;
        }
        out[start + at / 8] |= 0x80 >> (at % 8);
        put_part(&part.spec, &part.key, parts, out)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::{Dialect, Message, Mti};

    /// The parts of a field, as they are read back.
    fn read_back(dialect: &str, field: u8, parts: &[(&str, &str)]) -> Vec<Option<String>> {
        let dialect = Dialect::builtin(dialect).unwrap();
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new(
            &dialect,
            &mut out,
            Mti::new(100 + 1000 * u16::from(dialect.version())),
        );
        encoder.parts(field, parts).unwrap();
        encoder.finish();
        let message = Message::parse(&dialect, &out).unwrap();
        let read = |(path, _): &(&str, &str)| message.subfield::<64>(field, path);
        let texts = parts.iter().map(read);
        texts
            .map(|text| text.map(|text| text.to_string()))
            .collect()
    }

    #[test]
    fn parts_of_parts_are_read_back_as_they_were_given() {
        for (dialect, field, parts) in [
            (
                "mastercard-ebcdic",
                48,
                &[
                    ("92", "123"),
                    ("42.01", "212"),
                    ("22.05", "M"),
                    ("61.partial_approval", "1"),
                    ("22.01", "03"),
                ][..],
            ),
            ("visa-base1", 34, &[("4A.87", "1"), ("4A.89", "2")]),
            (
                "visa-base1",
                126,
                &[
                    ("10.presence_indicator", "1"),
                    ("10.cvv2", "123"),
                    ("13", "C"),
                ],
            ),
            (
                "iso8583-1987-ascii",
                48,
                &[("61.final_authorization", "0"), ("92", "123")],
            ),
            (
                "iso8583-1993-ascii",
                43,
                &[("name", "SHOP"), ("city", "RIO"), ("place.country", "BRA")],
            ),
        ] {
            let expected: Vec<_> = parts
                .iter()
                .map(|(_, text)| Some((*text).to_owned()))
                .collect();
            assert_eq!(
                read_back(dialect, field, parts),
                expected,
                "{dialect} DE{field}"
            );
        }
    }

    #[test]
    fn what_is_no_part_or_does_not_fit_is_refused() {
        let dialect = Dialect::builtin("visa-base1").unwrap();
        for (field, parts) in [
            (126, &[("10.nothing", "1")][..]),
            (126, &[("99", "1")]),
            (126, &[("10.cvv2", "12345")]),
            (34, &[("4A.8788", "1")]),
            (43, &[("name.first", "A")]),
        ] {
            let mut out = BytesMut::new();
            let mut encoder = Encoder::new(&dialect, &mut out, Mti::new(100));
            assert!(encoder.parts(field, parts).is_err(), "{parts:?}");
        }
    }
}
