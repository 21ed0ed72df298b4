//! Auto top-ups and low balances on disks that lose power: whatever dies when, each is made when it is due and only then, and
//! none is missed. Real shards over a journal that crashes; what is checked is what the records say. `CARDSWITCH_SOAK=1` runs
//! many more seeds.

#[path = "support/crashing_node.rs"]
mod crashing_node;
#[path = "support/due.rs"]
mod due;
#[path = "support/random.rs"]
mod random;

use cardswitch::engine::command::*;
use cardswitch::engine::event::Event;
use cardswitch::engine::ids::{AccountId, TopUpId, TransferId};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::record::Record;
use cardswitch::engine::state::Account;
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::transfers::{Transfer, TransferStatus};
use cardswitch::engine::watch::{AutoTopUpRule, ChangeAccount};
use cardswitch::engine::world::World;
use cardswitch::journal::{CrashingStorage, Faults, Loss};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::reply::Reply;
use cardswitch::shard::request::ShardRequest;
use crashing_node::{Answers, Node, durable_records};
use random::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const TREES: u64 = 2;
const USD: Currency = Currency(840);
/// 2026-11-24T10:00:00Z.
const START_MS: i64 = 1_795_514_400_000;
const DAY_MS: i64 = 86_400_000;
const PER_DAY: u16 = 3;

fn usd(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: USD,
    }
}

/// Tree 1 has the accounts 1, 11 and 21 below it, and 31 below 11.
fn accounts_of(tree: u64) -> [(u64, Option<u64>); 4] {
    [
        (tree, None),
        (tree + 10, Some(tree)),
        (tree + 20, Some(tree)),
        (tree + 30, Some(tree + 10)),
    ]
}

fn started(storage: Arc<CrashingStorage>, shards: usize, now_ms: &Arc<AtomicI64>) -> Node {
    Node::start(storage, shards, Clock::Manual(now_ms.clone()), 8)
}

/// So many of them; a sink may be given none at first.
fn answers(answers: &Answers, count: usize) -> Vec<Reply> {
    let mut all = Vec::new();
    while all.len() < count {
        let some = answers.recv_timeout(Duration::from_secs(60));
        let some = some.expect("an answer").into_iter();
        all.extend(some.map(|(_, reply)| reply));
    }
    all
}

fn top_up(id: u64, account: u64, amount_minor: i64) -> Action {
    Action::TopUp(Box::new(TopUp {
        top_up_id: TopUpId(id),
        account_id: AccountId(account),
        amount: usd(amount_minor),
        method: "internal".into(),
        external_reference: None,
        tenant: None,
    }))
}

fn with_rule(account: u64, below_minor: i64, amount_minor: i64) -> ChangeAccount {
    let mut change = ChangeAccount::nothing(AccountId(account));
    change.auto_top_up = Some(Some(AutoTopUpRule {
        below_minor,
        amount_minor,
        per_day_max: PER_DAY,
        from_account_id: None,
    }));
    change
}

fn open_tree(node: &Node, tree: u64) {
    for (account, parent) in accounts_of(tree) {
        node.open_account(tree, account, parent);
    }
}

struct Simulation {
    random: Random,
    node: Node,
    now_ms: Arc<AtomicI64>,
    next_id: u64,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let node = started(CrashingStorage::new(Faults::default()), 2, &now_ms);
        for tree in 1..=TREES {
            open_tree(&node, tree);
        }
        Simulation {
            random: Random(seed),
            node,
            now_ms,
            next_id: 100,
        }
    }

    fn any_account(&mut self) -> (u64, u64) {
        let tree = 1 + self.random.below(TREES);
        (tree, tree + 10 * self.random.below(4))
    }

    /// Nobody waits for the answer: power may be lost before it.
    fn do_something(&mut self) {
        let (tree, account) = self.any_account();
        let (_, other) = self.any_account();
        self.next_id += 1;
        let amount_minor = 1 + self.random.below(60) as i64;
        let action = match self.random.below(16) {
            0..3 => top_up(self.next_id, account, amount_minor),
            3..9 => Action::Transfer(Box::new(Transfer {
                id: TransferId(self.next_id),
                from_account_id: AccountId(account),
                to_account_id: AccountId(other),
                to_root: AccountId(other % 10),
                amount: usd(amount_minor),
            })),
            9..11 => {
                let change = match self.random.below(3) {
                    0 => AccountStatusChange::Freeze,
                    _ => AccountStatusChange::Unfreeze,
                };
                Action::ChangeAccountStatus(ChangeAccountStatus {
                    account_id: AccountId(account),
                    change,
                })
            }
            11..14 => {
                // The root has no parent to take from.
                let account = if account == tree { tree + 10 } else { account };
                let below = 1 + self.random.below(50) as i64;
                Action::ChangeAccount(Box::new(with_rule(account, below, amount_minor)))
            }
            _ => {
                let mut change = ChangeAccount::nothing(AccountId(account));
                change.low_below_minor = Some(Some(self.random.below(50) as i64));
                Action::ChangeAccount(Box::new(change))
            }
        };
        drop(self.node.command(tree, action));
    }

    /// Asks for all accounts of each tree at one moment: soon nothing is due for any of them. A step of a transfer from another
    /// tree may come in the very turn of the question.
    fn look(&mut self) {
        for tree in 1..=TREES {
            let until = Instant::now() + Duration::from_secs(30);
            while let Some(account) = self.first_due(tree) {
                assert!(Instant::now() < until, "it is due for ever: {account:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn first_due(&self, tree: u64) -> Option<Account> {
        let ask = |(id, _)| ShardRequest::Account(AccountId(id));
        let asked = || accounts_of(tree).map(ask).into();
        // What came before is over with its turn.
        answers(&self.node.send(tree, asked()), 4);
        let told = answers(&self.node.send(tree, asked()), 4);
        let told = told.into_iter().map(|reply| match reply {
            Reply::Account(account) => (account.id, *account),
            other => panic!("{other:?}"),
        });
        let accounts: BTreeMap<AccountId, Account> = told.collect();
        let at = Timestamp(self.now_ms.load(Ordering::Acquire));
        let of = |id: AccountId| &accounts[&id];
        let is_due = |account: &&Account| due::tops_up(&of, account, at) || due::falls_low(account);
        accounts.values().find(is_due).cloned()
    }

    /// Power is lost at this moment, with whatever is under way, and comes back.
    fn crash(mut self) -> Simulation {
        let below = |bound| self.random.below(bound);
        let storage = self.node.storage_after_loss(below);
        self.node.stop();
        let shards = 1 + self.random.below(3) as usize;
        self.node = started(storage, shards, &self.now_ms);
        self
    }

    fn step(mut self) -> Simulation {
        match self.random.below(30) {
            0 => return self.crash(),
            1 => self.node.snapshot(),
            2 => {
                let ms = 1 + self.random.below(DAY_MS as u64) as i64;
                self.now_ms.fetch_add(ms, Ordering::AcqRel);
            }
            3..6 => self.look(),
            _ => self.do_something(),
        }
        self
    }
}

#[derive(Debug, Default)]
struct Told {
    settled: usize,
    failed: usize,
    low: usize,
}

/// Each record of a rule was due when it came, and moved what there was; no more of an account in a day than its rule has.
fn check_records(storage: &Arc<CrashingStorage>) -> Told {
    let (mut world, mut told) = (World::new(1), Told::default());
    let mut of_day: BTreeMap<(AccountId, i64), u16> = BTreeMap::new();
    let mut put_in = 0;
    for record in durable_records(storage) {
        if let Record::Shard { command, event, .. } = &record {
            let state = &world.shards[0];
            let of = |id| state.account(id).unwrap();
            match (&command.action, event) {
                (Action::AutoTopUp(auto), Event::AutoToppedUp(done)) => {
                    let account = of(auto.account_id);
                    assert!(due::tops_up(&of, account, command.at), "{record:?}");
                    let legs = done.transferred.postings.iter();
                    assert_eq!(legs.map(|leg| leg.amount_minor).sum::<i64>(), 0);
                    if done.transferred.status == TransferStatus::Failed {
                        told.failed += 1;
                    } else {
                        told.settled += 1;
                        let day = command.at.0.div_euclid(DAY_MS);
                        let made = of_day.entry((account.id, day)).or_default();
                        let rule = account.watch.as_ref().unwrap().auto_top_up.unwrap();
                        let moved = done.transfer.amount.amount_minor;
                        let times = (1..).find(|times| times * rule.amount_minor >= moved);
                        *made += times.unwrap() as u16;
                        assert!(*made <= PER_DAY, "{record:?}");
                        // As often as it takes, and no more.
                        let after = account.available_minor() + moved;
                        assert!(after - rule.amount_minor < rule.below_minor, "{record:?}");
                        let source = of(done.transfer.from_account_id);
                        let ends = after >= rule.below_minor
                            || *made == PER_DAY
                            || moved == source.available_minor();
                        assert!(ends, "{record:?}");
                    }
                }
                (Action::NoteLowBalance(low), Event::BalanceLow { .. }) => {
                    assert!(due::falls_low(of(low.account_id)), "{record:?}");
                    told.low += 1;
                }
                (Action::TopUp(top_up), Event::Posted { .. }) => {
                    put_in += top_up.amount.amount_minor;
                }
                _ => {}
            }
        }
        world.apply(&record);
        let accounts = || world.shards[0].accounts.iter();
        let in_all: i64 = accounts()
            .map(|account| account.posted_minor + account.in_transit_minor)
            .sum();
        // While the receiver has it and the sender does not know, it is in both.
        assert!(in_all >= put_in, "money is lost with {record:?}");
        assert!(accounts().all(|account| account.available_minor() >= 0));
    }
    told
}

#[test]
fn what_is_due_is_done_once_whenever_power_is_lost() {
    let soak = std::env::var_os("CARDSWITCH_SOAK").is_some();
    let mut all = Told::default();
    for seed in 0..if soak { 400 } else { 30 } {
        let mut simulation = Simulation::new(seed);
        for _ in 0..250 {
            simulation = simulation.step();
        }
        simulation = simulation.crash();
        simulation.look();
        let Simulation { node, .. } = simulation;
        let storage = node.storage.clone();
        node.stop();
        let told = check_records(&storage);
        all.settled += told.settled;
        all.failed += told.failed;
        all.low += told.low;
    }
    println!("{all:?}");
    assert!(
        all.settled > 100 && all.failed > 100 && all.low > 100,
        "{all:?}"
    );
}

/// Nobody asks for anything: the shard itself sees that the day is another.
#[test]
fn a_shard_wakes_for_the_top_ups_of_a_new_day() {
    let now_ms = Arc::new(AtomicI64::new(START_MS));
    let node = started(CrashingStorage::new(Faults::default()), 1, &now_ms);
    open_tree(&node, 1);
    node.carry_out(1, top_up(1, 1, 1_000));
    let change = Action::ChangeAccount(Box::new(with_rule(11, 1_000, 10)));
    node.carry_out(1, change);
    let posted = |node: &Node| {
        let asked = node.send(1, vec![ShardRequest::Account(AccountId(11))]);
        match answers(&asked, 1).remove(0) {
            Reply::Account(account) => account.posted_minor,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(posted(&node), 30, "as many as its rule has in a day");
    let before = node.journal.handle().durable();
    // And after a restart too, which looks at it first, and then waits.
    let node = {
        let storage = node.storage.restart(Loss::Process, Faults::default());
        node.stop();
        started(storage, 1, &now_ms)
    };
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(node.journal.handle().durable(), before);
    now_ms.store((START_MS / DAY_MS + 1) * DAY_MS, Ordering::Release);
    let until = Instant::now() + Duration::from_secs(30);
    while node.journal.handle().durable() < before + 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        node.journal.handle().durable(),
        before + 1,
        "it did not wake by itself"
    );
    assert_eq!(posted(&node), 60);
    node.stop();
}
