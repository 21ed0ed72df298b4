//! Carries the steps of transfers from shard to shard, and answers those who wait for the last one. What a step does is
//! decided in `engine/transfers.rs`.

use super::inbox::{Inbox, Priority};
use super::reply::{Reply, ReplySink};
use super::request::{Batch, ShardMessage, ShardRequest, Token};
use super::worker::{Nobody, Worker};
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::ids::{AccountId, TopUpId, TransferId};
use crate::engine::top_ups::ReserveReference;
use crate::engine::transfers::{self, KnownTransfer, NextStep, TransferStatus};
use crate::engine::world::shard_of;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long the loop sleeps at the most while a step waits for room in a queue.
const PATIENCE: Duration = Duration::from_millis(5);

/// A command for the shard of this tree that no caller waits for.
pub type OpenStep = (AccountId, Action);

type Waiter = (Arc<dyn ReplySink>, Token);

/// Steps on their way to other shards, and who waits for the end of a transfer.
pub struct Carrier {
    /// Of all shards, this one among them.
    shards: Vec<Inbox<ShardMessage>>,
    /// Of records that the journal has: what a step rests on stands before it there.
    ready: VecDeque<OpenStep>,
    /// Who asked for transfers that are in transit.
    waiters: HashMap<TransferId, Vec<Waiter>>,
}

impl Carrier {
    /// `open` steps were not done when the process ended before.
    pub fn new(shards: Vec<Inbox<ShardMessage>>, open: VecDeque<OpenStep>) -> Carrier {
        Carrier {
            shards,
            ready: open,
            waiters: HashMap::new(),
        }
    }

    /// When it has to be tried again.
    pub fn patience(&self) -> Option<Duration> {
        (!self.ready.is_empty()).then_some(PATIENCE)
    }

    /// Hands on what there is room for. Called when the journal has the records of the turn: it keeps their order, and
    /// so no credit is durable before its debit.
    pub fn pass_on(&mut self) {
        while let Some(step) = self.ready.front() {
            if !offer(&self.shards, step) {
                return;
            }
            self.ready.pop_front();
        }
    }
}

/// False where there is no room. It is not waited for: two shards that waited for one another would wait for ever.
fn offer(shards: &[Inbox<ShardMessage>], (root, action): &OpenStep) -> bool {
    let request = ShardRequest::Command {
        root: *root,
        action: action.clone(),
    };
    let batch = Batch {
        items: vec![(0, request)],
        reply_to: Arc::new(Nobody),
        deadline: None,
        requester: None,
    };
    let shard = &shards[shard_of(*root, shards.len())];
    let offered = shard.offer(ShardMessage::Batch(batch), 1, Priority::Reserved);
    offered.is_ok()
}

/// What was not done when the process ended before.
pub fn open_steps(
    transfers: BTreeMap<TransferId, NextStep>,
    top_ups: BTreeMap<TopUpId, ReserveReference>,
) -> VecDeque<OpenStep> {
    let transfers = transfers.into_values().map(|next| (next.root, next.action));
    let top_ups = top_ups.into_values();
    let top_ups = top_ups.map(|reserve| (reserve.root, reserve.action()));
    transfers.chain(top_ups).collect()
}

impl Worker {
    /// Of a step that was carried out: what comes next, and who waited for it.
    pub(super) fn follow_transfer(&mut self, command: &Command, event: &Event) {
        let next = transfers::next_step(command, event);
        let next = next.map(|next| (next.root, next.action));
        self.carrier.ready.extend(next);
        let Action::EndTransfer(end) = &command.action else {
            return;
        };
        let waiters = self.carrier.waiters.remove(&end.transfer.id);
        let reply = self.transfer(end.transfer.id);
        for (sink, token) in waiters.into_iter().flatten() {
            self.resolved.push((sink, vec![(token, reply.clone())]));
        }
    }

    pub(super) fn transfer(&self, id: TransferId) -> Reply {
        let retention_ms = self.state.registry.settings.idempotency_retention_ms;
        let known = self.state.transfers.find(id, self.state.now, retention_ms);
        known.map_or(Reply::NotFound, |known| Reply::Transfer(Box::new(*known)))
    }

    /// The reply, unless it is to wait until its transfer has arrived.
    pub(super) fn unless_in_transit(
        &mut self,
        reply: Reply,
        (reply_to, token): (&Arc<dyn ReplySink>, Token),
    ) -> Option<Reply> {
        match reply {
            Reply::Transfer(known) if is_in_transit(&known) => {
                let waiters = &mut self.carrier.waiters;
                let waiting = waiters.entry(known.transfer.id).or_default();
                waiting.push((reply_to.clone(), token));
                None
            }
            reply => Some(reply),
        }
    }
}

fn is_in_transit(known: &KnownTransfer) -> bool {
    known.status == TransferStatus::InTransit
}
