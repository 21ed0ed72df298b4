//! A message as an acquirer would send it: facts of a payment in, bytes of a network's dialect out. It is read back
//! before it is given out: what the dialect cannot say is refused, and not left out. How each fact is said lives in
//! `outgoing_facts.rs`; whom a message goes to in `loopback.rs`.

use super::dialect_map::DialectMap;
use super::outgoing_facts::FACTS;
use super::outgoing_fields::Fields;
use crate::engine::facts::{Channel, EntryMode, Kind, Merchant};
use crate::engine::money::{Currency, Money};
use crate::engine::reason::DeclineReason;
use crate::engine::three_ds::ThreeDs;
use crate::engine::time::{Expiry, Timestamp};
use crate::iso8583::mapping::{DateTimeLayout, OriginalData, ReplacementAmount};
use crate::iso8583::{EncodeError, Mti};
use crate::security::Pan;
use arrayvec::ArrayString;
use bytes::BytesMut;

/// What a message is, whatever it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    Request,
    FinancialRequest,
    Advice,
    FinancialAdvice,
    Reversal,
    ReversalAdvice,
}

impl MessageType {
    fn number(self) -> u16 {
        match self {
            MessageType::Request => 100,
            MessageType::FinancialRequest => 200,
            MessageType::Advice => 120,
            MessageType::FinancialAdvice => 220,
            MessageType::Reversal => 400,
            MessageType::ReversalAdvice => 420,
        }
    }

    pub(super) fn is_reversal(self) -> bool {
        matches!(self, MessageType::Reversal | MessageType::ReversalAdvice)
    }
}

/// What the network did in our place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandIn {
    Approved,
    Declined(DeclineReason),
}

/// The earlier message that this one is about.
#[derive(Debug, Clone, Copy)]
pub struct Original {
    pub message_type: MessageType,
    pub stan: u32,
    /// Nothing, where only its sender knows.
    pub sent_at: Option<Timestamp>,
    pub acquirer_id: u64,
}

/// What is to stay of an original, and what it stood at before.
#[derive(Debug, Clone, Copy)]
pub struct Stays {
    pub stays_minor: i64,
    pub stood_at_minor: i64,
}

/// By what this message is known.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub stan: u32,
    pub rrn: ArrayString<12>,
    /// Of its transmission.
    pub sent_at: Timestamp,
    /// Of the transaction, at the merchant's: taken to be UTC.
    pub local_at: Timestamp,
}

pub struct Outgoing {
    pub message_type: MessageType,
    pub is_repeat: bool,
    pub kind: Kind,
    pub pan: Pan,
    pub expiry: Option<Expiry>,
    pub cvv2: Option<ArrayString<4>>,
    pub amount: Money,
    /// In the currency of the account, where the network converts.
    pub billing: Option<Money>,
    pub merchant: Merchant,
    pub acquirer_id: ArrayString<11>,
    pub terminal_id: ArrayString<8>,
    pub entry_mode: EntryMode,
    /// Nothing: whatever the dialect makes of the rest.
    pub channel: Option<Channel>,
    pub partial_approval_supported: bool,
    pub initiated_by_merchant: bool,
    /// Nothing more will be posted of the same authorization.
    pub is_final: bool,
    /// Without the indicator, which follows from the rest.
    pub three_ds: ThreeDs,
    pub stand_in: Option<StandIn>,
    pub approval_code: Option<ArrayString<6>>,
    pub original: Option<Original>,
    pub stays: Option<Stays>,
    /// The number of a token, beside that of its card.
    pub token: Option<Pan>,
    pub names: Names,
}

/// Why there is no such message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsayable {
    #[error("the dialect {dialect} cannot say this `{fact}` together with the rest")]
    Fact { fact: &'static str, dialect: String },
    #[error("the dialect {dialect} cannot write it: {error}")]
    Field { dialect: String, error: EncodeError },
}

impl Outgoing {
    /// The message in this dialect, without a frame.
    pub fn encode(&self, map: &DialectMap) -> Result<BytesMut, Unsayable> {
        let mut fields = self.fields(map);
        let mti = Mti::new(self.mti(map));
        let dialect = || map.dialect.name().to_owned();
        let plain = fields.encode(&map.dialect, mti);
        plain.map_err(|error| Unsayable::Field {
            dialect: dialect(),
            error,
        })?;
        for (done, fact) in FACTS.iter().enumerate() {
            let ways = fact.ways(map, self).into_iter();
            let mut trials = ways.map(|way| fields.with(&map.dialect, &way));
            let fits = trials.find(|trial| self.says(&FACTS[..=done], trial, map, mti));
            fields = fits.ok_or_else(|| Unsayable::Fact {
                fact: fact.name(),
                dialect: dialect(),
            })?;
        }
        let written = fields.encode(&map.dialect, mti);
        written.map_err(|error| Unsayable::Field {
            dialect: dialect(),
            error,
        })
    }

    pub fn mti(&self, map: &DialectMap) -> u16 {
        u16::from(map.dialect.version()) * 1000
            + self.message_type.number()
            + u16::from(self.is_repeat)
    }

    /// What every message has, wherever the dialect has a place for it.
    fn fields(&self, map: &DialectMap) -> Fields {
        let dialect = &map.dialect;
        let is_1993 = dialect.version() == 1;
        let mut fields = Fields::default();
        fields.put(2, self.pan.digits());
        fields.put(4, &format!("{:012}", self.amount.amount_minor));
        if let Some(billing) = self.billing {
            fields.put(6, &format!("{:012}", billing.amount_minor));
            fields.put(51, &numeric(billing.currency));
        }
        self.put_names(map, &mut fields);
        if let Some(expiry) = self.expiry {
            let (year, month) = (expiry.year() % 100, expiry.month());
            fields.put(14, &format!("{year:02}{month:02}"));
        }
        fields.put(32, &self.acquirer_id);
        fields.put(41, &self.terminal_id);
        fields.put(42, &self.merchant.id);
        if self.amount.currency != Currency::ABSENT {
            fields.put(49, &numeric(self.amount.currency));
        }
        if self.merchant.mcc != 0 {
            let mcc = format!("{:04}", self.merchant.mcc);
            fields.put(if is_1993 { 26 } else { 18 }, &mcc);
        }
        if !is_1993 && dialect.layout(25).is_some() {
            fields.put(25, "00");
        }
        fields.put_merchant(dialect, &self.merchant);
        fields.put_blank_positions(dialect);
        if let (Some(cvv2), Some(at)) = (&self.cvv2, &dialect.mappings().cvv2) {
            fields.set(at, cvv2);
        }
        if let Some(code) = &self.approval_code {
            fields.put(38, code);
        }
        match self.stand_in {
            None => {}
            Some(StandIn::Approved) => fields.put(39, &map.approved),
            Some(StandIn::Declined(reason)) => fields.put(39, &map.declined(reason)),
        }
        self.put_original(map, &mut fields);
        self.put_function(map, &mut fields);
        fields
    }

    fn put_names(&self, map: &DialectMap, fields: &mut Fields) {
        let names = &self.names;
        fields.put(7, &utc(names.sent_at)[2..]);
        fields.put(11, &format!("{:06}", names.stan));
        fields.put(37, &names.rrn);
        let local = utc(names.local_at);
        match map.dialect.mappings().date_time {
            DateTimeLayout::De12HhmmssDe13Mmdd => {
                fields.put(12, &local[6..]);
                fields.put(13, &local[2..6]);
            }
            DateTimeLayout::De12Yymmddhhmmss => fields.put(12, &local),
        }
    }

    fn put_original(&self, map: &DialectMap, fields: &mut Fields) {
        let mappings = map.dialect.mappings();
        if let Some(stays) = self.stays {
            let (stays, stood_at) = (stays.stays_minor, stays.stood_at_minor);
            match mappings.replacement_amount {
                // The rest of DE95: settlement amount and two fees, as the dialect has them.
                ReplacementAmount::De95 => fields.put_replacement(&map.dialect, stays),
                ReplacementAmount::De30 => {
                    fields.put(4, &format!("{stays:012}"));
                    fields.put(30, &format!("{stood_at:012}{:012}", 0));
                }
            }
        }
        let Some(original) = &self.original else {
            return;
        };
        let Original { stan, .. } = original;
        let mti = u16::from(map.dialect.version()) * 1000 + original.message_type.number();
        let sent = original.sent_at.map(utc);
        let acquirer = original.acquirer_id;
        match mappings.original_data {
            // ISO 8583:1987: message type, STAN, DE7, acquirer, forwarder; zeros where not known.
            OriginalData::De90 => {
                let sent = sent.as_ref().map_or("0000000000", |sent| &sent[2..]);
                fields.put(
                    90,
                    &format!("{mti:04}{stan:06}{sent}{acquirer:011}{:011}", 0),
                );
            }
            // ISO 8583:1993: message type, STAN, DE12, and the acquirer behind its length.
            OriginalData::De56 => {
                let sent = sent.as_deref().unwrap_or("000000000000");
                let acquirer = acquirer.to_string();
                let length = acquirer.len();
                fields.put(56, &format!("{mti:04}{stan:06}{sent}{length:02}{acquirer}"));
            }
        }
    }

    /// DE24 of 1993.
    fn put_function(&self, map: &DialectMap, fields: &mut Fields) {
        let Some(functions) = &map.dialect.mappings().function else {
            return;
        };
        let word = match (self.message_type, self.kind) {
            (MessageType::Request, Kind::PreAuthorization) => "pre_authorization",
            (MessageType::Request, Kind::Incremental) => "incremental_authorization",
            (MessageType::Request, _) => "original_authorization",
            (MessageType::Advice, _) if self.original.is_some() => "replacement_authorization",
            (MessageType::Advice, _) => "original_authorization",
            (MessageType::FinancialRequest, _) => "original_financial",
            (MessageType::FinancialAdvice, _) => "previously_approved",
            (MessageType::Reversal | MessageType::ReversalAdvice, _) => match self.stays {
                Some(_) => "partial_reversal",
                None => "full_reversal",
            },
        };
        if let Some(code) = functions.code(word) {
            fields.set(&functions.at, code);
        }
    }
}

/// ISO 4217 in three digits.
fn numeric(currency: Currency) -> String {
    format!("{:03}", currency.0)
}

/// `YYMMDDhhmmss`.
fn utc(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%y%m%d%H%M%S").to_string()
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
