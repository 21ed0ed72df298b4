//! Which cards owe a monthly fee: each once in each calendar month of the schedule's time zone in which it is active at some
//! moment, by itself and by what it is linked to, from the month after the one in which it (the first of its chain) was issued, and from the month after the one in which the fee began. A
//! month in which no shard ran at all is not charged. What a card was charged last is on the card, so that no month is
//! charged twice. When to look lives in `shard/monthly_fees.rs`.

use super::charge::{self, Charge, Charges, Payer};
use super::schedule::{self, FeeKind, FeeSchedules};
use crate::engine::command::Command;
use crate::engine::controls::Window;
use crate::engine::decide::Outcome;
use crate::engine::event::{Event, Refusal};
use crate::engine::ids::CardId;
use crate::engine::link_states::LinkStatus;
use crate::engine::registry::RegistryView;
use crate::engine::state::{AccountStatus, Card, CardStatus, State};
use crate::engine::time::{DAY_MS, Timestamp};
use crate::engine::window::window_end;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A calendar month: months since 2000-01.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Month(pub u16);

impl Month {
    /// The month that it is in this zone; the first for what was before.
    pub fn at(zone_name: &str, at: Timestamp) -> Month {
        let end = end_of_month(zone_name, at).unwrap_or(at);
        // Some time in the month, whatever the zone.
        let (year, month) = end.plus_ms(-10 * DAY_MS).year_month();
        let months = (i32::from(year) - 2000) * 12 + i32::from(month) - 1;
        Month(months.clamp(0, i32::from(u16::MAX)) as u16)
    }
}

impl fmt::Display for Month {
    /// As in 2026-09.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month) = (2000 + self.0 / 12, self.0 % 12 + 1);
        write!(formatter, "{year:04}-{month:02}")
    }
}

fn end_of_month(zone_name: &str, at: Timestamp) -> Option<Timestamp> {
    window_end(Window::Month, zone_name, at)?.resets_at()
}

/// Charges a card for a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeMonthlyFee {
    pub card_id: CardId,
    pub month: Month,
}

/// When a month begins next in which somebody may owe something; `None` where no schedule has a monthly fee.
pub fn next_month_at(view: &RegistryView, at: Timestamp) -> Option<Timestamp> {
    let schedules = view.fee_schedules.values();
    let monthly = schedules.filter(|schedule| schedule.monthly_since.is_some());
    let ends = monthly.filter_map(|schedule| end_of_month(&schedule.time_zone, at));
    ends.min()
}

/// Whether cards owe the same for months by these schedules as by those: what else they charge for does not matter.
pub fn are_same_months(these: &FeeSchedules, those: &FeeSchedules) -> bool {
    let months = |schedules: &FeeSchedules| -> Vec<_> {
        let monthly = schedules.values().filter_map(|schedule| {
            let since = schedule.monthly_since?;
            let item = *schedule.item(FeeKind::Monthly)?;
            Some((schedule.id, since, schedule.time_zone.clone(), item))
        });
        monthly.collect()
    };
    months(these) == months(those)
}

/// The month that this card owes a fee for now, if it owes one.
pub fn due(state: &State, card: &Card, at: Timestamp) -> Option<Month> {
    charge_due(state, card, at).and_then(|charge| charge.month)
}

fn charge_due(state: &State, card: &Card, at: Timestamp) -> Option<Charge> {
    let account = state.account_of(card);
    let (program, schedule) = schedule::of_program(&state.registry, account.program_id)?;
    let issued_at = state.kept_on(card).created_at;
    let begins = [issued_at, program.fees?.since, schedule.monthly_since?];
    let month = begun(&schedule.time_zone, begins, card, at)?;
    let is_active = card.status == CardStatus::Active
        && !card.expiry.is_past_at(at)
        && account.status != AccountStatus::Closed
        && state.registry.link_states.of_card(card) == LinkStatus::Active;
    let payer = Payer::of(account, Some(card.id));
    let charge = charge::by_schedule(schedule, FeeKind::Monthly, payer, None);
    charge.filter(|_| is_active).map(|charge| Charge {
        month: Some(month),
        ..charge
    })
}

/// This month, where it began after all of these, and was not charged before.
fn begun(zone: &str, begins: [Timestamp; 3], card: &Card, at: Timestamp) -> Option<Month> {
    let month = Month::at(zone, at);
    let is_charged = card.fees_through.is_some_and(|charged| charged >= month);
    let is_later = |begin: &Timestamp| Month::at(zone, *begin) < month;
    (!is_charged && begins.iter().all(is_later)).then_some(month)
}

pub(in crate::engine) fn decide(
    state: &State,
    command: &Command,
    due: &ChargeMonthlyFee,
) -> Outcome {
    let Some(card) = state.card_of_tree(command.root, due.card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(due.card_id));
    };
    let charge = charge_due(state, card, command.at);
    match charge.filter(|charge| charge.month == Some(due.month)) {
        Some(charge) => Outcome::Event(Event::MonthlyFeeCharged {
            charges: Charges::from([charge]),
        }),
        None => Outcome::AlreadyDone,
    }
}

/// The fee itself is posted with those of all events.
pub(in crate::engine) fn apply(state: &mut State, due: &ChargeMonthlyFee) {
    if let Some(card) = state.card_mut(due.card_id) {
        card.fees_through = Some(due.month);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn a_month_is_that_of_the_zone() {
        for (zone, moment, month) in [
            ("UTC", "2026-08-31T23:59:59.999Z", "2026-08"),
            ("UTC", "2026-09-01T00:00:00Z", "2026-09"),
            ("Asia/Tokyo", "2026-08-31T15:00:00Z", "2026-09"),
            ("America/New_York", "2026-09-01T03:59:59Z", "2026-08"),
            ("America/New_York", "2026-09-01T04:00:00Z", "2026-09"),
            ("Pacific/Kiritimati", "2026-12-31T10:00:00Z", "2027-01"),
            ("UTC", "1999-12-31T00:00:00Z", "2000-01"),
        ] {
            let found = Month::at(zone, at(moment)).to_string();
            assert_eq!(found, month, "{moment} in {zone}");
        }
    }
}
