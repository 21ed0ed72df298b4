//! What is said about a message that cannot be parsed: field, offset, expected, found (masked).

use std::fmt;

use arrayvec::ArrayString;

use super::{
    field::{Content, Encoding, Filler, Layout, PrefixEncoding},
    value::{self, Fault},
};

/// Where parsing stopped or what it disliked. Never carries card data: what was found is shown with
/// its digits as `9` and its letters as `A`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} at offset {offset}: expected {expected}, found `{found}`", place = Place(*field))]
pub struct ParseError {
    /// Field number; 0 is the MTI, 1 the bitmaps, 255 what follows the last field.
    pub field: u8,
    /// Offset in the message, of the field or of its length prefix.
    pub offset: usize,
    /// What the dialect wanted there.
    pub expected: Expected,
    /// What stood there, masked and cut short.
    pub found: ArrayString<32>,
}

impl ParseError {
    /// Whether not even MTI and bitmaps could be read, so that nothing is known of any field.
    pub fn is_garbage(&self) -> bool {
        self.field <= 1 && !self.is_version()
    }

    /// Whether the MTI could be read, but is of another version than the dialect.
    pub fn is_version(&self) -> bool {
        matches!(self.expected, Expected::Version(_))
    }
}

/// [`ParseError::field`] of bytes after the last field.
pub const AFTER_LAST_FIELD: u8 = 255;

struct Place(u8);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("MTI"),
            1 => f.write_str("bitmap"),
            AFTER_LAST_FIELD => f.write_str("after the last field"),
            field => write!(f, "DE{field}"),
        }
    }
}

/// What a dialect wanted where something else was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// At most 65,535 bytes.
    ShorterMessage,
    /// Four digits.
    MtiDigits,
    /// An MTI of the dialect's version (its first digit).
    Version(u8),
    /// Hexadecimal digits of a bitmap.
    BitmapDigits,
    /// A field that the dialect knows.
    KnownField,
    /// So many bytes, of which so many are there.
    Bytes(usize, usize),
    /// A length prefix in this encoding.
    Prefix(PrefixEncoding),
    /// A length within these bounds (in units), and even for hexadecimal text.
    Length(u16, u16),
    /// Characters of this class.
    Class(Content),
    /// Hexadecimal digits.
    Hex,
    /// The filler digit of an odd number of digits.
    Filler(Filler),
    /// Nothing more.
    EndOfMessage,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::ShorterMessage => f.write_str("a message of at most 65535 bytes"),
            Expected::MtiDigits => f.write_str("four digits"),
            Expected::Version(digit) => write!(f, "a message type that begins with {digit}"),
            Expected::BitmapDigits => f.write_str("hexadecimal digits of a bitmap"),
            Expected::KnownField => f.write_str("a field of this dialect"),
            Expected::Bytes(needed, left) => write!(f, "{needed} bytes where {left} are left"),
            Expected::Prefix(encoding) => write!(f, "a length prefix ({encoding:?})"),
            Expected::Length(min, max) => write!(f, "a length from {min} to {max}"),
            Expected::Class(content) => write!(f, "content {}", content.name()),
            Expected::Hex => f.write_str("hexadecimal text"),
            Expected::Filler(filler) => write!(f, "filler {filler:?}"),
            Expected::EndOfMessage => f.write_str("the end of the message"),
        }
    }
}

#[cold]
pub(super) fn error(field: u8, offset: usize, expected: Expected, found: &[u8]) -> ParseError {
    ParseError {
        field,
        offset,
        expected,
        found: shape(found),
    }
}

#[cold]
pub(super) fn explain(
    number: u8,
    offset: usize,
    layout: &Layout,
    fault: Fault,
    at: &[u8],
) -> ParseError {
    let expected = match fault {
        Fault::Short(needed, left) => Expected::Bytes(needed, left),
        Fault::Prefix => Expected::Prefix(layout.prefix),
        Fault::Length(_) => Expected::Length(layout.min, layout.max),
        Fault::Class if layout.content == Content::B => Expected::Hex,
        Fault::Class => Expected::Class(layout.content),
        Fault::Filler => match layout.encoding {
            Encoding::Bcd(filler) => Expected::Filler(filler),
            _ => Expected::Class(layout.content),
        },
    };
    // A length prefix is no card data and says most when shown as it stands.
    if matches!(fault, Fault::Length(_)) {
        let mut found = ArrayString::new();
        let prefix = &at[..layout.prefix_length().min(at.len())];
        prefix
            .iter()
            .for_each(|byte| push_escaped(&mut found, *byte));
        return ParseError {
            field: number,
            offset,
            expected,
            found,
        };
    }
    error(number, offset, expected, at)
}

/// The first bytes with every digit as `9`, every letter as `A`, and all else as `\x..` with its
/// decimal digits as 9, so that card data does not show in any encoding.
fn shape(bytes: &[u8]) -> ArrayString<32> {
    let mut shape = ArrayString::new();
    for byte in bytes {
        let masked = match byte {
            b'0'..=b'9' => b'9',
            b'A'..=b'Z' | b'a'..=b'z' => b'A',
            // Punctuation in ASCII is two digits in BCD.
            _ => mask_nibble(byte >> 4) << 4 | mask_nibble(byte & 15),
        };
        if shape.remaining_capacity() < 7 {
            shape.push_str("...");
            break;
        }
        push_escaped(&mut shape, masked);
    }
    shape
}

const fn mask_nibble(nibble: u8) -> u8 {
    if nibble < 10 { 9 } else { nibble }
}

fn push_escaped(text: &mut ArrayString<32>, byte: u8) {
    if (0x20..0x7f).contains(&byte) {
        text.push(byte as char);
    } else {
        text.push_str("\\x");
        text.push(value::hex_digit(byte >> 4) as char);
        text.push(value::hex_digit(byte & 15) as char);
    }
}
