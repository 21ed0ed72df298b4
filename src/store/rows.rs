//! The rows of the tables. How a journal record becomes one lives in `from_record.rs`.

use crate::engine::command::{CallOutcome, CardType};
use crate::engine::conversion::RateSource;
use crate::engine::event::{ApprovalCode, Flags, RuleId};
use crate::engine::facts::{Channel, Country, EntryMode, Kind};
use crate::engine::fees::schedule::FeeKind;
use crate::engine::ids::{
    AccountId, AuditId, AuthorizationId, CardId, CardholderId, FeeId, FeeScheduleId, LinkId,
    ProgramId, ReversalId, TokenId, TopUpId, TransactionId, TransferId,
};
use crate::engine::money::Currency;
use crate::engine::programs::ProgramStatus;
use crate::engine::rates::Rate;
use crate::engine::reason::DeclineReason;
use crate::engine::shipping::ShippingStatus;
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::time::Timestamp;
use crate::engine::tokens::TokenStatus;
use crate::engine::top_ups::TopUpStatus;
use crate::engine::trace::{Step, Trace};
use crate::engine::transfers::{ReturnReason, TransferStatus};
use arrayvec::ArrayString;

pub use crate::journal::Sequence;

macro_rules! table {
    ($(#[$doc:meta])* $row:ident in $table:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $row { $($(#[$field_doc])* pub $field: $type,)* }

        impl $crate::store::columns::TableRow for $row {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field),)*];

            fn put(&self, sink: &mut impl $crate::store::columns::Sink) {
                $($crate::store::columns::Column::put(&self.$field, sink);)*
            }

            fn take(source: &dyn $crate::store::columns::Source, at: usize) -> Result<Self, sqlx::Error> {
                let mut places = at..;
                let mut next = || places.next().unwrap_or_default();
                Ok($row { $($field: $crate::store::columns::Column::take(source, next())?,)* })
            }
        }
    };
}

pub(super) use table;

/// What rows of messages take from the account that they are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountFacts {
    pub currency: Currency,
    pub program_id: ProgramId,
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
        status: ProgramStatus,
        /// All of them, with spaces between them.
        bins: String,
        product_type: Option<String>,
        region: Option<String>,
        /// With spaces between them.
        limit_threshold_percents: String,
        /// JSON: what is said of single BINs.
        bin_facts: String,
        master_account_id: Option<AccountId>,
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
        /// The card that it was opened for, the first of its chain.
        card_id: Option<CardId>,
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
        replacement_for: Option<CardId>,
        /// Of a physical card whose making and sending is told.
        shipping_status: Option<ShippingStatus>,
        cardholder_id: Option<CardholderId>,
        /// `lost`, `stolen` or `fraud`, of one that is blocked or closed for it; else empty.
        status_reason: String,
    }
}

table! {
    /// Before a card number left to somebody who asked for it.
    CardRevealRow in "card_reveals" {
        sequence: Sequence,
        card_id: CardId,
        reason: String,
        /// The key's id, or `root`.
        api_key_id: String,
        created_at_ms: Timestamp,
    }
}

table! {
    /// What a caller of the interface has changed.
    AuditRow in "audit_log" {
        sequence: Sequence,
        id: AuditId,
        /// The key's id, or `root`.
        api_key_id: String,
        action: String,
        object_id: Option<String>,
        program_id: Option<ProgramId>,
        request_id: String,
        address: Option<String>,
        before_json: Option<String>,
        after_json: Option<String>,
        created_at_ms: Timestamp,
        /// `done`, `failed`, or `unknown` where the process ended between the change and the entry.
        outcome: String,
        error_code: Option<String>,
    }
}

table! {
    CardLinkRow in "card_links" {
        card_id: CardId,
        program_id: ProgramId,
        link_type: String,
        link_id: String,
        /// By which traces name it.
        number: LinkId,
    }
}

table! {
    /// One message about a payment: a request, or an advice that is not the completion of another row.
    /// `amount_minor` is what it stands at: held and posted, in the account's currency. Of one that was declined
    /// it is what was asked, of one that is reversed or expired what it stood at before, of one that became part
    /// of another what it added or set. `requested_minor` is what was asked, `currency` the account's (the
    /// transaction's where there is no account).
    AuthorizationRow in "authorizations" {
        sequence: Sequence,
        id: AuthorizationId,
        card_id: CardId,
        account_id: Option<AccountId>,
        kind: Kind,
        amount_minor: i64,
        requested_minor: i64,
        currency: Currency,
        /// What was asked in the merchant's currency.
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
        /// What was posted for it and not returned; below zero for a credit.
        posted_minor: i64,
        message: MessageName,
        /// The authorization that it became part of, or that it is a refund of.
        original_authorization_id: Option<AuthorizationId>,
        flags: Flags,
        /// Why a request would have been declined where the network had decided; `step` and `rule_id` are of it.
        breach_reason: Option<DeclineReason>,
        /// What the network is owed of the amount, or owes: all of it where nothing was converted.
        network_minor: i64,
        /// Of a conversion only, like the four below.
        rate_source: Option<RateSource>,
        rate_from_currency: Option<Currency>,
        rate: Option<Rate>,
        /// Of our table.
        rate_version: Option<u64>,
        mark_up_basis_points: u16,
        mark_up_minor: i64,
        rounding_minor: i64,
        /// Of one that the customer was asked about, once that is over; like the two below.
        decision_call_outcome: Option<CallOutcome>,
        decision_call_ms: Option<u32>,
        decision_call_fallback_used: Option<bool>,
        /// That the message named.
        token_id: Option<TokenId>,
        /// Of the account; absent where there is none.
        program_id: Option<ProgramId>,
        /// The part of `transaction_minor` of one that is `partially_approved`.
        approved_transaction_minor: Option<i64>,
    }
}

table! {
    /// What stands for a card; `card_id` is the last card of the chain.
    TokenRow in "tokens" {
        id: TokenId,
        sequence: Sequence,
        card_id: CardId,
        wallet: String,
        device_type: Option<String>,
        device_name: Option<String>,
        status: TokenStatus,
        /// Six digits.
        first6: ArrayString<6>,
        /// Four digits.
        last4: ArrayString<4>,
        exp_month: Option<u8>,
        exp_year: Option<u16>,
        created_at_ms: Timestamp,
    }
}

table! {
    /// One reversal, whatever came of it. What was released from a hold and what was returned of what was posted
    /// are in the account's currency; returned is below zero for a credit.
    ReversalRow in "reversals" {
        sequence: Sequence,
        id: ReversalId,
        card_id: CardId,
        authorization_id: Option<AuthorizationId>,
        outcome: ReversalResultName,
        released_minor: i64,
        returned_minor: i64,
        what: Option<UndoneName>,
        flags: Flags,
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
    /// Money that one message posted. Amounts are signed as the account sees them: below zero it paid. Of a
    /// reversal, kind and merchant are those of the authorization.
    TransactionRow in "transactions" {
        sequence: Sequence,
        /// The number of the message that posted it: of the request or advice, or of the reversal.
        id: TransactionId,
        authorization_id: AuthorizationId,
        card_id: CardId,
        account_id: AccountId,
        transaction_type: TransactionType,
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
        network: ArrayString<16>,
        acquirer_id: ArrayString<11>,
        terminal_id: ArrayString<8>,
        rrn: ArrayString<12>,
        stan: u32,
        flags: Flags,
        /// What of the amount the network gets, or gives: without mark-up and rounding, which are ours.
        network_minor: i64,
        created_at_ms: Timestamp,
        /// Of the account, where that is known.
        program_id: Option<ProgramId>,
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
        /// What was credited, in the account's currency; like the rest, of one that is settled.
        settled_minor: Option<i64>,
        settled_currency: Option<Currency>,
        arrived_minor: Option<i64>,
        arrived_currency: Option<Currency>,
        /// Of what arrived, too little to be credited.
        rest_minor: Option<i64>,
        received_on: Option<String>,
        failure_reason: Option<String>,
        ended_at_ms: Option<Timestamp>,
    }
}

table! {
    /// Money moved from one account to another.
    TransferRow in "transfers" {
        id: TransferId,
        sequence: Sequence,
        from_account_id: AccountId,
        to_account_id: AccountId,
        amount_minor: i64,
        currency: Currency,
        status: TransferStatus,
        return_reason: Option<ReturnReason>,
        created_at_ms: Timestamp,
        /// When it was settled or came back.
        ended_at_ms: Option<Timestamp>,
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
        /// Of a payment, or of what is charged for a card.
        card_id: Option<CardId>,
        authorization_id: Option<AuthorizationId>,
    }
}

table! {
    /// What an account was charged, in minor units of its currency; below zero where it goes back with a payment.
    FeeRow in "fees" {
        id: FeeId,
        sequence: Sequence,
        kind: FeeKind,
        account_id: AccountId,
        card_id: Option<CardId>,
        program_id: ProgramId,
        fee_schedule_id: FeeScheduleId,
        fee_schedule_version: u32,
        amount_minor: i64,
        fee_minor: i64,
        reseller_mark_up_minor: i64,
        basis_minor: Option<i64>,
        currency: Currency,
        /// As in 2026-09.
        month: Option<String>,
        overdrawn: bool,
        cause_type: String,
        cause_id: String,
        created_at_ms: Timestamp,
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident { $($variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $($variant,)* }

        impl $type {
            pub const ALL: &'static [($type, &'static str)] = &[$(($type::$variant, $text),)*];

            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($text => Some($type::$variant),)* _ => None }
            }
        }

        $crate::store::columns::named_columns! { $type: $type::name, $type::from_name; }
    )*};
}

pub(super) use names;

names! {
    /// What has become of an authorization.
    AuthorizationStatus {
        Pending = "pending",
        PartiallyCleared = "partially_cleared",
        Cleared = "cleared",
        Reversed = "reversed",
        Expired = "expired",
        Declined = "declined",
        // Its money is part of another authorization.
        Merged = "merged",
        // Approved with nothing to hold, or an advice that moved nothing.
        Recorded = "recorded",
    }
    AuthorizationResult {
        Approved = "approved",
        PartiallyApproved = "partially_approved",
        Declined = "declined",
        Recorded = "recorded",
        // The customer has not decided yet.
        Waiting = "waiting",
    }
    /// What kind of message it was: of two messages or a single one, asking or telling.
    MessageName {
        Request = "request",
        Advice = "advice",
        FinancialRequest = "financial_request",
        FinancialAdvice = "financial_advice",
    }
    TransactionType {
        Payment = "payment",
        Refund = "refund",
        Reversal = "reversal",
    }
    /// What a settlement sum is of: transactions of a type, or what is authorized and open.
    SumPart {
        Payment = "payment",
        Refund = "refund",
        Reversal = "reversal",
        Authorized = "authorized",
    }
    ReversalResultName {
        Undone = "undone",
        OriginalUnknown = "original_unknown",
        AlreadyReversed = "already_reversed",
        Duplicate = "duplicate",
    }
    /// What of an authorization a reversal was about.
    UndoneName {
        Whole = "whole",
        Above = "above",
        Part = "part",
    }
    LedgerAccountName {
        Customer = "customer",
        FundsReceived = "funds_received",
        NetworkSettlement = "network_settlement",
        Rounding = "rounding",
        MarkUp = "mark_up",
        InTransit = "in_transit",
        Fees = "fees",
        ResellerMarkUp = "reseller_mark_up",
    }
}
