//! Writes a message into a buffer that the caller reuses: MTI, bitmaps, then fields in ascending
//! order, each checked against its layout.

use bytes::{BufMut, BytesMut};

use super::{
    charset::{all_in_class, word_to_hex},
    dialect::{Dialect, Secondary},
    field::{Content, Encoding, Layout, Length, Pad},
    message::Message,
    mti::Mti,
    value::{self, put_binary, put_prefix, put_text},
};

/// Why a field cannot be written. Carries no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The dialect has no such field.
    #[error("DE{field} is not a field of this dialect")]
    UnknownField {
        /// Field number.
        field: u8,
    },
    /// Fields are written in ascending order, each once.
    #[error("DE{field} must be written before DE{after}")]
    NotAscending {
        /// Field number.
        field: u8,
        /// The field written last.
        after: u8,
    },
    /// Too long, too short, or without the padding that would make it fit.
    #[error("DE{field} takes {min} to {max} units, not {length}")]
    Length {
        /// Field number.
        field: u8,
        /// Length of the value given.
        length: usize,
        /// Shortest that the dialect allows.
        min: u16,
        /// Longest that the dialect allows.
        max: u16,
    },
    /// The field has no such part, or the part's value does not fit it.
    #[error("a part given for DE{field} is unknown or does not fit")]
    UnknownPart {
        /// Field number.
        field: u8,
    },
    /// A character outside the content class.
    #[error("DE{field} takes content {}", content.name())]
    Class {
        /// Field number.
        field: u8,
        /// The class.
        content: Content,
    },
}

/// Appends one message to a buffer. A message that is not finished is taken out of it again.
pub struct Encoder<'d, 'b> {
    dialect: &'d Dialect,
    out: &'b mut BytesMut,
    start: usize,
    bitmap_at: usize,
    bitmap: [u64; 3],
    bitmaps: usize,
    last: u8,
    finished: bool,
}

impl<'d, 'b> Encoder<'d, 'b> {
    /// Begins a message behind what the buffer holds.
    #[inline]
    pub fn new(dialect: &'d Dialect, out: &'b mut BytesMut, mti: Mti) -> Encoder<'d, 'b> {
        let start = out.len();
        out.reserve(256);
        match dialect.envelope.mti {
            Encoding::Bcd(_) => {
                let [a, b, c, d] = mti.digits().map(|digit| digit - b'0');
                out.put_slice(&[a << 4 | b, c << 4 | d]);
            }
            Encoding::Ebcdic(_) => out.put_slice(&mti.digits().map(|digit| digit - b'0' + 0xf0)),
            _ => out.put_slice(&mti.digits()),
        }
        let bitmap_at = out.len();
        let mut encoder = Encoder {
            dialect,
            out,
            start,
            bitmap_at,
            bitmap: [0; 3],
            bitmaps: 1,
            last: 1,
            finished: false,
        };
        encoder.out.put_bytes(0, encoder.bitmap_width());
        if dialect.envelope.secondary != Secondary::OnDemand {
            encoder.announce(1);
        }
        encoder
    }

    pub(super) fn dialect(&self) -> &'d Dialect {
        self.dialect
    }

    #[inline]
    fn bitmap_width(&self) -> usize {
        if self.dialect.envelope.bitmap == Encoding::Raw {
            8
        } else {
            16
        }
    }

    /// Makes room for the second or third bitmap in front of the fields written so far.
    fn announce(&mut self, word: usize) {
        let width = self.bitmap_width();
        let at = self.bitmap_at + width * word;
        let end = self.out.len();
        self.out.put_bytes(0, width);
        self.out.copy_within(at..end, at + width);
        if word > 1 || self.dialect.envelope.secondary != Secondary::AlwaysUnannounced {
            self.bitmap[word - 1] |= 1 << 63;
        }
        self.bitmaps += 1;
    }

    /// Marks the field as present, in order.
    #[inline]
    fn begin(&mut self, field: u8) -> Result<&'d Layout, EncodeError> {
        let layout = self
            .dialect
            .layout(field)
            .ok_or(EncodeError::UnknownField { field })?;
        if field <= self.last {
            return Err(EncodeError::NotAscending {
                field,
                after: self.last,
            });
        }
        Ok(layout)
    }

    #[inline]
    fn mark(&mut self, field: u8) {
        let word = usize::from(field - 1) / 64;
        self.announce_all(word);
        self.bitmap[word] |= bit_of(field);
        self.last = field;
    }

    /// Makes room for the bitmaps up to this one.
    #[inline]
    fn announce_all(&mut self, word: usize) {
        while self.bitmaps <= word {
            self.announce(self.bitmaps);
        }
    }

    /// Writes a value given as canonical text (see [`Message::text`]); fixed fields are padded as
    /// the dialect says. Binary fields take hexadecimal text here.
    #[inline]
    pub fn text(&mut self, field: u8, text: &str) -> Result<&mut Self, EncodeError> {
        let layout = self.begin(field)?;
        if layout.content == Content::B {
            return self.hex_text(field, text);
        }
        check_text(field, layout, text.as_bytes())?;
        self.mark(field);
        if layout.length != Length::Fixed {
            put_prefix(layout, text.len(), self.out);
        }
        put_text(layout, text.as_bytes(), self.out);
        Ok(self)
    }

    /// Writes a number: zero-padded in a fixed field, without leading zeros in a variable one.
    #[inline]
    pub fn digits(&mut self, field: u8, number: u64) -> Result<&mut Self, EncodeError> {
        let mut digits = [b'0'; DIGITS_MAX];
        let at = put_number(number, &mut digits);
        let layout = self.begin(field)?;
        if layout.content == Content::B {
            return Err(EncodeError::Class {
                field,
                content: layout.content,
            });
        }
        let digits = &digits[at..];
        check_text(field, layout, digits)?;
        self.mark(field);
        put_prefix(layout, digits.len(), self.out);
        put_text(layout, digits, self.out);
        Ok(self)
    }

    /// Writes a binary value. A text field takes its wire bytes, which are checked.
    pub fn bytes(&mut self, field: u8, value: &[u8]) -> Result<&mut Self, EncodeError> {
        let layout = self.begin(field)?;
        if layout.content != Content::B {
            return self.wire_bytes(field, layout, value);
        }
        check_length(field, layout, value.len())?;
        self.mark(field);
        put_prefix(layout, value.len(), self.out);
        put_binary(layout, value, self.out);
        Ok(self)
    }

    fn wire_bytes(
        &mut self,
        field: u8,
        layout: &Layout,
        wire: &[u8],
    ) -> Result<&mut Self, EncodeError> {
        let units = match layout.encoding {
            Encoding::Bcd(_) if layout.length == Length::Fixed => usize::from(layout.max),
            Encoding::Bcd(_) => wire.len() * 2,
            _ => wire.len(),
        };
        check_length(field, layout, units)?;
        let cut = value::Cut { wire, units };
        if layout.wire_length(units) != wire.len() || value::check(layout, cut).is_err() {
            return Err(EncodeError::Class {
                field,
                content: layout.content,
            });
        }
        self.mark(field);
        put_prefix(layout, units, self.out);
        self.out.put_slice(wire);
        Ok(self)
    }

    fn hex_text(&mut self, field: u8, text: &str) -> Result<&mut Self, EncodeError> {
        let layout = self.begin(field)?;
        let class = EncodeError::Class {
            field,
            content: Content::B,
        };
        let text = text.as_bytes();
        if !text.len().is_multiple_of(2) || !text.iter().all(u8::is_ascii_hexdigit) {
            return Err(class);
        }
        check_length(field, layout, text.len() / 2)?;
        self.mark(field);
        put_prefix(layout, text.len() / 2, self.out);
        for pair in text.as_chunks::<2>().0 {
            // Checked above: both are hexadecimal digits.
            let [high, low] = pair.map(|digit| value::hex_value(digit, None).unwrap_or(0));
            put_binary(layout, &[high << 4 | low], self.out);
        }
        Ok(self)
    }

    /// Copies a field from a message of the same dialect; `false` when it is not there.
    #[inline]
    pub fn mirror(&mut self, request: &Message<'_>, field: u8) -> Result<bool, EncodeError> {
        debug_assert_eq!(request.dialect().name(), self.dialect.name());
        self.begin(field)?;
        let Some(range) = request.range(field) else {
            return Ok(false);
        };
        self.mark(field);
        self.out.put_slice(&request.wire()[range]);
        Ok(true)
    }

    /// Copies those of the fields that the message has, ascending; neighbours in one piece.
    #[inline]
    pub fn mirror_all(
        &mut self,
        request: &Message<'_>,
        fields: &[u8],
    ) -> Result<&mut Self, EncodeError> {
        debug_assert_eq!(request.dialect().name(), self.dialect.name());
        let (mut wanted, mut last) = ([0; 3], self.last);
        for field in fields.iter().copied() {
            if field <= last {
                return Err(EncodeError::NotAscending { field, after: last });
            }
            last = field;
            // A field that the dialect does not know cannot be in a message of that dialect.
            if let Some(word) = wanted.get_mut(usize::from(field - 1) / 64) {
                *word |= bit_of(field);
            }
        }
        for (word, (wanted, there)) in wanted.iter().zip(request.bitmap()).enumerate() {
            let present = wanted & there;
            if present != 0 {
                self.announce_all(word);
                self.bitmap[word] |= present;
                self.last = (word as u32 * 64 + 64 - present.trailing_zeros()) as u8;
            }
        }
        for run in request.runs(wanted) {
            self.out.put_slice(&request.wire()[run]);
        }
        Ok(self)
    }

    /// Writes the bitmaps; gives the length of the message.
    #[inline]
    pub fn finish(mut self) -> usize {
        let encoding = self.dialect.envelope.bitmap;
        let mut at = self.bitmap_at;
        for word in 0..self.bitmaps {
            at += put_bitmap(encoding, self.bitmap[word], &mut self.out[at..]);
        }
        self.finished = true;
        self.out.len() - self.start
    }
}

impl Drop for Encoder<'_, '_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// The bit of a field in its word of the bitmap.
#[inline]
const fn bit_of(field: u8) -> u64 {
    1 << (63 - (field - 1) % 64)
}

#[inline]
fn put_bitmap(encoding: Encoding, word: u64, out: &mut [u8]) -> usize {
    if encoding == Encoding::Raw {
        out[..8].copy_from_slice(&word.to_be_bytes());
        return 8;
    }
    out[..8].copy_from_slice(&word_to_hex((word >> 32) as u32));
    out[8..16].copy_from_slice(&word_to_hex(word as u32));
    if let Encoding::EbcdicHex(page) = encoding {
        for digit in &mut out[..16] {
            *digit = page.from_latin1()[usize::from(*digit)];
        }
    }
    16
}

/// Decimal digits of the largest number.
pub(super) const DIGITS_MAX: usize = 20;

/// Writes a number into the end of the digits; gives where it begins. Zero is one digit.
#[inline]
pub(super) fn put_number(number: u64, digits: &mut [u8; DIGITS_MAX]) -> usize {
    let (mut left, mut at) = (number, DIGITS_MAX);
    while left > 0 || at == DIGITS_MAX {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    at
}

#[inline]
pub(super) fn check_text(field: u8, layout: &Layout, text: &[u8]) -> Result<(), EncodeError> {
    check_length(field, layout, text.len())?;
    // Text given to the encoder is ASCII, whatever the encoding on the wire.
    let fine = match layout.content {
        Content::Z => text
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'=' | b'A'..=b'F')),
        content => all_in_class(text, content, false, None),
    };
    match fine {
        true => Ok(()),
        false => Err(EncodeError::Class {
            field,
            content: layout.content,
        }),
    }
}

#[inline]
fn check_length(field: u8, layout: &Layout, length: usize) -> Result<(), EncodeError> {
    // A fixed field with padding may be given short, but not empty of meaning: zero is a value.
    let min = match layout.pad {
        Pad::None => layout.min,
        _ => 0,
    };
    if length < usize::from(min) || length > usize::from(layout.max) {
        return Err(EncodeError::Length {
            field,
            length,
            min: layout.min,
            max: layout.max,
        });
    }
    Ok(())
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
