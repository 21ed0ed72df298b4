//! The messages of networks that a random history has beside plain authorizations: single messages, increments,
//! advices of all outcomes, reversals of a part.

use crate::history::{EUR, History, USD, named};
use cardswitch::engine::command::{Action, Advise, Authorize};
use cardswitch::engine::event::ApprovalCode;
use cardswitch::engine::facts::{Amounts, Kind, RepeatKey};
use cardswitch::engine::ids::{AccountId, AuthorizationId, CardId};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::registry::RegistryAction;

/// What a message may be about: its number, card, tree and amount.
type Original = (u64, CardId, AccountId, Money);

impl History {
    /// One message of any kind. Most are about a young authorization, whatever has become of it.
    pub fn message(&mut self) {
        let Some(original) = self.original() else {
            return self.single_message();
        };
        match self.below(32) {
            24..26 => self.withhold(),
            26..31 => self.resolve(),
            31 => {
                let enabled = self.below(2) == 0;
                self.ask_customers(enabled);
            }
            0..3 => self.single_message(),
            3..6 => self.increment(original),
            6..12 => self.completion(original),
            12..15 => self.amendment(original),
            15..17 => self.stand_in(),
            17 => self.advice_of_nothing(original),
            18 => self.advice_after_its_reversal(original),
            19 => self.completion_again(),
            20 => self.advice_of_an_unknown_card(),
            21 => self.partial_reversal(original),
            _ => self.reversal_of_a_part(),
        }
    }

    /// Rather one that was approved.
    fn original(&mut self) -> Option<Original> {
        let mut original = None;
        for _ in 0..6 {
            let age = self.below(40) as usize + 1;
            let place = self.authorizations.len().checked_sub(age)?;
            let (id, card_id, root, amount) = self.authorizations[place];
            original = Some((id.0, card_id, root, amount));
            if self.world.shard(root).authorizations.contains(id) {
                break;
            }
        }
        original
    }

    /// A purchase that is posted at once.
    pub fn pay(&mut self, amount_minor: i64) {
        let place = self.below(self.cards.len() as u64) as usize;
        let (card_id, root) = self.cards[place];
        let mut payment = self.payment(card_id, amount_minor, Kind::Purchase, 5411);
        payment.posts = true;
        self.send(root, payment);
    }

    /// Posts all of the authorization at this place.
    pub fn complete(&mut self, place: usize) {
        let (id, card_id, root, amount) = self.authorizations[place];
        let original = (id.0, card_id, root, amount);
        let mut advise = self.advice(original, amount.amount_minor, Kind::Purchase);
        advise.payment.amounts.transaction = amount;
        advise.payment.posts = true;
        self.shard(root, Action::Advise(advise));
    }

    /// 0200, of money that goes either way.
    fn single_message(&mut self) {
        let place = self.below(self.cards.len() as u64) as usize;
        let (card_id, root) = self.cards[place];
        let kind = match self.below(6) {
            0 => Kind::Refund,
            1 => Kind::CashWithdrawal,
            2 => Kind::BalanceInquiry,
            _ => Kind::Purchase,
        };
        let amount_minor = match (kind, self.below(12)) {
            (Kind::BalanceInquiry, _) => 0,
            // More than most accounts have: a part of it is approved.
            (Kind::Purchase, 0) => 9_000_000,
            _ => 1 + self.below(9_000) as i64,
        };
        let mut payment = self.payment(card_id, amount_minor, kind, 5411);
        payment.partial_approval_supported |= amount_minor > 9_000;
        payment.posts = true;
        self.send(root, payment);
    }

    fn increment(&mut self, (number, card_id, root, _): Original) {
        let amount_minor = 1 + self.below(20_000) as i64;
        let mut payment = self.payment(card_id, amount_minor, Kind::Incremental, 5411);
        payment.original_keys = named(number);
        self.send(root, payment);
    }

    /// An advice about what this number names; at times in a currency that the account does not have.
    fn advice(&mut self, original: Original, amount_minor: i64, kind: Kind) -> Advise {
        let (number, card_id, root, _) = original;
        let mut payment = self.payment(card_id, amount_minor, kind, 5411);
        payment.amounts.billing = None;
        payment.amounts.transaction.currency = match self.below(10) {
            // No rate leads from it.
            0 => Currency(392),
            1 => EUR,
            _ => self.currency_of(root).unwrap_or(USD),
        };
        payment.original_keys = named(number);
        Advise {
            payment,
            is_final: self.below(3) == 0,
            approval_code: (self.below(2) == 0)
                .then_some(ApprovalCode::of(AuthorizationId(number))),
            ..Advise::default()
        }
    }

    fn advise(&mut self, root: AccountId, advise: Advise) {
        let payment = &advise.payment;
        let (id, card_id) = (payment.authorization_id, payment.card_id);
        let amount = payment.amounts.transaction;
        if self.shard(root, Action::Advise(advise)) {
            let shard = self.world.shard(root);
            match shard.authorizations.contains(id) {
                true => self.authorizations.push((id, card_id, root, amount)),
                false => self.parts.push((id.0, card_id, root, amount)),
            }
        }
    }

    /// A part of it, all of it, more than it, or nothing.
    fn around(&mut self, amount: Money) -> i64 {
        let amount_minor = amount.amount_minor.max(2);
        match self.below(8) {
            0..4 => 1 + self.below(amount_minor as u64) as i64,
            4..6 => amount_minor,
            6 => amount_minor + 1 + self.below(500) as i64,
            _ => 0,
        }
    }

    fn completion(&mut self, original: Original) {
        let amount_minor = self.around(original.3);
        let kind = match self.below(6) {
            0 => Kind::Refund,
            _ => Kind::Purchase,
        };
        let mut advise = self.advice(original, amount_minor, kind);
        advise.payment.posts = true;
        self.posted = Some(advise.clone());
        self.advise(original.2, advise);
    }

    /// Another amount for the hold, or more for it.
    fn amendment(&mut self, original: Original) {
        let amount_minor = self.around(original.3);
        let kind = match self.below(4) {
            0 => Kind::Incremental,
            1 => Kind::Refund,
            _ => Kind::Purchase,
        };
        let advise = self.advice(original, amount_minor, kind);
        self.advise(original.2, advise);
    }

    /// What the network decided in our place: an authorization that we never saw, or a decline.
    fn stand_in(&mut self) {
        let place = self.below(self.cards.len() as u64) as usize;
        let ((card_id, root), number) = (self.cards[place], self.id());
        let amount = Money {
            amount_minor: 1 + self.below(2_000_000) as i64,
            currency: USD,
        };
        let kind = match self.below(4) {
            0 => Kind::Refund,
            _ => Kind::Purchase,
        };
        let original = (number, card_id, root, amount);
        let mut advise = self.advice(original, amount.amount_minor, kind);
        advise.was_declined = self.below(3) == 0;
        advise.payment.posts = self.below(2) == 0;
        let again = advise.clone();
        self.advise(root, advise);
        if self.below(3) == 0 {
            let mut doubled = again;
            doubled.payment.authorization_id = AuthorizationId(self.id());
            doubled.payment.amounts.transaction.amount_minor += 1;
            doubled.payment.amounts.billing = None;
            self.shard(root, Action::Advise(doubled));
        }
    }

    fn advice_of_nothing(&mut self, original: Original) {
        let advise = self.advice(original, 0, Kind::AccountVerification);
        self.advise(original.2, advise);
    }

    fn advice_after_its_reversal(&mut self, original: Original) {
        let (_, card_id, root, amount) = original;
        let mut advise = self.advice(
            (self.last() << 40, card_id, root, amount),
            700,
            Kind::Purchase,
        );
        let id = advise.payment.authorization_id;
        advise.payment.posts = self.below(2) == 0;
        self.reverse_named(id.0, card_id, root, amount, None);
        self.advise(root, advise);
    }

    /// The same message with a new identity, as after its first answer was forgotten.
    fn completion_again(&mut self) {
        let Some(mut advise) = self.posted.clone() else {
            return;
        };
        let id = self.id();
        advise.payment.authorization_id = AuthorizationId(id);
        advise.payment.repeat_key = RepeatKey(u128::from(id) << 1);
        let card_id = advise.payment.card_id;
        let card = self.cards.iter().find(|(known, _)| *known == card_id);
        let root = card.unwrap().1;
        self.shard(root, Action::Advise(advise));
    }

    fn advice_of_an_unknown_card(&mut self) {
        let id = self.id();
        let amount = Money {
            amount_minor: 900,
            currency: USD,
        };
        let original = (id, CardId(id), AccountId(0), amount);
        let mut advise = self.advice(original, 900, Kind::Purchase);
        advise.was_declined = self.below(2) == 0;
        let mut doubled = advise.clone();
        self.registry(RegistryAction::AdviseUnknownCard(Box::new(advise)));
        doubled.payment.authorization_id = AuthorizationId(self.id());
        doubled.payment.amounts.transaction.amount_minor += 1;
        self.registry(RegistryAction::AdviseUnknownCard(Box::new(doubled)));
    }

    fn partial_reversal(&mut self, (number, card_id, root, amount): Original) {
        let stays_minor = 1 + self.below(amount.amount_minor.max(1) as u64) as i64;
        self.reverse_named(number, card_id, root, amount, Some(stays_minor));
    }

    /// Of an increment or a completion by its own name, all of it or a part.
    fn reversal_of_a_part(&mut self) {
        let age = self.below(8) as usize + 1;
        let Some(place) = self.parts.len().checked_sub(age) else {
            return;
        };
        let (number, card_id, root, amount) = self.parts[place];
        let stays_minor = (self.below(2) == 0).then_some(amount.amount_minor / 3);
        self.reverse_named(number, card_id, root, amount, stays_minor);
    }

    /// Payments of every card in the other currency under a schedule of fees, each of which goes back in part and then as a
    /// whole: a single message, what was cleared in two parts, and a refund.
    pub fn pay_abroad_and_give_back(&mut self) {
        self.have_fees();
        for (card_id, root) in self.cards.clone() {
            let number = self.abroad(card_id, root, 10_000, |payment| payment.posts = true);
            self.give_back(number, card_id, root);
            let number = self.abroad(card_id, root, 9_000, |_| ());
            for (amount_minor, is_final) in [(2_999, false), (5_555, true)] {
                let mut payment = self.payment_abroad(card_id, root, amount_minor);
                payment.posts = true;
                payment.original_keys = named(number);
                let advise = Advise {
                    payment,
                    is_final,
                    ..Advise::default()
                };
                self.advise(root, advise);
            }
            self.give_back(number, card_id, root);
            let number = self.abroad(card_id, root, 7_000, |payment| {
                (payment.posts, payment.kind) = (true, Kind::Refund);
            });
            self.give_back(number, card_id, root);
        }
    }

    fn payment_abroad(&mut self, card_id: CardId, root: AccountId, amount_minor: i64) -> Authorize {
        let currency = match self.currency_of(root) {
            Some(EUR) => USD,
            _ => EUR,
        };
        let transaction = Money {
            amount_minor,
            currency,
        };
        let mut payment = self.payment(card_id, amount_minor, Kind::Purchase, 5411);
        payment.amounts = Amounts {
            transaction,
            billing: None,
        };
        payment
    }

    /// The number by which later messages name it.
    fn abroad(
        &mut self,
        card_id: CardId,
        root: AccountId,
        amount_minor: i64,
        change: impl Fn(&mut Authorize),
    ) -> u64 {
        let mut payment = self.payment_abroad(card_id, root, amount_minor);
        change(&mut payment);
        let number = payment.authorization_id.0;
        self.send(root, payment);
        number
    }

    /// All but a third, and then all.
    fn give_back(&mut self, number: u64, card_id: CardId, root: AccountId) {
        let amount = Money {
            amount_minor: 9_000,
            currency: match self.currency_of(root) {
                Some(EUR) => USD,
                _ => EUR,
            },
        };
        self.reverse_named(number, card_id, root, amount, Some(3_000));
        self.reverse_named(number, card_id, root, amount, None);
    }
}
