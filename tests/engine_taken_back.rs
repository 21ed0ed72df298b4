//! What is taken back leaves no mark: after an approval that was withheld, or that its customer declined, everything is
//! decided as if it had never been asked for. And what a customer confirms is decided on as if nobody had been asked.

mod engine_support;

use cardswitch::engine::answer::{Answer, AnswerResult};
use cardswitch::engine::command::*;
use cardswitch::engine::controls::{Controls, Window};
use cardswitch::engine::decide::Outcome;
use cardswitch::engine::event::{Decision, Event};
use cardswitch::engine::facts::Kind;
use cardswitch::engine::ids::*;
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::reason::DeclineReason;
use engine_support::*;
use proptest::prelude::*;

const EUR: Currency = Currency(978);
const ROOT: AccountId = AccountId(1);

#[derive(Debug, Clone, Copy)]
struct Asked {
    card: u64,
    amount_minor: i64,
    abroad: bool,
    cash: bool,
    posts: bool,
    in_part: bool,
    minutes_later: i64,
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let amount = prop_oneof![4 => 1i64..30_000, 1 => 30_000i64..90_000];
    let flags = (any::<bool>(), 0u8..4, any::<bool>(), any::<bool>());
    (11u64..13, amount, flags, 0i64..700).prop_map(|(card, amount_minor, flags, minutes_later)| {
        let (abroad, cash, posts, in_part) = flags;
        Asked {
            card,
            amount_minor,
            abroad,
            cash: cash == 0,
            posts,
            in_part,
            minutes_later,
        }
    })
}

impl Asked {
    fn payment(&self, id: u64) -> Authorize {
        let currency = if self.abroad { EUR } else { USD };
        let amount = Money {
            amount_minor: self.amount_minor,
            currency,
        };
        let mut payment = purchase(id, self.card, amount, &format!("p{id}"));
        if self.cash {
            payment.kind = Kind::CashWithdrawal;
        }
        payment.posts = self.posts;
        payment.partial_approval_supported = self.in_part;
        payment
    }
}

/// Two cards on an account with money, and limits of every sort on all levels; one card is good for one payment.
fn world() -> Switch {
    let day = limits([limit(1, Window::Day, Some(200_000), Some(9))]);
    let mut switch = Switch::with_program_and_mark_up(2, day, 150);
    switch.set_rates(&[(EUR, USD, "1.0833")]);
    let month = limits([limit(2, Window::Month, Some(150_000), None)]);
    switch.open_account(1, month);
    switch.top_up(1, 1, 1, usd(160_000));
    for (card, single_use) in [(11, false), (12, true)] {
        let mut new = NewCard::of(card, 1, 1);
        new.controls = Controls {
            single_use,
            merchant_lock: !single_use,
            ..limits([
                limit(card * 10, Window::Day, Some(70_000), Some(4)),
                limit(card * 10 + 1, Window::Transaction, Some(60_000), None),
            ])
        };
        switch.open_card(new);
    }
    switch
}

/// Sends it, and gives the decision, what is available after it, and until when its customer may decide.
fn send(switch: &mut Switch, payment: Authorize) -> (Decision, i64, bool) {
    match switch.command(ROOT, Action::Authorize(payment)) {
        Outcome::Event(Event::Authorized(decided)) => {
            let waits = decided.waits_until.is_some();
            (decided.decision, decided.available_minor, waits)
        }
        other => panic!("{other:?}"),
    }
}

fn resolve(switch: &mut Switch, id: u64, says: CustomerSays) {
    let resolve = Resolve {
        authorization_id: AuthorizationId(id),
        says,
        call: CallOutcome::Answered,
        duration_ms: 1,
    };
    let outcome = switch.command(ROOT, Action::Resolve(resolve));
    assert!(
        matches!(outcome, Outcome::Event(Event::Resolved(_))),
        "{outcome:?}"
    );
}

fn money(switch: &mut Switch) -> (i64, i64, u32, i64, i64, i64) {
    let account = switch.world.shard(ROOT).account(ROOT).unwrap();
    (
        account.posted_minor,
        account.held_minor,
        account.open_holds,
        account.network_settlement_minor,
        account.rounding_minor,
        account.mark_up_minor,
    )
}

/// Sends all of these, and gives what came of each.
fn follow(switch: &mut Switch, asked: &[Asked], first_id: u64) -> Vec<(Decision, i64, bool)> {
    let sent = asked.iter().zip(first_id..);
    sent.map(|(asked, id)| {
        switch.at = switch.at.plus_ms(asked.minutes_later * 60_000);
        let came = send(switch, asked.payment(id));
        if came.2 {
            resolve(switch, id, CustomerSays::Approve { amount_minor: None });
        }
        came
    })
    .collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Withheld,
    DeclinedByCustomer,
    NobodyAnswered,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_taken_back_leaves_no_mark(
        before in proptest::collection::vec(any_asked(), 0..5),
        taken_back in any_asked(),
        after in proptest::collection::vec(any_asked(), 1..8),
        how in prop_oneof![Just(How::Withheld), Just(How::DeclinedByCustomer), Just(How::NobodyAnswered)],
    ) {
        let (mut with, mut without) = (world(), world());
        follow(&mut with, &before, 100);
        follow(&mut without, &before, 100);
        if how != How::Withheld {
            with.ask_customers(2_000, None);
        }
        let payment = taken_back.payment(500);
        let (decision, ..) = send(&mut with, payment.clone());
        let approved = decision.decline().is_none();
        match how {
            How::Withheld if approved => {
                let withhold = Withhold { reversal_id: ReversalId(501), payment: payment.clone() };
                let outcome = with.command(ROOT, Action::Withhold(Box::new(withhold)));
                prop_assert!(matches!(outcome, Outcome::Event(Event::Withheld(_))));
            }
            How::DeclinedByCustomer if approved => resolve(&mut with, 500, CustomerSays::Decline),
            How::NobodyAnswered if approved => resolve(&mut with, 500, CustomerSays::Nothing),
            _ => {}
        }
        if how != How::Withheld {
            with.ask_customers_no_more();
        }
        prop_assert_eq!(money(&mut with), money(&mut without));
        // A repeat is told so, and changes nothing.
        let again = with.command(ROOT, Action::Authorize(payment));
        prop_assert!(matches!(again, Outcome::FirstAnswer(answer) if !answer.is_approval()));
        // The lock to a merchant stays, as after a reversal; all are of one merchant here.
        prop_assert_eq!(follow(&mut with, &after, 600), follow(&mut without, &after, 600));
        prop_assert_eq!(money(&mut with), money(&mut without));
    }

    #[test]
    fn what_a_customer_confirms_is_as_if_nobody_had_been_asked(
        asked in proptest::collection::vec(any_asked(), 1..10)
    ) {
        let (mut with, mut without) = (world(), world());
        with.ask_customers(2_000, None);
        let told = follow(&mut with, &asked, 100);
        let told_without = follow(&mut without, &asked, 100);
        let mut waited = 0;
        for (with, without) in told.iter().zip(&told_without) {
            prop_assert_eq!((&with.0, with.1), (&without.0, without.1));
            waited += u32::from(with.2);
            let asks = with.0.decline().is_none();
            prop_assert_eq!((with.2, without.2), (asks, false));
        }
        prop_assert_eq!(money(&mut with), money(&mut without));
        let declined_all = told.iter().all(|(decision, ..)| decision.decline().is_some());
        prop_assert!(waited > 0 || declined_all);
    }

    #[test]
    fn less_than_was_asked_never_costs_more_than_the_customer_said(
        asked in any_asked(), share in 1i64..100
    ) {
        let mut switch = world();
        switch.ask_customers(2_000, None);
        let (decision, _, waits) = send(&mut switch, asked.payment(100));
        prop_assume!(waits && decision.decline().is_none());
        let held_minor = money(&mut switch).1;
        let amount_minor = (held_minor * share / 100).max(1);
        let says = CustomerSays::Approve { amount_minor: Some(amount_minor) };
        resolve(&mut switch, 100, says);
        let (posted_minor, held_after, _, network, rounding, mark_up) = money(&mut switch);
        let known = switch.world.shard(ROOT).authorizations.get(AuthorizationId(100)).unwrap().clone();
        let stands_at = known.stands_at();
        // Of one euro cent there is no part.
        let told_minor = asked.amount_minor * amount_minor / held_minor;
        if amount_minor == held_minor {
            prop_assert_eq!(stands_at.account_minor, held_minor);
        } else if asked.in_part && !asked.cash && told_minor > 0 {
            prop_assert_eq!(stands_at.account_minor, amount_minor);
            // What the merchant is told is no more than that share of what it asked for.
            let exact = i128::from(stands_at.transaction_minor) * i128::from(held_minor);
            let most = i128::from(known.opened.transaction_minor.max(asked.amount_minor)) * i128::from(amount_minor);
            prop_assert!(exact <= most);
        } else {
            prop_assert_eq!(stands_at.account_minor, 0);
            let again = switch.command(ROOT, Action::Authorize(asked.payment(100)));
            let declined = AnswerResult::Declined(DeclineReason::DecisionInvalidResponse);
            let is_declined = matches!(
                again,
                Outcome::FirstAnswer(Answer::Authorization { result, .. }) if result == declined
            );
            prop_assert!(is_declined);
        }
        prop_assert_eq!(160_000 - posted_minor, network + rounding + mark_up);
        prop_assert!(held_after == 0 || !asked.posts);
    }
}
