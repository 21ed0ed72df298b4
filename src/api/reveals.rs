//! `/v1/reveals/{token}`: what a reveal link shows, once, to whoever has it: as JSON, or as a page for an iframe or a web view.
//! The token is the right, and there is no key; it is in no log. That it was used is on record before the number leaves.
//! How links are made, and how long they last, is in `reveal_links.rs`.

use super::auth;
use super::cards;
use super::envelope::RequestId;
use super::error::{ApiError, ErrorType, forbid_keeping, json_response};
use super::reveal::{self, Secrets};
use super::reveal_links::{self, Link, NotShown, TokenHash};
use super::{ApiState, Gate, ask};
use crate::engine::audit::{AuditEntry, Requester};
use crate::engine::ids::ProgramId;
use crate::engine::registry::RegistryAction;
use crate::shard::reply::Reply;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::LazyLock;

/// What comes before a token.
pub const PREFIX: &str = "/v1/reveals/";

pub const ROUTE: &str = "/v1/reveals/{token}";

/// 256 bits in base64url.
const TOKEN_LENGTH: usize = 43;

/// As it is told of a page.
pub const HTML: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("reveal_page.css");

/// No script, nothing from elsewhere, and an origin of its own: no page around it reads what is in it. Who may put it into a
/// frame is not said, as whoever has the link may show it.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; sandbox"
    );
    // Base64 and what stands here are visible ASCII, so this cannot fail.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Shows the card, and uses the link up.
pub async fn show(
    State(gate): State<Gate>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let (request, _) = request.into_parts();
    let wants_page = wants_page(&request.headers);
    let shown = match is_ahead(&request.headers) {
        true => Err(not_ahead()),
        false => carry_out(&gate, &token, &request).await,
    };
    match (shown, wants_page) {
        (Ok(secrets), true) => page(StatusCode::OK, &card_page(&secrets)),
        (Ok(secrets), false) => json_response(StatusCode::OK, secrets.to_string()),
        (Err(error), true) => page(error.status, refusal_page(error.status)),
        (Err(error), false) => error.into_response(),
    }
}

/// Whether the link is good. Previews of links in chats begin like this, and leave it as it is.
pub async fn look(State(gate): State<Gate>, Path(token): Path<String>) -> Response {
    let look = async {
        find(&*gate.state()?, token_hash(&token)?).await?;
        Ok(json_response(StatusCode::OK, String::new()))
    };
    let looked: Result<Response, ApiError> = look.await;
    looked.unwrap_or_else(ApiError::into_response)
}

async fn carry_out(gate: &Gate, token: &str, request: &Parts) -> Result<Value, ApiError> {
    let state = gate.state()?;
    let token = token_hash(token)?;
    let link = find(&state, token).await?;
    let (issued, _) = cards::issued(&state, link.card_id).await?;
    let secrets = reveal::secrets(&state, link.card_id, &issued)?;
    let now = state.switchboard.clock.now();
    state.reveal_links.take(token, now).map_err(refused)?;
    if let Err(error) = record(&state, &link, issued.program_id, request).await {
        state.reveal_links.give_back(token);
        return Err(error);
    }
    tracing::debug!(target: "audit", card_id = %link.card_id, "a reveal link was used");
    Ok(to_json(&link, &secrets))
}

/// A link that may be used. It dies with the key that made it, and with the card.
async fn find(state: &ApiState, token: TokenHash) -> Result<Link, ApiError> {
    let now = state.switchboard.clock.now();
    let link = state.reveal_links.find(token, now).map_err(refused)?;
    let card = cards::find_full(state, link.card_id).await?;
    match auth::is_good(state, link.api_key_id) {
        false => Err(refused(NotShown::Unknown)),
        true if reveal_links::is_over(state, &card) => Err(card_is_over()),
        true => Ok(link),
    }
}

/// A token that has not its form is none.
fn token_hash(token: &str) -> Result<TokenHash, ApiError> {
    match token.len() == TOKEN_LENGTH {
        true => Ok(TokenHash::of(token)),
        false => Err(refused(NotShown::Unknown)),
    }
}

/// Puts on record that the link was used: who it was cannot be said, only from where, and whose link it was. Durable once this
/// returns.
async fn record(
    state: &ApiState,
    link: &Link,
    program_id: ProgramId,
    request: &Parts,
) -> Result<(), ApiError> {
    let known = &request.extensions;
    let address = known.get::<ConnectInfo<SocketAddr>>();
    let address = address.map(|ConnectInfo(address)| address.ip().to_canonical());
    let request_id = known.get::<RequestId>().map(|id| id.0.as_str());
    let card_id: Option<Box<str>> = Some(link.card_id.to_string().into());
    let entry = AuditEntry {
        requester: Requester {
            api_key_id: link.api_key_id,
            action: format!("GET {ROUTE}").into(),
            object_id: card_id.clone(),
            request_id: request_id.unwrap_or_default().into(),
            address: address.map(|address| address.to_string().into()),
            in_background: false,
        },
        object_id: card_id,
        program_id: Some(program_id),
        before: None,
        after: Some(link.to_json().to_string().into()),
        error_code: None,
    };
    match ask::registry_command(state, RegistryAction::Audit(Box::new(entry))).await? {
        Reply::Done => Ok(()),
        reply => Err(ask::unexpected(&reply)),
    }
}

fn to_json(link: &Link, secrets: &Secrets) -> Value {
    json!({
        "object": "card_secrets",
        "card_id": link.card_id.to_string(),
        "pan": secrets.pan.digits(),
        "cvv2": secrets.cvv2.digits(),
        "exp_month": secrets.exp_month,
        "exp_year": secrets.exp_year,
    })
}

fn refused(why: NotShown) -> ApiError {
    match why {
        NotShown::Unknown => {
            let message = "no link shows anything here: it may be over, or the switch was started again; make a new one";
            ApiError::not_found("reveal_not_found", message)
        }
        NotShown::Used => {
            let message = "this link has shown its card already; who did not see it asks who did, and makes a new one";
            let gone = ErrorType::NotFound;
            ApiError::new(StatusCode::GONE, gone, "reveal_used", message)
        }
    }
}

fn card_is_over() -> ApiError {
    let message =
        "the card was closed or blocked after this link was made, so no link shows its number";
    ApiError::conflict("card_status_forbids", message)
}

/// What a browser asks for before anybody wants to see it.
fn is_ahead(headers: &HeaderMap) -> bool {
    let names = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
    names.iter().any(|name| {
        let value = headers.get(*name).map(HeaderValue::as_bytes);
        let value = value.map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
        [&b"prefetch"[..], b"prerender", b"preview"]
            .iter()
            .any(|ahead| value.windows(ahead.len()).any(|part| part == *ahead))
    })
}

fn not_ahead() -> ApiError {
    let message =
        "a link that shows a card once is not fetched ahead of time; ask when somebody looks";
    ApiError::unavailable("not_ahead_of_time", message)
}

/// Those who can show a page say so; whoever takes anything gets JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts
            .next()
            .is_some_and(|it| it.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(|parameter| parameter.replace('.', "").trim_end_matches('0') == "q=")
    })
}

fn page(status: StatusCode, content: &str) -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>Card</title><style>{STYLE}</style></head>\
         <body>{content}</body></html>\n"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
    }
    response
}

/// The number in groups, which are copied as one.
fn card_page(secrets: &Value) -> String {
    let text = |name: &str| secrets[name].as_str().unwrap_or_default();
    let mut pan = String::new();
    for (place, digit) in text("pan").chars().enumerate() {
        if place > 0 && place % 4 == 0 {
            pan.push_str("</span><span>");
        }
        pan.push(digit);
    }
    let month = secrets["exp_month"].as_u64().unwrap_or_default();
    let year = secrets["exp_year"].as_u64().unwrap_or_default() % 100;
    format!(
        "<dl><dt>Card number</dt><dd class=\"pan\"><span>{pan}</span></dd><dt>Expires</dt><dd>{month:02}/{year:02}</dd>\
         <dt>Security code</dt><dd>{}</dd></dl>",
        text("cvv2")
    )
}

fn refusal_page(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "<p>This link is over. Ask for a new one.</p>",
        StatusCode::CONFLICT => {
            "<p>This card was closed or blocked, so its number is not shown any more.</p>"
        }
        StatusCode::GONE => {
            "<p>This link was used already. If that was not you, say so where you have it from.</p>"
        }
        _ => "<p>The card cannot be shown now. Try again in a moment.</p>",
    }
}

/// Nothing keeps an answer, and nothing tells others where it came from.
pub fn keep_private(response: &mut Response) {
    let headers = response.headers_mut();
    forbid_keeping(headers);
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn a_page_is_for_those_who_ask_for_one() {
        for (accept, expected) in [
            ("text/html", true),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("application/json, TEXT/HTML;q=0.5", true),
            ("text/html;level=1", true),
            ("text/html;q=0", false),
            ("text/html; q=0.000", false),
            ("*/*", false),
            ("application/json", false),
            ("text/htmlx", false),
            ("", false),
        ] {
            assert_eq!(wants_page(&headers("accept", accept)), expected, "{accept}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }

    #[test]
    fn what_is_fetched_ahead_of_time_is_known() {
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("purpose", "Prefetch"),
            ("x-purpose", "preview"),
            ("x-moz", "prefetch"),
        ] {
            assert!(is_ahead(&headers(name, value)), "{name}: {value}");
        }
        assert!(!is_ahead(&headers("sec-purpose", "look")));
        assert!(!is_ahead(&headers("accept", "prefetch")));
    }

    #[test]
    fn a_page_groups_the_number_and_loads_nothing() {
        let secrets =
            json!({"pan": "371449635398431", "cvv2": "0123", "exp_month": 3, "exp_year": 2031});
        let page = card_page(&secrets);
        assert!(
            page.contains("<span>3714</span><span>4963</span><span>5398</span><span>431</span>")
        );
        assert!(page.contains("<dd>03/31</dd>") && page.contains("<dd>0123</dd>"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        assert!(!STYLE.contains('<'));
    }
}
