//! An endpoint that has answered a ping while its calls failed: what was held back for it goes out.

use super::Queue;
use crate::engine::time::Timestamp;

/// What was tried as often as this keeps its time: whoever pings again and again while events are refused uses up no more of
/// their tries.
const BROUGHT_FORWARD_BELOW: u8 = 5;

impl Queue {
    /// It may take calls again: nothing is held back any more, and what waits is due. Where its last call was taken, what waits
    /// was refused for its own sake, and a ping says nothing of that. That it fails no more says a call that is taken, where one
    /// is to be made.
    pub fn is_back(&mut self, now: Timestamp) {
        let is_held = self.failing_since.is_some() || self.is_down() || self.paused_until > now;
        if !is_held && self.has_called {
            return;
        }
        self.failed_in_row = 0;
        self.begun_before_down = 0;
        self.paused_until = Timestamp::default();
        if self.waiting.is_empty() {
            self.failing_since = None;
        }
        for waiting in self.waiting.values_mut() {
            if waiting.attempts < BROUGHT_FORWARD_BELOW {
                waiting.next_at = waiting.next_at.min(now);
            }
        }
        self.is_changed = true;
    }
}
