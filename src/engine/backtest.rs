//! Looks at the journal's history with another rule, or with other controls, record by record: what
//! would have come of each request. Reading the journal and adding up do not live here.

use super::command::{Action, Authorize, Command};
use super::controls::Controls;
use super::decide::{Outcome, decide};
use super::event::{Authorized, Decision, Event, RuleId};
use super::ids::{AccountId, CardId, ProgramId};
use super::links;
use super::money::Currency;
use super::reason::DeclineReason;
use super::record::Record;
use super::registry::{LinkKey, RegistryAction, RegistryView};
use super::risk::compile::Compiled;
use super::risk::expression::Fault;
use super::risk::fact_values::FactValues;
use super::risk::rule::RuleAction;
use super::state::State;
use super::world::World;
use std::sync::Arc;

/// What is tried.
#[derive(Debug, Clone)]
pub enum Change {
    /// One more rule, active from the first record on. What it declines still happened to all that
    /// comes after it: requests are looked at as they were.
    Rule(TriedRule),
    /// The controls of one object, from the moment it is there. Everything after is decided again, on
    /// what then would have been.
    Controls(Target, Controls),
}

#[derive(Debug, Clone)]
pub struct TriedRule {
    /// Every program without one.
    pub program_id: Option<ProgramId>,
    pub action: RuleAction,
    pub compiled: Compiled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Program(ProgramId),
    Account(AccountId),
    Card(CardId),
    /// A linked object; in every program that has one of this name, where none is named.
    Link {
        program_id: Option<ProgramId>,
        link_type: Box<str>,
        id: Box<str>,
    },
}

/// What would have come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    AsItWas,
    Declined {
        reason: DeclineReason,
        rule: Option<RuleId>,
    },
    Approved,
    /// Approved as it was, with the rule's mark.
    Flagged,
    ThreeDsRequired,
    /// The rule matched what was declined anyway.
    DeclinedAnyway,
    /// The rule could not be evaluated.
    Failed(Fault),
}

/// A request of a known card, and what would have come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    pub came: Came,
    pub account_currency: Currency,
}

/// The world as the records so far have left it, or with other controls would have.
pub struct Backtest {
    world: World,
    change: Change,
}

impl Backtest {
    /// Goes on from a world, an empty one at the beginning of the journal.
    pub fn new(mut world: World, change: Change) -> Backtest {
        if let Change::Controls(target, controls) = &change {
            keep_closed(&mut world);
            put(&mut world, target, controls);
        }
        Backtest { world, change }
    }

    /// Whether the object whose controls are tried has come up.
    pub fn has_target(&self) -> bool {
        match &self.change {
            Change::Rule(rule) => {
                let programs = &self.world.registry.view.programs;
                rule.program_id.is_none_or(|id| programs.contains_key(&id))
            }
            Change::Controls(target, _) => match target {
                Target::Program(id) => self.world.registry.view.programs.contains_key(id),
                Target::Account(id) => self.world.shards.iter().any(|s| s.account(*id).is_some()),
                Target::Card(id) => self.world.shards.iter().any(|s| s.card(*id).is_some()),
                Target::Link {
                    program_id,
                    link_type,
                    id,
                } => {
                    let known = links::find(&self.world.registry, link_type, id);
                    known.iter().any(|link| is_of(*program_id, &link.key))
                }
            },
        }
    }

    /// Whether the groups and lists that the tried controls name have come up.
    pub fn has_groups(&self) -> bool {
        match &self.change {
            Change::Rule(_) => true,
            Change::Controls(_, controls) => self.world.registry.view.groups.has_all_of(controls),
        }
    }

    /// Takes the next record; says what would have come of it, if it is a request of a known card, and of the program
    /// that a rule is of.
    pub fn take(&mut self, record: &mut Record) -> Option<Looked> {
        match &self.change {
            Change::Rule(rule) => {
                let looked = rule.look_at(&self.world, record);
                if rule.compiled.reads_history {
                    keep_history(record);
                }
                self.world.apply(record);
                looked
            }
            Change::Controls(target, controls) => {
                let looked = decide_again(&mut self.world, record);
                if changes_settings(record) {
                    keep_closed(&mut self.world);
                }
                if touches(record, target) {
                    put(&mut self.world, target, controls);
                }
                looked
            }
        }
    }
}

/// The request of a record with its decision, if its card is known and it is no clash of identities.
pub fn request_of(record: &Record) -> Option<(&Command, &Authorize, &Authorized)> {
    let Record::Shard { command, event, .. } = record else {
        return None;
    };
    match (&command.action, event) {
        (Action::Authorize(authorize), Event::Authorized(authorized)) => {
            let decline = authorized.decision.decline().map(|decline| decline.reason);
            let clash = decline == Some(DeclineReason::DuplicateTransmission);
            let known = authorized.account_id.is_some() && !clash;
            known.then_some((command, authorize, authorized))
        }
        _ => None,
    }
}

/// As if a rule had asked for the history of every card from the beginning.
fn keep_history(record: &mut Record) {
    let known = request_of(record).is_some();
    if let Record::Shard {
        event: Event::Authorized(authorized),
        ..
    } = record
    {
        authorized.keeps_history |= known;
    }
}

impl TriedRule {
    fn look_at(&self, world: &World, record: &Record) -> Option<Looked> {
        let (command, authorize, authorized) = request_of(record)?;
        let state = world.shard(command.root);
        let card = state.card(authorize.card_id)?;
        let drawn_on = authorized.account_id.and_then(|id| state.account(id));
        let account = drawn_on.unwrap_or(state.account_of(card));
        let looked = |came| {
            Some(Looked {
                came,
                account_currency: account.currency,
            })
        };
        if self.program_id.is_some_and(|id| id != account.program_id) {
            return None;
        }
        // As the record has it: zero of something is what could not be said.
        let is_nothing = authorize.amounts.transaction.amount_minor == 0;
        let asked_minor = Some(authorized.amount_minor).filter(|asked| *asked != 0 || is_nothing);
        let card = (card, state.kept_on(card).history.as_deref());
        let settings = &world.registry.view.settings;
        let facts = FactValues::of(command.at, authorize, card, account, asked_minor, settings);
        let approved = authorized.decision.decline().is_none();
        looked(match self.compiled.condition.evaluate(&facts) {
            Err(fault) => Came::Failed(fault),
            Ok(false) => Came::AsItWas,
            Ok(true) if !approved => Came::DeclinedAnyway,
            Ok(true) => match self.action {
                RuleAction::Decline => Came::Declined {
                    reason: DeclineReason::RuleDeclined,
                    rule: None,
                },
                RuleAction::Flag => Came::Flagged,
                RuleAction::RequireThreeDs => Came::ThreeDsRequired,
            },
        })
    }
}

/// Decides a record's command on the world as it is here, and applies what comes of it.
fn decide_again(world: &mut World, record: &Record) -> Option<Looked> {
    let Record::Shard {
        engine_version,
        command,
        ..
    } = record
    else {
        world.apply(record);
        return None;
    };
    let state = world.shard(command.root);
    let outcome = decide(state, command);
    let looked = request_of(record).and_then(|(_, authorize, recorded)| {
        let card = state.card(authorize.card_id)?;
        let came = match &outcome {
            Outcome::Event(Event::Authorized(authorized)) => {
                difference(&recorded.decision, &authorized.decision)
            }
            _ => Came::AsItWas,
        };
        let account_currency = state.account_of(card).currency;
        Some(Looked {
            came,
            account_currency,
        })
    });
    if let Outcome::Event(event) = outcome {
        let (engine_version, command) = (*engine_version, command.clone());
        world.apply(&Record::Shard {
            engine_version,
            command,
            event,
            requester: None,
        });
    }
    looked
}

fn difference(before: &Decision, now: &Decision) -> Came {
    match (before.decline(), now.decline()) {
        (None, Some(decline)) => Came::Declined {
            reason: decline.reason,
            rule: decline.rule,
        },
        (Some(_), None) => Came::Approved,
        _ => Came::AsItWas,
    }
}

/// Whether a linked object is meant: that of the program, or of any.
fn is_of(program_id: Option<ProgramId>, key: &LinkKey) -> bool {
    program_id.is_none_or(|id| key.program_id == id)
}

/// Whether a record makes the object, or changes its controls.
fn touches(record: &Record, target: &Target) -> bool {
    match (record, target) {
        (Record::Registry { command, .. }, Target::Program(id)) => match &command.action {
            RegistryAction::CreateProgram(program) => program.id == *id,
            RegistryAction::ChangeProgram(change) => change.id == *id,
            _ => false,
        },
        (
            Record::Registry { command, .. },
            Target::Link {
                program_id,
                link_type,
                id,
            },
        ) => {
            let is_it = |key: &LinkKey| {
                *key.link_type == **link_type && *key.id == **id && is_of(*program_id, key)
            };
            match &command.action {
                RegistryAction::IssueCard(issue) => issue.links.iter().any(is_it),
                RegistryAction::SetLinkControls(set) => is_it(&set.key),
                _ => false,
            }
        }
        (Record::Shard { command, .. }, Target::Account(id)) => {
            matches!(&command.action, Action::OpenAccount(open) if open.account_id == *id)
        }
        (Record::Shard { command, .. }, Target::Card(id)) => match &command.action {
            Action::OpenCard(open) => open.card_id == *id,
            Action::ChangeCardControls(change) => change.card_id == *id,
            _ => false,
        },
        _ => false,
    }
}

/// Gives the object other controls, if it is there.
/// How many closed payments are kept is a bound of one shard of several, and what a shard had forgotten was looked up in the
/// archive. Here one shard has all, and no archive: it keeps them as long as their time says.
fn keep_closed(world: &mut World) {
    change_view(world, |view| {
        view.settings.closed_per_shard_max = u64::MAX;
        Some(())
    });
}

fn changes_settings(record: &Record) -> bool {
    matches!(record, Record::Registry { command, .. }
        if matches!(command.action, RegistryAction::ChangeSettings(_)))
}

fn put(world: &mut World, target: &Target, controls: &Controls) {
    match target {
        Target::Program(id) => change_view(world, |view| {
            let program = view.programs.get_mut(id);
            program.map(|program| Arc::make_mut(program).controls = controls.clone())
        }),
        Target::Link {
            program_id,
            link_type,
            id,
        } => {
            let known = links::find(&world.registry, link_type, id).into_iter();
            for link in known.filter(|link| is_of(*program_id, &link.key)) {
                change_view(world, |view| {
                    let is_there = link.controls.as_deref() == Some(controls);
                    (!is_there).then(|| view.links.set(link.link_id, controls.clone()))
                });
            }
        }
        Target::Account(id) => exchange(world, controls, |state| {
            state.account_mut(*id).map(|account| &mut account.controls)
        }),
        Target::Card(id) => exchange(world, controls, |state| {
            state.kept_on_mut(*id).map(|card| &mut card.controls)
        }),
    }
}

/// Every shard sees the view of the registry with this change, if there is one.
fn change_view(world: &mut World, change: impl FnOnce(&mut RegistryView) -> Option<()>) {
    let mut view = (*world.registry.view).clone();
    if change(&mut view).is_some() {
        world.registry.view = Arc::new(view);
        world.adopt_view();
    }
}

/// Gives the object these controls, in the shard that has it.
fn exchange(
    world: &mut World,
    controls: &Controls,
    own: impl Fn(&mut State) -> Option<&mut Option<Arc<Controls>>>,
) {
    for state in &mut world.shards {
        if own(state).is_none() {
            continue;
        }
        let shared = state.shared_controls.share(controls);
        let before = own(state).and_then(|own| std::mem::replace(own, shared));
        if let Some(before) = before {
            state.shared_controls.release(&before);
        }
    }
}

#[cfg(test)]
#[path = "backtest_tests.rs"]
mod tests;
