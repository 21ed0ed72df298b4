//! How one field stands on the wire: content, length, encodings, padding, masking, sub-structure;
//! and how a dialect file says so.

use super::{
    charset::CodePage,
    spec::{Section, SpecError, Value},
    structure::Structure,
};

/// Content classes of ISO 8583 section 4.3 (`a`, `an` admit the spaces that pad them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Digits.
    N,
    /// Letters.
    A,
    /// Letters and digits.
    An,
    /// Letters, digits and special characters.
    Ans,
    /// Binary.
    B,
    /// Track 2 or 3: digits and the separator.
    Z,
    /// `C` or `D`, then digits.
    Xn,
}

impl Content {
    /// As dialect files write it.
    pub const fn name(self) -> &'static str {
        match self {
            Content::N => "n",
            Content::A => "a",
            Content::An => "an",
            Content::Ans => "ans",
            Content::B => "b",
            Content::Z => "z",
            Content::Xn => "x+n",
        }
    }
}

/// Which side an odd number of BCD digits is filled on, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// `0` before the first digit.
    LeftZero,
    /// `F` before the first digit.
    LeftF,
    /// `0` after the last digit.
    RightZero,
    /// `F` after the last digit.
    RightF,
}

impl Filler {
    pub(super) const fn is_left(self) -> bool {
        matches!(self, Filler::LeftZero | Filler::LeftF)
    }

    pub(super) const fn nibble(self) -> u8 {
        match self {
            Filler::LeftZero | Filler::RightZero => 0,
            Filler::LeftF | Filler::RightF => 15,
        }
    }
}

/// How the value stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One ASCII byte per character.
    Ascii,
    /// One EBCDIC byte per character.
    Ebcdic(CodePage),
    /// Two digits per byte.
    Bcd(Filler),
    /// Bytes as they are.
    Raw,
    /// Two ASCII hexadecimal digits per byte.
    Hex,
    /// Two EBCDIC hexadecimal digits per byte.
    EbcdicHex(CodePage),
}

/// How the length prefix stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixEncoding {
    /// One ASCII digit per digit.
    Ascii,
    /// One EBCDIC digit per digit.
    Ebcdic,
    /// Two digits per byte, left-filled.
    Bcd,
    /// Big-endian: one byte for L and LL, two for LLL and LLLL.
    Binary,
}

/// What the length prefix counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Units of the value: characters, digits, or bytes of a binary value.
    Units,
    /// Bytes on the wire.
    Bytes,
}

/// Fixed, or a prefix of so many digits (LL is 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Always `max` units.
    Fixed,
    /// A length prefix of this many digits.
    Prefixed(u8),
    /// No prefix: where the value ends is known from outside (an element of a TLV).
    Open,
}

/// What fills a fixed field whose value is shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pad {
    /// Nothing: the value must have the full length.
    None,
    /// Zeros before it; they belong to the value and are kept on reading.
    LeftZero,
    /// Spaces before it; removed on reading.
    LeftSpace,
    /// Spaces after it; removed on reading.
    RightSpace,
}

/// What of a field may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Everything.
    Show,
    /// First six and last four.
    Pan,
    /// Nothing but its length: track data, PIN, card verification values, names.
    Hide,
}

/// The wire layout of a value: a small copy that the parser and the encoder work from.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Class of the characters.
    pub content: Content,
    /// How they stand on the wire.
    pub encoding: Encoding,
    /// Fixed or with a prefix.
    pub length: Length,
    /// Encoding of the prefix.
    pub prefix: PrefixEncoding,
    /// What the prefix counts.
    pub count: Count,
    /// Shortest value, in units.
    pub min: u16,
    /// Longest value, in units (bytes for binary, characters or digits otherwise).
    pub max: u16,
    /// What fills a short value.
    pub pad: Pad,
    /// Class `ans` admits bytes above 0x7f.
    pub eight_bit: bool,
}

impl Layout {
    /// Bytes that a value of so many units takes on the wire, without the prefix.
    #[inline]
    pub const fn wire_length(&self, units: usize) -> usize {
        match self.encoding {
            Encoding::Ascii | Encoding::Ebcdic(_) | Encoding::Raw => units,
            Encoding::Hex | Encoding::EbcdicHex(_) => units * 2,
            // The sign of x+n is a character of its own before the packed digits.
            Encoding::Bcd(_) if matches!(self.content, Content::Xn) => 1 + units / 2,
            Encoding::Bcd(_) => units.div_ceil(2),
        }
    }

    /// Bytes of the length prefix.
    #[inline]
    pub const fn prefix_length(&self) -> usize {
        match (self.length, self.prefix) {
            (Length::Fixed | Length::Open, _) => 0,
            (Length::Prefixed(digits), PrefixEncoding::Ascii | PrefixEncoding::Ebcdic) => {
                digits as usize
            }
            (Length::Prefixed(digits), PrefixEncoding::Bcd) => (digits as usize).div_ceil(2),
            (Length::Prefixed(1 | 2), PrefixEncoding::Binary) => 1,
            (Length::Prefixed(_), PrefixEncoding::Binary) => 2,
        }
    }

    /// The largest number that the prefix can hold.
    const fn prefix_capacity(&self) -> usize {
        match (self.length, self.prefix) {
            (Length::Fixed | Length::Open, _) => usize::MAX,
            (Length::Prefixed(1 | 2), PrefixEncoding::Binary) => 255,
            (Length::Prefixed(_), PrefixEncoding::Binary) => 65_535,
            (Length::Prefixed(digits), _) => 10_usize.pow(digits as u32) - 1,
        }
    }

    /// The code page of the value, if it is EBCDIC.
    pub(super) const fn page(&self) -> Option<CodePage> {
        match self.encoding {
            Encoding::Ebcdic(page) | Encoding::EbcdicHex(page) => Some(page),
            _ => None,
        }
    }
}

/// All that a dialect says about one field.
#[derive(Clone, Debug)]
pub struct FieldSpec {
    /// Its name in the standard or in the network's manual.
    pub name: Box<str>,
    /// How it stands on the wire.
    pub layout: Layout,
    /// What of it may be shown.
    pub mask: Mask,
    /// What is nested in it.
    pub structure: Option<Box<Structure>>,
}

/// What a dialect says once for all its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub text: Encoding,
    pub numeric: Encoding,
    pub track: Encoding,
    pub signed: Encoding,
    pub binary: Encoding,
    pub prefix: PrefixEncoding,
    pub numeric_count: Count,
    pub count: Count,
    pub filler: Filler,
    pub page: CodePage,
}

const FILLERS: &[(&str, Filler)] = &[
    ("left-0", Filler::LeftZero),
    ("left-f", Filler::LeftF),
    ("right-0", Filler::RightZero),
    ("right-f", Filler::RightF),
];
const PAGES: &[(&str, CodePage)] = &[
    ("cp037", CodePage::Cp037),
    ("cp500", CodePage::Cp500),
    ("cp1047", CodePage::Cp1047),
];
const PREFIXES: &[(&str, PrefixEncoding)] = &[
    ("ascii", PrefixEncoding::Ascii),
    ("ebcdic", PrefixEncoding::Ebcdic),
    ("bcd", PrefixEncoding::Bcd),
    ("binary", PrefixEncoding::Binary),
];
const COUNTS: &[(&str, Count)] = &[("units", Count::Units), ("bytes", Count::Bytes)];
const CONTENTS: &[(&str, Content)] = &[
    ("n", Content::N),
    ("a", Content::A),
    ("an", Content::An),
    ("ans", Content::Ans),
    ("b", Content::B),
    ("z", Content::Z),
    ("x+n", Content::Xn),
];
const PADS: &[(&str, Pad)] = &[
    ("none", Pad::None),
    ("left-zero", Pad::LeftZero),
    ("left-space", Pad::LeftSpace),
    ("right-space", Pad::RightSpace),
];
const MASKS: &[(&str, Mask)] = &[
    ("show", Mask::Show),
    ("pan", Mask::Pan),
    ("hide", Mask::Hide),
];

/// Encoding words, with filler and code page filled in from elsewhere.
pub(super) fn encodings(filler: Filler, page: CodePage) -> [(&'static str, Encoding); 6] {
    [
        ("ascii", Encoding::Ascii),
        ("ebcdic", Encoding::Ebcdic(page)),
        ("bcd", Encoding::Bcd(filler)),
        ("raw", Encoding::Raw),
        ("hex", Encoding::Hex),
        ("ebcdic-hex", Encoding::EbcdicHex(page)),
    ]
}

impl Defaults {
    /// Reads `[defaults]`.
    pub fn read(mut section: Section) -> Result<Defaults, SpecError> {
        let filler = section
            .choice("filler", FILLERS)?
            .unwrap_or(Filler::LeftZero);
        let page = section
            .choice("code_page", PAGES)?
            .unwrap_or(CodePage::Cp037);
        let words = encodings(filler, page);
        let text = section.choice("text", &words)?.unwrap_or(Encoding::Ascii);
        let numeric = section.choice("numeric", &words)?.unwrap_or(text);
        let defaults = Defaults {
            text,
            numeric,
            track: section.choice("track", &words)?.unwrap_or(numeric),
            signed: section.choice("signed", &words)?.unwrap_or(numeric),
            binary: section.choice("binary", &words)?.unwrap_or(Encoding::Raw),
            prefix: section
                .choice("prefix", PREFIXES)?
                .unwrap_or(PrefixEncoding::Ascii),
            numeric_count: section
                .choice("numeric_count", COUNTS)?
                .unwrap_or(Count::Units),
            count: section.choice("count", COUNTS)?.unwrap_or(Count::Bytes),
            filler,
            page,
        };
        section.done()?;
        Ok(defaults)
    }
}

impl FieldSpec {
    /// Reads one field; `None` for one that a dialect takes away (`absent = true`). An `open` one
    /// may go without a length of its own.
    pub(super) fn read(
        mut section: Section,
        defaults: &Defaults,
        open: bool,
    ) -> Result<Option<FieldSpec>, SpecError> {
        if section.flag("absent")? == Some(true) {
            return Ok(None);
        }
        let (name, _) = section.required_text("name")?;
        let mask = section.choice("mask", MASKS)?.unwrap_or(Mask::Show);
        let layout = layout(&mut section, defaults, open)?;
        let structure = match section.section("structure")? {
            Some(inside) => Some(Box::new(Structure::read(inside, &layout, defaults)?)),
            None => None,
        };
        section.done()?;
        Ok(Some(FieldSpec {
            name: name.into(),
            layout,
            mask,
            structure,
        }))
    }
}

fn layout(section: &mut Section, defaults: &Defaults, open: bool) -> Result<Layout, SpecError> {
    let place = section.place.clone();
    let Some(content) = section.choice("content", CONTENTS)? else {
        return Err(place.error(format!("`{}` lacks the key `content`", section.path)));
    };
    let filler = section
        .choice("filler", FILLERS)?
        .unwrap_or(defaults.filler);
    let words = encodings(filler, defaults.page);
    let encoding = section
        .choice("encoding", &words)?
        .unwrap_or(match content {
            Content::N => defaults.numeric,
            Content::Z => defaults.track,
            Content::Xn => defaults.signed,
            Content::B => defaults.binary,
            Content::A | Content::An | Content::Ans => defaults.text,
        });
    let encoding = match encoding {
        Encoding::Bcd(_) => Encoding::Bcd(filler),
        other => other,
    };
    let (length, max) = length(section, open)?;
    let counts_digits = matches!(encoding, Encoding::Bcd(_));
    let layout = Layout {
        content,
        encoding,
        length,
        prefix: section
            .choice("prefix", PREFIXES)?
            .unwrap_or(defaults.prefix),
        count: section
            .choice("count", COUNTS)?
            .unwrap_or(if counts_digits {
                defaults.numeric_count
            } else {
                defaults.count
            }),
        min: match length {
            Length::Fixed => max,
            _ => section.number("min", 0..=i64::from(max))?.unwrap_or(0) as u16,
        },
        max,
        pad: section
            .choice("pad", PADS)?
            .unwrap_or(match (length, content) {
                (Length::Fixed, Content::N) => Pad::LeftZero,
                (Length::Fixed, Content::A | Content::An | Content::Ans) => Pad::RightSpace,
                _ => Pad::None,
            }),
        eight_bit: section.flag("eight_bit")?.unwrap_or(false),
    };
    check(&layout).map_err(|problem| place.error(format!("`{}`: {problem}", section.path)))?;
    Ok(layout)
}

/// `length = 6` is fixed; `length = "LL", max = 19` has a prefix.
fn length(section: &mut Section, open: bool) -> Result<(Length, u16), SpecError> {
    let place = section.place.clone();
    let path = section.path.clone();
    match section.take("length") {
        None if open => {
            let max = section.number("max", 1..=9999)?.unwrap_or(9999);
            Ok((Length::Open, max as u16))
        }
        None => Err(place.error(format!("`{path}` lacks the key `length`"))),
        Some(node) => match node.value {
            Value::Integer(fixed @ 1..=9999) => {
                // An overlay may turn a prefixed field into a fixed one: its `max` then goes too.
                section.take("max");
                section.take("min");
                Ok((Length::Fixed, fixed as u16))
            }
            Value::Text(word) if matches!(word.as_str(), "L" | "LL" | "LLL" | "LLLL") => {
                let max = section.number("max", 1..=9999)?;
                let missing = || place.error(format!("`{path}` lacks the key `max`"));
                Ok((Length::Prefixed(word.len() as u8), max.ok_or_else(missing)? as u16))
            }
            _ => Err(node.place.error(
                "`length` must be a number (fixed), or \"L\", \"LL\", \"LLL\" or \"LLLL\" (a prefix of that many digits)",
            )),
        },
    }
}

fn check(layout: &Layout) -> Result<(), String> {
    let fits = match (layout.content, layout.encoding) {
        (Content::B, Encoding::Raw | Encoding::Hex | Encoding::EbcdicHex(_)) => true,
        (Content::B, _) => false,
        (Content::N | Content::Z | Content::Xn, Encoding::Bcd(_)) => true,
        (_, Encoding::Ascii | Encoding::Ebcdic(_)) => true,
        _ => false,
    };
    if !fits {
        let (content, encoding) = (layout.content.name(), layout.encoding);
        return Err(format!(
            "content {content:?} cannot be encoded as {encoding:?}"
        ));
    }
    if matches!(
        (layout.content, layout.encoding),
        (Content::Xn, Encoding::Bcd(_))
    ) && layout.max.is_multiple_of(2)
    {
        return Err("a packed x+n field has a sign and an even number of digits".to_owned());
    }
    let longest = match layout.count {
        Count::Units => usize::from(layout.max),
        Count::Bytes => layout.wire_length(usize::from(layout.max)),
    };
    if longest > layout.prefix_capacity() {
        let capacity = layout.prefix_capacity();
        return Err(format!(
            "the length prefix holds at most {capacity}, `max` needs {longest}"
        ));
    }
    Ok(())
}
