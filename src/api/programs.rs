//! `/v1/programs`: what cards of one kind share: BINs, network, currency, controls. Making, changing and suspending them.

use super::auth::Caller;
use super::bins::{self, StatedBins};
use super::body::WriteRequest;
use super::controls_json;
use super::error::{ApiError, json_response};
use super::fields::{self, Fields};
use super::guarded::{self, Guarded};
use super::idempotency::{Ids, Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, accounts, ask, auth, cards, fee_schedules, hold_expiry_json};
use crate::engine::api_keys::Scope;
use crate::engine::approvals::{GuardedWrite, SecondApprover};
use crate::engine::controls::Controls;
use crate::engine::conversion::BASIS_POINTS;
use crate::engine::fees::schedule::{FeesRefusal, ProgramFees};
use crate::engine::ids::{AccountId, FeeScheduleId, ProgramId};
use crate::engine::programs::{
    Bin, ChangeProgram, LIMIT_THRESHOLDS_MAX, LimitThresholds, Program, ProgramStatus,
};
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::engine::state::AccountStatus;
use crate::engine::time::Timestamp;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
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
        caller,
        mut fields,
        mut ids,
        ..
    } = write;
    let StatedBins { bins, facts } = bins::take_new(&mut fields, &state.networks)?;
    let network = bins::network(&mut fields, &state.networks)?;
    let program = Program {
        id: ProgramId(ids.next()),
        name: fields.required_text("name", 200)?.into(),
        network: network.ok_or_else(|| fields.missing("network"))?,
        bin: bins[0],
        further_bins: bins[1..].to_vec(),
        bin_facts: facts,
        currency: fields.required_currency("currency")?,
        controls: controls_json::take(&mut fields, &mut ids, &state.switchboard.view())?,
        hold_expiry: hold_expiry_json::take(&mut fields)?,
        created_at: state.switchboard.clock.now(),
        foreign_exchange_mark_up_basis_points: mark_up(&mut fields)?.unwrap_or_default(),
        status: ProgramStatus::Active,
        product_type: bins::product_type(&mut fields)?,
        region: bins::region(&mut fields)?,
        fees: fees(&mut fields, state.switchboard.clock.now())?,
        second_approver: guarded::take_policy(&mut fields)?.unwrap_or_default(),
        limit_threshold_percents: thresholds(&mut fields)?.unwrap_or_default(),
        // Its accounts come after it.
        master_account_id: None,
    };
    fields.finish()?;
    if program.fees.is_some() || program.foreign_exchange_mark_up_basis_points > 0 {
        caller.require(Scope::FeesWrite)?;
    }
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

fn mark_up(fields: &mut Fields) -> Result<Option<u16>, ApiError> {
    let name = "foreign_exchange_mark_up_basis_points";
    let basis_points = fields.integer(name, 0..=i64::from(BASIS_POINTS))?;
    // In range, so it fits.
    Ok(basis_points.map(|basis_points| basis_points as u16))
}

/// All of them, in any order; `[]` for none, and nothing where they are left out.
fn thresholds(fields: &mut Fields) -> Result<Option<LimitThresholds>, ApiError> {
    const NAME: &str = "limit_threshold_percents";
    if !fields.has(NAME) {
        return Ok(None);
    }
    let mut percents: Vec<u8> = Vec::new();
    for (path, value) in fields.list(NAME, LIMIT_THRESHOLDS_MAX)? {
        if !value.is_number() {
            return Err(fields::wrong_type(&path, "a whole number"));
        }
        let percent = value.as_u64().filter(|percent| (1..=100).contains(percent));
        let Some(percent) = percent.and_then(|percent| u8::try_from(percent).ok()) else {
            let message = format!("{path} must be a whole number from 1 to 100");
            return Err(ApiError::invalid("number_invalid", path, message));
        };
        if percents.contains(&percent) {
            let message = format!("{path} repeats another percent");
            return Err(ApiError::invalid("percent_repeated", path, message));
        }
        percents.push(percent);
    }
    Ok(LimitThresholds::of(&percents))
}

/// `PATCH /v1/programs/{id}`: what is named is replaced.
pub async fn update(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| carry_out_change(write, &id).await;
    once(gate.state()?, request, work).await
}

pub async fn carry_out_change(write: Write, id: &str) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        way,
    } = write;
    let before = by_path(&state, id).await?;
    let change = take_change(&state, &before, &mut fields, &mut ids)?;
    fields.finish()?;
    check_may(&caller, &before, &change)?;
    if let Some(Some(id)) = change.master_account_id {
        check_master(&state, &before, id).await?;
    }
    if change == ChangeProgram::nothing(before.id) {
        return Err(fields::nothing_changes());
    }
    let needs_two = loosens(&caller, &before, &change)?;
    let guarded = Guarded {
        program_id: before.id,
        write: GuardedWrite::ChangeProgram(before.id),
        replaces: Some(guarded_part(&before.controls, &before.second_approver)),
        becomes: Some(guarded_part(
            change.controls.as_ref().unwrap_or(&before.controls),
            change
                .second_approver
                .as_ref()
                .unwrap_or(&before.second_approver),
        )),
    };
    if let Some(waits) = guarded::ask_if(needs_two, &state, (&caller, &ids, &way), guarded).await? {
        return Ok(waits);
    }
    command(&state, &before, change).await
}

/// What a program charges is not its users' to say, and BINs are what all programs share: tokens have none of theirs.
fn check_may(caller: &Caller, before: &Program, change: &ChangeProgram) -> Result<(), ApiError> {
    let mark_up = change.foreign_exchange_mark_up_basis_points;
    let charges_else = change.fees.is_some()
        || mark_up.is_some_and(|mark_up| mark_up != before.foreign_exchange_mark_up_basis_points);
    if charges_else {
        caller.require(Scope::FeesWrite)?;
    }
    let has = |bin: &Bin| before.bins().any(|known| known == bin);
    let adds = |bins: &Vec<Bin>| !bins.iter().all(has);
    for (is_asked, param) in [
        (change.fees.is_some(), "fee_schedule"),
        (charges_else, "foreign_exchange_mark_up_basis_points"),
        (change.bins.as_ref().is_some_and(adds), "bins"),
    ] {
        if is_asked && caller.bounds().is_some() {
            let message = format!("this API key is bound, and {param} is for one that is not");
            return Err(auth::forbidden("key_is_bound", message).with_param(param));
        }
    }
    Ok(())
}

/// What of a program two people may have to agree on.
fn guarded_part(controls: &Controls, second_approver: &SecondApprover) -> Value {
    json!({
        "controls": controls_json::to_json(controls),
        "second_approver": guarded::policy_json(second_approver),
    })
}

/// Whether the program as it is wants two people for what the change would let through.
fn loosens(caller: &Caller, before: &Program, change: &ChangeProgram) -> Result<bool, ApiError> {
    let raises = match &change.controls {
        Some(controls) => cards::may_loosen(caller, controls, Some(&before.controls))?,
        None => false,
    };
    let policy = change.second_approver.unwrap_or(before.second_approver);
    let weakens = !policy.is_as_strict_as(&before.second_approver);
    if weakens {
        caller.require(Scope::LimitsRaise)?;
    }
    Ok(weakens || raises && before.second_approver.limit_raises)
}

fn take_change(
    state: &ApiState,
    before: &Program,
    fields: &mut Fields,
    ids: &mut Ids,
) -> Result<ChangeProgram, ApiError> {
    let mut change = ChangeProgram::nothing(before.id);
    change.name = fields.text("name", 200)?.map(Into::into);
    if fields.has("controls") {
        change.controls = Some(controls_json::take(fields, ids, &state.switchboard.view())?);
    }
    if fields.has("hold_expiry") {
        change.hold_expiry = Some(hold_expiry_json::take(fields)?);
    }
    change.foreign_exchange_mark_up_basis_points = mark_up(fields)?;
    if let Some(stated) = bins::take(fields, &state.networks, &before.bin_facts)? {
        (change.bins, change.bin_facts) = (Some(stated.bins), stated.facts);
    }
    change.product_type = bins::product_type(fields)?;
    change.region = bins::region(fields)?;
    change.fees = changed_fees(fields, state.switchboard.clock.now())?;
    change.second_approver = guarded::take_policy(fields)?;
    change.limit_threshold_percents = thresholds(fields)?;
    change.master_account_id = master(fields)?;
    Ok(change)
}

/// An account, or the word that ends it.
fn master(fields: &mut Fields) -> Result<Option<Option<AccountId>>, ApiError> {
    const NAME: &str = "master_account_id";
    if fields.peek_text(NAME) == Some(NOTHING) {
        fields.take(NAME);
        return Ok(Some(None));
    }
    Ok(fields.id(NAME, AccountId::PREFIX)?.map(Some))
}

/// What of an account never changes, and that it is open now. One that is closed later stays the master account.
async fn check_master(state: &ApiState, program: &Program, id: AccountId) -> Result<(), ApiError> {
    const PARAM: &str = "master_account_id";
    let account = accounts::find(state, id).await;
    let account = account.map_err(|error| error.with_param(PARAM))?;
    let error = if account.program_id != program.id {
        let message = "the account belongs to another program";
        ApiError::conflict("program_mismatch", message)
    } else if account.parent_id.is_some() {
        let message = "the account has a parent; a master account has none";
        ApiError::conflict("account_not_root", message)
    } else if account.currency != program.currency {
        let message = "the account is in another currency than the program";
        ApiError::conflict("currency_mismatch", message)
    } else if account.status == AccountStatus::Closed {
        ApiError::conflict("account_closed", "the account is closed")
    } else {
        return Ok(());
    };
    Err(error.with_param(PARAM))
}

/// `POST …/suspend`, `/resume`.
pub async fn change_status(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
    to: ProgramStatus,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let before = by_path(&state, &id).await?;
        let mut change = ChangeProgram::nothing(before.id);
        change.status = Some(to);
        command(&state, &before, change).await
    };
    once(gate.state()?, request, work).await
}

async fn command(
    state: &ApiState,
    before: &Program,
    change: ChangeProgram,
) -> Result<Success, ApiError> {
    let action = RegistryAction::ChangeProgram(Box::new(change));
    match ask::registry_command(state, action).await? {
        Reply::Program(program) => Ok(Success::ok(to_json(&program)).from(to_json(before))),
        Reply::RegistryRefused(refusal @ RegistryRefusal::BinRemoved(_)) => {
            let error = ApiError::conflict("bin_not_removable", refusal.to_string());
            Err(error.with_param("bins"))
        }
        Reply::RegistryRefused(refusal) => Err(fees_refused(refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// The schedule that it charges by, from now on.
fn fees(fields: &mut Fields, now: Timestamp) -> Result<Option<ProgramFees>, ApiError> {
    let id = fields.id("fee_schedule", FeeScheduleId::PREFIX)?;
    Ok(id.map(|fee_schedule_id| ProgramFees {
        fee_schedule_id,
        since: now,
    }))
}

/// The word that ends what is set, as `null` leaves it as it is.
pub const NOTHING: &str = "none";

fn changed_fees(
    fields: &mut Fields,
    now: Timestamp,
) -> Result<Option<Option<ProgramFees>>, ApiError> {
    if fields.peek_text("fee_schedule") == Some(NOTHING) {
        fields.take("fee_schedule");
        return Ok(Some(None));
    }
    Ok(fees(fields, now)?.map(Some))
}

fn fees_refused(refusal: RegistryRefusal) -> ApiError {
    let message = refusal.to_string();
    let error = match refusal {
        RegistryRefusal::Fees(FeesRefusal::ScheduleNotFound(_)) => fee_schedules::not_found(),
        RegistryRefusal::Fees(FeesRefusal::OtherCurrency(_)) => {
            ApiError::conflict("currency_mismatch", message)
        }
        RegistryRefusal::Fees(FeesRefusal::MarkUpTwice(_)) => {
            // It may be one that is not made, so its id says nothing.
            let message = "the program and its fee schedule both charge for foreign exchange: only one of the two can";
            ApiError::conflict("mark_up_twice", message)
        }
        refusal => return ask::unexpected(&Reply::RegistryRefused(refusal)),
    };
    error.with_param("fee_schedule")
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let program = by_path(&state, &id).await?;
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
    let data = known.map(|program| to_json(program));
    Ok(list::page(data, page.has_more, page.projected_through))
}

async fn by_path(state: &ApiState, id: &str) -> Result<Arc<Program>, ApiError> {
    find(state, id.parse().map_err(|_| not_found())?).await
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

fn bin_details(program: &Program) -> Vec<Value> {
    let details = program.bins().map(|bin| program.details_of(bin));
    details
        .map(|details| bins::details_json(&details))
        .collect()
}

pub fn to_json(program: &Program) -> Value {
    json!({
        "id": program.id.to_string(),
        "object": "program",
        "name": program.name,
        "network": program.network,
        "bin": program.bin.as_str(),
        "bins": program.bins().map(Bin::as_str).collect::<Vec<_>>(),
        "bin_details": bin_details(program),
        "currency": program.currency.alpha(),
        "status": program.status.name(),
        "product_type": program.product_type,
        "region": program.region,
        "second_approver": guarded::policy_json(&program.second_approver),
        "controls": controls_json::to_json(&program.controls),
        "hold_expiry": hold_expiry_json::to_json(&program.hold_expiry),
        "foreign_exchange_mark_up_basis_points": program.foreign_exchange_mark_up_basis_points,
        "fee_schedule": program.fees.map(|fees| fees.fee_schedule_id.to_string()),
        "limit_threshold_percents": program.limit_threshold_percents.percents(),
        "master_account_id": program.master_account_id.map(|id| id.to_string()),
        "created_at": program.created_at.to_string(),
    })
}
