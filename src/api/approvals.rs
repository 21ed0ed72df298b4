//! `/v1/approvals`: what waits for a second person, and approving, rejecting and cancelling it. What has to wait is said in
//! `guarded.rs`; here it is carried out once somebody has approved it, as its own route would have. What a restart cut off is
//! finished in `unfinished_approvals.rs`.

use super::audit::{self, Asked};
use super::auth::Caller;
use super::body::WriteRequest;
use super::body_bounds;
use super::bounds::{self, About};
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::guarded::{self, Way};
use super::idempotency::{Ids, Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, accounts, ask, card_changes, links, programs, top_ups};
use crate::engine::api_keys::Scope;
use crate::engine::approvals::{
    Approval, ApprovalChange, ApprovalOutcome, ApprovalState, ChangeApproval, GuardedWrite,
};
use crate::engine::ids::{ApprovalId, ProgramId};
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::engine::time::Timestamp;
use crate::json::signer::signer as signer_json;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Longest note.
pub const NOTE_MAX: usize = 500;

/// While too much waits or the disk is full, what is approved is tried again this often, and so many times in one request.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const TRIES_MAX: usize = 100;

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject,
    Cancel,
}

/// `POST …/approve`, `/reject`, `/cancel`.
pub async fn decide(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
    verdict: Verdict,
) -> Result<Response, ApiError> {
    let request_id: Box<str> = (*request.request_id.0).into();
    let turns = gate.turns();
    let work = async |write: Write| {
        let (state, caller, mut fields) = (write.state, write.caller, write.fields);
        let note = fields.text("note", NOTE_MAX)?.map(Into::into);
        fields.finish()?;
        let before = find_seen(&state, &caller, &id).await?;
        if verdict == Verdict::Approve {
            may_carry_out(&state, &caller, &before).await?;
        }
        let by = caller.signer();
        let change = match verdict {
            Verdict::Approve => ApprovalChange::Approve {
                by,
                note,
                request_id,
            },
            Verdict::Reject => ApprovalChange::Reject { by, note },
            Verdict::Cancel => ApprovalChange::Cancel { by, note },
        };
        change_one(&state, before.id, change).await?;
        let decided = find(&state, before.id).await?;
        if decided.is_unfinished() {
            let state = state.clone();
            let path = guarded::route_of(&decided.write).path(&decided.write);
            // Whoever asked may go away meanwhile; what is approved is carried out all the same, however long others take.
            let finishing = tokio::spawn(async move {
                let _turn = turns.wait_for(&path).await;
                let now = find(&state, decided.id).await?;
                match now.is_unfinished() {
                    true => {
                        let approver = approver_of(&state, &now).await?;
                        finish(&state, &now, approver, TRIES_MAX).await
                    }
                    // By somebody who approved it too.
                    false => Ok(()),
                }
            });
            finishing
                .await
                .map_err(|error| ApiError::internal(&error))??;
        }
        let after = find(&state, before.id).await?;
        let now = state.switchboard.clock.now();
        if verdict == Verdict::Approve
            && let Some(error) = changed_meanwhile(&after)
        {
            return Err(error);
        }
        Ok(Success::ok(to_json(&after, now)).from(to_json(&before, now)))
    };
    once(gate.state()?, request, work).await
}

/// It was to replace what somebody has changed since.
fn changed_meanwhile(approval: &Approval) -> Option<ApiError> {
    let outcome = approval.outcome.as_ref()?;
    let told: Value = serde_json::from_str(&outcome.body).unwrap_or_default();
    let error = &told["error"];
    (error["code"] == guarded::CHANGED).then(|| {
        let message = error["message"].as_str().unwrap_or_default();
        ApiError::conflict(guarded::CHANGED, message)
    })
}

async fn change_one(
    state: &ApiState,
    id: ApprovalId,
    change: ApprovalChange,
) -> Result<(), ApiError> {
    let action = RegistryAction::ChangeApproval(Box::new(ChangeApproval { id, change }));
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(()),
        Reply::RegistryRefused(refusal) => Err(refused(&refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn refused(refusal: &RegistryRefusal) -> ApiError {
    let told = refusal.to_string();
    let code = match refusal {
        RegistryRefusal::ApprovalNotFound(_) => return not_found(),
        RegistryRefusal::ApprovalStateForbids(_) => "approval_state_forbids",
        RegistryRefusal::ApproverIsRequester => "approver_is_requester",
        RegistryRefusal::RequesterRevoked => "requester_revoked",
        RegistryRefusal::CancelledByOther => "cancelled_by_other",
        _ => return ApiError::internal(refusal),
    };
    ApiError::conflict(code, told)
}

/// What a write that names this asks for beside the scope of its route.
const BESIDE: [(&str, Scope); 4] = [
    ("cardholder_id", Scope::CardsIssue),
    ("fee_schedule", Scope::FeesWrite),
    ("foreign_exchange_mark_up_basis_points", Scope::FeesWrite),
    ("auto_top_up", Scope::FundsTransfer),
];

/// Whoever approves could have asked for it himself.
async fn may_carry_out(
    state: &Arc<ApiState>,
    caller: &Caller,
    approval: &Approval,
) -> Result<(), ApiError> {
    let route = guarded::route_of(&approval.write);
    caller.require(route.scope)?;
    let raises = !matches!(
        approval.write,
        GuardedWrite::TopUp(_) | GuardedWrite::SettleTopUp(_)
    );
    if raises {
        caller.require(Scope::LimitsRaise)?;
    }
    let fields = fields_of(approval)?;
    for (_, scope) in BESIDE.iter().filter(|(name, _)| fields.names(name)) {
        caller.require(*scope)?;
    }
    match caller.bounds() {
        Some(bounds) => body_bounds::check_body(state, bounds, route.about, &fields).await,
        None => Ok(()),
    }
}

fn fields_of(approval: &Approval) -> Result<Fields, ApiError> {
    let body = serde_json::from_str(&approval.body).unwrap_or_else(|_| json!({}));
    Fields::of("", body)
}

/// Carries out what is approved, and writes down what came of it.
pub(super) async fn finish(
    state: &Arc<ApiState>,
    approval: &Approval,
    caller: Option<Caller>,
    tries: usize,
) -> Result<(), ApiError> {
    // It was approved, so it names that request.
    let request_id = approval.approving_request_id.as_deref().unwrap_or_default();
    let Some(caller) = caller else {
        let message =
            "the API key of who approved it is known no more, and nobody else answers for it";
        let error = ApiError::conflict("approver_unknown", message);
        return end(state, approval.id, failed(&error, request_id), tries).await;
    };
    let action = guarded::route_of(&approval.write).action();
    // The approval is a request of its own.
    let own_id = format!("{request_id}/{}", approval.id);
    let asked = Asked::of(&caller, action, None, &own_id);
    let write = || asked.carry_out(carry_out(state, approval, &caller));
    let done = match until_taken(write, tries).await {
        Err(error) if may_pass(&error) => return Err(error),
        Err(error) if error.status.is_server_error() => {
            Err(ApiError::conflict(error.code, error.message))
        }
        done => done,
    };
    let outcome = match &done {
        Ok(success) => ApprovalOutcome {
            status: success.status.as_u16(),
            body: audit::bounded(&success.body),
        },
        Err(error) => failed(error, request_id),
    };
    // First, as nothing is carried out again once its end is written down.
    if let Some(mut entry) = asked.entry(&done) {
        // What waits for an approval is of one program.
        entry.program_id.get_or_insert(approval.program_id);
        match ask::registry_command(state, RegistryAction::Audit(Box::new(entry))).await? {
            Reply::Done => {}
            reply => return Err(ask::unexpected(&reply)),
        }
    }
    end(state, approval.id, outcome, tries).await
}

fn failed(error: &ApiError, request_id: &str) -> ApprovalOutcome {
    ApprovalOutcome {
        status: error.status.as_u16(),
        body: error.body(request_id).into(),
    }
}

async fn end(
    state: &ApiState,
    id: ApprovalId,
    outcome: ApprovalOutcome,
    tries: usize,
) -> Result<(), ApiError> {
    let over = || ApprovalChange::Finish(outcome.clone());
    until_taken(|| change_one(state, id, over()), tries).await
}

/// It may be taken a moment later. Top-ups that wait for money wait for days.
fn may_pass(error: &ApiError) -> bool {
    error.status.is_server_error() && error.code != top_ups::TOO_MANY_PENDING
}

/// Again for a while, where it was not taken and may be soon.
async fn until_taken<T, W: Future<Output = Result<T, ApiError>>>(
    work: impl Fn() -> W,
    tries: usize,
) -> Result<T, ApiError> {
    for _ in 1..tries {
        match work().await {
            Err(error) if may_pass(&error) => {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            done => return done,
        }
    }
    work().await
}

async fn carry_out(
    state: &Arc<ApiState>,
    approval: &Approval,
    caller: &Caller,
) -> Result<Success, ApiError> {
    let write = Write {
        state: state.clone(),
        caller: caller.clone(),
        fields: fields_of(approval)?,
        ids: Ids::from(approval.first_id),
        way: Way::Approved {
            replaces: approval.replaces.clone(),
        },
    };
    match &approval.write {
        GuardedWrite::TopUp(id) => top_ups::carry_out(write, id.to_string()).await,
        GuardedWrite::SettleTopUp(id) => top_ups::carry_out_settling(write, &id.to_string()).await,
        GuardedWrite::OpenAccount => accounts::carry_out(write).await,
        GuardedWrite::ChangeAccount(id) => accounts::carry_out_change(write, &id.to_string()).await,
        GuardedWrite::ChangeCard(id) => {
            card_changes::carry_out_change(write, &id.to_string()).await
        }
        GuardedWrite::ChangeProgram(id) => programs::carry_out_change(write, &id.to_string()).await,
        GuardedWrite::SetLinkControls { link_type, id } => {
            let path = (link_type.to_string(), id.to_string());
            links::carry_out_replacing(write, path, Some(approval.program_id)).await
        }
    }
}

/// Whoever approved it, also where another request or another process carries it out. `None` where the key is known no more:
/// no key at all is the root key, which it was not.
pub(super) async fn approver_of(
    state: &ApiState,
    approval: &Approval,
) -> Result<Option<Caller>, ApiError> {
    let by = approval.decided.as_ref();
    let by = by.and_then(|signed| signed.by.api_key_id);
    let view = ask::view(state).await?;
    let key = by.and_then(|id| view.api_keys.get(id).cloned());
    let is_known = by.is_none() || key.is_some();
    Ok(is_known.then_some(Caller { key, address: None }))
}

pub async fn find(state: &ApiState, id: ApprovalId) -> Result<Arc<Approval>, ApiError> {
    match ask::registry(state, RegistryRequest::Approvals(Some(id))).await? {
        Reply::Approvals(known) => known.into_iter().next().ok_or_else(not_found),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// In the order of their ids.
pub(super) async fn all(state: &ApiState) -> Result<Vec<Arc<Approval>>, ApiError> {
    match ask::registry(state, RegistryRequest::Approvals(None)).await? {
        Reply::Approvals(known) => Ok(known),
        reply => Err(ask::unexpected(&reply)),
    }
}

async fn find_seen(
    state: &Arc<ApiState>,
    caller: &Caller,
    id: &str,
) -> Result<Arc<Approval>, ApiError> {
    let known = find(state, id.parse().map_err(|_| not_found())?).await?;
    match sees(state, caller, &known).await? {
        true => Ok(known),
        false => Err(not_found()),
    }
}

/// Who sees the object of the write sees the approval.
async fn sees(
    state: &Arc<ApiState>,
    caller: &Caller,
    approval: &Approval,
) -> Result<bool, ApiError> {
    let Some(own) = caller.bounds() else {
        return Ok(true);
    };
    // Most are of others: that is known without looking at their bodies.
    if !own.program_ids.is_empty() && !own.program_ids.contains(&approval.program_id) {
        return Ok(false);
    }
    let route = guarded::route_of(&approval.write);
    let id = route.id.as_deref().unwrap_or_default();
    let seen = match &approval.write {
        GuardedWrite::OpenAccount => {
            let fields = fields_of(approval)?;
            body_bounds::check_body(state, own, About::Body, &fields).await
        }
        GuardedWrite::SetLinkControls { link_type, id } => {
            let pair = (link_type.clone(), id.clone());
            return links::is_seen(state, caller, &pair, approval.program_id).await;
        }
        _ => {
            let place = bounds::whereabouts(state, route.about, id).await?;
            return Ok(place.is_some_and(|place| place.is_within(own)));
        }
    };
    match seen {
        Ok(()) => Ok(true),
        Err(error) if error.status.is_server_error() => Err(error),
        Err(_) => Ok(false),
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("approval_not_found", "there is no approval with this id")
}

pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let known = find_seen(&state, &caller, &id).await?;
    let json = to_json(&known, state.switchboard.clock.now());
    Ok(json_response(StatusCode::OK, json.to_string()))
}

/// From memory, newest first.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let status = query.word("status", ApprovalState::ALL)?;
    let program_id: Option<ProgramId> = query.id("program_id", ProgramId::PREFIX)?;
    let after: Option<ApprovalId> = query.id("starting_after", ApprovalId::PREFIX)?;
    let limit = list::limit(&mut query)? as usize;
    query.finish()?;
    let now = state.switchboard.clock.now();
    let known = all(&state).await?;
    let wanted = |known: &&Arc<Approval>| {
        status.is_none_or(|status| status == known.state_at(now))
            && program_id.is_none_or(|id| id == known.program_id)
            && after.is_none_or(|id| known.id < id)
    };
    let mut page = Vec::new();
    for known in known.iter().rev().filter(wanted) {
        if page.len() > limit {
            break;
        }
        if sees(&state, &caller, known).await? {
            page.push(to_json(known, now));
        }
    }
    let has_more = page.len() > limit;
    page.truncate(limit);
    Ok(list::page_of_known(page, has_more))
}

pub fn to_json(approval: &Approval, now: Timestamp) -> Value {
    let mut json = of_approval(approval);
    json["status"] = approval.state_at(now).name().into();
    json
}

/// As it was written, whatever time it is.
pub fn of_approval(approval: &Approval) -> Value {
    let route = guarded::route_of(&approval.write);
    let object_id = match &approval.write {
        // As the audit log names it.
        GuardedWrite::SetLinkControls { link_type, id } => Some(audit::link_text(link_type, id)),
        _ => route.id.clone(),
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let decided = approval.decided.as_ref();
    let outcome = approval.outcome.as_ref();
    json!({
        "id": approval.id.to_string(),
        "object": "approval",
        "status": approval.state.name(),
        "program_id": approval.program_id.to_string(),
        "action": route.action(),
        "object_id": object_id,
        "request": {
            "method": route.method,
            "path": route.path(&approval.write),
            "body": parsed(&approval.body),
        },
        "requested_by": signer_json(&approval.requested_by),
        "created_at": approval.created_at.to_string(),
        "expires_at": approval.expires_at.to_string(),
        "decided_by": decided.map(|signed| signer_json(&signed.by)),
        "decided_at": decided.map(|signed| signed.at.to_string()),
        "note": decided.and_then(|signed| signed.note.as_deref()),
        "outcome": outcome.map(|outcome| {
            json!({ "status": outcome.status, "body": parsed(&outcome.body) })
        }),
    })
}
