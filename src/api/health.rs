//! Whether the process lives, and whether it can take work.

use super::Gate;
use super::error::{ApiError, json_response};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

pub async fn healthz() -> Response {
    json_response(StatusCode::OK, r#"{"status":"ok"}"#.into())
}

/// Ready once recovery is done, however far behind SQL is: decisions do not wait for it. What the projection does is told, and what is to be done
/// about it, without an address: anybody may ask.
pub async fn readyz(State(gate): State<Gate>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let lag = &state.lag;
    let body = json!({
        "status": "ready",
        "projection": lag.state().name(),
        "way_out": lag.way_out(),
    });
    Ok(json_response(StatusCode::OK, body.to_string()))
}
