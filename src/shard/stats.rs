//! Counts that the loops keep for `/metrics`: plain atomics, added to once a turn.

use crate::engine::event::{Answer, AnswerResult, Event};
use crate::engine::idempotency::IdempotencyKeys;
use crate::engine::reason::DeclineReason;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub struct ShardStats {
    approved: AtomicU64,
    declined: Vec<AtomicU64>,
    reversals: AtomicU64,
    advices: AtomicU64,
    repeats: AtomicU64,
    turns: AtomicU64,
    records: AtomicU64,
    fees_out_of_range: AtomicU64,
    cards_due: AtomicU64,
    /// Of the registry.
    idempotency_keys: AtomicU64,
    idempotency_bytes: AtomicU64,
}

impl Default for ShardStats {
    fn default() -> ShardStats {
        let declined = DeclineReason::ALL
            .iter()
            .map(|_| AtomicU64::new(0))
            .collect();
        let zero = || AtomicU64::new(0);
        ShardStats {
            approved: zero(),
            declined,
            reversals: zero(),
            advices: zero(),
            repeats: zero(),
            turns: zero(),
            records: zero(),
            fees_out_of_range: zero(),
            cards_due: zero(),
            idempotency_keys: zero(),
            idempotency_bytes: zero(),
        }
    }
}

impl ShardStats {
    pub fn count_decision(&self, answer: &Answer) {
        let counter = match answer {
            Answer::Authorization {
                result:
                    AnswerResult::Approved { .. }
                    | AnswerResult::PartiallyApproved { .. }
                    | AnswerResult::Balances(_),
                ..
            } => &self.approved,
            Answer::Authorization {
                result: AnswerResult::Declined(reason),
                ..
            } => &self.declined[*reason as usize],
            // Counted once the customer has decided.
            Answer::Authorization {
                result: AnswerResult::Waiting,
                ..
            } => return,
            Answer::Reversal { .. } => &self.reversals,
            Answer::Advice { .. } => &self.advices,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_repeat(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_turn(&self, records: usize) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub fn note_idempotency(&self, keys: &IdempotencyKeys) {
        let count = keys.len() as u64;
        self.idempotency_keys.store(count, Ordering::Relaxed);
        self.idempotency_bytes
            .store(keys.bytes(), Ordering::Relaxed);
    }

    pub fn idempotency_keys(&self) -> u64 {
        self.idempotency_keys.load(Ordering::Relaxed)
    }

    pub fn idempotency_bytes(&self) -> u64 {
        self.idempotency_bytes.load(Ordering::Relaxed)
    }

    pub fn tell_fees_out_of_range(&self, event: &Event) {
        let charges = event.charges().iter();
        for charge in charges.filter(|charge| charge.out_of_range) {
            self.fees_out_of_range.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                account = %charge.account_id, kind = charge.kind.name(),
                "a fee was not taken: the account's balance, or the sum of its fees, would leave its range"
            );
        }
    }

    pub fn fees_out_of_range(&self) -> u64 {
        self.fees_out_of_range.load(Ordering::Relaxed)
    }

    pub fn note_cards_due(&self, count: u64) {
        self.cards_due.store(count, Ordering::Relaxed);
    }

    /// Cards whose monthly fee or expiry is still to be recorded.
    pub fn cards_due(&self) -> u64 {
        self.cards_due.load(Ordering::Relaxed)
    }

    pub fn approved(&self) -> u64 {
        self.approved.load(Ordering::Relaxed)
    }

    pub fn reversals(&self) -> u64 {
        self.reversals.load(Ordering::Relaxed)
    }

    pub fn advices(&self) -> u64 {
        self.advices.load(Ordering::Relaxed)
    }

    pub fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Declines by reason, those that happened.
    pub fn declined(&self) -> impl Iterator<Item = (DeclineReason, u64)> + '_ {
        let counts = self
            .declined
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed));
        DeclineReason::ALL
            .iter()
            .copied()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
    }
}
