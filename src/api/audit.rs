//! `/v1/audit_log`: who changed what over the interface, when, from where, and how it was before. The entry of a write is
//! made here and is durable before its answer leaves; the log itself is the journal.

use super::body::WriteRequest;
use super::error::ApiError;
use super::idempotency::Success;
use super::list::{self, ListQuery, store_error};
use super::{Gate, auth};
use crate::engine::audit::AuditEntry;
use crate::engine::ids::{ApiKeyId, AuditId, ProgramId};
use crate::store::query::AuditFilter;
use crate::store::rows::AuditRow;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

/// Longest form of an object that is kept; of a longer one, that it was too long.
const JSON_MAX_BYTES: usize = 64 * 1024;

/// What a write has done.
pub fn entry(request: &WriteRequest, done: &Success) -> AuditEntry {
    let action = format!("{} {}", request.method, request.route);
    let request_id = &request.request_id.0;
    entry_of(&request.caller, (action, request_id), done)
}

/// The same of a caller, as in `POST /v1/cards/{id}/freeze`.
pub fn entry_of(
    caller: &auth::Caller,
    (action, request_id): (String, &str),
    done: &Success,
) -> AuditEntry {
    let after = done.repeated.as_ref().unwrap_or(&done.body);
    let text = |name: &str| after.get(name).and_then(Value::as_str);
    let program_id = text("program_id").and_then(|id| id.parse::<ProgramId>().ok());
    let own_program_id = text("id").and_then(|id| id.parse::<ProgramId>().ok());
    AuditEntry {
        api_key_id: caller.key_id(),
        action: action.into(),
        object_id: text("id").or(text("card_id")).map(Into::into),
        program_id: program_id.or(own_program_id),
        request_id: request_id.into(),
        address: caller.address.map(|address| address.to_string().into()),
        before: done.before.as_ref().map(kept),
        after: Some(kept(after)),
    }
}

/// Without what is nothing: a secret is told as `null` where it is not told.
fn kept(value: &Value) -> Box<str> {
    let mut value = value.clone();
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null());
    }
    bounded(&value)
}

/// As text, unless it is too long.
pub fn bounded(value: &Value) -> Box<str> {
    let text = value.to_string();
    match text.len() <= JSON_MAX_BYTES {
        true => text.into(),
        false => json!({ "too_long_bytes": text.len() }).to_string().into(),
    }
}

pub async fn many(
    State(gate): State<Gate>,
    caller: auth::Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let bounds = caller.bounds();
    if bounds.is_some_and(|b| !b.account_ids.is_empty() || !b.links.is_empty()) {
        let message = "the audit log tells programs apart, not accounts or links, to which this API key is bound";
        return Err(auth::forbidden("key_is_bound", message));
    }
    let filter = AuditFilter {
        api_key_id: query.text("api_key_id", 64)?,
        object_id: query.text("object_id", 64)?,
        action: query.text("action", 128)?,
        created_from: query.moment("created_from")?,
        created_until: query.moment("created_until")?,
        program_ids: bounds.map(|bounds| bounds.program_ids.clone()),
    };
    let after = query.id("starting_after", AuditId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.audit_log(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let data = page.data.iter().map(to_json).collect();
    Ok(list::page(data, page.has_more, page.projected_through))
}

fn to_json(row: &AuditRow) -> Value {
    let part = |text: &Option<String>| {
        let text = text.as_deref();
        text.map_or(Value::Null, |text| {
            serde_json::from_str(text).unwrap_or_default()
        })
    };
    json!({
        "id": row.id.to_string(),
        "object": "audit_entry",
        "api_key_id": row.api_key_id,
        "action": row.action,
        "object_id": row.object_id,
        "program_id": row.program_id.map(|id| id.to_string()),
        "request_id": row.request_id,
        "address": row.address,
        "before": part(&row.before_json),
        "after": part(&row.after_json),
        "created_at": row.created_at_ms.to_string(),
    })
}

/// For the journal's dump.
pub fn entry_json(entry: &AuditEntry) -> Value {
    let key = |id: ApiKeyId| id.to_string();
    json!({
        "api_key_id": entry.api_key_id.map_or_else(|| "root".to_owned(), key),
        "action": entry.action,
        "object_id": entry.object_id,
        "request_id": entry.request_id,
        "before": entry.before,
        "after": entry.after,
    })
}
