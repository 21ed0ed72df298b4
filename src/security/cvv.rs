//! Card verification values (CVV, iCVV, CVV2; Mastercard's CVC family): computing and checking.
//!
//! All of them are one algorithm over PAN, expiry and service code under a pair of DES keys; they
//! differ by the service code. Values are recomputed whenever they are needed and never stored.
//!
//! The algorithm is the "CVV and CVC Method" of IBM 4758 CCA Basic Services (release 2.54, appendix
//! E), here for PANs of up to 19 digits. That manual leaves the order of the expiry to the issuer;
//! this issuer takes YYMM for all values, the order of track data and the usual one for Visa.

use std::fmt;

use des::{
    Des, TdesEde2,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Pan;

/// The service code that makes a CVV a CVV2 (the printed value).
const CVV2_SERVICE_CODE: u16 = 0;

/// A three-digit verification value, wiped on drop. Nothing prints it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Cvv2([u8; 3]);

impl Cvv2 {
    /// The digits in the clear: for the answer to an audited reveal and for nothing else.
    pub(crate) fn digits(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only made of ASCII digits")
    }
}

impl fmt::Debug for Cvv2 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Cvv2(***)")
    }
}

/// A card verification key pair (CVK A and B) with its key schedules ready.
#[derive(Clone)]
pub struct Cvk {
    a: Des,
    a_b: TdesEde2,
}

impl Cvk {
    /// The pair as 16 bytes, A then B; parity bits are ignored. Running systems take theirs from
    /// [`Vault`](super::Vault).
    pub fn new(pair: &[u8; 16]) -> Cvk {
        let (a, _) = pair.split_at(8);
        Cvk {
            a: Des::new_from_slice(a).expect("eight bytes"),
            a_b: TdesEde2::new_from_slice(pair).expect("sixteen bytes"),
        }
    }

    /// The value for a service code: that of the stripe for CVV, 999 for iCVV, 000 for CVV2.
    ///
    /// Of each number only the digits that have a place count: two of year and month, three of the
    /// service code.
    pub fn cvv(&self, pan: &Pan, exp_year: u16, exp_month: u8, service_code: u16) -> Cvv2 {
        self.value(pan.digits().as_bytes(), exp_year, exp_month, service_code)
    }

    /// The value printed on the card (service code 000).
    pub fn cvv2(&self, pan: &Pan, exp_year: u16, exp_month: u8) -> Cvv2 {
        self.cvv(pan, exp_year, exp_month, CVV2_SERVICE_CODE)
    }

    /// Whether `given` is the CVV2 of this card, in a time that does not depend on its digits.
    pub fn verify_cvv2(&self, pan: &Pan, exp_year: u16, exp_month: u8, given: &str) -> bool {
        self.verify_cvv(pan, exp_year, exp_month, CVV2_SERVICE_CODE, given)
    }

    /// Whether `given` is the value of this card for a service code, in constant time likewise.
    pub fn verify_cvv(
        &self,
        pan: &Pan,
        exp_year: u16,
        exp_month: u8,
        service_code: u16,
        given: &str,
    ) -> bool {
        let expected = self.cvv(pan, exp_year, exp_month, service_code);
        bool::from(expected.digits().as_bytes().ct_eq(given.as_bytes()))
    }

    fn value(&self, pan: &[u8], exp_year: u16, exp_month: u8, service_code: u16) -> Cvv2 {
        let mut digits = [0u8; 32];
        for (digit, ascii) in digits.iter_mut().zip(pan) {
            *digit = ascii - b'0';
        }
        let tail = [
            exp_year / 10 % 10,
            exp_year % 10,
            u16::from(exp_month) / 10 % 10,
            u16::from(exp_month) % 10,
            service_code / 100 % 10,
            service_code / 10 % 10,
            service_code % 10,
        ];
        for (digit, value) in digits[pan.len()..].iter_mut().zip(tail) {
            *digit = value as u8;
        }
        let (mut block, mut second) = (pack(&digits[..16]), pack(&digits[16..]));
        self.a.encrypt_block((&mut block).into());
        for (byte, other) in block.iter_mut().zip(second) {
            *byte ^= other;
        }
        self.a_b.encrypt_block((&mut block).into());
        let value = decimalise(&block);
        digits.zeroize();
        second.zeroize();
        block.zeroize();
        value
    }
}

impl fmt::Debug for Cvk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Cvk").finish_non_exhaustive()
    }
}

/// Sixteen digits to eight bytes, two digits to a byte.
fn pack(digits: &[u8]) -> [u8; 8] {
    std::array::from_fn(|at| digits[2 * at] << 4 | digits[2 * at + 1])
}

/// The first three of: the decimal digits in order, then the letters in order, each less ten.
fn decimalise(block: &[u8; 8]) -> Cvv2 {
    let nibbles = || block.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let decimals = nibbles().filter(|nibble| *nibble < 10);
    let letters = nibbles().filter(|nibble| *nibble >= 10).map(|n| n - 10);
    let mut value = [b'0'; 3];
    for (ascii, digit) in value.iter_mut().zip(decimals.chain(letters)) {
        *ascii += digit;
    }
    Cvv2(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair that public examples of this algorithm use.
    const EXAMPLE_PAIR: [u8; 16] = [
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32,
        0x10,
    ];

    #[test]
    fn values_match_those_of_another_implementation() {
        let cvk = Cvk::new(&EXAMPLE_PAIR);
        // PAN, then for December 2029 by psec 1.3: CVV2, CVV under service code 201, iCVV.
        let cases = [
            ("4111111111111111", "719", "010", "997"),
            ("4761739001010119", "224", "206", "822"),
            ("5555555555554444", "395", "858", "641"),
            ("5413330089604111", "765", "340", "698"),
            ("371449635398431", "105", "178", "491"),
        ];
        for (pan, cvv2, cvv, icvv) in cases {
            let pan = Pan::parse(pan).unwrap();
            assert_eq!(cvk.cvv2(&pan, 2029, 12).digits(), cvv2, "{pan:?}");
            assert_eq!(cvk.cvv(&pan, 2029, 12, 201).digits(), cvv, "{pan:?}");
            assert_eq!(cvk.cvv(&pan, 2029, 12, 999).digits(), icvv, "{pan:?}");
        }
        let pan = Pan::parse("4111111111111111").unwrap();
        assert_eq!(cvk.cvv2(&pan, 2030, 1).digits(), "453", "YYMM is 3001");
        // The example in the documentation of psec, whose number has no valid check digit.
        let value = cvk.value(b"1234567890123456", 1999, 12, 220);
        assert_eq!(value.digits(), "170");
    }

    #[test]
    fn only_the_exact_three_digits_verify() {
        let cvk = Cvk::new(&EXAMPLE_PAIR);
        let pan = Pan::parse("4111111111111111").unwrap();
        assert!(cvk.verify_cvv2(&pan, 2029, 12, "719"));
        for wrong in ["718", "710", "619", "", "71", "7190", " 719", "999"] {
            assert!(!cvk.verify_cvv2(&pan, 2029, 12, wrong), "{wrong:?}");
        }
        assert!(!cvk.verify_cvv2(&pan, 2029, 11, "719"), "another month");
        assert!(!cvk.verify_cvv2(&pan, 2028, 12, "719"), "another year");
        assert!(!cvk.verify_cvv2(&pan, 2029, 12, "997"), "the iCVV");
        assert!(cvk.verify_cvv(&pan, 2029, 12, 999, "997"));
    }

    #[test]
    fn letters_count_only_when_decimals_run_out() {
        let cases: [([u8; 8], &str); 5] = [
            ([0xab, 0xc1, 0xd2, 0xe3, 0xf4, 0xff, 0xff, 0xff], "123"),
            ([0xfa, 0xbc, 0xde, 0xf7, 0xff, 0xff, 0xff, 0xf9], "795"),
            ([0xfa, 0xbc, 0xde, 0xf7, 0xff, 0xff, 0xff, 0xff], "750"),
            ([0xba, 0xbc, 0xde, 0xff, 0xff, 0xff, 0xff, 0xff], "101"),
            ([0x90, 0x21, 0, 0, 0, 0, 0, 0], "902"),
        ];
        for (block, value) in cases {
            assert_eq!(decimalise(&block).digits(), value, "{block:02x?}");
        }
    }
}
