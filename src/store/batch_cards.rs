//! What records of shards do to cards and their tokens in the tables. All else is in `batch.rs`.

use super::batch::Batch;
use super::database::{RowChange, Value};
use super::rows::Sequence;
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::ids::CardId;
use crate::engine::shipping::ShippingStatus;

impl Batch {
    /// False where the event cannot come of the command.
    pub(super) fn card(&mut self, sequence: Sequence, command: &Command, event: &Event) -> bool {
        match (event, &command.action) {
            (Event::CardOpened { status, .. }, Action::OpenCard(open)) => {
                self.set_card_status(open.card_id, *status);
            }
            (event @ Event::CardStatusChanged { .. }, Action::ChangeCardStatus(change)) => {
                self.change_card_status(change.card_id, event);
            }
            (Event::CardReplaced(replaced), Action::ReplaceCard(replace)) => {
                self.set_card_status(replace.card_id, replaced.status);
                self.set_card_status(replace.replaces, replaced.to);
                self.move_tokens(&replaced.tokens, replace.card_id);
                if replaced.cancels_shipping {
                    self.set_shipping_status(replace.replaces, ShippingStatus::Cancelled);
                }
                if replaced.status.is_closed() && replace.shipping.is_some() {
                    self.set_shipping_status(replace.card_id, ShippingStatus::Cancelled);
                }
            }
            // It has its new expiry since the registry renewed it.
            (Event::CardRenewed(_), Action::RenewCard(_)) => {}
            // Controls are read from memory; their history is the journal's.
            (Event::CardControlsChanged, Action::ChangeCardControls(_)) => {}
            // Its row has the new holder since the registry set it.
            (Event::CardHolderChanged { .. }, Action::ChangeCardHolder(_)) => {}
            (Event::TokenOpened { .. } | Event::TokenStatusChanged { .. }, _) => {
                return self.token(sequence, command, event);
            }
            (Event::ShippingChanged { to, .. }, Action::ChangeShipping(change)) => {
                self.set_shipping_status(change.card_id, *to);
            }
            _ => return false,
        }
        true
    }

    fn change_card_status(&mut self, id: CardId, event: &Event) {
        if let Event::CardStatusChanged {
            to,
            tokens,
            cancels_shipping,
            ..
        } = event
        {
            self.set_card_status(id, *to);
            self.delete_tokens(tokens);
            if *cancels_shipping {
                self.set_shipping_status(id, ShippingStatus::Cancelled);
            }
        }
    }

    fn set_shipping_status(&mut self, id: CardId, to: ShippingStatus) {
        self.row_changes.push(RowChange {
            table: "cards",
            id: id.to_string(),
            columns: vec![("shipping_status", Value::Text(to.name().to_owned()))],
        });
    }
}
