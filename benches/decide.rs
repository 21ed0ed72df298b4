//! What a decision costs: on one hot card, on a million random cards one by one and in batches that
//! are touched first, with no controls and with twenty; what a record costs, and how much memory a
//! card takes. Sizes and the cost of deciding and applying together are printed at the start.

#[path = "../tests/engine_support/mod.rs"]
mod engine_support;

use cardswitch::engine::apply::apply;
use cardswitch::engine::command::*;
use cardswitch::engine::controls::*;
use cardswitch::engine::decide::{Outcome, decide};
use cardswitch::engine::event::Event;
use cardswitch::engine::facts::*;
use cardswitch::engine::ids::*;
use cardswitch::engine::registry::{IssueCard, Program, RegistryAction, RegistryCommand};
use cardswitch::engine::registry_decide;
use cardswitch::engine::state::*;
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::touch::touch_all;
use cardswitch::engine::world::World;
use cardswitch::engine::{record, registry::RegistryOutcome};
use criterion::{Criterion, criterion_group, criterion_main};
use engine_support::{USD, key_of, limit, time, usd};
use std::hint::black_box;
use std::time::Duration;

const CARDS: u64 = 1_000_000;
const BATCH: usize = 64;

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

fn world(controls: [Controls; 3], at: Timestamp) -> World {
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
        });
    };
    let program = Program {
        id: PROGRAM,
        name: "Ads".into(),
        network: "visa".into(),
        bin: arrayvec::ArrayString::from("411111").unwrap(),
        currency: USD,
        controls: of_program,
        created_at: at,
    };
    registry(&mut world, RegistryAction::CreateProgram(Box::new(program)));
    for card in 0..CARDS {
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
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % CARDS
    }
}

fn purchase_of(card: u64, number: u64, at: Timestamp) -> Command {
    let mut authorize = engine_support::purchase(FIRST_ID + (1 << 40) + number, 0, usd(1_250), "");
    authorize.card_id = card_of(card);
    authorize.merchant.id = arrayvec::ArrayString::from("000000012345678").unwrap();
    authorize.merchant.name = arrayvec::ArrayString::from("EXAMPLE STORE 0042").unwrap();
    authorize.reference = NetworkReference {
        network: arrayvec::ArrayString::from("visa").unwrap(),
        acquirer_id: arrayvec::ArrayString::from("412345").unwrap(),
        terminal_id: arrayvec::ArrayString::from("TERM0001").unwrap(),
        rrn: arrayvec::ArrayString::from("632900123456").unwrap(),
        stan: 123_456,
    };
    let mixed = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    authorize.repeat_key = RepeatKey(mixed);
    authorize.match_keys.rrn = MatchKey(mixed as u64);
    authorize.match_keys.sent = MatchKey((mixed >> 64) as u64);
    Command {
        root: account_of(card),
        at,
        action: Action::Authorize(authorize),
    }
}

fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Processor time of this thread: the machine is shared, and waiting for a core is not deciding.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next();
    Duration::from_nanos(first.and_then(|first| first.parse().ok()).unwrap_or(0))
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
        ("Hold", size_of::<Hold>()),
        ("FirstAnswer", size_of::<FirstAnswer>()),
    ] {
        println!("  {name:12} {size}");
    }
}

/// Decides and applies over random cards, in batches, with or without the touching pass.
fn carry_out_all(state: &mut State, commands: &[Command], touching: bool) -> Duration {
    let start = processor_time();
    for batch in commands.chunks(BATCH) {
        if touching {
            black_box(touch_all(
                state,
                batch.iter().map(|command| &command.action),
            ));
        }
        for command in batch {
            if let Outcome::Event(event) = decide(state, command) {
                apply(state, command, &event);
            }
        }
    }
    processor_time() - start
}

/// Rounds a day apart, each reversed before the next, so that the tables have their size but are empty.
fn measure_whole(name: &str, world: &mut World, at: Timestamp) {
    const MANY: usize = 200_000;
    let mut random = Random(7);
    let state = &mut world.shards[0];
    for round in 0..7 {
        let at = at.plus_ms(round * 86_400_000);
        let first = round as u64 * MANY as u64;
        let numbers = (0..MANY as u64).map(|place| first + place);
        let commands: Vec<_> = numbers.map(|n| purchase_of(random.next(), n, at)).collect();
        let before = memory_bytes();
        let took = carry_out_all(state, &commands, round % 2 == 0);
        let bytes = memory_bytes().saturating_sub(before) / MANY as u64;
        let how = ["touched in batches", "one by one"][round as usize % 2];
        let each = took.as_nanos() / MANY as u128;
        println!("{name}: decide and apply, random cards, {how}: {each} ns, {bytes} bytes more");
        for command in commands {
            let Action::Authorize(authorize) = command.action else {
                continue;
            };
            let reverse = Reverse {
                card_id: authorize.card_id,
                repeat_key: RepeatKey(!authorize.repeat_key.0),
                original_keys: authorize.match_keys,
                ..Reverse::default()
            };
            carry_out(state, command.root, at, Action::Reverse(reverse));
        }
    }
}

fn bench(criterion: &mut Criterion) {
    print_sizes();
    let at = time("2026-11-24T10:00:00Z");
    for (name, controls) in [
        ("no controls", Default::default()),
        ("20 controls", twenty()),
    ] {
        let before = memory_bytes();
        let mut world = world(controls, at);
        println!(
            "{name}: {} bytes a card with its account, in shard and registry together",
            (memory_bytes() - before) / CARDS
        );
        measure_whole(name, &mut world, at);
        bench_decide(criterion, name, &world.shards[0], at);
        bench_record(criterion, name, &world.shards[0], at);
    }
}

fn bench_decide(criterion: &mut Criterion, name: &str, state: &State, at: Timestamp) {
    let mut group = criterion.benchmark_group(format!("decide, {name}"));
    let hot = purchase_of(7, 1 << 30, at);
    group.bench_function("hot card", |bencher| {
        bencher.iter(|| decide(state, black_box(&hot)));
    });
    let mut random = Random(3);
    // Messages come hot from the network: only the cards' memory is cold.
    let mut batch: Vec<_> = (0..BATCH as u64)
        .map(|n| purchase_of(n, (1 << 31) + n, at))
        .collect();
    for (kind, touching) in [
        ("random cards, one by one", false),
        ("random cards, touched", true),
    ] {
        group.bench_function(kind, |bencher| {
            bencher.iter_custom(|iterations| {
                let batches = iterations.div_ceil(BATCH as u64);
                let start = processor_time();
                for _ in 0..batches {
                    decide_batch(state, &mut batch, &mut random, touching);
                }
                let took = processor_time() - start;
                took.mul_f64(iterations as f64 / (batches * BATCH as u64) as f64)
            });
        });
    }
    group.finish();
}

fn decide_batch(state: &State, batch: &mut [Command], random: &mut Random, touching: bool) {
    for command in batch.iter_mut() {
        let (card, number) = (random.next(), random.0);
        command.root = account_of(card);
        if let Action::Authorize(authorize) = &mut command.action {
            authorize.card_id = card_of(card);
            authorize.authorization_id.0 = number | 1 << 63;
            authorize.repeat_key.0 = u128::from(number) << 64 | u128::from(card);
            authorize.match_keys.rrn.0 = number;
            authorize.match_keys.sent.0 = !number;
        }
    }
    if touching {
        black_box(touch_all(
            state,
            batch.iter().map(|command| &command.action),
        ));
    }
    for command in batch.iter() {
        black_box(decide(state, command));
    }
}

fn bench_record(criterion: &mut Criterion, name: &str, state: &State, at: Timestamp) {
    let command = purchase_of(7, 1 << 30, at);
    let Outcome::Event(event) = decide(state, &command) else {
        panic!("not decided");
    };
    let Event::Authorized(authorized) = &event else {
        panic!("not an authorization");
    };
    assert!(
        authorized.hold.is_some(),
        "declined: {:?}",
        authorized.decision
    );
    let mut bytes = Vec::with_capacity(1 << 10);
    record::write_shard(&mut bytes, &command, &event);
    println!(
        "{name}: a record takes {} bytes, {} of them the trace of {} steps",
        bytes.len(),
        authorized.trace.as_bytes().len(),
        authorized.trace.steps().count()
    );
    let mut group = criterion.benchmark_group(format!("record, {name}"));
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            record::write_shard(&mut bytes, black_box(&command), black_box(&event));
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| record::read(black_box(&bytes)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = bench
}
criterion_main!(benches);
