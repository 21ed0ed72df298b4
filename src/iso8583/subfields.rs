//! Walks what is nested in a field and finds single parts of it, reading and writing.

use std::ops::ControlFlow;

use arrayvec::{ArrayString, ArrayVec};
use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;

use super::{
    encode::{EncodeError, Encoder},
    field::{Content, Encoding, FieldSpec, Layout, Length, Pad},
    mapping::Location,
    message::{Message, text_of},
    structure::{Part, Structure, Tlv},
    tlv::{BerElements, TlvElements, TlvError, put_ber_length, put_hex, put_length, put_tag},
    value::{self, Cut},
};

/// One part on the way through a structure.
pub(super) struct Inside<'a> {
    pub key: &'a str,
    pub spec: &'a FieldSpec,
    pub cut: Cut<'a>,
    /// What is nested in it in turn.
    pub structure: Option<&'a Structure>,
}

pub(super) type Visit<'v> = dyn FnMut(Inside<'_>) -> ControlFlow<()> + 'v;
type Walked = Result<ControlFlow<()>, TlvError>;
type Decoded = SmallVec<[u8; 1024]>;

/// Gives every part of a value, in the order in which they stand.
pub(super) fn each_part(
    structure: &Structure,
    layout: &Layout,
    cut: Cut<'_>,
    visit: &mut Visit<'_>,
) -> Walked {
    let mut decoded = Decoded::new();
    match structure {
        Structure::Positional(parts) => {
            positional(parts, canonical(layout, cut, &mut decoded), visit)
        }
        Structure::Delimited { delimiter, parts } => delimited(
            *delimiter,
            parts,
            canonical(layout, cut, &mut decoded),
            visit,
        ),
        Structure::Repeated { length, group } => {
            repeated(*length, group, canonical(layout, cut, &mut decoded), visit)
        }
        Structure::Tlv(tlv) => elements(tlv, content(layout, cut, &mut decoded), visit),
        Structure::BerTlv { tags, other } => {
            for element in BerElements::new(content(layout, cut, &mut decoded)) {
                let element = element?;
                let spec = tags.get(element.tag.as_str()).unwrap_or(other);
                let nested = element.constructed.then_some(structure);
                let flow = visit(Inside {
                    key: &element.tag,
                    spec,
                    cut: open(&spec.layout, element.value),
                    structure: spec.structure.as_deref().or(nested),
                });
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            Ok(ControlFlow::Continue(()))
        }
        Structure::Bitmap { width, parts } => {
            bitmap(*width, parts, content(layout, cut, &mut decoded), visit)
        }
    }
}

/// A value whose length is known from outside.
fn open<'a>(layout: &Layout, wire: &'a [u8]) -> Cut<'a> {
    let units = match layout.encoding {
        Encoding::Bcd(_) => wire.len() * 2,
        Encoding::Hex | Encoding::EbcdicHex(_) => wire.len() / 2,
        _ => wire.len(),
    };
    Cut { wire, units }
}

/// The bytes of a value, out of hexadecimal text if need be.
fn content<'a>(layout: &Layout, cut: Cut<'a>, decoded: &'a mut Decoded) -> &'a [u8] {
    if !matches!(layout.encoding, Encoding::Hex | Encoding::EbcdicHex(_)) {
        return cut.wire;
    }
    value::binary(layout, cut, |byte| decoded.push(byte));
    decoded
}

/// The canonical characters of a value with its padding; the bytes of a binary one.
fn canonical<'a>(layout: &Layout, cut: Cut<'a>, decoded: &'a mut Decoded) -> &'a [u8] {
    if layout.content == Content::B {
        return content(layout, cut, decoded);
    }
    if layout.encoding == Encoding::Ascii && layout.content != Content::Z {
        return cut.wire;
    }
    let whole = Layout {
        pad: Pad::None,
        ..*layout
    };
    value::characters(&whole, cut, |byte| decoded.push(byte));
    decoded
}

fn positional(parts: &[Part], mut rest: &[u8], visit: &mut Visit<'_>) -> Walked {
    for part in parts {
        if rest.is_empty() {
            break;
        }
        let length = usize::from(part.spec.layout.max).min(rest.len());
        let (wire, after) = rest.split_at(length);
        rest = after;
        let flow = visit(inside(part, open(&part.spec.layout, wire)));
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn inside<'a>(part: &'a Part, cut: Cut<'a>) -> Inside<'a> {
    Inside {
        key: &part.key,
        spec: &part.spec,
        cut,
        structure: part.spec.structure.as_deref(),
    }
}

fn delimited(delimiter: u8, parts: &[Part], text: &[u8], visit: &mut Visit<'_>) -> Walked {
    let pieces = text.splitn(parts.len(), |byte| *byte == delimiter);
    for (part, wire) in parts.iter().zip(pieces) {
        let flow = visit(inside(part, open(&part.spec.layout, wire)));
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn repeated(length: usize, group: &FieldSpec, text: &[u8], visit: &mut Visit<'_>) -> Walked {
    for (at, wire) in text.chunks(length).enumerate() {
        let mut key = ArrayString::<8>::new();
        // At most 9999 groups of one character: the number fits.
        let _ = std::fmt::Write::write_fmt(&mut key, format_args!("{}", at + 1));
        let flow = visit(Inside {
            key: &key,
            spec: group,
            cut: open(&group.layout, wire),
            structure: group.structure.as_deref(),
        });
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn elements(tlv: &Tlv, bytes: &[u8], visit: &mut Visit<'_>) -> Walked {
    let mut rest = bytes;
    if let Some(lead) = &tlv.lead
        && !bytes.is_empty()
    {
        let what = "leading characters";
        let (after, cut) =
            value::cut(&lead.spec.layout, bytes).map_err(|_| TlvError { offset: 0, what })?;
        rest = after;
        let flow = visit(inside(lead, cut));
        if flow.is_break() {
            return Ok(flow);
        }
    }
    for element in TlvElements::new(rest, tlv.tag, tlv.length) {
        let element = element?;
        let spec = tlv.tags.get(element.tag.as_str()).unwrap_or(&tlv.other);
        let flow = visit(Inside {
            key: &element.tag,
            spec,
            cut: open(&spec.layout, element.value),
            structure: spec.structure.as_deref(),
        });
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn bitmap(width: usize, parts: &[Option<Part>], bytes: &[u8], visit: &mut Visit<'_>) -> Walked {
    let missing = |rest: &[u8], what| TlvError {
        offset: bytes.len() - rest.len(),
        what,
    };
    let (bits, mut rest) = bytes
        .split_at_checked(width)
        .ok_or(missing(bytes, "whole bitmap"))?;
    for (at, part) in parts.iter().enumerate() {
        if bits[at / 8] << (at % 8) & 0x80 == 0 {
            continue;
        }
        let part = part
            .as_ref()
            .ok_or(missing(rest, "sub-field of this dialect"))?;
        let cut = value::cut(&part.spec.layout, rest);
        let (after, cut) = cut.map_err(|_| missing(rest, "whole sub-field"))?;
        value::check(&part.spec.layout, cut).map_err(|_| missing(rest, "sub-field content"))?;
        rest = after;
        let flow = visit(inside(part, cut));
        if flow.is_break() {
            return Ok(flow);
        }
    }
    match rest {
        [] => Ok(ControlFlow::Continue(())),
        _ => Err(missing(rest, "end after the last sub-field")),
    }
}

/// Finds the part under a path of names, tags or numbers.
fn find(
    structure: &Structure,
    layout: &Layout,
    cut: Cut<'_>,
    path: &str,
    found: &mut dyn FnMut(&FieldSpec, Cut<'_>),
) -> bool {
    let (key, deeper) = path.split_once('.').unwrap_or((path, ""));
    let mut hit = false;
    // What cannot be parsed is not found.
    let _ = each_part(structure, layout, cut, &mut |part| {
        if part.key != key {
            return ControlFlow::Continue(());
        }
        match part.structure {
            _ if deeper.is_empty() => {
                found(part.spec, part.cut);
                hit = true;
            }
            Some(inner) => hit = find(inner, &part.spec.layout, part.cut, deeper, found),
            None => {}
        }
        ControlFlow::Break(())
    });
    hit
}

impl Message<'_> {
    /// A part of a field as canonical text, by its name, tag or number; nested ones with dots:
    /// `subfield::<15>(62, "2")`, `subfield::<1>(48, "61.partial_approval")`. `None` when it is not
    /// there, when the field does not parse, or when it is longer than `N`.
    pub fn subfield<const N: usize>(&self, number: u8, path: &str) -> Option<ArrayString<N>> {
        let mut text = None;
        self.find(number, path, &mut |spec, cut| {
            text = text_of(&spec.layout, cut)
        });
        text
    }

    /// A part of a field as bytes.
    pub fn subfield_bytes<const N: usize>(
        &self,
        number: u8,
        path: &str,
    ) -> Option<ArrayVec<u8, N>> {
        let mut bytes = ArrayVec::new();
        let mut fits = true;
        let found = self.find(number, path, &mut |spec, cut| {
            value::binary(&spec.layout, cut, |byte| {
                fits &= bytes.try_push(byte).is_ok()
            });
        });
        (found && fits).then_some(bytes)
    }

    /// The text at a place that a dialect names.
    pub fn locate<const N: usize>(&self, at: &Location) -> Option<ArrayString<N>> {
        let Some((first, last)) = at.positions else {
            return match at.path.is_empty() {
                true => self.text(at.field),
                false => self.subfield(at.field, &at.path),
            };
        };
        let whole: ArrayString<255> = match at.path.is_empty() {
            true => self.text(at.field),
            false => self.subfield(at.field, &at.path),
        }?;
        let cut = whole.get(usize::from(first) - 1..whole.len().min(usize::from(last)))?;
        ArrayString::from(cut).ok().filter(|cut| !cut.is_empty())
    }

    fn find(&self, number: u8, path: &str, found: &mut dyn FnMut(&FieldSpec, Cut<'_>)) -> bool {
        let Some((spec, cut)) = self.spec_and_cut(number) else {
            return false;
        };
        spec.structure
            .as_ref()
            .is_some_and(|structure| find(structure, &spec.layout, cut, path, found))
    }
}

impl Encoder<'_, '_> {
    /// Writes a field out of its parts, each given as canonical text (binary ones as hexadecimal
    /// digits). Positional parts that are not given are filled with their padding. Allocates: meant
    /// for simulators and for the rare answer with nested data.
    pub fn parts(&mut self, field: u8, parts: &[(&str, &str)]) -> Result<&mut Self, EncodeError> {
        let spec = self
            .dialect()
            .field(field)
            .ok_or(EncodeError::UnknownField { field })?;
        let unknown = || EncodeError::UnknownPart { field };
        let structure = spec.structure.as_deref().ok_or_else(unknown)?;
        if parts.iter().any(|(key, _)| {
            structure.part(key).is_none()
                && !matches!(structure, Structure::Tlv(_) | Structure::BerTlv { .. })
        }) {
            return Err(unknown());
        }
        let mut out = BytesMut::new();
        match structure {
            Structure::Positional(known) => {
                let fixed = spec.layout.length == Length::Fixed;
                put_positional(known, parts, fixed, &mut out)
            }
            Structure::Delimited {
                delimiter,
                parts: known,
            } => {
                put_delimited(*delimiter, known, parts, &mut out);
                Some(())
            }
            Structure::Repeated { .. } => {
                parts
                    .iter()
                    .for_each(|(_, text)| out.put_slice(text.as_bytes()));
                Some(())
            }
            Structure::Tlv(tlv) => put_elements(tlv, parts, &mut out),
            Structure::BerTlv { .. } => put_ber(parts, &mut out),
            Structure::Bitmap {
                width,
                parts: known,
            } => put_bitmap(*width, known, parts, &mut out),
        }
        .ok_or_else(unknown)?;
        match structure {
            Structure::Tlv(_) | Structure::BerTlv { .. } | Structure::Bitmap { .. } => {
                self.bytes(field, &out)
            }
            _ if spec.layout.content == Content::B => self.bytes(field, &out),
            _ => self.text(field, std::str::from_utf8(&out).map_err(|_| unknown())?),
        }
    }
}

fn given<'p>(parts: &[(&str, &'p str)], key: &str) -> Option<&'p str> {
    parts
        .iter()
        .find(|(given, _)| *given == key)
        .map(|(_, text)| *text)
}

/// A fixed field is filled to its end, a variable one ends with the last part given.
fn put_positional(
    known: &[Part],
    parts: &[(&str, &str)],
    fixed: bool,
    out: &mut BytesMut,
) -> Option<()> {
    let given_last = known
        .iter()
        .rposition(|part| given(parts, &part.key).is_some());
    let count = if fixed {
        known.len()
    } else {
        given_last.map_or(0, |last| last + 1)
    };
    for part in &known[..count] {
        put_value(
            &part.spec.layout,
            given(parts, &part.key).unwrap_or(""),
            out,
        )?;
    }
    Some(())
}

fn put_delimited(delimiter: u8, known: &[Part], parts: &[(&str, &str)], out: &mut BytesMut) {
    for (at, part) in known.iter().enumerate() {
        if at > 0 {
            out.put_u8(delimiter);
        }
        out.put_slice(given(parts, &part.key).unwrap_or("").as_bytes());
    }
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

fn put_elements(tlv: &Tlv, parts: &[(&str, &str)], out: &mut BytesMut) -> Option<()> {
    if let Some(lead) = &tlv.lead {
        put_value(
            &lead.spec.layout,
            given(parts, &lead.key).unwrap_or(""),
            out,
        )?;
    }
    let is_lead = |key: &str| tlv.lead.as_ref().is_some_and(|lead| *lead.key == *key);
    for (tag, text) in parts.iter().filter(|(key, _)| !is_lead(key)) {
        let spec = tlv.tags.get(*tag).unwrap_or(&tlv.other);
        let mut value = BytesMut::new();
        put_value(&spec.layout, text, &mut value)?;
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
        let Some(text) = given(parts, &part.key) else {
            continue;
        };
        out[start + at / 8] |= 0x80 >> (at % 8);
        put_value(&part.spec.layout, text, out)?;
    }
    Some(())
}

#[cfg(test)]
#[path = "subfields_tests.rs"]
mod tests;
