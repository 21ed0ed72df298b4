//! A borrowed view on one unframed message: where its fields stand. Nothing is copied or allocated;
//! values are decoded when asked for.

use std::ops::Range;

use arrayvec::{ArrayString, ArrayVec};

use super::{
    charset::{CodePage, hex_to_word},
    dialect::{Dialect, MAX_FIELD, Secondary},
    field::{Content, Encoding, FieldSpec, Filler, Layout},
    mti::Mti,
    parse_error::{error, explain},
    value::{self, Cut, hex_value},
};

pub use super::parse_error::{AFTER_LAST_FIELD, Expected, ParseError};

/// The bit of the first field of a word of a bitmap.
const FIRST: u64 = 1 << 63;

/// A parsed message that borrows its bytes and its dialect.
#[derive(Clone)]
pub struct Message<'a> {
    dialect: &'a Dialect,
    bytes: &'a [u8],
    mti: Mti,
    /// Fields present, the most significant bit of the first word being field 1.
    bitmap: [u64; 3],
    /// Fields that were cut: those present, and in a [`Partial`] also those with wrong characters, because
    /// the field before them ends where they begin.
    placed: [u64; 3],
    /// Where each placed field begins, with its length prefix. It ends where the next one begins: half the
    /// memory to clear and to move. Messages longer than 65,535 bytes are refused.
    offsets: [u16; MAX_FIELD as usize + 1],
    /// Where the last placed field ends.
    end: u16,
}

/// As much of a message as could be parsed.
pub struct Partial<'a> {
    /// The fields up to the error; after an error inside a value also the fields behind it. Before
    /// the bitmap was read it has no field, and before the MTI was read its MTI is 0000.
    pub message: Message<'a>,
    /// The first error.
    pub error: Option<ParseError>,
}

/// One field of a message.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// Field number.
    pub number: u8,
    /// What the dialect says about it.
    pub spec: &'a FieldSpec,
    /// Its value on the wire, without the length prefix.
    pub raw: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses one unframed message, all of it.
    #[inline]
    pub fn parse(dialect: &'a Dialect, bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
        let mut message = Message::empty(dialect, bytes);
        message.read::<true>(None)?;
        Ok(message)
    }

    /// Parses bytes that [`parse`](Self::parse) has taken before, with the same dialect: the characters of
    /// values are not checked again. Of other bytes it may give values with wrong characters, no more:
    /// lengths are held against the bytes as ever.
    #[inline]
    pub fn parse_again(dialect: &'a Dialect, bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
        let mut message = Message::empty(dialect, bytes);
        message.read::<false>(None)?;
        Ok(message)
    }

    /// Parses as much as can be parsed. A value with wrong characters is left out, and parsing goes
    /// on behind it, as it does behind an MTI of another version; where lengths no longer hold, it
    /// stops.
    pub fn parse_partial(dialect: &'a Dialect, bytes: &'a [u8]) -> Partial<'a> {
        let mut message = Message::empty(dialect, bytes);
        let mut first = None;
        let last = message.read::<true>(Some(&mut first)).err();
        let error = match last {
            // What was wrong before says less than that there are no fields at all.
            Some(last) if last.is_garbage() => Some(last),
            last => first.or(last),
        };
        Partial { message, error }
    }

    #[inline]
    fn empty(dialect: &'a Dialect, bytes: &'a [u8]) -> Message<'a> {
        Message {
            dialect,
            bytes,
            mti: Mti::new(0),
            bitmap: [0; 3],
            placed: [0; 3],
            offsets: [0; MAX_FIELD as usize + 1],
            end: 0,
        }
    }

    /// Reads everything, and checks the characters of values if `CHECKED`; with `tolerated`, goes on behind
    /// a value that fails its check.
    #[inline(always)]
    fn read<const CHECKED: bool>(
        &mut self,
        mut tolerated: Option<&mut Option<ParseError>>,
    ) -> Result<(), ParseError> {
        let (dialect, bytes) = (self.dialect, self.bytes);
        if bytes.len() > usize::from(u16::MAX) {
            return Err(error(0, 0, Expected::ShorterMessage, bytes));
        }
        let mut rest = self.read_mti()?;
        let version = dialect.envelope.version;
        if self.mti.version() != version {
            let wire = &bytes[..bytes.len() - rest.len()];
            let error = error(0, 0, Expected::Version(version), wire);
            match &mut tolerated {
                None => return Err(error),
                Some(first) => **first = Some(error),
            }
        }
        let announced;
        (rest, announced) = read_bitmaps(dialect, bytes, rest)?;
        for (word, mut bits) in announced.into_iter().enumerate() {
            while bits != 0 {
                let bit = bits.leading_zeros();
                let mask = FIRST >> bit;
                bits ^= mask;
                let number = (word as u32 * 64 + bit + 1) as u8;
                let offset = bytes.len() - rest.len();
                let Some(layout) = dialect.layout(number) else {
                    return Err(error(number, offset, Expected::KnownField, rest));
                };
                let (after, cut) = value::cut(layout, rest)
                    .map_err(|fault| explain(number, offset, layout, fault, rest))?;
                rest = after;
                self.placed[word] |= mask;
                self.offsets[usize::from(number)] = offset as u16;
                self.end = (bytes.len() - rest.len()) as u16;
                if CHECKED && let Err(fault) = value::check(layout, cut) {
                    let error = explain(number, offset, layout, fault, cut.wire);
                    match &mut tolerated {
                        None => return Err(error),
                        Some(first) => {
                            first.get_or_insert(error);
                            continue;
                        }
                    }
                }
                self.bitmap[word] |= mask;
            }
        }
        match rest {
            [] => Ok(()),
            _ => {
                let offset = bytes.len() - rest.len();
                Err(error(
                    AFTER_LAST_FIELD,
                    offset,
                    Expected::EndOfMessage,
                    rest,
                ))
            }
        }
    }

    #[inline]
    fn read_mti(&mut self) -> Result<&'a [u8], ParseError> {
        let bytes = self.bytes;
        let width = match self.dialect.envelope.mti {
            Encoding::Bcd(_) => 2,
            _ => 4,
        };
        let Some((wire, rest)) = bytes.split_at_checked(width) else {
            return Err(error(0, 0, Expected::Bytes(width, bytes.len()), bytes));
        };
        let digits = match self.dialect.envelope.mti {
            Encoding::Bcd(_) => [wire[0] >> 4, wire[0] & 15, wire[1] >> 4, wire[1] & 15],
            Encoding::Ebcdic(_) => std::array::from_fn(|at| wire[at].wrapping_sub(0xf0)),
            _ => std::array::from_fn(|at| wire[at].wrapping_sub(b'0')),
        };
        if digits.iter().any(|digit| *digit > 9) {
            return Err(error(0, 0, Expected::MtiDigits, wire));
        }
        let number = digits
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(*digit));
        self.mti = Mti::new(number);
        Ok(rest)
    }

    /// Message type indicator.
    pub fn mti(&self) -> Mti {
        self.mti
    }

    /// The dialect it was parsed with.
    pub fn dialect(&self) -> &'a Dialect {
        self.dialect
    }

    /// The whole message as it came.
    pub fn wire(&self) -> &'a [u8] {
        self.bytes
    }

    /// Fields present, field 1 the most significant bit of the first word. The bits that announce
    /// further bitmaps (1 and 65) are not set.
    pub fn bitmap(&self) -> [u64; 3] {
        self.bitmap
    }

    /// Whether the field is there.
    #[inline]
    pub fn has(&self, number: u8) -> bool {
        let bit = u32::from(number.wrapping_sub(1));
        bit < u32::from(MAX_FIELD) && self.bitmap[bit as usize / 64] << (bit % 64) >> 63 == 1
    }

    /// The value as it stands on the wire, without its length prefix.
    #[inline]
    pub fn raw(&self, number: u8) -> Option<&'a [u8]> {
        let range = self.range(number)?;
        let prefix = self.dialect.layout(number)?.plan.prefix;
        self.bytes.get(range)?.get(usize::from(prefix)..)
    }

    /// Where prefix and value stand on the wire.
    #[inline]
    pub(super) fn range(&self, number: u8) -> Option<Range<usize>> {
        self.has(number).then(|| {
            let start = usize::from(self.offsets[usize::from(number)]);
            start..usize::from(self.end_of(number))
        })
    }

    /// Where a placed field ends: where the next placed one begins.
    #[inline]
    fn end_of(&self, number: u8) -> u16 {
        // Fields up to `number` are shifted out; of word 3, behind field 192, there is nothing.
        let (mut word, passed) = (usize::from(number) / 64, number % 64);
        let mut bits = self
            .placed
            .get(word)
            .map_or(0, |bits| bits << passed >> passed);
        while bits == 0 {
            word += 1;
            match self.placed.get(word) {
                Some(more) => bits = *more,
                None => return self.end,
            }
        }
        self.offsets[word * 64 + bits.leading_zeros() as usize + 1]
    }

    /// Where the present ones of the wanted fields stand, ascending; neighbours of one word in one piece.
    #[inline]
    pub(super) fn runs(&self, wanted: [u64; 3]) -> impl Iterator<Item = Range<usize>> {
        let (mut word, mut left) = (0, wanted[0] & self.bitmap[0]);
        std::iter::from_fn(move || {
            while left == 0 {
                word += 1;
                left = wanted.get(word)? & self.bitmap[word];
            }
            let first = left.leading_zeros();
            // The run ends before the next placed field that is not to be copied.
            let others = self.placed[word] & !left & (u64::MAX >> first);
            let stop = others.leading_zeros();
            left &= u64::MAX.checked_shr(stop).unwrap_or(0);
            let numbers = word * 64 + 1;
            let start = self.offsets[numbers + first as usize];
            let end = match stop {
                64 => self.end_of(word as u8 * 64 + 64),
                stop => self.offsets[numbers + stop as usize],
            };
            Some(usize::from(start)..usize::from(end))
        })
    }

    #[inline(always)]
    fn cut(&self, number: u8) -> Option<(&'a Layout, Cut<'a>)> {
        if !self.has(number) {
            return None;
        }
        let layout = self.dialect.layout(number)?;
        let offset = usize::from(self.offsets[usize::from(number)]);
        // It was cut there before, so it can be cut again.
        let (_, cut) = value::cut(layout, self.bytes.get(offset..)?).ok()?;
        Some((layout, cut))
    }

    pub(super) fn spec_and_cut(&self, number: u8) -> Option<(&'a FieldSpec, Cut<'a>)> {
        let (_, cut) = self.cut(number)?;
        Some((self.dialect.field(number)?, cut))
    }

    /// The value as canonical text: ASCII whatever the encoding, padding spaces removed, binary as
    /// upper-case hexadecimal, the track separator as `=`. `None` when absent or longer than `N`.
    #[inline]
    pub fn text<const N: usize>(&self, number: u8) -> Option<ArrayString<N>> {
        let (layout, cut) = self.cut(number)?;
        text_of(layout, cut)
    }

    /// The number of a numeric field; `None` when absent, empty, not numeric, or above `u64`.
    #[inline]
    pub fn digits(&self, number: u8) -> Option<u64> {
        let (layout, cut) = self.cut(number)?;
        digits_of(layout, cut)
    }

    /// A binary value, decoded from hexadecimal text where the dialect has that; of any other field
    /// its wire bytes. `None` when absent or longer than `N`.
    pub fn bytes<const N: usize>(&self, number: u8) -> Option<ArrayVec<u8, N>> {
        let (layout, cut) = self.cut(number)?;
        let mut bytes = ArrayVec::new();
        let mut fits = true;
        value::binary(layout, cut, |byte| fits &= bytes.try_push(byte).is_ok());
        fits.then_some(bytes)
    }

    /// The fields present, ascending.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + '_ {
        (2..=MAX_FIELD).filter_map(|number| {
            let (_, cut) = self.cut(number)?;
            Some(Field {
                number,
                spec: self.dialect.field(number)?,
                raw: cut.wire,
            })
        })
    }
}

#[inline]
pub(super) fn text_of<const N: usize>(layout: &Layout, cut: Cut<'_>) -> Option<ArrayString<N>> {
    // ASCII without anything to change is copied whole; its class was checked on parsing.
    if layout.encoding == Encoding::Ascii && !layout.eight_bit && layout.content != Content::Z {
        let text = str::from_utf8(value::without_padding(layout, cut.wire)).ok()?;
        return ArrayString::from(text).ok();
    }
    let mut text = ArrayVec::<u8, N>::new();
    let mut fits = true;
    value::characters(layout, cut, |byte| fits &= text.try_push(byte).is_ok());
    let text = str::from_utf8(&text).ok().filter(|_| fits)?;
    ArrayString::from(text).ok()
}

#[inline]
pub(super) fn digits_of(layout: &Layout, cut: Cut<'_>) -> Option<u64> {
    let wire = cut.wire;
    // Parsing has checked that these are digits; so many cannot overflow.
    match (layout.content, layout.encoding) {
        (Content::N, Encoding::Ascii) if (1..=19).contains(&wire.len()) => {
            return Some(
                wire.iter()
                    .fold(0, |sum, byte| sum * 10 + u64::from(byte & 15)),
            );
        }
        (Content::N, Encoding::Bcd(Filler::LeftZero)) if (1..=9).contains(&wire.len()) => {
            let pair = |byte: &u8| u64::from(byte >> 4) * 10 + u64::from(byte & 15);
            return Some(wire.iter().fold(0, |sum, byte| sum * 100 + pair(byte)));
        }
        (Content::B, _) => return None,
        _ => {}
    }
    let mut number = (cut.units > 0).then_some(0_u64);
    value::characters(layout, cut, |byte| {
        let digit = byte.wrapping_sub(b'0');
        number = number
            .filter(|_| digit < 10)
            .and_then(|number| number.checked_mul(10)?.checked_add(u64::from(digit)));
    });
    number
}

/// Reads as many bitmaps as announce each other.
#[inline]
fn read_bitmaps<'a>(
    dialect: &Dialect,
    bytes: &[u8],
    input: &'a [u8],
) -> Result<(&'a [u8], [u64; 3]), ParseError> {
    let envelope = dialect.envelope;
    let (mut rest, mut bitmap) = (input, [0_u64; 3]);
    (rest, bitmap[0]) = read_bitmap(envelope.bitmap, bytes, rest)?;
    let second = bitmap[0] >> 63 == 1;
    if second || envelope.secondary != Secondary::OnDemand {
        bitmap[0] &= !(1 << 63);
        (rest, bitmap[1]) = read_bitmap(envelope.bitmap, bytes, rest)?;
        if envelope.tertiary && bitmap[1] >> 63 == 1 {
            bitmap[1] &= !(1 << 63);
            (rest, bitmap[2]) = read_bitmap(envelope.bitmap, bytes, rest)?;
        }
    }
    Ok((rest, bitmap))
}

#[inline]
fn read_bitmap<'a>(
    encoding: Encoding,
    bytes: &[u8],
    input: &'a [u8],
) -> Result<(&'a [u8], u64), ParseError> {
    let offset = bytes.len() - input.len();
    let short = |width| error(1, offset, Expected::Bytes(width, input.len()), input);
    if encoding == Encoding::Raw {
        let (wire, rest) = input.split_first_chunk::<8>().ok_or_else(|| short(8))?;
        return Ok((rest, u64::from_be_bytes(*wire)));
    }
    let (wire, rest) = input.split_first_chunk::<16>().ok_or_else(|| short(16))?;
    let page = match encoding {
        Encoding::EbcdicHex(page) => Some(page),
        _ => None,
    };
    match hex_word(wire, page) {
        Some(word) => Ok((rest, word)),
        None => Err(error(1, offset, Expected::BitmapDigits, wire)),
    }
}

#[inline]
fn hex_word(wire: &[u8; 16], page: Option<CodePage>) -> Option<u64> {
    if page.is_some() {
        return wire.iter().try_fold(0, |word, byte| {
            Some(word << 4 | u64::from(hex_value(*byte, page)?))
        });
    }
    let half = |at: usize| Some(u64::from(hex_to_word(*wire[at..].first_chunk()?)?));
    Some(half(0)? << 32 | half(8)?)
}

#[cfg(test)]
#[path = "message_tests.rs"]
pub(super) mod tests;
