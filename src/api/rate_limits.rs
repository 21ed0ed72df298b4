//! How many requests an API key may make: so many a second, and as many at once. One bucket for each key that was used;
//! there are no more of them than keys. What a request costs does not differ.

use super::error::{ApiError, ErrorType};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// What one request takes: buckets are kept in millionths, so that a moment refills some of one.
const ONE: u64 = 1_000_000;

pub struct RateLimits {
    /// 0: no limit.
    per_second: u32,
    buckets: Mutex<HashMap<[u8; 32], Bucket>>,
}

struct Bucket {
    left: u64,
    at: Instant,
}

/// What is left after a request, or that there was nothing left for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub is_allowed: bool,
    limit: u32,
    remaining: u32,
    /// Until the bucket is full again; where nothing was left, until there is something.
    reset: Duration,
}

impl RateLimits {
    pub fn new(per_second: u32) -> RateLimits {
        RateLimits {
            per_second,
            buckets: Mutex::default(),
        }
    }

    /// Takes one request of this key; nothing where there is no limit.
    pub fn take(&self, key_hash: &[u8; 32], now: Instant) -> Option<Taken> {
        if self.per_second == 0 {
            return None;
        }
        let full = u64::from(self.per_second) * ONE;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(*key_hash).or_insert(Bucket {
            left: full,
            at: now,
        });
        let passed_us = now.saturating_duration_since(bucket.at).as_micros();
        let passed_us = u64::try_from(passed_us).unwrap_or(u64::MAX);
        let refilled = passed_us.saturating_mul(u64::from(self.per_second));
        bucket.left = bucket.left.saturating_add(refilled).min(full);
        bucket.at = bucket.at.max(now);
        let is_allowed = bucket.left >= ONE;
        if is_allowed {
            bucket.left -= ONE;
        }
        let missing = match is_allowed {
            true => full - bucket.left,
            false => ONE - bucket.left,
        };
        Some(Taken {
            is_allowed,
            limit: self.per_second,
            // At most the limit.
            remaining: (bucket.left / ONE) as u32,
            reset: Duration::from_micros(missing.div_ceil(u64::from(self.per_second))),
        })
    }
}

impl Taken {
    /// Whole seconds, never less than it takes.
    fn reset_s(&self) -> u64 {
        self.reset.as_micros().div_ceil(1_000_000) as u64
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers-07; for a refusal also `Retry-After` (RFC 9110, 10.2.3).
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset_s()));
        if !self.is_allowed {
            let name = axum::http::header::RETRY_AFTER;
            headers.insert(name, HeaderValue::from(self.reset_s()));
        }
    }

    pub fn refusal(&self) -> ApiError {
        let message = format!(
            "this API key may make {} requests a second; repeat this after the seconds that Retry-After names",
            self.limit
        );
        let status = StatusCode::TOO_MANY_REQUESTS;
        ApiError::new(status, ErrorType::RateLimited, "too_many_requests", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gets_its_share_and_another_its_own() {
        let (limits, start) = (RateLimits::new(10), Instant::now());
        let take = |key: u8, ms: u64| {
            let taken = limits.take(&[key; 32], start + Duration::from_millis(ms));
            taken.unwrap()
        };
        for remaining in (0..10).rev() {
            let taken = take(1, 0);
            assert!(taken.is_allowed && taken.remaining == remaining);
        }
        let refused = take(1, 0);
        assert!(!refused.is_allowed && refused.reset_s() == 1);
        assert!(take(2, 0).is_allowed);
        assert!(!take(1, 99).is_allowed);
        assert!(take(1, 100).is_allowed);
        // Rest fills it, and no further.
        assert_eq!(take(1, 60_000).remaining, 9);
        // A clock that stands still, or a request that overtook another.
        assert!(take(1, 0).is_allowed);
        let mut headers = HeaderMap::new();
        refused.tell(&mut headers);
        assert_eq!(headers["ratelimit-limit"], "10");
        assert_eq!(headers["ratelimit-remaining"], "0");
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(RateLimits::new(0).take(&[1; 32], start), None);
    }
}
