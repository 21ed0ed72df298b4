//! The control `three_ds` as JSON, both ways, and what a trace tells of 3-D Secure. What it means is in
//! `engine::three_ds`.

use super::error::ApiError;
use super::fields::{Fields, word};
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::three_ds::{Exemption, ThreeDsMode, ThreeDsPolicy};
use serde_json::{Value, json};

/// A word, or an object with the word as its `policy`.
pub fn take(controls: &mut Fields) -> Result<Option<ThreeDsPolicy>, ApiError> {
    let path = controls.path("three_ds");
    match controls.take("three_ds") {
        None => Ok(None),
        Some(Value::Object(map)) => policy(Fields::of(&path, Value::Object(map))?).map(Some),
        Some(value) => Ok(Some(ThreeDsPolicy {
            mode: word(&path, &value, ThreeDsMode::ALL)?,
            ..ThreeDsPolicy::default()
        })),
    }
}

fn policy(mut fields: Fields) -> Result<ThreeDsPolicy, ApiError> {
    let mode = fields.word("policy", ThreeDsMode::ALL)?;
    let mode = mode.ok_or_else(|| fields.missing("policy"))?;
    let above_minor = fields.integer("above", 0..=BALANCE_MAX_MINOR)?;
    let claimed = Exemption::ALL
        .iter()
        .filter(|(known, _)| *known != Exemption::None);
    let known: Vec<_> = claimed.copied().collect();
    let entries = fields.list("accepted_exemptions", known.len())?.into_iter();
    let accepted = entries.map(|(path, value)| word(&path, &value, &known));
    let mut accepted_exemptions = accepted.collect::<Result<Vec<_>, _>>()?;
    accepted_exemptions.sort_unstable();
    accepted_exemptions.dedup();
    for (name, is_given) in [
        ("above", above_minor.is_some()),
        ("accepted_exemptions", !accepted_exemptions.is_empty()),
    ] {
        if is_given && mode != ThreeDsMode::Required {
            let path = fields.path(name);
            let message = format!("{path} goes with the policy `required` only; leave it out");
            return Err(ApiError::invalid("value_unknown", path, message));
        }
    }
    fields.finish()?;
    Ok(ThreeDsPolicy {
        mode,
        above_minor,
        accepted_exemptions,
    })
}

/// The word alone where there is nothing else to say.
pub fn to_json(policy: &ThreeDsPolicy) -> Value {
    let mode = policy.mode.name();
    if policy.above_minor.is_none() && policy.accepted_exemptions.is_empty() {
        return mode.into();
    }
    let mut json = json!({ "policy": mode });
    if let Some(above_minor) = policy.above_minor {
        json["above"] = above_minor.into();
    }
    if !policy.accepted_exemptions.is_empty() {
        let names = policy.accepted_exemptions.iter();
        json["accepted_exemptions"] = names.map(|exemption| exemption.name()).collect();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Result<Option<ThreeDsPolicy>, String> {
        let mut controls = Fields::of("controls", json!({ "three_ds": json })).unwrap();
        take(&mut controls).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_policy_comes_back_in_its_shortest_form() {
        for (given, back) in [
            (json!("off"), json!("off")),
            (json!({"policy": "silent"}), json!("silent")),
            (json!({"policy": "required"}), json!("required")),
            (
                json!({"policy": "required", "above": 5_000}),
                json!({"policy": "required", "above": 5_000}),
            ),
            (
                json!({"policy": "required", "accepted_exemptions": ["transaction_risk_analysis", "low_value", "low_value"]}),
                json!({"policy": "required", "accepted_exemptions": ["low_value", "transaction_risk_analysis"]}),
            ),
        ] {
            let policy = read(given).unwrap().unwrap();
            assert_eq!(to_json(&policy), back);
            assert_eq!(read(back).unwrap(), Some(policy));
        }
        assert_eq!(read(Value::Null).unwrap(), None);
    }
}
