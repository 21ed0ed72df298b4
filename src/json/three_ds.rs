//! What a message says of 3-D Secure, and what a step of the trace says of it. Policies are in `api::three_ds_json`.

use super::trace::of_scope;
use crate::engine::three_ds::{Exemption, ThreeDs, ThreeDsMode, Told};
use serde_json::{Value, json};

/// What a step of the trace says; a policy of no scope is a risk rule's, or nobody's where it is `off`.
pub fn told(told: Option<Told>) -> Value {
    let Some(told) = told else {
        return json!({});
    };
    let mut json = said(&told.three_ds, told.initiated_by_merchant);
    json["policy"] = told.asked.mode.name().into();
    match (told.asked.scope, told.asked.mode) {
        (Some(scope), _) => return of_scope(scope, json),
        (None, ThreeDsMode::Off) => {}
        (None, _) => json["scope"] = "risk_rule".into(),
    }
    json
}

/// What a message says.
pub fn said(three_ds: &ThreeDs, initiated_by_merchant: bool) -> Value {
    let exemption = match three_ds.exemption {
        Exemption::None => None,
        claimed => Some(claimed.name()),
    };
    let initiator = match initiated_by_merchant {
        true => "merchant",
        false => "cardholder",
    };
    json!({
        "eci": three_ds.eci.map(|eci| format!("{eci:02}")),
        "authentication": three_ds.authentication.name(),
        "cryptogram": three_ds.cryptogram.name(),
        "exemption": exemption,
        "initiated_by": initiator,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scope::Scope;
    use crate::engine::three_ds::{Asked, Authentication, Cryptogram};

    #[test]
    fn the_trace_says_whose_policy_it_was() {
        let of = |scope, mode| {
            told(Some(Told {
                three_ds: ThreeDs {
                    eci: Some(5),
                    authentication: Authentication::Authenticated,
                    cryptogram: Cryptogram::Valid,
                    exemption: Exemption::LowValue,
                },
                initiated_by_merchant: false,
                asked: Asked { mode, scope },
            }))
        };
        let expected = json!({
            "eci": "05", "authentication": "authenticated", "cryptogram": "valid",
            "exemption": "low_value", "initiated_by": "cardholder", "policy": "required",
            "scope": "parent_account", "levels_above": 1,
        });
        assert_eq!(of(Some(Scope::Above1), ThreeDsMode::Required), expected);
        let by_rule = of(None, ThreeDsMode::Required);
        assert_eq!(by_rule["scope"], "risk_rule");
        assert_eq!(of(None, ThreeDsMode::Off).get("scope"), None);
    }
}
