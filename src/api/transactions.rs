//! `/v1/transactions`: what messages of the networks posted. Lists come from SQL; a single one is as of now.

use super::auth::Caller;
use super::error::{ApiError, json_response};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, accounts, as_of_now, authorizations, card_links, filters};
use crate::engine::facts::Kind;
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, ProgramId, TokenId, TransactionId,
};
use crate::engine::money::Currency;
use crate::engine::record::Record;
use crate::engine::scopes::Scope;
use crate::store::from_posting::{self, Purchase};
use crate::store::query_payments::TransactionFilter;
use crate::store::row_json;
use crate::store::rows::{TransactionRow, TransactionType};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let row = find(&state, id).await?;
    let body = to_json(&state, &row).await?.to_string();
    Ok(json_response(StatusCode::OK, body))
}

/// With the links of its card.
pub async fn to_json(state: &ApiState, row: &TransactionRow) -> Result<Value, ApiError> {
    let links = card_links::of_card(state, row.card_id).await?.to_json();
    Ok(row_json::transaction(row, links))
}

fn not_found() -> ApiError {
    ApiError::not_found(
        "transaction_not_found",
        "there is no transaction with this id",
    )
}

pub async fn find(state: &Arc<ApiState>, id: TransactionId) -> Result<TransactionRow, ApiError> {
    let asked = || state.store.transaction_at(id);
    let mut stored = as_of_now::in_sql(state, asked).await?;
    if let Some(row) = stored.value.take() {
        return Ok(row);
    }
    let looking = (id, None);
    let (_, found) = as_of_now::tail(state, &stored, looking, keep_posting).await?;
    match found {
        Some((sequence, record)) => from_journal(state, sequence, &record).await,
        None if stored.is_away => Err(as_of_now::too_old("transaction")),
        None => Err(not_found()),
    }
}

type Looking = (TransactionId, Option<(u64, Record)>);

fn keep_posting(looking: &mut Looking, sequence: u64, record: &Record) {
    let (wanted, found) = looking;
    if from_posting::transaction_of(record).is_some_and(|(id, _)| id == *wanted) {
        *found = Some((sequence, record.clone()));
    }
}

/// The row of a record that SQL does not have yet.
async fn from_journal(
    state: &Arc<ApiState>,
    sequence: u64,
    record: &Record,
) -> Result<TransactionRow, ApiError> {
    let purchase = match from_posting::original_needed(record) {
        Some(id) => Some(Purchase::of(&authorizations::find(state, id).await?.row)),
        None => None,
    };
    // The currency is looked up in memory afterwards.
    let row = from_posting::transaction_row(sequence, record, |_| None, |_| purchase);
    let mut row = row.ok_or_else(not_found)?;
    let account = accounts::find(state, row.account_id).await?;
    (row.currency, row.program_id) = (account.currency, Some(account.program_id));
    if row.transaction_currency == Currency::ABSENT {
        row.transaction_currency = row.currency;
    }
    Ok(row)
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let (link_type, link_id) = list::link(&mut query)?;
    let (created_from, created_until) = filters::created(&mut query)?;
    let amounts = filters::amounts(&mut query)?;
    let merchants = filters::merchants(&mut query)?;
    let (stan, rrn) = filters::references(&mut query)?;
    let needs = [
        ("token_id", Scope::CardsRead),
        ("cardholder_id", Scope::CardsRead),
        ("approval_code", Scope::AuthorizationsRead),
    ];
    filters::check_scopes(&caller, &query, &needs)?;
    let filter = TransactionFilter {
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        account_id: query.id("account_id", AccountId::PREFIX)?,
        authorization_id: query.id("authorization_id", AuthorizationId::PREFIX)?,
        token_id: query.id("token_id", TokenId::PREFIX)?,
        approval_code: query.text("approval_code", 6)?,
        transaction_type: query.word("type", TransactionType::ALL)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        cardholder_id: query.id("cardholder_id", CardholderId::PREFIX)?,
        kind: query.word("kind", Kind::ALL)?,
        merchant_id: merchants.id,
        merchant_name: merchants.name,
        mcc: merchants.mcc,
        merchant_country: merchants.country,
        stan,
        rrn,
        currency: amounts.currency,
        amount_from: amounts.from,
        amount_until: amounts.until,
        created_from,
        created_until,
        link_type,
        link_id,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", TransactionId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.transactions(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let cards = page.data.iter().map(|row| row.card_id);
    let links = card_links::of_cards(&state, cards).await?;
    let json = |row: &TransactionRow| row_json::transaction(row, links.json_of(Some(row.card_id)));
    let data = page.data.iter().map(json);
    Ok(list::page(data, page.has_more, page.projected_through))
}
