//! The record that a card's expiry has passed: once for each expiry, as the month ends in UTC. A payment is declined by the
//! time alone, whether the record is there or not (`rules/card_status.rs`). When to look lives in `shard/card_expiries.rs`.

use super::command::Command;
use super::decide::Outcome;
use super::event::{Event, Refusal};
use super::ids::CardId;
use super::link_states::LinkStatus;
use super::state::{AccountStatus, Card, State};
use super::time::{Expiry, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireCard {
    pub card_id: CardId,
    /// That has passed: a card that was renewed meanwhile has another one.
    pub expiry: Expiry,
}

/// Whether a card is to be recorded as expired. Nobody is told so of one that was closed before, as those are that were
/// reissued, be it by itself or with its account or what it is linked to.
pub fn is_due(state: &State, card: &Card, at: Timestamp) -> bool {
    !card.is_expired
        && card.expiry.is_past_at(at)
        && !card.status.is_closed()
        && state.account_of(card).status != AccountStatus::Closed
        && state.registry.link_states.of_card(card) != LinkStatus::Closed
}

pub(super) fn decide(state: &State, command: &Command, expire: &ExpireCard) -> Outcome {
    let Some(card) = state.card_of_tree(command.root, expire.card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(expire.card_id));
    };
    match card.expiry == expire.expiry && is_due(state, card, command.at) {
        true => Outcome::Event(Event::CardExpired),
        false => Outcome::AlreadyDone,
    }
}

pub(super) fn apply(state: &mut State, expire: &ExpireCard) {
    if let Some(card) = state.card_mut(expire.card_id) {
        card.is_expired = true;
    }
}
