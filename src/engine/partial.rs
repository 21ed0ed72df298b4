//! Approval of a part of what was asked: the largest round part of the transaction's amount that the
//! account can pay. Which kinds can be approved in part lives in `kinds.rs`.

use super::conversion::{Converted, Terms, convert};
use super::facts::Amounts;
use super::money::{Currency, Money};
use super::state::Account;

/// A part of a transaction's amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// In the transaction's currency; the account's where the message names none.
    pub approved: Money,
    /// What it comes to; never more than the account has.
    pub converted: Converted,
}

/// What may be approved where `account` has less than `asked`, but more than nothing.
pub(super) fn part(
    amounts: &Amounts,
    asked: &Converted,
    account: &Account,
    terms: &Terms,
) -> Option<Part> {
    let available_minor = account.available_minor();
    if !(1..asked.amount_minor).contains(&available_minor) {
        return None;
    }
    let amounts = part_of(amounts, asked, available_minor);
    // Too little for the smallest unit of the transaction's currency is nothing.
    let converted = convert(&amounts, terms).filter(|_| amounts.transaction.amount_minor > 0)?;
    let currency = match amounts.transaction.currency {
        Currency::ABSENT => terms.account_currency,
        stated => stated,
    };
    let approved = Money {
        currency,
        ..amounts.transaction
    };
    // It cannot come to more, see below; what must not be is refused all the same.
    let covered = converted.amount_minor <= available_minor;
    covered.then_some(Part {
        approved,
        converted,
    })
}

/// The amounts of the part for which there is money. It is rounded down at each step back, from the
/// account's currency to the billing amount and to the transaction's, and the billing amount of what is
/// left is rounded up: all of it together comes to what there is at the most, since what is charged grows
/// with what is billed, and was rounded up when all of it was charged.
fn part_of(amounts: &Amounts, asked: &Converted, available_minor: i64) -> Amounts {
    let transaction_minor = amounts.transaction.amount_minor;
    let asked_minor = asked.amount_minor;
    // What the network billed plays no part where the transaction is in the account's currency.
    let billing = amounts.billing.filter(|_| asked.conversion.is_some());
    let Some(billing) = billing else {
        let part_minor = share(transaction_minor, available_minor, asked_minor);
        return with(amounts, part_minor, None);
    };
    let billing_minor = billing.amount_minor;
    let billed_minor = share(billing_minor, available_minor, asked_minor);
    let part_minor = share(transaction_minor, billed_minor, billing_minor);
    let billed_minor = share_up(billing_minor, part_minor, transaction_minor);
    with(amounts, part_minor, Some(billed_minor))
}

fn with(amounts: &Amounts, transaction_minor: i64, billing_minor: Option<i64>) -> Amounts {
    let mut amounts = *amounts;
    amounts.transaction.amount_minor = transaction_minor;
    if let (Some(billing), Some(billing_minor)) = (&mut amounts.billing, billing_minor) {
        billing.amount_minor = billing_minor;
    }
    amounts
}

/// `whole` · `part` / `of`, rounded down. The part is not above what it is of, so neither is the result above
/// the whole.
fn share(whole: i64, part: i64, of: i64) -> i64 {
    (i128::from(whole) * i128::from(part) / i128::from(of.max(1))) as i64
}

fn share_up(whole: i64, part: i64, of: i64) -> i64 {
    let of = i128::from(of.max(1));
    ((i128::from(whole) * i128::from(part) + of - 1) / of) as i64
}
