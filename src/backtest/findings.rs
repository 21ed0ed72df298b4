//! What a backtest found, added up, and as JSON. How it is found is in `history.rs`; as text it is in `cli::backtest_report`.

use crate::engine::backtest::{Came, Looked};
use crate::engine::command::Authorize;
use crate::engine::event::Authorized;
use crate::engine::ids::{AuthorizationId, CardId};
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::engine::time::Timestamp;
use crate::journal::Sequence;
use arrayvec::ArrayString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Merchants printed, and merchants counted: those that come up later are left out.
const TOP_MERCHANTS: usize = 10;
const MERCHANTS_MAX: usize = 100_000;

/// How far a run got.
pub struct Ran {
    pub first: Sequence,
    pub last: Sequence,
    pub elapsed: Duration,
}

#[derive(Default)]
pub struct Findings {
    examples_max: usize,
    pub decisions: u64,
    /// In the order of `WORDS`.
    pub changed: [Tally; WORDS.len()],
    pub declined_anyway: u64,
    pub failed: u64,
    pub first_fault: Option<String>,
    pub reasons: BTreeMap<DeclineReason, u64>,
    merchants: BTreeMap<(ArrayString<15>, ArrayString<40>), u64>,
    pub examples: Vec<Example>,
}

/// What changes are called.
pub const WORDS: [&str; 4] = [
    "newly_declined",
    "newly_approved",
    "newly_flagged",
    "newly_three_ds_required",
];

#[derive(Default)]
pub struct Tally {
    pub count: u64,
    pub amounts_minor: BTreeMap<Currency, i64>,
}

/// One request that something would have changed for.
pub struct Example {
    pub authorization_id: AuthorizationId,
    pub card_id: CardId,
    pub at: Timestamp,
    pub amount_minor: i64,
    pub currency: Currency,
    pub merchant_name: ArrayString<40>,
    pub merchant_id: ArrayString<15>,
    pub word: &'static str,
    /// Of the decline that would have been, or of the one that was.
    pub reason: Option<DeclineReason>,
}

impl Findings {
    pub fn new(examples_max: usize) -> Findings {
        Findings {
            examples_max,
            ..Findings::default()
        }
    }

    pub fn add(
        &mut self,
        at: Timestamp,
        authorize: &Authorize,
        recorded: &Authorized,
        looked: Looked,
    ) {
        self.decisions += 1;
        let recorded_reason = recorded.decision.decline().map(|decline| decline.reason);
        let (place, reason) = match looked.came {
            Came::AsItWas => return,
            Came::DeclinedAnyway => {
                self.declined_anyway += 1;
                return;
            }
            Came::Failed(fault) => {
                self.failed += 1;
                self.first_fault.get_or_insert_with(|| fault.to_string());
                return;
            }
            Came::Declined { reason, .. } => (0, Some(reason)),
            Came::Approved => (1, recorded_reason),
            Came::Flagged => (2, None),
            Came::ThreeDsRequired => (3, None),
        };
        let (amount_minor, currency) = (recorded.amount_minor, looked.account_currency);
        let tally = &mut self.changed[place];
        tally.count += 1;
        let sum = tally.amounts_minor.entry(currency).or_default();
        *sum = sum.saturating_add(amount_minor);
        if let Some(reason) = reason {
            *self.reasons.entry(reason).or_default() += 1;
        }
        let merchant = (authorize.merchant.id, authorize.merchant.name);
        if self.merchants.len() < MERCHANTS_MAX || self.merchants.contains_key(&merchant) {
            *self.merchants.entry(merchant).or_default() += 1;
        }
        if self.examples.len() < self.examples_max {
            self.examples.push(Example {
                authorization_id: authorize.authorization_id,
                card_id: authorize.card_id,
                at,
                amount_minor,
                currency,
                merchant_name: authorize.merchant.name,
                merchant_id: authorize.merchant.id,
                word: WORDS[place],
                reason,
            });
        }
    }

    pub fn per_second(&self, ran: &Ran) -> u64 {
        let seconds = ran.elapsed.as_secs_f64().max(0.001);
        (self.decisions as f64 / seconds) as u64
    }

    /// Those with the most changes, and among equals by id.
    pub fn top_merchants(&self) -> Vec<(&ArrayString<15>, &ArrayString<40>, u64)> {
        let merchants = self.merchants.iter();
        let mut merchants: Vec<_> = merchants
            .map(|((id, name), count)| (id, name, *count))
            .collect();
        merchants.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
        merchants.truncate(TOP_MERCHANTS);
        merchants
    }

    pub fn to_json(&self, tried: &str, ran: &Ran) -> Value {
        let mut json = json!({
            "tried": tried,
            "first_record": ran.first,
            "last_record": ran.last,
            "decisions": self.decisions,
            "decisions_per_second": self.per_second(ran),
        });
        for (word, tally) in WORDS.iter().zip(&self.changed) {
            let amounts = tally.amounts_minor.iter();
            let amounts = amounts.map(|(currency, sum)| (currency.alpha().to_owned(), json!(sum)));
            let amounts: serde_json::Map<_, _> = amounts.collect();
            json[*word] = json!({ "count": tally.count, "amounts": amounts });
        }
        let reasons = self.reasons.iter();
        let reasons: serde_json::Map<_, _> = reasons
            .map(|(reason, count)| (reason.name().to_owned(), json!(count)))
            .collect();
        let merchants = self.top_merchants().into_iter();
        let merchants: Vec<_> = merchants
            .map(|(id, name, count)| json!({ "id": id, "name": name, "count": count }))
            .collect();
        json["declined_anyway"] = self.declined_anyway.into();
        json["evaluation_errors"] = json!({ "count": self.failed, "first": self.first_fault });
        json["reasons"] = reasons.into();
        json["merchants"] = merchants.into();
        json["examples"] = self.examples.iter().map(Example::to_json).collect();
        json
    }
}

impl Example {
    fn to_json(&self) -> Value {
        json!({
            "authorization_id": self.authorization_id.to_string(),
            "card_id": self.card_id.to_string(),
            "created_at": self.at.to_string(),
            "amount": self.amount_minor,
            "currency": self.currency.alpha(),
            "merchant": { "id": self.merchant_id, "name": self.merchant_name },
            "change": self.word,
            "reason": self.reason.map(DeclineReason::name),
        })
    }
}
