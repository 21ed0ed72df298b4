//! A journal record as one JSON object, with the names of the REST interface. Each value is put in by name:
//! sealed card numbers, keyed hashes and stored response bodies are not, and a new field is left out until
//! it is named here.

use crate::api::{cardholders, controls_json, groups, three_ds_json, trace_json};
use crate::engine::cardholders::Holder;
use crate::engine::command::{
    AccountStatusChange, Action, Authorize, CardType, Command, OpenAccount, OpenCard, Reverse,
    StatusChange, TopUp,
};
use crate::engine::counters::CountedIn;
use crate::engine::event::{
    Authorized, Decision, Event, HoldPlaced, LedgerAccount, LimitUse, Posting, ReversalOutcome,
    Reversed, RuleId,
};
use crate::engine::facts::{Check, Merchant, NetworkReference, Verification};
use crate::engine::money::{Currency, Money};
use crate::engine::record::Record;
use crate::engine::registry::{
    EngineSettings, IssueCard, LinkKey, Program, RegistryAction, RegistryEvent,
};
use crate::engine::time::{Expiry, Timestamp};
use crate::journal::Sequence;
use serde_json::{Value, json};

/// A record: its number and time, what was asked, and what came of it.
pub fn line(sequence: Sequence, record: &Record) -> Value {
    let (at, engine_version, tree, command, event) = match record {
        Record::Shard {
            command: asked,
            event: came,
            engine_version,
        } => {
            let tree = Some(asked.root.to_string());
            (asked.at, engine_version, tree, command(asked), event(came))
        }
        Record::Registry {
            command: asked,
            event: came,
            engine_version,
        } => {
            let (asked_of, came) = (registry_action(&asked.action), registry_event(came));
            (asked.at, engine_version, None, asked_of, came)
        }
    };
    json!({
        "sequence": sequence, "at": at.to_string(), "engine_version": engine_version, "tree": tree,
        "command": command, "event": event,
    })
}

fn command(command: &Command) -> Value {
    match &command.action {
        Action::Authorize(authorize) => self::authorize("authorize", authorize),
        Action::Reverse(reverse) => self::reverse("reverse", reverse),
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
        Action::OpenCard(open) => open_card(open),
        Action::ChangeCardStatus(change) => json!({
            "type": "change_card_status",
            "card_id": change.card_id.to_string(),
            "change": match change.change {
                StatusChange::Activate => "activate",
                StatusChange::Freeze => "freeze",
                StatusChange::Unfreeze => "unfreeze",
                StatusChange::Close => "close",
                StatusChange::Block => "block",
            },
        }),
        Action::ChangeCardControls(change) => json!({
            "type": "change_card_controls",
            "card_id": change.card_id.to_string(),
            "controls": controls_json::to_json(&change.controls),
        }),
        Action::ChangeCardHolder(change) => json!({
            "type": "change_card_holder",
            "card_id": change.card_id.to_string(),
            "holder": holder(&change.holder),
        }),
        Action::ReleaseHold(release) => json!({
            "type": "release_hold",
            "authorization_id": release.authorization_id.to_string(),
            "cause": release.cause.name(),
        }),
    }
}

fn authorize(kind: &str, authorize: &Authorize) -> Value {
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
        "three_ds": three_ds_json::said(&authorize.three_ds, authorize.initiated_by_merchant),
        "network": network(&authorize.reference),
    })
}

fn reverse(kind: &str, reverse: &Reverse) -> Value {
    json!({
        "type": kind,
        "reversal_id": reverse.reversal_id.to_string(),
        "card_id": reverse.card_id.to_string(),
        "transaction": money(reverse.amount),
        "network": network(&reverse.reference),
    })
}

/// An amount as a message states it: without a currency where the message names none.
fn money(money: Money) -> Value {
    let named = money.currency != Currency::ABSENT;
    json!({ "amount": money.amount_minor, "currency": named.then(|| money.currency.alpha()) })
}

fn merchant(merchant: &Merchant) -> Value {
    json!({
        "id": merchant.id, "name": merchant.name, "city": merchant.city,
        "mcc": controls_json::mcc_text(merchant.mcc), "country": merchant.country.alpha2(),
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

fn month(expiry: Expiry) -> String {
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

fn open_card(open: &OpenCard) -> Value {
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
    })
}

fn card_type(card_type: CardType) -> &'static str {
    match card_type {
        CardType::Virtual => "virtual",
        CardType::Physical => "physical",
    }
}

fn event(event: &Event) -> Value {
    match event {
        Event::Authorized(authorized) => self::authorized(authorized),
        Event::Reversed(reversed) => self::reversed(reversed),
        Event::AccountOpened => json!({ "type": "account_opened" }),
        Event::AccountStatusChanged { from, to } => {
            json!({ "type": "account_status_changed", "from": from.name(), "to": to.name() })
        }
        Event::Posted(postings) => {
            let postings: Vec<Value> = postings.iter().map(posting).collect();
            json!({ "type": "posted", "postings": postings })
        }
        Event::CardOpened { status } => json!({ "type": "card_opened", "status": status.name() }),
        Event::CardStatusChanged { from, to } => {
            json!({ "type": "card_status_changed", "from": from.name(), "to": to.name() })
        }
        Event::CardControlsChanged => json!({ "type": "card_controls_changed" }),
        Event::CardHolderChanged => json!({ "type": "card_holder_changed" }),
        Event::HoldReleased {
            account_id,
            amount_minor,
        } => json!({
            "type": "hold_released",
            "account_id": account_id.to_string(),
            "amount": amount_minor,
        }),
    }
}

fn authorized(authorized: &Authorized) -> Value {
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
        "trace": trace_json::to_json(&authorized.trace),
    })
}

fn hold(hold: &HoldPlaced) -> Value {
    let limit_use = |limit_use: &LimitUse| {
        json!({
            "scope": limit_use.scope.name(),
            "levels_above": limit_use.scope.levels_above(),
            "limit_id": limit_use.limit_id.to_string(),
            "resets_at": resets_at(limit_use).map(|at| at.to_string()),
        })
    };
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

fn reversed(reversed: &Reversed) -> Value {
    let (outcome, released) = match reversed.outcome {
        ReversalOutcome::Released {
            authorization_id,
            amount_minor,
        } => ("released", Some((authorization_id, amount_minor))),
        ReversalOutcome::OriginalUnknown => ("original_unknown", None),
        ReversalOutcome::AlreadyReversed => ("already_reversed", None),
        ReversalOutcome::Duplicate => ("duplicate", None),
    };
    json!({
        "type": "reversed",
        "registry_version": reversed.registry_version,
        "outcome": outcome,
        "authorization_id": released.map(|(id, _)| id.to_string()),
        "amount": released.map(|(_, amount_minor)| amount_minor),
    })
}

fn posting(posting: &Posting) -> Value {
    let (ledger_account, account_id) = match posting.ledger_account {
        LedgerAccount::Customer(id) => ("customer", Some(id.to_string())),
        LedgerAccount::FundsReceived => ("funds_received", None),
    };
    json!({
        "ledger_account": ledger_account, "account_id": account_id, "amount": posting.amount_minor,
    })
}

fn registry_action(action: &RegistryAction) -> Value {
    match action {
        RegistryAction::ChangeSettings(settings) => change_settings(settings),
        RegistryAction::CreateProgram(program) => create_program(program),
        RegistryAction::IssueCard(issue) => issue_card(issue),
        RegistryAction::AuthorizeUnknownCard {
            authorize,
            bin_known,
        } => {
            let mut json = self::authorize("authorize_unknown_card", authorize);
            json["bin_known"] = (*bin_known).into();
            json
        }
        RegistryAction::ReverseUnknownCard(reverse) => {
            self::reverse("reverse_unknown_card", reverse)
        }
        RegistryAction::RevealCard(reveal) => json!({
            "type": "reveal_card",
            "card_id": reveal.card_id.to_string(),
            "reason": reveal.reason,
            "api_key_id": reveal.api_key_id,
        }),
        RegistryAction::BeginIdempotent(_) => json!({ "type": "begin_idempotent" }),
        RegistryAction::CompleteIdempotent { status, .. } => {
            json!({ "type": "complete_idempotent", "status": status })
        }
        RegistryAction::CreateCardholder(cardholder) => {
            with_type("create_cardholder", cardholders::to_json(cardholder))
        }
        RegistryAction::VerifyCardholder(id) => {
            json!({ "type": "verify_cardholder", "cardholder_id": id.to_string() })
        }
        RegistryAction::CreateMccGroup(group) => {
            with_type("create_mcc_group", groups::mcc_group_to_json(group))
        }
        RegistryAction::ChangeMccGroup(group) => {
            with_type("change_mcc_group", groups::mcc_group_to_json(group))
        }
        RegistryAction::CreateMerchantList(list) => {
            with_type("create_merchant_list", groups::merchant_list_to_json(list))
        }
        RegistryAction::ChangeMerchantList(list) => {
            with_type("change_merchant_list", groups::merchant_list_to_json(list))
        }
    }
}

fn holder(holder: &Holder) -> Value {
    json!({
        "cardholder_id": holder.id.to_string(),
        "home_country": holder.home_country.alpha2(),
        "verified": holder.verified,
    })
}

fn with_type(name: &str, mut json: Value) -> Value {
    json["type"] = name.into();
    json
}

fn change_settings(settings: &EngineSettings) -> Value {
    json!({
        "type": "change_settings",
        "first_answer_retention_ms": settings.first_answer_retention_ms,
        "reversal_retention_ms": settings.reversal_retention_ms,
        "idempotency_retention_ms": settings.idempotency_retention_ms,
        "hold_expiry_ms": settings.hold_expiry_ms,
        "open_holds_per_account_max": settings.open_holds_per_account_max,
        "open_holds_per_shard_max": settings.open_holds_per_shard_max,
    })
}

fn create_program(program: &Program) -> Value {
    json!({
        "type": "create_program",
        "program_id": program.id.to_string(),
        "name": program.name,
        "network": program.network,
        "bin": program.bin,
        "currency": program.currency.alpha(),
        "controls": controls_json::to_json(&program.controls),
    })
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
    })
}

fn registry_event(event: &RegistryEvent) -> Value {
    match event {
        RegistryEvent::SettingsChanged { version } => {
            json!({ "type": "settings_changed", "registry_version": version })
        }
        RegistryEvent::ProgramCreated { version } => {
            json!({ "type": "program_created", "registry_version": version })
        }
        RegistryEvent::CardIssued { links, holder } => {
            let links: Vec<String> = links.iter().map(|id| id.to_string()).collect();
            let holder = holder.as_ref().map(self::holder);
            json!({ "type": "card_issued", "link_ids": links, "holder": holder })
        }
        RegistryEvent::Authorized(authorized) => self::authorized(authorized),
        RegistryEvent::Reversed(reversed) => self::reversed(reversed),
        RegistryEvent::CardRevealed => json!({ "type": "card_revealed" }),
        RegistryEvent::IdempotentBegun => json!({ "type": "idempotent_begun" }),
        RegistryEvent::IdempotentCompleted => json!({ "type": "idempotent_completed" }),
        RegistryEvent::CardholderCreated => json!({ "type": "cardholder_created" }),
        RegistryEvent::CardholderVerified { holder, cards } => {
            let cards = cards.iter().map(|(id, _)| id.to_string());
            json!({
                "type": "cardholder_verified",
                "holder": self::holder(holder),
                "card_ids": cards.collect::<Vec<_>>(),
            })
        }
        RegistryEvent::GroupsChanged { version } => {
            json!({ "type": "groups_changed", "registry_version": version })
        }
    }
}
