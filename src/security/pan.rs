//! The primary account number: parsing, masking, and drawing a new one.
//!
//! Storing it is the vault's work, hashing it `hash`'s, and that no PAN is issued twice the
//! registry's.

use std::fmt;

use arrayvec::ArrayString;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Fewest and most digits of a PAN that this switch handles (ISO/IEC 7812-1 allows up to 19).
const MIN_DIGITS: usize = 12;
const MAX_DIGITS: usize = 19;

/// A primary account number that passed its Luhn check, held inline and wiped on drop.
///
/// Nothing shows more than the first six and last four digits: there is no `Display`, no
/// `Serialize`, and `Debug` is masked. A move may leave a copy of the bytes behind on the stack, so
/// hold it briefly.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Pan {
    /// ASCII digits; only the first `length` count.
    digits: [u8; MAX_DIGITS],
    length: u8,
}

/// Why a text is not a PAN, or a PAN could not be drawn. Never carries the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PanError {
    /// Fewer than 12 or more than 19 characters.
    #[error("a PAN has 12 to 19 digits, but this has {length} characters")]
    Length {
        /// Characters given.
        length: usize,
    },
    /// Something other than an ASCII digit.
    #[error("a PAN holds digits only, but character {position} (from 1) is none")]
    NotADigit {
        /// Place of the first offender, from 1.
        position: usize,
    },
    /// The last digit is not the check digit of the rest.
    #[error("the check digit (Luhn, ISO/IEC 7812-1) of this PAN is wrong")]
    CheckDigit,
    /// A BIN for allocation that is not six or eight digits.
    #[error("a BIN has 6 or 8 digits; correct the BIN of the program")]
    Bin,
    /// The random source failed or repeats itself.
    #[error("the source of randomness gives no usable bytes, so no PAN was drawn")]
    Randomness,
}

impl Pan {
    /// Reads 12 to 19 ASCII digits that end in their Luhn check digit; no spaces or separators.
    pub fn parse(text: &str) -> Result<Pan, PanError> {
        let bytes = text.as_bytes();
        if !(MIN_DIGITS..=MAX_DIGITS).contains(&bytes.len()) {
            let length = text.chars().count();
            return Err(PanError::Length { length });
        }
        if let Some(at) = bytes.iter().position(|byte| !byte.is_ascii_digit()) {
            return Err(PanError::NotADigit { position: at + 1 });
        }
        let (number, check) = bytes.split_at(bytes.len() - 1);
        if check[0] != luhn_check_digit(number) {
            return Err(PanError::CheckDigit);
        }
        let mut digits = [b'0'; MAX_DIGITS];
        digits[..bytes.len()].copy_from_slice(bytes);
        let length = bytes.len() as u8;
        Ok(Pan { digits, length })
    }

    /// The first six digits, which may be shown.
    pub fn first6(&self) -> &str {
        &self.digits()[..6]
    }

    /// The last four digits, which may be shown.
    pub fn last4(&self) -> &str {
        &self.digits()[usize::from(self.length) - 4..]
    }

    /// First six, stars, last four, as in `411111******1111`: the form for logs and pages.
    pub fn masked(&self) -> ArrayString<MAX_DIGITS> {
        let mut masked = ArrayString::new();
        masked.push_str(self.first6());
        for _ in 0..usize::from(self.length) - 10 {
            masked.push('*');
        }
        masked.push_str(self.last4());
        masked
    }

    /// All digits in the clear: the one door out of this type.
    ///
    /// For hashing, sealing, verification values, and the answer to an audited reveal. Never for a
    /// log, an error, a trace, an event or a database.
    pub(crate) fn digits(&self) -> &str {
        let digits = &self.digits[..usize::from(self.length)];
        std::str::from_utf8(digits).expect("parse let only ASCII digits in")
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.masked())
    }
}

/// Draws a PAN of `length` digits in a BIN of six or eight: a uniform account number, then the Luhn
/// check digit. `random` fills its argument with random bytes.
pub fn allocate_pan(
    bin: &str,
    length: usize,
    random: &mut impl FnMut(&mut [u8]),
) -> Result<Pan, PanError> {
    if !matches!(bin.len(), 6 | 8) || !bin.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PanError::Bin);
    }
    if !(MIN_DIGITS..=MAX_DIGITS).contains(&length) {
        return Err(PanError::Length { length });
    }
    let mut digits = [b'0'; MAX_DIGITS];
    digits[..bin.len()].copy_from_slice(bin.as_bytes());
    draw_digits(&mut digits[bin.len()..length - 1], random)?;
    digits[length - 1] = luhn_check_digit(&digits[..length - 1]);
    let length = length as u8;
    Ok(Pan { digits, length })
}

/// [`allocate_pan`] with the randomness of the operating system.
pub fn allocate_pan_from_os(bin: &str, length: usize) -> Result<Pan, PanError> {
    let mut failed = false;
    let pan = allocate_pan(bin, length, &mut |bytes| {
        failed |= getrandom::fill(bytes).is_err();
    })?;
    if failed {
        return Err(PanError::Randomness);
    }
    Ok(pan)
}

/// Uniform digits by rejection: the bytes 250..=255 would favour the digits 0 to 5.
fn draw_digits(digits: &mut [u8], random: &mut impl FnMut(&mut [u8])) -> Result<(), PanError> {
    let mut drawn = 0;
    // 32 bytes give 12 digits all but always; 64 rounds without success mean a broken source.
    for _ in 0..64 {
        let mut bytes = [0; 32];
        random(&mut bytes);
        for byte in bytes.into_iter().filter(|byte| *byte < 250) {
            if drawn == digits.len() {
                break;
            }
            digits[drawn] = b'0' + byte % 10;
            drawn += 1;
        }
        bytes.zeroize();
        if drawn == digits.len() {
            return Ok(());
        }
    }
    Err(PanError::Randomness)
}

/// The ASCII check digit for a number without one (ISO/IEC 7812-1, annex B).
fn luhn_check_digit(number: &[u8]) -> u8 {
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(place, ascii)| {
            let digit = u32::from(ascii - b'0');
            // The neighbour of the check digit is doubled, then every second one.
            match (place % 2, digit * 2) {
                (1, _) => digit,
                (_, doubled @ 0..=9) => doubled,
                (_, doubled) => doubled - 9,
            }
        })
        .sum();
    b'0' + ((10 - sum % 10) % 10) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEST_PANS: [&str; 5] = [
        "4111111111111111",
        "4761739001010119",
        "5555555555554444",
        "5413330089604111",
        "371449635398431",
    ];

    #[test]
    fn test_cards_parse_and_show_their_ends_only() {
        for text in TEST_PANS {
            let pan = Pan::parse(text).unwrap();
            assert_eq!(pan.digits(), text);
            assert_eq!(pan.first6(), &text[..6]);
            assert_eq!(pan.last4(), &text[text.len() - 4..]);
        }
        let visa = Pan::parse(TEST_PANS[0]).unwrap();
        assert_eq!(&visa.masked()[..], "411111******1111");
        assert_eq!(format!("{visa:?}"), "411111******1111");
        let amex = Pan::parse(TEST_PANS[4]).unwrap();
        assert_eq!(&amex.masked()[..], "371449*****8431");
    }

    #[test]
    fn what_is_no_pan_is_refused_with_the_reason() {
        let cases = [
            ("", PanError::Length { length: 0 }),
            ("41111111111", PanError::Length { length: 11 }),
            ("41111111111111111111", PanError::Length { length: 20 }),
            ("411111111111111 ", PanError::NotADigit { position: 16 }),
            ("4111-1111-1111-11", PanError::NotADigit { position: 5 }),
            (
                "41111111111111\u{0661}",
                PanError::NotADigit { position: 15 },
            ),
            ("4111111111111112", PanError::CheckDigit),
            ("1411111111111111", PanError::CheckDigit),
        ];
        for (text, error) in cases {
            assert_eq!(Pan::parse(text).unwrap_err(), error, "{text:?}");
            assert!(!error.to_string().contains("1111"), "{error}");
        }
    }

    #[test]
    fn drawn_digits_are_uniform() {
        // Every byte once, those first that would favour small digits.
        let mut next = 250u8;
        let mut all_bytes = |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        };
        let mut digits = [0; 250];
        draw_digits(&mut digits, &mut all_bytes).unwrap();
        for digit in b'0'..=b'9' {
            let count = digits.iter().filter(|drawn| **drawn == digit).count();
            assert_eq!(count, 25, "digit {}", char::from(digit));
        }
    }

    #[test]
    fn every_free_place_takes_every_digit() {
        let mut seen = [[false; 10]; 7];
        for _ in 0..2_000 {
            let pan = allocate_pan_from_os("41111111", 16).unwrap();
            for (place, digit) in pan.digits().bytes().skip(8).take(7).enumerate() {
                seen[place][usize::from(digit - b'0')] = true;
            }
        }
        // Missing one by chance: 70 * 0.9^2000, which is below 10^-89.
        assert_eq!(seen, [[true; 10]; 7]);
    }

    #[test]
    fn allocation_refuses_what_cannot_be() {
        let mut zeros = |bytes: &mut [u8]| bytes.fill(0);
        let mut refused = |bin, length| allocate_pan(bin, length, &mut zeros).unwrap_err();
        for bin in ["", "41111", "4111111", "411111111", "4111a1"] {
            assert_eq!(refused(bin, 16), PanError::Bin, "{bin:?}");
        }
        assert_eq!(refused("411111", 11), PanError::Length { length: 11 });
        assert_eq!(refused("411111", 20), PanError::Length { length: 20 });
        let mut stuck = |bytes: &mut [u8]| bytes.fill(0xff);
        let error = allocate_pan("411111", 16, &mut stuck).unwrap_err();
        assert_eq!(error, PanError::Randomness);
    }

    proptest! {
        #[test]
        fn whatever_parses_is_its_digits_and_masks_the_middle(text in "[0-9]{10,21}") {
            let Ok(pan) = Pan::parse(&text) else { return Ok(()) };
            prop_assert_eq!(pan.digits(), &text);
            let masked = pan.masked();
            prop_assert_eq!(masked.len(), text.len());
            prop_assert_eq!(&masked[..6], &text[..6]);
            prop_assert_eq!(&masked[text.len() - 4..], &text[text.len() - 4..]);
            prop_assert!(masked[6..text.len() - 4].bytes().all(|byte| byte == b'*'));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,24}") {
            let _ = Pan::parse(&text);
        }

        #[test]
        fn an_allocated_pan_is_in_its_bin_and_one_wrong_digit_shows(
            eight in any::<bool>(),
            length in 12usize..=19,
            at in 0usize..19,
            add in 1u8..=9,
        ) {
            let bin = if eight { "55555555" } else { "555555" };
            let pan = allocate_pan_from_os(bin, length).unwrap();
            prop_assert_eq!(pan.digits().len(), length);
            prop_assert!(pan.digits().starts_with(bin));
            prop_assert!(Pan::parse(pan.digits()).is_ok());

            let mut wrong = pan.digits().as_bytes().to_vec();
            let digit = &mut wrong[at % length];
            *digit = b'0' + (*digit - b'0' + add) % 10;
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(Pan::parse(&wrong).unwrap_err(), PanError::CheckDigit);
        }
    }
}
