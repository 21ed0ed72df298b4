//! What a payment puts into each field, in the texts of a dialect that `wire` holds.

use std::fmt::Write;

use arrayvec::ArrayString;

use super::{
    cards::SimCard,
    extras::Field,
    keys::{Rrn, Stamp, luhn_digit},
    merchants::{Channel, Currency, MERCHANTS, Merchant},
    traffic::{Kind, Payment, ThreeDs, Twist},
    wire::{CardWire, Item, Role, Wire, class},
};
use crate::iso8583::mapping::OriginalData;

/// The value of one field.
pub(super) enum Value<'w> {
    /// A number.
    Number(u64),
    /// Canonical text.
    Text(&'w str),
    /// Canonical text that was put together for this message.
    Made(ArrayString<64>),
    /// As it stands on the wire.
    Wire(&'w [u8]),
}

impl Wire {
    /// What a fact is worth in a message of this payment; `None` where the message does without.
    #[inline]
    pub(super) fn value<'v>(
        &'v self,
        item: Item,
        payment: &'v Payment,
        role: Role,
    ) -> Option<Value<'v>> {
        let card = &self.cards[payment.card as usize];
        let merchant = &MERCHANTS[usize::from(payment.merchant)];
        let texts = &self.merchants[usize::from(payment.merchant)];
        let (stan, sent) = match role {
            Role::Reversal { stan, at } => (stan, at),
            _ => (payment.stan, payment.at),
        };
        let kind = match role {
            // What comes later is told by its message type and its original.
            Role::FollowUp { .. } => Kind::Purchase as usize,
            _ => payment.kind as usize,
        };
        Some(match item {
            Item::Pan => pan(&card.card, payment.twist),
            Item::ProcessingCode => Value::Text(&self.processing_codes[kind]),
            Item::Amount => Value::Number(payment.transaction_amount(card.currency).1),
            Item::Transmission => Value::Number(sent.mmddhhmmss()),
            Item::Stan => Value::Number(u64::from(stan)),
            Item::LocalTime => Value::Number(payment.at.hhmmss()),
            Item::LocalDate => Value::Number(payment.at.mmdd()),
            Item::LocalDateTime => Value::Number(payment.at.yymmddhhmmss()),
            Item::Expiry if payment.twist == Twist::WrongExpiry => {
                Value::Number((card.card.yymm() + 100) % 10_000)
            }
            Item::Expiry => Value::Number(card.card.yymm()),
            Item::Mcc => Value::Number(u64::from(merchant.mcc)),
            Item::AcquirerCountry => Value::Text(texts.country),
            Item::EntryMode => Value::Text(&self.entry_modes[merchant.channel as usize]),
            Item::Function => Value::Text(match role {
                Role::Request => &self.functions[kind],
                Role::Reversal { .. } => &self.reversal_function,
                Role::FollowUp { what, .. } => self.follow_up_function(what),
                Role::ForcePost => &self.told_function,
            }),
            Item::Condition => Value::Text(self.condition(merchant, kind)),
            Item::Acquirer => Value::Number(texts.acquirer),
            Item::Rrn => Value::Text(rrn(&payment.rrn)),
            Item::Terminal => Value::Text(&texts.terminal),
            Item::MerchantId => Value::Text(&texts.id),
            Item::NameLocation => Value::Wire(&texts.name_location),
            Item::Currency => Value::Text(payment.transaction_amount(card.currency).0.number),
            Item::BillingAmount | Item::BillingRate | Item::BillingCurrency => {
                return billing(item, payment, card.currency);
            }
            Item::CardVerification(field) => {
                return self.extra(field, payment, role).map(Value::Wire);
            }
            Item::Original => match role {
                Role::Request | Role::ForcePost => return None,
                Role::Reversal { .. } => {
                    let about = (payment.kind, payment.stan, payment.at);
                    self.original(about, texts.acquirer)
                }
                Role::FollowUp { of_stan, of_at, .. } => {
                    self.original((payment.kind, of_stan, of_at), texts.acquirer)
                }
            },
        })
    }

    /// The fields that only some messages have: what a cardholder proves online, and marks of what comes later.
    #[inline]
    fn extra(&self, field: u8, payment: &Payment, role: Role) -> Option<&[u8]> {
        let card = &self.cards[payment.card as usize];
        let merchant = &MERCHANTS[usize::from(payment.merchant)];
        let of = |(at, wire): &Field| *at == field && !wire.is_empty();
        match role {
            Role::FollowUp { what, .. } => {
                let extra = self.extras.of(what).filter(|extra| of(extra));
                extra.map(|(_, wire)| &**wire)
            }
            Role::Request if !card.three_ds(payment.three_ds).is_empty() => {
                let mut said = card.three_ds(payment.three_ds).iter();
                said.find(|extra| of(extra)).map(|(_, wire)| &**wire)
            }
            Role::Request if merchant.channel == Channel::Ecommerce && self.is_cvv2(field) => {
                card.cvv2(payment.twist)
            }
            _ => None,
        }
    }

    fn condition(&self, merchant: &Merchant, kind: usize) -> &str {
        match (&*self.conditions[kind], merchant.channel) {
            ("00", Channel::Ecommerce) => "59",
            (condition, _) => condition,
        }
    }

    fn original(&self, (kind, stan, at): (Kind, u32, Stamp), acquirer: u64) -> Value<'_> {
        let mti = u16::from(self.dialect().version()) * 1000 + u16::from(class(kind)) * 100;
        let mut text = ArrayString::<64>::new();
        let written = match self.dialect().mappings().original_data {
            OriginalData::De90 => {
                let at = at.mmddhhmmss();
                write!(text, "{mti:04}{stan:06}{at:010}{acquirer:011}{:011}", 0)
            }
            OriginalData::De56 => {
                let digits = acquirer.checked_ilog10().unwrap_or(0) + 1;
                let at = at.yymmddhhmmss();
                write!(text, "{mti:04}{stan:06}{at:012}{digits:02}{acquirer}")
            }
        };
        debug_assert!(written.is_ok(), "64 characters hold either layout");
        Value::Made(text)
    }
}

impl CardWire {
    /// What a payment with this result shows in place of the CVV2 alone.
    fn three_ds(&self, result: ThreeDs) -> &[Field] {
        let mut said = ThreeDs::SAID.iter().zip(&self.three_ds);
        let found = said.find(|(known, _)| **known == result);
        found.map_or(&[], |(_, fields)| fields)
    }

    /// The field with the CVV2 that a payment shows; `None` where there is none.
    #[inline]
    pub(super) fn cvv2(&self, twist: Twist) -> Option<&[u8]> {
        let wire = match twist {
            Twist::WrongCvv2 => &self.wrong_cvv2,
            _ => &self.right_cvv2,
        };
        (!wire.is_empty()).then_some(wire)
    }
}

/// The PAN that a payment shows.
#[inline]
fn pan(card: &SimCard, twist: Twist) -> Value<'_> {
    if !matches!(twist, Twist::UnknownCard | Twist::UnknownBin) {
        return Value::Text(&card.pan);
    }
    let mut buffer = [0; 19];
    let digits = &mut buffer[..card.pan.len()];
    digits.copy_from_slice(card.pan.as_bytes());
    if twist == Twist::UnknownBin {
        digits[..6].copy_from_slice(b"999999");
    }
    if let Some((last, others)) = digits.split_last_mut() {
        *last = match twist {
            Twist::UnknownBin => luhn_digit(others),
            _ => b'0' + (*last - b'0' + 1) % 10,
        };
    }
    // Digits only, checked when the card was read.
    let text = std::str::from_utf8(digits).ok();
    Value::Made(
        text.and_then(|text| ArrayString::from(text).ok())
            .unwrap_or_default(),
    )
}

/// Billing fields, where the payment is in another currency than the card.
fn billing(item: Item, payment: &Payment, billing: &'static Currency) -> Option<Value<'static>> {
    let (currency, amount_minor) = payment.transaction_amount(billing);
    if billing.code == currency.code {
        return None;
    }
    Some(match item {
        Item::BillingAmount => Value::Number(payment.billing_minor),
        Item::BillingCurrency => Value::Text(billing.number),
        // DE10: digits of the rate, after the number of its decimals.
        _ => Value::Number(rate(amount_minor, currency, payment.billing_minor, billing)),
    })
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
