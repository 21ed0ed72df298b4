//! Elements of tag, length and value, cut from bytes without copying.

use arrayvec::ArrayString;
use bytes::{BufMut, BytesMut};
use nom::{IResult, bytes::complete::take};

use super::{
    structure::Width,
    value::{hex_digit, prefix_number},
};
use crate::iso8583::field::PrefixEncoding;

/// A tag as text: characters as they are, binary as upper-case hexadecimal digits.
pub type Tag = ArrayString<16>;

/// Bytes that are no TLV elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {what} at offset {offset} of the elements")]
pub struct TlvError {
    /// Offset in the bytes given.
    pub offset: usize,
    /// What should have stood there.
    pub what: &'static str,
}

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its value.
    pub value: &'a [u8],
    /// BER: the value is made of elements itself.
    pub constructed: bool,
}

/// Elements with fixed widths of tag and length.
#[derive(Clone, Debug)]
pub struct TlvElements<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
    tag: Width,
    length: Width,
}

impl<'a> TlvElements<'a> {
    /// Elements of these bytes.
    pub fn new(bytes: &'a [u8], tag: Width, length: Width) -> TlvElements<'a> {
        TlvElements {
            bytes,
            rest: bytes,
            tag,
            length,
        }
    }

    fn element(&mut self) -> Result<Element<'a>, TlvError> {
        let offset = self.bytes.len() - self.rest.len();
        let missing = |what| TlvError { offset, what };
        let (rest, tag) = cut(self.rest, self.tag.bytes()).ok_or(missing("complete tag"))?;
        let (rest, length) = cut(rest, self.length.bytes()).ok_or(missing("complete length"))?;
        let tag = tag_text(self.tag, tag).ok_or(missing("printable tag"))?;
        let length = number(self.length, length).ok_or(missing("length"))?;
        let (rest, value) = cut(rest, length).ok_or(missing("value as long as its length says"))?;
        self.rest = rest;
        Ok(Element {
            tag,
            value,
            constructed: false,
        })
    }
}

impl<'a> Iterator for TlvElements<'a> {
    type Item = Result<Element<'a>, TlvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

/// BER-TLV elements as EMV restricts them (EMV Book 3 annex B): tags of up to four bytes, definite
/// lengths. Bytes 00 between elements are padding.
#[derive(Clone, Debug)]
pub struct BerElements<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> BerElements<'a> {
    /// Elements of these bytes.
    pub fn new(bytes: &'a [u8]) -> BerElements<'a> {
        BerElements { bytes, rest: bytes }
    }

    fn element(&mut self) -> Result<Element<'a>, TlvError> {
        let offset = self.bytes.len() - self.rest.len();
        let missing = |what| TlvError { offset, what };
        let (rest, tag) = ber_tag(self.rest).ok_or(missing("BER tag of one to four bytes"))?;
        let (rest, length) = ber_length(rest).ok_or(missing("definite BER length"))?;
        let (rest, value) = cut(rest, length).ok_or(missing("value as long as its length says"))?;
        self.rest = rest;
        Ok(Element {
            tag: hex_text(tag),
            value,
            constructed: tag[0] & 0x20 != 0,
        })
    }
}

impl<'a> Iterator for BerElements<'a> {
    type Item = Result<Element<'a>, TlvError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

fn cut(input: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let taken: IResult<&[u8], &[u8], ()> = take(length)(input);
    taken.ok()
}

fn ber_tag(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let more = match input.first()? & 0x1f {
        0x1f => {
            1 + input[1..]
                .iter()
                .take(3)
                .position(|byte| byte & 0x80 == 0)?
        }
        _ => 0,
    };
    cut(input, 1 + more)
}

fn ber_length(input: &[u8]) -> Option<(&[u8], usize)> {
    match input.split_first()? {
        (short @ 0..=0x7f, rest) => Some((rest, usize::from(*short))),
        (long @ 0x81..=0x83, rest) => {
            let (rest, bytes) = cut(rest, usize::from(long & 0x7f))?;
            Some((
                rest,
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            ))
        }
        _ => None,
    }
}

fn hex_text(bytes: &[u8]) -> Tag {
    let mut text = Tag::new();
    for byte in bytes.iter().take(text.capacity() / 2) {
        text.push(hex_digit(byte >> 4) as char);
        text.push(hex_digit(byte & 15) as char);
    }
    text
}

fn tag_text(width: Width, wire: &[u8]) -> Option<Tag> {
    let mut text = Tag::new();
    match width {
        Width::Binary(_) | Width::Bcd(_) => return Some(hex_text(wire)),
        Width::Ascii(_) => wire.iter().for_each(|byte| text.push(*byte as char)),
        Width::Ebcdic(_, page) => {
            wire.iter()
                .for_each(|byte| text.push(page.to_latin1()[usize::from(*byte)] as char));
        }
    }
    text.bytes()
        .all(|byte| (0x20..0x7f).contains(&byte))
        .then_some(text)
}

fn number(width: Width, wire: &[u8]) -> Option<usize> {
    let encoding = match width {
        Width::Ascii(_) => PrefixEncoding::Ascii,
        Width::Ebcdic(..) => PrefixEncoding::Ebcdic,
        Width::Binary(_) => PrefixEncoding::Binary,
        Width::Bcd(_) => PrefixEncoding::Bcd,
    };
    prefix_number(encoding, wire)
}

/// Writes a tag or length; `None` when it does not fit its width.
pub(super) fn put_tag(width: Width, tag: &str, out: &mut BytesMut) -> Option<()> {
    match width {
        Width::Ascii(bytes) => (tag.len() == bytes).then(|| out.put_slice(tag.as_bytes())),
        Width::Ebcdic(bytes, page) => (tag.len() == bytes && tag.is_ascii()).then(|| {
            tag.bytes()
                .for_each(|byte| out.put_u8(page.from_latin1()[usize::from(byte)]));
        }),
        Width::Binary(bytes) | Width::Bcd(bytes) => {
            if tag.len() != bytes * 2 {
                return None;
            }
            put_hex(tag, out)
        }
    }
}

/// Writes the bytes of hexadecimal digits.
pub(super) fn put_hex(digits: &str, out: &mut BytesMut) -> Option<()> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    for pair in digits.as_bytes().as_chunks::<2>().0 {
        let [high, low] = pair.map(|digit| (digit as char).to_digit(16));
        out.put_u8((high? << 4 | low?) as u8);
    }
    Some(())
}

/// Writes a length; `None` when it does not fit its width.
pub(super) fn put_length(width: Width, length: usize, out: &mut BytesMut) -> Option<()> {
    let radix = match width {
        Width::Ascii(_) | Width::Ebcdic(..) => 10_usize,
        Width::Bcd(_) => 100,
        Width::Binary(_) => 256,
    };
    if length >= radix.checked_pow(width.bytes() as u32)? {
        return None;
    }
    for place in (0..width.bytes() as u32).rev() {
        let digit = (length / radix.pow(place) % radix) as u8;
        out.put_u8(match width {
            Width::Ascii(_) => b'0' + digit,
            Width::Ebcdic(..) => 0xf0 + digit,
            Width::Bcd(_) => ((digit / 10) << 4) | (digit % 10),
            Width::Binary(_) => digit,
        });
    }
    Some(())
}

/// Writes a BER length.
pub(super) fn put_ber_length(length: usize, out: &mut BytesMut) {
    match length {
        0..=0x7f => out.put_u8(length as u8),
        0x80..=0xff => out.put_slice(&[0x81, length as u8]),
        _ => out.put_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ber(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let elements = BerElements::new(bytes).map(Result::unwrap);
        elements
            .map(|element| (element.tag.to_string(), element.value.to_vec()))
            .collect()
    }

    #[test]
    fn ber_tags_and_lengths_may_take_several_bytes() {
        let mut bytes = vec![0x9f, 0x02, 6, 0, 0, 0, 0, 0x12, 0, 0x82, 2, 0x1c, 0];
        bytes.extend([0, 0, 0xdf, 0x81, 0x01, 0x81, 200]);
        bytes.extend([7; 200]);
        let found = ber(&bytes);
        assert_eq!(found[0], ("9F02".to_owned(), vec![0, 0, 0, 0, 0x12, 0]));
        assert_eq!(found[1], ("82".to_owned(), vec![0x1c, 0]));
        assert_eq!(found[2], ("DF8101".to_owned(), vec![7; 200]));
    }

    #[test]
    fn what_is_no_element_is_an_error_and_ends_the_walk() {
        for bytes in [
            &[0x9f][..],
            &[0x82],
            &[0x82, 2, 1],
            &[0x82, 0x80, 0, 0],
            &[0x9f, 0x80, 0x80, 0x80, 1],
        ] {
            let all: Vec<_> = BerElements::new(bytes).collect();
            assert!(matches!(all[..], [Err(_)]), "{bytes:x?}");
        }
        let all: Vec<_> = TlvElements::new(b"9203", Width::Ascii(2), Width::Ascii(2)).collect();
        assert_eq!(
            all[0].as_ref().unwrap_err().to_string(),
            "no value as long as its length says at offset 0 of the elements"
        );
    }

    #[test]
    fn tags_and_lengths_have_any_width() {
        let element = |bytes: &'static [u8], tag, length| {
            let mut all = TlvElements::new(bytes, tag, length).map(Result::unwrap);
            let element = all.next().unwrap();
            assert!(all.next().is_none());
            (element.tag.to_string(), element.value)
        };
        let table = [
            (
                element(b"0092003123", Width::Ascii(4), Width::Ascii(3)),
                "0092",
                &b"123"[..],
            ),
            (
                element(
                    &[0x01, 0x00, 0x02, 9, 8],
                    Width::Binary(1),
                    Width::Binary(2),
                ),
                "01",
                &[9, 8],
            ),
            (
                element(
                    &[0xf9, 0xf2, 0xf0, 0xf1, 0xc1],
                    Width::Ebcdic(2, super::super::charset::CodePage::Cp037),
                    Width::Ebcdic(2, super::super::charset::CodePage::Cp037),
                ),
                "92",
                &[0xc1],
            ),
            (
                element(&[0x12, 0x34, 0x01, 7], Width::Bcd(2), Width::Bcd(1)),
                "1234",
                &[7],
            ),
        ];
        for ((tag, value), expected_tag, expected) in table {
            assert_eq!((tag.as_str(), value), (expected_tag, expected));
        }
    }
}
