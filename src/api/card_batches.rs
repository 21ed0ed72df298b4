//! `/v1/card_batches`: many cards in one request. Here they are taken in, told of and cancelled; `card_batch_worker.rs`
//! issues them.

use super::auth::Caller;
use super::body::WriteRequest;
use super::bounds;
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::idempotency::{Ids, Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask, audit, card_orders};
use crate::engine::api_keys::Bounds;
use crate::engine::card_batches::{
    BatchChange, BatchProgress, BatchRow, IDS_PER_ROW, NewCardBatch, ROWS_MAX, RowError, RowResult,
};
use crate::engine::ids::{AccountId, CardBatchId, ProgramId};
use crate::engine::programs::Program;
use crate::engine::registry::{RegistryAction, RegistryRefusal, RegistryView};
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows go into the journal in portions of about this size.
const PORTION_BYTES: usize = 64 * 1024;

/// What may have come of a row.
pub const STATUSES: [&str; 4] = ["pending", "issued", "failed", "cancelled"];

/// Longest row, as JSON.
const ROW_BYTES_MAX: usize = 64 * 1024;

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
    let id = CardBatchId(ids.next());
    let given = fields.list_with_entries("rows", ROWS_MAX)?;
    let given = given.ok_or_else(|| fields.missing("rows"))?;
    fields.finish()?;
    let total = given.len() as u32;
    let created_at = state.switchboard.clock.now();
    let order = NewCardBatch {
        id,
        first_row_id: state
            .switchboard
            .ids
            .reserve(u64::from(total) * IDS_PER_ROW),
        total,
        bounds: caller.bounds().cloned(),
        created_at,
        requester: audit::requester().map(|requester| Box::new((*requester).clone())),
        tenant: caller.tenant(),
    };
    change(&state, BatchChange::Create(Box::new(order))).await?;
    // With the ids of an earlier try, should there have been one.
    let order = find(&state, id).await?.order;
    add_rows(&state, &order, given).await?;
    let progress = find(&state, id).await?;
    state.card_batch_work.notify_one();
    Ok(Success::created(to_json(&progress)))
}

async fn add_rows(
    state: &ApiState,
    order: &NewCardBatch,
    given: Vec<(String, Value)>,
) -> Result<(), ApiError> {
    let view = state.switchboard.view();
    let begun = masters_begun_on(&given, &taken_in(state, order.id).await?);
    let master = |program: &Program| match begun.get(&program.id) {
        Some(master) => *master,
        None => program.master_account_id,
    };
    let (mut from, mut bytes) = (0, 0);
    let mut rows: Vec<BatchRow> = Vec::new();
    let last = given.len() - 1;
    for (place, (_, value)) in given.into_iter().enumerate() {
        let length = value.to_string().len();
        bytes += length;
        let ids = Ids::from(order.first_id_of(place as u32));
        let seen = (&*view, order.bounds.as_ref());
        rows.push(match row(value, length, ids, seen, master) {
            Ok(order) => order,
            Err(error) => BatchRow::Wrong(Box::new(row_error(&error))),
        });
        if bytes >= PORTION_BYTES || place == last {
            let rows = std::mem::take(&mut rows);
            let id = order.id;
            let count = rows.len() as u32;
            change(state, BatchChange::AddRows { id, from, rows }).await?;
            (from, bytes) = (from + count, 0);
        }
    }
    Ok(())
}

/// The rows that a try before has taken in.
async fn taken_in(state: &ApiState, id: CardBatchId) -> Result<Vec<BatchRow>, ApiError> {
    match ask::registry(state, RegistryRequest::CardBatchTakenIn(id)).await? {
        Reply::CardBatchPortion(portion) => Ok(portion.map(|it| it.rows).unwrap_or_default()),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// What the rows of each program draw on that a try before has taken in, or that it had no master account then: those that
/// follow draw on the same.
fn masters_begun_on(
    given: &[(String, Value)],
    taken_in: &[BatchRow],
) -> HashMap<ProgramId, Option<AccountId>> {
    let mut begun = HashMap::new();
    for ((_, value), row) in given.iter().zip(taken_in) {
        let program_id = value.get("program_id").and_then(Value::as_str);
        let Some(program_id) = program_id.and_then(|text| text.parse().ok()) else {
            continue;
        };
        let master = match row {
            BatchRow::Order(order) => Some(order.account_id),
            BatchRow::Wrong(error) if &*error.code == card_orders::NO_MASTER_ACCOUNT => None,
            BatchRow::Wrong(_) => continue,
        };
        begun.entry(program_id).or_insert(master);
    }
    begun
}

/// Errors name fields as those of `POST /v1/cards` do: which row it is says its index.
fn row(
    value: Value,
    length: usize,
    mut ids: Ids,
    seen: (&RegistryView, Option<&Bounds>),
    master: impl Fn(&Program) -> Option<AccountId>,
) -> Result<BatchRow, ApiError> {
    if length > ROW_BYTES_MAX {
        let message = format!("a row may have {ROW_BYTES_MAX} bytes");
        return Err(ApiError::invalid("row_too_large", "", message));
    }
    if !value.is_object() {
        let message = "a row must be an object, as the body of POST /v1/cards";
        return Err(ApiError::invalid("type_invalid", "", message));
    }
    // The first two are the card's and its sub-account's.
    let _ = (ids.next(), ids.next());
    let mut fields = Fields::of("", value)?;
    let order = card_orders::order(&mut fields, &mut ids, seen, master)?;
    fields.finish()?;
    Ok(BatchRow::Order(Box::new(order)))
}

pub fn row_error(error: &ApiError) -> RowError {
    RowError {
        code: error.code.into(),
        message: error.message.as_str().into(),
        param: error.param.as_deref().map(Into::into),
    }
}

async fn change(state: &ApiState, change: BatchChange) -> Result<(), ApiError> {
    let action = RegistryAction::ChangeCardBatch(Box::new(change));
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(()),
        Reply::RegistryRefused(RegistryRefusal::CardBatchNotFound(_)) => Err(not_found()),
        Reply::RegistryRefused(refusal @ RegistryRefusal::TooManyCardBatches) => Err(
            ApiError::conflict("too_many_card_batches", refusal.to_string()),
        ),
        Reply::RegistryRefused(refusal @ RegistryRefusal::CardBatchStateForbids(_)) => Err(
            ApiError::conflict("card_batch_state_forbids", refusal.to_string()),
        ),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub fn not_found() -> ApiError {
    ApiError::not_found(
        "card_batch_not_found",
        "there is no card batch with this id",
    )
}

pub async fn find(state: &ApiState, id: CardBatchId) -> Result<BatchProgress, ApiError> {
    match ask::registry(state, RegistryRequest::CardBatch(id)).await? {
        Reply::CardBatches(mut found) => found.pop().ok_or_else(not_found),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn to_json(progress: &BatchProgress) -> Value {
    let order = &progress.order;
    json!({
        "id": order.id.to_string(),
        "object": "card_batch",
        "status": progress.state.name(),
        "total": order.total,
        "issued": progress.issued,
        "failed": progress.failed,
        "created_at": order.created_at.to_string(),
        "finished_at": progress.finished_at.map(|at| at.to_string()),
    })
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let progress = find(&state, id.parse().map_err(|_| not_found())?).await?;
    Ok(json_response(
        StatusCode::OK,
        to_json(&progress).to_string(),
    ))
}

/// Newest first.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let all = match ask::registry(&state, RegistryRequest::CardBatches).await? {
        Reply::CardBatches(all) => all,
        reply => return Err(ask::unexpected(&reply)),
    };
    let mut seen = Vec::new();
    for progress in &all {
        if sees(&state, &caller, progress).await? {
            seen.push(progress);
        }
    }
    let seen = seen.into_iter();
    list::page_of_memory(
        query,
        seen.map(|one| (one.order.id.to_string(), || to_json(one))),
    )
}

/// A key sees the batches of keys that are bound as it is, or more.
async fn sees(
    state: &Arc<ApiState>,
    caller: &Caller,
    progress: &BatchProgress,
) -> Result<bool, ApiError> {
    match caller.bounds() {
        None => Ok(true),
        Some(outer) => bounds::sees_batch(state, outer, progress).await,
    }
}

/// What came of its rows, in their order.
pub async fn rows(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id: CardBatchId = id.parse().map_err(|_| not_found())?;
    let status = query.text("status", 16)?;
    if status
        .as_deref()
        .is_some_and(|name| !STATUSES.contains(&name))
    {
        let message = format!("status must be one of {}", STATUSES.join(", "));
        return Err(ApiError::invalid("value_unknown", "status", message));
    }
    let after = match query.text("starting_after", 8)? {
        None => None,
        Some(text) => Some(text.parse::<u32>().map_err(|_| {
            let message = "starting_after must be the index of a row";
            ApiError::invalid("cursor_unknown", "starting_after", message)
        })?),
    };
    let limit = list::limit(&mut query)? as usize;
    query.finish()?;
    let asked = RegistryRequest::CardBatchRows {
        id,
        from: after.map_or(0, |after| after.saturating_add(1)),
        status: status.map(Into::into),
        // One more shows that there are more.
        limit: limit + 1,
    };
    let mut found = match ask::registry(&state, asked).await? {
        Reply::CardBatchRows(found) => found,
        Reply::NotFound => return Err(not_found()),
        reply => return Err(ask::unexpected(&reply)),
    };
    let has_more = found.len() > limit;
    found.truncate(limit);
    let data: Vec<Value> = found.iter().map(row_json).collect();
    let body = json!({ "object": "list", "data": data, "has_more": has_more });
    Ok(json_response(StatusCode::OK, body.to_string()))
}

fn row_json((row, result): &(u32, RowResult)) -> Value {
    let card_id = match result {
        RowResult::Issued(id) => Some(id.to_string()),
        _ => None,
    };
    let error = match result {
        RowResult::Failed(error) => {
            json!({ "code": error.code, "message": error.message, "param": error.param })
        }
        _ => Value::Null,
    };
    json!({ "index": row, "status": result.name(), "card_id": card_id, "error": error })
}

pub async fn cancel(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let id: CardBatchId = id.parse().map_err(|_| not_found())?;
        let before = to_json(&find(&state, id).await?);
        change(&state, BatchChange::Cancel(id)).await?;
        let progress = find(&state, id).await?;
        Ok(Success::ok(to_json(&progress)).from(before))
    };
    once(gate.state()?, request, work).await
}
