//! What somebody asked to be told again, taken into a queue that is under way.

use super::{EventId, ItemState, Queue, Waiting};
use crate::engine::webhook_endpoints::{WaitingDelivery, WebhookProgress};
use std::collections::{BTreeMap, HashSet};

impl Queue {
    /// The journal has this of it now.
    pub fn is_noted(&mut self, progress: WebhookProgress) {
        self.restarts_after = progress.after.unwrap_or(self.restarts_after);
        self.noted = progress;
        self.is_changed = false;
    }

    /// Takes in what somebody asked to be told again, if what the journal has differs by nothing else from what was
    /// noted there. False where the endpoint was moved to another place.
    pub fn take_resends(&mut self, moved: &WebhookProgress) -> bool {
        let noted = self.noted.waiting.iter();
        let known: BTreeMap<EventId, WaitingDelivery> = noted.map(|w| (w.event_id, *w)).collect();
        let there: HashSet<EventId> = moved.waiting.iter().map(|w| w.event_id).collect();
        let place_moved = moved.after != self.noted.after;
        if place_moved || known.keys().any(|event_id| !there.contains(event_id)) {
            return false;
        }
        for again in &moved.waiting {
            if known.get(&again.event_id) != Some(again) {
                self.resend(again);
            }
        }
        self.noted = moved.clone();
        self.is_changed = true;
        true
    }

    fn resend(&mut self, again: &WaitingDelivery) {
        let mut window = self.window.iter_mut();
        if let Some(item) = window.find(|item| item.event_id == again.event_id) {
            match item.state {
                // It is told anyway.
                ItemState::New | ItemState::Called => return,
                ItemState::Over => {}
            }
        }
        match self.waiting.get_mut(&again.event_id) {
            Some(waiting) => {
                (waiting.attempts, waiting.next_at) = (again.attempts, again.next_at);
            }
            None => {
                let waiting = Waiting {
                    card_id: again.card_id,
                    attempts: again.attempts,
                    next_at: again.next_at,
                    called: false,
                };
                self.waiting.insert(again.event_id, waiting);
            }
        }
    }
}
