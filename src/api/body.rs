//! Taking in a write: its body within bounds, its caller, its `Idempotency-Key`.

use super::Gate;
use super::auth::Caller;
use super::bounds::About;
use super::envelope::RequestId;
use super::error::{ApiError, ErrorType};
use super::etags::Condition;
use super::fields::{Fields, wrong_type};
use super::unambiguous::Unambiguous;
use super::under_way::{Place, UnderWay};
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, MatchedPath, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Largest body of a request.
pub const BODY_MAX_BYTES: usize = 256 * 1024;

/// Of those of a route that takes many objects at once.
const LARGE_BODY_MAX_BYTES: usize = 8 * 1024 * 1024;
const LARGE_BODY_ROUTES: [&str; 1] = ["/v1/card_batches"];

/// Those that take a file in place of JSON.
const CSV_ROUTES: [&str; 1] = ["/v1/incoming_payments"];

/// Values of a body, counted by what stands between them: each takes far more memory than its text.
const VALUES_MAX: usize = 1_000_000;

/// Of a body that is too large, this much is read before the answer.
const DISCARDED_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A caller who takes longer to send a body is cut off.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

const IDEMPOTENCY_KEY_MAX: usize = 255;

/// A write as it came in.
pub struct WriteRequest {
    pub caller: Caller,
    pub request_id: RequestId,
    pub method: String,
    pub path: String,
    /// As it is registered, as in `/v1/cards/{id}/freeze`.
    pub route: String,
    /// What the route is about.
    pub about: About,
    pub idempotency_key: Option<String>,
    pub content_type: Option<String>,
    /// Of `If-Match`.
    pub condition: Option<Condition>,
    pub body: Bytes,
    /// Until all that is made of it is done with.
    _large_body: Option<Arc<Place>>,
}

impl FromRequest<Gate> for WriteRequest {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Gate) -> Result<WriteRequest, ApiError> {
        let (parts, body) = request.into_parts();
        let (Some(caller), Some(about), Some(request_id)) = (
            parts.extensions.get::<Caller>().cloned(),
            parts.extensions.get::<About>().copied(),
            parts.extensions.get::<RequestId>().cloned(),
        ) else {
            return Err(ApiError::internal(&"a write route is not guarded"));
        };
        let route = parts.extensions.get::<MatchedPath>();
        let route = route.map(|route| route.as_str().to_owned());
        let idempotency_key = idempotency_key(&parts.headers)?;
        // All of it was read before, see `read_whole`.
        let body = to_bytes(body, LARGE_BODY_MAX_BYTES).await;
        let body = body.map_err(|error| ApiError::internal(&error))?;
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        Ok(WriteRequest {
            caller,
            request_id,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            route: route.unwrap_or_default(),
            about,
            idempotency_key,
            condition: parts.extensions.get::<Condition>().cloned(),
            content_type: content_type.and_then(|value| value.to_str().ok().map(str::to_owned)),
            body,
            _large_body: parts.extensions.get::<Arc<Place>>().cloned(),
        })
    }
}

impl WriteRequest {
    /// The fields of the body; an empty body has none.
    pub fn fields(&self) -> Result<Fields, ApiError> {
        if self.is_csv() && CSV_ROUTES.contains(&&*self.route) {
            return self.csv();
        }
        if self.body.trim_ascii().is_empty() {
            return Fields::of("", Value::Object(Map::new()));
        }
        if self.is_csv() {
            let media_type = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let message = "the body must be JSON here, and `Content-Type: application/json`";
            return Err(refused(media_type, "media_type_unsupported", message));
        }
        let values = self.body.iter().filter(|byte| b",[{".contains(byte));
        if values.count() > VALUES_MAX {
            let message =
                format!("the body may have {VALUES_MAX} values; send less in one request");
            return Err(refused(StatusCode::BAD_REQUEST, "too_many", message));
        }
        let read: Result<Unambiguous, _> = serde_json::from_slice(&self.body);
        let Unambiguous(value) = read.map_err(|error| self.not_json(&error))?;
        match value {
            Value::Object(_) => Fields::of("", value),
            _ => Err(wrong_type("", "a JSON object, as in {\"name\": \"value\"}")),
        }
    }

    fn is_csv(&self) -> bool {
        let declared = self.content_type.as_deref().unwrap_or_default();
        // RFC 9110, 8.3.1: parameters may follow, and the case says nothing.
        let media_type = declared.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("text/csv")
    }

    /// A file stands for a body with nothing but its text.
    fn csv(&self) -> Result<Fields, ApiError> {
        let Ok(text) = std::str::from_utf8(&self.body) else {
            let message = "the file must be text in UTF-8";
            return Err(ApiError::invalid("csv_malformed", "csv", message));
        };
        let fields = [("csv".to_owned(), Value::from(text))];
        Fields::of("", Value::Object(Map::from_iter(fields)))
    }

    fn not_json(&self, error: &serde_json::Error) -> ApiError {
        let (line, column) = (error.line(), error.column());
        if error.is_data() {
            let place = format!(
                "{} at line {line}, column {column}; leave one of them out",
                reason(error)
            );
            return refused(StatusCode::BAD_REQUEST, "field_repeated", place);
        }
        let place = format!(
            "the body is not JSON at line {line}, column {column} ({}); send a JSON object (RFC 8259)",
            reason(error)
        );
        let declared = self.content_type.as_deref().unwrap_or("application/json");
        let (status, code) = match declared.contains("json") {
            true => (StatusCode::BAD_REQUEST, "body_not_json"),
            false => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported"),
        };
        let mut message = match declared.contains("json") {
            true => place,
            false => format!("{place} with the header Content-Type: application/json"),
        };
        if CSV_ROUTES.contains(&&*self.route) {
            message.push_str(", or a file of payments with the header Content-Type: text/csv");
        }
        refused(status, code, message)
    }
}

/// What the parser says, without its own "at line … column …".
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    super::error::shown(&text[..end])
}

/// The request with its body read: who sends it slowly holds up nobody else.
pub async fn read_whole(request: Request) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    let known = &parts.extensions;
    let route = known.get::<MatchedPath>().map(MatchedPath::as_str);
    let enter = || match (known.get::<Caller>(), known.get::<Arc<UnderWay>>()) {
        (Some(caller), Some(large_bodies)) => large_bodies.enter_large_body(caller),
        _ => Err(ApiError::internal(&"a write route is not guarded")),
    };
    let (body, place) = read_in_time(body, route, enter).await?;
    if let Some(place) = place {
        parts.extensions.insert(Arc::new(place));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// A body with its place, where it needs one.
type Read = (Vec<u8>, Option<Place>);

async fn read_in_time(
    body: Body,
    route: Option<&str>,
    enter: impl Fn() -> Result<Place, ApiError>,
) -> Result<Read, ApiError> {
    let max_bytes = match route {
        Some(route) if LARGE_BODY_ROUTES.contains(&route) => LARGE_BODY_MAX_BYTES,
        _ => BODY_MAX_BYTES,
    };
    let read = tokio::time::timeout(BODY_TIMEOUT, read(body, max_bytes, enter)).await;
    read.unwrap_or_else(|_| {
        let message = "the body did not arrive within 30 seconds";
        let timeout = StatusCode::REQUEST_TIMEOUT;
        Err(refused(timeout, "body_timeout", message))
    })
}

/// Reads a body within its bound. What is beyond, and a large one that finds no place, is read to a second bound and
/// thrown away, because many clients do not look for an answer before they have sent everything.
async fn read(
    mut body: Body,
    max_bytes: usize,
    enter: impl Fn() -> Result<Place, ApiError>,
) -> Result<Read, ApiError> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    let mut place = None;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let cut_off = |_| {
            let message = "the connection ended before the body did";
            refused(StatusCode::BAD_REQUEST, "body_incomplete", message)
        };
        let Ok(data) = frame.map_err(cut_off)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > max_bytes + DISCARDED_MAX_BYTES {
            break;
        }
        if length > BODY_MAX_BYTES && length <= max_bytes {
            let entered = place.get_or_insert_with(&enter);
            if entered.is_err() {
                bytes = Vec::new();
                continue;
            }
        }
        if length <= max_bytes {
            bytes.extend_from_slice(&data);
        }
    }
    if length > max_bytes {
        let message = format!("the body may have {max_bytes} bytes; send less in one request");
        let too_large = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(refused(too_large, "body_too_large", message));
    }
    Ok((bytes, place.transpose()?))
}

fn refused(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(status, ErrorType::InvalidRequest, code, message)
}

/// 1 to 255 visible ASCII characters.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| {
        (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::invalid(
            "idempotency_key_invalid",
            "Idempotency-Key",
            "the header Idempotency-Key must occur once and have 1 to 255 visible ASCII characters",
        )),
    }
}
