//! `/v1/api_keys`: making, listing, rolling and revoking keys. A key is shown once, when it is made; what is kept of it is
//! a keyed hash. What scopes there are is in `engine::api_keys`, asking for them in `auth.rs`.

use super::auth::{self, Caller};
use super::body::WriteRequest;
use super::error::{ApiError, json_response};
use super::fields::{self, Fields};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask, links, narrower};
use crate::engine::api_keys::{ApiKey, BoundLink, Bounds, KeyOrigin, Scope, Scopes};
use crate::engine::ids::{AccountId, ApiKeyId, ProgramId};
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::engine::time::Timestamp;
use crate::security::{RandomnessError, new_api_key};
use crate::shard::reply::Reply;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

pub const BOUNDS_MAX: usize = 100;
pub const ADDRESSES_MAX: usize = 50;
/// How long a rolled key may go on.
pub const OVERLAP_SECONDS_MAX: i64 = 7 * 24 * 3_600;

/// Scopes that people of a kind need, by the name of the kind.
pub fn preset(name: &str) -> Option<Scopes> {
    use Scope::*;
    let reads = Scope::ALL.iter().copied();
    let reads = reads.filter(|scope| scope.name().ends_with(":read"));
    let of = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
    Some(match name {
        "owner" => Scopes::ALL,
        "finance" => of(&[
            ProgramsRead,
            AccountsRead,
            FundsTopUp,
            FundsTransfer,
            CardsRead,
            AuthorizationsRead,
            TransactionsRead,
            ReportsRead,
            RatesRead,
            FeesRead,
            DisputesRead,
            ApprovalsRead,
            ApprovalsWrite,
        ]),
        "support" => of(&[
            ProgramsRead,
            AccountsRead,
            CardsRead,
            CardsFreeze,
            CardsBlock,
            CardsShip,
            CardholdersRead,
            ExceptionsRead,
            ExceptionsRequest,
            AuthorizationsRead,
            TransactionsRead,
            WebhooksRead,
            AlertsDeclines,
            DisputesRead,
            DisputesWrite,
        ]),
        "developer" => reads
            .filter(|scope| ![KeysRead, AuditRead].contains(scope))
            .chain([
                ProgramsWrite,
                AccountsWrite,
                CardsIssue,
                CardholdersWrite,
                LimitsWrite,
                RulesWrite,
                RulesDraft,
                DecisionEndpointsWrite,
                WebhooksWrite,
                AlertsDeclines,
                SandboxWrite,
            ])
            .collect(),
        "auditor" => reads.collect(),
        _ => return None,
    })
}

pub const PRESETS: [&str; 5] = ["owner", "finance", "support", "developer", "auditor"];

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            mut ids,
            ..
        } = write;
        let now = state.switchboard.clock.now();
        let mut key = ApiKey {
            id: ApiKeyId(ids.next()),
            name: fields.required_text("name", 200)?.into(),
            key_hash: [0; 32],
            scopes: scopes(&mut fields)?,
            bounds: take_bounds(&mut fields)?,
            allowed_ips: allowed_ips(&mut fields)?,
            expires_at: expires_at(&mut fields, now)?,
            created_at: now,
            created_by: caller.key_id(),
            revoked_at: None,
            rolled_from: None,
            origin: KeyOrigin::default(),
        };
        fields.finish()?;
        check_within(&state, &caller, &key).await?;
        make(&state, &mut key).await
    };
    once(gate.state()?, request, work).await
}

/// A new key that may do the same; the old one goes on for `overlap_seconds`.
pub async fn roll(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            mut ids,
            ..
        } = write;
        let overlap_seconds = fields.integer("overlap_seconds", 0..=OVERLAP_SECONDS_MAX)?;
        fields.finish()?;
        let old = find(&state, &caller, &id)?;
        let now = state.switchboard.clock.now();
        let mut key = ApiKey {
            id: ApiKeyId(ids.next()),
            created_at: now,
            created_by: caller.key_id(),
            revoked_at: None,
            rolled_from: Some(old.id),
            ..(*old).clone()
        };
        check_within(&state, &caller, &key).await?;
        let before = shown(&old, now);
        let made = make(&state, &mut key).await?.from(before);
        let until = now.plus_ms(overlap_seconds.unwrap_or(0) * 1_000);
        revoke_at(&state, old.id, until, false).await?;
        Ok(made)
    };
    once(gate.state()?, request, work).await
}

pub async fn revoke(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write {
            state,
            caller,
            mut fields,
            ..
        } = write;
        let children = fields.boolean("children")?.unwrap_or_default();
        fields.finish()?;
        let before = find(&state, &caller, &id)?;
        check_scopes(&caller, &before)?;
        let now = state.switchboard.clock.now();
        revoke_at(&state, before.id, now, children).await?;
        let after = find(&state, &caller, &id)?;
        Ok(Success::ok(shown(&after, now)).from(shown(&before, now)))
    };
    once(gate.state()?, request, work).await
}

async fn revoke_at(
    state: &ApiState,
    id: ApiKeyId,
    at: Timestamp,
    children: bool,
) -> Result<(), ApiError> {
    let action = RegistryAction::RevokeApiKey { id, at, children };
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(()),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// Draws the key itself and puts it on record.
async fn make(state: &ApiState, key: &mut ApiKey) -> Result<Success, ApiError> {
    let text = new_api_key().map_err(|error: RandomnessError| ApiError::internal(&error))?;
    key.key_hash = state.api_key_hasher.api_key_hash(text.as_bytes());
    let secret =
        match ask::registry_command(state, RegistryAction::CreateApiKey(Box::new(key.clone())))
            .await?
        {
            Reply::Done => Some(text),
            // Made before under the same Idempotency-Key, and never shown: it can be rolled.
            Reply::RegistryRefused(RegistryRefusal::IdTaken) => None,
            Reply::RegistryRefused(RegistryRefusal::ProgramNotFound(_)) => {
                let message = "there is no program with this id";
                return Err(
                    ApiError::not_found("program_not_found", message).with_param("program_ids")
                );
            }
            Reply::RegistryRefused(refusal @ RegistryRefusal::TooManyApiKeys) => {
                return Err(ApiError::conflict("too_many", refusal.to_string()));
            }
            Reply::RegistryRefused(refusal @ RegistryRefusal::ApiKeyNotActive(_)) => {
                return Err(ApiError::conflict(
                    "api_key_not_active",
                    refusal.to_string(),
                ));
            }
            reply => return Err(ask::unexpected(&reply)),
        };
    let body = shown(key, key.created_at);
    let with = |secret: Value| {
        let mut body = body.clone();
        body["key"] = secret;
        body
    };
    Ok(Success {
        repeated: Some(with(Value::Null)),
        ..Success::created(with(secret.into()))
    })
}

/// A key may make keys that do no more than it does itself, on no more than it sees.
async fn check_within(
    state: &Arc<ApiState>,
    caller: &Caller,
    key: &ApiKey,
) -> Result<(), ApiError> {
    check_scopes(caller, key)?;
    if let Some(own) = &caller.key {
        check_reach(own, key)?;
    }
    match caller.bounds() {
        Some(own) if !narrower::are_within(state, own, &key.bounds).await? => {
            let message = "a key that is bound can only make keys that are bound as much";
            let error = auth::forbidden("bounds_beyond_caller", message);
            Err(match unnamed(own, &key.bounds) {
                Some(param) => error.with_param(param),
                None => error,
            })
        }
        _ => Ok(()),
    }
}

/// By what the caller is bound and the key is not.
fn unnamed(own: &Bounds, named: &Bounds) -> Option<&'static str> {
    let lacks = [
        (
            "program_ids",
            !own.program_ids.is_empty() && named.program_ids.is_empty(),
        ),
        (
            "account_ids",
            !own.account_ids.is_empty() && named.account_ids.is_empty(),
        ),
        ("links", !own.links.is_empty() && named.links.is_empty()),
    ];
    let mut lacks = lacks.into_iter().filter(|(_, lacks)| *lacks);
    lacks.next().map(|(name, _)| name)
}

fn check_scopes(caller: &Caller, key: &ApiKey) -> Result<(), ApiError> {
    let beyond = key.scopes.without(caller.scopes());
    let Some(scope) = beyond.iter().next() else {
        return Ok(());
    };
    let message = format!(
        "a key with the scope `{}` is neither made nor revoked by one that does not have it",
        scope.name()
    );
    Err(auth::forbidden("scope_beyond_caller", message).with_param("scopes"))
}

/// Nor for longer, nor from elsewhere.
fn check_reach(own: &ApiKey, key: &ApiKey) -> Result<(), ApiError> {
    let ends_by = |end: Timestamp| key.expires_at.is_some_and(|expires_at| expires_at <= end);
    // One that was rolled ends too.
    let end = own.expires_at.into_iter().chain(own.revoked_at).min();
    if end.is_some_and(|end| !ends_by(end)) {
        let message = "a key that expires can only make keys that expire by then";
        return Err(auth::forbidden("expiry_beyond_caller", message).with_param("expires_at"));
    }
    let networks = |of: &ApiKey| {
        of.allowed_ips
            .iter()
            .filter_map(|text| auth::network(text))
            .collect::<Vec<_>>()
    };
    let (of_own, of_key) = (networks(own), networks(key));
    let is_within = |network: &ipnet::IpNet| of_own.iter().any(|own| own.contains(network));
    if !of_own.is_empty() && (of_key.is_empty() || !of_key.iter().all(is_within)) {
        let message =
            "a key that is bound to addresses can only make keys that are bound to some of them";
        return Err(auth::forbidden("addresses_beyond_caller", message).with_param("allowed_ips"));
    }
    Ok(())
}

fn scopes(fields: &mut Fields) -> Result<Scopes, ApiError> {
    if let Some(name) = fields.text("preset", 32)? {
        if fields.has("scopes") {
            let message = "give either `preset` or `scopes`";
            return Err(ApiError::invalid("scopes_invalid", "scopes", message));
        }
        return preset(&name).ok_or_else(|| {
            let message = format!("preset must be one of: {}", PRESETS.join(", "));
            ApiError::invalid("value_unknown", "preset", message)
        });
    }
    let names: Vec<_> = Scope::ALL
        .iter()
        .map(|scope| (*scope, scope.name()))
        .collect();
    let mut scopes = Scopes::default();
    let given = fields.list_with_entries("scopes", Scope::ALL.len())?;
    let given = given.ok_or_else(|| {
        let message = format!(
            "scopes is required, or a preset: one of {}",
            PRESETS.join(", ")
        );
        ApiError::invalid("field_missing", "scopes", message)
    });
    for (path, value) in given? {
        scopes = scopes.with(fields::word(&path, &value, &names)?);
    }
    Ok(scopes)
}

pub fn take_bounds(fields: &mut Fields) -> Result<Bounds, ApiError> {
    let mut links = Vec::new();
    for (path, value) in fields.list("links", BOUNDS_MAX)? {
        let mut link = Fields::of(&path, value)?;
        let (link_type, id) = links::take_pair(&mut link)?;
        link.finish()?;
        links.push(BoundLink { link_type, id });
    }
    Ok(Bounds {
        program_ids: ids(fields, "program_ids", ProgramId::PREFIX)?,
        account_ids: ids(fields, "account_ids", AccountId::PREFIX)?,
        links: links.into(),
    })
}

fn ids<Id: std::str::FromStr>(
    fields: &mut Fields,
    name: &str,
    prefix: &str,
) -> Result<Box<[Id]>, ApiError> {
    let ids = fields.list(name, BOUNDS_MAX)?.into_iter();
    let ids = ids.map(|(path, value)| {
        let id = value.as_str().and_then(|text| text.parse().ok());
        id.ok_or_else(|| {
            let message = format!("{path} must be an id, as in {prefix}_0000000000001");
            ApiError::invalid("id_malformed", path, message)
        })
    });
    ids.collect()
}

fn allowed_ips(fields: &mut Fields) -> Result<Box<[Box<str>]>, ApiError> {
    let given = fields.list("allowed_ips", ADDRESSES_MAX)?.into_iter();
    let given = given.map(|(path, value)| {
        let network = value.as_str().and_then(auth::network);
        let network = network.ok_or_else(|| {
            let message =
                format!("{path} must be an address or a network, as in 192.0.2.1 or 2001:db8::/32");
            ApiError::invalid("address_invalid", path, message)
        })?;
        Ok(network.to_string().into())
    });
    given.collect()
}

fn expires_at(fields: &mut Fields, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let expires_at = fields.moment("expires_at")?;
    match expires_at.is_some_and(|expires_at| expires_at <= now) {
        true => {
            let message = "expires_at must lie ahead";
            Err(ApiError::invalid("moment_invalid", "expires_at", message))
        }
        false => Ok(expires_at),
    }
}

pub async fn one(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let key = find(&state, &caller, &id)?;
    let json = shown(&key, state.switchboard.clock.now());
    Ok(json_response(StatusCode::OK, json.to_string()))
}

/// From memory, newest first: what was just written is in it.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let now = state.switchboard.clock.now();
    let view = ask::view(&state).await?;
    let keys = view.api_keys.iter().rev();
    let keys = keys.filter(|key| is_seen(&caller, key));
    list::page_of_memory(
        query,
        keys.map(|key| (key.id.to_string(), move || shown(key, now))),
    )
}

/// A bound key sees itself and what it made.
fn is_seen(caller: &Caller, key: &ApiKey) -> bool {
    let own = caller.key_id();
    caller.bounds().is_none() || own == Some(key.id) || own == key.created_by
}

fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<Arc<ApiKey>, ApiError> {
    let view = state.switchboard.view();
    let key = id.parse().ok().and_then(|id| view.api_keys.get(id));
    let key = key.filter(|key| is_seen(caller, key));
    let not_found = || ApiError::not_found("api_key_not_found", "there is no API key with this id");
    key.cloned().ok_or_else(not_found)
}

fn shown(key: &ApiKey, now: Timestamp) -> Value {
    let mut shown = to_json(key);
    shown["status"] = key.state_at(now).name().into();
    shown
}

pub fn links_json(bounds: &Bounds) -> Vec<Value> {
    let json = |link: &BoundLink| json!({ "type": link.link_type, "id": link.id });
    bounds.links.iter().map(json).collect()
}

/// Without the key, which nobody has any more.
pub fn to_json(key: &ApiKey) -> Value {
    let texts = |ids: Vec<String>| Value::from(ids);
    json!({
        "id": key.id.to_string(),
        "object": "api_key",
        "name": key.name,
        "scopes": key.scopes.iter().map(Scope::name).collect::<Vec<_>>(),
        "program_ids": texts(key.bounds.program_ids.iter().map(ToString::to_string).collect()),
        "account_ids": texts(key.bounds.account_ids.iter().map(ToString::to_string).collect()),
        "links": links_json(&key.bounds),
        "allowed_ips": key.allowed_ips,
        "expires_at": key.expires_at.map(|at| at.to_string()),
        "created_by": key.created_by.map_or_else(|| "root".to_owned(), |id| id.to_string()),
        "created_at": key.created_at.to_string(),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
        "rolled_from": key.rolled_from.map(|id| id.to_string()),
    })
}
