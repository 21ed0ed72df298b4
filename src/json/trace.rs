//! The trace of a decision as JSON: every check, its result, and the numbers that it compared.

use super::text::{clock_text, mcc_text};
use super::three_ds;
use crate::engine::facts::{Channel, Country, EntryMode};
use crate::engine::ids::LinkId;
use crate::engine::money::Currency;
use crate::engine::rules::risk_rules::RuleOutcome;
use crate::engine::scope::{Owner, Scope};
use crate::engine::three_ds::Told;
use crate::engine::time::Expiry;
use crate::engine::trace::{Detail, Step, Trace};
use crate::engine::window::WindowEnd;
use serde_json::{Value, json};

/// All that there is, with links by number.
pub fn to_json(trace: &Trace) -> Vec<Value> {
    let names = OwnerNames {
        link: &|_| None,
        levels_above: OwnerNames::ALL_LEVELS,
    };
    to_json_with_names(trace, &names)
}

/// How the owners of controls are called outside.
pub struct OwnerNames<'a> {
    /// A link's type and id; nothing where they are not known.
    pub link: &'a dyn Fn(LinkId) -> Option<Value>,
    /// How far above the card's an account is named at most.
    pub levels_above: usize,
}

impl OwnerNames<'_> {
    pub const ALL_LEVELS: usize = Scope::ABOVE.len();
    /// Whoever sees the card knows its account, and that one's `parent_id`.
    pub const LEVELS_OF_CARD: usize = 1;
}

pub fn to_json_with_names(trace: &Trace, names: &OwnerNames) -> Vec<Value> {
    let step = |step: crate::engine::trace::TraceStep| {
        let link = match step.detail {
            Detail::Link { link_id } => (names.link)(link_id),
            _ => None,
        };
        let mut detail = match link {
            Some(link) => json!({ "link": link }),
            // Whose it is says the owner, who is not named to everybody.
            None if step.owner.is_some() && is_account(step.detail) => json!({}),
            None => detail_to_json(step.step, step.detail),
        };
        if let Some(owner) = step.owner {
            detail = with_owner(owner, detail, names);
        }
        json!({
            "step": step.step.name(),
            "result": step.result.name(),
            "detail": detail,
        })
    };
    trace.steps().map(step).collect()
}

fn is_account(detail: Detail) -> bool {
    matches!(detail, Detail::Account { .. })
}

fn detail_to_json(step: Step, detail: Detail) -> Value {
    match detail {
        Detail::Balance {
            available_minor,
            requested_minor,
        } => json!({ "available": available_minor, "requested": requested_minor }),
        Detail::LimitAmount { .. } | Detail::LimitCount { .. } => of_limit(detail),
        Detail::List {
            scope,
            control_id,
            value,
        } => {
            let name = match step {
                Step::Merchant => "entry",
                Step::TimeWindow => "local_time",
                _ => "value",
            };
            let control_id = control_id.to_string();
            let of_list = json!({ "control_id": control_id, name: listed(step, value) });
            of_scope(scope, of_list)
        }
        Detail::Expiry { card, message } => {
            json!({ "card": month(card), "message": month(message) })
        }
        Detail::Assumed { value } => json!({ "assumed": listed(step, value) }),
        Detail::HomeCountry { home, country } => {
            json!({ "home_country": listed(Step::Country, home.into()), "value": listed(step, country.into()) })
        }
        Detail::Exception { exception_id } => json!({ "exception_id": exception_id.to_string() }),
        Detail::Capacity { open, allowed } => json!({ "open": open, "allowed": allowed }),
        Detail::RiskRule {
            rule_id,
            version,
            outcome,
        } => of_rule(
            json!({ "rule_id": rule_id.to_string(), "version": version }),
            outcome,
        ),
        Detail::ThreeDs {
            eci,
            authentication,
            exemption,
            policy,
        } => three_ds::told(Told::of(eci, authentication, exemption, policy)),
        Detail::Link { link_id } => json!({ "link_id": link_id.to_string() }),
        Detail::Account { account_id } => json!({ "account_id": account_id.to_string() }),
        Detail::NoRate { from, to } => {
            json!({ "rate_from": Currency(from).alpha(), "rate_to": Currency(to).alpha() })
        }
        Detail::LockedTo { id, acquirer_id } => {
            let locked_to = (!id.is_empty()).then(|| locked_to(&id, &acquirer_id));
            json!({ "locked_to": locked_to })
        }
        Detail::UsedBy { authorization_id } => json!({ "used_by": authorization_id.to_string() }),
        Detail::Tries {
            failed,
            allowed,
            resets,
        } => json!({ "failed": failed, "allowed": allowed, "resets_at": resets_at(resets) }),
        Detail::Mismatch {
            card,
            message,
            cvv,
            pin,
            cryptogram,
        } => of_mismatch((card, message), [cvv, pin, cryptogram]),
        Detail::None => json!({}),
    }
}

fn of_mismatch((card, message): (u16, u16), unmatched: [bool; 3]) -> Value {
    let mut told = match (card, message) {
        (0, 0) => json!({}),
        _ => json!({ "card": month(card), "message": month(message) }),
    };
    for (name, _) in ["cvv", "pin", "cryptogram"]
        .into_iter()
        .zip(unmatched)
        .filter(|(_, unmatched)| *unmatched)
    {
        told[name] = "mismatch".into();
    }
    told
}

/// The merchant that a card is locked to.
pub fn locked_to(id: &str, acquirer_id: &str) -> Value {
    let acquirer_id = Some(acquirer_id).filter(|id| !id.is_empty());
    json!({ "id": id, "acquirer_id": acquirer_id })
}

/// Says whose controls it was by: the scope, and which link or account.
pub fn with_owner(owner: Owner, detail: Value, names: &OwnerNames) -> Value {
    let mut detail = of_scope(owner.scope, detail);
    if let Some(id) = owner.link_id() {
        match (names.link)(id) {
            Some(link) => detail["link"] = link,
            None => detail["link_id"] = id.to_string().into(),
        }
    }
    let is_named = owner.scope.levels_above() <= names.levels_above;
    if let Some(id) = owner.account_id().filter(|_| is_named) {
        detail["account_id"] = id.to_string().into();
    }
    detail
}

fn of_limit(detail: Detail) -> Value {
    match detail {
        Detail::LimitAmount {
            scope,
            limit_id,
            allowed_minor,
            used_minor,
            requested_minor,
            resets,
        } => of_scope(
            scope,
            json!({
                "limit_id": limit_id.to_string(),
                "unit": "amount",
                "allowed": allowed_minor,
                "used": used_minor,
                "requested": requested_minor,
                "left": allowed_minor.saturating_sub(used_minor).max(0),
                "resets_at": resets_at(resets),
            }),
        ),
        Detail::LimitCount {
            scope,
            limit_id,
            allowed,
            used,
            resets,
        } => of_scope(
            scope,
            json!({
                "limit_id": limit_id.to_string(),
                "unit": "count",
                "allowed": allowed,
                "used": used,
                "requested": 1,
                "left": allowed.saturating_sub(used),
                "resets_at": resets_at(resets),
            }),
        ),
        _ => json!({}),
    }
}

/// Says how the evaluation of a rule went, and what its match does or, in shadow, would have done.
fn of_rule(mut detail: Value, bits: u8) -> Value {
    if let Some(outcome) = RuleOutcome::from_bits(bits) {
        let word = if outcome.failed { "failed" } else { "matched" };
        detail["outcome"] = word.into();
        detail["action"] = outcome.action.name().into();
        detail["in_shadow"] = outcome.in_shadow.into();
    }
    detail
}

/// Says whose limit or list it is; for an account above the card's, how far.
pub fn of_scope(scope: Scope, mut detail: Value) -> Value {
    detail["scope"] = scope.name().into();
    if scope.levels_above() > 0 {
        detail["levels_above"] = scope.levels_above().into();
    }
    detail
}

fn resets_at(resets: WindowEnd) -> Option<String> {
    resets.resets_at().map(|at| at.to_string())
}

/// What was looked up in a list, as the list names it; nothing where the message does not state it.
fn listed(step: Step, value: u32) -> Value {
    let short = u16::try_from(value).unwrap_or_default();
    match step {
        Step::Mcc if short == 0 => Value::Null,
        Step::Country if short.to_be_bytes() == Country::UNKNOWN.0 => Value::Null,
        Step::Mcc => mcc_text(short).into(),
        Step::Country => Country(short.to_be_bytes()).alpha2().into(),
        Step::Currency => Currency(short).alpha().into(),
        Step::Channel => named(Channel::ALL, short),
        Step::EntryMode => named(EntryMode::ALL, short),
        // Which entry names the merchant, from 0 as in the list; nothing where none does.
        Step::Merchant => value.checked_sub(1).into(),
        Step::TimeWindow => clock_text(short).into(),
        _ => value.into(),
    }
}

/// The first of each list is what the message does not state.
fn named<T>(all: &[(T, &'static str)], place: u16) -> Value {
    match place {
        0 => Value::Null,
        place => all.get(usize::from(place)).map(|(_, name)| *name).into(),
    }
}

/// A month since 2000-01, as in `2029-12`.
fn month(months: u16) -> String {
    let expiry = Expiry(months);
    format!("{:04}-{:02}", expiry.year(), expiry.month())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ids::{
        AccountId, AuthorizationId, ControlId, ExceptionId, LimitId, RiskRuleId,
    };
    use crate::engine::risk::rule::RuleAction;
    use crate::engine::trace::StepResult;
    use arrayvec::ArrayString;

    #[test]
    fn what_failed_says_by_whose_controls_it_was() {
        let of = |owner, detail| {
            let mut trace = Trace::default();
            trace.push_of(Step::Mcc, StepResult::Fail, Some(owner), detail);
            trace
        };
        let list = |scope| Detail::List {
            scope,
            control_id: ControlId(1),
            value: 742,
        };
        let name_of =
            |id: LinkId| (id == LinkId(7)).then(|| json!({"type": "project", "id": "p1"}));
        let names = OwnerNames {
            link: &name_of,
            levels_above: OwnerNames::LEVELS_OF_CARD,
        };
        let detail = |trace: &Trace| to_json_with_names(trace, &names)[0]["detail"].clone();
        let by_link = of(Owner::link(LinkId(7)), list(Scope::Link));
        assert_eq!(
            detail(&by_link),
            json!({"control_id": "ctl_0000000000001", "value": "0742", "scope": "link",
                   "link": {"type": "project", "id": "p1"}})
        );
        assert_eq!(
            to_json(&by_link)[0]["detail"]["link_id"],
            "link_0000000000007"
        );
        for (scope, is_told) in [
            (Scope::Account, true),
            (Scope::Above1, true),
            (Scope::Above2, false),
        ] {
            let trace = of(Owner::account(scope, AccountId(9)), list(scope));
            let named = detail(&trace)["account_id"] == "acct_0000000000009";
            assert_eq!(named, is_told, "{scope:?}");
            assert_eq!(
                to_json(&trace)[0]["detail"]["account_id"],
                "acct_0000000000009"
            );
            let account_id = AccountId(9);
            let status = of(
                Owner::account(scope, account_id),
                Detail::Account { account_id },
            );
            let named = detail(&status)["account_id"] == "acct_0000000000009";
            assert_eq!(named, is_told, "status, {scope:?}");
        }
        let locked = Detail::LockedTo {
            id: ArrayString::from("M1").unwrap(),
            acquirer_id: ArrayString::new(),
        };
        assert_eq!(
            detail(&of(Owner::CARD, locked)),
            json!({"locked_to": {"id": "M1", "acquirer_id": null}, "scope": "card"})
        );
        let unlocked = Detail::LockedTo {
            id: ArrayString::new(),
            acquirer_id: ArrayString::new(),
        };
        assert_eq!(
            detail(&of(Owner::PROGRAM, unlocked)),
            json!({"locked_to": null, "scope": "program"})
        );
        let authorization_id = AuthorizationId(3);
        assert_eq!(
            detail(&of(Owner::CARD, Detail::UsedBy { authorization_id })),
            json!({"used_by": "auth_0000000000003", "scope": "card"})
        );
    }

    #[test]
    fn every_detail_says_its_numbers() {
        let (limit_id, scope) = (LimitId(1), Scope::Card);
        let cases = [
            (Step::Message, Detail::None, json!({})),
            (
                Step::Balance,
                Detail::Balance {
                    available_minor: 500,
                    requested_minor: 1200,
                },
                json!({"available": 500, "requested": 1200}),
            ),
            (
                Step::Limits,
                Detail::LimitAmount {
                    scope,
                    limit_id,
                    allowed_minor: 1000,
                    used_minor: 800,
                    requested_minor: 300,
                    resets: WindowEnd(29_000_000),
                },
                json!({"limit_id": "lim_0000000000001", "scope": "card", "unit": "amount", "allowed": 1000,
                       "used": 800, "requested": 300, "left": 200, "resets_at": "2025-02-19T21:20:00.000Z"}),
            ),
            (
                Step::Limits,
                Detail::LimitCount {
                    scope,
                    limit_id,
                    allowed: 3,
                    used: 3,
                    resets: WindowEnd::NEVER,
                },
                json!({"limit_id": "lim_0000000000001", "scope": "card", "unit": "count", "allowed": 3,
                       "used": 3, "requested": 1, "left": 0, "resets_at": null}),
            ),
            (
                Step::Country,
                Detail::List {
                    scope: Scope::Program,
                    control_id: ControlId(1),
                    value: u32::from(u16::from_be_bytes(*b"DE")),
                },
                json!({"control_id": "ctl_0000000000001", "scope": "program", "value": "DE"}),
            ),
            (
                Step::Mcc,
                Detail::List {
                    scope: Scope::Above2,
                    control_id: ControlId(1),
                    value: 742,
                },
                json!({"control_id": "ctl_0000000000001", "scope": "parent_account", "levels_above": 2,
                       "value": "0742"}),
            ),
            (
                Step::Mcc,
                Detail::List {
                    scope,
                    control_id: ControlId(1),
                    value: 0,
                },
                json!({"control_id": "ctl_0000000000001", "scope": "card", "value": null}),
            ),
            (
                Step::Country,
                Detail::List {
                    scope,
                    control_id: ControlId(1),
                    value: u32::from(u16::from_be_bytes(Country::UNKNOWN.0)),
                },
                json!({"control_id": "ctl_0000000000001", "scope": "card", "value": null}),
            ),
            (
                Step::Channel,
                Detail::List {
                    scope,
                    control_id: ControlId(1),
                    value: Channel::Atm as u32,
                },
                json!({"control_id": "ctl_0000000000001", "scope": "card", "value": "atm"}),
            ),
            (
                Step::EntryMode,
                Detail::List {
                    scope,
                    control_id: ControlId(1),
                    value: EntryMode::Unknown as u32,
                },
                json!({"control_id": "ctl_0000000000001", "scope": "card", "value": null}),
            ),
            (
                Step::Merchant,
                Detail::List {
                    scope,
                    control_id: ControlId(1),
                    value: 3,
                },
                json!({"control_id": "ctl_0000000000001", "scope": "card", "entry": 2}),
            ),
            (
                Step::Merchant,
                Detail::List {
                    scope,
                    control_id: ControlId(1),
                    value: 0,
                },
                json!({"control_id": "ctl_0000000000001", "scope": "card", "entry": null}),
            ),
            (
                Step::TimeWindow,
                Detail::List {
                    scope,
                    control_id: ControlId(1),
                    value: 6 * 1_440 + 7 * 60 + 5,
                },
                json!({"control_id": "ctl_0000000000001", "scope": "card", "local_time": "sun 07:05"}),
            ),
            (
                Step::Mcc,
                Detail::Exception {
                    exception_id: ExceptionId(1),
                },
                json!({"exception_id": "exc_0000000000001"}),
            ),
            (
                Step::AccountStatus,
                Detail::Account {
                    account_id: AccountId(1),
                },
                json!({"account_id": "acct_0000000000001"}),
            ),
            (
                Step::CardStatus,
                Detail::Link { link_id: LinkId(1) },
                json!({"link_id": "link_0000000000001"}),
            ),
            (
                Step::Currency,
                Detail::NoRate { from: 392, to: 978 },
                json!({"rate_from": "JPY", "rate_to": "EUR"}),
            ),
            (
                Step::Currency,
                Detail::Assumed { value: 840 },
                json!({"assumed": "USD"}),
            ),
            (
                Step::Verification,
                Detail::Expiry {
                    card: 359,
                    message: 348,
                },
                json!({"card": "2029-12", "message": "2029-01"}),
            ),
            (
                Step::Verification,
                Detail::Mismatch {
                    card: 359,
                    message: 348,
                    cvv: true,
                    pin: false,
                    cryptogram: true,
                },
                json!({"card": "2029-12", "message": "2029-01", "cvv": "mismatch", "cryptogram": "mismatch"}),
            ),
            (
                Step::Verification,
                Detail::Mismatch {
                    card: 0,
                    message: 0,
                    cvv: false,
                    pin: true,
                    cryptogram: false,
                },
                json!({"pin": "mismatch"}),
            ),
            (
                Step::Verification,
                Detail::Tries {
                    failed: 10,
                    allowed: 10,
                    resets: WindowEnd(29_766_240),
                },
                json!({"failed": 10, "allowed": 10, "resets_at": "2026-08-06T00:00:00.000Z"}),
            ),
            (
                Step::RiskRules,
                Detail::RiskRule {
                    rule_id: RiskRuleId(1),
                    version: 3,
                    outcome: RuleOutcome {
                        action: RuleAction::RequireThreeDs,
                        failed: false,
                        in_shadow: true,
                    }
                    .bits(),
                },
                json!({"rule_id": "rule_0000000000001", "version": 3, "outcome": "matched",
                       "action": "require_three_ds", "in_shadow": true}),
            ),
            (
                Step::Reserve,
                Detail::Capacity {
                    open: 5,
                    allowed: 5,
                },
                json!({"open": 5, "allowed": 5}),
            ),
        ];
        for (step, detail, expected) in cases {
            let mut trace = Trace::default();
            trace.push(step, StepResult::Pass, detail);
            let step = json!({"step": step.name(), "result": "pass", "detail": expected});
            assert_eq!(to_json(&trace), [step]);
        }
    }
}
