//! Identifiers of domain objects: 64-bit numbers inside, prefixed text outside (`card_0h2…`).
//! Where the numbers come from does not live here: an id arrives as a fact in a command.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Crockford base 32, lower case: sorts like the number, has no look-alike letters.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LENGTH: usize = 13;

/// Text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_` and 13 letters or digits")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

fn write_text(formatter: &mut fmt::Formatter<'_>, prefix: &str, value: u64) -> fmt::Result {
    let mut text = [0u8; TEXT_LENGTH];
    for (place, letter) in text.iter_mut().rev().enumerate() {
        *letter = ALPHABET[(value >> (5 * place) & 31) as usize];
    }
    // The alphabet is ASCII, so this cannot fail.
    let text = std::str::from_utf8(&text).map_err(|_| fmt::Error)?;
    write!(formatter, "{prefix}_{text}")
}

fn parse_text(text: &str, prefix: &'static str) -> Result<u64, IdError> {
    let error = || IdError {
        text: text.chars().take(40).collect(),
        prefix,
    };
    let body = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or_else(error)?;
    if body.len() != TEXT_LENGTH {
        return Err(error());
    }
    body.bytes().try_fold(0u64, |value, letter| {
        let digit = ALPHABET
            .iter()
            .position(|known| *known == letter)
            .ok_or_else(error)?;
        value
            .checked_mul(32)
            .and_then(|value| value.checked_add(digit as u64))
            .ok_or_else(error)
    })
}

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_text(formatter, $prefix, self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_text(text, $prefix).map($name)
            }
        }
    )*};
}

id_types! {
    /// An account; a root account names its tree.
    AccountId = "acct";
    CardId = "card";
    AuthorizationId = "auth";
    ReversalId = "rev";
    ProgramId = "prog";
    TopUpId = "topup";
    /// A limit of some controls.
    LimitId = "lim";
    /// A list of some controls (MCCs, countries, currencies).
    ControlId = "ctl";
    /// A risk rule, written by a customer.
    RiskRuleId = "rule";
    /// Money posted for a message of a network.
    TransactionId = "txn";
    /// An object of the customer's product, inside: outside it is (program, type, id).
    LinkId = "link";
    /// A group of merchant category codes that a customer made.
    MccGroupId = "mccg";
    /// A list of merchants that many controls may name.
    MerchantListId = "mlst";
    CardholderId = "holder";
    /// An exception from controls, for a while.
    ExceptionId = "exc";
    /// Where a customer decides.
    DecisionEndpointId = "dep";
    ApiKeyId = "key";
    /// An entry of the audit log.
    AuditId = "audit";
    /// Cards ordered in one request.
    CardBatchId = "batch";
    /// What stands for a card in a wallet or with a merchant.
    TokenId = "tok";
    /// Money moved from one account to another.
    TransferId = "trf";
    WebhookEndpointId = "we";
    /// Something that happened: the place of its record in the journal, and its own among those of the record.
    EventId = "evt";
    /// A call to a webhook endpoint.
    DeliveryId = "dlv";
    FeeScheduleId = "feesch";
    /// A charge: the place of its record in the journal, and its own among those of the record.
    FeeId = "fee";
    /// A write that waits for a second person.
    ApprovalId = "appr";
    /// A link that shows a card's number once.
    RevealLinkId = "rvl";
    /// A look at the journal's history with a rule.
    BacktestId = "bt";
}

impl AccountId {
    /// The card that the account was opened for (`funding: own`; the first of its chain), where there is such a card on it: the id of
    /// such an account is reserved right after that of its card, and no other account's is.
    pub fn opened_for(self) -> CardId {
        CardId(self.0.wrapping_sub(1))
    }
}

impl FeeId {
    /// Charges of one record at most.
    const PER_RECORD: u64 = 16;

    pub fn of_record(sequence: u64, place: u64) -> FeeId {
        FeeId(sequence * Self::PER_RECORD + place.min(Self::PER_RECORD - 1))
    }
}

impl EventId {
    /// Events of one record at most; 2^44 records.
    pub const PER_RECORD: u64 = 1 << 20;

    pub fn of_record(sequence: u64, place: u64) -> EventId {
        EventId(sequence * Self::PER_RECORD + place.min(Self::PER_RECORD - 1))
    }

    pub fn sequence(self) -> u64 {
        self.0 / Self::PER_RECORD
    }

    /// Before the first event of what follows a record.
    pub fn end_of(sequence: u64) -> EventId {
        EventId::of_record(sequence, Self::PER_RECORD - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips_and_sorts_like_the_number(a: u64, b: u64) {
            let (first, second) = (CardId(a).to_string(), CardId(b).to_string());
            prop_assert_eq!(first.parse::<CardId>(), Ok(CardId(a)));
            prop_assert_eq!(first.cmp(&second), a.cmp(&b));
        }
    }

    #[test]
    fn text_of_another_kind_or_shape_is_refused() {
        for text in [
            "",
            "card_",
            "acct_0000000000001",
            "card_000000000000!",
            "card_zzzzzzzzzzzzz",
        ] {
            assert!(text.parse::<CardId>().is_err(), "{text}");
        }
    }
}
