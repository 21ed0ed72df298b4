//! How many cards a tenant may free by its linked objects: one call frees all cards of an object, and is an event for each of
//! them, which tables and webhooks have to take in. What is freed too fast is refused before it is journalled; to freeze
//! never is. One bucket for each tenant, and one with half as much for each of its customers (a key that the tenant's own key made, with
//! all that come from it) and for its own key, so that one customer leaves something to the others; none for keys that are bound
//! to nothing. A restart begins anew.

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
pub struct FreedCards(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    tenants: HashMap<ApiKeyId, Bucket>,
    customers: HashMap<ApiKeyId, Bucket>,
}

/// Who frees cards.
#[derive(Debug, Clone, Copy)]
pub struct Freeing {
    pub tenant: ApiKeyId,
    /// The first key of the customer; of the tenant itself, its own.
    pub customer: ApiKeyId,
}

struct Bucket {
    /// In parts; below zero after an object of many cards.
    left: i64,
    at: Instant,
}

impl FreedCards {
    /// Takes the cards of an object, and one for the call. What a customer may not have is not its tenant's.
    ///
    /// # Errors
    /// 429 `too_many_unfreezes` with `Retry-After`.
    pub fn take(&self, by: Option<Freeing>, cards: u32, now: Instant) -> Result<(), ApiError> {
        let Some(by) = by else {
            return Ok(());
        };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { tenants, customers } = &mut *buckets;
        let of_customer = Bucket::refilled(customers, by.customer, 2, now)?;
        let of_tenant = Bucket::refilled(tenants, by.tenant, 1, now)?;
        for bucket in [of_customer, of_tenant] {
            bucket.left -= (i64::from(cards) + 1) * PARTS;
        }
        Ok(())
    }
}

impl Bucket {
    /// The bucket of a customer or a tenant, with a part of the whole, where there is something in it.
    fn refilled(
        buckets: &mut HashMap<ApiKeyId, Bucket>,
        of: ApiKeyId,
        part: i64,
        now: Instant,
    ) -> Result<&mut Bucket, ApiError> {
        let (full, per_second) = (AT_ONCE * PARTS / part, PER_SECOND / part);
        let bucket = buckets.entry(of).or_insert(Bucket {
            left: full,
            at: now,
        });
        let passed_us = now.saturating_duration_since(bucket.at).as_micros();
        let passed_us = i64::try_from(passed_us).unwrap_or(i64::MAX);
        let refilled = passed_us.saturating_mul(per_second);
        bucket.left = bucket.left.saturating_add(refilled).min(full);
        bucket.at = bucket.at.max(now);
        if bucket.left > 0 {
            return Ok(bucket);
        }
        let seconds = -bucket.left / (per_second * PARTS) + 1;
        Err(refusal(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }
}

fn refusal(retry_after_s: u32) -> ApiError {
    let message = format!(
        "the linked objects of a tenant may free {PER_SECOND} cards a second, and {AT_ONCE} at once, those of one customer of it \
         half as many; repeat this after the seconds that Retry-After names"
    );
    let status = StatusCode::TOO_MANY_REQUESTS;
    let code = "too_many_unfreezes";
    ApiError::new(status, ErrorType::RateLimited, code, message).with_retry_after(retry_after_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// By a customer of a tenant; all those of one tenant are numbered alike.
    fn by(tenant: u64, customer: u64) -> Option<Freeing> {
        Some(Freeing {
            tenant: ApiKeyId(tenant),
            customer: ApiKeyId(100 * tenant + customer),
        })
    }

    #[test]
    fn many_cards_are_freed_once_and_then_so_many_a_second() {
        let (freed, start) = (FreedCards::default(), Instant::now());
        let take_us = |by, cards, us| {
            let now = start + Duration::from_micros(us);
            freed.take(by, cards, now).is_ok()
        };
        let take = |by, cards, ms: u64| take_us(by, cards, ms * 1_000);
        assert!(take(by(1, 1), 14_999, 0) && take(by(1, 1), 14_999, 0));
        assert!(!take(by(1, 1), 1, 0) && !take(by(1, 1), 1, 20_000));
        assert!(take(by(2, 1), 1, 0), "another tenant's are another's");
        assert!(take(by(1, 1), 1, 20_010));
        // Few cards of many objects.
        assert!((0..250).all(|_| take(by(3, 1), 99, 0)));
        assert!(!take(by(3, 1), 99, 0));
        // However many an object has, it can be freed.
        assert!(take(by(4, 1), 1_000_000, 0) && !take(by(4, 1), 1, 1_000_000));
        assert!(take(by(4, 1), 1_000_000, 10_000_000));
        // Who asks again and again gets what he would get by waiting.
        assert!(take(by(5, 1), 25_249, 0));
        let first = (1..=10_000).find(|try_| take_us(by(5, 1), 1, try_ * 125));
        assert_eq!(first, Some(8_001));
        for _ in 0..2 {
            assert!(take(None, 1_000_000, 0), "the operator's");
        }
    }

    #[test]
    fn a_customer_leaves_half_to_the_others_of_its_tenant() {
        let (freed, start) = (FreedCards::default(), Instant::now());
        let take = |customer, cards, seconds| {
            let now = start + Duration::from_secs(seconds);
            freed.take(by(1, customer), cards, now).is_ok()
        };
        for second in 0..600 {
            // It takes what it gets, for ever.
            while take(1, 999, second) {}
            assert!(take(2, 3, second), "{second}");
        }
        // All of them together have no more than the tenant.
        assert!((3..6).all(|customer| take(customer, 9_999, 600)));
        assert!(!(6..90).any(|customer| (0..9).all(|_| take(customer, 9_999, 600))));
    }
}
