//! First answers: what was answered under an identity, so that a repeat of the message gets it again. How
//! long they count does not live here (see `recent.rs`).

use super::command::{Advise, Authorize, Reverse};
use super::event::Answer;
use super::facts::{Kind, RepeatKey};
use super::ids::AccountId;
use super::money::Money;
use super::slot_index::hash_of_id;
use serde::{Deserialize, Serialize};

/// The answer that a repeat gets, with what tells a repeat from a clash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    pub root: AccountId,
    pub asked: Asked,
    pub answer: Answer,
    /// The authorization that the request opened keeps it too.
    pub is_with_authorization: bool,
}

/// What an authorization keeps of the request that opened it or added to it: a repeat gets the same answer as long
/// as the authorization is known, however long its first answer is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub repeat_key: RepeatKey,
    pub asked: Asked,
    pub answer: Answer,
}

/// A hash of what a message asked for: the amounts and their currencies, and the kind. Messages of one
/// identity that differ in it are no repeats. Who makes two of them meet is answered twice alike, no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked(u64);

impl Asked {
    pub fn of_authorization(authorize: &Authorize) -> Asked {
        let amounts = &authorize.amounts;
        Asked::of(amounts.transaction, amounts.billing, Some(authorize.kind))
    }

    pub fn of_advice(advise: &Advise) -> Asked {
        let Asked(payment) = Asked::of_authorization(&advise.payment);
        let was_declined = u64::from(advise.was_declined);
        Asked(hash_of_id(payment.wrapping_add(was_declined)))
    }

    pub fn of_reversal(reverse: &Reverse) -> Asked {
        Asked::of(reverse.amount, reverse.stays, None)
    }

    fn of(transaction: Money, billing: Option<Money>, kind: Option<Kind>) -> Asked {
        let billed = billing.unwrap_or_default();
        let marks = u64::from(transaction.currency.0) << 32
            | u64::from(billed.currency.0) << 16
            | u64::from(billing.is_some()) << 8
            | kind.map_or(0xff, |kind| kind as u64);
        let amounts = [transaction.amount_minor, billed.amount_minor];
        let add = |hash: u64, amount_minor: i64| hash_of_id(hash.wrapping_add(amount_minor as u64));
        Asked(amounts.into_iter().fold(hash_of_id(marks), add))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::money::Currency;

    #[test]
    fn whatever_moves_money_otherwise_is_another_question() {
        let money = |amount_minor, currency| Money {
            amount_minor,
            currency: Currency(currency),
        };
        let authorize = |transaction, billing, kind| {
            let mut authorize = Authorize {
                kind,
                ..Authorize::default()
            };
            authorize.amounts.transaction = transaction;
            authorize.amounts.billing = billing;
            Asked::of_authorization(&authorize)
        };
        let (usd, eur) = (money(100, 840), money(100, 978));
        let mut asked = vec![Asked::of_reversal(&Reverse {
            amount: usd,
            ..Reverse::default()
        })];
        for transaction in [usd, eur, money(101, 840), money(0, 840)] {
            for billing in [
                None,
                Some(usd),
                Some(eur),
                Some(money(101, 978)),
                Some(money(0, 0)),
            ] {
                for kind in [Kind::Purchase, Kind::Refund] {
                    asked.push(authorize(transaction, billing, kind));
                }
            }
        }
        let again = authorize(usd, Some(eur), Kind::Refund);
        assert_eq!(asked.iter().filter(|other| **other == again).count(), 1);
        asked.sort_unstable_by_key(|asked| asked.0);
        assert!(asked.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
