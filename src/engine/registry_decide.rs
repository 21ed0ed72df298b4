//! Decides and applies the registry's commands, as `decide.rs` and `apply.rs` do for a shard.

use super::apply::{authorization_answer, reversal_answer};
use super::cardholders::{Cardholder, Holder};
use super::checks::Checks;
use super::command::{Authorize, Reverse};
use super::decide::{cardless, message_and_repeat};
use super::event::{Authorized, Event, ReversalOutcome, Reversed};
use super::first_answer::{Asked, FirstAnswer};
use super::groups::{Groups, MccGroup, SharedMerchantList};
use super::ids::{AccountId, CardholderId, LinkId};
use super::reason::DeclineReason;
use super::registry::{
    GROUPS_MAX, IdempotencyEntry, IssueCard, IssuedCard, Program, Registry, RegistryAction,
    RegistryCommand, RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView,
};
use super::rules::repeat::Found;
use super::trace::{Detail, Step};
use smallvec::SmallVec;
use std::sync::Arc;

pub fn decide(registry: &Registry, command: &RegistryCommand) -> RegistryOutcome {
    let next_version = registry.view.version + 1;
    match &command.action {
        RegistryAction::ChangeSettings(_) => {
            RegistryOutcome::Event(RegistryEvent::SettingsChanged {
                version: next_version,
            })
        }
        RegistryAction::CreateProgram(program) => match registry.view.programs.get(&program.id) {
            Some(_) => RegistryOutcome::Refused(RegistryRefusal::IdTaken),
            None => create_program(program, next_version),
        },
        RegistryAction::IssueCard(issue) => issue_card(registry, issue),
        RegistryAction::AuthorizeUnknownCard {
            authorize,
            bin_known,
        } => authorize_unknown(registry, command, authorize, *bin_known),
        RegistryAction::ReverseUnknownCard(reverse) => reverse_unknown(registry, command, reverse),
        RegistryAction::RevealCard(reveal) => {
            if registry.issued_cards.get(reveal.card_id).is_some() {
                RegistryOutcome::Event(RegistryEvent::CardRevealed)
            } else {
                RegistryOutcome::Refused(RegistryRefusal::CardNotFound(reveal.card_id))
            }
        }
        RegistryAction::BeginIdempotent(request) => {
            let retention_ms = registry.view.settings.idempotency_retention_ms;
            match registry
                .idempotency
                .find(request.key, command.at, retention_ms)
            {
                Some(entry) => RegistryOutcome::Known(entry.clone()),
                None => RegistryOutcome::Event(RegistryEvent::IdempotentBegun),
            }
        }
        RegistryAction::CompleteIdempotent { .. } => {
            RegistryOutcome::Event(RegistryEvent::IdempotentCompleted)
        }
        RegistryAction::CreateMccGroup(_)
        | RegistryAction::ChangeMccGroup(_)
        | RegistryAction::CreateMerchantList(_)
        | RegistryAction::ChangeMerchantList(_) => {
            decide_groups(&registry.view.groups, &command.action, next_version)
        }
        RegistryAction::CreateCardholder(cardholder) => create_cardholder(registry, cardholder),
        RegistryAction::VerifyCardholder(id) => verify_cardholder(registry, *id),
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

/// What the card is to know of its holder, if it is to have one.
fn holder_of(registry: &Registry, issue: &IssueCard) -> Result<Option<Holder>, RegistryRefusal> {
    let Some(id) = issue.cardholder_id else {
        return Ok(None);
    };
    let known = registry.cardholders.get(&id);
    let cardholder = &known
        .ok_or(RegistryRefusal::CardholderNotFound(id))?
        .cardholder;
    match cardholder.program_id == issue.program_id {
        true => Ok(Some(cardholder.holder())),
        false => Err(RegistryRefusal::CardholderOfOtherProgram(id)),
    }
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

fn create_program(program: &Program, version: u64) -> RegistryOutcome {
    match program.controls.limit_id_twice() {
        Some(limit_id) => RegistryOutcome::Refused(RegistryRefusal::LimitIdTwice(limit_id)),
        None => RegistryOutcome::Event(RegistryEvent::ProgramCreated { version }),
    }
}

fn issue_card(registry: &Registry, issue: &IssueCard) -> RegistryOutcome {
    if !registry.view.programs.contains_key(&issue.program_id) {
        return RegistryOutcome::Refused(RegistryRefusal::ProgramNotFound(issue.program_id));
    }
    if registry.issued_cards.get(issue.card_id).is_some() {
        return RegistryOutcome::Refused(RegistryRefusal::IdTaken);
    }
    if registry.issued_cards.has_pan_hash(issue.pan_hash) {
        return RegistryOutcome::Refused(RegistryRefusal::PanTaken);
    }
    if let Some(limit_id) = issue.controls.limit_id_twice() {
        return RegistryOutcome::Refused(RegistryRefusal::LimitIdTwice(limit_id));
    }
    let holder = match holder_of(registry, issue) {
        Ok(holder) => holder,
        Err(refusal) => return RegistryOutcome::Refused(refusal),
    };
    let mut next_link = registry.link_keys.len() as u64 + 1;
    let mut links = SmallVec::new();
    for (place, key) in issue.links.iter().enumerate() {
        let same_before = issue.links[..place].iter().position(|other| other == key);
        let known = match same_before {
            Some(before) => Some(links[before]),
            None => registry.link_ids.get(key).copied(),
        };
        links.push(known.unwrap_or_else(|| {
            next_link += 1;
            LinkId(next_link - 1)
        }));
    }
    RegistryOutcome::Event(RegistryEvent::CardIssued { links, holder })
}

fn authorize_unknown(
    registry: &Registry,
    command: &RegistryCommand,
    authorize: &Authorize,
    bin_known: bool,
) -> RegistryOutcome {
    let retention_ms = registry.view.settings.first_answer_retention_ms;
    let mut checks = Checks::default();
    let found = match registry
        .first_answers
        .find(authorize.repeat_key, command.at, retention_ms)
    {
        Some(first) if first.asked == Asked::of_authorization(authorize) => {
            return RegistryOutcome::FirstAnswer(first.answer);
        }
        Some(_) => Found::Clash,
        None => Found::Nothing,
    };
    message_and_repeat(authorize, found, &mut checks);
    let reason = if bin_known {
        DeclineReason::CardNotFound
    } else {
        DeclineReason::UnknownBin
    };
    checks.fail(Step::CardLookup, reason, Detail::None);
    RegistryOutcome::Event(RegistryEvent::Authorized(cardless(
        registry.view.version,
        checks,
    )))
}

fn reverse_unknown(
    registry: &Registry,
    command: &RegistryCommand,
    reverse: &Reverse,
) -> RegistryOutcome {
    let retention_ms = registry.view.settings.first_answer_retention_ms;
    let outcome = match registry
        .first_answers
        .find(reverse.repeat_key, command.at, retention_ms)
    {
        Some(first) if first.asked == Asked::of_reversal(reverse) => {
            return RegistryOutcome::FirstAnswer(first.answer);
        }
        Some(_) => ReversalOutcome::Duplicate,
        None => ReversalOutcome::OriginalUnknown,
    };
    RegistryOutcome::Event(RegistryEvent::Reversed(Reversed {
        registry_version: registry.view.version,
        outcome,
    }))
}

/// Moves the registry. True when shards have a new view to adopt.
pub fn apply(registry: &mut Registry, command: &RegistryCommand, event: &RegistryEvent) -> bool {
    registry.now = registry.now.max(command.at);
    let mut new_view = false;
    match (&command.action, event) {
        (RegistryAction::ChangeSettings(settings), RegistryEvent::SettingsChanged { version }) => {
            change_view(registry, *version, |view| {
                view.settings = (**settings).clone()
            });
            new_view = true;
        }
        (RegistryAction::CreateProgram(program), RegistryEvent::ProgramCreated { version }) => {
            let program: Arc<Program> = Arc::new((**program).clone());
            change_view(registry, *version, |view| {
                drop(view.programs.insert(program.id, program))
            });
            new_view = true;
        }
        (RegistryAction::IssueCard(issue), RegistryEvent::CardIssued { links, .. }) => {
            apply_issued(registry, issue, links);
        }
        (
            RegistryAction::AuthorizeUnknownCard { authorize, .. },
            RegistryEvent::Authorized(authorized),
        ) => {
            apply_unknown_authorization(registry, command, authorize, authorized);
        }
        (RegistryAction::ReverseUnknownCard(reverse), RegistryEvent::Reversed(reversed)) => {
            apply_unknown_reversal(registry, command, reverse, reversed);
        }
        // The record is all there is of it.
        (RegistryAction::RevealCard(_), RegistryEvent::CardRevealed) => {}
        (RegistryAction::BeginIdempotent(request), RegistryEvent::IdempotentBegun) => {
            let entry = IdempotencyEntry {
                request: *request,
                response: None,
            };
            registry
                .idempotency
                .remember(request.key, command.at, entry);
        }
        (
            RegistryAction::CompleteIdempotent { key, status, body },
            RegistryEvent::IdempotentCompleted,
        ) => {
            complete_idempotent(registry, command, *key, (*status, body.clone()));
        }
        (RegistryAction::CreateCardholder(cardholder), RegistryEvent::CardholderCreated) => {
            registry.insert_cardholder((**cardholder).clone());
        }
        (RegistryAction::VerifyCardholder(id), RegistryEvent::CardholderVerified { .. }) => {
            if let Some(known) = registry.cardholders.get_mut(id) {
                known.cardholder.verified = true;
            }
        }
        (action, RegistryEvent::GroupsChanged { version }) => {
            change_view(registry, *version, |view| change_groups(view, action));
            new_view = true;
        }
        (action, event) => {
            panic!("a registry event {event:?} cannot come of this command: {action:?}")
        }
    }
    forget(registry);
    new_view
}

fn change_view(registry: &mut Registry, version: u64, change: impl FnOnce(&mut RegistryView)) {
    let mut view = (*registry.view).clone();
    view.version = version;
    change(&mut view);
    registry.view = Arc::new(view);
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

fn apply_issued(registry: &mut Registry, issue: &IssueCard, links: &[LinkId]) {
    for (key, id) in issue.links.iter().zip(links) {
        if id.0 > registry.link_keys.len() as u64 {
            registry.insert_link(key.clone());
        }
    }
    let issued = IssuedCard {
        root: issue.root,
        program_id: issue.program_id,
        pan_hash: issue.pan_hash,
        sealed_pan: issue.sealed_pan.clone(),
        expiry: issue.expiry,
        links: links.into(),
        cardholder_id: issue.cardholder_id,
    };
    registry.insert_issued(issue.card_id, issued);
}

fn apply_unknown_authorization(
    registry: &mut Registry,
    command: &RegistryCommand,
    authorize: &Authorize,
    authorized: &Authorized,
) {
    let clash = authorized.decision.decline().map(|decline| decline.reason);
    if clash != Some(DeclineReason::DuplicateTransmission) {
        let answer = authorization_answer(authorize, authorized);
        let first = FirstAnswer {
            root: AccountId::default(),
            asked: Asked::of_authorization(authorize),
            answer,
        };
        registry
            .first_answers
            .remember(authorize.repeat_key, command.at, first);
    }
}

fn apply_unknown_reversal(
    registry: &mut Registry,
    command: &RegistryCommand,
    reverse: &Reverse,
    reversed: &Reversed,
) {
    if reversed.outcome == ReversalOutcome::Duplicate {
        return;
    }
    let answer = reversal_answer(reverse, reversed);
    let first = FirstAnswer {
        root: AccountId::default(),
        asked: Asked::of_reversal(reverse),
        answer,
    };
    registry
        .first_answers
        .remember(reverse.repeat_key, command.at, first);
}

fn complete_idempotent(
    registry: &mut Registry,
    command: &RegistryCommand,
    key: super::registry::IdempotencyKey,
    response: (u16, Box<str>),
) {
    let retention_ms = registry.view.settings.idempotency_retention_ms;
    let begun = registry
        .idempotency
        .find(key, command.at, retention_ms)
        .cloned();
    if let Some(mut entry) = begun {
        entry.response = Some(response);
        registry.idempotency.remember(key, command.at, entry);
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
}

/// The answer that goes back for a message of a card that nobody issued.
pub fn answer(command: &RegistryCommand, event: &RegistryEvent) -> Option<super::event::Answer> {
    match (&command.action, event) {
        (
            RegistryAction::AuthorizeUnknownCard { authorize, .. },
            RegistryEvent::Authorized(authorized),
        ) => Some(authorization_answer(authorize, authorized)),
        (RegistryAction::ReverseUnknownCard(reverse), RegistryEvent::Reversed(reversed)) => {
            Some(reversal_answer(reverse, reversed))
        }
        _ => None,
    }
}

/// The same message, seen as a shard's event, for those who read the journal.
pub fn as_event(event: &RegistryEvent) -> Option<Event> {
    match event {
        RegistryEvent::Authorized(authorized) => Some(Event::Authorized(authorized.clone())),
        RegistryEvent::Reversed(reversed) => Some(Event::Reversed(reversed.clone())),
        _ => None,
    }
}
