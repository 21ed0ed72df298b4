//! Cardholders: made, read, verified, given cards; what their cards allow after that.

use super::authorizations::authorize;
use super::harness::{Client, Disk, Options, Switch};
use super::keys::with_key;
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

/// A card without a cardholder, of a program with two of them: one at home where the merchant is.
struct Held {
    account: String,
    card: String,
    irish: String,
    german: String,
}

fn held(client: &Client) -> Held {
    let (program_id, account) = client.program_and_account();
    super::transfers::top_up(client, &account, 100_000);
    let [irish, german] = ["IE", "DE"].map(|country| {
        let body = json!({"program_id": program_id, "home_country": country, "verified": true});
        client.post("/v1/cardholders", body).created()
    });
    let limit = json!({"window": "day", "amount": 500, "until_verified": true});
    let controls = json!({"limits": [limit], "home_country_only": true});
    let card = client.post(
        "/v1/cards",
        json!({"account_id": account, "controls": controls}),
    );
    Held {
        card: card.created(),
        account,
        irish,
        german,
    }
}

fn reason(switch: &Switch, held: &Held) -> Value {
    let id = authorize(switch, &held.account, &held.card, 600);
    let told = switch.client().get(&format!("/v1/authorizations/{id}"));
    told.ok()["decision"]["reason"].clone()
}

#[test]
fn a_card_gets_a_cardholder_later_and_another_one_after_that() {
    let disk = Disk::new();
    let switch = Switch::start_on(disk.clone(), Options::default());
    let client = switch.client();
    let held = held(&client);
    let path = format!("/v1/cards/{}", held.card);
    super::events_told::subscribe(&client, json!({"events": ["card.*", "limit.*"]}));
    assert_eq!(reason(&switch, &held), "daily_limit_exceeded", "of nobody");
    let before = client.get(&path).ok();
    let give = |id: &str| client.patch(&path, json!({"cardholder_id": id}));
    let first = give(&held.irish).ok();
    assert_eq!(first["cardholder_id"], json!(held.irish));
    assert_eq!(first["controls"], before["controls"], "they stay");
    assert_eq!(client.get(&path).ok(), first);
    assert_eq!(reason(&switch, &held), Value::Null);
    assert_eq!(give(&held.irish).ok(), first, "once more");
    let second = give(&held.german).ok();
    assert_eq!(second["cardholder_id"], json!(held.german));
    assert_eq!(reason(&switch, &held), "country_not_allowed");
    // It follows the one that it has, and the one before no more.
    let holder = |id: &str| format!("/v1/cardholders/{id}");
    client
        .patch(&holder(&held.irish), json!({"home_country": "FR"}))
        .ok();
    client
        .patch(&holder(&held.german), json!({"home_country": "IE"}))
        .ok();
    assert_eq!(reason(&switch, &held), Value::Null);
    client
        .patch(&holder(&held.irish), json!({"verified": false}))
        .ok();
    assert_eq!(reason(&switch, &held), Value::Null);

    let told = super::events_told::told(&switch, &client, "");
    let told: Vec<_> = told
        .iter()
        .map(|event| [&event["type"], &event["data"]["cardholder"]])
        .collect();
    let changed = json!("card.cardholder_changed");
    let german = json!(held.german);
    let given = json!({"id": held.irish, "previous_id": null});
    let replaced = json!({"id": german, "previous_id": held.irish});
    assert_eq!(told, [[&changed, &given], [&changed, &replaced]]);
    let log = client
        .get(&format!("/v1/audit_log?object_id={}", held.card))
        .ok();
    let logged = ["before", "after"].map(|side| &log["data"][0][side]["cardholder_id"]);
    assert_eq!(logged, [&json!(held.irish), &json!(held.german)]);
    for (id, count) in [(&held.irish, 0), (&held.german, 1)] {
        let listed = client.get(&format!("/v1/cards?cardholder_id={id}")).ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), count, "{id}");
    }
    let reissue = client.post(&format!("{path}/reissue"), json!({"reason": "damaged"}));
    reissue.created();
    assert_eq!(reissue.json()["cardholder_id"], german);
    let now = client.get(&path).ok();
    drop(switch);
    let again = Switch::start_on(disk, Options::default());
    assert_eq!(again.client().get(&path).ok(), now);
}

#[test]
fn a_card_gets_a_cardholder_of_its_program_from_who_may_issue_cards() {
    let switch = Switch::start();
    let client = switch.client();
    let held = held(&client);
    let path = format!("/v1/cards/{}", held.card);
    let give = |client: &Client, id: &str| client.patch(&path, json!({"cardholder_id": id}));
    let param = Some("cardholder_id");
    let unknown = (404, "not_found", "cardholder_not_found", param);
    assert_error(&give(&client, "holder_0000000000001"), unknown, "unknown");
    let body = json!({"program_id": client.program(), "home_country": "IE"});
    let stranger = client.post("/v1/cardholders", body).created();
    let expected = (409, "conflict", "program_mismatch", param);
    assert_error(&give(&client, &stranger), expected, "stranger");
    let nothing = client.patch(&path, json!({"cardholder_id": null}));
    let expected = (400, "invalid_request", "nothing_named", None);
    assert_error(&nothing, expected, "null");
    let key = |scopes: Value| with_key(&client, json!({"name": "k", "scopes": scopes}));
    let refused = give(&key(json!(["limits:write"])), &held.irish);
    let expected = (403, "permission", "scope_missing", Some("cards:issue"));
    assert_error(&refused, expected, "scope");
    give(&key(json!(["limits:write", "cards:issue"])), &held.irish).ok();
    // Who is bound by account sees no cardholder.
    let scopes = json!(["limits:write", "cards:issue"]);
    let bound = json!({"name": "b", "scopes": scopes, "account_ids": [held.account]});
    assert_error(
        &give(&with_key(&client, bound), &held.irish),
        unknown,
        "bound",
    );

    // Both at once: `null` takes the controls away.
    let both = json!({"cardholder_id": held.german, "controls": null});
    let both = client.patch(&path, both).ok();
    assert_eq!(both["controls"], json!({}));
    assert_eq!(both["cardholder_id"], json!(held.german));
    client
        .post(&format!("{path}/reissue"), json!({"reason": "damaged"}))
        .created();
    let expected = (409, "conflict", "card_replaced", None);
    assert_error(&give(&client, &held.irish), expected, "replaced");
    let closed = client.card(&held.account);
    let closed = format!("/v1/cards/{closed}");
    client.post(&format!("{closed}/close"), json!({})).ok();
    let refused = client.patch(&closed, json!({"cardholder_id": held.irish}));
    let expected = (409, "conflict", "card_status_forbids", None);
    assert_error(&refused, expected, "closed");
}

/// The journal, cut after each record: what the shard had not heard it is told at the start.
#[test]
fn a_cardholder_that_was_set_reaches_its_card_wherever_it_was_cut_off() {
    let switch = Switch::start();
    let client = switch.client();
    let held = held(&client);
    let path = format!("/v1/cards/{}", held.card);
    let before = switch.journal.durable();
    client
        .patch(&path, json!({"cardholder_id": held.irish}))
        .ok();
    let after = switch.journal.durable();
    assert_eq!(
        after - before,
        3,
        "the registry's, the card's, the audit log's"
    );
    for kept in before..=after {
        let disk = switch.disk.cut_after(kept);
        let restarted = Switch::start_on(disk, Options::default());
        let expected = if kept > before {
            Value::Null
        } else {
            json!("daily_limit_exceeded")
        };
        assert_eq!(reason(&restarted, &held), expected, "{kept} records kept");
    }
}
