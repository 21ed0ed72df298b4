//! Cardholders: made, read, verified, given cards; what their cards allow after that.

use super::authorizations::authorize;
use super::harness::{Disk, Options, Switch};
use super::refusals::assert_error;
use serde_json::{Value, json};

#[test]
fn a_cardholder_is_made_read_and_verified() {
    let switch = Switch::start();
    let client = switch.client();
    let program_id = client.program();
    let body = json!({"program_id": program_id, "name": "A. Example", "home_country": "DE"});
    let made = client.post("/v1/cardholders", body);
    let path = format!("/v1/cardholders/{}", made.created());
    let made = made.json();
    assert_eq!(
        (
            &made["object"],
            &made["name"],
            &made["home_country"],
            &made["verified"]
        ),
        (
            &json!("cardholder"),
            &json!("A. Example"),
            &json!("DE"),
            &json!(false)
        )
    );
    assert_eq!(client.get(&path).ok(), made);
    let verify = format!("{path}/verify");
    for _ in 0..2 {
        assert_eq!(client.post(&verify, json!({})).ok()["verified"], true);
        assert_eq!(client.get(&path).ok()["verified"], true);
    }
}

#[test]
fn a_card_of_a_cardholder_takes_more_once_that_is_verified() {
    let switch = Switch::start();
    let client = switch.client();
    let limit = json!({"id": "lim_0000000000001", "window": "day", "amount": 500, "count": null,
                       "time_zone": "UTC", "until_verified": true});
    let controls = json!({"limits": [limit], "home_country_only": true});
    let (program_id, account_id) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    let top_ups = format!("/v1/accounts/{account_id}/top_ups");
    client.post(&top_ups, top_up).created();
    let body = json!({"program_id": program_id, "home_country": "IE"});
    let holder_id = client.post("/v1/cardholders", body).created();
    let body = json!({"account_id": account_id, "cardholder_id": holder_id, "controls": controls});
    let card_id = client.post("/v1/cards", body).created();
    let card = client.get(&format!("/v1/cards/{card_id}")).ok();
    assert_eq!(
        (&card["cardholder_id"], &card["controls"]),
        (&json!(holder_id), &controls)
    );
    let reason = |id: String| -> Value {
        let read = client.get(&format!("/v1/authorizations/{id}")).ok();
        read["decision"]["reason"].clone()
    };
    let first = authorize(&switch, &account_id, &card_id, 600);
    assert_eq!(reason(first), "daily_limit_exceeded");
    let path = format!("/v1/cardholders/{holder_id}/verify");
    client.post(&path, json!({})).ok();
    let second = authorize(&switch, &account_id, &card_id, 600);
    assert_eq!(reason(second.clone()), Value::Null);
    let read = client.get(&format!("/v1/authorizations/{second}")).ok();
    let mut steps = read["trace"].as_array().unwrap().iter();
    let country = steps.rfind(|step| step["step"] == "country");
    let expected = json!({"home_country": "IE", "value": "IE"});
    assert_eq!(country.unwrap()["detail"], expected);
}

#[test]
fn what_is_wrong_with_a_cardholder_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let of = |name: &str, value: Value| {
        let mut body = json!({"program_id": program_id, "home_country": "DE"});
        body[name] = value;
        client.post("/v1/cardholders", body)
    };
    for (name, value, code) in [
        ("home_country", Value::Null, "field_missing"),
        ("home_country", json!("ZZ"), "country_unknown"),
        ("home_country", json!("de"), "country_unknown"),
        ("program_id", Value::Null, "field_missing"),
        ("verified", json!("yes"), "type_invalid"),
        ("passport", json!("X"), "field_unknown"),
    ] {
        let expected = (400, "invalid_request", code, Some(name));
        assert_error(&of(name, value), expected, name);
    }
    let nowhere = of("program_id", json!("prog_0000000000001"));
    let expected = (404, "not_found", "program_not_found", Some("program_id"));
    assert_error(&nowhere, expected, "program");
    let unknown = "/v1/cardholders/holder_0000000000001";
    let expected = (404, "not_found", "cardholder_not_found", None);
    assert_error(&client.get(unknown), expected, "get");
    let verify = client.post(&format!("{unknown}/verify"), json!({}));
    assert_error(&verify, expected, "verify");
    let card_of = |holder_id: &str| {
        let body = json!({"account_id": account_id, "cardholder_id": holder_id});
        client.post("/v1/cards", body)
    };
    let expected = (
        404,
        "not_found",
        "cardholder_not_found",
        Some("cardholder_id"),
    );
    assert_error(&card_of("holder_0000000000001"), expected, "card");
    let other = client.program();
    let stranger = of("program_id", json!(other)).created();
    let expected = (409, "conflict", "program_mismatch", Some("cardholder_id"));
    assert_error(&card_of(&stranger), expected, "stranger");
}

/// The journal, cut after each record of a verification in turn: what the shards had not heard they are told
/// at the start.
#[test]
fn a_verification_cut_off_anywhere_reaches_every_card_at_the_next_start() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    let top_ups = format!("/v1/accounts/{account_id}/top_ups");
    client.post(&top_ups, top_up).created();
    let body = json!({"program_id": program_id, "home_country": "IE"});
    let holder_id = client.post("/v1/cardholders", body).created();
    let limit = json!({"window": "day", "amount": 500, "until_verified": true});
    let body = json!({"account_id": account_id, "cardholder_id": holder_id, "controls": {"limits": [limit]}});
    let cards = [(); 2].map(|()| client.post("/v1/cards", body.clone()).created());
    let path = format!("/v1/cardholders/{holder_id}");
    let before = switch.journal.durable();
    client.post(&format!("{path}/verify"), json!({})).ok();
    let after = switch.journal.durable();
    assert_eq!(
        after - before,
        4,
        "the registry's, one of each card, the audit log's"
    );
    for kept in before..=after {
        let disk = switch.disk.cut_after(kept);
        let restarted = Switch::start_on(disk, Options::default());
        let client = restarted.client();
        assert_eq!(client.get(&path).ok()["verified"], json!(kept > before));
        for card_id in &cards {
            let id = authorize(&restarted, &account_id, card_id, 600);
            let read = client.get(&format!("/v1/authorizations/{id}")).ok();
            let approved = read["decision"]["result"] == "approved";
            assert_eq!(approved, kept > before, "{kept} records kept");
        }
    }
}

#[test]
fn a_cardholder_is_changed_and_its_verification_taken_back_for_its_cards_too() {
    let disk = Disk::new();
    let switch = Switch::start_on(disk.clone(), Options::default());
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{account_id}/top_ups"), top_up)
        .created();
    let body =
        json!({"program_id": program_id, "name": "A.", "home_country": "DE", "verified": true});
    let path = client.post("/v1/cardholders", body).created();
    let (holder_id, path) = (path.clone(), format!("/v1/cardholders/{path}"));
    let limit = json!({"window": "day", "amount": 500, "until_verified": true});
    let controls = json!({"limits": [limit], "home_country_only": true});
    let card = json!({"account_id": account_id, "cardholder_id": holder_id, "controls": controls});
    let card = client.post("/v1/cards", card).created();
    let reason = |switch: &Switch| -> Value {
        let id = authorize(switch, &account_id, &card, 600);
        let told = switch.client().get(&format!("/v1/authorizations/{id}"));
        told.ok()["decision"]["reason"].clone()
    };
    // The merchant is in Ireland.
    assert_eq!(reason(&switch), "country_not_allowed");
    let moved = client.patch(&path, json!({"home_country": "IE"})).ok();
    assert_eq!(
        [&moved["name"], &moved["home_country"], &moved["verified"]],
        [&json!("A."), &json!("IE"), &json!(true)]
    );
    assert_eq!(reason(&switch), Value::Null);
    let change = json!({"name": "A. Example", "verified": false});
    let changed = client.patch(&path, change).ok();
    assert_eq!(
        [
            &changed["name"],
            &changed["home_country"],
            &changed["verified"]
        ],
        [&json!("A. Example"), &json!("IE"), &json!(false)]
    );
    assert_eq!(client.get(&path).ok(), changed);
    assert_eq!(reason(&switch), "daily_limit_exceeded");
    switch.projected();
    let listed = client.get("/v1/cardholders").ok();
    assert_eq!(listed["data"], json!([changed]), "as SQL has it");
    for (query, count) in [
        ("verified=false&home_country=IE", 1),
        ("verified=true", 0),
        ("home_country=DE", 0),
        (&*format!("program_id={program_id}"), 1),
    ] {
        let listed = client.get(&format!("/v1/cardholders?{query}")).ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), count, "{query}");
    }
    let log = client
        .get(&format!("/v1/audit_log?object_id={holder_id}"))
        .ok();
    assert_eq!(log["data"][0]["before"], moved);
    assert_eq!(log["data"][0]["after"], changed);
    for (body, code, param) in [
        (json!({}), "field_missing", None),
        (
            json!({"home_country": "ZZ"}),
            "country_unknown",
            Some("home_country"),
        ),
        (json!({"verified": "no"}), "type_invalid", Some("verified")),
    ] {
        let refused = client.patch(&path, body);
        assert_eq!(refused.status, 400, "{code} {}", refused.text);
        assert_eq!(
            refused.error().3.as_deref(),
            param.or(refused.error().3.as_deref())
        );
    }
    let unknown = client.patch(
        "/v1/cardholders/holder_0000000000001",
        json!({"name": "B."}),
    );
    let expected = (404, "not_found", "cardholder_not_found", None);
    assert_error(&unknown, expected, "not known");
    drop(switch);
    let again = Switch::start_on(disk, Options::default());
    assert_eq!(again.client().get(&path).ok(), changed);
    assert_eq!(reason(&again), "daily_limit_exceeded");
}
