//! Shares of what all have in common: nobody takes what is another's, and the operator always has some.

use super::harness::{Client, Disk, Options, Switch};
use super::keys::{with_key, with_key_and_id};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// A key of a tenant of its own.
fn tenant(root: &Client, program_id: &str, scopes: &[&str]) -> Client {
    let body = json!({"name": "tenant", "scopes": scopes, "program_ids": [program_id]});
    with_key(root, body)
}

fn keyed(client: &Client, key: impl ToString) -> Client {
    client.header("Idempotency-Key", &key.to_string())
}

fn metric(root: &Client, name: &str) -> u64 {
    let text = root.get("/metrics").text;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn idempotency_keys_of_one_tenant_leave_room_for_all_others_and_are_kept() {
    let switch = Switch::start();
    let root = switch.client();
    let program_id = root.program();
    switch.change_settings(|settings| settings.idempotency_bytes_of_tenant_max = 4_096);
    let [one, other] =
        [(); 2].map(|()| tenant(&root, &program_id, &["accounts:write", "keys:write"]));
    let account = json!({"program_id": program_id});
    let open = |client: &Client, key| keyed(client, key).post("/v1/accounts", account.clone());
    let first = open(&one, 0);
    first.created();
    let mut key = 1;
    let refused = loop {
        let told = open(&one, key);
        match told.status {
            201 => key += 1,
            _ => break told,
        }
        assert!(key < 20, "nothing is full");
    };
    let (status, error_type, code, param) = refused.error();
    assert_eq!(
        (status, &*error_type, &*code),
        (429, "rate_limited", "idempotency_share_full")
    );
    assert_eq!(param.as_deref(), Some("Idempotency-Key"));
    assert_eq!(refused.header("Retry-After"), Some("60"));
    // Its share is that of all keys which come from it.
    let child = json!({"name": "child", "scopes": ["accounts:write"], "program_ids": [program_id]});
    let child = with_key(&one, child);
    assert_eq!(open(&child, 0).error().2, "idempotency_share_full");
    // Nothing that was kept is lost, and nothing done twice.
    let again = open(&one, 0);
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    for client in [&other, &root] {
        open(client, 0).created();
    }
    // Without a key nothing is kept.
    one.post("/v1/accounts", account.clone()).created();
    switch.change_settings(|settings| settings.idempotency_bytes_max = 4_096);
    let refused = open(&root, 1);
    let (status, error_type, code, _) = refused.error();
    assert_eq!(
        (status, &*error_type, &*code),
        (503, "unavailable", "idempotency_keys_full")
    );
    assert_eq!(refused.header("Retry-After"), Some("60"));
}

#[test]
fn a_refusal_frees_what_is_over() {
    let (switch, clock) = Switch::start_with_clock();
    let root = switch.client();
    let program_id = root.program();
    switch.change_settings(|settings| settings.idempotency_bytes_of_tenant_max = 4_096);
    let account = json!({"program_id": program_id});
    for key in 0..100 {
        let made = keyed(&root, key).post("/v1/accounts", account.clone());
        made.created();
    }
    let own = tenant(&root, &program_id, &["accounts:write"]);
    clock.fetch_add(2 * 24 * 3_600_000, Ordering::Relaxed);
    let mut made = 0;
    while keyed(&own, made)
        .post("/v1/accounts", account.clone())
        .status
        == 201
    {
        made += 1;
    }
    // Each of those has freed a few of them.
    assert!((3..16).contains(&made), "{made}");
    assert_eq!(metric(&root, "cardswitch_idempotency_keys "), made);
}

#[test]
fn long_answers_take_little_memory_and_come_back_as_they_were() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, account_id) = root.program_and_account();
    let card_id = root.card(&account_id);
    let path = format!("/v1/cards/{card_id}");
    let merchants: Vec<Value> = (0..200)
        .map(|n| json!({"id": format!("MERCHANT{n:07}")}))
        .collect();
    let body = json!({"controls": {"merchants": {"block": merchants}}});
    let before = metric(&root, "cardswitch_idempotency_bytes ");
    let first = keyed(&root, "k").patch(&path, body.clone());
    first.ok();
    let taken = metric(&root, "cardswitch_idempotency_bytes ") - before;
    assert!(
        taken < first.text.len() as u64 / 2,
        "{taken} of {}",
        first.text.len()
    );
    assert_eq!(metric(&root, "cardswitch_idempotency_keys "), 1);
    let disk = switch.disk.clone();
    drop(switch);
    let switch = Switch::start_on(disk, Options::default());
    let root = switch.client();
    assert_eq!(
        metric(&root, "cardswitch_idempotency_bytes "),
        before + taken
    );
    let again = keyed(&root, "k").patch(&path, body);
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
}

#[test]
fn a_tenant_takes_its_endpoints_and_keys_and_no_more() {
    let switch = Switch::start();
    let root = switch.client();
    let program_id = root.program();
    let scopes = [
        "webhooks:write",
        "webhooks:read",
        "cards:read",
        "keys:write",
        "programs:read",
    ];
    let [one, other] = [(); 2].map(|()| tenant(&root, &program_id, &scopes));
    let child = json!({"name": "child", "scopes": scopes, "program_ids": [program_id]});
    let child_of_one = with_key(&one, child.clone());
    let endpoint = |client: &Client| {
        let body = json!({"events": ["card.frozen"]});
        client.post("/v1/webhook_endpoints", body)
    };
    for number in 0..100 {
        endpoint([&one, &child_of_one][number % 2]).created();
    }
    for client in [&one, &child_of_one] {
        let (status, _, code, _) = endpoint(client).error();
        assert_eq!((status, &*code), (409, "too_many_webhook_endpoints"));
    }
    for client in [&other, &root] {
        endpoint(client).created();
    }
    // Itself and the child are two of them.
    for number in 0..198 {
        let made = [&one, &child_of_one][number % 2].post("/v1/api_keys", child.clone());
        made.created();
    }
    for client in [&one, &child_of_one] {
        let (status, _, code, _) = client.post("/v1/api_keys", child.clone()).error();
        assert_eq!((status, &*code), (409, "too_many"));
    }
    for client in [&other, &root] {
        client.post("/v1/api_keys", child.clone()).created();
    }
}

const DAY_MS: i64 = 24 * 3_600_000;

#[test]
fn a_key_that_was_revoked_is_forgotten_and_what_it_did_is_still_told() {
    let (switch, now_ms) = Switch::start_with_clock();
    let root = switch.client();
    let program_id = root.program();
    let scopes = ["keys:write", "keys:read", "programs:read"];
    let body = json!({"name": "maker", "scopes": scopes, "program_ids": [program_id]});
    let (maker, id) = with_key_and_id(&root, body.clone());
    let (child, child_id) = with_key_and_id(&maker, body);
    root.post(&format!("/v1/api_keys/{id}/revoke"), json!({}))
        .ok();
    let told = |key: &Client| key.get("/v1/programs").error();
    now_ms.fetch_add(30 * DAY_MS - 1, Ordering::Relaxed);
    let other = json!({"name": "other", "scopes": scopes});
    with_key(&root, other.clone());
    assert_eq!(told(&maker).2, "api_key_revoked");
    now_ms.fetch_add(1, Ordering::Relaxed);
    with_key(&root, other);
    assert_eq!(told(&maker).2, "api_key_unknown");
    let path = format!("/v1/api_keys/{id}");
    assert_eq!(root.get(&path).error().2, "api_key_not_found");
    // Its child says who made it, and the audit log what that was.
    assert_eq!(
        child.get(&format!("/v1/api_keys/{child_id}")).ok()["created_by"],
        id
    );
    switch.projected();
    let log = root.get(&format!("/v1/audit_log?object_id={id}")).ok();
    let log = log["data"].as_array().unwrap();
    assert_eq!(log.last().unwrap()["after"]["name"], "maker");
    let done = root.get(&format!("/v1/audit_log?api_key_id={id}")).ok();
    assert_eq!(done["data"][0]["object_id"], child_id);
    // And goes with whoever made its maker.
    child.get("/v1/programs").ok();
}

#[test]
fn an_exception_that_is_over_for_long_is_not_there() {
    let (switch, now_ms) = Switch::start_with_clock();
    let root = switch.client();
    let (_, account_id) = root.program_and_account();
    let ask = |ends_at: &str| {
        let body = json!({"account_id": account_id, "lifts": {"mcc": ["7995"]},
                          "ends_at": ends_at, "reason": "trip"});
        root.post("/v1/exceptions", body).created()
    };
    // The clock begins on 2026-11-18.
    let first = ask("2026-11-20T00:00:00Z");
    let path = format!("/v1/exceptions/{first}");
    now_ms.fetch_add(90 * DAY_MS, Ordering::Relaxed);
    ask("2030-01-01T00:00:00Z");
    root.get(&path).ok();
    now_ms.fetch_add(2 * DAY_MS, Ordering::Relaxed);
    ask("2030-01-01T00:00:00Z");
    assert_eq!(root.get(&path).error().2, "exception_not_found");
    assert_eq!(
        root.get("/v1/exceptions").ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// Who announces with another's reference is neither paid in its place, nor stops it, nor has it stopped.
#[test]
fn an_external_reference_is_not_taken_from_another_tree() {
    let options = Options {
        sandbox: false,
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let root = switch.client();
    let [(program_id, theirs), (own_program_id, own)] =
        [(); 2].map(|()| root.program_and_account());
    let thief = tenant(&root, &own_program_id, &["funds:topup", "accounts:read"]);
    let announce = |client: &Client, account: &str, method: &str| {
        let body =
            json!({"amount": 100, "currency": "USD", "method": method, "external_reference": "W1"});
        client.post(&format!("/v1/accounts/{account}/top_ups"), body)
    };
    announce(&thief, &own, "swift").created();
    announce(&thief, &own, "sepa").created();
    let id = announce(&root, &theirs, "swift").created();
    let pay = |more: Value| {
        let mut body =
            json!({"reference": "W1", "amount": 100, "currency": "USD", "method": "swift"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        root.post("/v1/incoming_payments", body).ok()
    };
    let told = pay(json!({}));
    let unclear = [&json!("unmatched"), &json!("reference_of_several_accounts")];
    assert_eq!([&told["result"], &told["reason"]], unclear);
    let told = pay(json!({"program_id": own_program_id, "account_id": theirs}));
    assert_eq!(told["reason"], "reference_unknown");
    for whose in [
        json!({"account_id": theirs}),
        json!({"program_id": program_id}),
    ] {
        let told = pay(whose);
        assert_eq!(told["top_up_id"], json!(id), "{told}");
    }
    let csv = root.header("Content-Type", "text/csv");
    let file = format!(
        "reference,amount,currency,method,program_id\nW1,100,USD,swift,{program_id}\nW1,100,USD,swift,\n"
    );
    let told = csv
        .send("POST", "/v1/incoming_payments", file.as_bytes())
        .ok();
    let results: Vec<_> = told["payments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["result"])
        .collect();
    assert_eq!(results, [&json!("duplicate"), &json!("unmatched")]);
    let read = |account: &str| root.get(&format!("/v1/accounts/{account}")).ok()["posted"].clone();
    assert_eq!([read(&theirs), read(&own)], [json!(100), json!(0)]);
    // Its own id is told with the account, too.
    let by_id = json!({"reference": id, "account_id": own});
    assert_eq!(pay(by_id)["reason"], "reference_unknown");
    assert_eq!(
        pay(json!({"reference": id, "account_id": theirs}))["result"],
        "duplicate"
    );
}
