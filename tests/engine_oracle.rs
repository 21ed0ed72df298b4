//! A second, naive decision maker that keeps nothing but the list of what happened and adds it up
//! anew each time, against the engine: over random days, and over every order of the five things
//! that can happen to one purchase.

mod engine_support;

use cardswitch::engine::command::{Action, StatusChange};
use cardswitch::engine::controls::{Controls, List, ListMode, Window};
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::hash::{state_hash, tree_hashes};
use cardswitch::engine::ids::*;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::snapshot;
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::trace::Scope;
use cardswitch::engine::window::window_end;
use cardswitch::engine::world::World;
use engine_support::*;
use proptest::prelude::*;

const MINUTE_MS: i64 = 60_000;
const FIRST_ANSWER_MS: i64 = 15 * MINUTE_MS;
const REVERSAL_MS: i64 = 24 * 60 * MINUTE_MS;

/// Trees 1 to 4; account 10 + tree is a sub-account; each tree has two cards on each account.
const TREES: u64 = 4;

#[derive(Debug, Clone)]
enum Step {
    Authorize {
        card: u64,
        name: u8,
        amount: i64,
        mcc: u16,
    },
    Reverse {
        card: u64,
        name: u8,
        original: u8,
        amount: i64,
    },
    TopUp {
        id: u64,
        account: u64,
        amount: i64,
    },
    Status {
        card: u64,
        change: StatusChange,
    },
    Controls {
        card: u64,
        choice: usize,
    },
    Wait {
        minutes: i64,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Came {
    Approved { available: i64 },
    Declined(DeclineReason),
    First(Box<Came>),
    Released(i64),
    Unknown,
    AlreadyReversed,
    Duplicate,
    Done,
    AlreadyDone,
    Refused,
}

/// What happened, in order. Everything else is added up from here.
#[derive(Debug, Clone)]
struct Happened {
    at: Timestamp,
    step: Step,
    came: Came,
    /// The controls of the card, for what is counted.
    controls: Controls,
}

#[derive(Debug, Default)]
struct Naive {
    at: Timestamp,
    past: Vec<Happened>,
}

fn root_of_account(account: u64) -> u64 {
    if account > 10 { account - 10 } else { account }
}

/// Cards 100·account + 1 and 2.
fn account_of_card(card: u64) -> u64 {
    card / 100
}

fn controls_of(choice: usize) -> Controls {
    match choice {
        0 => Controls::default(),
        1 => limits([limit(1, Window::Day, Some(500), None)]),
        2 => limits([
            limit(1, Window::Day, Some(800), Some(3)),
            limit(2, Window::Month, Some(1_500), None),
        ]),
        _ => Controls {
            mcc: Some(List::new(ControlId(9), ListMode::Block, vec![7995])),
            ..limits([limit(3, Window::Transaction, Some(300), None)])
        },
    }
}

fn program_controls() -> Controls {
    limits([limit(50, Window::Week, Some(4_000), Some(12))])
}

fn account_controls(account: u64) -> Controls {
    if account > 10 {
        limits([limit(60, Window::Day, Some(1_200), None)])
    } else {
        Controls::default()
    }
}

impl Naive {
    fn posted(&self, account: u64) -> i64 {
        let top_ups = self
            .past
            .iter()
            .filter_map(|past| match (&past.step, &past.came) {
                (
                    Step::TopUp {
                        account: to,
                        amount,
                        ..
                    },
                    Came::Done,
                ) if *to == account => Some(*amount),
                _ => None,
            });
        top_ups.sum()
    }

    /// Approved purchases, each with the place in the past where it was released, if it was.
    fn holds(&self) -> Vec<(usize, &Happened, Option<usize>)> {
        let approved = |past: &&Happened| matches!(past.came, Came::Approved { .. });
        let mut holds: Vec<_> = Vec::new();
        for (place, past) in self.past.iter().enumerate() {
            if approved(&past) {
                holds.push((place, past, None));
            }
            let (Step::Reverse { card, original, .. }, Came::Released(_)) =
                (&past.step, &past.came)
            else {
                continue;
            };
            let is_meant = |(_, hold, closed): &&mut (usize, &Happened, Option<usize>)| {
                let Step::Authorize { card: of, name, .. } = &hold.step else {
                    return false;
                };
                closed.is_none() && of == card && name == original
            };
            let hold = holds.iter_mut().rev().find(is_meant);
            hold.expect("a released hold was open").2 = Some(place);
        }
        holds
    }

    fn held(&self, account: u64) -> i64 {
        let open = self
            .holds()
            .into_iter()
            .filter(|(.., closed)| closed.is_none());
        let amounts = open.filter_map(|(_, past, _)| match past.step {
            Step::Authorize { card, amount, .. } if account_of_card(card) == account => {
                Some(amount)
            }
            _ => None,
        });
        amounts.sum()
    }

    fn open_holds(&self, account: u64) -> usize {
        let open = self
            .holds()
            .into_iter()
            .filter(|(.., closed)| closed.is_none());
        open.filter(|(_, past, _)| {
            matches!(past.step, Step::Authorize { card, .. } if account_of_card(card) == account)
        })
        .count()
    }

    fn available(&self, account: u64) -> i64 {
        self.posted(account) - self.held(account)
    }

    fn frozen(&self, card: u64) -> (bool, bool) {
        let mut state = (false, false);
        for past in &self.past {
            if let (Step::Status { card: of, change }, Came::Done) = (&past.step, &past.came)
                && *of == card
            {
                match change {
                    StatusChange::Freeze => state.0 = true,
                    StatusChange::Unfreeze => state.0 = false,
                    _ => state.1 = true,
                }
            }
        }
        state
    }

    fn controls(&self, card: u64) -> Controls {
        let changes = self.past.iter().rev().find_map(|past| match &past.step {
            Step::Controls { card: of, choice } if *of == card => Some(controls_of(*choice)),
            _ => None,
        });
        changes.unwrap_or_default()
    }

    /// What counts of a limit in the window of now: amount and number.
    fn used(&self, scope: Scope, card: u64, id: LimitId, window: Window) -> (i64, u32) {
        let Some(now_window) = window_end(window, "UTC", self.at) else {
            return (0, 0);
        };
        let account = account_of_card(card);
        let (mut amount, mut count) = (0, 0);
        for (_, past, closed) in self.holds() {
            let Step::Authorize {
                card: of,
                amount: used,
                ..
            } = past.step
            else {
                continue;
            };
            let same = match scope {
                Scope::Card => of == card,
                Scope::Account => account_of_card(of) == account,
                _ => root_of_account(account_of_card(of)) == root_of_account(account),
            };
            let counted = scope != Scope::Card
                || past
                    .controls
                    .limits
                    .iter()
                    .any(|l| l.id == id && l.window == window);
            let in_window = window_end(window, "UTC", past.at) == Some(now_window);
            if same && counted && in_window && closed.is_none() {
                amount += used;
                count += 1;
            }
        }
        (amount, count)
    }

    fn first_answer(&self, key: &str, retention_ms: i64) -> Option<(i64, Came)> {
        let found = self.past.iter().rev().find(|past| {
            let own = match &past.step {
                Step::Authorize { card, name, .. } => format!("a{card}-{name}"),
                Step::Reverse { card, name, .. } => format!("r{card}-{name}"),
                _ => String::new(),
            };
            let first = !matches!(
                past.came,
                Came::First(_)
                    | Came::Duplicate
                    | Came::Declined(DeclineReason::DuplicateTransmission)
            );
            own == key && first
        })?;
        let amount = match found.step {
            Step::Authorize { amount, .. } | Step::Reverse { amount, .. } => amount,
            _ => 0,
        };
        let live = found.at.plus_ms(retention_ms) > self.at;
        live.then(|| (amount, found.came.clone()))
    }

    fn reversed(&self, card: u64, name: u8) -> bool {
        self.past.iter().any(|past| {
            let live = past.at.plus_ms(REVERSAL_MS) > self.at;
            let of = matches!(past.step, Step::Reverse { card: c, original, .. } if c == card && original == name);
            live && of && !matches!(past.came, Came::First(_) | Came::Duplicate)
        })
    }

    fn decide(&self, step: &Step) -> Came {
        match step {
            Step::Authorize {
                card,
                name,
                amount,
                mcc,
            } => self.authorize(*card, *name, *amount, *mcc),
            Step::Reverse {
                card,
                name,
                original,
                amount,
            } => self.reverse(*card, *name, *original, *amount),
            Step::TopUp { id, account, .. } => {
                let same = |past: &&Happened| {
                    let live = past.at.plus_ms(REVERSAL_MS) > self.at && past.came == Came::Done;
                    live && matches!(past.step, Step::TopUp { id: of, .. } if of == *id)
                };
                match self.past.iter().find(same).map(|past| &past.step) {
                    Some(Step::TopUp { account: of, .. }) if of == account => Came::AlreadyDone,
                    Some(_) => Came::Refused,
                    None => Came::Done,
                }
            }
            Step::Status { card, change } => {
                let (frozen, closed) = self.frozen(*card);
                match change {
                    StatusChange::Close if closed => Came::AlreadyDone,
                    StatusChange::Close => Came::Done,
                    _ if closed => Came::Refused,
                    StatusChange::Freeze if frozen => Came::AlreadyDone,
                    StatusChange::Unfreeze if !frozen => Came::AlreadyDone,
                    _ => Came::Done,
                }
            }
            Step::Controls { .. } | Step::Wait { .. } => Came::Done,
        }
    }

    fn authorize(&self, card: u64, name: u8, amount: i64, mcc: u16) -> Came {
        match self.first_answer(&format!("a{card}-{name}"), FIRST_ANSWER_MS) {
            Some((first, came)) if first == amount => return Came::First(Box::new(came)),
            Some(_) => return Came::Declined(DeclineReason::DuplicateTransmission),
            None => {}
        }
        if amount <= 0 {
            return Came::Declined(DeclineReason::InvalidAmount);
        }
        if self.reversed(card, name) {
            return Came::Declined(DeclineReason::ReversedBeforeOriginal);
        }
        match self.frozen(card) {
            (_, true) => return Came::Declined(DeclineReason::CardClosed),
            (true, _) => return Came::Declined(DeclineReason::CardFrozen),
            _ => {}
        }
        let account = account_of_card(card);
        let available = self.available(account);
        if amount > available {
            return Came::Declined(DeclineReason::InsufficientFunds);
        }
        let own = self.controls(card);
        let all = [
            (Scope::Program, program_controls()),
            (Scope::Account, account_controls(account)),
            (Scope::Card, own.clone()),
        ];
        for (scope, controls) in &all {
            for limit in &controls.limits {
                let (used, count) = self.used(*scope, card, limit.id, limit.window);
                if limit
                    .amount_minor
                    .is_some_and(|allowed| used + amount > allowed)
                {
                    return Came::Declined(match limit.window {
                        Window::Transaction => DeclineReason::PerTransactionLimitExceeded,
                        Window::Day => DeclineReason::DailyLimitExceeded,
                        Window::Week => DeclineReason::WeeklyLimitExceeded,
                        _ => DeclineReason::MonthlyLimitExceeded,
                    });
                }
                if limit.count.is_some_and(|allowed| count >= allowed) {
                    return Came::Declined(DeclineReason::VelocityCountExceeded);
                }
            }
        }
        if own.mcc.is_some_and(|list| !list.passes(mcc)) {
            return Came::Declined(DeclineReason::MccBlocked);
        }
        Came::Approved {
            available: available - amount,
        }
    }

    fn reverse(&self, card: u64, name: u8, original: u8, amount: i64) -> Came {
        match self.first_answer(&format!("r{card}-{name}"), FIRST_ANSWER_MS) {
            Some((first, came)) if first == amount => return Came::First(Box::new(came)),
            Some(_) => return Came::Duplicate,
            None => {}
        }
        let hold = self
            .holds()
            .into_iter()
            .rev()
            .find_map(|(_, past, closed)| match past.step {
                Step::Authorize {
                    card: c,
                    name: n,
                    amount,
                    ..
                } if closed.is_none() && c == card && n == original => Some(amount),
                _ => None,
            });
        match hold {
            Some(amount) => Came::Released(amount),
            None if self.reversed(card, original) => Came::AlreadyReversed,
            None => Came::Unknown,
        }
    }

    fn note(&mut self, step: &Step, came: Came) {
        let controls = match step {
            Step::Authorize { card, .. } => self.controls(*card),
            _ => Controls::default(),
        };
        let (at, step) = (self.at, step.clone());
        self.past.push(Happened {
            at,
            step,
            came,
            controls,
        });
    }
}

/// The engine, driven by the same steps.
struct Engine {
    switch: Switch,
    next_id: u64,
}

impl Engine {
    fn new(shards: usize) -> Engine {
        let mut switch = Switch::with_program(shards, program_controls());
        for tree in 1..=TREES {
            switch.open_account(tree, Controls::default());
            switch.open_sub_account(tree + 10, tree, Some(tree), account_controls(tree + 10));
            for account in [tree, tree + 10] {
                for card in 1..=2 {
                    switch.open_card(NewCard::of(account * 100 + card, tree, account));
                }
            }
        }
        Engine { switch, next_id: 1 }
    }

    fn step(&mut self, step: &Step) -> Came {
        self.next_id += 1;
        let (id, switch) = (self.next_id, &mut self.switch);
        let root_of = |card: u64| root_of_account(account_of_card(card));
        let outcome = match step {
            Step::Wait { minutes } => {
                switch.at = switch.at.plus_ms(minutes * MINUTE_MS);
                return Came::Done;
            }
            Step::Authorize {
                card,
                name,
                amount,
                mcc,
            } => {
                let mut request = purchase(id, *card, usd(*amount), &format!("{card}-{name}"));
                request.merchant.mcc = *mcc;
                switch.command(AccountId(root_of(*card)), Action::Authorize(request))
            }
            Step::Reverse {
                card,
                name,
                original,
                amount,
            } => {
                let (name, original) = (format!("{card}-{name}"), format!("{card}-{original}"));
                let request = reversal(id, *card, usd(*amount), &name, &original);
                switch.command(AccountId(root_of(*card)), Action::Reverse(request))
            }
            Step::TopUp {
                id,
                account,
                amount,
            } => switch.top_up(*id, root_of_account(*account), *account, usd(*amount)),
            Step::Status { card, change } => switch.change_status(root_of(*card), *card, *change),
            Step::Controls { card, choice } => {
                switch.change_controls(root_of(*card), *card, controls_of(*choice))
            }
        };
        came_of(&outcome)
    }

    /// What must hold after every step, whatever came before it.
    fn assert_sound(&self, naive: &Naive) {
        for tree in 1..=TREES {
            let state = self.switch.world.shard(AccountId(tree));
            let mut posted_of_tree = 0;
            for account in [tree, tree + 10] {
                let found = state.account(AccountId(account)).unwrap();
                assert_eq!(found.posted_minor, naive.posted(account));
                assert_eq!(found.held_minor, naive.held(account));
                assert_eq!(found.open_holds as usize, naive.open_holds(account));
                assert!(found.available_minor() >= 0);
                let holds = state.holds.iter().filter(|h| h.account_id == found.id);
                assert_eq!(holds.map(|h| h.amount_minor).sum::<i64>(), found.held_minor);
                posted_of_tree += found.posted_minor + found.funds_received_minor;
                self.assert_counters(naive, account);
            }
            assert_eq!(posted_of_tree, 0);
        }
    }

    fn assert_counters(&self, naive: &Naive, account: u64) {
        let root = root_of_account(account);
        let state = self.switch.world.shard(AccountId(root));
        let found = state.account(AccountId(account)).unwrap();
        let card = account * 100 + 1;
        let check =
            |scope, counters: &cardswitch::engine::state::Counters, card, controls: Controls| {
                for limit in controls.limits {
                    let Some(window) = window_end(limit.window, "UTC", naive.at) else {
                        continue;
                    };
                    let expected = naive.used(scope, card, limit.id, limit.window);
                    assert_eq!(
                        counters.used(limit.id, window),
                        expected,
                        "{scope:?} {limit:?}"
                    );
                }
            };
        check(
            Scope::Account,
            &found.counters,
            card,
            account_controls(account),
        );
        let root = state.account(AccountId(root)).unwrap();
        check(
            Scope::Program,
            &root.program_counters,
            card,
            program_controls(),
        );
        for card in [card, card + 1] {
            let counters = &state.card(CardId(card)).unwrap().counters;
            check(Scope::Card, counters, card, naive.controls(card));
        }
    }
}

fn came_of(outcome: &Outcome) -> Came {
    match outcome {
        Outcome::Event(Event::Authorized(authorized)) => match &authorized.decision {
            Decision::Approved { .. } => Came::Approved {
                available: authorized.available_minor,
            },
            Decision::Declined(decline) => Came::Declined(decline.reason),
        },
        Outcome::Event(Event::Reversed(reversed)) => match reversed.outcome {
            ReversalOutcome::Released { amount_minor, .. } => Came::Released(amount_minor),
            ReversalOutcome::OriginalUnknown => Came::Unknown,
            ReversalOutcome::AlreadyReversed => Came::AlreadyReversed,
            ReversalOutcome::Duplicate => Came::Duplicate,
        },
        Outcome::Event(_) => Came::Done,
        Outcome::FirstAnswer(Answer::Authorization { result, .. }) => {
            Came::First(Box::new(match result {
                AnswerResult::Approved {
                    available_minor, ..
                } => Came::Approved {
                    available: *available_minor,
                },
                AnswerResult::Declined(reason) => Came::Declined(*reason),
            }))
        }
        // The network hears the same for a release now and one before.
        Outcome::FirstAnswer(Answer::Reversal { result, .. }) => {
            Came::First(Box::new(match result {
                ReversalResult::Accepted => Came::AlreadyReversed,
                ReversalResult::OriginalUnknown => Came::Unknown,
                ReversalResult::Duplicate => Came::Duplicate,
            }))
        }
        Outcome::AlreadyDone => Came::AlreadyDone,
        Outcome::Refused(_) => Came::Refused,
    }
}

fn as_heard(came: Came) -> Came {
    match came {
        Came::First(first) => Came::First(Box::new(match *first {
            Came::Released(_) => Came::AlreadyReversed,
            other => other,
        })),
        other => other,
    }
}

/// Runs the steps through both; gives the engine for a closer look.
fn run_both(steps: &[Step], shards: usize) -> Engine {
    let mut engine = Engine::new(shards);
    let mut naive = Naive::default();
    for (place, step) in steps.iter().enumerate() {
        naive.at = engine.switch.at;
        let expected = naive.decide(step);
        let came = engine.step(step);
        assert_eq!(
            came,
            as_heard(expected.clone()),
            "step {place} of {steps:#?}"
        );
        naive.note(step, expected);
        naive.at = engine.switch.at;
        engine.assert_sound(&naive);
    }
    engine
}

fn any_card() -> impl Strategy<Value = u64> {
    (1..=TREES, any::<bool>(), 1u64..=2)
        .prop_map(|(tree, sub, card)| (if sub { tree + 10 } else { tree }) * 100 + card)
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = || prop_oneof![1 => Just(0i64), 1 => Just(-5), 20 => 1i64..700];
    let status = prop_oneof![
        4 => Just(StatusChange::Freeze),
        8 => Just(StatusChange::Unfreeze),
        1 => Just(StatusChange::Close),
    ];
    let account = (1..=TREES, any::<bool>()).prop_map(|(t, sub)| if sub { t + 10 } else { t });
    let minutes = prop_oneof![
        0i64..3,
        10i64..20,
        300i64..900,
        1_400i64..1_500,
        9_000i64..50_000
    ];
    let mcc = prop_oneof![4 => Just(5411u16), 1 => Just(7995)];
    let step = prop_oneof![
        10 => (any_card(), 0u8..6, amount(), mcc)
            .prop_map(|(card, name, amount, mcc)| Step::Authorize { card, name, amount: if amount == 0 { -1 } else { amount }, mcc }),
        5 => (any_card(), 0u8..4, 0u8..6, 1i64..4)
            .prop_map(|(card, name, original, amount)| Step::Reverse { card, name, original, amount }),
        4 => (0u64..12, account, 1i64..3_000).prop_map(|(id, account, amount)| {
            // Ids of top-ups are given out once for all trees.
            Step::TopUp { id: id * 10 + root_of_account(account), account, amount }
        }),
        1 => (any_card(), status).prop_map(|(card, change)| Step::Status { card, change }),
        1 => (any_card(), 0usize..4).prop_map(|(card, choice)| Step::Controls { card, choice }),
        3 => minutes.prop_map(|minutes| Step::Wait { minutes }),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_decides_as_the_naive_one_does(steps in any_steps()) {
        run_both(&steps, 2);
    }

    #[test]
    fn shards_replays_and_snapshots_make_no_difference(steps in any_steps(), cut in 0usize..200) {
        let engines = [1, 2, 8].map(|shards| {
            let mut engine = Engine::new(shards);
            let came: Vec<_> = steps.iter().map(|step| engine.step(step)).collect();
            (engine, came)
        });
        let (first, came) = &engines[0];
        let (trees, all) = (tree_hashes(&first.switch.world), state_hash(&first.switch.world));
        prop_assert_eq!(trees.len() as u64, TREES);
        for (engine, other) in &engines {
            prop_assert_eq!(other, came);
            prop_assert_eq!(&tree_hashes(&engine.switch.world), &trees);
            prop_assert_eq!(&engine.switch.records, &first.switch.records);
        }
        for shards in [1, 2, 8] {
            let records = &first.switch.records;
            prop_assert_eq!(state_hash(&first.switch.replayed(shards)), all);
            let (before, after) = records.split_at(cut.min(records.len()));
            let half = fold(World::new(2), before);
            let restored = through_snapshot(&half, shards);
            prop_assert_eq!(state_hash(&restored), state_hash(&half));
            prop_assert_eq!(state_hash(&fold(restored, after)), all);
        }
    }

    #[test]
    fn a_restored_world_goes_on_as_the_one_that_was_never_stopped(steps in any_steps(), cut in 0usize..120) {
        let (before, after) = steps.split_at(cut.min(steps.len()));
        let mut engine = Engine::new(2);
        before.iter().for_each(|step| drop(engine.step(step)));
        for shards in [1, 3] {
            let restored = through_snapshot(&engine.switch.world, shards);
            let switch = Switch { world: restored, at: engine.switch.at, records: vec![] };
            let mut other = Engine { switch, next_id: engine.next_id };
            let mut same = Engine {
                switch: Switch { world: engine.switch.world.clone(), at: engine.switch.at, records: vec![] },
                next_id: engine.next_id,
            };
            for step in after {
                prop_assert_eq!(other.step(step), same.step(step));
            }
            prop_assert_eq!(state_hash(&other.switch.world), state_hash(&same.switch.world));
        }
    }
}

fn through_snapshot(world: &World, shards: usize) -> World {
    let mut bytes = Vec::new();
    snapshot::write(world, &mut bytes).unwrap();
    let restored = snapshot::read(&mut &bytes[..], shards).unwrap();
    let mut again = Vec::new();
    snapshot::write(&restored, &mut again).unwrap();
    if world.shards.len() == shards {
        assert_eq!(bytes, again, "a snapshot of a restored world differs");
    }
    restored
}

/// All sequences up to this length of what can happen to one purchase of one card.
const ORDERS_LENGTH: usize = 6;

#[test]
fn every_order_of_purchase_repeat_reversals_and_freeze() {
    let card = 101;
    let reverse = |name| Step::Reverse {
        card,
        name,
        original: 1,
        amount: 300,
    };
    let kinds = [
        Step::Authorize {
            card,
            name: 1,
            amount: 300,
            mcc: 5411,
        },
        Step::Authorize {
            card,
            name: 1,
            amount: 301,
            mcc: 5411,
        },
        reverse(1),
        reverse(2),
        Step::Status {
            card,
            change: StatusChange::Freeze,
        },
        Step::Wait { minutes: 16 },
    ];
    let mut orders = 0;
    for length in 1..=ORDERS_LENGTH {
        for number in 0..kinds.len().pow(length as u32) {
            let mut rest = number;
            let mut steps = vec![Step::TopUp {
                id: 1,
                account: 1,
                amount: 1_000,
            }];
            for _ in 0..length {
                steps.push(kinds[rest % kinds.len()].clone());
                rest /= kinds.len();
            }
            run_order(&steps);
            orders += 1;
        }
    }
    assert_eq!(orders, (6usize.pow(7) - 6) / 5);
}

/// As `run_both`, in one small world per order.
fn run_order(steps: &[Step]) {
    let mut switch = Switch::new(1);
    switch.open_account(1, Controls::default());
    switch.open_card(NewCard::of(101, 1, 1));
    let mut engine = Engine { switch, next_id: 1 };
    let mut naive = Naive::default();
    for step in steps {
        naive.at = engine.switch.at;
        let expected = naive.decide(step);
        assert_eq!(engine.step(step), as_heard(expected.clone()), "{steps:#?}");
        naive.note(step, expected);
        let account = engine.switch.world.shards[0].account(AccountId(1)).unwrap();
        assert_eq!(account.held_minor, naive.held(1), "{steps:#?}");
        assert_eq!(account.open_holds as usize, naive.open_holds(1));
    }
}
