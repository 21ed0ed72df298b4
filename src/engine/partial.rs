//! Approval of a part of what was asked: the largest part of the transaction's amount that the account can
//! pay. Which kinds can be approved in part lives in `kinds.rs`.

use super::conversion::{Converted, Terms, convert};
use super::facts::Amounts;
use super::money::{Currency, Money};

/// A part of a transaction's amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// In the transaction's currency; the account's where the message names none.
    pub approved: Money,
    /// What it comes to; never more than the account has.
    pub converted: Converted,
}

/// What may be approved where the account has less than `asked`, but more than nothing.
pub(super) fn part(
    amounts: &Amounts,
    asked: &Converted,
    available_minor: i64,
    terms: &Terms,
) -> Option<Part> {
    if !(1..asked.amount_minor).contains(&available_minor) {
        return None;
    }
    let affordable = |part_minor: i64| {
        let converted = convert(&part_of(amounts, part_minor), terms)?;
        (converted.amount_minor <= available_minor).then_some(converted)
    };
    let (mut most_minor, mut too_much_minor) = bounds(amounts, asked, available_minor);
    while too_much_minor - most_minor > 1 {
        let between_minor = most_minor + (too_much_minor - most_minor) / 2;
        match affordable(between_minor) {
            Some(_) => most_minor = between_minor,
            None => too_much_minor = between_minor,
        }
    }
    let currency = match amounts.transaction.currency {
        Currency::ABSENT => terms.account_currency,
        stated => stated,
    };
    let approved = Money {
        amount_minor: most_minor,
        currency,
    };
    // Too little for the smallest unit of the transaction's currency is nothing.
    let converted = affordable(most_minor).filter(|_| most_minor > 0)?;
    Some(Part {
        approved,
        converted,
    })
}

/// A part that there is money for, and one that there is none for; the largest lies between. What is charged
/// grows with the part, so that a part of the parts, rounded down on each way back, comes to what there is at
/// the most; and since rounding adds less than one unit to all of it, the other bound is near.
fn bounds(amounts: &Amounts, asked: &Converted, available_minor: i64) -> (i64, i64) {
    let transaction_minor = amounts.transaction.amount_minor;
    let asked_minor = asked.amount_minor;
    let most_minor = match amounts.billing.filter(|_| asked.conversion.is_some()) {
        None => share(transaction_minor, available_minor, asked_minor),
        Some(billing) => {
            let billing_minor = share(billing.amount_minor, available_minor, asked_minor);
            share(transaction_minor, billing_minor, billing.amount_minor)
        }
    };
    let too_much_minor = share(transaction_minor, available_minor, asked_minor - 1) + 1;
    (most_minor, too_much_minor.min(transaction_minor))
}

/// The amounts of a part. The billing amount goes with it, and is rounded up.
fn part_of(amounts: &Amounts, part_minor: i64) -> Amounts {
    let whole_minor = amounts.transaction.amount_minor;
    let mut amounts = *amounts;
    amounts.transaction.amount_minor = part_minor;
    if let Some(billing) = &mut amounts.billing {
        // Rounded down, the whole less the part is what the part rounded up leaves.
        let rest_minor = share(billing.amount_minor, whole_minor - part_minor, whole_minor);
        billing.amount_minor -= rest_minor;
    }
    amounts
}

/// `whole` · `part` / `of`, rounded down. A part is not above what it is of, so the result is not above the
/// whole.
fn share(whole: i64, part: i64, of: i64) -> i64 {
    (i128::from(whole) * i128::from(part) / i128::from(of.max(1))) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conversion::{BASIS_POINTS, MarkUp, tests as conversions};
    use crate::engine::kinds::Direction;
    use crate::engine::rates::{ExchangeRate, Rates};
    use proptest::prelude::*;

    fn currency(letters: &str) -> Currency {
        Currency::from_alpha(letters).unwrap()
    }

    fn amounts(transaction: (i64, &str), billing: Option<(i64, &str)>) -> Amounts {
        let money = |(amount_minor, letters)| Money {
            amount_minor,
            currency: currency(letters),
        };
        Amounts {
            transaction: money(transaction),
            billing: billing.map(money),
        }
    }

    #[test]
    fn a_part_is_of_what_there_is_where_that_is_something() {
        let rates = Rates::default();
        let terms = Terms {
            account_currency: currency("USD"),
            rates: &rates,
            mark_up: MarkUp::default(),
            direction: Direction::Debit,
        };
        let part = |amounts: &Amounts, available_minor| {
            let asked = convert(amounts, &terms).unwrap();
            let part = part(amounts, &asked, available_minor, &terms)?;
            let approved = part.approved.amount_minor;
            Some((approved, part.converted.amount_minor))
        };
        let dollars = amounts((700, "USD"), None);
        assert_eq!(part(&dollars, 500), Some((500, 500)));
        assert_eq!(part(&dollars, 700), None);
        assert_eq!(part(&dollars, 0), None);
        assert_eq!(part(&dollars, -5), None);
        assert_eq!(part(&dollars, 1), Some((1, 1)));
        // The billing amount in yet another currency plays no part.
        let billed = amounts((700, "USD"), Some((650, "EUR")));
        assert_eq!(part(&billed, 699), Some((699, 699)));
        // Ten yen for 7.00: three cents do not buy one, five dollars buy seven for 4.90.
        let yen = amounts((10, "JPY"), Some((700, "USD")));
        assert_eq!(part(&yen, 3), None);
        assert_eq!(part(&yen, 69), None);
        assert_eq!(part(&yen, 70), Some((1, 70)));
        assert_eq!(part(&yen, 500), Some((7, 490)));
        assert_eq!(part(&yen, 699), Some((9, 630)));
    }

    fn any_currency() -> impl Strategy<Value = Currency> {
        conversions::any_letters().prop_map(currency)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_part_converted_again_is_what_there_is_at_the_most_and_one_more_would_be_too_much(
            (of, through, to) in (any_currency(), any_currency(), any_currency()),
            rates in (conversions::any_rate(), conversions::any_rate()),
            inverse in any::<bool>(),
            whole_minor in 1i64..1_000_000_000_000,
            billing in proptest::option::of(1i64..1_000_000_000_000),
            mark_up_basis_points in 0u16..=BASIS_POINTS,
            share in 1i64..1_000_000,
        ) {
            let pair = |from, to, rate| match inverse {
                false => ExchangeRate { from, to, rate },
                true => ExchangeRate { from: to, to: from, rate },
            };
            let mut pairs = vec![pair(of, to, rates.0)];
            if through != of {
                pairs.push(pair(through, to, rates.1));
            }
            pairs.retain(|pair| pair.from != pair.to);
            let table = Rates::new(1, "".into(), pairs).unwrap();
            let terms = Terms {
                account_currency: to,
                rates: &table,
                mark_up: MarkUp::of_program(mark_up_basis_points),
                direction: Direction::Debit,
            };
            let money = |amount_minor, currency| Money { amount_minor, currency };
            let amounts = Amounts {
                transaction: money(whole_minor, of),
                billing: billing.map(|billing_minor| money(billing_minor, through)),
            };
            let Some(asked) = convert(&amounts, &terms) else { return Ok(()) };
            let available_minor = (i128::from(asked.amount_minor) * i128::from(share) / 1_000_000) as i64;
            let charged = |part_minor| {
                convert(&part_of(&amounts, part_minor), &terms).unwrap().amount_minor
            };
            match part(&amounts, &asked, available_minor, &terms) {
                None => prop_assert!(available_minor == 0 || charged(1) > available_minor),
                Some(part) => {
                    let part_minor = part.approved.amount_minor;
                    prop_assert!((1..whole_minor).contains(&part_minor));
                    prop_assert_eq!(part.converted.amount_minor, charged(part_minor));
                    prop_assert!(charged(part_minor) <= available_minor);
                    prop_assert!(charged(part_minor + 1) > available_minor);
                    prop_assert_eq!(part.approved.currency, of);
                }
            }
            // The bounds are what they say, so that the search between them is short.
            if (1..asked.amount_minor).contains(&available_minor) {
                let (most_minor, too_much_minor) = bounds(&amounts, &asked, available_minor);
                prop_assert!(charged(most_minor) <= available_minor);
                prop_assert!(charged(too_much_minor) > available_minor);
            }
        }
    }
}
