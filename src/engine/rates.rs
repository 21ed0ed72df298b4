//! Exchange rates: one rate as exact decimal digits, and the table that an operator sets. What is done
//! with a rate lives in `conversion.rs`.

use super::money::Currency;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Pairs in a table at the most: every currency of ISO 4217 against five others.
pub const RATES_MAX: usize = 1_000;

/// Digits of a rate that somebody states, and places after its point, so that an amount of twelve digits
/// in any currency times a rate and a mark-up stays within 128 bits.
pub const RATE_DIGITS_MAX: usize = 15;

/// Digits that are kept of a rate that comes of a division.
const QUOTIENT_DIGITS: u32 = 12;

/// How many units of one currency are one unit of another (dollars, not cents): `digits` / 10^`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    pub digits: u64,
    pub scale: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    #[error("a rate is a decimal number in plain digits, as in 1.0833")]
    NotDecimal,
    #[error(
        "a rate has at most {RATE_DIGITS_MAX} digits, and as many places after the point; round it"
    )]
    TooLong,
    #[error("a rate is above zero")]
    Zero,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return Err(RateError::NotDecimal);
        }
        let rate = Rate::kept(text).ok_or(RateError::TooLong)?;
        if usize::from(rate.scale) > RATE_DIGITS_MAX || rate.digits >= 10u64.pow(15) {
            return Err(RateError::TooLong);
        }
        if rate.digits == 0 {
            return Err(RateError::Zero);
        }
        Ok(rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0>1$}", self.digits, usize::from(self.scale) + 1);
        let (whole, part) = digits.split_at(digits.len() - usize::from(self.scale));
        match part {
            "" => formatter.write_str(whole),
            part => write!(formatter, "{whole}.{part}"),
        }
    }
}

impl Rate {
    fn of(decimal: Decimal) -> Option<Rate> {
        let decimal = decimal.normalize();
        Some(Rate {
            digits: u64::try_from(decimal.mantissa()).ok()?,
            scale: u8::try_from(decimal.scale()).ok()?,
        })
    }

    /// From the text that a rate prints as, also one that is longer than anybody may state.
    pub fn kept(text: &str) -> Option<Rate> {
        Rate::of(Decimal::from_str_exact(text).ok()?)
    }

    /// The rate at which `from` is `to`, to twelve digits: to be shown, not to be counted with.
    pub fn between(from: Amount, to: Amount) -> Option<Rate> {
        let [from, to] = [from, to].map(|Amount { minor, exponent }| {
            Decimal::try_from_i128_with_scale(i128::from(minor), u32::from(exponent)).ok()
        });
        Rate::of(rounded(to?.checked_div(from?)?)?)
    }

    /// One divided by this rate, to twelve digits.
    pub fn inverse(self) -> Option<Rate> {
        let decimal = Decimal::try_from_i128_with_scale(self.digits.into(), self.scale.into());
        Rate::of(rounded(Decimal::ONE.checked_div(decimal.ok()?)?)?)
    }
}

fn rounded(decimal: Decimal) -> Option<Decimal> {
    decimal.round_sf_with_strategy(QUOTIENT_DIGITS, RoundingStrategy::MidpointNearestEven)
}

/// An amount with the decimal places of its currency.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    pub minor: i64,
    pub exponent: u8,
}

/// One unit of `from` is `rate` units of `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRate {
    pub from: Currency,
    pub to: Currency,
    pub rate: Rate,
}

/// The table as an operator set it, whole.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// The registry version that brought this table.
    pub version: u64,
    /// Where the rates come from, as whoever set them says.
    pub source: Box<str>,
    /// By pair, each once.
    pairs: Vec<ExchangeRate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    #[error(
        "a table has at most {RATES_MAX} rates; leave out pairs that are the inverse of others"
    )]
    TooMany,
    #[error("{} to {} stands twice in the table; leave one out", .0.alpha(), .1.alpha())]
    Twice(Currency, Currency),
    #[error("a rate from {} to itself is always 1; leave it out", .0.alpha())]
    ToItself(Currency),
}

/// A rate as the table has it for a pair, or for the pair the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Direct(Rate),
    Inverse(Rate),
}

impl Rates {
    pub fn new(
        version: u64,
        source: Box<str>,
        mut pairs: Vec<ExchangeRate>,
    ) -> Result<Rates, RatesError> {
        if pairs.len() > RATES_MAX {
            return Err(RatesError::TooMany);
        }
        if let Some(pair) = pairs.iter().find(|pair| pair.from == pair.to) {
            return Err(RatesError::ToItself(pair.from));
        }
        pairs.sort_unstable_by_key(|pair| (pair.from, pair.to));
        let twice = pairs
            .windows(2)
            .find(|two| (two[0].from, two[0].to) == (two[1].from, two[1].to));
        if let Some(two) = twice {
            return Err(RatesError::Twice(two[0].from, two[0].to));
        }
        Ok(Rates {
            version,
            source,
            pairs,
        })
    }

    /// Whether it says the same, whichever version brought it.
    pub fn is_same_as(&self, other: &Rates) -> bool {
        self.source == other.source && self.pairs == other.pairs
    }

    /// The pair's own rate, or else that of the opposite pair. Never by way of a third currency: what such a
    /// rate is, whoever sets the table says.
    pub fn find(&self, from: Currency, to: Currency) -> Option<Found> {
        let direct = self.rate(from, to).map(Found::Direct);
        direct.or_else(|| self.rate(to, from).map(Found::Inverse))
    }

    fn rate(&self, from: Currency, to: Currency) -> Option<Rate> {
        let place = self
            .pairs
            .binary_search_by_key(&(from, to), |pair| (pair.from, pair.to));
        place.ok().map(|place| self.pairs[place].rate)
    }

    pub fn pairs(&self) -> &[ExchangeRate] {
        &self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USD: Currency = Currency(840);
    const EUR: Currency = Currency(978);
    const JPY: Currency = Currency(392);

    fn pair(from: Currency, to: Currency, rate: &str) -> ExchangeRate {
        let rate = rate.parse().unwrap();
        ExchangeRate { from, to, rate }
    }

    #[test]
    fn a_rate_is_read_as_written_and_printed_without_needless_zeros() {
        for (text, digits, scale, printed) in [
            ("1.0833", 10_833, 4, "1.0833"),
            ("1.08330", 10_833, 4, "1.0833"),
            ("151", 151, 0, "151"),
            ("1500", 1_500, 0, "1500"),
            ("0.000000000000001", 1, 15, "0.000000000000001"),
            ("999999999999999", 999_999_999_999_999, 0, "999999999999999"),
            ("007.50", 75, 1, "7.5"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.digits, rate.scale), (digits, scale), "{text}");
            assert_eq!(rate.to_string(), printed);
        }
        for (text, error) in [
            ("", RateError::NotDecimal),
            (".5", RateError::NotDecimal),
            ("5.", RateError::NotDecimal),
            ("-1", RateError::NotDecimal),
            ("+1", RateError::NotDecimal),
            ("1e3", RateError::NotDecimal),
            ("1_000", RateError::NotDecimal),
            ("1,5", RateError::NotDecimal),
            ("1.2.3", RateError::NotDecimal),
            ("١", RateError::NotDecimal),
            ("0.0000000000000001", RateError::TooLong),
            ("1000000000000000", RateError::TooLong),
            ("123456789.1234567", RateError::TooLong),
            ("9".repeat(60).as_str(), RateError::TooLong),
            ("0.00", RateError::Zero),
        ] {
            assert_eq!(text.parse::<Rate>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_rate_that_comes_of_two_amounts_is_kept_to_twelve_digits() {
        let amount = |minor, exponent| Amount { minor, exponent };
        let between = |from, to| Rate::between(from, to).map(|rate| rate.to_string());
        // 100 yen are 66 cents, 66 cents are 100 yen, 3 dollars are 1 dollar.
        assert_eq!(between(amount(100, 0), amount(66, 2)).unwrap(), "0.0066");
        assert_eq!(
            between(amount(66, 2), amount(100, 0)).unwrap(),
            "151.515151515"
        );
        assert_eq!(
            between(amount(3, 2), amount(1, 2)).unwrap(),
            "0.333333333333"
        );
        assert_eq!(between(amount(0, 2), amount(1, 2)), None);
        // The millionth of a coin for ten billion yen, and back from its text.
        let least = Rate::between(amount(10_000_000_000, 0), amount(1, 6)).unwrap();
        assert_eq!(least.to_string(), "0.0000000000000001");
        assert_eq!(Rate::kept(&least.to_string()), Some(least));
        assert_eq!(
            "1.0833".parse::<Rate>().unwrap().inverse().unwrap(),
            Rate {
                digits: 923_105_326_318,
                scale: 12
            }
        );
    }

    #[test]
    fn a_table_knows_a_pair_its_opposite_and_nothing_else() {
        let pairs = vec![pair(USD, JPY, "151"), pair(EUR, USD, "1.0833")];
        let rates = Rates::new(7, "ECB".into(), pairs).unwrap();
        let rate = |text: &str| text.parse().unwrap();
        assert_eq!(rates.find(EUR, USD), Some(Found::Direct(rate("1.0833"))));
        assert_eq!(rates.find(USD, EUR), Some(Found::Inverse(rate("1.0833"))));
        assert_eq!(rates.find(JPY, USD), Some(Found::Inverse(rate("151"))));
        // Both legs are there, and no rate comes of them.
        assert_eq!(rates.find(EUR, JPY), None);
        let both = vec![pair(USD, EUR, "0.9"), pair(EUR, USD, "1.0833")];
        let rates = Rates::new(8, "".into(), both).unwrap();
        assert_eq!(rates.find(USD, EUR), Some(Found::Direct(rate("0.9"))));
    }

    #[test]
    fn a_table_is_bounded_and_names_each_pair_once() {
        let table = |pairs| Rates::new(1, "".into(), pairs);
        let two = vec![
            pair(EUR, USD, "1"),
            pair(USD, JPY, "2"),
            pair(EUR, USD, "3"),
        ];
        assert_eq!(table(two), Err(RatesError::Twice(EUR, USD)));
        assert_eq!(
            table(vec![pair(USD, USD, "1")]),
            Err(RatesError::ToItself(USD))
        );
        let many = |count| {
            let pairs = (1..=count as u16).map(|number| pair(Currency(number), USD, "1"));
            pairs
                .filter(|pair| pair.from != USD)
                .collect::<Vec<ExchangeRate>>()
        };
        assert_eq!(table(many(RATES_MAX + 2)), Err(RatesError::TooMany));
        assert!(table(many(RATES_MAX + 1)).is_ok());
    }
}
