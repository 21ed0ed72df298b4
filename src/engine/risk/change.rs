//! Decides the registry's commands about risk rules: making one, and moving it from state to state.
//! What shards do with rules does not live here.

use super::compile::compile_new;
use super::rule::{RULES_MAX, RULES_PER_PROGRAM_MAX, RiskRule, RiskRules, RuleChange, RuleState};
use crate::engine::ids::RiskRuleId;
use crate::engine::registry::{RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView};

/// The rule as it is to be kept.
pub fn create(view: &RegistryView, rule: &RiskRule) -> RegistryOutcome {
    let refused = match refused(view, rule) {
        Some(refusal) => refusal,
        None => {
            let version = view.version + 1;
            return RegistryOutcome::Event(RegistryEvent::RiskRuleCreated { version });
        }
    };
    RegistryOutcome::Refused(refused)
}

fn refused(view: &RegistryView, rule: &RiskRule) -> Option<RegistryRefusal> {
    let rules = &view.risk_rules;
    if rules.get(rule.id).is_some() {
        return Some(RegistryRefusal::IdTaken);
    }
    if !view.programs.contains_key(&rule.program_id) {
        return Some(RegistryRefusal::ProgramNotFound(rule.program_id));
    }
    if let Err(error) = compile_new(&rule.expression) {
        return Some(RegistryRefusal::RuleInvalid(error));
    }
    if rules.len() >= RULES_MAX {
        return Some(RegistryRefusal::TooManyRules(RULES_MAX));
    }
    let evaluated = rules.of_program(rule.program_id);
    let evaluated = evaluated.map_or(0, |rules| rules.by_id.len());
    let full = rule.state != RuleState::Retired && evaluated >= RULES_PER_PROGRAM_MAX;
    full.then_some(RegistryRefusal::TooManyRulesOfProgram(
        RULES_PER_PROGRAM_MAX,
    ))
}

pub fn change(view: &RegistryView, rule_id: RiskRuleId, change: RuleChange) -> RegistryOutcome {
    let Some(loaded) = view.risk_rules.get(rule_id) else {
        return RegistryOutcome::Refused(RegistryRefusal::RuleNotFound(rule_id));
    };
    let (from, to) = (loaded.rule.state, change.to());
    if from == to {
        return RegistryOutcome::AlreadyDone;
    }
    if from == RuleState::Retired {
        return RegistryOutcome::Refused(RegistryRefusal::RuleRetired(rule_id));
    }
    let version = view.version + 1;
    RegistryOutcome::Event(RegistryEvent::RiskRuleChanged {
        version,
        from,
        to,
        program_id: loaded.rule.program_id,
    })
}

/// Moves a rule to the state of an event.
pub fn apply_change(rules: &mut RiskRules, rule_id: RiskRuleId, to: RuleState) {
    let Some(loaded) = rules.get(rule_id) else {
        return;
    };
    let mut rule = loaded.rule.clone();
    rule.state = to;
    rule.version += 1;
    rules.put(rule);
}
