//! What use has made of a card: that it was used at all, where once is enough, and the merchant it is
//! locked to. Whether that forbids a request does not live here (see `rules/card_status.rs` and
//! `rules/merchant.rs`).

use super::facts::{Merchant, NetworkReference};
use super::ids::AuthorizationId;
use super::merchants::same_acquirer;
use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

/// Of a card with a control that asks for it; a card without has none.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardUse {
    /// The approved request that used a single-use card.
    pub used_by: Option<AuthorizationId>,
    /// The merchant that a merchant-locked card was first used at.
    pub locked_to: Option<LockedMerchant>,
    /// How often it was locked, the lock that it has now with it.
    pub locks: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedMerchant {
    pub id: ArrayString<15>,
    /// Empty where the message did not state it.
    pub acquirer_id: ArrayString<11>,
    /// So many payments took money under this lock, and were not declined after all.
    pub rests_on: u32,
}

/// What an approval makes of its card.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardUseMade {
    /// It is the one use of a single-use card.
    pub uses_card: bool,
    /// It locks the card to its merchant.
    pub locks_merchant: bool,
}

impl CardUse {
    /// Locks the card to the merchant of a payment.
    pub(super) fn lock(&mut self, merchant: &Merchant, reference: &NetworkReference) {
        self.locks = self.locks.saturating_add(1);
        self.locked_to = Some(LockedMerchant::of(merchant, reference));
    }

    /// A payment took money: which lock rests on it with others; 0 for none.
    pub(super) fn rest_lock_on(
        &mut self,
        merchant: &Merchant,
        reference: &NetworkReference,
    ) -> u32 {
        match &mut self.locked_to {
            Some(locked_to) if locked_to.is(merchant, reference) => {
                locked_to.rests_on = locked_to.rests_on.saturating_add(1);
                self.locks
            }
            _ => 0,
        }
    }

    /// A payment on which this lock rested was declined after all; the lock goes with the last of them.
    pub(super) fn give_back_lock(&mut self, lock: u32) {
        let of_now = self.locked_to.as_mut().filter(|_| lock == self.locks);
        let Some(locked_to) = of_now else {
            return;
        };
        locked_to.rests_on = locked_to.rests_on.saturating_sub(1);
        if locked_to.rests_on == 0 {
            self.locked_to = None;
        }
    }
}

impl LockedMerchant {
    fn of(merchant: &Merchant, reference: &NetworkReference) -> LockedMerchant {
        LockedMerchant {
            id: merchant.id,
            acquirer_id: reference.acquirer_id,
            rests_on: 0,
        }
    }

    /// Whether a message is this merchant's. The acquirer counts where both state it.
    pub fn is(&self, merchant: &Merchant, reference: &NetworkReference) -> bool {
        let (own, other) = (&self.acquirer_id, &reference.acquirer_id);
        self.id == merchant.id && (own.is_empty() || other.is_empty() || same_acquirer(own, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merchants;

    fn at(id: &str, acquirer_id: &str) -> (Merchant, NetworkReference) {
        merchants::tests::at(id, "", acquirer_id)
    }

    #[test]
    fn a_lock_is_to_the_id_and_where_both_state_it_the_acquirer() {
        for (first, second, same) in [
            (at("M1", "1"), at("M1", "1"), true),
            (at("M1", "1"), at("M1", "2"), false),
            (at("M1", "1"), at("M1", ""), true),
            (at("M1", ""), at("M1", "2"), true),
            (at("M1", "1"), at("M2", "1"), false),
            (at("M1", "1"), at("", "1"), false),
        ] {
            let lock = LockedMerchant::of(&first.0, &first.1);
            assert_eq!(lock.is(&second.0, &second.1), same, "{second:?}");
        }
    }

    #[test]
    fn a_lock_goes_with_the_last_payment_that_it_rests_on_and_with_none_of_an_earlier_lock() {
        let (first, other) = (at("M1", "1"), at("M2", "1"));
        let mut card_use = CardUse::default();
        assert_eq!(card_use.rest_lock_on(&first.0, &first.1), 0);
        card_use.lock(&first.0, &first.1);
        let of_first = [0, 1].map(|_| card_use.rest_lock_on(&first.0, &first.1));
        assert_eq!(of_first, [1, 1]);
        assert_eq!(card_use.rest_lock_on(&other.0, &other.1), 0);
        card_use.give_back_lock(0);
        card_use.give_back_lock(1);
        assert!(card_use.locked_to.is_some());
        card_use.give_back_lock(1);
        assert!(card_use.locked_to.is_none());
        card_use.lock(&other.0, &other.1);
        assert_eq!(card_use.rest_lock_on(&other.0, &other.1), 2);
        card_use.give_back_lock(1);
        assert!(card_use.locked_to.is_some());
        card_use.give_back_lock(2);
        assert!(card_use.locked_to.is_none());
    }
}
