//! How a record of a message becomes its row: what it was about, and what came of it. The transaction that it
//! posted is made in `from_posting.rs`; what it does to rows that are there already lives in `effect.rs`.

use super::effect::charged;
use super::from_record::{clean_array, lettered, taken};
use super::rows::{
    AccountFacts, AuthorizationResult, AuthorizationRow, AuthorizationStatus, MessageName,
    ReversalResultName, ReversalRow, Sequence, UndoneName,
};
use crate::engine::command::{Action, Advise, Authorize, Resolve, Reverse, Withhold};
use crate::engine::conversion::Conversion;
use crate::engine::event::{
    AdviceOutcome, Advised, ApprovalCode, Authorized, Decision, Decline, Event, Flags, Postings,
    Resolved, ReversalOutcome, Reversed, Undone, UndoneWhat, Withheld,
};
use crate::engine::facts::{NamedToken, NetworkReference};
use crate::engine::ids::{AccountId, AuthorizationId, CardId, ReversalId, TokenId};
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::engine::record::Record;
use crate::engine::registry::{RegistryAction, RegistryEvent};
use crate::engine::time::Timestamp;
use crate::engine::trace::{Step, StepResult, Trace, TraceStep};

/// The request of a record with its decision, if it is the record of one: of a shard, or of the registry for
/// a card that nobody issued.
pub fn request_of(record: &Record) -> Option<(&Authorize, &Authorized)> {
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

/// The advice of a record with what it came to, if it is the record of one.
pub fn advice_of(record: &Record) -> Option<(&Advise, &Advised)> {
    match record {
        Record::Shard { command, event, .. } => match (&command.action, event) {
            (Action::Advise(advise), Event::Advised(advised)) => Some((advise, advised)),
            _ => None,
        },
        Record::Registry { command, event, .. } => match (&command.action, event) {
            (RegistryAction::AdviseUnknownCard(advise), RegistryEvent::Advised(advised)) => {
                Some((advise, advised))
            }
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

/// The account that a record of a message is about, whose currency its rows need.
pub(super) fn account_of(record: &Record) -> Option<AccountId> {
    if let Some((_, authorized)) = request_of(record) {
        return authorized.account_id;
    }
    if let Some((_, advised)) = advice_of(record) {
        return advised.account_id;
    }
    if let Some((_, resolved)) = resolved_of(record) {
        return resolved.account_id;
    }
    Some(undoing_of(record)?.undone.account_id)
}

/// What a record takes back: for a reversal, or because the network did not get the approval.
pub(super) struct Undoing<'a> {
    pub id: ReversalId,
    pub card_id: CardId,
    pub reference: &'a NetworkReference,
    pub undone: &'a Undone,
    pub postings: &'a Postings,
}

pub(super) fn undoing_of(record: &Record) -> Option<Undoing<'_>> {
    if let Some((withhold, withheld)) = withheld_of(record) {
        return Some(Undoing {
            id: withhold.reversal_id,
            card_id: withhold.payment.card_id,
            reference: &withhold.payment.reference,
            undone: withheld.undone.as_ref()?,
            postings: &withheld.postings,
        });
    }
    let (reverse, reversed) = reversal_of(record)?;
    match &reversed.outcome {
        ReversalOutcome::Undone(undone) => Some(Undoing {
            id: reverse.reversal_id,
            card_id: reverse.card_id,
            reference: &reverse.reference,
            undone,
            postings: &reversed.postings,
        }),
        ReversalOutcome::OriginalUnknown
        | ReversalOutcome::AlreadyReversed
        | ReversalOutcome::Duplicate => None,
    }
}

/// What the customer's decision made of an authorization that waited for it.
pub(super) fn resolved_of(record: &Record) -> Option<(&Resolve, &Resolved)> {
    let Record::Shard { command, event, .. } = record else {
        return None;
    };
    match (&command.action, event) {
        (Action::Resolve(resolve), Event::Resolved(resolved)) => Some((resolve, resolved)),
        _ => None,
    }
}

/// The approval of a record that its network did not get.
pub(super) fn withheld_of(record: &Record) -> Option<(&Withhold, &Withheld)> {
    let Record::Shard { command, event, .. } = record else {
        return None;
    };
    match (&command.action, event) {
        (Action::Withhold(withhold), Event::Withheld(withheld)) => Some((withhold, withheld)),
        _ => None,
    }
}

/// The id of the row that a record adds to the authorizations, if it adds one.
pub fn authorization_id_of(record: &Record) -> Option<AuthorizationId> {
    if let Some((authorize, _)) = request_of(record) {
        return Some(authorize.authorization_id);
    }
    let (advise, advised) = advice_of(record)?;
    has_own_row(advised).then_some(advise.payment.authorization_id)
}

/// A completion is a transaction of its authorization. One that posts nothing would leave no trace but its row.
fn has_own_row(advised: &Advised) -> bool {
    match advised.outcome {
        AdviceOutcome::Duplicate => false,
        AdviceOutcome::Completed { .. } => advised.postings.is_empty(),
        AdviceOutcome::Recorded
        | AdviceOutcome::Placed(_)
        | AdviceOutcome::ForcePosted(_)
        | AdviceOutcome::Amended { .. } => true,
    }
}

/// What a message came to, as its row says it.
struct Came<'a> {
    message: MessageName,
    status: AuthorizationStatus,
    result: AuthorizationResult,
    account_id: Option<AccountId>,
    amount_minor: i64,
    requested_minor: i64,
    /// Of what is approved in part.
    approved_transaction_minor: Option<i64>,
    posted_minor: i64,
    available_minor: i64,
    expires_at: Option<Timestamp>,
    approval_code: Option<ApprovalCode>,
    decline: Option<Decline>,
    original: Option<AuthorizationId>,
    flags: Flags,
    breach: Option<Decline>,
    reason: Option<DeclineReason>,
    registry_version: u64,
    trace: &'a Trace,
    conversion: Option<&'a Conversion>,
}

fn came_of(record: &Record) -> Option<(&Authorize, Came<'_>)> {
    if let Some((authorize, authorized)) = request_of(record) {
        return Some((authorize, came_of_request(authorize, authorized)));
    }
    let (advise, advised) = advice_of(record)?;
    Some((&advise.payment, came_of_advice(advise, advised)?))
}

/// The row of a message as it left it; `None` for a record that adds none. `facts_of` knows accounts.
pub fn authorization_row(
    sequence: Sequence,
    record: &Record,
    facts_of: impl Fn(AccountId) -> Option<AccountFacts>,
) -> Option<AuthorizationRow> {
    let (payment, came) = came_of(record)?;
    let (created_at, engine_version) = taken(record);
    let (reference, merchant) = (&payment.reference, &payment.merchant);
    let transaction = payment.amounts.transaction;
    let account = came.account_id.and_then(facts_of);
    let currency = account.map_or(transaction.currency, |account| account.currency);
    let (refusal, conversion) = (came.decline.or(came.breach), came.conversion);
    Some(AuthorizationRow {
        sequence,
        id: payment.authorization_id,
        card_id: payment.card_id,
        account_id: came.account_id,
        kind: payment.kind,
        amount_minor: came.amount_minor,
        requested_minor: came.requested_minor,
        currency: lettered(currency),
        transaction_minor: transaction.amount_minor,
        transaction_currency: lettered(named_or(transaction.currency, currency)),
        merchant_id: clean_array(&merchant.id),
        merchant_name: clean_array(&merchant.name),
        merchant_city: clean_array(&merchant.city),
        merchant_country: merchant.country,
        mcc: merchant.mcc,
        entry_mode: payment.entry_mode,
        channel: payment.channel,
        network: clean_array(&reference.network),
        acquirer_id: clean_array(&reference.acquirer_id),
        terminal_id: clean_array(&reference.terminal_id),
        rrn: clean_array(&reference.rrn),
        stan: reference.stan,
        status: came.status,
        result: came.result,
        reason: came.reason,
        step: refusal.map(|refusal| refusal.step),
        rule_id: refusal.and_then(|refusal| refusal.rule),
        approval_code: came.approval_code,
        available_minor: came.available_minor,
        registry_version: came.registry_version,
        engine_version,
        expires_at_ms: came.expires_at,
        created_at_ms: created_at,
        trace: came.trace.clone(),
        posted_minor: came.posted_minor,
        message: came.message,
        original_authorization_id: came.original,
        flags: came.flags,
        breach_reason: came.breach.map(|breach| breach.reason),
        network_minor: conversion.map_or(came.amount_minor, |found| found.network_minor),
        rate_source: conversion.map(|found| found.source),
        rate_from_currency: conversion.map(|found| lettered(found.from)),
        rate: conversion.map(|found| found.rate),
        rate_version: conversion.and_then(|found| found.table_version),
        mark_up_basis_points: conversion.map_or(0, |found| found.mark_up_basis_points),
        mark_up_minor: conversion.map_or(0, |found| found.mark_up_minor),
        rounding_minor: conversion.map_or(0, |found| found.rounding_minor),
        decision_call_outcome: None,
        decision_call_ms: None,
        decision_call_fallback_used: None,
        token_id: token_of(payment.token, &came),
        program_id: account.map(|account| account.program_id),
        approved_transaction_minor: came.approved_transaction_minor,
    })
}

/// One beside the card that is not the card's is somebody else's, and not told.
fn token_of(named: NamedToken, came: &Came) -> Option<TokenId> {
    let is_of_card = matches!(
        came.reason,
        Some(
            DeclineReason::TokenSuspended
                | DeclineReason::TokenNotActive
                | DeclineReason::TokenExpired
        )
    );
    let failed = |step: TraceStep| step.step == Step::Token && step.result == StepResult::Fail;
    match named {
        NamedToken::BesideCard(_) if !is_of_card && came.trace.steps().any(failed) => None,
        named => named.id(),
    }
}

/// An amount without a currency is in the account's.
pub(super) fn named_or(named: Currency, account: Currency) -> Currency {
    match named {
        Currency::ABSENT => account,
        named => named,
    }
}

fn came_of_request<'a>(authorize: &Authorize, authorized: &'a Authorized) -> Came<'a> {
    let decline = authorized.decision.decline().copied();
    let hold = authorized.hold.as_ref();
    let waits = authorized.waits_until.is_some();
    let is_posted = authorize.posts && hold.is_some() && !waits;
    let result = match &authorized.decision {
        _ if waits => AuthorizationResult::Waiting,
        Decision::Approved { .. } => AuthorizationResult::Approved,
        Decision::PartiallyApproved { .. } => AuthorizationResult::PartiallyApproved,
        Decision::Declined(_) => AuthorizationResult::Declined,
    };
    let status = match authorized.increased {
        _ if decline.is_some() => AuthorizationStatus::Declined,
        Some(_) => AuthorizationStatus::Merged,
        None if is_posted => AuthorizationStatus::Cleared,
        None if hold.is_some() => AuthorizationStatus::Pending,
        None => AuthorizationStatus::Recorded,
    };
    let part = match &authorized.decision {
        Decision::PartiallyApproved { approved, .. } => Some(approved.amount_minor),
        _ => None,
    };
    let amount_minor = match (&authorized.increased, hold) {
        (Some(increased), _) => increased.amount_minor,
        (None, Some(hold)) if part.is_some() => hold.amount_minor,
        _ => authorized.amount_minor,
    };
    Came {
        message: match authorize.posts {
            true => MessageName::FinancialRequest,
            false => MessageName::Request,
        },
        status,
        result,
        account_id: authorized.account_id,
        amount_minor,
        requested_minor: authorized.amount_minor,
        approved_transaction_minor: part.filter(|_| !waits),
        posted_minor: charged(&authorized.postings),
        available_minor: authorized.available_minor,
        expires_at: hold.filter(|_| !is_posted).map(|hold| hold.expires_at),
        approval_code: authorized.decision.approval_code(),
        decline,
        original: authorized
            .increased
            .as_ref()
            .map(|original| original.authorization_id)
            .or(authorized.refund_of),
        flags: Flags::default(),
        breach: None,
        reason: decline.map(|decline| decline.reason),
        registry_version: authorized.registry_version,
        trace: &authorized.trace,
        conversion: authorized.conversion.as_deref(),
    }
}

fn came_of_advice<'a>(advise: &Advise, advised: &'a Advised) -> Option<Came<'a>> {
    if !has_own_row(advised) {
        return None;
    }
    let declined = advised.flags.contains(Flags::STAND_IN_DECLINE);
    let (status, original, expires_at) = match &advised.outcome {
        AdviceOutcome::Placed(hold) => {
            let status = AuthorizationStatus::Pending;
            (status, None, Some(hold.expires_at))
        }
        AdviceOutcome::ForcePosted(_) => (AuthorizationStatus::Cleared, None, None),
        AdviceOutcome::Amended {
            authorization_id, ..
        }
        | AdviceOutcome::Completed {
            authorization_id, ..
        } => {
            let (status, original) = (AuthorizationStatus::Merged, Some(*authorization_id));
            (status, original, None)
        }
        AdviceOutcome::Recorded | AdviceOutcome::Duplicate => {
            let status = match declined {
                true => AuthorizationStatus::Declined,
                false => AuthorizationStatus::Recorded,
            };
            (status, None, None)
        }
    };
    let result = match status {
        AuthorizationStatus::Declined => AuthorizationResult::Declined,
        AuthorizationStatus::Recorded => AuthorizationResult::Recorded,
        _ => AuthorizationResult::Approved,
    };
    Some(Came {
        message: match advise.payment.posts {
            true => MessageName::FinancialAdvice,
            false => MessageName::Advice,
        },
        status,
        result,
        account_id: advised.account_id,
        amount_minor: advised.amount_minor,
        requested_minor: advised.amount_minor,
        approved_transaction_minor: None,
        posted_minor: charged(&advised.postings),
        available_minor: advised.available_minor,
        expires_at,
        // Nobody was answered with one of ours.
        approval_code: advise.approval_code,
        decline: None,
        original: original.or(advised.refund_of),
        flags: advised.flags,
        breach: advised.breach,
        reason: declined.then_some(DeclineReason::StandInDeclined),
        registry_version: advised.registry_version,
        trace: &advised.trace,
        conversion: advised.conversion.as_deref(),
    })
}

/// The row of a reversal; `None` for any other record.
pub fn reversal_row(sequence: Sequence, record: &Record) -> Option<ReversalRow> {
    let (reverse, reversed) = reversal_of(record)?;
    let undone = undoing_of(record).map(|undoing| undoing.undone);
    let reference = &reverse.reference;
    Some(ReversalRow {
        sequence,
        id: reverse.reversal_id,
        card_id: reverse.card_id,
        authorization_id: undone.map(|undone| undone.authorization_id),
        outcome: match reversed.outcome {
            ReversalOutcome::Undone(_) => ReversalResultName::Undone,
            ReversalOutcome::OriginalUnknown => ReversalResultName::OriginalUnknown,
            ReversalOutcome::AlreadyReversed => ReversalResultName::AlreadyReversed,
            ReversalOutcome::Duplicate => ReversalResultName::Duplicate,
        },
        released_minor: undone.map_or(0, |undone| undone.released.account_minor),
        returned_minor: undone.map_or(0, |undone| undone.returned.account_minor),
        what: undone.map(|undone| match undone.what {
            UndoneWhat::Whole => UndoneName::Whole,
            UndoneWhat::Above => UndoneName::Above,
            UndoneWhat::Part { .. } => UndoneName::Part,
        }),
        flags: undone.map_or(Flags::default(), |undone| undone.flags),
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
