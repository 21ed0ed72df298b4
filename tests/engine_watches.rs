//! What is watched on accounts: whatever happens in whatever order, nothing that is due is missed; and a command costs by the
//! accounts that it touches, not by all that are watched.

#[path = "support/due.rs"]
mod due;
mod engine_support;

use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::{Event, Refusal};
use cardswitch::engine::ids::*;
use cardswitch::engine::snapshot;
use cardswitch::engine::state::{Account, State};
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::transfers::TransferStatus;
use cardswitch::engine::watch::{self, AutoTopUpRule, ChangeAccount, Look};
use engine_support::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

const DAY_MS: i64 = 86_400_000;

fn account(switch: &Switch, id: u64) -> &Account {
    let mut shards = switch.world.shards.iter();
    shards
        .find_map(|state| state.account(AccountId(id)))
        .unwrap()
}

fn rule(below_minor: i64, amount_minor: i64, per_day_max: u16, from: Option<u64>) -> AutoTopUpRule {
    AutoTopUpRule {
        below_minor,
        amount_minor,
        per_day_max,
        from_account_id: from.map(AccountId),
    }
}

fn set_rule(switch: &mut Switch, id: u64, rule: AutoTopUpRule) {
    let mut change = ChangeAccount::nothing(AccountId(id));
    change.auto_top_up = Some(Some(rule));
    switch.change_account(1, change);
}

/// Does what follows until nothing does; how many looks that took, and what came of it.
fn look_after_all(switch: &mut Switch, next_id: &mut u64) -> (usize, Vec<Event>) {
    let (mut looks, mut events) = (0, Vec::new());
    loop {
        let state = switch.world.shard_mut(AccountId(1));
        loop {
            looks += 1;
            match watch::look(state, switch.at) {
                Look::Over => return (looks, events),
                Look::Nothing => {}
                Look::Due(..) => break,
            }
        }
        *next_id += 1;
        match switch.look_after(1, *next_id) {
            Some(Outcome::Event(event)) => events.push(event),
            other => panic!("what was due was not done: {other:?}"),
        }
    }
}

fn is_due(state: &State, account: &Account, at: Timestamp) -> bool {
    let of = |id| state.account(id).unwrap();
    due::tops_up(&of, account, at) || due::falls_low(account)
}

#[derive(Debug, Clone)]
enum Step {
    TopUp {
        account: u64,
        amount: i64,
    },
    Pay {
        account: u64,
        amount: i64,
    },
    Transfer {
        from: u64,
        to: u64,
        amount: i64,
    },
    Status(u64, AccountStatusChange),
    Rule(u64, Option<AutoTopUpRule>),
    Low(u64, Option<i64>),
    CreditLine(u64, i64),
    Later(i64),
    /// The process ends, with what follows of the last command still to be done.
    Restart,
}

/// 1 is the root, 2 and 3 are below it, 4 and 5 below 2.
const PARENTS: [(u64, Option<u64>); 5] = [
    (1, None),
    (2, Some(1)),
    (3, Some(1)),
    (4, Some(2)),
    (5, Some(2)),
];

fn any_step() -> impl Strategy<Value = Step> {
    let account = || 1u64..=5;
    let any_rule = (1i64..60, 1i64..80, 0u16..4, prop::option::of(account()));
    let any_rule = prop::option::weighted(
        0.9,
        any_rule.prop_map(|(below, amount, max, from)| rule(below, amount, max, from)),
    );
    let change = prop_oneof![
        4 => Just(AccountStatusChange::Freeze),
        6 => Just(AccountStatusChange::Unfreeze),
        1 => Just(AccountStatusChange::Close),
    ];
    prop_oneof![
        6 => (account(), 1i64..100).prop_map(|(account, amount)| Step::TopUp { account, amount }),
        12 => (account(), 1i64..60).prop_map(|(account, amount)| Step::Pay { account, amount }),
        4 => (account(), account(), 1i64..60)
            .prop_map(|(from, to, amount)| Step::Transfer { from, to, amount }),
        3 => (account(), change).prop_map(|(account, change)| Step::Status(account, change)),
        6 => (account(), any_rule).prop_map(|(account, rule)| Step::Rule(account, rule)),
        2 => (account(), prop::option::weighted(0.8, 0i64..60))
            .prop_map(|(account, below)| Step::Low(account, below)),
        1 => (account(), 0i64..40).prop_map(|(account, line)| Step::CreditLine(account, line)),
        3 => (1i64..DAY_MS).prop_map(Step::Later),
        1 => Just(Step::Restart),
    ]
}

fn carry_out(switch: &mut Switch, step: &Step, id: u64) {
    match step {
        Step::TopUp { account, amount } => drop(switch.top_up(id, 1, *account, usd(*amount))),
        Step::Pay { account, amount } => {
            let payment = purchase(id, 10 + account, usd(*amount), &format!("p{id}"));
            switch.command(AccountId(1), Action::Authorize(payment));
        }
        Step::Transfer { from, to, amount } => {
            switch.transfer(id, (*from, 1), (*to, 1), usd(*amount));
        }
        Step::Status(account, change) => drop(switch.change_account_status(1, *account, *change)),
        Step::Rule(account, rule) => {
            let mut change = ChangeAccount::nothing(AccountId(*account));
            change.auto_top_up = Some(*rule);
            switch.change_account(1, change);
        }
        Step::Low(account, below) => {
            let mut change = ChangeAccount::nothing(AccountId(*account));
            change.low_below_minor = Some(*below);
            switch.change_account(1, change);
        }
        Step::CreditLine(account, line) => {
            let mut change = ChangeAccount::nothing(AccountId(*account));
            change.credit_line_minor = Some(*line);
            switch.change_account(1, change);
        }
        Step::Later(ms) => switch.at = switch.at.plus_ms(*ms),
        Step::Restart => {
            let mut bytes = Vec::new();
            snapshot::write(&switch.world, &mut bytes).unwrap();
            switch.world = snapshot::read(&mut &bytes[..], 1).unwrap();
        }
    }
}

fn tree() -> Switch {
    let mut switch = Switch::new(1);
    for (id, parent) in PARENTS {
        switch.open_sub_account(id, 1, parent, Controls::default());
        switch.open_card(NewCard::of(10 + id, 1, id));
    }
    switch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("CARDSWITCH_SOAK").is_some() { 20_000 } else { 300 }))]

    #[test]
    fn nothing_that_is_due_is_missed(steps in prop::collection::vec((any_step(), prop::bool::weighted(0.8)), 1..80)) {
        let mut switch = tree();
        let mut next_id = 1_000_000;
        for (place, (step, is_looked_after)) in steps.iter().enumerate() {
            carry_out(&mut switch, step, 100 + place as u64);
            // A turn of the shard may have several commands, and none comes between two looks at its end.
            if *is_looked_after {
                look_after_all(&mut switch, &mut next_id);
                let state = &switch.world.shards[0];
                for account in state.accounts.iter() {
                    prop_assert!(!is_due(state, account, switch.at), "{account:?} after {step:?}");
                }
            }
        }
    }
}

#[test]
fn random_steps_top_up_and_fail_and_wait_for_days_and_for_others() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let [mut settled, mut failed, mut low] = [0; 3];
    for _ in 0..200 {
        let steps = prop::collection::vec(any_step(), 80);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let (mut switch, mut next_id) = (tree(), 1_000_000);
        for (place, step) in steps.iter().enumerate() {
            carry_out(&mut switch, step, 100 + place as u64);
            for event in look_after_all(&mut switch, &mut next_id).1 {
                match event {
                    Event::AutoToppedUp(done) => match done.transferred.status {
                        TransferStatus::Settled => settled += 1,
                        _ => failed += 1,
                    },
                    _ => low += 1,
                }
            }
        }
    }
    assert!(
        settled > 200 && failed > 50 && low > 20,
        "{settled} {failed} {low}"
    );
}

#[test]
fn a_rule_that_had_its_top_ups_of_a_day_makes_others_when_the_next_begins() {
    let mut switch = tree();
    let mut next_id = 1_000_000;
    switch.top_up(1, 1, 1, usd(100));
    set_rule(&mut switch, 2, rule(50, 10, 2, None));
    look_after_all(&mut switch, &mut next_id);
    assert_eq!(account(&switch, 2).posted_minor, 20);
    let watched = &switch.world.shards[0].watched;
    let midnight = time("2026-11-25T00:00:00Z");
    assert_eq!(
        (watched.has_changed(), watched.next_day_at()),
        (false, Some(midnight))
    );
    switch.at = Timestamp(midnight.0 - 1);
    assert_eq!(look_after_all(&mut switch, &mut next_id), (1, vec![]));
    // A restored state waits for the same.
    carry_out(&mut switch, &Step::Restart, 0);
    look_after_all(&mut switch, &mut next_id);
    assert_eq!(switch.world.shards[0].watched.next_day_at(), Some(midnight));
    switch.at = midnight;
    look_after_all(&mut switch, &mut next_id);
    assert_eq!(account(&switch, 2).posted_minor, 40);
}

#[test]
fn one_transfer_moves_as_often_as_it_takes_and_the_day_and_the_source_allow() {
    // (there is, below, amount, a day at most, the source has) -> (moved, left of the day)
    for (there_is, below, amount, per_day, has, moved, left) in [
        (0, 50, 10, 9, 1_000, 50, 4),
        (1, 50, 10, 9, 1_000, 50, 4),
        (45, 50, 10, 9, 1_000, 10, 8),
        (0, 50, 60, 9, 1_000, 60, 8),
        (0, 50, 10, 3, 1_000, 30, 0),
        (0, 50, 10, 9, 25, 25, 6),
        (0, 1, 1, 1, 1, 1, 0),
    ] {
        let (mut switch, mut next_id) = (tree(), 1_000_000);
        switch.top_up(1, 1, 1, usd(has));
        if there_is > 0 {
            switch.top_up(2, 1, 2, usd(there_is));
        }
        set_rule(&mut switch, 2, rule(below, amount, per_day, None));
        let (_, events) = look_after_all(&mut switch, &mut next_id);
        let settled = events.iter().filter_map(|event| match event {
            Event::AutoToppedUp(done) if done.transferred.status == TransferStatus::Settled => {
                Some(done.transfer.amount.amount_minor)
            }
            _ => None,
        });
        assert_eq!(settled.collect::<Vec<_>>(), [moved], "{below} {amount}");
        assert_eq!(account(&switch, 2).posted_minor, there_is + moved);
        let made = account(&switch, 2).watch.as_ref().unwrap().made;
        assert_eq!(per_day - made, left, "{below} {amount}");
    }
}

#[test]
fn no_account_is_topped_up_from_one_that_is_topped_up_from_it() {
    let mut switch = tree();
    let refused = |switch: &mut Switch, id: u64, from: Option<u64>| {
        let mut change = ChangeAccount::nothing(AccountId(id));
        change.auto_top_up = Some(Some(rule(10, 10, 1, from)));
        let outcome = switch.change_account(1, change);
        matches!(outcome, Outcome::Refused(Refusal::AutoTopUpCircular))
    };
    // 4 from its parent 2, 2 from 3, 3 from 5.
    for (id, from) in [(4, None), (2, Some(3)), (3, Some(5))] {
        assert!(!refused(&mut switch, id, from), "{id}");
    }
    for (id, from) in [(5, None), (5, Some(4)), (5, Some(3)), (3, Some(4))] {
        assert!(refused(&mut switch, id, from), "{id} from {from:?}");
    }
    assert!(!refused(&mut switch, 5, Some(1)));
    // Without a rule between them there is no circle.
    let mut change = ChangeAccount::nothing(AccountId(2));
    change.auto_top_up = Some(None);
    switch.change_account(1, change);
    assert!(!refused(&mut switch, 3, Some(4)));
}

/// Accounts 100 to 20,099 below 1, each watched; what a command makes be looked at.
fn many(below: i64) -> (Switch, u64) {
    let (mut switch, mut next_id) = (tree(), 1_000_000);
    for id in 100..20_100 {
        switch.open_sub_account(id, 1, Some(1), Controls::default());
        set_rule(&mut switch, id, rule(below, 5, 100, None));
    }
    look_after_all(&mut switch, &mut next_id);
    (switch, next_id)
}

#[test]
fn a_command_looks_at_the_accounts_that_it_touches_and_at_no_others() {
    // None of them is below its threshold.
    let (mut switch, mut next_id) = many(0);
    switch.top_up(1, 1, 1, usd(1_000));
    switch.top_up(2, 1, 100, usd(1));
    let (looks, events) = look_after_all(&mut switch, &mut next_id);
    assert!(looks <= 4 && events.is_empty(), "{looks} looks, {events:?}");
}

#[test]
fn accounts_that_wait_for_an_empty_source_cost_nothing_until_it_can_give() {
    // All of them are below it, and told so, and there is nothing to give.
    let (mut switch, mut next_id) = many(5);
    let refused = purchase(3, 11, usd(5), "x");
    switch.command(AccountId(1), Action::Authorize(refused));
    switch.change_account_status(1, 1, AccountStatusChange::Freeze);
    switch.change_account_status(1, 1, AccountStatusChange::Unfreeze);
    let (looks, events) = look_after_all(&mut switch, &mut next_id);
    assert!(looks <= 8 && events.is_empty(), "{looks} looks, {events:?}");
    // What comes is enough for two of them and a part of a third.
    switch.top_up(1, 1, 1, usd(12));
    let (looks, events) = look_after_all(&mut switch, &mut next_id);
    let posted = [100, 101, 102, 103].map(|id| account(&switch, id).posted_minor);
    assert_eq!(
        (posted, account(&switch, 1).posted_minor),
        ([5, 5, 2, 0], 0)
    );
    assert!(looks <= 25, "{looks} looks, {events:?}");
}
