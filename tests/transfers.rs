//! Transfers between account trees on disks that lose power: whatever dies when, no money is lost and none is doubled.
//! Real shards over a journal that crashes; what is checked is added up from the records alone. `CARDSWITCH_SOAK=1` runs
//! many more seeds.

#[path = "support/crashing_node.rs"]
mod crashing_node;
#[path = "support/random.rs"]
mod random;

use cardswitch::engine::command::*;
use cardswitch::engine::event::{Event, LedgerAccount};
use cardswitch::engine::ids::{AccountId, TopUpId, TransferId};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::record::Record;
use cardswitch::engine::transfers::{Transfer, TransferStatus};
use cardswitch::engine::world::World;
use cardswitch::journal::{CrashingStorage, Faults};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::reply::Reply;
use crashing_node::{Answers, Node, answer, durable_records};
use random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const TREES: u64 = 4;
const USD: Currency = Currency(840);

fn usd(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: USD,
    }
}

/// Accounts of tree 1: 1 and 11 below it.
fn root_of(account: u64) -> u64 {
    account % 10
}

/// Power is lost at this moment, with whatever is under way, and comes back.
fn lose_power(node: Node, random: &mut Random) -> Node {
    let storage = node.storage_after_loss(|bound| random.below(bound));
    node.stop();
    check_records(&storage);
    let (shards, reserved) = (1 + random.below(3) as usize, 1 + random.below(4) as usize);
    Node::start(storage, shards, Clock::System, reserved)
}

/// What the records alone say: where the money is, and how far each transfer came.
#[derive(Default)]
struct Books {
    put_in: i64,
    balances: BTreeMap<u64, i64>,
    debited: BTreeMap<u64, Transfer>,
    /// Those within one tree, which are never in transit.
    within: BTreeSet<u64>,
    credited: BTreeSet<u64>,
    returned: BTreeSet<u64>,
}

impl Books {
    fn add(&mut self, record: &Record) {
        let Record::Shard { command, event, .. } = record else {
            return;
        };
        let legs = match event {
            Event::Posted { postings: legs, .. } => &legs[..],
            Event::Transferred(transferred) => &transferred.postings[..],
            _ => return,
        };
        let sum: i64 = legs.iter().map(|leg| leg.amount_minor).sum();
        assert_eq!(sum, 0, "{record:?}");
        let mut moved = 0;
        for leg in legs {
            if let LedgerAccount::Customer(id) = leg.ledger_account {
                *self.balances.entry(id.0).or_default() += leg.amount_minor;
                moved += leg.amount_minor;
            }
        }
        match &command.action {
            Action::TopUp(_) => self.put_in += moved,
            Action::Transfer(transfer) => {
                let before = self.debited.insert(transfer.id.0, **transfer);
                assert!(before.is_none(), "debited twice: {transfer:?}");
                if transfer.to_root == command.root {
                    self.within.insert(transfer.id.0);
                }
            }
            Action::ReceiveTransfer(receive) if moved != 0 => {
                let id = receive.transfer.id.0;
                assert!(self.debited.contains_key(&id), "credited before its debit");
                assert!(self.credited.insert(id), "credited twice: {receive:?}");
            }
            Action::EndTransfer(end) if moved != 0 => {
                let id = end.transfer.id.0;
                assert!(self.returned.insert(id), "returned twice: {end:?}");
            }
            _ => {}
        }
        let on_accounts: i64 = self.balances.values().sum();
        assert_eq!(on_accounts + self.in_transit(), self.put_in, "{record:?}");
    }

    fn in_transit(&self) -> i64 {
        let open = self.debited.iter().filter(|(id, _)| {
            assert!(!(self.credited.contains(id) && self.returned.contains(id)));
            let over = [&self.within, &self.credited, &self.returned];
            !over.iter().any(|ids| ids.contains(id))
        });
        open.map(|(_, transfer)| transfer.amount.amount_minor).sum()
    }
}

/// Adds up every durable record one by one, and holds the engine's own state against the sums.
fn check_records(storage: &Arc<CrashingStorage>) -> Books {
    let (mut books, mut world) = (Books::default(), World::new(2));
    for record in durable_records(storage) {
        books.add(&record);
        world.apply(&record);
    }
    let accounts = world.shards.iter().flat_map(|state| state.accounts.iter());
    let mut transfers_minor = 0;
    for account in accounts {
        let balance = books.balances.get(&account.id.0).copied();
        assert_eq!(account.posted_minor, balance.unwrap_or(0));
        assert!(account.available_minor() >= 0, "{account:?}");
        let others = account.funds_received_minor + account.transfers_minor;
        assert_eq!(account.posted_minor + others, 0, "{account:?}");
        transfers_minor += account.transfers_minor;
    }
    assert_eq!(transfers_minor, books.in_transit());
    books
}

struct Simulation {
    random: Random,
    node: Node,
    next_id: u64,
    /// Asked for, with whoever waits.
    sent: Vec<(Transfer, Answers)>,
    /// What callers were told.
    told: BTreeMap<u64, TransferStatus>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let node = Node::start(CrashingStorage::new(Faults::default()), 3, Clock::System, 4);
        for tree in 1..=TREES {
            for (account, parent) in [(tree, None), (tree + 10, Some(tree))] {
                node.open_account(tree, account, parent);
            }
            let top_up = TopUp {
                top_up_id: TopUpId(tree),
                account_id: AccountId(tree),
                amount: usd(10_000),
                method: "internal".into(),
                external_reference: None,
                tenant: None,
            };
            node.carry_out(tree, Action::TopUp(Box::new(top_up)));
        }
        Simulation {
            random: Random(seed),
            node,
            next_id: 100,
            sent: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    fn account(&mut self) -> u64 {
        1 + self.random.below(TREES) + 10 * self.random.below(2)
    }

    fn transfer(&mut self) {
        let (from, to) = (self.account(), self.account());
        self.next_id += 1;
        let transfer = Transfer {
            id: TransferId(self.next_id),
            from_account_id: AccountId(from),
            to_account_id: AccountId(to),
            to_root: AccountId(root_of(to)),
            amount: usd(1 + self.random.below(3_000) as i64),
        };
        self.ask(transfer);
    }

    fn ask(&mut self, transfer: Transfer) {
        let root = root_of(transfer.from_account_id.0);
        let action = Action::Transfer(Box::new(transfer));
        let answers = self.node.command(root, action);
        self.sent.push((transfer, answers));
    }

    /// Takes the answers of all that was asked for.
    fn hear(&mut self) {
        for (transfer, answers) in std::mem::take(&mut self.sent) {
            match answer(&answers) {
                Some(Reply::Transfer(known)) => {
                    assert_ne!(known.status, TransferStatus::InTransit);
                    self.told.insert(transfer.id.0, known.status);
                }
                Some(Reply::Refused(_)) => {}
                other => panic!("{transfer:?}: {other:?}"),
            }
        }
    }

    /// Closes, freezes or frees an account: what is on its way to a closed one comes back.
    fn change_status(&mut self) {
        let account = self.account();
        let change = match self.random.below(5) {
            0 => AccountStatusChange::Freeze,
            1 | 2 if account > 10 => AccountStatusChange::Close,
            _ => AccountStatusChange::Unfreeze,
        };
        let change = ChangeAccountStatus {
            account_id: AccountId(account),
            change,
        };
        let root = root_of(account);
        drop(self.node.command(root, Action::ChangeAccountStatus(change)));
    }

    fn crash(mut self) -> Simulation {
        let told = std::mem::take(&mut self.told);
        self.node = lose_power(self.node, &mut self.random);
        // Callers who heard nothing repeat what they asked for, under the same id.
        for (transfer, _) in std::mem::take(&mut self.sent) {
            self.ask(transfer);
        }
        self.told = told;
        self
    }

    fn step(mut self) -> Simulation {
        match self.random.below(40) {
            0 => return self.crash(),
            1 => self.node.snapshot(),
            2 | 3 => self.hear(),
            4..8 => self.change_status(),
            _ => self.transfer(),
        }
        self
    }
}

#[test]
fn no_transfer_loses_or_doubles_money_whenever_power_is_lost() {
    let soak = std::env::var_os("CARDSWITCH_SOAK").is_some();
    let (mut across, mut back) = (0, 0);
    for seed in 0..if soak { 400 } else { 12 } {
        let mut simulation = Simulation::new(seed);
        for _ in 0..300 {
            simulation = simulation.step();
        }
        simulation = simulation.crash();
        simulation.hear();
        let Simulation { node, told, .. } = simulation;
        let storage = node.storage.clone();
        node.stop();
        let books = check_records(&storage);
        assert_eq!(books.in_transit(), 0, "seed {seed}");
        for (id, status) in told {
            let transfer = &books.debited[&id];
            let arrived = books.within.contains(&id) || books.credited.contains(&id);
            let expected = match books.returned.contains(&id) {
                true => TransferStatus::Returned,
                false => TransferStatus::Settled,
            };
            assert_eq!(status, expected, "seed {seed}: {transfer:?}");
            assert_eq!(arrived, status == TransferStatus::Settled, "{transfer:?}");
        }
        (across, back) = (across + books.credited.len(), back + books.returned.len());
    }
    println!("{across} transfers went to other trees, {back} came back");
    assert!(
        across > 300 && back > 3,
        "{across} went across, {back} came back"
    );
}
