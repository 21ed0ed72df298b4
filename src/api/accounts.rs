//! `/v1/accounts`: balances, in trees.

pub use super::account_settings::rule_json;
use super::auth::Caller;
use super::body::WriteRequest;
use super::card_links::{self, LinksOfOwnAccounts};
use super::controls_json;
use super::error::{ApiError, json_response};
use super::fields;
use super::guarded::{self, Guarded};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, account_settings, ask, cards, filters, issue, programs};
use crate::engine::approvals::GuardedWrite;
use crate::engine::command::{AccountStatusChange, Action, ChangeAccountStatus, OpenAccount};
use crate::engine::controls::Controls;
use crate::engine::event::Refusal;
use crate::engine::ids::{AccountId, CardId, ProgramId};
use crate::engine::state::{Account, AccountStatus};
use crate::engine::watch::ChangeAccount;
use crate::shard::reply::Reply;
use crate::shard::request::ShardRequest;
use crate::store::query::AccountFilter;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    once(gate.state()?, request, carry_out).await
}

pub async fn carry_out(write: Write) -> Result<Success, ApiError> {
    let Write {
        state,
        mut fields,
        mut ids,
        caller,
        way,
    } = write;
    let account_id = AccountId(ids.next());
    let program_id: ProgramId = fields.required_id("program_id", ProgramId::PREFIX)?;
    let parent_id: Option<AccountId> = fields.id("parent_id", AccountId::PREFIX)?;
    let currency = fields.currency("currency")?;
    let name = fields.text("name", 200)?;
    let controls = controls_json::take(&mut fields, &mut ids, &state.switchboard.view())?;
    let change = account_settings::take(&mut fields, account_id)?;
    fields.finish()?;
    let raises = account_settings::may_raise(&caller, &change, 0)?;
    account_settings::check_rule(&state, &caller, &change, parent_id, None).await?;
    let program = programs::find(&state, program_id)
        .await
        .map_err(|error| error.with_param("program_id"))?;
    let currency = currency.unwrap_or(program.currency);
    let root = match parent_id {
        None => account_id,
        Some(parent_id) => {
            let parent = find(&state, parent_id)
                .await
                .map_err(|error| error.with_param("parent_id"))?;
            // Opened by a try that was cut off, it is there, however its parent is now.
            if find(&state, account_id).await.is_err() {
                check_parent(&parent, program_id)?;
                issue::check_is_shared(&state, &parent, "parent_id").await?;
            }
            if parent.currency != currency {
                let message = format!(
                    "the parent account is in {}, so currency must be too",
                    parent.currency.alpha()
                );
                return Err(ApiError::conflict("currency_mismatch", message).with_param("currency"));
            }
            parent.root
        }
    };
    check_source(&state, &change, parent_id, root).await?;
    let guarded = Guarded {
        program_id,
        write: GuardedWrite::OpenAccount,
        replaces: None,
        becomes: None,
    };
    let needs_two = raises && guarded::policy(&state, program_id).limit_raises;
    if let Some(waits) = guarded::ask_if(needs_two, &state, (&caller, &ids, &way), guarded).await? {
        return Ok(waits);
    }
    let open = OpenAccount {
        account_id,
        parent_id,
        program_id,
        currency,
        name: name.map(Into::into),
        controls,
    };
    let mut account = open_account(&state, root, open).await?;
    if change != ChangeAccount::nothing(account_id) {
        account = command(&state, root, Action::ChangeAccount(Box::new(change))).await?;
    }
    let own = LinksOfOwnAccounts::default();
    Ok(Success::created(to_json(&account, &own)))
}

/// What the rule of a new account takes from is there. The account is opened before its rule is set, and would stay without.
async fn check_source(
    state: &ApiState,
    change: &ChangeAccount,
    parent_id: Option<AccountId>,
    root: AccountId,
) -> Result<(), ApiError> {
    let Some(Some(rule)) = &change.auto_top_up else {
        return Ok(());
    };
    let is_there = match rule.from_account_id.or(parent_id) {
        None => false,
        Some(id) => match find(state, id).await {
            Ok(source) => source.root == root,
            Err(error) if error.status == StatusCode::NOT_FOUND => false,
            Err(error) => return Err(error),
        },
    };
    match is_there {
        true => Ok(()),
        false => Err(refused(&Refusal::NoSourceOfAutoTopUp)),
    }
}

fn check_parent(parent: &Account, program_id: ProgramId) -> Result<(), ApiError> {
    if parent.program_id != program_id {
        let message = "the parent account belongs to another program";
        return Err(ApiError::conflict("program_mismatch", message).with_param("parent_id"));
    }
    if parent.status == AccountStatus::Closed {
        let message = "the parent account is closed";
        return Err(ApiError::conflict("account_closed", message).with_param("parent_id"));
    }
    Ok(())
}

pub async fn open_account(
    state: &ApiState,
    root: AccountId,
    open: OpenAccount,
) -> Result<Account, ApiError> {
    command(state, root, Action::OpenAccount(Box::new(open))).await
}

async fn command(state: &ApiState, root: AccountId, action: Action) -> Result<Account, ApiError> {
    match ask::shard_command(state, root, action).await? {
        Reply::Account(account) => Ok(*account),
        Reply::Refused(refusal) => Err(refused(&refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn refused(refusal: &Refusal) -> ApiError {
    let code = match refusal {
        Refusal::AccountStatusForbids(_) => "account_status_forbids",
        Refusal::AccountNotEmpty { .. } => "account_not_empty",
        Refusal::SubAccountsOpen(_) => "account_has_sub_accounts",
        Refusal::TransfersInTransit { .. } => "transfers_in_transit",
        Refusal::NoSourceOfAutoTopUp => "auto_top_up_without_source",
        Refusal::AutoTopUpCircular => "auto_top_up_circular",
        Refusal::TooDeep => "account_tree_too_deep",
        _ => return ApiError::internal(refusal),
    };
    let error = ApiError::conflict(code, refusal.to_string());
    match refusal {
        Refusal::NoSourceOfAutoTopUp | Refusal::AutoTopUpCircular => {
            error.with_param("auto_top_up.from_account_id")
        }
        _ => error,
    }
}

/// `PATCH /v1/accounts/{id}`: what is named is replaced.
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
    let mut change = account_settings::take(&mut fields, before.id)?;
    change.name = fields.text("name", 200)?.map(Into::into);
    if fields.has("controls") {
        let view = state.switchboard.view();
        change.controls = Some(controls_json::take(&mut fields, &mut ids, &view)?);
    }
    fields.finish()?;
    if change == ChangeAccount::nothing(before.id) {
        return Err(fields::nothing_changes());
    }
    let (parent_id, rule) = (before.parent_id, account_settings::rule_of(&before));
    account_settings::check_rule(&state, &caller, &change, parent_id, rule).await?;
    let controls_before = before.controls.as_deref();
    let mut raises = account_settings::may_raise(&caller, &change, before.credit_line_minor)?;
    if let Some(controls) = &change.controls {
        raises |= cards::may_loosen(&caller, controls, controls_before)?;
    }
    let guarded = Guarded {
        program_id: before.program_id,
        write: GuardedWrite::ChangeAccount(before.id),
        replaces: Some(raised(controls_before, before.credit_line_minor)),
        becomes: Some(raised(
            change.controls.as_ref().or(controls_before),
            change.credit_line_minor.unwrap_or(before.credit_line_minor),
        )),
    };
    let needs_two = raises && guarded::policy(&state, before.program_id).limit_raises;
    if let Some(waits) = guarded::ask_if(needs_two, &state, (&caller, &ids, &way), guarded).await? {
        return Ok(waits);
    }
    let own = card_links::of_own_accounts(&state, None, [before.id]).await?;
    let action = Action::ChangeAccount(Box::new(change));
    let account = command(&state, before.root, action).await?;
    Ok(Success::ok(to_json(&account, &own)).from(to_json(&before, &own)))
}

/// What of an account may be raised.
fn raised(controls: Option<&Controls>, credit_line_minor: i64) -> Value {
    json!({ "controls": controls_json::of(controls), "credit_line": credit_line_minor })
}

pub async fn change_status(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
    change: AccountStatusChange,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let before = by_path(&state, &id).await?;
        let account_id = before.id;
        let own = card_links::of_own_accounts(&state, None, [account_id]).await?;
        let change = ChangeAccountStatus { account_id, change };
        let account = command(&state, before.root, Action::ChangeAccountStatus(change)).await?;
        Ok(Success::ok(to_json(&account, &own)).from(to_json(&before, &own)))
    };
    once(gate.state()?, request, work).await
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let account = by_path(&state, &id).await?;
    let own = card_links::of_own_accounts(&state, None, [account.id]).await?;
    let json = to_json(&account, &own);
    Ok(json_response(StatusCode::OK, json.to_string()))
}

pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let (created_from, created_until) = filters::created(&mut query)?;
    let (link_type, link_id) = list::link(&mut query)?;
    let filter = AccountFilter {
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        parent_id: query.id("parent_id", AccountId::PREFIX)?,
        root_account_id: query.id("root_account_id", AccountId::PREFIX)?,
        status: query.word("status", filters::ACCOUNT_STATUSES)?,
        currency: query.currency("currency")?,
        card_id: query.id("card_id", CardId::PREFIX)?,
        card_chain_id: query.id("card_chain_id", CardId::PREFIX)?,
        link_type,
        link_id,
        name: query.text("name", 200)?,
        created_from,
        created_until,
        bounds: caller.bounds().cloned(),
    };
    let after = query.id("starting_after", AccountId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.accounts(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    // SQL says which, memory says what they are now.
    let asked = page
        .data
        .iter()
        .map(|row| (row.root_id, ShardRequest::Account(row.id)));
    let replies = ask::shards(&state, asked.collect()).await?;
    let ids = page.data.iter().map(|row| row.id);
    let own = card_links::of_listed_accounts(&state, None, ids).await?;
    let data = replies.iter().filter_map(|reply| match reply {
        Reply::Account(account) => Some(to_json(account, &own)),
        _ => None,
    });
    Ok(list::page(data, page.has_more, page.projected_through))
}

/// The account that a path names.
pub async fn by_path(state: &ApiState, id: &str) -> Result<Account, ApiError> {
    let id = id.parse().map_err(|_| not_found())?;
    find(state, id).await
}

pub async fn find(state: &ApiState, id: AccountId) -> Result<Account, ApiError> {
    let root = state.switchboard.directory.root_of(id);
    match ask::shard(state, root, ShardRequest::Account(id)).await? {
        Reply::Account(account) => Ok(*account),
        Reply::NotFound => Err(not_found()),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub fn not_found() -> ApiError {
    ApiError::not_found("account_not_found", "there is no account with this id")
}

/// `own` knows the card that the account was opened for, if it was for one.
fn to_json(account: &Account, own: &LinksOfOwnAccounts) -> Value {
    let none = Controls::default();
    json!({
        "id": account.id.to_string(),
        "object": "account",
        "program_id": account.program_id.to_string(),
        "parent_id": account.parent_id.map(|id| id.to_string()),
        "card_id": own.card_of(account.id).map(|id| id.to_string()),
        "links": own.json_of(&[account.id]),
        "name": account.name,
        "currency": account.currency.alpha(),
        "status": account.status.name(),
        "posted": account.posted_minor,
        "held": account.held_minor,
        "available": account.available_minor(),
        "in_transit": account.in_transit_minor,
        "credit_line": account.credit_line_minor,
        "low_balance": account_settings::low_json(account),
        "auto_top_up": account_settings::rule_of(account).map(rule_json),
        "controls": controls_json::to_json(account.controls.as_deref().unwrap_or(&none)),
        "created_at": account.created_at.to_string(),
    })
}
