//! An endpoint that has answered a ping while its calls failed: what was held back for it goes out.

use super::Queue;
use crate::engine::time::Timestamp;

impl Queue {
    /// It takes calls again: nothing is held back any more, and what waits is due. Where its last call was taken, what waits
    /// was refused for its own sake, and a ping says nothing of that.
    pub fn is_back(&mut self, now: Timestamp) {
        if self.failing_since.is_none() {
            return;
        }
        (self.failed_in_row, self.failing_since) = (0, None);
        self.begun_before_down = 0;
        self.paused_until = Timestamp::default();
        for waiting in self.waiting.values_mut() {
            waiting.next_at = waiting.next_at.min(now);
        }
        self.is_changed = true;
    }
}
