//! Real shards over a journal on a disk that crashes, for the tests that lose power.

use cardswitch::journal::{CrashingStorage, RunningJournal, Settings, Storage};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::inbox::QueueSettings;
use cardswitch::shard::recovery::recover;
use cardswitch::shard::reply::{Replies, ReplySink};
use cardswitch::shard::snapshots;
use cardswitch::shard::switchboard::{Loops, Switchboard, Wiring, start};
use cardswitch::shard::worker::Nobody;
use std::sync::{Arc, mpsc};

pub struct Waiting(pub mpsc::Sender<Replies>);

impl ReplySink for Waiting {
    fn deliver(&self, replies: Replies) {
        let _ = self.0.send(replies);
    }
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
        let settings = Settings {
            segment_size_bytes: 1 << 18,
            pending_limit_bytes: 128 << 10,
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
        };
        let (switchboard, loops) = start(world, wiring).unwrap();
        Node {
            storage,
            switchboard,
            journal,
            loops,
        }
    }

    pub fn stop(self) {
        self.switchboard.stop();
        assert!(self.loops.join(), "a loop panicked");
        self.journal.close().unwrap();
    }
}
