//! What is done with a request of each kind: one table, which `docs/kinds.md` repeats for people and a test
//! holds against it. The checks themselves live in `rules/`.

use super::facts::Kind;
use serde::{Deserialize, Serialize};

/// What the amount of a request has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountRule {
    AboveZero,
    /// The kind asks about the card, and moves nothing.
    Zero,
    /// Zero asks about the card; more is a payment.
    ZeroOrMore,
}

/// Which way money goes when a transaction of the kind is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// From the account to the network.
    Debit,
    /// From the network to the account. It is not there before it is posted.
    Credit,
    Nowhere,
}

/// How one kind is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Treatment {
    pub kind: Kind,
    pub amount: AmountRule,
    /// Whether the account must have the money, limits count it, and a hold keeps it.
    pub takes_money: bool,
    /// Whether a part of what was asked may be approved, where the terminal can take that.
    pub in_part: bool,
    pub direction: Direction,
}

const fn treatment(
    kind: Kind,
    amount: AmountRule,
    takes_money: bool,
    in_part: bool,
    direction: Direction,
) -> Treatment {
    Treatment {
        kind,
        amount,
        takes_money,
        in_part,
        direction,
    }
}

/// Every kind that is decided. The others get `unsupported_function`.
pub const TREATMENTS: &[Treatment] = {
    use AmountRule::{AboveZero, Zero, ZeroOrMore};
    use Direction::{Credit, Debit, Nowhere};
    &[
        treatment(Kind::Purchase, ZeroOrMore, true, true, Debit),
        treatment(Kind::CashWithdrawal, AboveZero, true, false, Debit),
        // A part of goods and cash would leave open which of the two is given.
        treatment(Kind::PurchaseWithCashBack, AboveZero, true, false, Debit),
        treatment(Kind::PreAuthorization, AboveZero, true, true, Debit),
        // Adds to the hold of another authorization.
        treatment(Kind::Incremental, AboveZero, true, false, Debit),
        treatment(Kind::AccountVerification, Zero, false, false, Nowhere),
        treatment(Kind::BalanceInquiry, Zero, false, false, Nowhere),
        treatment(Kind::Refund, AboveZero, false, false, Credit),
        treatment(Kind::OriginalCredit, AboveZero, false, false, Credit),
        treatment(Kind::AccountFunding, AboveZero, true, false, Debit),
        treatment(Kind::QuasiCash, AboveZero, true, false, Debit),
        // Approved up to what there is, which is what the pump then stops at.
        treatment(Kind::FuelDispenser, AboveZero, true, true, Debit),
        treatment(Kind::DebitAdjustment, AboveZero, true, false, Debit),
        treatment(Kind::CreditAdjustment, AboveZero, false, false, Credit),
        treatment(Kind::Deposit, AboveZero, false, false, Credit),
    ]
};

impl Treatment {
    pub fn of(kind: Kind) -> Option<&'static Treatment> {
        TREATMENTS.iter().find(|treatment| treatment.kind == kind)
    }

    pub fn admits(&self, amount_minor: i64) -> bool {
        match self.amount {
            AmountRule::AboveZero => amount_minor > 0,
            AmountRule::Zero => amount_minor == 0,
            AmountRule::ZeroOrMore => amount_minor >= 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::Flags;

    #[test]
    fn what_moves_no_money_takes_none_and_what_takes_money_is_a_debit() {
        for treatment in TREATMENTS {
            let is_debit = treatment.direction == Direction::Debit;
            assert_eq!(treatment.takes_money, is_debit, "{treatment:?}");
            let moves = treatment.direction != Direction::Nowhere;
            assert_eq!(treatment.amount != AmountRule::Zero, moves, "{treatment:?}");
            assert!(is_debit || !treatment.in_part, "{treatment:?}");
        }
    }

    /// The table of the document, row by row.
    #[test]
    fn the_document_says_the_same() {
        let document = include_str!("../../docs/kinds.md");
        let words = |treatment: &Treatment| {
            let amount = match treatment.amount {
                AmountRule::AboveZero => "above zero",
                AmountRule::Zero => "zero",
                AmountRule::ZeroOrMore => "zero or more",
            };
            let yes = |is: bool| if is { "yes" } else { "no" };
            let direction = match treatment.direction {
                Direction::Debit => "debit",
                Direction::Credit => "credit",
                Direction::Nowhere => "none",
            };
            let takes = yes(treatment.takes_money);
            format!(
                "| `{}` | {amount} | {takes} | {takes} | {takes} | {} | {direction} |",
                treatment.kind.name(),
                yes(treatment.in_part)
            )
        };
        let (of_kinds, of_messages) = document.split_once("\n## ").unwrap();
        let rows: Vec<&str> = of_kinds
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let expected: Vec<String> = TREATMENTS.iter().map(words).collect();
        assert_eq!(rows, expected);
        for (flag, name) in Flags::ALL {
            let stated = of_messages.contains(&format!("`{name}`"));
            assert!(stated, "docs/kinds.md says nothing of {flag:?}");
        }
        for (kind, name) in Kind::ALL {
            let stated = document.contains(&format!("`{name}`"));
            assert!(stated, "docs/kinds.md says nothing of {kind:?}");
        }
    }
}
