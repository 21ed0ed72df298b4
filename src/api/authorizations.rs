//! `/v1/authorizations`: what was decided, and why. Lists come from SQL; a single one is as of now,
//! because what SQL does not have yet is read from the journal.

use super::body::WriteRequest;
use super::error::{ApiError, json_response, shown};
use super::fields::Fields;
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, accounts, ask, conversion_json, trace_json};
use crate::engine::command::{Action, ReleaseCause, ReleaseHold};
use crate::engine::conversion::Conversion;
use crate::engine::event::{Refusal, RuleId};
use crate::engine::facts::Country;
use crate::engine::ids::{AccountId, AuthorizationId, CardId};
use crate::engine::reason::DeclineReason;
use crate::engine::record;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use crate::store::lag::FollowState;
use crate::store::query::AuthorizationFilter;
use crate::store::rows::{AuthorizationRow, AuthorizationStatus};
use crate::store::tail::TailFold;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The projection usually is this close behind; it is cheaper to wait than to read the journal.
const PROJECTION_PATIENCE: Duration = Duration::from_millis(250);

/// Records read behind the projection for one answer at the most.
const TAIL_MAX: u64 = 200_000;

/// States that the interface names and no authorization is in yet: clearing comes later.
const LATER_STATUSES: &[&str] = &["partially_cleared", "cleared"];

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let body = current(&state, id).await?.to_string();
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
        release(&state, id).await?;
        Ok(Success::ok(current(&state, id).await?))
    };
    once(gate.state()?, request, work).await
}

async fn release(state: &Arc<ApiState>, id: AuthorizationId) -> Result<(), ApiError> {
    let row = find(state, id).await?;
    let Some(account_id) = row
        .account_id
        .filter(|_| row.status == AuthorizationStatus::Pending)
    else {
        // Done before, perhaps by this very request.
        return match row.status {
            AuthorizationStatus::Expired => Ok(()),
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

fn nothing_held(row: &AuthorizationRow) -> ApiError {
    let message = format!(
        "the authorization is {} and holds nothing that could be released",
        row.status.name()
    );
    ApiError::conflict("nothing_held", message)
}

/// The authorization as it is now, as JSON.
async fn current(state: &Arc<ApiState>, id: AuthorizationId) -> Result<Value, ApiError> {
    let mut row = find(state, id).await?;
    if let Some(account_id) = row.account_id {
        row.currency = accounts::find(state, account_id).await?.currency;
    }
    let links = match ask::registry(state, RegistryRequest::Card(row.card_id)).await? {
        Reply::IssuedCard(issued) => issued.1,
        _ => Vec::new(),
    };
    let links = links
        .iter()
        .map(|link| link_json(&link.link_type, &link.id))
        .collect();
    Ok(to_json(state, &row, links))
}

fn not_found() -> ApiError {
    ApiError::not_found(
        "authorization_not_found",
        "there is no authorization with this id",
    )
}

/// The authorization as of everything that is durable now.
async fn find(state: &Arc<ApiState>, id: AuthorizationId) -> Result<AuthorizationRow, ApiError> {
    let durable = state.journal.durable();
    let mut stored = stored(state, id).await?;
    if matches!(&stored, Some((position, _)) if *position < durable)
        && state.lag.state() == FollowState::Following
        && state.lag.reached(durable, PROJECTION_PATIENCE).await
    {
        stored = self::stored(state, id).await?;
    }
    let away = stored.is_none();
    let (position, row) = stored.unwrap_or_else(|| (state.lag.projected_through(), None));
    if position >= durable && !away {
        return row.ok_or_else(not_found);
    }
    if durable.saturating_sub(position) > TAIL_MAX {
        let message = format!(
            "the SQL database is {} records behind, too many to read for one answer; repeat this later",
            durable - position
        );
        return Err(ApiError::unavailable("store_behind", message));
    }
    let tail = tail(state.clone(), id, position, row);
    let folded = tokio::task::spawn_blocking(tail).await;
    let row = folded.map_err(|error| ApiError::internal(&error))??;
    row.ok_or_else(if away { too_old } else { not_found })
}

/// The row in SQL, with SQL's position; nothing where the database cannot be read.
async fn stored(
    state: &ApiState,
    id: AuthorizationId,
) -> Result<Option<(u64, Option<AuthorizationRow>)>, ApiError> {
    if list::check_store(state).is_err() {
        return Ok(None);
    }
    match state.store.authorization_at(id).await {
        Ok(stored) => Ok(Some(stored)),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "an authorization is read from the journal alone");
            Ok(None)
        }
        Err(error) => Err(store_error(error)),
    }
}

/// SQL is away, and the authorization is none of those that the journal's tail tells of.
fn too_old() -> ApiError {
    let message = "this authorization, if there is one, is in the SQL database only, and that cannot be read \
        now; repeat this later";
    ApiError::unavailable("store_unavailable", message)
}

/// Reads the journal behind `position` and folds it over the stored row.
fn tail(
    state: Arc<ApiState>,
    id: AuthorizationId,
    position: u64,
    stored: Option<AuthorizationRow>,
) -> impl FnOnce() -> Result<Option<AuthorizationRow>, ApiError> + Send {
    move || {
        let internal = |error: &dyn std::fmt::Display| ApiError::internal(error);
        // The currency is looked up in memory afterwards.
        let mut fold = TailFold::new(id, stored, |_| None);
        let mut reader = state
            .journal
            .reader(position + 1)
            .map_err(|error| internal(&error))?;
        while let Some((sequence, bytes)) = reader.next().map_err(|error| internal(&error))? {
            let record = record::read(bytes).map_err(|error| internal(&error))?;
            fold.fold(sequence, &record);
        }
        Ok(fold.row())
    }
}

pub async fn many(
    State(gate): State<Gate>,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let (link_type, link_id) = list::link(&mut query)?;
    let (status, later) = status(&mut query)?;
    let filter = AuthorizationFilter {
        card_id: query.id("card_id", CardId::PREFIX)?,
        account_id: query.id("account_id", AccountId::PREFIX)?,
        status,
        reason: reason(&mut query)?,
        link_type,
        link_id,
    };
    let after = query.id("starting_after", AuthorizationId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    if later {
        return Ok(list::page(Vec::new(), false, state.lag.projected_through()));
    }
    list::check_store(&state)?;
    let page = state.store.authorizations(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let links = links_of(&state, &page.data).await?;
    let none = Vec::new();
    let data = page.data.iter().map(|row| {
        let links = links.get(&row.card_id).unwrap_or(&none);
        to_json(&state, row, links.clone())
    });
    Ok(list::page(
        data.collect(),
        page.has_more,
        page.projected_through,
    ))
}

/// Takes `status`; true where it is one that nothing has yet.
fn status(query: &mut Fields) -> Result<(Option<AuthorizationStatus>, bool), ApiError> {
    let Some(name) = query.text("status", 40)? else {
        return Ok((None, false));
    };
    if LATER_STATUSES.contains(&name.as_str()) {
        return Ok((None, true));
    }
    match AuthorizationStatus::from_name(&name) {
        Some(status) => Ok((Some(status), false)),
        None => {
            let message = "status must be one of: pending, partially_cleared, cleared, reversed, expired, declined";
            Err(ApiError::invalid("value_unknown", "status", message))
        }
    }
}

fn reason(query: &mut Fields) -> Result<Option<DeclineReason>, ApiError> {
    let Some(name) = query.text("reason", 60)? else {
        return Ok(None);
    };
    let reason = DeclineReason::from_name(&name);
    reason.map(Some).ok_or_else(|| {
        let message = format!(
            "`{}` is not a decline reason; one is, as an example, insufficient_funds",
            shown(&name)
        );
        ApiError::invalid("value_unknown", "reason", message)
    })
}

/// The links of the cards of these rows, as JSON.
async fn links_of(
    state: &ApiState,
    rows: &[AuthorizationRow],
) -> Result<HashMap<CardId, Vec<Value>>, ApiError> {
    let mut cards: Vec<CardId> = rows.iter().map(|row| row.card_id).collect();
    cards.sort_unstable();
    cards.dedup();
    let mut links: HashMap<CardId, Vec<Value>> = HashMap::new();
    for link in state.store.card_links(&cards).await.map_err(store_error)? {
        let json = link_json(&link.link_type, &link.link_id);
        links.entry(link.card_id).or_default().push(json);
    }
    Ok(links)
}

fn link_json(link_type: &str, id: &str) -> Value {
    json!({ "type": link_type, "id": id })
}

fn to_json(state: &ApiState, row: &AuthorizationRow, links: Vec<Value>) -> Value {
    let known_card = row.card_id != CardId::default();
    json!({
        "id": row.id.to_string(),
        "object": "authorization",
        "card_id": known_card.then(|| row.card_id.to_string()),
        "account_id": row.account_id.map(|id| id.to_string()),
        "kind": row.kind.name(),
        "amount": row.amount_minor,
        "requested_amount": row.requested_minor,
        "currency": row.currency.alpha(),
        "transaction_amount": row.transaction_minor,
        "transaction_currency": row.transaction_currency.alpha(),
        "merchant": merchant(row),
        "entry_mode": row.entry_mode.name(),
        "channel": row.channel.name(),
        "status": row.status.name(),
        "approval_code": row.approval_code.map(|code| code.as_str().to_owned()),
        "conversion": conversion(row),
        "decision": decision(state, row),
        "trace": trace_json::to_json(&row.trace),
        "links": links,
        "network": {
            "name": present(&row.network),
            "stan": format!("{:06}", row.stan),
            "rrn": present(&row.rrn),
            "acquirer_id": present(&row.acquirer_id),
            "terminal_id": present(&row.terminal_id),
        },
        "expires_at": row.expires_at_ms.map(|at| at.to_string()),
        "created_at": row.created_at_ms.to_string(),
    })
}

/// Nothing where the transaction is in the account's currency.
fn conversion(row: &AuthorizationRow) -> Option<Value> {
    let conversion = Conversion {
        source: row.rate_source?,
        from: row.rate_from_currency?,
        rate: row.rate?,
        table_version: row.rate_version,
        mark_up_basis_points: row.mark_up_basis_points,
        network_minor: row.network_minor,
        mark_up_minor: row.mark_up_minor,
        rounding_minor: row.rounding_minor,
    };
    Some(conversion_json::to_json(&conversion))
}

fn merchant(row: &AuthorizationRow) -> Value {
    let country = row.merchant_country;
    json!({
        "id": present(&row.merchant_id),
        "name": present(&row.merchant_name),
        "city": present(&row.merchant_city),
        "mcc": (row.mcc != 0).then(|| super::controls_json::mcc_text(row.mcc)),
        "country": (country != Country::UNKNOWN).then(|| country.alpha2().to_owned()),
    })
}

fn decision(state: &ApiState, row: &AuthorizationRow) -> Value {
    let rule_id = row.rule_id.map(|rule| match rule {
        RuleId::Limit(id) => id.to_string(),
        RuleId::Control(id) => id.to_string(),
        RuleId::RiskRule(id) => id.to_string(),
    });
    json!({
        "result": row.result.name(),
        "reason": row.reason.map(DeclineReason::name),
        "step": row.step.map(|step| step.name()),
        "rule_id": rule_id,
        "response_code": (state.response_codes)(&row.network, row.reason),
    })
}

/// Text of a message, without the blanks that fill its field; nothing where it has none.
fn present(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}
