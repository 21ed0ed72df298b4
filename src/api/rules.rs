//! `/v1/rules`: risk rules of a program, made as drafts, promoted, retired. What an expression may say is
//! the business of `engine::risk`.

use super::auth::Caller;
use super::body::{BODY_MAX_BYTES, WriteRequest};
use super::error::{ApiError, json_response};
use super::fields::Fields;
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask};
use crate::engine::api_keys::Scope;
use crate::engine::ids::{ProgramId, RiskRuleId};
use crate::engine::registry::{RegistryAction, RegistryRefusal};
use crate::engine::risk::compile::EXPRESSION_BYTES_MAX;
use crate::engine::risk::rule::{RiskRule, RuleAction, RuleChange, RuleState};
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// A rule begins in shadow, unless it is asked for otherwise.
const STATES_AT_FIRST: &[(RuleState, &str)] =
    &[(RuleState::Draft, "draft"), (RuleState::Active, "active")];

pub async fn create(State(gate): State<Gate>, request: WriteRequest) -> Result<Response, ApiError> {
    once(gate.state()?, request, carry_out).await
}

async fn carry_out(write: Write) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        ..
    } = write;
    let action = fields.word("action", RuleAction::ALL)?;
    let rule = RiskRule {
        id: RiskRuleId(ids.next()),
        program_id: fields.required_id("program_id", ProgramId::PREFIX)?,
        name: fields.required_text("name", 200)?.into(),
        expression: expression(&mut fields)?,
        action: action.ok_or_else(|| fields.missing("action"))?,
        state: fields
            .word("state", STATES_AT_FIRST)?
            .unwrap_or(RuleState::Draft),
        version: 1,
        created_at: state.switchboard.clock.now(),
    };
    fields.finish()?;
    if rule.state == RuleState::Active {
        caller.require(Scope::RulesPromote)?;
    }
    let id = rule.id;
    let action = RegistryAction::CreateRiskRule(Box::new(rule));
    let rule = match ask::registry_command(&state, action).await? {
        Reply::RiskRule(rule) => *rule,
        // Made before under the same Idempotency-Key.
        Reply::RegistryRefused(RegistryRefusal::IdTaken) => find(&state, id).await?,
        Reply::RegistryRefused(refusal) => return Err(refused(refusal)),
        reply => return Err(ask::unexpected(&reply)),
    };
    Ok(Success::created(to_json(&rule)))
}

/// Whatever fits into a body is taken here, so that an expression that is too long hears so at its column.
fn expression(fields: &mut Fields) -> Result<Box<str>, ApiError> {
    let text = fields.required_text("expression", BODY_MAX_BYTES);
    let text = text.map_err(|error| match error.code {
        "text_invalid" => {
            let message = format!(
                "expression must have 1 to {EXPRESSION_BYTES_MAX} bytes, none of them a control character"
            );
            ApiError::invalid("text_invalid", "expression", message)
        }
        _ => error,
    });
    text.map(Into::into)
}

fn refused(refusal: RegistryRefusal) -> ApiError {
    let told = refusal.to_string();
    match refusal {
        RegistryRefusal::ProgramNotFound(_) => {
            ApiError::invalid("program_not_found", "program_id", told)
        }
        RegistryRefusal::RuleInvalid(_) => ApiError::invalid("rule_invalid", "expression", told),
        RegistryRefusal::RuleNotFound(_) => not_found(),
        RegistryRefusal::RuleRetired(_) => ApiError::conflict("rule_retired", told),
        RegistryRefusal::TooManyRules(_) | RegistryRefusal::TooManyRulesOfProgram(_) => {
            ApiError::conflict("too_many_rules", told)
        }
        refusal => ApiError::internal(&refusal),
    }
}

pub async fn change_state(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
    change: RuleChange,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let rule_id = id.parse().map_err(|_| not_found())?;
        let before = to_json(&find(&state, rule_id).await?);
        let change = RegistryAction::ChangeRiskRule { rule_id, change };
        match ask::registry_command(&state, change).await? {
            Reply::RiskRule(rule) => Ok(Success::ok(to_json(&rule)).from(before)),
            Reply::RegistryRefused(refusal) => Err(refused(refusal)),
            reply => Err(ask::unexpected(&reply)),
        }
    };
    once(gate.state()?, request, work).await
}

pub async fn one(State(gate): State<Gate>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| not_found())?;
    let rule = find(&state, id).await?;
    Ok(json_response(StatusCode::OK, to_json(&rule).to_string()))
}

/// From memory: rules are few, and what was just written is in it.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let program_id: Option<ProgramId> = query.id("program_id", ProgramId::PREFIX)?;
    let in_state = query.word("state", RuleState::ALL)?;
    let view = ask::view(&state).await?;
    let wanted = |rule: &&RiskRule| {
        program_id.is_none_or(|id| rule.program_id == id)
            && caller.sees_program(rule.program_id)
            && in_state.is_none_or(|state| rule.state == state)
    };
    let newest_first = view.risk_rules.iter().rev().map(|loaded| &loaded.rule);
    let all = newest_first.filter(wanted);
    let all = all.map(|rule| (rule.id.to_string(), || to_json(rule)));
    list::page_of_memory(ListQuery(query), all)
}

pub async fn find(state: &ApiState, id: RiskRuleId) -> Result<RiskRule, ApiError> {
    match ask::registry(state, RegistryRequest::RiskRule(id)).await? {
        Reply::RiskRule(rule) => Ok(*rule),
        Reply::NotFound => Err(not_found()),
        reply => Err(ask::unexpected(&reply)),
    }
}

pub fn not_found() -> ApiError {
    ApiError::not_found("rule_not_found", "there is no rule with this id")
}

fn to_json(rule: &RiskRule) -> Value {
    json!({
        "id": rule.id.to_string(),
        "object": "rule",
        "program_id": rule.program_id.to_string(),
        "name": rule.name,
        "expression": rule.expression,
        "action": rule.action.name(),
        "state": rule.state.name(),
        "version": rule.version,
        "created_at": rule.created_at.to_string(),
    })
}
