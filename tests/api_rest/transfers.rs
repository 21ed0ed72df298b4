//! Transfers over HTTP: within a tree, between trees, what is refused, and who sees them.

use super::harness::{Client, Disk, Options, Sql, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use serde_json::{Value, json};

pub fn top_up(client: &Client, account_id: &str, amount: i64) {
    let body = json!({"amount": amount, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{account_id}/top_ups");
    client.post(&path, body).created();
}

pub fn account(client: &Client, account_id: &str) -> Value {
    client.get(&format!("/v1/accounts/{account_id}")).ok()
}

pub fn posted(client: &Client, account_id: &str) -> i64 {
    account(client, account_id)["posted"].as_i64().unwrap()
}

fn body(from: &str, to: &str, amount: i64) -> Value {
    json!({"from_account_id": from, "to_account_id": to, "amount": amount, "currency": "USD"})
}

#[test]
fn money_goes_from_the_master_to_a_card_and_back() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, master) = client.program_and_account();
    top_up(&client, &master, 10_000);
    let card = client.post("/v1/cards", json!({"account_id": master, "funding": "own"}));
    card.created();
    let own = card.json()["account_id"].as_str().unwrap().to_owned();
    let sent = client.post("/v1/transfers", body(&master, &own, 2_500));
    let id = sent.created();
    assert!(id.starts_with("trf_"), "{id}");
    let told = sent.json();
    assert_eq!(
        [&told["status"], &told["return_reason"], &told["amount"]],
        [&json!("settled"), &Value::Null, &json!(2_500)]
    );
    assert_eq!(client.get(&format!("/v1/transfers/{id}")).ok(), told);
    assert_eq!(
        (posted(&client, &master), posted(&client, &own)),
        (7_500, 2_500)
    );
    client
        .post("/v1/transfers", body(&own, &master, 500))
        .created();
    assert_eq!(
        (posted(&client, &master), posted(&client, &own)),
        (8_000, 2_000)
    );
    switch.projected();
    // The entries of both sides name the transfer.
    for (account_id, amount) in [(&master, -2_500), (&own, 2_500)] {
        let path = format!("/v1/accounts/{account_id}/ledger_entries");
        let entries = client.get(&path).ok();
        let mut entries = entries["data"].as_array().unwrap().iter();
        let entry = entries.find(|entry| entry["source"]["id"] == json!(id));
        let entry = entry.unwrap();
        assert_eq!(entry["amount"], json!(amount));
        assert_eq!(entry["source"]["type"], "transfer");
    }
}

#[test]
fn between_trees_the_caller_hears_of_it_when_it_has_arrived() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, _) = client.program_and_account();
    // So that they are in several shards.
    let roots: Vec<_> = (0..6).map(|_| client.account(&program)).collect();
    top_up(&client, &roots[0], 60_000);
    for (place, to) in roots.iter().enumerate().skip(1) {
        let sent = client.post("/v1/transfers", body(&roots[0], to, 100 * place as i64));
        assert_eq!(sent.json()["status"], "settled", "{}", sent.text);
        assert_eq!(posted(&client, to), 100 * place as i64);
    }
    let sender = account(&client, &roots[0]);
    assert_eq!(
        (&sender["posted"], &sender["in_transit"]),
        (&json!(58_500), &json!(0))
    );
    switch.projected();
    let listed = |query: &str| client.get(&format!("/v1/transfers?{query}")).ok()["data"].clone();
    let of = |query: &str| listed(query).as_array().unwrap().len();
    assert_eq!(of("status=settled"), 5);
    assert_eq!(of("status=in_transit"), 0);
    assert_eq!(of(&format!("account_id={}", roots[0])), 5);
    assert_eq!(of(&format!("from_account_id={}", roots[1])), 0);
    assert_eq!(of(&format!("to_account_id={}", roots[1])), 1);
    let newest = listed("limit=1")[0].clone();
    assert_eq!(newest["to_account_id"], json!(roots[5]));
    let rest = format!("starting_after={}", newest["id"].as_str().unwrap());
    assert_eq!(of(&rest), 4);
    let path = format!("/v1/transfers/{}", newest["id"].as_str().unwrap());
    assert_eq!(client.get(&path).ok(), newest);
}

/// A crash at any record of it: the same request again comes to the same transfer, made once.
#[test]
fn a_transfer_that_a_crash_cut_off_is_made_once() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, from) = client.program_and_account();
    let to = client.account(&program);
    top_up(&client, &from, 1_000);
    let before = switch.journal.durable();
    let keyed = client.header("Idempotency-Key", "t1");
    let sent = keyed.post("/v1/transfers", body(&from, &to, 600)).json();
    assert_eq!(sent["status"], "settled");
    let after = switch.journal.durable();
    let disk: Disk = switch.disk.clone();
    drop(switch);
    for cut in before..=after {
        let switch = Switch::start_on(disk.cut_after(cut), Options::default());
        let client = switch.client();
        let keyed = client.header("Idempotency-Key", "t1");
        let again = keyed.post("/v1/transfers", body(&from, &to, 600)).json();
        assert_eq!(again["status"], "settled", "cut after {cut}: {again}");
        let money = (posted(&client, &from), posted(&client, &to));
        assert_eq!(money, (400, 600), "cut after {cut}");
        let id = again["id"].as_str().unwrap();
        let read = client.get(&format!("/v1/transfers/{id}")).ok();
        assert_eq!(read["status"], "settled", "cut after {cut}");
        assert_eq!(account(&client, &from)["in_transit"], 0);
    }
}

#[test]
fn a_transfer_is_read_while_sql_stands_still() {
    let options = Options {
        sql: Sql::StandsStill,
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let client = switch.client();
    let (program, from) = client.program_and_account();
    let to = client.account(&program);
    top_up(&client, &from, 1_000);
    let sent = client.post("/v1/transfers", body(&from, &to, 600));
    let path = format!("/v1/transfers/{}", sent.created());
    assert_eq!(client.get(&path).ok(), sent.json());
}

#[test]
fn what_cannot_be_moved_is_refused_and_moves_nothing() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, from) = client.program_and_account();
    top_up(&client, &from, 1_000);
    let (other, closed, euro) = (
        client.account(&program),
        client.account(&program),
        json!({"program_id": program, "currency": "EUR"}),
    );
    let euro = client.post("/v1/accounts", euro).created();
    let post = |path: String| client.send("POST", &path, b"").ok();
    post(format!("/v1/accounts/{closed}/close"));
    let with = |name: &str, value: Value| {
        let mut body = body(&from, &other, 100);
        body[name] = value;
        body
    };
    let (bad, conflict) = ((400, "invalid_request"), (409, "conflict"));
    let nobody = json!("acct_0000000000001");
    for (body, (status, kind), code, param) in [
        (
            with("amount", json!(1_001)),
            conflict,
            "insufficient_funds",
            "amount",
        ),
        (with("amount", json!(0)), bad, "number_invalid", "amount"),
        (with("amount", json!("1")), bad, "type_invalid", "amount"),
        (with("amount", Value::Null), bad, "field_missing", "amount"),
        (
            with("currency", json!("EUR")),
            conflict,
            "currency_mismatch",
            "currency",
        ),
        (
            with("to_account_id", json!(from)),
            bad,
            "same_account",
            "to_account_id",
        ),
        (
            with("to_account_id", json!(closed)),
            conflict,
            "account_closed",
            "to_account_id",
        ),
        (
            with("to_account_id", json!(euro)),
            conflict,
            "currency_mismatch",
            "to_account_id",
        ),
        (
            with("to_account_id", nobody.clone()),
            (404, "not_found"),
            "account_not_found",
            "to_account_id",
        ),
        (
            with("from_account_id", nobody),
            (404, "not_found"),
            "account_not_found",
            "from_account_id",
        ),
        (
            with("from_account_id", json!("x")),
            bad,
            "id_malformed",
            "from_account_id",
        ),
        (with("note", json!("x")), bad, "field_unknown", "note"),
    ] {
        let answer = client.post("/v1/transfers", body.clone());
        // A closed receiver in another tree takes nothing, and the money comes back.
        if code == "account_closed" {
            assert_eq!(answer.json()["status"], "returned", "{}", answer.text);
            assert_eq!(answer.json()["return_reason"], "account_closed");
            continue;
        }
        let expected = (status, kind, code, Some(param));
        assert_error(&answer, expected, &body.to_string());
    }
    assert_eq!(
        (posted(&client, &from), posted(&client, &other)),
        (1_000, 0)
    );
    post(format!("/v1/accounts/{from}/freeze"));
    let frozen = client.post("/v1/transfers", body(&from, &other, 1));
    let expected = (409, "conflict", "account_frozen", Some("from_account_id"));
    assert_error(&frozen, expected, "frozen");
    let below = json!({"program_id": program, "parent_id": from});
    let below = client.post("/v1/accounts", below).created();
    let stopped = client.post("/v1/transfers", body(&below, &other, 1));
    assert_error(&stopped, expected, "below a frozen one");
    for refused in [&frozen, &stopped] {
        assert!(refused.text.contains(&from), "{}", refused.text);
    }
    for path in ["/v1/transfers/trf_0000000000001", "/v1/transfers/x"] {
        let expected = (404, "not_found", "transfer_not_found", None);
        assert_error(&client.get(path), expected, path);
    }
    let expected = (400, "invalid_request", "value_unknown", Some("status"));
    assert_error(&client.get("/v1/transfers?status=lost"), expected, "status");
}

#[test]
fn a_bound_key_moves_money_between_what_it_sees_and_sees_both_ends() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, own) = root.program_and_account();
    let (sub, other) = (
        json!({"program_id": program, "parent_id": own}),
        root.account(&program),
    );
    let sub = root.post("/v1/accounts", sub).created();
    let stranger = root.account(&program);
    top_up(&root, &own, 1_000);
    top_up(&root, &other, 1_000);
    let key = |account: &str| {
        let body = json!({"name": "b", "scopes": ["funds:transfer", "accounts:read"], "account_ids": [account]});
        with_key(&root, body)
    };
    let bound = key(&own);
    bound.post("/v1/transfers", body(&own, &sub, 100)).created();
    for (from, to, param) in [
        (&own, &other, "to_account_id"),
        (&other, &own, "from_account_id"),
    ] {
        let refused = bound.post("/v1/transfers", body(from, to, 1));
        let expected = (404, "not_found", "account_not_found", Some(param));
        assert_error(&refused, expected, param);
    }
    // One that somebody else made is seen by both sides, and by no third.
    let across = root.post("/v1/transfers", body(&own, &other, 1)).created();
    let path = format!("/v1/transfers/{across}");
    switch.projected();
    for (account, sees) in [(&own, 2), (&other, 1), (&stranger, 0)] {
        let client = key(account);
        let listed = client.get("/v1/transfers").ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), sees);
        let status = client.get(&path).status;
        assert_eq!(status, if sees > 0 { 200 } else { 404 });
    }
}
