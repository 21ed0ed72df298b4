//! How one field stands on the wire: content, length, encodings, padding, masking, sub-structure.
//! How a dialect file says so is in `field_spec`.

use super::{
    charset::{CodePage, class_table},
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
    pub(super) plan: Plan,
}

/// What follows from a layout, worked out once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// Bytes of a fixed value.
    pub fixed: u16,
    /// Bytes of the length prefix.
    pub prefix: u8,
    /// The check of its characters.
    pub check: Check,
}

/// The checks that are worth a path of their own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Check {
    /// Any byte will do.
    Nothing,
    /// ASCII digits.
    AsciiDigits,
    /// Printable ASCII.
    AsciiPrintable,
    /// Anything but control characters, one byte each.
    EightBit,
    /// This bit in this table, for every byte.
    Table(&'static [u8; 256], u8),
    /// BCD digits, an odd number of them behind a zero.
    BcdLeftZero,
    /// Everything else.
    #[default]
    Other,
}

impl Layout {
    pub(super) fn planned(mut self) -> Layout {
        let class = |page| class_table(self.content, self.eight_bit, page);
        let check = match (self.content, self.encoding) {
            (Content::B, Encoding::Raw) => Check::Nothing,
            (Content::N, Encoding::Ascii) => Check::AsciiDigits,
            (Content::Ans, Encoding::Ascii) if !self.eight_bit => Check::AsciiPrintable,
            (Content::Ans, Encoding::Ascii) => Check::EightBit,
            (Content::N, Encoding::Bcd(Filler::LeftZero)) => Check::BcdLeftZero,
            (Content::Xn, _) => Check::Other,
            (_, Encoding::Ascii) => class(None),
            (_, Encoding::Ebcdic(page)) => class(Some(page)),
            _ => Check::Other,
        };
        self.plan = Plan {
            fixed: self.wire_length(usize::from(self.max)) as u16,
            prefix: self.prefix_length() as u8,
            check,
        };
        self
    }

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
    pub(super) const fn prefix_capacity(&self) -> usize {
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
