//! What is due of very many cards at the same moment, as it is when a month begins: gathered first, then recorded so many at a
//! time that the SQL tables keep up, the programs in turn. So nobody's lists are late for another's million cards. Which cards are
//! due is found out in `monthly_fees.rs` and `card_expiries.rs`. Nothing here has to outlive the process: at the start every
//! card is looked at again, and what was recorded says so itself.

use super::card_walk::Due;
use super::worker::{CLOCK_PATIENCE, Worker};
use crate::engine::command::{Action, Command};
use crate::engine::ids::{CardId, ProgramId};
use crate::engine::time::Timestamp;
use crate::journal::{RecordBatch, Sequence, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Asks for the last record that the SQL tables have.
pub type ProjectedThrough = Arc<dyn Fn() -> Sequence + Send + Sync>;

/// Of one turn of the loop at most: messages do not wait for more.
const PER_TURN: u64 = 256;

/// How far the tables may be behind the journal where more is recorded: less than what the projection takes for a
/// backlog, and so a fraction of a second.
const BEHIND_MAX: u64 = 2_000;

/// While they are further behind, be it for others or because they are away, so many are recorded each time: a fee that
/// waited for the end of that might never be taken.
const SLOWLY: u64 = 256;
const SLOWLY_EVERY: Duration = Duration::from_secs(1);

/// How soon it is seen that the tables have come nearer.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is due, by program. Each once, so that it never has more than there are cards.
pub struct Bulk {
    projected_through: ProjectedThrough,
    due: BTreeMap<ProgramId, BTreeSet<(Due, CardId)>>,
    /// The program whose turn it was last.
    last: ProgramId,
    pace: Pace,
}

#[derive(Default)]
struct Pace {
    /// When some were last recorded though the tables are behind.
    slowly_at: Option<Instant>,
}

impl Pace {
    /// How many may be recorded now.
    fn room(&mut self, behind: u64, now: Instant) -> u64 {
        if behind < BEHIND_MAX {
            return (BEHIND_MAX - behind).min(PER_TURN);
        }
        match self.slowly_in(now) {
            Duration::ZERO => {
                self.slowly_at = Some(now);
                SLOWLY
            }
            _ => 0,
        }
    }

    /// How long until some are recorded whatever the tables have.
    fn slowly_in(&self, now: Instant) -> Duration {
        let next = self.slowly_at.map(|at| at + SLOWLY_EVERY);
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    fn patience(&self, behind: u64, now: Instant) -> Duration {
        match behind < BEHIND_MAX {
            true => Duration::ZERO,
            false => self.slowly_in(now).min(LOOK_AGAIN),
        }
    }
}

impl Bulk {
    pub fn new(projected_through: ProjectedThrough) -> Bulk {
        Bulk {
            projected_through,
            due: BTreeMap::new(),
            last: ProgramId::default(),
            pace: Pace::default(),
        }
    }

    pub fn add(&mut self, program_id: ProgramId, due: Due, card_id: CardId) {
        let of_program = self.due.entry(program_id).or_default();
        of_program.insert((due, card_id));
    }

    fn len(&self) -> u64 {
        self.due.values().map(|due| due.len() as u64).sum()
    }

    /// The next one of the program whose turn it is.
    fn take(&mut self) -> Option<(Due, CardId)> {
        let behind = (Bound::Excluded(self.last), Bound::Unbounded);
        let next = self.due.range(behind).next().or(self.due.iter().next());
        let program_id = *next?.0;
        self.last = program_id;
        let of_program = self.due.get_mut(&program_id)?;
        let taken = of_program.pop_first();
        if of_program.is_empty() {
            self.due.remove(&program_id);
        }
        taken
    }
}

impl Worker {
    fn behind_records(&self) -> u64 {
        let journalled = self.last_sequence.max(self.journal.durable());
        journalled.saturating_sub((self.bulk.projected_through)())
    }

    /// How long until something may be due, or more of it may be recorded.
    pub(super) fn patience_for_due(&self) -> Duration {
        let others = [self.patience_for_months(), self.patience_for_bulk()];
        let others = others.into_iter().flatten().min();
        let expiries = self.patience_for_expiries();
        others.map_or(expiries, |others| others.min(expiries))
    }

    fn patience_for_bulk(&self) -> Option<Duration> {
        if self.bulk.due.is_empty() {
            return None;
        }
        if self.journal.space() == Space::Reserve {
            // What is left of the disk is for others.
            return Some(CLOCK_PATIENCE);
        }
        let behind = self.behind_records();
        Some(self.bulk.pace.patience(behind, Instant::now()))
    }

    /// Looks for what is due, and records as much of it as there is room for.
    pub(super) fn record_due(&mut self, at: Timestamp, space: Space, records: &mut RecordBatch) {
        self.look_for_monthly_fees(at, space);
        self.look_for_expiries(at, space);
        if self.bulk.due.is_empty() || space == Space::Reserve {
            return;
        }
        let behind = self.behind_records();
        let room = self.bulk.pace.room(behind, Instant::now());
        for _ in 0..room {
            let Some((due, card_id)) = self.bulk.take() else {
                break;
            };
            self.record_one(due, card_id, (at, space), records);
        }
        self.stats.note_cards_due(self.bulk.len());
    }

    fn record_one(
        &mut self,
        due: Due,
        card_id: CardId,
        (at, space): (Timestamp, Space),
        records: &mut RecordBatch,
    ) {
        match due {
            Due::MonthlyFee => self.charge_month(card_id, at, space, records),
            Due::Expiry => self.expire_card(card_id, at, space, records),
        }
    }

    /// Who freezes, closes or replaces a card has used it in this month: what it owes does not depend on when its turn comes.
    pub(super) fn charge_before(
        &mut self,
        command: &Command,
        space: Space,
        records: &mut RecordBatch,
    ) {
        let card_id = match &command.action {
            Action::ChangeCardStatus(change) => change.card_id,
            Action::ReplaceCard(replace) => replace.replaces,
            _ => return,
        };
        if space != Space::Reserve {
            self.charge_month(card_id, command.at, space, records);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_take_turns_and_each_card_is_taken_once() {
        let mut bulk = Bulk::new(Arc::new(|| 0));
        for card in 0..5 {
            bulk.add(ProgramId(3), Due::MonthlyFee, CardId(card));
        }
        // Said once more, as when a link is unfrozen meanwhile.
        bulk.add(ProgramId(3), Due::MonthlyFee, CardId(4));
        bulk.add(ProgramId(9), Due::Expiry, CardId(70));
        bulk.add(ProgramId(9), Due::MonthlyFee, CardId(71));
        bulk.add(ProgramId(1), Due::Expiry, CardId(80));
        let mut taken = Vec::new();
        while let Some((_, card_id)) = bulk.take() {
            taken.push(card_id.0);
        }
        assert_eq!(taken, [80, 0, 71, 1, 70, 2, 3, 4]);
    }

    #[test]
    fn more_is_recorded_only_as_fast_as_the_tables_take_it() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for (behind, room) in [
            (0, PER_TURN),
            (BEHIND_MAX - PER_TURN, PER_TURN),
            (BEHIND_MAX - 1, 1),
        ] {
            assert_eq!(pace.room(behind, now), room, "{behind}");
            assert!(pace.patience(behind, now).is_zero());
        }
    }

    #[test]
    fn tables_that_are_away_make_it_slow_and_do_not_stop_it() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut recorded = 0;
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            let patience = pace.patience(u64::MAX, now);
            let room = pace.room(u64::MAX, now);
            assert_eq!(patience.is_zero(), room > 0, "at {ms} ms");
            assert!(patience <= LOOK_AGAIN);
            recorded += room;
        }
        assert_eq!(recorded, 10 * SLOWLY);
        // As soon as they are there again it is as fast as before.
        assert_eq!(
            pace.room(10, start + Duration::from_millis(9_001)),
            PER_TURN
        );
    }
}
