//! Programs are changed, suspended, and have several BINs.

use super::card_batches::{over, rows_of};
use super::harness::{Client, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use serde_json::{Value, json};

fn path(id: &str) -> String {
    format!("/v1/programs/{id}")
}

fn funded_card(client: &Client) -> (String, String, String) {
    let (program, account) = client.program_and_account();
    super::transfers::top_up(client, &account, 100_000);
    let card = client.card(&account);
    (program, account, card)
}

/// What a network hears of a payment.
fn pay(client: &Client, card: &str, amount: i64) -> Value {
    let body = json!({"card_id": card, "amount": amount, "currency": "USD"});
    let paid = client.post("/v1/simulate/authorizations", body);
    paid.created();
    paid.json()["decision"].clone()
}

#[test]
fn what_is_named_is_replaced_and_counts_for_the_next_payment() {
    let switch = Switch::start();
    let client = switch.client();
    let (id, _, card) = funded_card(&client);
    let before = client.get(&path(&id)).ok();
    let limit = |amount: i64| json!({"limits": [{"id": "lim_0000000000007", "window": "day", "amount": amount}]});
    let changed = client
        .patch(
            &path(&id),
            json!({"name": "Travel", "controls": limit(1_000), "hold_expiry": {"hours": 5},
                   "foreign_exchange_mark_up_basis_points": 150, "product_type": "prepaid", "region": "US"}),
        )
        .ok();
    assert_eq!(client.get(&path(&id)).ok(), changed);
    assert_eq!(
        [
            &changed["name"],
            &changed["product_type"],
            &changed["region"],
            &changed["hold_expiry"]["hours"]
        ],
        [&json!("Travel"), &json!("prepaid"), &json!("US"), &json!(5)]
    );
    let thresholds = |of: &Value| of["limit_threshold_percents"].clone();
    assert_eq!(thresholds(&before), json!([80]));
    for (given, kept) in [(json!([100, 50]), json!([50, 100])), (json!([]), json!([]))] {
        let change = json!({"limit_threshold_percents": given});
        let now = client.patch(&path(&id), change).ok();
        assert_eq!(thresholds(&now), kept);
        assert_eq!(thresholds(&client.get(&path(&id)).ok()), kept);
    }
    for kept in [
        "id",
        "bin",
        "bins",
        "currency",
        "network",
        "status",
        "created_at",
    ] {
        assert_eq!(changed[kept], before[kept], "{kept}");
    }
    assert_eq!(pay(&client, &card, 700)["result"], "approved");
    assert_eq!(pay(&client, &card, 400)["reason"], "daily_limit_exceeded");
    // The limit keeps its id, and so what was used of it.
    client
        .patch(&path(&id), json!({"controls": limit(1_200)}))
        .ok();
    assert_eq!(pay(&client, &card, 600)["reason"], "daily_limit_exceeded");
    assert_eq!(pay(&client, &card, 500)["result"], "approved");
    client
        .patch(&path(&id), json!({"controls": {}, "hold_expiry": {}}))
        .ok();
    let now = client.get(&path(&id)).ok();
    assert_eq!(
        [&now["controls"], &now["hold_expiry"]],
        [&json!({}), &Value::Null]
    );
    assert_eq!(pay(&client, &card, 5_000)["result"], "approved");

    let empty = client.patch(&path(&id), json!({}));
    assert_error(
        &empty,
        (400, "invalid_request", "nothing_named", None),
        "empty",
    );
    let unknown = client.patch("/v1/programs/prog_0000000000001", json!({"name": "x"}));
    assert_error(
        &unknown,
        (404, "not_found", "program_not_found", None),
        "unknown",
    );
    for fixed in ["currency", "network", "bin", "status", "id"] {
        let refused = client.patch(&path(&id), json!({fixed: "411111"}));
        assert_error(
            &refused,
            (400, "invalid_request", "field_unknown", Some(fixed)),
            fixed,
        );
    }

    let disk = switch.disk.clone();
    drop(switch);
    let switch = Switch::start_on(disk, Default::default());
    let client = switch.client();
    assert_eq!(client.get(&path(&id)).ok(), now);
    switch.projected();
    assert_eq!(client.get("/v1/programs").ok()["data"], json!([now]));
}

#[test]
fn a_suspended_program_declines_until_it_is_resumed() {
    let switch = Switch::start();
    let client = switch.client();
    let (id, account, card) = funded_card(&client);
    let other = client.program();
    let post = |what: &str| {
        client
            .post(&format!("{}/{what}", path(&id)), json!({}))
            .ok()
    };
    assert_eq!(post("suspend")["status"], "suspended");
    assert_eq!(post("suspend")["status"], "suspended");
    let declined = pay(&client, &card, 100);
    assert_eq!(
        [&declined["reason"], &declined["step"]],
        [&json!("program_suspended"), &json!("account_status")]
    );
    // Another program goes on.
    assert_eq!(client.get(&path(&other)).ok()["status"], "active");
    // A frozen account is the nearer reason.
    client
        .post(&format!("/v1/accounts/{account}/freeze"), json!({}))
        .ok();
    assert_eq!(pay(&client, &card, 100)["reason"], "account_frozen");
    client
        .post(&format!("/v1/accounts/{account}/unfreeze"), json!({}))
        .ok();
    assert_eq!(post("resume")["status"], "active");
    assert_eq!(pay(&client, &card, 100)["result"], "approved");
}

#[test]
fn looser_controls_need_the_scope_for_it_and_a_bound_key_has_its_own_program() {
    let switch = Switch::start();
    let root = switch.client();
    let (id, other) = (root.program(), root.program());
    let scopes = json!(["programs:write", "programs:read"]);
    let key = json!({"name": "w", "scopes": scopes, "program_ids": [id]});
    let writer = with_key(&root, key);
    let limit = |amount: i64| json!({"controls": {"limits": [{"id": "lim_0000000000007", "window": "day", "amount": amount}]}});
    writer.patch(&path(&id), limit(1_000)).ok();
    writer.patch(&path(&id), limit(900)).ok();
    for looser in [limit(901), json!({"controls": {}})] {
        let refused = writer.patch(&path(&id), looser);
        let expected = (403, "permission", "scope_missing", Some("limits:raise"));
        assert_error(&refused, expected, "looser");
    }
    writer.patch(&path(&id), json!({"name": "Mine"})).ok();
    for refused in [
        writer.patch(&path(&other), json!({"name": "Theirs"})),
        writer.post(&format!("{}/suspend", path(&other)), json!({})),
    ] {
        assert_error(
            &refused,
            (404, "not_found", "program_not_found", None),
            "other",
        );
    }
    assert_eq!(root.get(&path(&other)).ok()["name"], "Ads");
}

#[test]
fn a_change_with_if_match_is_of_what_was_read() {
    let switch = Switch::start();
    let client = switch.client();
    let id = client.program();
    let etag = |client: &Client| client.get(&path(&id)).header("ETag").unwrap().to_owned();
    let first = etag(&client);
    client
        .post(&format!("{}/suspend", path(&id)), json!({}))
        .ok();
    assert_eq!(etag(&client), first);
    let matching = client.header("If-Match", &first);
    matching.patch(&path(&id), json!({"name": "Mine"})).ok();
    let late = matching.patch(&path(&id), json!({"name": "Theirs"}));
    let expected = (412, "conflict", "precondition_failed", Some("If-Match"));
    assert_error(&late, expected, "late");
    assert_eq!(client.get(&path(&id)).ok()["name"], "Mine");
}

#[test]
fn a_card_has_the_bin_that_its_order_names_and_keeps_it() {
    let switch = Switch::start();
    let client = switch.client();
    let body = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD",
                      "bins": ["411111", "422222"]});
    let made = client.post("/v1/programs", body);
    let (id, bins) = (made.created(), made.json()["bins"].clone());
    assert_eq!(bins, json!(["411111", "422222"]));
    let account = client.account(&id);
    let card = |bin: Value| client.post("/v1/cards", json!({"account_id": account, "bin": bin}));
    let first6 = |of: &super::harness::Answer| of.json()["first6"].clone();
    assert_eq!(first6(&card(Value::Null)), "411111");
    assert_eq!(first6(&card(json!("411111"))), "411111");
    let second = card(json!("422222"));
    assert_eq!(first6(&second), "422222");
    let reissue = format!("/v1/cards/{}/reissue", second.created());
    assert_eq!(
        first6(&client.post(&reissue, json!({"reason": "damaged"}))),
        "422222"
    );
    let refused = card(json!("433333"));
    assert_error(
        &refused,
        (409, "conflict", "bin_of_other_program", Some("bin")),
        "other",
    );
    let refused = card(json!("4333"));
    assert_error(
        &refused,
        (400, "invalid_request", "bin_invalid", Some("bin")),
        "short",
    );

    // One more, and it is the first from now on; none goes away.
    let changed = client
        .patch(&path(&id), json!({"bins": ["433333", "411111", "422222"]}))
        .ok();
    assert_eq!(changed["bin"], "433333");
    assert_eq!(first6(&card(Value::Null)), "433333");
    let refused = client.patch(&path(&id), json!({"bins": ["433333", "411111"]}));
    assert_error(
        &refused,
        (409, "conflict", "bin_not_removable", Some("bins")),
        "gone",
    );
    let twice = client.patch(&path(&id), json!({"bins": ["433333", "433333"]}));
    assert_error(
        &twice,
        (400, "invalid_request", "bin_repeated", Some("bins[1]")),
        "twice",
    );

    let rows =
        json!([{"account_id": account, "bin": "422222"}, {"account_id": account, "bin": "455555"}]);
    let batch = client
        .post("/v1/card_batches", json!({"rows": rows}))
        .created();
    over(&client, &batch);
    let rows = rows_of(&client, &batch, "");
    assert_eq!(rows[0]["status"], "issued");
    let issued = format!("/v1/cards/{}", rows[0]["card_id"].as_str().unwrap());
    assert_eq!(client.get(&issued).ok()["first6"], "422222");
    assert_eq!(rows[1]["error"]["code"], "bin_of_other_program");
}
