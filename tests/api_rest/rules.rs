//! Risk rules: made, listed, moved from state to state, and refused where they are wrong.

use super::harness::{Client, Switch};
use super::keys::with_key;
use serde_json::{Value, json};

fn rule(client: &Client, program_id: &str, name: &str) -> Value {
    let body = json!({"program_id": program_id, "name": name, "action": "decline",
                      "expression": "amount > 10000 && channel == 'ecommerce'"});
    let made = client.post("/v1/rules", body);
    made.created();
    made.json()
}

#[test]
fn a_rule_begins_as_a_draft_and_is_read_back_at_once() {
    let switch = Switch::start();
    let client = switch.client();
    let program_id = client.program();
    let made = rule(&client, &program_id, "large");
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("rule_"));
    assert_eq!(client.get(&format!("/v1/rules/{id}")).ok(), made);
    for (field, value) in [
        ("object", json!("rule")),
        ("program_id", json!(program_id)),
        ("name", json!("large")),
        (
            "expression",
            json!("amount > 10000 && channel == 'ecommerce'"),
        ),
        ("action", json!("decline")),
        ("state", json!("draft")),
        ("version", json!(1)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    let active = json!({"program_id": program_id, "name": "flagged", "action": "flag", "state": "active",
                        "expression": "declines_last_hour >= 3"});
    let active = client.post("/v1/rules", active);
    active.created();
    assert_eq!(active.json()["state"], "active");
    // Who may draft only puts nothing into force.
    let drafts = with_key(&client, json!({"name": "d", "scopes": ["rules:draft"]}));
    let rule = |state: &str| json!({"program_id": program_id, "name": "all", "action": "decline", "expression": "true", "state": state});
    drafts.post("/v1/rules", rule("draft")).created();
    let (status, _, code, param) = drafts.post("/v1/rules", rule("active")).error();
    assert_eq!(
        (status, &*code, param.as_deref()),
        (403, "scope_missing", Some("rules:promote"))
    );
}

#[test]
fn a_rule_moves_from_state_to_state_until_it_is_retired() {
    let switch = Switch::start();
    let client = switch.client();
    let made = rule(&client, &client.program(), "large");
    let id = made["id"].as_str().unwrap();
    let moved = |to: &str| client.post(&format!("/v1/rules/{id}/{to}"), json!({}));
    for (to, state, version) in [
        ("promote", "active", 2),
        ("promote", "active", 2),
        ("demote", "draft", 3),
        ("promote", "active", 4),
        ("retire", "retired", 5),
        ("retire", "retired", 5),
    ] {
        let rule = moved(to).ok();
        assert_eq!(
            (&rule["state"], &rule["version"]),
            (&json!(state), &json!(version)),
            "{to}"
        );
    }
    for to in ["promote", "demote"] {
        let (status, _, code, _) = moved(to).error();
        assert_eq!((status, code.as_str()), (409, "rule_retired"));
    }
}

#[test]
fn lists_are_newest_first_by_program_and_state_in_pages() {
    let switch = Switch::start();
    let client = switch.client();
    let (one, other) = (client.program(), client.program());
    for (program_id, name) in [(&one, "a"), (&other, "b"), (&one, "c"), (&one, "d")] {
        rule(&client, program_id, name);
    }
    let names = |query: &str| {
        let page = client.get(&format!("/v1/rules{query}")).ok();
        let names = page["data"].as_array().unwrap().iter();
        let names: Vec<_> = names
            .map(|rule| rule["name"].as_str().unwrap().to_owned())
            .collect();
        (names.concat(), page["has_more"].as_bool().unwrap(), page)
    };
    assert_eq!(names("").0, "dcba");
    let (first, more, page) = names(&format!("?program_id={one}&limit=2"));
    assert_eq!((first.as_str(), more), ("dc", true));
    let last = page["data"][1]["id"].as_str().unwrap();
    let (second, more, _) = names(&format!("?program_id={one}&limit=2&starting_after={last}"));
    assert_eq!((second.as_str(), more), ("a", false));
    client
        .post(&format!("/v1/rules/{last}/promote"), json!({}))
        .ok();
    assert_eq!(names("?state=active").0, "c");
    assert_eq!(names("?state=draft").0, "dba");
}

#[test]
fn what_is_wrong_with_a_rule_is_told_at_its_field_and_column() {
    let switch = Switch::start();
    let client = switch.client();
    let right = json!({"program_id": client.program(), "name": "large", "action": "decline", "expression": "amount > 1"});
    for (field, value, code, message) in [
        (
            "program_id",
            json!(null),
            "field_missing",
            "program_id is required",
        ),
        (
            "program_id",
            json!("prog_0000000000001"),
            "program_not_found",
            "program prog_0000000000001 does not exist",
        ),
        ("name", json!(null), "field_missing", "name is required"),
        ("action", json!(null), "field_missing", "action is required"),
        (
            "action",
            json!("refer"),
            "value_unknown",
            "action must be one of: decline, flag, require_three_ds",
        ),
        (
            "state",
            json!("retired"),
            "value_unknown",
            "state must be one of: draft, active",
        ),
        (
            "expression",
            json!(null),
            "field_missing",
            "expression is required",
        ),
        (
            "expression",
            json!(5),
            "type_invalid",
            "expression must be text",
        ),
        (
            "expression",
            json!("amount > 5 && amout < 7"),
            "rule_invalid",
            "column 15: there is no fact `amout`",
        ),
        (
            "expression",
            json!("amount >"),
            "rule_invalid",
            "column 9: the expression ends",
        ),
        (
            "expression",
            json!("mcc == 5411"),
            "rule_invalid",
            "column 5: `==` does not take string and int",
        ),
        (
            "expression",
            json!("[1].all(x, x > amount)"),
            "rule_invalid",
            "column 5: `all` is not allowed",
        ),
        (
            "expression",
            json!("true || ".repeat(200)),
            "rule_invalid",
            "column 1001: an expression may have 1000 bytes",
        ),
        (
            "expression",
            json!("true || ".repeat(2_000)),
            "rule_invalid",
            "column 1001: an expression may have 1000 bytes",
        ),
        (
            "expression",
            json!(""),
            "text_invalid",
            "expression must have 1 to 1000 bytes",
        ),
        (
            "colour",
            json!("red"),
            "field_unknown",
            "colour is not a field here",
        ),
    ] {
        let mut body = right.clone();
        body[field] = value;
        let answer = client.post("/v1/rules", body);
        let (status, _, found, param) = answer.error();
        assert_eq!(
            (status, found.as_str(), param.as_deref()),
            (400, code, Some(field)),
            "{}",
            answer.text
        );
        let told = answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(told.starts_with(message), "{told}");
    }
    for (method, path) in [
        ("GET", "/v1/rules/rule_0000000000001"),
        ("GET", "/v1/rules/x"),
        ("POST", "/v1/rules/rule_0000000000001/promote"),
    ] {
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        let (status, _, code, _) = client.send(method, path, body).error();
        assert_eq!((status, code.as_str()), (404, "rule_not_found"), "{path}");
    }
}

#[test]
fn a_program_has_no_more_rules_than_are_evaluated_quickly() {
    let switch = Switch::start();
    let client = switch.client();
    let program_id = client.program();
    let mut first = None;
    for number in 0..32 {
        let made = rule(&client, &program_id, &number.to_string());
        first.get_or_insert(made["id"].as_str().unwrap().to_owned());
    }
    let body = json!({"program_id": program_id, "name": "one more", "action": "flag", "expression": "true"});
    let (status, _, code, _) = client.post("/v1/rules", body.clone()).error();
    assert_eq!((status, code.as_str()), (409, "too_many_rules"));
    client
        .post(&format!("/v1/rules/{}/retire", first.unwrap()), json!({}))
        .ok();
    client.post("/v1/rules", body).created();
}

#[test]
fn a_repeat_under_the_same_key_makes_no_second_rule() {
    let switch = Switch::start();
    let client = switch.client();
    let body = json!({"program_id": client.program(), "name": "large", "action": "flag", "expression": "true"});
    let with_key = client.header("Idempotency-Key", "one-rule");
    let first = with_key.post("/v1/rules", body.clone());
    let again = with_key.post("/v1/rules", body);
    assert_eq!(first.created(), again.created());
    assert_eq!(
        client.get("/v1/rules").ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
