//! Cards in place of others, as the oracle has them. The number of a card has its place in the chain in its tens: 101 is
//! replaced by 111, and that by 121. What a chain shares is asked for by its first card.

use super::*;
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::time::Expiry;

/// So many cards of one chain.
pub const CHAIN_MAX: u64 = 4;

pub fn first_of(card: u64) -> u64 {
    card / 100 * 100 + card % 10
}

fn place_in_chain(card: u64) -> u64 {
    card / 10 % 10
}

pub fn is_of_chain(one: u64, other: u64) -> bool {
    first_of(one) == first_of(other)
}

/// A card, or one that may replace it.
pub fn any_of_chain(first: impl Strategy<Value = u64>) -> impl Strategy<Value = u64> {
    let later = prop_oneof![6 => Just(0u64), 3 => Just(1), 1 => Just(2)];
    (first, later).prop_map(|(first, later)| first + 10 * later)
}

/// Mostly the newest card of a chain.
pub fn any_newest(first: u64) -> impl Strategy<Value = u64> {
    let back = prop_oneof![1 => Just(0u64), 1 => Just(1), 8 => Just(CHAIN_MAX - 1)];
    back.prop_map(move |place| first + 10 * place)
}

pub fn any_reissue(card: impl Strategy<Value = u64>) -> impl Strategy<Value = Step> {
    let reasons = ReissueReason::NAMED.iter();
    let reasons: Vec<_> = reasons.map(|(reason, _)| *reason).collect();
    let reason = proptest::sample::select(reasons);
    (card, reason).prop_map(|(card, reason)| Step::Reissue { card, reason })
}

/// The step with each card that nobody issued replaced by the last one of its chain that somebody did.
fn among(step: &Step, is_there: impl Fn(u64) -> bool) -> Step {
    let mut step = step.clone();
    let card = match &mut step {
        Step::Authorize(payment) | Step::Advise { payment, .. } => &mut payment.card,
        Step::Reverse { card, .. }
        | Step::Status { card, .. }
        | Step::Controls { card, .. }
        | Step::OpenToken { card, .. }
        | Step::Reissue { card, .. } => card,
        _ => return step,
    };
    while !is_there(*card) && place_in_chain(*card) > 0 {
        *card -= 10;
    }
    step
}

impl Engine {
    pub fn at_hand(&self, step: &Step) -> Step {
        let mut step = step.clone();
        if let Step::Authorize(payment) = &mut step {
            with_card(payment, |token| self.card_by_token(token));
        }
        among(&step, |card| {
            let root = AccountId(root_of_account(account_of_card(card)));
            let state = self.switch.world.shard(root);
            state.card(CardId(card)).is_some()
        })
    }

    pub fn reissue(&mut self, card: u64, reason: ReissueReason) -> Came {
        if place_in_chain(card) + 1 >= CHAIN_MAX {
            return Came::Refused;
        }
        let expiry = Expiry::new(2029, 12).unwrap();
        match self.switch.reissue(card + 10, card, reason, expiry) {
            Ok(outcome) => came_of(&outcome),
            Err(_) => Came::Refused,
        }
    }
}

impl Naive {
    pub fn at_hand(&self, step: &Step) -> Step {
        let mut step = step.clone();
        if let Step::Authorize(payment) = &mut step {
            with_card(payment, |token| self.view().card_by_token(token));
        }
        among(&step, |card| {
            place_in_chain(card) == 0 || self.view().reissued(card - 10).is_some()
        })
    }
}

impl View<'_> {
    /// Where in the past a card was replaced, and why.
    pub fn reissued(&self, card: u64) -> Option<(usize, ReissueReason)> {
        let mut past = self.past.iter().enumerate();
        past.find_map(|(place, past)| match past.step {
            Step::Reissue { card: of, reason } if of == card && past.came == Came::Done => {
                Some((place, reason))
            }
            _ => None,
        })
    }

    pub fn reissue(&self, card: u64) -> Came {
        let is_last = place_in_chain(card) + 1 >= CHAIN_MAX;
        match is_last || self.reissued(card).is_some() {
            true => Came::Refused,
            false => Came::Done,
        }
    }

    /// What the states of a card begin with.
    pub fn begins(&self, card: u64) -> CardState {
        let frozen = place_in_chain(card) > 0 && {
            let before = card - 10;
            let (place, _) = self.reissued(before).expect("what is at hand was issued");
            self.card_state_before(before, place).frozen
        };
        CardState {
            activated: !is_physical(card),
            frozen,
            closed: None,
        }
    }
}

/// What a network hears of a card that was replaced for this reason.
pub fn heard_of(reason: ReissueReason) -> DeclineReason {
    match reason {
        ReissueReason::Lost => DeclineReason::CardLost,
        ReissueReason::Stolen => DeclineReason::CardStolen,
        ReissueReason::Fraud => DeclineReason::CardBlocked,
        ReissueReason::Damaged | ReissueReason::Expired | ReissueReason::FulfillmentError => {
            DeclineReason::CardClosed
        }
    }
}

/// What it is worth: that limits, use and history of one card decide on a later one.
#[test]
fn random_days_decline_by_what_an_earlier_card_did() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..150 {
        let steps = any_days_of_one_card()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut engine = Engine::new(1);
        for step in &steps {
            let step = engine.resent(step);
            let came = engine.step(&step);
            if let (Step::Authorize(payment), Came::Declined(reason)) = (&step, came)
                && payment.card != first_of(payment.card)
            {
                found.insert(reason);
            }
        }
    }
    for reason in [
        DeclineReason::CardUsed,
        DeclineReason::DailyLimitExceeded,
        DeclineReason::RollingLimitExceeded,
        DeclineReason::MerchantLockMismatch,
        DeclineReason::RuleDeclined,
        DeclineReason::CardLost,
        DeclineReason::CardStolen,
        DeclineReason::CardClosed,
    ] {
        assert!(found.contains(&reason), "{reason:?} is not among {found:?}");
    }
}
