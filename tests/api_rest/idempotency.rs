//! `Idempotency-Key`: the first response again, also after a crash; another request under it is refused.

use super::harness::{Answer, Client, Options, Switch};
use super::keys::with_key_and_id;
use super::transfers::{posted, top_up};
use serde_json::{Value, json};

fn program(name: &str) -> Value {
    json!({"name": name, "network": "visa", "bin": "411111", "currency": "USD"})
}

#[track_caller]
fn assert_replayed(first: &Answer, again: &Answer) {
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(first.header("Idempotent-Replayed"), None);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_ne!(first.header("Request-Id"), again.header("Request-Id"));
}

#[test]
fn the_first_response_is_repeated() {
    let switch = Switch::start();
    let client = switch.client();
    let keyed = client.header("Idempotency-Key", "one");
    let first = keyed.post("/v1/programs", program("A"));
    first.created();
    assert_replayed(&first, &keyed.post("/v1/programs", program("A")));
    let other = client
        .header("Idempotency-Key", "two")
        .post("/v1/programs", program("A"));
    assert_ne!(other.created(), first.created());
    // What somebody else may have changed meanwhile is repeated as it was.
    let late = keyed.header("Idempotency-Key", "three");
    let account = json!({"program_id": "prog_0000000000001"});
    let refused = late.post("/v1/accounts", account.clone());
    assert_eq!(refused.status, 404);
    assert_replayed(&refused, &late.post("/v1/accounts", account));
}

/// It changed nothing, and is as wrong as it was: nothing of it is kept but what its key stands for.
#[test]
fn a_request_that_is_wrong_is_told_so_again() {
    let switch = Switch::start();
    let keyed = switch.client().header("Idempotency-Key", "one");
    let before = switch.journal.durable();
    let first = keyed.post("/v1/programs", program(""));
    assert_eq!(first.status, 400);
    assert_eq!(switch.journal.durable() - before, 1, "the key alone");
    let again = keyed.post("/v1/programs", program(""));
    assert_eq!(again.error(), first.error());
    assert_eq!(again.header("Idempotent-Replayed"), None);
    let (status, _, code, _) = keyed.post("/v1/programs", program("A")).error();
    assert_eq!((status, &*code), (409, "idempotency_key_reused"));
}

#[test]
fn money_comes_once_per_key() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let keyed = client.header("Idempotency-Key", "top-up 1".replace(' ', "-").as_str());
    let body = json!({"amount": 500, "currency": "USD", "method": "swift"});
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let first = keyed.post(&path, body.clone());
    first.created();
    assert_replayed(&first, &keyed.post(&path, body.clone()));
    assert_eq!(
        client.get(&format!("/v1/accounts/{account_id}")).ok()["posted"],
        500
    );
    client.post(&path, body).created();
    assert_eq!(
        client.get(&format!("/v1/accounts/{account_id}")).ok()["posted"],
        1_000
    );
}

#[test]
fn another_request_under_the_same_key_is_refused() {
    let switch = Switch::start();
    let client = switch.client().header("Idempotency-Key", "k");
    client.post("/v1/programs", program("A")).created();
    let cases = [
        ("another body", client.post("/v1/programs", program("B"))),
        (
            "a body that is not JSON",
            client.send("POST", "/v1/programs", b"{"),
        ),
        ("another route", client.post("/v1/accounts", program("A"))),
    ];
    for (case, answer) in cases {
        let (status, _, code, _) = answer.error();
        assert_eq!(
            (status, code.as_str()),
            (409, "idempotency_key_reused"),
            "{case}"
        );
    }
}

#[test]
fn keys_have_a_form() {
    let switch = Switch::start();
    let client = switch.client();
    for key in ["", "two words", &"x".repeat(256), "käse"] {
        let answer = client
            .header("Idempotency-Key", key)
            .post("/v1/programs", program("A"));
        assert_eq!(answer.error().2, "idempotency_key_invalid", "{key}");
    }
    let longest = client.header("Idempotency-Key", &"x".repeat(255));
    longest.post("/v1/programs", program("A")).created();
}

#[test]
fn a_response_is_repeated_after_a_restart() {
    let switch = Switch::start();
    let disk = switch.disk.clone();
    let keyed = switch.client().header("Idempotency-Key", "k");
    let (_, account_id) = switch.client().program_and_account();
    let body =
        json!({"account_id": account_id, "funding": "own", "links": [{"type": "user", "id": "u"}]});
    let first = keyed.post("/v1/cards", body.clone());
    first.created();
    drop(switch);
    let switch = Switch::start_on(disk, Options::default());
    let keyed = Client::of(switch.address).header("Idempotency-Key", "k");
    assert_replayed(&first, &keyed.post("/v1/cards", body));
    let card_id = first.created();
    let read = switch.client().get(&format!("/v1/cards/{card_id}")).ok();
    assert_eq!(read, first.json());
}

/// The journal, cut after each record in turn: the request that was under way is sent again.
#[test]
fn a_write_cut_off_anywhere_is_finished_by_its_repeat() {
    let switch = Switch::start();
    let (_, account_id) = switch.client().program_and_account();
    let body = json!({"account_id": account_id, "funding": "own",
                      "controls": {"limits": [{"window": "day", "amount": 5}], "mcc": {"block": ["7995"]}}});
    let before = switch.journal.durable();
    let keyed = switch.client().header("Idempotency-Key", "k");
    let first = keyed.post("/v1/cards", body.clone());
    let after = switch.journal.durable();
    assert_eq!(
        after - before,
        6,
        "begin, sub-account, issue, open, audit, complete"
    );
    for kept in before..=after {
        let disk = switch.disk.cut_after(kept);
        let restarted = Switch::start_on(disk, Options::default());
        assert_eq!(restarted.journal.durable().min(kept), kept);
        let keyed = restarted.client().header("Idempotency-Key", "k");
        let again = keyed.post("/v1/cards", body.clone());
        let card_id = again.created();
        let read = restarted.client().get(&format!("/v1/cards/{card_id}")).ok();
        assert_eq!(read, again.json(), "{kept} records kept");
        if kept > before {
            for field in ["id", "account_id", "controls", "funding"] {
                assert_eq!(
                    again.json()[field],
                    first.json()[field],
                    "{kept} records kept"
                );
            }
        }
        let third = keyed.post("/v1/cards", body.clone());
        assert_eq!((third.status, &third.text), (again.status, &again.text));
        assert_eq!(third.header("Idempotent-Replayed"), Some("true"));
    }
}

/// A switch with 1,000 on one account, another below it, and a key that moves money and rolls itself.
fn with_money_and_a_key() -> (Switch, [String; 2], (Client, String)) {
    let switch = Switch::start();
    let root = switch.client();
    let (program_id, from) = root.program_and_account();
    top_up(&root, &from, 1_000);
    let below = json!({"program_id": program_id, "parent_id": from});
    let to = root.post("/v1/accounts", below).created();
    let scopes = json!(["funds:transfer", "accounts:read", "keys:write"]);
    let body = json!({"name": "payer", "scopes": scopes, "program_ids": [program_id]});
    let key = with_key_and_id(&root, body);
    (switch, [from, to], key)
}

/// So much from one to the other under the `Idempotency-Key` `k`.
fn pay(client: &Client, [from, to]: &[String; 2], amount: i64) -> Answer {
    let body =
        json!({"from_account_id": from, "to_account_id": to, "amount": amount, "currency": "USD"});
    client
        .header("Idempotency-Key", "k")
        .post("/v1/transfers", body)
}

fn roll(client: &Client, id: &str) -> (String, String) {
    let body = json!({"overlap_seconds": 600});
    let made = client.post(&format!("/v1/api_keys/{id}/roll"), body);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    (format!("Bearer {key}"), made.created())
}

/// A client that repeats across a roll of its key, in a deployment or after a crash, is who it was.
#[test]
fn a_repeat_under_the_key_that_its_own_was_rolled_to_is_a_repeat() {
    let (switch, accounts, (first, first_id)) = with_money_and_a_key();
    let root = switch.client();
    let paid = pay(&first, &accounts, 10);
    paid.created();
    let (second, second_id) = roll(&first, &first_id);
    let second = root.header("Authorization", &second);
    let (third_key, third_id) = roll(&root, &second_id);
    let third = root.header("Authorization", &third_key);
    for client in [&first, &second, &third] {
        assert_replayed(&paid, &pay(client, &accounts, 10));
        let (status, _, code, _) = pay(client, &accounts, 11).error();
        assert_eq!((status, &*code), (409, "idempotency_key_reused"));
    }
    for id in [&first_id, &second_id] {
        root.post(&format!("/v1/api_keys/{id}/revoke"), json!({}))
            .ok();
    }
    assert_replayed(&paid, &pay(&third, &accounts, 10));
    assert_eq!(posted(&root, &accounts[1]), 10);
    // And after a restart.
    let disk = switch.disk.clone();
    drop(switch);
    let restarted = Switch::start_on(disk, Options::default());
    let root = restarted.client();
    let third = root.header("Authorization", &third_key);
    assert_replayed(&paid, &pay(&third, &accounts, 10));
    let (fourth, _) = roll(&third, &third_id);
    let fourth = root.header("Authorization", &fourth);
    assert_replayed(&paid, &pay(&fourth, &accounts, 10));
    // Whoever has a key of another chain has keys of his own.
    let own = pay(&root, &accounts, 10);
    assert_ne!(own.created(), paid.created());
    assert_eq!(posted(&root, &accounts[1]), 20);
}

#[test]
fn a_write_that_was_cut_off_is_finished_under_the_key_that_its_own_was_rolled_to() {
    let (switch, accounts, (first, first_id)) = with_money_and_a_key();
    let (second, _) = roll(&first, &first_id);
    let before = switch.journal.durable();
    let paid = pay(&first, &accounts, 10).created();
    let after = switch.journal.durable();
    assert_eq!(after - before, 4, "begin, transfer, audit, complete");
    for kept in before..=after {
        let cut = Switch::start_on(switch.disk.cut_after(kept), Options::default());
        let second = cut.client().header("Authorization", &second);
        let again = pay(&second, &accounts, 10).created();
        assert_eq!(again == paid, kept > before, "{kept} records kept");
        assert_eq!(
            posted(&cut.client(), &accounts[1]),
            10,
            "{kept} records kept"
        );
    }
}

/// A condition that the request itself has made false before it was cut off holds; one that others have made false does not.
#[test]
fn a_conditional_write_that_was_cut_off_is_finished_unless_others_came_between() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let path = format!("/v1/cards/{}", client.card(&account_id));
    let etag = client.get(&path).header("ETag").unwrap().to_owned();
    let block = |mcc: &str| json!({"controls": {"mcc": {"block": [mcc]}}});
    let under_key = |client: &Client| {
        let client = client.header("Idempotency-Key", "k");
        client.header("If-Match", &etag).patch(&path, block("7995"))
    };
    let before = switch.journal.durable();
    under_key(&client).ok();
    let after = switch.journal.durable();
    assert_eq!(after - before, 4, "begin, change, audit, complete");
    let restarted = |kept| Switch::start_on(switch.disk.cut_after(kept), Options::default());
    for kept in before..=after {
        let cut = restarted(kept);
        let again = under_key(&cut.client());
        assert_eq!(
            again.ok()["controls"]["mcc"]["block"],
            json!(["7995"]),
            "{kept}"
        );
        assert_eq!(under_key(&cut.client()).text, again.text, "{kept}");
        // Another request under another key has its own condition.
        let other = cut.client().header("Idempotency-Key", "other");
        let other = other.header("If-Match", &etag).patch(&path, block("7995"));
        assert_eq!(other.error().0, 412, "{kept}");
    }
    // Cut off twice, before the change and after it.
    let cut = restarted(before + 1);
    under_key(&cut.client()).ok();
    let cut = Switch::start_on(cut.disk.cut_after(before + 2), Options::default());
    under_key(&cut.client()).ok();
    // Begun, and begun and done; then somebody else.
    for kept in [before + 1, before + 2] {
        let cut = restarted(kept);
        cut.client().patch(&path, block("5912")).ok();
        let (status, _, code, _) = under_key(&cut.client()).error();
        assert_eq!((status, &*code), (412, "precondition_failed"), "{kept}");
        let now = cut.client().get(&path).ok();
        assert_eq!(now["controls"]["mcc"]["block"], json!(["5912"]), "{kept}");
    }
}
