//! How a journal record becomes rows of the objects that the API makes. Those of messages are made in
//! `from_message.rs`; summing what many records do to one row lives in `batch.rs`.

use super::rows::{
    AccountRow, AuditRow, CardLinkRow, CardRevealRow, CardRow, LedgerAccountName, LedgerEntryRow,
    ProgramRow, Sequence, TransactionRow,
};
use crate::engine::audit::AuditEntry;
use crate::engine::command::OpenAccount;
use crate::engine::event::{LedgerAccount, Posting};
use crate::engine::ids::{AccountId, AuditId};
use crate::engine::money::Currency;
use crate::engine::record::Record;
use crate::engine::registry::{IssueCard, Program, RevealCard};
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::Timestamp;
use arrayvec::ArrayString;

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
    }
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
    }
}

pub(super) fn card_row(sequence: Sequence, at: Timestamp, issue: &IssueCard) -> CardRow {
    let digits6 = format!("{:06}", issue.first6 % 1_000_000);
    let digits4 = format!("{:04}", issue.last4 % 10_000);
    CardRow {
        id: issue.card_id,
        sequence,
        account_id: issue.account_id,
        program_id: issue.program_id,
        card_type: issue.card_type,
        status: CardStatus::Inactive,
        first6: ArrayString::from(&digits6).unwrap_or_default(),
        last4: ArrayString::from(&digits4).unwrap_or_default(),
        exp_month: issue.expiry.month(),
        exp_year: issue.expiry.year(),
        created_at_ms: at,
        replacement_for: None,
        cardholder_id: issue.cardholder_id,
    }
}

/// The links of a card, each once: a list may name one twice.
pub(super) fn card_link_rows(issue: &IssueCard) -> Vec<CardLinkRow> {
    let mut rows: Vec<CardLinkRow> = Vec::with_capacity(issue.links.len());
    for link in &issue.links {
        let row = CardLinkRow {
            card_id: issue.card_id,
            program_id: link.program_id,
            link_type: clean(&link.link_type),
            link_id: clean(&link.id),
        };
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}

pub(super) fn audit_row(sequence: Sequence, at: Timestamp, entry: &AuditEntry) -> AuditRow {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let key = entry.api_key_id.map(|id| id.to_string());
    AuditRow {
        sequence,
        id: AuditId(sequence),
        api_key_id: key.unwrap_or_else(|| "root".to_owned()),
        action: entry.action.to_string(),
        object_id: text(&entry.object_id),
        program_id: entry.program_id,
        request_id: entry.request_id.to_string(),
        address: text(&entry.address),
        before_json: text(&entry.before),
        after_json: text(&entry.after),
        created_at_ms: at,
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
}

impl LedgerSource {
    pub fn transaction(transaction: &TransactionRow) -> LedgerSource {
        LedgerSource {
            account_id: transaction.account_id,
            currency: transaction.currency,
            source_type: "transaction",
            source_id: transaction.id.to_string(),
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
    }
}
