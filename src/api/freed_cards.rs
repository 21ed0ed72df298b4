//! How many cards a tenant may free by its linked objects: one call frees all cards of an object, and is an event for each of
//! them, which tables and webhooks have to take in. What is freed too fast is refused before it is journalled; to freeze
//! never is. One bucket for each tenant, and none for keys that are bound to nothing; a restart begins anew.

use super::error::{ApiError, ErrorType};
use crate::engine::ids::ApiKeyId;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Cards of a tenant that may be freed at once. An object with more is freed all the same where none was before it.
const AT_ONCE: i64 = 50_000;

const PER_SECOND: i64 = 500;

/// Of a card, so that each microsecond refills whole ones.
const PARTS: i64 = 1_000_000;

#[derive(Default)]
pub struct FreedCards(Mutex<HashMap<ApiKeyId, Bucket>>);

struct Bucket {
    /// In parts; below zero after an object of many cards.
    left: i64,
    at: Instant,
}

impl FreedCards {
    /// Takes the cards of an object, and one for the call.
    ///
    /// # Errors
    /// 429 `too_many_unfreezes` with `Retry-After`.
    pub fn take(&self, tenant: Option<ApiKeyId>, cards: u32, now: Instant) -> Result<(), ApiError> {
        const FULL: i64 = AT_ONCE * PARTS;
        let Some(tenant) = tenant else {
            return Ok(());
        };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            left: FULL,
            at: now,
        };
        let bucket = buckets.entry(tenant).or_insert(full);
        let passed_us = now.saturating_duration_since(bucket.at).as_micros();
        let passed_us = i64::try_from(passed_us).unwrap_or(i64::MAX);
        let refilled = passed_us.saturating_mul(PER_SECOND);
        bucket.left = bucket.left.saturating_add(refilled).min(FULL);
        bucket.at = bucket.at.max(now);
        if bucket.left <= 0 {
            let seconds = -bucket.left / (PER_SECOND * PARTS) + 1;
            return Err(refusal(u32::try_from(seconds).unwrap_or(u32::MAX)));
        }
        bucket.left -= (i64::from(cards) + 1) * PARTS;
        Ok(())
    }
}

fn refusal(retry_after_s: u32) -> ApiError {
    let message = format!(
        "the linked objects of a tenant may free {PER_SECOND} cards a second, and {AT_ONCE} at once; repeat this after the \
         seconds that Retry-After names"
    );
    let status = StatusCode::TOO_MANY_REQUESTS;
    let code = "too_many_unfreezes";
    ApiError::new(status, ErrorType::RateLimited, code, message).with_retry_after(retry_after_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn many_cards_are_freed_once_and_then_so_many_a_second() {
        let (freed, start) = (FreedCards::default(), Instant::now());
        let take_us = |tenant: u64, cards, us| {
            let now = start + Duration::from_micros(us);
            freed.take(Some(ApiKeyId(tenant)), cards, now).is_ok()
        };
        let take = |tenant, cards, ms: u64| take_us(tenant, cards, ms * 1_000);
        assert!(take(1, 29_999, 0) && take(1, 29_999, 0));
        assert!(!take(1, 1, 0) && !take(1, 1, 20_000));
        assert!(take(2, 1, 0), "another tenant's are another's");
        assert!(take(1, 1, 20_010));
        // Few cards of many objects.
        assert!((0..500).all(|_| take(3, 99, 0)));
        assert!(!take(3, 99, 0));
        // However many an object has, it can be freed.
        assert!(take(4, 1_000_000, 0) && !take(4, 1, 1_000_000));
        assert!(take(4, 1_000_000, 10_000_000));
        // Who asks again and again gets what he would get by waiting.
        assert!(take(5, 50_499, 0));
        assert_eq!(
            (1..=10_000).find(|try_| take_us(5, 1, try_ * 125)),
            Some(8_001)
        );
        assert!(freed.take(None, 1_000_000, start).is_ok());
        assert!(freed.take(None, 1_000_000, start).is_ok(), "the operator's");
    }
}
