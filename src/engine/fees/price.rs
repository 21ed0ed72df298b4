//! What one fee comes to. Whom it is charged to does not live here.

use super::schedule::FeeKind;
use crate::engine::conversion::BASIS_POINTS;
use serde::{Deserialize, Serialize};

/// The most that a part of a fee may be set to, in minor units.
pub const FEE_MAX_MINOR: i64 = 1_000_000_000_000;

/// A fixed amount and a share of what is charged for, in minor units of the schedule's currency.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub amount_minor: i64,
    pub basis_points: u16,
    /// Of the sum of both.
    pub min_minor: Option<i64>,
    pub max_minor: Option<i64>,
}

/// A fee in its two parts, each rounded by itself.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FeeParts {
    pub fee_minor: i64,
    pub reseller_mark_up_minor: i64,
}

impl FeeParts {
    pub fn sum_minor(self) -> i64 {
        self.fee_minor + self.reseller_mark_up_minor
    }
}

impl Price {
    /// The share is rounded half to even, as what a network gets is.
    pub fn of(&self, basis_minor: i64) -> i64 {
        let parts = i128::from(BASIS_POINTS);
        let exact = i128::from(basis_minor.max(0)) * i128::from(self.basis_points);
        let (whole, rest) = (exact / parts, exact % parts);
        let more = match rest.cmp(&(parts - rest)) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => whole % 2,
            std::cmp::Ordering::Greater => 1,
        };
        // A share of at most all of it.
        let share_minor = i64::try_from(whole + more).unwrap_or(i64::MAX);
        let sum_minor = self.amount_minor.saturating_add(share_minor);
        let (least, most) = (self.min_minor, self.max_minor);
        let sum_minor = least.map_or(sum_minor, |least| sum_minor.max(least));
        most.map_or(sum_minor, |most| sum_minor.min(most))
    }

    /// The same number in every currency.
    pub fn is_share_alone(&self) -> bool {
        let amounts = [self.min_minor, self.max_minor];
        self.amount_minor == 0 && amounts == [None, None]
    }

    pub(super) fn check(&self, kind: FeeKind) -> Result<(), PriceError> {
        let amounts = [Some(self.amount_minor), self.min_minor, self.max_minor];
        let in_range = |amount_minor: &i64| (0..=FEE_MAX_MINOR).contains(amount_minor);
        let is_bounded = self.min_minor.is_some() || self.max_minor.is_some();
        if !amounts.iter().flatten().all(in_range) {
            Err(PriceError::OutOfRange)
        } else if self.basis_points > BASIS_POINTS {
            Err(PriceError::TooManyBasisPoints)
        } else if self.basis_points > 0 && !kind.has_basis() {
            Err(PriceError::NoBasis(kind))
        } else if is_bounded && kind != FeeKind::TopUp {
            Err(PriceError::NoBounds(kind))
        } else if kind == FeeKind::ForeignExchange && self.amount_minor != 0 {
            Err(PriceError::ShareOnly)
        } else if self.min_minor > Some(self.max_minor.unwrap_or(i64::MAX)) {
            Err(PriceError::MinAboveMax)
        } else {
            Ok(())
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    #[error("an amount of a fee is 0 to {FEE_MAX_MINOR} minor units")]
    OutOfRange,
    #[error("a share is 10,000 basis points (100 %) at most")]
    TooManyBasisPoints,
    #[error("there is no amount that {} could be a share of; give it a fixed amount", .0.name())]
    NoBasis(FeeKind),
    #[error("min and max are for top_up; {} is the same each time, or a part of each conversion", .0.name())]
    NoBounds(FeeKind),
    #[error(
        "foreign_exchange has basis points alone: one payment may be converted in several parts"
    )]
    ShareOnly,
    #[error("min is above max")]
    MinAboveMax,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_price_is_an_amount_and_a_share_within_bounds() {
        let price = |amount_minor, basis_points, min_minor, max_minor| Price {
            amount_minor,
            basis_points,
            min_minor,
            max_minor,
        };
        for (price, basis_minor, expected) in [
            (price(250, 0, None, None), 0, 250),
            (price(0, 400, None, None), 10_000, 400),
            // 0.5 and 1.5 and 2.5: half to even.
            (price(0, 50, None, None), 100, 0),
            (price(0, 150, None, None), 100, 2),
            (price(0, 250, None, None), 100, 2),
            (price(0, 51, None, None), 100, 1),
            (price(30, 100, None, None), 1_000, 40),
            (price(0, 100, Some(50), None), 1_000, 50),
            (price(0, 100, Some(50), Some(900)), 1_000_000, 900),
            (price(0, 10_000, None, None), i64::MAX, i64::MAX),
            (price(7, 100, None, None), -5, 7),
        ] {
            assert_eq!(price.of(basis_minor), expected, "{price:?} {basis_minor}");
        }
    }

    #[test]
    fn what_a_kind_cannot_be_is_refused() {
        let check = |kind, amount_minor, basis_points, min_minor, max_minor| {
            Price {
                amount_minor,
                basis_points,
                min_minor,
                max_minor,
            }
            .check(kind)
        };
        use FeeKind::*;
        assert_eq!(check(TopUp, 5, 400, Some(1), Some(1)), Ok(()));
        assert_eq!(check(ForeignExchange, 0, 150, None, None), Ok(()));
        assert_eq!(check(Decline, 30, 0, None, None), Ok(()));
        for (found, expected) in [
            (check(Decline, -1, 0, None, None), PriceError::OutOfRange),
            (
                check(TopUp, 0, 1, None, Some(FEE_MAX_MINOR + 1)),
                PriceError::OutOfRange,
            ),
            (
                check(TopUp, 0, 10_001, None, None),
                PriceError::TooManyBasisPoints,
            ),
            (
                check(Monthly, 0, 1, None, None),
                PriceError::NoBasis(Monthly),
            ),
            (
                check(SetUp, 5, 0, Some(1), None),
                PriceError::NoBounds(SetUp),
            ),
            (
                check(ForeignExchange, 1, 150, None, None),
                PriceError::ShareOnly,
            ),
            (
                check(TopUp, 0, 1, Some(2), Some(1)),
                PriceError::MinAboveMax,
            ),
        ] {
            assert_eq!(found, Err(expected));
        }
    }

    proptest! {
        #[test]
        fn a_share_is_off_by_half_a_unit_at_most_and_grows_with_its_basis(
            basis in 0i64..1_000_000_000_000_000, more in 0i64..1_000_000, basis_points in 0u16..=10_000
        ) {
            let price = Price { basis_points, ..Price::default() };
            let exact = i128::from(basis) * i128::from(basis_points);
            let off = i128::from(price.of(basis)) * 10_000 - exact;
            prop_assert!(off.abs() * 2 <= 10_000);
            prop_assert!(price.of(basis + more) >= price.of(basis));
        }
    }
}
