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
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedMerchant {
    pub id: ArrayString<15>,
    /// Empty where the message did not state it.
    pub acquirer_id: ArrayString<11>,
}

/// What an approval makes of its card.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardUseMade {
    /// It is the one use of a single-use card.
    pub uses_card: bool,
    /// It locks the card to its merchant.
    pub locks_merchant: bool,
}

impl LockedMerchant {
    pub fn of(merchant: &Merchant, reference: &NetworkReference) -> LockedMerchant {
        LockedMerchant {
            id: merchant.id,
            acquirer_id: reference.acquirer_id,
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
}
