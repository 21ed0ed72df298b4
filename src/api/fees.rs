//! `/v1/fees`: what accounts were charged, one by one. What is charged is set in `fee_schedules.rs`.

use super::as_of_now;
use super::auth::Caller;
use super::error::{ApiError, json_response};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, ask, card_links, filters};
use crate::engine::command::CardType;
use crate::engine::event::Refusal;
use crate::engine::fees::charge::{Charge, Payer, charge, issue_kind};
use crate::engine::fees::schedule::FeeKind;
use crate::engine::ids::{AccountId, CardId, FeeId, ProgramId};
use crate::engine::state::Account;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use crate::store::from_fees::FeeTail;
use crate::store::query_fees::FeeFilter;
use crate::store::row_json;
use crate::store::rows::FeeRow;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;

pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let row = find(&state, id).await?;
    let unseen = card_links::unseen(&state, caller.bounds(), row.card_id).await?;
    let seen = row.card_id.filter(|id| !unseen.contains(id));
    let links = match seen {
        Some(id) => card_links::of_card(&state, id).await?.to_json(),
        None => Vec::new(),
    };
    let body = told(&row, seen, links).to_string();
    Ok(json_response(StatusCode::OK, body))
}

/// Of a card that the key does not see, neither the card nor what it did.
fn told(row: &FeeRow, seen: Option<CardId>, links: Vec<Value>) -> Value {
    let mut json = row_json::fee(row, links);
    if row.card_id != seen {
        json["card_id"] = Value::Null;
        json["cause"]["id"] = Value::Null;
    }
    json
}

/// The charge as of everything that is durable now.
pub async fn find(state: &Arc<ApiState>, id: FeeId) -> Result<FeeRow, ApiError> {
    let mut stored = as_of_now::in_sql(state, || state.store.fee_at(id)).await?;
    let tail = FeeTail::new(id, stored.value.take());
    let tail = as_of_now::tail(state, &stored, tail, FeeTail::fold).await?;
    match tail.row() {
        Some(mut row) => {
            if row.card_id.is_none() {
                let root = state.switchboard.directory.root_of(row.account_id);
                row.card_id = card_links::owner(state, root, row.account_id).await?;
            }
            Ok(row)
        }
        None if stored.is_away => Err(as_of_now::too_old("fee")),
        None => Err(not_found()),
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("fee_not_found", "there is no fee with this id")
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let (link_type, link_id) = list::link(&mut query)?;
    let amounts = filters::amounts(&mut query)?;
    let filter = FeeFilter {
        account_id: query.id("account_id", AccountId::PREFIX)?,
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        kind: query.word("kind", FeeKind::ALL)?,
        cause_id: query.text("cause_id", 64)?,
        currency: amounts.currency,
        amount_from: amounts.from,
        amount_until: amounts.until,
        created_from: query.moment("created_from")?,
        created_until: query.moment("created_until")?,
        link_type,
        link_id,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", FeeId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.fees(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let cards = page.data.iter().filter_map(|row| row.card_id);
    let links = card_links::of_cards(&state, cards.clone()).await?;
    let unseen = card_links::unseen(&state, caller.bounds(), cards).await?;
    let seen = |row: &FeeRow| row.card_id.filter(|id| !unseen.contains(id));
    let json = |row: &FeeRow| told(row, seen(row), links.json_of(seen(row)));
    let data = page.data.iter().map(json);
    Ok(list::page(data, page.has_more, page.projected_through))
}

/// Refuses a card that its account cannot pay for, before there is one. The shard sees to it again.
pub async fn check_issue(
    state: &ApiState,
    card_id: CardId,
    account: &Account,
    card_type: CardType,
) -> Result<(), ApiError> {
    let view = state.switchboard.view();
    let charge = charge(&view, issue_kind(card_type), Payer::of(account, None), None);
    let Some(charge) = charge.filter(|charge| charge.overdrawn) else {
        return Ok(());
    };
    match ask::registry(state, RegistryRequest::Card(card_id)).await? {
        Reply::NotFound => Err(not_payable(account, &charge)),
        // By an earlier try of this request: it is paid for.
        _ => Ok(()),
    }
}

fn not_payable(account: &Account, charge: &Charge) -> ApiError {
    let refusal = Refusal::InsufficientFunds {
        available_minor: account.available_minor(),
        requested_minor: charge.amount_minor(),
    };
    ApiError::conflict(
        "insufficient_funds",
        format!("{refusal}: what the card costs"),
    )
}

/// The card was closed instead of opened.
pub fn not_opened() -> ApiError {
    let message = "the account has not enough available for what the card costs: the card was closed at once, and \
        nothing was charged";
    ApiError::conflict("insufficient_funds", message)
}
