//! `/v1/exceptions`: asked for, approved or rejected, in force for a while, ended.

use super::authorizations::{authorize, funded_card};
use super::harness::{Client, Disk, Options, Switch};
use super::keys::{with_key, with_key_and_id};
use super::refusals::assert_error;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const DAY_MS: i64 = 86_400_000;
const LIMIT: &str = "lim_0000000000001";

const IS_REQUESTER: super::refusals::Expected = (409, "conflict", "approver_is_requester", None);

fn bob(root: &Client) -> Client {
    let scopes = json!(["exceptions:request", "exceptions:approve", "keys:write"]);
    with_key(root, json!({"name": "Bob", "scopes": scopes}))
}

#[test]
fn whoever_asked_cannot_approve_with_a_key_of_his_own_making() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card_id) = limited_card(&client);
    let (ann, other) = (bob(&client), bob(&client));
    let body = raise(&card_id, 5_000, "2100-01-01T00:00:00Z");
    let id = ann.post("/v1/exceptions", body).created();
    let approve = format!("/v1/exceptions/{id}/approve");
    let child = with_key(
        &ann,
        json!({"name": "child", "scopes": ["exceptions:approve"]}),
    );
    for own in [&ann, &child] {
        assert_error(&own.post(&approve, json!({})), IS_REQUESTER, "own");
    }
    assert_eq!(other.post(&approve, json!({})).ok()["state"], "approved");
    let late = ann.post(&approve, json!({}));
    assert_error(&late, IS_REQUESTER, "approved by another");
}

#[test]
fn what_a_revoked_key_asked_for_is_not_approved() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, card_id) = limited_card(&root);
    let scopes = json!(["exceptions:request"]);
    let (ann, key_id) = with_key_and_id(&root, json!({"name": "Ann", "scopes": scopes}));
    let body = raise(&card_id, 5_000, "2100-01-01T00:00:00Z");
    let id = ann.post("/v1/exceptions", body).created();
    root.post(&format!("/v1/api_keys/{key_id}/revoke"), json!({}))
        .ok();
    let approved = bob(&root).post(&format!("/v1/exceptions/{id}/approve"), json!({}));
    assert_error(
        &approved,
        (409, "conflict", "requester_revoked", None),
        "revoked",
    );
    let rejected = bob(&root).post(&format!("/v1/exceptions/{id}/reject"), json!({}));
    assert_eq!(rejected.ok()["state"], "rejected");
}

pub fn limited_card(client: &Client) -> (String, String) {
    let limits = json!([{"id": LIMIT, "window": "day", "amount": 1_000}]);
    funded_card(client, json!({ "limits": limits }))
}

pub fn raise(card_id: &str, amount: i64, ends_at: &str) -> Value {
    json!({"card_id": card_id, "lifts": {"limits": [{"id": LIMIT, "amount": amount}]},
           "ends_at": ends_at, "reason": "business trip"})
}

fn result(switch: &Switch, authorization_id: &str) -> Value {
    let client = switch.client();
    client
        .get(&format!("/v1/authorizations/{authorization_id}"))
        .ok()
}

#[test]
fn a_business_trip_from_its_request_to_its_end() {
    let (switch, clock) = Switch::start_with_clock();
    let client = switch.client();
    let (account_id, card_id) = limited_card(&client);
    let ends_at = cardswitch::engine::time::Timestamp(clock.load(Ordering::Relaxed) + DAY_MS / 2);
    let id = client
        .post(
            "/v1/exceptions",
            raise(&card_id, 5_000, &ends_at.to_string()),
        )
        .created();
    let path = format!("/v1/exceptions/{id}");
    let asked = client.get(&path).ok();
    for (name, value) in [
        ("object", json!("exception")),
        ("state", json!("requested")),
        ("card_id", json!(card_id)),
        ("account_id", Value::Null),
        ("link", Value::Null),
        (
            "lifts",
            json!({"limits": [{"id": LIMIT, "amount": 5_000, "count": null}]}),
        ),
        ("max_uses", Value::Null),
        (
            "requested_by",
            json!({"api_key_id": "root", "name": "root"}),
        ),
        ("approved_by", Value::Null),
        ("ends_at", json!(ends_at.to_string())),
    ] {
        assert_eq!(asked[name], value, "{name}");
    }
    let declined = authorize(&switch, &account_id, &card_id, 3_000);
    assert_eq!(result(&switch, &declined)["decision"]["result"], "declined");
    let own = client.post(&format!("{path}/approve"), json!({}));
    assert_error(&own, IS_REQUESTER, "who asks");
    let named = client.post(&format!("{path}/approve"), json!({"approved_by": "Bob"}));
    let unknown = (400, "invalid_request", "field_unknown", Some("approved_by"));
    assert_error(&named, unknown, "who one says to be does not count");
    let approved = bob(&client)
        .post(&format!("{path}/approve"), json!({"note": "as agreed"}))
        .ok();
    assert_eq!(
        [
            &approved["state"],
            &approved["approved_by"]["name"],
            &approved["approved_note"]
        ],
        [&json!("approved"), &json!("Bob"), &json!("as agreed")]
    );
    assert!(approved["approved_at"].is_string() && approved["rejected_by"].is_null());
    let passed = result(&switch, &authorize(&switch, &account_id, &card_id, 3_000));
    assert_eq!(passed["decision"]["result"], "approved");
    let trace = passed["trace"].as_array().unwrap();
    let named = json!({"step": "limits", "result": "pass", "detail": {"exception_id": id}});
    assert!(trace.contains(&named), "{trace:?}");
    let live = client.get("/v1/exceptions?state=approved").ok();
    assert_eq!(live["data"], json!([approved]));
    clock.fetch_add(DAY_MS / 2, Ordering::Relaxed);
    assert_eq!(client.get(&path).ok()["state"], "ended");
    assert_eq!(
        client.get("/v1/exceptions?state=approved").ok()["data"],
        json!([])
    );
    clock.fetch_add(DAY_MS, Ordering::Relaxed);
    let after = result(&switch, &authorize(&switch, &account_id, &card_id, 3_000));
    assert_eq!(after["decision"]["rule_id"], LIMIT);
}

#[test]
fn one_for_a_link_with_every_kind_of_list_survives_a_restart() {
    let disk = Disk::new();
    let switch = Switch::start_on(disk.clone(), Options::default());
    let client = switch.client();
    let (account_id, card_id) = funded_card(&client, json!({"mcc": {"allow": ["7011"]}}));
    let lifts = json!({
        "mcc": ["7311", "travel"], "countries": ["JP", "ZZ"], "currencies": ["JPY"],
        "merchants": [{"id": "M1", "acquirer_id": "412345"}, {"name": "*HOTEL*"}],
        "channels": ["atm"], "entry_modes": ["chip"],
    });
    let body = json!({"link": {"type": "project", "id": "p1"}, "lifts": lifts, "max_uses": 1,
                      "ends_at": "2100-01-01T00:00:00Z", "reason": "fair"});
    let id = client.post("/v1/exceptions", body).created();
    let path = format!("/v1/exceptions/{id}");
    let approved = bob(&client)
        .post(&format!("{path}/approve"), json!({}))
        .ok();
    assert_eq!(approved["lifts"], lifts);
    assert_eq!(
        (&approved["link"]["id"], &approved["max_uses"]),
        (&json!("p1"), &json!(1))
    );
    let first = result(&switch, &authorize(&switch, &account_id, &card_id, 100));
    assert_eq!(first["decision"]["result"], "approved", "{first}");
    drop(switch);
    let switch = Switch::start_on(disk, Options::default());
    assert_eq!(switch.client().get(&path).ok(), approved);
    let second = result(&switch, &authorize(&switch, &account_id, &card_id, 100));
    assert_eq!(second["decision"]["reason"], "mcc_not_allowed");
    let ended = switch.client().post(&format!("{path}/end"), json!({})).ok();
    assert_eq!(
        (&ended["state"], &ended["ended_by"]["api_key_id"]),
        (&json!("ended"), &json!("root"))
    );
}

#[test]
fn exceptions_are_listed_newest_first_by_state_and_whose_they_are() {
    let switch = Switch::start();
    let client = switch.client();
    let (account_id, card_id) = limited_card(&client);
    let ends_at = "2100-01-01T00:00:00Z";
    let first = client
        .post("/v1/exceptions", raise(&card_id, 5_000, ends_at))
        .created();
    let mut of_account = raise(&card_id, 6_000, ends_at);
    of_account["card_id"] = Value::Null;
    of_account["account_id"] = account_id.clone().into();
    let second = client.post("/v1/exceptions", of_account).created();
    client
        .post(&format!("/v1/exceptions/{first}/reject"), json!({}))
        .ok();
    let ids = |query: &str| {
        let list = client.get(&format!("/v1/exceptions{query}")).ok();
        let data = list["data"].as_array().unwrap().iter();
        data.map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(""), [&second[..], &first]);
    assert_eq!(ids("?state=rejected"), std::slice::from_ref(&first));
    assert_eq!(ids("?state=requested"), std::slice::from_ref(&second));
    assert_eq!(
        ids(&format!("?card_id={card_id}")),
        std::slice::from_ref(&first)
    );
    assert_eq!(
        ids(&format!("?account_id={account_id}")),
        std::slice::from_ref(&second)
    );
    assert_eq!(ids(&format!("?starting_after={second}&limit=5")), [first]);
}

#[test]
fn the_same_request_under_one_key_makes_one_exception() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card_id) = limited_card(&client);
    let keyed = client.header("Idempotency-Key", "trip");
    let body = raise(&card_id, 5_000, "2100-01-01T00:00:00Z");
    let ids = [0, 1].map(|_| keyed.post("/v1/exceptions", body.clone()).created());
    assert_eq!(ids[0], ids[1]);
    assert_eq!(
        client.get("/v1/exceptions").ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_wrong_with_an_exception_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    let (account_id, card_id) = limited_card(&client);
    let good = raise(&card_id, 5_000, "2100-01-01T00:00:00Z");
    let invalid = "invalid_request";
    let nobody = "card_0000000000001";
    let cases: [(&str, Value, super::refusals::Expected); 16] = [
        (
            "card_id",
            Value::Null,
            (400, invalid, "subject_invalid", Some("card_id")),
        ),
        (
            "account_id",
            json!(account_id),
            (400, invalid, "subject_invalid", Some("card_id")),
        ),
        (
            "card_id",
            json!(nobody),
            (404, "not_found", "card_not_found", Some("card_id")),
        ),
        (
            "lifts",
            Value::Null,
            (400, invalid, "field_missing", Some("lifts")),
        ),
        (
            "lifts",
            json!({}),
            (400, invalid, "nothing_named", Some("lifts")),
        ),
        (
            "lifts",
            json!({"limits": [{"amount": 5}]}),
            (400, invalid, "field_missing", Some("lifts.limits[0].id")),
        ),
        (
            "lifts",
            json!({"limits": [{"id": LIMIT}]}),
            (
                400,
                invalid,
                "field_missing",
                Some("lifts.limits[0].amount"),
            ),
        ),
        (
            "lifts",
            json!({"limits": [{"id": LIMIT, "amount": 5}, {"id": LIMIT, "count": 5}]}),
            (400, invalid, "id_repeated", Some("lifts.limits[1].id")),
        ),
        (
            "lifts",
            json!({"mcc": ["x"]}),
            (400, invalid, "mcc_invalid", Some("lifts.mcc[0]")),
        ),
        (
            "lifts",
            json!({"time_windows": []}),
            (400, invalid, "field_unknown", Some("lifts.time_windows")),
        ),
        (
            "ends_at",
            Value::Null,
            (400, invalid, "field_missing", Some("ends_at")),
        ),
        (
            "ends_at",
            json!("tomorrow"),
            (400, invalid, "time_invalid", Some("ends_at")),
        ),
        (
            "ends_at",
            json!("2020-01-01T00:00:00Z"),
            (409, "conflict", "exception_over", Some("ends_at")),
        ),
        (
            "reason",
            Value::Null,
            (400, invalid, "field_missing", Some("reason")),
        ),
        (
            "requested_by",
            json!("Ann"),
            (400, invalid, "field_unknown", Some("requested_by")),
        ),
        (
            "max_uses",
            json!(0),
            (400, invalid, "number_invalid", Some("max_uses")),
        ),
    ];
    for (name, value, expected) in cases {
        let mut body = good.clone();
        body[name] = value;
        let case = body.to_string();
        assert_error(&client.post("/v1/exceptions", body), expected, &case);
    }
    let mut of_link = good.clone();
    of_link["card_id"] = Value::Null;
    of_link["link"] = json!({"type": "project", "id": "nowhere"});
    let unknown = (404, "not_found", "link_not_found", Some("link"));
    assert_error(
        &client.post("/v1/exceptions", of_link),
        unknown,
        "nobody is linked",
    );
    let id = client.post("/v1/exceptions", good).created();
    let path = format!("/v1/exceptions/{id}");
    let forbidden = (409, "conflict", "exception_state_forbids", None);
    let end = client.post(&format!("{path}/end"), json!({}));
    assert_error(&end, forbidden, "not approved yet");
    client.post(&format!("{path}/reject"), json!({})).ok();
    let approve = client.post(&format!("{path}/approve"), json!({}));
    assert_error(&approve, forbidden, "rejected");
    let not_there = (404, "not_found", "exception_not_found", None);
    assert_error(
        &client.get("/v1/exceptions/exc_0000000000001"),
        not_there,
        "no such id",
    );
    let approve = client.post("/v1/exceptions/exc_1/approve", json!({}));
    assert_error(&approve, not_there, "no id");
}

#[test]
fn what_others_ask_for_costs_a_list_nothing_but_a_look() {
    const OF_OTHERS: usize = 40;
    let switch = Switch::start();
    let root = switch.client();
    let ask = |account_id: &str| {
        let mut body = raise("", 5_000, "2100-01-01T00:00:00Z");
        body["card_id"] = Value::Null;
        body["account_id"] = account_id.into();
        root.post("/v1/exceptions", body).created()
    };
    let (program_id, account_id) = root.program_and_account();
    let own = ask(&account_id);
    let (others, _) = root.program_and_account();
    for _ in 0..OF_OTHERS {
        let body = json!({"program_id": others});
        ask(&root.post("/v1/accounts", body).created());
    }
    let body = json!({"name": "own", "scopes": ["exceptions:read"], "program_ids": [program_id]});
    let client = with_key(&root, body);
    let turns = || {
        let stats = switch.switchboard.stats.iter();
        stats.map(|loops| loops.turns()).sum::<u64>()
    };
    let before = turns();
    let seen = client.get("/v1/exceptions?limit=1").ok();
    let taken = turns() - before;
    assert_eq!(seen["data"][0]["id"], json!(own));
    assert_eq!(
        (seen["data"].as_array().unwrap().len(), &seen["has_more"]),
        (1, &json!(false))
    );
    assert!(taken < OF_OTHERS as u64 / 2, "{taken} turns of the loops");
    // A page of its own where there is more.
    let all = root.get("/v1/exceptions?limit=40").ok();
    assert_eq!(
        (all["data"].as_array().unwrap().len(), &all["has_more"]),
        (40, &json!(true))
    );
    let last = all["data"][39]["id"].as_str().unwrap();
    let rest = root
        .get(&format!("/v1/exceptions?limit=40&starting_after={last}"))
        .ok();
    assert_eq!(
        (rest["data"][0]["id"].as_str(), &rest["has_more"]),
        (Some(&*own), &json!(false))
    );
}
