//! What a network message says, in the domain's own words: the facts inside commands.
//! ISO 8583 fields and card data do not live here.

use super::ids::TokenId;
use super::money::Money;
use super::time::Expiry;
use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

/// What the cardholder or merchant wants (ISO 8583 processing code, positions 1 and 2, and flags).
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Kind {
    #[default]
    Purchase,
    CashWithdrawal,
    PurchaseWithCashBack,
    PreAuthorization,
    Incremental,
    AccountVerification,
    BalanceInquiry,
    Refund,
    OriginalCredit,
    AccountFunding,
    QuasiCash,
    FuelDispenser,
    /// The acquirer puts an earlier charge right: more is taken.
    DebitAdjustment,
    /// The acquirer puts an earlier charge right: some of it is given back.
    CreditAdjustment,
    /// Paid in at a terminal of an acquirer.
    Deposit,
    /// Known to the standard, and nothing that we decide.
    Other,
}

impl Kind {
    pub const ALL: &'static [(Kind, &'static str)] = &[
        (Kind::Purchase, "purchase"),
        (Kind::CashWithdrawal, "cash_withdrawal"),
        (Kind::PurchaseWithCashBack, "purchase_with_cash_back"),
        (Kind::PreAuthorization, "pre_authorization"),
        (Kind::Incremental, "incremental"),
        (Kind::AccountVerification, "account_verification"),
        (Kind::BalanceInquiry, "balance_inquiry"),
        (Kind::Refund, "refund"),
        (Kind::OriginalCredit, "original_credit"),
        (Kind::AccountFunding, "account_funding"),
        (Kind::QuasiCash, "quasi_cash"),
        (Kind::FuelDispenser, "fuel_dispenser"),
        (Kind::DebitAdjustment, "debit_adjustment"),
        (Kind::CreditAdjustment, "credit_adjustment"),
        (Kind::Deposit, "deposit"),
        (Kind::Other, "other"),
    ];

    pub fn name(self) -> &'static str {
        name_of(Kind::ALL, self)
    }

    /// Whether money is paid out, at least in part.
    pub fn is_cash(self) -> bool {
        matches!(
            self,
            Kind::CashWithdrawal | Kind::PurchaseWithCashBack | Kind::QuasiCash
        )
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        from_name(Kind::ALL, name)
    }
}

/// How the card number reached the terminal.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum EntryMode {
    #[default]
    Unknown,
    Manual,
    MagneticStripe,
    Chip,
    Contactless,
    Ecommerce,
    CredentialOnFile,
    Fallback,
}

impl EntryMode {
    pub const ALL: &'static [(EntryMode, &'static str)] = &[
        (EntryMode::Unknown, "unknown"),
        (EntryMode::Manual, "manual"),
        (EntryMode::MagneticStripe, "magnetic_stripe"),
        (EntryMode::Chip, "chip"),
        (EntryMode::Contactless, "contactless"),
        (EntryMode::Ecommerce, "ecommerce"),
        (EntryMode::CredentialOnFile, "credential_on_file"),
        (EntryMode::Fallback, "fallback"),
    ];

    pub fn name(self) -> &'static str {
        name_of(EntryMode::ALL, self)
    }

    pub fn from_name(name: &str) -> Option<EntryMode> {
        from_name(EntryMode::ALL, name)
    }
}

/// Where the transaction takes place.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Channel {
    #[default]
    Unknown,
    PointOfSale,
    Ecommerce,
    Atm,
    MailOrTelephone,
    Recurring,
}

impl Channel {
    pub const ALL: &'static [(Channel, &'static str)] = &[
        (Channel::Unknown, "unknown"),
        (Channel::PointOfSale, "point_of_sale"),
        (Channel::Ecommerce, "ecommerce"),
        (Channel::Atm, "atm"),
        (Channel::MailOrTelephone, "mail_or_telephone"),
        (Channel::Recurring, "recurring"),
    ];

    pub fn name(self) -> &'static str {
        name_of(Channel::ALL, self)
    }

    pub fn from_name(name: &str) -> Option<Channel> {
        from_name(Channel::ALL, name)
    }
}

pub(super) fn name_of<T: PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    // Each list above names every variant; a test walks them.
    all.iter()
        .find(|(known, _)| *known == value)
        .map_or("unknown", |(_, name)| name)
}

pub(super) fn from_name<T: Copy>(all: &[(T, &'static str)], name: &str) -> Option<T> {
    all.iter()
        .find(|(_, known)| *known == name)
        .map(|(value, _)| *value)
}

/// A country by its ISO 3166-1 alpha-2 letters; `ZZ` where the message named none that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Country(pub [u8; 2]);

impl Country {
    pub const UNKNOWN: Country = Country(*b"ZZ");

    pub fn from_alpha2(letters: &str) -> Option<Country> {
        let known = rust_iso3166::from_alpha2(letters).is_some();
        known.then(|| Country([letters.as_bytes()[0], letters.as_bytes()[1]]))
    }

    pub fn alpha2(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }
}

impl Default for Country {
    fn default() -> Country {
        Country::UNKNOWN
    }
}

/// The card acceptor as the message names it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merchant {
    pub id: ArrayString<15>,
    pub name: ArrayString<40>,
    pub city: ArrayString<16>,
    pub country: Country,
    /// The country is the acquirer's, because the message did not name the merchant's.
    pub country_is_acquirers: bool,
    /// ISO 18245 merchant category code; 0 where absent.
    pub mcc: u16,
}

/// The outcome of one verification, established before the engine sees the command.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    #[default]
    Absent,
    Match,
    Mismatch,
}

/// What the message proved about the card and its holder.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The expiry that the message states; the engine compares it with the card's.
    pub expiry: Option<Expiry>,
    pub cvv: Check,
    pub pin: Check,
    pub cryptogram: Check,
}

/// The token that a message names, found by its number before the engine sees it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedToken {
    #[default]
    Absent,
    /// Its number stands where the card's would.
    InPlaceOfCard(TokenId),
    /// Its number stands beside the card's.
    BesideCard(TokenId),
    /// A token's number stands beside the card's, and no token has it.
    Unknown,
}

impl NamedToken {
    pub fn id(self) -> Option<TokenId> {
        match self {
            NamedToken::InPlaceOfCard(id) | NamedToken::BesideCard(id) => Some(id),
            NamedToken::Absent | NamedToken::Unknown => None,
        }
    }
}

/// How the network names the message; kept for people, not for matching.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkReference {
    /// The `name` of the `[[network]]` that the message came from.
    pub network: ArrayString<16>,
    pub acquirer_id: ArrayString<11>,
    pub terminal_id: ArrayString<8>,
    pub rrn: ArrayString<12>,
    pub stan: u32,
}

/// The identity by which a repeat of a message is known: a keyed 128-bit hash over the dialect's
/// repeat-key fields, the network, and the message's class and function.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct RepeatKey(#[serde(with = "postcard::fixint::le")] pub u128);

/// One name by which a later message may refer to an authorization: a keyed 64-bit hash of its kind
/// and its parts, 0 where the message does not state it. A match also has to be of the same card.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct MatchKey(#[serde(with = "postcard::fixint::le")] pub u64);

impl MatchKey {
    pub const UNSTATED: MatchKey = MatchKey(0);
}

/// How a message names an authorization: by its own names, or by those of the original that it is
/// about. Which original that is, `matching.rs` says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchKeys {
    /// From the name that the dialect trusts most to the one it trusts least.
    #[serde(with = "packed_names")]
    pub by_authority: [MatchKey; MatchKeys::NAMES_MAX],
    /// A number, 0 where not stated. It names nothing by itself, but holds for all names above.
    pub acquirer_id: u64,
    /// Of a message, its own; of a reversal, that of the one message that it says it reverses, else 0. Messages of one
    /// payment may share all names above, and not this.
    pub stan: u32,
}

impl MatchKeys {
    /// As many kinds of names as a dialect can have: the network's transaction id, RRN, STAN and time of
    /// transmission, STAN and local time, approval code.
    pub const NAMES_MAX: usize = 5;

    pub fn stated(&self) -> impl Iterator<Item = MatchKey> + use<> {
        let names = self.by_authority.into_iter();
        names.filter(|name| *name != MatchKey::UNSTATED)
    }
}

/// Names as bytes: which of them are stated, and then those.
mod packed_names {
    use super::{MatchKey, MatchKeys};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    type Names = [MatchKey; MatchKeys::NAMES_MAX];

    pub fn serialize<S: Serializer>(names: &Names, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = arrayvec::ArrayVec::<u8, { 1 + 8 * MatchKeys::NAMES_MAX }>::new();
        bytes.push(0);
        for (place, name) in names.iter().enumerate() {
            if *name != MatchKey::UNSTATED {
                bytes[0] |= 1 << place;
                bytes.extend(name.0.to_le_bytes());
            }
        }
        to.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Names, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        let short = || D::Error::custom("names end early");
        let (stated, mut rest) = bytes.split_first().ok_or_else(short)?;
        let mut names = Names::default();
        for (place, name) in names.iter_mut().enumerate() {
            if stated & 1 << place != 0 {
                let (own, others) = rest.split_first_chunk().ok_or_else(short)?;
                *name = MatchKey(u64::from_le_bytes(*own));
                rest = others;
            }
        }
        Ok(names)
    }
}

/// The amounts of a message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// In the merchant's currency.
    pub transaction: Money,
    /// In the cardholder's currency, where the network sent it.
    pub billing: Option<Money>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_value() {
        for (value, name) in Kind::ALL {
            assert_eq!((Kind::from_name(name), value.name()), (Some(*value), *name));
        }
        for (value, name) in EntryMode::ALL {
            assert_eq!(
                (EntryMode::from_name(name), value.name()),
                (Some(*value), *name)
            );
        }
        for (value, name) in Channel::ALL {
            assert_eq!(
                (Channel::from_name(name), value.name()),
                (Some(*value), *name)
            );
        }
    }

    #[test]
    fn names_are_stored_without_those_not_stated() {
        let mut keys = MatchKeys::default();
        let stored = |keys: &MatchKeys| postcard::to_allocvec(keys).unwrap();
        assert_eq!(stored(&keys).len(), 4);
        for place in [1, 4] {
            keys.by_authority[place] = MatchKey(0x0102_0304_0506_0700 + place as u64);
        }
        keys.acquirer_id = 7;
        let bytes = stored(&keys);
        assert_eq!(bytes.len(), 4 + 16);
        assert_eq!(postcard::from_bytes::<MatchKeys>(&bytes), Ok(keys));
        assert!(postcard::from_bytes::<MatchKeys>(&[2, 2, 1, 0]).is_err());
    }
}
