//! Decides and applies what the registry is asked about issuing cards: one, one in place of another, or many. The rules of
//! chains are in `reissue.rs`, those of batches in `card_batches.rs`.

use super::card_batches;
use super::cardholders::{self, Holder};
use super::ids::LinkId;
use super::link_states;
use super::links;
use super::registry::{
    IssueCard, IssuedCard, Registry, RegistryAction, RegistryCommand, RegistryEvent,
    RegistryOutcome, RegistryRefusal,
};
use super::reissue;
use super::token_numbers;
use smallvec::SmallVec;

pub(super) fn decide(registry: &Registry, action: &RegistryAction) -> RegistryOutcome {
    match action {
        RegistryAction::IssueCard(issue) => issue_card(registry, issue),
        RegistryAction::ReissueCard(reissue) => reissue::decide_reissue(registry, reissue),
        RegistryAction::RenewCard(renew) => reissue::decide_renewal(registry, renew),
        RegistryAction::ChangeCardBatch(change) => {
            card_batches::decide(&registry.card_batches, change)
        }
        RegistryAction::RequestToken(request) => token_numbers::decide(registry, request),
        action => panic!("this issues no card: {action:?}"),
    }
}

/// True where the event is one of these.
pub(super) fn apply(
    registry: &mut Registry,
    command: &RegistryCommand,
    event: &RegistryEvent,
) -> bool {
    match (&command.action, event) {
        (RegistryAction::IssueCard(issue), RegistryEvent::CardIssued { links, .. }) => {
            apply_issued(registry, issue, links);
        }
        (RegistryAction::ReissueCard(reissue), RegistryEvent::CardIssued { links, .. }) => {
            apply_issued(registry, &reissue.issue, links);
            reissue::apply_reissue(registry, reissue);
        }
        (RegistryAction::RenewCard(renew), RegistryEvent::CardRenewed { .. }) => {
            reissue::apply_renewal(registry, renew);
        }
        (RegistryAction::ChangeCardBatch(change), RegistryEvent::CardBatchChanged) => {
            card_batches::apply(&mut registry.card_batches, command.at, change);
        }
        (RegistryAction::RequestToken(request), RegistryEvent::TokenRequested) => {
            token_numbers::apply(registry, request);
        }
        _ => return false,
    }
    true
}

/// What the card is to know of its holder, if it is to have one.
fn holder_of(registry: &Registry, issue: &IssueCard) -> Result<Option<Holder>, RegistryRefusal> {
    let id = issue.cardholder_id;
    id.map(|id| cardholders::holder_for(registry, id, issue.program_id))
        .transpose()
}

pub(super) fn issue_card(registry: &Registry, issue: &IssueCard) -> RegistryOutcome {
    if !registry.view.programs.contains_key(&issue.program_id) {
        return RegistryOutcome::Refused(RegistryRefusal::ProgramNotFound(issue.program_id));
    }
    if registry.issued_cards.get(issue.card_id).is_some() {
        return RegistryOutcome::Refused(RegistryRefusal::IdTaken);
    }
    if registry.has_number(issue.pan_hash) {
        return RegistryOutcome::Refused(RegistryRefusal::PanTaken);
    }
    if let Some(limit_id) = issue.controls.limit_id_twice() {
        return RegistryOutcome::Refused(RegistryRefusal::LimitIdTwice(limit_id));
    }
    let refusal = link_states::refusal_of_card(registry, &issue.links);
    let refusal = refusal.or_else(|| links::refusal_of_card(registry, &issue.links, issue.root));
    if let Some(refusal) = refusal {
        return RegistryOutcome::Refused(refusal);
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
        chain: None,
    };
    registry.insert_issued(issue.card_id, issued);
}
