//! `/v1/exceptions`: asking for an exception from controls, approving, rejecting and ending it. What one does is in
//! `engine::exceptions`; what it lifts as JSON is in `lifts_json.rs`.

use super::approvals::NOTE_MAX;
use super::auth::Caller;
use super::body::WriteRequest;
use super::bounds::{self, Whereabouts};
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask, auth, lifts_json, links};
use crate::engine::api_keys::Bounds;
use crate::engine::exceptions::{
    ChangeException, ControlException, ExceptionChange, ExceptionState, Subject,
};
use crate::engine::exceptions_page::{ExceptionFilter, ExceptionsPage, KnownException};
use crate::engine::ids::{AccountId, CardId, ExceptionId, ProgramId};
use crate::engine::registry::{LinkKey, RegistryAction, RegistryRefusal};
use crate::engine::signers::Signed;
use crate::engine::time::Timestamp;
use crate::json::lifts;
use crate::json::signer::signer as signer_json;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

pub const USES_MAX: i64 = 1_000_000;

pub const STATES: &[(ExceptionState, &str)] = &[
    (ExceptionState::Requested, "requested"),
    (ExceptionState::Approved, "approved"),
    (ExceptionState::Rejected, "rejected"),
    (ExceptionState::Ended, "ended"),
];

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
    let now = state.switchboard.clock.now();
    let ends_at = fields.moment("ends_at")?;
    let named = subject(&mut fields)?;
    let lifts = lifts_json::take(&mut fields, &state.switchboard.view())?;
    let (subject, place) = named.known(&state, caller.bounds()).await?;
    let exception = ControlException {
        id: ExceptionId(ids.next()),
        lifts,
        starts_at: fields.moment("starts_at")?.unwrap_or(now),
        ends_at: ends_at.ok_or_else(|| fields.missing("ends_at"))?,
        uses_max: fields
            .integer("max_uses", 1..=USES_MAX)?
            .and_then(|uses| u32::try_from(uses).ok()),
        reason: fields.required_text("reason", 500)?.into(),
        requested_by: caller.signer(),
        created_at: now,
        state: ExceptionState::Requested,
        decided: None,
        ended: None,
        tenant: caller.tenant(),
        subject,
        program_id: place.program_id,
        account_ids: place.accounts.into(),
    };
    fields.finish()?;
    let id = exception.id;
    let action = RegistryAction::RequestException(Box::new(exception));
    let known = match ask::registry_command(&state, action).await? {
        Reply::Exception(known) => only(known)?,
        // Made before under the same Idempotency-Key.
        Reply::RegistryRefused(RegistryRefusal::IdTaken) => find(&state, id).await?,
        Reply::RegistryRefused(refusal) => return Err(refused(refusal)),
        reply => return Err(ask::unexpected(&reply)),
    };
    Ok(Success::created(to_json(&known, now)))
}

/// Whose requests an exception is to be for, as a body names it.
enum Named {
    Card(CardId),
    Account(AccountId),
    Link(links::LinkPair, Option<ProgramId>),
}

fn subject(fields: &mut Fields) -> Result<Named, ApiError> {
    let card = fields.id("card_id", CardId::PREFIX)?.map(Named::Card);
    let account = fields.id("account_id", AccountId::PREFIX)?;
    let link = fields.object("link")?.map(|mut link| {
        let program_id = link.id("program_id", ProgramId::PREFIX)?;
        let pair = links::take_pair(&mut link)?;
        link.finish()?;
        Ok(Named::Link(pair, program_id))
    });
    match (card, account.map(Named::Account), link.transpose()?) {
        (Some(named), None, None) | (None, Some(named), None) | (None, None, Some(named)) => {
            Ok(named)
        }
        _ => {
            let message = "an exception is for one of `card_id`, `account_id` and `link`";
            Err(ApiError::invalid("subject_invalid", "card_id", message))
        }
    }
}

impl Named {
    /// Whose it is, and where that is.
    async fn known(
        self,
        state: &ApiState,
        bounds: Option<&Bounds>,
    ) -> Result<(Subject, Whereabouts), ApiError> {
        match self {
            Named::Card(id) => {
                let place = bounds::card(state, id).await;
                let place = place.map_err(|error| error.with_param("card_id"))?;
                Ok((Subject::Card(id), place))
            }
            Named::Account(id) => {
                let place = bounds::account(state, id).await;
                let place = place.map_err(|error| error.with_param("account_id"))?;
                Ok((Subject::Account(id), place))
            }
            Named::Link(pair, program_id) => {
                let known = links::find_one(state, bounds, &pair, program_id).await;
                let known = known.map_err(|error| error.with_param("link"))?;
                let place = Whereabouts::of_program(known.key.program_id);
                Ok((Subject::Link(known.link_id), place))
            }
        }
    }
}

fn refused(refusal: RegistryRefusal) -> ApiError {
    let told = refusal.to_string();
    match refusal {
        RegistryRefusal::ExceptionNotFound(_) => not_found(),
        RegistryRefusal::ExceptionStateForbids(_) => {
            ApiError::conflict("exception_state_forbids", told)
        }
        RegistryRefusal::ExceptionOver => {
            ApiError::conflict("exception_over", told).with_param("ends_at")
        }
        RegistryRefusal::ApproverIsRequester => ApiError::conflict("approver_is_requester", told),
        RegistryRefusal::RequesterRevoked => ApiError::conflict("requester_revoked", told),
        RegistryRefusal::TooManyExceptions => ApiError::conflict("too_many", told),
        refusal => ApiError::internal(&refusal),
    }
}

/// Approves, rejects or ends; who does is the API key.
pub async fn change(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
    change: ExceptionChange,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            ..
        } = write;
        let note = fields.text("note", NOTE_MAX)?.map(Into::into);
        fields.finish()?;
        let id = id.parse().map_err(|_| not_found())?;
        let bounds = caller.bounds();
        if change == ExceptionChange::Approve && !bounds.is_none_or(bounds::is_by_program_alone) {
            let message = "an exception may lift what the program forbids, so a key that is bound by account or link \
                does not approve it";
            return Err(auth::forbidden("key_is_bound", message));
        }
        let now = state.switchboard.clock.now();
        let before = to_json(&find(&state, id).await?, now);
        let by = caller.signer();
        let change = ChangeException {
            id,
            change,
            by,
            note,
        };
        let action = RegistryAction::ChangeException(Box::new(change));
        match ask::registry_command(&state, action).await? {
            Reply::Exception(known) => {
                let now = state.switchboard.clock.now();
                Ok(Success::ok(to_json(&only(known)?, now)).from(before))
            }
            Reply::RegistryRefused(refusal) => Err(refused(refusal)),
            reply => Err(ask::unexpected(&reply)),
        }
    };
    once(gate.state()?, request, work).await
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let known = find(&state, id.parse().map_err(|_| not_found())?).await?;
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
    let in_state = query.word("state", STATES)?;
    let card_id = query.id("card_id", CardId::PREFIX)?.map(Subject::Card);
    let account_id = query.id("account_id", AccountId::PREFIX)?;
    let account_id = account_id.map(Subject::Account);
    let (link_type, link_id) = list::link(&mut query)?;
    let link = link_type.map(|link_type| (link_type.into(), link_id.map(Into::into)));
    let after: Option<ExceptionId> = query.id("starting_after", ExceptionId::PREFIX)?;
    let limit = list::limit(&mut query)? as usize;
    query.finish()?;
    let now = state.switchboard.clock.now();
    let mut filter = ExceptionFilter {
        older_than: after,
        subjects: [card_id, account_id].into_iter().flatten().collect(),
        state: in_state,
        link,
        bounds: caller.bounds().cloned(),
        count: limit + 1,
    };
    let mut known: Vec<KnownException> = Vec::new();
    loop {
        let page = page(&state, &filter).await?;
        known.extend(page.found);
        filter.count = limit + 1 - known.len().min(limit + 1);
        filter.older_than = page.next;
        if filter.count == 0 || page.next.is_none() {
            break;
        }
    }
    let shown = known.iter().take(limit).map(|known| to_json(known, now));
    let body = json!({
        "object": "list",
        "data": shown.collect::<Vec<Value>>(),
        "has_more": known.len() > limit,
    });
    Ok(json_response(StatusCode::OK, body.to_string()))
}

/// What the registry finds in one go.
async fn page(state: &ApiState, filter: &ExceptionFilter) -> Result<ExceptionsPage, ApiError> {
    let asked = RegistryRequest::ExceptionsPage(Box::new(filter.clone()));
    match ask::registry(state, asked).await? {
        Reply::ExceptionsPage(page) => Ok(page),
        reply => Err(ask::unexpected(&reply)),
    }
}

async fn find(state: &ApiState, id: ExceptionId) -> Result<KnownException, ApiError> {
    match ask::registry(state, RegistryRequest::Exception(id)).await? {
        Reply::Exception(known) => known.map(|known| *known).ok_or_else(not_found),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn only(known: Option<Box<KnownException>>) -> Result<KnownException, ApiError> {
    let known = known.map(|known| *known);
    known.ok_or_else(|| ApiError::internal(&"an exception that was written is not there"))
}

fn not_found() -> ApiError {
    ApiError::not_found("exception_not_found", "there is no exception with this id")
}

fn to_json((exception, link): &KnownException, now: Timestamp) -> Value {
    let mut json = of_exception(exception, link.as_ref());
    json["state"] = exception.state_at(now).name().into();
    json
}

/// As it was written, whatever time it is.
pub fn of_exception(exception: &ControlException, link: Option<&LinkKey>) -> Value {
    let (card_id, account_id) = match exception.subject {
        Subject::Card(id) => (Some(id.to_string()), None),
        Subject::Account(id) => (None, Some(id.to_string())),
        Subject::Link(_) => (None, None),
    };
    let link = link.map(|key| {
        json!({ "type": key.link_type, "id": key.id, "program_id": key.program_id.to_string() })
    });
    let was_rejected = exception.state == ExceptionState::Rejected;
    let decided = exception.decided.as_ref();
    let (approved, rejected) = match was_rejected {
        true => (None, decided),
        false => (decided, None),
    };
    let mut json = json!({
        "id": exception.id.to_string(),
        "object": "exception",
        "card_id": card_id,
        "account_id": account_id,
        "link": link,
        "lifts": lifts::to_json(&exception.lifts),
        "starts_at": exception.starts_at.to_string(),
        "ends_at": exception.ends_at.to_string(),
        "max_uses": exception.uses_max,
        "reason": exception.reason,
        "state": exception.state.name(),
        "requested_by": signer_json(&exception.requested_by),
        "created_at": exception.created_at.to_string(),
    });
    for (name, signed) in [
        ("approved", approved),
        ("rejected", rejected),
        ("ended", exception.ended.as_ref()),
    ] {
        json[format!("{name}_by")] = signed.map(|signed: &Signed| signer_json(&signed.by)).into();
        json[format!("{name}_note")] = signed.and_then(|signed| signed.note.as_deref()).into();
        json[format!("{name}_at")] = signed.map(|signed| signed.at.to_string()).into();
    }
    json
}
