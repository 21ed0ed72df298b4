//! Approval of a part of what was asked: how much, in the account's currency and in the transaction's. Which
//! kinds can be approved in part lives in `kinds.rs`.

use super::checks::Context;
use super::command::Authorize;
use super::facts::Amounts;
use super::kinds::Treatment;
use super::money::{Currency, Money};

/// What may be approved of `asked_minor`, in the account's currency: all of it, or what there is.
pub(super) fn approvable(
    authorize: &Authorize,
    treatment: Option<&Treatment>,
    asked_minor: i64,
    available_minor: i64,
) -> i64 {
    let in_part = authorize.partial_approval_supported
        && treatment.is_some_and(|treatment| treatment.in_part)
        && (1..asked_minor).contains(&available_minor)
        // Too little for the smallest unit of the transaction's currency is nothing.
        && part_of(&authorize.amounts, asked_minor, available_minor) > 0;
    if in_part {
        available_minor
    } else {
        asked_minor
    }
}

/// The approved part in the transaction's currency; `None` where all was approved.
pub(super) fn approved(context: &Context) -> Option<Money> {
    let (asked_minor, amount_minor) = (context.asked_minor?, context.amount_minor?);
    let amounts = &context.command.amounts;
    let currency = match amounts.transaction.currency {
        Currency::ABSENT => context.account.currency,
        stated => stated,
    };
    (amount_minor < asked_minor).then(|| Money {
        amount_minor: part_of(amounts, asked_minor, amount_minor),
        currency,
    })
}

/// The same part of the transaction's amount, rounded down: converted again, it must not come to more.
fn part_of(amounts: &Amounts, asked_minor: i64, part_minor: i64) -> i64 {
    let transaction_minor = i128::from(amounts.transaction.amount_minor);
    let part = transaction_minor * i128::from(part_minor) / i128::from(asked_minor.max(1));
    // Not above the transaction's amount, since the part is not above what was asked.
    part as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::Kind;
    use proptest::prelude::*;

    fn amounts(transaction_minor: i64, billing_minor: i64) -> Amounts {
        let money = |amount_minor, currency| Money {
            amount_minor,
            currency: Currency(currency),
        };
        Amounts {
            transaction: money(transaction_minor, 392),
            billing: Some(money(billing_minor, 840)),
        }
    }

    #[test]
    fn a_part_is_of_what_there_is_where_kind_and_terminal_can_take_it() {
        let cases = [
            (Kind::Purchase, true, 700, 500, 500),
            (Kind::Purchase, true, 700, 700, 700),
            (Kind::Purchase, true, 700, 0, 700),
            (Kind::Purchase, true, 700, -5, 700),
            (Kind::Purchase, false, 700, 500, 700),
            (Kind::CashWithdrawal, true, 700, 500, 700),
            // Three cents do not buy a yen at 70 cents.
            (Kind::Purchase, true, 700, 3, 700),
        ];
        for (kind, partial_approval_supported, asked, available, expected) in cases {
            let authorize = Authorize {
                kind,
                partial_approval_supported,
                amounts: amounts(10, 700),
                ..Authorize::default()
            };
            let approvable = approvable(&authorize, Treatment::of(kind), asked, available);
            assert_eq!(approvable, expected, "{kind:?} {asked} of {available}");
        }
    }

    proptest! {
        #[test]
        fn the_part_converted_again_is_never_more_than_there_is(
            transaction in 1i64..1_000_000_000_000, asked in 2i64..1_000_000_000_000, share in 0f64..1.0
        ) {
            let available = ((asked as f64 * share) as i64).clamp(1, asked - 1);
            let part = part_of(&amounts(transaction, asked), asked, available);
            prop_assert!((0..=transaction).contains(&part));
            // At the network's own rate.
            let billed = i128::from(part) * i128::from(asked) / i128::from(transaction);
            prop_assert!(billed <= i128::from(available));
        }
    }
}
