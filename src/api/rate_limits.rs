//! How many requests an API key may make, and all keys of a tenant together: so many a second, and as many at once. One
//! bucket for each key that was used, whatever it was rolled to, and one for each tenant; there are no more of them than
//! keys. What a request costs does not differ.

use super::error::{ApiError, ErrorType};
use crate::engine::ids::ApiKeyId;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// What one request takes: buckets are kept in millionths, so that a moment refills some of one.
const ONE: u64 = 1_000_000;

pub struct RateLimits {
    /// By the first of keys that were rolled; `None` is the root key.
    keys: Buckets<Option<ApiKeyId>>,
    tenants: Buckets<ApiKeyId>,
}

/// Requests a second; 0: no limit.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rates {
    pub of_key: u32,
    pub of_tenant: u32,
}

struct Buckets<Whose> {
    whose: &'static str,
    per_second: u32,
    buckets: Mutex<HashMap<Whose, Bucket>>,
}

struct Bucket {
    left: u64,
    at: Instant,
}

/// What is left after a request, or that there was nothing left for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub is_allowed: bool,
    whose: &'static str,
    limit: u32,
    remaining: u32,
    /// Until the bucket is full again; where nothing was left, until there is something.
    reset: Duration,
}

impl RateLimits {
    pub fn new(rates: Rates) -> RateLimits {
        RateLimits {
            keys: Buckets::new("this API key", rates.of_key),
            tenants: Buckets::new("the API keys of this tenant together", rates.of_tenant),
        }
    }

    /// Takes one request of this key and its tenant, and tells which of the two has less left; nothing where there is no limit.
    /// What the key may not ask is not its tenant's.
    pub fn take(
        &self,
        key: Option<ApiKeyId>,
        tenant: Option<ApiKeyId>,
        now: Instant,
    ) -> Option<Taken> {
        let of_key = self.keys.take(key, now);
        if of_key.is_some_and(|taken| !taken.is_allowed) {
            return of_key;
        }
        let of_tenant = tenant.and_then(|tenant| self.tenants.take(tenant, now));
        let both = [of_key, of_tenant].into_iter().flatten();
        both.min_by_key(|taken| (taken.is_allowed, taken.remaining))
    }
}

impl<Whose: Eq + Hash> Buckets<Whose> {
    fn new(whose: &'static str, per_second: u32) -> Buckets<Whose> {
        Buckets {
            whose,
            per_second,
            buckets: Mutex::default(),
        }
    }

    fn take(&self, of: Whose, now: Instant) -> Option<Taken> {
        if self.per_second == 0 {
            return None;
        }
        let full = u64::from(self.per_second) * ONE;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(of).or_insert(Bucket {
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
            whose: self.whose,
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
            "{} may make {} requests a second; repeat this after the seconds that Retry-After names",
            self.whose, self.limit
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
        let rates = Rates {
            of_key: 10,
            of_tenant: 0,
        };
        let (limits, start) = (RateLimits::new(rates), Instant::now());
        let take = |key: u64, ms: u64| {
            let tenant = Some(ApiKeyId(1));
            let taken = limits.take(
                Some(ApiKeyId(key)),
                tenant,
                start + Duration::from_millis(ms),
            );
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
        let none = RateLimits::new(Rates::default());
        assert_eq!(none.take(Some(ApiKeyId(1)), Some(ApiKeyId(1)), start), None);
    }

    #[test]
    fn more_keys_of_a_tenant_make_no_more_requests_than_it_may() {
        let rates = Rates {
            of_key: 4,
            of_tenant: 6,
        };
        let (limits, start) = (RateLimits::new(rates), Instant::now());
        let take = |key: u64, tenant: Option<u64>| {
            limits
                .take(Some(ApiKeyId(key)), tenant.map(ApiKeyId), start)
                .unwrap()
        };
        let left = [1, 1, 1, 2, 2, 3].map(|key| {
            let taken = take(key, Some(1));
            (taken.is_allowed, taken.remaining, taken.limit)
        });
        let of_key = [3, 2, 1].map(|left| (true, left, 4));
        let of_tenant = [2, 1, 0].map(|left| (true, left, 6));
        assert_eq!(left, [of_key, of_tenant].concat()[..]);
        let refused = take(4, Some(1));
        assert!(!refused.is_allowed && refused.limit == 6);
        assert!(refused.refusal().message.contains("tenant"));
        // Another tenant has its own, and the operator's keys have none.
        assert!(take(5, Some(2)).is_allowed && take(6, None).is_allowed);
        let last = [(); 5].map(|()| take(7, Some(2)));
        assert!(!last[4].is_allowed && last[4].limit == 4);
        // What is refused to a key is not taken of its tenant.
        let hasty = [(); 9].map(|()| take(8, Some(3)).is_allowed);
        assert_eq!(hasty.map(usize::from).iter().sum::<usize>(), 4);
        assert!(take(9, Some(3)).is_allowed && take(9, Some(3)).is_allowed);
        assert!(!take(9, Some(3)).is_allowed);
    }
}
