//! Decision endpoints: made, changed, listed, tried; their secrets are shown once.

use super::harness::Switch;
use super::refusals::assert_error;
use crate::endpoint::Endpoint;
use serde_json::{Value, json};

#[test]
fn an_endpoint_is_made_changed_and_listed_and_its_secret_is_shown_once() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, _) = client.program_and_account();
    let body = json!({
        "program_id": program,
        "url": "https://example.com/decide",
        "fallback": { "type": "approve_up_to", "amount": 5_000 },
    });
    let keyed = client.header("Idempotency-Key", "endpoint-1");
    let answer = keyed.post("/v1/decision_endpoints", body.clone());
    answer.created();
    let made = answer.json();
    let secret = made["secret"].as_str().unwrap();
    assert!(
        secret.starts_with("whsec_") && secret.len() == 6 + 44,
        "{secret}"
    );
    assert_eq!(
        (&made["timeout_ms"], &made["enabled"], &made["fallback"]),
        (&json!(2_000), &json!(true), &body["fallback"])
    );
    // The same request again is the same endpoint, without the secret.
    let again = keyed.post("/v1/decision_endpoints", body.clone()).json();
    assert_eq!((&again["id"], again.get("secret")), (&made["id"], None));
    let second = client.post("/v1/decision_endpoints", body);
    let expected = (
        409,
        "conflict",
        "decision_endpoint_exists",
        Some("program_id"),
    );
    assert_error(&second, expected, "a second one");

    let path = format!("/v1/decision_endpoints/{}", made["id"].as_str().unwrap());
    let read = client.get(&path).ok();
    assert_eq!((&read["url"], read.get("secret")), (&made["url"], None));
    let changed = json!({ "timeout_ms": 500, "enabled": false, "fallback": { "type": "decline" } });
    let nothing = client.patch(&path, json!({}));
    assert_error(
        &nothing,
        (400, "invalid_request", "nothing_named", None),
        "nothing",
    );
    let changed = client.patch(&path, changed).ok();
    assert_eq!(
        (
            &changed["timeout_ms"],
            &changed["enabled"],
            &changed["url"],
            &changed["fallback"]
        ),
        (
            &json!(500),
            &json!(false),
            &made["url"],
            &json!({ "type": "decline" })
        )
    );
    assert_eq!(changed["warning"], Value::Null);
    // As long as the network waits is too long.
    let slow = client.patch(&path, json!({ "timeout_ms": 5_000 })).ok();
    let warning = slow["warning"].as_str().unwrap();
    assert!(
        warning.contains("answer_within_ms (5000) of the network visa"),
        "{warning}"
    );
    let just_right = client.patch(&path, json!({ "timeout_ms": 4_999 })).ok();
    assert_eq!(just_right["warning"], Value::Null);
    let rotated = client
        .post(&format!("{path}/rotate_secret"), json!({}))
        .ok();
    assert_eq!(rotated["secret_version"], 2);
    assert_ne!(rotated["secret"], made["secret"]);
    let listed = client
        .get(&format!("/v1/decision_endpoints?program_id={program}"))
        .ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(listed["data"][0]["secret_version"], 2);
    let of_others = client
        .get("/v1/decision_endpoints?program_id=prog_0000000000001")
        .ok();
    assert_eq!(of_others["data"], json!([]));
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, _) = client.program_and_account();
    for (field, value, code) in [
        ("url", json!("http://example.com/"), "url_invalid"),
        ("url", json!("https://10.0.0.1/"), "url_invalid"),
        ("url", json!("https://user@example.com/"), "url_invalid"),
        ("url", json!("not a url"), "url_invalid"),
        ("timeout_ms", json!(49), "number_invalid"),
        ("timeout_ms", json!(10_001), "number_invalid"),
        (
            "fallback",
            json!({ "type": "approve_up_to" }),
            "field_missing",
        ),
        ("fallback", json!({ "type": "approve" }), "value_unknown"),
        (
            "program_id",
            json!("prog_0000000000001"),
            "program_not_found",
        ),
    ] {
        let mut body = json!({ "program_id": program, "url": "https://example.com/" });
        body[field] = value;
        let answer = client.post("/v1/decision_endpoints", body.clone());
        let (status, _, told, _) = answer.error();
        assert_eq!((status, told.as_str()), (400, code), "{body}");
    }
    let nothing = client.get("/v1/decision_endpoints/dep_0000000000001");
    let (status, _, code, _) = nothing.error();
    assert_eq!(
        (status, code.as_str()),
        (404, "decision_endpoint_not_found")
    );
}

#[test]
fn a_ping_is_signed_and_says_what_came_of_it() {
    let (switch, endpoint) = (Switch::start(), Endpoint::start());
    let client = switch.client();
    let (program, _) = client.program_and_account();
    let body = json!({ "program_id": program, "url": endpoint.url(), "timeout_ms": 10_000 });
    let made = client.post("/v1/decision_endpoints", body).json();
    let path = format!(
        "/v1/decision_endpoints/{}/ping",
        made["id"].as_str().unwrap()
    );
    endpoint.respond("204 No Content", "");
    let pinged = client.post(&path, json!({})).ok();
    assert_eq!(
        (&pinged["status"], &pinged["error"]),
        (&json!(204), &Value::Null)
    );
    let call = endpoint.calls().pop().unwrap();
    assert!(call.header("webhook-signature").starts_with("v1,"));
    let sent: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(sent["type"], "ping");
    endpoint.hang_up();
    let failed = client.post(&path, json!({})).ok();
    assert_eq!(failed["status"], Value::Null);
    assert!(
        failed["error"].as_str().unwrap().contains("failed"),
        "{failed}"
    );
}
