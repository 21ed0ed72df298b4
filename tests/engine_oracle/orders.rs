//! Every order of what can happen to a purchase or two. Longer ones are in `engine_orders.rs`.

use super::*;

/// The longest sequence of what can happen to a purchase or two of one card.
pub const ORDERS_LENGTH: usize = 6;

#[test]
fn every_order_of_purchase_repeat_reversals_and_freeze() {
    let card = 101;
    let authorize = |amount| Step::Authorize(Payment::purchase(card, 1, Names::all(1), amount));
    let reverse = |name| Step::Reverse {
        card,
        name,
        names: Names::all(1),
        amount: 300,
        stays: 0,
    };
    let kinds = [
        authorize(300),
        authorize(301),
        reverse(1),
        reverse(2),
        Step::Status {
            card,
            change: StatusChange::Freeze,
        },
        Step::Wait { minutes: 16 },
    ];
    // Longer ones of more messages are in `engine_orders.rs`.
    run_every_order(&kinds, ORDERS_LENGTH - 1);
}

/// Two purchases with the same STAN and times, which only the RRN tells apart; their reversals, one of
/// them doubled, and a repeat of the first.
#[test]
fn every_order_of_two_purchases_that_the_rrn_tells_apart_and_their_reversals() {
    let card = 101;
    let names = |rrn| Names {
        rrn,
        ..Names::all(1)
    };
    let authorize =
        |name, amount| Step::Authorize(Payment::purchase(card, name, names(name), amount));
    let reverse = |name, rrn| Step::Reverse {
        card,
        name,
        names: names(rrn),
        amount: 300,
        stays: 0,
    };
    let kinds = [
        authorize(1, 300),
        authorize(2, 200),
        reverse(1, 1),
        reverse(2, 1),
        reverse(3, 2),
        Step::Wait { minutes: 16 },
    ];
    run_every_order(&kinds, ORDERS_LENGTH - 1);
}

/// All sequences of these kinds up to a length, on an account with money.
pub fn run_every_order(kinds: &[Step; 6], length_max: usize) {
    let mut orders = 0;
    for length in 1..=length_max {
        for number in 0..kinds.len().pow(length as u32) {
            let mut rest = number;
            let mut steps = vec![MONEY];
            for _ in 0..length {
                steps.push(kinds[rest % kinds.len()].clone());
                rest /= kinds.len();
            }
            run_order(&steps);
            orders += 1;
        }
    }
    assert_eq!(orders, (6usize.pow(length_max as u32 + 1) - 6) / 5);
}

pub const MONEY: Step = Step::TopUp {
    id: 1,
    account: 1,
    amount: 1_000,
};

/// Two purchases, a reversal of each, a double of each, and repeats, whatever names they share.
pub fn any_order_of_two_purchases() -> impl Strategy<Value = Vec<Step>> {
    let names = proptest::collection::vec(any_names(), 4);
    let order = proptest::collection::vec(0usize..8, 1..=ORDERS_LENGTH);
    (names, order).prop_map(|(names, order)| {
        let authorize = |place: usize, amount| {
            Step::Authorize(Payment::purchase(101, place as u8, names[place], amount))
        };
        let reverse = |name, place: usize| Step::Reverse {
            card: 101,
            name,
            names: names[place],
            amount: 1,
            stays: 0,
        };
        let kinds = [
            authorize(0, 300),
            authorize(1, 200),
            reverse(0, 0),
            reverse(1, 0),
            reverse(2, 1),
            reverse(3, 2),
            reverse(4, 3),
            Step::Wait { minutes: 16 },
        ];
        let steps = order.into_iter().map(|kind| kinds[kind].clone());
        std::iter::once(MONEY).chain(steps).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_purchases_that_share_names_in_any_order(steps in any_order_of_two_purchases()) {
        run_order(&steps);
    }
}

/// As `run_both`, in one small world per order.
pub fn run_order(steps: &[Step]) {
    let mut switch = Switch::new(1);
    switch.open_account(1, Controls::default());
    switch.open_card(NewCard::of(101, 1, 1));
    let mut engine = Engine::of(switch, 1);
    let mut naive = Naive::default();
    for step in steps {
        naive.at = engine.switch.at;
        let (expected, lines) = naive.decide(step);
        assert_eq!(engine.step(step), expected, "{steps:#?}");
        naive.note(step, expected, lines);
        let account = engine.switch.world.shards[0].account(AccountId(1)).unwrap();
        assert_account(account, &naive.view(), false);
    }
}
