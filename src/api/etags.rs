//! Versions of objects: `ETag` on what is read, `If-Match` on what is changed (RFC 9110, 8.8.3 and 13.1.1), so that nobody
//! overwrites what somebody else has set meanwhile. An ETag is of what a change would replace: payments and states do
//! not move it. Changes of one object take turns, so that what was compared is what is changed.

use super::body;
use super::envelope::RequestId;
use super::error::{ApiError, ErrorType, forbid_keeping};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tower_service::Service;

/// Fields that change without a change of the object over the interface.
const MOVING: &[&str] = &[
    "available",
    "budget",
    "failed_verifications_today",
    "held",
    "in_transit",
    "locked_to",
    "posted",
    "progress",
    "status",
    "own_status",
    "status_link",
    "status_reason",
    "shipping",
    "used_by",
];

/// Objects whose changes wait for one another by chance share a turn; which do, nobody knows.
const TURNS: usize = 4_096;

/// How long a change waits for those of the same object before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// One change of an object at a time. Nothing that waits for a caller, or for somebody outside, is done in a turn.
pub struct Turns {
    all: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            all: (0..TURNS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Turns {
    /// That of the object whose path, or a longer one, this is, however long it takes.
    pub async fn wait_for(&self, path: &str) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one(object_of(path)) as usize % TURNS;
        self.all[place].lock().await
    }

    /// The same for a caller, who does not wait for long.
    pub async fn of(&self, path: &str) -> Result<MutexGuard<'_, ()>, ApiError> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.wait_for(path)).await;
        turn.map_err(|_| {
            let message = "other changes of this object are under way; repeat yours in a second";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            ApiError::new(status, ErrorType::Unavailable, "object_busy", message)
        })
    }
}

/// Gives what a `GET` tells of an object its ETag.
pub async fn etagged(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let json = response.headers().get(CONTENT_TYPE);
    if response.status() != StatusCode::OK || json.is_none_or(|kind| kind != "application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // What we made ourselves is whole.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError::internal(&"a body of ours ended early").into_response();
    };
    if let Ok(etag) = HeaderValue::from_str(&etag_of(&bytes)) {
        parts.headers.insert(ETAG, etag);
        forbid_keeping(&mut parts.headers);
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn etag_of(body: &[u8]) -> String {
    let mut value: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(low) = value.get_mut("low_balance").and_then(Value::as_object_mut) {
        low.remove("is_low");
    }
    if let Value::Object(fields) = &mut value {
        MOVING.iter().for_each(|name| drop(fields.remove(*name)));
    }
    format!("\"{}\"", hash_of(&value))
}

/// Of an object as JSON.
pub fn hash_of(value: &Value) -> Box<str> {
    let hash = blake3::hash(value.to_string().as_bytes());
    hash.to_hex()[..32].into()
}

/// What `If-Match` asks for, and whether it is so. A repeat of a request is answered as the first was all the same.
#[derive(Clone)]
pub struct Condition {
    pub wanted: HeaderValue,
    is_met: bool,
}

impl Condition {
    pub fn is_met(&self) -> bool {
        self.is_met
    }
}

/// Before a change: what the header names must be how the object is now, as `reads` tells it to the same caller.
pub async fn if_match(
    State((mut reads, turns)): State<(Router, Arc<Turns>)>,
    request: Request,
    next: Next,
) -> Response {
    let mut request = match body::read_whole(request).await {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let wanted = request.headers().get(IF_MATCH).cloned();
    let replaces = [Method::PATCH, Method::PUT].contains(request.method());
    let path = request.uri().path().to_owned();
    let _turn = match replaces || takes_turns(&path) {
        true => match turns.of(&path).await {
            Ok(turn) => Some(turn),
            Err(error) => return error.into_response(),
        },
        false => None,
    };
    if !replaces {
        return match wanted {
            None => next.run(request).await,
            Some(_) => {
                let message = "If-Match goes with PATCH and PUT only";
                ApiError::invalid("if_match_unsupported", "If-Match", message).into_response()
            }
        };
    }
    if let Some(wanted) = wanted {
        let mut read = Request::new(Body::empty());
        *read.uri_mut() = request.uri().clone();
        *read.headers_mut() = request.headers().clone();
        read.headers_mut().remove(CONTENT_LENGTH);
        // Who asks from where; what the route's own path came to is found anew.
        let given = request.extensions();
        let of_read = read.extensions_mut();
        if let Some(address) = given.get::<ConnectInfo<SocketAddr>>() {
            of_read.insert(*address);
        }
        if let Some(id) = given.get::<RequestId>() {
            of_read.insert(id.clone());
        }
        // A router is always ready, and never fails.
        let Ok(now) = reads.call(read).await;
        if now.status() != StatusCode::OK {
            return now;
        }
        let is_met = is_among(now.headers().get(ETAG), &wanted);
        request
            .extensions_mut()
            .insert(Condition { wanted, is_met });
    }
    next.run(request).await
}

/// `/v1/cards/{id}` of all that is below it, however it is written.
fn object_of(path: &str) -> String {
    // A linked object is named by its type and its id.
    let count = if path.starts_with("/v1/links/") { 5 } else { 4 };
    let steps = path.split('/').take(count);
    let read = steps.map(|step| percent_decode_str(step).decode_utf8_lossy());
    read.collect::<Vec<_>>().join("/")
}

/// What is read, changed and put back as a whole by its other writes too. A ping changes nothing, and waits for somebody
/// else's answer.
fn takes_turns(path: &str) -> bool {
    let is_endpoint =
        path.starts_with("/v1/webhook_endpoints/") || path.starts_with("/v1/decision_endpoints/");
    is_endpoint && !path.ends_with("/ping")
}

fn is_among(now: Option<&HeaderValue>, wanted: &HeaderValue) -> bool {
    let (Some(now), Ok(wanted)) = (now.and_then(|now| now.to_str().ok()), wanted.to_str()) else {
        return false;
    };
    wanted
        .split(',')
        .map(str::trim)
        .any(|one| one == "*" || one == now)
}

pub fn changed() -> ApiError {
    let message = "somebody has changed this since; read it again, and change what is there now";
    let status = StatusCode::PRECONDITION_FAILED;
    ApiError::new(status, ErrorType::Conflict, "precondition_failed", message)
        .with_param("If-Match")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_by_itself_moves_no_etag() {
        let etag = |text: &str| etag_of(text.as_bytes());
        let first = etag(r#"{"id":"a","posted":1,"controls":{"limits":[]}}"#);
        assert_eq!(
            first,
            etag(r#"{"id":"a","posted":2,"controls":{"limits":[]}}"#)
        );
        assert_ne!(first, etag(r#"{"id":"a","posted":1,"controls":{}}"#));
        let header = |text: &str| HeaderValue::from_str(text).unwrap();
        let now = header(&first);
        for (wanted, matches) in [
            (first.clone(), true),
            (format!("\"other\", {first}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (format!("W/{first}"), false),
            (first.trim_matches('"').to_owned(), false),
        ] {
            assert_eq!(is_among(Some(&now), &header(&wanted)), matches, "{wanted}");
        }
        assert!(!is_among(None, &header("*")));
    }

    #[test]
    fn an_object_is_one_however_its_path_is_written() {
        let card = "/v1/cards/card_1";
        for path in [card, "/v1/cards/card%5F1/freeze", "/v1/cards/%63ard%5f1"] {
            assert_eq!(object_of(path), card, "{path}");
        }
        assert_ne!(object_of("/v1/cards/card%255F1"), card);
        let [one, other] = ["/v1/links/user/1", "/v1/links/user/2/freeze"].map(object_of);
        assert_eq!((&*one, &*other), ("/v1/links/user/1", "/v1/links/user/2"));
    }
}
