//! `POST /v1/cards/{id}/shipping`, and what cards say of their making and sending. Addresses are of persons: they are told to
//! those who read cards, and to no log and no event.

use super::Gate;
use super::body::WriteRequest;
use super::cards::{self, FullCard};
use super::controls_json;
use super::error::ApiError;
use super::fields::{Fields, wrong_type};
use super::idempotency::{Write, once};
use crate::engine::command::{Action, CardType};
use crate::engine::facts::Country;
use crate::engine::shipping::{
    ChangeShipping, Parcel, Shipping, ShippingAddress, ShippingOrder, ShippingStatus,
};
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

pub const NAME_MAX: usize = 100;
pub const LINE_MAX: usize = 100;
pub const POSTAL_CODE_MAX: usize = 16;
pub const CARRIER_MAX: usize = 64;
pub const METHOD_MAX: usize = 32;

/// Where nobody says another one.
const METHOD: &str = "standard";

/// What a body says of where the card goes to; for a physical card only.
pub fn order(
    fields: &mut Fields,
    card_type: CardType,
) -> Result<Option<Box<ShippingOrder>>, ApiError> {
    let path = fields.path("shipping");
    let Some(mut shipping) = fields.object("shipping")? else {
        return Ok(None);
    };
    if card_type == CardType::Virtual {
        let message = format!("{path} is for a card of the type physical");
        return Err(ApiError::invalid("shipping_of_virtual_card", path, message));
    }
    let needed = |fields: &mut Fields, name, characters_max| {
        fields
            .required_text(name, characters_max)
            .map(Box::<str>::from)
    };
    let method = word(&mut shipping, "method")?.unwrap_or_else(|| METHOD.into());
    let address = shipping.object("address")?;
    let mut address = address.ok_or_else(|| shipping.missing("address"))?;
    let optional = |text: Option<String>| text.map(Box::<str>::from);
    let order = ShippingOrder {
        address: ShippingAddress {
            name: needed(&mut address, "name", NAME_MAX)?,
            line1: needed(&mut address, "line1", LINE_MAX)?,
            line2: optional(address.text("line2", LINE_MAX)?),
            city: needed(&mut address, "city", LINE_MAX)?,
            region: optional(address.text("region", LINE_MAX)?),
            postal_code: needed(&mut address, "postal_code", POSTAL_CODE_MAX)?,
            country: country(&mut address)?,
            phone: phone(&mut address)?,
        },
        method,
    };
    address.finish()?;
    shipping.finish()?;
    Ok(Some(Box::new(order)))
}

fn word(fields: &mut Fields, name: &str) -> Result<Option<Box<str>>, ApiError> {
    let path = fields.path(name);
    let Some(text) = fields.text(name, METHOD_MAX)? else {
        return Ok(None);
    };
    let is_word = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_');
    match text.bytes().all(is_word) {
        true => Ok(Some(text.into())),
        false => {
            let message =
                format!("{path} takes small letters, digits and underlines, as in express");
            Err(ApiError::invalid("text_invalid", path, message))
        }
    }
}

fn country(fields: &mut Fields) -> Result<Country, ApiError> {
    let path = fields.path("country");
    let value = fields.take("country");
    let value = value.ok_or_else(|| fields.missing("country"))?;
    match controls_json::country(&path, value)? {
        Country::UNKNOWN => {
            let message = format!("{path} must be a country; `ZZ` stands for none");
            Err(ApiError::invalid("country_unknown", path, message))
        }
        country => Ok(country),
    }
}

/// E.164: a plus and up to 15 digits. Some of those end in the check digit of a card number by chance.
fn phone(fields: &mut Fields) -> Result<Option<Box<str>>, ApiError> {
    let path = fields.path("phone");
    let text = match fields.take("phone") {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong_type(&path, "text")),
    };
    let digits = text.strip_prefix('+').unwrap_or_default();
    let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|d| d.is_ascii_digit());
    match is_number {
        true => Ok(Some(text.into())),
        false => {
            let message = format!("{path} has a plus and 7 to 15 digits (E.164)");
            Err(ApiError::invalid("phone_invalid", path, message))
        }
    }
}

pub async fn change(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        let to = fields.word("status", ShippingStatus::NAMED)?;
        let to = to.ok_or_else(|| fields.missing("status"))?;
        let parcel = parcel(&mut fields, to)?;
        fields.finish()?;
        let card_id = id.parse().map_err(|_| cards::not_found())?;
        let before: FullCard = cards::find_full(&state, card_id).await?;
        let change = ChangeShipping {
            card_id,
            to,
            parcel,
        };
        cards::command(&state, before, Action::ChangeShipping(Box::new(change))).await
    };
    once(gate.state()?, request, work).await
}

fn parcel(fields: &mut Fields, to: ShippingStatus) -> Result<Parcel, ApiError> {
    for name in ["carrier", "tracking_number", "eta"] {
        if fields.has(name) && to != ShippingStatus::Shipped {
            let path = fields.path(name);
            let message = format!("{path} goes with the status shipped");
            return Err(ApiError::invalid("value_unknown", path, message));
        }
    }
    let path = fields.path("eta");
    let eta = fields.text("eta", 10)?;
    if let Some(day) = &eta
        && (day.len() != 10 || day.parse::<jiff::civil::Date>().is_err())
    {
        let message = format!("{path} must be a day, as in 2026-12-01");
        return Err(ApiError::invalid("date_invalid", path, message));
    }
    Ok(Parcel {
        carrier: fields.text("carrier", CARRIER_MAX)?.map(Into::into),
        tracking_number: fields.text("tracking_number", CARRIER_MAX)?.map(Into::into),
        eta: eta.map(Into::into),
    })
}

pub fn to_json(shipping: &Shipping) -> Value {
    let (address, parcel) = (&shipping.order.address, &shipping.parcel);
    json!({
        "status": shipping.status.name(),
        "method": shipping.order.method,
        "address": {
            "name": address.name,
            "line1": address.line1,
            "line2": address.line2,
            "city": address.city,
            "region": address.region,
            "postal_code": address.postal_code,
            "country": address.country.alpha2(),
            "phone": address.phone,
        },
        "carrier": parcel.carrier,
        "tracking_number": parcel.tracking_number,
        "eta": parcel.eta,
        "changed_at": shipping.changed_at.to_string(),
    })
}

/// For the audit log: a card without the person's address.
pub fn without_address(card: &mut Value) {
    if let Some(Value::Object(shipping)) = card.get_mut("shipping") {
        shipping.remove("address");
    }
}
