//! One value on the wire: length prefix, content check, canonical text from bytes and back.
//! Used for fields and for what is nested in them.

use bytes::{BufMut, BytesMut};

use super::{
    charset::{
        CodePage, all_bcd, all_digits, all_eight_bit, all_have, all_hex, all_in_class,
        all_printable,
    },
    field::{Check, Content, Count, Encoding, Filler, Layout, Length, Pad, PrefixEncoding},
};

/// A value cut out of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut<'a> {
    /// Bytes on the wire without the prefix.
    pub wire: &'a [u8],
    /// Digits, characters, or bytes of a binary value.
    pub units: usize,
}

/// Why a value could not be cut or is not what its layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// So many bytes were needed where so many are left.
    Short(usize, usize),
    /// The length prefix is no number.
    Prefix,
    /// The length prefix is a number outside what the field allows.
    Length(usize),
    /// A character outside the content class.
    Class,
    /// The filler of an odd number of digits is not the one agreed on.
    Filler,
}

/// Cuts one value off the input. Does not look at its characters: [`check`] does.
#[inline(always)]
pub(super) fn cut<'a>(layout: &Layout, input: &'a [u8]) -> Result<(&'a [u8], Cut<'a>), Fault> {
    if layout.length == Length::Fixed {
        let (wire, rest) = split(input, usize::from(layout.plan.fixed))?;
        let units = usize::from(layout.max);
        return Ok((rest, Cut { wire, units }));
    }
    cut_prefixed(layout, input)
}

#[inline]
fn cut_prefixed<'a>(layout: &Layout, input: &'a [u8]) -> Result<(&'a [u8], Cut<'a>), Fault> {
    let (prefix, rest) = split(input, usize::from(layout.plan.prefix))?;
    let number = match (layout.length, layout.prefix, prefix) {
        (Length::Open, ..) => input.len(),
        (_, PrefixEncoding::Ascii, [tens @ b'0'..=b'9', ones @ b'0'..=b'9']) => {
            usize::from(tens & 15) * 10 + usize::from(ones & 15)
        }
        _ => prefix_number(layout.prefix, prefix).ok_or(Fault::Prefix)?,
    };
    let units = units(layout, number).ok_or(Fault::Length(number))?;
    if units > usize::from(layout.max) || units < usize::from(layout.min) {
        return Err(Fault::Length(number));
    }
    let (wire, rest) = split(rest, layout.wire_length(units))?;
    Ok((rest, Cut { wire, units }))
}

#[inline(always)]
fn split(input: &[u8], count: usize) -> Result<(&[u8], &[u8]), Fault> {
    input
        .split_at_checked(count)
        .ok_or(Fault::Short(count, input.len()))
}

/// The number in a length prefix.
#[inline]
pub(super) fn prefix_number(encoding: PrefixEncoding, prefix: &[u8]) -> Option<usize> {
    let decimal = |digit_of: fn(u8) -> u8| {
        prefix.iter().try_fold(0, |number, byte| {
            let digit = digit_of(*byte);
            (digit < 10).then(|| number * 10 + usize::from(digit))
        })
    };
    match encoding {
        PrefixEncoding::Ascii => decimal(|byte| byte.wrapping_sub(b'0')),
        PrefixEncoding::Ebcdic => decimal(|byte| byte.wrapping_sub(0xf0)),
        PrefixEncoding::Binary => Some(
            prefix
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        ),
        PrefixEncoding::Bcd => prefix.iter().try_fold(0, |number, byte| {
            let (high, low) = (byte >> 4, byte & 15);
            (high < 10 && low < 10).then(|| number * 100 + usize::from(high * 10 + low))
        }),
    }
}

/// Units of the value from the number in its prefix.
#[inline]
fn units(layout: &Layout, number: usize) -> Option<usize> {
    match (layout.count, layout.encoding) {
        (Count::Units, _) => Some(number),
        (Count::Bytes, Encoding::Hex | Encoding::EbcdicHex(_)) => {
            number.is_multiple_of(2).then_some(number / 2)
        }
        (Count::Bytes, Encoding::Bcd(_)) if layout.content == Content::Xn => {
            Some((number * 2).saturating_sub(1))
        }
        (Count::Bytes, Encoding::Bcd(_)) => Some(number * 2),
        (Count::Bytes, _) => Some(number),
    }
}

/// Writes the length prefix for a value of so many units.
pub(super) fn put_prefix(layout: &Layout, units: usize, out: &mut BytesMut) {
    let Length::Prefixed(digits) = layout.length else {
        return;
    };
    let number = match layout.count {
        Count::Units => units,
        Count::Bytes => layout.wire_length(units),
    };
    let digit = |place: u8| (number / 10_usize.pow(u32::from(place)) % 10) as u8;
    match layout.prefix {
        PrefixEncoding::Ascii => (0..digits)
            .rev()
            .for_each(|at| out.put_u8(b'0' + digit(at))),
        PrefixEncoding::Ebcdic => (0..digits)
            .rev()
            .for_each(|at| out.put_u8(0xf0 + digit(at))),
        PrefixEncoding::Bcd => {
            for pair in (0..digits.div_ceil(2)).rev() {
                out.put_u8(digit(pair * 2 + 1) << 4 | digit(pair * 2));
            }
        }
        PrefixEncoding::Binary if digits <= 2 => out.put_u8(number as u8),
        PrefixEncoding::Binary => out.put_u16(number as u16),
    }
}

/// Holds the characters of a cut value against its content class.
#[inline(always)]
pub(super) fn check(layout: &Layout, cut: Cut<'_>) -> Result<(), Fault> {
    let fine = match layout.plan.check {
        Check::Nothing => true,
        Check::AsciiDigits => all_digits(cut.wire),
        Check::AsciiPrintable => all_printable(cut.wire),
        Check::EightBit => all_eight_bit(cut.wire),
        Check::Table(table, bit) => all_have(cut.wire, table, bit),
        Check::BcdLeftZero => {
            let filled = !cut.units.is_multiple_of(2);
            if filled && cut.wire.first().is_some_and(|first| first >> 4 != 0) {
                return Err(Fault::Filler);
            }
            all_bcd(cut.wire)
        }
        Check::Other => return check_other(layout, cut),
    };
    if fine { Ok(()) } else { Err(Fault::Class) }
}

fn check_other(layout: &Layout, cut: Cut<'_>) -> Result<(), Fault> {
    let fine = match layout.encoding {
        Encoding::Ascii | Encoding::Ebcdic(_) => {
            all_in_class(cut.wire, layout.content, layout.eight_bit, layout.page())
        }
        Encoding::Bcd(filler) => return check_bcd(layout.content, filler, cut),
        Encoding::Raw => true,
        Encoding::Hex | Encoding::EbcdicHex(_) => all_hex(cut.wire, layout.page()),
    };
    if fine { Ok(()) } else { Err(Fault::Class) }
}

fn check_bcd(content: Content, filler: Filler, cut: Cut<'_>) -> Result<(), Fault> {
    let mut wire = cut.wire;
    if content == Content::Xn {
        return match wire.split_first() {
            Some((b'C' | b'D' | 0xc3 | 0xc4, digits)) if all_bcd(digits) => Ok(()),
            _ => Err(Fault::Class),
        };
    }
    // The filled byte is looked at on its own, the rest must be digits.
    if !cut.units.is_multiple_of(2) {
        let (filled, rest) = match filler.is_left() {
            true => wire.split_first(),
            false => wire.split_last(),
        }
        .ok_or(Fault::Class)?;
        let (fill, digit) = match filler.is_left() {
            true => (filled >> 4, filled & 15),
            false => (filled & 15, filled >> 4),
        };
        if fill != filler.nibble() {
            return Err(Fault::Filler);
        }
        if content == Content::N && digit > 9 {
            return Err(Fault::Class);
        }
        wire = rest;
    }
    // Track data packs its separator as D; other nibbles do occur in its discretionary data.
    match content == Content::Z || all_bcd(wire) {
        true => Ok(()),
        false => Err(Fault::Class),
    }
}

/// Gives the canonical ASCII characters of a value, one by one, padding removed.
pub(super) fn characters(layout: &Layout, cut: Cut<'_>, mut put: impl FnMut(u8)) {
    let wire = without_padding(layout, cut.wire);
    match layout.encoding {
        Encoding::Ascii if layout.content == Content::Z => {
            wire.iter()
                .for_each(|byte| put(if *byte == b'D' { b'=' } else { *byte }));
        }
        Encoding::Ascii => wire.iter().for_each(|byte| put(ascii(*byte))),
        Encoding::Ebcdic(page) | Encoding::EbcdicHex(page) => {
            let track = layout.content == Content::Z;
            for byte in wire {
                let latin1 = page.to_latin1()[usize::from(*byte)];
                put(if track && latin1 == b'D' {
                    b'='
                } else {
                    ascii(latin1)
                });
            }
        }
        Encoding::Hex => wire.iter().for_each(|byte| put(byte.to_ascii_uppercase())),
        Encoding::Raw => wire.iter().for_each(|byte| {
            put(hex_digit(byte >> 4));
            put(hex_digit(byte & 15));
        }),
        Encoding::Bcd(filler) => bcd_characters(layout.content, filler, cut, put),
    }
}

fn bcd_characters(content: Content, filler: Filler, cut: Cut<'_>, mut put: impl FnMut(u8)) {
    let mut wire = cut.wire;
    let mut units = cut.units;
    if content == Content::Xn
        && let Some((sign, digits)) = wire.split_first()
    {
        put(if matches!(sign, b'D' | 0xc4) {
            b'D'
        } else {
            b'C'
        });
        (wire, units) = (digits, digits.len() * 2);
    }
    let skipped = usize::from(filler.is_left() && !units.is_multiple_of(2));
    let nibbles = wire.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for nibble in nibbles.skip(skipped).take(units) {
        put(match nibble {
            13 if content == Content::Z => b'=',
            nibble => hex_digit(nibble),
        });
    }
}

/// Anything that is not ASCII is shown as a question mark.
const fn ascii(latin1: u8) -> u8 {
    if latin1 < 0x80 { latin1 } else { b'?' }
}

pub(super) const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + (nibble - 10),
    }
}

/// The wire bytes without the spaces that fill a fixed field.
pub(super) fn without_padding<'a>(layout: &Layout, wire: &'a [u8]) -> &'a [u8] {
    let space = if layout.page().is_some() { 0x40 } else { b' ' };
    match layout.pad {
        Pad::RightSpace => {
            let kept = wire
                .iter()
                .rposition(|byte| *byte != space)
                .map_or(0, |last| last + 1);
            &wire[..kept]
        }
        Pad::LeftSpace => {
            let first = wire
                .iter()
                .position(|byte| *byte != space)
                .unwrap_or(wire.len());
            &wire[first..]
        }
        Pad::None | Pad::LeftZero => wire,
    }
}

/// Bytes of a binary value, whatever it stands as; of a text, its wire bytes.
pub(super) fn binary(layout: &Layout, cut: Cut<'_>, mut put: impl FnMut(u8)) {
    let page = match layout.encoding {
        Encoding::Hex => None,
        Encoding::EbcdicHex(page) => Some(page),
        _ => return cut.wire.iter().for_each(|byte| put(*byte)),
    };
    for pair in cut.wire.as_chunks::<2>().0 {
        // Checked on parsing: both are hexadecimal digits.
        let [high, low] = pair.map(|digit| hex_value(digit, page).unwrap_or(0));
        put(high << 4 | low);
    }
}

pub(super) fn hex_value(byte: u8, page: Option<CodePage>) -> Option<u8> {
    let byte = page.map_or(byte, |page| page.to_latin1()[usize::from(byte)]);
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// Writes a value given as canonical ASCII text, padded as its layout says, without a prefix.
/// The caller has checked class and length.
pub(super) fn put_text(layout: &Layout, text: &[u8], out: &mut impl BufMut) {
    let missing = match layout.length {
        Length::Fixed => usize::from(layout.max).saturating_sub(text.len()),
        Length::Prefixed(_) | Length::Open => 0,
    };
    if let Encoding::Bcd(filler) = layout.encoding {
        return put_bcd(layout, filler, text, missing, out);
    }
    let page = layout.page();
    let (fill, after) = match layout.pad {
        Pad::LeftZero => (b'0', false),
        Pad::LeftSpace => (b' ', false),
        Pad::RightSpace | Pad::None => (b' ', true),
    };
    let fill = page.map_or(fill, |page| page.from_latin1()[usize::from(fill)]);
    if !after && missing > 0 {
        out.put_bytes(fill, missing);
    }
    match page {
        None => out.put_slice(text),
        Some(page) => {
            text.iter()
                .for_each(|byte| out.put_u8(page.from_latin1()[usize::from(*byte)]));
        }
    }
    if after && missing > 0 {
        out.put_bytes(fill, missing);
    }
}

fn put_bcd(layout: &Layout, filler: Filler, text: &[u8], missing: usize, out: &mut impl BufMut) {
    let mut text = text;
    if layout.content == Content::Xn
        && let Some((sign, digits)) = text.split_first()
    {
        out.put_u8(*sign);
        text = digits;
    }
    let digits = missing + text.len();
    let odd = !digits.is_multiple_of(2);
    let before = usize::from(odd && filler.is_left());
    let nibble = |at: usize| match at.checked_sub(before) {
        None => filler.nibble(),
        Some(at) if at < missing => 0,
        Some(at) => text
            .get(at - missing)
            .map_or(filler.nibble(), |byte| nibble_of(*byte)),
    };
    for byte in 0..digits.div_ceil(2) {
        out.put_u8(nibble(byte * 2) << 4 | nibble(byte * 2 + 1));
    }
}

/// Digits, `=` and `D` (track separator, packed as D), hexadecimal letters.
const fn nibble_of(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 13,
    }
}

/// Writes a binary value as its layout says, without a prefix.
pub(super) fn put_binary(layout: &Layout, value: &[u8], out: &mut BytesMut) {
    let page = layout.page();
    match layout.encoding {
        Encoding::Hex | Encoding::EbcdicHex(_) => {
            for digit in value
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .map(hex_digit)
            {
                out.put_u8(page.map_or(digit, |page| page.from_latin1()[usize::from(digit)]));
            }
        }
        _ => out.put_slice(value),
    }
}
