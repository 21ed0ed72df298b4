//! Looks for the monthly fees of a shard's cards when a month begins, and of cards that become active later, by themselves or by
//! a link of theirs that is unfrozen, and charges them. How many at a time is in `bulk.rs`. Which card owes what is decided in `engine/fees/monthly.rs`; nothing here has to outlive the process: at the start, every card is looked
//! at, and those that were charged say so themselves.

use super::card_walk::Due;
use super::worker::{CLOCK_PATIENCE, Worker};
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::fees::monthly::{self, ChargeMonthlyFee};
use crate::engine::fees::schedule::FeeSchedules;
use crate::engine::ids::CardId;
use crate::engine::link_states::LinkStates;
use crate::engine::registry::RegistryView;
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
    /// The schedules that were last looked at; others by which months cost something else are a reason to look at every card anew.
    schedules: Option<FeeSchedules>,
    /// The links' states that were last looked at; one that was frozen and is not any more is such a reason too.
    link_states: LinkStates,
    /// The card that is to be looked at next; nothing where all were.
    next: Option<Slot>,
    /// All of them are looked at once more after that: on the way a link was unfrozen, a schedule changed, or a month began.
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

    fn has_seen_schedules(&self, view: &RegistryView) -> bool {
        let current = &view.fee_schedules;
        let seen = self.schedules.as_ref();
        seen.map_or(current.is_empty(), |seen| Arc::ptr_eq(seen, current))
    }

    fn has_seen_links(&self, view: &RegistryView) -> bool {
        self.link_states.is_same(&view.link_states)
    }

    /// Cards may have become active since by what they are linked to.
    fn see_links(&mut self, view: &RegistryView) {
        let is_freed = view.link_states.has_freed_since(&self.link_states);
        self.link_states = view.link_states.clone();
        if is_freed && self.next_month_at.is_some() {
            self.look_at_all();
        }
    }

    /// Where another fee for months is among the changes, cards may owe something that they did not owe, or nothing more.
    fn see_schedules(&mut self, view: &RegistryView, at: Timestamp) {
        let current = &view.fee_schedules;
        let seen = self.schedules.replace(current.clone());
        if seen.is_none_or(|seen| !monthly::are_same_months(&seen, current)) {
            self.see_months(view, at);
        }
    }

    /// A month began, or it is another that begins next.
    fn see_months(&mut self, view: &RegistryView, at: Timestamp) {
        self.next_month_at = monthly::next_month_at(view, at);
        match self.next_month_at {
            Some(_) => self.look_at_all(),
            None => (self.next, self.again) = (None, false),
        }
    }

    /// Every card, however often this is said meanwhile: those behind the place are not looked at twice before those after it once.
    fn look_at_all(&mut self) {
        match self.next {
            Some(_) => self.again = true,
            None => self.next = Some(0),
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
        let view = &self.state.registry;
        let changed = !known.has_seen_schedules(view) || !known.has_seen_links(view);
        if changed || known.next.is_some() || !known.noted.is_empty() {
            return Some(Duration::ZERO);
        }
        known.next_month_at.map(|next| self.patience_until(next))
    }

    pub(super) fn look_for_monthly_fees(&mut self, at: Timestamp, space: Space) {
        if space == Space::Reserve {
            return;
        }
        let (view, known) = (&self.state.registry, &mut self.monthly_fees);
        if !known.has_seen_links(view) {
            known.see_links(view);
        }
        if !known.has_seen_schedules(view) {
            known.see_schedules(view, at);
        }
        if known.next_month_at.is_some_and(|begins| begins <= at) {
            known.see_months(view, at);
        }
        let Some(first) = self.monthly_fees.next else {
            return;
        };
        let next = self.walk_cards(first, Due::MonthlyFee, at);
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

    pub(super) fn charge_month(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fees::price::Price;
    use crate::engine::fees::schedule::{FeeItem, FeeKind, FeeSchedule};
    use crate::engine::ids::FeeScheduleId;
    use crate::engine::money::Currency;

    /// 2026-11-24T10:00:00Z, and a day of the next month.
    const NOW: Timestamp = Timestamp(1_795_514_400_000);
    const NEXT_MONTH: Timestamp = Timestamp(1_796_810_400_000);

    /// A schedule with fees of so much for a month and a decline, each where it has one.
    fn view_with(schedules: &[(u64, Option<i64>, Option<i64>)]) -> RegistryView {
        let mut view = RegistryView::default();
        for (id, monthly_minor, decline_minor) in schedules {
            let kinds = [
                (FeeKind::Monthly, monthly_minor),
                (FeeKind::Decline, decline_minor),
            ];
            let item = |(kind, amount_minor): (FeeKind, &Option<i64>)| {
                let fee = Price {
                    amount_minor: (*amount_minor)?,
                    ..Price::default()
                };
                Some(FeeItem {
                    kind,
                    fee,
                    reseller_mark_up: Price::default(),
                })
            };
            let schedule = FeeSchedule {
                id: FeeScheduleId(*id),
                version: 1,
                name: "test".into(),
                currency: Currency(840),
                time_zone: "UTC".into(),
                items: kinds.into_iter().filter_map(item).collect(),
                created_at: NOW,
                updated_at: NOW,
                monthly_since: monthly_minor.map(|_| NOW),
                decline_fees_per_card_per_day_max: None,
            };
            let schedules = Arc::make_mut(&mut view.fee_schedules);
            schedules.insert(schedule.id, Arc::new(schedule));
        }
        view
    }

    /// One that has come to a card by these schedules.
    fn on_the_way(view: &RegistryView) -> MonthlyFees {
        let mut fees = MonthlyFees::default();
        assert!(!fees.has_seen_schedules(view));
        fees.see_schedules(view, NOW);
        assert_eq!((fees.next, fees.again), (Some(0), false));
        fees.next = Some(9_000);
        fees
    }

    #[test]
    fn what_costs_no_month_anything_else_keeps_the_place() {
        let mut fees = on_the_way(&view_with(&[(1, Some(100), None), (2, None, Some(5))]));
        for (number, others) in [
            // Another kind of fee, a further schedule without months, and one that is gone.
            vec![(1, Some(100), Some(20)), (2, None, Some(5))],
            vec![(1, Some(100), None), (2, None, None), (3, None, Some(1))],
            vec![(1, Some(100), None)],
        ]
        .iter()
        .enumerate()
        {
            let view = view_with(others);
            assert!(!fees.has_seen_schedules(&view));
            fees.see_schedules(&view, NOW);
            assert!(fees.has_seen_schedules(&view));
            assert_eq!((fees.next, fees.again), (Some(9_000), false), "{number}");
        }
        // Where all were looked at, it looks at none.
        fees.next = None;
        fees.see_schedules(&view_with(&[(1, Some(100), Some(7))]), NOW);
        assert_eq!((fees.next, fees.again), (None, false));
    }

    #[test]
    fn what_changes_months_goes_on_to_the_end_and_then_once_more() {
        let before = view_with(&[(1, Some(100), None)]);
        for changed in [
            vec![(1, Some(200), None)],
            vec![(1, Some(100), None), (2, Some(0), None)],
        ] {
            let mut fees = on_the_way(&before);
            // However often.
            for others in [&changed[..], &[(1, Some(300), None)], &changed[..]] {
                fees.see_schedules(&view_with(others), NOW);
                assert_eq!((fees.next, fees.again), (Some(9_000), true));
            }
        }
        let mut fees = on_the_way(&before);
        fees.see_schedules(&view_with(&[(1, None, Some(1))]), NOW);
        assert_eq!((fees.next, fees.next_month_at), (None, None));
        // One that begins, though the next month of no card, is waited for.
        fees.see_schedules(&view_with(&[(1, Some(1), None)]), NOW);
        assert_eq!(fees.next, Some(0));
        assert!(
            fees.next_month_at
                .is_some_and(|at| NOW < at && at <= NEXT_MONTH)
        );
        fees.next = Some(9_000);
        fees.see_months(&before, NEXT_MONTH);
        assert_eq!((fees.next, fees.again), (Some(9_000), true));
        assert!(fees.next_month_at.is_some_and(|at| at > NEXT_MONTH));
    }
}
