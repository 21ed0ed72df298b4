//! Of a journal record as JSON, what is about issuing cards and who holds them. All else of it is in `record_json.rs`.

use super::record_json::{month, with_type};
use super::token_json;
use crate::api::{cardholders, cards, controls_json};
use crate::engine::card_batches::BatchChange;
use crate::engine::card_expiry::ExpireCard;
use crate::engine::cardholders::Holder;
use crate::engine::command::{CardType, ChangeCardStatus, OpenCard, StatusChange};
use crate::engine::ids::{AccountId, CardId};
use crate::engine::registry::{IssueCard, LinkKey, RegistryAction};
use crate::engine::reissue::{CardReplaced, ReissueCard, RenewCard, ReplaceCard};
use crate::engine::shipping::ChangeShipping;
use crate::engine::verification_tries::ResetVerificationTries;
use serde_json::{Value, json};

/// How many rows, and what is wrong with some; what was ordered is not told.
fn change_card_batch(change: &BatchChange) -> Value {
    let what = match change {
        BatchChange::Create(order) => json!({ "create": { "total": order.total } }),
        BatchChange::AddRows { from, rows, .. } => {
            json!({ "add_rows": { "from": from, "count": rows.len() } })
        }
        BatchChange::Note {
            from, to, errors, ..
        } => {
            let errors = errors.iter();
            let errors = errors.map(|(row, error)| json!({ "index": row, "code": error.code }));
            let errors: Vec<Value> = errors.collect();
            json!({ "note": { "from": from, "until": to, "errors": errors } })
        }
        BatchChange::Cancel(_) => json!({ "cancel": {} }),
    };
    let id = change.id().to_string();
    json!({ "type": "change_card_batch", "card_batch_id": id, "change": what })
}

/// What the registry was asked about a card.
pub(super) fn registry_action(action: &RegistryAction) -> Value {
    match action {
        RegistryAction::IssueCard(issue) => issue_card(issue),
        RegistryAction::ReissueCard(reissue) => reissue_card(reissue),
        RegistryAction::RenewCard(renew) => renew_card(renew),
        RegistryAction::ChangeCardBatch(change) => change_card_batch(change),
        RegistryAction::RevealCard(reveal) => json!({
            "type": "reveal_card",
            "card_id": reveal.card_id.to_string(),
            "reason": reveal.reason,
            "api_key_id": reveal.api_key_id,
        }),
        RegistryAction::CreateCardholder(cardholder) => {
            with_type("create_cardholder", cardholders::to_json(cardholder))
        }
        RegistryAction::VerifyCardholder(id) => {
            json!({ "type": "verify_cardholder", "cardholder_id": id.to_string() })
        }
        RegistryAction::ChangeCardholder(change) => json!({
            "type": "change_cardholder",
            "cardholder_id": change.id.to_string(),
            "name": change.name,
            "home_country": change.home_country.map(|country| country.alpha2().to_string()),
            "verified": change.verified,
        }),
        RegistryAction::SetCardholder(set) => json!({
            "type": "set_cardholder",
            "card_id": set.card_id.to_string(),
            "cardholder_id": set.cardholder_id.to_string(),
        }),
        action => panic!("this is not about a card: {action:?}"),
    }
}

pub(super) fn open_card(open: &OpenCard) -> Value {
    let links: Vec<String> = open.links.iter().map(|id| id.to_string()).collect();
    json!({
        "type": "open_card",
        "card_id": open.card_id.to_string(),
        "account_id": open.account_id.to_string(),
        "card_type": card_type(open.card_type),
        "first6": format!("{:06}", open.first6),
        "last4": format!("{:04}", open.last4),
        "expiry": month(open.expiry),
        "link_ids": links,
        "controls": controls_json::to_json(&open.controls),
        "wallet_account_ids": cards::wallet_json(open.wallet.as_deref()),
        "paid_by": open.paid_by.map(|id| id.to_string()),
    })
}

fn card_type(card_type: CardType) -> &'static str {
    match card_type {
        CardType::Virtual => "virtual",
        CardType::Physical => "physical",
    }
}

fn issue_card(issue: &IssueCard) -> Value {
    let link = |link: &LinkKey| json!({ "type": link.link_type, "id": link.id });
    json!({
        "type": "issue_card",
        "card_id": issue.card_id.to_string(),
        "tree": issue.root.to_string(),
        "account_id": issue.account_id.to_string(),
        "program_id": issue.program_id.to_string(),
        "card_type": card_type(issue.card_type),
        "first6": format!("{:06}", issue.first6),
        "last4": format!("{:04}", issue.last4),
        "expiry": month(issue.expiry),
        "links": issue.links.iter().map(link).collect::<Vec<Value>>(),
        "controls": controls_json::to_json(&issue.controls),
        "wallet_account_ids": cards::wallet_json(issue.wallet.as_deref()),
        "paid_by": issue.paid_by.map(|id| id.to_string()),
    })
}

fn reissue_card(reissue: &ReissueCard) -> Value {
    let mut json = issue_card(&reissue.issue);
    json["type"] = "reissue_card".into();
    json["replacement_for"] = reissue.replaces.to_string().into();
    json["reason"] = reissue.reason.name().into();
    json
}

pub(super) fn replace_card(replace: &ReplaceCard) -> Value {
    json!({
        "type": "replace_card",
        "card_id": replace.card_id.to_string(),
        "replacement_for": replace.replaces.to_string(),
        "reason": replace.reason.name(),
        "first6": format!("{:06}", replace.first6),
        "last4": format!("{:04}", replace.last4),
        "expiry": month(replace.expiry),
        "holder": replace.holder.as_ref().map(holder),
    })
}

/// Without who is to get it, and where.
pub(super) fn change_shipping(change: &ChangeShipping) -> Value {
    json!({
        "type": "change_shipping",
        "card_id": change.card_id.to_string(),
        "status": change.to.name(),
        "carrier": change.parcel.carrier,
        "tracking_number": change.parcel.tracking_number,
        "eta": change.parcel.eta,
    })
}

pub(super) fn renew_card(renew: &RenewCard) -> Value {
    json!({
        "type": "renew_card",
        "card_id": renew.card_id.to_string(),
        "expiry": month(renew.expiry),
    })
}

pub(super) fn expire_card(expire: &ExpireCard) -> Value {
    json!({
        "type": "expire_card",
        "card_id": expire.card_id.to_string(),
        "expiry": month(expire.expiry),
    })
}

pub(super) fn reset_verification_tries(reset: ResetVerificationTries) -> Value {
    json!({
        "type": "reset_verification_tries",
        "card_id": reset.card_id.to_string(),
    })
}

pub(super) fn verification_tries_reset(failed: u16) -> Value {
    json!({ "type": "verification_tries_reset", "failed": failed })
}

pub fn change_status(change: &ChangeCardStatus) -> Value {
    json!({
        "type": "change_card_status",
        "card_id": change.card_id.to_string(),
        "change": match change.change {
            StatusChange::Activate => "activate",
            StatusChange::Freeze => "freeze",
            StatusChange::Unfreeze => "unfreeze",
            StatusChange::Close => "close",
            StatusChange::Block => "block",
            StatusChange::BlockLost => "block_lost",
            StatusChange::BlockStolen => "block_stolen",
            StatusChange::BlockFraud => "block_fraud",
        },
    })
}

pub fn card_replaced(replaced: &CardReplaced) -> Value {
    json!({
        "type": "card_replaced",
        "status": replaced.status.name(),
        "replaced_from": replaced.from.name(),
        "replaced_to": replaced.to.name(),
        "token_ids": token_json::ids(&replaced.tokens),
        "cancels_shipping": replaced.cancels_shipping,
    })
}

/// What the cards of a cardholder have to hear of.
pub(super) fn told_to_cards(
    event_type: &str,
    holder: &Holder,
    cards: &[(CardId, AccountId)],
) -> Value {
    let cards = cards.iter().map(|(id, _)| id.to_string());
    json!({
        "type": event_type,
        "holder": self::holder(holder),
        "card_ids": cards.collect::<Vec<_>>(),
    })
}

pub(super) fn holder(holder: &Holder) -> Value {
    json!({
        "cardholder_id": holder.id.to_string(),
        "home_country": holder.home_country.alpha2(),
        "verified": holder.verified,
    })
}
