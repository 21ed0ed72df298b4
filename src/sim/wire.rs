//! Writes the simulator's messages in any dialect: which fact goes into which field is taken from the
//! dialect once, then each message is one pass over that list into a reused buffer.

use std::{collections::BTreeMap, sync::Arc};

use bytes::BytesMut;

use super::{
    SimError,
    cards::SimCard,
    keys::{Rrn, Stamp, luhn_digit},
    merchants::{COUNTRIES, Channel, Currency, MERCHANTS, Merchant},
    places::field_bytes,
    traffic::{Kind, Outgoing, Payment, Twist},
};
use crate::iso8583::{
    Dialect, EncodeError, Encoder, Mti,
    mapping::{DateTimeLayout, OriginalData},
};

/// A fact, to be written into one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
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
    CardVerification,
    Currency,
    BillingCurrency,
    Original,
}

/// Writes messages of one dialect.
pub struct Wire {
    dialect: Arc<Dialect>,
    cards: Arc<[SimCard]>,
    items: Vec<(u8, Item)>,
    processing_codes: [String; 4],
    functions: [String; 4],
    reversal_function: String,
    entry_modes: [String; 3],
    conditions: [String; 4],
    merchants: Vec<MerchantWire>,
    verification: Vec<Verification>,
}

/// A merchant's texts and its DE43 as it stands on the wire.
struct MerchantWire {
    acquirer: u64,
    terminal: String,
    id: String,
    name_location: Vec<u8>,
    country: &'static str,
}

/// The field that carries a card's CVV2, right and wrong, as it stands on the wire.
#[derive(Default)]
struct Verification {
    right: Vec<u8>,
    wrong: Vec<u8>,
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
    pub fn new(dialect: Arc<Dialect>, cards: Arc<[SimCard]>) -> Result<Wire, SimError> {
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
        let conditions = ["", "", "pre_authorization", ""].map(|flag| match maps.flag(flag) {
            Some(flag) if flag.at.field == 25 && flag.at.path.is_empty() => {
                flag.values.first().map_or("00", |value| value).to_owned()
            }
            _ => "00".to_owned(),
        });
        let wire = Wire {
            items: items(&dialect),
            processing_codes,
            functions: functions.map(function),
            reversal_function: function("full_reversal"),
            entry_modes: CHANNEL_ENTRY.map(|mode| entry_mode(&dialect, mode)),
            conditions,
            merchants: merchants(&dialect)?,
            verification: verifications(&dialect, &cards)?,
            dialect,
            cards,
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
            Outgoing::Request(payment) => self.payment(payment, None, false, out),
            Outgoing::Repeat(payment) => self.payment(payment, None, true, out),
            Outgoing::Reversal {
                payment,
                stan,
                at,
                repeat,
            } => self.payment(payment, Some((*stan, *at)), *repeat, out),
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
        reversal: Option<(u32, Stamp)>,
        repeat: bool,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let class = if reversal.is_some() {
            4
        } else {
            class(payment.kind)
        };
        let number = u16::from(self.dialect.version()) * 1000 + u16::from(class) * 100;
        let mut encoder = Encoder::new(&self.dialect, out, Mti::new(number + u16::from(repeat)));
        for (field, item) in &self.items {
            self.item(&mut encoder, *field, *item, payment, reversal)?;
        }
        encoder.finish();
        Ok(())
    }

    #[inline]
    fn item(
        &self,
        encoder: &mut Encoder<'_, '_>,
        field: u8,
        item: Item,
        payment: &Payment,
        reversal: Option<(u32, Stamp)>,
    ) -> Result<(), EncodeError> {
        let card = &self.cards[payment.card as usize];
        let merchant = &MERCHANTS[usize::from(payment.merchant)];
        let texts = &self.merchants[usize::from(payment.merchant)];
        let (stan, sent) = reversal.unwrap_or((payment.stan, payment.at));
        let kind = payment.kind as usize;
        match item {
            Item::Pan => encoder.text(field, pan(card, payment.twist, &mut [0; 19]))?,
            Item::ProcessingCode => encoder.text(field, &self.processing_codes[kind])?,
            Item::Amount => encoder.digits(field, payment.transaction_amount(card).1)?,
            Item::Transmission => encoder.digits(field, sent.mmddhhmmss())?,
            Item::Stan => encoder.digits(field, u64::from(stan))?,
            Item::LocalTime => encoder.digits(field, payment.at.hhmmss())?,
            Item::LocalDate => encoder.digits(field, payment.at.mmdd())?,
            Item::LocalDateTime => encoder.digits(field, payment.at.yymmddhhmmss())?,
            Item::Expiry => encoder.digits(field, expiry(card, payment.twist))?,
            Item::Mcc => encoder.digits(field, u64::from(merchant.mcc))?,
            Item::AcquirerCountry => encoder.text(field, texts.country)?,
            Item::EntryMode => encoder.text(field, &self.entry_modes[merchant.channel as usize])?,
            Item::Function if reversal.is_some() => encoder.text(field, &self.reversal_function)?,
            Item::Function => encoder.text(field, &self.functions[kind])?,
            Item::Condition => encoder.text(field, self.condition(merchant, kind))?,
            Item::Acquirer => encoder.digits(field, texts.acquirer)?,
            Item::Rrn => encoder.text(field, rrn(&payment.rrn))?,
            Item::Terminal => encoder.text(field, &texts.terminal)?,
            Item::MerchantId => encoder.text(field, &texts.id)?,
            Item::NameLocation => encoder.bytes(field, &texts.name_location)?,
            Item::Currency => encoder.text(field, payment.transaction_amount(card).0.number)?,
            Item::BillingAmount | Item::BillingRate | Item::BillingCurrency => {
                return billing(encoder, field, item, payment, card);
            }
            Item::CardVerification => {
                let values = &self.verification[payment.card as usize];
                let value = match payment.twist {
                    Twist::WrongCvv2 => &values.wrong,
                    _ => &values.right,
                };
                if value.is_empty() || reversal.is_some() || merchant.channel != Channel::Ecommerce
                {
                    return Ok(());
                }
                encoder.bytes(field, value)?
            }
            Item::Original if reversal.is_some() => {
                self.original(encoder, field, payment, texts.acquirer)?;
                return Ok(());
            }
            Item::Original => return Ok(()),
        };
        Ok(())
    }

    fn condition(&self, merchant: &Merchant, kind: usize) -> &str {
        match (&*self.conditions[kind], merchant.channel) {
            ("00", Channel::Ecommerce) => "59",
            (condition, _) => condition,
        }
    }

    fn original(
        &self,
        encoder: &mut Encoder<'_, '_>,
        field: u8,
        payment: &Payment,
        acquirer: u64,
    ) -> Result<(), EncodeError> {
        let mti = u16::from(self.dialect.version()) * 1000 + u16::from(class(payment.kind)) * 100;
        let (stan, at) = (payment.stan, payment.at);
        let mut text = arrayvec::ArrayString::<64>::new();
        let written = match self.dialect.mappings().original_data {
            OriginalData::De90 => std::fmt::Write::write_fmt(
                &mut text,
                format_args!(
                    "{mti:04}{stan:06}{:010}{acquirer:011}{:011}",
                    at.mmddhhmmss(),
                    0
                ),
            ),
            OriginalData::De56 => {
                let digits = acquirer.checked_ilog10().unwrap_or(0) + 1;
                std::fmt::Write::write_fmt(
                    &mut text,
                    format_args!(
                        "{mti:04}{stan:06}{:012}{digits:02}{acquirer}",
                        at.yymmddhhmmss()
                    ),
                )
            }
        };
        debug_assert!(written.is_ok(), "64 characters hold either layout");
        encoder.text(field, &text)?;
        Ok(())
    }
}

/// Second digit of the MTI.
const fn class(kind: Kind) -> u8 {
    match kind {
        Kind::CashWithdrawal => 2,
        _ => 1,
    }
}

/// Which facts the dialect takes, ascending by field.
fn items(dialect: &Dialect) -> Vec<(u8, Item)> {
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
    if let Some(cvv2) = &maps.cvv2 {
        items.insert(cvv2.field, Item::CardVerification);
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

fn verifications(dialect: &Arc<Dialect>, cards: &[SimCard]) -> Result<Vec<Verification>, SimError> {
    let Some(place) = dialect.mappings().cvv2.as_ref() else {
        return Ok(cards.iter().map(|_| Verification::default()).collect());
    };
    let wire = cards.iter().map(|card| {
        let Some(right) = card.cvv2.as_ref() else {
            return Ok(Verification::default());
        };
        let mut wrong = right.to_string();
        let last = wrong.pop().and_then(|last| last.to_digit(10)).unwrap_or(0);
        wrong.push(char::from(b'0' + ((last + 1) % 10) as u8));
        let bytes = |text: &str| field_bytes(dialect, place.field, &[(place, text)], "a CVV2");
        Ok(Verification {
            right: bytes(right)?,
            wrong: bytes(&wrong)?,
        })
    });
    wire.collect()
}

/// The PAN that a payment shows.
fn pan<'b>(card: &SimCard, twist: Twist, buffer: &'b mut [u8; 19]) -> &'b str {
    let length = card.pan.len();
    let digits = &mut buffer[..length];
    digits.copy_from_slice(card.pan.as_bytes());
    match twist {
        Twist::UnknownCard => digits[length - 1] = b'0' + (digits[length - 1] - b'0' + 1) % 10,
        Twist::UnknownBin => {
            digits[..6].copy_from_slice(b"999999");
            digits[length - 1] = luhn_digit(&digits[..length - 1]);
        }
        _ => {}
    }
    // Digits only, checked when the card was read.
    std::str::from_utf8(digits).unwrap_or_default()
}

/// DE14, `YYMM`.
fn expiry(card: &SimCard, twist: Twist) -> u64 {
    let year = u64::from(card.exp_year) + u64::from(twist == Twist::WrongExpiry);
    year % 100 * 100 + u64::from(card.exp_month)
}

/// Billing fields, where the payment is in another currency than the card.
fn billing(
    encoder: &mut Encoder<'_, '_>,
    field: u8,
    item: Item,
    payment: &Payment,
    card: &SimCard,
) -> Result<(), EncodeError> {
    let (currency, amount_minor) = payment.transaction_amount(card);
    let Some(billing) = Currency::find(&card.currency).filter(|own| own.code != currency.code)
    else {
        return Ok(());
    };
    match item {
        Item::BillingAmount => encoder.digits(field, payment.billing_minor)?,
        Item::BillingCurrency => encoder.text(field, billing.number)?,
        // DE10: digits of the rate, after the number of its decimals.
        _ => encoder.digits(
            field,
            rate(amount_minor, currency, payment.billing_minor, billing),
        )?,
    };
    Ok(())
}

/// Conversion rate as in DE9 and DE10, n 8: the number of decimals, then seven digits.
fn rate(from_minor: u64, from: &Currency, to_minor: u64, to: &Currency) -> u64 {
    let scale = |exponent: u8| 10_u128.pow(u32::from(exponent));
    let numerator = u128::from(to_minor) * scale(from.exponent);
    let denominator = (u128::from(from_minor) * scale(to.exponent)).max(1);
    let mut decimals = 7;
    while decimals > 0 && numerator * scale(decimals) / denominator > 9_999_999 {
        decimals -= 1;
    }
    let digits = (numerator * scale(decimals) / denominator).min(9_999_999) as u64;
    u64::from(decimals) * 10_000_000 + digits
}

fn rrn(rrn: &Rrn) -> &str {
    // Base-36 digits.
    std::str::from_utf8(rrn).unwrap_or_default()
}
