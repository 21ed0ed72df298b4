//! What `/v1/simulate/…` refuses, whom it lets in, and that no body makes it fail. What it comes to in each dialect is in
//! `tests/simulate.rs`.

use super::harness::{Client, Disk, Options, Switch};
use super::keys::with_key;
use super::refusals::{Expected, assert_error};
use cardswitch::api::table;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

fn routes() -> Vec<&'static str> {
    let routes = table().into_iter().map(|route| route.path);
    let routes: Vec<_> = routes
        .filter(|path| path.starts_with("/v1/simulate/"))
        .collect();
    assert_eq!(routes.len(), 8);
    routes
}

/// A card with 1,000.00, linked to a project.
fn card(client: &Client, project: &str) -> (String, String) {
    let (_, account) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{account}/top_ups"), top_up)
        .created();
    let body = json!({"account_id": account, "links": [{"type": "project", "id": project}]});
    (account, client.post("/v1/cards", body).created())
}

fn pay(client: &Client, card: &str, amount: i64) -> Value {
    let body = json!({"card_id": card, "amount": amount});
    let paid = client.post("/v1/simulate/authorizations", body);
    paid.created();
    paid.json()
}

#[test]
fn a_cvv2_that_does_not_match_is_named_by_its_step() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = card(&client, "p1");
    let body = json!({"card_id": card, "amount": 100, "cvv2": "wrong"});
    let told = client.post("/v1/simulate/authorizations", body);
    told.created();
    let told = told.json();
    assert_eq!(told["decision"]["reason"], "cvv_mismatch");
    let mut trace = told["trace"].as_array().unwrap().iter();
    let step = trace.find(|step| step["step"] == "verification").unwrap();
    let detail = &step["detail"];
    assert_eq!(
        (&step["result"], &detail["cvv"]),
        (&json!("fail"), &json!("mismatch"))
    );
    assert_eq!(detail["card"], detail["message"]);
}

#[test]
fn without_the_sandbox_there_is_none_of_it() {
    let options = Options {
        sandbox: false,
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    for path in routes() {
        let answer = switch.client().post(path, json!({}));
        assert_error(&answer, (404, "not_supported", "sandbox_off", None), path);
    }
}

#[test]
fn a_wrong_field_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = card(&client, "own");
    let paid = pay(&client, &card, 100);
    let paid = paid["id"].as_str().unwrap();
    let of_card = |name: &str, value: Value| {
        let mut body = json!({"card_id": card, "amount": 100});
        body[name] = value;
        body
    };
    let of_paid = |name: &str, value: Value| {
        let mut body = json!({"authorization_id": paid});
        body[name] = value;
        body
    };
    let invalid = |code, param| (400, "invalid_request", code, Some(param));
    let cases: Vec<(&str, Value, Expected)> = vec![
        (
            "authorizations",
            json!({"amount": 1}),
            invalid("field_missing", "card_id"),
        ),
        (
            "authorizations",
            json!({"card_id": card}),
            invalid("field_missing", "amount"),
        ),
        (
            "authorizations",
            of_card("repeat_of", json!(paid)),
            invalid("value_unknown", "card_id"),
        ),
        (
            "authorizations",
            of_card("authorization_id", json!(paid)),
            invalid("field_unknown", "authorization_id"),
        ),
        (
            "authorizations",
            of_card("amount", json!(-1)),
            invalid("number_invalid", "amount"),
        ),
        (
            "authorizations",
            of_card("amount", json!(1_000_000_000_000_i64)),
            invalid("number_invalid", "amount"),
        ),
        (
            "authorizations",
            of_card("currency", json!("USDT")),
            invalid("currency_unknown", "currency"),
        ),
        (
            "authorizations",
            of_card("kind", json!("incremental")),
            invalid("value_unknown", "kind"),
        ),
        (
            "authorizations",
            of_card("message", json!("advice")),
            invalid("value_unknown", "message"),
        ),
        (
            "authorizations",
            of_card("network", json!("amex")),
            invalid("network_unknown", "network"),
        ),
        (
            "authorizations",
            of_card("entry_mode", json!("smell")),
            invalid("value_unknown", "entry_mode"),
        ),
        (
            "authorizations",
            of_card("channel", json!("recurring")),
            invalid("network_cannot_say", "channel"),
        ),
        (
            "authorizations",
            of_card("cvv2", json!("123")),
            invalid("value_unknown", "cvv2"),
        ),
        (
            "authorizations",
            of_card("stan", json!("000000")),
            invalid("text_invalid", "stan"),
        ),
        (
            "authorizations",
            of_card("stan", json!(4711)),
            invalid("type_invalid", "stan"),
        ),
        (
            "authorizations",
            of_card("rrn", json!("SHORT")),
            invalid("text_invalid", "rrn"),
        ),
        (
            "authorizations",
            of_card("sent_at", json!("now")),
            invalid("time_invalid", "sent_at"),
        ),
        (
            "authorizations",
            of_card("acquirer_id", json!("A1")),
            invalid("text_invalid", "acquirer_id"),
        ),
        (
            "authorizations",
            of_card("billing_amount", json!(1)),
            invalid("field_missing", "billing_currency"),
        ),
        (
            "authorizations",
            of_card("three_ds", json!("maybe")),
            invalid("value_unknown", "three_ds"),
        ),
        (
            "authorizations",
            of_card("three_ds", json!({"eci": "05"})),
            invalid("field_unknown", "three_ds.eci"),
        ),
        (
            "authorizations",
            of_card("merchant", json!({"mcc": "travel"})),
            invalid("mcc_invalid", "merchant.mcc"),
        ),
        (
            "authorizations",
            of_card("merchant", json!({"name": "CAFÉ"})),
            invalid("text_invalid", "merchant.name"),
        ),
        (
            "authorizations",
            of_card("merchant", json!({"name": "4111 1111 1111 1111"})),
            invalid("card_number_in_text", "merchant.name"),
        ),
        (
            "authorizations",
            of_card("merchant", json!({"country": "USA"})),
            invalid("text_invalid", "merchant.country"),
        ),
        (
            "authorizations",
            of_card("remaining_amount", json!(1)),
            invalid("field_unknown", "remaining_amount"),
        ),
        (
            "increments",
            json!({"amount": 1}),
            invalid("field_missing", "authorization_id"),
        ),
        (
            "increments",
            json!({"authorization_id": paid}),
            invalid("field_missing", "amount"),
        ),
        (
            "increments",
            of_paid("card_id", json!(card)),
            invalid("field_unknown", "card_id"),
        ),
        (
            "advices",
            of_card("declined_as", json!("bad_weather")),
            invalid("value_unknown", "declined_as"),
        ),
        (
            "advices",
            of_card("approval_code", json!("A1")),
            invalid("text_invalid", "approval_code"),
        ),
        (
            "refunds",
            json!({"amount": 1}),
            invalid("field_missing", "card_id"),
        ),
        (
            "refunds",
            json!({"card_id": card}),
            invalid("field_missing", "amount"),
        ),
        (
            "reversals",
            of_paid("remaining_amount", json!(0)),
            invalid("number_invalid", "remaining_amount"),
        ),
        (
            "clearings",
            of_paid("final", json!("no")),
            invalid("type_invalid", "final"),
        ),
        (
            "balance_inquiries",
            of_card("amount", json!(1)),
            invalid("field_unknown", "amount"),
        ),
    ];
    for (what, body, expected) in cases {
        let answer = client.post(&format!("/v1/simulate/{what}"), body.clone());
        assert_error(&answer, expected, &format!("{what} {body}"));
    }
    let fuel = json!({"card_id": card, "amount": 1, "kind": "fuel_dispenser", "merchant": {"mcc": "5411"}});
    let answer = client.post("/v1/simulate/authorizations", fuel);
    assert_error(&answer, invalid("value_unknown", "merchant.mcc"), "fuel");
}

#[test]
fn what_is_not_there_is_404_with_its_field() {
    let switch = Switch::start();
    let client = switch.client();
    for (path, name, id, code) in [
        (
            "authorizations",
            "card_id",
            "card_000000000000z",
            "card_not_found",
        ),
        (
            "authorizations",
            "repeat_of",
            "auth_000000000000z",
            "authorization_not_found",
        ),
        (
            "clearings",
            "authorization_id",
            "auth_000000000000z",
            "authorization_not_found",
        ),
    ] {
        let answer = client.post(
            &format!("/v1/simulate/{path}"),
            json!({"amount": 1, name: id}),
        );
        assert_error(&answer, (404, "not_found", code, Some(name)), path);
    }
}

#[test]
fn a_bound_key_simulates_on_its_own_cards() {
    let switch = Switch::start();
    let root = switch.client();
    let ((account, own), (_, other)) = (card(&root, "own"), card(&root, "other"));
    let (own_paid, other_paid) = (pay(&root, &own, 100), pay(&root, &other, 100));
    let program = root.get(&format!("/v1/cards/{own}")).ok()["program_id"].clone();
    for (bound_by, value) in [
        ("program_ids", json!([program])),
        ("account_ids", json!([account])),
        ("links", json!([{"type": "project", "id": "own"}])),
    ] {
        let body = json!({"name": "b", "scopes": ["sandbox:write"], bound_by: value});
        let bound = with_key(&root, body);
        pay(&bound, &own, 10);
        let refused = |path: &str, body: Value, param: &str| {
            let (status, _, _, at) = bound.post(&format!("/v1/simulate/{path}"), body).error();
            assert_eq!(
                (status, at.as_deref()),
                (404, Some(param)),
                "{bound_by} {path}"
            );
        };
        refused(
            "authorizations",
            json!({"card_id": other, "amount": 10}),
            "card_id",
        );
        let id = &other_paid["id"];
        refused("authorizations", json!({"repeat_of": id}), "repeat_of");
        for path in ["increments", "advices", "reversals", "clearings", "refunds"] {
            let body = json!({"authorization_id": id, "amount": 1});
            refused(path, body, "authorization_id");
        }
        let body = json!({"authorization_id": own_paid["id"], "amount": 1});
        bound.post("/v1/simulate/increments", body).created();
    }
}

#[test]
fn a_simulation_is_in_the_audit_log_without_a_card_number() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, card) = card(&root, "own");
    let paid = pay(&root, &card, 100);
    let revealed = root
        .post(
            &format!("/v1/cards/{card}/reveal"),
            json!({"reason": "test"}),
        )
        .ok();
    let pan = revealed["pan"].as_str().unwrap();
    assert!(!paid.to_string().contains(pan));
    switch.projected();
    let log = root
        .get("/v1/audit_log?action=POST%20/v1/simulate/authorizations")
        .ok();
    assert_eq!(log["data"][0]["object_id"], paid["id"]);
    assert!(!log.to_string().contains(pan));
}

#[test]
fn no_body_makes_a_simulation_fail() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = card(&client, "own");
    let paid = pay(&client, &card, 100)["id"].clone();
    let names = vec![
        "amount",
        "currency",
        "kind",
        "message",
        "network",
        "stan",
        "rrn",
        "sent_at",
        "repeat",
        "merchant",
        "acquirer_id",
        "terminal_id",
        "entry_mode",
        "channel",
        "cvv2",
        "expiry",
        "partial_approval_supported",
        "merchant_initiated",
        "three_ds",
        "billing_amount",
        "billing_currency",
        "final",
        "remaining_amount",
        "advice",
        "declined_as",
        "approval_code",
        "repeat_of",
        "card_id",
        "authorization_id",
    ];
    let words = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(999_999_999_999_i64),
        json!("USD"),
        json!("JPY"),
        json!("cash_withdrawal"),
        json!("pre_authorization"),
        json!("deposit"),
        json!("financial_request"),
        json!("visa"),
        json!("ABCDEF123456"),
        json!("A1B2C3"),
        json!("2100-01-01T00:00:00Z"),
        json!("1900-01-01T00:00:00Z"),
        json!("12345678901"),
        json!("chip"),
        json!("contactless"),
        json!("fallback"),
        json!("credential_on_file"),
        json!("unknown"),
        json!("atm"),
        json!("ecommerce"),
        json!("mail_or_telephone"),
        json!("wrong"),
        json!("absent"),
        json!("attempted"),
        json!("failed"),
        json!({"authentication": "authenticated", "cryptogram": "invalid", "exemption": "low_value"}),
        json!("overloaded"),
        json!({"id": "!", "name": "~", "city": "%", "country": "JP", "mcc": "6011"}),
        json!({"mcc": "5542"}),
        json!({"x": 1}),
        json!(card),
        json!(paid),
    ];
    let change = (prop::sample::select(names), prop::sample::select(words));
    let bodies = (any::<bool>(), prop::collection::vec(change, 0..6));
    let mut runner = TestRunner::new(Config {
        cases: 250,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&bodies, |(of_card, changes)| {
        let mut body = match of_card {
            true => json!({"card_id": card, "amount": 10}),
            false => json!({"authorization_id": paid, "amount": 10}),
        };
        for (name, value) in changes {
            body[name] = value;
        }
        for path in routes() {
            let answer = client.post(path, body.clone());
            prop_assert!(answer.status < 500, "{path} {body}: {}", answer.text);
        }
        Ok(())
    });
    run.unwrap();
}
