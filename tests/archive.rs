//! The archive behind real shards, on disks that lose power: whatever is forgotten, crashes, is snapshot, deleted or
//! spread over another number of shards, money is as a model has it that forgets nothing. `CARDSWITCH_SOAK=1` runs many
//! more seeds.

mod engine_support;
#[path = "support/random.rs"]
mod random;

use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::event::{Answer, AnswerResult, ReversalResult};
use cardswitch::engine::ids::*;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::{EngineSettings, Program, RegistryAction};
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::journal::{
    CrashingStorage, Faults, Handle, Loss, RunningJournal, Settings, Storage,
};
use cardswitch::shard::archive::{Archive, ArchiveError, ArchiveSettings, refill};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::inbox::{Priority, QueueSettings};
use cardswitch::shard::recovery::recover;
use cardswitch::shard::reply::{Replies, Reply, ReplySink};
use cardswitch::shard::request::{Batch, RegistryRequest, ShardRequest};
use cardswitch::shard::snapshots;
use cardswitch::shard::switchboard::{Loops, Switchboard, Wiring, start};
use cardswitch::shard::worker::Nobody;
use engine_support::{PROGRAM, USD, advice, names_of, purchase, reversal, time, usd};
use random::Random;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const FUNDS: i64 = 1_000_000_000;
const TREES: u64 = 3;

fn seeds(short: u64) -> std::ops::Range<u64> {
    let soak = std::env::var_os("CARDSWITCH_SOAK").is_some();
    0..if soak { short * 40 } else { short }
}

/// A file that keeps, through a loss of power, what was synced, and of the rest some writes and others not.
#[derive(Debug, Default, Clone)]
struct Disk(Arc<Mutex<File>>);

#[derive(Debug, Default, Clone)]
struct File {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<(u64, Vec<u8>)>,
    /// Nothing more can be written now; and whether that was ever so.
    is_full: bool,
    was_full: bool,
}

impl Disk {
    fn set_full(&self, is_full: bool) {
        let mut file = self.0.lock().unwrap();
        file.is_full = is_full;
        file.was_full |= is_full;
    }

    fn is_full(&self) -> bool {
        self.0.lock().unwrap().is_full
    }

    fn was_full(&self) -> bool {
        self.0.lock().unwrap().was_full
    }

    fn after_power_loss(&self, random: &mut Random) -> Disk {
        let file = self.0.lock().unwrap();
        let mut left = file.synced.clone();
        for (offset, bytes) in &file.since {
            if random.below(2) == 0 {
                put(&mut left, *offset, bytes);
            }
        }
        Disk(Arc::new(Mutex::new(File {
            now: left.clone(),
            synced: left,
            ..File::default()
        })))
    }
}

fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset as usize..end].copy_from_slice(bytes);
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.0.lock().unwrap();
        let from = offset as usize;
        let bytes = file.now.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        file.now.resize(length as usize, 0);
        // A file that gets longer or shorter is so at once; what was cut off is not there any more.
        file.synced.resize(length as usize, 0);
        file.since
            .retain(|(offset, bytes)| offset + bytes.len() as u64 <= length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        let since = std::mem::take(&mut file.since);
        for (offset, bytes) in since {
            put(&mut file.synced, offset, &bytes);
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        if file.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        put(&mut file.now, offset, bytes);
        file.since.push((offset, bytes.to_vec()));
        Ok(())
    }
}

/// A running switch without its process and networks.
struct Node {
    storage: Arc<CrashingStorage>,
    disk: Disk,
    archive: Option<Archive>,
    writer: Option<JoinHandle<()>>,
    switchboard: Arc<Switchboard>,
    journal: RunningJournal,
    loops: Loops,
    clock: Arc<AtomicI64>,
}

struct Waiting(mpsc::Sender<Replies>);

impl ReplySink for Waiting {
    fn deliver(&self, replies: Replies) {
        let _ = self.0.send(replies);
    }
}

fn journal_settings() -> Settings {
    Settings {
        segment_size_bytes: 1 << 20,
        pending_limit_bytes: 512 << 10,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

impl Node {
    /// As the program starts: the newest snapshot, the journal after it, and what the archive lacks.
    fn start(
        storage: Arc<CrashingStorage>,
        disk: Option<Disk>,
        clock: Arc<AtomicI64>,
        shards: usize,
        writes: bool,
    ) -> Node {
        let with_archive = disk.is_some();
        let disk = disk.unwrap_or_default();
        let archive =
            with_archive.then(|| Archive::over(disk.clone(), ArchiveSettings::default()).unwrap());
        let as_storage: Arc<dyn Storage> = storage.clone();
        let unusable = |error: &dyn std::fmt::Display| panic!("{error}");
        let (mut world, after) = snapshots::newest(&as_storage, shards, unusable).unwrap();
        let (journal, recovered) = recover(
            as_storage,
            &journal_settings(),
            9,
            &mut world,
            after,
            archive.as_ref(),
            &mut |_| {},
        )
        .unwrap();
        let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
        if let Some(archive) = &archive {
            let claimed = archive.claim(recovered.journal_id, recovered.durable);
            let filled = refill(
                archive,
                &journal.handle(),
                after.sequence,
                &AtomicBool::new(false),
            );
            match disk.is_full() {
                true => assert!(claimed.is_err() && filled.is_err()),
                false => {
                    assert!(claimed.unwrap(), "the archive of another journal");
                    assert!(filled.unwrap());
                }
            }
        }
        let writer = archive.clone().filter(|_| writes).map(|archive| {
            let progress = journal.handle().subscribe();
            std::thread::spawn(move || archive.run(&progress))
        });
        let wiring = Wiring {
            journal: journal.handle(),
            clock: Clock::Manual(clock.clone()),
            queues: QueueSettings::default(),
            on_card_issued: Box::new(|_, _| {}),
            on_token_requested: Box::new(|_, _| {}),
            decision_calls: Arc::new(Nobody),
            last_sequence: recovered.durable,
            archive: archive.clone(),
            projected_through: Arc::new(|| u64::MAX),
        };
        let (switchboard, loops) = start(world, wiring).unwrap();
        Node {
            storage,
            disk,
            archive,
            writer,
            switchboard,
            journal,
            loops,
            clock,
        }
    }

    fn handle(&self) -> Handle {
        self.journal.handle()
    }

    fn stop(self) {
        self.switchboard.stop();
        assert!(self.loops.join(), "a loop panicked");
        if let Some(archive) = &self.archive {
            assert_eq!(archive.stats().dropped(), 0);
            assert_eq!(archive.stats().failures() > 0, self.disk.was_full());
        }
        if let (Some(archive), Some(writer)) = (&self.archive, self.writer) {
            archive.stop();
            writer.join().unwrap();
        }
        self.journal.close().unwrap();
    }

    /// Power is lost at this moment, and comes back.
    fn lose_power(self, random: &mut Random, archive: After, shards: usize) -> Node {
        let loss = Loss::Power(random.below(1 << 30));
        let storage = self.storage.restart(loss, Faults::default());
        let disk = match archive {
            After::Deleted => Disk::default(),
            After::Crash => self.disk.after_power_loss(random),
        };
        let (clock, writes) = (self.clock.clone(), random.below(2) == 0);
        let with_archive = self.archive.is_some();
        self.stop();
        Node::start(storage, with_archive.then_some(disk), clock, shards, writes)
    }

    fn snapshot(&self) {
        self.try_snapshot().unwrap();
    }

    fn try_snapshot(&self) -> Result<Option<(u64, u64)>, snapshots::SnapshotsError> {
        let storage: Arc<dyn Storage> = self.storage.clone();
        let stop = AtomicBool::new(false);
        snapshots::make(&storage, &self.handle(), self.archive.as_ref(), &stop)
    }

    /// Until all that shards handed over is in the archive's file, durable or not.
    fn wait_until_written(&self) {
        let stats = self.archive.as_ref().unwrap().stats();
        until("the archive is written", || stats.waiting() == 0);
    }

    fn wait(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    fn ask(&self, root: AccountId, request: ShardRequest) -> Reply {
        let (sender, replies) = mpsc::channel();
        let batch = Batch {
            items: vec![(0, request)],
            reply_to: Arc::new(Waiting(sender)),
            deadline: None,
            requester: None,
        };
        let shard = self.switchboard.shard_of(root);
        assert!(
            self.switchboard
                .offer_shard(shard, batch, Priority::Reserved)
                .is_ok()
        );
        let mut replies = replies.recv_timeout(Duration::from_secs(30)).unwrap();
        replies.pop().unwrap().1
    }

    fn command(&self, root: u64, action: Action) -> Reply {
        let root = AccountId(root);
        self.ask(root, ShardRequest::Command { root, action })
    }

    fn answer(&self, root: u64, action: Action) -> Answer {
        match self.command(root, action) {
            Reply::Message(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Carried out, and told to the shards: an answer may be quicker than that.
    fn registry(&self, action: RegistryAction) {
        self.ask_registry(RegistryRequest::Command(action));
        self.ask_registry(RegistryRequest::View);
    }

    fn ask_registry(&self, request: RegistryRequest) {
        let (sender, replies) = mpsc::channel();
        let batch = Batch {
            items: vec![(0, request)],
            reply_to: Arc::new(Waiting(sender)),
            deadline: None,
            requester: None,
        };
        assert!(
            self.switchboard
                .offer_registry(batch, Priority::Reserved)
                .is_ok()
        );
        replies.recv_timeout(Duration::from_secs(30)).unwrap();
    }

    /// Trees 1, 2, 3 with a funded account and two cards each: 101, 102, 201, ...
    fn furnish(&self, settings: EngineSettings) {
        self.registry(RegistryAction::ChangeSettings(Box::new(settings)));
        self.registry(RegistryAction::CreateProgram(Box::new(Program {
            id: PROGRAM,
            name: "Ads".into(),
            network: "visa".into(),
            bin: arrayvec::ArrayString::from("411111").unwrap(),
            currency: USD,
            controls: Controls::default(),
            hold_expiry: Default::default(),
            created_at: Timestamp(0),
            foreign_exchange_mark_up_basis_points: 0,
            ..Program::default()
        })));
        for root in 1..=TREES {
            self.command(
                root,
                Action::OpenAccount(Box::new(OpenAccount {
                    account_id: AccountId(root),
                    parent_id: None,
                    program_id: PROGRAM,
                    currency: USD,
                    name: None,
                    controls: Controls::default(),
                })),
            );
            self.command(
                root,
                Action::TopUp(Box::new(TopUp {
                    top_up_id: TopUpId(root),
                    account_id: AccountId(root),
                    amount: usd(FUNDS),
                    method: "internal".into(),
                    external_reference: None,
                    tenant: None,
                })),
            );
            for card in [root * 100 + 1, root * 100 + 2] {
                self.command(
                    root,
                    Action::OpenCard(Box::new(OpenCard {
                        card_id: CardId(card),
                        account_id: AccountId(root),
                        card_type: CardType::Virtual,
                        first6: 411_111,
                        last4: 1,
                        expiry: Expiry::new(2040, 12).unwrap(),
                        links: Default::default(),
                        controls: Controls::default(),
                        wallet: None,
                        holder: None,
                        paid_by: None,
                        shipping: None,
                        issued_at: Timestamp(0),
                    })),
                );
            }
        }
    }

    /// What is posted and held.
    fn money(&self, root: u64) -> (i64, i64) {
        match self.ask(AccountId(root), ShardRequest::Account(AccountId(root))) {
            Reply::Account(account) => (account.posted_minor, account.held_minor),
            other => panic!("{other:?}"),
        }
    }

    fn lookups(&self) -> u64 {
        self.archive.as_ref().unwrap().stats().lookups()
    }

    fn found(&self) -> u64 {
        self.archive.as_ref().unwrap().stats().found()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    Crash,
    Deleted,
}

fn new_node(writes: bool) -> Node {
    let clock = Arc::new(AtomicI64::new(time("2026-11-24T10:00:00Z").0));
    let storage = CrashingStorage::new(Faults::default());
    let node = Node::start(storage, Some(Disk::default()), clock, 2, writes);
    node.furnish(EngineSettings::default());
    node
}

/// A payment as a model has it that forgets nothing.
#[derive(Debug, Clone)]
struct Payment {
    id: u64,
    card: u64,
    amount: i64,
    name: String,
    kind: Opened,
    sent_at: i64,
    held: i64,
    posted: i64,
    is_completed: bool,
    is_reversed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Opened {
    Request,
    SingleMessage,
    ForcePost,
}

impl Payment {
    fn root(&self) -> u64 {
        self.card / 100
    }

    fn action(&self, marked: bool) -> Action {
        if self.kind == Opened::ForcePost {
            let mut advise = advice(self.id, self.card, usd(self.amount), &self.name);
            advise.payment.posts = true;
            advise.payment.is_marked_repeat = marked;
            return Action::Advise(advise);
        }
        let mut request = purchase(self.id, self.card, usd(self.amount), &self.name);
        request.posts = self.kind == Opened::SingleMessage;
        request.is_marked_repeat = marked;
        Action::Authorize(request)
    }

    /// The completion of an authorization, the same each time.
    fn completion(&self, id: u64, marked: bool) -> Action {
        let own = format!("completion of {}", self.name);
        let mut advise = advice(id, self.card, usd(self.amount), &own);
        advise.payment.posts = true;
        advise.payment.original_keys = names_of(&self.name);
        advise.payment.is_marked_repeat = marked;
        Action::Advise(advise)
    }
}

struct Simulation {
    node: Node,
    random: Random,
    payments: Vec<Payment>,
    next_id: u64,
    /// Late messages that found what was forgotten, before the last restart.
    found: u64,
    trail: Vec<String>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut random = Random(seed);
        let clock = Arc::new(AtomicI64::new(time("2026-11-24T10:00:00Z").0));
        let storage = CrashingStorage::new(Faults::default());
        let writes = random.below(2) == 0;
        let node = Node::start(storage, Some(Disk::default()), clock, 2, writes);
        // Now and then memory has room for a handful only.
        let closed_per_shard_max = [2, 5, 1_000_000][random.below(3) as usize];
        node.furnish(EngineSettings {
            closed_per_shard_max,
            ..EngineSettings::default()
        });
        Simulation {
            node,
            random,
            payments: Vec::new(),
            next_id: 1_000,
            found: 0,
            trail: vec![format!("seed {seed}")],
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn now(&self) -> i64 {
        self.node.clock.load(Ordering::SeqCst)
    }

    fn open(&mut self) {
        let id = self.id();
        let root = 1 + self.random.below(TREES);
        let kinds = [Opened::Request, Opened::SingleMessage, Opened::ForcePost];
        let kind = kinds[self.random.below(3) as usize];
        let amount = 100 + self.random.below(900) as i64;
        let payment = Payment {
            id,
            card: root * 100 + 1 + self.random.below(2),
            amount,
            name: format!("payment {id}"),
            kind,
            sent_at: self.now(),
            held: if kind == Opened::Request { amount } else { 0 },
            posted: if kind == Opened::Request { 0 } else { amount },
            is_completed: kind != Opened::Request,
            is_reversed: false,
        };
        let lookups = self.node.lookups();
        let answer = self.node.answer(root, payment.action(false));
        if let Answer::Authorization { result, .. } = answer {
            assert!(
                matches!(result, AnswerResult::Approved { .. }),
                "{answer:?}"
            );
        }
        if kind != Opened::ForcePost {
            assert_eq!(self.node.lookups(), lookups, "a new request was looked up");
        }
        self.payments.push(payment);
    }

    /// Any of those that were sent, the old ones more often than not.
    fn any(&mut self) -> Option<usize> {
        let count = self.payments.len() as u64;
        (count > 0).then(|| self.random.below(count).min(self.random.below(count)) as usize)
    }

    fn reverse(&mut self) {
        let Some(place) = self.any() else { return };
        let id = self.id();
        let payment = &mut self.payments[place];
        let name = format!("reversal {id}");
        let reverse = reversal(id, payment.card, usd(payment.amount), &name, &payment.name);
        let answer = self.node.answer(payment.root(), Action::Reverse(reverse));
        let Answer::Reversal { result, .. } = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(
            result,
            ReversalResult::Accepted,
            "{payment:?} {:?}",
            self.trail
        );
        (payment.held, payment.posted, payment.is_reversed) = (0, 0, true);
    }

    fn complete(&mut self) {
        let Some(place) = self.any() else { return };
        let id = self.id();
        let again = self.random.below(2) == 0;
        let payment = &mut self.payments[place];
        if payment.kind != Opened::Request || payment.is_completed && !again {
            return;
        }
        let marked = payment.is_completed && self.random.below(2) == 0;
        self.node
            .answer(payment.root(), payment.completion(id, marked));
        if !payment.is_completed {
            payment.is_completed = true;
            payment.is_reversed = false;
            payment.held = 0;
            payment.posted += payment.amount;
        }
    }

    /// The same message once more, under a new id, as each message gets one.
    fn repeat(&mut self) {
        let Some(place) = self.any() else { return };
        let id = self.id();
        let payment = Payment {
            id,
            ..self.payments[place].clone()
        };
        let answer = self.node.answer(payment.root(), payment.action(true));
        let first = self.payments[place].id;
        match answer {
            Answer::Authorization {
                authorization_id,
                result: AnswerResult::Approved { .. },
            } => {
                assert_eq!(authorization_id.0, first, "{payment:?} {:?}", self.trail);
            }
            Answer::Authorization { result, .. } => {
                let declined = AnswerResult::Declined(DeclineReason::ReversedBeforeOriginal);
                assert_eq!(result, declined, "{payment:?} {:?}", self.trail);
                assert!(payment.is_reversed || payment.is_completed);
            }
            Answer::Advice { .. } => {}
            Answer::Reversal { .. } => panic!("{answer:?}"),
        }
    }

    fn step(&mut self) {
        let what = self.random.below(20);
        self.trail
            .push(format!("{what} at {}", Timestamp(self.now())));
        match what {
            0..=5 => self.open(),
            6..=8 => self.reverse(),
            9..=11 => self.complete(),
            12..=13 => self.repeat(),
            14 => self
                .node
                .wait(MINUTE_MS * (1 + self.random.below(30) as i64)),
            15 | 16 => self.node.wait(DAY_MS * (1 + self.random.below(9) as i64)),
            17 => self.node.snapshot(),
            _ => return self.crash(),
        }
        self.check();
    }

    fn crash(&mut self) {
        let after = match self.random.below(4) {
            0 => After::Deleted,
            _ => After::Crash,
        };
        let shards = 1 + self.random.below(3) as usize;
        self.found += self.node.found();
        let next = |node: Node, random: &mut Random| node.lose_power(random, after, shards);
        take_mut(&mut self.node, |node| next(node, &mut self.random));
    }

    fn check(&mut self) {
        let now = self.now();
        for payment in &mut self.payments {
            // Holds last for a week, and end before anything else is decided.
            if payment.sent_at + 7 * DAY_MS <= now {
                payment.held = 0;
            }
        }
        for root in 1..=TREES {
            let own = self
                .payments
                .iter()
                .filter(|payment| payment.root() == root);
            let expected = own.fold((FUNDS, 0), |(posted, held), payment| {
                (posted - payment.posted, held + payment.held)
            });
            assert_eq!(
                self.node.money(root),
                expected,
                "tree {root}: {:#?} {:#?}",
                self.payments,
                self.trail
            );
        }
    }
}

/// Puts what `change` makes of a value in its place.
fn take_mut(place: &mut Node, change: impl FnOnce(Node) -> Node) {
    let clock = place.clock.clone();
    let empty = Node::start(
        CrashingStorage::new(Faults::default()),
        None,
        clock,
        1,
        false,
    );
    let next = change(std::mem::replace(place, empty));
    std::mem::replace(place, next).stop();
}

#[test]
fn money_is_as_if_nothing_were_ever_forgotten_through_crashes_snapshots_and_deletions() {
    let mut found = 0;
    // With the last one, a world that was folded from the beginning remembered what the one of the snapshot had forgotten.
    for seed in seeds(6).chain([36]) {
        let mut simulation = Simulation::new(seed);
        for _ in 0..150 {
            simulation.step();
        }
        found += simulation.found + simulation.node.found();
        simulation.node.stop();
    }
    println!("{found} late messages found what was forgotten");
    assert!(found > 100, "too few messages came late: {found}");
}

/// A single message of card 101 that is forgotten, with everything that was durable by then.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn forgotten_payment(node: &Node) -> Payment {
    payment_forgotten(node, 1_001, "early")
}

fn payment_forgotten(node: &Node, id: u64, name: &str) -> Payment {
    let payment = Payment {
        id,
        card: 101,
        amount: 500,
        name: name.into(),
        kind: Opened::SingleMessage,
        sent_at: 0,
        held: 0,
        posted: 500,
        is_completed: true,
        is_reversed: false,
    };
    let answer = node.answer(1, payment.action(false));
    let approved = |answer: &Answer| {
        matches!(
            answer,
            Answer::Authorization {
                result: AnswerResult::Approved { .. },
                ..
            }
        )
    };
    assert!(approved(&answer), "{answer:?}");
    node.wait(2 * DAY_MS);
    for id in id + 1..id + 5 {
        node.answer(
            1,
            Action::Authorize(purchase(id, 102, usd(1), &format!("later {id}"))),
        );
    }
    payment
}

fn reverse_it(node: &Node, payment: &Payment) -> ReversalResult {
    let reverse = reversal(
        8_000 + payment.id,
        payment.card,
        usd(payment.amount),
        &format!("late {}", payment.id),
        &payment.name,
    );
    match node.answer(1, Action::Reverse(reverse)) {
        Answer::Reversal { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_forgotten_is_found_after_every_kind_of_restart() {
    for (with_snapshot, after, shards) in [
        (false, After::Crash, 2),
        (true, After::Crash, 1),
        (true, After::Deleted, 3),
        (false, After::Deleted, 2),
    ] {
        let mut random = Random(7);
        let node = new_node(true);
        let payment = forgotten_payment(&node);
        if with_snapshot {
            node.snapshot();
        }
        let node = node.lose_power(&mut random, after, shards);
        assert_eq!(
            reverse_it(&node, &payment),
            ReversalResult::Accepted,
            "{with_snapshot} {after:?}"
        );
        assert_eq!((node.lookups(), node.found()), (1, 1));
        assert_eq!(node.money(1).0, FUNDS);
        node.stop();
    }
}

#[test]
fn a_snapshot_counts_only_with_its_archive() {
    let node = new_node(false);
    let payment = forgotten_payment(&node);
    node.snapshot();
    // Nothing was written but by the snapshot, and that is durable.
    let disk = node.disk.after_power_loss(&mut Random(1));
    let archive = Archive::over(disk, ArchiveSettings::default()).unwrap();
    assert_eq!(archive.complete_through().unwrap(), node.handle().durable());
    let lookup = cardswitch::engine::recall::Lookup {
        card_id: CardId(payment.card),
        repeat_key: Default::default(),
        sought: [cardswitch::engine::recall::Sought {
            names: names_of(&payment.name),
            direction: None,
        }]
        .into_iter()
        .collect(),
    };
    let at = Timestamp(node.clock.load(Ordering::SeqCst));
    let found = archive.find(&lookup, at, &[]).authorizations;
    assert_eq!(
        found.iter().map(|known| known.id.0).collect::<Vec<_>>(),
        [payment.id]
    );
    let in_a_year = |days: i64| {
        archive
            .find(&lookup, at.plus_ms(days * DAY_MS), &[])
            .authorizations
            .len()
    };
    assert_eq!([in_a_year(397), in_a_year(401)], [1, 0], "days on disk");
    node.stop();
}

#[test]
fn a_full_disk_for_a_moment_costs_the_archive_nothing() {
    let node = new_node(true);
    let stats = node.archive.as_ref().unwrap().stats();
    let early = payment_forgotten(&node, 1_001, "early");
    node.wait_until_written();
    node.disk.set_full(true);
    let during = payment_forgotten(&node, 2_001, "during");
    until("the archive fails", || stats.failures() > 0);
    assert!(node.try_snapshot().is_err());
    node.disk.set_full(false);
    node.wait_until_written();
    node.snapshot();
    let after = payment_forgotten(&node, 3_001, "after");
    node.wait_until_written();
    // One of another time, whose write is not durable yet when the next one fails.
    node.disk.set_full(true);
    let failures = stats.failures();
    let again = payment_forgotten(&node, 4_001, "again");
    until("the archive fails again", || stats.failures() > failures);
    node.disk.set_full(false);
    node.wait_until_written();
    let posted = node.money(1).0;
    for payment in [&early, &during, &after, &again] {
        let reversed = reverse_it(&node, payment);
        assert_eq!(reversed, ReversalResult::Accepted, "{}", payment.name);
    }
    assert_eq!(node.money(1).0, posted + 2_000);
    node.stop();
}

#[test]
fn a_start_on_a_full_disk_does_without_the_archive_until_there_is_room() {
    for (file, has_snapshot) in [
        ("there", false),
        ("gone", false),
        ("there", true),
        ("gone", true),
    ] {
        let node = new_node(true);
        let early = [1_001, 1_101].map(|id| payment_forgotten(&node, id, &format!("early {id}")));
        node.wait_until_written();
        if has_snapshot {
            node.snapshot();
        }
        let mut random = Random(3);
        let loss = Loss::Power(random.below(1 << 30));
        let storage = node.storage.restart(loss, Faults::default());
        let disk = match file {
            "there" => node.disk.after_power_loss(&mut random),
            _ => Disk::default(),
        };
        disk.set_full(true);
        let clock = node.clock.clone();
        node.stop();
        let node = Node::start(storage, Some(disk), clock, 2, true);
        let durable = node.handle().durable();
        let posted = node.money(1).0;
        let during = payment_forgotten(&node, 2_001, "during");
        // What was forgotten since the newest snapshot waits in memory, and is found there.
        let in_memory = match has_snapshot {
            true => vec![&during],
            false => vec![&early[0], &during],
        };
        for payment in &in_memory {
            let reversed = reverse_it(&node, payment);
            assert_eq!(reversed, ReversalResult::Accepted, "{}", payment.name);
        }
        assert!(node.try_snapshot().is_err());

        node.disk.set_full(false);
        let archive = node.archive.as_ref().unwrap();
        let filled = refill(archive, &node.handle(), durable, &AtomicBool::new(false));
        assert!(filled.unwrap());
        node.wait_until_written();
        let reversed = reverse_it(&node, &early[1]);
        assert_eq!(reversed, ReversalResult::Accepted, "{file} {has_snapshot}");
        node.snapshot();
        let at = node.handle().durable();
        assert_eq!(archive.complete_through().unwrap(), at);
        assert_eq!(node.money(1).0, posted + 500 * in_memory.len() as i64);
        node.stop();
    }
}

/// The snapshot's own fold forgets more than the shards do: what it kept before the file was opened anew is gone.
#[test]
fn what_was_kept_before_the_file_was_opened_anew_does_not_count_as_complete() {
    let disk = Disk::default();
    let archive = Archive::over(disk.clone(), ArchiveSettings::default()).unwrap();
    let opening = archive.opening().unwrap();
    archive.keep(opening, &[]).unwrap();
    disk.set_full(true);
    assert!(archive.complete(opening, 0, 5).is_err());
    disk.set_full(false);
    let refused = archive.complete(opening, 0, 5).unwrap_err().to_string();
    assert!(refused.contains("opened anew"), "{refused}");
    assert_eq!(archive.complete_through().unwrap(), 0);
    let anew = archive.opening().unwrap();
    let refused = archive.keep(opening, &[]).unwrap_err().to_string();
    assert!(refused.contains("opened anew"), "{refused}");
    archive.complete(anew, 0, 5).unwrap();
    assert_eq!(archive.complete_through().unwrap(), 5);
}

#[test]
fn without_an_archive_late_messages_find_nothing() {
    let clock = Arc::new(AtomicI64::new(time("2026-11-24T10:00:00Z").0));
    let node = Node::start(
        CrashingStorage::new(Faults::default()),
        None,
        clock,
        2,
        false,
    );
    node.furnish(EngineSettings::default());
    let payment = forgotten_payment(&node);
    assert_eq!(reverse_it(&node, &payment), ReversalResult::OriginalUnknown);
    node.stop();
}

#[test]
fn a_file_that_was_cut_off_or_written_over_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("archive.redb");
    // The thread that looks up lets go of the file a moment after its archive is dropped.
    let open = || {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            match Archive::open(folder.path(), ArchiveSettings::default()) {
                Err(ArchiveError::InUse { .. }) if std::time::Instant::now() < deadline => {
                    std::thread::yield_now();
                }
                opened => return opened.unwrap(),
            }
        }
    };
    for damage in [0, 1] {
        drop(open());
        let mut bytes = std::fs::read(&file).unwrap();
        match damage {
            0 => bytes.truncate(1_000),
            _ => bytes[..40_192]
                .iter_mut()
                .skip(4_096)
                .for_each(|byte| *byte = 0xa5),
        }
        std::fs::write(&file, &bytes).unwrap();
        let archive = open();
        assert!(archive.claim(7, 0).is_ok());
    }
}
