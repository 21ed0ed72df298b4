//! The message type indicator (ISO 8583:1987 section 4.1; ISO 8583:1993 section 4.1.1).
//! What a class means for a card is not decided here.

use std::fmt;

/// Four decimal digits: version, class, function, origin. `Mti::new(100)` is `0100`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mti(u16);

impl Mti {
    /// From its number, `100` for `0100`. Panics above 9999: meant for constants.
    #[inline]
    pub const fn new(number: u16) -> Mti {
        assert!(number <= 9999, "an MTI has four digits");
        Mti(number)
    }

    /// From four ASCII digits.
    pub fn from_digits(digits: &[u8]) -> Option<Mti> {
        let digits: &[u8; 4] = digits.try_into().ok()?;
        digits
            .iter()
            .try_fold(0, |number: u16, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + u16::from(digit - b'0'))
            })
            .map(Mti)
    }

    /// The number of the four digits, `100` for `0100`.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Four ASCII digits.
    pub const fn digits(self) -> [u8; 4] {
        [
            b'0' + (self.0 / 1000) as u8,
            b'0' + (self.0 / 100 % 10) as u8,
            b'0' + (self.0 / 10 % 10) as u8,
            b'0' + (self.0 % 10) as u8,
        ]
    }

    /// First digit: 0 is ISO 8583:1987, 1 is 1993, 2 is 2003.
    pub const fn version(self) -> u8 {
        (self.0 / 1000) as u8
    }

    /// Second digit: 1 authorization, 2 financial, 3 file action, 4 reversal, 5 reconciliation,
    /// 6 administrative, 7 fee collection, 8 network management.
    pub const fn class(self) -> u8 {
        (self.0 / 100 % 10) as u8
    }

    /// Third digit: 0 request, 1 response, 2 advice, 3 advice response, 4 notification.
    pub const fn function(self) -> u8 {
        (self.0 / 10 % 10) as u8
    }

    /// Fourth digit: 0 acquirer, 2 card issuer, 4 other; the odd digit after it is its repeat.
    pub const fn origin(self) -> u8 {
        (self.0 % 10) as u8
    }

    /// Whether the standard gives a meaning to class and origin: classes 0 and 9 and origins 6 to 9
    /// are reserved.
    pub const fn is_defined(self) -> bool {
        matches!(self.class(), 1..=8) && self.origin() <= 5
    }

    /// Whether the acquirer began what this message is part of (origin 0 and its repeat 1).
    pub const fn is_from_acquirer(self) -> bool {
        self.origin() <= 1
    }

    /// Whether the sender says that it sent this before.
    pub const fn is_repeat(self) -> bool {
        matches!(self.origin(), 1 | 3 | 5)
    }

    /// The same message without the mark of a repeat.
    pub const fn without_repeat(self) -> Mti {
        Mti(self.0 - self.is_repeat() as u16)
    }

    /// The answer to a request or an advice; none for responses and notifications, which are
    /// never answered.
    pub const fn response(self) -> Option<Mti> {
        match self.function() {
            0 | 2 => Some(Mti(self.without_repeat().0 + 10)),
            _ => None,
        }
    }

    /// Whether this is a response to a request or to an advice.
    pub const fn is_response(self) -> bool {
        matches!(self.function(), 1 | 3)
    }
}

impl fmt::Display for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

impl fmt::Debug for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mti({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_drop_the_repeat_mark_and_only_questions_have_one() {
        let table = [
            (100, Some(110)),
            (101, Some(110)),
            (120, Some(130)),
            (121, Some(130)),
            (200, Some(210)),
            (302, Some(312)),
            (400, Some(410)),
            (401, Some(410)),
            (420, Some(430)),
            (421, Some(430)),
            (800, Some(810)),
            (1100, Some(1110)),
            (1205, Some(1214)),
            (1420, Some(1430)),
            (1804, Some(1814)),
            (110, None),
            (130, None),
            (140, None),
            (1644, None),
            (810, None),
        ];
        for (request, response) in table {
            assert_eq!(
                Mti::new(request).response(),
                response.map(Mti::new),
                "{request:04}"
            );
        }
    }

    #[test]
    fn digits_go_both_ways() {
        assert_eq!(Mti::from_digits(b"0421"), Some(Mti::new(421)));
        assert_eq!(Mti::new(421).digits(), *b"0421");
        assert_eq!(Mti::new(1804).to_string(), "1804");
        assert!(Mti::new(421).is_repeat() && !Mti::new(420).is_repeat());
        assert_eq!(Mti::from_digits(b"04A1"), None);
        assert_eq!(Mti::from_digits(b"421"), None);
    }
}
