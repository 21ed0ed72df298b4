//! Approvals whose answer is too late for the network: they are taken back by the shard that gave them, and what comes
//! of that is the answer. What taking back does to money lives in `engine/withhold.rs`.

use super::exchange::Exchange;
use super::flight::InFlight;
use super::stats::NetworkStats;
use super::translate::Translated;
use crate::engine::command::{Action, Withhold};
use crate::engine::ids::{AccountId, AuthorizationId, ReversalId};
use crate::iso8583::Message;
use crate::shard::inbox::Priority;
use crate::shard::reply::Reply;
use crate::shard::request::{Batch, ShardRequest, Token};
use std::time::Instant;

impl Exchange<'_> {
    /// An approval of the message itself; what a repeat of it gets has been said before.
    pub(super) fn is_late_approval(&self, token: Token, reply: &Reply, now: Instant) -> bool {
        let Reply::Message(answer) = reply else {
            return false;
        };
        let Some(flight) = self.flights.get(token) else {
            return false;
        };
        now >= flight.received + self.peer.settings.answer_within()
            && !flight.is_withheld
            && answer.is_approval_of(AuthorizationId(flight.id))
    }

    /// Has the shard take the approval back. Where that cannot be asked the message stays unanswered: the hold stays,
    /// and a repeat gets the approval.
    pub(super) fn withhold(&mut self, token: Token) {
        NetworkStats::add(&self.peer.stats.late_approvals, 1);
        let Some(flight) = self.flights.land(token) else {
            return;
        };
        let Some((root, withhold)) = self.withhold_of(&flight) else {
            return;
        };
        let token = self.flights.depart(InFlight {
            is_withheld: true,
            ..flight
        });
        let action = Action::Withhold(Box::new(withhold));
        let batch = Batch {
            items: vec![(token, ShardRequest::Command { root, action })],
            reply_to: self.sink.clone(),
            deadline: None,
            requester: None,
        };
        let switchboard = &self.peer.switchboard;
        let shard = switchboard.shard_of(root);
        if switchboard
            .offer_shard(shard, batch, Priority::Reserved)
            .is_err()
        {
            self.flights.land(token);
        }
    }

    fn withhold_of(&self, flight: &InFlight) -> Option<(AccountId, Withhold)> {
        let (translator, switchboard) = (&self.peer.translator, &self.peer.switchboard);
        // It parsed and was translated when it came.
        let message = Message::parse_again(&translator.map.dialect, &flight.body).ok()?;
        let view = switchboard.view();
        match translator.translate(&message, flight.id, &view).ok()? {
            Translated::Shard {
                root,
                action: Action::Authorize(payment),
            } => {
                let reversal_id = ReversalId(switchboard.ids.reserve(1));
                let withhold = Withhold {
                    reversal_id,
                    payment,
                };
                Some((root, withhold))
            }
            _ => None,
        }
    }
}
