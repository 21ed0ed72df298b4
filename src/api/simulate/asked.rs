//! What the body of a simulation may say, field by field. What is made of it lives in `draft.rs`.

use super::What;
use super::numbers::GivenNumbers;
use crate::api::controls_json;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, word};
use crate::engine::facts::{Channel, Country, EntryMode, Kind};
use crate::engine::ids::{AuthorizationId, CardId, TokenId};
use crate::engine::money::{Currency, Money};
use crate::engine::reason::DeclineReason;
use crate::engine::three_ds::{Authentication, Cryptogram, Exemption, ThreeDs};
use crate::network::outgoing::MessageType;
use arrayvec::ArrayString;
use serde_json::Value;

/// What twelve digits hold.
pub const AMOUNT_MAX_MINOR: i64 = 999_999_999_999;

/// What a message shows of something that the card has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Right,
    Wrong,
    Absent,
}

const SHOWN: &[(Shown, &str)] = &[
    (Shown::Right, "right"),
    (Shown::Wrong, "wrong"),
    (Shown::Absent, "absent"),
];

/// Where a message has the number of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenIn {
    /// Where the card's would be.
    PanField,
    /// Beside the card's, where the dialect has a field for it.
    TokenField,
}

pub const TOKEN_PLACES: &[(TokenIn, &str)] = &[
    (TokenIn::PanField, "pan_field"),
    (TokenIn::TokenField, "token_field"),
];

const MESSAGES: &[(MessageType, &str)] = &[
    (MessageType::Request, "request"),
    (MessageType::FinancialRequest, "financial_request"),
];

#[derive(Debug, Default)]
pub struct AskedMerchant {
    pub id: Option<String>,
    pub name: Option<String>,
    pub city: Option<String>,
    pub country: Option<Country>,
    pub mcc: Option<u16>,
}

#[derive(Debug, Default)]
pub struct Asked {
    pub card_id: Option<CardId>,
    pub token_id: Option<TokenId>,
    pub token_in: Option<TokenIn>,
    pub authorization_id: Option<AuthorizationId>,
    pub repeat_of: Option<AuthorizationId>,
    pub network: Option<String>,
    pub numbers: GivenNumbers,
    pub is_repeat: bool,
    pub amount_minor: Option<i64>,
    pub currency: Option<Currency>,
    pub billing: Option<Money>,
    pub kind: Option<Kind>,
    pub message: Option<MessageType>,
    pub merchant: AskedMerchant,
    pub acquirer_id: Option<ArrayString<11>>,
    pub terminal_id: Option<ArrayString<8>>,
    pub entry_mode: Option<EntryMode>,
    pub channel: Option<Channel>,
    pub cvv2: Option<Shown>,
    pub expiry: Option<Shown>,
    pub partial_approval_supported: bool,
    pub initiated_by_merchant: bool,
    pub three_ds: ThreeDs,
    pub is_final: Option<bool>,
    pub remaining_minor: Option<i64>,
    pub is_advice: bool,
    pub declined_as: Option<DeclineReason>,
    pub approval_code: Option<ArrayString<6>>,
}

impl Asked {
    /// Takes what this simulation has a use for.
    pub fn take(fields: &mut Fields, what: What) -> Result<Asked, ApiError> {
        let mut asked = Asked {
            network: fields.text("network", 16)?,
            is_repeat: fields.boolean("repeat")?.unwrap_or(false),
            numbers: numbers(fields)?,
            token_in: fields.word("token_in", TOKEN_PLACES)?,
            ..Asked::default()
        };
        let about_new = !matches!(what, What::Increment | What::Reversal | What::Clearing);
        let about_old = !matches!(
            what,
            What::Authorization | What::ForcePost | What::BalanceInquiry
        );
        if what == What::Authorization {
            asked.repeat_of = fields.id("repeat_of", AuthorizationId::PREFIX)?;
            asked.message = fields.word("message", MESSAGES)?;
        }
        if about_old {
            asked.authorization_id = fields.id("authorization_id", AuthorizationId::PREFIX)?;
        }
        if about_new {
            asked.card_id = fields.id("card_id", CardId::PREFIX)?;
            asked.token_id = fields.id("token_id", TokenId::PREFIX)?;
            asked.take_payment(fields)?;
        }
        asked.check_object(fields, about_new, about_old)?;
        if !matches!(what, What::BalanceInquiry | What::Reversal) {
            asked.amount_minor = fields.integer("amount", 0..=AMOUNT_MAX_MINOR)?;
            asked.currency = currency(fields, "currency")?;
        }
        match what {
            What::Authorization | What::ForcePost => asked.kind = kind(fields)?,
            What::Advice => {
                asked.kind = kind(fields)?;
                asked.declined_as = declined_as(fields)?;
                asked.approval_code = code(fields, "approval_code")?;
            }
            What::Clearing => asked.is_final = fields.boolean("final")?,
            What::Reversal => {
                asked.remaining_minor = fields.integer("remaining_amount", 1..=AMOUNT_MAX_MINOR)?;
                asked.is_advice = fields.boolean("advice")?.unwrap_or(false);
            }
            What::Increment | What::Refund | What::BalanceInquiry => {}
        }
        Ok(asked)
    }

    /// A card or a token, or an authorization: one of them, and not both. A token beside a card goes into a field of its
    /// own.
    fn check_object(&self, fields: &Fields, by_card: bool, by_old: bool) -> Result<(), ApiError> {
        let old = self.authorization_id.or(self.repeat_of);
        if self.token_id.is_some() && old.is_some() {
            let message = "an authorization says which token it is of; leave token_id out";
            return Err(ApiError::invalid("value_unknown", "token_id", message));
        }
        let in_place = self.token_in != Some(TokenIn::TokenField);
        if self.token_id.is_some() && self.card_id.is_some() && in_place {
            let message = "a token in place of the card says which card it is: leave card_id out, or put the token into the token_field";
            return Err(ApiError::invalid("value_unknown", "token_in", message));
        }
        if self.token_in.is_some() && self.token_id.is_none() && old.is_none() {
            return Err(fields.missing("token_id"));
        }
        let is_named = self.card_id.is_some() || self.token_id.is_some();
        match (is_named.then_some(()), old) {
            (Some(_), Some(_)) => {
                let message = "an authorization says which card it is of; leave card_id out";
                Err(ApiError::invalid("value_unknown", "card_id", message))
            }
            (None, None) if by_card && by_old => {
                let message = "card_id or authorization_id is required";
                Err(ApiError::invalid("field_missing", "card_id", message))
            }
            (None, None) if by_old => Err(fields.missing("authorization_id")),
            (None, None) => Err(fields.missing("card_id")),
            _ => Ok(()),
        }
    }

    fn take_payment(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        self.merchant = merchant(fields)?;
        self.acquirer_id = acquirer_id(fields)?;
        self.terminal_id =
            plain(fields, "terminal_id", 8)?.and_then(|text| ArrayString::from(&text).ok());
        self.entry_mode = fields.word("entry_mode", EntryMode::ALL)?;
        self.channel = fields.word("channel", Channel::ALL)?;
        self.cvv2 = fields.word("cvv2", SHOWN)?;
        self.expiry = fields.word("expiry", SHOWN)?;
        let flag = |found: Option<bool>| found.unwrap_or(false);
        self.partial_approval_supported = flag(fields.boolean("partial_approval_supported")?);
        self.initiated_by_merchant = flag(fields.boolean("merchant_initiated")?);
        self.three_ds = three_ds(fields)?;
        let amount_minor = fields.integer("billing_amount", 0..=AMOUNT_MAX_MINOR)?;
        let currency = currency(fields, "billing_currency")?;
        self.billing = match (amount_minor, currency) {
            (Some(amount_minor), Some(currency)) => Some(Money {
                amount_minor,
                currency,
            }),
            (None, None) => None,
            (Some(_), None) => return Err(fields.missing("billing_currency")),
            (None, Some(_)) => return Err(fields.missing("billing_amount")),
        };
        Ok(())
    }
}

fn numbers(fields: &mut Fields) -> Result<GivenNumbers, ApiError> {
    Ok(GivenNumbers {
        stan: stan(fields)?,
        rrn: code(fields, "rrn")?,
        sent_at: fields.moment("sent_at")?,
    })
}

/// Six digits, as answers have it.
fn stan(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let path = fields.path("stan");
    let Some(text) = fields.text("stan", 40)? else {
        return Ok(None);
    };
    let digits = text.len() == 6 && text.bytes().all(|digit| digit.is_ascii_digit());
    let stan = text.parse().ok().filter(|stan| digits && *stan > 0);
    stan.map(Some).ok_or_else(|| {
        let message = format!("{path} has six digits above zero, as in \"165895\"");
        ApiError::invalid("text_invalid", path, message)
    })
}

/// Letters and digits, as many as fit: what DE37 and DE38 have.
fn code<const N: usize>(
    fields: &mut Fields,
    name: &str,
) -> Result<Option<ArrayString<N>>, ApiError> {
    let path = fields.path(name);
    let Some(text) = fields.text(name, N)? else {
        return Ok(None);
    };
    let is_code = text.len() == N && text.bytes().all(|letter| letter.is_ascii_alphanumeric());
    match ArrayString::from(&text) {
        Ok(code) if is_code => Ok(Some(code)),
        _ => {
            let message = format!("{path} has {N} letters or digits");
            Err(ApiError::invalid("text_invalid", path, message))
        }
    }
}

/// A currency that has a number of three digits.
fn currency(fields: &mut Fields, name: &str) -> Result<Option<Currency>, ApiError> {
    let path = fields.path(name);
    let currency = fields.currency(name)?;
    match currency {
        Some(currency) if currency.0 > 999 => Err(not_on_the_wire(path)),
        currency => Ok(currency),
    }
}

pub fn not_on_the_wire(path: impl Into<String>) -> ApiError {
    let message = "messages of networks are in ISO 4217 currencies: name one in `currency`";
    ApiError::invalid("currency_unknown", path, message)
}

/// Visible ASCII, as the fields of a message have it.
fn plain(fields: &mut Fields, name: &str, length_max: usize) -> Result<Option<String>, ApiError> {
    let path = fields.path(name);
    let Some(text) = fields.text(name, length_max)? else {
        return Ok(None);
    };
    match text
        .bytes()
        .all(|letter| (b' '..0x7f).contains(&letter) && letter != b'\\')
    {
        true => Ok(Some(text)),
        false => {
            let message = format!("{path} takes visible ASCII characters other than the backslash");
            Err(ApiError::invalid("text_invalid", path, message))
        }
    }
}

fn merchant(fields: &mut Fields) -> Result<AskedMerchant, ApiError> {
    let Some(mut fields) = fields.object("merchant")? else {
        return Ok(AskedMerchant::default());
    };
    let mcc_path = fields.path("mcc");
    let mcc = fields.take("mcc");
    let merchant = AskedMerchant {
        id: plain(&mut fields, "id", 15)?,
        name: plain(&mut fields, "name", 40)?,
        city: plain(&mut fields, "city", 16)?,
        country: country(&mut fields)?,
        mcc: mcc.map(|value| mcc_of(&mcc_path, value)).transpose()?,
    };
    fields.finish()?;
    Ok(merchant)
}

fn mcc_of(path: &str, value: Value) -> Result<u16, ApiError> {
    let text = value.as_str().filter(|text| text.len() == 4);
    let mcc = text.and_then(|text| controls_json::mcc(path, text.into()).ok());
    mcc.filter(|mcc| *mcc != 0).ok_or_else(|| {
        let message = format!("{path} has four digits, as in \"5411\" (ISO 18245)");
        ApiError::invalid("mcc_invalid", path, message)
    })
}

fn country(fields: &mut Fields) -> Result<Option<Country>, ApiError> {
    let path = fields.path("country");
    let Some(text) = fields.text("country", 2)? else {
        return Ok(None);
    };
    Country::from_alpha2(&text).map(Some).ok_or_else(|| {
        let message = format!("{path} has two capital letters, as in US (ISO 3166-1)");
        ApiError::invalid("country_unknown", path, message)
    })
}

fn acquirer_id(fields: &mut Fields) -> Result<Option<ArrayString<11>>, ApiError> {
    let path = fields.path("acquirer_id");
    let Some(text) = fields.text("acquirer_id", 11)? else {
        return Ok(None);
    };
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    match ArrayString::from(&text) {
        Ok(id) if is_number => Ok(Some(id)),
        _ => {
            let message = format!("{path} has up to 11 digits");
            Err(ApiError::invalid("text_invalid", path, message))
        }
    }
}

/// As authorizations tell it. Increments have a route of their own.
fn kind(fields: &mut Fields) -> Result<Option<Kind>, ApiError> {
    let known = Kind::ALL
        .iter()
        .filter(|(kind, _)| !matches!(kind, Kind::Other | Kind::Incremental));
    let known: Vec<_> = known.copied().collect();
    fields.word("kind", &known)
}

fn declined_as(fields: &mut Fields) -> Result<Option<DeclineReason>, ApiError> {
    let known = DeclineReason::ALL.iter();
    let known: Vec<_> = known.map(|reason| (*reason, reason.name())).collect();
    fields.word("declined_as", &known)
}

/// The word of the authentication alone, or an object. Who was authenticated, or tried to be, has a cryptogram.
fn three_ds(fields: &mut Fields) -> Result<ThreeDs, ApiError> {
    let path = fields.path("three_ds");
    let (authentication, cryptogram, exemption) = match fields.take("three_ds") {
        None => return Ok(ThreeDs::default()),
        Some(Value::Object(map)) => {
            let mut fields = Fields::of(&path, Value::Object(map))?;
            let authentication = fields.word("authentication", Authentication::ALL)?;
            let cryptogram = fields.word("cryptogram", Cryptogram::ALL)?;
            let exemption = fields.word("exemption", Exemption::ALL)?;
            fields.finish()?;
            (authentication.unwrap_or_default(), cryptogram, exemption)
        }
        Some(value) => (word(&path, &value, Authentication::ALL)?, None, None),
    };
    let usual = match authentication {
        Authentication::Authenticated | Authentication::Attempted => Cryptogram::Present,
        _ => Cryptogram::Absent,
    };
    Ok(ThreeDs {
        eci: None,
        authentication,
        cryptogram: cryptogram.unwrap_or(usual),
        exemption: exemption.unwrap_or_default(),
    })
}
