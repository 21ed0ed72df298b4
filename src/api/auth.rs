//! Who asks, and whether they may: bearer keys and the scope that each route needs. The one place
//! that checks; where a route states its scope is `routes.rs`.

use super::error::{ApiError, ErrorType};
use super::{ApiState, Gate};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use std::convert::Infallible;
use subtle::ConstantTimeEq;

/// The API key behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Keyed.
    pub key_hash: [u8; 32],
    /// As audit records name it.
    pub key_id: &'static str,
}

const ROOT_KEY_ID: &str = "root";

/// What a route lets its caller do; the names are those of API keys' scopes.
pub type Scope = &'static str;

/// Puts the check of a key and its scope before every method of a route.
pub fn guarded(
    gate: &Gate,
    scope: Scope,
    route: MethodRouter<Gate, Infallible>,
) -> MethodRouter<Gate, Infallible> {
    route.route_layer(from_fn_with_state((gate.clone(), scope), check))
}

async fn check(
    State((gate, scope)): State<(Gate, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = gate
        .state()
        .and_then(|state| caller(&state, request.headers(), scope));
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn caller(
    state: &ApiState,
    headers: &axum::http::HeaderMap,
    _scope: Scope,
) -> Result<Caller, ApiError> {
    let refuse = |code, message: &str| {
        let authentication = ErrorType::Authentication;
        ApiError::new(StatusCode::UNAUTHORIZED, authentication, code, message)
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let message = "this route needs the header `Authorization: Bearer <API key>`";
        return Err(refuse("api_key_missing", message));
    };
    let Some(key) = bearer(value.as_bytes()) else {
        let message = "the Authorization header must be `Bearer`, a space, and an API key";
        return Err(refuse("api_key_malformed", message));
    };
    let key_hash = state.api_key_hasher.api_key_hash(key);
    // The root key has every scope, so the scope decides nothing yet.
    let is_root = state
        .root_key_hash
        .is_some_and(|root_key_hash| bool::from(key_hash.ct_eq(&root_key_hash)));
    match is_root {
        true => Ok(Caller {
            key_hash,
            key_id: ROOT_KEY_ID,
        }),
        false => Err(refuse("api_key_unknown", "no API key is like this one")),
    }
}

/// The key in `Bearer <key>` (RFC 6750); the scheme in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_key_is_a_key() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for value in [&b"Bearer"[..], b"Bearer ", b"Basic abc", b"", b"abc"] {
            assert_eq!(bearer(value), None, "{value:?}");
        }
    }
}
