//! What can be nested in a field: positional and delimited parts, repeated groups, TLV with any tag
//! and length encoding, BER-TLV, sub-fields behind a bitmap of their own; and how a dialect file
//! says so. Walking them is in `subfields`.

use std::collections::BTreeMap;

use super::{
    charset::CodePage,
    emv,
    field::{Content, Count, Encoding, FieldSpec, Layout, Length, Mask, Pad},
    field_spec::Defaults,
    spec::{Section, SpecError, Value},
};

/// The inside of a field.
#[derive(Clone, Debug)]
pub enum Structure {
    /// Parts one after the other, cut from the canonical characters of the value (from its bytes,
    /// if it is binary). A value that ends early has fewer parts.
    Positional(Vec<Part>),
    /// Parts with a delimiter between them.
    Delimited {
        /// The character between the parts, in canonical ASCII.
        delimiter: u8,
        /// The parts in their order.
        parts: Vec<Part>,
    },
    /// Groups of one length, named `1`, `2`, ...
    Repeated {
        /// Characters of a group.
        length: usize,
        /// The group.
        group: Box<FieldSpec>,
    },
    /// Tag, length, value.
    Tlv(Box<Tlv>),
    /// BER-TLV (ISO/IEC 8825-1, EMV Book 3 annex B).
    BerTlv {
        /// Tags by their upper-case hexadecimal digits.
        tags: BTreeMap<Box<str>, FieldSpec>,
        /// For tags that are not named.
        other: Box<FieldSpec>,
    },
    /// A bitmap of so many raw bytes, then the sub-fields that it announces.
    Bitmap {
        /// Bytes of the bitmap.
        width: usize,
        /// Sub-fields; the first is number 1.
        parts: Vec<Option<Part>>,
    },
}

/// A named part.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name, or number in decimal digits.
    pub key: Box<str>,
    /// How it stands on the wire.
    pub spec: FieldSpec,
}

/// Tag-length-value elements with fixed widths of tag and length.
#[derive(Clone, Debug)]
pub struct Tlv {
    /// Characters in front of the first element.
    pub lead: Option<Part>,
    /// How a tag stands.
    pub tag: Width,
    /// How a length stands; it counts the bytes of the value.
    pub length: Width,
    /// Tags as canonical text; binary ones as upper-case hexadecimal digits.
    pub tags: BTreeMap<Box<str>, FieldSpec>,
    /// For tags that are not named.
    pub other: FieldSpec,
}

/// Encoding and width of a tag or a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// So many ASCII characters.
    Ascii(usize),
    /// So many EBCDIC characters.
    Ebcdic(usize, CodePage),
    /// So many bytes, big-endian.
    Binary(usize),
    /// So many bytes of two BCD digits.
    Bcd(usize),
}

impl Width {
    /// Bytes on the wire.
    pub const fn bytes(self) -> usize {
        match self {
            Width::Ascii(width)
            | Width::Ebcdic(width, _)
            | Width::Binary(width)
            | Width::Bcd(width) => width,
        }
    }
}

impl Structure {
    /// Whether a part must not be shown: then neither may the whole, if it does not parse.
    pub fn hides_something(&self) -> bool {
        let hides = |spec: &FieldSpec| {
            spec.mask != Mask::Show
                || spec
                    .structure
                    .as_ref()
                    .is_some_and(|inside| inside.hides_something())
        };
        match self {
            Structure::Positional(parts) | Structure::Delimited { parts, .. } => {
                parts.iter().any(|part| hides(&part.spec))
            }
            Structure::Repeated { group, .. } => hides(group),
            Structure::Tlv(tlv) => tlv.tags.values().any(hides),
            Structure::BerTlv { tags, .. } => tags.values().any(hides),
            Structure::Bitmap { parts, .. } => parts.iter().flatten().any(|part| hides(&part.spec)),
        }
    }

    /// The part under a name, tag or number, if the dialect describes it.
    pub fn part(&self, key: &str) -> Option<&FieldSpec> {
        let named = |parts: &'_ [Part]| parts.iter().position(|part| *part.key == *key);
        match self {
            Structure::Positional(parts) | Structure::Delimited { parts, .. } => {
                named(parts).map(|at| &parts[at].spec)
            }
            Structure::Repeated { group, .. } => key.parse::<u8>().ok().map(|_| &**group),
            Structure::Tlv(tlv) => match &tlv.lead {
                Some(lead) if *lead.key == *key => Some(&lead.spec),
                _ => tlv.tags.get(key),
            },
            Structure::BerTlv { tags, .. } => tags.get(key),
            Structure::Bitmap { parts, .. } => parts
                .iter()
                .flatten()
                .find(|part| *part.key == *key)
                .map(|part| &part.spec),
        }
    }

    pub(super) fn read(
        mut section: Section,
        parent: &Layout,
        defaults: &Defaults,
    ) -> Result<Structure, SpecError> {
        let (kind, place) = section.required_text("kind")?;
        let defaults = &of_parent(parent, defaults);
        let structure = match kind.as_str() {
            "positional" => Structure::Positional(canonical_parts(&mut section, parent, defaults)?),
            "delimited" => {
                let (delimiter, place) = section.required_text("delimiter")?;
                let [delimiter] = *delimiter.as_bytes() else {
                    return Err(place.error("`delimiter` must be one ASCII character"));
                };
                let parts = canonical_parts(&mut section, parent, defaults)?;
                Structure::Delimited { delimiter, parts }
            }
            "repeated" => repeated(&mut section, parent, defaults)?,
            "tlv" => Structure::Tlv(Box::new(tlv(&mut section, defaults)?)),
            "ber-tlv" => {
                let mut tags = emv::tags();
                tags.extend(self::tags(&mut section, defaults)?);
                let other = Box::new(emv::tag("", Content::B, Mask::Show));
                Structure::BerTlv { tags, other }
            }
            "bitmap" => bitmap(&mut section, defaults)?,
            _ => {
                let known = "positional, delimited, repeated, tlv, ber-tlv, bitmap";
                return Err(place.error(format!(
                    "`kind` = {kind:?} is not known; use one of: {known}"
                )));
            }
        };
        section.done()?;
        Ok(structure)
    }
}

/// Inside a text everything is text; inside a binary field the dialect's encodings hold.
fn of_parent(parent: &Layout, defaults: &Defaults) -> Defaults {
    let binary = match parent.encoding {
        Encoding::Ascii => Encoding::Hex,
        Encoding::Ebcdic(page) => Encoding::EbcdicHex(page),
        _ => return *defaults,
    };
    Defaults {
        text: parent.encoding,
        numeric: parent.encoding,
        track: parent.encoding,
        signed: parent.encoding,
        binary,
        ..*defaults
    }
}

/// `parts = [{ name = "city", length = 13 }, …]`: cut from canonical characters, so the encoding of
/// a part is that of canonical text, or raw bytes in a binary field.
fn canonical_parts(
    section: &mut Section,
    parent: &Layout,
    defaults: &Defaults,
) -> Result<Vec<Part>, SpecError> {
    let defaults = Defaults {
        text: Encoding::Ascii,
        numeric: Encoding::Ascii,
        track: Encoding::Ascii,
        signed: Encoding::Ascii,
        binary: Encoding::Raw,
        ..*defaults
    };
    let items = section.list("parts")?.unwrap_or_default();
    if items.is_empty() {
        return Err(section
            .place
            .error(format!("`{}` lacks the list `parts`", section.path)));
    }
    let parts = items.into_iter().map(|item| {
        let path = section.path_of("parts");
        let mut part = Section::from_node(path, item)?;
        let place = part.place.clone();
        let content = match parent.content {
            Content::B => "b",
            Content::N => "n",
            _ => "ans",
        };
        part.default_text("content", content);
        let (name, _) = part.required_text("name")?;
        part.default_text("name", &name);
        match FieldSpec::read(part, &defaults, true)? {
            Some(spec) => Ok(Part {
                key: name.into(),
                spec,
            }),
            None => Err(place.error("a part cannot be absent: leave it out")),
        }
    });
    parts.collect()
}

fn repeated(
    section: &mut Section,
    parent: &Layout,
    defaults: &Defaults,
) -> Result<Structure, SpecError> {
    let parts = canonical_parts(section, parent, defaults)?;
    let length = parts
        .iter()
        .map(|part| usize::from(part.spec.layout.max))
        .sum();
    let mut group = open_spec(Content::Ans, Encoding::Ascii);
    group.structure = Some(Box::new(Structure::Positional(parts)));
    Ok(Structure::Repeated {
        length,
        group: Box::new(group),
    })
}

/// A value of any length whose end is known from outside.
pub(super) fn open_spec(content: Content, encoding: Encoding) -> FieldSpec {
    FieldSpec {
        name: "".into(),
        layout: Layout {
            content,
            encoding,
            length: Length::Open,
            prefix: super::field::PrefixEncoding::Ascii,
            count: Count::Bytes,
            min: 0,
            max: 9999,
            pad: Pad::None,
            eight_bit: false,
            plan: Default::default(),
        }
        .planned(),
        mask: Mask::Show,
        structure: None,
    }
}

fn tlv(section: &mut Section, defaults: &Defaults) -> Result<Tlv, SpecError> {
    let lead = match section.section("lead")? {
        None => None,
        Some(mut lead) => {
            let (name, _) = lead.required_text("name")?;
            lead.default_text("name", &name);
            FieldSpec::read(lead, defaults, false)?.map(|spec| Part {
                key: name.into(),
                spec,
            })
        }
    };
    let tag = width(section, "tag", defaults)?;
    let length = width(section, "length", defaults)?;
    let other = match tag {
        Width::Binary(_) | Width::Bcd(_) => open_spec(Content::B, Encoding::Raw),
        _ => open_spec(Content::Ans, defaults.text),
    };
    Ok(Tlv {
        lead,
        tag,
        length,
        tags: tags(section, defaults)?,
        other,
    })
}

/// `tag = "ascii-2"`.
fn width(section: &mut Section, key: &str, defaults: &Defaults) -> Result<Width, SpecError> {
    let (text, place) = section.required_text(key)?;
    let split = text
        .rsplit_once('-')
        .map(|(word, digits)| (word, digits.parse::<usize>()));
    match split {
        Some(("ascii", Ok(width @ 1..=8))) => Ok(Width::Ascii(width)),
        Some(("ebcdic", Ok(width @ 1..=8))) => Ok(Width::Ebcdic(width, defaults.page)),
        Some(("binary", Ok(width @ 1..=4))) => Ok(Width::Binary(width)),
        Some(("bcd", Ok(width @ 1..=4))) => Ok(Width::Bcd(width)),
        _ => {
            let form = "an encoding and a width in bytes: ascii-2, ebcdic-2, binary-1, bcd-2";
            Err(place.error(format!("`{key}` = {text:?} must be {form}")))
        }
    }
}

fn tags(
    section: &mut Section,
    defaults: &Defaults,
) -> Result<BTreeMap<Box<str>, FieldSpec>, SpecError> {
    let Some(tags) = section.section("tags")? else {
        return Ok(BTreeMap::new());
    };
    let path = tags.path.clone();
    let mut known = BTreeMap::new();
    for (tag, node) in tags.keys {
        let part = Section::from_node(format!("{path}.{tag}"), node)?;
        if let Some(spec) = FieldSpec::read(part, defaults, true)? {
            known.insert(tag.into(), spec);
        }
    }
    Ok(known)
}

fn bitmap(section: &mut Section, defaults: &Defaults) -> Result<Structure, SpecError> {
    let width = section.number("bitmap_length", 1..=8)?.unwrap_or(8) as usize;
    let Some(numbered) = section.section("parts")? else {
        return Err(section
            .place
            .error(format!("`{}` lacks the table `parts`", section.path)));
    };
    let path = numbered.path.clone();
    let mut parts: Vec<Option<Part>> = Vec::new();
    parts.resize_with(width * 8, || None);
    for (number, node) in numbered.keys {
        let slot = number
            .parse::<usize>()
            .ok()
            .and_then(|at| parts.get_mut(at.checked_sub(1)?));
        let Some(slot) = slot else {
            let problem = format!(
                "`{number}` is no sub-field; they run from 1 to {}",
                width * 8
            );
            return Err(node.place.error(problem));
        };
        let part = Section::from_node(format!("{path}.{number}"), node)?;
        *slot = FieldSpec::read(part, defaults, false)?.map(|spec| Part {
            key: number.into(),
            spec,
        });
    }
    Ok(Structure::Bitmap { width, parts })
}

impl Section {
    /// Sets a text that the file leaves to a default.
    fn default_text(&mut self, key: &str, text: &str) {
        let place = self.place.clone();
        self.keys
            .entry(key.to_owned())
            .or_insert(super::spec::Node {
                value: Value::Text(text.to_owned()),
                place,
            });
    }
}
