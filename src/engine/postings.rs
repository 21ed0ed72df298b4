//! The legs of postings that messages of the network bring. Which messages post how much is decided elsewhere.

use super::conversion::Conversion;
use super::event::{LedgerAccount, Posting, Postings};
use super::fees::charge::Charge;
use super::fees::schedule::ScheduleVersion;
use super::ids::AccountId;
use super::money::BALANCE_MAX_MINOR;
use super::state::Account;
use serde::{Deserialize, Serialize};

/// What we keep of a conversion: the mark-up, of the program or as a fee of its schedule, and what rounding leaves. Never
/// below zero, but where it goes back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub mark_up_minor: i64,
    pub rounding_minor: i64,
    pub fee_minor: i64,
    pub reseller_mark_up_minor: i64,
    /// By which the fee is; the last one, where it was changed between two postings of one payment.
    pub schedule: Option<ScheduleVersion>,
}

impl Kept {
    pub(super) fn of(conversion: Option<&Conversion>) -> Kept {
        let Some(conversion) = conversion else {
            return Kept::default();
        };
        let all_minor = conversion.mark_up_minor.abs();
        let kept = Kept {
            rounding_minor: conversion.rounding_minor.abs(),
            ..Kept::default()
        };
        match conversion.fee {
            None => Kept {
                mark_up_minor: all_minor,
                ..kept
            },
            Some(fee) => {
                let reseller_mark_up_minor = fee.reseller_mark_up_minor.abs();
                Kept {
                    fee_minor: all_minor - reseller_mark_up_minor,
                    reseller_mark_up_minor,
                    schedule: Some(fee.schedule),
                    ..kept
                }
            }
        }
    }

    /// What a posting keeps; `charges` are those of its record.
    pub(super) fn of_legs(legs: &[Posting], charges: &[Charge]) -> Kept {
        let mut of_payment = charges
            .iter()
            .filter(|charge| !charge.is_posted_by_itself());
        let of = |account: LedgerAccount| {
            let own = legs.iter().filter(|leg| leg.ledger_account == account);
            own.map(|leg| leg.amount_minor).sum()
        };
        Kept {
            mark_up_minor: of(LedgerAccount::MarkUp),
            rounding_minor: of(LedgerAccount::Rounding),
            fee_minor: of(LedgerAccount::Fees),
            reseller_mark_up_minor: of(LedgerAccount::ResellerMarkUp),
            schedule: of_payment.next().map(|charge| charge.schedule),
        }
    }

    pub(super) fn plus(self, other: Kept) -> Kept {
        Kept {
            mark_up_minor: self.mark_up_minor + other.mark_up_minor,
            rounding_minor: self.rounding_minor + other.rounding_minor,
            fee_minor: self.fee_minor + other.fee_minor,
            reseller_mark_up_minor: self.reseller_mark_up_minor + other.reseller_mark_up_minor,
            schedule: other.schedule.or(self.schedule),
        }
    }

    /// What is kept of a part of an amount; all of it of all. Rounded towards nothing.
    pub(super) fn share(self, part_minor: i64, of_minor: i64) -> Kept {
        let back = self.returned(part_minor, of_minor);
        Kept {
            mark_up_minor: -back.mark_up_minor,
            rounding_minor: -back.rounding_minor,
            fee_minor: -back.fee_minor,
            reseller_mark_up_minor: -back.reseller_mark_up_minor,
            schedule: self.schedule,
        }
    }

    /// What goes back of it with a part of what was posted; all of it with all. Rounded towards nothing.
    pub(super) fn returned(self, returned_minor: i64, posted_minor: i64) -> Kept {
        let share = |kept_minor: i64| {
            let part = i128::from(kept_minor) * i128::from(returned_minor);
            // Not above what is kept, since no more goes back than was posted.
            part.checked_div(i128::from(posted_minor)).unwrap_or(0) as i64
        };
        Kept {
            mark_up_minor: -share(self.mark_up_minor),
            rounding_minor: -share(self.rounding_minor),
            fee_minor: -share(self.fee_minor),
            reseller_mark_up_minor: -share(self.reseller_mark_up_minor),
            schedule: self.schedule,
        }
    }
}

/// From the account to the network, less what we keep; the other way where the amount is below zero. Nothing for
/// zero.
pub(super) fn payment(account_id: AccountId, charged_minor: i64, kept: Kept) -> Postings {
    if charged_minor == 0 {
        return Postings::default();
    }
    let Kept {
        mark_up_minor,
        rounding_minor,
        fee_minor,
        reseller_mark_up_minor,
        ..
    } = kept;
    let kept_minor = mark_up_minor + rounding_minor + fee_minor + reseller_mark_up_minor;
    let legs = [
        (LedgerAccount::Customer(account_id), -charged_minor),
        (LedgerAccount::NetworkSettlement, charged_minor - kept_minor),
        (LedgerAccount::MarkUp, mark_up_minor),
        (LedgerAccount::Rounding, rounding_minor),
        (LedgerAccount::Fees, fee_minor),
        (LedgerAccount::ResellerMarkUp, reseller_mark_up_minor),
    ];
    let legs = legs
        .into_iter()
        .filter(|(_, amount_minor)| *amount_minor != 0);
    legs.map(|(ledger_account, amount_minor)| Posting {
        ledger_account,
        amount_minor,
    })
    .collect()
}

/// Whether what is held stays within the range of a balance.
pub(super) fn can_be_held(account: &Account, amount_minor: i64) -> bool {
    let held_minor = account.held_minor.checked_add(amount_minor);
    held_minor.is_some_and(|held_minor| held_minor <= BALANCE_MAX_MINOR)
}

/// Whether the balance stays within its range.
pub(super) fn can_be_charged(account: &Account, charged_minor: i64) -> bool {
    let posted_minor = account.posted_minor.checked_sub(charged_minor);
    let range = -BALANCE_MAX_MINOR..=BALANCE_MAX_MINOR;
    posted_minor.is_some_and(|posted_minor| range.contains(&posted_minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legs_of_a_payment_sum_to_zero_whichever_way_it_goes() {
        let kept = Kept {
            mark_up_minor: 7,
            rounding_minor: 1,
            fee_minor: 20,
            reseller_mark_up_minor: 5,
            schedule: None,
        };
        for charged_minor in [1, 500, -500, i64::from(i32::MAX)] {
            for kept in [Kept::default(), kept] {
                let legs = payment(AccountId(1), charged_minor, kept);
                assert_eq!(legs.iter().map(|leg| leg.amount_minor).sum::<i64>(), 0);
                assert_eq!(legs[0].amount_minor, -charged_minor);
                assert_eq!(Kept::of_legs(&legs, &[]), kept);
            }
        }
        assert!(payment(AccountId(1), 0, Kept::default()).is_empty());
    }

    #[test]
    fn what_is_kept_goes_back_with_what_was_posted() {
        let kept = Kept {
            mark_up_minor: 30,
            rounding_minor: 1,
            ..Kept::default()
        };
        let back = |returned_minor| {
            let back = kept.returned(returned_minor, 1_000);
            (back.mark_up_minor, back.rounding_minor)
        };
        assert_eq!(back(1_000), (-30, -1));
        assert_eq!(back(500), (-15, 0));
        assert_eq!(back(1), (0, 0));
        assert_eq!(kept.returned(0, 0), Kept::default());
    }
}
