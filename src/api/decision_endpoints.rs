//! `/v1/decision_endpoints`: where a program's customer decides on authorizations itself, and what holds when it does not
//! answer. Calling it lives in `decision_call`.

use super::auth::Caller;
use super::body::WriteRequest;
use super::error::{ApiError, json_response};
use super::fields::{self, Fields};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask};
use crate::decision_call::ping_body;
use crate::engine::decision_endpoints::{DecisionEndpoint, Fallback};
use crate::engine::ids::{DecisionEndpointId, ProgramId};
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::shard::reply::Reply;
use crate::webhooks::{Signed, check_url};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// From the switch's decision to the customer's, in milliseconds. Stay below what the network waits for.
pub const TIMEOUT_MS: (u32, std::ops::RangeInclusive<i64>) = (2_000, 50..=10_000);

const FALLBACKS: &[(bool, &str)] = &[(false, "decline"), (true, "approve_up_to")];

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            mut ids,
            ..
        } = write;
        let mut endpoint = DecisionEndpoint {
            id: DecisionEndpointId(ids.next()),
            program_id: fields.required_id("program_id", ProgramId::PREFIX)?,
            url: Box::default(),
            timeout_ms: TIMEOUT_MS.0,
            fallback: Fallback::Decline,
            enabled: true,
            secret_version: 1,
            created_at: state.switchboard.clock.now(),
            tenant: caller.tenant(),
        };
        if !take(&state, &mut fields, &mut endpoint)? {
            return Err(fields.missing("url"));
        }
        fields.finish()?;
        put(&state, endpoint.clone()).await?;
        Ok(with_secret(&state, &endpoint, StatusCode::CREATED))
    };
    once(gate.state()?, request, work).await
}

/// Changes what is given, and leaves the rest.
pub async fn update(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state, mut fields, ..
        } = write;
        let mut endpoint = find(&state, &id).await?;
        let before = with_warning(&state, &endpoint);
        if fields.is_empty() {
            return Err(fields::nothing_changes());
        }
        take(&state, &mut fields, &mut endpoint)?;
        fields.finish()?;
        put(&state, endpoint.clone()).await?;
        Ok(Success::ok(with_warning(&state, &endpoint)).from(before))
    };
    once(gate.state()?, request, work).await
}

/// A new secret, from the next call on.
pub async fn rotate_secret(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let mut endpoint = find(&state, &id).await?;
        let before = with_warning(&state, &endpoint);
        endpoint.secret_version += 1;
        put(&state, endpoint.clone()).await?;
        Ok(with_secret(&state, &endpoint, StatusCode::OK).from(before))
    };
    once(gate.state()?, request, work).await
}

/// Calls the endpoint now, with nothing to decide, and says what came of it.
pub async fn ping(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            fields,
            mut ids,
            ..
        } = write;
        fields.finish()?;
        let endpoint = find(&state, &id).await?;
        let _under_way = state.pings.enter_ping(&caller)?;
        let now = state.switchboard.clock.now();
        let body = ping_body(now).to_string().into_bytes();
        let secret = secret(&state, &endpoint);
        let signed = Signed::new(
            &[secret],
            format!("ping_{}", ids.next()),
            now.0 / 1_000,
            &body,
        );
        let at_most = Duration::from_millis(u64::from(endpoint.timeout_ms));
        let started = Instant::now();
        let called = state.calls.post(&endpoint.url, signed, body, at_most).await;
        let duration_ms = started.elapsed().as_millis() as u64;
        let (status, error) = match called {
            Ok(answered) => (Some(answered.status), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Ok(Success::ok(json!({
            "object": "ping",
            "decision_endpoint_id": endpoint.id.to_string(),
            "status": status,
            "error": error,
            "duration_ms": duration_ms,
        })))
    };
    once(gate.state()?, request, work).await
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let endpoint = find(&state, &id).await?;
    Ok(json_response(
        StatusCode::OK,
        with_warning(&state, &endpoint).to_string(),
    ))
}

/// From memory: what was just written is in it.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let program_id: Option<ProgramId> = query.id("program_id", ProgramId::PREFIX)?;
    let view = ask::view(&state).await?;
    let mut wanted: Vec<_> = view
        .decision_endpoints
        .iter()
        .filter(|endpoint| program_id.is_none_or(|id| endpoint.program_id == id))
        .filter(|endpoint| caller.sees_program(endpoint.program_id))
        .collect();
    wanted.sort_unstable_by_key(|endpoint| std::cmp::Reverse(endpoint.id));
    let all = wanted
        .into_iter()
        .map(|endpoint| (endpoint.id.to_string(), || with_warning(&state, endpoint)));
    list::page_of_memory(ListQuery(query), all)
}

/// Takes the fields that are given; whether a URL was among them.
fn take(
    state: &ApiState,
    fields: &mut Fields,
    endpoint: &mut DecisionEndpoint,
) -> Result<bool, ApiError> {
    let path = fields.path("url");
    let url = fields.text("url", 500)?;
    let has_url = url.is_some();
    if let Some(url) = url {
        check_url(&url, state.sandbox).map_err(|error| {
            let message = format!("{path} cannot be taken: {error}");
            ApiError::invalid("url_invalid", path, message)
        })?;
        endpoint.url = url.into();
    }
    if let Some(timeout_ms) = fields.integer("timeout_ms", TIMEOUT_MS.1)? {
        // In range, so it fits.
        endpoint.timeout_ms = timeout_ms as u32;
    }
    if let Some(enabled) = fields.boolean("enabled")? {
        endpoint.enabled = enabled;
    }
    if let Some(mut given) = fields.object("fallback")? {
        let approves = given.word("type", FALLBACKS)?;
        let approves = approves.ok_or_else(|| given.missing("type"))?;
        endpoint.fallback = match approves {
            false => Fallback::Decline,
            true => {
                let amount_minor = given.integer("amount", 0..=BALANCE_MAX_MINOR)?;
                let amount_minor = amount_minor.ok_or_else(|| given.missing("amount"))?;
                Fallback::ApproveUpTo { amount_minor }
            }
        };
        given.finish()?;
    }
    Ok(has_url)
}

async fn put(state: &ApiState, endpoint: DecisionEndpoint) -> Result<(), ApiError> {
    let action = RegistryAction::PutDecisionEndpoint(Box::new(endpoint));
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(()),
        Reply::RegistryRefused(refusal) => Err(refused(refusal)),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn refused(refusal: RegistryRefusal) -> ApiError {
    let told = refusal.to_string();
    match refusal {
        RegistryRefusal::ProgramNotFound(_) => {
            ApiError::invalid("program_not_found", "program_id", told)
        }
        RegistryRefusal::DecisionEndpointTaken(_) => {
            ApiError::conflict("decision_endpoint_exists", told).with_param("program_id")
        }
        refusal => ApiError::internal(&refusal),
    }
}

async fn find(state: &ApiState, id: &str) -> Result<DecisionEndpoint, ApiError> {
    let not_found = || {
        let message = "there is no decision endpoint with this id";
        ApiError::not_found("decision_endpoint_not_found", message)
    };
    let id = id.parse().map_err(|_| not_found())?;
    let view = ask::view(state).await?;
    let endpoint = view.decision_endpoints.get(id).ok_or_else(not_found)?;
    Ok((**endpoint).clone())
}

fn secret(state: &ApiState, endpoint: &DecisionEndpoint) -> [u8; 32] {
    let secrets = state.vault.endpoint_secrets();
    secrets.secret(endpoint.id.0, endpoint.secret_version)
}

/// The secret is shown now and not again.
fn with_secret(state: &ApiState, endpoint: &DecisionEndpoint, status: StatusCode) -> Success {
    let json = with_warning(state, endpoint);
    Success::with_secret(status, json, secret(state, endpoint))
}

/// A customer that takes longer than its network waits says yes in vain.
fn warning(state: &ApiState, endpoint: &DecisionEndpoint) -> Option<String> {
    let view = state.switchboard.view();
    let program = view.programs.get(&endpoint.program_id)?;
    let networks = program.bins().map(|bin| program.details_of(bin).network);
    let known =
        networks.filter_map(|network| Some((*state.answer_within_ms.get(network)?, network)));
    let (answer_within_ms, network) = known.min()?;
    (u64::from(endpoint.timeout_ms) >= answer_within_ms).then(|| {
        format!(
            "timeout_ms is not below answer_within_ms ({answer_within_ms}) of the network {network}: an approval that \
             comes later than that is taken back"
        )
    })
}

fn with_warning(state: &ApiState, endpoint: &DecisionEndpoint) -> Value {
    let mut json = to_json(endpoint);
    json["warning"] = warning(state, endpoint).into();
    json
}

pub fn to_json(endpoint: &DecisionEndpoint) -> Value {
    json!({
        "id": endpoint.id.to_string(),
        "object": "decision_endpoint",
        "program_id": endpoint.program_id.to_string(),
        "url": endpoint.url,
        "timeout_ms": endpoint.timeout_ms,
        "fallback": match endpoint.fallback {
            Fallback::Decline => json!({ "type": "decline" }),
            Fallback::ApproveUpTo { amount_minor } => {
                json!({ "type": "approve_up_to", "amount": amount_minor })
            }
        },
        "enabled": endpoint.enabled,
        "secret_version": endpoint.secret_version,
        "created_at": endpoint.created_at.to_string(),
    })
}
