//! Monthly fees on disks that lose power, over clocks that jump: whatever dies when, a card pays for each month in which a
//! shard ran and it was active, and for none twice. Real shards over a journal that crashes; what is checked is read from
//! the records alone. `CARDSWITCH_SOAK=1` runs many more seeds.

#[path = "support/crashing_node.rs"]
mod crashing_node;
#[path = "support/random.rs"]
mod random;

use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::event::Event;
use cardswitch::engine::fees::monthly::Month;
use cardswitch::engine::fees::price::Price;
use cardswitch::engine::fees::schedule::{FeeItem, FeeKind, ProgramFees, PutFeeSchedule};
use cardswitch::engine::ids::*;
use cardswitch::engine::link_states::{ChangeLinkStatus, LinkStatus};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::programs::Program;
use cardswitch::engine::record::Record;
use cardswitch::engine::registry::{IssueCard, LinkKey, RegistryAction, SealedPan};
use cardswitch::engine::state::CardStatus;
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::world::World;
use cardswitch::journal::{CrashingStorage, Faults, Loss};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::reply::Reply;
use cardswitch::shard::request::ShardRequest;
use crashing_node::{Node, answer, durable_records};
use random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TREES: u64 = 3;
const CARDS_PER_TREE: u64 = 5;
const USD: Currency = Currency(840);
const ZONE: &str = "Europe/Berlin";
const PROGRAM: ProgramId = ProgramId(1);
const FEES: FeeScheduleId = FeeScheduleId(1);
/// 2026-11-24T10:00:00Z.
const START_MS: i64 = 1_795_514_400_000;
const DAY_MS: i64 = 86_400_000;

fn started(storage: Arc<CrashingStorage>, shards: usize, now_ms: &Arc<AtomicI64>) -> Node {
    Node::start(storage, shards, Clock::Manual(now_ms.clone()), 8)
}

fn schedule(amount_minor: i64, declines_max: Option<u16>) -> PutFeeSchedule {
    let price = |amount_minor| Price {
        amount_minor,
        ..Price::default()
    };
    PutFeeSchedule {
        decline_fees_per_card_per_day_max: declines_max,
        id: FEES,
        name: "monthly".into(),
        currency: USD,
        time_zone: ZONE.into(),
        items: vec![FeeItem {
            kind: FeeKind::Monthly,
            fee: price(amount_minor),
            reseller_mark_up: price(7),
        }],
    }
}

fn link() -> LinkKey {
    LinkKey {
        program_id: PROGRAM,
        link_type: "project".into(),
        id: "p".into(),
    }
}

fn issue(tree: u64, place: u64) -> IssueCard {
    let card = tree * 100 + place;
    IssueCard {
        card_id: CardId(card),
        root: AccountId(tree),
        account_id: AccountId(tree),
        program_id: PROGRAM,
        card_type: CardType::Virtual,
        pan_hash: u128::from(card),
        sealed_pan: SealedPan::new(),
        first6: 411_111,
        last4: 1,
        expiry: Expiry::new(2099, 12).unwrap(),
        // Every other card.
        links: place.is_multiple_of(2).then(link).into_iter().collect(),
        controls: Controls::default(),
        wallet: None,
        cardholder_id: None,
        paid_by: None,
        shipping: None,
    }
}

fn top_up(tree: u64) -> Action {
    Action::TopUp(Box::new(TopUp {
        top_up_id: TopUpId(tree),
        account_id: AccountId(tree),
        amount: Money {
            amount_minor: 1_000,
            currency: USD,
        },
        method: "internal".into(),
        external_reference: None,
        tenant: None,
    }))
}

fn create_program(node: &Node) {
    node.registry([RegistryAction::PutFeeSchedule(Box::new(schedule(
        100, None,
    )))]);
    let program = Program {
        id: PROGRAM,
        currency: USD,
        bin: "411111".try_into().unwrap(),
        fees: Some(ProgramFees {
            fee_schedule_id: FEES,
            since: Timestamp(START_MS),
        }),
        ..Program::default()
    };
    node.registry([RegistryAction::CreateProgram(Box::new(program))]);
}

type Paid = BTreeSet<(CardId, Month)>;

struct Simulation {
    random: Random,
    node: Node,
    now_ms: Arc<AtomicI64>,
    /// Cards that were seen active in a month by whoever asked their shard.
    owed: Paid,
    is_link_frozen: bool,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let node = started(CrashingStorage::new(Faults::default()), 2, &now_ms);
        create_program(&node);
        for tree in 1..=TREES {
            node.open_account(tree, tree, None);
            node.carry_out(tree, top_up(tree));
            for place in 0..CARDS_PER_TREE {
                let issue = issue(tree, place);
                node.registry([RegistryAction::IssueCard(Box::new(issue))]);
            }
        }
        Simulation {
            random: Random(seed),
            node,
            now_ms,
            owed: Paid::new(),
            is_link_frozen: false,
        }
    }

    fn any_card(&mut self) -> (u64, CardId) {
        let tree = 1 + self.random.below(TREES);
        (tree, CardId(tree * 100 + self.random.below(CARDS_PER_TREE)))
    }

    /// Asks every shard how its cards are: who is active now has to have paid for this month.
    fn look(&mut self) {
        let month = Month::at(ZONE, Timestamp(self.now_ms.load(Ordering::Acquire)));
        for tree in 1..=TREES {
            // What came before is over: who becomes active pays at the end of the turn.
            let before = ShardRequest::Account(AccountId(tree));
            answer(&self.node.send(tree, vec![before])).expect("an answer");
            for place in 0..CARDS_PER_TREE {
                let card_id = CardId(tree * 100 + place);
                let asked = self.node.send(tree, vec![ShardRequest::Card(card_id)]);
                match answer(&asked).expect("an answer") {
                    Reply::Card(card) if self.is_link_frozen && !card.links.is_empty() => {}
                    Reply::Card(card) if card.status == CardStatus::Active => {
                        if month > Month::at(ZONE, Timestamp(START_MS)) {
                            assert_eq!(card.fees_through, Some(month), "{card_id}");
                            self.owed.insert((card_id, month));
                        }
                    }
                    Reply::Card(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn change_status(&mut self) {
        let (tree, card_id) = self.any_card();
        let change = match self.random.below(12) {
            0 => StatusChange::Close,
            1..6 => StatusChange::Freeze,
            _ => StatusChange::Unfreeze,
        };
        let change = ChangeCardStatus { card_id, change };
        drop(self.node.command(tree, Action::ChangeCardStatus(change)));
    }

    /// Freezes what cards are linked to, or unfreezes it: with it they become active, though nothing happens to themselves.
    fn change_link(&mut self) {
        self.is_link_frozen = !self.is_link_frozen;
        let to = match self.is_link_frozen {
            true => LinkStatus::Frozen,
            false => LinkStatus::Active,
        };
        let change = ChangeLinkStatus { key: link(), to };
        self.node
            .registry([RegistryAction::ChangeLinkStatus(Box::new(change))]);
    }

    fn step(mut self) -> Simulation {
        match self.random.below(20) {
            0 | 1 => {
                let below = |bound| self.random.below(bound);
                let storage = self.node.storage_after_loss(below);
                self.node.stop();
                let shards = 1 + self.random.below(3) as usize;
                self.node = started(storage, shards, &self.now_ms);
            }
            2 => self.node.snapshot(),
            3 => {
                let amount_minor = 100 + self.random.below(2) as i64;
                let declines_max = self.random.below(3) as u16;
                let put = schedule(amount_minor, Some(declines_max));
                self.node
                    .registry([RegistryAction::PutFeeSchedule(Box::new(put))]);
            }
            4..8 => self.look(),
            8..11 => self.change_status(),
            11..13 => self.change_link(),
            _ => {
                // Some months go by with nobody there.
                let days = 1 + self.random.below(45) as i64;
                self.now_ms.fetch_add(days * DAY_MS, Ordering::AcqRel);
            }
        }
        self
    }
}

/// What the durable records charge, each card and month once, in legs that sum to zero; the engine's own state agrees.
fn paid(storage: &Arc<CrashingStorage>) -> Paid {
    let (mut paid, mut world) = (Paid::new(), World::new(2));
    let mut sums: BTreeMap<AccountId, i64> = BTreeMap::new();
    for record in durable_records(storage) {
        world.apply(&record);
        let Record::Shard { command, event, .. } = &record else {
            continue;
        };
        let Event::MonthlyFeeCharged { charges } = event else {
            continue;
        };
        let charge = charges[0];
        let legs = charge.legs();
        assert_eq!(legs.iter().map(|leg| leg.amount_minor).sum::<i64>(), 0);
        let month = charge.month.unwrap();
        assert_eq!(month, Month::at(ZONE, command.at), "{record:?}");
        assert!(month > Month::at(ZONE, Timestamp(START_MS)));
        let is_new = paid.insert((charge.card_id.unwrap(), month));
        assert!(is_new, "charged twice: {record:?}");
        *sums.entry(charge.account_id).or_default() += charge.amount_minor();
    }
    for account in world.shards.iter().flat_map(|state| state.accounts.iter()) {
        let sum = sums.get(&account.id).copied().unwrap_or(0);
        assert_eq!(account.posted_minor, 1_000 - sum);
        assert_eq!(account.fees_minor + account.reseller_mark_up_minor, sum);
    }
    paid
}

#[test]
fn each_month_is_charged_once_whatever_crashes_and_however_time_goes() {
    let soak = std::env::var_os("CARDSWITCH_SOAK").is_some();
    let (mut owed, mut all) = (0, 0);
    for seed in 0..if soak { 400 } else { 12 } {
        let mut simulation = Simulation::new(seed);
        for _ in 0..150 {
            simulation = simulation.step();
        }
        simulation.look();
        let Simulation {
            node, owed: seen, ..
        } = simulation;
        let storage = node.storage.clone();
        node.stop();
        let paid = paid(&storage);
        let missing: Vec<_> = seen.difference(&paid).collect();
        assert!(missing.is_empty(), "seed {seed}: not charged: {missing:?}");
        (owed, all) = (owed + seen.len(), all + paid.len());
    }
    println!("{all} months were charged, {owed} of them seen by somebody");
    assert!(owed > 200 && all > owed, "{all} were charged, {owed} seen");
}

/// A tree with so many cards, whose ids begin with 10,000.
fn open_tree_of_many(node: &Node, tree: u64, cards: u64) {
    node.open_account(tree, tree, None);
    node.carry_out(tree, top_up(tree));
    for first in (0..cards).step_by(500) {
        let some = (first..first + 500).map(|card| {
            let issue = IssueCard {
                card_id: CardId(10_000 + card),
                pan_hash: u128::from(10_000 + card),
                ..issue(tree, 1)
            };
            RegistryAction::IssueCard(Box::new(issue))
        });
        node.registry(some);
    }
}

/// More cards than are looked at in one turn, and a schedule that changes all the time meanwhile, in what it costs and in
/// other things.
#[test]
fn a_schedule_that_changes_all_the_time_leaves_no_card_out() {
    const CARDS: u64 = 9_000;
    let now_ms = Arc::new(AtomicI64::new(START_MS));
    let clock = Clock::Manual(now_ms.clone());
    let tables = Arc::new(AtomicU64::new(0));
    let storage = CrashingStorage::new(Faults::default());
    let node = Node::start_with_tables(storage, 2, clock, 8, &tables);
    create_program(&node);
    let tree = TREES + 1;
    open_tree_of_many(&node, tree, CARDS);
    let charged = |card: u64| {
        // A short queue: the shard hears of some of them later.
        loop {
            match answer(&node.send(tree, vec![ShardRequest::Card(CardId(10_000 + card))])) {
                Some(Reply::Card(card)) => break card.fees_through,
                Some(Reply::NotFound) => std::thread::yield_now(),
                other => panic!("{other:?}"),
            }
        }
    };
    assert!((0..CARDS).all(|card| charged(card).is_none()));
    let at = START_MS + 10 * DAY_MS;
    now_ms.store(at, Ordering::Release);
    let mut changes = 0..u16::MAX;
    for card in 0..CARDS {
        while charged(card).is_none() {
            let change = changes.next().expect("it comes to an end");
            let amount_minor = 100 + i64::from(change % 20 == 0);
            let put = schedule(amount_minor, Some(change));
            node.registry([RegistryAction::PutFeeSchedule(Box::new(put))]);
            if change == 100 {
                // Until then most have to wait for the tables.
                tables.store(u64::MAX, Ordering::Release);
            }
        }
    }
    assert!(changes.start > 100, "all came at once");
    let storage = node.storage.clone();
    node.stop();
    let month = Month::at(ZONE, Timestamp(at));
    let mut paid = paid(&storage);
    paid.retain(|(card_id, of)| card_id.0 >= 10_000 && *of == month);
    assert_eq!(paid.len() as u64, CARDS);
    println!("{} changes meanwhile", changes.start);
}

/// How many cards of the tree of many pay a fee for a month in what is durable.
fn paid_of_many(storage: &Arc<CrashingStorage>) -> usize {
    let records = durable_records(storage);
    let charged = records.iter().filter(|record| {
        matches!(record, Record::Shard { event: Event::MonthlyFeeCharged { charges }, .. }
            if charges[0].card_id.is_some_and(|id| id.0 >= 10_000))
    });
    charged.count()
}

/// Tables that are far behind make fees slow; they do not end them, and what a process that ends has not charged, the next one
/// does, none twice. Once the tables are there again, all come.
#[test]
fn fees_are_as_fast_as_the_tables_and_come_without_them_too() {
    const CARDS: u64 = 6_000;
    let now_ms = Arc::new(AtomicI64::new(START_MS));
    let tables = Arc::new(AtomicU64::new(0));
    let started = |storage, shards| {
        let clock = Clock::Manual(now_ms.clone());
        Node::start_with_tables(storage, shards, clock, 8, &tables)
    };
    let node = started(CrashingStorage::new(Faults::default()), 2);
    create_program(&node);
    let tree = TREES + 1;
    open_tree_of_many(&node, tree, CARDS);
    // The shard has heard of them all.
    let last = CardId(10_000 + CARDS - 1);
    let look = |node: &Node| answer(&node.send(tree, vec![ShardRequest::Card(last)]));
    while !matches!(look(&node), Some(Reply::Card(_))) {
        std::thread::yield_now();
    }
    assert_eq!(paid_of_many(&node.storage), 0);
    now_ms.store(START_MS + 10 * DAY_MS, Ordering::Release);
    // Two portions: one at once, and one a second later.
    std::thread::sleep(Duration::from_millis(1_500));
    let slow = paid_of_many(&node.storage);
    assert!((1..=1_000).contains(&slow), "{slow} without the tables");
    let frozen = ChangeCardStatus {
        card_id: last,
        change: StatusChange::Freeze,
    };
    node.carry_out(tree, Action::ChangeCardStatus(frozen));
    let month = Month::at(ZONE, Timestamp(now_ms.load(Ordering::Acquire)));
    match look(&node) {
        Some(Reply::Card(card)) => assert_eq!(card.fees_through, Some(month), "it was active"),
        other => panic!("{other:?}"),
    }
    let storage = node.storage.restart(Loss::Process, Faults::default());
    node.stop();
    let node = started(storage, 1);
    tables.store(u64::MAX, Ordering::Release);
    let begun = Instant::now();
    while paid_of_many(&node.storage) < CARDS as usize {
        assert!(begun.elapsed() < Duration::from_secs(30), "too slow");
        std::thread::sleep(Duration::from_millis(100));
    }
    let storage = node.storage.clone();
    node.stop();
    assert_eq!(paid(&storage).len(), CARDS as usize);
}
