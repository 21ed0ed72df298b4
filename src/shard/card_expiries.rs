//! Looks for the cards of a shard whose expiry has passed, when a month ends, and records it. How many at a time is in `bulk.rs`.
//! Which cards that is true of is decided in `engine/card_expiry.rs`; nothing here has to outlive the process: at the start every card is looked at, and those of
//! which it was recorded say so themselves.

use super::card_walk::Due;
use super::worker::{CLOCK_PATIENCE, Worker};
use crate::engine::card_expiry::{self, ExpireCard};
use crate::engine::command::{Action, Command};
use crate::engine::controls::Window;
use crate::engine::event::Event;
use crate::engine::ids::CardId;
use crate::engine::slot_index::Slot;
use crate::engine::time::Timestamp;
use crate::engine::window::window_end;
use crate::journal::{RecordBatch, Space};
use std::collections::BTreeSet;
use std::time::Duration;

/// How far the shard is with the month.
pub struct CardExpiries {
    /// The card that is to be looked at next; nothing where all were.
    next: Option<Slot>,
    /// When the month ends.
    month_ends_at: Timestamp,
    /// Cards that got an expiry that had passed already, as their month ended while they were on their way.
    noted: BTreeSet<CardId>,
}

impl Default for CardExpiries {
    /// Every card is to be looked at.
    fn default() -> CardExpiries {
        CardExpiries {
            next: Some(0),
            month_ends_at: Timestamp(i64::MIN),
            noted: BTreeSet::new(),
        }
    }
}

impl CardExpiries {
    pub fn note(&mut self, command: &Command, event: &Event) {
        let (card_id, expiry) = match (&command.action, event) {
            (Action::OpenCard(open), Event::CardOpened { .. }) => (open.card_id, open.expiry),
            (Action::ReplaceCard(replace), Event::CardReplaced(_)) => {
                (replace.card_id, replace.expiry)
            }
            (Action::RenewCard(renew), Event::CardRenewed(_)) => (renew.card_id, renew.expiry),
            _ => return,
        };
        if expiry.is_past_at(command.at) {
            self.noted.insert(card_id);
        }
    }
}

impl Worker {
    /// How long until a card may have expired.
    pub(super) fn patience_for_expiries(&self) -> Duration {
        let known = &self.card_expiries;
        if self.journal.space() == Space::Reserve {
            // What is left of the disk is for others.
            return CLOCK_PATIENCE;
        }
        if known.next.is_some() || !known.noted.is_empty() {
            return Duration::ZERO;
        }
        self.patience_until(known.month_ends_at)
    }

    pub(super) fn look_for_expiries(&mut self, at: Timestamp, space: Space) {
        if space == Space::Reserve {
            return;
        }
        if self.card_expiries.month_ends_at <= at {
            self.card_expiries.next = Some(0);
            self.card_expiries.month_ends_at = end_of_month(at);
        }
        let Some(first) = self.card_expiries.next else {
            return;
        };
        self.card_expiries.next = self.walk_cards(first, Due::Expiry, at);
    }

    /// Those that got one in this turn.
    pub(super) fn expire_noted(&mut self, at: Timestamp, space: Space, records: &mut RecordBatch) {
        if space == Space::Reserve {
            return;
        }
        for card_id in std::mem::take(&mut self.card_expiries.noted) {
            self.expire_card(card_id, at, space, records);
        }
    }

    pub(super) fn expire_card(
        &mut self,
        card_id: CardId,
        at: Timestamp,
        space: Space,
        records: &mut RecordBatch,
    ) {
        let card = self.state.card(card_id);
        let Some(card) = card.filter(|card| card_expiry::is_due(&self.state, card, at)) else {
            return;
        };
        let root = self.state.account_of(card).root;
        let action = Action::ExpireCard(ExpireCard {
            card_id: card.id,
            expiry: card.expiry,
        });
        self.carry_out(Command { root, at, action }, None, space, records);
    }
}

/// When those cards end that are good through this month.
fn end_of_month(at: Timestamp) -> Timestamp {
    let end = window_end(Window::Month, "UTC", at).and_then(|end| end.resets_at());
    end.unwrap_or(Timestamp(i64::MAX))
}
