//! The interface as OpenAPI 3.1, and a page to read it. What it says of each route is in the files of the groups; scopes
//! come from the table of routes, words from the engine. `docs/openapi.json` is this document, checked in.

mod approvals;
mod backtests;
mod calls;
mod card_batches;
mod cards;
mod control_events;
mod controls;
mod deciding;
mod document;
mod events;
mod fees;
mod keys;
mod money;
mod objects;
mod operation;
mod payments;
mod programs;
mod schema;
mod shipping;
mod simulate;
mod tokens;
mod told;
mod unguarded;

pub use document::{document, operations};
pub use events::{EventData, data_of};

use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use std::sync::LazyLock;

/// RapiDoc 9.3.8 (MIT), `dist/rapidoc-min.js.gz` as npm has it: 863,099 bytes unpacked. Its licences are beside it.
const VIEWER: &[u8] = include_bytes!("rapidoc-min.js.gz");

const PAGE: &str = include_str!("page.html");

/// Nothing is loaded from elsewhere, and nothing is sent elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Without a key: it says nothing of any card.
pub async fn json() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

pub async fn page() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE)
}

/// Always compressed: who runs scripts unpacks them.
pub async fn viewer() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CONTENT_ENCODING, "gzip"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, VIEWER)
}
