//! That a card has expired is recorded once for each expiry: as its month ends in UTC, or as soon as a shard runs again; not
//! of one that was closed before. Real shards over a journal that loses power; what is checked is read from the records
//! alone. `CARDSWITCH_SOAK=1` runs many more seeds.

#[path = "support/crashing_node.rs"]
mod crashing_node;
mod engine_support;
#[path = "support/random.rs"]
mod random;

use cardswitch::engine::card_expiry::ExpireCard;
use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::Event;
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::link_states::{ChangeLinkStatus, LinkStatus};
use cardswitch::engine::money::Currency;
use cardswitch::engine::programs::Program;
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::{IssueCard, LinkKey, RegistryAction, SealedPan};
use cardswitch::engine::reissue::{ReissueReason, RenewCard, ReplaceCard};
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::world::World;
use cardswitch::journal::{CrashingStorage, Faults};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::reply::Reply;
use cardswitch::shard::request::ShardRequest;
use crashing_node::{Node, answer, durable_records};
use engine_support::{NewCard, PROGRAM, Switch, time};
use random::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const TREES: u64 = 3;
const CARDS_PER_TREE: u64 = 5;
const USD: Currency = Currency(840);
/// 2026-11-24T10:00:00Z.
const START_MS: i64 = 1_795_514_400_000;
const DAY_MS: i64 = 86_400_000;

/// Cards, each expiry that was recorded, and when.
type Expired = BTreeMap<(CardId, Expiry), Timestamp>;

fn month(year: u16, month: u8) -> Expiry {
    Expiry::new(year, month).unwrap()
}

fn expire(switch: &mut Switch, card: u64, expiry: Expiry) -> Outcome {
    let card_id = CardId(card);
    let action = Action::ExpireCard(ExpireCard { card_id, expiry });
    switch.command(AccountId(1), action)
}

fn project(number: u64) -> LinkKey {
    LinkKey {
        program_id: PROGRAM,
        link_type: "project".into(),
        id: format!("p{number}").into(),
    }
}

fn with_cards(cards: u64) -> Switch {
    let mut switch = Switch::new(2);
    switch.open_account(1, Controls::default());
    for id in 1..=cards {
        let mut card = NewCard::of(id, 1, 1);
        card.expiry = month(2026, 11);
        card.links = [project(id)].into_iter().collect();
        switch.open_card(card);
    }
    switch
}

#[test]
fn a_card_expires_once_as_its_month_ends_and_again_after_it_was_renewed() {
    let mut switch = with_cards(1);
    let (november, january) = (month(2026, 11), month(2027, 1));
    switch.at = time("2026-11-30T23:59:59.999Z");
    assert_eq!(expire(&mut switch, 1, november), Outcome::AlreadyDone);
    switch.at = time("2026-12-01T00:00:00Z");
    assert_eq!(expire(&mut switch, 1, january), Outcome::AlreadyDone);
    let expired = Outcome::Event(Event::CardExpired);
    assert_eq!(expire(&mut switch, 1, november), expired);
    assert_eq!(expire(&mut switch, 1, november), Outcome::AlreadyDone);
    let renew = RenewCard {
        card_id: CardId(1),
        expiry: january,
    };
    switch.command(AccountId(1), Action::RenewCard(renew));
    assert_eq!(expire(&mut switch, 1, january), Outcome::AlreadyDone);
    switch.at = time("2027-02-01T00:00:00Z");
    assert_eq!(expire(&mut switch, 1, january), expired);
    assert_eq!(expire(&mut switch, 1, january), Outcome::AlreadyDone);
    // The records make the same state again.
    let mut again = World::new(3);
    for bytes in &switch.records {
        again.apply(&record::read(bytes).unwrap());
    }
    assert_eq!(state_hash(&again), state_hash(&switch.world));
}

#[test]
fn of_a_card_that_was_closed_before_nobody_is_told() {
    let mut switch = with_cards(6);
    switch.change_status(1, 1, StatusChange::Close);
    let replace = ReplaceCard {
        card_id: CardId(20),
        replaces: CardId(2),
        reason: ReissueReason::Damaged,
        first6: 411_111,
        last4: 1,
        expiry: month(2029, 12),
        holder: None,
        shipping: None,
        issued_at: switch.at,
    };
    switch.command(AccountId(1), Action::ReplaceCard(Box::new(replace)));
    let close = ChangeLinkStatus {
        key: project(3),
        to: LinkStatus::Closed,
    };
    switch.registry(RegistryAction::ChangeLinkStatus(Box::new(close)));
    switch.change_status(1, 4, StatusChange::Freeze);
    switch.change_status(1, 5, StatusChange::Block);
    switch.at = time("2026-12-01T00:00:00Z");
    let expired = |card| expire(&mut switch, card, month(2026, 11)) != Outcome::AlreadyDone;
    // Frozen and blocked ones are cards of somebody still.
    let told: Vec<bool> = (1..=6).map(expired).collect();
    assert_eq!(told, [false, false, false, true, true, true]);
    assert!(matches!(
        expire(&mut switch, 99, month(2026, 11)),
        Outcome::Refused(_)
    ));
}

fn started(storage: Arc<CrashingStorage>, shards: usize, now_ms: &Arc<AtomicI64>) -> Node {
    Node::start(storage, shards, Clock::Manual(now_ms.clone()), 8)
}

/// A program with accounts.
fn begin(node: &Node, trees: u64) {
    let program = Program {
        id: PROGRAM,
        currency: USD,
        bin: "411111".try_into().unwrap(),
        ..Program::default()
    };
    node.registry([RegistryAction::CreateProgram(Box::new(program))]);
    (1..=trees).for_each(|tree| node.open_account(tree, tree, None));
}

fn card(node: &Node, tree: u64, card_id: CardId) -> cardswitch::engine::state::Card {
    match answer(&node.send(tree, vec![ShardRequest::Card(card_id)])) {
        Some(Reply::Card(card)) => *card,
        other => panic!("{card_id}: {other:?}"),
    }
}

fn issue(tree: u64, card: u64, expiry: Expiry) -> RegistryAction {
    RegistryAction::IssueCard(Box::new(IssueCard {
        card_id: CardId(card),
        root: AccountId(tree),
        account_id: AccountId(tree),
        program_id: PROGRAM,
        card_type: CardType::Virtual,
        pan_hash: u128::from(card),
        sealed_pan: SealedPan::new(),
        first6: 411_111,
        last4: 1,
        expiry,
        links: Default::default(),
        controls: Controls::default(),
        wallet: None,
        cardholder_id: None,
        paid_by: None,
        shipping: None,
    }))
}

struct Simulation {
    random: Random,
    node: Node,
    now_ms: Arc<AtomicI64>,
    /// What somebody saw to have expired.
    seen: Expired,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let node = started(CrashingStorage::new(Faults::default()), 2, &now_ms);
        begin(&node, TREES);
        for tree in 1..=TREES {
            for place in 0..CARDS_PER_TREE {
                let expiry = Expiry(month(2026, 11).0 + place as u16 * 2);
                node.registry([issue(tree, tree * 100 + place, expiry)]);
            }
        }
        Simulation {
            random: Random(seed),
            node,
            now_ms,
            seen: Expired::new(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::Acquire))
    }

    /// Asks how every card is: of those whose expiry has passed it is recorded, if they were not closed.
    fn look(&mut self) {
        for tree in 1..=TREES {
            // What came before is over: who is renewed to what has passed already expires at the end of the turn.
            let before = ShardRequest::Account(AccountId(tree));
            answer(&self.node.send(tree, vec![before])).expect("an answer");
            for place in 0..CARDS_PER_TREE {
                let card = card(&self.node, tree, CardId(tree * 100 + place));
                if !card.status.is_closed() {
                    let is_past = card.expiry.is_past_at(self.now());
                    assert_eq!(card.is_expired, is_past, "{card:?}");
                }
                if card.is_expired {
                    self.seen.insert((card.id, card.expiry), self.now());
                }
            }
        }
    }

    fn change(&mut self) {
        let tree = 1 + self.random.below(TREES);
        let card_id = CardId(tree * 100 + self.random.below(CARDS_PER_TREE));
        let change = match self.random.below(12) {
            0 => StatusChange::Close,
            1..4 => StatusChange::Freeze,
            4..7 => StatusChange::Unfreeze,
            _ => {
                let (year, month_of_year) = self.now().year_month();
                let this_month = month(year as u16, month_of_year as u8);
                let expiry = Expiry(this_month.0 + self.random.below(3) as u16);
                let renew = RenewCard { card_id, expiry };
                drop(self.node.command(tree, Action::RenewCard(renew)));
                return;
            }
        };
        let change = ChangeCardStatus { card_id, change };
        drop(self.node.command(tree, Action::ChangeCardStatus(change)));
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
            3..8 => self.look(),
            8..13 => self.change(),
            _ => {
                // Some months go by with nobody there.
                let days = 1 + self.random.below(45) as i64;
                self.now_ms.fetch_add(days * DAY_MS, Ordering::AcqRel);
            }
        }
        self
    }
}

/// What the durable records say, each card and expiry once and not before its time.
fn recorded(storage: &Arc<CrashingStorage>) -> Expired {
    let (mut expired, mut world) = (Expired::new(), World::new(2));
    for record in durable_records(storage) {
        if let Record::Shard { command, event, .. } = &record
            && let (Action::ExpireCard(expire), Event::CardExpired) = (&command.action, event)
        {
            let card = world.shard(command.root).card(expire.card_id).unwrap();
            assert_eq!(card.expiry, expire.expiry);
            assert!(!card.status.is_closed(), "{card:?}");
            assert!(command.at >= expire.expiry.ends_at(), "{command:?}");
            let before = expired.insert((card.id, card.expiry), command.at);
            assert_eq!(before, None, "recorded twice: {record:?}");
        }
        world.apply(&record);
    }
    expired
}

#[test]
fn each_expiry_is_recorded_once_whatever_crashes_and_however_time_goes() {
    let soak = std::env::var_os("CARDSWITCH_SOAK").is_some();
    let (mut seen, mut all) = (0, 0);
    for seed in 0..if soak { 400 } else { 12 } {
        let mut simulation = Simulation::new(seed);
        for _ in 0..150 {
            simulation = simulation.step();
        }
        simulation.look();
        let storage = simulation.node.storage.clone();
        simulation.node.stop();
        let recorded = recorded(&storage);
        for told in simulation.seen.keys() {
            assert!(recorded.contains_key(told), "seed {seed}: lost: {told:?}");
        }
        (seen, all) = (seen + simulation.seen.len(), all + recorded.len());
    }
    println!("{all} expiries were recorded, {seen} of them seen by somebody");
    assert!(seen > 100 && all >= seen, "{all} recorded, {seen} seen");
}

#[test]
fn a_month_that_ends_for_more_cards_than_a_turn_looks_at_ends_for_all_by_itself() {
    const CARDS: u64 = 9_000;
    let now_ms = Arc::new(AtomicI64::new(START_MS));
    let node = started(CrashingStorage::new(Faults::default()), 1, &now_ms);
    begin(&node, 1);
    for first in (1..=CARDS).step_by(500) {
        let cards = first..first + 500;
        node.registry(cards.map(|card| issue(1, card, month(2026, 11))));
    }
    // The last that the shard hears of.
    let waited = Instant::now();
    let last = || answer(&node.send(1, vec![ShardRequest::Card(CardId(CARDS))]));
    while !matches!(last(), Some(Reply::Card(_))) {
        assert!(waited.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let ends = month(2026, 11).ends_at();
    now_ms.store(ends.0, Ordering::Release);
    // Nobody asks for anything: the loop wakes up by itself.
    std::thread::sleep(Duration::from_millis(2_500));
    let storage = node.storage.clone();
    node.stop();
    let recorded = recorded(&storage);
    assert_eq!(recorded.len() as u64, CARDS);
    assert!(recorded.values().all(|at| *at == ends));
}
