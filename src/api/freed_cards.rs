//! How many cards a program's linked objects may free: one call frees all cards of an object, and is an event for each of
//! them, which tables and webhooks have to take in. What is freed too fast is refused before it is journalled; to freeze
//! never is. One bucket for each program; a restart begins anew.

use super::error::{ApiError, ErrorType};
use crate::engine::ids::ProgramId;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Cards of a program that may be freed at once. An object with more is freed all the same where none was before it.
const AT_ONCE: i64 = 100_000;

const PER_SECOND: i64 = 1_000;

#[derive(Default)]
pub struct FreedCards(Mutex<HashMap<ProgramId, Bucket>>);

struct Bucket {
    /// In thousandths of a card; below zero after an object of many.
    left: i64,
    at: Instant,
}

impl FreedCards {
    /// Takes the cards of an object.
    ///
    /// # Errors
    /// 429 `too_many_unfreezes` with `Retry-After`.
    pub fn take(&self, program: ProgramId, cards: u32, now: Instant) -> Result<(), ApiError> {
        const FULL: i64 = AT_ONCE * 1_000;
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            left: FULL,
            at: now,
        };
        let bucket = buckets.entry(program).or_insert(full);
        let passed_ms = now.saturating_duration_since(bucket.at).as_millis();
        let passed_ms = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        let refilled = passed_ms.saturating_mul(PER_SECOND);
        bucket.left = bucket.left.saturating_add(refilled).min(FULL);
        bucket.at = bucket.at.max(now);
        if bucket.left <= 0 {
            let seconds = -bucket.left / (PER_SECOND * 1_000) + 1;
            return Err(refusal(u32::try_from(seconds).unwrap_or(u32::MAX)));
        }
        bucket.left -= i64::from(cards) * 1_000;
        Ok(())
    }
}

fn refusal(retry_after_s: u32) -> ApiError {
    let message = format!(
        "the linked objects of a program may free {PER_SECOND} cards a second, and {AT_ONCE} at once; repeat this after the \
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
        let take = |program: u64, cards, ms| {
            let now = start + Duration::from_millis(ms);
            freed.take(ProgramId(program), cards, now).is_ok()
        };
        assert!(take(1, 60_000, 0) && take(1, 60_000, 0));
        assert!(!take(1, 1, 0) && !take(1, 1, 20_000));
        assert!(take(2, 1, 0), "another program's are another's");
        assert!(take(1, 1, 20_001));
        // Few cards of many objects.
        assert!((0..1_000).all(|_| take(3, 100, 0)));
        assert!(!take(3, 100, 0));
        // However many an object has, it can be freed.
        assert!(take(4, 3_000_000, 0) && !take(4, 1, 1_000_000));
        assert!(take(4, 3_000_000, 10_000_000));
    }
}
