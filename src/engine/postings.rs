//! The legs of postings that messages of the network bring. Which messages post how much is decided elsewhere.

use super::event::{LedgerAccount, Posting, Postings};
use super::ids::AccountId;
use super::money::BALANCE_MAX_MINOR;
use super::state::Account;

/// From the account to the network; the other way where the amount is below zero. Nothing for zero.
pub(super) fn payment(account_id: AccountId, charged_minor: i64) -> Postings {
    if charged_minor == 0 {
        return Postings::default();
    }
    Box::new([
        Posting {
            ledger_account: LedgerAccount::Customer(account_id),
            amount_minor: -charged_minor,
        },
        Posting {
            ledger_account: LedgerAccount::NetworkSettlement,
            amount_minor: charged_minor,
        },
    ])
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
        for charged_minor in [1, 500, -500, i64::from(i32::MAX)] {
            let legs = payment(AccountId(1), charged_minor);
            assert_eq!(legs.iter().map(|leg| leg.amount_minor).sum::<i64>(), 0);
            assert_eq!(legs[0].amount_minor, -charged_minor);
        }
        assert!(payment(AccountId(1), 0).is_empty());
    }
}
