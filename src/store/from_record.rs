//! How a journal record becomes rows of the objects that the API makes. Those of messages are made in
//! `from_message.rs`; summing what many records do to one row lives in `batch.rs`.

use super::database::{RowChange, Value};
use super::rows::{
    AccountRow, AuditRow, CardLinkRow, CardRevealRow, CardRow, LedgerAccountName, LedgerEntryRow,
    ProgramRow, Sequence, TransactionRow,
};
use crate::engine::audit::{AuditEntry, Requester};
use crate::engine::command::OpenAccount;
use crate::engine::event::{LedgerAccount, Posting};
use crate::engine::ids::{AccountId, AuditId, AuthorizationId, CardId, LinkId};
use crate::engine::money::Currency;
use crate::engine::programs::{Bin, BinFacts, ChangeProgram, LimitThresholds, Program};
use crate::engine::record::Record;
use crate::engine::registry::{IssueCard, RevealCard};
use crate::engine::shipping::ShippingStatus;
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::Timestamp;
use arrayvec::ArrayString;
use serde_json::{Value as Json, json};

/// Free text as a row keeps it. Postgres has no NUL in text, and a wire may send one.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', " ")
}

pub(super) fn clean_array<const N: usize>(text: &ArrayString<N>) -> ArrayString<N> {
    if !text.contains('\0') {
        return *text;
    }
    // A space is as long as the NUL that it stands for.
    ArrayString::from(&clean(text)).unwrap_or_default()
}

/// A currency as its letters lead back to it.
pub(super) fn lettered(currency: Currency) -> Currency {
    Currency::from_alpha(currency.alpha()).unwrap_or_default()
}

/// When the record's command was taken, and by which engine it was decided.
pub fn taken(record: &Record) -> (Timestamp, u16) {
    match record {
        Record::Shard {
            engine_version,
            command,
            ..
        } => (command.at, *engine_version),
        Record::Registry {
            engine_version,
            command,
            ..
        } => (command.at, *engine_version),
    }
}

pub(super) fn program_row(sequence: Sequence, program: &Program) -> ProgramRow {
    ProgramRow {
        id: program.id,
        sequence,
        name: clean(&program.name),
        network: clean(&program.network),
        bin: clean_array(&program.bin),
        currency: lettered(program.currency),
        created_at_ms: program.created_at,
        status: program.status,
        bins: bins_text(program.bins()),
        product_type: program.product_type.as_deref().map(clean),
        region: program.region.as_deref().map(clean),
        limit_threshold_percents: percents_text(&program.limit_threshold_percents),
        bin_facts: bin_facts_text(&program.bin_facts),
        master_account_id: program.master_account_id,
    }
}

/// A list of objects as JSON, in which `null` is the program's own.
fn bin_facts_text(facts: &[BinFacts]) -> String {
    let text = |text: &Option<Box<str>>| text.as_deref().map(clean);
    let json = facts.iter().map(|facts| {
        json!({
            "bin": clean(&facts.bin),
            "network": text(&facts.network),
            "region": text(&facts.region),
            "product_type": text(&facts.product_type),
        })
    });
    json.collect::<Json>().to_string()
}

/// Digits, with spaces between them.
fn bins_text<'a>(bins: impl Iterator<Item = &'a Bin>) -> String {
    let bins: Vec<&str> = bins.map(Bin::as_str).collect();
    clean(&bins.join(" "))
}

fn percents_text(thresholds: &LimitThresholds) -> String {
    let percents = thresholds.percents().iter().map(u8::to_string);
    percents.collect::<Vec<_>>().join(" ")
}

/// Of what may be changed, what the tables have.
pub(super) fn program_change(change: &ChangeProgram) -> Option<RowChange> {
    let text = |text: &str| Value::Text(clean(text));
    let bins = change.bins.as_deref();
    let thresholds = change.limit_threshold_percents.as_ref();
    let columns = [
        ("name", change.name.as_deref().map(text)),
        ("status", change.status.map(|status| text(status.name()))),
        (
            "bin",
            bins.and_then(<[Bin]>::first).map(|bin| text(bin.as_str())),
        ),
        ("bins", bins.map(|bins| Value::Text(bins_text(bins.iter())))),
        ("product_type", change.product_type.as_deref().map(text)),
        ("region", change.region.as_deref().map(text)),
        (
            "limit_threshold_percents",
            thresholds.map(|percents| Value::Text(percents_text(percents))),
        ),
        (
            "bin_facts",
            bins.map(|_| Value::Text(bin_facts_text(&change.bin_facts))),
        ),
        (
            "master_account_id",
            change.master_account_id.map(|id| match id {
                Some(id) => Value::Text(id.to_string()),
                None => Value::Null,
            }),
        ),
    ];
    let columns = columns.into_iter();
    let columns: Vec<_> = columns
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    (!columns.is_empty()).then(|| RowChange {
        table: "programs",
        id: change.id.to_string(),
        columns,
    })
}

pub(super) fn account_row(
    sequence: Sequence,
    root: AccountId,
    at: Timestamp,
    open: &OpenAccount,
) -> AccountRow {
    AccountRow {
        id: open.account_id,
        sequence,
        root_id: root,
        parent_id: open.parent_id,
        program_id: open.program_id,
        name: open.name.as_deref().map(clean),
        currency: lettered(open.currency),
        status: AccountStatus::Active,
        posted_minor: 0,
        held_minor: 0,
        created_at_ms: at,
        card_id: None,
    }
}

/// So many digits, the last ones of a number.
pub(super) fn digits<const N: usize>(number: u32) -> ArrayString<N> {
    let text = format!("{:0N$}", u64::from(number) % 10_u64.pow(N as u32));
    ArrayString::from(&text).unwrap_or_default()
}

pub(super) fn card_row(sequence: Sequence, at: Timestamp, issue: &IssueCard) -> CardRow {
    CardRow {
        id: issue.card_id,
        sequence,
        account_id: issue.account_id,
        program_id: issue.program_id,
        card_type: issue.card_type,
        status: CardStatus::Inactive,
        first6: digits(issue.first6),
        last4: digits(u32::from(issue.last4)),
        exp_month: issue.expiry.month(),
        exp_year: issue.expiry.year(),
        created_at_ms: at,
        replacement_for: None,
        shipping_status: issue.shipping.as_ref().map(|_| ShippingStatus::Ordered),
        cardholder_id: issue.cardholder_id,
        status_reason: String::new(),
    }
}

/// The links of a card, each once: a list may name one twice.
pub(super) fn card_link_rows(issue: &IssueCard, numbers: &[LinkId]) -> Vec<CardLinkRow> {
    let mut rows: Vec<CardLinkRow> = Vec::with_capacity(issue.links.len());
    for (link, number) in issue.links.iter().zip(numbers) {
        let row = CardLinkRow {
            card_id: issue.card_id,
            program_id: link.program_id,
            link_type: clean(&link.link_type),
            link_id: clean(&link.id),
            number: *number,
        };
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}

/// A request that has changed something, and of which no more is known.
pub(super) fn begun_row(sequence: Sequence, at: Timestamp, requester: &Requester) -> AuditRow {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let key = requester.api_key_id.map(|id| id.to_string());
    AuditRow {
        sequence,
        id: AuditId(sequence),
        api_key_id: key.unwrap_or_else(|| "root".to_owned()),
        action: requester.action.to_string(),
        object_id: text(&requester.object_id),
        program_id: None,
        request_id: requester.request_id.to_string(),
        address: text(&requester.address),
        before_json: None,
        after_json: None,
        created_at_ms: at,
        outcome: "unknown".to_owned(),
        error_code: None,
    }
}

/// How it ended.
pub(super) fn audit_row(sequence: Sequence, at: Timestamp, entry: &AuditEntry) -> AuditRow {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let begun = begun_row(sequence, at, &entry.requester);
    let outcome = if entry.error_code.is_some() {
        "failed"
    } else {
        "done"
    };
    AuditRow {
        object_id: text(&entry.object_id).or(begun.object_id),
        program_id: entry.program_id,
        before_json: text(&entry.before),
        after_json: text(&entry.after),
        outcome: outcome.to_owned(),
        error_code: text(&entry.error_code),
        ..begun
    }
}

pub(super) fn card_reveal_row(
    sequence: Sequence,
    at: Timestamp,
    reveal: &RevealCard,
) -> CardRevealRow {
    CardRevealRow {
        sequence,
        card_id: reveal.card_id,
        reason: clean(&reveal.reason),
        api_key_id: clean(&reveal.api_key_id),
        created_at_ms: at,
    }
}

/// What posted some legs.
pub(super) struct LedgerSource {
    pub account_id: AccountId,
    pub currency: Currency,
    pub source_type: &'static str,
    pub source_id: String,
    pub card_id: Option<CardId>,
    pub authorization_id: Option<AuthorizationId>,
}

impl LedgerSource {
    pub fn transaction(transaction: &TransactionRow) -> LedgerSource {
        LedgerSource {
            account_id: transaction.account_id,
            currency: transaction.currency,
            source_type: "transaction",
            source_id: transaction.id.to_string(),
            card_id: Some(transaction.card_id),
            authorization_id: Some(transaction.authorization_id),
        }
    }
}

pub(super) fn ledger_entry_row(
    sequence: Sequence,
    at: Timestamp,
    leg: usize,
    source: &LedgerSource,
    posting: &Posting,
) -> LedgerEntryRow {
    let (account_id, ledger_account) = match posting.ledger_account {
        LedgerAccount::Customer(id) => (id, LedgerAccountName::Customer),
        LedgerAccount::FundsReceived => (source.account_id, LedgerAccountName::FundsReceived),
        LedgerAccount::NetworkSettlement => {
            (source.account_id, LedgerAccountName::NetworkSettlement)
        }
        LedgerAccount::Rounding => (source.account_id, LedgerAccountName::Rounding),
        LedgerAccount::MarkUp => (source.account_id, LedgerAccountName::MarkUp),
        LedgerAccount::Fees => (source.account_id, LedgerAccountName::Fees),
        LedgerAccount::ResellerMarkUp => (source.account_id, LedgerAccountName::ResellerMarkUp),
        LedgerAccount::InTransit => (source.account_id, LedgerAccountName::InTransit),
    };
    LedgerEntryRow {
        sequence,
        leg: leg as u16,
        account_id,
        ledger_account,
        amount_minor: posting.amount_minor,
        currency: source.currency,
        source_type: source.source_type.to_owned(),
        source_id: source.source_id.clone(),
        created_at_ms: at,
        card_id: source.card_id,
        authorization_id: source.authorization_id,
    }
}
