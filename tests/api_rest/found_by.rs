//! Payments found by what decided and what was posted, events and ledger entries by what their payment is, and by whose card.

use super::exceptions::{limited_card, raise};
use super::harness::{Client, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use serde_json::{Value, json};

/// The ids of all entries of a list.
fn ids(switch: &Switch, client: &Client, path: &str) -> Vec<String> {
    switch.projected();
    let list = client.get(path).ok();
    let data = list["data"].as_array().unwrap().iter();
    data.map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn payments_are_found_by_what_decided_and_by_what_was_posted() {
    let switch = Switch::start();
    let client = switch.client();
    client
        .post("/v1/webhook_endpoints", json!({"events": ["*"]}))
        .created();
    let (_, card) = limited_card(&client);
    let pay = |amount: i64, merchant: &str| {
        let body = json!({"card_id": card, "amount": amount, "merchant": {"id": merchant}});
        client.post("/v1/simulate/authorizations", body).created()
    };
    let declined = pay(3_000, "SHOP1");
    let far = "2100-01-01T00:00:00Z";
    let exception = client
        .post("/v1/exceptions", raise(&card, 5_000, far))
        .created();
    let scopes = json!(["exceptions:request", "exceptions:approve"]);
    let bob = with_key(&client, json!({"name": "Bob", "scopes": scopes}));
    let approve = format!("/v1/exceptions/{exception}/approve");
    bob.post(&approve, json!({})).ok();
    let passed = pay(3_000, "SHOP2");
    // It is beyond the limit too, as what was paid before it counts.
    let small = pay(10, "SHOP2");
    let clearing = json!({"authorization_id": passed, "amount": 3_000});
    client.post("/v1/simulate/clearings", clearing).created();
    let told = client.get(&format!("/v1/authorizations/{passed}")).ok();
    let transaction = told["transactions"][0].as_str().unwrap().to_owned();
    let code = told["approval_code"].as_str().unwrap();
    let found = |query: &str| ids(&switch, &client, query);
    for (path, expected) in [
        (
            "/v1/authorizations?rule_id=lim_0000000000001".to_owned(),
            &[&declined][..],
        ),
        (
            "/v1/authorizations?rule_id=lim_0000000000002".to_owned(),
            &[],
        ),
        (
            format!("/v1/authorizations?exception_id={exception}"),
            &[&small, &passed],
        ),
        (
            format!("/v1/authorizations?transaction_id={transaction}"),
            &[&passed],
        ),
        (
            format!("/v1/transactions?approval_code={code}"),
            &[&transaction],
        ),
        ("/v1/transactions?approval_code=nobody".to_owned(), &[]),
    ] {
        assert_eq!(
            found(&path),
            expected.iter().map(|id| (*id).clone()).collect::<Vec<_>>(),
            "{path}"
        );
    }
    let entries = found("/v1/ledger_entries?merchant_id=SHOP2");
    let entry = client.get("/v1/ledger_entries?merchant_id=SHOP2").ok();
    assert_eq!(entries.len(), 1);
    assert_eq!(entry["data"][0]["source"]["id"], json!(transaction));
    assert_eq!(found("/v1/ledger_entries?merchant_id=SHOP1"), [""; 0]);
    assert_eq!(found("/v1/ledger_entries?currency=JPY"), [""; 0]);
    assert_eq!(
        found("/v1/ledger_entries?currency=USD"),
        found("/v1/ledger_entries")
    );
    // Events are those of the payments that fit, each of them and no other.
    let of = |query: &str| -> Vec<(String, String)> {
        switch.projected();
        let list = client
            .get(&format!("/v1/events?type=authorization.*&{query}"))
            .ok();
        let data = list["data"].as_array().unwrap().iter();
        let told = |event: &Value| {
            let id = event["data"]["authorization"]["id"].as_str().unwrap();
            (event["type"].as_str().unwrap().to_owned(), id.to_owned())
        };
        data.map(told)
            .filter(|(kind, _)| kind != "authorization.requested")
            .collect()
    };
    let no = ("authorization.declined".to_owned(), declined);
    let yes = |id: &str| ("authorization.approved".to_owned(), id.to_owned());
    let limit = told_reason(&client, &no.1);
    assert_eq!(of(&format!("reason={limit}")), std::slice::from_ref(&no));
    assert_eq!(of("reason=card_lost"), []);
    assert_eq!(of("merchant_id=SHOP1"), [no]);
    let of_shop = of("merchant_id=SHOP2");
    assert!(
        of_shop.contains(&yes(&passed)) && of_shop.contains(&yes(&small)),
        "{of_shop:?}"
    );
    assert_eq!(
        of("currency=USD&amount_from=10&amount_until=11"),
        [yes(&small)]
    );
}

fn told_reason(client: &Client, id: &str) -> String {
    let told = client.get(&format!("/v1/authorizations/{id}")).ok();
    told["decision"]["reason"].as_str().unwrap().to_owned()
}

/// What a filter finds out is told by another route: its scope is asked for beside that of the list.
#[test]
fn filters_take_the_scope_of_what_they_tell() {
    let switch = Switch::start();
    let client = switch.client();
    let with = |scopes: &[&str]| with_key(&client, json!({"name": "k", "scopes": scopes}));
    let listener = with(&["webhooks:read", "alerts:declines"]);
    let bookkeeper = with(&["accounts:read", "transactions:read"]);
    let amount = "currency=USD&amount_from=1";
    for (key, path, scope) in [
        (&listener, format!("events?{amount}"), "authorizations:read"),
        (
            &listener,
            format!("events/stream?{amount}"),
            "authorizations:read",
        ),
        (
            &listener,
            format!("deliveries?{amount}"),
            "authorizations:read",
        ),
        (
            &listener,
            "events?merchant_id=M".to_owned(),
            "authorizations:read",
        ),
        (
            &listener,
            "deliveries?merchant_id=M".to_owned(),
            "authorizations:read",
        ),
        (
            &listener,
            "events?cardholder_id=holder_0000000000001".to_owned(),
            "cards:read",
        ),
        (
            &bookkeeper,
            "ledger_entries?cardholder_id=holder_0000000000001".to_owned(),
            "cards:read",
        ),
        (
            &bookkeeper,
            "transactions?approval_code=A".to_owned(),
            "authorizations:read",
        ),
        (
            &bookkeeper,
            "transactions?token_id=tok_0000000000001".to_owned(),
            "cards:read",
        ),
        (
            &bookkeeper,
            "transactions?cardholder_id=holder_0000000000001".to_owned(),
            "cards:read",
        ),
        (
            &listener,
            "deliveries?card_id=card_0000000000001".to_owned(),
            "cards:read",
        ),
        (
            &listener,
            "deliveries?link_type=user".to_owned(),
            "cards:read",
        ),
        (
            &listener,
            "deliveries?account_id=acct_0000000000001".to_owned(),
            "accounts:read",
        ),
        (
            &listener,
            "deliveries?object_id=card_0000000000001".to_owned(),
            "cards:read",
        ),
        (
            &listener,
            "deliveries?object_id=acct_0000000000001".to_owned(),
            "accounts:read",
        ),
        (
            &listener,
            "deliveries?object_id=prog_0000000000001/user/u".to_owned(),
            "cards:read",
        ),
        (
            &listener,
            "deliveries?authorization_id=auth_0000000000001".to_owned(),
            "authorizations:read",
        ),
    ] {
        let expected = (403, "permission", "scope_missing", Some(scope));
        assert_error(&key.get(&format!("/v1/{path}")), expected, &path);
    }
    listener.get("/v1/events?reason=card_lost").ok();
    bookkeeper.get("/v1/ledger_entries?merchant_id=M").ok();
    let deaf = with(&["webhooks:read"]);
    let expected = (
        403,
        "permission",
        "scope_missing",
        Some("authorizations:read"),
    );
    assert_error(
        &deaf.get("/v1/events?reason=card_lost&type=webhook_endpoint.*"),
        expected,
        "reason",
    );
}

#[test]
fn what_cannot_be_sought_is_named() {
    let switch = Switch::start();
    let client = switch.client();
    for (path, code, param) in [
        (
            "/v1/authorizations?rule_id=card_0000000000001",
            "id_malformed",
            "rule_id",
        ),
        (
            "/v1/authorizations?exception_id=x",
            "id_malformed",
            "exception_id",
        ),
        ("/v1/events?reason=unheard_of", "value_unknown", "reason"),
        ("/v1/deliveries?amount_from=5", "field_missing", "currency"),
        ("/v1/accounts?link_id=p1", "field_missing", "link_type"),
        (
            "/v1/transfers?card_id=acct_0000000000001",
            "id_malformed",
            "card_id",
        ),
    ] {
        let expected = (400, "invalid_request", code, Some(param));
        assert_error(&client.get(path), expected, path);
    }
}

#[test]
fn ledger_entries_events_and_calls_are_found_by_the_cardholder() {
    let switch = Switch::start();
    let client = switch.client();
    client
        .post("/v1/webhook_endpoints", json!({"events": ["*"]}))
        .created();
    let (program, account) = client.program_and_account();
    let top_up = json!({"amount": 1_000, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{account}/top_ups");
    client.post(&path, top_up).created();
    let holder = json!({"program_id": program, "home_country": "DE"});
    let holder = client.post("/v1/cardholders", holder).created();
    let card = |holder: Option<&str>| {
        let body = json!({"account_id": account, "cardholder_id": holder});
        client.post("/v1/cards", body).created()
    };
    let (held, free) = (card(Some(&holder)), card(None));
    for card in [&held, &free] {
        let body = json!({"card_id": card, "amount": 60});
        client.post("/v1/simulate/authorizations", body).created();
        client
            .post(&format!("/v1/cards/{card}/freeze"), json!({}))
            .ok();
    }
    let query = format!("cardholder_id={holder}");
    switch.projected();
    let list = client.get(&format!("/v1/events?type=card.*&{query}")).ok();
    let events = list["data"].as_array().unwrap();
    assert!(!events.is_empty());
    for event in events {
        assert_eq!(event["data"]["card_id"], json!(held));
    }
    assert_eq!(
        ids(&switch, &client, &format!("/v1/deliveries?{query}")),
        [""; 0]
    );
    let path = format!("/v1/ledger_entries?{query}");
    assert_eq!(
        ids(&switch, &client, &path),
        [""; 0],
        "nothing is posted yet"
    );
    let all = ids(&switch, &client, "/v1/ledger_entries");
    let path = format!("/v1/ledger_entries?program_id={program}");
    assert_eq!(ids(&switch, &client, &path), all);
}
