//! What a backtest found, added up and printed. How it is found does not live here (see `backtest.rs`).

use crate::engine::backtest::{Came, Looked};
use crate::engine::command::Authorize;
use crate::engine::event::Authorized;
use crate::engine::ids::{AuthorizationId, CardId};
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::engine::time::Timestamp;
use crate::journal::Sequence;
use arrayvec::ArrayString;
use comfy_table::{CellAlignment, Table, presets};
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
    decisions: u64,
    /// In the order of `WORDS`.
    changed: [Tally; WORDS.len()],
    declined_anyway: u64,
    failed: u64,
    first_fault: Option<String>,
    reasons: BTreeMap<DeclineReason, u64>,
    merchants: BTreeMap<(ArrayString<15>, ArrayString<40>), u64>,
    examples: Vec<Example>,
}

/// What changes are called.
const WORDS: [&str; 4] = [
    "newly_declined",
    "newly_approved",
    "newly_flagged",
    "newly_three_ds_required",
];

#[derive(Default)]
struct Tally {
    count: u64,
    amounts_minor: BTreeMap<Currency, i64>,
}

/// One request that something would have changed for.
struct Example {
    authorization_id: AuthorizationId,
    card_id: CardId,
    at: Timestamp,
    amount_minor: i64,
    currency: Currency,
    merchant_name: ArrayString<40>,
    merchant_id: ArrayString<15>,
    word: &'static str,
    /// Of the decline that would have been, or of the one that was.
    reason: Option<DeclineReason>,
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

    fn per_second(&self, ran: &Ran) -> u64 {
        let seconds = ran.elapsed.as_secs_f64().max(0.001);
        (self.decisions as f64 / seconds) as u64
    }

    /// Those with the most changes, and among equals by id.
    fn top_merchants(&self) -> Vec<(&ArrayString<15>, &ArrayString<40>, u64)> {
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

    pub fn to_text(&self, tried: &str, ran: &Ran) -> String {
        let mut text = format!(
            "{tried}\n{} requests in records {} to {}, {} a second\n\n",
            self.decisions,
            ran.first,
            ran.last,
            self.per_second(ran)
        );
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["would be", "requests", "amount"]);
        for (word, tally) in WORDS.iter().zip(&self.changed) {
            let amounts = tally.amounts_minor.iter();
            let amounts: Vec<_> = amounts
                .map(|(currency, sum)| format!("{} {}", currency.decimal(*sum), currency.alpha()))
                .collect();
            table.add_row([
                word.replace('_', " "),
                tally.count.to_string(),
                amounts.join(", "),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        text.push_str(&format!("{table}\n"));
        self.notes(&mut text);
        text
    }

    fn notes(&self, text: &mut String) {
        if self.declined_anyway > 0 {
            let count = self.declined_anyway;
            text.push_str(&format!("matched, and were declined anyway: {count}\n"));
        }
        if self.failed > 0 {
            let (count, fault) = (self.failed, self.first_fault.as_deref().unwrap_or_default());
            text.push_str(&format!(
                "could not be evaluated: {count} (the first: {fault})\n"
            ));
        }
        if !self.reasons.is_empty() {
            text.push_str("\nreasons\n");
        }
        for (reason, count) in &self.reasons {
            text.push_str(&format!("{count:>8}  {}\n", reason.name()));
        }
        if !self.merchants.is_empty() {
            text.push_str("\nmerchants\n");
        }
        for (id, name, count) in self.top_merchants() {
            text.push_str(&format!("{count:>8}  {name} {id}\n"));
        }
        if !self.examples.is_empty() {
            text.push_str("\nexamples\n");
        }
        for example in &self.examples {
            text.push_str(&example.to_text());
        }
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

    fn to_text(&self) -> String {
        format!(
            "{}  {}  {:>12} {}  {}  {} {}\n",
            self.authorization_id,
            self.at,
            self.currency.decimal(self.amount_minor),
            self.currency.alpha(),
            self.merchant_name,
            self.word.replace('_', " "),
            self.reason.map_or("", DeclineReason::name)
        )
    }
}
