//! `limit.threshold_reached`: told once for each threshold that a payment crosses, and again only after what is used of the
//! limit was less in between.

use crate::event_data::check_event;
use crate::fixture::{Fixture, project};
use crate::history::{History, USD};
use crate::on_both;
use cardswitch::engine::command::*;
use cardswitch::engine::controls::{Controls, Limit, Window};
use cardswitch::engine::decision_endpoints::{DecisionEndpoint, Fallback};
use cardswitch::engine::facts::Kind;
use cardswitch::engine::ids::*;
use cardswitch::engine::programs::{ChangeProgram, LimitThresholds};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::store::events::{EventFilter, ResponseCodes};
use serde_json::Value;
use std::sync::Arc;

on_both! {
    told_once_as_it_is_crossed_and_again_in_the_next_window,
    told_again_where_reversals_and_refunds_brought_it_below,
    each_threshold_of_the_program_is_told_of_for_itself,
    of_what_was_not_approved_nothing_is_told,
    thresholds_are_the_same_whatever_the_batches,
}

const DAY_MS: i64 = 86_400_000;

/// One card in dollars, with a limit for each day; somebody hears of everything.
struct Scene {
    history: History,
    card_id: CardId,
    root: AccountId,
}

fn limit(amount_minor: Option<i64>, count: Option<u32>) -> Limit {
    Limit {
        id: LimitId(77),
        window: Window::Day,
        amount_minor,
        count,
        time_zone: "UTC".into(),
        filter: None,
        refunds_restore: true,
    }
}

impl Scene {
    fn new(limit: Limit) -> Scene {
        let histories = (1..).map(|seed| History::new(seed, 1, 1));
        let in_dollars =
            |history: &History| history.currency_of(history.accounts[0].0) == Some(USD);
        let mut history = histories.into_iter().find(in_dollars).unwrap();
        history.subscribe();
        let (card_id, root) = history.cards[0];
        let controls = Controls {
            limits: vec![limit],
            ..Controls::default()
        };
        let change = ChangeCardControls { card_id, controls };
        assert!(history.shard(root, Action::ChangeCardControls(Box::new(change))));
        Scene {
            history,
            card_id,
            root,
        }
    }

    fn send(&mut self, amount_minor: i64, of: impl FnOnce(&mut Authorize)) -> usize {
        let mut payment = self
            .history
            .payment(self.card_id, amount_minor, Kind::Purchase, 5411);
        payment.amounts.transaction.currency = USD;
        payment.amounts.billing = None;
        payment.partial_approval_supported = false;
        of(&mut payment);
        self.history.send(self.root, payment);
        self.history.authorizations.len() - 1
    }

    /// The place of what was asked.
    fn pay(&mut self, amount_minor: i64) -> usize {
        self.send(amount_minor, |_| {})
    }

    /// Takes the money at once.
    fn buy(&mut self, amount_minor: i64) {
        self.send(amount_minor, |payment| payment.posts = true);
    }

    fn refund(&mut self, amount_minor: i64) {
        self.send(amount_minor, |payment| {
            payment.kind = Kind::Refund;
            payment.posts = true;
        });
    }

    fn set_thresholds(&mut self, percents: &[u8]) {
        let change = ChangeProgram {
            limit_threshold_percents: Some(LimitThresholds::of(percents).unwrap()),
            ..ChangeProgram::nothing(ProgramId(1))
        };
        let action = RegistryAction::ChangeProgram(Box::new(change));
        self.history.registry(action);
    }

    /// Percents with what was used then, in the order in which they were told; with batches of so many records.
    async fn told_in(&self, fixture: &Fixture, batch: usize) -> Vec<Value> {
        let store = fixture.store().await;
        project(&store, &self.history.records, batch).await;
        let filter = EventFilter {
            types: vec!["limit.threshold_reached".to_owned()],
            ..EventFilter::default()
        };
        let rows = store.events(&filter, None, 1_000).await.unwrap().data;
        store.close().await;
        let codes: ResponseCodes = Arc::new(|_, _| None);
        let told = rows.iter().map(|row| row.body(false, &codes));
        told.map(|mut event| {
            check_event(&event);
            event["data"].take()
        })
        .collect()
    }

    async fn told(&self, fixture: &Fixture) -> Vec<(i64, i64)> {
        let told = self.told_in(fixture, 7).await;
        let number = |told: &Value, name: &str| told["limit"][name].as_i64().unwrap();
        let numbers = told
            .iter()
            .map(|told| (number(told, "percent"), number(told, "used")));
        numbers.collect()
    }
}

async fn told_once_as_it_is_crossed_and_again_in_the_next_window(fixture: Fixture) {
    let mut scene = Scene::new(limit(Some(1_000), None));
    scene.pay(799);
    scene.pay(1);
    scene.pay(50);
    scene.pay(150);
    // All is used: this one is declined, and crosses nothing.
    scene.pay(1);
    scene.history.at = scene.history.at.plus_ms(DAY_MS);
    scene.pay(500);
    scene.pay(400);
    scene.pay(100);
    scene.history.at = scene.history.at.plus_ms(DAY_MS);
    scene.pay(799);
    assert_eq!(scene.told(&fixture).await, [(80, 800), (80, 900)]);
    let told = &scene.told_in(&fixture, 7).await[0];
    let limit = &told["limit"];
    assert_eq!(
        (&limit["allowed"], &limit["left"], &limit["scope"]),
        (&1_000.into(), &200.into(), &"card".into())
    );
    assert_eq!(limit["limit_id"], LimitId(77).to_string());
    assert_eq!(limit["resets_at"], "2026-11-25T00:00:00.000Z");
    let crossing = scene.history.authorizations[1].0;
    assert_eq!(told["authorization_id"], crossing.to_string());
    assert_eq!(told["card_id"], scene.card_id.to_string());
}

async fn told_again_where_reversals_and_refunds_brought_it_below(fixture: Fixture) {
    let mut scene = Scene::new(limit(Some(1_000), None));
    scene.pay(700);
    let crossing = scene.pay(150);
    scene.history.reverse(crossing);
    scene.pay(50);
    scene.pay(60);
    // A part that stays leaves it where it is, above.
    let small = scene.pay(20);
    scene.history.reverse(small);
    scene.pay(10);
    // What a refund gives back counts as well; not more than what was bought.
    scene.history.at = scene.history.at.plus_ms(DAY_MS);
    scene.buy(900);
    scene.refund(300);
    scene.buy(100);
    scene.buy(100);
    assert_eq!(
        scene.told(&fixture).await,
        [(80, 850), (80, 810), (80, 900), (80, 800)]
    );
}

async fn each_threshold_of_the_program_is_told_of_for_itself(fixture: Fixture) {
    let mut scene = Scene::new(limit(Some(1_000), Some(4)));
    scene.set_thresholds(&[100, 50]);
    // Of four payments the second is half; all of them are the fourth.
    scene.pay(400);
    scene.pay(100);
    scene.pay(400);
    scene.pay(100);
    scene.history.at = scene.history.at.plus_ms(DAY_MS);
    scene.pay(1_000);
    scene.set_thresholds(&[]);
    scene.history.at = scene.history.at.plus_ms(DAY_MS);
    scene.pay(1_000);
    assert_eq!(
        scene.told(&fixture).await,
        [
            (50, 500),
            (50, 2),
            (100, 1_000),
            (100, 4),
            (50, 1_000),
            (100, 1_000)
        ]
    );
}

async fn of_what_was_not_approved_nothing_is_told(fixture: Fixture) {
    let mut scene = Scene::new(limit(Some(1_000), None));
    // Another check declines it; this limit is passed.
    scene.send(900, |payment| payment.merchant.mcc = 7995);
    let endpoint = DecisionEndpoint {
        id: DecisionEndpointId(1),
        program_id: ProgramId(1),
        url: "https://example.com/decide".into(),
        timeout_ms: 2_000,
        fallback: Fallback::Decline,
        enabled: true,
        secret_version: 1,
        created_at: scene.history.at,
        tenant: None,
    };
    let action = RegistryAction::PutDecisionEndpoint(Box::new(endpoint));
    scene.history.registry(action);
    let mut ask = |amount_minor, says| {
        let place = scene.send(amount_minor, |payment| {
            payment.partial_approval_supported = true;
        });
        let resolve = Resolve {
            authorization_id: scene.history.authorizations[place].0,
            says,
            call: CallOutcome::Answered,
            duration_ms: 5,
        };
        assert!(scene.history.shard(scene.root, Action::Resolve(resolve)));
    };
    ask(900, CustomerSays::Decline);
    // Less than what was checked, and below.
    let less = CustomerSays::Approve {
        amount_minor: Some(300),
    };
    ask(900, less);
    let all = CustomerSays::Approve { amount_minor: None };
    ask(550, all);
    assert_eq!(scene.told(&fixture).await, [(80, 850)]);
}

/// Also where a program's thresholds change in the batch of a payment.
async fn thresholds_are_the_same_whatever_the_batches(fixture: Fixture) {
    let mut scene = Scene::new(limit(Some(1_000), None));
    for day in 0..6 {
        scene.set_thresholds(&[[20, 90], [30, 60]][day % 2]);
        for _ in 0..5 {
            let amount_minor = 100 + scene.history.below(200) as i64;
            let place = scene.pay(amount_minor);
            if scene.history.below(3) == 0 {
                scene.history.reverse(place);
            }
        }
        scene.history.at = scene.history.at.plus_ms(DAY_MS);
    }
    let mut all = Vec::new();
    fixture.store().await.close().await;
    for batch in [1, 2, 500] {
        fixture.sql("DELETE FROM projection").await;
        for table in &crate::fixture::TABLES[1..] {
            fixture.sql(&format!("DELETE FROM {table}")).await;
        }
        all.push(scene.told_in(&fixture, batch).await);
    }
    assert!(all[0].len() > 6, "{}", all[0].len());
    assert!(all.iter().all(|told| *told == all[0]));
}
