//! What a card network would send next: purchases, cash, pre-authorizations and what follows of them, declines of every
//! kind, reversals early and doubled, repeats, force posts, echoes. Pure: a seed and the time in, messages out.
//! How they stand on the wire is in `wire`.

use std::sync::Arc;

pub use super::payments::{FollowUp, Kind, Payment, ThreeDs, Twist};
use super::{
    cards::{
        BLOCKED_COUNTRY, BLOCKED_CURRENCY, BLOCKED_MCC, LOW_FUNDS_MINOR, Profile, SimCard,
        TRANSACTION_LIMIT_MINOR,
    },
    check::{Decline, Expectation, FirstAnswer},
    keys::{Keys, Stamp},
    merchants::{Channel, MERCHANTS},
    mix::{Choice, Mix},
    random::Random,
};

/// One message to send.
#[derive(Clone, Copy, Debug)]
pub enum Outgoing {
    /// A payment asks for approval.
    Request(Payment),
    /// The same again, marked as a repeat.
    Repeat(Payment),
    /// A payment is taken back.
    Reversal {
        /// Which.
        payment: Payment,
        /// DE11 of the reversal.
        stan: u32,
        /// DE7 of the reversal.
        at: Stamp,
        /// The same reversal was sent before.
        repeat: bool,
    },
    /// Something about a payment of before.
    FollowUp {
        /// What.
        what: FollowUp,
        /// The same card, merchant and RRN; its own amount, STAN and time.
        payment: Payment,
        /// DE11 of the payment of before.
        of_stan: u32,
        /// DE12, DE13 and DE7 of the payment of before.
        of_at: Stamp,
    },
    /// A payment that was made without asking.
    ForcePost(Payment),
    /// Is the line up?
    Echo {
        /// DE11.
        stan: u32,
        /// DE7.
        at: Stamp,
    },
}

/// One of so many good cards is there to be tried wrong.
const TRIED_OF: usize = 16;

/// Payments remembered for repeats and reversals.
const REMEMBERED: usize = 512;

#[derive(Clone, Copy, Debug)]
struct Past {
    payment: Payment,
    answer: FirstAnswer,
    approved: bool,
    reversed: bool,
    /// What a completion may still take; nothing where there was a final one.
    open_minor: u64,
}

impl Past {
    fn has_hold(&self) -> bool {
        let holds = matches!(self.payment.kind, Kind::Purchase | Kind::PreAuthorization);
        holds && self.approved && !self.reversed && self.open_minor > 0
    }
}

/// Traffic of one connection.
#[derive(Clone, Debug)]
pub struct Generator {
    cards: Arc<[SimCard]>,
    ordinary: Vec<u32>,
    /// Those whose expiry and CVV2 are stated wrong, and no others: an issuer takes a few such tries a day, and then declines
    /// whatever states them.
    tried: Vec<u32>,
    controlled: Vec<u32>,
    mix: Mix,
    random: Random,
    keys: Keys,
    /// Whether what was answered will be wanted again.
    remembers: bool,
    past: Vec<Past>,
    oldest: usize,
    last: Option<Payment>,
    queued: Vec<(Outgoing, Expectation)>,
    /// The dialect can say that more completions follow.
    completes_in_parts: bool,
    clears: bool,
    to_present: Vec<Past>,
}

impl Generator {
    /// `run` tells runs apart (see `keys`); `seed` decides the traffic.
    pub fn new(
        cards: Arc<[SimCard]>,
        mix: Mix,
        seed: u64,
        run: u64,
        connection: usize,
    ) -> Generator {
        let indices = |ordinary: bool| {
            let mut found = Vec::new();
            for (at, card) in cards.iter().enumerate() {
                if matches!(card.profile, Profile::Ok | Profile::WindowLimit) == ordinary {
                    found.push(at as u32);
                }
            }
            found
        };
        let mut ordinary = indices(true);
        let tried = match ordinary.len() {
            0 | 1 => ordinary.clone(),
            count => ordinary.split_off(count - count.div_ceil(TRIED_OF)),
        };
        Generator {
            ordinary,
            tried,
            controlled: indices(false),
            cards,
            remembers: mix.looks_back(),
            mix,
            random: Random::new(seed ^ (connection as u64) << 40),
            keys: Keys::new(run, connection),
            past: Vec::with_capacity(REMEMBERED),
            oldest: 0,
            last: None,
            queued: Vec::with_capacity(4),
            completes_in_parts: false,
            clears: false,
            to_present: Vec::new(),
        }
    }

    /// For dialects that can say that more completions follow.
    pub fn completing_in_parts(mut self, completes_in_parts: bool) -> Generator {
        self.completes_in_parts = completes_in_parts;
        self
    }

    /// Presents in full what is too long ago to be taken back, so that holds do not pile up.
    pub fn clearing(mut self, clears: bool) -> Generator {
        self.clears = clears;
        self.remembers |= clears;
        self
    }

    /// The next message, and what its answer must be.
    #[inline]
    pub fn next(&mut self, now: Stamp) -> (Outgoing, Expectation) {
        if let Some(queued) = self.queued.pop() {
            return queued;
        }
        if let Some(past) = self.to_present.pop() {
            let what = FollowUp::Completion { is_final: true };
            let outgoing = self.about(what, &past.payment, past.open_minor, now);
            return (outgoing, Expectation::Taken);
        }
        let choice = self.mix.choose(&mut self.random);
        match choice {
            Choice::Repeat => self.repeat(now),
            Choice::QuickRepeat => match self.last {
                Some(payment) => (Outgoing::Repeat(payment), Expectation::SameAsFirst),
                None => self.pay(Choice::Purchase, now),
            },
            Choice::Reversal | Choice::DoubledReversal => self.reverse(choice, now),
            Choice::EarlyReversal => self.reverse_early(now),
            Choice::Increment | Choice::Amendment | Choice::Completion => {
                self.follow_up(choice, now)
            }
            Choice::ForcePost => self.force_post(now),
            Choice::Echo => self.echo(now),
            choice => self.pay(choice, now),
        }
    }

    /// Remembers how a payment was answered.
    #[inline]
    pub fn answered(&mut self, payment: Payment, answer: FirstAnswer, approved: bool) {
        if !self.remembers {
            return;
        }
        let past = Past {
            payment,
            answer,
            approved,
            reversed: false,
            open_minor: payment.billing_minor,
        };
        if self.past.len() < REMEMBERED {
            self.past.push(past);
        } else {
            let forgotten = std::mem::replace(&mut self.past[self.oldest], past);
            self.oldest = (self.oldest + 1) % REMEMBERED;
            if self.clears && forgotten.has_hold() {
                self.to_present.push(forgotten);
            }
        }
    }

    fn pay(&mut self, choice: Choice, now: Stamp) -> (Outgoing, Expectation) {
        let controlled = choice == Choice::Control && !self.controlled.is_empty();
        let is_wrong = matches!(choice, Choice::WrongExpiry | Choice::WrongCvv2);
        let (among, choice) = match (controlled || self.ordinary.is_empty(), is_wrong) {
            (true, false) => (&self.controlled, choice),
            // None of them may be tried wrong.
            (true, true) => (&self.controlled, Choice::Purchase),
            (false, true) => (&self.tried, choice),
            (false, false) => (&self.ordinary, choice),
        };
        let card = among[self.random.below(among.len() as u64) as usize];
        let mut payment = self.payment(choice, card, now);
        if controlled {
            self.provoke(&mut payment);
        }
        self.last = Some(payment);
        (Outgoing::Request(payment), self.expectation(&payment))
    }

    fn payment(&mut self, choice: Choice, card: u32, now: Stamp) -> Payment {
        let channel = match choice {
            Choice::Cash => Some(Channel::Atm),
            Choice::WrongCvv2 | Choice::ThreeDs => Some(Channel::Ecommerce),
            _ => None,
        };
        let wanted = |channel_of| match channel {
            Some(channel) => channel_of == channel,
            None => channel_of != Channel::Atm,
        };
        let merchant = loop {
            let at = self.random.below(MERCHANTS.len() as u64) as u16;
            if wanted(MERCHANTS[usize::from(at)].channel) {
                break at;
            }
        };
        let (low, high) = MERCHANTS[usize::from(merchant)].amount;
        // Most amounts are near the lower end.
        let amount = self
            .random
            .between(low, high)
            .min(self.random.between(low, high));
        let three_ds = match choice {
            // Most are authenticated.
            Choice::ThreeDs => {
                let place = self.random.below(10).saturating_sub(7) as usize;
                ThreeDs::SAID[place]
            }
            _ => ThreeDs::None,
        };
        let has_cvv2 = self.cards[card as usize].cvv2.is_some();
        let (stan, rrn) = self.keys.draw();
        Payment {
            card,
            merchant,
            kind: match choice {
                Choice::Cash => Kind::CashWithdrawal,
                Choice::PreAuthorization => Kind::PreAuthorization,
                Choice::Verification => Kind::Verification,
                _ => Kind::Purchase,
            },
            twist: match choice {
                Choice::WrongExpiry => Twist::WrongExpiry,
                Choice::WrongCvv2 if has_cvv2 => Twist::WrongCvv2,
                Choice::UnknownCard => Twist::UnknownCard,
                Choice::UnknownBin => Twist::UnknownBin,
                _ => Twist::None,
            },
            billing_minor: match choice {
                Choice::Verification => 0,
                _ => amount,
            },
            foreign: choice == Choice::Foreign,
            three_ds,
            stan,
            rrn,
            at: now,
        }
    }

    /// Makes a payment run into what its card does not allow.
    fn provoke(&mut self, payment: &mut Payment) {
        let card = &self.cards[payment.card as usize];
        let mut merchant_with = |wanted: &dyn Fn(usize) -> bool| {
            let count = MERCHANTS.len();
            let start = self.random.below(count as u64) as usize;
            let mut around = (0..count).map(|step| (start + step) % count);
            around.find(|at| wanted(*at)).map(|at| at as u16)
        };
        let found = match card.profile {
            Profile::MccBlock => merchant_with(&|at| MERCHANTS[at].mcc == BLOCKED_MCC),
            Profile::CountryBlock => merchant_with(&|at| MERCHANTS[at].country == BLOCKED_COUNTRY),
            Profile::CurrencyBlock => {
                payment.foreign = true;
                merchant_with(&|at| MERCHANTS[at].currency == BLOCKED_CURRENCY)
            }
            Profile::LowFunds => {
                payment.billing_minor += LOW_FUNDS_MINOR;
                None
            }
            Profile::TransactionLimit => {
                payment.billing_minor += TRANSACTION_LIMIT_MINOR;
                None
            }
            _ => None,
        };
        payment.merchant = found.unwrap_or(payment.merchant);
    }

    /// What must come of a payment, from what is known about its card.
    fn expectation(&self, payment: &Payment) -> Expectation {
        match payment.twist {
            Twist::UnknownCard | Twist::UnknownBin => {
                return Expectation::Declined(Decline::UnknownCard);
            }
            Twist::WrongExpiry => return Expectation::Declined(Decline::WrongExpiry),
            Twist::WrongCvv2 => return Expectation::Declined(Decline::WrongCvv2),
            Twist::None => {}
        }
        let card = &self.cards[payment.card as usize];
        let merchant = &MERCHANTS[usize::from(payment.merchant)];
        let decline = match card.profile {
            Profile::Frozen => Some(Decline::Frozen),
            Profile::Closed => Some(Decline::Closed),
            Profile::LowFunds if payment.billing_minor >= LOW_FUNDS_MINOR => Some(Decline::Funds),
            Profile::TransactionLimit if payment.billing_minor > TRANSACTION_LIMIT_MINOR => {
                Some(Decline::Limit)
            }
            Profile::MccBlock if merchant.mcc == BLOCKED_MCC => Some(Decline::Mcc),
            Profile::CountryBlock if merchant.country == BLOCKED_COUNTRY => Some(Decline::Country),
            Profile::CurrencyBlock
                if payment.foreign
                    && merchant.currency == BLOCKED_CURRENCY
                    && card.currency.as_str() != BLOCKED_CURRENCY =>
            {
                Some(Decline::Currency)
            }
            _ => None,
        };
        match (decline, card.profile) {
            (Some(decline), _) => Expectation::Declined(decline),
            (None, Profile::Ok) => Expectation::KnownCard,
            (None, _) => Expectation::Any,
        }
    }

    fn repeat(&mut self, now: Stamp) -> (Outgoing, Expectation) {
        if self.past.is_empty() {
            return self.pay(Choice::Purchase, now);
        }
        let past = self.past[self.random.below(self.past.len() as u64) as usize];
        (
            Outgoing::Repeat(past.payment),
            Expectation::SameAs(past.answer),
        )
    }

    fn reverse(&mut self, choice: Choice, now: Stamp) -> (Outgoing, Expectation) {
        let count = self.past.len() as u64;
        // A handful of tries finds one as long as approvals are not rare.
        for _ in 0..8.min(count) {
            let at = self.random.below(count) as usize;
            let past = &mut self.past[at];
            if past.approved && !past.reversed && past.payment.kind != Kind::Verification {
                past.reversed = true;
                let payment = past.payment;
                return self.reversal(payment, choice == Choice::DoubledReversal, now);
            }
        }
        self.pay(Choice::Purchase, now)
    }

    /// About a pre-authorization that was approved, or else such a one first.
    fn follow_up(&mut self, choice: Choice, now: Stamp) -> (Outgoing, Expectation) {
        let count = self.past.len();
        let start = self.random.below(count.max(1) as u64) as usize;
        let mut around = (0..count).map(|step| (start + step) % count);
        let open = |past: &Past| {
            let is_open = past.approved && !past.reversed && past.open_minor > 1;
            is_open && past.payment.kind == Kind::PreAuthorization
        };
        let Some(at) = around.find(|at| open(&self.past[*at])) else {
            return self.pay(Choice::PreAuthorization, now);
        };
        let Past {
            payment: of,
            open_minor,
            ..
        } = self.past[at];
        let part_minor = self.random.between(1, open_minor);
        let (what, amount_minor, left_minor) = match choice {
            Choice::Increment => (FollowUp::Increment, part_minor, open_minor),
            Choice::Amendment => (FollowUp::Amendment, part_minor, part_minor),
            _ => {
                let is_final = !self.completes_in_parts || self.random.below(4) > 0;
                let left_minor = if is_final { 0 } else { open_minor - part_minor };
                let is_all = is_final && self.random.below(2) == 0;
                let amount_minor = if is_all { open_minor } else { part_minor };
                (FollowUp::Completion { is_final }, amount_minor, left_minor)
            }
        };
        self.past[at].open_minor = left_minor;
        let outgoing = self.about(what, &of, amount_minor, now);
        let expectation = match what {
            FollowUp::Increment => self.expectation(&Payment {
                billing_minor: amount_minor,
                ..of
            }),
            FollowUp::Amendment | FollowUp::Completion { .. } => Expectation::Taken,
        };
        // Whether it may still be added to depends on what else is under way.
        let expectation = match expectation {
            Expectation::Declined(_) => Expectation::Any,
            other => other,
        };
        (outgoing, expectation)
    }

    fn about(&mut self, what: FollowUp, of: &Payment, billing_minor: u64, at: Stamp) -> Outgoing {
        let (stan, _) = self.keys.draw();
        Outgoing::FollowUp {
            what,
            payment: Payment {
                billing_minor,
                stan,
                at,
                ..*of
            },
            of_stan: of.stan,
            of_at: of.at,
        }
    }

    fn force_post(&mut self, now: Stamp) -> (Outgoing, Expectation) {
        if self.ordinary.is_empty() {
            return self.pay(Choice::Purchase, now);
        }
        let card = self.ordinary[self.random.below(self.ordinary.len() as u64) as usize];
        let payment = self.payment(Choice::ForcePost, card, now);
        (Outgoing::ForcePost(payment), Expectation::Taken)
    }

    fn reversal(&mut self, payment: Payment, doubled: bool, at: Stamp) -> (Outgoing, Expectation) {
        let (stan, _) = self.keys.draw();
        let reversal = |repeat| Outgoing::Reversal {
            payment,
            stan,
            at,
            repeat,
        };
        if doubled {
            self.queued.push((reversal(true), Expectation::Reversed));
        }
        (reversal(false), Expectation::Reversed)
    }

    /// The reversal overtakes its original, which must then be declined.
    fn reverse_early(&mut self, now: Stamp) -> (Outgoing, Expectation) {
        if self.ordinary.is_empty() {
            return self.pay(Choice::Purchase, now);
        }
        let card = self.ordinary[self.random.below(self.ordinary.len() as u64) as usize];
        let payment = self.payment(Choice::Purchase, card, now);
        let late = Expectation::Declined(Decline::ReversedBefore);
        self.queued.push((Outgoing::Request(payment), late));
        self.reversal(payment, false, now)
    }

    fn echo(&mut self, at: Stamp) -> (Outgoing, Expectation) {
        let (stan, _) = self.keys.draw();
        (Outgoing::Echo { stan, at }, Expectation::Accepted)
    }
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
