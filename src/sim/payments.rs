//! A payment of the simulated network, and what may follow of it. Which are made, and when, lives in `traffic`.

use super::{
    keys::{Rrn, Stamp},
    merchants::{Currency, MERCHANTS},
};

/// What a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Goods or services, an authorization request.
    Purchase,
    /// Cash, a financial request.
    CashWithdrawal,
    /// An amount that is not final.
    PreAuthorization,
    /// Amount zero: is the card good?
    Verification,
}

/// What is wrong with a payment on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    None,
    /// DE14 is a year off.
    WrongExpiry,
    /// The CVV2 is not the card's.
    WrongCvv2,
    /// A PAN of the card's BIN that no issuer could have issued: its check digit is wrong.
    UnknownCard,
    /// A BIN that nobody has.
    UnknownBin,
}

/// What an online payment says of 3-D Secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreeDs {
    /// Nothing.
    None,
    /// The cardholder was authenticated.
    Authenticated,
    /// The card takes no part in it.
    Attempted,
    /// Nobody was asked.
    NotAuthenticated,
}

impl ThreeDs {
    /// Those that say something.
    pub const SAID: [ThreeDs; 3] = [
        ThreeDs::Authenticated,
        ThreeDs::Attempted,
        ThreeDs::NotAuthenticated,
    ];
}

/// What is asked or told about a pre-authorization of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// A request: more is to be held.
    Increment,
    /// An advice: so much is to be held.
    Amendment,
    /// An advice: so much was taken.
    Completion {
        /// Nothing more will be.
        is_final: bool,
    },
}

impl FollowUp {
    /// Second digit of its MTI.
    pub(super) const fn class(self) -> u8 {
        match self {
            FollowUp::Increment | FollowUp::Amendment => 1,
            FollowUp::Completion { .. } => 2,
        }
    }

    /// Third digit of its MTI.
    pub(super) const fn function(self) -> u8 {
        match self {
            FollowUp::Increment => 0,
            FollowUp::Amendment | FollowUp::Completion { .. } => 2,
        }
    }
}

/// The facts of one payment: the same in its request, its repeats and its reversal.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    /// Index into the cards.
    pub card: u32,
    /// Index into [`MERCHANTS`].
    pub merchant: u16,
    /// What it is.
    pub kind: Kind,
    /// What is wrong with it.
    pub twist: Twist,
    /// Minor units of the card's currency.
    pub billing_minor: u64,
    /// Paid in the merchant's currency; otherwise in the card's.
    pub foreign: bool,
    /// Of an online payment.
    pub three_ds: ThreeDs,
    /// DE11 of the request.
    pub stan: u32,
    /// DE37.
    pub rrn: Rrn,
    /// DE12, DE13, and DE7 of the request.
    pub at: Stamp,
}

impl Payment {
    /// The currency it is paid in, and the amount in its minor units, with a card billed in `billing`.
    #[inline]
    pub fn transaction_amount(&self, billing: &'static Currency) -> (&'static Currency, u64) {
        if !self.foreign {
            return (billing, self.billing_minor);
        }
        // Merchants name known currencies only, which a test sees to.
        match Currency::find(MERCHANTS[usize::from(self.merchant)].currency) {
            Some(local) if local.code != billing.code => {
                (local, local.convert(self.billing_minor, billing))
            }
            _ => (billing, self.billing_minor),
        }
    }
}
