//! Tests of `traffic.rs`.
use super::*;
use crate::sim::cards::SimCard;

fn card(profile: Profile) -> SimCard {
    SimCard {
        pan: "4111111111111111".parse().unwrap(),
        exp_month: 12,
        exp_year: 2029,
        cvv2: Some("123".parse().unwrap()),
        currency: "USD".parse().unwrap(),
        profile,
    }
}

fn generator(profiles: &[Profile], mix: &str, seed: u64) -> Generator {
    let cards: Vec<_> = profiles.iter().map(|profile| card(*profile)).collect();
    Generator::new(cards.into(), mix.parse().unwrap(), seed, 1, 0)
}

fn answer(code: &str) -> FirstAnswer {
    FirstAnswer {
        code: code.parse().unwrap(),
        approval: Default::default(),
    }
}

#[test]
fn the_same_seed_sends_the_same_traffic() {
    let play = |seed| {
        let mut generator = generator(&[Profile::Ok, Profile::Frozen], "default", seed);
        let messages = (0..200).map(|_| format!("{:?}", generator.next(Stamp::default())));
        messages.collect::<Vec<_>>()
    };
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
}

#[test]
fn cards_with_controls_run_into_them() {
    let table = [
        (Profile::Frozen, Decline::Frozen),
        (Profile::Closed, Decline::Closed),
        (Profile::LowFunds, Decline::Funds),
        (Profile::MccBlock, Decline::Mcc),
        (Profile::CountryBlock, Decline::Country),
        (Profile::CurrencyBlock, Decline::Currency),
        (Profile::TransactionLimit, Decline::Limit),
    ];
    for (profile, decline) in table {
        let mut generator = generator(&[profile], "control=1", 3);
        for _ in 0..100 {
            let (_, expectation) = generator.next(Stamp::default());
            assert_eq!(expectation, Expectation::Declined(decline), "{profile:?}");
        }
    }
}

#[test]
fn cards_that_are_tried_wrong_do_nothing_else() {
    let tried_and_used = |profiles: &[Profile]| {
        let mix = "wrong_expiry=1,wrong_cvv2=1,purchase=2,control=2,three_ds=1,cash=1";
        let mut generator = generator(profiles, mix, 3);
        let (mut tried, mut used) = (vec![], vec![]);
        for _ in 0..2_000 {
            let (Outgoing::Request(payment), _) = generator.next(Stamp::default()) else {
                panic!("this mix has requests only");
            };
            let cards = match payment.twist {
                Twist::WrongExpiry | Twist::WrongCvv2 => &mut tried,
                _ => &mut used,
            };
            cards.push(payment.card);
        }
        for cards in [&mut tried, &mut used] {
            cards.sort_unstable();
            cards.dedup();
        }
        (tried, used)
    };
    let many = tried_and_used(&[Profile::Ok; 40]);
    assert_eq!(many, ((37..40).collect(), (0..37).collect()));
    let two = tried_and_used(&[Profile::Ok, Profile::Ok, Profile::MccBlock]);
    assert_eq!(two, (vec![1], vec![0, 2]));
    // The only good one has to be for everything.
    let one = tried_and_used(&[Profile::Ok, Profile::MccBlock]);
    assert_eq!(one, (vec![0], vec![0, 1]));
    let none = tried_and_used(&[Profile::MccBlock]);
    assert_eq!(none, (vec![], vec![0]));
}

#[test]
fn an_early_reversal_is_followed_by_its_original() {
    let mut generator = generator(&[Profile::Ok], "early_reversal=1", 3);
    let (first, expected) = generator.next(Stamp::default());
    let Outgoing::Reversal { payment, stan, .. } = first else {
        panic!("{first:?}");
    };
    assert_eq!(expected, Expectation::Reversed);
    let (second, expected) = generator.next(Stamp::default());
    let Outgoing::Request(original) = second else {
        panic!("{second:?}");
    };
    assert_eq!((original.stan, original.rrn), (payment.stan, payment.rrn));
    assert_ne!(stan, original.stan);
    assert_eq!(expected, Expectation::Declined(Decline::ReversedBefore));
}

#[test]
fn only_approvals_are_reversed_and_once() {
    let mut generator = generator(&[Profile::Ok], "doubled_reversal=1", 3);
    let now = Stamp::default();
    let (first, _) = generator.next(now);
    let Outgoing::Request(declined) = first else {
        panic!("nothing can be reversed yet: {first:?}");
    };
    generator.answered(declined, answer("51"), false);
    let (second, _) = generator.next(now);
    let Outgoing::Request(approved) = second else {
        panic!("a decline is not reversed: {second:?}");
    };
    generator.answered(approved, answer("00"), true);
    let found = (0..50).find_map(|_| match generator.next(now).0 {
        Outgoing::Reversal {
            payment, repeat, ..
        } => Some((payment, repeat)),
        _ => None,
    });
    let (reversed, repeat) = found.unwrap();
    assert_eq!((reversed.stan, repeat), (approved.stan, false));
    let (again, _) = generator.next(now);
    assert!(
        matches!(again, Outgoing::Reversal { repeat: true, .. }),
        "{again:?}"
    );
    for _ in 0..50 {
        assert!(!matches!(generator.next(now).0, Outgoing::Reversal { .. }));
    }
}

#[test]
fn what_follows_is_about_a_pre_authorization_that_was_approved() {
    let now = Stamp::default();
    for (mix, parts) in [
        ("increment=1", false),
        ("amendment=1", false),
        ("completion=1", true),
    ] {
        let generator = generator(&[Profile::Ok], mix, 3);
        let mut generator = generator.completing_in_parts(parts);
        let (first, _) = generator.next(now);
        let Outgoing::Request(held) = first else {
            panic!("{mix}: nothing is held yet: {first:?}");
        };
        assert_eq!(held.kind, Kind::PreAuthorization);
        generator.answered(held, answer("51"), false);
        assert!(
            matches!(generator.next(now).0, Outgoing::Request(_)),
            "{mix}: declined"
        );
        generator.answered(held, answer("00"), true);
        let (mut taken_minor, mut are_final) = (0, vec![]);
        for _ in 0..40 {
            let (outgoing, expectation) = generator.next(now);
            let Outgoing::FollowUp {
                what,
                payment,
                of_stan,
                ..
            } = outgoing
            else {
                break;
            };
            assert_eq!(
                (of_stan, payment.rrn, payment.card),
                (held.stan, held.rrn, held.card)
            );
            assert_ne!(payment.stan, held.stan);
            assert!((1..=held.billing_minor).contains(&payment.billing_minor));
            let is_advice = what != FollowUp::Increment;
            assert_eq!(expectation == Expectation::Taken, is_advice, "{what:?}");
            if let FollowUp::Completion { is_final } = what {
                taken_minor += payment.billing_minor;
                are_final.push(is_final);
            }
        }
        assert!(taken_minor <= held.billing_minor, "{mix}");
        // One final completion, and it is the last.
        let finals = are_final.iter().filter(|is_final| **is_final).count();
        assert!(finals <= 1 && are_final.iter().rev().skip(1).all(|is_final| !is_final));
    }
}

#[test]
fn a_dialect_without_the_mark_completes_at_once() {
    let mut generator = generator(&[Profile::Ok], "completion=1", 5);
    for _ in 0..50 {
        match generator.next(Stamp::default()).0 {
            Outgoing::Request(payment) => generator.answered(payment, answer("00"), true),
            Outgoing::FollowUp { what, .. } => {
                assert_eq!(what, FollowUp::Completion { is_final: true });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_dialect_with_the_mark_completes_in_parts_too() {
    let generator = generator(&[Profile::Ok], "completion=1", 5);
    let mut generator = generator.completing_in_parts(true);
    let mut parts = 0;
    for _ in 0..200 {
        match generator.next(Stamp::default()).0 {
            Outgoing::Request(payment) => generator.answered(payment, answer("00"), true),
            Outgoing::FollowUp { what, .. } => {
                parts += usize::from(what == FollowUp::Completion { is_final: false });
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((10..100).contains(&parts), "{parts}");
}

#[test]
fn force_posts_are_taken_and_online_payments_say_what_was_proven() {
    let mut generator = generator(&[Profile::Ok], "force_post=1,three_ds=3", 3);
    let (mut posted, mut said) = (0, Vec::new());
    for _ in 0..200 {
        match generator.next(Stamp::default()) {
            (Outgoing::ForcePost(_), Expectation::Taken) => posted += 1,
            (Outgoing::Request(payment), Expectation::KnownCard) => {
                let merchant = &MERCHANTS[usize::from(payment.merchant)];
                assert_eq!(merchant.channel, Channel::Ecommerce);
                said.push(payment.three_ds);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(posted > 20);
    assert!(ThreeDs::SAID.iter().all(|wanted| said.contains(wanted)));
    assert!(!said.contains(&ThreeDs::None));
}

#[test]
fn mixes_are_named_weights() {
    assert_eq!("default".parse(), Ok(Mix::default()));
    assert_eq!("purchase=5".parse::<Mix>().unwrap().weights[0], 5);
    for (text, expected) in [
        ("purchase", "no name=weight"),
        (
            "shopping=3",
            "\"shopping\" is not known; use: purchase, cash",
        ),
        ("purchase=many", "no weight"),
        ("purchase=0", "all weights are zero"),
    ] {
        assert!(
            text.parse::<Mix>().unwrap_err().contains(expected),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_reversed_is_presented_in_the_end() {
    for clears in [false, true] {
        let mut generator = generator(&[Profile::Ok], "purchase=3,reversal=1", 3).clearing(clears);
        let mut open = std::collections::BTreeMap::new();
        for _ in 0..20 * REMEMBERED {
            match generator.next(Stamp::default()).0 {
                Outgoing::Request(payment) => {
                    open.insert(payment.stan, payment.billing_minor);
                    generator.answered(payment, answer("00"), true);
                }
                Outgoing::Reversal { payment, .. } => {
                    open.remove(&payment.stan).unwrap();
                }
                Outgoing::FollowUp {
                    of_stan, payment, ..
                } => assert_eq!(open.remove(&of_stan), Some(payment.billing_minor)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(open.len() <= REMEMBERED + 1, clears, "{}", open.len());
    }
}
