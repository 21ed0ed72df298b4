//! Whether the process lives, and whether it can take work.

use super::Gate;
use super::error::{ApiError, json_response};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

pub async fn healthz() -> Response {
    json_response(StatusCode::OK, r#"{"status":"ok"}"#.into())
}

/// Ready once recovery is done, however far behind SQL is.
pub async fn readyz(State(gate): State<Gate>) -> Result<Response, ApiError> {
    gate.state()?;
    Ok(json_response(
        StatusCode::OK,
        r#"{"status":"ready"}"#.into(),
    ))
}
