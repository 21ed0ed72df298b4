//! What a simulated message is made of: what the body says, then what the authorization says that it is about, then
//! what the card has, then defaults. Its bytes are made in `network::outgoing`.

use super::What;
use super::about::{about, of_other_kind};
use super::asked::{AMOUNT_MAX_MINOR, Asked, Shown, TokenIn, not_on_the_wire};
use super::numbers;
use crate::api::error::ApiError;
use crate::api::{ApiState, accounts, cards, reveal, tokens};
use crate::engine::facts::{Channel, Country, EntryMode, Kind, Merchant};
use crate::engine::ids::AuthorizationId;
use crate::engine::money::{Currency, Money};
use crate::engine::time::Expiry;
use crate::network::loopback::Loopback;
use crate::network::outgoing::{MessageType, Names, Original, Outgoing, StandIn, Stays};
use crate::security::Pan;
use crate::store::rows::{AuthorizationRow, MessageName};
use arrayvec::ArrayString;
use std::sync::Arc;

/// Who accepts the card where nothing else is said.
const MERCHANT: (&str, &str, &str, [u8; 2]) =
    ("SIMULATED", "SIMULATED MERCHANT", "NEW YORK", *b"US");
const ACQUIRER_ID: &str = "400001";
const TERMINAL_ID: &str = "SIM00001";

/// Merchant category codes (ISO 18245): miscellaneous retail, cash at an ATM, automated fuel dispensers.
const RETAIL: u16 = 5999;
const ATM: u16 = 6011;
const FUEL: u16 = 5542;

/// Of a stand-in approval that does not state one.
const STAND_IN_CODE: &str = "SIMSTI";

pub struct Draft {
    pub outgoing: Outgoing,
    /// The authorization that it is about.
    pub original_id: Option<AuthorizationId>,
    /// As the body says.
    network: Option<String>,
    /// Whose card it is, or where the original came from.
    usual_network: String,
}

/// The card, and what it has.
struct CardFacts {
    /// Its own, or that of a token in its place.
    pan: Pan,
    /// Of the same; nothing, where the token has none that we were told.
    expiry: Option<Expiry>,
    cvv2: ArrayString<4>,
    /// Wallets have no CVV2 to give.
    is_token: bool,
    /// The number of a token, beside that of the card.
    token: Option<Pan>,
    /// Of its account.
    currency: Currency,
    network: String,
}

impl Draft {
    pub async fn of(
        state: &Arc<ApiState>,
        what: What,
        asked: Asked,
        write_id: u64,
    ) -> Result<Draft, ApiError> {
        let old = match (asked.authorization_id, asked.repeat_of) {
            (Some(id), _) => Some(about(state, id, "authorization_id").await?),
            (None, Some(id)) => Some(about(state, id, "repeat_of").await?),
            (None, None) => None,
        };
        let card = card_facts(state, &asked, old.as_ref()).await?;
        let usual_network = match &old {
            Some(row) => row.network.to_string(),
            None => card.network.clone(),
        };
        Ok(Draft {
            network: asked.network.clone(),
            usual_network,
            original_id: asked.authorization_id,
            outgoing: outgoing(what, &asked, old.as_ref(), card, write_id)?,
        })
    }

    /// The network that the body names, else the usual one, else the first.
    pub fn loopback<'s>(&self, state: &'s ApiState) -> Result<&'s Loopback, ApiError> {
        let named = |name: &str| {
            let mut all = state.loopbacks.iter();
            all.find(|loopback| loopback.network() == name)
        };
        let unknown = |name: &str| {
            let message = format!("there is no network `{name}` in the configuration");
            ApiError::invalid("network_unknown", "network", message)
        };
        if let Some(name) = &self.network {
            return named(name).ok_or_else(|| unknown(name));
        }
        match named(&self.usual_network) {
            Some(loopback) => Ok(loopback),
            // What is about an earlier message is known to the network of that one only.
            None if self.original_id.is_some() => Err(unknown(&self.usual_network)),
            None => state.loopbacks.first().ok_or_else(|| {
                let message = "no [[network]] is configured; simulated messages speak as one";
                ApiError::conflict("no_network", message)
            }),
        }
    }
}

async fn card_facts(
    state: &ApiState,
    asked: &Asked,
    old: Option<&AuthorizationRow>,
) -> Result<CardFacts, ApiError> {
    let token_id = asked.token_id.or(old.and_then(|row| row.token_id));
    let token = match token_id {
        None => None,
        Some(id) => {
            let found = tokens::find(state, id).await;
            let (token, number) = found.map_err(|error| error.with_param("token_id"))?;
            let number = tokens::open_number(state, id, &number)?;
            Some((token, number))
        }
    };
    // One of these is there: `Asked` has seen to it.
    let named = asked.card_id.or(old.map(|row| row.card_id));
    let id = named.or(token.as_ref().map(|(token, _)| token.card_id));
    let id = id.unwrap_or_default();
    let missing = |error: ApiError| error.with_param("card_id");
    let full = cards::find_full(state, id).await.map_err(missing)?;
    let (issued, _) = cards::issued(state, id).await?;
    let pan = reveal::open_pan(state, id, &issued)?;
    let (year, month) = (issued.expiry.year(), issued.expiry.month());
    let cvv2 = state.vault.cvk().cvv2(&pan, year, month);
    let view = state.switchboard.view();
    let program = view.programs.get(&issued.program_id);
    let cvv2 = ArrayString::from(cvv2.digits()).unwrap_or_default();
    let is_token = token.is_some();
    let (pan, expiry, token) = match token {
        Some((_, number)) if asked.token_in == Some(TokenIn::TokenField) => {
            (pan, Some(issued.expiry), Some(number))
        }
        Some((token, number)) => (number, token.expiry, None),
        None => (pan, Some(issued.expiry), None),
    };
    Ok(CardFacts {
        cvv2,
        pan,
        expiry,
        is_token,
        token,
        currency: accounts::find(state, full.card.account_id).await?.currency,
        network: program.map_or_else(String::new, |program| full.network_in(program).to_owned()),
    })
}

fn outgoing(
    what: What,
    asked: &Asked,
    old: Option<&AuthorizationRow>,
    card: CardFacts,
    write_id: u64,
) -> Result<Outgoing, ApiError> {
    let is_about_old = asked.authorization_id.is_some();
    let message_type = message_type(what, asked, old);
    let kind = kind(what, asked, old);
    if kind == Kind::Other {
        return Err(of_other_kind(what, asked));
    }
    let entry_mode = entry_mode(asked, old, kind);
    let amount = amount(what, asked, old, kind, card.currency)?;
    let names = names(what, asked, old, write_id)?;
    // Whoever sells at a distance asks for it.
    let asks_cvv2 = matches!(entry_mode, EntryMode::Ecommerce | EntryMode::Manual);
    let asks_cvv2 = asks_cvv2 && !card.is_token;
    let usual = match asks_cvv2 && !is_about_old && what != What::ForcePost {
        true => Shown::Right,
        false => Shown::Absent,
    };
    Ok(Outgoing {
        message_type,
        is_repeat: asked.is_repeat || asked.repeat_of.is_some(),
        kind,
        expiry: card
            .expiry
            .and_then(|expiry| shown_expiry(asked.expiry.unwrap_or(Shown::Right), expiry)),
        cvv2: shown_cvv2(asked.cvv2.unwrap_or(usual), &card.cvv2),
        pan: card.pan,
        token: card.token,
        amount,
        billing: asked.billing,
        merchant: merchant(asked, old, kind)?,
        acquirer_id: asked.acquirer_id.unwrap_or_else(|| match old {
            Some(row) => row.acquirer_id,
            None => ArrayString::from(ACQUIRER_ID).unwrap_or_default(),
        }),
        terminal_id: asked.terminal_id.unwrap_or_else(|| match old {
            Some(row) => row.terminal_id,
            None => ArrayString::from(TERMINAL_ID).unwrap_or_default(),
        }),
        entry_mode,
        channel: channel(asked, old, kind, entry_mode),
        partial_approval_supported: asked.partial_approval_supported,
        initiated_by_merchant: asked.initiated_by_merchant,
        is_final: asked.is_final.unwrap_or(true),
        three_ds: asked.three_ds,
        stand_in: stand_in(what, asked),
        approval_code: approval_code(what, asked, old),
        original: old.filter(|_| is_about_old).map(original),
        stays: asked.remaining_minor.map(|stays_minor| Stays {
            stays_minor,
            stood_at_minor: amount.amount_minor.max(stays_minor + 1),
        }),
        names,
    })
}

fn message_type(what: What, asked: &Asked, old: Option<&AuthorizationRow>) -> MessageType {
    match what {
        What::Authorization => {
            let repeated = old.map(|row| named(row.message));
            asked.message.or(repeated).unwrap_or(MessageType::Request)
        }
        What::BalanceInquiry | What::Increment => MessageType::Request,
        What::Advice => MessageType::Advice,
        What::Reversal if asked.is_advice => MessageType::ReversalAdvice,
        What::Reversal => MessageType::Reversal,
        What::Clearing | What::Refund | What::ForcePost => MessageType::FinancialAdvice,
    }
}

fn named(message: MessageName) -> MessageType {
    match message {
        MessageName::Request => MessageType::Request,
        MessageName::Advice => MessageType::Advice,
        MessageName::FinancialRequest => MessageType::FinancialRequest,
        MessageName::FinancialAdvice => MessageType::FinancialAdvice,
    }
}

fn kind(what: What, asked: &Asked, old: Option<&AuthorizationRow>) -> Kind {
    match what {
        What::BalanceInquiry => Kind::BalanceInquiry,
        What::Increment => Kind::Incremental,
        What::Refund => Kind::Refund,
        What::Authorization | What::ForcePost => {
            let repeated = old.map(|row| row.kind);
            asked.kind.or(repeated).unwrap_or(Kind::Purchase)
        }
        // An increment, and what was held before it, are told as the purchase that they became.
        What::Advice | What::Clearing | What::Reversal => {
            let of_old = old.map(|row| match row.kind {
                Kind::Incremental | Kind::PreAuthorization => Kind::Purchase,
                kind => kind,
            });
            asked.kind.or(of_old).unwrap_or(Kind::Purchase)
        }
    }
}

/// What nobody names follows from the rest: a cash machine reads chips, a subscription has the card on file.
fn entry_mode(asked: &Asked, old: Option<&AuthorizationRow>, kind: Kind) -> EntryMode {
    if let Some(mode) = asked.entry_mode.or(old.map(|row| row.entry_mode)) {
        return mode;
    }
    match (asked.channel, kind) {
        (_, _) if asked.initiated_by_merchant => EntryMode::CredentialOnFile,
        (Some(Channel::PointOfSale | Channel::Atm), _) => EntryMode::Chip,
        (Some(Channel::MailOrTelephone), _) => EntryMode::Manual,
        (Some(Channel::Recurring), _) => EntryMode::CredentialOnFile,
        (None, Kind::CashWithdrawal | Kind::PurchaseWithCashBack | Kind::FuelDispenser) => {
            EntryMode::Chip
        }
        (Some(Channel::Ecommerce | Channel::Unknown) | None, _) => EntryMode::Ecommerce,
    }
}

/// Nothing, where it is whatever the entry mode comes to.
fn channel(
    asked: &Asked,
    old: Option<&AuthorizationRow>,
    kind: Kind,
    entry_mode: EntryMode,
) -> Option<Channel> {
    let usual = match (entry_mode, kind) {
        (EntryMode::Ecommerce, _) => Some(Channel::Ecommerce),
        _ => None,
    };
    asked.channel.or(old.map(|row| row.channel)).or(usual)
}

fn merchant(
    asked: &Asked,
    old: Option<&AuthorizationRow>,
    kind: Kind,
) -> Result<Merchant, ApiError> {
    let given = &asked.merchant;
    let is_atm = kind == Kind::CashWithdrawal || asked.channel == Some(Channel::Atm);
    let usual_mcc = match kind {
        Kind::FuelDispenser => FUEL,
        _ if is_atm => ATM,
        _ => RETAIL,
    };
    if kind == Kind::FuelDispenser && given.mcc.is_some_and(|mcc| mcc != FUEL) {
        let message = "a fuel dispenser is told by its MCC, 5542: leave merchant.mcc out";
        return Err(ApiError::invalid("value_unknown", "merchant.mcc", message));
    }
    let base = match old {
        Some(row) => Merchant {
            id: row.merchant_id,
            name: row.merchant_name,
            city: row.merchant_city,
            country: row.merchant_country,
            country_is_acquirers: false,
            mcc: row.mcc,
        },
        None => {
            let (id, name, city, country) = MERCHANT;
            Merchant {
                id: ArrayString::from(id).unwrap_or_default(),
                name: ArrayString::from(name).unwrap_or_default(),
                city: ArrayString::from(city).unwrap_or_default(),
                country: Country(country),
                country_is_acquirers: false,
                mcc: usual_mcc,
            }
        }
    };
    // What was given has been held against these lengths.
    fn or<const N: usize>(given: &Option<String>, base: ArrayString<N>) -> ArrayString<N> {
        let given = given.as_ref().and_then(|text| ArrayString::from(text).ok());
        given.unwrap_or(base)
    }
    Ok(Merchant {
        id: or(&given.id, base.id),
        name: or(&given.name, base.name),
        city: or(&given.city, base.city),
        country: given.country.unwrap_or(base.country),
        country_is_acquirers: false,
        mcc: given.mcc.unwrap_or(base.mcc),
    })
}

/// In the currency that the body names, else the original's, else the account's.
fn amount(
    what: What,
    asked: &Asked,
    old: Option<&AuthorizationRow>,
    kind: Kind,
    of_account: Currency,
) -> Result<Money, ApiError> {
    let currency = old.map_or(of_account, |row| row.transaction_currency);
    let currency = asked.currency.unwrap_or(currency);
    if currency.0 > 999 {
        return Err(not_on_the_wire("currency"));
    }
    let asks_only = matches!(kind, Kind::BalanceInquiry | Kind::AccountVerification);
    let usual = match (what, old) {
        (What::Clearing, Some(row)) => Some(still_held(row)),
        (What::Refund, Some(row)) => paid(row),
        (What::Reversal | What::Authorization, Some(row)) => Some(row.transaction_minor),
        _ => asks_only.then_some(0),
    };
    let amount_minor = asked.amount_minor.or(usual).ok_or_else(|| {
        let message = match (what, old) {
            (What::Refund, Some(_)) => {
                "amount is required: nothing was paid for this authorization"
            }
            _ => "amount is required",
        };
        ApiError::invalid("field_missing", "amount", message)
    })?;
    Ok(Money {
        amount_minor: amount_minor.clamp(0, AMOUNT_MAX_MINOR),
        currency,
    })
}

/// What an authorization holds, as its merchant counts; of one that was converted, what was asked.
fn still_held(row: &AuthorizationRow) -> i64 {
    match row.currency == row.transaction_currency {
        true => row.amount_minor - row.posted_minor,
        false => row.transaction_minor,
    }
}

/// What was posted for it, as its merchant counts; of one that was converted, what was asked.
fn paid(row: &AuthorizationRow) -> Option<i64> {
    let is_paid = row.posted_minor > 0;
    is_paid.then_some(match row.currency == row.transaction_currency {
        true => row.posted_minor,
        false => row.transaction_minor,
    })
}

/// A repeat has the numbers of what it repeats; what is about an earlier message has the RRN of that one, and a
/// reversal its local time too.
fn names(
    what: What,
    asked: &Asked,
    old: Option<&AuthorizationRow>,
    write_id: u64,
) -> Result<Names, ApiError> {
    let own = numbers::of(write_id, asked.numbers);
    let Some(row) = old else {
        return Ok(own);
    };
    let sent_at = numbers::sent_at(row);
    if asked.repeat_of.is_some() {
        let sent_at = asked.numbers.sent_at.or(sent_at).ok_or_else(|| {
            let message = "when that message was sent is known to its sender only: say it in sent_at, as it said then";
            ApiError::invalid("field_missing", "sent_at", message)
        })?;
        return Ok(Names {
            stan: asked.numbers.stan.unwrap_or(row.stan),
            rrn: asked.numbers.rrn.unwrap_or(row.rrn),
            sent_at,
            local_at: sent_at,
        });
    }
    let local_at = match what {
        What::Reversal => sent_at.unwrap_or(own.local_at),
        _ => own.local_at,
    };
    Ok(Names {
        rrn: asked.numbers.rrn.unwrap_or(row.rrn),
        local_at,
        ..own
    })
}

fn original(row: &AuthorizationRow) -> Original {
    Original {
        message_type: named(row.message),
        stan: row.stan,
        sent_at: numbers::sent_at(row),
        acquirer_id: row.acquirer_id.parse().unwrap_or(0),
    }
}

/// An advice without an original tells what the network decided in our place.
fn stand_in(what: What, asked: &Asked) -> Option<StandIn> {
    match (what, asked.declined_as) {
        (What::Advice, Some(reason)) => Some(StandIn::Declined(reason)),
        (What::Advice, None) if asked.authorization_id.is_none() => Some(StandIn::Approved),
        _ => None,
    }
}

fn approval_code(
    what: What,
    asked: &Asked,
    old: Option<&AuthorizationRow>,
) -> Option<ArrayString<6>> {
    if asked.approval_code.is_some() || what == What::Authorization {
        return asked.approval_code;
    }
    let given = old.and_then(|row| row.approval_code);
    match (what, given) {
        (What::Increment, _) => None,
        (_, Some(code)) => ArrayString::from(code.as_str()).ok(),
        (What::Advice, None) if old.is_none() && asked.declined_as.is_none() => {
            ArrayString::from(STAND_IN_CODE).ok()
        }
        _ => None,
    }
}

/// A year off, where it is to be wrong.
fn shown_expiry(shown: Shown, expiry: Expiry) -> Option<Expiry> {
    match shown {
        Shown::Absent => None,
        Shown::Right => Some(expiry),
        Shown::Wrong => Expiry::new(expiry.year() + 1, expiry.month())
            .or_else(|| Expiry::new(expiry.year() - 1, expiry.month())),
    }
}

/// Another last digit, where it is to be wrong.
fn shown_cvv2(shown: Shown, cvv2: &str) -> Option<ArrayString<4>> {
    let mut digits = ArrayString::<4>::from(cvv2).ok()?;
    match shown {
        Shown::Absent => return None,
        Shown::Right => {}
        Shown::Wrong => {
            let last = digits.pop()?.to_digit(10)?;
            digits.push(char::from_digit((last + 1) % 10, 10)?);
        }
    }
    Some(digits)
}
