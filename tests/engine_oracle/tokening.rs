//! Tokens, as the oracle has them: for which card each stands, and whether it may pay.

use super::*;
use cardswitch::engine::command::Command;
use cardswitch::engine::facts::NamedToken;
use cardswitch::engine::registry::SealedPan;
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::token_numbers::RequestToken;
use cardswitch::engine::tokens::{ChangeTokenStatus, OpenToken, TokenStatus, name_card};

/// Few enough that they clash.
pub const TOKENS: u64 = 6;

/// The token that a payment names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ByToken {
    Nothing,
    /// A number that no token has, beside the card's.
    Unknown,
    InPlaceOfCard(u64),
    BesideCard(u64),
}

fn id_of_token(token: u64) -> TokenId {
    TokenId(900 + token)
}

impl ByToken {
    pub fn in_engine(self) -> NamedToken {
        match self {
            ByToken::Nothing => NamedToken::Absent,
            ByToken::Unknown => NamedToken::Unknown,
            ByToken::InPlaceOfCard(token) => NamedToken::InPlaceOfCard(id_of_token(token)),
            ByToken::BesideCard(token) => NamedToken::BesideCard(id_of_token(token)),
        }
    }
}

pub fn any_by_token() -> impl Strategy<Value = ByToken> {
    prop_oneof![
        30 => Just(ByToken::Nothing),
        4 => (0..TOKENS).prop_map(ByToken::InPlaceOfCard),
        4 => (0..TOKENS).prop_map(ByToken::BesideCard),
        1 => Just(ByToken::Unknown),
    ]
}

/// Asked for, activated and so on. The first few are of the cards that most is about.
pub fn any_token_step(card: impl Strategy<Value = u64>) -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        8 => Just(TokenChange::Activate),
        2 => Just(TokenChange::Suspend),
        3 => Just(TokenChange::Resume),
        1 => Just(TokenChange::Delete),
    ];
    prop_oneof![
        1 => (0..TOKENS, card).prop_map(|(token, card)| Step::OpenToken { token, card }),
        3 => (0..TOKENS, change).prop_map(|(token, change)| Step::ChangeToken { token, change }),
    ]
}

impl Engine {
    fn root_of_token(&self, token: u64) -> Option<AccountId> {
        let numbers = &self.switch.world.registry.token_numbers;
        numbers.get(id_of_token(token)).map(|number| number.root)
    }

    pub fn open_token(&mut self, token: u64, card: u64) -> Came {
        if self.root_of_token(token).is_some() {
            return Came::AlreadyDone;
        }
        let request = RequestToken {
            root: AccountId(root_of_account(account_of_card(card))),
            number_hash: key_of(&format!("token {token}")),
            sealed_number: SealedPan::from_iter([9u8; 40]),
            open: OpenToken {
                token_id: id_of_token(token),
                card_id: CardId(card),
                first6: 411_111,
                last4: token as u16,
                expiry: None,
                wallet: "apple_pay".into(),
                device: None,
            },
        };
        let pending = request.pending();
        let asked = RegistryAction::RequestToken(Box::new(request));
        let outcome = self.switch.registry(asked);
        assert!(matches!(outcome, RegistryOutcome::Event(_)), "{outcome:?}");
        let root = pending.root;
        came_of(&self.switch.command(root, pending.into_action()))
    }

    pub fn change_token(&mut self, token: u64, change: TokenChange) -> Came {
        let root = self.root_of_token(token).unwrap_or(AccountId(1));
        let change = ChangeTokenStatus {
            token_id: id_of_token(token),
            change,
        };
        came_of(&self.switch.command(root, Action::ChangeTokenStatus(change)))
    }

    /// The card for which it stands now, as a shard puts it into a message.
    pub fn card_by_token(&self, token: u64) -> Option<u64> {
        let root = self.root_of_token(token)?;
        let mut payment = purchase(1, 0, usd(1), "x");
        payment.token = ByToken::InPlaceOfCard(token).in_engine();
        let (at, action) = (self.switch.at, Action::Authorize(payment));
        let mut command = Command { root, at, action };
        name_card(self.switch.world.shard(root), &mut command);
        match command.action {
            Action::Authorize(payment) => Some(payment.card_id.0),
            _ => None,
        }
    }
}

/// A payment whose token stands in place of its card is one of the card for which the token stands; a marked repeat has
/// both numbers here, because the names of its first message would find the card. Of a token that nobody asked for nothing
/// is said.
pub fn with_card(payment: &mut Payment, card_of: impl Fn(u64) -> Option<u64>) {
    let (ByToken::InPlaceOfCard(token) | ByToken::BesideCard(token)) = payment.token else {
        return;
    };
    let is_in_place = payment.token == ByToken::InPlaceOfCard(token);
    match card_of(token) {
        None => payment.token = ByToken::Nothing,
        Some(_) if is_marked(payment.name) => payment.token = ByToken::BesideCard(token),
        Some(card) if is_in_place => payment.card = card,
        Some(_) => {}
    }
}

/// What most days begin with: active ones of three cards.
pub fn tokens_at_first() -> impl Iterator<Item = Step> + Clone {
    let change = TokenChange::Activate;
    let each = [(0, 101), (1, 1_101), (2, 201)].into_iter();
    each.flat_map(move |(token, card)| {
        [
            Step::OpenToken { token, card },
            Step::ChangeToken { token, change },
        ]
    })
}

impl View<'_> {
    /// Where in the past it was opened, and with which card.
    fn opened_token(&self, token: u64) -> Option<(usize, u64)> {
        let mut past = self.past.iter().enumerate();
        past.find_map(|(place, past)| match past.step {
            Step::OpenToken { token: of, card } if of == token && past.came == Came::Done => {
                Some((place, card))
            }
            _ => None,
        })
    }

    pub fn open_token(&self, token: u64) -> Came {
        match self.opened_token(token) {
            Some(_) => Came::AlreadyDone,
            None => Came::Done,
        }
    }

    /// The last card that was there at this place of those in the place of one another.
    fn last_of_chain(&self, mut card: u64, place: usize) -> u64 {
        while let Some((at, _)) = self.reissued(card)
            && at < place
        {
            card += 10;
        }
        card
    }

    pub fn card_by_token(&self, token: u64) -> Option<u64> {
        let (_, card) = self.opened_token(token)?;
        Some(self.last_of_chain(card, self.here()))
    }

    fn token_status(&self, token: u64) -> Option<TokenStatus> {
        let (place, first) = self.opened_token(token)?;
        let card = self.last_of_chain(first, place);
        let is_closed = self.card_state_before(card, place).closed.is_some();
        let mut status = match is_closed {
            true => TokenStatus::Deleted,
            false => TokenStatus::Requested,
        };
        let later = self.past.iter().enumerate().skip(place);
        for (place, past) in later.filter(|(_, past)| past.came == Came::Done) {
            status = match past.step {
                Step::ChangeToken { token: of, change } if of == token => match change {
                    TokenChange::Activate | TokenChange::Resume => TokenStatus::Active,
                    TokenChange::Suspend => TokenStatus::Suspended,
                    TokenChange::Delete => TokenStatus::Deleted,
                },
                Step::Status {
                    card,
                    change: StatusChange::Close,
                } if card == self.last_of_chain(first, place) => TokenStatus::Deleted,
                _ => status,
            };
        }
        Some(status)
    }

    pub fn change_token(&self, token: u64, change: TokenChange) -> Came {
        use TokenStatus::{Active, Deleted, Requested, Suspended};
        let Some(status) = self.token_status(token) else {
            return Came::Refused;
        };
        match (change, status) {
            (TokenChange::Activate | TokenChange::Resume, Active)
            | (TokenChange::Suspend, Suspended)
            | (TokenChange::Delete, Deleted) => Came::AlreadyDone,
            (TokenChange::Activate, Requested)
            | (TokenChange::Resume, Suspended)
            | (TokenChange::Suspend, Active)
            | (TokenChange::Delete, _) => Came::Done,
            _ => Came::Refused,
        }
    }

    /// What stands in the way of the token that a payment names.
    pub fn token(&self, payment: &Payment) -> Option<DeclineReason> {
        let token = match payment.token {
            ByToken::Nothing => return None,
            ByToken::Unknown => return Some(DeclineReason::TokenNotFound),
            ByToken::InPlaceOfCard(token) | ByToken::BesideCard(token) => token,
        };
        let card = self.card_by_token(token);
        if card.is_none_or(|card| first_of(card) != first_of(payment.card)) {
            return Some(DeclineReason::TokenMismatch);
        }
        // What it took must be able to come back.
        match payment.is_credit() {
            true => None,
            false => self.token_forbids(payment),
        }
    }

    /// What has become of it.
    pub fn token_forbids(&self, payment: &Payment) -> Option<DeclineReason> {
        let (ByToken::InPlaceOfCard(token) | ByToken::BesideCard(token)) = payment.token else {
            return None;
        };
        match self.token_status(token)? {
            TokenStatus::Active => None,
            TokenStatus::Suspended => Some(DeclineReason::TokenSuspended),
            TokenStatus::Requested | TokenStatus::Deleted => Some(DeclineReason::TokenNotActive),
        }
    }
}

/// What the random days are worth for it.
#[test]
fn random_days_pay_by_tokens_and_are_declined_for_every_reason_of_theirs() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let steps = prop_oneof![any_steps(), any_conversation()];
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut engine = Engine::new(1);
        for step in &steps {
            let step = engine.resent(step);
            let came = engine.step(&step);
            let Step::Authorize(payment) = &step else {
                continue;
            };
            if payment.token == ByToken::Nothing {
                continue;
            }
            match (came, payment.token) {
                (Came::Declined(reason), _) => found.insert(reason.name()),
                (Came::Approved { .. }, ByToken::InPlaceOfCard(_)) => {
                    found.insert("approved by token")
                }
                (Came::Approved { .. }, _) => found.insert("approved with a token beside"),
                _ => false,
            };
        }
    }
    for what in [
        "approved by token",
        "approved with a token beside",
        "token_not_found",
        "token_mismatch",
        "token_not_active",
        "token_suspended",
    ] {
        assert!(found.contains(what), "{what} is not among {found:?}");
    }
}

/// The random days seldom pay by a token whose card was replaced.
#[test]
fn a_token_whose_card_is_replaced_and_closed_goes_as_the_naive_one_says() {
    let pay = |name, token, card| {
        let payment = Payment::purchase(card, name, Names::all(name), 30);
        Step::Authorize(Payment { token, ..payment })
    };
    let in_place = ByToken::InPlaceOfCard(0);
    let money = Step::TopUp {
        id: 11,
        account: 1,
        amount: 1_000,
    };
    let change = |change| Step::ChangeToken { token: 0, change };
    let reissue = Step::Reissue {
        card: 101,
        reason: ReissueReason::Lost,
    };
    let close = Step::Status {
        card: 111,
        change: StatusChange::Close,
    };
    let later = [
        pay(8, in_place, 0),
        reissue,
        pay(2, in_place, 0),
        // By its old number.
        pay(3, ByToken::BesideCard(0), 101),
        pay(4, ByToken::BesideCard(0), 201),
        change(TokenChange::Suspend),
        pay(10, in_place, 0),
        change(TokenChange::Resume),
        pay(6, in_place, 0),
        close,
        change(TokenChange::Activate),
        pay(12, in_place, 0),
    ];
    let steps: Vec<_> = std::iter::once(money)
        .chain(tokens_at_first())
        .chain(later)
        .collect();
    let mut engine = Engine::new(2);
    let came = steps.iter().map(|step| {
        let step = engine.resent(step);
        match engine.step(&step) {
            Came::Approved { .. } => "approved".to_owned(),
            Came::Declined(reason) => reason.name().to_owned(),
            other => format!("{other:?}"),
        }
    });
    let came: Vec<_> = came.skip(7).collect();
    assert_eq!(
        came,
        [
            "approved",
            "Done",
            "approved",
            "card_lost",
            "token_mismatch",
            "Done",
            "token_suspended",
            "Done",
            "approved",
            "Done",
            "Refused",
            "card_closed",
        ]
    );
    run_both(&steps, 2);
}
