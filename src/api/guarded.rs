//! Writes that may have to wait for a second person: whether they do, and asking for it. What of a program needs two people
//! is its `second_approver`; approving is in `approvals.rs`.

use super::auth::Caller;
use super::bounds::About;
use super::error::{ApiError, ErrorType};
use super::etags;
use super::fields::Fields;
use super::idempotency::{Ids, Success};
use super::{ApiState, approvals, ask};
use crate::engine::api_keys::Scope;
use crate::engine::approvals::{
    APPROVAL_BODY_MAX_BYTES, APPROVAL_VALID_MS, Approval, ApprovalState, GuardedWrite,
    SecondApprover,
};
use crate::engine::ids::{ApprovalId, ProgramId};
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::shard::reply::Reply;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// How a write has come to be carried out.
pub enum Way {
    /// As it was sent, with this body; nothing where that is longer than what may wait.
    Sent(Option<Box<str>>),
    /// Two people want it. What it replaces is held against how it was when it was asked for.
    Approved { replaces: Option<Box<str>> },
}

impl Way {
    pub fn sent(body: &[u8]) -> Way {
        let text = std::str::from_utf8(body).ok();
        let text = text.filter(|text| text.len() <= APPROVAL_BODY_MAX_BYTES);
        Way::Sent(text.map(Into::into))
    }
}

/// What a write is about to do.
pub struct Guarded {
    pub program_id: ProgramId,
    pub write: GuardedWrite,
    /// What it replaces, as it is now.
    pub replaces: Option<Value>,
    /// The same as the write makes it.
    pub becomes: Option<Value>,
}

pub fn policy(state: &ApiState, program_id: ProgramId) -> SecondApprover {
    let view = state.switchboard.view();
    let program = view.programs.get(&program_id);
    program.map_or_else(SecondApprover::default, |program| program.second_approver)
}

/// Nothing, where the write is to be carried out now; else its answer: that it waits.
pub async fn ask_if(
    needs_two: bool,
    state: &ApiState,
    (caller, ids, way): (&Caller, &Ids, &Way),
    guarded: Guarded,
) -> Result<Option<Success>, ApiError> {
    let now = guarded.replaces.as_ref().map(etags::hash_of);
    match way {
        // Where it is so already, an earlier try did it and was cut off before that was written down: once more
        // changes nothing.
        Way::Approved { replaces } => match *replaces == now || guarded.becomes == guarded.replaces
        {
            true => Ok(None),
            false => Err(changed()),
        },
        Way::Sent(_) if !needs_two => Ok(None),
        Way::Sent(None) => {
            let message = format!(
                "this waits for a second person, and so its body may have {APPROVAL_BODY_MAX_BYTES} bytes"
            );
            Err(ApiError::invalid("too_long_to_wait", "", message))
        }
        Way::Sent(Some(body)) => {
            let created_at = state.switchboard.clock.now();
            let approval = Approval {
                id: ApprovalId(ids.last()),
                program_id: guarded.program_id,
                write: guarded.write,
                body: body.clone(),
                first_id: ids.first(),
                replaces: now,
                requested_by: caller.signer(),
                created_at,
                expires_at: created_at.plus_ms(APPROVAL_VALID_MS),
                state: ApprovalState::Pending,
                decided: None,
                outcome: None,
                approving_request_id: None,
            };
            request(state, approval).await.map(Some)
        }
    }
}

async fn request(state: &ApiState, approval: Approval) -> Result<Success, ApiError> {
    let id = approval.id;
    let action = RegistryAction::RequestApproval(Box::new(approval));
    match ask::registry_command(state, action).await? {
        // Asked before under the same Idempotency-Key.
        Reply::Done | Reply::RegistryRefused(RegistryRefusal::IdTaken) => {}
        Reply::RegistryRefused(refusal @ RegistryRefusal::TooManyApprovals) => {
            return Err(ApiError::conflict("too_many", refusal.to_string()));
        }
        reply => return Err(ask::unexpected(&reply)),
    }
    let approval = approvals::find(state, id).await?;
    let body = approvals::to_json(&approval, state.switchboard.clock.now());
    Ok(Success {
        status: StatusCode::ACCEPTED,
        ..Success::ok(body)
    })
}

fn changed() -> ApiError {
    let message =
        "what this was to replace has been changed since it was asked for; ask for it anew";
    let status = StatusCode::CONFLICT;
    ApiError::new(status, ErrorType::Conflict, CHANGED, message)
}

pub const CHANGED: &str = "changed_since_requested";

/// A write as its route has it.
pub struct RouteOf {
    pub method: &'static str,
    pub route: &'static str,
    pub scope: Scope,
    pub about: About,
    /// The id in its path.
    pub id: Option<String>,
}

pub fn route_of(write: &GuardedWrite) -> RouteOf {
    use About::*;
    use Scope::*;
    let of = |method, route, scope, about, id| RouteOf {
        method,
        route,
        scope,
        about,
        id,
    };
    match write {
        GuardedWrite::TopUp(id) => {
            let route = "/v1/accounts/{id}/top_ups";
            of("POST", route, FundsTopUp, Account, Some(id.to_string()))
        }
        GuardedWrite::SettleTopUp(id) => {
            let route = "/v1/top_ups/{id}/settle";
            of("POST", route, FundsSettle, TopUp, Some(id.to_string()))
        }
        GuardedWrite::OpenAccount => of("POST", "/v1/accounts", AccountsWrite, Body, None),
        GuardedWrite::ChangeAccount(id) => {
            let route = "/v1/accounts/{id}";
            of("PATCH", route, LimitsWrite, Account, Some(id.to_string()))
        }
        GuardedWrite::ChangeCard(id) => {
            let route = "/v1/cards/{id}";
            of("PATCH", route, LimitsWrite, Card, Some(id.to_string()))
        }
        GuardedWrite::ChangeProgram(id) => {
            let route = "/v1/programs/{id}";
            of("PATCH", route, ProgramsWrite, Program, Some(id.to_string()))
        }
        GuardedWrite::SetLinkControls { id, .. } => {
            let route = "/v1/links/{type}/{id}";
            of("PUT", route, LimitsWrite, Link, Some(id.to_string()))
        }
    }
}

impl RouteOf {
    /// As in `PATCH /v1/cards/{id}`.
    pub fn action(&self) -> String {
        format!("{} {}", self.method, self.route)
    }

    pub fn path(&self, write: &GuardedWrite) -> String {
        let path = match &self.id {
            Some(id) => self.route.replace("{id}", id),
            None => self.route.to_owned(),
        };
        match write {
            GuardedWrite::SetLinkControls { link_type, .. } => path.replace("{type}", link_type),
            _ => path,
        }
    }
}

/// `second_approver` of a program; as a whole.
pub fn take_policy(fields: &mut Fields) -> Result<Option<SecondApprover>, ApiError> {
    let Some(mut given) = fields.object("second_approver")? else {
        return Ok(None);
    };
    let mut policy = SecondApprover::default();
    if let Some(mut top_ups) = given.object("top_ups")? {
        let above = top_ups.integer("above", 0..=BALANCE_MAX_MINOR)?;
        policy.top_ups_above_minor = Some(above.ok_or_else(|| top_ups.missing("above"))?);
        top_ups.finish()?;
    }
    policy.limit_raises = given.boolean("limit_raises")?.unwrap_or_default();
    given.finish()?;
    Ok(Some(policy))
}

/// Nothing where nothing needs two people.
pub fn policy_json(policy: &SecondApprover) -> Value {
    if policy.is_none() {
        return Value::Null;
    }
    let above = policy.top_ups_above_minor;
    json!({
        "top_ups": above.map(|above| json!({ "above": above })),
        "limit_raises": policy.limit_raises,
    })
}
