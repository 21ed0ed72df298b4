//! Whatever a body holds, the answer is a success or a refusal in our form, never a failure of ours.

use super::harness::{Client, Switch};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

/// Names that some route knows, so that random objects get past the first check.
const NAMES: &[&str] = &[
    "name",
    "network",
    "bin",
    "currency",
    "controls",
    "program_id",
    "parent_id",
    "account_id",
    "type",
    "funding",
    "links",
    "amount",
    "method",
    "external_reference",
    "reason",
    "limits",
    "window",
    "count",
    "time_zone",
    "filter",
    "mcc",
    "countries",
    "currencies",
    "allow",
    "block",
    "id",
    "three_ds",
    "merchants",
    "surprise",
];

fn leaf(ids: Vec<String>) -> impl Strategy<Value = Value> {
    let words = [
        "visa",
        "411111",
        "USD",
        "USDT",
        "virtual",
        "own",
        "day",
        "rolling",
        "UTC",
        "Europe/Berlin",
        "7311",
        "DE",
        "swift",
        "lim_0000000000001",
        "ctl_0000000000001",
        "",
    ];
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string())
        .chain(ids)
        .collect();
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..2_000i64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(words).prop_map(Value::from),
    ]
}

fn body(ids: Vec<String>) -> impl Strategy<Value = Value> {
    leaf(ids).prop_recursive(5, 48, 8, |inner| {
        let entry = (prop::sample::select(NAMES), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(entry, 0..8).prop_map(|entries| {
                let entries = entries
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(entries.collect::<Map<_, _>>())
            }),
        ]
    })
}

/// A right body with one field replaced.
fn nearly_right(ids: &[String]) -> impl Strategy<Value = Value> + use<> {
    let (program_id, account_id) = (ids[0].clone(), ids[1].clone());
    let right = prop::sample::select(vec![
        json!({"name": "A", "network": "visa", "bin": "411111", "currency": "USD"}),
        json!({"program_id": program_id, "currency": "USD", "name": "a"}),
        json!({"account_id": account_id, "type": "virtual", "controls": {"limits": [{"window": "day", "amount": 1}]}}),
        json!({"amount": 1, "currency": "USD", "method": "sepa"}),
        json!({"reason": "r"}),
    ]);
    (right, prop::sample::select(NAMES), body(ids.to_vec())).prop_map(|(mut right, name, value)| {
        right[name] = value;
        right
    })
}

fn check(client: &Client, paths: &[(&str, String)], body: &[u8]) {
    for (method, path) in paths {
        let answer = client.send(method, path, body);
        assert!(answer.status < 500, "{path} {}", answer.text);
        if answer.status >= 400 {
            answer.error();
        }
    }
}

#[test]
fn no_body_makes_the_interface_fail() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let card_id = client.card(&account_id);
    let ids = vec![program_id, account_id.clone(), card_id.clone()];
    let paths = [
        ("POST", "/v1/programs".to_owned()),
        ("POST", "/v1/accounts".into()),
        ("POST", "/v1/cards".into()),
        ("POST", format!("/v1/accounts/{account_id}/top_ups")),
        ("PATCH", format!("/v1/cards/{card_id}")),
        ("POST", format!("/v1/accounts/{account_id}/freeze")),
        ("POST", format!("/v1/accounts/{account_id}/unfreeze")),
        ("POST", format!("/v1/cards/{card_id}/freeze")),
        ("POST", format!("/v1/cards/{card_id}/reveal")),
        ("POST", format!("/v1/cards/{card_id}/reveal_links")),
    ];
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let bodies = prop_oneof![body(ids.clone()), nearly_right(&ids)];
    runner
        .run(&bodies, |body| {
            check(&client, &paths, body.to_string().as_bytes());
            Ok(())
        })
        .unwrap();
    let bytes = prop::collection::vec(any::<u8>(), 1..64);
    runner
        .run(&bytes, |bytes| {
            check(&client, &paths, &bytes);
            Ok(())
        })
        .unwrap();
}
