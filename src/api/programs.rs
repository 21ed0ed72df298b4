//! `/v1/programs`: what cards of one kind share: BIN, network, currency, controls.

use super::auth::Caller;
use super::body::WriteRequest;
use super::controls_json;
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, ask, fee_schedules, hold_expiry_json};
use crate::engine::conversion::BASIS_POINTS;
use crate::engine::fees::schedule::ProgramFees;
use crate::engine::ids::{FeeScheduleId, ProgramId};
use crate::engine::registry::{Program, RegistryAction, RegistryRefusal};
use crate::engine::time::Timestamp;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use arrayvec::ArrayString;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    once(gate.state()?, request, carry_out).await
}

async fn carry_out(write: Write) -> Result<Success, ApiError> {
    let Write {
        state,
        mut fields,
        mut ids,
        ..
    } = write;
    let program = Program {
        id: ProgramId(ids.next()),
        name: fields.required_text("name", 200)?.into(),
        network: network(&mut fields, &state.networks)?,
        bin: bin(&mut fields)?,
        currency: fields.required_currency("currency")?,
        controls: controls_json::take(&mut fields, &mut ids, &state.switchboard.view())?,
        hold_expiry: hold_expiry_json::take(&mut fields)?,
        created_at: state.switchboard.clock.now(),
        foreign_exchange_mark_up_basis_points: mark_up(&mut fields)?,
        fees: fees(&mut fields, state.switchboard.clock.now())?,
    };
    for later in ["product_type", "three_ds_policy"] {
        refuse_later(&mut fields, later)?;
    }
    fields.finish()?;
    let id = program.id;
    let action = RegistryAction::CreateProgram(Box::new(program));
    let program = match ask::registry_command(&state, action).await? {
        Reply::Program(program) => program,
        // Made before under the same Idempotency-Key.
        Reply::RegistryRefused(RegistryRefusal::IdTaken) => find(&state, id).await?,
        Reply::RegistryRefused(refusal) => return Err(fees_refused(refusal)),
        reply => return Err(ask::unexpected(&reply)),
    };
    Ok(Success::created(to_json(&program)))
}

/// A field that the product describes and this version does not have.
pub fn refuse_later(fields: &mut Fields, name: &str) -> Result<(), ApiError> {
    let path = fields.path(name);
    match fields.take(name) {
        None => Ok(()),
        Some(_) => Err(ApiError::not_supported(
            &path,
            format!("{path} is not part of this version yet; leave it out"),
        )),
    }
}

/// The name of a network that is configured. Where none is yet, any name that one could have: letters,
/// digits, `-` and `_`.
fn network(fields: &mut Fields, known: &[String]) -> Result<Box<str>, ApiError> {
    let path = fields.path("network");
    let network = fields.required_text("network", 16)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !network.bytes().all(fits) {
        let message = format!("{path} must have 1 to 16 letters, digits, `-` or `_`, as in visa");
        return Err(ApiError::invalid("network_invalid", path, message));
    }
    if !known.is_empty() && !known.contains(&network) {
        let message = format!(
            "{path} must be the `name` of a [[network]] section of the configuration; there are: {}",
            known.join(", ")
        );
        return Err(ApiError::invalid("network_unknown", path, message));
    }
    Ok(network.into())
}

fn bin(fields: &mut Fields) -> Result<ArrayString<8>, ApiError> {
    let path = fields.path("bin");
    let text = fields.required_text("bin", 19)?;
    let fits = matches!(text.len(), 6 | 8) && text.bytes().all(|byte| byte.is_ascii_digit());
    let bin = fits.then(|| ArrayString::from(&text).ok()).flatten();
    bin.ok_or_else(|| {
        let message = format!("{path} must have 6 or 8 digits, as in 411111");
        ApiError::invalid("bin_invalid", path, message)
    })
}

/// Nothing is added where it is left out.
fn mark_up(fields: &mut Fields) -> Result<u16, ApiError> {
    let name = "foreign_exchange_mark_up_basis_points";
    let basis_points = fields.integer(name, 0..=i64::from(BASIS_POINTS))?;
    // In range, so it fits.
    Ok(basis_points.unwrap_or_default() as u16)
}

/// The schedule that it charges by, from now on.
fn fees(fields: &mut Fields, now: Timestamp) -> Result<Option<ProgramFees>, ApiError> {
    let id = fields.id("fee_schedule", FeeScheduleId::PREFIX)?;
    Ok(id.map(|fee_schedule_id| ProgramFees {
        fee_schedule_id,
        since: now,
    }))
}

fn fees_refused(refusal: RegistryRefusal) -> ApiError {
    let message = refusal.to_string();
    let error = match refusal {
        RegistryRefusal::FeeScheduleNotFound(_) => fee_schedules::not_found(),
        RegistryRefusal::FeeScheduleOfOtherCurrency(_) => {
            ApiError::conflict("currency_mismatch", message)
        }
        RegistryRefusal::MarkUpTwice(_) => ApiError::conflict("mark_up_twice", message),
        refusal => return ApiError::internal(&refusal),
    };
    error.with_param("fee_schedule")
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let program = find(&state, id).await?;
    Ok(json_response(StatusCode::OK, to_json(&program).to_string()))
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let after = query.id("starting_after", ProgramId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.programs(caller.bounds(), after, limit).await;
    let page = page.map_err(store_error)?;
    let view = state.switchboard.view();
    // SQL says which, memory says what they are now.
    let known = page
        .data
        .iter()
        .filter_map(|row| view.programs.get(&row.id));
    let data = known.map(|program| to_json(program)).collect();
    Ok(list::page(data, page.has_more, page.projected_through))
}

pub async fn find(state: &ApiState, id: ProgramId) -> Result<Arc<Program>, ApiError> {
    match ask::registry(state, RegistryRequest::Program(id)).await? {
        Reply::Program(program) => Ok(program),
        Reply::NotFound => Err(not_found()),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub fn not_found() -> ApiError {
    ApiError::not_found("program_not_found", "there is no program with this id")
}

pub fn to_json(program: &Program) -> Value {
    json!({
        "id": program.id.to_string(),
        "object": "program",
        "name": program.name,
        "network": program.network,
        "bin": program.bin.as_str(),
        "currency": program.currency.alpha(),
        "controls": controls_json::to_json(&program.controls),
        "hold_expiry": hold_expiry_json::to_json(&program.hold_expiry),
        "foreign_exchange_mark_up_basis_points": program.foreign_exchange_mark_up_basis_points,
        "fee_schedule": program.fees.map(|fees| fees.fee_schedule_id.to_string()),
        "created_at": program.created_at.to_string(),
    })
}
