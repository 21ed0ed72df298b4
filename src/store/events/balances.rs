//! What records move of accounts, and the limits that they bring near their end.

use super::fold::{Draft, EventContext, Subject};
use super::types::EventType;
use crate::engine::event::{Event, LedgerAccount, Posting};
use crate::engine::ids::AccountId;
use crate::engine::record::Record;
use crate::engine::trace::{Detail, Step, StepResult};
use crate::store::effect::effect_of;
use crate::store::from_fees::charges_of;
use crate::store::from_message::{request_of, resolved_of};
use crate::store::rows::AuthorizationResult;
use serde_json::json;
use std::collections::BTreeMap;

/// From this part of what is allowed on, a limit is told of, in hundredths.
const THRESHOLD_PERCENT: i64 = 80;

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
    let draft = |(id, (posted, held)): (AccountId, (i64, i64))| {
        let account = context.accounts.get(&id)?;
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
            subject: Subject::Account(id),
            content: vec![("balance", balance)],
        })
    };
    moves_of(record).into_iter().filter_map(draft).collect()
}

/// One for each limit that this approval brought from below the threshold to it or beyond.
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
    let mut drafts = Vec::new();
    let told = crate::json::trace::to_json(&row.trace);
    for (step, told) in row.trace.steps().zip(told) {
        let (used, requested, allowed) = match step.detail {
            _ if !is_approved || step.step != Step::Limits || step.result != StepResult::Pass => {
                continue;
            }
            Detail::LimitAmount {
                used_minor,
                requested_minor,
                allowed_minor,
                ..
            } => (used_minor, requested_minor, allowed_minor),
            Detail::LimitCount { used, allowed, .. } => (used.into(), 1, allowed.into()),
            _ => continue,
        };
        let after = used.saturating_add(requested).min(allowed);
        let is_reached = |used: i64| {
            i128::from(used) * 100 >= i128::from(allowed) * i128::from(THRESHOLD_PERCENT)
        };
        if is_reached(used) || !is_reached(after) {
            continue;
        }
        let mut limit = told["detail"].clone();
        limit["used"] = after.into();
        limit["left"] = (allowed - after).into();
        limit["percent"] = THRESHOLD_PERCENT.into();
        drafts.push(Draft {
            event_type: EventType::LimitThresholdReached,
            subject: Subject::Payment(row.card_id, row.account_id),
            content: vec![
                ("limit", limit),
                ("authorization_id", json!(row.id.to_string())),
            ],
        });
    }
    drafts
}
