//! What an amount of a message comes to in the account's currency: the network's part, the program's
//! mark-up, and what rounding leaves. Which account that is lives in `funding.rs`, the table of rates in
//! `rates.rs`.
//!
//! Integers only, in 128 bits; what does not fit has no answer. The network gets the nearest amount (half
//! to even). The account pays the next higher amount or gets the next lower one, and what lies between
//! goes to the rounding account.

use super::facts::{Amounts, from_name, name_of};
use super::fees::schedule::ScheduleVersion;
use super::kinds::Direction;
use super::money::{BALANCE_MAX_MINOR, Currency, Money};
use super::rates::{Amount, Found, Rate, Rates};
use serde::{Deserialize, Serialize};

/// 100 %, and the most that a mark-up may be.
pub const BASIS_POINTS: u16 = 10_000;

/// What a request comes to, in minor units of the account's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// What the account is charged or gets, all included.
    pub amount_minor: i64,
    /// Nothing where there was nothing to convert.
    pub conversion: Option<Box<Conversion>>,
}

/// How it came about. The amount is always network + mark-up + rounding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    pub source: RateSource,
    /// What was converted: the transaction's currency, or where our table converted what the network had
    /// converted before, that of the billing amount.
    pub from: Currency,
    /// Units of the account's currency for one of `from`, before the mark-up. One that comes of a division is
    /// kept to twelve digits; the amounts were counted exactly.
    pub rate: Rate,
    /// Of the table that the rate is from.
    pub table_version: Option<u64>,
    pub mark_up_basis_points: u16,
    /// What the network is owed or owes.
    pub network_minor: i64,
    /// Below zero where the account gets money: it gets that much less.
    pub mark_up_minor: i64,
    /// Above zero where the account pays, below where it gets.
    pub rounding_minor: i64,
    /// Where the mark-up is a fee of a schedule.
    pub fee: Option<ConversionFee>,
}

/// How a mark-up is parted between us and the reseller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversionFee {
    pub schedule: ScheduleVersion,
    /// Of the mark-up; with its sign.
    pub reseller_mark_up_minor: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateSource {
    /// The network's own billing amount is in the account's currency.
    Network,
    /// Our table, from the transaction's currency.
    Table,
    /// The network's billing amount is in a third currency, and our table went on from there.
    NetworkAndTable,
}

impl RateSource {
    pub const ALL: &'static [(RateSource, &'static str)] = &[
        (RateSource::Network, "network"),
        (RateSource::Table, "table"),
        (RateSource::NetworkAndTable, "network_and_table"),
    ];

    pub fn name(self) -> &'static str {
        name_of(RateSource::ALL, self)
    }

    pub fn from_name(name: &str) -> Option<RateSource> {
        from_name(RateSource::ALL, name)
    }
}

impl Converted {
    /// An amount that is in the account's currency already.
    fn same(amount_minor: i64) -> Converted {
        Converted {
            amount_minor,
            conversion: None,
        }
    }

    pub fn network_minor(&self) -> i64 {
        match &self.conversion {
            None => self.amount_minor,
            Some(conversion) => conversion.network_minor,
        }
    }
}

/// What a conversion depends on beside the message.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub account_currency: Currency,
    pub rates: &'a Rates,
    pub mark_up: MarkUp,
    /// Whether the account pays or gets, against which it is rounded.
    pub direction: Direction,
}

/// What is added to a conversion.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct MarkUp {
    /// All of it.
    pub basis_points: u16,
    /// By a schedule, and how much of it is the reseller's.
    pub fee: Option<(ScheduleVersion, u16)>,
}

impl MarkUp {
    pub fn of_program(basis_points: u16) -> MarkUp {
        MarkUp {
            basis_points,
            fee: None,
        }
    }
}

/// Converts what a message asks. `None` where there is no rate, or where the result is out of range.
///
/// The mark-up applies once wherever the transaction is in another currency, whoever converted it.
/// Nothing is nothing in every currency, and needs no rate.
pub fn convert(amounts: &Amounts, terms: &Terms) -> Option<Converted> {
    let transaction = amounts.transaction;
    let same = [Currency::ABSENT, terms.account_currency].contains(&transaction.currency);
    if same || transaction.amount_minor == 0 {
        return Some(Converted::same(transaction.amount_minor));
    }
    let basis = Basis::of(amounts, terms.account_currency, terms.rates)?;
    let exact = basis.exact;
    let parts = i128::from(BASIS_POINTS);
    let mark_up = i128::from(terms.mark_up.basis_points.min(BASIS_POINTS));
    let network_minor = exact.half_to_even()?;
    let (kept_minor, reseller_minor) = parted(exact, terms.mark_up)?;
    let (amount_minor, mark_up_minor) = match terms.direction {
        Direction::Credit => (exact.times(parts - mark_up, parts)?.down()?, -kept_minor),
        _ => (exact.times(parts + mark_up, parts)?.up()?, kept_minor),
    };
    let fee = terms.mark_up.fee.map(|(schedule, _)| ConversionFee {
        schedule,
        reseller_mark_up_minor: mark_up_minor.signum() * reseller_minor,
    });
    Some(Converted {
        amount_minor,
        conversion: Some(Box::new(Conversion {
            source: basis.source,
            from: basis.from.currency,
            rate: basis.rate,
            table_version: basis.table_version,
            mark_up_basis_points: terms.mark_up.basis_points,
            network_minor,
            mark_up_minor,
            rounding_minor: amount_minor - network_minor - mark_up_minor,
            fee,
        })),
    })
}

/// The mark-up on so much, and what of it is the reseller's; each rounded down.
fn parted(exact: Ratio, mark_up: MarkUp) -> Option<(i64, i64)> {
    let parts = i128::from(BASIS_POINTS);
    let of = |basis_points: u16| exact.times(i128::from(basis_points), parts)?.down();
    let reseller = mark_up.fee.map_or(0, |(_, basis_points)| basis_points);
    let all = mark_up.basis_points.min(BASIS_POINTS);
    Some((of(all)?, of(reseller.min(all))?))
}

impl MarkUp {
    /// What comes on top of a whole amount of the account's currency: all of it, and what of that is the reseller's.
    pub fn on(self, amount_minor: i64) -> Option<(i64, i64)> {
        parted(Ratio::whole(amount_minor), self)
    }
}

/// The amount before mark-up and rounding, and how it came about.
struct Basis {
    exact: Ratio,
    from: Money,
    rate: Rate,
    source: RateSource,
    table_version: Option<u64>,
}

impl Basis {
    fn of(amounts: &Amounts, to: Currency, rates: &Rates) -> Option<Basis> {
        let transaction = amounts.transaction;
        let from = amounts.billing.unwrap_or(transaction);
        if transaction.amount_minor < 0 || from.amount_minor < 0 {
            return None;
        }
        if from.currency == to {
            let of = |money: Money| Amount {
                minor: money.amount_minor,
                exponent: money.currency.exponent(),
            };
            return Some(Basis {
                exact: Ratio::whole(from.amount_minor),
                from: transaction,
                rate: Rate::between(of(transaction), of(from))?,
                source: RateSource::Network,
                table_version: None,
            });
        }
        let found = rates.find(from.currency, to)?;
        Some(Basis {
            exact: exact(from, to, found)?,
            from,
            rate: match found {
                Found::Direct(rate) => rate,
                Found::Inverse(rate) => rate.inverse()?,
            },
            source: match from.currency == transaction.currency {
                true => RateSource::Table,
                false => RateSource::NetworkAndTable,
            },
            table_version: Some(rates.version),
        })
    }
}

/// An amount at a rate of the table: minor units times the rate, times ten for each decimal place that the
/// currencies differ by.
fn exact(from: Money, to: Currency, found: Found) -> Option<Ratio> {
    let places = i32::from(to.exponent()) - i32::from(from.currency.exponent());
    let (times, over, places) = match found {
        Found::Direct(rate) => (rate.digits, 1, places - i32::from(rate.scale)),
        Found::Inverse(rate) => (1, rate.digits, places + i32::from(rate.scale)),
    };
    let ten = 10i128.checked_pow(places.unsigned_abs())?;
    let (more, less) = if places < 0 { (1, ten) } else { (ten, 1) };
    let times = i128::from(times).checked_mul(more)?;
    let over = i128::from(over).checked_mul(less)?;
    Ratio::whole(from.amount_minor).times(times, over)
}

/// An exact amount of zero or more.
#[derive(Debug, Clone, Copy)]
struct Ratio {
    numerator: i128,
    /// Above zero.
    denominator: i128,
}

impl Ratio {
    fn whole(amount_minor: i64) -> Ratio {
        Ratio {
            numerator: i128::from(amount_minor),
            denominator: 1,
        }
    }

    fn times(self, numerator: i128, denominator: i128) -> Option<Ratio> {
        let ratio = Ratio {
            numerator: self.numerator.checked_mul(numerator)?,
            denominator: self.denominator.checked_mul(denominator)?,
        };
        (ratio.denominator > 0).then_some(ratio)
    }

    fn down(self) -> Option<i64> {
        in_range(self.numerator / self.denominator)
    }

    fn up(self) -> Option<i64> {
        let rest = self.numerator % self.denominator;
        in_range(self.numerator / self.denominator + i128::from(rest > 0))
    }

    fn half_to_even(self) -> Option<i64> {
        let (whole, rest) = (
            self.numerator / self.denominator,
            self.numerator % self.denominator,
        );
        // The rest against what it lacks to a whole one.
        let more = match rest.cmp(&(self.denominator - rest)) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => whole % 2,
            std::cmp::Ordering::Greater => 1,
        };
        in_range(whole + more)
    }
}

/// Further than any balance reaches, an amount is out of range.
fn in_range(amount_minor: i128) -> Option<i64> {
    let amount_minor = i64::try_from(amount_minor).ok()?;
    (amount_minor <= BALANCE_MAX_MINOR).then_some(amount_minor)
}

#[cfg(test)]
#[path = "conversion_tests.rs"]
pub(super) mod tests;
