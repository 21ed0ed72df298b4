//! Approvals that went out again to a repeat of their message. Which answers are given at all does not live here.

use crate::engine::ids::AuthorizationId;
use std::collections::{HashSet, VecDeque};

/// Approvals remembered. A late answer is noticed within the time of its network, and far fewer are repeated in it.
const KEPT: usize = 65_536;

/// The network has heard of these, however late the answer to the first message is: they are not taken back. Not
/// journalled, as no answer that may still be taken back outlives the process.
#[derive(Debug, Default)]
pub struct ToldAgain {
    ids: HashSet<AuthorizationId>,
    in_order: VecDeque<AuthorizationId>,
}

impl ToldAgain {
    pub fn note(&mut self, id: AuthorizationId) {
        if !self.ids.insert(id) {
            return;
        }
        self.in_order.push_back(id);
        if self.in_order.len() > KEPT
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub fn contains(&self, id: AuthorizationId) -> bool {
        self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut told = ToldAgain::default();
        for id in (0..KEPT as u64 + 2).map(AuthorizationId) {
            told.note(id);
            told.note(id);
        }
        let known = [0, 1, 2, KEPT as u64 + 1].map(|id| told.contains(AuthorizationId(id)));
        assert_eq!(known, [false, false, true, true]);
        assert_eq!(told.ids.len(), KEPT);
    }
}
