//! Records of transfers and top-ups as JSON, for `record_json.rs`.

use super::message_json::posting;
use crate::api::{accounts, controls_json};
use crate::engine::failed_references::FailReference;
use crate::engine::fees::charge::Charge;
use crate::engine::fees::monthly::ChargeMonthlyFee;
use crate::engine::registry::RegistryEvent;
use crate::engine::top_ups::{EndTopUp, IncomingPayment, TopUpEnd, TopUpEnded};
use crate::engine::transfers::{EndTransfer, Transfer, Transferred};
use crate::engine::watch::{AutoTopUp, AutoToppedUp, ChangeAccount, NoteLowBalance};
use serde_json::{Value, json};

pub(super) fn transfer(name: &str, transfer: &Transfer) -> Value {
    json!({
        "type": name,
        "transfer_id": transfer.id.to_string(),
        "from_account_id": transfer.from_account_id.to_string(),
        "to_account_id": transfer.to_account_id.to_string(),
        "to_tree": transfer.to_root.to_string(),
        "amount": transfer.amount.amount_minor,
        "currency": transfer.amount.currency.alpha(),
    })
}

pub(super) fn end_transfer(end: &EndTransfer) -> Value {
    let mut json = transfer("end_transfer", &end.transfer);
    json["return_reason"] = end.returned.map(|reason| reason.name()).into();
    json
}

pub(super) fn transferred(transferred: &Transferred) -> Value {
    json!({
        "type": "transferred",
        "status": transferred.status.name(),
        "return_reason": transferred.return_reason.map(|reason| reason.name()),
        "postings": transferred.postings.iter().map(posting).collect::<Vec<_>>(),
    })
}

pub(super) fn end_top_up(end: &EndTopUp) -> Value {
    let mut json = match &end.end {
        TopUpEnd::Settled {
            arrived,
            received_on,
        } => json!({
            "status": "settled",
            "arrived_amount": arrived.amount_minor,
            "arrived_currency": arrived.currency.alpha(),
            "received_on": received_on,
        }),
        TopUpEnd::Failed { reason } => json!({ "status": "failed", "reason": reason }),
    };
    json["type"] = "end_top_up".into();
    json["top_up_id"] = end.top_up_id.to_string().into();
    json["account_id"] = end.account_id.to_string().into();
    json["payment"] = end.payment.map(payment).into();
    json
}

fn payment(payment: IncomingPayment) -> Value {
    json!({ "write_id": payment.write_id, "line": payment.line })
}

pub(super) fn top_up_ended(ended: &TopUpEnded) -> Value {
    json!({
        "type": "top_up_ended",
        "credited": ended.credit.credited_minor,
        "rest": ended.credit.rest_minor,
        "postings": ended.postings.iter().map(posting).collect::<Vec<_>>(),
    })
}

pub(super) fn change_account(change: &ChangeAccount) -> Value {
    json!({
        "type": "change_account",
        "account_id": change.account_id.to_string(),
        "name": change.name,
        "controls": change.controls.as_ref().map(controls_json::to_json),
        "credit_line": change.credit_line_minor,
        "low_balance_below": change.low_below_minor.flatten(),
        "auto_top_up": change.auto_top_up.flatten().as_ref().map(accounts::rule_json),
    })
}

pub(super) fn note_low_balance(low: &NoteLowBalance) -> Value {
    json!({ "type": "note_low_balance", "account_id": low.account_id.to_string() })
}

pub(super) fn charge_monthly_fee(due: &ChargeMonthlyFee) -> Value {
    json!({
        "type": "charge_monthly_fee",
        "card_id": due.card_id.to_string(),
        "month": due.month.to_string(),
    })
}

pub(super) fn fee_schedule_put(event: &RegistryEvent) -> Value {
    match event {
        RegistryEvent::FeeSchedulePut {
            version,
            schedule_version,
        } => json!({
            "type": "fee_schedule_put", "registry_version": version, "version": schedule_version,
        }),
        event => panic!("this is not about a fee schedule: {event:?}"),
    }
}

/// With its own legs; those on conversions are among those of the payment.
pub(super) fn charge(charge: &Charge) -> Value {
    let own = charge
        .is_posted_by_itself()
        .then(|| charge.legs().iter().map(posting).collect::<Vec<_>>());
    json!({
        "kind": charge.kind.name(),
        "account_id": charge.account_id.to_string(),
        "card_id": charge.card_id.map(|id| id.to_string()),
        "fee_schedule_id": charge.schedule.id.to_string(),
        "fee_schedule_version": charge.schedule.version,
        "fee_amount": charge.fee_minor,
        "reseller_mark_up_amount": charge.reseller_mark_up_minor,
        "basis_amount": charge.basis_minor,
        "currency": charge.currency.alpha(),
        "month": charge.month.map(|month| month.to_string()),
        "overdrawn": charge.overdrawn,
        "counts_until": charge.counts_until.map(|until| until.to_string()),
        "out_of_range": charge.out_of_range,
        "postings": own,
    })
}

pub(super) fn auto_top_up(auto: &AutoTopUp) -> Value {
    json!({
        "type": "auto_top_up",
        "transfer_id": auto.transfer_id.to_string(),
        "account_id": auto.account_id.to_string(),
    })
}

pub(super) fn auto_topped_up(done: &AutoToppedUp) -> Value {
    let mut json = transferred(&done.transferred);
    json["type"] = "auto_topped_up".into();
    json["transfer"] = transfer("transfer", &done.transfer);
    json
}

pub fn fail_reference(failed: &FailReference) -> Value {
    json!({
        "type": "fail_reference",
        "top_up_id": failed.top_up_id.to_string(),
        "root_account_id": failed.root.to_string(),
        "method": failed.method,
        "external_reference": failed.reference,
    })
}
