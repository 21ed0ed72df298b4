//! What messages state to prove that they are of the card, as the oracle has it: what is wrong is declined and counted for a
//! day, and after a few of it nothing that is stated is looked at.

use super::*;
use cardswitch::engine::facts::{Check, Verification};
use cardswitch::engine::time::Expiry;

/// Few enough that most days come to it.
pub const TRIES_PER_DAY: u32 = 3;

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub enum Stated {
    #[default]
    Nothing,
    Right,
    Wrong,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Proof {
    pub expiry: Stated,
    pub cvv: Stated,
    pub pin: Stated,
    pub cryptogram: Stated,
}

impl Stated {
    fn in_engine(self) -> Check {
        match self {
            Stated::Nothing => Check::Absent,
            Stated::Right => Check::Match,
            Stated::Wrong => Check::Mismatch,
        }
    }
}

impl Proof {
    pub fn in_engine(self) -> Verification {
        let month = |month| Expiry::new(2029, month);
        Verification {
            // All cards are good through December.
            expiry: match self.expiry {
                Stated::Nothing => None,
                Stated::Right => month(12),
                Stated::Wrong => month(11),
            },
            cvv: self.cvv.in_engine(),
            pin: self.pin.in_engine(),
            cryptogram: self.cryptogram.in_engine(),
        }
    }
}

pub fn bound_tries(switch: &mut Switch) {
    let mut settings = switch.world.registry.view.settings.clone();
    settings.verification_tries_per_day_max = TRIES_PER_DAY;
    switch.registry(RegistryAction::ChangeSettings(Box::new(settings)));
}

fn any_proof() -> impl Strategy<Value = Proof> {
    let stated = || {
        prop_oneof![
            5 => Just(Stated::Nothing),
            3 => Just(Stated::Right),
            1 => Just(Stated::Wrong),
        ]
    };
    (stated(), stated(), stated(), stated()).prop_map(|(expiry, cvv, pin, cryptogram)| Proof {
        expiry,
        cvv,
        pin,
        cryptogram,
    })
}

/// Days and conversations in which messages state something.
pub fn any_tries() -> impl Strategy<Value = Vec<Step>> {
    let steps = prop_oneof![
        2 => any_days_of_one_card(),
        1 => any_steps(),
        1 => any_conversation(),
    ];
    let said = (any_proof(), proptest::bool::weighted(0.1));
    (steps, proptest::collection::vec(said, 150)).prop_map(|(mut steps, said)| {
        for (step, (proof, is_told)) in steps.iter_mut().zip(said) {
            if let Step::Authorize(payment) | Step::Advise { payment, .. } = step {
                payment.proof = proof;
            }
            // Some are told and not asked for; of what an advice names its token for, other tests are.
            if let Step::Authorize(payment) = *step
                && is_told
                && payment.kind == Kind::Purchase
                && payment.token == ByToken::Nothing
            {
                *step = Step::Advise {
                    payment,
                    was_declined: false,
                    is_final: true,
                };
            }
        }
        steps
    })
}

const FAILED: [DeclineReason; 4] = [
    DeclineReason::ExpiryMismatch,
    DeclineReason::CvvMismatch,
    DeclineReason::PinIncorrect,
    DeclineReason::CryptogramInvalid,
];

impl View<'_> {
    /// Requests of this card, and of none that it replaced, that were declined today for something wrong.
    fn failed_tries(&self, card: u64) -> usize {
        let day = |at: Timestamp| at.0.div_euclid(24 * 60 * MINUTE_MS);
        let today = self.past.iter().filter(|past| day(past.at) == day(self.at));
        let failed = today.filter(|past| match (&past.step, &past.came) {
            (Step::Authorize(payment), Came::Declined(reason)) => {
                payment.card == card && FAILED.contains(reason)
            }
            _ => false,
        });
        failed.count()
    }

    pub fn proof(&self, payment: &Payment) -> Option<DeclineReason> {
        let Proof {
            expiry,
            cvv,
            pin,
            cryptogram,
        } = payment.proof;
        // Tokens have none here, and a token in place of the card has not the card's.
        let looks_at_expiry = !matches!(payment.token, ByToken::InPlaceOfCard(_));
        let all = [
            (expiry, looks_at_expiry),
            (cvv, true),
            (pin, true),
            (cryptogram, true),
        ];
        let states_any = payment.proof != Proof::default();
        if states_any && self.failed_tries(payment.card) >= TRIES_PER_DAY as usize {
            return Some(DeclineReason::VerificationTriesExceeded);
        }
        let mut wrong = all.into_iter().zip(FAILED);
        wrong
            .find(|((stated, is_looked_at), _)| *stated == Stated::Wrong && *is_looked_at)
            .map(|(_, reason)| reason)
    }
}

/// What the random tries are worth: each reason, and right ones among what is declined unseen.
#[test]
fn random_tries_come_to_every_reason_and_to_right_ones_that_are_declined() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeMap::new();
    for _ in 0..150 {
        let steps = any_tries().new_tree(&mut runner).unwrap().current();
        let mut engine = Engine::new(1);
        for step in &steps {
            let step = engine.resent(step);
            let came = engine.step(&step);
            let what = match (&step, came) {
                (Step::Authorize(payment), Came::Declined(reason)) => {
                    let Verification {
                        expiry,
                        cvv,
                        pin,
                        cryptogram,
                    } = payment.proof.in_engine();
                    let is_right = expiry != Expiry::new(2029, 11)
                        && ![cvv, pin, cryptogram].contains(&Check::Mismatch);
                    match reason {
                        DeclineReason::VerificationTriesExceeded if is_right => "right, unseen",
                        DeclineReason::VerificationTriesExceeded => "wrong, unseen",
                        reason => reason.name(),
                    }
                }
                (_, Came::Advised(advice))
                    if advice.breach == Some(DeclineReason::VerificationTriesExceeded) =>
                {
                    "advised"
                }
                _ => continue,
            };
            *found.entry(what).or_insert(0) += 1;
        }
    }
    let failed = FAILED.map(DeclineReason::name);
    for what in failed
        .into_iter()
        .chain(["right, unseen", "wrong, unseen", "advised"])
    {
        let times = found.get(what).copied().unwrap_or(0);
        assert!(times >= 5, "{what} came {times} times: {found:?}");
    }
}
