//! The rows of the tables, and how a journal record becomes one: the same functions serve the
//! projection and the tail. Summing what many records do to one row lives in `batch.rs`.

use super::columns::{Column, Sink, Source, TableRow, named_columns};
use crate::engine::command::{Authorize, CardType, OpenAccount, Reverse, TopUp};
use crate::engine::event::{
    ApprovalCode, Authorized, Decision, Event, LedgerAccount, Posting, ReversalOutcome, Reversed,
    RuleId,
};
use crate::engine::facts::{Channel, Country, EntryMode, Kind};
use crate::engine::ids::{AccountId, AuthorizationId, CardId, ProgramId, ReversalId, TopUpId};
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::engine::record::Record;
use crate::engine::registry::{IssueCard, Program, RegistryAction, RegistryEvent};
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::Timestamp;
use crate::engine::trace::{Step, Trace};
use arrayvec::ArrayString;

/// Number of a record in the journal.
pub type Sequence = u64;

macro_rules! table {
    ($(#[$doc:meta])* $row:ident in $table:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $row { $($(#[$field_doc])* pub $field: $type,)* }

        impl TableRow for $row {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field),)*];

            fn put(&self, sink: &mut impl Sink) {
                $(self.$field.put(sink);)*
            }

            fn take(source: &dyn Source, at: usize) -> Result<Self, sqlx::Error> {
                let mut places = at..;
                let mut next = || places.next().unwrap_or_default();
                Ok($row { $($field: Column::take(source, next())?,)* })
            }
        }
    };
}

table! {
    ProgramRow in "programs" {
        id: ProgramId,
        sequence: Sequence,
        name: String,
        network: String,
        bin: ArrayString<8>,
        currency: Currency,
        created_at_ms: Timestamp,
    }
}

table! {
    /// An account with its sums as of the projection's position.
    AccountRow in "accounts" {
        id: AccountId,
        sequence: Sequence,
        root_id: AccountId,
        parent_id: Option<AccountId>,
        program_id: ProgramId,
        name: Option<String>,
        currency: Currency,
        status: AccountStatus,
        posted_minor: i64,
        held_minor: i64,
        created_at_ms: Timestamp,
    }
}

table! {
    /// A card with its own status (its links may make the effective one worse). `inactive` from its
    /// issue until its shard has opened it.
    CardRow in "cards" {
        id: CardId,
        sequence: Sequence,
        account_id: AccountId,
        program_id: ProgramId,
        card_type: CardType,
        status: CardStatus,
        /// Six digits.
        first6: ArrayString<6>,
        /// Four digits.
        last4: ArrayString<4>,
        exp_month: u8,
        exp_year: u16,
        created_at_ms: Timestamp,
    }
}

table! {
    CardLinkRow in "card_links" {
        card_id: CardId,
        program_id: ProgramId,
        link_type: String,
        link_id: String,
    }
}

table! {
    /// One decided request. `amount_minor` is what was asked in the account's currency, `currency`
    /// that currency (the transaction's where there is no account).
    AuthorizationRow in "authorizations" {
        sequence: Sequence,
        id: AuthorizationId,
        card_id: CardId,
        account_id: Option<AccountId>,
        kind: Kind,
        amount_minor: i64,
        currency: Currency,
        transaction_minor: i64,
        transaction_currency: Currency,
        merchant_id: ArrayString<15>,
        merchant_name: ArrayString<40>,
        merchant_city: ArrayString<16>,
        merchant_country: Country,
        mcc: u16,
        entry_mode: EntryMode,
        channel: Channel,
        network: ArrayString<16>,
        acquirer_id: ArrayString<11>,
        terminal_id: ArrayString<8>,
        rrn: ArrayString<12>,
        stan: u32,
        status: AuthorizationStatus,
        result: AuthorizationResult,
        reason: Option<DeclineReason>,
        step: Option<Step>,
        rule_id: Option<RuleId>,
        approval_code: Option<ApprovalCode>,
        available_minor: i64,
        registry_version: u64,
        engine_version: u16,
        /// When the hold ends by itself; absent where nothing is held.
        expires_at_ms: Option<Timestamp>,
        created_at_ms: Timestamp,
        trace: Trace,
    }
}

table! {
    /// One reversal, whatever came of it. `amount_minor` is what was released, in the account's currency.
    ReversalRow in "reversals" {
        sequence: Sequence,
        id: ReversalId,
        card_id: CardId,
        authorization_id: Option<AuthorizationId>,
        outcome: ReversalResultName,
        amount_minor: i64,
        transaction_minor: i64,
        transaction_currency: Currency,
        network: ArrayString<16>,
        acquirer_id: ArrayString<11>,
        terminal_id: ArrayString<8>,
        rrn: ArrayString<12>,
        stan: u32,
        registry_version: u64,
        created_at_ms: Timestamp,
    }
}

table! {
    TopUpRow in "top_ups" {
        id: TopUpId,
        sequence: Sequence,
        account_id: AccountId,
        amount_minor: i64,
        currency: Currency,
        method: String,
        external_reference: Option<String>,
        status: TopUpStatus,
        created_at_ms: Timestamp,
    }
}

table! {
    /// One leg of a posting; the legs of a sequence sum to zero. A contra leg names the account whose
    /// money it is the other side of.
    LedgerEntryRow in "ledger_entries" {
        sequence: Sequence,
        leg: u16,
        account_id: AccountId,
        ledger_account: LedgerAccountName,
        amount_minor: i64,
        currency: Currency,
        source_type: String,
        source_id: String,
        created_at_ms: Timestamp,
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident { $($variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $($variant,)* }

        impl $type {
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($text => Some($type::$variant),)* _ => None }
            }
        }

        named_columns! { $type: $type::name, $type::from_name; }
    )*};
}

names! {
    /// What has become of an authorization.
    AuthorizationStatus { Pending = "pending", Reversed = "reversed", Declined = "declined", }
    AuthorizationResult { Approved = "approved", Declined = "declined", }
    ReversalResultName {
        Released = "released",
        OriginalUnknown = "original_unknown",
        AlreadyReversed = "already_reversed",
        Duplicate = "duplicate",
    }
    TopUpStatus { Settled = "settled", }
    LedgerAccountName { Customer = "customer", FundsReceived = "funds_received", }
}

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
    use crate::engine::command::Action;
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
    use crate::engine::command::Action;
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
    let (status, result, approval_code) = match &authorized.decision {
        Decision::Approved { approval_code } => (
            AuthorizationStatus::Pending,
            AuthorizationResult::Approved,
            Some(*approval_code),
        ),
        Decision::Declined(_) => (
            AuthorizationStatus::Declined,
            AuthorizationResult::Declined,
            None,
        ),
    };
    let currency = authorized.account_id.and_then(currency_of);
    Some(AuthorizationRow {
        sequence,
        id: authorize.authorization_id,
        card_id: authorize.card_id,
        account_id: authorized.account_id,
        kind: authorize.kind,
        amount_minor: authorized.amount_minor,
        currency: lettered(currency.unwrap_or(transaction.currency)),
        transaction_minor: transaction.amount_minor,
        transaction_currency: lettered(transaction.currency),
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
        approval_code,
        available_minor: authorized.available_minor,
        registry_version: authorized.registry_version,
        engine_version,
        expires_at_ms: authorized.hold.as_ref().map(|hold| hold.expires_at),
        created_at_ms: created_at,
        trace: authorized.trace.clone(),
    })
}

/// Moves the row of an authorization by a later record.
pub fn apply_to_authorization(row: &mut AuthorizationRow, record: &Record) {
    if let Some((_, reversed)) = reversal_of(record)
        && released(reversed).is_some_and(|(id, _)| id == row.id)
    {
        row.status = AuthorizationStatus::Reversed;
    }
}

/// The authorization that a reversal released, with the amount in the account's currency.
pub fn released(reversed: &Reversed) -> Option<(AuthorizationId, i64)> {
    match reversed.outcome {
        ReversalOutcome::Released {
            authorization_id,
            amount_minor,
        } => Some((authorization_id, amount_minor)),
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
            ReversalOutcome::Released { .. } => ReversalResultName::Released,
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
        LedgerAccount::FundsReceived => (top_up.account_id, LedgerAccountName::FundsReceived),
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
