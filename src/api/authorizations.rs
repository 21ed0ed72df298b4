//! `/v1/authorizations`: what was decided, and why. Lists come from SQL; a single one is as of now,
//! because what SQL does not have yet is read from the journal.

use super::auth::Caller;
use super::body::WriteRequest;
use super::card_links::{self, CardLinks};
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, accounts, as_of_now, ask, bounds, filters};
use crate::engine::command::{Action, ReleaseCause, ReleaseHold};
use crate::engine::event::Refusal;
use crate::engine::facts::Kind;
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, ControlId, ExceptionId, LimitId, ProgramId,
    RiskRuleId, TokenId, TransactionId,
};
use crate::engine::money::Currency;
use crate::engine::scopes::Scope;
use crate::json::trace::OwnerNames;
use crate::shard::reply::Reply;
use crate::store::StoreError;
use crate::store::events::Answered;
use crate::store::query_payments::AuthorizationFilter;
use crate::store::row_json;
use crate::store::rows::{
    AccountFacts, AuthorizationResult, AuthorizationRow, AuthorizationStatus, MessageName,
};
use crate::store::tail::TailFold;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let body = told(&state, id, levels_told(&caller)).await?.to_string();
    Ok(json_response(StatusCode::OK, body))
}

/// Gives back by hand what an authorization still holds.
pub async fn expire(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let id = id.parse().map_err(|_| not_found())?;
        let before = current(&state, id).await?;
        release(&state, id).await?;
        Ok(Success::ok(current(&state, id).await?).from(before))
    };
    once(gate.state()?, request, work).await
}

async fn release(state: &Arc<ApiState>, id: AuthorizationId) -> Result<(), ApiError> {
    let row = find(state, id).await?.row;
    let account_id = row.account_id.filter(|_| is_open(row.status));
    let Some(account_id) = account_id else {
        // Done before, perhaps by this very request; of one that is posted in part nothing is held then.
        return match row.status {
            AuthorizationStatus::Expired | AuthorizationStatus::Cleared => Ok(()),
            _ => Err(nothing_held(&row)),
        };
    };
    let root = state.switchboard.directory.root_of(account_id);
    let action = Action::ReleaseHold(ReleaseHold {
        authorization_id: id,
        cause: ReleaseCause::Manual,
    });
    match ask::shard_command(state, root, action).await? {
        Reply::Done => Ok(()),
        Reply::Refused(Refusal::HoldNotFound(_)) => Err(nothing_held(&row)),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn is_open(status: AuthorizationStatus) -> bool {
    use AuthorizationStatus::{PartiallyCleared, Pending};
    matches!(status, Pending | PartiallyCleared)
}

fn nothing_held(row: &AuthorizationRow) -> ApiError {
    let message = format!(
        "the authorization is {} and holds nothing that could be released",
        row.status.name()
    );
    ApiError::conflict("nothing_held", message)
}

/// How far above a card's account the caller is told which account a decline was by.
pub fn levels_told(caller: &Caller) -> usize {
    match caller.bounds() {
        Some(bounds) if !bounds::is_by_program_alone(bounds) => OwnerNames::LEVELS_OF_CARD,
        _ => OwnerNames::ALL_LEVELS,
    }
}

/// The authorization as it is now, as JSON for all who see it.
pub async fn current(state: &Arc<ApiState>, id: AuthorizationId) -> Result<Value, ApiError> {
    told(state, id, OwnerNames::LEVELS_OF_CARD).await
}

async fn told(
    state: &Arc<ApiState>,
    id: AuthorizationId,
    levels_above: usize,
) -> Result<Value, ApiError> {
    let Told {
        mut row,
        transactions,
    } = find(state, id).await?;
    if let Some(account_id) = row.account_id {
        let account = accounts::find(state, account_id).await?;
        (row.currency, row.program_id) = (account.currency, Some(account.program_id));
        if row.transaction_currency == Currency::ABSENT {
            row.transaction_currency = row.currency;
        }
    }
    let links = card_links::of_card(state, row.card_id).await?;
    Ok(to_json(state, &row, &links, &transactions, levels_above))
}

pub fn not_found() -> ApiError {
    ApiError::not_found(
        "authorization_not_found",
        "there is no authorization with this id",
    )
}

/// An authorization, with what was posted for it.
pub struct Told {
    pub row: AuthorizationRow,
    /// In the order in which they came.
    pub transactions: Vec<TransactionId>,
}

/// The authorization as of everything that is durable now.
pub async fn find(state: &Arc<ApiState>, id: AuthorizationId) -> Result<Told, ApiError> {
    let mut stored = as_of_now::in_sql(state, || in_sql(state, id)).await?;
    let (row, mut transactions): InSql = std::mem::take(&mut stored.value);
    // The account is looked up in memory afterwards.
    let unknown: fn(AccountId) -> Option<AccountFacts> = |_| None;
    let fold = TailFold::new(id, row, unknown);
    let fold = as_of_now::tail(state, &stored, fold, TailFold::fold).await?;
    let (row, further) = fold.row_and_transactions();
    transactions.extend(further);
    match row {
        Some(row) => Ok(Told { row, transactions }),
        None if stored.is_away => Err(as_of_now::too_old("authorization")),
        None => Err(not_found()),
    }
}

type InSql = (Option<AuthorizationRow>, Vec<TransactionId>);

async fn in_sql(state: &ApiState, id: AuthorizationId) -> Result<(u64, InSql), StoreError> {
    let (position, row) = state.store.authorization_at(id).await?;
    let found = state.store.transactions_of(&[id], Some(position)).await?;
    let transactions = found.into_iter().map(|(_, id)| id).collect();
    Ok((position, (row, transactions)))
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let filter = filter(&caller, &mut query)?;
    let after = query.id("starting_after", AuthorizationId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.authorizations(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let cards = page.data.iter().map(|row| row.card_id);
    let links = card_links::of_cards(&state, cards).await?;
    let transactions = transactions_of(&state, &page.data).await?;
    let levels_above = levels_told(&caller);
    let none = Vec::new();
    let data = page.data.iter().map(|row| {
        let transactions = transactions.get(&row.id).unwrap_or(&none);
        to_json(
            &state,
            row,
            &links.of(row.card_id),
            transactions,
            levels_above,
        )
    });
    Ok(list::page(data, page.has_more, page.projected_through))
}

fn filter(caller: &Caller, query: &mut Fields) -> Result<AuthorizationFilter, ApiError> {
    filters::check_scopes(caller, query, &[("cardholder_id", Scope::CardsRead)])?;
    let (link_type, link_id) = list::link(query)?;
    let (created_from, created_until) = filters::created(query)?;
    let (amounts, merchants) = (filters::amounts(query)?, filters::merchants(query)?);
    let (stan, rrn) = filters::references(query)?;
    Ok(AuthorizationFilter {
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        account_id: query.id("account_id", AccountId::PREFIX)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        cardholder_id: query.id("cardholder_id", CardholderId::PREFIX)?,
        original_authorization_id: query
            .id("original_authorization_id", AuthorizationId::PREFIX)?,
        token_id: query.id("token_id", TokenId::PREFIX)?,
        transaction_id: query.id("transaction_id", TransactionId::PREFIX)?,
        rule_id: rule_id(query)?,
        exception_id: query.id("exception_id", ExceptionId::PREFIX)?,
        status: query.word("status", AuthorizationStatus::ALL)?,
        result: query.word("result", AuthorizationResult::ALL)?,
        reason: filters::reason(query)?,
        step: query.word("step", &filters::steps())?,
        kind: query.word("kind", Kind::ALL)?,
        message: query.word("message", MessageName::ALL)?,
        merchant_id: merchants.id,
        merchant_name: merchants.name,
        mcc: merchants.mcc,
        merchant_country: merchants.country,
        stan,
        rrn,
        approval_code: query.text("approval_code", 6)?,
        currency: amounts.currency,
        amount_from: amounts.from,
        amount_until: amounts.until,
        created_from,
        created_until,
        link_type,
        link_id,
        bounds: caller.bounds().cloned(),
    })
}

/// A limit, a list of some controls, or a risk rule.
fn rule_id(query: &mut Fields) -> Result<Option<String>, ApiError> {
    let decides = |id: &str| {
        id.parse::<LimitId>().is_ok()
            || id.parse::<ControlId>().is_ok()
            || id.parse::<RiskRuleId>().is_ok()
    };
    let kinds = "a limit, of a list of controls or of a risk rule";
    filters::id_of_kinds(query, "rule_id", decides, kinds)
}

/// What was posted for each of these rows.
async fn transactions_of(
    state: &ApiState,
    rows: &[AuthorizationRow],
) -> Result<HashMap<AuthorizationId, Vec<TransactionId>>, ApiError> {
    let ids: Vec<AuthorizationId> = rows.iter().map(|row| row.id).collect();
    let found = state.store.transactions_of(&ids, None).await;
    let mut transactions: HashMap<AuthorizationId, Vec<TransactionId>> = HashMap::new();
    for (authorization_id, id) in found.map_err(store_error)? {
        transactions.entry(authorization_id).or_default().push(id);
    }
    Ok(transactions)
}

fn to_json(
    state: &ApiState,
    row: &AuthorizationRow,
    links: &CardLinks,
    transactions: &[TransactionId],
    levels_above: usize,
) -> Value {
    let answered = Answered {
        message: row.message,
        result: row.result,
        reason: row.reason,
    };
    let response_code = (state.response_codes)(&row.network, answered);
    let name_of = |id| links.by_number(id);
    let names = OwnerNames {
        link: &name_of,
        levels_above,
    };
    row_json::authorization(row, links.to_json(), &names, transactions, response_code)
}
