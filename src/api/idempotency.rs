//! Carrying out a write, once per `Idempotency-Key`. The key is compared before the body is looked
//! at; all ids of a write come from one reservation that is journalled with the key, so that doing a
//! write again after a crash makes the same objects.

use super::ask;
use super::audit::{self, Asked};
use super::auth::{self, Caller};
use super::body::WriteRequest;
use super::body_bounds;
use super::envelope::RequestId;
use super::error::{ApiError, ErrorType, json_response};
use super::etags;
use super::fields::Fields;
use super::guarded::Way;
use super::unfinished_approvals;
use super::{ApiState, cards, issue};
use crate::engine::ids::ApiKeyId;
use crate::engine::kept_text::KeptText;
use crate::engine::registry::{IdempotencyKey, IdempotentRequest, RegistryAction, RegistryRefusal};
use crate::engine::shares::Full;
use crate::shard::reply::Reply;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::sync::{Arc, PoisonError};

/// Ids that one write may use.
const IDS_PER_WRITE: u64 = 64;

/// What a resource gets to carry out.
pub struct Write {
    pub state: Arc<ApiState>,
    pub caller: Caller,
    pub fields: Fields,
    pub ids: Ids,
    pub way: Way,
}

/// The ids of one write, always in the same order.
pub struct Ids {
    first: u64,
    next: u64,
    end: u64,
}

impl Ids {
    pub fn from(first: u64) -> Ids {
        Ids {
            first,
            next: first,
            end: first + IDS_PER_WRITE,
        }
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    /// For what is about the write itself.
    pub fn last(&self) -> u64 {
        self.end - 1
    }

    /// Whether this one was given already, and is of this write so.
    pub fn have_given(&self, id: u64) -> bool {
        (self.first..self.next).contains(&id)
    }

    pub fn next(&mut self) -> u64 {
        assert!(self.next < self.end, "a write needs more ids than reserved");
        self.next += 1;
        self.next - 1
    }
}

/// A write that succeeded.
pub struct Success {
    pub status: StatusCode,
    pub body: Value,
    /// What a repeat gets where the body holds a secret.
    pub repeated: Option<Value>,
    /// What was changed, as it was before.
    pub before: Option<Value>,
}

impl Success {
    pub fn ok(body: Value) -> Success {
        Success {
            status: StatusCode::OK,
            body,
            repeated: None,
            before: None,
        }
    }

    /// For the audit log.
    pub fn from(self, before: Value) -> Success {
        Success {
            before: Some(before),
            ..self
        }
    }

    /// With the secret of an endpoint, in the form of Standard Webhooks: told now and not again.
    pub fn with_secret(status: StatusCode, body: Value, secret: [u8; 32]) -> Success {
        let mut shown = body.clone();
        shown["secret"] = format!("whsec_{}", STANDARD.encode(secret)).into();
        Success {
            status,
            body: shown,
            repeated: Some(body),
            before: None,
        }
    }

    pub fn created(body: Value) -> Success {
        Success {
            status: StatusCode::CREATED,
            ..Success::ok(body)
        }
    }
}

/// Carries out `work`, or repeats the response that the same key got before.
pub async fn once<Work, Outcome>(
    state: Arc<ApiState>,
    request: WriteRequest,
    work: Work,
) -> Result<Response, ApiError>
where
    Work: FnOnce(Write) -> Outcome,
    Outcome: Future<Output = Result<Success, ApiError>>,
{
    unfinished_approvals::finish_what_was_cut_off(&state).await?;
    let first_id = state.switchboard.ids.reserve(IDS_PER_WRITE);
    let Some(header) = &request.idempotency_key else {
        let asked = Asked::by(&request);
        let success = carry_out(&state, (&request, &asked), (first_id, None), work).await?;
        return Ok(json_response(success.status, success.body.to_string()));
    };
    let identity = IdempotentRequest {
        key: key(request.caller.first_key_id(), header),
        request_hash: request_hash(&request),
        first_id,
        tenant: request.caller.tenant(),
        request_number: request.request_id.number(),
    };
    let _in_use = InUse::enter(&state, identity.key)?;
    let begin = RegistryAction::BeginIdempotent(identity);
    let (first_id, begun_by) = match ask::registry_command(&state, begin).await? {
        Reply::Done => (first_id, None),
        Reply::IdempotencyKnown(entry) if entry.request.request_hash != identity.request_hash => {
            return Err(reused());
        }
        Reply::IdempotencyKnown(entry) => match entry.response {
            Some((status, body)) => return replayed(status, &body),
            None => (
                entry.request.first_id,
                Some(RequestId::of(entry.request.request_number)),
            ),
        },
        Reply::RegistryRefused(RegistryRefusal::IdempotencyKeysFull(full)) => {
            return Err(no_room(full));
        }
        reply => return Err(ask::unexpected(&reply)),
    };
    let asked = match &begun_by {
        Some(first) => Asked::by_repeat(&request, first),
        None => Asked::by(&request),
    };
    let ids = (first_id, begun_by.as_ref());
    let done = carry_out(&state, (&request, &asked), ids, work).await;
    if begun_by.is_some()
        && request.route == cards::ROUTE
        && done.as_ref().is_err_and(issue::is_final)
    {
        let unused = issue::close_unused(&state, issue::ids_of(first_id));
        asked.carry_out(unused).await;
    }
    // What was wrong with the request is wrong with its repeat, and is said again; the key stays that of this request.
    let done = match done {
        Err(error) if error.status == StatusCode::BAD_REQUEST && !asked.has_changed() => {
            return Err(error);
        }
        done => done,
    };
    complete(&state, identity.key, done, &request.request_id.0).await
}

/// `begun_by` is the request that began the same under the same key, and was cut off.
async fn carry_out<Work, Outcome>(
    state: &Arc<ApiState>,
    (request, asked): (&WriteRequest, &Arc<Asked>),
    (first_id, begun_by): (u64, Option<&RequestId>),
    work: Work,
) -> Result<Success, ApiError>
where
    Work: FnOnce(Write) -> Outcome,
    Outcome: Future<Output = Result<Success, ApiError>>,
{
    let write = Write {
        state: state.clone(),
        caller: request.caller.clone(),
        fields: request.fields()?,
        ids: Ids::from(first_id),
        way: Way::sent(&request.body),
    };
    // Its body may have taken a while to come.
    if !request.caller.is_still_good(state) {
        return Err(auth::no_longer_good());
    }
    if request.condition.as_ref().is_some_and(|it| !it.is_met()) {
        // What it has changed before it was cut off is no change by others.
        let is_own = match begun_by {
            Some(first) => asked.was_last_made_by(state, first).await?,
            None => false,
        };
        if !is_own {
            return Err(etags::changed());
        }
    }
    if let Some(bounds) = request.caller.bounds() {
        if request.route == cards::ROUTE {
            body_bounds::check_order(bounds, &write.fields)?;
        }
        body_bounds::check_body(state, bounds, request.about, &write.fields).await?;
    }
    let done = asked.carry_out(work(write)).await;
    let Some(mut entry) = asked.entry(&done) else {
        return done;
    };
    if entry.program_id.is_none() {
        entry.program_id = audit::program_of(state, &entry, request.caller.bounds()).await;
    }
    match ask::registry_command(state, RegistryAction::Audit(Box::new(entry))).await? {
        Reply::Done => done,
        reply => Err(ask::unexpected(&reply)),
    }
}

/// Journals the response under its key. A failure of ours is not kept, so that a repeat tries again.
async fn complete(
    state: &ApiState,
    key: IdempotencyKey,
    done: Result<Success, ApiError>,
    request_id: &str,
) -> Result<Response, ApiError> {
    let (status, body, repeated) = match done {
        Ok(success) => {
            let repeated = success.repeated.as_ref().unwrap_or(&success.body);
            (
                success.status,
                success.body.to_string(),
                repeated.to_string(),
            )
        }
        Err(error) if error.status.is_server_error() => return Err(error),
        // Nor what is refused for a while.
        Err(error) if error.status == StatusCode::TOO_MANY_REQUESTS => return Err(error),
        Err(error) => {
            let body = error.body(request_id);
            (error.status, body.clone(), body)
        }
    };
    let complete = RegistryAction::CompleteIdempotent {
        key,
        status: status.as_u16(),
        body: KeptText::of(&repeated),
    };
    if let Err(error) = ask::registry_command(state, complete).await {
        // The write stands; a repeat does it again and finds its own objects.
        tracing::warn!(error.message, "a response was not kept for its key");
    }
    Ok(json_response(status, body))
}

fn replayed(status: u16, body: &KeptText) -> Result<Response, ApiError> {
    let status = StatusCode::from_u16(status).map_err(|error| ApiError::internal(&error))?;
    let body = body.text();
    let body = body.ok_or_else(|| ApiError::internal(&"a kept response cannot be read"))?;
    let mut response = json_response(status, body);
    response
        .headers_mut()
        .insert("idempotent-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

/// Nothing was done. Room comes as keys are over, so not at once.
fn no_room(full: Full) -> ApiError {
    const RETRY_AFTER_S: u32 = 60;
    let status = match full {
        Full::Tenant => StatusCode::TOO_MANY_REQUESTS,
        Full::All => StatusCode::SERVICE_UNAVAILABLE,
    };
    let (error_type, code, whose) = match full {
        Full::Tenant => (
            ErrorType::RateLimited,
            "idempotency_share_full",
            "this API key and those of the same tenant",
        ),
        Full::All => (ErrorType::Unavailable, "idempotency_keys_full", "all"),
    };
    let message = format!(
        "the Idempotency-Keys of {whose} take as much memory as they may until some of them are over; nothing was done"
    );
    let error = ApiError::new(status, error_type, code, message);
    error
        .with_param("Idempotency-Key")
        .with_retry_after(RETRY_AFTER_S)
}

fn reused() -> ApiError {
    let message = "this Idempotency-Key came with another request before; take a new key";
    ApiError::conflict("idempotency_key_reused", message).with_param("Idempotency-Key")
}

/// Marks a key as being worked on, until dropped.
struct InUse<'a> {
    state: &'a ApiState,
    key: IdempotencyKey,
}

impl InUse<'_> {
    fn enter(state: &ApiState, key: IdempotencyKey) -> Result<InUse<'_>, ApiError> {
        let mut keys = state
            .keys_in_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if keys.insert(key) {
            return Ok(InUse { state, key });
        }
        let message = "a request with this Idempotency-Key is under way; repeat it in a second";
        Err(ApiError::conflict("idempotency_key_in_use", message).with_param("Idempotency-Key"))
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let keys = self.state.keys_in_use.lock();
        keys.unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

/// Of the first of keys that were rolled: who repeats a request under the key that its own was rolled to gets the answer,
/// and nothing is done twice.
fn key(first_key_id: Option<ApiKeyId>, header: &str) -> IdempotencyKey {
    let caller = first_key_id.map(|id| id.0.to_le_bytes());
    let caller = caller.as_ref().map_or(&b"root"[..], |id| &id[..]);
    IdempotencyKey(hash(
        "cardswitch 2026-11 idempotency key by id",
        &[caller, header.as_bytes()],
    ))
}

fn request_hash(request: &WriteRequest) -> u128 {
    let (method, path) = (request.method.as_bytes(), request.path.as_bytes());
    let condition = request.condition.as_ref();
    let condition = condition.map_or(&b""[..], |condition| condition.wanted.as_bytes());
    hash(
        "cardswitch 2026-11 idempotent request",
        &[method, path, &request.body, condition],
    )
}

/// BLAKE3 in its key-derivation mode, each part with its length before it.
fn hash(domain: &str, parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new_derive_key(domain);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    u128::from_le_bytes(first)
}
