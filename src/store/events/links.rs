//! What a linked object does to its cards, as events: of all of them with the record of the change, or of very many piece by
//! piece, with records of their own. Which cards those are is read in `store/fan_out.rs`.

use super::fold::{Draft, EventContext, link_text};
use super::row::UntoldLinkChangeRow;
use super::types::EventType;
use crate::engine::ids::CardId;
use crate::engine::link_states::LinkStatus;
use crate::engine::registry::LinkKey;
use crate::engine::state::CardStatus;
use crate::store::rows::Sequence;
use serde_json::json;
use std::collections::BTreeSet;

/// Cards that one record tells of: the next in the order of their ids.
#[derive(Debug)]
pub struct Piece {
    pub change: UntoldLinkChangeRow,
    pub cards: Vec<CardId>,
    /// No card is left after these.
    pub is_last: bool,
}

impl Piece {
    pub fn key(&self) -> LinkKey {
        LinkKey {
            program_id: self.change.program_id,
            link_type: self.change.link_type.as_str().into(),
            id: self.change.link_id.as_str().into(),
        }
    }

    /// What is left to be told.
    pub fn rest(&self) -> Option<UntoldLinkChangeRow> {
        let after_card_id = *self.cards.last()?;
        (!self.is_last).then(|| UntoldLinkChangeRow {
            after_card_id,
            ..self.change.clone()
        })
    }
}

pub(super) fn link_status(name: &str) -> LinkStatus {
    match name {
        "frozen" => LinkStatus::Frozen,
        "closed" => LinkStatus::Closed,
        _ => LinkStatus::Active,
    }
}

/// A change whose record is this; of the piece, where it is one of those that are told so.
pub(super) fn of_change(
    context: &EventContext,
    (key, to): (&LinkKey, LinkStatus),
    sequence: Sequence,
) -> Vec<Draft> {
    let cards = match &context.piece {
        Some(piece) => piece.cards.clone(),
        None => context.cards_of_link(key).into_iter().collect(),
    };
    of_cards(context, (key, to), sequence, cards.into_iter())
}

/// The next cards of a change of before. Those that were issued since have been told of as they are.
pub(super) fn of_piece(context: &EventContext) -> Vec<Draft> {
    let Some(piece) = &context.piece else {
        return Vec::new();
    };
    let change = &piece.change;
    let was_there = |id: &CardId| {
        let card = context.cards.get(id);
        card.is_some_and(|card| card.sequence < change.sequence)
    };
    let cards = piece.cards.iter().copied().filter(was_there);
    let to = link_status(&change.status);
    of_cards(context, (&piece.key(), to), change.sequence, cards)
}

/// An event for each card that is another one now: whose own status is better than what the link had and has, and
/// that no other link holds where it is. One that changed since tells of what it holds itself, or will.
fn of_cards(
    context: &EventContext,
    (key, to): (&LinkKey, LinkStatus),
    changed_at: Sequence,
    cards: impl Iterator<Item = CardId>,
) -> Vec<Draft> {
    let event_type = match to {
        LinkStatus::Frozen => EventType::CardFrozen,
        LinkStatus::Active => EventType::CardUnfrozen,
        LinkStatus::Closed => EventType::CardClosed,
    };
    let of_card = |id: CardId| {
        let now = context.worst_link(id, Some(key), None);
        let before = context.worst_link(id, Some(key), Some(changed_at));
        let held = match to {
            LinkStatus::Active => now != LinkStatus::Active,
            LinkStatus::Frozen => now == LinkStatus::Closed || before == LinkStatus::Frozen,
            LinkStatus::Closed => before == LinkStatus::Closed,
        };
        let own = context.cards.get(&id)?.status;
        let differs = match to {
            // There are several ways to be closed.
            LinkStatus::Closed => own.name() != CardStatus::Closed.name(),
            LinkStatus::Frozen | LinkStatus::Active => {
                matches!(own, CardStatus::Active | CardStatus::Inactive)
            }
        };
        match differs && !held {
            true => context.about_card_with(id, event_type, now.max(to)),
            false => None,
        }
    };
    let cause = json!({ "type": key.link_type, "id": key.id });
    let drafts = cards.filter_map(of_card);
    drafts
        .map(|mut draft| {
            draft.content.push(("cause", cause.clone()));
            draft
        })
        .collect()
}

impl EventContext {
    /// In the order of their ids.
    fn cards_of_link(&self, key: &LinkKey) -> BTreeSet<CardId> {
        let is_of = |id: &&CardId| {
            let of_program = self.cards.get(*id).map(|card| card.program_id);
            of_program == Some(key.program_id)
                && self.links[*id]
                    .iter()
                    .any(|(link_type, id)| **link_type == *key.link_type && **id == *key.id)
        };
        self.links.keys().filter(is_of).copied().collect()
    }

    /// Of all that a card is linked to, but for one, and for those that changed later.
    pub(super) fn worst_link(
        &self,
        id: CardId,
        but: Option<&LinkKey>,
        before: Option<Sequence>,
    ) -> LinkStatus {
        let Some(card) = self.cards.get(&id) else {
            return LinkStatus::Active;
        };
        let links = self.links.get(&id).map_or(&[][..], Vec::as_slice);
        let others = links.iter().filter(|(link_type, id)| {
            but.is_none_or(|but| (&**link_type, &**id) != (&*but.link_type, &*but.id))
        });
        let states = others.filter_map(|(link_type, id)| {
            let text = link_text(card.program_id, link_type, id);
            let (status, changed_at) = *self.link_states.get(&text)?;
            before
                .is_none_or(|before| changed_at < before)
                .then_some(status)
        });
        states.max().unwrap_or(LinkStatus::Active)
    }
}
