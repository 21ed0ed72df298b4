//! Backtests over small histories, made by deciding and applying as a shard does.

use super::*;
use crate::engine::command::{CardType, ChangeCardControls, OpenAccount, OpenCard, Reverse, TopUp};
use crate::engine::controls::{Limit, Window};
use crate::engine::facts::{MatchKey, MatchKeys, RepeatKey};
use crate::engine::ids::{AuthorizationId, LimitId, LinkId, ReversalId, TopUpId};
use crate::engine::links::SetLinkControls;
use crate::engine::money::Money;
use crate::engine::registry::{Program, RegistryCommand, RegistryOutcome};
use crate::engine::registry_decide;
use crate::engine::risk::compile::compile;
use crate::engine::risk::expression::Fault;
use crate::engine::time::{Expiry, Timestamp};

const ROOT: AccountId = AccountId(1);
const CARD: CardId = CardId(7);
const PROGRAM: ProgramId = ProgramId(1);
const USD: Currency = Currency(840);

/// A world that is lived in, and its records.
struct Lived {
    world: World,
    at: Timestamp,
    records: Vec<Record>,
}

impl Lived {
    /// One account with 100 dollars, and one card.
    fn new() -> Lived {
        let mut lived = Lived {
            world: World::new(1),
            at: Timestamp(1_800_000_000_000),
            records: Vec::new(),
        };
        lived.program();
        lived.command(Action::OpenAccount(Box::new(OpenAccount {
            account_id: ROOT,
            parent_id: None,
            program_id: PROGRAM,
            currency: USD,
            name: None,
            controls: Controls::default(),
        })));
        lived.command(Action::TopUp(Box::new(TopUp {
            top_up_id: TopUpId(1),
            account_id: ROOT,
            amount: usd(10_000),
            method: "internal".into(),
            external_reference: None,
            tenant: None,
        })));
        lived.command(Action::OpenCard(Box::new(OpenCard {
            card_id: CARD,
            account_id: ROOT,
            card_type: CardType::Virtual,
            first6: 411_111,
            last4: 7,
            expiry: Expiry::new(2039, 12).unwrap(),
            links: [LinkId(1)].into_iter().collect(),
            controls: Controls::default(),
            wallet: None,
            holder: None,
            paid_by: None,
            shipping: None,
            issued_at: lived.at,
        })));
        lived
    }

    fn program(&mut self) {
        let program = Program {
            id: PROGRAM,
            name: "Ads".into(),
            network: "visa".into(),
            bin: Default::default(),
            currency: USD,
            controls: Controls::default(),
            hold_expiry: Default::default(),
            created_at: self.at,
            foreign_exchange_mark_up_basis_points: 0,
            ..Program::default()
        };
        self.registry(RegistryAction::CreateProgram(Box::new(program)));
    }

    /// What the card is linked to comes up, with these controls.
    fn project(&mut self, controls: Controls) {
        let key = LinkKey {
            program_id: PROGRAM,
            link_type: "project".into(),
            id: "p1".into(),
        };
        let set = SetLinkControls {
            key,
            controls,
            tenant: None,
        };
        self.registry(RegistryAction::SetLinkControls(Box::new(set)));
    }

    fn registry(&mut self, action: RegistryAction) {
        let command = RegistryCommand {
            at: self.at,
            action,
        };
        let outcome = registry_decide::decide(&self.world.registry, &command);
        let RegistryOutcome::Event(event) = outcome else {
            panic!("{outcome:?}");
        };
        self.live(Record::Registry {
            engine_version: 2,
            command,
            event,
            requester: None,
        });
    }

    fn command(&mut self, action: Action) {
        let command = Command {
            root: ROOT,
            at: self.at,
            action,
        };
        let outcome = decide(self.world.shard(ROOT), &command);
        let Outcome::Event(event) = outcome else {
            panic!("{outcome:?}");
        };
        self.live(Record::Shard {
            engine_version: 2,
            command,
            event,
            requester: None,
        });
    }

    fn live(&mut self, record: Record) {
        self.world.apply(&record);
        self.records.push(record);
    }

    /// Purchases of these amounts, a minute apart; each is named by its place among all records.
    fn purchases(&mut self, amounts_minor: &[i64]) {
        for amount_minor in amounts_minor {
            self.at = self.at.plus_ms(60_000);
            let number = self.records.len() as u64;
            let mut authorize = Authorize {
                authorization_id: AuthorizationId(number),
                card_id: CARD,
                repeat_key: RepeatKey(u128::from(number)),
                match_keys: names(number),
                ..Authorize::default()
            };
            authorize.amounts.transaction = usd(*amount_minor);
            self.command(Action::Authorize(authorize));
        }
    }

    fn reverse(&mut self, number: u64) {
        self.command(Action::Reverse(Reverse {
            reversal_id: ReversalId(number),
            card_id: CARD,
            amount: usd(1),
            repeat_key: RepeatKey(1_000 + u128::from(number)),
            original_keys: names(number),
            ..Reverse::default()
        }));
    }

    /// What would have come of every request.
    fn came(&self, change: &Change) -> Vec<Came> {
        let mut backtest = Backtest::new(World::new(1), change.clone());
        let records = self.records.iter();
        let looked = records.filter_map(|record| backtest.take(&mut record.clone()));
        let came = looked.map(|looked| looked.came).collect();
        assert!(backtest.has_target());
        came
    }
}

fn names(number: u64) -> MatchKeys {
    let mut keys = MatchKeys::default();
    keys.by_authority[0] = MatchKey(1 + number);
    keys
}

fn usd(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: USD,
    }
}

fn rule(action: RuleAction, expression: &str) -> Change {
    Change::Rule(TriedRule {
        program_id: None,
        action,
        compiled: compile(expression).unwrap(),
    })
}

const BY_RULE: Came = Came::Declined {
    reason: DeclineReason::RuleDeclined,
    rule: None,
};

#[test]
fn a_rule_is_held_against_each_request_as_it_was() {
    let mut lived = Lived::new();
    lived.purchases(&[500, 2_000, 20_000, 100]);
    let came = |action, expression: &str| lived.came(&rule(action, expression));
    assert_eq!(
        came(RuleAction::Decline, "amount >= 2000"),
        [Came::AsItWas, BY_RULE, Came::DeclinedAnyway, Came::AsItWas]
    );
    assert_eq!(
        came(RuleAction::Flag, "amount == 100"),
        [Came::AsItWas, Came::AsItWas, Came::AsItWas, Came::Flagged]
    );
    assert_eq!(
        came(RuleAction::RequireThreeDs, "held == 500"),
        [
            Came::AsItWas,
            Came::ThreeDsRequired,
            Came::AsItWas,
            Came::AsItWas
        ]
    );
    let failed = Came::Failed(Fault::DivisionByZero);
    assert_eq!(
        came(RuleAction::Decline, "100 / (amount - 100) == 0"),
        [BY_RULE, BY_RULE, Came::DeclinedAnyway, failed]
    );
}

#[test]
fn another_programs_rule_looks_at_nothing() {
    let mut lived = Lived::new();
    lived.purchases(&[500]);
    let mut backtest = Backtest::new(
        World::new(1),
        Change::Rule(TriedRule {
            program_id: Some(ProgramId(2)),
            action: RuleAction::Decline,
            compiled: compile("true").unwrap(),
        }),
    );
    let mut records = lived.records.clone();
    let looked = records
        .iter_mut()
        .filter_map(|record| backtest.take(record));
    assert_eq!(looked.count(), 0);
    assert!(!backtest.has_target());
}

/// Nobody asked for histories when this was lived.
#[test]
fn a_rule_has_the_history_that_it_would_have_had() {
    let mut lived = Lived::new();
    lived.purchases(&[500, 500, 20_000, 500, 500]);
    let third = rule(
        RuleAction::Decline,
        "approvals_last_hour >= 2 && declines_last_hour == 1",
    );
    assert_eq!(
        lived.came(&third),
        [
            Came::AsItWas,
            Came::AsItWas,
            Came::AsItWas,
            BY_RULE,
            BY_RULE
        ]
    );
}

fn a_day(amount_minor: i64) -> Controls {
    Controls {
        limits: vec![Limit {
            id: LimitId(1),
            window: Window::Day,
            amount_minor: Some(amount_minor),
            count: None,
            time_zone: "UTC".into(),
            filter: None,
            refunds_restore: false,
        }],
        ..Controls::default()
    }
}

const BY_LIMIT: Came = Came::Declined {
    reason: DeclineReason::DailyLimitExceeded,
    rule: Some(RuleId::Limit(LimitId(1))),
};

/// What was declined is not used, so that the last fits.
#[test]
fn other_controls_decide_everything_again() {
    let mut lived = Lived::new();
    lived.purchases(&[500, 700, 400]);
    for target in [
        Target::Card(CARD),
        Target::Account(ROOT),
        Target::Program(PROGRAM),
    ] {
        let came = lived.came(&Change::Controls(target.clone(), a_day(1_000)));
        assert_eq!(came, [Came::AsItWas, BY_LIMIT, Came::AsItWas], "{target:?}");
    }
}

/// From the moment it is there, and whatever controls it is given later.
#[test]
fn other_controls_of_a_linked_object_hold_for_its_cards() {
    let tried = |program_id: Option<ProgramId>| {
        let project = Target::Link {
            program_id,
            link_type: "project".into(),
            id: "p1".into(),
        };
        Change::Controls(project, a_day(1_000))
    };
    let mut lived = Lived::new();
    lived.purchases(&[900]);
    lived.project(a_day(2_000));
    lived.purchases(&[500, 700]);
    lived.project(a_day(3_000));
    lived.purchases(&[400]);
    let (as_it_was, over) = (Came::AsItWas, BY_LIMIT);
    for program_id in [None, Some(PROGRAM)] {
        let came = lived.came(&tried(program_id));
        assert_eq!(came, [as_it_was, as_it_was, over, as_it_was]);
    }
    // The same name in another program is another object.
    let of_other = tried(Some(ProgramId(PROGRAM.0 + 1)));
    let mut backtest = Backtest::new(World::new(1), of_other);
    let records = lived.records.iter();
    let looked = records.filter_map(|record| backtest.take(&mut record.clone()));
    assert!(looked.into_iter().all(|looked| looked.came == as_it_was));
    assert!(!backtest.has_target());
}

#[test]
fn what_controls_forbade_would_have_been_approved_without_them() {
    let mut lived = Lived::new();
    lived.command(Action::ChangeCardControls(Box::new(ChangeCardControls {
        card_id: CARD,
        controls: a_day(1_000),
    })));
    lived.purchases(&[500, 700, 400]);
    let none = Change::Controls(Target::Card(CARD), Controls::default());
    assert_eq!(
        lived.came(&none),
        [Came::AsItWas, Came::Approved, Came::AsItWas]
    );
}

/// The reversal of a purchase that would have been declined finds nothing, and what follows goes on.
#[test]
fn reversals_are_decided_again_too() {
    let mut lived = Lived::new();
    lived.purchases(&[500, 700]);
    lived.reverse(5);
    lived.purchases(&[400, 200]);
    let came = lived.came(&Change::Controls(Target::Card(CARD), a_day(1_000)));
    assert_eq!(came, [Came::AsItWas, BY_LIMIT, Came::AsItWas, BY_LIMIT]);
}

/// A journal of several shards says how many one of them keeps; the backtest has one for all.
#[test]
fn what_shards_of_their_own_kept_is_kept() {
    let mut lived = Lived::new();
    lived.purchases(&[500]);
    let mut settings = lived.world.registry.view.settings.clone();
    settings.closed_per_shard_max = 1;
    lived.registry(RegistryAction::ChangeSettings(Box::new(settings)));
    lived.purchases(&[700]);
    let change = Change::Controls(Target::Card(CARD), Controls::default());
    let mut backtest = Backtest::new(World::new(1), change);
    for record in &lived.records {
        backtest.take(&mut record.clone());
        let settings = &backtest.world.shards[0].registry.settings;
        assert_eq!(settings.closed_per_shard_max, u64::MAX, "{record:?}");
    }
}
