//! Days on which requests add to what was approved on a day before, under limits that get something back from refunds.

use super::*;

/// Of one card with money enough: few payments with many increments, over days, that are reversed, posted and refunded.
pub fn any_days_of_increments() -> impl Strategy<Value = Vec<Step>> {
    let card = 101;
    let money = Step::TopUp {
        id: 1,
        account: 1,
        amount: 100_000,
    };
    // Few names, so that most lead to something that is open.
    let request = (0u8..40, (1u8..8, 1u8..8), 1i64..260);
    let request = request.prop_map(move |(name, (names, of), amount)| Payment {
        place: name % 4,
        of: Names::all(of),
        ..Payment::purchase(card, name, Names::all(names), amount)
    });
    let kind = prop_oneof![
        3 => Just(Kind::Purchase),
        1 => Just(Kind::CashWithdrawal),
        6 => Just(Kind::Incremental),
    ];
    let refund = request.clone().prop_map(|payment| Payment {
        kind: Kind::Refund,
        posts: true,
        ..payment
    });
    let minutes = prop_oneof![1i64..50, 600i64..900, 1_300i64..1_500];
    let step = prop_oneof![
        10 => (request.clone(), kind).prop_map(|(payment, kind)| Step::Authorize(Payment { kind, ..payment })),
        2 => any_advice(request.clone()),
        3 => (0u8..40, 1u8..8, 0i64..60).prop_map(move |(name, names, stays)| Step::Reverse {
            card,
            name,
            names: Names::all(names),
            amount: 1,
            stays: if stays < 30 { 0 } else { stays },
        }),
        3 => refund.prop_map(Step::Authorize),
        5 => minutes.prop_map(|minutes| Step::Wait { minutes }),
        1 => proptest::sample::select(&[1usize, 2, 5, 6][..]).prop_map(move |choice| Step::Controls { card, choice }),
    ];
    let choice = proptest::sample::select(&[1usize, 2, 5, 6][..]);
    (choice, proptest::collection::vec(step, 4..70)).prop_map(move |(choice, steps)| {
        let begun = [money.clone(), Step::Controls { card, choice }];
        begun.into_iter().chain(steps).collect()
    })
}

/// What they are worth.
#[test]
fn days_of_increments_come_to_everything_that_counts_in_a_later_window() {
    let mut runner = TestRunner::deterministic();
    let mut came_to: std::collections::BTreeMap<&str, u32> = Default::default();
    for _ in 0..300 {
        let steps = any_days_of_increments();
        let steps = steps.new_tree(&mut runner).unwrap().current();
        ways::follow(&steps, false, |view, step, came, lines| {
            for way in ways_of(view, step, came, lines) {
                *came_to.entry(way).or_default() += 1;
            }
        });
    }
    let least = came_to.values().min();
    assert!(
        came_to.len() == 6 && least.is_some_and(|least| *least >= 3),
        "{came_to:?}"
    );
}

fn ways_of(view: &View, step: &Step, came: &Came, lines: &[Line]) -> Vec<&'static str> {
    let mut ways = Vec::new();
    let counted = |known: &Known| {
        let limits = view.limits_of(known.payment.card, known.account);
        let all = limits.iter().flat_map(|(owner, controls)| {
            let limits = controls.limits.iter();
            limits.map(|limit| view.counted(*owner, known.payment.card, limit, known))
        });
        all.collect::<Vec<_>>()
    };
    if let Step::Authorize(payment) = step
        && let Some(of) = view.adds_to(payment)
    {
        let known = view.of(of);
        let is_later = known.opened.plus_ms(86_400_000) <= view.at;
        match came {
            Came::Increased { .. } if is_later => ways.push("added on a later day"),
            Came::Declined(DeclineReason::DailyLimitExceeded) if is_later => {
                ways.push("refused on a later day");
            }
            Came::Declined(DeclineReason::CashLimitExceeded) => {
                ways.push("refused by the limit of what it adds to");
            }
            _ => {}
        }
    }
    for line in lines.iter().filter(|line| line.of < view.here()) {
        let left = line.held.plus(line.posted).account;
        let is_added = |counted: &Vec<(Timestamp, i64)>| counted.len() > 1;
        if left < 0 && counted(view.of(line.of)).iter().any(is_added) {
            ways.push("taken off what was added");
        }
    }
    let given = view.given(step, lines);
    for given in given.iter().filter(|given| given.amount > 0) {
        let Step::Authorize(refund) = step else {
            continue;
        };
        let Some(purchase) = view.meant(refund.card, refund.of, Some(false)).place() else {
            continue;
        };
        let known = view.of(purchase);
        if given.counted <= known.opened {
            continue;
        }
        ways.push("given back where it was added");
        let added = counted(known).into_iter().flatten();
        let mut added = added.filter(|(_, amount)| *amount == given.amount);
        if added.next().is_some() && refund.amount > given.amount {
            ways.push("given back no more than was added");
        }
    }
    ways
}
