//! A journal record as one JSON object, with the names of the REST interface. Each value is put in by name:
//! sealed card numbers, keyed hashes and stored response bodies are not, and a new field is left out until
//! it is named here.

use super::{
    approval_json, card_json, exception_json, message_json, money_json, program_json, token_json,
    webhook_json,
};
use crate::api::{
    api_keys, audit, controls_json, decision_endpoints, exchange_rates, fee_schedules, groups,
};
use crate::engine::command::{AccountStatusChange, Action, Authorize, Command, OpenAccount, TopUp};
use crate::engine::event::Event;
use crate::engine::fees::charge::Charge;
use crate::engine::groups::{MccGroup, SharedMerchantList};
use crate::engine::ids::ApiKeyId;
use crate::engine::link_states::ChangeLinkStatus;
use crate::engine::links::SetLinkControls;
use crate::engine::record::Record;
use crate::engine::registry::{EngineSettings, RegistryAction, RegistryEvent, SetExchangeRates};
use crate::engine::risk::rule::RiskRule;
use crate::engine::time::{Expiry, Timestamp};
use crate::engine::top_ups::ReserveReference;
use crate::journal::Sequence;
use serde_json::{Value, json};

/// A record: its number and time, what was asked, and what came of it.
pub fn line(sequence: Sequence, record: &Record) -> Value {
    let charges = match record {
        Record::Shard { event, .. } => event.charges(),
        Record::Registry { .. } => &[],
    };
    let (at, engine_version, tree, command, event) = match record {
        Record::Shard {
            command: asked,
            event: came,
            engine_version,
            ..
        } => {
            let tree = Some(asked.root.to_string());
            (asked.at, engine_version, tree, command(asked), event(came))
        }
        Record::Registry {
            command: asked,
            event: came,
            engine_version,
            ..
        } => {
            let (asked_of, came) = (registry_action(&asked.action), registry_event(came));
            (asked.at, engine_version, None, asked_of, came)
        }
    };
    let event = with_charges(event, charges);
    json!({
        "sequence": sequence, "at": at.to_string(), "engine_version": engine_version, "tree": tree,
        "command": command, "event": event, "requester": record.requester().map(audit::requester_json),
    })
}

/// With what the record charges, where it does.
fn with_charges(mut event: Value, charges: &[Charge]) -> Value {
    if !charges.is_empty() {
        event["charges"] = charges.iter().map(money_json::charge).collect();
    }
    event
}

fn command(command: &Command) -> Value {
    match &command.action {
        Action::Authorize(authorize) => message_json::authorize("authorize", authorize),
        Action::Reverse(reverse) => message_json::reverse("reverse", reverse),
        Action::Advise(advise) => message_json::advise("advise", advise),
        Action::OpenAccount(open) => open_account(open),
        Action::ChangeAccountStatus(change) => json!({
            "type": "change_account_status",
            "account_id": change.account_id.to_string(),
            "change": match change.change {
                AccountStatusChange::Freeze => "freeze",
                AccountStatusChange::Unfreeze => "unfreeze",
                AccountStatusChange::Close => "close",
            },
        }),
        Action::TopUp(top_up) => self::top_up(top_up),
        Action::OpenCard(open) => card_json::open_card(open),
        Action::ChangeCardStatus(change) => card_json::change_status(change),
        Action::ChangeCardControls(change) => json!({
            "type": "change_card_controls",
            "card_id": change.card_id.to_string(),
            "controls": controls_json::to_json(&change.controls),
        }),
        Action::ChangeCardHolder(change) => json!({
            "type": "change_card_holder",
            "card_id": change.card_id.to_string(),
            "holder": card_json::holder(&change.holder),
            "is_set": change.is_set,
        }),
        Action::Resolve(resolve) => message_json::resolve(resolve),
        Action::Withhold(withhold) => {
            let mut json = message_json::authorize("withhold", &withhold.payment);
            json["reversal_id"] = withhold.reversal_id.to_string().into();
            json
        }
        Action::ReleaseHold(release) => json!({
            "type": "release_hold",
            "authorization_id": release.authorization_id.to_string(),
            "cause": release.cause.name(),
        }),
        Action::Recall(recall) => message_json::recall(recall),
        Action::ReplaceCard(replace) => card_json::replace_card(replace),
        Action::RenewCard(renew) => card_json::renew_card(renew),
        Action::Transfer(transfer) => money_json::transfer("transfer", transfer),
        Action::ReceiveTransfer(receive) => {
            money_json::transfer("receive_transfer", &receive.transfer)
        }
        Action::EndTransfer(end) => money_json::end_transfer(end),
        Action::AnnounceTopUp(top_up) => with_type("announce_top_up", self::top_up(top_up)),
        Action::EndTopUp(end) => money_json::end_top_up(end),
        Action::ChangeAccount(change) => money_json::change_account(change),
        Action::NoteLowBalance(low) => money_json::note_low_balance(low),
        Action::AutoTopUp(auto) => money_json::auto_top_up(auto),
        Action::ChargeMonthlyFee(due) => money_json::charge_monthly_fee(due),
        Action::OpenToken(open) => token_json::open("open_token", open),
        Action::ChangeTokenStatus(change) => token_json::change(*change),
        Action::ChangeShipping(change) => card_json::change_shipping(change),
        Action::ExpireCard(expire) => card_json::expire_card(expire),
        Action::ResetVerificationTries(reset) => card_json::reset_verification_tries(*reset),
    }
}

pub(super) fn month(expiry: Expiry) -> String {
    format!("{:04}-{:02}", expiry.year(), expiry.month())
}

fn open_account(open: &OpenAccount) -> Value {
    json!({
        "type": "open_account",
        "account_id": open.account_id.to_string(),
        "parent_id": open.parent_id.map(|id| id.to_string()),
        "program_id": open.program_id.to_string(),
        "currency": open.currency.alpha(),
        "name": open.name,
        "controls": controls_json::to_json(&open.controls),
    })
}

fn top_up(top_up: &TopUp) -> Value {
    json!({
        "type": "top_up",
        "top_up_id": top_up.top_up_id.to_string(),
        "account_id": top_up.account_id.to_string(),
        "amount": top_up.amount.amount_minor,
        "currency": top_up.amount.currency.alpha(),
        "method": top_up.method,
        "external_reference": top_up.external_reference,
    })
}

fn event(event: &Event) -> Value {
    match event {
        Event::Authorized(authorized) => message_json::authorized(authorized),
        Event::Reversed(reversed) => message_json::reversed(reversed),
        Event::Advised(advised) => message_json::advised(advised),
        Event::AccountOpened { .. } => json!({ "type": "account_opened" }),
        Event::AccountStatusChanged { from, to } => {
            moved("account_status_changed", from.name(), to.name())
        }
        Event::Posted { postings, .. } => {
            let postings: Vec<Value> = postings.iter().map(message_json::posting).collect();
            json!({ "type": "posted", "postings": postings })
        }
        Event::CardOpened { status, .. } => {
            json!({ "type": "card_opened", "status": status.name() })
        }
        Event::CardStatusChanged {
            from,
            to,
            tokens,
            cancels_shipping,
        } => json!({
            "type": "card_status_changed", "from": from.name(), "to": to.name(),
            "deleted_token_ids": token_json::ids(tokens), "cancels_shipping": cancels_shipping,
        }),
        Event::CardControlsChanged => json!({ "type": "card_controls_changed" }),
        Event::Resolved(resolved) => message_json::resolved(resolved),
        Event::Withheld(withheld) => message_json::withheld(withheld),
        Event::CardHolderChanged { from } => json!({
            "type": "card_holder_changed", "from_cardholder_id": from.map(|id| id.to_string()),
        }),
        Event::Recalled => json!({ "type": "recalled" }),
        Event::CardReplaced(replaced) => card_json::card_replaced(replaced),
        Event::CardRenewed(renewed) => {
            json!({ "type": "card_renewed", "expiry_before": month(renewed.from) })
        }
        Event::Transferred(transferred) => money_json::transferred(transferred),
        Event::TopUpAnnounced => json!({ "type": "top_up_announced" }),
        Event::TopUpEnded(ended) => money_json::top_up_ended(ended),
        Event::AccountChanged => json!({ "type": "account_changed" }),
        Event::BalanceLow {
            available_minor,
            below_minor,
        } => {
            json!({ "type": "balance_low", "available": available_minor, "below": below_minor })
        }
        Event::AutoToppedUp(done) => money_json::auto_topped_up(done),
        Event::MonthlyFeeCharged { .. } => json!({ "type": "monthly_fee_charged" }),
        Event::TokenOpened { card_id, status } => {
            json!({ "type": "token_opened", "card_id": card_id.to_string(), "status": status.name() })
        }
        Event::CardExpired => json!({ "type": "card_expired" }),
        Event::VerificationTriesReset { failed } => card_json::verification_tries_reset(*failed),
        Event::ShippingChanged { from, to } => moved("shipping_changed", from.name(), to.name()),
        Event::TokenStatusChanged { from, to } => {
            moved("token_status_changed", from.name(), to.name())
        }
        Event::HoldReleased {
            account_id,
            amount_minor,
            standing,
        } => json!({
            "type": "hold_released",
            "account_id": account_id.to_string(),
            "amount": amount_minor,
            "status": standing.name(),
        }),
    }
}

fn moved(event_type: &str, from: &str, to: &str) -> Value {
    json!({ "type": event_type, "from": from, "to": to })
}

fn authorize_unknown_card(authorize: &Authorize, bin_known: bool) -> Value {
    let mut json = message_json::authorize("authorize_unknown_card", authorize);
    json["bin_known"] = bin_known.into();
    json
}

fn registry_action(action: &RegistryAction) -> Value {
    match action {
        RegistryAction::ChangeSettings(settings) => change_settings(settings),
        RegistryAction::CreateProgram(_) | RegistryAction::ChangeProgram(_) => {
            program_json::action(action)
        }
        action @ (RegistryAction::IssueCard(_)
        | RegistryAction::ReissueCard(_)
        | RegistryAction::RenewCard(_)
        | RegistryAction::ChangeCardBatch(_)
        | RegistryAction::CreateCardholder(_)
        | RegistryAction::VerifyCardholder(_)
        | RegistryAction::ChangeCardholder(_)
        | RegistryAction::SetCardholder(_)
        | RegistryAction::RevealCard(_)) => card_json::registry_action(action),
        RegistryAction::AuthorizeUnknownCard {
            authorize,
            bin_known,
        } => authorize_unknown_card(authorize, *bin_known),
        RegistryAction::ReverseUnknownCard(reverse) => {
            message_json::reverse("reverse_unknown_card", reverse)
        }
        RegistryAction::AdviseUnknownCard(advise) => {
            message_json::advise("advise_unknown_card", advise)
        }
        RegistryAction::BeginIdempotent(_) => json!({ "type": "begin_idempotent" }),
        RegistryAction::CompleteIdempotent { status, .. } => {
            json!({ "type": "complete_idempotent", "status": status })
        }
        RegistryAction::PutFeeSchedule(put) => {
            with_type("put_fee_schedule", fee_schedules::put_json(put))
        }
        RegistryAction::SetExchangeRates(set) => set_exchange_rates(set),
        RegistryAction::CreateRiskRule(rule) => create_risk_rule(rule),
        RegistryAction::ChangeRiskRule { rule_id, change } => json!({
            "type": "change_risk_rule", "rule_id": rule_id.to_string(), "change": change.name(),
        }),
        RegistryAction::PutDecisionEndpoint(endpoint) => with_type(
            "put_decision_endpoint",
            decision_endpoints::to_json(endpoint),
        ),
        RegistryAction::CreateApiKey(key) => with_type("create_api_key", api_keys::to_json(key)),
        RegistryAction::RevokeApiKey { id, at, children } => revoke_api_key((*id, *children), *at),
        RegistryAction::ChangeLinkStatus(change) => change_link_status(change),
        RegistryAction::TellCardsOfLink(tell) => tell_cards_of_link(tell.changed_at),
        RegistryAction::Audit(entry) => with_type("audit", audit::entry_json(entry)),
        RegistryAction::CreateMccGroup(group) => mcc_group("create_mcc_group", group),
        RegistryAction::ChangeMccGroup(group) => mcc_group("change_mcc_group", group),
        RegistryAction::CreateMerchantList(list) => merchant_list("create_merchant_list", list),
        RegistryAction::ChangeMerchantList(list) => merchant_list("change_merchant_list", list),
        RegistryAction::RequestException(wanted) => exception_json::request(wanted),
        RegistryAction::ChangeException(change) => exception_json::change(change),
        RegistryAction::ExpireException(id) => exception_json::expire(*id),
        RegistryAction::SetLinkControls(set) => set_link_controls(set),
        action @ (RegistryAction::PutWebhookEndpoint(_)
        | RegistryAction::DeleteWebhookEndpoint(_)
        | RegistryAction::DisableWebhookEndpoint { .. }
        | RegistryAction::NoteWebhookProgress(_)
        | RegistryAction::MoveWebhook(_)) => webhook_json::action(action),
        RegistryAction::ReserveReference(reserve) => reserve_reference(reserve),
        RegistryAction::FailReference(failed) => money_json::fail_reference(failed),
        RegistryAction::RequestToken(request) => token_json::open("request_token", &request.open),
        RegistryAction::RequestApproval(_) | RegistryAction::ChangeApproval(_) => {
            approval_json::action(action)
        }
    }
}

fn set_exchange_rates(set: &SetExchangeRates) -> Value {
    json!({
        "type": "set_exchange_rates",
        "source": set.source,
        "rates": exchange_rates::pairs_json(&set.rates),
    })
}

fn mcc_group(name: &str, group: &MccGroup) -> Value {
    with_type(name, groups::mcc_group_to_json(group))
}

fn merchant_list(name: &str, list: &SharedMerchantList) -> Value {
    with_type(name, groups::merchant_list_to_json(list))
}

fn reserve_reference(reserve: &ReserveReference) -> Value {
    let mut json = with_type("reserve_reference", top_up(&reserve.top_up));
    json["in_place_of"] = reserve.in_place_of.map(|id| id.to_string()).into();
    json
}

fn revoke_api_key((id, children): (ApiKeyId, bool), at: Timestamp) -> Value {
    json!({
        "type": "revoke_api_key",
        "api_key_id": id.to_string(),
        "revoked_at": at.to_string(),
        "children": children,
    })
}

fn tell_cards_of_link(changed_at: u64) -> Value {
    json!({ "type": "tell_cards_of_link", "changed_at": changed_at })
}

fn change_link_status(change: &ChangeLinkStatus) -> Value {
    json!({
        "type": "change_link_status",
        "program_id": change.key.program_id.to_string(),
        "link": { "type": change.key.link_type, "id": change.key.id },
        "status": change.to.name(),
    })
}

fn set_link_controls(set: &SetLinkControls) -> Value {
    json!({
        "type": "set_link_controls",
        "program_id": set.key.program_id.to_string(),
        "link": { "type": set.key.link_type, "id": set.key.id },
        "controls": controls_json::to_json(&set.controls),
    })
}

pub(super) fn with_type(name: &str, mut json: Value) -> Value {
    json["type"] = name.into();
    json
}

fn change_settings(settings: &EngineSettings) -> Value {
    json!({
        "type": "change_settings",
        "first_answer_retention_ms": settings.first_answer_retention_ms,
        "reversal_retention_ms": settings.reversal_retention_ms,
        "closed_retention_ms": settings.closed_retention_ms,
        "closed_per_shard_max": settings.closed_per_shard_max,
        "idempotency_retention_ms": settings.idempotency_retention_ms,
        "hold_expiry_ms": settings.hold_expiry_ms,
        "open_holds_per_account_max": settings.open_holds_per_account_max,
        "open_holds_per_shard_max": settings.open_holds_per_shard_max,
        "idempotency_bytes_max": settings.idempotency_bytes_max,
        "idempotency_bytes_of_tenant_max": settings.idempotency_bytes_of_tenant_max,
        "ended_api_key_retention_ms": settings.ended_api_key_retention_ms,
        "past_exception_retention_ms": settings.past_exception_retention_ms,
        "verification_tries_per_day_max": settings.verification_tries_per_day_max,
    })
}

fn create_risk_rule(rule: &RiskRule) -> Value {
    json!({
        "type": "create_risk_rule",
        "rule_id": rule.id.to_string(),
        "program_id": rule.program_id.to_string(),
        "name": rule.name,
        "expression": rule.expression,
        "action": rule.action.name(),
        "state": rule.state.name(),
    })
}

fn rule_changed(event: &RegistryEvent) -> Value {
    let RegistryEvent::RiskRuleChanged {
        version,
        from,
        to,
        program_id,
    } = event
    else {
        return Value::Null;
    };
    json!({
        "type": "risk_rule_changed", "registry_version": version, "program_id": program_id.to_string(),
        "from": from.name(), "to": to.name(),
    })
}

fn registry_event(event: &RegistryEvent) -> Value {
    match event {
        RegistryEvent::SettingsChanged { version } => {
            json!({ "type": "settings_changed", "registry_version": version })
        }
        event @ (RegistryEvent::ProgramCreated { .. } | RegistryEvent::ProgramChanged { .. }) => {
            program_json::event(event)
        }
        RegistryEvent::CardIssued { links, holder } => {
            let links: Vec<String> = links.iter().map(|id| id.to_string()).collect();
            let holder = holder.as_ref().map(card_json::holder);
            json!({ "type": "card_issued", "link_ids": links, "holder": holder })
        }
        RegistryEvent::Authorized(authorized) => message_json::authorized(authorized),
        RegistryEvent::Reversed(reversed) => message_json::reversed(reversed),
        RegistryEvent::Advised(advised) => message_json::advised(advised),
        RegistryEvent::CardRevealed => json!({ "type": "card_revealed" }),
        RegistryEvent::IdempotentBegun => json!({ "type": "idempotent_begun" }),
        RegistryEvent::IdempotentCompleted => json!({ "type": "idempotent_completed" }),
        RegistryEvent::ExchangeRatesSet { version } => {
            json!({ "type": "exchange_rates_set", "registry_version": version })
        }
        RegistryEvent::RiskRuleCreated { version } => {
            json!({ "type": "risk_rule_created", "registry_version": version })
        }
        event @ RegistryEvent::RiskRuleChanged { .. } => rule_changed(event),
        RegistryEvent::CardholderCreated => json!({ "type": "cardholder_created" }),
        RegistryEvent::CardholderVerified { holder, cards } => {
            card_json::told_to_cards("cardholder_verified", holder, cards)
        }
        RegistryEvent::CardholderChanged { holder, cards } => {
            card_json::told_to_cards("cardholder_changed", holder, cards)
        }
        RegistryEvent::CardholderSet { holder, .. } => {
            json!({ "type": "cardholder_set", "holder": card_json::holder(holder) })
        }
        RegistryEvent::DecisionEndpointPut { version } => {
            json!({ "type": "decision_endpoint_put", "registry_version": version })
        }
        RegistryEvent::ApiKeyChanged { version } => {
            json!({ "type": "api_key_changed", "registry_version": version })
        }
        RegistryEvent::LinkStatusChanged { version, .. } => {
            json!({ "type": "link_status_changed", "registry_version": version })
        }
        event @ RegistryEvent::FeeSchedulePut { .. } => money_json::fee_schedule_put(event),
        RegistryEvent::ReferenceReserved => json!({ "type": "reference_reserved" }),
        RegistryEvent::ReferenceFailed => json!({ "type": "reference_failed" }),
        RegistryEvent::CardsOfLinkTold => json!({ "type": "cards_of_link_told" }),
        RegistryEvent::TokenRequested => json!({ "type": "token_requested" }),
        RegistryEvent::Audited => json!({ "type": "audited" }),
        event @ (RegistryEvent::WebhookEndpointPut { .. }
        | RegistryEvent::WebhookEndpointDeleted { .. }
        | RegistryEvent::WebhookEndpointDisabled { .. }
        | RegistryEvent::WebhookProgressNoted
        | RegistryEvent::WebhookMoved { .. }) => webhook_json::event(event),
        RegistryEvent::CardRenewed { .. } => json!({ "type": "card_renewed" }),
        RegistryEvent::CardBatchChanged => json!({ "type": "card_batch_changed" }),
        RegistryEvent::GroupsChanged { version } => {
            json!({ "type": "groups_changed", "registry_version": version })
        }
        RegistryEvent::ApprovalChanged { to, .. } => approval_json::changed(*to),
        event @ (RegistryEvent::ExceptionRequested { .. }
        | RegistryEvent::ExceptionChanged { .. }
        | RegistryEvent::ExceptionExpired { .. }) => exception_json::came(event),
        RegistryEvent::LinkControlsSet { version, link } => json!({
            "type": "link_controls_set", "registry_version": version, "link_id": link.to_string(),
        }),
    }
}
