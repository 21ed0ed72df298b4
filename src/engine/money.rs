//! Currencies and amounts in minor units. Rates and decimals do not live here.

use serde::{Deserialize, Serialize};

/// A currency: the ISO 4217 numeric code, or a private code of ours from 1000 on.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Currency(pub u16);

/// Currencies outside ISO 4217: (number, letters, exponent).
const PRIVATE: &[(u16, &str, u8)] = &[(1000, "USDT", 6), (1001, "USDC", 6), (1002, "BTC", 8)];

impl Currency {
    /// For an amount whose message names no currency.
    pub const ABSENT: Currency = Currency(0);
    pub const USD: Currency = Currency(840);
    pub const USDT: Currency = Currency(1000);

    pub fn from_numeric(numeric: u16) -> Option<Currency> {
        let known = iso_currency::Currency::from_numeric(numeric).is_some()
            || PRIVATE.iter().any(|(number, ..)| *number == numeric);
        known.then_some(Currency(numeric))
    }

    pub fn from_alpha(alpha: &str) -> Option<Currency> {
        if let Some(iso) = iso_currency::Currency::from_code(alpha) {
            return Some(Currency(iso.numeric()));
        }
        PRIVATE
            .iter()
            .find(|(_, letters, _)| *letters == alpha)
            .map(|(number, ..)| Currency(*number))
    }

    /// Whether amounts in it can be counted: ISO 4217 gives no minor unit to metals, test codes and "no currency".
    pub fn has_minor_unit(self) -> bool {
        let is_private = PRIVATE.iter().any(|(number, ..)| *number == self.0);
        let iso = iso_currency::Currency::from_numeric(self.0);
        is_private || iso.is_some_and(|iso| iso.exponent().is_some())
    }

    /// Letters as in ISO 4217 (`USD`), or of the private code.
    pub fn alpha(self) -> &'static str {
        if let Some((_, letters, _)) = PRIVATE.iter().find(|(number, ..)| *number == self.0) {
            return letters;
        }
        iso_currency::Currency::from_numeric(self.0).map_or("XXX", |iso| iso.code())
    }

    /// Decimal places of the minor unit: 2 for USD, 0 for JPY, 6 for USDT.
    pub fn exponent(self) -> u8 {
        if let Some((.., exponent)) = PRIVATE.iter().find(|(number, ..)| *number == self.0) {
            return *exponent;
        }
        let iso = iso_currency::Currency::from_numeric(self.0);
        iso.and_then(|iso| iso.exponent()).unwrap_or(0) as u8
    }
}

impl Currency {
    /// 123456 in USD as `1234.56`.
    pub fn decimal(self, amount_minor: i64) -> String {
        let exponent = self.exponent();
        let sign = if amount_minor < 0 { "-" } else { "" };
        let digits = amount_minor.unsigned_abs();
        if exponent == 0 {
            return format!("{sign}{digits}");
        }
        let unit = 10u64.pow(u32::from(exponent));
        let width = usize::from(exponent);
        format!("{sign}{}.{:0width$}", digits / unit, digits % unit)
    }
}

/// The largest amount that a message may ask for, in minor units; twelve digits is what fits a field.
pub const MESSAGE_AMOUNT_MAX_MINOR: i64 = 1_000_000_000_000_000;

/// The largest balance, in minor units: far enough from the end of the type that no sum of one
/// balance, one credit line and one amount leaves it.
pub const BALANCE_MAX_MINOR: i64 = 1_000_000_000_000_000_000;

/// The largest sum of all that ever went one way through an account, in minor units: so that it cannot leave the type.
pub const BOOKS_MAX_MINOR: i64 = 4 * BALANCE_MAX_MINOR;

/// An amount in minor units of a currency.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub amount_minor: i64,
    pub currency: Currency,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_know_their_letters_and_exponent() {
        for (alpha, numeric, exponent) in [
            ("USD", 840, 2),
            ("EUR", 978, 2),
            ("JPY", 392, 0),
            ("KWD", 414, 3),
            ("USDT", 1000, 6),
            ("USDC", 1001, 6),
            ("BTC", 1002, 8),
        ] {
            let currency = Currency::from_alpha(alpha).unwrap();
            assert_eq!(
                (currency.0, currency.alpha(), currency.exponent()),
                (numeric, alpha, exponent)
            );
            assert_eq!(Currency::from_numeric(numeric), Some(currency));
        }
        for alpha in ["XXX", "XTS", "XAU", "XDR"] {
            assert!(
                !Currency::from_alpha(alpha).unwrap().has_minor_unit(),
                "{alpha}"
            );
        }
        assert!(
            ["JPY", "KWD", "USDT"]
                .iter()
                .all(|alpha| Currency::from_alpha(alpha).unwrap().has_minor_unit())
        );
        assert_eq!(Currency::from_alpha("usd"), None);
        assert_eq!(Currency::from_numeric(1), None);
    }
}
