//! What the events know of cards, kept up with the records. What is told of them is in `derive.rs`.

use super::fold::EventContext;
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::ids::{AccountId, CardId, LinkId};
use crate::engine::registry::IssueCard;
use crate::engine::shipping::ShippingStatus;
use crate::json::trace::{OwnerNames, to_json_with_names};
use crate::store::rows::{AuthorizationRow, CardRow};
use crate::store::{from_record, row_json};
use serde_json::Value;

impl EventContext {
    pub(super) fn trace_json(&self, row: &AuthorizationRow) -> Vec<Value> {
        let link = |id| self.link_json(id);
        to_json_with_names(&row.trace, &owner_names(&link))
    }

    pub(super) fn link_json(&self, number: LinkId) -> Option<Value> {
        let (link_type, id) = self.link_names.get(&number)?;
        Some(row_json::link(link_type, id))
    }

    /// Of a card that is closed before it was sent.
    fn cancel_shipping(&mut self, id: CardId, is_cancelled: bool) {
        if let Some(row) = self.cards.get_mut(&id).filter(|_| is_cancelled) {
            row.shipping_status = Some(ShippingStatus::Cancelled);
        }
    }

    pub(super) fn take_in_card(&mut self, row: CardRow, issue: &IssueCard, numbers: &[LinkId]) {
        let links = from_record::card_link_rows(issue, numbers);
        let links = links.into_iter().map(|row| {
            let link = (row.link_type, row.link_id);
            self.link_names.insert(row.number, link.clone());
            link
        });
        let mut links: Vec<_> = links.collect();
        // As they are read back.
        links.sort();
        self.links.insert(row.id, links);
        self.note_card(row);
    }

    pub(super) fn note_card(&mut self, row: CardRow) {
        if let Some(before) = row.replacement_for {
            self.replaced_by.insert(before, row.id);
        }
        self.cards.insert(row.id, row);
    }

    /// The card that an account was opened for (`funding: own`).
    pub(super) fn first_card_of_own_account(&self, id: AccountId) -> Option<CardId> {
        let first = self.cards.get(&id.opened_for())?;
        (first.account_id == id).then_some(first.id)
    }

    /// The one that has now taken its place.
    pub(super) fn card_of_own_account(&self, id: AccountId) -> Option<CardId> {
        let mut last = self.first_card_of_own_account(id)?;
        while let Some(next) = self.replaced_by.get(&last) {
            // Later cards have greater ids: it comes to an end.
            if *next <= last {
                break;
            }
            last = *next;
        }
        Some(last)
    }

    pub(super) fn take_in_card_change(&mut self, command: &Command, event: &Event) {
        match (&command.action, event) {
            (Action::OpenCard(open), Event::CardOpened { status, .. }) => {
                if let Some(row) = self.cards.get_mut(&open.card_id) {
                    row.status = *status;
                }
            }
            (Action::ReplaceCard(replace), Event::CardReplaced(replaced)) => {
                let both = [
                    (replace.card_id, replaced.status),
                    (replace.replaces, replaced.to),
                ];
                for (id, status) in both {
                    if let Some(row) = self.cards.get_mut(&id) {
                        row.status = status;
                    }
                }
                self.cancel_shipping(replace.replaces, replaced.cancels_shipping);
                let is_cancelled = replaced.status.is_closed() && replace.shipping.is_some();
                self.cancel_shipping(replace.card_id, is_cancelled);
            }
            (
                Action::ChangeCardStatus(change),
                Event::CardStatusChanged {
                    to,
                    cancels_shipping,
                    ..
                },
            ) => {
                if let Some(row) = self.cards.get_mut(&change.card_id) {
                    row.status = *to;
                }
                self.cancel_shipping(change.card_id, *cancels_shipping);
            }
            (Action::ChangeShipping(change), Event::ShippingChanged { to, .. }) => {
                if let Some(row) = self.cards.get_mut(&change.card_id) {
                    row.shipping_status = Some(*to);
                }
            }
            _ => {}
        }
    }
}

/// An event is for all who see the card.
pub(super) fn owner_names<'a>(link: &'a dyn Fn(LinkId) -> Option<Value>) -> OwnerNames<'a> {
    OwnerNames {
        link,
        levels_above: OwnerNames::LEVELS_OF_CARD,
    }
}
