//! `hold_expiry` of a program as JSON, both ways. What it means is in `engine::hold_expiry`.

use super::controls_json;
use super::error::ApiError;
use super::fields::{self, Fields};
use crate::engine::facts::Kind;
use crate::engine::hold_expiry::{HOLD_HOURS_MAX, HoldExpiry, HoldExpiryRule};
use crate::json::text::mcc_text;
use serde_json::{Value, json};

const RULES_MAX: usize = 50;
/// Merchant categories of one rule.
const MCC_MAX: usize = 1_000;

/// Takes the `hold_expiry` of an object; an absent one says nothing.
pub fn take(fields: &mut Fields) -> Result<HoldExpiry, ApiError> {
    let Some(mut expiry) = fields.object("hold_expiry")? else {
        return Ok(HoldExpiry::default());
    };
    let hours = hours(&mut expiry)?;
    let rules = expiry.list("rules", RULES_MAX)?.into_iter();
    let rules = rules.map(|(path, value)| rule(Fields::of(&path, value)?));
    let rules = rules.collect::<Result<_, _>>()?;
    expiry.finish()?;
    Ok(HoldExpiry { hours, rules })
}

fn hours(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let hours = fields.integer("hours", 1..=i64::from(HOLD_HOURS_MAX))?;
    // In range, so it fits.
    Ok(hours.map(|hours| hours as u32))
}

fn rule(mut fields: Fields) -> Result<HoldExpiryRule, ApiError> {
    let kinds = fields.list("kinds", Kind::ALL.len())?.into_iter();
    let kinds = kinds.map(|(path, value)| fields::word(&path, &value, Kind::ALL));
    let mcc = fields.list("mcc", MCC_MAX)?.into_iter();
    let mcc = mcc.map(|(path, value)| controls_json::mcc(&path, value));
    let rule = HoldExpiryRule {
        kinds: kinds.collect::<Result<_, _>>()?,
        mcc: mcc.collect::<Result<_, _>>()?,
        hours: hours(&mut fields)?.ok_or_else(|| fields.missing("hours"))?,
    };
    fields.finish()?;
    Ok(rule)
}

/// Nothing where the program says nothing.
pub fn to_json(expiry: &HoldExpiry) -> Value {
    if *expiry == HoldExpiry::default() {
        return Value::Null;
    }
    let rule = |rule: &HoldExpiryRule| {
        let kinds: Vec<&str> = rule.kinds.iter().map(|kind| kind.name()).collect();
        let mcc: Vec<String> = rule.mcc.iter().map(|mcc| mcc_text(*mcc)).collect();
        json!({ "kinds": kinds, "mcc": mcc, "hours": rule.hours })
    };
    let rules: Vec<Value> = expiry.rules.iter().map(rule).collect();
    json!({ "hours": expiry.hours, "rules": rules })
}
