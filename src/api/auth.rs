//! Who asks, and whether they may: bearer keys, the scope that each route needs, and what a bound key sees. The one place
//! that checks; where a route states its scope and what it is about is `routes.rs`.

use super::bounds::{self, About};
use super::error::{ApiError, ErrorType};
use super::{ApiState, Gate};
use crate::engine::api_keys::{ApiKey, ApiKeyState, Bounds, Scope, Scopes};
use crate::engine::ids::{ApiKeyId, ProgramId};
use crate::engine::signers::Signer;
use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use ipnet::IpNet;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use subtle::ConstantTimeEq;

/// Whoever is behind a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// `None` is the root key, which has every scope and sees everything.
    pub key: Option<Arc<ApiKey>>,
    pub address: Option<IpAddr>,
}

impl Caller {
    pub fn key_id(&self) -> Option<ApiKeyId> {
        self.key.as_ref().map(|key| key.id)
    }

    /// By what a client is counted and remembered over rolls of its key; `None` is the root key, whichever it is now.
    pub fn first_key_id(&self) -> Option<ApiKeyId> {
        self.key.as_ref().map(|key| key.first_id())
    }

    /// Whose share it takes of what all have in common.
    pub fn tenant(&self) -> Option<ApiKeyId> {
        self.key.as_ref()?.origin.tenant
    }

    /// Whose part of the tenant's share it takes.
    pub fn customer_id(&self) -> Option<ApiKeyId> {
        self.key.as_ref().map(|key| key.customer_id())
    }

    /// As records of who asked and who approved have it.
    pub fn signer(&self) -> Signer {
        let name = self.key.as_ref().map(|key| key.name.clone());
        Signer {
            api_key_id: self.key_id(),
            name: name.unwrap_or_else(|| "root".into()),
        }
    }

    /// As audit records name it.
    pub fn key_name(&self) -> String {
        let id = self.key_id();
        id.map_or_else(|| "root".to_owned(), |id| id.to_string())
    }

    pub fn scopes(&self) -> Scopes {
        self.key.as_ref().map_or(Scopes::ALL, |key| key.scopes)
    }

    /// `None` where it sees everything.
    pub fn bounds(&self) -> Option<&Bounds> {
        let bounds = &self.key.as_ref()?.bounds;
        (!bounds.is_unbound()).then_some(bounds)
    }

    /// What belongs to a program, and to none of its accounts.
    pub fn sees_program(&self, program_id: ProgramId) -> bool {
        let bounds = self.bounds();
        bounds.is_none_or(|bounds| bounds.cover_program(program_id))
    }

    /// The key was not revoked meanwhile, and has not expired.
    pub fn is_still_good(&self, state: &ApiState) -> bool {
        is_good(state, self.key_id())
    }

    /// 403 that names the scope.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        match self.scopes().has(scope) {
            true => Ok(()),
            false => Err(forbidden(
                "scope_missing",
                format!("this needs an API key with the scope `{}`", scope.name()),
            )
            .with_param(scope.name())),
        }
    }
}

/// The key is neither revoked nor expired; `None` is the root key, which always is.
pub fn is_good(state: &ApiState, id: Option<ApiKeyId>) -> bool {
    let Some(id) = id else {
        return true;
    };
    let view = state.switchboard.view();
    let now = state.switchboard.clock.now();
    let known = view.api_keys.get(id);
    known.is_some_and(|key| key.state_at(now) == ApiKeyState::Active)
}

/// Puts the check of a key, its scope and its bounds before every method of a route.
pub fn guarded(
    gate: &Gate,
    scope: Scope,
    about: About,
    route: MethodRouter<Gate, Infallible>,
) -> MethodRouter<Gate, Infallible> {
    route.route_layer(from_fn_with_state((gate.clone(), scope, about), check))
}

async fn check(
    State((gate, scope, about)): State<(Gate, Scope, About)>,
    path: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = address.map(|ConnectInfo(address)| address.ip().to_canonical());
    let known = gate.state().and_then(|state| {
        let caller = caller(&state, request.headers(), address)?;
        Ok((state, caller))
    });
    let taken = known.as_ref().ok().and_then(|(state, caller)| {
        let tenant = caller.tenant();
        let limits = &state.rate_limits;
        limits.take(caller.first_key_id(), tenant, Instant::now())
    });
    let checked = async move {
        let (state, caller) = known?;
        if let Some(taken) = taken.filter(|taken| !taken.is_allowed) {
            return Err(taken.refusal());
        }
        caller.require(scope)?;
        if let Some(bounds) = caller.bounds() {
            bounds::check(&state, bounds, about, &path).await?;
        }
        Ok::<_, ApiError>((caller, state.large_bodies.clone()))
    };
    let mut response = match checked.await {
        Ok((caller, large_bodies)) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(large_bodies);
            request.extensions_mut().insert(about);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if let Some(taken) = taken {
        taken.tell(response.headers_mut());
    }
    response
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| ApiError::internal(&"a route is not guarded"))
    }
}

fn caller(
    state: &ApiState,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Caller, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let message = "this route needs the header `Authorization: Bearer <API key>`";
        return Err(unauthorized("api_key_missing", message));
    };
    let Some(key) = bearer(value.as_bytes()) else {
        let message = "the Authorization header must be `Bearer`, a space, and an API key";
        return Err(unauthorized("api_key_malformed", message));
    };
    let key_hash = state.api_key_hasher.api_key_hash(key);
    let is_root = state
        .root_key_hash
        .is_some_and(|root_key_hash| bool::from(key_hash.ct_eq(&root_key_hash)));
    let key = match is_root {
        true => None,
        false => Some(known_key(state, &key_hash, address)?),
    };
    Ok(Caller { key, address })
}

fn known_key(
    state: &ApiState,
    key_hash: &[u8; 32],
    address: Option<IpAddr>,
) -> Result<Arc<ApiKey>, ApiError> {
    let view = state.switchboard.view();
    // What is looked up is a keyed hash: how long that takes says nothing of any key.
    let Some(key) = view.api_keys.of_hash(key_hash) else {
        return Err(unauthorized(
            "api_key_unknown",
            "no API key is like this one",
        ));
    };
    match key.state_at(state.switchboard.clock.now()) {
        ApiKeyState::Active => {}
        ApiKeyState::Expired => {
            return Err(unauthorized("api_key_expired", "this API key has expired"));
        }
        ApiKeyState::Revoked => {
            return Err(unauthorized("api_key_revoked", "this API key was revoked"));
        }
    }
    if !is_allowed(&key.allowed_ips, address) {
        let message = "this API key may not be used from this address";
        return Err(forbidden("address_not_allowed", message));
    }
    Ok(key.clone())
}

/// From everywhere, where no address is named.
fn is_allowed(allowed: &[Box<str>], address: Option<IpAddr>) -> bool {
    let has = |allowed: &str| {
        let network = network(allowed);
        address.is_some_and(|address| network.is_some_and(|network| network.contains(&address)))
    };
    allowed.is_empty() || allowed.iter().any(|allowed| has(allowed))
}

/// An address, or `address/bits`, of which bits beyond those say nothing. Addresses of IPv4 in those of IPv6 are what callers
/// have: IPv4; a network that has some of them and others is none.
pub fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    let (address, prefix) = (network.addr().to_canonical(), network.prefix_len());
    let is_mapped = address.is_ipv4() && network.addr().is_ipv6();
    let network = match is_mapped {
        true => IpNet::new(address, prefix.checked_sub(96)?).ok()?,
        false => network,
    };
    Some(network.trunc())
}

/// Of a key that was good when the request began.
pub fn no_longer_good() -> ApiError {
    let message =
        "this API key was revoked or has expired since the request began; nothing was done";
    unauthorized("api_key_revoked", message)
}

fn unauthorized(code: &'static str, message: &str) -> ApiError {
    let authentication = ErrorType::Authentication;
    ApiError::new(StatusCode::UNAUTHORIZED, authentication, code, message)
}

pub fn forbidden(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, ErrorType::Permission, code, message)
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

    #[test]
    fn addresses_are_allowed_one_by_one_or_by_network() {
        let allowed = |allowed: &[&str], address: &str| {
            let allowed: Vec<Box<str>> = allowed.iter().map(|text| (*text).into()).collect();
            is_allowed(&allowed, address.parse().ok())
        };
        assert!(allowed(&[], "192.0.2.1"));
        assert!(allowed(&["192.0.2.1"], "192.0.2.1"));
        assert!(!allowed(&["192.0.2.1"], "192.0.2.2"));
        assert!(allowed(&["198.51.100.0/24", "192.0.2.0/28"], "192.0.2.15"));
        assert!(!allowed(&["192.0.2.0/28"], "192.0.2.16"));
        assert!(allowed(&["2001:db8::/32"], "2001:db8::1"));
        assert!(!allowed(&["2001:db8::/32"], "192.0.2.1"));
        assert!(!allowed(&["192.0.2.1"], "no address"));
    }
}
