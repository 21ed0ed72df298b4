//! `/v1/fee_schedules`: what programs charge, and what something would cost. How charges are made is in `engine::fees`.

use super::body::WriteRequest;
use super::controls_json::zone;
use super::error::{ApiError, json_response};
use super::fields::{self, Fields};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask, programs};
use crate::engine::conversion::BASIS_POINTS;
use crate::engine::fees::price::{FEE_MAX_MINOR, Price};
use crate::engine::fees::schedule::{FeeItem, FeeKind, FeeSchedule, FeesRefusal, PutFeeSchedule};
use crate::engine::ids::FeeScheduleId;
use crate::engine::money::{BALANCE_MAX_MINOR, Currency};
use crate::engine::registry::{RegistryAction, RegistryRefusal, RegistryView};
use crate::shard::reply::Reply;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            mut fields,
            mut ids,
            ..
        } = write;
        let put = PutFeeSchedule {
            id: FeeScheduleId(ids.next()),
            name: fields.required_text("name", 200)?.into(),
            currency: fields.required_currency("currency")?,
            time_zone: zone(&mut fields)?,
            items: items(&mut fields)?.ok_or_else(|| fields.missing("items"))?,
            decline_fees_per_card_per_day_max: decline_fees_max(&mut fields)?.flatten(),
        };
        fields.finish()?;
        let schedule = self::put(&state, put).await?;
        Ok(Success::created(to_json(&schedule)))
    };
    once(gate.state()?, request, work).await
}

/// Changes what is given, and leaves the rest; `items` as a whole. Each change is a version.
pub async fn update(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        let view = ask::view(&state).await?;
        let before = find(&view, &id)?;
        let names = ["name", "time_zone", "items", DECLINE_FEES_MAX];
        if !names.iter().any(|name| fields.has(name)) {
            fields.finish()?;
            return Err(fields::nothing_changes());
        }
        let time_zone = match fields.has("time_zone") {
            true => zone(&mut fields)?,
            false => before.time_zone.clone(),
        };
        let max = decline_fees_max(&mut fields)?;
        let max = max.unwrap_or(before.decline_fees_per_card_per_day_max);
        let name = fields.text("name", 200)?;
        let put = PutFeeSchedule {
            id: before.id,
            name: name.map_or_else(|| before.name.clone(), Into::into),
            currency: before.currency,
            time_zone,
            items: items(&mut fields)?.unwrap_or_else(|| before.items.clone()),
            decline_fees_per_card_per_day_max: max,
        };
        fields.finish()?;
        let after = self::put(&state, put).await?;
        Ok(Success::ok(to_json(&after)).from(to_json(&before)))
    };
    once(gate.state()?, request, work).await
}

async fn put(state: &ApiState, put: PutFeeSchedule) -> Result<Arc<FeeSchedule>, ApiError> {
    let id = put.id;
    let checked = put.check();
    checked.map_err(|error| ApiError::invalid("fee_item_invalid", "items", error.to_string()))?;
    let action = RegistryAction::PutFeeSchedule(Box::new(put));
    match ask::registry_command(state, action).await? {
        Reply::Done => {}
        Reply::RegistryRefused(RegistryRefusal::Fees(refusal)) => {
            let message = refusal.to_string();
            return Err(match refusal {
                FeesRefusal::MarkUpTwice(_) => {
                    ApiError::conflict("mark_up_twice", message).with_param("items")
                }
                FeesRefusal::TooManySchedules => ApiError::conflict("too_many", message),
                refusal => ApiError::internal(&refusal),
            });
        }
        reply => return Err(ask::unexpected(&reply)),
    }
    find(&*ask::view(state).await?, &id.to_string())
}

const DECLINE_FEES_MAX: &str = "decline_fees_per_card_per_day_max";

/// A number, or `none` for as many as there are; nothing where it is not stated.
fn decline_fees_max(fields: &mut Fields) -> Result<Option<Option<u16>>, ApiError> {
    if fields.peek_text(DECLINE_FEES_MAX) == Some("none") {
        fields.take(DECLINE_FEES_MAX);
        return Ok(Some(None));
    }
    let max = fields.integer(DECLINE_FEES_MAX, 0..=i64::from(u16::MAX))?;
    // In range, so it fits.
    Ok(max.map(|max| Some(max as u16)))
}

/// Takes `items`, if they are stated.
fn items(fields: &mut Fields) -> Result<Option<Vec<FeeItem>>, ApiError> {
    let items = fields.present_list("items", FeeKind::ALL.len())?;
    let item = |(path, value): (String, Value)| item(Fields::of(&path, value)?);
    let items = items.map(|items| items.into_iter().map(item).collect());
    items.transpose()
}

fn item(mut fields: Fields) -> Result<FeeItem, ApiError> {
    let kind = fields.word("kind", FeeKind::ALL)?;
    let item = FeeItem {
        kind: kind.ok_or_else(|| fields.missing("kind"))?,
        fee: price(&mut fields, "fee")?,
        reseller_mark_up: price(&mut fields, "reseller_mark_up")?,
    };
    fields.finish()?;
    Ok(item)
}

/// Nothing is charged where it is left out.
fn price(fields: &mut Fields, name: &str) -> Result<Price, ApiError> {
    let Some(mut fields) = fields.object(name)? else {
        return Ok(Price::default());
    };
    let basis_points = fields.integer("basis_points", 0..=i64::from(BASIS_POINTS))?;
    let price = Price {
        amount_minor: fields
            .integer("amount", 0..=FEE_MAX_MINOR)?
            .unwrap_or_default(),
        // In range, so it fits.
        basis_points: basis_points.unwrap_or_default() as u16,
        min_minor: fields.integer("min", 0..=FEE_MAX_MINOR)?,
        max_minor: fields.integer("max", 0..=FEE_MAX_MINOR)?,
    };
    fields.finish()?;
    Ok(price)
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = ask::view(&*gate.state()?).await?;
    let body = to_json(&*find(&view, &id)?).to_string();
    Ok(json_response(StatusCode::OK, body))
}

/// Newest first.
pub async fn many(State(gate): State<Gate>, query: ListQuery) -> Result<Response, ApiError> {
    let view = ask::view(&*gate.state()?).await?;
    let all = view.fee_schedules.values().rev();
    list::page_of_memory(query, all.map(|one| (one.id.to_string(), || to_json(one))))
}

pub fn find(view: &RegistryView, id: &str) -> Result<Arc<FeeSchedule>, ApiError> {
    let id = id.parse().ok();
    let found = id.and_then(|id: FeeScheduleId| view.fee_schedules.get(&id));
    found.cloned().ok_or_else(not_found)
}

pub fn not_found() -> ApiError {
    ApiError::not_found(
        "fee_schedule_not_found",
        "there is no fee schedule with this id",
    )
}

/// `POST /v1/fee_schedules/{id}/preview`: changes nothing, and is not in the audit log.
pub async fn preview(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let view = ask::view(&*gate.state()?).await?;
    let schedule = find(&view, &id)?;
    let asked = Asked::take(request.fields()?)?;
    let currency = asked.currency.unwrap_or(schedule.currency);
    Ok(asked.answer(Some(&schedule), currency))
}

/// `POST /v1/programs/{id}/fee_preview`: the same by the schedule that the program has, if it has one.
pub async fn preview_of_program(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| programs::not_found())?;
    let program = programs::find(&state, id).await?;
    let asked = Asked::take(request.fields()?)?;
    let view = ask::view(&state).await?;
    let fees = program.fees.map(|fees| fees.fee_schedule_id);
    let schedule = fees.and_then(|id| view.fee_schedules.get(&id));
    let currency = asked.currency.unwrap_or(program.currency);
    Ok(asked.answer(schedule.map(|schedule| &**schedule), currency))
}

/// What is to be previewed.
struct Asked {
    kind: FeeKind,
    basis_minor: Option<i64>,
    /// Of the account.
    currency: Option<Currency>,
    /// So many declines of the card were charged that day.
    charged_today: u16,
}

impl Asked {
    fn take(mut fields: Fields) -> Result<Asked, ApiError> {
        let kind = fields.word("kind", FeeKind::ALL)?;
        let kind = kind.ok_or_else(|| fields.missing("kind"))?;
        let basis_minor = match kind.has_basis() {
            true => {
                let amount = fields.integer("amount", 1..=BALANCE_MAX_MINOR)?;
                Some(amount.ok_or_else(|| fields.missing("amount"))?)
            }
            false => None,
        };
        let currency = fields.currency("currency")?;
        let charged_today = match kind {
            FeeKind::Decline => fields.integer("charged_today", 0..=i64::from(u16::MAX))?,
            _ => None,
        };
        fields.finish()?;
        Ok(Asked {
            kind,
            basis_minor,
            currency,
            // In range, so it fits.
            charged_today: charged_today.unwrap_or_default() as u16,
        })
    }

    /// By the functions that charge.
    fn answer(&self, schedule: Option<&FeeSchedule>, currency: Currency) -> Response {
        let basis_minor = self.basis_minor.unwrap_or(0);
        let charges = |schedule: &&FeeSchedule| {
            self.kind != FeeKind::Decline || schedule.charges_decline(self.charged_today)
        };
        let charging = schedule.filter(charges);
        let parts = charging.map(|schedule| schedule.parts(self.kind, currency, basis_minor));
        let parts = parts.unwrap_or_default();
        let fee = json!({
            "kind": self.kind.name(),
            "amount": parts.sum_minor(),
            "fee_amount": parts.fee_minor,
            "reseller_mark_up_amount": parts.reseller_mark_up_minor,
        });
        let fees = match parts.sum_minor() {
            0 => Vec::new(),
            _ => vec![fee],
        };
        let body = json!({
            "object": "fee_preview",
            "fee_schedule_id": schedule.map(|schedule| schedule.id.to_string()),
            "fee_schedule_version": schedule.map(|schedule| schedule.version),
            "kind": self.kind.name(),
            "basis_amount": self.basis_minor,
            "currency": currency.alpha(),
            "fees": fees,
            "total": parts.sum_minor(),
        });
        json_response(StatusCode::OK, body.to_string())
    }
}

pub fn to_json(schedule: &FeeSchedule) -> Value {
    json!({
        "id": schedule.id.to_string(),
        "object": "fee_schedule",
        "version": schedule.version,
        "name": schedule.name,
        "currency": schedule.currency.alpha(),
        "time_zone": schedule.time_zone,
        "items": items_json(&schedule.items),
        "decline_fees_per_card_per_day_max": schedule.decline_fees_per_card_per_day_max,
        "created_at": schedule.created_at.to_string(),
        "updated_at": schedule.updated_at.to_string(),
    })
}

/// As it was asked for.
pub fn put_json(put: &PutFeeSchedule) -> Value {
    json!({
        "id": put.id.to_string(),
        "name": put.name,
        "currency": put.currency.alpha(),
        "time_zone": put.time_zone,
        "items": items_json(&put.items),
        "decline_fees_per_card_per_day_max": put.decline_fees_per_card_per_day_max,
    })
}

fn items_json(items: &[FeeItem]) -> Vec<Value> {
    let price = |price: &Price| {
        json!({
            "amount": price.amount_minor,
            "basis_points": price.basis_points,
            "min": price.min_minor,
            "max": price.max_minor,
        })
    };
    let item = |item: &FeeItem| {
        json!({
            "kind": item.kind.name(),
            "fee": price(&item.fee),
            "reseller_mark_up": price(&item.reseller_mark_up),
        })
    };
    items.iter().map(item).collect()
}
