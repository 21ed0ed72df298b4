//! Decides and applies the registry's commands, as `decide.rs` and `apply.rs` do for a shard.

use super::api_keys;
use super::approvals;
use super::cardholders::{self, Cardholder, Holder};
use super::decision_endpoints;
use super::event::{Answer, Event};
use super::exceptions;
use super::failed_references;
use super::fees::schedule;
use super::groups::{Groups, MccGroup, SharedMerchantList};
use super::idempotency::{self, IdempotencyEntry};
use super::ids::{CardId, CardholderId};
use super::issuing;
use super::link_states;
use super::links;
use super::programs;
use super::rates::{Rates, RatesError};
use super::registry::{
    GROUPS_MAX, Program, Registry, RegistryAction, RegistryCommand, RegistryEvent, RegistryOutcome,
    RegistryRefusal, RegistryView, SetExchangeRates,
};
use super::risk::change as risk;
use super::{top_ups, unknown_card, webhook_endpoints};
use std::sync::Arc;

pub fn decide(registry: &Registry, command: &RegistryCommand) -> RegistryOutcome {
    let version = registry.view.version + 1;
    match &command.action {
        RegistryAction::ChangeSettings(_) => {
            RegistryOutcome::Event(RegistryEvent::SettingsChanged { version })
        }
        RegistryAction::CreateProgram(program) => programs::decide_create(&registry.view, program),
        RegistryAction::ChangeProgram(change) => programs::decide_change(&registry.view, change),
        RegistryAction::RevealCard(reveal) => reveal_card(registry, reveal.card_id),
        RegistryAction::BeginIdempotent(request) => {
            idempotency::decide_begin(registry, command.at, request)
        }
        RegistryAction::CompleteIdempotent { .. } => {
            RegistryOutcome::Event(RegistryEvent::IdempotentCompleted)
        }
        RegistryAction::AuthorizeUnknownCard { .. }
        | RegistryAction::ReverseUnknownCard(_)
        | RegistryAction::AdviseUnknownCard(_) => unknown_card::decide(registry, command)
            // Each of the three is a message.
            .unwrap_or_else(|| panic!("no message: {:?}", command.action)),
        RegistryAction::SetExchangeRates(set) => set_exchange_rates(registry, set, version),
        RegistryAction::CreateRiskRule(rule) => risk::create(&registry.view, rule),
        RegistryAction::ChangeRiskRule { rule_id, change } => {
            risk::change(&registry.view, *rule_id, *change)
        }
        RegistryAction::CreateMccGroup(_)
        | RegistryAction::ChangeMccGroup(_)
        | RegistryAction::CreateMerchantList(_)
        | RegistryAction::ChangeMerchantList(_) => {
            decide_groups(&registry.view.groups, &command.action, version)
        }
        RegistryAction::CreateCardholder(cardholder) => create_cardholder(registry, cardholder),
        RegistryAction::VerifyCardholder(id) => verify_cardholder(registry, *id),
        RegistryAction::ChangeCardholder(change) => cardholders::decide_change(registry, change),
        RegistryAction::SetCardholder(set) => cardholders::decide_set(registry, set),
        RegistryAction::SetLinkControls(set) => links::decide_set(registry, set),
        RegistryAction::RequestException(_)
        | RegistryAction::ChangeException(_)
        | RegistryAction::ExpireException(_) => exceptions::decide(registry, command),
        RegistryAction::PutDecisionEndpoint(endpoint) => {
            decision_endpoints::decide_put(&registry.view, endpoint)
        }
        RegistryAction::CreateApiKey(_) | RegistryAction::RevokeApiKey { .. } => {
            api_keys::decide(&registry.view, command)
        }
        RegistryAction::Audit(_) => RegistryOutcome::Event(RegistryEvent::Audited),
        RegistryAction::TellCardsOfLink(_) => {
            RegistryOutcome::Event(RegistryEvent::CardsOfLinkTold)
        }
        RegistryAction::ChangeLinkStatus(change) => link_states::decide(registry, change),
        action @ (RegistryAction::PutWebhookEndpoint(_)
        | RegistryAction::DeleteWebhookEndpoint(_)
        | RegistryAction::DisableWebhookEndpoint { .. }
        | RegistryAction::NoteWebhookProgress(_)
        | RegistryAction::MoveWebhook(_)) => webhook_endpoints::decide(registry, action),
        RegistryAction::IssueCard(_)
        | RegistryAction::ReissueCard(_)
        | RegistryAction::RenewCard(_)
        | RegistryAction::ChangeCardBatch(_)
        | RegistryAction::RequestToken(_) => issuing::decide(registry, &command.action),
        action @ (RegistryAction::ReserveReference(_) | RegistryAction::FailReference(_)) => {
            top_ups::decide_reference(&registry.references, action)
        }
        RegistryAction::PutFeeSchedule(put) => schedule::decide_put(&registry.view, put),
        RegistryAction::RequestApproval(_) | RegistryAction::ChangeApproval(_) => {
            approvals::decide(registry, command)
        }
    }
}

fn set_exchange_rates(
    registry: &Registry,
    set: &SetExchangeRates,
    version: u64,
) -> RegistryOutcome {
    match table(set, version) {
        Err(error) => RegistryOutcome::Refused(error.into()),
        // The version tells one table from another.
        Ok(table) if table.is_same_as(&registry.view.rates) => RegistryOutcome::AlreadyDone,
        Ok(_) => RegistryOutcome::Event(RegistryEvent::ExchangeRatesSet { version }),
    }
}

fn reveal_card(registry: &Registry, id: CardId) -> RegistryOutcome {
    match registry.issued_cards.get(id) {
        Some(_) => RegistryOutcome::Event(RegistryEvent::CardRevealed),
        None => RegistryOutcome::Refused(RegistryRefusal::CardNotFound(id)),
    }
}

fn create_cardholder(registry: &Registry, cardholder: &Cardholder) -> RegistryOutcome {
    let (id, program_id) = (cardholder.id, cardholder.program_id);
    if registry.cardholders.contains_key(&id) {
        RegistryOutcome::Refused(RegistryRefusal::IdTaken)
    } else if !registry.view.programs.contains_key(&program_id) {
        RegistryOutcome::Refused(RegistryRefusal::ProgramNotFound(program_id))
    } else {
        RegistryOutcome::Event(RegistryEvent::CardholderCreated)
    }
}

fn verify_cardholder(registry: &Registry, id: CardholderId) -> RegistryOutcome {
    let Some(known) = registry.cardholders.get(&id) else {
        return RegistryOutcome::Refused(RegistryRefusal::CardholderNotFound(id));
    };
    if known.cardholder.verified {
        return RegistryOutcome::Refused(RegistryRefusal::AlreadyVerified(id));
    }
    let holder = Holder {
        verified: true,
        ..known.cardholder.holder()
    };
    RegistryOutcome::Event(RegistryEvent::CardholderVerified {
        holder,
        cards: known.cards.clone(),
    })
}

fn decide_groups(groups: &Groups, action: &RegistryAction, version: u64) -> RegistryOutcome {
    let (mcc_groups, lists) = (&groups.mcc_groups, &groups.merchant_lists);
    let of_group = |group: &MccGroup| (mcc_groups.contains_key(&group.id), mcc_groups.len());
    let of_list = |list: &SharedMerchantList| (lists.contains_key(&list.id), lists.len());
    let (is_new, (is_known, known)) = match action {
        RegistryAction::CreateMccGroup(group) => (true, of_group(group)),
        RegistryAction::ChangeMccGroup(group) => (false, of_group(group)),
        RegistryAction::CreateMerchantList(list) => (true, of_list(list)),
        RegistryAction::ChangeMerchantList(list) => (false, of_list(list)),
        action => panic!("no group or list changes by this command: {action:?}"),
    };
    match (is_new, is_known) {
        (true, true) => RegistryOutcome::Refused(RegistryRefusal::IdTaken),
        (true, false) if known >= GROUPS_MAX => {
            RegistryOutcome::Refused(RegistryRefusal::TooManyGroups)
        }
        (false, false) => RegistryOutcome::Refused(RegistryRefusal::GroupNotFound),
        _ => RegistryOutcome::Event(RegistryEvent::GroupsChanged { version }),
    }
}

fn table(set: &SetExchangeRates, version: u64) -> Result<Rates, RatesError> {
    Rates::new(version, set.source.clone(), set.rates.clone())
}

/// Moves the registry. True when shards have a new view to adopt.
pub fn apply(registry: &mut Registry, command: &RegistryCommand, event: &RegistryEvent) -> bool {
    registry.now = registry.now.max(command.at);
    let new_view = apply_to_view(registry, command, event);
    match (&command.action, event) {
        _ if new_view => {}
        _ if issuing::apply(registry, command, event) => {}
        // The record is all there is of it.
        (RegistryAction::RevealCard(_), RegistryEvent::CardRevealed)
        | (RegistryAction::Audit(_), RegistryEvent::Audited)
        | (RegistryAction::TellCardsOfLink(_), RegistryEvent::CardsOfLinkTold) => {}
        (RegistryAction::BeginIdempotent(request), RegistryEvent::IdempotentBegun) => {
            let entry = IdempotencyEntry {
                request: *request,
                response: None,
            };
            registry.idempotency.insert(command.at, entry);
        }
        (
            RegistryAction::CompleteIdempotent { key, status, body },
            RegistryEvent::IdempotentCompleted,
        ) => {
            let response = (*status, body.clone());
            let retention_ms = registry.view.settings.idempotency_retention_ms;
            let keys = &mut registry.idempotency;
            keys.complete(*key, command.at, retention_ms, response);
        }
        (RegistryAction::CreateCardholder(cardholder), RegistryEvent::CardholderCreated) => {
            registry.insert_cardholder((**cardholder).clone());
        }
        (RegistryAction::VerifyCardholder(id), RegistryEvent::CardholderVerified { .. }) => {
            if let Some(known) = registry.cardholders.get_mut(id) {
                known.cardholder.verified = true;
            }
        }
        (RegistryAction::ChangeCardholder(change), RegistryEvent::CardholderChanged { .. }) => {
            cardholders::apply_change(registry, change);
        }
        (RegistryAction::SetCardholder(set), RegistryEvent::CardholderSet { root, .. }) => {
            cardholders::apply_set(registry, set, *root);
        }
        (RegistryAction::RequestException(wanted), RegistryEvent::ExceptionRequested { .. }) => {
            let wanted = Arc::new((**wanted).clone());
            registry.exceptions.put(wanted);
        }
        (RegistryAction::ExpireException(id), RegistryEvent::ExceptionExpired { .. }) => {
            exceptions::apply_expired(registry, *id);
        }
        (action, RegistryEvent::WebhookProgressNoted) => {
            webhook_endpoints::apply(registry, command.at, action);
        }
        (RegistryAction::ReserveReference(reserve), RegistryEvent::ReferenceReserved) => {
            top_ups::apply_reserve(&mut registry.references, reserve);
        }
        (RegistryAction::FailReference(failed), RegistryEvent::ReferenceFailed) => {
            failed_references::apply(&mut registry.references, failed);
        }
        (_, RegistryEvent::ApprovalChanged { to, .. }) => {
            approvals::apply(&mut registry.approvals, command, *to);
        }
        _ if unknown_card::apply(registry, command, event) => {}
        (action, event) => {
            panic!("a registry event {event:?} cannot come of this command: {action:?}")
        }
    }
    forget(registry);
    new_view
}

/// Makes a new version of the view, if the event does.
fn apply_to_view(
    registry: &mut Registry,
    command: &RegistryCommand,
    event: &RegistryEvent,
) -> bool {
    apply_of_links(registry, command, event)
        || apply_of_webhooks(registry, command, event)
        || apply_of_fees(registry, command, event)
        || apply_of_the_rest(registry, command, event)
}

/// The same, of webhook endpoints.
fn apply_of_webhooks(
    registry: &mut Registry,
    command: &RegistryCommand,
    event: &RegistryEvent,
) -> bool {
    let (RegistryEvent::WebhookEndpointPut { version }
    | RegistryEvent::WebhookEndpointDeleted { version }
    | RegistryEvent::WebhookEndpointDisabled { version, .. }
    | RegistryEvent::WebhookMoved { version }) = event
    else {
        return false;
    };
    webhook_endpoints::apply(registry, command.at, &command.action);
    change_view(registry, *version, |view| {
        webhook_endpoints::apply_to_view(view, &command.action)
    });
    true
}

/// The same, of fee schedules.
fn apply_of_fees(
    registry: &mut Registry,
    command: &RegistryCommand,
    event: &RegistryEvent,
) -> bool {
    let (
        RegistryAction::PutFeeSchedule(put),
        RegistryEvent::FeeSchedulePut {
            version,
            schedule_version,
        },
    ) = (&command.action, event)
    else {
        return false;
    };
    change_view(registry, *version, |view| {
        schedule::apply_put(&mut view.fee_schedules, command.at, put, *schedule_version)
    });
    true
}

/// The same, of linked objects.
fn apply_of_links(
    registry: &mut Registry,
    command: &RegistryCommand,
    event: &RegistryEvent,
) -> bool {
    match (&command.action, event) {
        (
            RegistryAction::SetLinkControls(set),
            RegistryEvent::LinkControlsSet { version, link },
        ) => {
            links::apply_set(registry, set, *link);
            change_view(registry, *version, |view| {
                view.links.set(*link, set.controls.clone())
            });
        }
        (
            RegistryAction::ChangeLinkStatus(change),
            RegistryEvent::LinkStatusChanged { version, link },
        ) => {
            link_states::apply(registry, change, *link);
            change_view(registry, *version, |view| {
                view.link_states.set(*link, change.to)
            });
        }
        _ => return false,
    }
    true
}

fn apply_of_the_rest(
    registry: &mut Registry,
    command: &RegistryCommand,
    event: &RegistryEvent,
) -> bool {
    match (&command.action, event) {
        (RegistryAction::ChangeSettings(settings), RegistryEvent::SettingsChanged { version }) => {
            change_view(registry, *version, |view| {
                view.settings = (**settings).clone()
            });
        }
        (RegistryAction::CreateProgram(program), RegistryEvent::ProgramCreated { version }) => {
            let program: Arc<Program> = Arc::new((**program).clone());
            change_view(registry, *version, |view| {
                drop(view.programs.insert(program.id, program))
            });
        }
        (RegistryAction::ChangeProgram(change), RegistryEvent::ProgramChanged { version }) => {
            change_view(registry, *version, |view| {
                programs::apply_change(view, change)
            });
        }
        (RegistryAction::SetExchangeRates(set), RegistryEvent::ExchangeRatesSet { version }) => {
            let rates = table(set, *version);
            let rates =
                rates.unwrap_or_else(|error| panic!("a table was set that is none: {error}"));
            change_view(registry, *version, |view| view.rates = Arc::new(rates));
        }
        (
            action,
            RegistryEvent::RiskRuleCreated { version }
            | RegistryEvent::RiskRuleChanged { version, .. },
        ) => {
            change_view(registry, *version, |view| {
                apply_risk_rule(view, action, event)
            });
        }
        (
            RegistryAction::PutDecisionEndpoint(endpoint),
            RegistryEvent::DecisionEndpointPut { version },
        ) => {
            change_view(registry, *version, |view| {
                view.decision_endpoints.put((**endpoint).clone())
            });
        }
        (_, RegistryEvent::ApiKeyChanged { version }) => {
            change_view(registry, *version, |view| {
                let retention_ms = view.settings.ended_api_key_retention_ms;
                api_keys::apply(&mut view.api_keys, command, retention_ms)
            });
        }
        (action, RegistryEvent::GroupsChanged { version }) => {
            change_view(registry, *version, |view| change_groups(view, action));
        }
        (
            RegistryAction::ChangeException(change),
            RegistryEvent::ExceptionChanged { version, to, .. },
        ) => {
            let changed = exceptions::apply_change(registry, command.at, change, *to);
            let subject = registry.subject_of_chain(changed.subject);
            change_view(registry, *version, |view| {
                view.exceptions.put(subject, &changed, command.at)
            });
        }
        _ => return false,
    }
    true
}

fn change_view(registry: &mut Registry, version: u64, change: impl FnOnce(&mut RegistryView)) {
    let mut view = (*registry.view).clone();
    view.version = version;
    change(&mut view);
    registry.view = Arc::new(view);
}

fn apply_risk_rule(view: &mut RegistryView, action: &RegistryAction, event: &RegistryEvent) {
    match (action, event) {
        (RegistryAction::CreateRiskRule(rule), _) => view.risk_rules.put((**rule).clone()),
        (
            RegistryAction::ChangeRiskRule { rule_id, .. },
            RegistryEvent::RiskRuleChanged { to, .. },
        ) => risk::apply_change(&mut view.risk_rules, *rule_id, *to),
        (action, event) => panic!("no rule changes by this command: {action:?}: {event:?}"),
    }
}

fn change_groups(view: &mut RegistryView, action: &RegistryAction) {
    let groups = &mut view.groups;
    match action {
        RegistryAction::CreateMccGroup(group) | RegistryAction::ChangeMccGroup(group) => {
            let group: Arc<MccGroup> = Arc::new((**group).clone());
            groups.mcc_groups.insert(group.id, group);
        }
        RegistryAction::CreateMerchantList(list) | RegistryAction::ChangeMerchantList(list) => {
            let list: Arc<SharedMerchantList> = Arc::new((**list).clone());
            groups.merchant_lists.insert(list.id, list);
        }
        action => panic!("no group or list changes by this command: {action:?}"),
    }
}

fn forget(registry: &mut Registry) {
    let settings = &registry.view.settings;
    let now = registry.now;
    registry
        .first_answers
        .forget(now, settings.first_answer_retention_ms);
    registry
        .idempotency
        .forget(now, settings.idempotency_retention_ms);
    registry
        .exceptions
        .forget(now, settings.past_exception_retention_ms);
}

/// The answer that goes back for a message of a card that nobody issued.
pub fn answer(command: &RegistryCommand, event: &RegistryEvent) -> Option<Answer> {
    unknown_card::answer(command, event)
}

/// The same message, seen as a shard's event, for those who read the journal.
pub fn as_event(event: &RegistryEvent) -> Option<Event> {
    match event {
        RegistryEvent::Authorized(authorized) => Some(Event::Authorized(authorized.clone())),
        RegistryEvent::Reversed(reversed) => Some(Event::Reversed(reversed.clone())),
        RegistryEvent::Advised(advised) => Some(Event::Advised(advised.clone())),
        _ => None,
    }
}
