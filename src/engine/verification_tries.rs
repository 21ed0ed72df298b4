//! How often a card's number was tried with a wrong expiry, CVV, PIN or cryptogram on one day, so that nobody can go through
//! all of them; and that tries are given back by hand. What a check makes of it lives in `rules/verification.rs`.

use super::command::Command;
use super::controls::Window;
use super::decide::Outcome;
use super::engine_settings::EngineSettings;
use super::event::{Authorized, Event, Refusal};
use super::ids::CardId;
use super::reason::DeclineReason;
use super::state::State;
use super::time::Timestamp;
use super::trace::{Detail, TraceStep};
use super::window::{WindowEnd, window_end};
use serde::{Deserialize, Serialize};

/// Of each card by itself: one with a new number begins anew. As small as it can be, because every card has one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationTries {
    /// The last day with a failure, in days of UTC since 1970.
    day: u16,
    /// Requests that failed on it.
    failed: u16,
}

impl VerificationTries {
    /// One more request failed.
    pub(super) fn note_failure(&mut self, at: Timestamp) {
        let day = day_of(at);
        if self.day != day {
            *self = VerificationTries { day, failed: 0 };
        }
        self.failed = self.failed.saturating_add(1);
    }

    /// How many failed on the day of `at`.
    pub fn failed_on_day_of(self, at: Timestamp) -> u16 {
        match self.day == day_of(at) {
            true => self.failed,
            false => 0,
        }
    }

    /// Whether no more may be tried on this day. A card without failures costs one comparison.
    pub fn are_exceeded(self, settings: &EngineSettings, at: Timestamp) -> bool {
        let allowed = settings.verification_tries_per_day_max;
        u32::from(self.failed) >= allowed && allowed > 0 && self.day == day_of(at)
    }
}

/// Forgets the failures of a card: its holder was locked out by somebody else, or is known by other means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetVerificationTries {
    pub card_id: CardId,
}

pub(super) fn decide_reset(
    state: &State,
    command: &Command,
    reset: &ResetVerificationTries,
) -> Outcome {
    let Some(card) = state.card_of_tree(command.root, reset.card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(reset.card_id));
    };
    match card.verification_tries.failed_on_day_of(command.at) {
        0 => Outcome::AlreadyDone,
        failed => Outcome::Event(Event::VerificationTriesReset { failed }),
    }
}

pub(super) fn apply_reset(state: &mut State, reset: &ResetVerificationTries) {
    if let Some(card) = state.card_mut(reset.card_id) {
        card.verification_tries = VerificationTries::default();
    }
}

/// When they may be tried again.
pub fn day_end(at: Timestamp) -> WindowEnd {
    window_end(Window::Day, "UTC", at).unwrap_or(WindowEnd::NEVER)
}

fn day_of(at: Timestamp) -> u16 {
    const DAY_MS: i64 = 24 * 3_600_000;
    at.0.div_euclid(DAY_MS).clamp(0, i64::from(u16::MAX)) as u16
}

/// Whether a request that is declined for this has tried something that was wrong.
pub fn is_failed_try(reason: DeclineReason) -> bool {
    matches!(
        reason,
        DeclineReason::ExpiryMismatch
            | DeclineReason::CvvMismatch
            | DeclineReason::PinIncorrect
            | DeclineReason::CryptogramInvalid
    )
}

/// Whether this was the last wrong try that the day had room for.
pub fn is_last_try(authorized: &Authorized) -> bool {
    let has_room_for_one = |step: TraceStep| match step.detail {
        Detail::Tries {
            failed, allowed, ..
        } => u32::from(failed) + 1 == allowed,
        _ => false,
    };
    let decline = authorized.decision.decline();
    decline.is_some_and(|decline| is_failed_try(decline.reason))
        && authorized.trace.steps().any(has_room_for_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(20_786 * 24 * 3_600_000 + 12 * 3_600_000);
    const HOUR_MS: i64 = 3_600_000;

    fn settings(allowed: u32) -> EngineSettings {
        EngineSettings {
            verification_tries_per_day_max: allowed,
            ..EngineSettings::default()
        }
    }

    #[test]
    fn tries_are_counted_for_a_day_of_utc() {
        let mut tries = VerificationTries::default();
        for failed in 1..=3 {
            tries.note_failure(NOON);
            assert_eq!(tries.failed_on_day_of(NOON), failed);
        }
        for (hours, allowed, exceeded) in [
            (0, 3, true),
            (0, 4, false),
            (0, 0, false),
            (11, 3, true),
            (12, 3, false),
            (-13, 3, false),
            (24 * 365, 3, false),
        ] {
            let at = NOON.plus_ms(hours * HOUR_MS);
            let found = tries.are_exceeded(&settings(allowed), at);
            assert_eq!(found, exceeded, "{hours} hours later, {allowed} allowed");
        }
        tries.note_failure(NOON.plus_ms(12 * HOUR_MS));
        assert_eq!(tries.failed_on_day_of(NOON.plus_ms(12 * HOUR_MS)), 1);
        assert_eq!(tries.failed_on_day_of(NOON), 0);
    }

    #[test]
    fn the_day_ends_at_midnight() {
        let end = day_end(NOON).resets_at();
        assert_eq!(end, Some(NOON.plus_ms(12 * HOUR_MS)));
    }

    #[test]
    fn more_than_can_be_counted_stays_the_most() {
        let mut tries = VerificationTries::default();
        for _ in 0..=u32::from(u16::MAX) {
            tries.note_failure(NOON);
        }
        assert_eq!(tries.failed_on_day_of(NOON), u16::MAX);
        assert!(tries.are_exceeded(&settings(u32::from(u16::MAX)), NOON));
    }

    #[test]
    fn any_time_has_a_day() {
        for at in [i64::MIN, -1, 0, i64::MAX] {
            let mut tries = VerificationTries::default();
            tries.note_failure(Timestamp(at));
            assert!(tries.are_exceeded(&settings(1), Timestamp(at)), "{at}");
        }
    }

    #[test]
    fn what_was_not_looked_at_is_no_failed_try() {
        for (reason, is_try) in [
            (DeclineReason::ExpiryMismatch, true),
            (DeclineReason::CvvMismatch, true),
            (DeclineReason::PinIncorrect, true),
            (DeclineReason::CryptogramInvalid, true),
            (DeclineReason::VerificationTriesExceeded, false),
            (DeclineReason::CardFrozen, false),
            (DeclineReason::InsufficientFunds, false),
        ] {
            assert_eq!(is_failed_try(reason), is_try, "{reason:?}");
        }
    }
}
