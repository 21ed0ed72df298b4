//! Walks what is nested in a field and finds single parts of it. Putting a field together is in `assemble`.

use std::ops::ControlFlow;

use arrayvec::{ArrayString, ArrayVec};
use smallvec::SmallVec;

use super::{
    field::{Content, Encoding, FieldSpec, Layout, Pad},
    mapping::Location,
    message::{Message, text_of},
    structure::{Part, Structure, Tlv},
    tlv::{BerElements, TlvElements, TlvError},
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

#[cfg(test)]
#[path = "subfields_tests.rs"]
mod tests;
