//! What records move of accounts, and the limits that they bring near their end.

use super::about::Subject;
use super::fold::{Draft, EventContext};
use super::types::EventType;
use crate::engine::event::{Event, LedgerAccount, Posting};
use crate::engine::ids::{AccountId, AuthorizationId, CardId};
use crate::engine::record::Record;
use crate::engine::registry::RegistryAction;
use crate::engine::trace::{Detail, Step, StepResult, TraceStep};
use crate::store::effect::effect_of;
use crate::store::from_fees::charges_of;
use crate::store::from_message::{authorization_id_of, request_of, resolved_of};
use crate::store::from_posting::transaction_of;
use crate::store::rows::{AuthorizationResult, AuthorizationRow, AuthorizationStatus};
use serde_json::json;
use std::collections::BTreeMap;

/// What a record adds to what is posted and held of accounts, without those that it leaves as they are.
pub(super) fn moves_of(record: &Record) -> BTreeMap<AccountId, (i64, i64)> {
    let mut moves: BTreeMap<AccountId, (i64, i64)> = BTreeMap::new();
    if let Some(effect) = effect_of(record) {
        moves.entry(effect.account_id).or_default().1 += effect.held_minor;
        post(&mut moves, effect.postings);
    } else if let Record::Shard { event, .. } = record {
        match event {
            Event::Posted { postings, .. } => post(&mut moves, postings),
            Event::TopUpEnded(ended) => post(&mut moves, &ended.postings),
            Event::Transferred(event) => post(&mut moves, &event.postings),
            Event::AutoToppedUp(done) => post(&mut moves, &done.transferred.postings),
            _ => {}
        }
    }
    // The legs of the others are among those of their payment.
    let charges = charges_of(record).iter();
    for charge in charges.filter(|charge| charge.is_posted_by_itself()) {
        post(&mut moves, &charge.legs());
    }
    moves.retain(|_, moved| *moved != (0, 0));
    moves
}

fn post(moves: &mut BTreeMap<AccountId, (i64, i64)>, postings: &[Posting]) {
    for posting in postings {
        if let LedgerAccount::Customer(id) = posting.ledger_account {
            moves.entry(id).or_default().0 += posting.amount_minor;
        }
    }
}

/// One for each account that a record moves. The context has its moves already.
pub(super) fn balances_updated(context: &EventContext, record: &Record) -> Vec<Draft> {
    let mut endpoints = context.endpoints.values();
    let name = EventType::BalanceUpdated.name();
    if !endpoints.any(|(_, endpoint)| endpoint.wants_type(name)) {
        return Vec::new();
    }
    let by = moved_by(context, record);
    // Who sees one of the further accounts of a card sees neither the card nor its payments.
    let is_seen_at = |id: AccountId| {
        let card = by.card_id.and_then(|id| context.cards.get(&id));
        card.is_some_and(|card| context.accounts_above(card.account_id).contains(&id))
    };
    let draft = |(id, (posted, held)): (AccountId, (i64, i64))| {
        let account = context.accounts.get(&id)?;
        let by = match is_seen_at(id) {
            true => by.clone(),
            false => MovedBy::default(),
        };
        let balance = json!({
            "account_id": id.to_string(),
            "currency": account.currency.alpha(),
            "posted": account.posted_minor,
            "held": account.held_minor,
            "posted_change": posted,
            "held_change": held,
        });
        Some(Draft {
            event_type: EventType::BalanceUpdated,
            subject: match by.card_id {
                Some(card_id) => Subject::Moved(id, card_id),
                None => Subject::Account(id),
            },
            content: vec![
                ("balance", balance),
                ("authorization_id", json!(by.authorization_id)),
            ],
        })
    };
    moves_of(record).into_iter().filter_map(draft).collect()
}

/// What moved the money of a record: a payment, or what a card is charged.
#[derive(Default, Clone)]
struct MovedBy {
    card_id: Option<CardId>,
    authorization_id: Option<String>,
}

fn moved_by(context: &EventContext, record: &Record) -> MovedBy {
    let changed = effect_of(record).and_then(|effect| effect.changes().next());
    let own = authorization_id_of(record);
    let posted = transaction_of(record).map(|(_, id)| id);
    let id = own.or(posted).or(changed.map(|(id, _)| id));
    let Some(row) = id.and_then(|id| context.authorizations.get(&id)) else {
        let charged = charges_of(record).iter().find_map(|charge| charge.card_id);
        return MovedBy {
            card_id: charged.filter(|id| context.cards.contains_key(id)),
            authorization_id: None,
        };
    };
    MovedBy {
        card_id: Some(row.card_id).filter(|id| context.cards.contains_key(id)),
        authorization_id: Some(payment_of(row).to_string()),
    }
}

/// An increment is a part of the payment that it added to.
fn payment_of(row: &AuthorizationRow) -> AuthorizationId {
    let original = row.original_authorization_id;
    original
        .filter(|_| row.status == AuthorizationStatus::Merged)
        .unwrap_or(row.id)
}

/// From which parts of what is allowed on limits are told of, as a program is made or changed.
pub(super) fn take_in_thresholds(context: &mut EventContext, action: &RegistryAction) {
    let (id, thresholds) = match action {
        RegistryAction::CreateProgram(program) => {
            (program.id, Some(&program.limit_threshold_percents))
        }
        RegistryAction::ChangeProgram(change) => {
            (change.id, change.limit_threshold_percents.as_ref())
        }
        _ => return,
    };
    if let Some(thresholds) = thresholds {
        let percents = thresholds.percents().to_vec();
        context.limit_thresholds.insert(id, percents);
    }
}

/// One for each limit and threshold: this approval brought it from below that to it or beyond.
pub(super) fn thresholds_reached(context: &EventContext, record: &Record) -> Vec<Draft> {
    let requested = request_of(record).map(|(authorize, _)| authorize.authorization_id);
    let resolved = resolved_of(record).map(|(resolve, _)| resolve.authorization_id);
    let row = requested
        .or(resolved)
        .and_then(|id| context.authorizations.get(&id));
    let Some(row) = row else {
        return Vec::new();
    };
    let is_approved = matches!(
        row.result,
        AuthorizationResult::Approved | AuthorizationResult::PartiallyApproved
    );
    if !is_approved {
        return Vec::new();
    }
    let account = row.account_id.and_then(|id| context.accounts.get(&id));
    let thresholds = account.and_then(|account| context.limit_thresholds.get(&account.program_id));
    let thresholds = thresholds.map_or(&[][..], Vec::as_slice);
    let mut drafts = Vec::new();
    let told = context.trace_json(row);
    for (step, told) in row.trace.steps().zip(told) {
        let Some((used, after, allowed)) = use_of_limit(&step, row) else {
            continue;
        };
        for percent in thresholds {
            let is_reached =
                |used: i64| i128::from(used) * 100 >= i128::from(allowed) * i128::from(*percent);
            if is_reached(used) || !is_reached(after) {
                continue;
            }
            let mut limit = told["detail"].clone();
            limit["used"] = after.into();
            limit["left"] = (allowed - after).into();
            limit["percent"] = (*percent).into();
            drafts.push(Draft {
                event_type: EventType::LimitThresholdReached,
                subject: Subject::Payment(row.card_id, row.account_id),
                content: vec![
                    ("limit", limit),
                    ("authorization_id", json!(payment_of(row).to_string())),
                ],
            });
        }
    }
    drafts
}

/// What was used of a limit before this payment and is after it, and what is allowed; nothing of any other step. A customer
/// may have approved less than was checked.
fn use_of_limit(step: &TraceStep, row: &AuthorizationRow) -> Option<(i64, i64, i64)> {
    if step.step != Step::Limits || step.result != StepResult::Pass {
        return None;
    }
    let (used, more, allowed) = match step.detail {
        Detail::LimitAmount {
            used_minor,
            requested_minor,
            allowed_minor,
            ..
        } => {
            let approved_minor = requested_minor.min(row.amount_minor);
            (used_minor, approved_minor, allowed_minor)
        }
        Detail::LimitCount { used, allowed, .. } => (used.into(), 1, allowed.into()),
        _ => return None,
    };
    Some((used, used.saturating_add(more).min(allowed), allowed))
}
