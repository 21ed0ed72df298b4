//! What a random history has beside messages: customers that decide themselves, and approvals that come too late for
//! their network.

use crate::history::History;
use cardswitch::engine::command::{Action, CallOutcome, CustomerSays, Resolve, Withhold};
use cardswitch::engine::decision_endpoints::{DecisionEndpoint, Fallback};
use cardswitch::engine::ids::{DecisionEndpointId, ProgramId, ReversalId};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::engine::time::Timestamp;

impl History {
    /// From now on customers are asked, or no more.
    pub fn ask_customers(&mut self, enabled: bool) {
        let amount_minor = self.below(60_000) as i64;
        let endpoint = DecisionEndpoint {
            id: DecisionEndpointId(1),
            program_id: ProgramId(1),
            url: "https://example.com/decide".into(),
            timeout_ms: 2_000,
            fallback: match self.below(2) {
                0 => Fallback::Decline,
                _ => Fallback::ApproveUpTo { amount_minor },
            },
            enabled,
            secret_version: 1,
            created_at: Timestamp(0),
            tenant: None,
        };
        self.registry(RegistryAction::PutDecisionEndpoint(Box::new(endpoint)));
    }

    /// What came of asking about one that waits, or, now and then, about one that does not.
    pub fn resolve(&mut self) {
        let waiting = self.authorizations.iter().rev().take(60).filter(|known| {
            let shard = self.world.shard(known.2);
            let known = shard.authorizations.get(known.0);
            known.is_some_and(|known| known.waiting.is_some())
        });
        let waiting: Vec<_> = waiting.copied().collect();
        let young = self.authorizations.len().saturating_sub(20);
        let (authorization_id, _, root, amount) = match waiting.as_slice() {
            [] => match self.authorizations.get(young) {
                Some(known) => *known,
                None => return,
            },
            waiting => waiting[self.below(waiting.len() as u64) as usize],
        };
        let (says, call) = match self.below(10) {
            0..3 => (
                CustomerSays::Approve { amount_minor: None },
                CallOutcome::Answered,
            ),
            3..5 => {
                let amount_minor = Some(1 + self.below(amount.amount_minor.max(1) as u64) as i64);
                (
                    CustomerSays::Approve { amount_minor },
                    CallOutcome::Answered,
                )
            }
            5..7 => (CustomerSays::Decline, CallOutcome::Answered),
            7 => (CustomerSays::Nothing, CallOutcome::TimedOut),
            8 => (CustomerSays::Nonsense, CallOutcome::Invalid),
            _ => (CustomerSays::Lost, CallOutcome::Lost),
        };
        let resolve = Resolve {
            authorization_id,
            says,
            call,
            duration_ms: self.below(2_000) as u32,
        };
        self.shard(root, Action::Resolve(resolve));
    }

    /// Takes back an approval; at times one that has gone on since.
    pub fn withhold(&mut self) {
        let age = self.below(6) as usize + 1;
        let Some(place) = self.sent.len().checked_sub(age) else {
            return;
        };
        let (root, payment) = self.sent[place].clone();
        let withhold = Withhold {
            reversal_id: ReversalId(self.id()),
            payment,
        };
        self.shard(root, Action::Withhold(Box::new(withhold)));
    }
}
