//! Character tables: EBCDIC code pages and the character classes of ISO 8583 content types.
//!
//! Checking classes costs more than parsing when done byte by byte with branches, so long runs are
//! checked eight bytes at a time and the rest through one table look-up per byte.

use super::field::{Check, Content};

/// An EBCDIC code page. They differ in a few special characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodePage {
    /// USA and Canada.
    Cp037,
    /// International.
    Cp500,
    /// Open systems (Latin-1).
    Cp1047,
}

impl CodePage {
    /// Latin-1 value of each byte of this code page.
    pub const fn to_latin1(self) -> &'static [u8; 256] {
        match self {
            CodePage::Cp037 => &CP037,
            CodePage::Cp500 => &CP500,
            CodePage::Cp1047 => &CP1047,
        }
    }

    /// Byte of this code page for each Latin-1 value.
    pub const fn from_latin1(self) -> &'static [u8; 256] {
        match self {
            CodePage::Cp037 => &TO_CP037,
            CodePage::Cp500 => &TO_CP500,
            CodePage::Cp1047 => &TO_CP1047,
        }
    }

    const fn classes(self) -> &'static [u8; 256] {
        match self {
            CodePage::Cp037 => &CP037_CLASSES,
            CodePage::Cp500 => &CP500_CLASSES,
            CodePage::Cp1047 => &CP1047_CLASSES,
        }
    }
}

const DIGIT: u8 = 1;
const ALPHA: u8 = 2;
const ALPHANUMERIC: u8 = 4;
const PRINTABLE: u8 = 8;
const TRACK: u8 = 16;
const TEXT_8_BIT: u8 = 32;
const HEX: u8 = 64;
const SIGN: u8 = 128;

const fn latin1_classes(byte: u8) -> u8 {
    let mut classes = match byte {
        b'0'..=b'9' => DIGIT | ALPHANUMERIC | TRACK | HEX,
        b'C' | b'D' => ALPHA | ALPHANUMERIC | HEX | SIGN,
        b'A'..=b'F' | b'a'..=b'f' => ALPHA | ALPHANUMERIC | HEX,
        b'A'..=b'Z' | b'a'..=b'z' => ALPHA | ALPHANUMERIC,
        // Fixed fields of class `a` and `an` are padded with spaces ("anp" of ISO 8583:1993).
        b' ' => ALPHA | ALPHANUMERIC,
        _ => 0,
    };
    if byte == b'=' || byte == b'D' {
        classes |= TRACK;
    }
    if byte >= 0x20 && byte < 0x7f {
        classes |= PRINTABLE;
    }
    if byte >= 0x20 && byte != 0x7f {
        classes |= TEXT_8_BIT;
    }
    classes
}

const fn classes_of(to_latin1: Option<&[u8; 256]>) -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let latin1 = match to_latin1 {
            Some(table) => table[byte],
            None => byte as u8,
        };
        classes[byte] = latin1_classes(latin1);
        byte += 1;
    }
    classes
}

const fn inverse(table: &[u8; 256]) -> [u8; 256] {
    let mut inverse = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        inverse[table[byte] as usize] = byte as u8;
        byte += 1;
    }
    inverse
}

const fn with_changes(table: &[u8; 256], changes: &[(usize, u8)]) -> [u8; 256] {
    let mut changed = *table;
    let mut at = 0;
    while at < changes.len() {
        changed[changes[at].0] = changes[at].1;
        at += 1;
    }
    changed
}

static ASCII_CLASSES: [u8; 256] = classes_of(None);
static CP037_CLASSES: [u8; 256] = classes_of(Some(&CP037));
static CP500_CLASSES: [u8; 256] = classes_of(Some(&CP500));
static CP1047_CLASSES: [u8; 256] = classes_of(Some(&CP1047));
static TO_CP037: [u8; 256] = inverse(&CP037);
static TO_CP500: [u8; 256] = inverse(&CP500);
static TO_CP1047: [u8; 256] = inverse(&CP1047);

/// Latin-1 for code page 037 (IBM CDRA; as in Unicode's CP037.TXT).
#[rustfmt::skip]
static CP037: [u8; 256] = [
    0x00, 0x01, 0x02, 0x03, 0x9c, 0x09, 0x86, 0x7f, 0x97, 0x8d, 0x8e, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x10, 0x11, 0x12, 0x13, 0x9d, 0x85, 0x08, 0x87, 0x18, 0x19, 0x92, 0x8f, 0x1c, 0x1d, 0x1e, 0x1f,
    0x80, 0x81, 0x82, 0x83, 0x84, 0x0a, 0x17, 0x1b, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x05, 0x06, 0x07,
    0x90, 0x91, 0x16, 0x93, 0x94, 0x95, 0x96, 0x04, 0x98, 0x99, 0x9a, 0x9b, 0x14, 0x15, 0x9e, 0x1a,
    0x20, 0xa0, 0xe2, 0xe4, 0xe0, 0xe1, 0xe3, 0xe5, 0xe7, 0xf1, 0xa2, 0x2e, 0x3c, 0x28, 0x2b, 0x7c,
    0x26, 0xe9, 0xea, 0xeb, 0xe8, 0xed, 0xee, 0xef, 0xec, 0xdf, 0x21, 0x24, 0x2a, 0x29, 0x3b, 0xac,
    0x2d, 0x2f, 0xc2, 0xc4, 0xc0, 0xc1, 0xc3, 0xc5, 0xc7, 0xd1, 0xa6, 0x2c, 0x25, 0x5f, 0x3e, 0x3f,
    0xf8, 0xc9, 0xca, 0xcb, 0xc8, 0xcd, 0xce, 0xcf, 0xcc, 0x60, 0x3a, 0x23, 0x40, 0x27, 0x3d, 0x22,
    0xd8, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0xab, 0xbb, 0xf0, 0xfd, 0xfe, 0xb1,
    0xb0, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0xaa, 0xba, 0xe6, 0xb8, 0xc6, 0xa4,
    0xb5, 0x7e, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0xa1, 0xbf, 0xd0, 0xdd, 0xde, 0xae,
    0x5e, 0xa3, 0xa5, 0xb7, 0xa9, 0xa7, 0xb6, 0xbc, 0xbd, 0xbe, 0x5b, 0x5d, 0xaf, 0xa8, 0xb4, 0xd7,
    0x7b, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0xad, 0xf4, 0xf6, 0xf2, 0xf3, 0xf5,
    0x7d, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0xb9, 0xfb, 0xfc, 0xf9, 0xfa, 0xff,
    0x5c, 0xf7, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0xb2, 0xd4, 0xd6, 0xd2, 0xd3, 0xd5,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0xb3, 0xdb, 0xdc, 0xd9, 0xda, 0x9f,
];

#[rustfmt::skip]
static CP500: [u8; 256] = with_changes(&CP037, &[
    (0x4a, 0x5b), (0x4f, 0x21), (0x5a, 0x5d), (0x5f, 0x5e), (0xb0, 0xa2),
    (0xba, 0xac), (0xbb, 0x7c),
]);

#[rustfmt::skip]
static CP1047: [u8; 256] = with_changes(&CP037, &[
    (0x5f, 0x5e), (0xad, 0x5b), (0xb0, 0xac), (0xba, 0xdd), (0xbb, 0xa8), (0xbd, 0x5d),
]);

/// The table bit that stands for a content class; `b` has no class to check.
const fn class_bit(content: Content, eight_bit: bool) -> Option<u8> {
    match content {
        Content::N => Some(DIGIT),
        Content::A => Some(ALPHA),
        Content::An => Some(ALPHANUMERIC),
        Content::Ans if eight_bit => Some(TEXT_8_BIT),
        Content::Ans => Some(PRINTABLE),
        Content::Z => Some(TRACK),
        Content::Xn => Some(DIGIT),
        Content::B => None,
    }
}

/// The look-up that checks a class.
pub(super) fn class_table(content: Content, eight_bit: bool, page: Option<CodePage>) -> Check {
    let table = page.map_or(&ASCII_CLASSES, CodePage::classes);
    class_bit(content, eight_bit).map_or(Check::Nothing, |bit| Check::Table(table, bit))
}

/// Whether every byte has this bit in the table.
#[inline]
pub(super) fn all_have(bytes: &[u8], table: &[u8; 256], bit: u8) -> bool {
    bytes
        .iter()
        .fold(bit, |all, byte| all & table[usize::from(*byte)])
        != 0
}

/// Whether every byte is in the class, in ASCII or in the given code page.
#[inline]
pub(super) fn all_in_class(
    bytes: &[u8],
    content: Content,
    eight_bit: bool,
    page: Option<CodePage>,
) -> bool {
    match (content, page) {
        (Content::N, None) => all_digits(bytes),
        (Content::Ans, None) if !eight_bit => all_printable(bytes),
        (Content::Xn, _) => match bytes.split_first() {
            Some((sign, digits)) => {
                every(std::slice::from_ref(sign), SIGN, page) && every(digits, DIGIT, page)
            }
            None => false,
        },
        _ => class_bit(content, eight_bit).is_none_or(|bit| every(bytes, bit, page)),
    }
}

/// Whether every byte is an ASCII hexadecimal digit (or EBCDIC, in the given code page).
pub(super) fn all_hex(bytes: &[u8], page: Option<CodePage>) -> bool {
    every(bytes, HEX, page)
}

#[inline]
fn every(bytes: &[u8], bit: u8, page: Option<CodePage>) -> bool {
    let table = page.map_or(&ASCII_CLASSES, CodePage::classes);
    all_have(bytes, table, bit)
}

/// ASCII digits, eight at a time; the last, overlapping word covers the rest.
#[inline]
pub(super) fn all_digits(bytes: &[u8]) -> bool {
    eight_at_a_time(bytes, DIGIT, |word| {
        let high = word & 0xf0f0_f0f0_f0f0_f0f0;
        let carried = word.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0;
        (high ^ 0x3030_3030_3030_3030) | (carried ^ 0x3030_3030_3030_3030)
    })
}

/// Printable ASCII, 0x20 to 0x7e.
#[inline]
pub(super) fn all_printable(bytes: &[u8]) -> bool {
    eight_at_a_time(bytes, PRINTABLE, |word| {
        let top = 0x8080_8080_8080_8080_u64;
        let low = !((word | top).wrapping_sub(0x2020_2020_2020_2020));
        let high = word | (word & !top).wrapping_add(0x0101_0101_0101_0101);
        (low | high) & top
    })
}

/// Text in any single-byte extension of ASCII: no control characters.
#[inline]
pub(super) fn all_eight_bit(bytes: &[u8]) -> bool {
    eight_at_a_time(bytes, TEXT_8_BIT, |word| {
        let top = 0x8080_8080_8080_8080_u64;
        let low = !((word | top).wrapping_sub(0x2020_2020_2020_2020));
        let high = (word & !top).wrapping_add(0x0101_0101_0101_0101);
        (low | high) & !word & top
    })
}

/// `bad` gives a non-zero word when one of its eight bytes is outside the class.
#[inline]
fn eight_at_a_time(bytes: &[u8], bit: u8, bad: impl Fn(u64) -> u64) -> bool {
    if let Some(last) = bytes.last_chunk::<8>() {
        let mut found = bad(u64::from_le_bytes(*last));
        for chunk in bytes.as_chunks::<8>().0 {
            found |= bad(u64::from_le_bytes(*chunk));
        }
        return found == 0;
    }
    // Four to seven bytes: their first four and their last four make one word.
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        return bad(first | last << 32) == 0;
    }
    every(bytes, bit, None)
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Upper-case hexadecimal digits of a number, all eight at once.
#[inline]
pub(super) fn word_to_hex(word: u32) -> [u8; 8] {
    // Each nibble into a byte of its own, in their order.
    let mut nibbles = u64::from(word);
    nibbles = (nibbles << 16 | nibbles) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles << 8 | nibbles) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles << 4 | nibbles) & 0x0f0f_0f0f_0f0f_0f0f;
    // Those above nine carry into bit 4 when six is added.
    let letters = ((nibbles + 6 * ONES) >> 4) & ONES;
    (nibbles + u64::from(b'0') * ONES + 7 * letters).to_be_bytes()
}

/// The number that eight hexadecimal digits stand for, in either case.
#[inline]
pub(super) fn hex_to_word(digits: [u8; 8]) -> Option<u32> {
    let digits = u64::from_be_bytes(digits);
    // Of hexadecimal digits, letters have bit 6 and stand for nine more than their low nibble.
    let letters = (digits >> 6) & ONES;
    let nibbles = ((digits & 0x0f0f_0f0f_0f0f_0f0f) + 9 * letters) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (nibbles >> 4 | nibbles) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs >> 8 | pairs) & 0x0000_ffff_0000_ffff;
    let word = (fours >> 16 | fours) as u32;
    // Bytes that are no digits do not come back as they were, whatever they added up to.
    let upper = digits & !(letters << 5);
    (u64::from_be_bytes(word_to_hex(word)) == upper).then_some(word)
}

/// Whether every nibble is a decimal digit.
#[inline]
pub(super) fn all_bcd(bytes: &[u8]) -> bool {
    // A nibble is ten or more when its top bit is set together with one of the next two.
    let bad = |word: u64| word & ((word << 1) | (word << 2)) & 0x8888_8888_8888_8888;
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut found = 0;
    for chunk in chunks {
        found |= bad(u64::from_be_bytes(*chunk));
    }
    for byte in rest {
        found |= bad(u64::from(*byte));
    }
    found == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_checks_agree_with_the_tables_for_every_byte_at_every_place() {
        for byte in 0..=255_u8 {
            for length in 1..20 {
                for at in 0..length {
                    let mut digits = vec![b'7'; length];
                    digits[at] = byte;
                    assert_eq!(
                        all_digits(&digits),
                        byte.is_ascii_digit(),
                        "{byte:#x} {length}"
                    );
                    let mut text = vec![b'~'; length];
                    text[at] = byte;
                    assert_eq!(
                        all_printable(&text),
                        (0x20..0x7f).contains(&byte),
                        "{byte:#x}"
                    );
                    let eight_bit = byte >= 0x20 && byte != 0x7f;
                    assert_eq!(all_eight_bit(&text), eight_bit, "{byte:#x}");
                    let mut bcd = vec![0x99; length];
                    bcd[at] = byte;
                    assert_eq!(all_bcd(&bcd), byte >> 4 < 10 && byte & 15 < 10, "{byte:#x}");
                }
            }
        }
    }

    #[test]
    fn eight_hexadecimal_digits_at_once_are_what_they_are_one_by_one() {
        for word in [0, 0x0123_4567, 0x89ab_cdef, u32::MAX, 0x1000_0001] {
            let upper: [u8; 8] = format!("{word:08X}").into_bytes().try_into().unwrap();
            assert_eq!(word_to_hex(word), upper);
            assert_eq!(hex_to_word(upper), Some(word));
            assert_eq!(
                hex_to_word(upper.map(|digit| digit.to_ascii_lowercase())),
                Some(word)
            );
        }
        for byte in 0..=255_u8 {
            for at in 0..8 {
                for others in [b'0', b'9', b'A', b'f'] {
                    let mut digits = [others; 8];
                    digits[at] = byte;
                    let text = str::from_utf8(&digits).ok().filter(|_| byte != b'+');
                    let expected = text.and_then(|text| u32::from_str_radix(text, 16).ok());
                    assert_eq!(hex_to_word(digits), expected, "{byte:#x} at {at}");
                }
            }
        }
    }

    #[test]
    fn code_pages_differ_where_they_should() {
        let digits: Vec<u8> = (0xf0..=0xf9).collect();
        for page in [CodePage::Cp037, CodePage::Cp500, CodePage::Cp1047] {
            assert!(all_in_class(&digits, Content::N, false, Some(page)));
            for byte in 0..=255_u8 {
                let latin1 = page.to_latin1()[usize::from(byte)];
                assert_eq!(page.from_latin1()[usize::from(latin1)], byte);
            }
        }
        assert_eq!(CodePage::Cp037.from_latin1()[usize::from(b'[')], 0xba);
        assert_eq!(CodePage::Cp500.from_latin1()[usize::from(b'[')], 0x4a);
        assert_eq!(CodePage::Cp1047.from_latin1()[usize::from(b'[')], 0xad);
    }

    #[test]
    fn signed_amounts_need_a_sign() {
        assert!(all_in_class(b"D00000012", Content::Xn, false, None));
        assert!(!all_in_class(b"X00000012", Content::Xn, false, None));
        assert!(!all_in_class(b"000000012", Content::Xn, false, None));
    }
}
