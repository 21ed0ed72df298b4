//! What a purchase abroad comes to, in plain fractions: the naive decision maker's own way to convert, with
//! the rates written out. Nothing of the engine's arithmetic is used.

use cardswitch::engine::conversion::{Conversion, RateSource};
use cardswitch::engine::facts::Amounts;
use cardswitch::engine::money::{Currency, Money};

/// Of the program of the oracle, for every account in dollars.
pub const MARK_UP: u16 = 150;

pub fn currency(letters: &str) -> Currency {
    Currency::from_alpha(letters).unwrap()
}

/// The table of rates; the francs and pounds of the cases below are in none.
pub fn rates() -> [(Currency, Currency, &'static str); 3] {
    let usd = currency("USD");
    [
        (currency("EUR"), usd, "1.0833"),
        (usd, currency("JPY"), "151.25"),
        (currency("USDT"), usd, "0.9998"),
    ]
}

/// Number of cases; case 0 is at home.
pub const CASES: u8 = 7;

/// The currency of a case, and in which the network bills, if it does.
fn currencies(case: u8) -> (&'static str, Option<&'static str>) {
    match case {
        0 => ("USD", None),
        1 => ("EUR", None),
        2 => ("JPY", None),
        3 => ("USDT", None),
        4 => ("KWD", Some("USD")),
        5 => ("GBP", Some("EUR")),
        _ => ("CHF", None),
    }
}

fn billed(case: u8, amount: i64) -> i64 {
    match case {
        4 => amount / 3,
        _ => amount * 12 / 10,
    }
}

/// An amount as large as in dollars, in the smallest units of the case. Only those above zero are scaled.
pub fn local(case: u8, amount: i64) -> i64 {
    match case {
        2 if amount > 0 => amount * 3 / 2 + 1,
        3 if amount > 0 => amount * 9_973,
        4 if amount > 0 => amount * 3 + 7,
        _ => amount,
    }
}

pub fn amounts(case: u8, amount: i64) -> Amounts {
    let (letters, billing) = currencies(case);
    let money = |amount_minor, letters| Money {
        amount_minor,
        currency: currency(letters),
    };
    Amounts {
        transaction: money(amount, letters),
        billing: billing.map(|letters| money(billed(case, amount), letters)),
    }
}

/// A fraction above or at zero.
#[derive(Debug, Clone, Copy)]
struct Fraction(i128, i128);

impl Fraction {
    fn of(number: i64) -> Fraction {
        Fraction(number.into(), 1)
    }

    fn times(self, over: i128, under: i128) -> Fraction {
        let (over, under) = (self.0 * over, self.1 * under);
        let (mut a, mut b) = (over, under);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Fraction(over / a.max(1), under / a.max(1))
    }

    fn floor(self) -> i64 {
        (self.0 / self.1) as i64
    }

    fn ceiling(self) -> i64 {
        ((self.0 + self.1 - 1) / self.1) as i64
    }

    /// To the nearest, and from the middle to the even one.
    fn nearest(self) -> i64 {
        let half_more = Fraction(2 * self.0 + self.1, 2 * self.1);
        let up = half_more.floor();
        let was_middle = i128::from(up) * half_more.1 == half_more.0;
        if was_middle && up % 2 == 1 {
            up - 1
        } else {
            up
        }
    }
}

/// How many cents one of the smallest units is worth that our table is asked about, or that the network
/// billed; `None` without a rate.
fn worth(case: u8) -> Option<Fraction> {
    match case {
        0 | 4 => Some(Fraction(1, 1)),
        // A euro cent is a hundredth of 1.0833 dollars.
        1 | 5 => Some(Fraction(10_833, 10_000)),
        // A yen is 1 / 151.25 dollars, which are a hundred times as many cents.
        2 => Some(Fraction(10_000, 15_125)),
        // A millionth of 0.9998 dollars.
        3 => Some(Fraction(9_998, 100_000_000)),
        _ => None,
    }
}

fn cents(case: u8, amount: i64) -> Option<Fraction> {
    if amount == 0 {
        return Some(Fraction::of(0));
    }
    let basis = if currencies(case).1.is_some() {
        billed(case, amount)
    } else {
        amount
    };
    charged_basis(case, basis)
}

fn charged_basis(case: u8, basis: i64) -> Option<Fraction> {
    let worth = worth(case)?;
    Some(Fraction::of(basis).times(worth.0, worth.1))
}

/// 101.5 % abroad.
fn with_mark_up(case: u8, cents: Fraction) -> Fraction {
    if case == 0 {
        cents
    } else {
        cents.times(1_015, 1_000)
    }
}

/// What the account is charged for an amount, in cents.
pub fn charged(case: u8, amount: i64) -> Option<i64> {
    Some(with_mark_up(case, cents(case, amount)?).ceiling())
}

/// The largest part that can be paid, and what is charged for it.
pub fn part(case: u8, amount: i64, available: i64) -> Option<(i64, i64)> {
    let worth = with_mark_up(case, worth(case)?);
    let affordable = Fraction::of(available).times(worth.1, worth.0).floor();
    let (part, basis) = match currencies(case).1 {
        None => (affordable, affordable),
        Some(_) => {
            let whole = i128::from(billed(case, amount));
            let part = Fraction::of(affordable).times(amount.into(), whole).floor();
            let basis = Fraction::of(part).times(whole, amount.into()).ceiling();
            (part, basis)
        }
    };
    let charged = with_mark_up(case, charged_basis(case, basis)?).ceiling();
    (part > 0).then_some((part, charged))
}

/// What is asked, in cents: what an account pays, or gets. Nothing is converted from less than zero.
pub fn comes_to(case: u8, amount: i64, credit: bool) -> Option<i64> {
    if case == 0 || amount == 0 {
        return Some(amount);
    }
    if amount < 0 {
        return None;
    }
    match credit {
        false => charged(case, amount),
        true => Some(cents(case, amount)?.times(985, 1_000).floor()),
    }
}

/// What the program keeps of a payment or a refund; never below zero but where it goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Kept {
    pub mark_up: i64,
    pub rounding: i64,
    /// The same mark-up where it is a fee: two thirds ours, and the rest the reseller's.
    pub ours: i64,
    pub resellers: i64,
}

impl Kept {
    pub fn plus(self, other: Kept) -> Kept {
        Kept {
            mark_up: self.mark_up + other.mark_up,
            rounding: self.rounding + other.rounding,
            ours: self.ours + other.ours,
            resellers: self.resellers + other.resellers,
        }
    }

    /// What of it is in the books: mark-up, rounding, our fee and the reseller's.
    pub fn booked(self, is_fee: bool) -> [i64; 4] {
        match is_fee {
            false => [self.mark_up, self.rounding, 0, 0],
            true => [0, self.rounding, self.ours, self.resellers],
        }
    }

    /// As much of it as a part is of the whole, in full cents.
    pub fn share(self, part: i64, whole: i64) -> Kept {
        let of = |kept: i64| match whole {
            0 => 0,
            _ => (i128::from(kept) * i128::from(part) / i128::from(whole)) as i64,
        };
        Kept {
            mark_up: of(self.mark_up),
            rounding: of(self.rounding),
            ours: of(self.ours),
            resellers: of(self.resellers),
        }
    }
}

/// What is kept of all of an amount, or of a part of it.
pub fn kept(case: u8, amount: i64, part: Option<i64>, credit: bool) -> Kept {
    if case == 0 || amount == 0 {
        return Kept::default();
    }
    let (_, mark_up, rounding) = divided(case, amount, part, credit);
    let resellers = exact(case, amount, part).times(5, 1_000).floor();
    Kept {
        mark_up,
        rounding,
        ours: mark_up - resellers,
        resellers,
    }
}

/// What a payment, or a part of it, is in the account's cents.
fn exact(case: u8, amount: i64, part: Option<i64>) -> Fraction {
    let basis = match (currencies(case).1, part) {
        (None, part) => part.unwrap_or(amount),
        (Some(_), None) => billed(case, amount),
        (Some(_), Some(part)) => {
            let whole = i128::from(billed(case, amount));
            Fraction::of(part).times(whole, amount.into()).ceiling()
        }
    };
    charged_basis(case, basis).unwrap()
}

/// What the network gets, the mark-up, and what rounding leaves.
fn divided(case: u8, amount: i64, part: Option<i64>, credit: bool) -> (i64, i64, i64) {
    let exact = exact(case, amount, part);
    let (network, mark_up) = (exact.nearest(), exact.times(15, 1_000).floor());
    let rounding = match credit {
        true => network - mark_up - exact.times(985, 1_000).floor(),
        false => exact.times(1_015, 1_000).ceiling() - network - mark_up,
    };
    (network, mark_up, rounding)
}

/// What has to be kept of an approval of all of an amount, or of a part of it.
pub fn assert_kept(
    case: u8,
    amount: i64,
    part: Option<i64>,
    credit: bool,
    kept: Option<&Conversion>,
) {
    if case == 0 || amount == 0 {
        return assert_eq!(kept, None);
    }
    let kept = kept.expect("a conversion is kept");
    let (network, mark_up, rounding) = divided(case, amount, part, credit);
    let sign = if credit { -1 } else { 1 };
    assert_eq!(
        (kept.network_minor, kept.mark_up_minor, kept.rounding_minor),
        (network, sign * mark_up, sign * rounding),
        "case {case}, {amount}"
    );
    let source = match case {
        4 => RateSource::Network,
        5 => RateSource::NetworkAndTable,
        _ => RateSource::Table,
    };
    assert_eq!((kept.source, kept.mark_up_basis_points), (source, MARK_UP));
}
