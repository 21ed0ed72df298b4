//! Backtests of rules over the interface: what they find, whose they are, and what is refused.

use super::harness::{Client, Disk, Options, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use super::waiting::wait_until;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const UNKNOWN: (u16, &str, &str, Option<&str>) = (404, "not_found", "backtest_not_found", None);

/// The backtest once it has ended.
fn ended(client: &Client, path: &str) -> Value {
    let read = || client.get(path).ok();
    let is_open = |seen: &Value| seen["status"] == "queued" || seen["status"] == "running";
    wait_until("the backtest ends", || !is_open(&read()));
    read()
}

fn rule(client: &Client, program: &str) -> String {
    let rule = json!({"program_id": program, "name": "large", "action": "decline", "expression": "amount > 500"});
    let id = client.post("/v1/rules", rule).created();
    format!("/v1/rules/{id}")
}

/// What a backtest of the rule finds.
fn found(client: &Client, rule: &str, body: Value) -> Value {
    let path = format!("{rule}/backtests");
    let id = client.post(&path, body).created();
    let seen = ended(client, &format!("{path}/{id}"));
    assert_eq!(seen["status"], "completed", "{seen}");
    let progress = &seen["progress"];
    assert_eq!(progress["records_read"], progress["records"], "{seen}");
    assert!(seen["ended_at"].is_string(), "{seen}");
    seen["result"].clone()
}

#[test]
fn a_rule_says_what_it_would_have_changed_in_its_program_and_days() {
    let (switch, now_ms) = Switch::start_with_clock();
    let client = switch.client();
    let pay = |card: &str, amount: i64| {
        let asked = json!({"card_id": card, "amount": amount, "currency": "USD"});
        client.post("/v1/simulate/authorizations", asked).created()
    };
    let [(own, card), (_, other)] = [(); 2].map(|()| {
        let (program, account) = client.program_and_account();
        let money = json!({"amount": 500_000, "currency": "USD", "method": "swift"});
        client
            .post(&format!("/v1/accounts/{account}/top_ups"), money)
            .created();
        (program, client.card(&account))
    });
    let first_day = client.get(&format!("/v1/cards/{card}")).ok()["created_at"].clone();
    let first_day = first_day.as_str().unwrap()[..10].to_owned();
    pay(&card, 100);
    let first = pay(&card, 600);
    pay(&card, 900);
    pay(&other, 900);
    now_ms.fetch_add(86_400_000, Ordering::Release);
    pay(&card, 700);
    pay(&other, 700);
    // What was declined anyway is not counted as new.
    pay(&card, 600_000);
    let rule = rule(&client, &own);
    let all = found(&client, &rule, json!({}));
    assert_eq!(all["decisions"], 5, "{all}");
    let declined = json!({"count": 3, "amounts": {"USD": 2_200}});
    assert_eq!(all["newly_declined"], declined, "{all}");
    assert_eq!(all["declined_anyway"], 1, "{all}");
    assert_eq!(all["reasons"], json!({"rule_declined": 3}));
    assert_eq!(all["evaluation_errors"]["count"], 0);
    let tried = all["tried"].as_str().unwrap();
    assert_eq!(
        tried,
        format!("decline when amount > 500 (in program {own})")
    );
    let examples = all["examples"].as_array().unwrap();
    let amounts: Vec<_> = examples.iter().map(|one| &one["amount"]).collect();
    assert_eq!(amounts, [600, 900, 700]);
    assert_eq!(examples[0]["authorization_id"], json!(first));
    assert_eq!(examples[0]["card_id"], json!(card));
    let one = found(&client, &rule, json!({"to": first_day, "examples": 1}));
    let counts = (&one["decisions"], &one["newly_declined"]["count"]);
    assert_eq!(counts, (&json!(3), &json!(2)));
    assert_eq!(one["examples"].as_array().unwrap().len(), 1);
    let none = found(&client, &rule, json!({"to": "2020-01-01", "examples": 0}));
    assert_eq!(none["decisions"], 0);
    let same = found(
        &client,
        &rule,
        json!({"from": first_day, "to": "9999-12-31"}),
    );
    assert_eq!(same["newly_declined"], declined);
    // An active rule is held against the past like a draft.
    client.post(&format!("{rule}/promote"), json!({})).ok();
    assert_eq!(found(&client, &rule, json!({}))["newly_declined"], declined);
}

#[test]
fn backtests_are_listed_with_their_rule_and_stay_what_they_came_to() {
    let switch = Switch::start();
    let client = switch.client();
    let program = client.program();
    let (own, other) = (rule(&client, &program), rule(&client, &program));
    let make = |rule: &str| {
        let path = format!("{rule}/backtests");
        client.post(&path, json!({})).created()
    };
    let (first, second) = (make(&own), make(&own));
    let elsewhere = make(&other);
    let listed = |query: &str| {
        let page = client.get(&format!("{own}/backtests{query}")).ok();
        let data = page["data"].as_array().unwrap().clone();
        let ids: Vec<_> = data.iter().map(|one| one["id"].clone()).collect();
        (ids, page["has_more"].clone())
    };
    assert_eq!(listed("").0, [json!(second), json!(first)]);
    assert_eq!(listed("?limit=1"), (vec![json!(second)], json!(true)));
    let rest = listed(&format!("?starting_after={second}"));
    assert_eq!(rest, (vec![json!(first)], json!(false)));
    let of_other = format!("{own}/backtests/{elsewhere}");
    assert_error(&client.get(&of_other), UNKNOWN, "of another rule");
    let cancel = client.post(&format!("{of_other}/cancel"), json!({}));
    assert_error(&cancel, UNKNOWN, "of another rule");
    let path = format!("{own}/backtests/{first}");
    let done = ended(&client, &path);
    let after = client.post(&format!("{path}/cancel"), json!({})).ok();
    assert_eq!((&after, &done["status"]), (&done, &json!("completed")));
}

#[test]
fn what_cannot_be_looked_at_is_refused() {
    let switch = Switch::start();
    let client = switch.client();
    let rule = rule(&client, &client.program());
    let path = format!("{rule}/backtests");
    for (body, code, param) in [
        (json!({"from": "2026-11-31"}), "date_invalid", "from"),
        (json!({"to": "yesterday"}), "date_invalid", "to"),
        (json!({"to": 7}), "type_invalid", "to"),
        (
            json!({"from": "2026-11-02", "to": "2026-11-01"}),
            "span_empty",
            "from",
        ),
        (json!({"examples": 101}), "number_invalid", "examples"),
        (json!({"examples": -1}), "number_invalid", "examples"),
        (json!({"rule": "x"}), "field_unknown", "rule"),
    ] {
        let refused = (400, "invalid_request", code, Some(param));
        assert_error(&client.post(&path, body), refused, param);
    }
    assert_eq!(client.get(&path).ok()["data"], json!([]));
    client.post(&format!("{rule}/retire"), json!({})).ok();
    let retired = (409, "conflict", "rule_retired", None);
    assert_error(&client.post(&path, json!({})), retired, "retired");
    let unknown = (404, "not_found", "rule_not_found", None);
    for id in ["rule_0000000000001", "x"] {
        let path = format!("/v1/rules/{id}/backtests");
        assert_error(&client.post(&path, json!({})), unknown, id);
        assert_error(&client.get(&path), unknown, id);
    }
    for id in ["bt_0000000000001", "x"] {
        assert_error(&client.get(&format!("{path}/{id}")), UNKNOWN, id);
    }
}

#[test]
fn a_key_sees_the_backtests_of_the_rules_that_it_sees() {
    let switch = Switch::start();
    let root = switch.client();
    let (own, account) = root.program_and_account();
    let other = root.program();
    let (rule, of_other) = (rule(&root, &own), rule(&root, &other));
    let key = |bounds: (&str, &str)| {
        let mut body = json!({"name": "b", "scopes": ["rules:read", "rules:draft"]});
        body[bounds.0] = json!([bounds.1]);
        with_key(&root, body)
    };
    let path = format!("{rule}/backtests");
    let id = root.post(&path, json!({})).created();
    let by_program = key(("program_ids", &own));
    by_program.get(&format!("{path}/{id}")).ok();
    by_program.post(&path, json!({})).created();
    let unseen = (404, "not_found", "rule_not_found", None);
    let elsewhere = format!("{of_other}/backtests");
    assert_error(&by_program.post(&elsewhere, json!({})), unseen, "other");
    for stranger in [key(("program_ids", &other)), key(("account_ids", &account))] {
        assert_error(&stranger.get(&path), unseen, "list");
        assert_error(&stranger.get(&format!("{path}/{id}")), unseen, "one");
        assert_error(&stranger.post(&path, json!({})), unseen, "create");
        let cancel = stranger.post(&format!("{path}/{id}/cancel"), json!({}));
        assert_error(&cancel, unseen, "cancel");
    }
    let reads = with_key(&root, json!({"name": "r", "scopes": ["rules:read"]}));
    let missing = (403, "permission", "scope_missing", Some("rules:draft"));
    assert_error(&reads.post(&path, json!({})), missing, "scope");
    reads.get(&path).ok();
}

#[test]
fn a_repeat_asks_for_no_second_one_and_a_restart_forgets_all() {
    let disk = Disk::new();
    let switch = Switch::start_on(disk.clone(), Options::default());
    let client = switch.client();
    let rule = rule(&client, &client.program());
    let path = format!("{rule}/backtests");
    let keyed = client.header("Idempotency-Key", "k");
    let first = keyed.post(&path, json!({"examples": 7}));
    let again = keyed.post(&path, json!({"examples": 7}));
    assert_eq!(first.created(), again.created());
    assert_eq!(client.get(&path).ok()["data"].as_array().unwrap().len(), 1);
    let one = format!("{path}/{}", first.created());
    assert_eq!(ended(&client, &one)["examples"], 7);
    drop(switch);
    let switch = Switch::start_on(disk, Options::default());
    let client = switch.client();
    assert_error(&client.get(&one), UNKNOWN, "after a restart");
    assert_eq!(client.get(&path).ok()["data"], json!([]));
    // Journalled answers stay.
    let keyed = client.header("Idempotency-Key", "k");
    let again = keyed.post(&path, json!({"examples": 7}));
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
}
