//! How rows of the tables look in JSON: in answers of the interface, and in events.

use super::rows::{
    AuthorizationRow, CardRow, FeeRow, ReversalRow, TokenRow, TopUpRow, TransactionRow, TransferRow,
};
use crate::engine::command::CardType;
use crate::engine::conversion::Conversion;
use crate::engine::event::RuleId;
use crate::engine::ids::{CardId, TransactionId};
use crate::engine::link_states::LinkStatus;
use crate::engine::reason::DeclineReason;
use crate::engine::trace::Step;
use crate::json::payment;
use crate::json::trace::{OwnerNames, to_json_with_names};
use serde_json::{Value, json};

pub fn link(link_type: &str, id: &str) -> Value {
    json!({ "type": link_type, "id": id })
}

/// `response_code` is of the answer, where it is known.
pub fn authorization(
    row: &AuthorizationRow,
    links: Vec<Value>,
    names: &OwnerNames,
    transactions: &[TransactionId],
    response_code: Option<String>,
) -> Value {
    let known_card = row.card_id != CardId::default();
    let original = row.original_authorization_id;
    let transactions: Vec<String> = transactions.iter().map(ToString::to_string).collect();
    json!({
        "id": row.id.to_string(),
        "object": "authorization",
        "card_id": known_card.then(|| row.card_id.to_string()),
        "account_id": row.account_id.map(|id| id.to_string()),
        "token_id": row.token_id.map(|id| id.to_string()),
        "kind": row.kind.name(),
        "message": row.message.name(),
        "original_authorization_id": original.map(|id| id.to_string()),
        "amount": row.amount_minor,
        "requested_amount": row.requested_minor,
        "posted": row.posted_minor,
        "currency": row.currency.alpha(),
        "transaction_amount": row.transaction_minor,
        "approved_transaction_amount": row.approved_transaction_minor,
        "transaction_currency": row.transaction_currency.alpha(),
        "merchant": merchant(row),
        "entry_mode": row.entry_mode.name(),
        "channel": row.channel.name(),
        "status": row.status.name(),
        "approval_code": row.approval_code.map(|code| code.as_str().to_owned()),
        "conversion": conversion(row),
        "decision": decision(row, response_code),
        "decision_call": decision_call(row),
        "flags": payment::flags(row.flags),
        "breach": breach(row),
        "transactions": transactions,
        "trace": trace(row, names),
        "links": links,
        "network": payment::network(
            &row.network,
            row.stan,
            &row.rrn,
            &row.acquirer_id,
            &row.terminal_id,
        ),
        "expires_at": row.expires_at_ms.map(|at| at.to_string()),
        "created_at": row.created_at_ms.to_string(),
    })
}

/// Nothing where the transaction is in the account's currency.
fn conversion(row: &AuthorizationRow) -> Option<Value> {
    let conversion = Conversion {
        source: row.rate_source?,
        from: row.rate_from_currency?,
        rate: row.rate?,
        table_version: row.rate_version,
        mark_up_basis_points: row.mark_up_basis_points,
        network_minor: row.network_minor,
        mark_up_minor: row.mark_up_minor,
        rounding_minor: row.rounding_minor,
        // Said by the fee itself.
        fee: None,
    };
    Some(crate::json::conversion::to_json(&conversion))
}

/// What came of asking the customer; nothing where it was not asked, or has not answered yet.
fn decision_call(row: &AuthorizationRow) -> Option<Value> {
    Some(json!({
        "outcome": row.decision_call_outcome?.name(),
        "duration_ms": row.decision_call_ms,
        "fallback_used": row.decision_call_fallback_used,
    }))
}

/// The checks, then what the customer said, and whether the approval left in time where it did not.
fn trace(row: &AuthorizationRow, names: &OwnerNames) -> Vec<Value> {
    let mut trace = to_json_with_names(&row.trace, names);
    let mut add = |step: Step, result, detail| {
        trace.push(json!({ "step": step.name(), "result": result, "detail": detail }));
    };
    let failed = |step| row.reason.is_some() && row.step == Some(step);
    let call = decision_call(row);
    if call.is_some() || failed(Step::CustomerDecision) {
        let result = match failed(Step::CustomerDecision) {
            true => "fail",
            false => "pass",
        };
        add(Step::CustomerDecision, result, call.unwrap_or(json!({})));
    }
    if failed(Step::Answer) {
        add(Step::Answer, "fail", json!({}));
    }
    trace
}

fn merchant(row: &AuthorizationRow) -> Value {
    payment::merchant(
        &row.merchant_id,
        &row.merchant_name,
        &row.merchant_city,
        row.mcc,
        row.merchant_country,
    )
}

fn decision(row: &AuthorizationRow, response_code: Option<String>) -> Value {
    let declined = row.reason.is_some();
    json!({
        "result": row.result.name(),
        "reason": row.reason.map(DeclineReason::name),
        "step": row.step.filter(|_| declined).map(|step| step.name()),
        "rule_id": rule_id(row).filter(|_| declined),
        "response_code": response_code,
    })
}

/// Of what the network did without us: why a request would have been declined.
fn breach(row: &AuthorizationRow) -> Option<Value> {
    let reason = row.breach_reason?;
    Some(json!({
        "reason": reason.name(),
        "step": row.step.map(|step| step.name()),
        "rule_id": rule_id(row),
    }))
}

fn rule_id(row: &AuthorizationRow) -> Option<String> {
    row.rule_id.map(|rule| match rule {
        RuleId::Limit(id) => id.to_string(),
        RuleId::Control(id) => id.to_string(),
        RuleId::RiskRule(id) => id.to_string(),
    })
}

/// `links` are those of its card, as of all that is of a card.
pub fn transaction(row: &TransactionRow, links: Vec<Value>) -> Value {
    let merchant = payment::merchant(
        &row.merchant_id,
        &row.merchant_name,
        &row.merchant_city,
        row.mcc,
        row.merchant_country,
    );
    let network = payment::network(
        &row.network,
        row.stan,
        &row.rrn,
        &row.acquirer_id,
        &row.terminal_id,
    );
    json!({
        "id": row.id.to_string(),
        "object": "transaction",
        "authorization_id": row.authorization_id.to_string(),
        "card_id": row.card_id.to_string(),
        "account_id": row.account_id.to_string(),
        "type": row.transaction_type.name(),
        "kind": row.kind.name(),
        "amount": row.amount_minor,
        "network_amount": row.network_minor,
        "currency": row.currency.alpha(),
        "transaction_amount": row.transaction_minor,
        "transaction_currency": row.transaction_currency.alpha(),
        "merchant": merchant,
        "network": network,
        "flags": payment::flags(row.flags),
        "links": links,
        "created_at": row.created_at_ms.to_string(),
    })
}

pub fn reversal(row: &ReversalRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "object": "reversal",
        "authorization_id": row.authorization_id.map(|id| id.to_string()),
        "outcome": row.outcome.name(),
        "released": row.released_minor,
        "returned": row.returned_minor,
        "transaction_amount": row.transaction_minor,
        "transaction_currency": row.transaction_currency.alpha(),
        "flags": payment::flags(row.flags),
        "network": payment::network(
            &row.network,
            row.stan,
            &row.rrn,
            &row.acquirer_id,
            &row.terminal_id,
        ),
        "created_at": row.created_at_ms.to_string(),
    })
}

/// What the tables have of a card; its links are at the worst of these.
pub fn card(row: &CardRow, links: Vec<Value>, of_links: LinkStatus) -> Value {
    let own = row.status;
    let status = of_links
        .over(own)
        .map_or(own.name(), |of_links| of_links.name());
    json!({
        "id": row.id.to_string(),
        "object": "card",
        "account_id": row.account_id.to_string(),
        "program_id": row.program_id.to_string(),
        "type": match row.card_type {
            CardType::Virtual => "virtual",
            CardType::Physical => "physical",
        },
        "status": status,
        "own_status": own.name(),
        "first6": row.first6,
        "last4": row.last4,
        "exp_month": row.exp_month,
        "exp_year": row.exp_year,
        "links": links,
        "replacement_for": row.replacement_for.map(|id| id.to_string()),
        "shipping_status": row.shipping_status.map(|status| status.name()),
        "created_at": row.created_at_ms.to_string(),
    })
}

pub fn token(row: &TokenRow, links: Vec<Value>) -> Value {
    let is_told = row.device_type.is_some() || row.device_name.is_some();
    let device = is_told.then(|| json!({ "type": row.device_type, "name": row.device_name }));
    json!({
        "id": row.id.to_string(),
        "object": "token",
        "card_id": row.card_id.to_string(),
        "wallet": row.wallet,
        "device": device,
        "status": row.status.name(),
        "first6": row.first6,
        "last4": row.last4,
        "exp_month": row.exp_month,
        "exp_year": row.exp_year,
        "links": links,
        "created_at": row.created_at_ms.to_string(),
    })
}

/// Without the links of a card whose own account it is: in events the account has its place.
pub fn top_up(row: &TopUpRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "object": "top_up",
        "account_id": row.account_id.to_string(),
        "amount": row.amount_minor,
        "currency": row.currency.alpha(),
        "method": row.method,
        "external_reference": row.external_reference,
        "status": row.status.name(),
        "settled_amount": row.settled_minor,
        "settled_currency": row.settled_currency.map(|currency| currency.alpha()),
        "arrived_amount": row.arrived_minor,
        "arrived_currency": row.arrived_currency.map(|currency| currency.alpha()),
        "rest": row.rest_minor,
        "received_on": row.received_on,
        "failure_reason": row.failure_reason,
        "created_at": row.created_at_ms.to_string(),
        "ended_at": row.ended_at_ms.map(|at| at.to_string()),
    })
}

pub fn fee(row: &FeeRow, links: Vec<Value>) -> Value {
    json!({
        "id": row.id.to_string(),
        "object": "fee",
        "kind": row.kind.name(),
        "account_id": row.account_id.to_string(),
        "card_id": row.card_id.map(|id| id.to_string()),
        "program_id": row.program_id.to_string(),
        "fee_schedule_id": row.fee_schedule_id.to_string(),
        "fee_schedule_version": row.fee_schedule_version,
        "amount": row.amount_minor,
        "fee_amount": row.fee_minor,
        "reseller_mark_up_amount": row.reseller_mark_up_minor,
        "basis_amount": row.basis_minor,
        "currency": row.currency.alpha(),
        "month": row.month,
        "overdrawn": row.overdrawn,
        "cause": { "type": row.cause_type, "id": row.cause_id },
        "links": links,
        "created_at": row.created_at_ms.to_string(),
    })
}

pub fn transfer(row: &TransferRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "object": "transfer",
        "from_account_id": row.from_account_id.to_string(),
        "to_account_id": row.to_account_id.to_string(),
        "amount": row.amount_minor,
        "currency": row.currency.alpha(),
        "status": row.status.name(),
        "return_reason": row.return_reason.map(|reason| reason.name()),
        "created_at": row.created_at_ms.to_string(),
        "ended_at": row.ended_at_ms.map(|at| at.to_string()),
    })
}
