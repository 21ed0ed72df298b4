//! A risk rule as the registry keeps it, and the rules of each program as shards evaluate them. How one
//! is made or changed does not live here (see `registry_decide.rs`).

use super::compile::{Compiled, compile};
use crate::engine::facts::name_of;
use crate::engine::ids::{ProgramId, RiskRuleId};
use crate::engine::time::Timestamp;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Draft and active ones of a program; each is evaluated for every request.
pub const RULES_PER_PROGRAM_MAX: usize = 32;

/// Of all programs and states together.
pub const RULES_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskRule {
    pub id: RiskRuleId,
    pub program_id: ProgramId,
    pub name: Box<str>,
    /// As it was written; never changed.
    pub expression: Box<str>,
    pub action: RuleAction,
    pub state: RuleState,
    /// 1, and one more with each change of state.
    pub version: u32,
    pub created_at: Timestamp,
}

/// What a match of an active rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleAction {
    Decline,
    /// Nothing but what the trace says.
    Flag,
    RequireThreeDs,
}

impl RuleAction {
    /// In the order of their numbers in traces.
    pub const ALL: &'static [(RuleAction, &'static str)] = &[
        (RuleAction::Decline, "decline"),
        (RuleAction::Flag, "flag"),
        (RuleAction::RequireThreeDs, "require_three_ds"),
    ];

    pub fn name(self) -> &'static str {
        name_of(RuleAction::ALL, self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleState {
    /// In shadow: evaluated and reported, never deciding.
    Draft,
    Active,
    /// For good; no longer evaluated.
    Retired,
}

impl RuleState {
    pub const ALL: &'static [(RuleState, &'static str)] = &[
        (RuleState::Draft, "draft"),
        (RuleState::Active, "active"),
        (RuleState::Retired, "retired"),
    ];

    pub fn name(self) -> &'static str {
        name_of(RuleState::ALL, self)
    }
}

/// Moves a rule to a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleChange {
    Promote,
    /// Back to a draft.
    Demote,
    Retire,
}

impl RuleChange {
    pub fn to(self) -> RuleState {
        match self {
            RuleChange::Promote => RuleState::Active,
            RuleChange::Demote => RuleState::Draft,
            RuleChange::Retire => RuleState::Retired,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            RuleChange::Promote => "promote",
            RuleChange::Demote => "demote",
            RuleChange::Retire => "retire",
        }
    }
}

/// A rule with its expression read.
#[derive(Debug)]
pub struct LoadedRule {
    pub rule: RiskRule,
    /// None where this version of the program cannot read what an earlier one could: never a match, and
    /// traces say that it failed.
    pub compiled: Option<Compiled>,
}

/// The draft and active rules of a program.
#[derive(Debug)]
pub struct ProgramRules {
    /// In the order of their ids.
    pub by_id: Box<[Arc<LoadedRule>]>,
    /// One of them reads a fact of the card's history.
    pub read_history: bool,
}

/// All rules, and for each program those that its requests are held against.
#[derive(Debug, Clone, Default)]
pub struct RiskRules {
    by_id: BTreeMap<RiskRuleId, Arc<LoadedRule>>,
    evaluated: HashMap<ProgramId, Arc<ProgramRules>>,
}

impl RiskRules {
    pub fn get(&self, id: RiskRuleId) -> Option<&Arc<LoadedRule>> {
        self.by_id.get(&id)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<LoadedRule>> {
        self.by_id.values()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn of_program(&self, id: ProgramId) -> Option<&ProgramRules> {
        self.evaluated.get(&id).map(Arc::as_ref)
    }

    /// Puts a rule, new, changed or restored, in its place.
    pub fn put(&mut self, rule: RiskRule) {
        let (id, program_id) = (rule.id, rule.program_id);
        let compiled = compile(&rule.expression).ok();
        let loaded = Arc::new(LoadedRule { rule, compiled });
        self.by_id.insert(id, loaded);
        let of_program = self.by_id.values().filter(|loaded| {
            loaded.rule.program_id == program_id && loaded.rule.state != RuleState::Retired
        });
        let by_id: Box<[_]> = of_program.cloned().collect();
        let mut compiled = by_id.iter().filter_map(|loaded| loaded.compiled.as_ref());
        let read_history = compiled.any(|compiled| compiled.reads_history);
        let rules = ProgramRules {
            by_id,
            read_history,
        };
        match rules.by_id.is_empty() {
            true => self.evaluated.remove(&program_id),
            false => self.evaluated.insert(program_id, Arc::new(rules)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: u64, program: u64, state: RuleState) -> RiskRule {
        RiskRule {
            id: RiskRuleId(id),
            program_id: ProgramId(program),
            name: "large".into(),
            expression: "amount > 100".into(),
            action: RuleAction::Flag,
            state,
            version: 1,
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn every_action_and_state_is_at_its_place() {
        for (action, name) in RuleAction::ALL {
            assert_eq!(action.name(), *name);
        }
        for (state, name) in RuleState::ALL {
            assert_eq!(state.name(), *name);
        }
    }

    #[test]
    fn a_program_evaluates_its_own_rules_that_are_not_retired_by_id() {
        let mut rules = RiskRules::default();
        for (id, program, state) in [
            (3, 1, RuleState::Active),
            (1, 1, RuleState::Draft),
            (2, 2, RuleState::Active),
            (4, 1, RuleState::Retired),
        ] {
            rules.put(rule(id, program, state));
        }
        let ids = |rules: &RiskRules, program| {
            let of_program = rules.of_program(ProgramId(program));
            let by_id = of_program.iter().flat_map(|rules| &rules.by_id);
            by_id.map(|l| l.rule.id.0).collect::<Vec<_>>()
        };
        assert_eq!((ids(&rules, 1), ids(&rules, 2)), (vec![1, 3], vec![2]));
        rules.put(rule(1, 1, RuleState::Retired));
        rules.put(rule(2, 2, RuleState::Retired));
        assert_eq!((ids(&rules, 1), ids(&rules, 2)), (vec![3], vec![]));
        assert_eq!(rules.len(), 4);
    }

    #[test]
    fn what_cannot_be_read_any_more_has_no_condition() {
        let mut rules = RiskRules::default();
        let unread = RiskRule {
            expression: "a fact of another version".into(),
            ..rule(1, 1, RuleState::Active)
        };
        rules.put(unread);
        assert_eq!(rules.get(RiskRuleId(1)).unwrap().compiled, None);
        assert_eq!(rules.of_program(ProgramId(1)).unwrap().by_id.len(), 1);
    }

    #[test]
    fn history_is_read_as_long_as_a_rule_names_a_fact_of_it() {
        let mut rules = RiskRules::default();
        let read = |rules: &RiskRules| {
            let of_program = rules.of_program(ProgramId(1));
            of_program.map(|rules| rules.read_history)
        };
        let asks = |state| RiskRule {
            expression: "amount > 5 && first_use_of_mcc".into(),
            ..rule(2, 1, state)
        };
        rules.put(rule(1, 1, RuleState::Active));
        assert_eq!(read(&rules), Some(false));
        rules.put(asks(RuleState::Draft));
        assert_eq!(read(&rules), Some(true));
        rules.put(asks(RuleState::Retired));
        assert_eq!(read(&rules), Some(false));
    }
}
