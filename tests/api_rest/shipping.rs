//! The making and sending of physical cards over the interface.

use crate::harness::{Client, Switch};
use serde_json::{Value, json};

fn address() -> Value {
    json!({"name": "Ann Secret", "line1": "1 Hidden Street", "line2": null, "city": "Nowhere", "region": "NY",
           "postal_code": "10001", "country": "US", "phone": "+12125550100"})
}

fn physical(client: &Client, account: &str) -> String {
    let body = json!({"account_id": account, "type": "physical", "shipping": {"address": address(), "method": "express"}});
    client.post("/v1/cards", body).created()
}

#[track_caller]
fn ship(client: &Client, card: &str, body: Value) -> Value {
    client
        .post(&format!("/v1/cards/{card}/shipping"), body)
        .ok()
}

fn conflict(client: &Client, path: &str, body: Value) -> String {
    let (status, _, code, _) = client.post(path, body).error();
    assert_eq!(status, 409, "{path}");
    code
}

#[test]
fn a_card_is_ordered_made_sent_and_activated() {
    let switch = Switch::start();
    let client = switch.client();
    client
        .post("/v1/webhook_endpoints", json!({"events": ["*"]}))
        .created();
    let (_, account) = client.program_and_account();
    let card = physical(&client, &account);
    let of_card = format!("/v1/cards/{card}");
    let shown = client.get(&of_card).ok();
    assert_eq!(
        shown["shipping"],
        json!({"status": "ordered", "method": "express", "address": address(), "carrier": null,
               "tracking_number": null, "eta": null, "changed_at": shown["created_at"]})
    );
    let activate = format!("{of_card}/activate");
    assert_eq!(conflict(&client, &activate, json!({})), "card_not_shipped");
    ship(&client, &card, json!({"status": "in_production"}));
    ship(&client, &card, json!({"status": "produced"}));
    let path = format!("{of_card}/shipping");
    assert_eq!(
        conflict(&client, &path, json!({"status": "delivered"})),
        "shipping_status_forbids"
    );
    let told = client.post(&path, json!({"status": "delivered"})).text;
    assert!(
        told.contains("shipping is produced comes to shipped, failed, cancelled next"),
        "{told}"
    );
    let sent = json!({"status": "shipped", "carrier": "DHL", "tracking_number": "JD01", "eta": "2026-12-01"});
    let shown = ship(&client, &card, sent.clone());
    for name in ["status", "carrier", "tracking_number", "eta"] {
        assert_eq!(shown["shipping"][name], sent[name], "{name}");
    }
    assert_eq!(client.post(&activate, json!({})).ok()["status"], "active");
    ship(&client, &card, json!({"status": "delivered"}));
    let other = physical(&client, &account);
    switch.projected();
    let listed = |status: &str| {
        let page = client
            .get(&format!("/v1/cards?shipping_status={status}"))
            .ok();
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|card| card["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (listed("delivered"), listed("ordered")),
        (vec![json!(card)], vec![json!(other)])
    );
    // Told each time, with the parcel where there is one, and without where it goes to.
    let page = client
        .get(&format!(
            "/v1/events?type=card.shipping_updated&card_id={card}"
        ))
        .ok();
    let told = page["data"].as_array().unwrap();
    let statuses: Vec<_> = told
        .iter()
        .map(|event| event["data"]["card"]["shipping_status"].clone())
        .collect();
    assert_eq!(
        statuses,
        ["in_production", "produced", "shipped", "delivered"].map(Value::from)
    );
    assert_eq!(told[2]["data"]["parcel"]["carrier"], "DHL");
    for path in ["/v1/events?limit=100", "/v1/audit_log?limit=100"] {
        let page = client.get(path).text;
        assert!(page.contains(&card) && page.contains("express") | path.contains("events"));
        for secret in ["Secret", "Hidden", "Nowhere", "10001", "2125550100"] {
            assert!(!page.contains(secret), "{secret} in {path}: {page}");
        }
    }
}

#[test]
fn a_reissued_card_goes_where_the_last_one_went_or_elsewhere() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let card = physical(&client, &account);
    let reissue = |card: &str, body: Value| {
        let made = client.post(&format!("/v1/cards/{card}/reissue"), body);
        made.created();
        made.json()
    };
    let second = reissue(&card, json!({"reason": "damaged"}));
    assert_eq!(second["shipping"]["status"], "ordered");
    assert_eq!(second["shipping"]["address"], address());
    let old = client.get(&format!("/v1/cards/{card}")).ok();
    assert_eq!(old["shipping"]["status"], "cancelled");
    let mut elsewhere = address();
    elsewhere["city"] = json!("Elsewhere");
    let second = second["id"].as_str().unwrap();
    ship(&client, second, json!({"status": "shipped"}));
    let third = reissue(
        second,
        json!({"reason": "lost", "shipping": {"address": elsewhere}}),
    );
    assert_eq!(third["shipping"]["address"]["city"], "Elsewhere");
    assert_eq!(third["shipping"]["method"], "standard");
    let old = client.get(&format!("/v1/cards/{second}")).ok();
    assert_eq!(old["shipping"]["status"], "shipped");
    // Closed before it was made, nobody is to make it.
    let id = third["id"].as_str().unwrap();
    client
        .post(&format!("/v1/cards/{id}/close"), json!({}))
        .ok();
    switch.projected();
    let page = client.get("/v1/cards?shipping_status=cancelled").ok();
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_wrong_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let post = |body: Value| client.post("/v1/cards", body).error();
    let of = |card_type: &str, shipping: Value| json!({"account_id": account, "type": card_type, "shipping": shipping});
    let (_, _, code, param) = post(of("virtual", json!({"address": address()})));
    assert_eq!(
        (&*code, param.as_deref()),
        ("shipping_of_virtual_card", Some("shipping"))
    );
    for (field, value, code) in [
        ("name", json!(null), "field_missing"),
        ("postal_code", json!(null), "field_missing"),
        ("line1", json!("4111111111111111"), "card_number_in_text"),
        ("country", json!("ZZ"), "country_unknown"),
        ("phone", json!("030 123"), "phone_invalid"),
        ("phone", json!("+4111111111111111"), "phone_invalid"),
        ("door", json!("7"), "field_unknown"),
    ] {
        let mut wrong = address();
        wrong[field] = value;
        let (status, _, found, param) = post(of("physical", json!({"address": wrong})));
        let path = format!("shipping.address.{field}");
        assert_eq!(
            (status, &*found, param.as_deref()),
            (400, code, Some(&*path))
        );
    }
    let (_, _, code, param) = post(of("physical", json!({"method": "express"})));
    assert_eq!(
        (&*code, param.as_deref()),
        ("field_missing", Some("shipping.address"))
    );
    // A card that nobody ships has no states.
    let plain = client
        .post(
            "/v1/cards",
            json!({"account_id": account, "type": "physical"}),
        )
        .created();
    assert_eq!(
        client.get(&format!("/v1/cards/{plain}")).ok()["shipping"],
        Value::Null
    );
    let path = format!("/v1/cards/{plain}/shipping");
    assert_eq!(
        conflict(&client, &path, json!({"status": "shipped"})),
        "no_shipping"
    );
    client
        .post(&format!("/v1/cards/{plain}/activate"), json!({}))
        .ok();
    for (body, code) in [
        (json!({}), "field_missing"),
        (json!({"status": "melted"}), "value_unknown"),
        (
            json!({"status": "delivered", "carrier": "DHL"}),
            "value_unknown",
        ),
        (
            json!({"status": "shipped", "eta": "2026-13-01"}),
            "date_invalid",
        ),
    ] {
        let (status, _, found, _) = client.post(&path, body).error();
        assert_eq!((status, &*found), (400, code));
    }
}

#[test]
fn rows_of_a_batch_are_sent_too() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let row =
        json!({"account_id": account, "type": "physical", "shipping": {"address": address()}});
    let rows = json!([row, {"account_id": account, "shipping": {"address": address()}}]);
    let batch = client
        .post("/v1/card_batches", json!({ "rows": rows }))
        .created();
    let path = format!("/v1/card_batches/{batch}");
    while client.get(&path).ok()["status"] != "done" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let rows = client.get(&format!("{path}/rows")).ok();
    let card = rows["data"][0]["card_id"].as_str().unwrap();
    let shown = client.get(&format!("/v1/cards/{card}")).ok();
    assert_eq!(shown["shipping"]["address"], address());
    assert_eq!(rows["data"][1]["error"]["code"], "shipping_of_virtual_card");
    assert_eq!(rows["data"][1]["error"]["param"], "shipping");
}
