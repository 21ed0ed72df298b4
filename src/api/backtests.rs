//! `/v1/rules/{id}/backtests`: what a rule would have changed in the journal's history. They run beside the switch, one after
//! the other, and are kept in memory (`backtest::desk`); what a request would have come to is `engine::backtest`'s.

use super::body::WriteRequest;
use super::error::{ApiError, json_response};
use super::idempotency::{Success, Write, once};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask, rules};
use crate::backtest::desk::{OPEN, Seen, Wanted};
use crate::backtest::history;
use crate::engine::backtest::TriedRule;
use crate::engine::ids::{BacktestId, RiskRuleId};
use crate::engine::risk::rule::RuleState;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Requests that are shown of those that something would have changed for: where nothing is said, and what may be.
pub const EXAMPLES: (i64, RangeInclusive<i64>) = (5, 0..=100);

pub async fn create(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    once(gate.state()?, request, |write| carry_out(write, id)).await
}

async fn carry_out(write: Write, id: String) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        ..
    } = write;
    let (from, to) = (fields.day("from")?, fields.day("to")?);
    let (usual, range) = EXAMPLES;
    let examples_max = fields.integer("examples", range)?.unwrap_or(usual);
    fields.finish()?;
    if history::days(from, to).is_none() {
        let message = "from must not be after to";
        return Err(ApiError::invalid("span_empty", "from", message));
    }
    let rule_id: RiskRuleId = id.parse().map_err(|_| rules::not_found())?;
    let view = ask::view(&state).await?;
    let loaded = view.risk_rules.get(rule_id).ok_or_else(rules::not_found)?;
    let rule = &loaded.rule;
    if rule.state == RuleState::Retired {
        let message = "the rule is retired, for good; make a draft of the same";
        return Err(ApiError::conflict("rule_retired", message));
    }
    let Some(compiled) = &loaded.compiled else {
        let message = "this version cannot read the expression of the rule; make another rule";
        return Err(ApiError::conflict("rule_unreadable", message));
    };
    let id = BacktestId(ids.next());
    // Asked for before under the same Idempotency-Key.
    if let Some(seen) = state.backtests.get(id) {
        return Ok(Success::created(to_json(&seen)));
    }
    let (action, program_id) = (rule.action, rule.program_id);
    let (name, expression) = (action.name(), &rule.expression);
    let wanted = Wanted {
        id,
        rule_id,
        rule_version: rule.version,
        program_id,
        tenant: caller.tenant(),
        tried: TriedRule {
            program_id: Some(program_id),
            action,
            compiled: compiled.clone(),
        },
        shown: format!("{name} when {expression} (in program {program_id})"),
        from,
        to,
        // At most a hundred.
        examples_max: examples_max as usize,
        created_at: state.switchboard.clock.now(),
    };
    let seen = state.backtests.add(wanted).map_err(|_| {
        let (all, of_tenant) = (OPEN.all, OPEN.of_tenant);
        let message = format!(
            "{all} backtests wait or run already, or {of_tenant} of one tenant; wait for one, or cancel it"
        );
        ApiError::conflict("too_many_backtests", message)
    })?;
    Ok(Success::created(to_json(&seen)))
}

pub async fn one(
    State(gate): State<Gate>,
    Path(ids): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let seen = find(&*gate.state()?, &ids).await?;
    Ok(json_response(StatusCode::OK, to_json(&seen).to_string()))
}

pub async fn many(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    query: ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let id = id.parse().map_err(|_| rules::not_found())?;
    rules::find(&state, id).await?;
    let all = state.backtests.of_rule(id).into_iter();
    let all = all.map(|seen| (seen.wanted.id.to_string(), move || to_json(&seen)));
    list::page_of_memory(query, all)
}

/// One that has ended stays as it is.
pub async fn cancel(
    State(gate): State<Gate>,
    Path(ids): Path<(String, String)>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = async |write: Write| {
        let Write { state, fields, .. } = write;
        fields.finish()?;
        let before = find(&state, &ids).await?;
        let seen = state.backtests.cancel(before.wanted.id);
        let seen = seen.ok_or_else(not_found)?;
        Ok(Success::ok(to_json(&seen)).from(to_json(&before)))
    };
    once(gate.state()?, request, work).await
}

/// The backtest of a path, if it is of the rule of that path: that the key sees the rule was checked.
async fn find(state: &ApiState, (rule_id, id): &(String, String)) -> Result<Seen, ApiError> {
    let rule_id: RiskRuleId = rule_id.parse().map_err(|_| rules::not_found())?;
    rules::find(state, rule_id).await?;
    let id = id.parse().map_err(|_| not_found())?;
    let seen = state.backtests.get(id);
    let seen = seen.filter(|seen| seen.wanted.rule_id == rule_id);
    seen.ok_or_else(not_found)
}

fn not_found() -> ApiError {
    let message =
        "there is no backtest with this id of this rule, or it is forgotten, as after a restart";
    ApiError::not_found("backtest_not_found", message)
}

fn to_json(seen: &Seen) -> Value {
    let wanted = &seen.wanted;
    json!({
        "id": wanted.id.to_string(),
        "object": "backtest",
        "rule_id": wanted.rule_id.to_string(),
        "rule_version": wanted.rule_version,
        "program_id": wanted.program_id.to_string(),
        "status": seen.status.name(),
        "from": wanted.from.map(|date| date.to_string()),
        "to": wanted.to.map(|date| date.to_string()),
        "examples": wanted.examples_max,
        "progress": { "records_read": seen.read, "records": seen.of },
        "result": seen.result,
        "created_at": wanted.created_at.to_string(),
        "ended_at": seen.ended_at.map(|at| at.to_string()),
    })
}
