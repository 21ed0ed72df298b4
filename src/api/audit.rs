//! `/v1/audit_log`: who changed what over the interface, when, from where, and how it was before. Each record that a write
//! makes names its request; how it ended is an entry of its own, made here and durable before the answer leaves.

use super::api_keys::take_bounds;
use super::body::WriteRequest;
use super::envelope::RequestId;
use super::error::ApiError;
use super::fields::Fields;
use super::idempotency::Success;
use super::list::{self, ListQuery, store_error};
use super::{ApiState, Gate, approvals, ask, auth, bounds, filters, shipping};
use crate::engine::api_keys::Bounds;
use crate::engine::audit::{AuditEntry, Requester};
use crate::engine::ids::{ApiKeyId, AuditId, ProgramId, WebhookEndpointId};
use crate::engine::webhook_endpoints::WebhookEndpoint;
use crate::store::query_audit::AuditFilter;
use crate::store::row_json;
use crate::store::rows::AuditRow;
use axum::extract::State;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest form of an object that is kept; of a longer one, that it was too long.
const JSON_MAX_BYTES: usize = 64 * 1024;

/// The longest id is that of a linked object: its type, a stroke, its own.
pub const OBJECT_ID_MAX: usize = 32 + 1 + 128;

/// How long the tables may take to have the last change.
const PROJECTION_PATIENCE: Duration = Duration::from_secs(5);

/// How a write ended: see `AuditRow`.
pub const OUTCOMES: [(&str, &str); 3] = [
    ("done", "done"),
    ("failed", "failed"),
    ("unknown", "unknown"),
];

tokio::task_local! {
    /// The write that this task carries out.
    static ASKED: Arc<Asked>;
}

/// A write, as what it journals names it.
pub struct Asked {
    requester: Arc<Requester>,
    /// A command of it was taken.
    has_changed: AtomicBool,
}

impl Asked {
    pub fn by(request: &WriteRequest) -> Arc<Asked> {
        Asked::as_request(request, &request.request_id.0)
    }

    /// The same of one that goes on with what another has begun: its id has the other's before it.
    pub fn by_repeat(request: &WriteRequest, first: &RequestId) -> Arc<Asked> {
        Asked::as_request(request, &format!("{}/{}", first.0, request.request_id.0))
    }

    fn as_request(request: &WriteRequest, request_id: &str) -> Arc<Asked> {
        let action = format!("{} {}", request.method, request.route);
        let object_id = object_of(&request.route, &request.path);
        Asked::of(&request.caller, action, object_id.as_deref(), request_id)
    }

    /// Whether the last change of the same kind, of the same object, was made by the request of this id or a repeat of it.
    /// Nobody knows while the tables are behind.
    pub async fn was_last_made_by(
        &self,
        state: &ApiState,
        first: &RequestId,
    ) -> Result<bool, ApiError> {
        list::check_store(state)?;
        let durable = state.journal.durable();
        if !state.lag.reached(durable, PROJECTION_PATIENCE).await {
            let message = "what was changed last is not in the tables yet; repeat this in a second";
            return Err(ApiError::unavailable("store_behind", message));
        }
        let filter = AuditFilter {
            object_id: self.requester.object_id.as_deref().map(str::to_owned),
            action: Some(self.requester.action.to_string()),
            ..AuditFilter::default()
        };
        let page = state.store.audit_log(&filter, None, 1).await;
        let page = page.map_err(store_error)?;
        Ok(page.data.first().is_some_and(|row| {
            let rest = row.request_id.strip_prefix(&first.0);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }))
    }

    /// A write of this caller, as in `POST /v1/cards/{id}/freeze`.
    pub fn of(
        caller: &auth::Caller,
        action: String,
        object_id: Option<&str>,
        request_id: &str,
    ) -> Arc<Asked> {
        let requester = Requester {
            api_key_id: caller.key_id(),
            action: action.into(),
            object_id: object_id.map(Into::into),
            request_id: request_id.into(),
            address: caller.address.map(|address| address.to_string().into()),
            in_background: false,
        };
        Asked::for_requester(requester)
    }

    /// What goes on in the name of a request that was answered.
    pub fn in_background(requester: &Requester) -> Arc<Asked> {
        Asked::for_requester(Requester {
            in_background: true,
            ..requester.clone()
        })
    }

    fn for_requester(requester: Requester) -> Arc<Asked> {
        Arc::new(Asked {
            requester: Arc::new(requester),
            has_changed: AtomicBool::new(false),
        })
    }

    pub fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// Does `work` in its name.
    pub async fn carry_out<T>(self: &Arc<Asked>, work: impl Future<Output = T>) -> T {
        ASKED.scope(self.clone(), work).await
    }

    /// What the log has to say of it: nothing where nothing was changed, or where it is not known how it ended.
    pub fn entry(&self, done: &Result<Success, ApiError>) -> Option<AuditEntry> {
        match done {
            Ok(done) => Some(self.done(done)),
            Err(error) if error.status.is_server_error() => None,
            Err(error) => self.has_changed().then(|| AuditEntry {
                requester: (*self.requester).clone(),
                object_id: None,
                program_id: None,
                before: None,
                after: None,
                error_code: Some(error.code.into()),
            }),
        }
    }

    fn done(&self, done: &Success) -> AuditEntry {
        let after = done.repeated.as_ref().unwrap_or(&done.body);
        let text = |name: &str| after.get(name).and_then(Value::as_str);
        let program_id = text("program_id").and_then(|id| id.parse::<ProgramId>().ok());
        let own_program_id = text("id").and_then(|id| id.parse::<ProgramId>().ok());
        // What waits for a second person is asked for of what the path names, and a link shows that.
        let asked_of = self.requester.object_id.as_deref();
        let is_asked_of = matches!(text("object"), Some("approval" | "reveal_link"));
        let asked_of = asked_of.filter(|_| is_asked_of);
        AuditEntry {
            requester: (*self.requester).clone(),
            object_id: link_of(after).or_else(|| {
                let id = asked_of.or(text("id"));
                id.or(text("card_id")).or(text("top_up_id")).map(Into::into)
            }),
            program_id: program_id.or(own_program_id),
            before: done.before.as_ref().map(kept),
            after: Some(kept(after)),
            error_code: None,
        }
    }
}

/// Where what was changed says no program itself: that of the account, card or payment that it names, or else the only one
/// that the caller sees. An entry is told to keys that are bound to its program.
pub async fn program_of(
    state: &Arc<ApiState>,
    entry: &AuditEntry,
    bounds: Option<&Bounds>,
) -> Option<ProgramId> {
    let after = entry.after.as_deref().map(serde_json::from_str::<Value>);
    let after = after.and_then(Result::ok).unwrap_or_default();
    let named = NAMED.iter().filter_map(|name| after.get(*name)?.as_str());
    let objects = [&entry.object_id, &entry.requester.object_id];
    let objects = objects.into_iter().filter_map(|id| id.as_deref());
    for id in named.chain(objects) {
        if let Ok(id) = id.parse() {
            return Some(approvals::find(state, id).await.ok()?.program_id);
        }
        let Some(about) = bounds::about_id(id) else {
            continue;
        };
        // Whose end the log tells: what cannot be looked up now goes on without.
        if let Ok(Some(place)) = bounds::whereabouts(state, about, id).await {
            return Some(place.program_id);
        }
    }
    if let Some(own) = bounds
        && let Some(one) = only_program(state, own).await
    {
        return Some(one);
    }
    // What somebody writes into his own endpoint makes it no business of others.
    for within in bounds_of(state, entry).unwrap_or_default() {
        let one = only_program(state, &within).await;
        let is_own = |one: &ProgramId| bounds.is_none_or(|own| own.program_ids.contains(one));
        if let Some(one) = one.filter(is_own) {
            return Some(one);
        }
    }
    None
}

/// What whoever made an endpoint sees, and what it is told of; what an API key sees.
fn bounds_of(state: &ApiState, entry: &AuditEntry) -> Option<Vec<Bounds>> {
    let view = state.switchboard.view();
    let id = entry.object_id.as_ref();
    let id = id.or(entry.requester.object_id.as_ref())?;
    if let Some(key) = id.parse().ok().and_then(|id| view.api_keys.get(id)) {
        return Some(vec![key.bounds.clone()]);
    }
    let id: WebhookEndpointId = id.parse().ok()?;
    if let Some(known) = view.webhook_endpoints.get(id) {
        let WebhookEndpoint { bounds, filter, .. } = &*known.endpoint;
        return Some(vec![bounds.clone(), filter.clone()]);
    }
    // It was deleted.
    let before = serde_json::from_str(entry.before.as_deref()?).ok()?;
    let mut before = Fields::of("", before).ok()?;
    Some(vec![take_bounds(&mut before).ok()?])
}

/// The program that all within these bounds is of, if it is one. A link says nothing: each program may have one of its name.
async fn only_program(state: &Arc<ApiState>, within: &Bounds) -> Option<ProgramId> {
    let mut programs: BTreeSet<ProgramId> = within.program_ids.iter().copied().collect();
    if programs.is_empty() {
        for id in &within.account_ids {
            programs.insert(bounds::account(state, *id).await.ok()?.program_id);
        }
    }
    let first = programs.first().copied();
    first.filter(|_| programs.len() == 1)
}

/// Members of an object that say where it is.
const NAMED: &[&str] = &[
    "account_id",
    "card_id",
    "from_account_id",
    "authorization_id",
];

/// For whom this task asks, where it carries out a write.
pub fn requester() -> Option<Arc<Requester>> {
    ASKED.try_with(|asked| asked.requester.clone()).ok()
}

/// A command of the write that this task carries out was taken.
pub fn note_change() {
    // Outside of a write nobody wants to know.
    let _ = ASKED.try_with(|asked| asked.has_changed.store(true, Ordering::Relaxed));
}

/// What a path names, as in the id of `/v1/cards/{id}/freeze`, in the words of the object itself. Of a linked object it is the
/// type too: `user/p1` and `project/p1` are two.
fn object_of(route: &str, path: &str) -> Option<String> {
    let named = |wanted: &str| {
        let mut places = route.split('/').zip(path.split('/'));
        let part = places.find_map(|(name, part)| (name == wanted).then_some(part))?;
        Some(percent_decode_str(part).decode_utf8_lossy().into_owned())
    };
    let id = named("{id}")?;
    Some(match named("{type}") {
        Some(link_type) => link_text(&link_type, &id),
        None => id,
    })
}

/// No type of a link has a stroke in it, and no other id has one.
pub fn link_text(link_type: &str, id: &str) -> String {
    format!("{link_type}/{id}")
}

/// The object, where it is a linked one.
fn link_of(object: &Value) -> Option<Box<str>> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let is_link = text("object") == Some("link");
    let (link_type, id) = (text("type").filter(|_| is_link)?, text("id")?);
    Some(link_text(link_type, id).into())
}

/// Without what is nothing: a secret is told as `null` where it is not told.
fn kept(value: &Value) -> Box<str> {
    let mut value = value.clone();
    shipping::without_address(&mut value);
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
    let (created_from, created_until) = filters::created(&mut query)?;
    let (link_type, link_id) = list::link(&mut query)?;
    let filter = AuditFilter {
        api_key_id: query.text("api_key_id", 64)?,
        object_id: query.text("object_id", OBJECT_ID_MAX)?,
        link_type,
        link_id,
        action: query.text("action", 128)?,
        program_id: query.id("program_id", ProgramId::PREFIX)?,
        request_id: query.text("request_id", 64)?,
        outcome: query.word("outcome", &OUTCOMES)?,
        created_from,
        created_until,
        program_ids: bounds.map(|bounds| bounds.program_ids.clone()),
    };
    let after = query.id("starting_after", AuditId::PREFIX)?;
    let limit = list::limit(&mut query)?;
    query.finish()?;
    list::check_store(&state)?;
    let page = state.store.audit_log(&filter, after, limit).await;
    let page = page.map_err(store_error)?;
    let view = ask::view(&state).await?;
    let name_of = |id: &str| match id.parse().ok() {
        Some(id) => view.api_keys.get(id).map(|key| key.name.to_string()),
        None => Some("root".to_owned()),
    };
    let told = |row: &AuditRow| to_json(row, name_of(&row.api_key_id));
    let data = page.data.iter().map(told);
    Ok(list::page(data, page.has_more, page.projected_through))
}

/// `key_name` is nothing where the key is forgotten.
fn to_json(row: &AuditRow, key_name: Option<String>) -> Value {
    let part = |text: &Option<String>| {
        let text = text.as_deref();
        text.map_or(Value::Null, |text| {
            serde_json::from_str(text).unwrap_or_default()
        })
    };
    let link = row.object_id.as_deref().and_then(|id| id.split_once('/'));
    let link = link.map(|(link_type, id)| row_json::link(link_type, id));
    json!({
        "id": row.id.to_string(),
        "object": "audit_entry",
        "api_key_id": row.api_key_id,
        "api_key_name": key_name,
        "action": row.action,
        "object_id": row.object_id,
        "link": link,
        "program_id": row.program_id.map(|id| id.to_string()),
        "request_id": row.request_id,
        "address": row.address,
        "before": part(&row.before_json),
        "after": part(&row.after_json),
        "outcome": row.outcome,
        "error_code": row.error_code,
        "created_at": row.created_at_ms.to_string(),
    })
}

/// For the journal's dump.
pub fn entry_json(entry: &AuditEntry) -> Value {
    json!({
        "requester": requester_json(&entry.requester),
        "object_id": entry.object_id,
        "before": entry.before,
        "after": entry.after,
        "error_code": entry.error_code,
    })
}

/// For the journal's dump.
pub fn requester_json(requester: &Requester) -> Value {
    let key = |id: ApiKeyId| id.to_string();
    json!({
        "api_key_id": requester.api_key_id.map_or_else(|| "root".to_owned(), key),
        "action": requester.action,
        "object_id": requester.object_id,
        "request_id": requester.request_id,
        "address": requester.address,
        "in_background": requester.in_background,
    })
}
