//! Writes the simulator's messages in any dialect: which fact goes into which field, and all texts that
//! depend on the dialect, are taken from it once, then each message is one pass over that list. What a
//! fact is worth in one payment is in `values`; messages that differ in few values are in `templates`.

use std::{collections::BTreeMap, sync::Arc};

use bytes::BytesMut;

use super::{
    SimError,
    cards::SimCard,
    extras::{Extras, Field, three_ds},
    keys::{Rrn, Stamp},
    merchants::{COUNTRIES, CURRENCIES, Currency, MERCHANTS},
    places::field_bytes,
    traffic::{FollowUp, Kind, Outgoing, Payment, ThreeDs},
    values::Value,
};
use crate::iso8583::{
    Dialect, EncodeError, Encoder, Mti,
    mapping::{DateTimeLayout, OriginalData},
};

/// A fact, to be written into one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Pan,
    ProcessingCode,
    Amount,
    BillingAmount,
    BillingRate,
    Transmission,
    Stan,
    LocalTime,
    LocalDate,
    LocalDateTime,
    Expiry,
    Mcc,
    AcquirerCountry,
    EntryMode,
    Function,
    Condition,
    Acquirer,
    Rrn,
    Terminal,
    MerchantId,
    NameLocation,
    /// And whatever else only some messages have, in this field.
    CardVerification(u8),
    Currency,
    BillingCurrency,
    Original,
}

/// What a message is to the payment that it carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Request,
    Reversal {
        stan: u32,
        at: Stamp,
    },
    FollowUp {
        what: FollowUp,
        of_stan: u32,
        of_at: Stamp,
    },
    ForcePost,
}

/// Writes messages of one dialect.
pub struct Wire {
    dialect: Arc<Dialect>,
    pub(super) cards: Vec<CardWire>,
    pub(super) items: Vec<(u8, Item)>,
    pub(super) processing_codes: [String; 4],
    pub(super) functions: [String; 4],
    pub(super) reversal_function: String,
    /// Of increments, amendments, and of what was taken.
    increment_function: String,
    amendment_function: String,
    pub(super) told_function: String,
    pub(super) extras: Extras,
    pub(super) entry_modes: [String; 3],
    pub(super) conditions: [String; 4],
    pub(super) merchants: Vec<MerchantWire>,
}

/// A merchant's texts and its DE43 as it stands on the wire.
pub(super) struct MerchantWire {
    pub acquirer: u64,
    pub terminal: String,
    pub id: String,
    pub name_location: Vec<u8>,
    pub country: &'static str,
}

/// A card, and the fields that carry its CVV2, right and wrong, and what was proven online, as they stand on the wire;
/// empty where the dialect or the card has none.
pub(super) struct CardWire {
    pub card: SimCard,
    /// What the card is billed in, and its place among [`CURRENCIES`].
    pub currency: &'static Currency,
    pub currency_number: u8,
    pub right_cvv2: Vec<u8>,
    pub wrong_cvv2: Vec<u8>,
    /// Fields of an online payment with each result of 3-D Secure, with the CVV2.
    pub three_ds: [Vec<Field>; 3],
}

const KINDS: [&str; 4] = [
    "purchase",
    "cash_withdrawal",
    "purchase",
    "account_verification",
];
const CHANNEL_ENTRY: [&str; 3] = ["ecommerce", "chip", "chip"];

impl Wire {
    /// Looks up where everything goes. Fails when the dialect cannot carry a merchant or a card.
    pub fn new(dialect: Arc<Dialect>, cards: &[SimCard]) -> Result<Wire, SimError> {
        let maps = dialect.mappings();
        let processing_codes = KINDS.map(|kind| {
            let code = maps.kind.code(kind).unwrap_or("00");
            format!("{code:0<6}")
        });
        let function = |word: &str| {
            let found = maps.function.as_ref().and_then(|map| map.code(word));
            found.unwrap_or_default().to_owned()
        };
        let functions = [
            "original_authorization",
            "original_financial",
            "pre_authorization",
            "account_verification",
        ];
        let conditions = ["", "", "pre_authorization", ""].map(|flag| {
            let first = maps.flag(flag).and_then(|flag| flag.any_of.first());
            match first {
                Some(sign) if sign.at.field == 25 && sign.at.path.is_empty() => {
                    sign.values.first().map_or("00", |value| value).to_owned()
                }
                _ => "00".to_owned(),
            }
        });
        let extras = Extras::new(&dialect);
        let cards = card_wires(&dialect, cards)?;
        let wire = Wire {
            items: items(&dialect, &extras, &cards),
            processing_codes,
            functions: functions.map(function),
            reversal_function: function("full_reversal"),
            increment_function: function("incremental_authorization"),
            amendment_function: function("replacement_authorization"),
            told_function: function("previously_approved"),
            extras,
            entry_modes: CHANNEL_ENTRY.map(|mode| entry_mode(&dialect, mode)),
            conditions,
            merchants: merchants(&dialect)?,
            cards,
            dialect,
        };
        Ok(wire)
    }

    /// The dialect.
    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// Writes one message.
    #[inline]
    pub fn write(&self, outgoing: &Outgoing, out: &mut BytesMut) -> Result<(), EncodeError> {
        match outgoing {
            Outgoing::Request(payment) => self.payment(payment, Role::Request, false, out),
            Outgoing::Repeat(payment) => self.payment(payment, Role::Request, true, out),
            Outgoing::Reversal {
                payment,
                stan,
                at,
                repeat,
            } => {
                let (stan, at) = (*stan, *at);
                self.payment(payment, Role::Reversal { stan, at }, *repeat, out)
            }
            Outgoing::FollowUp {
                what,
                payment,
                of_stan,
                of_at,
            } => {
                let (what, of_stan, of_at) = (*what, *of_stan, *of_at);
                let role = Role::FollowUp {
                    what,
                    of_stan,
                    of_at,
                };
                self.payment(payment, role, false, out)
            }
            Outgoing::ForcePost(payment) => self.payment(payment, Role::ForcePost, false, out),
            Outgoing::Echo { stan, at } => self.management("echo", *stan, *at, out),
        }
    }

    /// MTI class, STAN and RRN that the answer will carry.
    pub fn key(&self, outgoing: &Outgoing) -> (u8, u32, Rrn) {
        match outgoing {
            Outgoing::Request(payment) | Outgoing::Repeat(payment) => {
                (class(payment.kind), payment.stan, payment.rrn)
            }
            Outgoing::Reversal { payment, stan, .. } => (4, *stan, payment.rrn),
            Outgoing::FollowUp { what, payment, .. } => (what.class(), payment.stan, payment.rrn),
            Outgoing::ForcePost(payment) => (2, payment.stan, payment.rrn),
            Outgoing::Echo { stan, .. } => (8, *stan, [0; 12]),
        }
    }

    /// Writes a network management request.
    pub fn management(
        &self,
        function: &str,
        stan: u32,
        at: Stamp,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let dialect = &*self.dialect;
        let field = dialect.network_management_field();
        let code = dialect
            .network_management_code(function)
            .unwrap_or_default();
        let v1993 = dialect.version() > 0;
        let mti = Mti::new(u16::from(dialect.version()) * 1000 + if v1993 { 804 } else { 800 });
        let mut encoder = Encoder::new(dialect, out, mti);
        encoder
            .digits(7, at.mmddhhmmss())?
            .digits(11, u64::from(stan))?;
        if v1993 {
            encoder.digits(12, at.yymmddhhmmss())?;
        }
        encoder.text(field, code)?;
        encoder.finish();
        Ok(())
    }

    #[inline]
    fn payment(
        &self,
        payment: &Payment,
        role: Role,
        repeat: bool,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let (class, function) = match role {
            Role::Request => (class(payment.kind), 0),
            Role::Reversal { .. } => (4, 0),
            Role::FollowUp { what, .. } => (what.class(), what.function()),
            Role::ForcePost => (2, 2),
        };
        let version = u16::from(self.dialect.version()) * 1000;
        let number = version + u16::from(class) * 100 + u16::from(function) * 10;
        let mut encoder = Encoder::new(&self.dialect, out, Mti::new(number + u16::from(repeat)));
        for (field, item) in &self.items {
            match self.value(*item, payment, role) {
                None => continue,
                Some(Value::Number(number)) => encoder.digits(*field, number)?,
                Some(Value::Text(text)) => encoder.text(*field, text)?,
                Some(Value::Made(text)) => encoder.text(*field, &text)?,
                Some(Value::Wire(wire)) => encoder.bytes(*field, wire)?,
            };
        }
        encoder.finish();
        Ok(())
    }
}

impl Wire {
    pub(super) fn follow_up_function(&self, what: FollowUp) -> &str {
        match what {
            FollowUp::Increment => &self.increment_function,
            FollowUp::Amendment => &self.amendment_function,
            FollowUp::Completion { .. } => &self.told_function,
        }
    }

    /// Whether a field carries the CVV2.
    pub(super) fn is_cvv2(&self, field: u8) -> bool {
        let at = self.dialect.mappings().cvv2.as_ref();
        at.is_some_and(|at| at.field == field)
    }

    /// Whether the dialect can say that more completions follow.
    pub(super) fn says_final(&self) -> bool {
        self.extras.says_final()
    }
}

/// Second digit of the MTI.
pub(super) const fn class(kind: Kind) -> u8 {
    match kind {
        Kind::CashWithdrawal => 2,
        _ => 1,
    }
}

/// Which facts the dialect takes, ascending by field.
fn items(dialect: &Dialect, extras: &Extras, cards: &[CardWire]) -> Vec<(u8, Item)> {
    let maps = dialect.mappings();
    let v1993 = dialect.version() > 0;
    let mut items = BTreeMap::from([
        (2, Item::Pan),
        (maps.kind.at.field, Item::ProcessingCode),
        (4, Item::Amount),
        (6, Item::BillingAmount),
        (7, Item::Transmission),
        (10, Item::BillingRate),
        (11, Item::Stan),
        (14, Item::Expiry),
        (if v1993 { 26 } else { 18 }, Item::Mcc),
        (19, Item::AcquirerCountry),
        (maps.entry_mode.at.field, Item::EntryMode),
        (32, Item::Acquirer),
        (37, Item::Rrn),
        (41, Item::Terminal),
        (42, Item::MerchantId),
        (43, Item::NameLocation),
        (49, Item::Currency),
        (51, Item::BillingCurrency),
    ]);
    match maps.date_time {
        DateTimeLayout::De12HhmmssDe13Mmdd => {
            items.extend([(12, Item::LocalTime), (13, Item::LocalDate)]);
        }
        DateTimeLayout::De12Yymmddhhmmss => drop(items.insert(12, Item::LocalDateTime)),
    }
    match maps.original_data {
        OriginalData::De90 => items.insert(90, Item::Original),
        OriginalData::De56 => items.insert(56, Item::Original),
    };
    if let Some(function) = &maps.function {
        items.insert(function.at.field, Item::Function);
    }
    if !v1993 {
        items.insert(25, Item::Condition);
    }
    let proven = cards.iter().flat_map(|card| card.three_ds.iter().flatten());
    let proven = proven.map(|(field, _)| *field);
    let cvv2 = maps.cvv2.iter().map(|at| at.field);
    for field in extras.numbers().chain(proven).chain(cvv2) {
        items.insert(field, Item::CardVerification(field));
    }
    items.retain(|field, _| dialect.field(*field).is_some());
    items.into_iter().collect()
}

/// The whole field that says how the card data came in.
fn entry_mode(dialect: &Dialect, word: &str) -> String {
    let map = &dialect.mappings().entry_mode;
    let code = map
        .code(word)
        .or_else(|| map.code("unknown"))
        .unwrap_or("0");
    let width = dialect
        .layout(map.at.field)
        .map_or(3, |layout| usize::from(layout.max));
    let first = map
        .at
        .positions
        .map_or(0, |(first, _)| usize::from(first) - 1);
    let mut field = vec![b'0'; width.max(first + code.len())];
    field[first..first + code.len()].copy_from_slice(code.as_bytes());
    field.truncate(width);
    // Codes of dialect files are ASCII.
    String::from_utf8(field).unwrap_or_default()
}

fn merchants(dialect: &Arc<Dialect>) -> Result<Vec<MerchantWire>, SimError> {
    let maps = dialect.mappings();
    let wire = MERCHANTS.iter().enumerate().map(|(at, merchant)| {
        let mut parts = vec![(&maps.merchant_name, merchant.name)];
        parts.extend(
            maps.merchant_city
                .as_ref()
                .map(|place| (place, merchant.city)),
        );
        parts.extend(
            maps.merchant_country
                .as_ref()
                .map(|place| (place, merchant.country)),
        );
        let country = COUNTRIES
            .iter()
            .find(|(alpha, _)| *alpha == merchant.country);
        Ok(MerchantWire {
            acquirer: 453_200 + at as u64 % 7,
            terminal: format!("T{at:07}"),
            id: format!("MERCHANT{at:07}"),
            name_location: field_bytes(dialect, 43, &parts, "the name of a merchant")?,
            country: country.map_or("840", |(_, number)| number),
        })
    });
    wire.collect()
}

fn card_wires(dialect: &Arc<Dialect>, cards: &[SimCard]) -> Result<Vec<CardWire>, SimError> {
    let place = dialect.mappings().cvv2.as_ref();
    let wire = |cvv2: Option<&str>| match (place, cvv2) {
        (Some(place), Some(cvv2)) => field_bytes(dialect, place.field, &[(place, cvv2)], "a CVV2"),
        _ => Ok(Vec::new()),
    };
    let wires = cards.iter().map(|card| {
        let right = card.cvv2.as_deref();
        let wrong = right.map(another_last_digit);
        let same = |currency: &Currency| currency.code == &*card.currency;
        // Cards name known currencies only, which is checked when they are read.
        let currency_number = CURRENCIES.iter().position(same).unwrap_or(0);
        Ok(CardWire {
            currency: &CURRENCIES[currency_number],
            currency_number: currency_number as u8,
            right_cvv2: wire(right)?,
            wrong_cvv2: wire(wrong.as_deref())?,
            three_ds: ThreeDs::SAID
                .map(|result| three_ds(dialect, result, right).unwrap_or_default()),
            card: card.clone(),
        })
    });
    wires.collect()
}

fn another_last_digit(digits: &str) -> String {
    let mut other = digits.to_owned();
    let last = other.pop().and_then(|last| last.to_digit(10)).unwrap_or(0);
    other.push(char::from(b'0' + ((last + 1) % 10) as u8));
    other
}
