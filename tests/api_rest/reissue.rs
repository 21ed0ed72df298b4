//! Cards in place of others, and renewed ones.

use crate::authorizations::{carry_out, request};
use crate::harness::{Client, Options, Switch};
use cardswitch::engine::command::Action;
use cardswitch::engine::reissue::CARDS_OF_CHAIN_MAX;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// An account with money, and a card with a daily limit of 500 that is linked to a project.
fn with_card(client: &Client) -> (String, String) {
    let (_, account) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{account}/top_ups"), top_up)
        .created();
    let body = json!({"account_id": account, "links": [{"type": "project", "id": "p1"}],
                      "controls": {"limits": [{"window": "day", "amount": 500}], "single_use": false}});
    let card = client.post("/v1/cards", body).created();
    (account, card)
}

fn pay(switch: &Switch, account: &str, card: &str, amount: i64) -> Value {
    let authorize = request(switch, card, amount);
    let path = format!("/v1/authorizations/{}", authorize.authorization_id);
    let action = Action::Authorize(authorize);
    carry_out(switch, account.parse().unwrap(), action);
    switch.client().get(&path).ok()
}

fn reissue(client: &Client, card: &str, reason: &str) -> Value {
    let path = format!("/v1/cards/{card}/reissue");
    let made = client.post(&path, json!({"reason": reason}));
    made.created();
    made.json()
}

#[test]
fn a_card_is_replaced_with_all_that_it_has() {
    let switch = Switch::start();
    let client = switch.client();
    let (account, card) = with_card(&client);
    let before = client.get(&format!("/v1/cards/{card}")).ok();
    assert_eq!(before["replacement_for"], Value::Null);
    pay(&switch, &account, &card, 300);
    let new = reissue(&client, &card, "stolen");
    let id = new["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/v1/cards/{id}")).ok(), new);
    for same in [
        "account_id",
        "links",
        "controls",
        "type",
        "funding",
        "first6",
        "cardholder_id",
    ] {
        assert_eq!(new[same], before[same], "{same}");
    }
    assert_eq!(
        (&new["status"], &new["replacement_for"]),
        (&json!("active"), &json!(card))
    );
    let old = client.get(&format!("/v1/cards/{card}")).ok();
    assert_eq!(
        [&old["status"], &old["status_reason"], &old["replaced_by"]],
        [&json!("closed"), &json!("stolen"), &json!(id)]
    );
    let number = |card: &str| {
        let path = format!("/v1/cards/{card}/reveal");
        client.post(&path, json!({"reason": "test"})).ok()["pan"].clone()
    };
    assert_ne!(number(id), number(&card));
    let spend = client.get(&format!("/v1/cards/{id}/spend")).ok();
    assert_eq!(spend["limits"][0]["used"], 300, "{spend}");
    let declined = pay(&switch, &account, id, 201);
    assert_eq!(declined["decision"]["reason"], "daily_limit_exceeded");
    assert_eq!(declined["links"], json!([{"type": "project", "id": "p1"}]));
    let of_old = pay(&switch, &account, &card, 1);
    assert_eq!(of_old["decision"]["reason"], "card_stolen");
    assert_eq!(
        pay(&switch, &account, id, 200)["decision"]["result"],
        "approved"
    );

    let third = reissue(&client, id, "damaged");
    switch.projected();
    let list = client.get(&format!("/v1/cards?replacement_for={id}")).ok();
    assert_eq!(list["data"], json!([third]));
    let linked = client.get("/v1/cards?link_type=project&link_id=p1").ok();
    assert_eq!(linked["data"].as_array().unwrap().len(), 3);
}

#[test]
fn what_a_chain_counts_is_there_after_a_restart() {
    let switch = Switch::start();
    let disk = switch.disk.clone();
    let (account, card) = with_card(&switch.client());
    pay(&switch, &account, &card, 300);
    let new = reissue(&switch.client(), &card, "lost");
    let id = new["id"].as_str().unwrap();
    drop(switch);
    let switch = Switch::start_on(disk, Options::default());
    assert_eq!(switch.client().get(&format!("/v1/cards/{id}")).ok(), new);
    let declined = pay(&switch, &account, id, 201);
    assert_eq!(declined["decision"]["reason"], "daily_limit_exceeded");
}

#[test]
fn what_cannot_be_replaced_or_renewed_is_said() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = with_card(&client);
    let refused = |path: &str, body: Value| {
        let (status, _, code, param) = client.post(path, body).error();
        (status, code, param.unwrap_or_default())
    };
    let reissue_path = format!("/v1/cards/{card}/reissue");
    let none = |code: &str| (409, code.to_owned(), String::new());
    let of_reason = |code: &str| (400, code.to_owned(), "reason".to_owned());
    assert_eq!(
        refused(&reissue_path, json!({})),
        of_reason("field_missing")
    );
    assert_eq!(
        refused(&reissue_path, json!({"reason": "bored"})),
        of_reason("value_unknown")
    );
    let new = reissue(&client, &card, "damaged");
    let again = refused(&reissue_path, json!({"reason": "damaged"}));
    assert_eq!(again, none("card_replaced"));
    let renew = |card: &str| refused(&format!("/v1/cards/{card}/renew"), json!({}));
    assert_eq!(renew(&card), none("card_replaced"));
    let controls = client.patch(
        &format!("/v1/cards/{card}"),
        json!({"controls": {"limits": []}}),
    );
    assert_eq!(controls.error().2, "card_replaced");
    let new = new["id"].as_str().unwrap();
    let path = format!("/v1/cards/{new}");
    client
        .post(&format!("{path}/block"), json!({"reason": "lost"}))
        .ok();
    assert_eq!(renew(new), none("card_status_forbids"));
    client.post(&format!("{path}/close"), json!({})).ok();
    let closed = refused(&format!("{path}/reissue"), json!({"reason": "lost"}));
    assert_eq!(closed, none("card_status_forbids"));
}

#[test]
fn a_card_of_a_closed_object_is_not_replaced() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, card) = with_card(&client);
    client.post("/v1/links/project/p1/close", json!({})).ok();
    let path = format!("/v1/cards/{card}/reissue");
    let (status, _, code, _) = client.post(&path, json!({"reason": "lost"})).error();
    assert_eq!((status, &*code), (409, "link_closed"));
    let card = client.get(&format!("/v1/cards/{card}")).ok();
    assert_eq!(card["replaced_by"], Value::Null);
}

#[test]
fn a_card_with_an_account_of_its_own_keeps_it() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let body = json!({"account_id": account, "funding": "own", "type": "physical"});
    let card = client.post("/v1/cards", body);
    let new = reissue(&client, &card.created(), "fulfillment_error");
    assert_eq!(new["account_id"], card.json()["account_id"]);
    assert_eq!(
        (&new["funding"], &new["status"]),
        (&json!("own"), &json!("inactive"))
    );
}

/// The journal, cut after each record in turn: the request that was under way is sent again.
#[test]
fn a_reissue_cut_off_anywhere_is_finished_by_its_repeat() {
    let switch = Switch::start();
    let (_, card) = with_card(&switch.client());
    let (path, body) = (
        format!("/v1/cards/{card}/reissue"),
        json!({"reason": "lost"}),
    );
    let before = switch.journal.durable();
    let keyed = switch.client().header("Idempotency-Key", "k");
    let first = keyed.post(&path, body.clone());
    let after = switch.journal.durable();
    assert_eq!(
        after - before,
        5,
        "begin, issue, open and close, audit, complete"
    );
    for kept in before..=after {
        let disk = switch.disk.cut_after(kept);
        let restarted = Switch::start_on(disk, Options::default());
        let client = restarted.client();
        let keyed = client.header("Idempotency-Key", "k");
        let again = keyed.post(&path, body.clone());
        let id = again.created();
        assert_eq!(client.get(&format!("/v1/cards/{id}")).ok(), again.json());
        let old = client.get(&format!("/v1/cards/{card}")).ok();
        assert_eq!(
            [&old["replaced_by"], &old["status"]],
            [&json!(id), &json!("closed")]
        );
        if kept > before {
            assert_eq!(
                again.json()["id"],
                first.json()["id"],
                "{kept} records kept"
            );
        }
        restarted.projected();
        let list = client
            .get(&format!("/v1/cards?replacement_for={card}"))
            .ok();
        assert_eq!(
            list["data"].as_array().unwrap().len(),
            1,
            "{kept} records kept"
        );
    }
}

#[test]
fn a_renewed_card_has_its_number_and_another_expiry_and_cvv2() {
    let (switch, now_ms) = Switch::start_with_clock();
    let client = switch.client();
    let (account, card) = with_card(&client);
    let reveal = || {
        let path = format!("/v1/cards/{card}/reveal");
        client.post(&path, json!({"reason": "test"})).ok()
    };
    let before = reveal();
    pay(&switch, &account, &card, 300);
    let path = format!("/v1/cards/{card}/renew");
    let same = client.post(&path, json!({})).ok();
    assert_eq!(same["exp_year"], before["exp_year"]);
    now_ms.fetch_add(366 * 86_400_000, Ordering::Relaxed);
    let keyed = client.header("Idempotency-Key", "k");
    let renewed = keyed.post(&path, json!({})).ok();
    let year = before["exp_year"].as_u64().unwrap();
    assert_eq!(renewed["exp_year"], year + 1);
    assert_eq!(keyed.post(&path, json!({})).ok(), renewed);
    assert_eq!(client.get(&format!("/v1/cards/{card}")).ok(), renewed);
    let after = reveal();
    assert_eq!(after["pan"], before["pan"]);
    assert_ne!(after["cvv2"], before["cvv2"]);
    let mut authorize = request(&switch, &card, 10);
    let month = u8::try_from(before["exp_month"].as_u64().unwrap()).unwrap();
    let old = cardswitch::engine::time::Expiry::new(u16::try_from(year).unwrap(), month);
    authorize.verification.expiry = old;
    let read = format!("/v1/authorizations/{}", authorize.authorization_id);
    carry_out(
        &switch,
        account.parse().unwrap(),
        Action::Authorize(authorize),
    );
    assert_eq!(
        client.get(&read).ok()["decision"]["reason"],
        "expiry_mismatch"
    );
    switch.projected();
    let list = client.get(&format!("/v1/cards?account_id={account}")).ok();
    let mut tried = renewed;
    tried["failed_verifications_today"] = json!(1);
    assert_eq!(list["data"], json!([tried]));
}

/// The registry knows of the renewal, and the process ends before the shard does.
#[test]
fn a_renewal_cut_off_anywhere_is_finished() {
    let (switch, now_ms) = Switch::start_with_clock();
    let (_, card) = with_card(&switch.client());
    now_ms.fetch_add(366 * 86_400_000, Ordering::Relaxed);
    let path = format!("/v1/cards/{card}/renew");
    let before = switch.journal.durable();
    let keyed = switch.client().header("Idempotency-Key", "k");
    let renewed = keyed.post(&path, json!({})).ok();
    let after = switch.journal.durable();
    assert_eq!(
        after - before,
        5,
        "begin, renew, tell the shard, audit, complete"
    );
    for kept in before..=after {
        let options = Options {
            clock: cardswitch::shard::clock::Clock::Manual(now_ms.clone()),
            ..Options::default()
        };
        let restarted = Switch::start_on(switch.disk.cut_after(kept), options);
        let client = restarted.client();
        if kept >= before + 2 {
            let card = client.get(&format!("/v1/cards/{card}")).ok();
            assert_eq!(card, renewed, "{kept} records kept");
        }
        let keyed = client.header("Idempotency-Key", "k");
        assert_eq!(
            keyed.post(&path, json!({})).ok(),
            renewed,
            "{kept} records kept"
        );
    }
}

#[test]
fn a_chain_takes_so_many_cards_and_no_more() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, mut card) = with_card(&client);
    for _ in 1..CARDS_OF_CHAIN_MAX {
        let new = reissue(&client, &card, "damaged");
        card = new["id"].as_str().unwrap().to_owned();
    }
    let path = format!("/v1/cards/{card}/reissue");
    let (status, _, code, _) = client.post(&path, json!({"reason": "damaged"})).error();
    assert_eq!((status, code.as_str()), (409, "too_many_reissues"));
    // It goes on as it is.
    client
        .post(&format!("/v1/cards/{card}/renew"), json!({}))
        .ok();
}
