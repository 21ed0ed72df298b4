//! What the events know of cards, kept up with the records. What is told of them is in `derive.rs`.

use super::fold::EventContext;
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::ids::{CardId, LinkId};
use crate::engine::registry::IssueCard;
use crate::engine::shipping::ShippingStatus;
use crate::store::from_record;
use crate::store::rows::CardRow;

impl EventContext {
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
        self.cards.insert(row.id, row);
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
