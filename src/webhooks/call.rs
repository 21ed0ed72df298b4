//! One call for one event: the body, the signatures, and what the answer comes to.

use super::client::{CallError, Client};
use super::queue::Outcome;
use super::schedule::retry_after;
use super::signature::Signed;
use crate::engine::time::Timestamp;
use crate::engine::webhook_endpoints::WebhookEndpoint;
use crate::security::{EndpointSecrets, mask_pans};
use crate::store::events::{EventRow, ResponseCodes};
use arrayvec::ArrayString;
use std::time::{Duration, Instant};

/// How long an endpoint may take to answer.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// What of an answer is kept.
const KEPT_BYTES: usize = 1_024;

/// What became of a call.
#[derive(Debug)]
pub struct Called {
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub body: Option<String>,
    pub error: Option<String>,
    pub duration_ms: u64,
}

impl Called {
    pub fn is_taken(&self) -> bool {
        self.outcome == Outcome::Taken
    }
}

/// The secrets that a call is signed with: while one is changed, two.
pub fn secrets_of(
    secrets: &EndpointSecrets,
    endpoint: &WebhookEndpoint,
    now: Timestamp,
) -> Vec<[u8; 32]> {
    let (id, version) = (endpoint.id.0, endpoint.secret_version);
    let mut all = vec![secrets.secret(id, version)];
    if endpoint
        .previous_secret_until
        .is_some_and(|until| now < until)
    {
        all.push(secrets.secret(id, version.saturating_sub(1)));
    }
    all
}

/// Tells an endpoint of an event.
pub async fn deliver(
    client: &Client,
    secrets: &EndpointSecrets,
    endpoint: &WebhookEndpoint,
    (event, codes): (&EventRow, &ResponseCodes),
    now: Timestamp,
) -> Called {
    let body = event.body(endpoint.thin, codes).to_string().into_bytes();
    post(client, secrets, endpoint, event.id().to_string(), body, now).await
}

/// Sends any body under an id.
pub async fn post(
    client: &Client,
    secrets: &EndpointSecrets,
    endpoint: &WebhookEndpoint,
    id: String,
    body: Vec<u8>,
    now: Timestamp,
) -> Called {
    let secrets = secrets_of(secrets, endpoint, now);
    let signed = Signed::new(&secrets, id, now.0.div_euclid(1_000), &body);
    let url = endpoint.url.as_deref().unwrap_or_default();
    let started = Instant::now();
    let answered = client.post(url, signed, body, TIMEOUT).await;
    let duration_ms = started.elapsed().as_millis() as u64;
    match answered {
        Ok(answered) => {
            let failed = Outcome::Failed {
                retry_after: retry_after(answered.retry_after.as_deref(), now),
            };
            Called {
                outcome: match answered.status {
                    200..=299 => Outcome::Taken,
                    410 => Outcome::Gone,
                    _ => failed,
                },
                status: Some(answered.status),
                body: Some(kept(&answered.body)),
                error: None,
                duration_ms,
            }
        }
        Err(error) => Called {
            outcome: Outcome::Failed { retry_after: None },
            status: None,
            body: None,
            error: Some(told(&error)),
            duration_ms,
        },
    }
}

fn told(error: &CallError) -> String {
    error.to_string().chars().take(300).collect()
}

/// The beginning of an answer, as text that any database takes; whoever answers with a card number does not get it
/// into our log.
fn kept(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).replace('\0', " ");
    let mut masked = ArrayString::<{ 2 * KEPT_BYTES }>::new();
    for letter in text.chars() {
        // What does not fit is cut off below anyway.
        if masked.try_push(letter).is_err() {
            break;
        }
    }
    // Before it is cut: a number that the cut goes through is one all the same.
    mask_pans(&mut masked, "");
    let mut end = masked.len().min(KEPT_BYTES);
    while !masked.is_char_boundary(end) {
        end -= 1;
    }
    masked[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_short_and_without_card_numbers() {
        assert_eq!(kept(b"ok"), "ok");
        assert_eq!(kept(&[b'x'; 5_000]).len(), KEPT_BYTES);
        let told = kept(b"thanks for 4111111111111111\0");
        assert!(
            !told.contains("4111111111111111") && !told.contains('\0'),
            "{told}"
        );
        // One that the end of what is kept goes through is none that is shown in part either.
        for before in KEPT_BYTES - 20..KEPT_BYTES {
            let answer = format!("{}4111111111111111", "x".repeat(before));
            let told = kept(answer.as_bytes());
            assert!(!told.contains("41111111"), "{before}: {told}");
        }
    }
}
