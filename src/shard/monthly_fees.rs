//! Charges the monthly fees of a shard's cards when a month begins, and of cards that become active later, by themselves or by
//! a link of theirs that is unfrozen. Which card owes what is decided in `engine/fees/monthly.rs`; nothing here has to outlive the process: at the start, every card is looked
//! at, and those that were charged say so themselves.

use super::worker::{CLOCK_PATIENCE, Worker};
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::fees::monthly::{self, ChargeMonthlyFee};
use crate::engine::fees::schedule::FeeSchedules;
use crate::engine::ids::CardId;
use crate::engine::link_states::LinkStates;
use crate::engine::slot_index::Slot;
use crate::engine::state::CardStatus;
use crate::engine::time::Timestamp;
use crate::journal::{RecordBatch, Space};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How far the shard is with the month.
#[derive(Default)]
pub struct MonthlyFees {
    /// The schedules that were last looked at; others are a reason to look at every card anew.
    schedules: Option<FeeSchedules>,
    /// The links' states that were last looked at; one that was frozen and is not any more is such a reason too.
    link_states: LinkStates,
    /// The card that is to be looked at next; nothing where all were.
    next: Option<Slot>,
    /// All of them are looked at once more after that: a link was unfrozen on the way.
    again: bool,
    /// When the next month begins anywhere.
    next_month_at: Option<Timestamp>,
    /// Cards that may have become active.
    noted: BTreeSet<CardId>,
}

impl MonthlyFees {
    pub fn note(&mut self, command: &Command, event: &Event) {
        let card_id = match (&command.action, event) {
            (
                Action::ChangeCardStatus(change),
                Event::CardStatusChanged {
                    to: CardStatus::Active,
                    ..
                },
            ) => change.card_id,
            (Action::RenewCard(renew), _) => renew.card_id,
            (Action::ReplaceCard(replace), _) => replace.card_id,
            _ => return,
        };
        if self.next_month_at.is_some() {
            self.noted.insert(card_id);
        }
    }
}

impl Worker {
    /// How long until a card may owe something.
    pub(super) fn patience_for_months(&self) -> Option<Duration> {
        let known = &self.monthly_fees;
        if self.journal.space() == Space::Reserve {
            // What is left of the disk is for others.
            return known.next_month_at.map(|_| CLOCK_PATIENCE);
        }
        let changed = !self.has_seen_schedules() || !self.has_seen_links();
        if changed || known.next.is_some() || !known.noted.is_empty() {
            return Some(Duration::ZERO);
        }
        known.next_month_at.map(|next| self.patience_until(next))
    }

    fn has_seen_schedules(&self) -> bool {
        let current = &self.state.registry.fee_schedules;
        let seen = self.monthly_fees.schedules.as_ref();
        seen.map_or(current.is_empty(), |seen| Arc::ptr_eq(seen, current))
    }

    fn has_seen_links(&self) -> bool {
        let current = &self.state.registry.link_states;
        self.monthly_fees.link_states.is_same(current)
    }

    /// Whether cards may have become active since by what they are linked to.
    fn see_freed_links(&mut self) -> bool {
        let current = &self.state.registry.link_states;
        let known = &mut self.monthly_fees;
        let is_freed = current.has_freed_since(&known.link_states);
        known.link_states = current.clone();
        is_freed && known.next_month_at.is_some()
    }

    pub(super) fn charge_monthly_fees(
        &mut self,
        at: Timestamp,
        space: Space,
        records: &mut RecordBatch,
    ) {
        if space == Space::Reserve {
            return;
        }
        if !self.has_seen_links() && self.see_freed_links() {
            let known = &mut self.monthly_fees;
            match known.next {
                Some(_) => known.again = true,
                None => known.next = Some(0),
            }
        }
        let begins = self.monthly_fees.next_month_at;
        if !self.has_seen_schedules() || begins.is_some_and(|begins| begins <= at) {
            let known = &mut self.monthly_fees;
            known.schedules = Some(self.state.registry.fee_schedules.clone());
            known.next_month_at = monthly::next_month_at(&self.state.registry, at);
            known.next = known.next_month_at.map(|_| 0);
        }
        let Some(first) = self.monthly_fees.next else {
            return;
        };
        let next = self.walk_cards(first, (at, space), records, Worker::charge_month);
        let known = &mut self.monthly_fees;
        known.next = next.or_else(|| std::mem::take(&mut known.again).then_some(0));
    }

    /// Those that have become active in this turn.
    pub(super) fn charge_noted(&mut self, at: Timestamp, space: Space, records: &mut RecordBatch) {
        if space == Space::Reserve {
            return;
        }
        for card_id in std::mem::take(&mut self.monthly_fees.noted) {
            self.charge_month(card_id, at, space, records);
        }
    }

    fn charge_month(
        &mut self,
        card_id: CardId,
        at: Timestamp,
        space: Space,
        records: &mut RecordBatch,
    ) {
        let Some(card) = self.state.card(card_id) else {
            return;
        };
        let Some(month) = monthly::due(&self.state, card, at) else {
            return;
        };
        let root = self.state.account_of(card).root;
        let action = Action::ChargeMonthlyFee(ChargeMonthlyFee { card_id, month });
        self.carry_out(Command { root, at, action }, None, space, records);
    }
}
