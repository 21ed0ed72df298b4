//! Messages of the network as they stand in journal records, as JSON: what was said and what came of it. The
//! other records do not live here (see `record_json.rs`).

use super::record_json::month;
use crate::engine::authorizations::Authorization;
use crate::engine::command::{Advise, Authorize, CustomerSays, Recall, Resolve, Reverse};
use crate::engine::counters::CountedIn;
use crate::engine::event::{
    AdviceOutcome, Advised, Authorized, Decision, HoldPlaced, LedgerAccount, Posting, Resolved,
    ResolvedTo, ReversalOutcome, Reversed, RuleId, Undone, UndoneWhat, Withheld,
};
use crate::engine::facts::{Check, Merchant, NamedToken, NetworkReference, Verification};
use crate::engine::ids::ExceptionId;
use crate::engine::limit_uses::LimitUse;
use crate::engine::money::{Currency, Money};
use crate::engine::refunds::UseGivenBack;
use crate::engine::scope::Scope;
use crate::engine::time::Timestamp;
use crate::json::text::mcc_text;
use crate::json::{conversion, three_ds, trace};
use serde_json::{Value, json};

pub(super) fn authorize(kind: &str, authorize: &Authorize) -> Value {
    let amounts = authorize.amounts;
    json!({
        "type": kind,
        "authorization_id": authorize.authorization_id.to_string(),
        "card_id": authorize.card_id.to_string(),
        "kind": authorize.kind.name(),
        "transaction": money(amounts.transaction),
        "billing": amounts.billing.map(money),
        "merchant": merchant(&authorize.merchant),
        "entry_mode": authorize.entry_mode.name(),
        "channel": authorize.channel.name(),
        "verification": verification(&authorize.verification),
        "three_ds": three_ds::said(&authorize.three_ds, authorize.initiated_by_merchant),
        "network": network(&authorize.reference),
        "posts": authorize.posts,
        "token": token(authorize.token),
    })
}

pub(super) fn advise(kind: &str, advise: &Advise) -> Value {
    let mut json = authorize(kind, &advise.payment);
    json["was_declined"] = advise.was_declined.into();
    json["is_final"] = advise.is_final.into();
    json["approval_code"] = advise
        .approval_code
        .map(|code| code.as_str().to_owned())
        .into();
    json
}

pub(super) fn reverse(kind: &str, reverse: &Reverse) -> Value {
    json!({
        "type": kind,
        "reversal_id": reverse.reversal_id.to_string(),
        "card_id": reverse.card_id.to_string(),
        "transaction": money(reverse.amount),
        "stays": reverse.stays.map(money),
        "network": network(&reverse.reference),
        "token": token(reverse.token),
    })
}

/// Nothing where the message names none.
fn token(token: NamedToken) -> Value {
    let place = match token {
        NamedToken::Absent => return Value::Null,
        NamedToken::InPlaceOfCard(_) => "in_place_of_card",
        NamedToken::BesideCard(_) | NamedToken::Unknown => "beside_card",
    };
    json!({ "token_id": token.id().map(|id| id.to_string()), "named": place })
}

/// An amount as a message states it: without a currency where the message names none.
fn money(money: Money) -> Value {
    let named = money.currency != Currency::ABSENT;
    json!({ "amount": money.amount_minor, "currency": named.then(|| money.currency.alpha()) })
}

fn merchant(merchant: &Merchant) -> Value {
    json!({
        "id": merchant.id, "name": merchant.name, "city": merchant.city,
        "mcc": mcc_text(merchant.mcc), "country": merchant.country.alpha2(),
        "country_is_acquirers": merchant.country_is_acquirers,
    })
}

fn verification(verification: &Verification) -> Value {
    let check = |check| match check {
        Check::Absent => "absent",
        Check::Match => "match",
        Check::Mismatch => "mismatch",
    };
    json!({
        "expiry": verification.expiry.map(month),
        "cvv": check(verification.cvv),
        "pin": check(verification.pin),
        "cryptogram": check(verification.cryptogram),
    })
}

fn network(reference: &NetworkReference) -> Value {
    json!({
        "name": reference.network, "stan": format!("{:06}", reference.stan), "rrn": reference.rrn,
        "acquirer_id": reference.acquirer_id, "terminal_id": reference.terminal_id,
    })
}

pub(super) fn authorized(authorized: &Authorized) -> Value {
    let decision = match &authorized.decision {
        Decision::Approved { approval_code } => {
            json!({ "result": "approved", "approval_code": approval_code.as_str() })
        }
        Decision::PartiallyApproved {
            approval_code,
            approved,
        } => json!({
            "result": "partially_approved",
            "approval_code": approval_code.as_str(),
            "approved_transaction_amount": approved.amount_minor,
            "transaction_currency": approved.currency.alpha(),
        }),
        Decision::Declined(decline) => json!({
            "result": "declined",
            "reason": decline.reason.name(),
            "step": decline.step.name(),
            "rule_id": decline.rule.map(|rule| match rule {
                RuleId::Limit(id) => id.to_string(),
                RuleId::Control(id) => id.to_string(),
                RuleId::RiskRule(id) => id.to_string(),
            }),
        }),
    };
    json!({
        "type": "authorized",
        "registry_version": authorized.registry_version,
        "account_id": authorized.account_id.map(|id| id.to_string()),
        "amount": authorized.amount_minor,
        "available": authorized.available_minor,
        "decision": decision,
        "hold": authorized.hold.as_ref().map(hold),
        "balances": authorized.balances.map(|balances| json!({
            "posted": balances.posted_minor,
            "available": balances.available_minor,
            "currency": balances.currency.alpha(),
        })),
        "trace": trace::to_json(&authorized.trace),
        "conversion": authorized.conversion.as_deref().map(conversion::to_json),
        "postings": postings(&authorized.postings),
        "refund_of": authorized.refund_of.map(|id| id.to_string()),
        "limits_given_back": gives_back(&authorized.gives_back),
        "increased": authorized.increased.as_ref().map(|increased| json!({
            "authorization_id": increased.authorization_id.to_string(),
            "amount": increased.amount_minor,
            "expires_at": increased.expires_at.to_string(),
            "limit_uses": increased.uses.iter().map(limit_use).collect::<Vec<Value>>(),
        })),
        "waits_until": authorized.waits_until.map(|at| at.to_string()),
    })
}

pub(super) fn postings(legs: &[Posting]) -> Vec<Value> {
    legs.iter().map(posting).collect()
}

pub(super) fn advised(advised: &Advised) -> Value {
    json!({
        "type": "advised",
        "registry_version": advised.registry_version,
        "account_id": advised.account_id.map(|id| id.to_string()),
        "amount": advised.amount_minor,
        "available": advised.available_minor,
        "outcome": advice_outcome(&advised.outcome),
        "flags": advised.flags.names().collect::<Vec<_>>(),
        "breach": advised.breach.map(|breach| json!({
            "reason": breach.reason.name(), "step": breach.step.name(),
        })),
        "conversion": advised.conversion.as_deref().map(conversion::to_json),
        "postings": postings(&advised.postings),
        "refund_of": advised.refund_of.map(|id| id.to_string()),
        "limits_given_back": gives_back(&advised.gives_back),
        "trace": trace::to_json(&advised.trace),
    })
}

fn advice_outcome(outcome: &AdviceOutcome) -> Value {
    match outcome {
        AdviceOutcome::Recorded => json!({ "type": "recorded" }),
        AdviceOutcome::Duplicate => json!({ "type": "duplicate" }),
        AdviceOutcome::Placed(placed) => json!({ "type": "placed", "hold": hold(placed) }),
        AdviceOutcome::ForcePosted(placed) => {
            json!({ "type": "force_posted", "hold": hold(placed) })
        }
        AdviceOutcome::Amended {
            authorization_id,
            before_minor,
            after_minor,
            expires_at,
            standing,
        } => json!({
            "type": "amended",
            "authorization_id": authorization_id.to_string(),
            "before": before_minor,
            "after": after_minor,
            "expires_at": expires_at.to_string(),
            "status": standing.name(),
        }),
        AdviceOutcome::Completed {
            authorization_id,
            released_minor,
            standing,
        } => json!({
            "type": "completed",
            "authorization_id": authorization_id.to_string(),
            "released": released_minor,
            "status": standing.name(),
        }),
    }
}

fn limit_use(limit_use: &LimitUse) -> Value {
    if limit_use.scope == Scope::Exception {
        let exception_id = ExceptionId(limit_use.limit_id.0);
        return json!({ "scope": "exception", "exception_id": exception_id.to_string() });
    }
    json!({
        "scope": limit_use.scope.name(),
        "levels_above": limit_use.scope.levels_above(),
        "limit_id": limit_use.limit_id.to_string(),
        "resets_at": resets_at(limit_use).map(|at| at.to_string()),
    })
}

/// What a refund gives back of limits.
fn gives_back(given: &[UseGivenBack]) -> Vec<Value> {
    let given = given.iter().map(|given| {
        let mut json = limit_use(&given.limit_use);
        json["amount"] = given.amount_minor.into();
        json
    });
    given.collect()
}

fn hold(hold: &HoldPlaced) -> Value {
    json!({
        "amount": hold.amount_minor,
        "expires_at": hold.expires_at.to_string(),
        "limit_uses": hold.uses.iter().map(limit_use).collect::<Vec<Value>>(),
        "uses_card": hold.card_use.uses_card,
        "locks_merchant": hold.card_use.locks_merchant,
    })
}

/// Of a rolling window there is no one such time; the use leaves it with its bucket.
fn resets_at(limit_use: &LimitUse) -> Option<Timestamp> {
    match limit_use.counted_in() {
        CountedIn::Window(end) => end.resets_at(),
        CountedIn::Bucket(_) => None,
    }
}

pub(super) fn reversed(reversed: &Reversed) -> Value {
    let (outcome, undone) = match reversed.outcome {
        ReversalOutcome::Undone(undone) => ("undone", Some(undone)),
        ReversalOutcome::OriginalUnknown => ("original_unknown", None),
        ReversalOutcome::AlreadyReversed => ("already_reversed", None),
        ReversalOutcome::Duplicate => ("duplicate", None),
    };
    json!({
        "type": "reversed",
        "registry_version": reversed.registry_version,
        "outcome": outcome,
        "undone": undone.as_ref().map(self::undone),
        "postings": postings(&reversed.postings),
    })
}

fn undone(undone: &Undone) -> Value {
    json!({
        "authorization_id": undone.authorization_id.to_string(),
        "account_id": undone.account_id.to_string(),
        "what": match undone.what {
            UndoneWhat::Whole => "whole",
            UndoneWhat::Above => "above_what_stays",
            UndoneWhat::Part { .. } => "part",
        },
        "released": undone.released.account_minor,
        "returned": undone.returned.account_minor,
        "status": undone.standing.name(),
        "flags": undone.flags.names().collect::<Vec<_>>(),
    })
}

pub(super) fn resolve(resolve: &Resolve) -> Value {
    let (says, amount_minor) = match resolve.says {
        CustomerSays::Approve { amount_minor } => ("approve", amount_minor),
        CustomerSays::Decline => ("decline", None),
        CustomerSays::Nothing => ("nothing", None),
        CustomerSays::Nonsense => ("nonsense", None),
        CustomerSays::Lost => ("lost", None),
    };
    json!({
        "type": "resolve",
        "authorization_id": resolve.authorization_id.to_string(),
        "customer_says": says,
        "amount": amount_minor,
        "call_outcome": resolve.call.name(),
        "duration_ms": resolve.duration_ms,
    })
}

pub(super) fn resolved(resolved: &Resolved) -> Value {
    let to = match &resolved.to {
        ResolvedTo::Approved { released, posted } => {
            let mut approved = json!({
                "result": "approved",
                "released": released.account_minor,
                "posted": posted.account_minor,
            });
            if let Some(part) = resolved.answer.and_then(|answer| answer.approved_part()) {
                approved["approved_transaction_amount"] = part.amount_minor.into();
            }
            approved
        }
        ResolvedTo::Declined { reason, undone } => json!({
            "result": "declined",
            "reason": reason.name(),
            "undone": self::undone(undone),
        }),
        ResolvedTo::NothingWaits => json!({ "result": "nothing_waits" }),
    };
    json!({
        "type": "resolved",
        "registry_version": resolved.registry_version,
        "decision": to,
        "fallback_used": resolved.fallback_used,
        "postings": postings(&resolved.postings),
    })
}

pub(super) fn withheld(withheld: &Withheld) -> Value {
    json!({
        "type": "withheld",
        "registry_version": withheld.registry_version,
        "undone": withheld.undone.as_ref().map(undone),
        "postings": postings(&withheld.postings),
    })
}

pub(super) fn posting(posting: &Posting) -> Value {
    let (ledger_account, account_id) = match posting.ledger_account {
        LedgerAccount::Customer(id) => ("customer", Some(id.to_string())),
        LedgerAccount::FundsReceived => ("funds_received", None),
        LedgerAccount::NetworkSettlement => ("network_settlement", None),
        LedgerAccount::Rounding => ("rounding", None),
        LedgerAccount::MarkUp => ("mark_up", None),
        LedgerAccount::Fees => ("fees", None),
        LedgerAccount::ResellerMarkUp => ("reseller_mark_up", None),
        LedgerAccount::InTransit => ("in_transit", None),
    };
    json!({
        "ledger_account": ledger_account, "account_id": account_id, "amount": posting.amount_minor,
    })
}

/// What was forgotten, and comes back for the message after it.
pub fn recall(recall: &Recall) -> Value {
    let authorizations = recall.authorizations.iter().map(|known| {
        let closed = known.closed.map(|closed| closed.by);
        let standing = Authorization::standing(closed, known.posted.account_minor);
        json!({
            "authorization_id": known.id.to_string(),
            "card_id": known.card_id.to_string(),
            "account_id": known.account_id.to_string(),
            "status": standing.name(),
            "posted": known.posted.account_minor,
            "closed_at": known.closed.map(|closed| closed.at.to_string()),
        })
    });
    json!({
        "type": "recall",
        "authorizations": authorizations.collect::<Vec<_>>(),
        "first_answer": recall.first_answer.is_some(),
    })
}
