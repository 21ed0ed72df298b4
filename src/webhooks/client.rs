//! The HTTP client for customers' endpoints: TLS, no redirects, no address inside our own networks, small answers. What
//! is sent and when lives with those who call.

use super::address::{GuardedResolver, may_be_called};
use super::signature::Signed;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Longer answers are none.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Connections that are kept for the next calls to one endpoint, and for how long. None are where there may be fewer calls
/// than usual, as where few files can be open.
const IDLE: (usize, Duration) = (256, Duration::from_secs(60));
const CALLS_FOR_IDLE: usize = 1_024;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

type Connector = HttpsConnector<HttpConnector<GuardedResolver>>;

/// For calls from one runtime: its connections live in that.
pub struct Client {
    client: legacy::Client<Connector, Full<Bytes>>,
    sandbox: bool,
}

/// What an endpoint answered.
#[derive(Debug, Clone)]
pub struct Answered {
    pub status: u16,
    /// The header `Retry-After`, as it came.
    pub retry_after: Option<String>,
    pub body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("it is no URL: {0}")]
    Invalid(#[from] hyper::http::uri::InvalidUri),
    #[error(
        "it must begin with https:// (with the sandbox on, http:// is taken for this machine, as in http://127.0.0.1:9000/)"
    )]
    Scheme,
    #[error("it must name a host, without user or password")]
    Host,
    #[error("its port must be a number from 1 to 65535")]
    Port,
    #[error("it leads to an address that is not called: this machine, or a private network")]
    Inside,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("the call failed: {0}")]
    Failed(String),
    /// The name leads nowhere, or nobody takes a connection there.
    #[error("the call failed: {0}")]
    NotConnected(String),
    /// Whoever takes connections there speaks no TLS, or has no certificate that is trusted.
    #[error("the call failed: {0}")]
    Tls(String),
    #[error("no answer within {0} ms")]
    TimedOut(u128),
}

/// Whether an endpoint may have this URL, as far as can be said without looking its name up.
pub fn check_url(url: &str, sandbox: bool) -> Result<Uri, UrlError> {
    let uri: Uri = url.parse()?;
    let authority = uri.authority().ok_or(UrlError::Host)?;
    let host = authority.host();
    if authority.as_str().contains('@') || host.is_empty() {
        return Err(UrlError::Host);
    }
    let ends_in_port = !authority.as_str().ends_with(host);
    if ends_in_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(UrlError::Port);
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = literal.parse().ok();
    let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if sandbox && is_here => {}
        _ => return Err(UrlError::Scheme),
    }
    match address {
        None if ends_in_number(host) => Err(UrlError::Inside),
        Some(address) if !may_be_called(address, sandbox) => Err(UrlError::Inside),
        None if host == "localhost" && !sandbox => Err(UrlError::Inside),
        _ => Ok(uri),
    }
}

/// What others read as an IPv4 address in another dress, as `127.1` and `0x7f000001` (WHATWG URL, "ends in a number"): no name of
/// the Internet does.
fn ends_in_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    let last = last.unwrap_or_default().to_ascii_lowercase();
    let is_hex = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hex || !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

impl Client {
    /// Trusts the certificates that the system does (`SSL_CERT_FILE` names others). Whoever calls keeps to `calls_at_once`.
    pub fn new(sandbox: bool, calls_at_once: usize) -> std::io::Result<Client> {
        let mut connector = HttpConnector::new_with_resolver(GuardedResolver { sandbox });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let (idle_max, idle_timeout) = IDLE;
        let idle_max = match calls_at_once < CALLS_FOR_IDLE {
            true => 0,
            false => idle_max,
        };
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(idle_max)
            .pool_idle_timeout(idle_timeout)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Client { client, sandbox })
    }

    /// Sends a signed body; gives what came back.
    pub async fn post(
        &self,
        url: &str,
        signed: Signed,
        body: Vec<u8>,
        at_most: Duration,
    ) -> Result<Answered, CallError> {
        let uri = check_url(url, self.sandbox)?;
        let request = Request::post(uri)
            .header("content-type", "application/json")
            .header(
                "user-agent",
                concat!("cardswitch/", env!("CARGO_PKG_VERSION")),
            )
            .header("webhook-id", signed.id)
            .header("webhook-timestamp", signed.timestamp)
            .header("webhook-signature", signed.signature)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| CallError::Failed(error.to_string()))?;
        let call = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| failure(&error))?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get("retry-after");
            let retry_after = retry_after.and_then(|value| value.to_str().ok());
            let retry_after = retry_after.map(str::to_owned);
            let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            // One that is too long, or breaks off, is none; the status stands.
            let answer = answer.collect().await;
            let answer = answer.map_or_else(|_| Bytes::new(), |answer| answer.to_bytes());
            Ok(Answered {
                status,
                retry_after,
                body: answer,
            })
        };
        let in_time = tokio::time::timeout(at_most, call).await;
        in_time.unwrap_or(Err(CallError::TimedOut(at_most.as_millis())))
    }
}

fn failure(error: &legacy::Error) -> CallError {
    let text = causes(error);
    match error.is_connect() {
        true if is_of_tls(error) => CallError::Tls(text),
        true => CallError::NotConnected(text),
        false => CallError::Failed(text),
    }
}

/// What is not taken of the other side in a handshake is told as data that is invalid, or ends too early; connecting has
/// neither.
fn is_of_tls(error: &legacy::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let mut io = error.downcast_ref::<io::Error>();
        while let Some(error) = io {
            let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
            if kinds.contains(&error.kind()) {
                return true;
            }
            io = error.get_ref().and_then(|inner| inner.downcast_ref());
        }
        cause = error.source();
    }
    false
}

/// An error with what is behind it: the first alone says too little.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_others_and_safe() {
        for (url, open, sandbox) in [
            ("https://example.com/decide", true, true),
            ("https://example.com:8443", true, true),
            ("https://93.184.216.34/x", true, true),
            ("http://example.com/", false, false),
            ("http://127.0.0.1:9000/decide", false, true),
            ("http://[::1]:9000/decide", false, true),
            ("http://localhost:9000/", false, true),
            ("https://localhost/", false, true),
            ("https://10.0.0.8/", false, false),
            ("https://169.254.169.254/latest", false, false),
            ("https://2130706433/", false, false),
            ("https://127.1/", false, false),
            ("https://0x7f000001./", false, false),
            ("https://host.0xa/", false, false),
            ("https://8x.example/", true, true),
            ("https://user:pass@example.com/", false, false),
            ("ftp://example.com/", false, false),
            ("https://example.com:99999/", false, false),
            ("https://example.com:0/", false, false),
            ("https://example.com:/", false, false),
            ("/decide", false, false),
            ("example.com", false, false),
            ("", false, false),
        ] {
            assert_eq!(check_url(url, false).is_ok(), open, "{url}");
            assert_eq!(check_url(url, true).is_ok(), sandbox, "{url} in a sandbox");
        }
    }
}
