//! One field of a finished message, written anew in place: for those who send messages of one shape again
//! and again. Only a value of the same length can take the place of another.

use super::{
    dialect::Dialect,
    encode::{DIGITS_MAX, EncodeError, check_text, put_number},
    field::{Content, Layout, Length},
    message::Message,
    value::put_text,
};

/// Where a field stands in messages of one shape. Small, because senders keep many.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    field: u8,
    /// Digits, characters, or bytes of a binary value.
    units: u16,
    /// Where the value begins, behind its length prefix, and its bytes.
    start: u16,
    length: u16,
}

impl Patch {
    /// Of a field of this message and all that differ from it in values only; `None` when it is absent.
    pub fn of(message: &Message<'_>, field: u8) -> Option<Patch> {
        let (_, cut) = message.spec_and_cut(field)?;
        let end = message.range(field)?.end;
        // No message is longer than 65,535 bytes.
        Some(Patch {
            field,
            units: cut.units as u16,
            start: (end - cut.wire.len()) as u16,
            length: cut.wire.len() as u16,
        })
    }

    /// Writes a number, with zeros before it where it is shorter than the value that stands there.
    #[inline]
    pub fn digits(
        &self,
        dialect: &Dialect,
        message: &mut [u8],
        number: u64,
    ) -> Result<(), EncodeError> {
        let mut digits = [b'0'; DIGITS_MAX];
        let first = put_number(number, &mut digits);
        let from = DIGITS_MAX
            .checked_sub(usize::from(self.units))
            .filter(|from| *from <= first)
            .ok_or_else(|| self.wrong_length(DIGITS_MAX - first))?;
        self.text(dialect, message, &digits[from..])
    }

    /// Writes canonical ASCII text, padded where the field is a fixed one.
    #[inline]
    pub fn text(
        &self,
        dialect: &Dialect,
        message: &mut [u8],
        text: &[u8],
    ) -> Result<(), EncodeError> {
        let field = self.field;
        let unknown = EncodeError::UnknownField { field };
        let layout: &Layout = dialect.layout(field).ok_or(unknown)?;
        if layout.content == Content::B {
            let content = layout.content;
            return Err(EncodeError::Class { field, content });
        }
        if layout.length != Length::Fixed && text.len() != usize::from(self.units) {
            return Err(self.wrong_length(text.len()));
        }
        check_text(field, layout, text)?;
        put_text(layout, text, &mut self.place(message)?);
        Ok(())
    }

    /// Writes a value that stands as on the wire, from another message of the dialect.
    #[inline]
    pub fn wire(&self, message: &mut [u8], value: &[u8]) -> Result<(), EncodeError> {
        let place = self.place(message)?;
        if place.len() != value.len() {
            return Err(self.wrong_length(value.len()));
        }
        place.copy_from_slice(value);
        Ok(())
    }

    #[inline]
    fn place<'m>(&self, message: &'m mut [u8]) -> Result<&'m mut [u8], EncodeError> {
        let (start, length) = (usize::from(self.start), message.len());
        message
            .get_mut(start..start + usize::from(self.length))
            .ok_or_else(|| self.wrong_length(length))
    }

    #[cold]
    fn wrong_length(&self, length: usize) -> EncodeError {
        EncodeError::Length {
            field: self.field,
            length,
            min: self.units,
            max: self.units,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::iso8583::{Dialect, Encoder, Mti};

    /// (PAN, amount, STAN, RRN)
    type Values = (&'static str, u64, u64, &'static str);

    fn message(dialect: &Dialect, (pan, amount, stan, rrn): Values) -> BytesMut {
        let mut out = BytesMut::new();
        let mti = Mti::new(u16::from(dialect.version()) * 1000 + 100);
        let mut encoder = Encoder::new(dialect, &mut out, mti);
        encoder.text(2, pan).unwrap().digits(4, amount).unwrap();
        encoder.digits(11, stan).unwrap().text(37, rrn).unwrap();
        encoder.text(41, "TERM0001").unwrap();
        encoder.finish();
        out
    }

    #[test]
    fn a_patched_message_is_the_one_that_encoding_gives() {
        let old = ("4111111111111111", 999_999_999_999, 1, "000000000001");
        for new in [
            ("4761739001010119", 0, 999_999, "123456789012"),
            ("5555555555554444", 1_200, 7, "000000000000"),
        ] {
            for name in Dialect::builtin_names() {
                let dialect = Dialect::builtin(name).unwrap();
                let mut bytes = message(&dialect, old);
                let parsed = Message::parse(&dialect, &bytes).unwrap();
                let [pan, amount, stan, rrn] =
                    [2, 4, 11, 37].map(|field| Patch::of(&parsed, field).unwrap());
                let wanted = message(&dialect, new);
                let other = Message::parse(&dialect, &wanted).unwrap();
                pan.wire(&mut bytes, other.raw(2).unwrap()).unwrap();
                amount.digits(&dialect, &mut bytes, new.1).unwrap();
                stan.digits(&dialect, &mut bytes, new.2).unwrap();
                rrn.text(&dialect, &mut bytes, new.3.as_bytes()).unwrap();
                assert_eq!(bytes, wanted, "{name}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let dialect = Dialect::builtin("visa-base1").unwrap();
        let before = message(&dialect, ("4111111111111111", 1, 2, "000000000003"));
        let mut bytes = before.clone();
        let parsed = Message::parse(&dialect, &before).unwrap();
        let [pan, stan, rrn] = [2, 11, 37].map(|field| Patch::of(&parsed, field).unwrap());
        assert!(Patch::of(&parsed, 3).is_none());
        for refused in [
            pan.text(&dialect, &mut bytes, b"41111111111111111"),
            pan.wire(&mut bytes, &[0; 7]),
            stan.digits(&dialect, &mut bytes, 1_000_000),
            stan.text(&dialect, &mut bytes, b"12345X"),
            rrn.text(&dialect, &mut bytes, b"0000000000000"),
            stan.digits(&dialect, &mut bytes[..10], 5),
        ] {
            assert!(refused.is_err());
        }
        assert_eq!(bytes, before);
    }
}
