//! `/v1/accounts/{id}/top_ups` and `/v1/top_ups`: money from outside, announced and then settled or failed.

use super::as_of_now::{self, Stored};
use super::auth::Caller;
use super::body::WriteRequest;
use super::card_links::{self, LinksOfOwnAccounts};
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::guarded::{self, Guarded};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::rails::{self, Expectation};
use super::{ApiState, Gate, accounts, ask, filters};
use crate::engine::approvals::GuardedWrite;
use crate::engine::command::{Action, TopUp};
use crate::engine::event::Refusal;
use crate::engine::failed_references::FailReference;
use crate::engine::ids::{AccountId, CardId, ProgramId, TopUpId};
use crate::engine::money::{BALANCE_MAX_MINOR, Money};
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::engine::state::{Account, AccountStatus};
use crate::engine::top_ups::{self, EndTopUp, ReserveReference, TopUpEnd, TopUpStatus};
use crate::shard::reply::Reply;
use crate::shard::request::ShardRequest;
use crate::store::from_money::TopUpTail;
use crate::store::query_money::TopUpFilter;
use crate::store::row_json;
use crate::store::rows::TopUpRow;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::MutexGuard;

pub const TOO_MANY_PENDING: &str = "too_many_pending_top_ups";

pub async fn create(
    State(gate): State<Gate>,
    Path(account_id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = |write| carry_out(write, account_id);
    once(gate.state()?, request, work).await
}

/// What the payer will state. It is not the id of a top-up, which can be stated as well: whoever announced with another's
/// would be paid in its place.
fn external_reference(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let path = fields.path("external_reference");
    let reference = fields.text("external_reference", 140)?;
    let is_id = |text: &String| text.trim().to_ascii_lowercase().parse::<TopUpId>().is_ok();
    if reference.as_ref().is_some_and(is_id) {
        let message = format!("{path} must not have the form of a top-up's id");
        return Err(ApiError::invalid(
            "external_reference_invalid",
            path,
            message,
        ));
    }
    Ok(reference)
}

pub async fn carry_out(write: Write, account_id: String) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        way,
    } = write;
    let amount = required_money(&mut fields)?;
    let method = fields
        .word("method", &rails::methods())?
        .ok_or_else(|| fields.missing("method"))?;
    let external_reference = external_reference(&mut fields)?;
    let settle = fields.boolean("settle")?;
    fields.finish()?;
    let account = accounts::by_path(&state, &account_id).await?;
    if settle == Some(true) && !state.sandbox {
        let message = "only the sandbox makes money appear: set sandbox.enabled = true, or leave settle out, and the \
            top-up waits for its payment";
        return Err(ApiError::not_supported("settle", message));
    }
    let top_up = TopUp {
        top_up_id: TopUpId(ids.next()),
        account_id: account.id,
        amount,
        method: method.into(),
        external_reference: external_reference.map(Into::into),
        tenant: caller.tenant(),
    };
    let credited_minor = match check(&account, &top_up) {
        Ok(credited_minor) => credited_minor,
        Err(error) => {
            let reserve = reserve(&state, &account, top_up, settle);
            // By a try that was cut off, before the account was closed.
            let is_made = account.status == AccountStatus::Closed
                && matches!(outlook(&state, &reserve).await?, Reply::Account(_));
            return match is_made {
                true => make(&state, &account, reserve).await,
                false => Err(error),
            };
        }
    };
    let needs_two = guarded::policy(&state, account.program_id).is_for_top_up(credited_minor);
    let guarded = Guarded {
        program_id: account.program_id,
        write: GuardedWrite::TopUp(account.id),
        replaces: None,
        becomes: None,
    };
    if let Some(waits) = guarded::ask_if(needs_two, &state, (&caller, &ids, &way), guarded).await? {
        return Ok(waits);
    }
    make(&state, &account, reserve(&state, &account, top_up, settle)).await
}

fn reserve(
    state: &ApiState,
    account: &Account,
    top_up: TopUp,
    settle: Option<bool>,
) -> ReserveReference {
    let rail = rails::rail(&top_up.method, rails::is_simulated(state, settle));
    ReserveReference {
        root: account.root,
        settles: rail.expects(&top_up) == Expectation::Arrived,
        program_id: account.program_id,
        top_up,
        in_place_of: None,
    }
}

async fn make(
    state: &Arc<ApiState>,
    account: &Account,
    reserve: ReserveReference,
) -> Result<Success, ApiError> {
    let id = reserve.top_up.top_up_id;
    let action = reserve.action();
    let turn = reference_turn(state, &reserve).await?;
    if turn.is_some() {
        reserve_reference(state, reserve).await?;
    }
    match ask::shard_command(state, account.root, action).await? {
        Reply::Account(_) => {}
        Reply::Refused(refusal) => return Err(refused(&refusal)),
        reply => return Err(ask::unexpected(&reply)),
    }
    drop(turn);
    let row = behind(state, id).await?;
    Ok(Success::created(to_json(state, &row).await?))
}

fn required_money(fields: &mut Fields) -> Result<Money, ApiError> {
    let amount_minor = fields
        .integer("amount", 1..=BALANCE_MAX_MINOR)?
        .ok_or_else(|| fields.missing("amount"))?;
    let currency = fields.required_currency("currency")?;
    Ok(Money {
        amount_minor,
        currency,
    })
}

/// What can be seen before its reference is taken. How much is credited, in minor units.
fn check(account: &Account, top_up: &TopUp) -> Result<i64, ApiError> {
    rails::check_currency(&top_up.method, top_up.amount.currency)?;
    let rest = top_ups::credit_of(account.currency, &top_up.method, top_up.amount);
    if rest.is_some_and(|credit| credit.rest_minor != 0) {
        let message = "so much USDT is no whole number of cents; ask for a multiple of 10000";
        return Err(ApiError::invalid("amount_not_whole", "amount", message));
    }
    let credit = top_ups::credit(account, &top_up.method, top_up.amount);
    let credit = credit.map_err(|refusal| refused(&refusal))?;
    Ok(credit.credited_minor)
}

/// Nothing where there is no reference. In its turn whoever finds one taken sees what came of the top-up that took it.
async fn reference_turn<'a>(
    state: &'a ApiState,
    reserve: &ReserveReference,
) -> Result<Option<MutexGuard<'a, ()>>, ApiError> {
    let TopUp {
        method,
        external_reference,
        ..
    } = &reserve.top_up;
    let Some(reference) = external_reference else {
        return Ok(None);
    };
    let path = format!("/{method}/{}/{reference}", reserve.root);
    Ok(Some(state.reference_turns.of(&path).await?))
}

/// Takes its reference, unless the shard would refuse the top-up.
async fn reserve_reference(
    state: &Arc<ApiState>,
    mut reserve: ReserveReference,
) -> Result<(), ApiError> {
    if let Reply::Refused(refusal) = outlook(state, &reserve).await? {
        return Err(refused(&refusal));
    }
    let taken = match ask_to_reserve(state, &reserve).await? {
        Ok(()) => return Ok(()),
        Err(taken) => taken,
    };
    if let RegistryRefusal::ReferenceTaken(id) = taken
        && was_never_made(state, &reserve, id).await?
    {
        reserve.in_place_of = Some(id);
        if ask_to_reserve(state, &reserve).await?.is_ok() {
            return Ok(());
        }
    }
    let error = ApiError::conflict("external_reference_taken", taken.to_string());
    Err(error.with_param("external_reference"))
}

async fn ask_to_reserve(
    state: &ApiState,
    reserve: &ReserveReference,
) -> Result<Result<(), RegistryRefusal>, ApiError> {
    let action = RegistryAction::ReserveReference(Box::new(reserve.clone()));
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(Ok(())),
        Reply::RegistryRefused(refusal @ RegistryRefusal::ReferenceTaken(_)) => Ok(Err(refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// What its shard would say now.
async fn outlook(state: &ApiState, reserve: &ReserveReference) -> Result<Reply, ApiError> {
    let (root, action) = (reserve.root, reserve.action());
    ask::shard(state, root, ShardRequest::Outlook { root, action }).await
}

/// Neither the shard of this tree knows a top-up of this id, nor did it ever: it was refused after it took its reference.
async fn was_never_made(
    state: &Arc<ApiState>,
    reserve: &ReserveReference,
    id: TopUpId,
) -> Result<bool, ApiError> {
    let mut earlier = reserve.clone();
    earlier.top_up.top_up_id = id;
    match outlook(state, &earlier).await? {
        Reply::Account(_) | Reply::Refused(Refusal::IdTaken) => return Ok(false),
        _ => {}
    }
    match find(state, id).await {
        Ok(_) => Ok(false),
        Err(error) if error.status == StatusCode::NOT_FOUND => Ok(true),
        Err(error) => Err(error),
    }
}

pub fn refused(refusal: &Refusal) -> ApiError {
    let message = refusal.to_string();
    match refusal {
        Refusal::CurrencyMismatch { .. } => {
            ApiError::conflict("currency_mismatch", message).with_param("currency")
        }
        Refusal::AccountStatusForbids(_) => ApiError::conflict("account_closed", message),
        Refusal::AmountOutOfRange => {
            ApiError::conflict("amount_out_of_range", message).with_param("amount")
        }
        Refusal::TopUpNotPending(_) | Refusal::TopUpSettledBefore(_) => {
            ApiError::conflict("top_up_not_pending", message)
        }
        Refusal::TooManyPendingTopUps => ApiError::unavailable(TOO_MANY_PENDING, message),
        _ => ApiError::internal(refusal),
    }
}

/// `POST /v1/top_ups/{id}/settle`: the money is there.
pub async fn settle(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| carry_out_settling(write, &id).await;
    once(gate.state()?, request, work).await
}

pub async fn carry_out_settling(write: Write, id: &str) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        ids,
        way,
    } = write;
    let amount_minor = fields.integer("amount", 1..=BALANCE_MAX_MINOR)?;
    let currency = fields.currency("currency")?;
    let received_on = fields.day("received_on")?;
    fields.finish()?;
    let row = by_path(&state, id).await?;
    let arrived = Money {
        amount_minor: amount_minor.unwrap_or(row.amount_minor),
        currency: currency.unwrap_or(row.currency),
    };
    let (program_id, needs_two) = settling_needs_two(&state, &row, arrived).await?;
    let guarded = Guarded {
        program_id,
        write: GuardedWrite::SettleTopUp(row.id),
        replaces: None,
        becomes: None,
    };
    if let Some(waits) = guarded::ask_if(needs_two, &state, (&caller, &ids, &way), guarded).await? {
        return Ok(waits);
    }
    let settled = TopUpEnd::Settled {
        arrived,
        received_on: received_on.map(|day| day.to_string().into()),
    };
    end(&state, row, settled).await
}

/// Whether so much more arrived than was announced that its account's program wants two people to say so.
pub async fn settling_needs_two(
    state: &ApiState,
    row: &TopUpRow,
    arrived: Money,
) -> Result<(ProgramId, bool), ApiError> {
    let account = accounts::find(state, row.account_id).await?;
    let announced = Money {
        amount_minor: row.amount_minor,
        currency: row.currency,
    };
    let credited = |money: Money| {
        let credit = top_ups::credit_of(account.currency, &row.method, money);
        credit.map_or(0, |credit| credit.credited_minor)
    };
    let policy = guarded::policy(state, account.program_id);
    let is_more = credited(arrived) > credited(announced);
    let needs_two =
        row.status == TopUpStatus::Pending && is_more && policy.is_for_top_up(credited(arrived));
    Ok((account.program_id, needs_two))
}

/// `POST /v1/top_ups/{id}/fail`: it will not come.
pub async fn fail(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        let reason = fields.required_text("reason", 200)?.into();
        fields.finish()?;
        let row = by_path(&state, &id).await?;
        end(&state, row, TopUpEnd::Failed { reason }).await
    };
    once(gate.state()?, request, work).await
}

async fn end(state: &Arc<ApiState>, row: TopUpRow, end: TopUpEnd) -> Result<Success, ApiError> {
    let before = to_json(state, &row).await?;
    let end = EndTopUp {
        top_up_id: row.id,
        account_id: row.account_id,
        end,
        payment: None,
    };
    let has_failed = matches!(end.end, TopUpEnd::Failed { .. });
    match end_one(state, end).await? {
        Ok(()) => {}
        Err(refusal) => return Err(refused(&refusal)),
    }
    if let Some(reference) = row.external_reference.as_deref().filter(|_| has_failed) {
        note_failed(state, &row, reference).await;
    }
    let after = to_json(state, &behind(state, row.id).await?).await?;
    Ok(Success::ok(after).from(before))
}

/// The end stands, whatever comes of this: what the registry has not heard now it hears at the next start.
async fn note_failed(state: &ApiState, row: &TopUpRow, reference: &str) {
    let failed = FailReference {
        top_up_id: row.id,
        root: state.switchboard.directory.root_of(row.account_id),
        method: row.method.as_str().into(),
        reference: reference.into(),
    };
    let action = RegistryAction::FailReference(Box::new(failed));
    if let Err(error) = ask::registry_command(state, action).await {
        tracing::warn!(
            error.message,
            "the registry has not heard of a top-up that failed"
        );
    }
}

pub async fn end_one(state: &ApiState, end: EndTopUp) -> Result<Result<(), Refusal>, ApiError> {
    let root = state.switchboard.directory.root_of(end.account_id);
    let action = Action::EndTopUp(Box::new(end));
    match ask::shard_command(state, root, action).await? {
        Reply::Account(_) => Ok(Ok(())),
        Reply::Refused(refusal) => Ok(Err(refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let row = by_path(&state, &id).await?;
    let body = to_json(&state, &row).await?.to_string();
    Ok(json_response(StatusCode::OK, body))
}

/// With the links of the card whose own account it is. Who sees the top-up sees that account.
async fn to_json(state: &ApiState, row: &TopUpRow) -> Result<Value, ApiError> {
    let links = card_links::of_own_accounts(state, None, [row.account_id]).await?;
    Ok(linked(row, &links))
}

fn linked(row: &TopUpRow, links: &LinksOfOwnAccounts) -> Value {
    let mut json = row_json::top_up(row);
    json["links"] = links.json_of(&[row.account_id]).into();
    json
}

async fn by_path(state: &Arc<ApiState>, id: &str) -> Result<TopUpRow, ApiError> {
    let id = id.parse().map_err(|_| not_found())?;
    find(state, id).await
}

/// The top-up as of everything that is durable now.
pub async fn find(state: &Arc<ApiState>, id: TopUpId) -> Result<TopUpRow, ApiError> {
    let stored = as_of_now::in_sql(state, || state.store.top_up_at(id)).await?;
    from_stored(state, id, stored).await
}

/// The same of one that was just written: SQL does not have it yet, and is not waited for.
async fn behind(state: &Arc<ApiState>, id: TopUpId) -> Result<TopUpRow, ApiError> {
    let found = as_of_now::unless_away(state, state.store.top_up_at(id)).await?;
    let stored = as_of_now::stored(state, found, state.journal.durable())?;
    from_stored(state, id, stored).await
}

async fn from_stored(
    state: &Arc<ApiState>,
    id: TopUpId,
    mut stored: Stored<Option<TopUpRow>>,
) -> Result<TopUpRow, ApiError> {
    let tail = TopUpTail::new(id, stored.value.take());
    let tail = as_of_now::tail(state, &stored, tail, TopUpTail::fold).await?;
    match tail.row() {
        Some(row) => Ok(row),
        None if stored.is_away => Err(as_of_now::too_old("top-up")),
        None => Err(not_found()),
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("top_up_not_found", "there is no top-up with this id")
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
    let filter = TopUpFilter {
        account_id: query.id("account_id", AccountId::PREFIX)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        link_type,
        link_id,
        status: query.word("status", TopUpStatus::ALL)?,
        method: query.word("method", &rails::methods())?,
        external_reference: query.text("external_reference", 140)?,
        currency: amounts.currency,
        amount_from: amounts.from,
        amount_until: amounts.until,
        created_from,
        created_until,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", TopUpId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.top_ups(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let accounts = page.data.iter().map(|row| row.account_id);
    let links = card_links::of_listed_accounts(&state, None, accounts).await?;
    let data = page.data.iter().map(|row| linked(row, &links));
    Ok(list::page(data, page.has_more, page.projected_through))
}
