//! What may be set on an account beside its controls: credit line, low balance, auto top-up. As fields and as JSON.

use super::ApiState;
use super::auth::Caller;
use super::bounds::{About, unseen, whereabouts};
use super::error::ApiError;
use super::fields::Fields;
use crate::engine::api_keys::Scope;
use crate::engine::ids::AccountId;
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::state::Account;
use crate::engine::watch::{AutoTopUpRule, ChangeAccount, PER_DAY_MAX};
use serde_json::{Value, json};
use std::sync::Arc;

/// Takes `credit_line`, `low_balance` and `auto_top_up`.
pub fn take(fields: &mut Fields, account_id: AccountId) -> Result<ChangeAccount, ApiError> {
    let mut change = ChangeAccount::nothing(account_id);
    change.credit_line_minor = fields.integer("credit_line", 0..=BALANCE_MAX_MINOR)?;
    if let Some(mut low) = fields.object("low_balance")? {
        let below = low.integer("below", -BALANCE_MAX_MINOR..=BALANCE_MAX_MINOR)?;
        low.finish()?;
        change.low_below_minor = Some(below);
    }
    if let Some(rule) = fields.object("auto_top_up")? {
        change.auto_top_up = Some(take_rule(rule)?);
    }
    Ok(change)
}

/// An empty one is none.
fn take_rule(mut rule: Fields) -> Result<Option<AutoTopUpRule>, ApiError> {
    if rule.is_empty() {
        return Ok(None);
    }
    let below = rule.integer("below", -BALANCE_MAX_MINOR..=BALANCE_MAX_MINOR)?;
    let amount = rule.integer("amount", 1..=BALANCE_MAX_MINOR)?;
    let per_day = rule.integer("per_day", 1..=i64::from(PER_DAY_MAX))?;
    let taken = AutoTopUpRule {
        below_minor: below.ok_or_else(|| rule.missing("below"))?,
        amount_minor: amount.ok_or_else(|| rule.missing("amount"))?,
        // In range, so it fits.
        per_day_max: per_day.ok_or_else(|| rule.missing("per_day"))? as u16,
        from_account_id: rule.id("from_account_id", AccountId::PREFIX)?,
    };
    rule.finish()?;
    Ok(Some(taken))
}

/// A larger credit line is like a looser limit. True where it is larger.
pub fn may_raise(
    caller: &Caller,
    change: &ChangeAccount,
    before_minor: i64,
) -> Result<bool, ApiError> {
    match change.credit_line_minor {
        Some(line_minor) if line_minor > before_minor => {
            caller.require(Scope::LimitsRaise).map(|()| true)
        }
        _ => Ok(false),
    }
}

/// A rule moves money: another one than before needs what a transfer needs, and a source that the key sees, named or not.
pub async fn check_rule(
    state: &Arc<ApiState>,
    caller: &Caller,
    change: &ChangeAccount,
    parent_id: Option<AccountId>,
    before: Option<&AutoTopUpRule>,
) -> Result<(), ApiError> {
    let Some(Some(rule)) = &change.auto_top_up else {
        return Ok(());
    };
    if before == Some(rule) {
        return Ok(());
    }
    caller.require(Scope::FundsTransfer)?;
    let (Some(bounds), Some(source)) = (caller.bounds(), rule.from_account_id.or(parent_id)) else {
        return Ok(());
    };
    match whereabouts(state, About::Account, &source.to_string()).await? {
        Some(place) if place.is_within(bounds) => Ok(()),
        _ => Err(unseen(About::Account).with_param("auto_top_up.from_account_id")),
    }
}

pub fn rule_of(account: &Account) -> Option<&AutoTopUpRule> {
    account.watch.as_deref()?.auto_top_up.as_ref()
}

pub fn rule_json(rule: &AutoTopUpRule) -> Value {
    json!({
        "below": rule.below_minor,
        "amount": rule.amount_minor,
        "per_day": rule.per_day_max,
        "from_account_id": rule.from_account_id.map(|id| id.to_string()),
    })
}

pub fn low_json(account: &Account) -> Option<Value> {
    let watch = account.watch.as_deref()?;
    let below = watch.low_below_minor?;
    Some(json!({ "below": below, "is_low": watch.is_low }))
}
