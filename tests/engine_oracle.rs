//! A second, naive decision maker that keeps nothing but the list of what happened and adds it up
//! anew each time, against the engine: over random days, over random conversations about a few payments
//! whose names collide, and over every order of the five things that can happen to one purchase. The tests are
//! here and in `coverage.rs` and `orders.rs`; what they share is in the other files of `engine_oracle/`.

#[path = "engine_oracle/abroad.rs"]
mod abroad;
#[path = "engine_oracle/adding.rs"]
mod adding;
#[path = "engine_oracle/advices.rs"]
mod advices;
#[path = "engine_oracle/answers.rs"]
mod answers;
#[path = "engine_oracle/charging.rs"]
mod charging;
#[path = "engine_oracle/coverage.rs"]
mod coverage;
#[path = "engine_oracle/customers.rs"]
mod customers;
#[path = "engine_oracle/days.rs"]
mod days;
#[path = "engine_oracle/driven.rs"]
mod driven;
mod engine_support;
#[path = "engine_oracle/groups.rs"]
mod groups;
#[path = "engine_oracle/lifting.rs"]
mod lifting;
#[path = "engine_oracle/messages.rs"]
mod messages;
#[path = "engine_oracle/moving.rs"]
mod moving;
#[path = "engine_oracle/naming.rs"]
mod naming;
#[path = "engine_oracle/orders.rs"]
mod orders;
#[path = "engine_oracle/outcomes.rs"]
mod outcomes;
#[path = "engine_oracle/past.rs"]
mod past;
#[path = "engine_oracle/proving.rs"]
mod proving;
#[path = "engine_oracle/recalling.rs"]
mod recalling;
#[path = "engine_oracle/reissuing.rs"]
mod reissuing;
#[path = "engine_oracle/requests.rs"]
mod requests;
#[path = "engine_oracle/restoring.rs"]
mod restoring;
#[path = "engine_oracle/reversals.rs"]
mod reversals;
#[path = "engine_oracle/rules.rs"]
mod rules;
#[path = "engine_oracle/setting.rs"]
mod setting;
#[path = "engine_oracle/tokening.rs"]
mod tokening;
#[path = "engine_oracle/told.rs"]
mod told;
#[path = "engine_oracle/ways.rs"]
mod ways;
#[path = "engine_oracle/withholding.rs"]
mod withholding;

use abroad::Kept;
use arrayvec::ArrayString;
use cardswitch::engine::authorizations::{Authorization, InBoth};
use cardswitch::engine::command::{
    AccountStatusChange, Action, Advise, Authorize, CallOutcome, CardType, CustomerSays,
    ReleaseCause, Resolve, StatusChange, Withhold,
};
use cardswitch::engine::controls::{Controls, Limit, List, ListMode, Window};
use cardswitch::engine::counters::Counters;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::exceptions::{
    ChangeException, ControlException, ExceptionChange, ExceptionState, Lifts, RaisedLimit, Subject,
};
use cardswitch::engine::facts::{Channel, Country, EntryMode, Kind, MatchKey, MatchKeys};
use cardswitch::engine::fees::schedule::{FeeKind, PutFeeSchedule};
use cardswitch::engine::hash::{state_hash, tree_hashes};
use cardswitch::engine::ids::*;
use cardswitch::engine::limit_filter::LimitFilter;
use cardswitch::engine::merchants::{MerchantEntry, MerchantList};
use cardswitch::engine::money::Money;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::{LinkKey, RegistryAction, RegistryOutcome};
use cardswitch::engine::risk::rule::{RiskRule, RuleAction, RuleChange, RuleState};
use cardswitch::engine::rolling::RollingWindow;
use cardswitch::engine::scope::Scope;
use cardswitch::engine::snapshot;
use cardswitch::engine::state::{Account, State};
use cardswitch::engine::three_ds::{
    Authentication, Cryptogram, Exemption, ThreeDs, ThreeDsMode, ThreeDsPolicy,
};
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::time_windows::{Days, TimeWindow};
use cardswitch::engine::tokens::TokenChange;
use cardswitch::engine::trace::Detail;
use cardswitch::engine::transfers::TransferStatus;
use cardswitch::engine::watch::ChangeAccount;
use cardswitch::engine::window::window_end;
use cardswitch::engine::world::World;
use charging::*;
use customers::*;
use days::*;
use driven::*;
use engine_support::*;
use groups::{any_group_change, cardholder_id, holder_of};
use jiff::civil::Weekday;
use lifting::*;
use messages::*;
use moving::*;
use naming::*;
use outcomes::*;
use past::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::RngSeed;
use proptest::test_runner::TestRunner;
use proving::*;
use recalling::*;
use reissuing::*;
use restoring::*;
use rules::*;
use setting::*;
use tokening::*;
use told::*;
use withholding::*;

const MINUTE_MS: i64 = 60_000;
const FIRST_ANSWER_MS: i64 = 15 * MINUTE_MS;
const REVERSAL_MS: i64 = 24 * 60 * MINUTE_MS;
const HOLD_MS: i64 = 7 * 24 * 60 * MINUTE_MS;

/// Runs the steps through both; gives the engine for a closer look.
fn run_both(steps: &[Step], shards: usize) -> Engine {
    let naive = Naive {
        has_rules: true,
        ..Naive::default()
    };
    run(Engine::new(shards), naive, steps)
}

/// What is forgotten comes back.
fn run_both_with_archive(steps: &[Step]) -> Engine {
    let naive = Naive {
        has_rules: true,
        has_archive: true,
        ..Naive::default()
    };
    run(Engine::with_archive(), naive, steps)
}

fn run(mut engine: Engine, mut naive: Naive, steps: &[Step]) -> Engine {
    for (place, step) in steps.iter().enumerate() {
        naive.at = engine.switch.at;
        let (step, came) = (&naive.resent(step), engine.step(step));
        naive.recall(step);
        let (expected, lines) = naive.decide(step);
        assert_eq!(came, expected, "step {place} of {steps:#?}");
        if let Some(told) = engine.refund_of {
            let refund_of = naive.view().refund_of(step);
            assert_eq!(told, refund_of, "step {place} of {steps:#?}");
        }
        naive.note(step, expected, lines);
        naive.at = engine.switch.at;
        engine.assert_sound(&naive);
    }
    engine
}

/// Many more where there is time.
fn cases(some: u32) -> u32 {
    match std::env::var_os("CARDSWITCH_SOAK") {
        Some(_) => 40 * some,
        None => some,
    }
}

/// The same histories each time, so that a change is judged by what it changes; others, and many more, with
/// `CARDSWITCH_SOAK`.
fn seed() -> RngSeed {
    match std::env::var_os("CARDSWITCH_SOAK") {
        Some(_) => RngSeed::Random,
        None => RngSeed::Fixed(20_261_128),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), rng_seed: seed(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_decides_as_the_naive_one_does(steps in any_steps()) {
        run_both(&steps, 2);
    }

    #[test]
    fn fees_on_conversions_and_declines_go_as_the_naive_ones_do(steps in prop_oneof![any_steps(), any_conversation()]) {
        let naive = Naive {
            has_rules: true,
            has_fees: true,
            ..Naive::default()
        };
        run(Engine::with_fees(2), naive, &steps);
    }

    #[test]
    fn tries_of_verification_are_counted_as_the_naive_one_counts_them(steps in any_tries()) {
        let naive = Naive {
            has_rules: true,
            has_fees: true,
            ..Naive::default()
        };
        run(Engine::with_fees(2), naive, &steps);
    }

    #[test]
    fn conversations_with_few_names_go_as_the_naive_ones_do(steps in any_conversation()) {
        run_both(&steps, 1);
    }

    #[test]
    fn customers_decide_as_the_naive_ones_say(steps in any_days_of_a_customer()) {
        run_both(&steps, 1);
    }

    #[test]
    fn increments_count_as_the_naive_ones_do(steps in adding::any_days_of_increments()) {
        run_both(&steps, 1);
    }

    #[test]
    fn exceptions_lift_as_the_naive_ones_do(steps in any_excepted_days()) {
        run_both(&steps, 1);
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
            let mut other = Engine::of(switch, engine.next_id);
            let world = engine.switch.world.clone();
            let mut same = Engine::of(Switch { world, at: engine.switch.at, records: vec![] }, engine.next_id);
            for step in after {
                prop_assert_eq!(other.step(step), same.step(step));
            }
            prop_assert_eq!(state_hash(&other.switch.world), state_hash(&same.switch.world));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: seed(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_controls_of_one_card_decide_as_the_naive_ones_do(steps in any_days_of_one_card()) {
        run_both(&steps, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(1_000), rng_seed: seed(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_forgotten_comes_back_as_it_does_to_the_naive_ones(steps in any_long_conversation()) {
        run_both_with_archive(&steps);
    }

    #[test]
    fn short_conversations_go_as_the_naive_ones_do(steps in any_short_conversation()) {
        run_both(&steps, 1);
    }
}

#[test]
fn the_rates_are_part_of_the_state() {
    let with = |rate| {
        let mut switch = Switch::new(1);
        switch.set_rates(&[(abroad::currency("EUR"), USD, rate)]);
        state_hash(&switch.world)
    };
    assert_eq!(with("1.10"), with("1.1"));
    assert_ne!(with("1.10"), with("1.11"));
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
