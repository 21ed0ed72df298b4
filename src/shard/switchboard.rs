//! The queues into all loops, and starting and stopping them. Who reads the sockets does not live here.

use super::archive::Archive;
use super::bulk::{Bulk, ProjectedThrough};
use super::card_expiries::CardExpiries;
use super::clock::{Clock, IdSource};
use super::directory::Directory;
use super::inbox::{Inbox, Outlet, Priority, QueueSettings, queue};
use super::monthly_fees::MonthlyFees;
use super::registry_worker::{
    CardIssuedHook, RegistryWorker, ToShard, TokenRequestedHook, ask_shard, tell_shard,
};
use super::reply::ReplySink;
use super::request::{Batch, RegistryMessage, RegistryRequest, ShardMessage, ShardRequest};
use super::stats::ShardStats;
use super::told_again::ToldAgain;
use super::transfers::{Carrier, open_steps};
use super::waiters::Waiters;
use super::worker::{Nobody, Worker};
use crate::engine::command::Action;
use crate::engine::failed_references::{self, FailReference};
use crate::engine::ids::{AccountId, CardId, TokenId};
use crate::engine::registry::{Registry, RegistryAction, RegistryView};
use crate::engine::reissue::RenewCard;
use crate::engine::state::State;
use crate::engine::token_numbers::PendingToken;
use crate::engine::world::{PendingCard, PendingHolder, PendingRenewal, World, shard_of};
use crate::journal::{Handle, Sequence};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;

/// The way to every loop; shared by all who ask.
pub struct Switchboard {
    shards: Vec<Inbox<ShardMessage>>,
    registry: Inbox<RegistryMessage>,
    published: Arc<RwLock<Arc<RegistryView>>>,
    journal: Handle,
    pub directory: Arc<Directory>,
    pub ids: Arc<IdSource>,
    pub clock: Clock,
    /// One per shard, and the registry's last.
    pub stats: Vec<Arc<ShardStats>>,
    /// Where shards keep what they forget.
    pub archive: Option<Archive>,
}

/// The running threads.
pub struct Loops {
    shards: Vec<JoinHandle<State>>,
    registry: JoinHandle<Registry>,
}

/// What the loops need from outside.
pub struct Wiring {
    pub journal: Handle,
    pub clock: Clock,
    pub queues: QueueSettings,
    pub on_card_issued: CardIssuedHook,
    pub on_token_requested: TokenRequestedHook,
    /// Who asks customers.
    pub decision_calls: Arc<dyn ReplySink>,
    /// The last record in the journal.
    pub last_sequence: Sequence,
    pub archive: Option<Archive>,
    pub projected_through: ProjectedThrough,
}

/// Starts a thread per shard of the world and one for the registry.
pub fn start(world: World, wiring: Wiring) -> std::io::Result<(Arc<Switchboard>, Loops)> {
    let directory = Arc::new(Directory::of(&world));
    let ids = ids_of(&world, &wiring.clock);
    let failed = failed_references::not_noted(&world);
    let mut shards = Vec::new();
    let (inboxes, outlets) = queues_of(&world, wiring.queues);
    let stats: Vec<Arc<ShardStats>> = (0..=inboxes.len()).map(|_| Arc::default()).collect();
    let mut open_steps = open_steps(world.pending_transfers, world.pending_top_ups);
    for (number, (mut state, outlet)) in world.shards.into_iter().zip(outlets).enumerate() {
        if wiring.archive.is_some() {
            state.outbox.open();
        }
        let worker = Worker {
            ids: ids.clone(),
            monthly_fees: MonthlyFees::default(),
            card_expiries: CardExpiries::default(),
            bulk: Bulk::new(wiring.projected_through.clone()),
            state,
            outlet,
            journal: wiring.journal.clone(),
            clock: wiring.clock.clone(),
            directory: directory.clone(),
            stats: stats[number].clone(),
            last_sequence: wiring.last_sequence,
            told_again: ToldAgain::default(),
            waiters: Waiters::default(),
            decision_calls: wiring.decision_calls.clone(),
            resolved: Vec::new(),
            archive: wiring.archive.clone(),
            carrier: Carrier::new(inboxes.clone(), std::mem::take(&mut open_steps)),
        };
        shards.push(spawn(format!("shard-{number}"), || worker.run())?);
    }
    let (registry_inbox, outlet) = queue(wiring.queues);
    let published = Arc::new(RwLock::new(world.registry.view.clone()));
    let worker = RegistryWorker {
        registry: world.registry,
        outlet,
        shards: inboxes.clone(),
        journal: wiring.journal.clone(),
        clock: wiring.clock.clone(),
        stats: stats[inboxes.len()].clone(),
        published: published.clone(),
        on_card_issued: wiring.on_card_issued,
        on_token_requested: wiring.on_token_requested,
        last_sequence: wiring.last_sequence,
    };
    let registry = spawn("registry".into(), || worker.run())?;
    let pending = (
        world.pending_cards,
        world.pending_renewals,
        world.pending_tokens,
        world.pending_holders,
    );
    tell_pending(&inboxes, pending);
    tell_registry(&registry_inbox, failed);
    let switchboard = Switchboard {
        shards: inboxes,
        registry: registry_inbox,
        published,
        journal: wiring.journal,
        directory,
        ids,
        clock: wiring.clock,
        stats,
        archive: wiring.archive,
    };
    Ok((Arc::new(switchboard), Loops { shards, registry }))
}

fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name).spawn(work)
}

type Pending = (
    BTreeMap<CardId, PendingCard>,
    BTreeMap<CardId, PendingRenewal>,
    BTreeMap<TokenId, PendingToken>,
    BTreeMap<CardId, PendingHolder>,
);

/// What the registry had journalled for shards, and they had not when the process ended.
fn tell_pending(inboxes: &[Inbox<ShardMessage>], (cards, renewals, tokens, holders): Pending) {
    let cards = cards.into_values();
    let cards = cards.map(|pending| (pending.root, pending.into_action()));
    let renewals = renewals.into_iter().map(|(card_id, pending)| {
        let expiry = pending.expiry;
        let renew = RenewCard { card_id, expiry };
        (pending.root, Action::RenewCard(renew))
    });
    let tokens = tokens.into_values();
    let tokens = tokens.map(|pending| (pending.root, pending.into_action()));
    for (root, action) in cards.chain(renewals).chain(tokens) {
        let to_shard = ToShard {
            token: 0,
            reply_to: Arc::new(Nobody),
            root,
            action,
        };
        ask_shard(inboxes, to_shard, None);
    }
    for (card_id, pending) in holders {
        tell_shard(inboxes, card_id, pending);
    }
}

/// What shards had decided and the registry had not heard when the process ended; nobody waits for it.
fn tell_registry(registry: &Inbox<RegistryMessage>, failed: Vec<FailReference>) {
    if failed.is_empty() {
        return;
    }
    let commands = failed.into_iter().map(|failed| {
        let action = RegistryAction::FailReference(Box::new(failed));
        (0, RegistryRequest::Command(action))
    });
    let batch = Batch {
        items: commands.collect(),
        reply_to: Arc::new(Nobody),
        deadline: None,
        requester: None,
    };
    let requests = batch.items.len();
    // The queue is empty; where there is no room for so many all the same, it is told at the next start.
    let _ = registry.offer(RegistryMessage::Batch(batch), requests, Priority::Reserved);
}

fn ids_of(world: &World, clock: &Clock) -> Arc<IdSource> {
    let last = IdSource::last_of(latest(world));
    Arc::new(IdSource::after(clock.clone(), last))
}

type Queues = (Vec<Inbox<ShardMessage>>, Vec<Outlet<ShardMessage>>);

fn queues_of(world: &World, settings: QueueSettings) -> Queues {
    world.shards.iter().map(|_| queue(settings)).unzip()
}

fn latest(world: &World) -> crate::engine::time::Timestamp {
    let shards = world.shards.iter().map(|shard| shard.now);
    shards.chain([world.registry.now]).max().unwrap_or_default()
}

impl Switchboard {
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    pub fn shard_of(&self, root: AccountId) -> usize {
        shard_of(root, self.shards.len())
    }

    /// True if ordinary work is to be refused, whatever room there is: the disk hangs, and what is queued
    /// behind it would be answered when nobody waits for it any more.
    fn refuses(&self, priority: Priority) -> bool {
        priority == Priority::Ordinary && self.journal.is_stalled()
    }

    /// Hands a batch to a shard, or gives it back where there is no room or the disk hangs.
    pub fn offer_shard(
        &self,
        shard: usize,
        batch: Batch<ShardRequest>,
        priority: Priority,
    ) -> Result<(), Batch<ShardRequest>> {
        if self.refuses(priority) {
            return Err(batch);
        }
        let requests = batch.items.len();
        self.shards[shard]
            .offer(ShardMessage::Batch(batch), requests, priority)
            .map_err(|message| match message {
                ShardMessage::Batch(batch) => batch,
                // `offer` gives back the very message it was given.
                ShardMessage::Adopt(_) | ShardMessage::Stop => unreachable!("a batch was offered"),
            })
    }

    /// Hands a batch to the registry, or gives it back where there is no room or the disk hangs.
    pub fn offer_registry(
        &self,
        batch: Batch<RegistryRequest>,
        priority: Priority,
    ) -> Result<(), Batch<RegistryRequest>> {
        if self.refuses(priority) {
            return Err(batch);
        }
        let requests = batch.items.len();
        self.registry
            .offer(RegistryMessage::Batch(batch), requests, priority)
            .map_err(|message| match message {
                RegistryMessage::Batch(batch) => batch,
                // `offer` gives back the very message it was given.
                RegistryMessage::Stop => unreachable!("a batch was offered"),
            })
    }

    /// The registry as last published.
    pub fn view(&self) -> Arc<RegistryView> {
        self.published
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// Requests waiting now, per shard, and the registry's last.
    pub fn queue_depths(&self) -> Vec<usize> {
        self.shards
            .iter()
            .map(Inbox::depth)
            .chain([self.registry.depth()])
            .collect()
    }

    /// Tells every loop to end after what it has.
    pub fn stop(&self) {
        self.registry.insist(RegistryMessage::Stop);
        for shard in &self.shards {
            shard.insist(ShardMessage::Stop);
        }
    }
}

impl Loops {
    /// Waits for the loops, which must have been told to stop. False if one of them panicked.
    pub fn join(self) -> bool {
        let shards_well = self
            .shards
            .into_iter()
            .map(|handle| handle.join().is_ok())
            .fold(true, |a, b| a & b);
        self.registry.join().is_ok() & shards_well
    }
}
