//! Real shards over a journal on a disk that crashes, for the tests that lose power: asking them, and reading what is durable.

// Each test binary uses a part of it.
#![allow(dead_code)]

use cardswitch::engine::command::{Action, OpenAccount};
use cardswitch::engine::controls::Controls;
use cardswitch::engine::ids::{AccountId, ProgramId};
use cardswitch::engine::money::Currency;
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::journal::{
    CrashingStorage, Faults, Journal, Loss, Reader, RunningJournal, Settings, Storage,
};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::inbox::{Priority, QueueSettings};
use cardswitch::shard::recovery::recover;
use cardswitch::shard::reply::{Replies, Reply, ReplySink};
use cardswitch::shard::request::{Batch, RegistryRequest, ShardRequest};
use cardswitch::shard::snapshots;
use cardswitch::shard::switchboard::{Loops, Switchboard, Wiring, start};
use cardswitch::shard::worker::Nobody;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub struct Waiting(pub mpsc::Sender<Replies>);

impl ReplySink for Waiting {
    fn deliver(&self, replies: Replies) {
        let _ = self.0.send(replies);
    }
}

pub type Answers = mpsc::Receiver<Replies>;

/// A sink may be given none at first; nothing where who was asked is gone.
pub fn answer(answers: &Answers) -> Option<Reply> {
    loop {
        let replies = answers.recv_timeout(Duration::from_secs(60)).ok()?;
        if let Some((_, reply)) = replies.into_iter().next() {
            return Some(reply);
        }
    }
}

fn batch<Request>(sender: mpsc::Sender<Replies>, items: Vec<Request>) -> Batch<Request> {
    Batch {
        items: (0..).zip(items).collect(),
        reply_to: Arc::new(Waiting(sender)),
        deadline: None,
        requester: None,
    }
}

/// What the disk would have after the process ended now.
pub fn durable_records(storage: &Arc<CrashingStorage>) -> Vec<Record> {
    let storage: Arc<dyn Storage> = storage.restart(Loss::Process, Faults::default());
    // Opening cuts off what a crash left half written.
    drop(Journal::open(storage.clone(), &Settings::default(), 9).unwrap());
    let mut reader = Reader::open(storage, 1).unwrap();
    let mut records = Vec::new();
    while let Some((_, bytes)) = reader.next().unwrap() {
        records.push(record::read(bytes).unwrap());
    }
    records
}

/// Tables that are never behind.
fn tables_at_the_end() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(u64::MAX))
}

pub struct Node {
    pub storage: Arc<CrashingStorage>,
    pub switchboard: Arc<Switchboard>,
    pub journal: RunningJournal,
    pub loops: Loops,
}

impl Node {
    /// `reserved` is the room of queues for steps that must go on; so short, they have to be tried again.
    pub fn start(
        storage: Arc<CrashingStorage>,
        shards: usize,
        clock: Clock,
        reserved: usize,
    ) -> Node {
        Node::start_with_tables(storage, shards, clock, reserved, &tables_at_the_end())
    }

    /// `tables` is the last record that the SQL tables have.
    pub fn start_with_tables(
        storage: Arc<CrashingStorage>,
        shards: usize,
        clock: Clock,
        reserved: usize,
        tables: &Arc<AtomicU64>,
    ) -> Node {
        let tables = tables.clone();
        let settings = Settings {
            segment_size_bytes: 1 << 18,
            // More than a loop hands over in one piece.
            pending_limit_bytes: 192 << 10,
            reserve_bytes: 0,
            ..Settings::default()
        };
        let as_storage: Arc<dyn Storage> = storage.clone();
        let unusable = |error: &dyn std::fmt::Display| panic!("{error}");
        let (mut world, after) = snapshots::newest(&as_storage, shards, unusable).unwrap();
        let recovered = recover(
            as_storage,
            &settings,
            9,
            &mut world,
            after,
            None,
            &mut |_| {},
        );
        let (journal, recovered) = recovered.unwrap();
        // A disk that lost power under it reports errors to whoever still uses it.
        let journal = journal.start(Box::new(|_| {})).unwrap();
        let wiring = Wiring {
            journal: journal.handle(),
            clock,
            queues: QueueSettings {
                ordinary_max: 1_000,
                reserved,
            },
            on_card_issued: Box::new(|_, _| {}),
            on_token_requested: Box::new(|_, _| {}),
            decision_calls: Arc::new(Nobody),
            last_sequence: recovered.durable,
            archive: None,
            projected_through: Arc::new(move || tables.load(Ordering::Acquire)),
        };
        let (switchboard, loops) = start(world, wiring).unwrap();
        Node {
            storage,
            switchboard,
            journal,
            loops,
        }
    }

    /// Asks the shard of a tree, by its root account.
    pub fn send(&self, tree: u64, items: Vec<ShardRequest>) -> Answers {
        let (sender, replies) = mpsc::channel();
        let shard = self.switchboard.shard_of(AccountId(tree));
        let offered = self
            .switchboard
            .offer_shard(shard, batch(sender, items), Priority::Ordinary);
        assert!(offered.is_ok(), "a queue was full");
        replies
    }

    pub fn command(&self, tree: u64, action: Action) -> Answers {
        let root = AccountId(tree);
        self.send(tree, vec![ShardRequest::Command { root, action }])
    }

    pub fn carry_out(&self, tree: u64, action: Action) -> Reply {
        answer(&self.command(tree, action)).expect("an answer")
    }

    pub fn registry(&self, actions: impl IntoIterator<Item = RegistryAction>) {
        let (sender, replies) = mpsc::channel();
        let items = actions.into_iter().map(RegistryRequest::Command);
        let batch = batch(sender, items.collect());
        let offered = self.switchboard.offer_registry(batch, Priority::Reserved);
        assert!(offered.is_ok(), "a queue was full");
        answer(&replies).expect("an answer");
    }

    /// In dollars, of program 1.
    pub fn open_account(&self, tree: u64, account: u64, parent: Option<u64>) {
        let open = OpenAccount {
            account_id: AccountId(account),
            parent_id: parent.map(AccountId),
            program_id: ProgramId(1),
            currency: Currency(840),
            name: None,
            controls: Controls::default(),
        };
        self.carry_out(tree, Action::OpenAccount(Box::new(open)));
    }

    pub fn snapshot(&self) {
        let storage: Arc<dyn Storage> = self.storage.clone();
        let stop = AtomicBool::new(false);
        snapshots::make(&storage, &self.journal.handle(), None, &stop).unwrap();
    }

    /// The disk as it comes back after a process that ended, or power that was lost, at this moment; `below` draws which.
    pub fn storage_after_loss(&self, mut below: impl FnMut(u64) -> u64) -> Arc<CrashingStorage> {
        let loss = match below(2) {
            0 => Loss::Process,
            _ => Loss::Power(below(1 << 30)),
        };
        self.storage.restart(loss, Faults::default())
    }

    pub fn stop(self) {
        self.switchboard.stop();
        assert!(self.loops.join(), "a loop panicked");
        self.journal.close().unwrap();
    }
}
