//! Tests of `conversion.rs`: a table of cases by hand, and properties over random amounts and rates.

use super::*;
use crate::engine::postings::Kept;
use crate::engine::rates::ExchangeRate;
use proptest::prelude::*;

fn currency(letters: &str) -> Currency {
    Currency::from_alpha(letters).unwrap_or_else(|| panic!("no currency {letters}"))
}

fn money(amount_minor: i64, letters: &str) -> Money {
    Money {
        amount_minor,
        currency: currency(letters),
    }
}

fn table(pairs: &[(&str, &str, &str)]) -> Rates {
    let pairs = pairs.iter().map(|(from, to, rate)| ExchangeRate {
        from: currency(from),
        to: currency(to),
        rate: rate.parse().unwrap(),
    });
    Rates::new(7, "test".into(), pairs.collect()).unwrap()
}

fn convert(
    amounts: &Amounts,
    account_currency: Currency,
    rates: &Rates,
    mark_up_basis_points: u16,
    direction: Direction,
) -> Option<Converted> {
    let terms = Terms {
        account_currency,
        rates,
        mark_up: MarkUp::of_program(mark_up_basis_points),
        direction,
    };
    super::convert(amounts, &terms)
}

fn amounts(transaction: Money, billing: Option<Money>) -> Amounts {
    Amounts {
        transaction,
        billing,
    }
}

/// What came of it: amount, network, mark-up, rounding.
fn split(converted: &Option<Converted>) -> Option<(i64, i64, i64, i64)> {
    let converted = converted.as_ref()?;
    let amount_minor = converted.amount_minor;
    Some(match &converted.conversion {
        None => (amount_minor, amount_minor, 0, 0),
        Some(conversion) => (
            amount_minor,
            conversion.network_minor,
            conversion.mark_up_minor,
            conversion.rounding_minor,
        ),
    })
}

#[test]
fn every_exponent_converts_both_ways() {
    let rates = table(&[
        ("JPY", "USD", "0.0066"),
        ("USD", "KWD", "0.3069"),
        ("CLF", "USD", "40.1234"),
        ("UYW", "USD", "0.0291"),
        ("USDT", "USD", "0.9998"),
        ("USDT", "JPY", "151.5"),
        ("UYW", "KWD", "0.0089"),
    ]);
    // From, to, and the amount, the network's nearest first, then what the account pays and gets.
    for (from, to, network, pays, gets) in [
        (money(1_000, "JPY"), "USD", 660, 660, 660),
        // 10 yen are 6.6 cents.
        (money(10, "JPY"), "USD", 7, 7, 6),
        // 1.00 / 0.0066 = 151.51... yen.
        (money(100, "USD"), "JPY", 152, 152, 151),
        // 10.00 * 0.3069 = 3.069 dinars of a thousand fils.
        (money(1_000, "USD"), "KWD", 3_069, 3_069, 3_069),
        // 1.000 / 0.3069 = 3.2583... dollars.
        (money(1_000, "KWD"), "USD", 326, 326, 325),
        // 1.2345 * 40.1234 = 49.53...
        (money(12_345, "CLF"), "USD", 4_953, 4_954, 4_953),
        // 1.00 / 40.1234 = 0.02492... of ten thousand.
        (money(100, "USD"), "CLF", 249, 250, 249),
        (money(10_000, "UYW"), "USD", 3, 3, 2),
        (money(100, "USD"), "UYW", 343_643, 343_643, 343_642),
        // A millionth of a dollar coin: nearest is nothing, and yet it is not free.
        (money(1, "USDT"), "USD", 0, 1, 0),
        (money(1_000_000, "USDT"), "USD", 100, 100, 99),
        (money(100, "USD"), "USDT", 1_000_200, 1_000_201, 1_000_200),
        (money(1_500_000, "USDT"), "JPY", 227, 228, 227),
        (money(1, "JPY"), "USDT", 6_601, 6_601, 6_600),
        (money(10_000, "UYW"), "KWD", 9, 9, 8),
        (money(1, "KWD"), "UYW", 1_124, 1_124, 1_123),
    ] {
        let of = |direction| {
            split(&convert(
                &amounts(from, None),
                currency(to),
                &rates,
                0,
                direction,
            ))
        };
        let named = format!("{from:?} to {to}");
        let expected = |amount| Some((amount, network, 0, amount - network));
        assert_eq!(of(Direction::Debit), expected(pays), "{named}");
        assert_eq!(of(Direction::Credit), expected(gets), "{named}");
    }
}

#[test]
fn half_a_unit_goes_to_the_even_one_for_the_network() {
    let rates = table(&[("EUR", "USD", "0.5")]);
    for (from, network) in [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)] {
        let converted = convert(
            &amounts(money(from, "EUR"), None),
            currency("USD"),
            &rates,
            0,
            Direction::Debit,
        );
        assert_eq!(converted.unwrap().network_minor(), network, "{from}");
    }
}

#[test]
fn the_four_ways_and_what_is_kept_of_them() {
    let rates = table(&[("EUR", "USD", "1.0833"), ("USD", "JPY", "151")]);
    let usd = currency("USD");
    let convert = |transaction, billing, mark_up, direction| {
        convert(
            &amounts(transaction, billing),
            usd,
            &rates,
            mark_up,
            direction,
        )
    };
    // In the account's currency: as it is, whatever the network billed.
    let same = convert(
        money(500, "USD"),
        Some(money(450, "EUR")),
        150,
        Direction::Debit,
    );
    assert_eq!((split(&same), same.unwrap().conversion), {
        (Some((500, 500, 0, 0)), None)
    });
    // 1,000 yen that the network bills as 6.62, and 1.5 % of it: 9.93 cents.
    let network = convert(
        money(1_000, "JPY"),
        Some(money(662, "USD")),
        150,
        Direction::Debit,
    );
    assert_eq!(split(&network), Some((672, 662, 9, 1)));
    let kept = network.unwrap().conversion.unwrap();
    assert_eq!(
        (kept.source, kept.from.alpha(), kept.rate.to_string()),
        (RateSource::Network, "JPY", "0.00662".into())
    );
    assert_eq!((kept.table_version, kept.mark_up_basis_points), (None, 150));
    // 20.00 euros by our table: 21.666, and 1.5 % of that: 32.499 cents.
    let by_table = convert(money(2_000, "EUR"), None, 150, Direction::Debit);
    assert_eq!(split(&by_table), Some((2_200, 2_167, 32, 1)));
    let kept = by_table.unwrap().conversion.unwrap();
    assert_eq!(
        (kept.source, kept.rate.to_string(), kept.table_version),
        (RateSource::Table, "1.0833".into(), Some(7))
    );
    // 3,000 yen that the network bills as 18.31 euros: 19.835223 by our table.
    let both = convert(
        money(3_000, "JPY"),
        Some(money(1_831, "EUR")),
        0,
        Direction::Debit,
    );
    assert_eq!(split(&both), Some((1_984, 1_984, 0, 0)));
    let kept = both.unwrap().conversion.unwrap();
    assert_eq!(
        (kept.source, kept.from.alpha(), kept.rate.to_string()),
        (RateSource::NetworkAndTable, "EUR", "1.0833".into())
    );
    // A refund gets what is left after the mark-up.
    let refund = convert(money(2_000, "EUR"), None, 150, Direction::Credit);
    assert_eq!(split(&refund), Some((2_134, 2_167, -32, -1)));
    // By the opposite pair: 151 yen are a dollar.
    let inverse = convert(money(302, "JPY"), None, 0, Direction::Debit).unwrap();
    assert_eq!(inverse.amount_minor, 200);
    assert_eq!(
        inverse.conversion.unwrap().rate.to_string(),
        "0.00662251655629"
    );
    // No rate of the transaction's currency, nor of the billing one; nothing needs none.
    assert_eq!(convert(money(100, "GBP"), None, 0, Direction::Debit), None);
    assert_eq!(
        convert(
            money(100, "EUR"),
            Some(money(90, "GBP")),
            0,
            Direction::Debit
        ),
        None
    );
    assert_eq!(
        convert(money(0, "GBP"), None, 150, Direction::Nowhere),
        Some(Converted::same(0))
    );
    assert_eq!(convert(money(-1, "EUR"), None, 0, Direction::Debit), None);
}

#[test]
fn twelve_digits_of_any_currency_convert_at_any_rate_and_what_is_too_much_does_not() {
    let largest = 999_999_999_999;
    let letters = ["JPY", "USD", "KWD", "CLF", "UYW", "USDT"];
    for from in letters {
        for to in letters.iter().filter(|to| **to != from) {
            for rate in ["1.23456789012345", "0.00123456789012", "0.987654321012345"] {
                for rates in [table(&[(from, to, rate)]), table(&[(to, from, rate)])] {
                    let amounts = amounts(money(largest, from), None);
                    let converted = convert(
                        &amounts,
                        currency(to),
                        &rates,
                        BASIS_POINTS,
                        Direction::Debit,
                    );
                    let amount_minor = converted.map(|converted| converted.amount_minor);
                    // Below one of the balance's ends: never a wrong number, and a number nearly always.
                    let exponents =
                        currency(to).exponent() as f64 - currency(from).exponent() as f64;
                    let rate: f64 = rate.parse().unwrap();
                    let rate = if rates.pairs()[0].from == currency(from) {
                        rate
                    } else {
                        1.0 / rate
                    };
                    let about = largest as f64 * rate * 2.0 * 10f64.powf(exponents);
                    match amount_minor {
                        None => assert!(about > 1e18, "{from} {to} {rate}: {about}"),
                        Some(found) => assert!(
                            (found as f64 - about).abs() <= about * 1e-9 + 1.0,
                            "{from} {to} {rate}: {found}, not {about}"
                        ),
                    }
                }
            }
        }
    }
    // The most that a message can say, at the longest rate, into six more places: out of range, no panic.
    let rates = table(&[
        ("JPY", "USDT", "999999999999999"),
        ("KWD", "JPY", "0.000000000000001"),
    ]);
    for (from, to) in [("JPY", "USDT"), ("USDT", "JPY"), ("JPY", "KWD")] {
        for amount_minor in [1, 1_000_000_000_000_000, i64::MAX] {
            for direction in [Direction::Debit, Direction::Credit] {
                let amounts = amounts(money(amount_minor, from), None);
                let converted = convert(&amounts, currency(to), &rates, BASIS_POINTS, direction);
                let found = converted.map_or(0, |converted| converted.amount_minor);
                assert!((0..=BALANCE_MAX_MINOR).contains(&found));
            }
        }
    }
    let too_much = amounts(money(1_000_000_000_000_000, "JPY"), None);
    let converted = convert(&too_much, currency("USDT"), &rates, 0, Direction::Debit);
    assert_eq!(converted, None);
}

#[test]
fn a_rate_that_no_version_of_ours_wrote_has_no_answer() {
    for rate in [
        Rate {
            digits: 0,
            scale: 0,
        },
        Rate {
            digits: 1,
            scale: 255,
        },
        Rate {
            digits: u64::MAX,
            scale: 38,
        },
    ] {
        for pair in [("EUR", "USD"), ("USD", "EUR")] {
            let (from, to) = (currency(pair.0), currency(pair.1));
            let pairs = vec![ExchangeRate { from, to, rate }];
            let rates = Rates::new(1, "".into(), pairs).unwrap();
            let amounts = amounts(money(1_000_000, "EUR"), None);
            let converted = convert(&amounts, currency("USD"), &rates, 1, Direction::Debit);
            let found = converted.map_or(0, |converted| converted.amount_minor);
            assert!((0..=1).contains(&found), "{rate:?} {found}");
        }
    }
}

#[test]
fn every_source_has_its_name() {
    for source in [
        RateSource::Network,
        RateSource::Table,
        RateSource::NetworkAndTable,
    ] {
        assert_eq!(RateSource::from_name(source.name()), Some(source));
    }
}

pub(in crate::engine) fn any_letters() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("JPY"),
        Just("USD"),
        Just("KWD"),
        Just("CLF"),
        Just("UYW"),
        Just("USDT")
    ]
}

/// Rates as tables have them, from a few thousandths to some hundreds.
pub(in crate::engine) fn any_rate() -> impl Strategy<Value = Rate> {
    (1u64..10_000_000, 0u8..8).prop_map(|(digits, scale)| Rate { digits, scale })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_charged_is_the_exact_amount_to_the_next_unit_against_the_account(
        (from, to) in (any_letters(), any_letters()),
        rate in any_rate(),
        inverse in any::<bool>(),
        amount_minor in 1i64..1_000_000_000_000,
        mark_up in 0u16..=BASIS_POINTS,
        credit in any::<bool>(),
    ) {
        let (from, to) = (currency(from), currency(to));
        prop_assume!(from != to);
        let pair = if inverse { (to, from) } else { (from, to) };
        let pairs = vec![ExchangeRate { from: pair.0, to: pair.1, rate }];
        let rates = Rates::new(1, "".into(), pairs).unwrap();
        let transaction = Money { amount_minor, currency: from };
        let direction = if credit { Direction::Credit } else { Direction::Debit };
        let converted = convert(&amounts(transaction, None), to, &rates, mark_up, direction);
        let Some(converted) = converted else { return Ok(()) };
        // The exact amount is above / below, by cross-multiplication.
        let ten = |places: u8| 10i128.pow(places.into());
        let (up, down) = (ten(to.exponent()), ten(from.exponent()));
        let (digits, scale) = (i128::from(rate.digits), ten(rate.scale));
        let (times, over) = if inverse { (scale, digits) } else { (digits, scale) };
        let share = i128::from(if credit { BASIS_POINTS - mark_up } else { BASIS_POINTS + mark_up });
        let above = i128::from(amount_minor) * up * times * share;
        let below = down * over * i128::from(BASIS_POINTS);
        let charged = i128::from(converted.amount_minor) * below;
        if credit {
            prop_assert!(charged <= above && above < charged + below);
        } else {
            prop_assert!(charged >= above && above > charged - below);
        }
        // The network's is off by half a unit at the most.
        let network = i128::from(converted.network_minor()) * below;
        let exact = i128::from(amount_minor) * up * times * i128::from(BASIS_POINTS);
        prop_assert!(2 * (network - exact).abs() <= below);
        // Every leg is what we keep, and all of them with the customer's and the network's are nothing.
        let kept = Kept::of(converted.conversion.as_deref());
        let kept_minor = kept.mark_up_minor + kept.rounding_minor;
        let sign = if credit { 1 } else { -1 };
        prop_assert_eq!(
            sign * converted.amount_minor - sign * converted.network_minor() + kept_minor, 0
        );
        prop_assert!(kept.mark_up_minor >= 0 && kept.rounding_minor >= 0);
        let rounding = converted.conversion.unwrap().rounding_minor;
        prop_assert!((0..=2).contains(&(-rounding * sign)), "{}", rounding);
    }
}
