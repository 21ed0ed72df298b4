//! The risk rules of the card's program, each by its own expression. How one is read and evaluated does
//! not live here (see `risk/`).

use crate::engine::checks::{Checks, Context};
use crate::engine::reason::DeclineReason;
use crate::engine::risk::fact_values::FactValues;
use crate::engine::risk::rule::{LoadedRule, RuleAction, RuleState};
use crate::engine::trace::{Detail, Step};

/// What a trace says of a rule: the place of its action in `RuleAction::ALL`, and these.
const ACTION: u8 = 3;
const FAILED: u8 = 1 << 2;
const IN_SHADOW: u8 = 1 << 3;

/// The trace has those that matched, and those that could not be evaluated; what did not match leaves
/// nothing.
pub fn check(context: &Context, checks: &mut Checks) {
    let mut any = false;
    if let Some(rules) = context.risk_rules {
        let facts = FactValues::of(
            context.at,
            context.command,
            (context.card, context.kept_on.history.as_deref()),
            context.account,
            context.asked_minor,
            &context.registry.settings,
        );
        for loaded in &rules.by_id {
            let matched = evaluate(loaded, &facts);
            any |= matched != Some(false);
            note(loaded, matched, checks);
        }
    }
    if !any {
        checks.pass(Step::RiskRules, Detail::None);
    }
}

/// Whether the rule matches; none where that cannot be said.
fn evaluate(loaded: &LoadedRule, facts: &FactValues) -> Option<bool> {
    loaded.compiled.as_ref()?.condition.evaluate(facts).ok()
}

fn note(loaded: &LoadedRule, matched: Option<bool>, checks: &mut Checks) {
    let rule = &loaded.rule;
    let in_shadow = rule.state != RuleState::Active;
    let outcome = RuleOutcome {
        action: rule.action,
        failed: matched.is_none(),
        in_shadow,
    };
    let detail = Detail::RiskRule {
        rule_id: rule.id,
        version: rule.version,
        outcome: outcome.bits(),
    };
    let decides = matched == Some(true) && !in_shadow;
    match (matched, rule.action) {
        (Some(false), _) => {}
        (_, RuleAction::Decline) if decides => {
            checks.fail(Step::RiskRules, DeclineReason::RuleDeclined, detail);
        }
        (_, action) => {
            checks.three_ds_required |= decides && action == RuleAction::RequireThreeDs;
            checks.pass(Step::RiskRules, detail);
        }
    }
}

/// How the evaluation of a rule went that matched or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleOutcome {
    pub action: RuleAction,
    /// It could not be evaluated, and did nothing; or else it matched.
    pub failed: bool,
    /// A draft: it decided nothing.
    pub in_shadow: bool,
}

impl RuleOutcome {
    pub fn bits(self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        self.action as u8 | flag(self.failed, FAILED) | flag(self.in_shadow, IN_SHADOW)
    }

    pub fn from_bits(bits: u8) -> Option<RuleOutcome> {
        let (action, _) = RuleAction::ALL.get(usize::from(bits & ACTION))?;
        Some(RuleOutcome {
            action: *action,
            failed: bits & FAILED != 0,
            in_shadow: bits & IN_SHADOW != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        for (action, _) in RuleAction::ALL {
            for (failed, in_shadow) in [(false, false), (true, false), (false, true), (true, true)]
            {
                let outcome = RuleOutcome {
                    action: *action,
                    failed,
                    in_shadow,
                };
                assert_eq!(RuleOutcome::from_bits(outcome.bits()), Some(outcome));
            }
        }
        assert_eq!(RuleOutcome::from_bits(3), None);
    }
}
