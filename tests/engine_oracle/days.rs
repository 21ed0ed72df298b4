//! Random days and conversations.

use super::*;

pub fn any_card() -> impl Strategy<Value = u64> {
    any_of_chain((any_account(), 1u64..=2).prop_map(|(account, card)| account * 100 + card))
}

pub fn any_account() -> impl Strategy<Value = u64> {
    (1..=TREES, 0u64..3).prop_map(|(tree, level)| tree + 10 * level)
}

/// Few enough that they clash.
pub fn any_names() -> impl Strategy<Value = Names> {
    (0u8..4, 0u8..4, 0u8..4, 0u8..3, 0u8..3).prop_map(|(rrn, sent, local, acquirer, stan)| Names {
        rrn,
        sent,
        local,
        acquirer,
        stan,
    })
}

pub fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => Just(Kind::Purchase),
        2 => Just(Kind::CashWithdrawal),
        2 => Just(Kind::PreAuthorization),
        1 => Just(Kind::Refund),
        1 => Just(Kind::BalanceInquiry),
        1 => Just(Kind::AccountVerification),
        1 => Just(Kind::Incremental),
        1 => proptest::sample::select(&[Kind::DebitAdjustment, Kind::CreditAdjustment, Kind::Deposit][..]),
        1 => Just(Kind::Other),
    ]
}

/// Names of one text, names that share the RRN only, and any.
pub fn any_colliding_names() -> impl Strategy<Value = Names> {
    let sharing = (1u8..3, 1u8..6, 0u8..3).prop_map(|(rrn, name, stan)| Names {
        rrn,
        stan,
        ..Names::all(name)
    });
    prop_oneof![5 => (1u8..5).prop_map(Names::all), 2 => sharing, 1 => any_names()]
}

pub fn any_payment(
    card: impl Strategy<Value = u64>,
    amount: impl Strategy<Value = i64>,
) -> impl Strategy<Value = Payment> {
    let names = (any_colliding_names(), any_colliding_names(), any::<bool>());
    let rest = (0u8..8, any_kind(), any::<bool>(), 0u8..4, any_case());
    (card, 0u8..8, names, amount, rest).prop_map(|(card, name, names, amount, rest)| {
        let ((names, of, about_itself), (place, kind, in_part, posts, case)) = (names, rest);
        // Most ask as they should.
        let amount = match payment_asks_only(kind) && amount % 8 != 0 {
            true => 0,
            false => abroad::local(case, amount),
        };
        let payment = Payment::purchase(card, name, names, amount);
        Payment {
            of: if about_itself { names } else { of },
            case,
            kind,
            in_part,
            place,
            // No network adds to an authorization with a single message.
            posts: posts == 0 && kind != Kind::Incremental,
            ..payment
        }
    })
}

pub fn any_case() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(0u8), 5 => 1..abroad::CASES]
}

pub fn payment_asks_only(kind: Kind) -> bool {
    matches!(kind, Kind::AccountVerification | Kind::BalanceInquiry)
}

pub fn any_advice(payment: impl Strategy<Value = Payment>) -> impl Strategy<Value = Step> {
    let posts = proptest::bool::weighted(0.7);
    let marks = (posts, proptest::bool::weighted(0.1), any::<bool>());
    (payment, marks).prop_map(|(payment, (posts, was_declined, is_final))| Step::Advise {
        payment: Payment {
            posts: posts && payment.kind != Kind::Incremental,
            ..payment
        },
        was_declined,
        is_final,
    })
}

pub fn any_reversal(card: impl Strategy<Value = u64>) -> impl Strategy<Value = Step> {
    let stays = prop_oneof![2 => Just(0i64), 1 => 1i64..200];
    let asked = (1i64..4, stays);
    (card, 0u8..8, any_colliding_names(), asked).prop_map(|(card, name, names, asked)| {
        Step::Reverse {
            card,
            name,
            names,
            amount: asked.0,
            stays: asked.1,
        }
    })
}

/// Conversations about the payments of four cards on three accounts, with few names.
pub fn any_conversation() -> impl Strategy<Value = Vec<Step>> {
    let card = || {
        let first =
            prop_oneof![4 => Just(101u64), 1 => Just(102), 1 => Just(1101), 1 => Just(1102)];
        any_of_chain(first)
    };
    let amount = || prop_oneof![1 => Just(-5i64), 4 => Just(0), 24 => 1i64..150, 2 => 300i64..500];
    let kind = prop_oneof![6 => Just(Kind::Purchase), 2 => Just(Kind::PreAuthorization), 2 => Just(Kind::Refund)];
    let payment = || any_payment(card(), amount());
    let minutes = prop_oneof![
        4 => 0i64..3,
        4 => 14i64..20,
        3 => 300i64..800,
        2 => 1_400i64..1_500,
        1 => 10_000i64..10_200
    ];
    let step = prop_oneof![
        6 => (payment(), kind, any_by_token())
            .prop_map(|(payment, kind, token)| Step::Authorize(Payment { kind, token, ..payment })),
        1 => any_token_step(card()),
        2 => payment().prop_map(|payment| Step::Authorize(Payment {
            kind: Kind::Incremental,
            posts: false,
            ..payment
        })),
        8 => any_advice(payment()),
        1 => payment().prop_map(|payment| Step::Advise {
            payment: Payment {
                kind: Kind::Purchase,
                amount: 0,
                posts: false,
                ..payment
            },
            was_declined: false,
            is_final: true,
        }),
        6 => any_reversal(card()),
        1 => (1u64..40, 1i64..200).prop_map(|(id, amount)| Step::TopUp { id: id * 10 + 1, account: 1, amount }),
        1 => (card(), 0usize..5).prop_map(|(card, choice)| Step::Controls {
            card,
            choice: [0, 2, 7, 9, 12][choice],
        }),
        1 => any_reissue(card()),
        1 => any_rule_change(),
        1 => any_group_change(),
        2 => any_taking_back(),
        4 => minutes.prop_map(|minutes| Step::Wait { minutes }),
        2 => Just(Step::Expire),
    ];
    let money =
        [(1, 1, 600), (2, 11, 300), (3, 21, 150)].map(|(id, account, amount)| Step::TopUp {
            id: id * 10 + 1,
            account,
            amount,
        });
    let begun = money.into_iter().chain(tokens_at_first());
    with_customers(step, 1..70).prop_map(move |steps| begun.clone().chain(steps).collect())
}

/// Short conversations about a payment or two of one card with money enough, so that each part of them meets the others.
pub fn any_short_conversation() -> impl Strategy<Value = Vec<Step>> {
    let card = 101;
    let money = Step::TopUp {
        id: 1,
        account: 1,
        amount: 10_000,
    };
    let payment = move || {
        let names = (1u8..4, 1u8..4);
        (0u8..20, names, 0i64..40).prop_map(move |(name, (names, of), amount)| Payment {
            of: Names::all(of),
            ..Payment::purchase(card, name, Names::all(names), amount)
        })
    };
    let minutes = prop_oneof![0i64..1_500, 10_080i64..10_200];
    let reversal =
        (0u8..20, 1u8..4, 0i64..20).prop_map(move |(name, names, stays)| Step::Reverse {
            card,
            name,
            names: Names::all(names),
            amount: 1,
            // Mostly all of it.
            stays: if stays < 12 { 0 } else { stays },
        });
    let step = prop_oneof![
        3 => payment().prop_map(Step::Authorize),
        2 => payment().prop_map(|payment| Step::Authorize(Payment {
            kind: Kind::Incremental,
            ..payment
        })),
        4 => any_advice(payment()),
        4 => reversal,
        1 => any_taking_back(),
        2 => minutes.prop_map(|minutes| Step::Wait { minutes }),
        2 => Just(Step::Expire),
    ];
    // Some are about a hold that was added to, or partly reversed.
    let hold = Payment::purchase(card, 20, Names::all(1), 40);
    let added = Payment {
        kind: Kind::Incremental,
        of: Names::all(1),
        ..Payment::purchase(card, 21, Names::all(2), 25)
    };
    let reversed = Step::Reverse {
        card,
        name: 20,
        names: Names::all(1),
        amount: 1,
        stays: 30,
    };
    (with_customers(step, 2..16), 0u8..5).prop_map(move |(mut steps, begins)| {
        let begun = match begins {
            0 | 1 => vec![Step::Authorize(hold), Step::Authorize(added)],
            2 => vec![Step::Authorize(hold), reversed.clone()],
            _ => vec![],
        };
        // Customers who are asked are asked about it.
        let first = usize::from(matches!(steps.first(), Some(Step::Endpoint { .. })));
        steps.splice(first..first, begun);
        std::iter::once(money.clone()).chain(steps).collect()
    })
}

/// Days on which all exceptions are approved, of the card that most are for: with a limit that several of them raise, or a
/// block that one of them lifts twice, and with increments.
pub fn any_excepted_days() -> impl Strategy<Value = Vec<Step>> {
    let card = 101;
    let approve = |which| Step::Exception {
        which,
        change: ExceptionChange::Approve,
    };
    let request = (0u8..40, 1u8..8, 50i64..400, 0u8..3, any::<bool>());
    let step = prop_oneof![
        10 => request.prop_map(move |(name, names, amount, adds, is_blocked)| {
            let payment = Payment::purchase(card, name, Names::all(names), amount);
            Step::Authorize(Payment {
                mcc: if is_blocked { 7995 } else { 5411 },
                kind: if adds == 0 { Kind::Incremental } else { Kind::Purchase },
                ..payment
            })
        }),
        2 => (0u8..40, 1u8..8).prop_map(move |(name, names)| Step::Reverse {
            card,
            name,
            names: Names::all(names),
            amount: 1,
            stays: 0,
        }),
        1 => any_exception_change(),
        1 => (0i64..200).prop_map(|minutes| Step::Wait { minutes }),
    ];
    let choice = proptest::sample::select(&[1usize, 3][..]);
    (choice, proptest::collection::vec(step, 1..40)).prop_map(move |(choice, steps)| {
        let money = Step::TopUp {
            id: 1,
            account: 1,
            amount: 100_000,
        };
        let begun = [money, Step::Controls { card, choice }].into_iter();
        let begun = begun.chain((0..EXCEPTIONS).map(approve));
        begun.chain(steps).collect()
    })
}

/// Short conversations over days: memory forgets between them.
pub fn any_long_conversation() -> impl Strategy<Value = Vec<Step>> {
    let minutes = prop_oneof![2 => 14i64..20, 3 => 1_430i64..1_500, 1 => 10_080i64..10_200];
    let waits = proptest::collection::vec(proptest::option::weighted(0.3, minutes), 40);
    let card = 101;
    let too_much = Payment::purchase(card, 3, Names::all(3), 20_000);
    let refund = |name, amount| Payment {
        kind: Kind::Refund,
        posts: true,
        ..Payment::purchase(card, name, Names::all(4), amount)
    };
    let begun = [too_much, refund(21, 7)].map(Step::Authorize);
    // Of what the conversation was about.
    let refund_of = |names, name, amount| Payment {
        of: Names::all(names),
        ..refund(name, amount)
    };
    let advice = |payment| Step::Advise {
        payment,
        was_declined: false,
        is_final: true,
    };
    let ended = [
        Step::Authorize(too_much),
        advice(refund(22, 3)),
        Step::Authorize(refund_of(1, 24, 2)),
        advice(refund_of(2, 26, 4)),
    ];
    let framed = proptest::bool::weighted(0.25);
    (any_short_conversation(), waits, framed).prop_map(move |(steps, waits, is_framed)| {
        let frame = |steps: &[Step]| match is_framed {
            true => steps.to_vec(),
            false => vec![],
        };
        let waits = waits.into_iter().chain(std::iter::repeat(None));
        let steps = frame(&begun).into_iter().chain(steps);
        let steps = steps.chain(frame(&ended)).zip(waits);
        let steps = steps.flat_map(|(step, minutes)| {
            let wait = minutes.map(|minutes| Step::Wait { minutes });
            std::iter::once(step).chain(wait)
        });
        steps.collect()
    })
}

/// Some of these steps; in a quarter of all cases customers are asked, and say something between them.
fn with_customers(
    step: impl Strategy<Value = Step>,
    number: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<Step>> {
    let up_to = prop_oneof![2 => Just(None), 1 => Just(Some(40)), 1 => (20i64..120).prop_map(Some)];
    let endpoint = up_to.prop_map(|up_to| Some(Step::Endpoint { asks: true, up_to }));
    let endpoint = prop_oneof![3 => Just(None), 1 => endpoint];
    let said = proptest::collection::vec(proptest::option::of(any_customer()), number.end);
    let steps = proptest::collection::vec(step, number);
    (endpoint, steps, said).prop_map(|(endpoint, steps, said)| {
        let is_asked = endpoint.is_some();
        let said = said.into_iter().map(move |said| said.filter(|_| is_asked));
        let steps = steps.into_iter().zip(said);
        let steps = steps.flat_map(|(step, said)| std::iter::once(step).chain(said));
        endpoint.into_iter().chain(steps).collect()
    })
}

/// Mostly of the approval that came last.
pub fn any_back() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0usize), 3 => Just(1usize), 2 => 2usize..5]
}

pub fn any_taking_back() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_back().prop_map(|back| Step::Withhold { back }),
        1 => any_back().prop_map(|back| Step::Release { back }),
        1 => any_back().prop_map(|back| Step::Repeat { back }),
    ]
}

pub fn any_customer() -> impl Strategy<Value = Step> {
    let shares = proptest::sample::select(&[0i64, 3, 30, 60, 90, 100, 100, 130][..]);
    let says = prop_oneof![
        3 => Just(Says::Yes),
        4 => shares.prop_map(Says::YesTo),
        3 => Just(Says::No),
        1 => Just(Says::Nothing),
        1 => Just(Says::Nonsense),
        1 => Just(Says::Lost),
    ];
    prop_oneof![
        8 => (any_back(), says).prop_map(|(back, says)| Step::Customer { back, says }),
        1 => any_back().prop_map(|back| Step::Repeat { back }),
        1 => any::<bool>().prop_map(|asks| Step::Endpoint { asks, up_to: Some(60) }),
    ]
}

pub fn any_rule_change() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        6 => Just(RuleChange::Promote),
        2 => Just(RuleChange::Demote),
        1 => Just(RuleChange::Retire),
    ];
    (0..RULES.len(), change).prop_map(|(rule, change)| Step::Rule { rule, change })
}

pub fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = || prop_oneof![1 => Just(0i64), 1 => Just(-5), 20 => 1i64..700];
    let status = prop_oneof![
        4 => Just(StatusChange::Freeze),
        8 => Just(StatusChange::Unfreeze),
        4 => Just(StatusChange::Activate),
        1 => Just(StatusChange::Close),
    ];
    let account_status = prop_oneof![
        2 => Just(AccountStatusChange::Freeze),
        4 => Just(AccountStatusChange::Unfreeze),
        3 => Just(AccountStatusChange::Close),
    ];
    let minutes = prop_oneof![
        0i64..3,
        10i64..20,
        300i64..900,
        1_400i64..1_500,
        9_000i64..50_000
    ];
    let mcc = prop_oneof![4 => Just(5411u16), 1 => Just(7995)];
    let step = prop_oneof![
        10 => (any_payment(any_card(), amount()), mcc, any_by_token()).prop_map(|(payment, mcc, token)| {
            Step::Authorize(Payment { mcc, token, ..payment })
        }),
        2 => any_token_step(any_card()),
        2 => any_advice(any_payment(any_card(), amount())),
        5 => any_reversal(any_card()),
        4 => (0u64..12, any_account(), 1i64..3_000).prop_map(|(id, account, amount)| {
            // Ids of top-ups are given out once for all trees.
            Step::TopUp { id: id * 10 + root_of_account(account), account, amount }
        }),
        4 => any_transfer(),
        5 => Just(Step::Carry),
        1 => (any_account(), 0i64..500).prop_map(|(account, line)| Step::CreditLine { account, line }),
        1 => (any_card(), status).prop_map(|(card, change)| Step::Status { card, change }),
        1 => (any_account(), account_status)
            .prop_map(|(account, change)| Step::AccountStatus { account, change }),
        1 => (any_card(), 0usize..CHOICES).prop_map(|(card, choice)| Step::Controls { card, choice }),
        1 => any_reissue(any_card()),
        3 => minutes.prop_map(|minutes| Step::Wait { minutes }),
        2 => Just(Step::Expire),
        1 => any_rule_change(),
        1 => any_group_change(),
        1 => any_exception_change(),
        1 => any_taking_back(),
    ];
    let steps = with_customers(step, 1..120);
    (any::<bool>(), steps).prop_map(|(has_tokens, steps)| {
        let first = tokens_at_first().filter(move |_| has_tokens);
        first.chain(steps).collect()
    })
}

/// Days of one card with money enough, whose controls are what stands in its way.
pub fn any_days_of_one_card() -> impl Strategy<Value = Vec<Step>> {
    let card = || any_newest(101);
    let money = Step::TopUp {
        id: 1,
        account: 1,
        amount: 100_000,
    };
    let amount = prop_oneof![4 => 1i64..120, 1 => 200i64..700];
    let minutes = prop_oneof![0i64..40, 20i64..50, 600i64..900, 1_300i64..1_500];
    let mcc = prop_oneof![9 => Just(5411u16), 1 => Just(7995)];
    let step = prop_oneof![
        12 => (card(), 0u8..40, amount, mcc, any_case()).prop_map(move |(card, name, amount, mcc, case)| {
            let place = name % 8;
            let kinds = [Kind::Purchase, Kind::CashWithdrawal, Kind::Purchase, Kind::PreAuthorization];
            let kind = kinds[usize::from(place % 4)];
            let amount = abroad::local(case, amount);
            let payment = Payment::purchase(card, name, Names::all(name), amount);
            Step::Authorize(Payment { mcc, kind, place, case, ..payment })
        }),
        3 => (card(), 0u8..40).prop_map(move |(card, name)| {
            Step::Reverse { card, name, names: Names::all(name), amount: 1, stays: 0 }
        }),
        1 => (card(), 0..CHOICES).prop_map(move |(card, choice)| Step::Controls { card, choice }),
        1 => any_reissue(card()),
        1 => any_rule_change(),
        1 => any_group_change(),
        1 => any_exception_change(),
        3 => minutes.prop_map(|minutes| Step::Wait { minutes }),
    ];
    proptest::collection::vec(step, 1..100)
        .prop_map(move |steps| std::iter::once(money.clone()).chain(steps).collect())
}
