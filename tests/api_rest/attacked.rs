//! What attackers of the interface found, and finds no more: one test for each way in.

use super::exceptions::{limited_card, raise};
use super::harness::{Client, Disk, Options, Switch};
use super::keys::{with_key, with_key_and_id};
use super::refusals::assert_error;
use serde_json::{Value, json};

fn bound(root: &Client, scopes: &[&str], bounds: (&str, &str)) -> Client {
    let mut body = json!({"name": "bound", "scopes": scopes});
    body[bounds.0] = json!([bounds.1]);
    with_key(root, body)
}

#[test]
fn nobody_is_paid_in_place_of_a_top_up_whose_id_is_stated() {
    let options = Options {
        sandbox: false,
        ..Options::default()
    };
    let switch = Switch::start_on(Disk::new(), options);
    let root = switch.client();
    let program_id = root.program();
    let [theirs, own] = [(); 2].map(|()| root.account(&program_id));
    let announce = |account: &str, reference: Option<&str>| {
        let path = format!("/v1/accounts/{account}/top_ups");
        let mut body = json!({"amount": 1, "currency": "USD", "method": "swift"});
        if let Some(reference) = reference {
            body["external_reference"] = json!(reference);
        }
        root.post(&path, body)
    };
    let id = announce(&theirs, None).created();
    for reference in [id.clone(), id.to_uppercase(), format!(" {id} ")] {
        let told = announce(&own, Some(&reference));
        let param = Some("external_reference");
        let expected = (400, "invalid_request", "external_reference_invalid", param);
        assert_error(&told, expected, &reference);
    }
    let paid = json!({"reference": id, "amount": 50_000, "currency": "USD"});
    let paid = root.post("/v1/incoming_payments", paid).ok();
    assert_eq!(
        [&paid["result"], &paid["top_up_id"]],
        [&json!("matched"), &json!(id)]
    );
}

#[test]
fn a_bound_key_says_neither_what_its_program_charges_nor_which_bins_it_has() {
    let switch = Switch::start();
    let root = switch.client();
    let program_id = root.program();
    let path = format!("/v1/programs/{program_id}");
    let schedule = json!({"name": "s", "currency": "USD", "time_zone": "UTC",
                          "items": [{"kind": "monthly", "fee": {"amount": 500}}]});
    let schedule = root.post("/v1/fee_schedules", schedule).created();
    root.patch(&path, json!({"fee_schedule": schedule})).ok();
    let alone = with_key(&root, json!({"name": "p", "scopes": ["programs:write"]}));
    let none = json!({"fee_schedule": "none"});
    let told = alone.patch(&path, none.clone());
    let missing = (403, "permission", "scope_missing", Some("fees:write"));
    assert_error(&told, missing, "alone");
    let scopes = ["programs:write", "fees:write"];
    let own = bound(&root, &scopes, ("program_ids", &program_id));
    for (param, body) in [
        ("fee_schedule", none),
        (
            "foreign_exchange_mark_up_basis_points",
            json!({"foreign_exchange_mark_up_basis_points": 1}),
        ),
        ("bins", json!({"bins": ["411111", "489537"]})),
    ] {
        let told = own.patch(&path, body);
        let expected = (403, "permission", "key_is_bound", Some(param));
        assert_error(&told, expected, param);
    }
    own.patch(&path, json!({"name": "q", "bins": ["411111"]}))
        .ok();
}

#[test]
fn what_may_or_hears_more_is_not_taken_over() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, id) = with_key_and_id(&root, json!({"name": "b", "preset": "owner"}));
    let keys = with_key(&root, json!({"name": "a", "scopes": ["keys:write"]}));
    let told = keys.post(&format!("/v1/api_keys/{id}/revoke"), json!({}));
    let beyond = (403, "permission", "scope_beyond_caller", Some("scopes"));
    assert_error(&told, beyond, "revoke");
    let endpoint = json!({"url": "http://127.0.0.1:9/", "events": ["*"]});
    let endpoint = root.post("/v1/webhook_endpoints", endpoint).created();
    let path = format!("/v1/webhook_endpoints/{endpoint}");
    let hooks = with_key(&root, json!({"name": "w", "scopes": ["webhooks:write"]}));
    let rotated = hooks.post(&format!("{path}/rotate_secret"), json!({}));
    for told in [rotated, hooks.send("DELETE", &path, b"")] {
        let (status, _, code, _) = told.error();
        assert_eq!((status, &*code), (403, "scope_missing"));
    }
}

#[test]
fn a_key_that_is_rolled_makes_none_that_outlives_it() {
    let switch = Switch::start();
    let root = switch.client();
    let (old, id) = with_key_and_id(&root, json!({"name": "a", "scopes": ["keys:write"]}));
    root.post(
        &format!("/v1/api_keys/{id}/roll"),
        json!({"overlap_seconds": 600}),
    )
    .created();
    let child = old.post(
        "/v1/api_keys",
        json!({"name": "c", "scopes": ["keys:write"]}),
    );
    let beyond = (
        403,
        "permission",
        "expiry_beyond_caller",
        Some("expires_at"),
    );
    assert_error(&child, beyond, "child");
    let again = old.post(&format!("/v1/api_keys/{id}/roll"), json!({}));
    assert_error(&again, beyond, "roll");
}

/// One thread makes keys with the newest key, as fast as it can, while the first is revoked with its children.
#[test]
fn whoever_goes_on_making_keys_is_ended_with_the_first() {
    let switch = Switch::start();
    let root = switch.client();
    let make = |with: &Client| {
        let body = json!({"name": "c", "scopes": ["keys:write"]});
        let made = with.post("/v1/api_keys", body);
        (made.status == 201).then(|| {
            let key = made.json()["key"].as_str().unwrap().to_owned();
            root.header("Authorization", &format!("Bearer {key}"))
        })
    };
    let (first, id) = with_key_and_id(&root, json!({"name": "p", "scopes": ["keys:write"]}));
    std::thread::scope(|scope| {
        let chain = scope.spawn(|| {
            let mut chain = vec![first];
            while let Some(next) = make(chain.last().unwrap()) {
                chain.push(next);
            }
            chain
        });
        let busy = || {
            root.get("/v1/api_keys?limit=100").ok()["data"]
                .as_array()
                .unwrap()
                .len()
        };
        while busy() < 10 {}
        let revoke = format!("/v1/api_keys/{id}/revoke");
        root.post(&revoke, json!({"children": true})).ok();
        for key in chain.join().unwrap() {
            let told = key.get("/v1/programs").error();
            assert_eq!((told.0, &*told.2), (401, "api_key_revoked"));
        }
    });
}

#[test]
fn a_repeat_of_a_conditional_change_is_answered_as_the_first() {
    let switch = Switch::start();
    let root = switch.client();
    let path = format!("/v1/programs/{}", root.program());
    let etag = root.get(&path).header("etag").unwrap().to_owned();
    let conditional = root.header("If-Match", &etag);
    let keyed = conditional.header("Idempotency-Key", "once");
    let body = json!({"name": "q"});
    let first = keyed.patch(&path, body.clone()).ok();
    assert_eq!(keyed.patch(&path, body.clone()).ok(), first);
    let other = conditional.header("Idempotency-Key", "other");
    for client in [&conditional, &other] {
        let told = client.patch(&path, body.clone()).error();
        assert_eq!((told.0, &*told.2), (412, "precondition_failed"));
    }
    assert_eq!(other.patch(&path, body.clone()).status, 412);
}

#[test]
fn a_bound_key_tries_no_token_numbers_and_lifts_nothing_of_its_program() {
    let switch = Switch::start();
    let root = switch.client();
    let (account_id, card_id) = limited_card(&root);
    let scopes = ["tokens:write", "exceptions:request", "exceptions:approve"];
    let own = || bound(&root, &scopes, ("account_ids", &account_id));
    let (ann, bob) = (own(), own());
    let token =
        json!({"card_id": card_id, "wallet": "apple_pay", "token_number": "4895370012003478"});
    let told = ann.post("/v1/tokens", token.clone());
    let expected = (403, "permission", "key_is_bound", Some("token_number"));
    assert_error(&told, expected, "token_number");
    root.post("/v1/tokens", token).created();
    let id = ann
        .post(
            "/v1/exceptions",
            raise(&card_id, 5_000, "2100-01-01T00:00:00Z"),
        )
        .created();
    let approve = format!("/v1/exceptions/{id}/approve");
    let told = bob.post(&approve, Value::Object(Default::default()));
    assert_error(&told, (403, "permission", "key_is_bound", None), "approve");
    assert_eq!(root.post(&approve, json!({})).ok()["state"], "approved");
}

/// A change whose body does not come keeps nobody from changing the same object.
#[test]
fn a_slow_body_holds_up_nobody() {
    use std::io::Write;
    let switch = Switch::start();
    let root = switch.client();
    let path = format!("/v1/programs/{}", root.program());
    let mut slow = std::net::TcpStream::connect(switch.address).unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 20\r\n\r\n{{",
        super::harness::ROOT_KEY
    );
    slow.write_all(head.as_bytes()).unwrap();
    // Well before the 30 s after which the slow one is cut off, or this times out.
    root.patch(&path, json!({"name": "q"})).ok();
}
