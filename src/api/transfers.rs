//! `/v1/transfers`: money moved between accounts, within a tree at once, between trees by way of what is in transit.

use super::as_of_now::{self, Stored};
use super::auth::Caller;
use super::body::WriteRequest;
use super::card_links::{self, LinksOfOwnAccounts};
use super::error::{ApiError, json_response};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, accounts, ask, bounds, filters};
use crate::engine::command::Action;
use crate::engine::event::Refusal;
use crate::engine::ids::{AccountId, CardId, ProgramId, TransferId};
use crate::engine::money::{BALANCE_MAX_MINOR, Money};
use crate::engine::state::{Account, AccountStatus};
use crate::engine::transfers::{KnownTransfer, ReturnReason, Transfer, TransferStatus};
use crate::shard::reply::Reply;
use crate::store::from_money::TransferTail;
use crate::store::query_money::TransferFilter;
use crate::store::row_json;
use crate::store::rows::TransferRow;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
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
    let from: AccountId = fields.required_id("from_account_id", AccountId::PREFIX)?;
    let to: AccountId = fields.required_id("to_account_id", AccountId::PREFIX)?;
    let amount_minor = fields
        .integer("amount", 1..=BALANCE_MAX_MINOR)?
        .ok_or_else(|| fields.missing("amount"))?;
    let currency = fields.required_currency("currency")?;
    fields.finish()?;
    let named = |param| move |error: ApiError| error.with_param(param);
    let from = accounts::find(&state, from).await;
    let from = from.map_err(named("from_account_id"))?;
    let to = accounts::find(&state, to).await;
    let to = to.map_err(named("to_account_id"))?;
    let transfer = Transfer {
        id: TransferId(ids.next()),
        from_account_id: from.id,
        to_account_id: to.id,
        to_root: to.root,
        amount: Money {
            amount_minor,
            currency,
        },
    };
    // Its own tree decides on the receiver, this only spares it what can be seen before. A repeat finds the transfer
    // that was made, whatever the receiver has become since.
    if to.currency != currency && from.currency == currency {
        return Err(receiver_refuses(ReturnReason::CurrencyMismatch));
    }
    let action = Action::Transfer(Box::new(transfer));
    match ask::shard_command(&state, from.root, action).await? {
        Reply::Transfer(known) => {
            let made = to_json(&state, &caller, &of_memory(&known)).await?;
            Ok(Success::created(made))
        }
        Reply::Refused(Refusal::SenderStopped { account_id, status })
            if !knows(&state, &caller, &from, account_id).await? =>
        {
            let message = format!(
                "an account above the sender is {}, so no money leaves what is below it",
                status.name()
            );
            Err(stopped(status, message))
        }
        Reply::Refused(refusal) => Err(refused(&refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// Whoever sees an account knows its parent too, and others above only where he sees them.
async fn knows(
    state: &ApiState,
    caller: &Caller,
    sender: &Account,
    id: AccountId,
) -> Result<bool, ApiError> {
    let Some(own) = caller.bounds() else {
        return Ok(true);
    };
    let is_near = id == sender.id || Some(id) == sender.parent_id;
    Ok(is_near || bounds::account(state, id).await?.is_within(own))
}

fn stopped(status: AccountStatus, message: String) -> ApiError {
    let code = match status {
        AccountStatus::Closed => "account_closed",
        AccountStatus::Frozen | AccountStatus::Active => "account_frozen",
    };
    ApiError::conflict(code, message).with_param("from_account_id")
}

fn refused(refusal: &Refusal) -> ApiError {
    let message = refusal.to_string();
    match refusal {
        Refusal::SameAccount => ApiError::invalid("same_account", "to_account_id", message),
        Refusal::CurrencyMismatch { .. } => {
            ApiError::conflict("currency_mismatch", message).with_param("currency")
        }
        Refusal::InsufficientFunds { .. } => {
            ApiError::conflict("insufficient_funds", message).with_param("amount")
        }
        Refusal::SenderStopped { status, .. } => stopped(*status, message),
        Refusal::ReceiverRefuses(reason) => receiver_refuses(*reason),
        Refusal::TooManyInTransit => ApiError::unavailable("too_many_in_transit", message),
        _ => ApiError::internal(refusal),
    }
}

fn receiver_refuses(reason: ReturnReason) -> ApiError {
    let (param, message) = match reason {
        ReturnReason::AccountNotFound => ("to_account_id", "there is no account with this id"),
        ReturnReason::AccountClosed => ("to_account_id", "the account is closed"),
        ReturnReason::CurrencyMismatch => (
            "to_account_id",
            "the account is in another currency; nothing is converted by a transfer",
        ),
        ReturnReason::AmountOutOfRange => (
            "amount",
            "the balance of the account that gets it would leave its range",
        ),
    };
    ApiError::conflict(reason.name(), message).with_param(param)
}

pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let row = find(&state, id).await?;
    let body = to_json(&state, &caller, &row).await?.to_string();
    Ok(json_response(StatusCode::OK, body))
}

/// With the links of the cards between whose own accounts it moves money, as far as the caller sees them.
async fn to_json(state: &ApiState, caller: &Caller, row: &TransferRow) -> Result<Value, ApiError> {
    let links = card_links::of_own_accounts(state, caller.bounds(), sides(row)).await?;
    Ok(linked(row, &links))
}

fn sides(row: &TransferRow) -> [AccountId; 2] {
    [row.from_account_id, row.to_account_id]
}

fn linked(row: &TransferRow, links: &LinksOfOwnAccounts) -> Value {
    let mut json = row_json::transfer(row);
    json["links"] = links.json_of(&sides(row)).into();
    json
}

/// The transfer as of everything that is durable now.
pub async fn find(state: &Arc<ApiState>, id: TransferId) -> Result<TransferRow, ApiError> {
    let asked = || state.store.transfer_at(id);
    let mut stored: Stored<Option<TransferRow>> = as_of_now::in_sql(state, asked).await?;
    let tail = TransferTail::new(id, stored.value.take());
    let tail = as_of_now::tail(state, &stored, tail, TransferTail::fold).await?;
    match tail.row() {
        Some(row) => Ok(row),
        None if stored.is_away => Err(as_of_now::too_old("transfer")),
        None => Err(not_found()),
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("transfer_not_found", "there is no transfer with this id")
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let (created_from, created_until) = filters::created(&mut query)?;
    let amounts = filters::amounts(&mut query)?;
    let (link_type, link_id) = list::link(&mut query)?;
    let filter = TransferFilter {
        account_id: query.id("account_id", AccountId::PREFIX)?,
        from_account_id: query.id("from_account_id", AccountId::PREFIX)?,
        to_account_id: query.id("to_account_id", AccountId::PREFIX)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        link_type,
        link_id,
        status: query.word("status", TransferStatus::ALL)?,
        currency: amounts.currency,
        amount_from: amounts.from,
        amount_until: amounts.until,
        created_from,
        created_until,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", TransferId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.transfers(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let accounts = page.data.iter().flat_map(sides);
    let links = card_links::of_listed_accounts(&state, caller.bounds(), accounts).await?;
    let data = page.data.iter().map(|row| linked(row, &links));
    Ok(list::page(data, page.has_more, page.projected_through))
}

/// As its row will have it.
fn of_memory(known: &KnownTransfer) -> TransferRow {
    let transfer = &known.transfer;
    TransferRow {
        id: transfer.id,
        sequence: 0,
        from_account_id: transfer.from_account_id,
        to_account_id: transfer.to_account_id,
        amount_minor: transfer.amount.amount_minor,
        currency: transfer.amount.currency,
        status: known.status,
        return_reason: known.return_reason,
        created_at_ms: known.created_at,
        ended_at_ms: known.ended_at,
    }
}
