//! From a parsed message to a domain command: who is asked, and with which facts. Past this point
//! nothing knows ISO 8583, and nothing sees a card number.

use super::date_time::wrong_date_time;
use super::dialect_map::DialectMap;
use super::merchant::merchant;
use crate::engine::command::{Action, Advise, Authorize, Reverse};
use crate::engine::event::ApprovalCode;
use crate::engine::facts::{
    Amounts, Check, Kind, MatchKeys, NamedToken, NetworkReference, RepeatKey, Verification,
};
use crate::engine::ids::{AccountId, AuthorizationId, CardId, ReversalId, TokenId};
use crate::engine::kinds::{AmountRule, Treatment};
use crate::engine::money::{Currency, Money};
use crate::engine::registry::{RegistryAction, RegistryView};
use crate::engine::time::Expiry;
use crate::iso8583::Message;
use crate::iso8583::mapping::ReplacementAmount;
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
    token: NamedToken,
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
            (1 | 2, 0) => self.authorization(message, AuthorizationId(id), view),
            (1 | 2, 2) => self.advice(message, AuthorizationId(id)),
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
        let (named, authorize) = self.payment(message, authorization_id)?;
        Ok(match named.root() {
            Some(root) => Translated::Shard {
                root,
                action: Action::Authorize(authorize),
            },
            None => {
                let bin_known = view
                    .programs
                    .values()
                    .any(|program| program.bin_of(&named.digits).is_some());
                Translated::Registry(RegistryAction::AuthorizeUnknownCard {
                    authorize,
                    bin_known,
                })
            }
        })
    }

    fn advice(
        &self,
        message: &Message,
        authorization_id: AuthorizationId,
    ) -> Result<Translated, Untranslatable> {
        let (named, mut payment) = self.payment(message, authorization_id)?;
        payment.original_keys = self.original_keys(message, &payment.reference);
        let approval_code = message.text::<6>(38);
        let approval_code = approval_code.and_then(|code| code.as_bytes().try_into().ok());
        let advise = Advise {
            payment,
            was_declined: self.map.was_declined(message),
            is_final: self.map.is_final(message),
            approval_code: approval_code.map(ApprovalCode),
        };
        Ok(match named.root() {
            Some(root) => Translated::Shard {
                root,
                action: Action::Advise(advise),
            },
            None => Translated::Registry(RegistryAction::AdviseUnknownCard(Box::new(advise))),
        })
    }

    /// What a request or an advice says of a payment.
    fn payment(
        &self,
        message: &Message,
        authorization_id: AuthorizationId,
    ) -> Result<(Named, Authorize), Untranslatable> {
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
            match_keys: self.own_keys(message, &reference, authorization_id),
            posts: message.mti().class() == 2,
            original_keys: match kind {
                Kind::Incremental | Kind::Refund => self.original_keys(message, &reference),
                _ => MatchKeys::default(),
            },
            reference,
            three_ds: self.map.three_ds(message),
            initiated_by_merchant: self.map.is_initiated_by_merchant(message),
            is_marked_repeat: message.mti().is_repeat(),
            token: named.token,
        };
        Ok((named, authorize))
    }

    fn reversal(
        &self,
        message: &Message,
        reversal_id: ReversalId,
    ) -> Result<Translated, Untranslatable> {
        self.check_dates(message)?;
        let named = self.card(message)?;
        let reference = self.reference(message)?;
        let reverse = Reverse {
            reversal_id,
            card_id: named.card_id(),
            amount: amounts(message)?.transaction,
            repeat_key: self.repeat_key(message, &named),
            original_keys: self.reversed_keys(message, &reference),
            stays: self.stays(message)?,
            is_marked_repeat: message.mti().is_repeat(),
            reference,
            token: named.token,
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
            token: match route.and_then(|route| route.token_id) {
                Some(id) => NamedToken::InPlaceOfCard(TokenId(id.get())),
                None => self.token_beside(message),
            },
        })
    }

    /// The token whose number the dialect has in a field of its own, beside the card's number.
    fn token_beside(&self, message: &Message) -> NamedToken {
        let Some(digits) = self.map.token(message) else {
            return NamedToken::Absent;
        };
        let hash = self.pan_hasher.pan_hash(digits.as_bytes());
        let route = self.pan_index.lookup(hash);
        match route.and_then(|route| route.token_id) {
            Some(id) => NamedToken::BesideCard(TokenId(id.get())),
            None => NamedToken::Unknown,
        }
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
        // Blank where the cardholder has none to give. Beside a token in place of the card it is no CVV2 of the card's.
        let is_cards = !matches!(named.token, NamedToken::InPlaceOfCard(_));
        let given = given.filter(|given| !given.is_empty() && is_cards);
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

    /// What is to stay of the original of a reversal; nothing, where that is reversed whole. DE95 of 1987 begins
    /// with the actual amount in the transaction's currency; in 1993 DE4 has the new amount and DE30 the
    /// original's.
    fn stays(&self, message: &Message) -> Result<Option<Money>, Untranslatable> {
        let transaction = amounts(message)?.transaction;
        // What cannot be read must not be taken for a reversal of the whole.
        let first_amount = |field: u8| -> Result<u64, Untranslatable> {
            let Some(text) = message.text::<42>(field) else {
                return Ok(0);
            };
            let digits = text
                .get(..12)
                .filter(|text| text.bytes().all(|d| d.is_ascii_digit()));
            let amount = digits.and_then(|digits| digits.parse().ok());
            amount.ok_or(Untranslatable::Field(field))
        };
        let stays = match self.map.dialect.mappings().replacement_amount {
            ReplacementAmount::De95 => first_amount(95)?,
            ReplacementAmount::De30 => {
                let stays = message.digits(4).unwrap_or(0);
                match first_amount(30)? > stays {
                    true => stays,
                    false => 0,
                }
            }
        };
        let amount_minor = i64::try_from(stays).map_err(|_| Untranslatable::Field(95))?;
        let currency = transaction.currency;
        Ok((amount_minor > 0).then_some(Money {
            amount_minor,
            currency,
        }))
    }
}

/// Merchant category code (ISO 18245).
const AUTOMATED_FUEL_DISPENSER: u16 = 5542;

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
