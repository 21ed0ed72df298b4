//! What a message costs a shard: over a million random cards in batches that are touched first, and on
//! one hot card; with no controls, with twenty, and with twenty and ten risk rules. What a record and a reversal cost, what memory a card
//! takes, how long the longest batch takes while tables grow to ten million entries, and what watched accounts cost the others.
//!
//! Medians over rounds with the least and the most, in nanoseconds of this thread's processor time per
//! message: the machine may be shared, and waiting for a core is not deciding. `DECIDE_CARDS`,
//! `DECIDE_MESSAGES` (of a round) and `DECIDE_HOLDS` take other numbers (no holds leave growth out),
//! `DECIDE_CONTROLS=20`, `=no` or `=rules` some of them, `DECIDE_WATCHED` other numbers of accounts that are watched.

#[path = "../tests/engine_support/mod.rs"]
mod engine_support;

use cardswitch::engine::apply::apply;
use cardswitch::engine::authorizations::Authorization;
use cardswitch::engine::command::*;
use cardswitch::engine::controls::*;
use cardswitch::engine::counters::Counter;
use cardswitch::engine::decide::{Outcome, decide};
use cardswitch::engine::engine_settings::EngineSettings;
use cardswitch::engine::event::Event;
use cardswitch::engine::facts::*;
use cardswitch::engine::first_answer::FirstAnswer;
use cardswitch::engine::ids::*;
use cardswitch::engine::registry::{IssueCard, Program, RegistryAction, RegistryCommand};
use cardswitch::engine::registry_decide;
use cardswitch::engine::risk::compile::compile;
use cardswitch::engine::risk::fact_values::FactValues;
use cardswitch::engine::risk::rule::{RiskRule, RuleAction, RuleState};
use cardswitch::engine::state::*;
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::touch::touch_all;
use cardswitch::engine::watch::ChangeAccount;
use cardswitch::engine::world::World;
use cardswitch::engine::{record, registry::RegistryOutcome};
use engine_support::{USD, key_of, limit, time, usd};
use std::hint::black_box;
use std::time::{Duration, Instant};

const CARDS: u64 = 1_000_000;
/// Messages that are touched, and then decided.
const BATCH: usize = 64;
const ROUNDS: usize = 7;
const MESSAGES: usize = 200_000;
/// Purchases that are open at once when growth is measured.
const HOLDS: u64 = 10_000_000;

/// Ids as the process gives them out: the time and a count, so that they differ in the low bits.
const FIRST_ID: u64 = 1_795_500_000_000 << 20;
const PROGRAM: ProgramId = ProgramId(FIRST_ID);

fn account_of(card: u64) -> AccountId {
    AccountId(FIRST_ID + (1 << 32) + card)
}

fn card_of(card: u64) -> CardId {
    CardId(FIRST_ID + (1 << 33) + card)
}

/// Three lists, a limit per transaction, and so many windowed limits.
fn controls(first_id: u64, windows: &[Window]) -> Controls {
    let id = |place: u64| FIRST_ID + (1 << 30) + first_id * 16 + place;
    let each = limit(id(0), Window::Transaction, Some(90_000_000), None);
    let windowed = windows.iter().enumerate().map(|(place, window)| {
        let mut windowed = limit(id(1 + place as u64), *window, Some(90_000_000), None);
        windowed.time_zone = ["UTC", "Europe/Berlin"][place % 2].into();
        windowed
    });
    let countries = [*b"IR", *b"KP", *b"SY"].map(Country).to_vec();
    Controls {
        limits: [each].into_iter().chain(windowed).collect(),
        mcc: Some(List::new(
            ControlId(id(5)),
            ListMode::Block,
            vec![6051, 7995, 5967],
        )),
        countries: Some(List::new(ControlId(id(6)), ListMode::Block, countries)),
        currencies: Some(List::new(ControlId(id(7)), ListMode::Allow, vec![USD])),
        ..Controls::default()
    }
}

/// Twenty: twelve lists and per-transaction limits, eight windows (four of the card, two of the
/// account, two of the program, which stand for those of a link).
fn twenty() -> [Controls; 3] {
    [
        controls(1, &[Window::Day, Window::Month]),
        controls(2, &[Window::Day, Window::Week]),
        controls(3, &[Window::Day, Window::Week, Window::Month, Window::Year]),
    ]
}

/// Ten, of which three ask for what the card did before, and none declines the purchases here.
const RULES: [&str; 10] = [
    "amount > 50000 && country != 'US'",
    "declines_last_hour >= 5",
    "approvals_last_hour >= 1000000 || approved_amount_last_day + amount > 500000000000",
    "channel == 'ecommerce' && cvv == 'mismatch' && first_use_of_merchant",
    "mcc in ['6011', '6051'] && card_age_seconds < 86400",
    "entry_mode == 'fallback' && amount > 100",
    "merchant_name.startsWith('CASINO') || merchant_name.contains('CRYPTO')",
    "country in ['IR', 'KP', 'SY', 'CU'] && !country_is_acquirers",
    "available - amount < 0 && kind == 'purchase'",
    "hour_utc < 5 && weekday_utc in ['sat', 'sun'] && amount > 20000",
];

fn rule(place: usize, at: Timestamp) -> RegistryAction {
    RegistryAction::CreateRiskRule(Box::new(RiskRule {
        id: RiskRuleId(FIRST_ID + (1 << 31) + place as u64),
        program_id: PROGRAM,
        name: "rule".into(),
        expression: RULES[place].into(),
        action: RuleAction::Decline,
        state: RuleState::Active,
        version: 1,
        created_at: at,
    }))
}

/// Each rule by itself, on one request.
fn measure_rules(count: usize, state: &State, at: Timestamp) {
    let Action::Authorize(authorize) = purchase_of(7, 1 << 30, at).action else {
        panic!("not a purchase");
    };
    let card = state.card(authorize.card_id).unwrap();
    let mut gathering = Rounds::default();
    let account = state.account_of(card);
    let asked_minor = Some(authorize.amounts.transaction.amount_minor);
    let settings = EngineSettings::default();
    let facts = || {
        FactValues::of(
            at,
            &authorize,
            (card, None),
            account,
            asked_minor,
            &settings,
        )
    };
    for _ in 0..ROUNDS {
        gathering.0.push(each(count, || {
            (0..count).for_each(|_| {
                black_box(black_box(&facts)());
            })
        }));
    }
    println!("gathering the facts of a request: {gathering}");
    let facts = facts();
    for source in RULES {
        let condition = compile(source).unwrap().condition;
        let mut evaluating = Rounds::default();
        for _ in 0..ROUNDS {
            evaluating.0.push(each(count, || {
                (0..count).for_each(|_| {
                    black_box(black_box(&condition).evaluate(black_box(&facts))).ok();
                })
            }));
        }
        println!("a rule, evaluated: {evaluating}  {source}");
    }
}

fn world(cards: u64, controls: [Controls; 3], rules: usize, at: Timestamp) -> World {
    let [of_program, of_account, of_card] = controls;
    let mut world = World::new(1);
    let registry = |world: &mut World, action| {
        let command = RegistryCommand { at, action };
        let RegistryOutcome::Event(event) = registry_decide::decide(&world.registry, &command)
        else {
            panic!("the registry refused");
        };
        world.apply(&record::Record::Registry {
            engine_version: 1,
            command,
            event,
            requester: None,
        });
    };
    let program = Program {
        id: PROGRAM,
        name: "Ads".into(),
        network: "visa".into(),
        bin: arrayvec::ArrayString::from("411111").unwrap(),
        currency: USD,
        controls: of_program,
        hold_expiry: Default::default(),
        created_at: at,
        foreign_exchange_mark_up_basis_points: 0,
        ..Program::default()
    };
    registry(&mut world, RegistryAction::CreateProgram(Box::new(program)));
    for place in 0..rules {
        registry(&mut world, rule(place, at));
    }
    for card in 0..cards {
        let root = account_of(card);
        let expiry = Expiry::new(2029, 12).unwrap();
        let issue = IssueCard {
            card_id: card_of(card),
            root,
            account_id: root,
            program_id: PROGRAM,
            card_type: CardType::Virtual,
            pan_hash: key_of(&card.to_string()),
            sealed_pan: [7u8; 40].into_iter().collect(),
            first6: 411_111,
            last4: 1_111,
            expiry,
            links: Default::default(),
            controls: of_card.clone(),
            wallet: None,
            cardholder_id: None,
            paid_by: None,
            shipping: None,
        };
        let open = OpenAccount {
            account_id: root,
            parent_id: None,
            program_id: PROGRAM,
            currency: USD,
            name: None,
            controls: of_account.clone(),
        };
        let top_up = TopUp {
            top_up_id: TopUpId(card),
            account_id: root,
            amount: usd(100_000_000),
            method: "internal".into(),
            external_reference: None,
            tenant: None,
        };
        let open_card = OpenCard {
            card_id: card_of(card),
            account_id: root,
            card_type: CardType::Virtual,
            first6: 411_111,
            last4: 1_111,
            expiry,
            links: Default::default(),
            controls: of_card.clone(),
            wallet: None,
            holder: None,
            paid_by: None,
            shipping: None,
            issued_at: at,
        };
        registry(&mut world, RegistryAction::IssueCard(Box::new(issue)));
        world.pending_cards.clear();
        let state = &mut world.shards[0];
        carry_out(state, root, at, Action::OpenAccount(Box::new(open)));
        // So long ago that nothing of it is remembered.
        let long_ago = Timestamp(0);
        carry_out(state, root, long_ago, Action::TopUp(Box::new(top_up)));
        carry_out(state, root, at, Action::OpenCard(Box::new(open_card)));
    }
    world
}

fn carry_out(state: &mut State, root: AccountId, at: Timestamp, action: Action) -> Event {
    let command = Command { root, at, action };
    match decide(state, &command) {
        Outcome::Event(event) => {
            apply(state, &command, &event);
            event
        }
        other => panic!("{other:?}"),
    }
}

/// Card numbers in no order (a full-period linear congruence).
struct Random {
    state: u64,
    cards: u64,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % self.cards
    }
}

fn purchase_of(card: u64, number: u64, at: Timestamp) -> Command {
    let mut authorize = engine_support::purchase(0, 0, usd(1_250), "");
    authorize.merchant.id = arrayvec::ArrayString::from("000000012345678").unwrap();
    authorize.merchant.name = arrayvec::ArrayString::from("EXAMPLE STORE 0042").unwrap();
    authorize.reference = NetworkReference {
        network: arrayvec::ArrayString::from("visa").unwrap(),
        acquirer_id: arrayvec::ArrayString::from("412345").unwrap(),
        terminal_id: arrayvec::ArrayString::from("TERM0001").unwrap(),
        rrn: arrayvec::ArrayString::from("632900123456").unwrap(),
        stan: 123_456,
    };
    let mut action = Action::Authorize(authorize);
    name(&mut action, card_of(card), number);
    let root = account_of(card);
    Command { root, at, action }
}

fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn print_sizes() {
    println!("sizes in bytes:");
    for (name, size) in [
        ("Command", size_of::<Command>()),
        ("Authorize", size_of::<Authorize>()),
        ("Event", size_of::<Event>()),
        ("Outcome", size_of::<Outcome>()),
        ("Account", size_of::<Account>()),
        ("Card", size_of::<Card>()),
        ("Counter", size_of::<Counter>()),
        ("Authorization", size_of::<Authorization>()),
        ("FirstAnswer", size_of::<FirstAnswer>()),
    ] {
        println!("  {name:12} {size}");
    }
}

/// How much processor time each of so many took.
fn each(count: usize, work: impl FnOnce()) -> u64 {
    let start = processor_time();
    work();
    (processor_time() - start).as_nanos() as u64 / count as u64
}

/// What was measured round by round.
#[derive(Default)]
struct Rounds(Vec<u64>);

impl std::fmt::Display for Rounds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        let median = sorted[sorted.len() / 2];
        write!(formatter, "{median} ns [{least}, {most}]")
    }
}

/// What the shard does with messages, but for the journal and the answers: touch a batch, then decide
/// each, write its record and apply it.
fn carry_out_all(state: &mut State, messages: &mut Messages, count: usize) {
    let mut records = Vec::new();
    for _ in 0..count / BATCH {
        let batch = messages.next_batch();
        touch_batch(state, batch);
        records.clear();
        for command in batch.iter() {
            if let Outcome::Event(event) = decide(state, command) {
                record::write_shard(&mut records, command, &event, None);
                apply(state, command, &event);
            }
        }
        black_box(&records);
    }
}

fn decide_all(state: &State, messages: &mut Messages, count: usize, touching: bool) {
    for _ in 0..count / BATCH {
        let batch = messages.next_batch();
        if touching {
            touch_batch(state, batch);
        }
        for command in batch.iter() {
            black_box(decide(state, command));
        }
    }
}

/// Messages over random cards. They come hot from the network: only the cards' memory is cold, so one
/// batch is made over and over.
struct Messages {
    batch: Vec<Command>,
    random: Random,
    number: u64,
}

impl Messages {
    fn next_batch(&mut self) -> &[Command] {
        for command in &mut self.batch {
            let card = self.random.next();
            command.root = account_of(card);
            self.number += 1;
            name(&mut command.action, card_of(card), self.number);
        }
        &self.batch
    }
}

fn touch_batch(state: &State, batch: &[Command]) {
    let actions = batch.iter().map(|command| &command.action);
    black_box(touch_all(state, actions));
}

/// Makes a purchase or its reversal the one of this number.
fn name(action: &mut Action, card_id: CardId, number: u64) {
    let mixed = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    // An RRN, and a STAN with the time of transmission.
    let mut names = MatchKeys::default();
    names.by_authority[1] = MatchKey(mixed as u64);
    names.by_authority[2] = MatchKey((mixed >> 64) as u64);
    match action {
        Action::Authorize(authorize) => {
            authorize.authorization_id.0 = FIRST_ID + (1 << 40) + number;
            authorize.card_id = card_id;
            authorize.repeat_key = RepeatKey(mixed);
            authorize.match_keys = names;
        }
        Action::Reverse(reverse) => {
            reverse.card_id = card_id;
            reverse.repeat_key = RepeatKey(!mixed);
            reverse.original_keys = names;
        }
        _ => panic!("neither a purchase nor its reversal"),
    }
}

struct Sizes {
    cards: u64,
    /// Of a round.
    messages: usize,
}

/// Rounds a day apart, each reversed before the next, whose messages push out the first answers of this.
fn measure_messages(name: &str, sizes: &Sizes, state: &mut State, at: Timestamp) {
    let (cards, count) = (sizes.cards, sizes.messages);
    let [
        mut making,
        mut deciding,
        mut waiting,
        mut whole,
        mut reversing,
    ] = [(); 5].map(|()| Rounds::default());
    let mut bytes = 0;
    for round in 0..ROUNDS {
        let at = at.plus_ms(round as i64 * 86_400_000);
        let messages = |reversals| {
            let random = Random {
                state: 7 + round as u64,
                cards,
            };
            let number = (round * count) as u64;
            let mut batch: Vec<_> = (0..BATCH as u64)
                .map(|place| purchase_of(place, 0, at))
                .collect();
            for command in batch.iter_mut().filter(|_| reversals) {
                command.action = Action::Reverse(Reverse::default());
            }
            Messages {
                batch,
                random,
                number,
            }
        };
        let mut none = messages(false);
        making.0.push(each(count, || {
            (0..count / BATCH).for_each(|_| {
                black_box(none.next_batch());
            })
        }));
        let mut purchases = messages(false);
        waiting.0.push(each(count, || {
            decide_all(state, &mut messages(false), count, false)
        }));
        deciding.0.push(each(count, || {
            decide_all(state, &mut messages(false), count, true)
        }));
        let before = memory_bytes();
        whole
            .0
            .push(each(count, || carry_out_all(state, &mut purchases, count)));
        bytes = bytes.max(memory_bytes().saturating_sub(before) / count as u64);
        let mut reversals = messages(true);
        reversing
            .0
            .push(each(count, || carry_out_all(state, &mut reversals, count)));
    }
    println!("{name}: making a message, in each of the next: {making}");
    println!("{name}, random cards: touch, decide: {deciding}");
    println!("{name}, random cards: touch, decide, write the record, apply: {whole}");
    println!("{name}, random cards: decide without touching: {waiting}");
    println!(
        "{name}, random cards: touch, decide, write the record, apply a reversal: {reversing}"
    );
    println!("{name}: {bytes} bytes a hold with its first answer, counters and tables");
}

fn measure_hot_card(name: &str, count: usize, state: &mut State, at: Timestamp) {
    let hot = purchase_of(7, 1 << 30, at);
    let [mut deciding, mut writing, mut reading] = [(); 3].map(|()| Rounds::default());
    let Outcome::Event(event) = decide(state, &hot) else {
        panic!("not decided");
    };
    let Event::Authorized(authorized) = &event else {
        panic!("not an authorization");
    };
    let decision = &authorized.decision;
    assert!(authorized.hold.is_some(), "declined: {decision:?}");
    let mut bytes = Vec::with_capacity(1 << 10);
    for _ in 0..ROUNDS {
        let repeat = |work: &mut dyn FnMut()| each(count, || (0..count).for_each(|_| work()));
        deciding.0.push(repeat(&mut || {
            drop(black_box(decide(state, black_box(&hot))))
        }));
        writing.0.push(repeat(&mut || {
            bytes.clear();
            record::write_shard(&mut bytes, black_box(&hot), black_box(&event), None);
        }));
        reading.0.push(repeat(&mut || {
            drop(black_box(record::read(black_box(&bytes))))
        }));
    }
    println!("{name}, one hot card: decide: {deciding}");
    println!("{name}: write a record: {writing}; read it: {reading}");
    println!(
        "{name}: a record takes {} bytes, {} of them the trace of {} steps",
        bytes.len(),
        authorized.trace.as_bytes().len(),
        authorized.trace.steps().count()
    );
}

/// Holds, their names and first answers up to `holds` at once, on a thousand cards. The longest batch is
/// the longest that a message waits for tables to grow.
fn measure_growth(holds: u64, at: Timestamp) {
    let cards = 1_000.min(holds);
    let mut world = world(cards, Default::default(), 0, at);
    let state = &mut world.shards[0];
    let batch = (0..BATCH as u64).map(|place| purchase_of(place, 0, at));
    let (batch, random) = (batch.collect(), Random { state: 5, cards });
    let mut messages = Messages {
        batch,
        random,
        number: 0,
    };
    let (mut wall, mut processor) = (vec![], vec![]);
    for _ in (0..holds).step_by(BATCH) {
        let (start, start_processor) = (Instant::now(), processor_time());
        carry_out_all(state, &mut messages, BATCH);
        wall.push(start.elapsed());
        processor.push(processor_time() - start_processor);
    }
    assert_eq!(
        state.authorizations.open_len() as u64,
        holds.next_multiple_of(BATCH as u64)
    );
    for (what, mut times) in [("wall", wall), ("processor", processor)] {
        times.sort_unstable();
        let (longest, p50) = (times[times.len() - 1], times[times.len() / 2]);
        let p9999 = times[times.len() - 1 - times.len() / 10_000];
        println!(
            "growing to {holds} holds, batches of {BATCH}, {what} time: p50 {p50:?}, p99.99 {p9999:?}, longest {longest:?}"
        );
    }
}

/// What a purchase costs beside so many accounts of its tree that are watched and that nothing happens to.
fn measure_watched(watched: u64, count: usize, at: Timestamp) {
    let mut world = world(1, Default::default(), 0, at);
    let state = &mut world.shards[0];
    let root = account_of(0);
    for place in 1..=watched {
        let open = OpenAccount {
            account_id: account_of(place),
            parent_id: Some(root),
            program_id: PROGRAM,
            currency: USD,
            name: None,
            controls: Controls::default(),
        };
        let mut change = ChangeAccount::nothing(account_of(place));
        change.low_below_minor = Some(Some(0));
        carry_out(state, root, at, Action::OpenAccount(Box::new(open)));
        carry_out(state, root, at, Action::ChangeAccount(Box::new(change)));
    }
    let mut purchases = Rounds::default();
    for round in 0..ROUNDS as u64 {
        let commands: Vec<_> = (0..count as u64)
            .map(|place| purchase_of(0, (round << 32) + place, at))
            .collect();
        purchases.0.push(each(count, || {
            for command in &commands {
                carry_out(state, root, at, command.action.clone());
            }
        }));
    }
    println!(
        "beside {watched} watched accounts of the tree: decide, apply a purchase: {purchases}"
    );
}

fn main() {
    // `cargo test` and `cargo bench -- --test` only want to know that it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    let number = |name, usual, few| {
        let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
        given.unwrap_or(if quick { few } else { usual })
    };
    let sizes = Sizes {
        cards: number("DECIDE_CARDS", CARDS, 1_000),
        messages: number("DECIDE_MESSAGES", MESSAGES as u64, 1_000) as usize,
    };
    let holds = number("DECIDE_HOLDS", HOLDS, 1_000);
    print_sizes();
    let at = time("2026-11-24T10:00:00Z");
    let only = std::env::var("DECIDE_CONTROLS").unwrap_or_default();
    let controls = [
        ("no controls", Default::default(), 0),
        ("20 controls", twenty(), 0),
        ("20 controls and 10 rules", twenty(), RULES.len()),
    ];
    for (name, controls, rules) in controls
        .into_iter()
        .filter(|(name, ..)| name.contains(&only))
    {
        let before = memory_bytes();
        let mut world = world(sizes.cards, controls, rules, at);
        let bytes = (memory_bytes() - before) / sizes.cards;
        println!("{name}: {bytes} bytes a card with its account, in shard and registry together");
        if rules > 0 {
            measure_rules(sizes.messages, &world.shards[0], at);
        }
        measure_hot_card(name, sizes.messages, &mut world.shards[0], at);
        measure_messages(name, &sizes, &mut world.shards[0], at);
    }
    if holds > 0 {
        measure_growth(holds, at);
    }
    for watched in [0, number("DECIDE_WATCHED", 20_000, 100)] {
        measure_watched(watched, 1_000.min(sizes.messages), at);
    }
}
