//! What goes wrong, as the caller hears of it: a status, a type, a code and one clear sentence.
//! Which input was wrong is decided where it is read, not here.

use crate::security::mask_pans;
use arrayvec::ArrayString;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The families of errors, as the `type` in the body. Open: clients must expect more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    InvalidRequest,
    NotSupported,
    Authentication,
    /// The key is known, and may not do this.
    Permission,
    NotFound,
    Conflict,
    /// Try again: nothing was decided, or it is not known whether it was.
    Unavailable,
    /// The key asks too often.
    RateLimited,
    Internal,
}

impl ErrorType {
    pub fn name(self) -> &'static str {
        match self {
            ErrorType::InvalidRequest => "invalid_request",
            ErrorType::NotSupported => "not_supported",
            ErrorType::Authentication => "authentication",
            ErrorType::Permission => "permission",
            ErrorType::NotFound => "not_found",
            ErrorType::Conflict => "conflict",
            ErrorType::Unavailable => "unavailable",
            ErrorType::RateLimited => "rate_limited",
            ErrorType::Internal => "internal",
        }
    }
}

/// An answer other than success. The message never carries card data.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    pub error_type: ErrorType,
    pub code: &'static str,
    pub message: String,
    /// The offending field, as in `controls.limits[0].amount`.
    pub param: Option<String>,
    /// When to try again, where that is not the next second.
    retry_after_s: Option<u32>,
}

impl ApiError {
    pub fn new(
        status: StatusCode,
        error_type: ErrorType,
        code: &'static str,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError {
            status,
            error_type,
            code,
            message: message.into(),
            param: None,
            retry_after_s: None,
        }
    }

    pub fn with_retry_after(mut self, seconds: u32) -> ApiError {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Of another field, where it is of this one.
    pub fn of_param(self, known: &str, param: &str) -> ApiError {
        match self.param.as_deref() == Some(known) {
            true => self.with_param(param),
            false => self,
        }
    }

    pub fn with_param(mut self, param: impl Into<String>) -> ApiError {
        let param = param.into();
        // The empty path is the whole body.
        self.param = (!param.is_empty()).then_some(param);
        self
    }

    /// 400: a field that cannot be taken as it is.
    pub fn invalid(
        code: &'static str,
        param: impl Into<String>,
        message: impl Into<String>,
    ) -> ApiError {
        let invalid = ErrorType::InvalidRequest;
        ApiError::new(StatusCode::BAD_REQUEST, invalid, code, message).with_param(param)
    }

    /// 400: something that the product describes and this version does not do.
    pub fn not_supported(param: impl Into<String>, message: impl Into<String>) -> ApiError {
        let not_supported = ErrorType::NotSupported;
        let error = ApiError::new(
            StatusCode::BAD_REQUEST,
            not_supported,
            "not_supported",
            message,
        );
        error.with_param(param)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, ErrorType::NotFound, code, message)
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, ErrorType::Conflict, code, message)
    }

    /// 503: the same request may be sent again, with the same `Idempotency-Key`.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> ApiError {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::new(status, ErrorType::Unavailable, code, message)
    }

    /// 500. The cause goes to the log, not to the caller.
    pub fn internal(cause: &dyn std::fmt::Display) -> ApiError {
        tracing::error!(%cause, "a request failed inside");
        let message = "something failed inside; the log has the cause under this request_id";
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorType::Internal,
            "internal_error",
            message,
        )
    }

    pub fn body(&self, request_id: &str) -> String {
        let error = json!({
            "type": self.error_type.name(),
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "request_id": request_id,
        });
        json!({ "error": error }).to_string()
    }

    pub fn response(&self, request_id: &str) -> Response {
        let mut response = json_response(self.status, self.body(request_id));
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let is_unavailable = self.status == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(seconds) = self.retry_after_s.or(is_unavailable.then_some(1)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The error travels beside an empty body until the envelope knows the request id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

pub fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Nothing between keeps the answer.
pub fn forbid_keeping(headers: &mut HeaderMap) {
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
}

/// Text of a caller as it may be repeated in a message: cut to 80 characters, and without any run
/// of digits that could be a card number.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut digits = 0;
    for letter in text.chars().take(80).filter(|letter| !letter.is_control()) {
        digits = if letter.is_numeric() { digits + 1 } else { 0 };
        shown.push(if digits > 6 { '*' } else { letter });
    }
    // Digits in groups, as people write card numbers. Eighty characters have at most 320 bytes.
    let mut shown = ArrayString::<320>::from(&shown).unwrap_or_default();
    mask_pans(&mut shown, "");
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_text_shows_no_card_number_and_no_end() {
        assert_eq!(shown("card_4111111111111111"), "card_411111**********");
        assert_eq!(shown("4111-1111-1111-1111"), "4111-11**-****-1111");
        assert_eq!(shown(&"x".repeat(100)).len(), 80);
        assert_eq!(shown(&"\u{10ffff}".repeat(100)).len(), 320);
        assert_eq!(shown("a\nb"), "ab");
    }

    #[test]
    fn a_body_names_the_field_and_the_request() {
        let error = ApiError::invalid("amount_invalid", "amount", "amount must be above zero");
        let expected = r#"{"error":{"type":"invalid_request","code":"amount_invalid","message":"amount must be above zero","param":"amount","request_id":"req_1"}}"#;
        assert_eq!(error.body("req_1"), expected);
    }
}
