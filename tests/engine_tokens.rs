//! Tokens: what a shard and the registry make of them, and what payments by them come to.

mod engine_support;

use cardswitch::engine::command::*;
use cardswitch::engine::controls::Controls;
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::*;
use cardswitch::engine::facts::*;
use cardswitch::engine::hash::state_hash;
use cardswitch::engine::ids::*;
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::*;
use cardswitch::engine::reissue::ReissueReason;
use cardswitch::engine::snapshot;
use cardswitch::engine::time::Expiry;
use cardswitch::engine::token_numbers::{RequestToken, TOKENS_OF_CARD_MAX};
use cardswitch::engine::tokens::*;
use cardswitch::engine::trace::{Step, StepResult};
use engine_support::kept::Kept;
use engine_support::*;

const ROOT: u64 = 10;

fn expiry(year: u16) -> Expiry {
    Expiry::new(year, 6).unwrap()
}

/// An account with 1,000.00, and the cards 1 and 2.
fn switch() -> Switch {
    let mut switch = Switch::new(2);
    switch.open_account(ROOT, Controls::default());
    switch.top_up(5, ROOT, ROOT, usd(100_000));
    for card in [1, 2] {
        switch.open_card(NewCard::of(card, ROOT, ROOT));
    }
    switch
}

fn wanted(id: u64, card: u64) -> RequestToken {
    RequestToken {
        root: AccountId(ROOT),
        number_hash: key_of(&format!("number of {id}")),
        sealed_number: SealedPan::from_iter([9u8; 40]),
        open: OpenToken {
            token_id: TokenId(id),
            card_id: CardId(card),
            first6: 411_111,
            last4: id as u16,
            expiry: Some(expiry(2030)),
            wallet: "apple_pay".into(),
            device: None,
        },
    }
}

trait Tokens {
    fn ask(&mut self, request: RequestToken) -> RegistryOutcome;
    fn token(&mut self, id: u64, card: u64);
    fn change(&mut self, id: u64, change: TokenChange) -> Outcome;
    fn send(&mut self, action: Action) -> Event;
    fn come(&mut self, action: Action) -> Outcome;
    fn pay(&mut self, payment: Authorize) -> Authorized;
    fn state(&self, id: u64) -> (TokenStatus, CardId);
}

impl Tokens for Switch {
    fn ask(&mut self, request: RequestToken) -> RegistryOutcome {
        self.registry(RegistryAction::RequestToken(Box::new(request)))
    }

    /// An active one.
    fn token(&mut self, id: u64, card: u64) {
        let request = wanted(id, card);
        let pending = request.pending();
        assert_eq!(
            self.ask(request),
            RegistryOutcome::Event(RegistryEvent::TokenRequested)
        );
        assert_eq!(self.world.pending_tokens.len(), 1);
        self.send(pending.into_action());
        assert!(self.world.pending_tokens.is_empty());
        self.change(id, TokenChange::Activate);
    }

    fn change(&mut self, id: u64, change: TokenChange) -> Outcome {
        let token_id = TokenId(id);
        let action = Action::ChangeTokenStatus(ChangeTokenStatus { token_id, change });
        self.command(AccountId(ROOT), action)
    }

    /// As the shard's loop does: the card is put in first.
    fn send(&mut self, action: Action) -> Event {
        match self.come(action) {
            Outcome::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    fn come(&mut self, action: Action) -> Outcome {
        let (root, at) = (AccountId(ROOT), self.at);
        let mut command = Command { root, at, action };
        name_card(self.world.shard(root), &mut command);
        self.command(root, command.action)
    }

    fn pay(&mut self, payment: Authorize) -> Authorized {
        match self.send(Action::Authorize(payment)) {
            Event::Authorized(authorized) => authorized,
            event => panic!("{event:?}"),
        }
    }

    fn state(&self, id: u64) -> (TokenStatus, CardId) {
        let token = self
            .world
            .shard(AccountId(ROOT))
            .tokens
            .get(TokenId(id))
            .unwrap();
        (token.status, token.card_id)
    }
}

fn by(id: u64, name: &str) -> Authorize {
    Authorize {
        token: NamedToken::InPlaceOfCard(TokenId(id)),
        ..purchase(key_of(name) as u64 >> 20, 0, usd(100), name)
    }
}

fn beside(id: u64, card: u64, name: &str) -> Authorize {
    Authorize {
        token: NamedToken::BesideCard(TokenId(id)),
        ..purchase(key_of(name) as u64 >> 20, card, usd(100), name)
    }
}

fn reason(authorized: &Authorized) -> Option<(Step, DeclineReason)> {
    let decline = authorized.decision.decline();
    decline.map(|decline| (decline.step, decline.reason))
}

#[test]
fn a_token_pays_as_its_card_once_it_is_active_and_as_long() {
    let mut switch = switch();
    let request = wanted(70, 1);
    let open = request.pending().into_action();
    switch.ask(request);
    switch.send(open);
    let token = |reason| Some((Step::Token, reason));
    let steps: [(Option<TokenChange>, Option<_>); 6] = [
        (None, token(DeclineReason::TokenNotActive)),
        (Some(TokenChange::Activate), None),
        (
            Some(TokenChange::Suspend),
            token(DeclineReason::TokenSuspended),
        ),
        (Some(TokenChange::Resume), None),
        (
            Some(TokenChange::Delete),
            token(DeclineReason::TokenNotActive),
        ),
        (None, token(DeclineReason::TokenNotActive)),
    ];
    for (place, (change, expected)) in steps.into_iter().enumerate() {
        if let Some(change) = change {
            assert!(
                matches!(switch.change(70, change), Outcome::Event(_)),
                "{place}"
            );
            assert_eq!(switch.change(70, change), Outcome::AlreadyDone, "{place}");
        }
        for payment in [
            by(70, &format!("in place {place}")),
            beside(70, 1, &format!("beside {place}")),
        ] {
            let paid = switch.pay(payment);
            assert_eq!(reason(&paid), expected, "{place}");
            let step = paid
                .trace
                .steps()
                .find(|step| step.step == Step::Token)
                .unwrap();
            assert_eq!(step.result == StepResult::Pass, expected.is_none());
            assert_eq!(paid.account_id, Some(AccountId(ROOT)), "{place}");
        }
    }
    // What names no token has no such step.
    let plain = switch.pay(purchase(99, 1, usd(100), "plain"));
    assert!(plain.trace.steps().all(|step| step.step != Step::Token));
}

#[test]
fn what_a_token_is_not_is_declined_for_that() {
    let mut switch = switch();
    switch.token(70, 1);
    // Of a tree of its own, in the same shard or in another one.
    for root in [20, 21, 22, 23] {
        switch.open_account(root, Controls::default());
        switch.open_card(NewCard::of(root, root, root));
        let request = RequestToken {
            root: AccountId(root),
            ..wanted(100 + root, root)
        };
        let open = request.pending().into_action();
        switch.ask(request);
        switch.command(AccountId(root), open);
        let paid = switch.pay(beside(100 + root, 2, &format!("other tree {root}")));
        let mismatch = Some((Step::Token, DeclineReason::TokenMismatch));
        assert_eq!(reason(&paid), mismatch, "{root}");
    }
    let not_opened = Authorize {
        card_id: CardId(1),
        ..by(71, "not opened")
    };
    for (payment, expected) in [
        (beside(70, 2, "other card"), DeclineReason::TokenMismatch),
        (not_opened, DeclineReason::TokenNotFound),
        (
            Authorize {
                token: NamedToken::Unknown,
                ..purchase(98, 1, usd(100), "nobody's")
            },
            DeclineReason::TokenNotFound,
        ),
    ] {
        let paid = switch.pay(payment);
        assert_eq!(reason(&paid), Some((Step::Token, expected)));
    }
    // The card comes first.
    switch.change_status(ROOT, 1, StatusChange::Freeze);
    let paid = switch.pay(by(70, "frozen"));
    assert_eq!(
        reason(&paid),
        Some((Step::CardStatus, DeclineReason::CardFrozen))
    );
}

#[test]
fn a_token_has_an_expiry_of_its_own() {
    let mut switch = switch();
    switch.token(70, 1);
    let mut bare = wanted(71, 1);
    bare.open.expiry = None;
    let open = bare.pending().into_action();
    switch.ask(bare);
    switch.send(open);
    switch.change(71, TokenChange::Activate);
    let stating = |payment: Authorize, year| Authorize {
        verification: Verification {
            expiry: Some(expiry(year)),
            ..Verification::default()
        },
        ..payment
    };
    let mismatch = Some((Step::Verification, DeclineReason::ExpiryMismatch));
    let own = switch.pay(stating(by(70, "own"), 2030));
    assert_eq!(reason(&own), None);
    let other = switch.pay(stating(by(70, "other"), 2031));
    assert_eq!(reason(&other), mismatch);
    let untold = switch.pay(stating(by(71, "untold"), 2031));
    assert_eq!(reason(&untold), None);
    // Beside the card's number it is the card's that the message states.
    let of_token = switch.pay(stating(beside(70, 1, "beside"), 2030));
    assert_eq!(reason(&of_token), mismatch);

    // The card is good until December 2029, this token until June of it.
    let mut short = wanted(72, 1);
    short.open.expiry = Some(expiry(2029));
    let open = short.pending().into_action();
    switch.ask(short);
    switch.send(open);
    switch.change(72, TokenChange::Activate);
    switch.at = time("2029-07-01T12:00:00Z");
    let late = switch.pay(by(72, "late"));
    assert_eq!(
        reason(&late),
        Some((Step::Token, DeclineReason::TokenExpired))
    );
    assert_eq!(reason(&switch.pay(by(70, "later"))), None);
}

#[test]
fn tokens_follow_the_chain_of_their_card_and_so_do_messages_about_what_they_paid() {
    let mut switch = switch();
    switch.token(70, 1);
    switch.token(71, 1);
    switch.change(71, TokenChange::Delete);
    switch.pay(by(70, "before"));
    switch.pay(by(70, "to clear"));
    switch
        .reissue(3, 1, ReissueReason::Lost, expiry(2032))
        .unwrap();
    assert_eq!(switch.state(70), (TokenStatus::Active, CardId(3)));
    assert_eq!(switch.state(71), (TokenStatus::Deleted, CardId(3)));
    let after = switch.pay(by(70, "after"));
    assert_eq!(reason(&after), None);
    // A network that has not heard of the new card yet names the old one: that decides.
    let old = switch.pay(beside(70, 1, "old number"));
    assert_eq!(
        reason(&old),
        Some((Step::CardStatus, DeclineReason::CardLost))
    );

    let held = |switch: &Switch| {
        let account = switch.world.shard(AccountId(ROOT)).account(AccountId(ROOT));
        account.unwrap().held_minor
    };
    assert_eq!(held(&switch), 300);
    for (id, name, left) in [(501, "before", 200), (502, "after", 100)] {
        let reverse = Reverse {
            token: NamedToken::InPlaceOfCard(TokenId(70)),
            ..reversal(id, 0, usd(100), &format!("reversal of {name}"), name)
        };
        let Event::Reversed(reversed) = switch.send(Action::Reverse(reverse)) else {
            panic!("no reversal");
        };
        assert!(
            matches!(reversed.outcome, ReversalOutcome::Undone(_)),
            "{name}"
        );
        assert_eq!(held(&switch), left);
    }
    // A completion, by a token that is deleted meanwhile: what was paid is paid.
    switch.change(70, TokenChange::Delete);
    let mut completion = advice(600, 0, usd(100), "completion");
    completion.payment.posts = true;
    completion.payment.token = NamedToken::InPlaceOfCard(TokenId(70));
    completion.payment.original_keys = names_of("to clear");
    let Event::Advised(advised) = switch.send(Action::Advise(completion)) else {
        panic!("no advice");
    };
    assert!(matches!(advised.outcome, AdviceOutcome::Completed { .. }));
    assert_eq!(held(&switch), 0);
}

#[test]
fn what_a_token_paid_may_come_back_whatever_became_of_it() {
    let mut switch = switch();
    switch.token(70, 1);
    for (place, change) in [TokenChange::Suspend, TokenChange::Delete]
        .into_iter()
        .enumerate()
    {
        switch.change(70, change);
        let refund = Authorize {
            kind: Kind::Refund,
            ..by(70, &format!("refund {place}"))
        };
        assert_eq!(reason(&switch.pay(refund)), None, "{change:?}");
    }
}

#[test]
fn the_repeat_of_a_payment_by_token_gets_the_first_answer() {
    let mut switch = switch();
    switch.token(70, 1);
    switch.pay(by(70, "once"));
    switch.change(70, TokenChange::Suspend);
    let again = Action::Authorize(Authorize {
        is_marked_repeat: true,
        ..by(70, "once")
    });
    assert!(matches!(switch.come(again), Outcome::FirstAnswer(_)));
}

/// The card that the token stood for then knows it, whether the network says that it comes again or not.
#[test]
fn the_double_of_a_payment_by_token_is_none_of_the_card_that_came_in_the_place_of_the_first() {
    const MINUTE_MS: i64 = 60_000;
    for (is_marked, minutes) in [(false, 0), (false, 20), (false, 600), (true, 20)] {
        let mut switch = switch();
        switch.token(70, 1);
        let paid = |name: &str, kind| Authorize {
            posts: true,
            kind,
            ..by(70, name)
        };
        let all = [
            ("paid", Kind::Purchase),
            ("given", Kind::Refund),
            ("taken back", Kind::Purchase),
        ];
        for (name, kind) in all {
            assert_eq!(reason(&switch.pay(paid(name, kind))), None);
        }
        let by_token = |reverse| Reverse {
            token: NamedToken::InPlaceOfCard(TokenId(70)),
            ..reverse
        };
        let reverse = |id, name: &str| {
            let own = format!("reversal of {name}");
            Action::Reverse(by_token(reversal(id, 0, usd(100), &own, name)))
        };
        switch.send(reverse(800, "taken back"));
        // It comes after its reversal.
        switch.send(reverse(801, "late"));
        switch
            .reissue(3, 1, ReissueReason::Damaged, expiry(2032))
            .unwrap();
        switch.at = switch.at.plus_ms(minutes * MINUTE_MS);
        let before = switch.world.shard(AccountId(ROOT)).account(AccountId(ROOT));
        let before = before.unwrap().posted_minor;
        for (name, kind) in all {
            let again = Authorize {
                is_marked_repeat: is_marked,
                authorization_id: AuthorizationId(9_000 + name.len() as u64),
                ..paid(name, kind)
            };
            let came = switch.come(Action::Authorize(again));
            match (name, came) {
                ("taken back", Outcome::Event(Event::Authorized(authorized))) => {
                    let reversed = (Step::Repeat, DeclineReason::ReversedBeforeOriginal);
                    assert_eq!(reason(&authorized), Some(reversed));
                }
                (_, Outcome::FirstAnswer(_)) => {}
                (name, came) => panic!("{name} after {minutes} minutes: {came:?}"),
            }
        }
        let late = switch.pay(Authorize {
            is_marked_repeat: is_marked,
            ..paid("late", Kind::Purchase)
        });
        let reversed = (Step::Repeat, DeclineReason::ReversedBeforeOriginal);
        assert_eq!(reason(&late), Some(reversed));
        let mut advised = advice(900, 0, usd(100), "late");
        advised.payment.posts = true;
        advised.payment.token = NamedToken::InPlaceOfCard(TokenId(70));
        switch.send(Action::Advise(advised));
        let after = switch.world.shard(AccountId(ROOT)).account(AccountId(ROOT));
        assert_eq!(after.unwrap().posted_minor, before);
        // Another one is the new card's.
        let other = switch.pay(paid("other", Kind::Purchase));
        assert_eq!(reason(&other), None);
    }
}

#[test]
fn tokens_of_a_closed_card_are_deleted() {
    let mut switch = switch();
    for id in [70, 71, 72] {
        switch.token(id, 1);
    }
    switch.token(73, 2);
    switch.change(71, TokenChange::Suspend);
    switch.change(72, TokenChange::Delete);
    let closed = switch.change_status(ROOT, 1, StatusChange::Close);
    let Outcome::Event(Event::CardStatusChanged { tokens, .. }) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(*tokens, [TokenId(70), TokenId(71)]);
    for (id, status) in [
        (70, TokenStatus::Deleted),
        (71, TokenStatus::Deleted),
        (72, TokenStatus::Deleted),
        (73, TokenStatus::Active),
    ] {
        assert_eq!(switch.state(id).0, status, "{id}");
    }
    // One whose card is closed between the two records is deleted too; one whose card is blocked keeps its tokens.
    let late = wanted(74, 1);
    let open = late.pending().into_action();
    switch.ask(late);
    switch.send(open);
    assert_eq!(switch.state(74).0, TokenStatus::Deleted);
    let blocked = switch.change_status(ROOT, 2, StatusChange::BlockStolen);
    assert!(
        matches!(blocked, Outcome::Event(Event::CardStatusChanged { tokens, .. }) if tokens.is_empty())
    );
    assert_eq!(switch.state(73).0, TokenStatus::Active);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut switch = switch();
    switch.token(70, 1);
    let refused = |refusal| RegistryOutcome::Refused(refusal);
    assert_eq!(switch.ask(wanted(70, 1)), refused(RegistryRefusal::IdTaken));
    let same_number = RequestToken {
        number_hash: wanted(70, 1).number_hash,
        ..wanted(71, 2)
    };
    assert_eq!(
        switch.ask(same_number),
        refused(RegistryRefusal::TokenNumberTaken)
    );
    let of_card = RequestToken {
        number_hash: key_of("pan of 2"),
        ..wanted(71, 1)
    };
    assert_eq!(
        switch.ask(of_card),
        refused(RegistryRefusal::TokenNumberTaken)
    );
    let nobodys = refused(RegistryRefusal::CardNotFound(CardId(9)));
    assert_eq!(switch.ask(wanted(71, 9)), nobodys);
    let of_other_tree = RequestToken {
        root: AccountId(11),
        ..wanted(71, 1)
    };
    let not_there = refused(RegistryRefusal::CardNotFound(CardId(1)));
    assert_eq!(switch.ask(of_other_tree), not_there);
    // And a card gets no number that a token has.
    let mut card = NewCard::of(70, ROOT, ROOT);
    card.id = 3;
    let taken = IssueCard {
        card_id: CardId(3),
        root: AccountId(ROOT),
        account_id: AccountId(ROOT),
        program_id: PROGRAM,
        card_type: CardType::Virtual,
        pan_hash: wanted(70, 1).number_hash,
        sealed_pan: SealedPan::from_iter([7u8; 40]),
        first6: 411_111,
        last4: 3,
        expiry: expiry(2030),
        links: Default::default(),
        controls: Controls::default(),
        wallet: None,
        cardholder_id: None,
        shipping: None,
        paid_by: None,
    };
    let taken = switch.registry(RegistryAction::IssueCard(Box::new(taken)));
    assert_eq!(taken, refused(RegistryRefusal::PanTaken));

    let unknown = switch.change(99, TokenChange::Suspend);
    assert_eq!(
        unknown,
        Outcome::Refused(Refusal::TokenNotFound(TokenId(99)))
    );
    switch.change(70, TokenChange::Delete);
    for change in [
        TokenChange::Activate,
        TokenChange::Suspend,
        TokenChange::Resume,
    ] {
        let refusal = Refusal::TokenStatusForbids(TokenStatus::Deleted);
        assert_eq!(
            switch.change(70, change),
            Outcome::Refused(refusal),
            "{change:?}"
        );
    }
}

#[test]
fn a_card_and_what_replaced_it_have_a_bounded_number_of_tokens() {
    let mut switch = switch();
    for id in 0..TOKENS_OF_CARD_MAX as u64 - 1 {
        assert_eq!(
            switch.ask(wanted(1_000 + id, 1)),
            RegistryOutcome::Event(RegistryEvent::TokenRequested)
        );
    }
    switch
        .reissue(3, 1, ReissueReason::Damaged, expiry(2032))
        .unwrap();
    let last = switch.ask(wanted(5_000, 3));
    assert_eq!(last, RegistryOutcome::Event(RegistryEvent::TokenRequested));
    for card in [1, 3] {
        let refused = RegistryOutcome::Refused(RegistryRefusal::TooManyTokens);
        assert_eq!(switch.ask(wanted(5_001, card)), refused);
    }
    let other = switch.ask(wanted(5_001, 2));
    assert_eq!(other, RegistryOutcome::Event(RegistryEvent::TokenRequested));
}

#[test]
fn snapshots_and_other_numbers_of_shards_have_the_same_tokens() {
    let mut switch = switch();
    for id in [70, 71, 72] {
        switch.token(id, 1);
    }
    switch.change(71, TokenChange::Suspend);
    switch
        .reissue(3, 1, ReissueReason::Damaged, expiry(2032))
        .unwrap();
    switch.pay(by(70, "paid"));
    // One that its shard has not opened.
    switch.ask(wanted(73, 2));
    let mut bytes = Vec::new();
    snapshot::write(&switch.world, &mut bytes).unwrap();
    for shards in [1, 2, 5] {
        let replayed = switch.replayed(shards);
        assert_eq!(state_hash(&replayed), state_hash(&switch.world), "{shards}");
        let restored = snapshot::read(&mut &*bytes, shards).unwrap();
        assert_eq!(state_hash(&restored), state_hash(&switch.world), "{shards}");
        assert_eq!(restored.pending_tokens, switch.world.pending_tokens);
        let state = restored.shard(AccountId(ROOT));
        let of_card: Vec<_> = state
            .tokens
            .of_card(CardId(3))
            .map(|token| token.id.0)
            .collect();
        assert_eq!(of_card, [70, 71, 72]);
        let registry = &restored.registry;
        assert!(registry.has_number(wanted(73, 2).number_hash));
    }
}

#[test]
fn what_the_archive_has_of_an_earlier_card_is_found_by_the_token() {
    let mut switch = switch();
    let mut kept = Kept::of(&mut switch);
    let root = AccountId(ROOT);
    switch.token(70, 1);
    let posted = |name: &str| Authorize {
        posts: true,
        ..by(70, name)
    };
    let first = posted("first");
    switch.pay(first.clone());
    switch.pay(posted("second"));
    switch
        .reissue(3, 1, ReissueReason::Lost, expiry(2032))
        .unwrap();
    switch.pay(posted("third"));
    switch
        .reissue(4, 3, ReissueReason::Damaged, expiry(2033))
        .unwrap();
    switch.pay(posted("fourth"));
    for day in 1..=3 {
        switch.at = switch.at.plus_ms(24 * 3_600_000);
        switch.top_up(600 + day, ROOT, ROOT, usd(1));
        switch.pay(purchase(700 + day, 2, usd(1), &format!("day {day}")));
        kept.take(&mut switch.world);
    }
    let state = switch.world.shard(root);
    assert!(state.authorizations.get(first.authorization_id).is_none());
    let posted_minor = |switch: &Switch| {
        let account = switch.world.shard(root).account(root);
        account.unwrap().posted_minor
    };
    let before = posted_minor(&switch);
    let reverse = |id, name: &str| {
        Action::Reverse(Reverse {
            token: NamedToken::InPlaceOfCard(TokenId(70)),
            ..reversal(id, 0, usd(100), &format!("{id} of {name}"), name)
        })
    };
    let outcome = |outcome: Outcome| match outcome {
        Outcome::Event(Event::Reversed(reversed)) => reversed.outcome,
        other => panic!("{other:?}"),
    };
    let names = ["first", "third", "fourth"];
    for (place, name) in names.into_iter().enumerate() {
        let id = 800 + place as u64;
        let came = outcome(kept.command(&mut switch, root, reverse(id, name)));
        assert!(
            matches!(came, ReversalOutcome::Undone(_)),
            "{name} {came:?}"
        );
        assert_eq!(posted_minor(&switch), before + 100 * (place as i64 + 1));
        // And is known from now on.
        let again = outcome(kept.command(&mut switch, root, reverse(id + 50, name)));
        assert_eq!(again, ReversalOutcome::AlreadyReversed, "{name}");
    }
    let mut completion = advice(900, 0, usd(40), "completion");
    completion.payment.posts = true;
    completion.payment.token = NamedToken::InPlaceOfCard(TokenId(70));
    completion.payment.original_keys = names_of("second");
    let came = kept.command(&mut switch, root, Action::Advise(completion));
    let Outcome::Event(Event::Advised(advised)) = came else {
        panic!("{came:?}");
    };
    assert!(matches!(advised.outcome, AdviceOutcome::Completed { .. }));
    // Of nothing that any of them paid, nothing is known.
    let unknown = outcome(kept.command(&mut switch, root, reverse(990, "never")));
    assert_eq!(unknown, ReversalOutcome::OriginalUnknown);
    // A repeat gets its first answer, though the token stands for another card since.
    let repeat = Authorize {
        is_marked_repeat: true,
        ..posted("second")
    };
    let again = kept.command(&mut switch, root, Action::Authorize(repeat));
    assert!(matches!(again, Outcome::FirstAnswer(_)), "{again:?}");
    assert_eq!(state_hash(&switch.replayed(3)), state_hash(&switch.world));
}
