//! What declines cost, as the oracle has it: each so much, so many of one card in a day, and none of what whoever pays had no
//! part in.

use super::*;

/// Ours, and what the reseller adds.
pub const DECLINE_FEE: (i64, i64) = (3, 1);
pub const DECLINES_PER_DAY: u16 = 3;

/// A charge: of which card, on which account.
pub type OnDecline = (u64, u64);

impl View<'_> {
    /// What was charged to an account for declines: ours, and the reseller's.
    pub fn fees(&self, account: u64) -> (i64, i64) {
        let fees = self.past.iter().flat_map(|past| &past.fees);
        let count = fees.filter(|(_, of)| *of == account).count() as i64;
        (count * DECLINE_FEE.0, count * DECLINE_FEE.1)
    }

    /// What this step charges.
    pub fn charges(&self, step: &Step, came: &Came) -> Vec<OnDecline> {
        match (step, came) {
            (Step::Authorize(payment), Came::Declined(reason)) => {
                let asks = payment.takes_money() && payment.amount > 0;
                let account = match self.adds_to(payment) {
                    Some(place) => self.of(place).account,
                    None => self.payer(payment),
                };
                let charge = self.on_decline(payment.card, account, *reason, &[]);
                charge.filter(|_| asks).into_iter().collect()
            }
            (Step::Customer { says, .. }, Came::Resolved(resolution)) if *says != Says::Lost => {
                self.charges_of(std::slice::from_ref(resolution))
            }
            (Step::Wait { .. }, Came::TimedOut(resolutions)) => self.charges_of(resolutions),
            _ => Vec::new(),
        }
    }

    /// Of what customers said, or did not, in this order.
    pub fn charges_of(&self, resolutions: &[Resolution]) -> Vec<OnDecline> {
        let mut charges = Vec::new();
        for resolution in resolutions {
            if let Heard::Declined(reason) = resolution.heard {
                let known = self.of(resolution.of);
                let (card, account) = (known.payment.card, known.account);
                charges.extend(self.on_decline(card, account, reason, &charges));
            }
        }
        charges
    }

    fn on_decline(
        &self,
        card: u64,
        account: u64,
        reason: DeclineReason,
        before: &[OnDecline],
    ) -> Option<OnDecline> {
        let day = |at: Timestamp| at.0.div_euclid(24 * 60 * MINUTE_MS);
        let today = self.past.iter().filter(|past| day(past.at) == day(self.at));
        let today = today.flat_map(|past| &past.fees).chain(before);
        let count = today.filter(|(of, _)| *of == card).count();
        let is_closed = self.account_state(account) == AccountStatusChange::Close;
        let charges = self.has_fees
            && !is_free(reason)
            && !is_closed
            && count < usize::from(DECLINES_PER_DAY);
        charges.then_some((card, account))
    }
}

/// Of those that the random days come to.
fn is_free(reason: DeclineReason) -> bool {
    [
        DeclineReason::InvalidAmount,
        DeclineReason::UnsupportedFunction,
        DeclineReason::DuplicateTransmission,
        DeclineReason::ReversedBeforeOriginal,
        DeclineReason::OriginalNotFound,
        DeclineReason::CardNotActivated,
        DeclineReason::CardBlocked,
        DeclineReason::CardLost,
        DeclineReason::CardStolen,
        DeclineReason::CardClosed,
        DeclineReason::TokenNotFound,
        DeclineReason::TokenMismatch,
        DeclineReason::TokenNotActive,
        DeclineReason::TokenSuspended,
        DeclineReason::AccountFrozen,
        DeclineReason::AccountClosed,
        DeclineReason::VerificationTriesExceeded,
        DeclineReason::ExpiryMismatch,
        DeclineReason::CvvMismatch,
        DeclineReason::PinIncorrect,
        DeclineReason::CryptogramInvalid,
        DeclineReason::ExchangeRateMissing,
    ]
    .contains(&reason)
}

/// What the random days are worth for it.
#[test]
fn random_days_charge_for_declines_and_stop_where_the_day_is_full() {
    let mut runner = TestRunner::deterministic();
    let [mut charged, mut beyond, mut by_customers] = [0; 3];
    for _ in 0..150 {
        let steps = any_steps().new_tree(&mut runner).unwrap().current();
        let mut naive = Naive {
            has_rules: true,
            has_fees: true,
            ..Naive::default()
        };
        naive.at = Engine::new(1).switch.at;
        for step in &steps {
            let step = &naive.resent(step);
            let (came, lines) = naive.decide(step);
            let is_no = matches!(came, Came::Declined(reason) if !is_free(reason));
            naive.note(step, came, lines);
            let now = naive.past.last().unwrap();
            let is_customer = !matches!(step, Step::Authorize(_));
            charged += now.fees.len();
            by_customers += if is_customer { now.fees.len() } else { 0 };
            beyond += usize::from(is_no && now.fees.is_empty());
            if let Step::Wait { minutes } = step {
                naive.at = naive.at.plus_ms(minutes * MINUTE_MS);
            }
        }
    }
    assert!(
        charged > 300 && beyond > 20 && by_customers > 3,
        "{charged} {beyond} {by_customers}"
    );
}
