//! What every request gets: an id, a task of its own, and errors in one form. Nothing of any
//! resource lives here.

use super::error::{ApiError, ErrorType, json_response, shown};
use super::reveals;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::Instrument;

static REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("request-id");

/// The id of a request, in the `Request-Id` header of its response, in errors and in the log.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl RequestId {
    fn next() -> RequestId {
        // A random start, so that two runs of the process do not share ids.
        static NEXT: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish()));
        RequestId::of(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub fn of(number: u64) -> RequestId {
        RequestId(format!("req_{number:016x}"))
    }

    pub fn number(&self) -> u64 {
        let digits = self.0.strip_prefix("req_");
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.unwrap_or_default()
    }
}

/// Runs the request in a task of its own, so that a caller who hangs up does not cut a write in the
/// middle, and gives every answer its id.
pub async fn envelope(mut request: Request, next: Next) -> Response {
    let id = RequestId::next();
    let span = tracing::info_span!(
        "http",
        request_id = %id.0,
        method = %request.method(),
        path = %shown_path(request.uri()),
    );
    request.extensions_mut().insert(id.clone());
    let is_reveal = request.uri().path().starts_with(reveals::PREFIX);
    let task = tokio::spawn(next.run(request).instrument(span.clone()));
    let response = task.await.unwrap_or_else(|failure| {
        let error = span.in_scope(|| ApiError::internal(&failure));
        error.response(&id.0)
    });
    let mut response = finished(response, &id);
    if is_reveal {
        reveals::keep_private(&mut response);
    }
    // An id of ours is visible ASCII, so this cannot fail.
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response
            .headers_mut()
            .insert(REQUEST_ID_HEADER.clone(), value);
    }
    response
}

/// A path as it is logged and repeated: without the token of a reveal link, which is a right.
fn shown_path(uri: &Uri) -> String {
    match uri.path().starts_with(reveals::PREFIX) {
        true => format!("{}*", reveals::PREFIX),
        false => shown(uri.path()),
    }
}

fn finished(mut response: Response, id: &RequestId) -> Response {
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let mut given = std::mem::take(response.headers_mut());
        // Of the empty body beside which the error came.
        given.remove(CONTENT_LENGTH);
        let mut told = error.response(&id.0);
        // What else was said of the request, as how many more may come.
        for (name, value) in &given {
            told.headers_mut().entry(name).or_insert(value.clone());
        }
        return told;
    }
    let media_type = response.headers().get(CONTENT_TYPE);
    let is_ours = media_type.is_some_and(|it| it == "application/json" || it == reveals::HTML);
    let status = response.status();
    if !is_ours && (status.is_client_error() || status.is_server_error()) {
        // The HTTP library's own refusals, in our form.
        let message = status.canonical_reason().unwrap_or("the request failed");
        let error = ApiError::new(status, ErrorType::InvalidRequest, "bad_request", message);
        return json_response(status, error.body(&id.0));
    }
    response
}

/// The routes that the design names and this version does not have, with all below them.
pub const LATER: &[&str] = &["/v1/disputes", "/v1/simulate/representments"];

fn is_later(path: &str) -> bool {
    LATER.iter().any(|later| {
        let mut parts = path.trim_matches('/').split('/');
        let mut later = later.trim_matches('/').split('/');
        later.all(|part| {
            let given = parts.next();
            given == Some(part) || part == "{id}" && given.is_some_and(|id| !id.is_empty())
        })
    })
}

pub async fn no_route(method: Method, uri: Uri) -> ApiError {
    let place = format!("{method} {}", shown_path(&uri));
    if is_later(uri.path()) {
        return ApiError::new(
            StatusCode::NOT_FOUND,
            ErrorType::NotSupported,
            "not_supported",
            format!("{place} is not part of this version yet"),
        );
    }
    ApiError::not_found("route_not_found", format!("there is no route {place}"))
}

pub async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorType::InvalidRequest,
        "method_not_allowed",
        format!(
            "{} does not take {method}; the Allow header names what it takes",
            shown_path(&uri)
        ),
    )
}
