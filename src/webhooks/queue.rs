//! What is to be told to one endpoint, and when. Pure: no call, no clock. What of it outlives the process is a
//! [`WebhookProgress`], noted in the journal about once a second.

mod pinged;
mod resends;

use super::schedule;
use crate::engine::ids::{CardId, EventId};
use crate::engine::time::Timestamp;
use crate::engine::webhook_endpoints::{
    WAITING_MAX, WaitingDelivery, WebhookProgress, WebhookState,
};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

/// Calls to one endpoint at once.
pub const CONCURRENT_MAX: usize = 16;

/// Events that are read ahead of those that are called.
pub const WINDOW_MAX: usize = 256;

/// Calls that fail one after another until an endpoint counts as down: then one call is made at a time.
const DOWN_AFTER: u32 = 5;

/// Between two calls to an endpoint that is down: the first, doubled with each, and the longest.
const PROBE_MS: (i64, i64) = (5_000, 5 * 60_000);

/// Calls that must have failed before an endpoint is given up.
const FAILED_MIN: u32 = 5;

#[derive(Debug)]
pub struct Queue {
    in_order: bool,
    /// Everything up to here is over, or waits.
    after: EventId,
    /// Everything up to here was read.
    read_to: EventId,
    /// Behind `after`, in order.
    window: VecDeque<Item>,
    waiting: BTreeMap<EventId, Waiting>,
    in_flight: usize,
    failed_in_row: u32,
    /// Of those in flight, the ones that were begun before the endpoint counted as down: they say no more of it.
    begun_before_down: usize,
    failing_since: Option<Timestamp>,
    /// A call has ended since it was loaded, which says more than what was known before.
    has_called: bool,
    paused_until: Timestamp,
    /// Of two calls one is for what waits and is due, and one for what is new: events that are told again and again
    /// hold up no new ones, and of an endpoint that is down what is refused for its own sake stands for nothing else.
    tries_new: bool,
    /// What the journal has of it.
    noted: WebhookProgress,
    /// Where a restart begins.
    restarts_after: EventId,
    /// Something happened that a restart must know.
    pub is_changed: bool,
}

#[derive(Debug)]
struct Item {
    event_id: EventId,
    card_id: Option<CardId>,
    state: ItemState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ItemState {
    New,
    Called,
    /// Or waiting.
    Over,
}

#[derive(Debug)]
struct Waiting {
    card_id: Option<CardId>,
    attempts: u8,
    next_at: Timestamp,
    called: bool,
}

/// A call to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub event_id: EventId,
    /// From 1.
    pub attempt: u8,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    Failed {
        retry_after: Option<Duration>,
    },
    /// It said that it is gone: HTTP 410.
    Gone,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Over,
    Again(Timestamp),
    /// All calls were made.
    GivenUp,
}

impl Queue {
    /// `start` is where an endpoint begins that has heard nothing yet.
    pub fn restore(progress: &WebhookProgress, start: EventId, in_order: bool) -> Queue {
        let after = progress.after.unwrap_or(start);
        let waiting = progress.waiting.iter().map(|known| {
            let waiting = Waiting {
                card_id: known.card_id,
                attempts: known.attempts,
                next_at: known.next_at,
                called: false,
            };
            (known.event_id, waiting)
        });
        Queue {
            in_order,
            after,
            read_to: after,
            window: VecDeque::new(),
            waiting: waiting.collect(),
            in_flight: 0,
            failed_in_row: 0,
            begun_before_down: 0,
            failing_since: progress.failing_since,
            has_called: false,
            paused_until: Timestamp::default(),
            tries_new: false,
            noted: progress.clone(),
            restarts_after: after,
            is_changed: false,
        }
    }

    /// What a restart has to know: calls under way are made again then.
    pub fn progress(&self) -> WebhookProgress {
        let waiting = self
            .waiting
            .iter()
            .map(|(event_id, waiting)| WaitingDelivery {
                event_id: *event_id,
                card_id: waiting.card_id,
                attempts: waiting.attempts,
                next_at: waiting.next_at,
            });
        WebhookProgress {
            after: Some(self.after),
            waiting: waiting.collect(),
            failing_since: self.failing_since,
        }
    }

    /// Records that were looked at and came to nothing since the last note: a restart looks at them again.
    pub fn unnoted_records(&self) -> u64 {
        let noted = self.restarts_after.sequence();
        self.after.sequence().saturating_sub(noted)
    }

    /// Nothing is called before.
    pub fn paused_until(&self) -> Timestamp {
        self.paused_until
    }

    /// Holds all calls until then, as an endpoint asked for before it was loaded anew.
    pub fn pause_until(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
    }

    pub fn read_to(&self) -> EventId {
        self.read_to
    }

    /// Events that were refused and are tried again.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// The first of what was read that no call was made for.
    pub fn first_new(&self) -> Option<EventId> {
        let mut window = self.window.iter();
        let new = window.find(|item| item.state == ItemState::New);
        new.map(|item| item.event_id)
    }

    /// How many more may be read.
    pub fn room(&self) -> usize {
        match self.window.len() {
            held if held > WINDOW_MAX / 2 => 0,
            held => WINDOW_MAX - held,
        }
    }

    /// Takes what was read, in order; everything up to `read_to` was looked at.
    pub fn take(
        &mut self,
        events: impl Iterator<Item = (EventId, Option<CardId>)>,
        read_to: EventId,
    ) {
        // Once each, whatever was read twice.
        let looked_at = self.read_to;
        let new = events.filter(|(event_id, _)| *event_id > looked_at);
        let items = new.map(|(event_id, card_id)| Item {
            event_id,
            card_id,
            state: ItemState::New,
        });
        self.window.extend(items);
        self.read_to = self.read_to.max(read_to);
        self.advance();
    }

    /// The next call to make now, counted as under way.
    pub fn next(&mut self, now: Timestamp) -> Option<Call> {
        if self.paused_until > now || self.in_flight >= self.calls_max() {
            return None;
        }
        let event_id = match self.in_order {
            true => self.next_in_order(now)?,
            false => self.next_of_any(now)?,
        };
        self.in_flight += 1;
        if let Some(waiting) = self.waiting.get_mut(&event_id) {
            waiting.called = true;
            let attempt = waiting.attempts.saturating_add(1);
            return Some(Call { event_id, attempt });
        }
        let item = self
            .window
            .iter_mut()
            .find(|item| item.event_id == event_id)?;
        item.state = ItemState::Called;
        Some(Call {
            event_id,
            attempt: 1,
        })
    }

    fn calls_max(&self) -> usize {
        match self.is_down() {
            true => 1,
            false => CONCURRENT_MAX,
        }
    }

    pub fn is_down(&self) -> bool {
        self.failed_in_row >= DOWN_AFTER
    }

    /// What waits takes no more new ones in.
    fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    fn next_of_any(&mut self, now: Timestamp) -> Option<EventId> {
        let mut waiting = self.waiting.iter();
        let due = waiting.find(|(_, waiting)| !waiting.called && waiting.next_at <= now);
        let due = due.map(|(event_id, _)| *event_id);
        let takes_new = self.may_take_new();
        let window = self.window.iter().filter(|_| takes_new);
        let mut new = window.clone().filter(|item| item.state == ItemState::New);
        // One of another card than those that wait says the most.
        let cards: HashSet<Option<CardId>> = match self.is_down() {
            true => self
                .waiting
                .values()
                .map(|waiting| waiting.card_id)
                .collect(),
            false => HashSet::new(),
        };
        let other = new.clone().find(|item| !cards.contains(&item.card_id));
        let new = other.or_else(|| new.next()).map(|item| item.event_id);
        self.tries_new = !self.tries_new;
        match self.tries_new {
            true => new.or(due),
            false => due.or(new),
        }
    }

    /// One new event may always be tried where all others were refused.
    fn may_take_new(&self) -> bool {
        !self.is_full() || self.is_down() && self.waiting.len() < 2 * WAITING_MAX
    }

    /// The first that no earlier one of its card stands before.
    fn next_in_order(&mut self, now: Timestamp) -> Option<EventId> {
        self.set_aside(now);
        let free = self.first_of_cards();
        let due: Vec<EventId> = free
            .filter(|(_, at)| *at <= now)
            .map(|(event_id, _)| event_id)
            .collect();
        self.tries_new = !self.tries_new;
        let is_new = |event_id: &&EventId| !self.waiting.contains_key(event_id);
        let new = due.iter().find(is_new).filter(|_| self.tries_new);
        new.or(due.first()).copied()
    }

    /// Of each card the first that is not over, if it is not called right now, and from when on it may be.
    fn first_of_cards(&self) -> impl Iterator<Item = (EventId, Timestamp)> {
        let waiting = self.waiting.iter().map(|(event_id, waiting)| {
            let at = (!waiting.called).then_some(waiting.next_at);
            (*event_id, waiting.card_id, at)
        });
        let takes_new = self.may_take_new();
        let unfinished = self
            .window
            .iter()
            .filter(|item| item.state != ItemState::Over);
        let window = unfinished.map(|item| {
            let is_new = item.state == ItemState::New && takes_new;
            (
                item.event_id,
                item.card_id,
                is_new.then_some(Timestamp::default()),
            )
        });
        let mut all: Vec<_> = waiting.chain(window).collect();
        all.sort_unstable_by_key(|(event_id, ..)| *event_id);
        let mut busy = HashSet::new();
        all.retain(|(_, card_id, _)| card_id.is_none_or(|card_id| busy.insert(card_id)));
        all.into_iter()
            .filter_map(|(event_id, _, at)| Some((event_id, at?)))
    }

    /// New events of a card that waits already wait with it, so that they do not hold the others up.
    fn set_aside(&mut self, now: Timestamp) {
        let cards: HashSet<CardId> = self.waiting.values().filter_map(|w| w.card_id).collect();
        if cards.is_empty() {
            return;
        }
        for item in &mut self.window {
            let waits = item.card_id.is_some_and(|card_id| cards.contains(&card_id));
            if waits && item.state == ItemState::New && self.waiting.len() < WAITING_MAX {
                item.state = ItemState::Over;
                let waiting = Waiting {
                    card_id: item.card_id,
                    attempts: 0,
                    next_at: now,
                    called: false,
                };
                self.waiting.insert(item.event_id, waiting);
                self.is_changed = true;
            }
        }
        self.advance();
    }

    /// A call that could not be made is as if it had not been asked for.
    pub fn not_made(&mut self, call: Call) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.begun_before_down = self.begun_before_down.saturating_sub(1);
        if let Some(waiting) = self.waiting.get_mut(&call.event_id) {
            waiting.called = false;
        }
        let mut window = self.window.iter_mut();
        if let Some(item) = window.find(|item| item.event_id == call.event_id)
            && item.state == ItemState::Called
        {
            item.state = ItemState::New;
        }
    }

    /// Notes how a call ended.
    pub fn ended(&mut self, call: Call, outcome: Outcome, now: Timestamp) -> Then {
        self.in_flight = self.in_flight.saturating_sub(1);
        (self.is_changed, self.has_called) = (true, true);
        let retry_after = match outcome {
            Outcome::Taken => {
                (self.failed_in_row, self.failing_since) = (0, None);
                self.begun_before_down = 0;
                self.paused_until = Timestamp::default();
                self.finish(call.event_id);
                return Then::Over;
            }
            Outcome::Failed { retry_after } => retry_after,
            Outcome::Gone => None,
        };
        self.count_failure();
        self.failing_since.get_or_insert(now);
        self.pause(retry_after, now);
        let next_at = schedule::next_at(call.event_id, call.attempt, now, retry_after);
        let Some(next_at) = next_at else {
            self.finish(call.event_id);
            return Then::GivenUp;
        };
        let card_id = self.card_of(call.event_id);
        self.finish(call.event_id);
        let waiting = Waiting {
            card_id,
            attempts: call.attempt,
            next_at,
            called: false,
        };
        self.waiting.insert(call.event_id, waiting);
        Then::Again(next_at)
    }

    /// A burst that fails at once is one step, whatever was under way with it.
    fn count_failure(&mut self) {
        if self.begun_before_down > 0 {
            self.begun_before_down -= 1;
            return;
        }
        let was_down = self.is_down();
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        if self.is_down() && !was_down {
            self.begun_before_down = self.in_flight;
        }
    }

    /// An endpoint that asks for time gets it, and so does one that is down.
    fn pause(&mut self, retry_after: Option<Duration>, now: Timestamp) {
        let asked_ms = retry_after.map_or(0, |asked| asked.as_millis() as i64);
        let (first_ms, longest_ms) = PROBE_MS;
        let doublings = self.failed_in_row.saturating_sub(DOWN_AFTER).min(16);
        let probe_ms = match self.is_down() {
            true => (first_ms << doublings).min(longest_ms),
            false => 0,
        };
        let until = now.plus_ms(asked_ms.max(probe_ms));
        self.paused_until = self.paused_until.max(until);
    }

    fn card_of(&self, event_id: EventId) -> Option<CardId> {
        match self.waiting.get(&event_id) {
            Some(waiting) => waiting.card_id,
            None => {
                let mut window = self.window.iter();
                window.find(|item| item.event_id == event_id)?.card_id
            }
        }
    }

    fn finish(&mut self, event_id: EventId) {
        self.waiting.remove(&event_id);
        let mut window = self.window.iter_mut();
        if let Some(item) = window.find(|item| item.event_id == event_id) {
            item.state = ItemState::Over;
        }
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(first) = self.window.front()
            && first.state == ItemState::Over
        {
            self.after = first.event_id;
            self.window.pop_front();
        }
        if self.window.is_empty() {
            self.after = self.read_to;
        }
    }

    /// Why it is to be called no more, if it is not.
    pub fn gives_up(&self, outcome: Outcome, now: Timestamp) -> Option<WebhookState> {
        if outcome == Outcome::Gone {
            return Some(WebhookState::Gone);
        }
        let since = self.failing_since?;
        let long = now.0.saturating_sub(since.0) >= schedule::DISABLED_AFTER_MS;
        (long && self.failed_in_row >= FAILED_MIN).then_some(WebhookState::Failing)
    }

    /// When to look again, where nothing else happens before.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        if self.in_flight >= self.calls_max() {
            return None;
        }
        let first = match self.in_order {
            true => self.first_of_cards().map(|(_, at)| at).min()?,
            false => self.first_of_any()?,
        };
        Some(first.max(self.paused_until))
    }

    fn first_of_any(&self) -> Option<Timestamp> {
        let waiting = self.waiting.values().filter(|waiting| !waiting.called);
        let due = waiting.map(|waiting| waiting.next_at).min();
        let takes_new = self.may_take_new();
        let mut window = self.window.iter().filter(|_| takes_new);
        let new = window.any(|item| item.state == ItemState::New);
        let new = new.then_some(Timestamp::default());
        [due, new].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
