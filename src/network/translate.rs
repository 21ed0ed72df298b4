//! From a parsed message to a domain command: who is asked, and with which facts. Past this point
//! nothing knows ISO 8583, and nothing sees a card number.

use super::date_time::wrong_date_time;
use super::dialect_map::DialectMap;
use super::merchant::merchant;
use crate::engine::command::{Action, Authorize, Reverse};
use crate::engine::facts::{
    Amounts, Check, Kind, MatchKey, MatchKeys, NetworkReference, RepeatKey, Verification,
};
use crate::engine::ids::{AccountId, AuthorizationId, CardId, ReversalId};
use crate::engine::kinds::{AmountRule, Treatment};
use crate::engine::money::{Currency, Money};
use crate::engine::registry::{RegistryAction, RegistryView};
use crate::engine::time::Expiry;
use crate::iso8583::Message;
use crate::iso8583::mapping::{DateTimeLayout, OriginalData, ReplacementAmount};
use crate::security::{CardRoute, Cvk, MatchKeyHasher, Pan, PanHasher, PanIndex};
use arrayvec::ArrayString;
use std::sync::Arc;

/// What turns messages of one network into commands.
pub struct Translator {
    pub map: DialectMap,
    pub network: ArrayString<16>,
    pub pan_hasher: PanHasher,
    pub match_key_hasher: MatchKeyHasher,
    pub cvk: Cvk,
    pub pan_index: Arc<PanIndex>,
}

/// Who has to decide, and on what.
pub enum Translated {
    Shard { root: AccountId, action: Action },
    Registry(RegistryAction),
}

/// Why a message cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untranslatable {
    /// A field is missing or says nothing that we know.
    Field(u8),
    /// The message type has no meaning in the standard.
    MessageType,
    /// A kind of message that is not decided here.
    Unsupported,
}

/// The card that a message names.
struct Named {
    digits: ArrayString<19>,
    pan_hash: u128,
    route: Option<CardRoute>,
    /// As the message states it, in DE14 or on the track.
    expiry: Option<Expiry>,
}

impl Named {
    fn card_id(&self) -> CardId {
        self.route
            .map_or(CardId::default(), |route| CardId(route.card_id))
    }

    fn root(&self) -> Option<AccountId> {
        self.route.map(|route| AccountId(route.root_account_id))
    }
}

impl Translator {
    /// `id` becomes the authorization's or the reversal's.
    pub fn translate(
        &self,
        message: &Message,
        id: u64,
        view: &RegistryView,
    ) -> Result<Translated, Untranslatable> {
        let mti = message.mti();
        match (mti.class(), mti.function()) {
            _ if !mti.is_defined() => Err(Untranslatable::MessageType),
            // A chargeback (0402, 1422) has the class and function of a reversal, and is none.
            _ if !mti.is_from_acquirer() => Err(Untranslatable::Unsupported),
            (1, 0) => self.authorization(message, AuthorizationId(id), view),
            (4, 0 | 2) => self.reversal(message, ReversalId(id)),
            _ => Err(Untranslatable::Unsupported),
        }
    }

    fn authorization(
        &self,
        message: &Message,
        authorization_id: AuthorizationId,
        view: &RegistryView,
    ) -> Result<Translated, Untranslatable> {
        self.check_dates(message)?;
        let named = self.card(message)?;
        let reference = self.reference(message)?;
        if !message.has(3) {
            return Err(Untranslatable::Field(3));
        }
        let merchant = merchant(message, &named.digits);
        let kind = match (self.map.kind(message), merchant.mcc) {
            // The pump asks before it knows how much.
            (Kind::Purchase | Kind::PreAuthorization, AUTOMATED_FUEL_DISPENSER) => {
                Kind::FuelDispenser
            }
            (kind, _) => kind,
        };
        let treatment = Treatment::of(kind);
        let asks_only = treatment.is_some_and(|treatment| treatment.amount == AmountRule::Zero);
        if !message.has(4) && !asks_only {
            return Err(Untranslatable::Field(4));
        }
        let authorize = Authorize {
            authorization_id,
            card_id: named.card_id(),
            kind,
            amounts: amounts(message)?,
            merchant,
            entry_mode: self.map.entry_mode(message),
            channel: self.map.channel(message),
            verification: self.verification(message, &named),
            partial_approval_supported: self.map.is_partial_approval_supported(message),
            repeat_key: self.repeat_key(message, &named),
            match_keys: self.own_keys(message, &reference),
            reference,
            three_ds: self.map.three_ds(message),
            initiated_by_merchant: self.map.is_initiated_by_merchant(message),
        };
        Ok(match named.root() {
            Some(root) => Translated::Shard {
                root,
                action: Action::Authorize(authorize),
            },
            None => {
                let bin_known = view
                    .programs
                    .values()
                    .any(|program| named.digits.starts_with(&*program.bin));
                Translated::Registry(RegistryAction::AuthorizeUnknownCard {
                    authorize,
                    bin_known,
                })
            }
        })
    }

    fn reversal(
        &self,
        message: &Message,
        reversal_id: ReversalId,
    ) -> Result<Translated, Untranslatable> {
        self.check_dates(message)?;
        let named = self.card(message)?;
        let reference = self.reference(message)?;
        if self.is_partial(message) {
            return Err(Untranslatable::Unsupported);
        }
        let reverse = Reverse {
            reversal_id,
            card_id: named.card_id(),
            amount: amounts(message)?.transaction,
            repeat_key: self.repeat_key(message, &named),
            original_keys: self.original_keys(message, &reference),
            reference,
        };
        Ok(match named.root() {
            Some(root) => Translated::Shard {
                root,
                action: Action::Reverse(reverse),
            },
            None => Translated::Registry(RegistryAction::ReverseUnknownCard(reverse)),
        })
    }

    fn check_dates(&self, message: &Message) -> Result<(), Untranslatable> {
        match wrong_date_time(message, self.map.dialect.mappings().date_time) {
            Some(field) => Err(Untranslatable::Field(field)),
            None => Ok(()),
        }
    }

    /// The card number from DE2, or from the track where there is no DE2.
    fn card(&self, message: &Message) -> Result<Named, Untranslatable> {
        let stated = message.digits(14);
        let (digits, expiry) = match message.text::<19>(2) {
            Some(digits) => (digits, stated),
            None => {
                let track = message.text::<37>(35).ok_or(Untranslatable::Field(2))?;
                let (digits, rest) = track
                    .split_once(['=', 'D'])
                    .ok_or(Untranslatable::Field(35))?;
                let digits = ArrayString::from(digits).map_err(|_| Untranslatable::Field(35))?;
                (digits, stated.or_else(|| rest.get(..4)?.parse().ok()))
            }
        };
        let expiry = match expiry {
            None => None,
            // DE14, n4: YYMM. One that is no month is a mismatch of its own kind.
            Some(yymm) => {
                let (year, month) = (2000 + (yymm / 100) as u16, (yymm % 100) as u8);
                Some(Expiry::new(year, month).ok_or(Untranslatable::Field(14))?)
            }
        };
        let pan_hash = self.pan_hasher.pan_hash(digits.as_bytes());
        let route = self.pan_index.lookup(pan_hash);
        Ok(Named {
            digits,
            pan_hash,
            route,
            expiry,
        })
    }

    fn reference(&self, message: &Message) -> Result<NetworkReference, Untranslatable> {
        Ok(NetworkReference {
            network: self.network,
            acquirer_id: message.text(32).unwrap_or_default(),
            terminal_id: message.text(41).unwrap_or_default(),
            rrn: message.text(37).unwrap_or_default(),
            stan: message.digits(11).ok_or(Untranslatable::Field(11))? as u32,
        })
    }

    fn verification(&self, message: &Message, named: &Named) -> Verification {
        let cvv2_at = self.map.dialect.mappings().cvv2.as_ref();
        let given = cvv2_at.and_then(|at| message.locate::<4>(at));
        // Blank where the cardholder has none to give.
        let given = given.filter(|given| !given.is_empty());
        let cvv = match given {
            None => Check::Absent,
            Some(given) if self.cvv2_matches(&given, named) => Check::Match,
            Some(_) => Check::Mismatch,
        };
        Verification {
            expiry: named.expiry,
            cvv,
            ..Verification::default()
        }
    }

    /// CVV2 is computed over the card's own expiry, whatever the message states.
    fn cvv2_matches(&self, given: &str, named: &Named) -> bool {
        let Some(route) = named.route else {
            return false;
        };
        let expiry = Expiry(route.expiry);
        let pan = Pan::parse(&named.digits);
        pan.is_ok_and(|pan| {
            self.cvk
                .verify_cvv2(&pan, expiry.year(), expiry.month(), given)
        })
    }

    /// The identity of a message by which its repeat is known, over the fields that the dialect names.
    fn repeat_key(&self, message: &Message, named: &Named) -> RepeatKey {
        let mti = message.mti().without_repeat();
        let mut key = self.match_key_hasher.hasher();
        key.part(b"repeat")
            .part(self.network.as_bytes())
            .part(&[mti.class(), mti.function()]);
        for field in self.map.dialect.repeat_key_fields() {
            match field {
                2 => key.part(&named.pan_hash.to_le_bytes()),
                field => key.optional_part(message.raw(*field)),
            };
        }
        RepeatKey(key.finish())
    }

    /// The names by which later messages know an authorization.
    fn own_keys(&self, message: &Message, reference: &NetworkReference) -> MatchKeys {
        let sent = message.text(sent_field(self.original_data()));
        let acquirer_id = message.digits(32).unwrap_or(0);
        self.match_keys(message, reference.stan, sent, acquirer_id)
    }

    /// How a reversal names its original. Where it has no original data elements, it repeats the
    /// original's STAN and local time; its time of transmission is its own then, and is taken for the
    /// original's only where there is no local time.
    fn original_keys(&self, message: &Message, reference: &NetworkReference) -> MatchKeys {
        let own_acquirer_id = message.digits(32).unwrap_or(0);
        let Some(original) = self.original(message) else {
            let sent_field = sent_field(self.original_data());
            let sent = match sent_field != LOCAL_TIME && message.has(LOCAL_TIME) {
                true => None,
                false => message.text(sent_field),
            };
            return self.match_keys(message, reference.stan, sent, own_acquirer_id);
        };
        let acquirer_id = match (original.acquirer_id, own_acquirer_id) {
            (0, id) | (id, 0) => id,
            (id, own) if id == own => id,
            // Which of the two it is, the other names have to say.
            _ => 0,
        };
        self.match_keys(message, original.stan, original.sent, acquirer_id)
    }

    fn match_keys(
        &self,
        message: &Message,
        stan: u32,
        sent: Option<ArrayString<12>>,
        acquirer_id: u64,
    ) -> MatchKeys {
        let name = |kind: &[u8], parts: [&[u8]; 3]| {
            let mut key = self.match_key_hasher.hasher();
            key.part(kind).part(self.network.as_bytes());
            parts.into_iter().for_each(|part| {
                key.part(part);
            });
            // 0 is for what is not stated.
            MatchKey((key.finish() as u64).max(1))
        };
        let stan = stan.to_le_bytes();
        let rrn = message
            .text::<12>(37)
            .filter(|rrn| rrn.bytes().any(|letter| letter != b'0'));
        // Where the time of transmission is the local time, one name says both.
        let names_local = sent_field(self.original_data()) != LOCAL_TIME;
        let local = message.raw(LOCAL_TIME).filter(|_| names_local);
        let date = match self.map.dialect.mappings().date_time {
            DateTimeLayout::De12HhmmssDe13Mmdd => message.raw(13).unwrap_or_default(),
            // The date is part of DE12, and DE13 is a date of the card.
            DateTimeLayout::De12Yymmddhhmmss => &[],
        };
        MatchKeys {
            rrn: rrn.map_or(MatchKey::UNSTATED, |rrn| {
                name(b"rrn", [rrn.as_bytes(), &[], &[]])
            }),
            sent: sent.map_or(MatchKey::UNSTATED, |sent| {
                name(b"sent", [&stan, sent.as_bytes(), &[]])
            }),
            local: local.map_or(MatchKey::UNSTATED, |time| {
                name(b"local", [&stan, time, date])
            }),
            acquirer_id,
        }
    }

    /// Whether a reversal leaves a part of its original standing, which is not decided here yet.
    fn is_partial(&self, message: &Message) -> bool {
        let first_amount = |text: Option<ArrayString<42>>| -> u64 {
            let digits = text.and_then(|text| text.get(..12)?.parse().ok());
            digits.unwrap_or(0)
        };
        match self.map.dialect.mappings().replacement_amount {
            ReplacementAmount::De95 => first_amount(message.text(95)) > 0,
            ReplacementAmount::De30 => {
                let stays = message.digits(4).unwrap_or(0);
                stays > 0 && first_amount(message.text(30)) > stays
            }
        }
    }

    fn original_data(&self) -> OriginalData {
        self.map.dialect.mappings().original_data
    }

    /// What a reversal says of its original, in DE90 (1987) or DE56 (1993).
    fn original(&self, message: &Message) -> Option<Original> {
        let (field, sent_length) = match self.original_data() {
            OriginalData::De90 => (90, 10),
            OriginalData::De56 => (56, 12),
        };
        let text = message.text::<42>(field)?;
        // Each part is zeros where the sender does not know it.
        let stan = text.get(4..10)?.parse().ok().filter(|stan| *stan != 0)?;
        let sent = text.get(10..10 + sent_length)?;
        let acquirer = match self.original_data() {
            OriginalData::De90 => text.get(20..31)?,
            // An LLVAR within the field: two digits of length come first.
            OriginalData::De56 => text.get(24..).unwrap_or_default(),
        };
        let is_known = |text: &&str| text.bytes().any(|digit| digit != b'0');
        let sent = Some(sent).filter(is_known);
        Some(Original {
            stan,
            sent: sent.and_then(|sent| ArrayString::from(sent).ok()),
            acquirer_id: acquirer.parse().unwrap_or(0),
        })
    }
}

/// What a later message says of an earlier one.
struct Original {
    stan: u32,
    /// DE7 of the original (1987), or its DE12 (1993).
    sent: Option<ArrayString<12>>,
    /// 0 where it is not known.
    acquirer_id: u64,
}

/// Merchant category code (ISO 18245).
const AUTOMATED_FUEL_DISPENSER: u16 = 5542;

/// Local time of the transaction; in 1993 with its date.
const LOCAL_TIME: u8 = 12;

fn sent_field(original: OriginalData) -> u8 {
    match original {
        OriginalData::De90 => 7,
        OriginalData::De56 => 12,
    }
}

fn amounts(message: &Message) -> Result<Amounts, Untranslatable> {
    let transaction = money(message, 4, 49)?.unwrap_or_default();
    // Without a currency of its own, DE6 says nothing.
    let billing = if message.has(51) {
        money(message, 6, 51)?
    } else {
        None
    };
    Ok(Amounts {
        transaction,
        billing,
    })
}

fn money(
    message: &Message,
    amount_field: u8,
    currency_field: u8,
) -> Result<Option<Money>, Untranslatable> {
    let Some(amount) = message.digits(amount_field) else {
        return Ok(None);
    };
    let amount_minor = i64::try_from(amount).map_err(|_| Untranslatable::Field(amount_field))?;
    let currency = match message.text::<3>(currency_field) {
        None => Currency::ABSENT,
        Some(text) => currency(&text).ok_or(Untranslatable::Field(currency_field))?,
    };
    Ok(Some(Money {
        amount_minor,
        currency,
    }))
}

/// ISO 4217 in digits, as most dialects have it, or in letters.
fn currency(text: &str) -> Option<Currency> {
    match text.parse() {
        Ok(numeric) => Currency::from_numeric(numeric),
        Err(_) => Currency::from_alpha(text),
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
