//! How a journal record becomes rows: the same functions serve the projection and the tail. Summing
//! what many records do to one row lives in `batch.rs`.

use super::rows::{
    AccountRow, AuthorizationResult, AuthorizationRow, AuthorizationStatus, CardLinkRow,
    CardRevealRow, CardRow, LedgerAccountName, LedgerEntryRow, ProgramRow, ReversalResultName,
    ReversalRow, Sequence, TopUpRow, TopUpStatus,
};
use crate::engine::command::{Action, Authorize, OpenAccount, Reverse, TopUp};
use crate::engine::event::{
    Authorized, Decision, Event, LedgerAccount, Posting, ReversalOutcome, Reversed,
};
use crate::engine::ids::{AccountId, AuthorizationId};
use crate::engine::money::Currency;
use crate::engine::record::Record;
use crate::engine::registry::{IssueCard, Program, RegistryAction, RegistryEvent, RevealCard};
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::Timestamp;
use arrayvec::ArrayString;

/// Free text as a row keeps it. Postgres has no NUL in text, and a wire may send one.
fn clean(text: &str) -> String {
    text.replace('\0', " ")
}

fn clean_array<const N: usize>(text: &ArrayString<N>) -> ArrayString<N> {
    if !text.contains('\0') {
        return *text;
    }
    // A space is as long as the NUL that it stands for.
    ArrayString::from(&clean(text)).unwrap_or_default()
}

/// A currency as its letters lead back to it.
fn lettered(currency: Currency) -> Currency {
    Currency::from_alpha(currency.alpha()).unwrap_or_default()
}

/// The authorization request of a record with its decision, if it is the record of one: of a shard,
/// or of the registry for a card that nobody issued.
pub fn authorization_of(record: &Record) -> Option<(&Authorize, &Authorized)> {
    match record {
        Record::Shard { command, event, .. } => match (&command.action, event) {
            (Action::Authorize(authorize), Event::Authorized(authorized)) => {
                Some((authorize, authorized))
            }
            _ => None,
        },
        Record::Registry { command, event, .. } => match (&command.action, event) {
            (
                RegistryAction::AuthorizeUnknownCard { authorize, .. },
                RegistryEvent::Authorized(authorized),
            ) => Some((authorize, authorized)),
            _ => None,
        },
    }
}

/// The reversal of a record with its outcome, if it is the record of one.
pub fn reversal_of(record: &Record) -> Option<(&Reverse, &Reversed)> {
    match record {
        Record::Shard { command, event, .. } => match (&command.action, event) {
            (Action::Reverse(reverse), Event::Reversed(reversed)) => Some((reverse, reversed)),
            _ => None,
        },
        Record::Registry { command, event, .. } => match (&command.action, event) {
            (RegistryAction::ReverseUnknownCard(reverse), RegistryEvent::Reversed(reversed)) => {
                Some((reverse, reversed))
            }
            _ => None,
        },
    }
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

/// The row of an authorization as its decision left it; `None` for any other record.
/// `currency_of` knows the currency of an account.
pub fn authorization_row(
    sequence: Sequence,
    record: &Record,
    currency_of: impl Fn(AccountId) -> Option<Currency>,
) -> Option<AuthorizationRow> {
    let (authorize, authorized) = authorization_of(record)?;
    let (created_at, engine_version) = taken(record);
    let (reference, merchant) = (&authorize.reference, &authorize.merchant);
    let transaction = authorize.amounts.transaction;
    let decline = authorized.decision.decline();
    let (status, result) = status_and_result(&authorized.decision);
    let approved_minor = match (&authorized.decision, &authorized.hold) {
        (Decision::PartiallyApproved { .. }, Some(hold)) => hold.amount_minor,
        _ => authorized.amount_minor,
    };
    let conversion = authorized.conversion.as_deref();
    let account_currency = authorized.account_id.and_then(currency_of);
    let currency = account_currency.unwrap_or(transaction.currency);
    // An amount without a currency is in the account's.
    let transaction_currency = match transaction.currency {
        Currency::ABSENT => currency,
        named => named,
    };
    Some(AuthorizationRow {
        sequence,
        id: authorize.authorization_id,
        card_id: authorize.card_id,
        account_id: authorized.account_id,
        kind: authorize.kind,
        amount_minor: approved_minor,
        requested_minor: authorized.amount_minor,
        currency: lettered(currency),
        transaction_minor: transaction.amount_minor,
        transaction_currency: lettered(transaction_currency),
        merchant_id: clean_array(&merchant.id),
        merchant_name: clean_array(&merchant.name),
        merchant_city: clean_array(&merchant.city),
        merchant_country: merchant.country,
        mcc: merchant.mcc,
        entry_mode: authorize.entry_mode,
        channel: authorize.channel,
        network: clean_array(&reference.network),
        acquirer_id: clean_array(&reference.acquirer_id),
        terminal_id: clean_array(&reference.terminal_id),
        rrn: clean_array(&reference.rrn),
        stan: reference.stan,
        status,
        result,
        reason: decline.map(|decline| decline.reason),
        step: decline.map(|decline| decline.step),
        rule_id: decline.and_then(|decline| decline.rule),
        approval_code: authorized.decision.approval_code(),
        available_minor: authorized.available_minor,
        registry_version: authorized.registry_version,
        engine_version,
        expires_at_ms: authorized.hold.as_ref().map(|hold| hold.expires_at),
        created_at_ms: created_at,
        trace: authorized.trace.clone(),
        network_minor: conversion.map_or(approved_minor, |found| found.network_minor),
        rate_source: conversion.map(|found| found.source),
        rate_from_currency: conversion.map(|found| lettered(found.from)),
        rate: conversion.map(|found| found.rate),
        rate_version: conversion.and_then(|found| found.table_version),
        mark_up_basis_points: conversion.map_or(0, |found| found.mark_up_basis_points),
        mark_up_minor: conversion.map_or(0, |found| found.mark_up_minor),
        rounding_minor: conversion.map_or(0, |found| found.rounding_minor),
    })
}

fn status_and_result(decision: &Decision) -> (AuthorizationStatus, AuthorizationResult) {
    match decision {
        Decision::Approved { .. } => (AuthorizationStatus::Pending, AuthorizationResult::Approved),
        Decision::PartiallyApproved { .. } => (
            AuthorizationStatus::Pending,
            AuthorizationResult::PartiallyApproved,
        ),
        Decision::Declined(_) => (AuthorizationStatus::Declined, AuthorizationResult::Declined),
    }
}

/// Moves the row of an authorization by a later record.
pub fn apply_to_authorization(row: &mut AuthorizationRow, record: &Record) {
    if let Some((_, reversed)) = reversal_of(record)
        && released(reversed).is_some_and(|(id, _)| id == row.id)
    {
        row.status = AuthorizationStatus::Reversed;
    }
    if released_hold(record).is_some_and(|(id, ..)| id == row.id) {
        row.status = AuthorizationStatus::Expired;
    }
}

/// The authorization whose hold ended without a message of the network, the account, and the amount.
pub fn released_hold(record: &Record) -> Option<(AuthorizationId, AccountId, i64)> {
    let Record::Shard { command, event, .. } = record else {
        return None;
    };
    match (&command.action, event) {
        (
            Action::ReleaseHold(release),
            Event::HoldReleased {
                account_id,
                amount_minor,
                ..
            },
        ) => Some((release.authorization_id, *account_id, *amount_minor)),
        _ => None,
    }
}

/// The authorization that a reversal released, with the amount in the account's currency.
pub fn released(reversed: &Reversed) -> Option<(AuthorizationId, i64)> {
    match reversed.outcome {
        ReversalOutcome::Undone(undone) => {
            Some((undone.authorization_id, undone.released.account_minor))
        }
        ReversalOutcome::OriginalUnknown
        | ReversalOutcome::AlreadyReversed
        | ReversalOutcome::Duplicate => None,
    }
}

/// The row of a reversal; `None` for any other record.
pub fn reversal_row(sequence: Sequence, record: &Record) -> Option<ReversalRow> {
    let (reverse, reversed) = reversal_of(record)?;
    let released = released(reversed);
    let reference = &reverse.reference;
    Some(ReversalRow {
        sequence,
        id: reverse.reversal_id,
        card_id: reverse.card_id,
        authorization_id: released.map(|(id, _)| id),
        outcome: match reversed.outcome {
            ReversalOutcome::Undone(_) => ReversalResultName::Released,
            ReversalOutcome::OriginalUnknown => ReversalResultName::OriginalUnknown,
            ReversalOutcome::AlreadyReversed => ReversalResultName::AlreadyReversed,
            ReversalOutcome::Duplicate => ReversalResultName::Duplicate,
        },
        amount_minor: released.map_or(0, |(_, amount_minor)| amount_minor),
        transaction_minor: reverse.amount.amount_minor,
        transaction_currency: lettered(reverse.amount.currency),
        network: clean_array(&reference.network),
        acquirer_id: clean_array(&reference.acquirer_id),
        terminal_id: clean_array(&reference.terminal_id),
        rrn: clean_array(&reference.rrn),
        stan: reference.stan,
        registry_version: reversed.registry_version,
        created_at_ms: taken(record).0,
    })
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

pub(super) fn top_up_row(sequence: Sequence, at: Timestamp, top_up: &TopUp) -> TopUpRow {
    TopUpRow {
        id: top_up.top_up_id,
        sequence,
        account_id: top_up.account_id,
        amount_minor: top_up.amount.amount_minor,
        currency: lettered(top_up.amount.currency),
        method: clean(&top_up.method),
        external_reference: top_up.external_reference.as_deref().map(clean),
        status: TopUpStatus::Settled,
        created_at_ms: at,
    }
}

pub(super) fn ledger_entry_row(
    sequence: Sequence,
    at: Timestamp,
    leg: usize,
    top_up: &TopUp,
    posting: &Posting,
) -> LedgerEntryRow {
    let (account_id, ledger_account) = match posting.ledger_account {
        LedgerAccount::Customer(id) => (id, LedgerAccountName::Customer),
        LedgerAccount::FundsReceived | LedgerAccount::NetworkSettlement => {
            (top_up.account_id, LedgerAccountName::FundsReceived)
        }
        LedgerAccount::Rounding => (top_up.account_id, LedgerAccountName::Rounding),
        LedgerAccount::MarkUp => (top_up.account_id, LedgerAccountName::MarkUp),
    };
    LedgerEntryRow {
        sequence,
        leg: leg as u16,
        account_id,
        ledger_account,
        amount_minor: posting.amount_minor,
        currency: lettered(top_up.amount.currency),
        source_type: "top_up".to_owned(),
        source_id: top_up.top_up_id.to_string(),
        created_at_ms: at,
    }
}
