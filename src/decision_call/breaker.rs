//! A circuit breaker: an endpoint whose last calls have all failed is left alone for a while, so that nobody waits for
//! it in vain. Pure: whoever asks brings the time.

use std::time::{Duration, Instant};

/// Calls that fail one after another until it opens.
const FAILURES: u32 = 5;

/// How long it stays open; then one call is let through, and its end decides.
const OPEN_FOR: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct Breaker {
    failed: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made now.
    pub fn lets_through(&mut self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // The others wait for what becomes of this one.
                self.open_until = Some(now + OPEN_FOR);
                true
            }
        }
    }

    pub fn note(&mut self, answered: bool, now: Instant) {
        if answered {
            *self = Breaker::default();
            return;
        }
        self.failed = self.failed.saturating_add(1);
        if self.failed >= FAILURES {
            self.open_until = Some(now + OPEN_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_lets_one_through_and_closes_when_that_is_answered() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES - 1 {
            breaker.note(false, start);
        }
        breaker.note(true, start);
        for _ in 0..FAILURES {
            assert!(breaker.lets_through(start));
            breaker.note(false, start);
        }
        assert!(!breaker.lets_through(start));
        let later = start + OPEN_FOR;
        assert!(breaker.lets_through(later));
        assert!(!breaker.lets_through(later));
        breaker.note(false, later);
        assert!(!breaker.lets_through(later + OPEN_FOR / 2));
        let again = later + OPEN_FOR;
        assert!(breaker.lets_through(again));
        breaker.note(true, again);
        assert!(breaker.lets_through(again) && breaker.lets_through(again));
    }
}
