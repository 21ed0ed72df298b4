//! What events tell, and to whom: the place of what is of no card, the authorization as the interface tells it, what waits
//! for a second person; and how endpoints are changed.

use super::approvals::{Two, act, waits};
use super::authorizations::{authorize, funded_card};
use super::harness::{Client, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Barrier;

/// What was told, oldest first.
pub fn told(switch: &Switch, client: &Client, query: &str) -> Vec<Value> {
    switch.projected();
    let page = client.get(&format!("/v1/events?limit=100{query}")).ok();
    page["data"].as_array().unwrap().clone()
}

pub fn types(told: &[Value]) -> Vec<&str> {
    let types = told.iter().map(|event| event["type"].as_str().unwrap());
    types.collect()
}

pub fn subscribe(client: &Client, body: Value) -> String {
    client.post("/v1/webhook_endpoints", body).created()
}

fn of_project(id: &str) -> Value {
    json!([{"type": "project", "id": id}])
}

/// A card of an account of its own, linked to a project.
fn linked_card(client: &Client, account: &str, project: &str) -> String {
    let body = json!({"account_id": account, "type": "virtual", "links": of_project(project)});
    client.post("/v1/cards", body).created()
}

/// Asks for an exception about something, and rejects it.
fn ask_and_reject(client: &Client, about: Value) {
    let mut body = json!({"lifts": {"limits": [{"id": "lim_0000000000001", "amount": 5}]},
                          "ends_at": "2100-01-01T00:00:00Z", "reason": "trip"});
    for (name, value) in about.as_object().unwrap() {
        body[name] = value.clone();
    }
    let id = client.post("/v1/exceptions", body).created();
    let other = with_key(
        client,
        json!({"name": "other", "scopes": ["exceptions:approve"]}),
    );
    other
        .post(&format!("/v1/exceptions/{id}/reject"), json!({}))
        .ok();
}

#[test]
fn exceptions_are_told_of_to_those_who_see_what_they_are_about() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account) = root.program_and_account();
    let other = root.account(&program);
    let (card, other_card) = (
        linked_card(&root, &account, "p1"),
        linked_card(&root, &other, "p2"),
    );
    subscribe(&root, json!({"events": ["exception.*"]}));
    let abouts = [
        json!({ "card_id": card }),
        json!({ "card_id": other_card }),
        json!({ "account_id": account }),
        json!({ "account_id": other }),
        json!({"link": {"type": "project", "id": "p1"}}),
        json!({"link": {"type": "project", "id": "p2"}}),
    ];
    for about in abouts {
        ask_and_reject(&root, about);
    }
    let all = told(&switch, &root, "");
    assert_eq!(all.len(), 12);
    assert_eq!(
        types(&all[..2]),
        ["exception.requested", "exception.rejected"]
    );
    for pair in all.chunks(2) {
        for event in pair {
            assert_eq!(event["data"]["program_id"], program, "{event}");
        }
        let place = |name: &str| [&pair[0]["data"][name], &pair[1]["data"][name]];
        assert_eq!(place("card_id")[0], place("card_id")[1]);
        assert_eq!(place("links")[0], place("links")[1]);
    }
    assert_eq!(all[0]["data"]["card_id"], card);
    assert_eq!(all[0]["data"]["balance_id"], account);
    assert_eq!(all[4]["data"]["balance_id"], account);
    assert_eq!(all[8]["data"]["links"], of_project("p1"));
    // Keys that are bound see what is about theirs, in whatever way it is: each event by its id, and in lists.
    let seen = |bounds: Value| {
        let mut key = json!({"name": "bound", "scopes": ["webhooks:read", "exceptions:read"]});
        for (name, value) in bounds.as_object().unwrap() {
            key[name] = value.clone();
        }
        let client = with_key(&root, key);
        let is_seen = |event: &Value| {
            let path = format!("/v1/events/{}", event["id"].as_str().unwrap());
            client.get(&path).status == 200
        };
        let by_id: Vec<usize> = (0..all.len())
            .filter(|place| is_seen(&all[*place]))
            .collect();
        let listed = told(&switch, &client, "");
        let place = |event: &Value| all.iter().position(|known| known["id"] == event["id"]);
        let listed: Vec<usize> = listed.iter().map(|event| place(event).unwrap()).collect();
        (by_id, listed)
    };
    let same = |places: Vec<usize>| (places.clone(), places);
    let of_account = seen(json!({ "account_ids": [account] }));
    assert_eq!(of_account, same(vec![0, 1, 4, 5]));
    let of_link = seen(json!({ "links": of_project("p1") }));
    assert_eq!(of_link, same(vec![0, 1, 8, 9]));
    let nothing = seen(json!({ "links": of_project("P1") }));
    assert_eq!(nothing, same(vec![]));
    let asked_for = |query: &str| -> Vec<Value> {
        let found = told(&switch, &root, query).into_iter();
        found.map(|event| event["id"].clone()).collect()
    };
    let ids = |places: &[usize]| -> Vec<Value> {
        let places = places.iter();
        places.map(|place| all[*place]["id"].clone()).collect()
    };
    assert_eq!(
        asked_for("&link_type=project&link_id=p1"),
        ids(&[0, 1, 8, 9])
    );
    assert_eq!(
        asked_for("&link_type=project"),
        ids(&[0, 1, 2, 3, 8, 9, 10, 11])
    );
    assert_eq!(asked_for("&link_type=proj"), ids(&[]));
    let of_program = seen(json!({ "program_ids": [program] }));
    assert_eq!(of_program, same((0..12).collect()));
    let of_another = seen(json!({ "program_ids": [root.program()] }));
    assert_eq!(of_another, same(vec![]));
}

#[test]
fn a_rule_that_comes_into_force_is_told_of_within_its_program() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account) = root.program_and_account();
    let other = root.program();
    subscribe(&root, json!({"events": ["rule.*"]}));
    let rule = |program: &str| {
        let body = json!({"program_id": program, "name": "large", "action": "decline", "expression": "amount > 10000"});
        let id = root.post("/v1/rules", body).created();
        root.post(&format!("/v1/rules/{id}/promote"), json!({}))
            .ok();
        id
    };
    let (own, of_other) = (rule(&program), rule(&other));
    let all = told(&switch, &root, "");
    let ids: Vec<&Value> = all
        .iter()
        .map(|event| &event["data"]["rule"]["id"])
        .collect();
    assert_eq!(ids, [&json!(own), &json!(of_other)]);
    assert_eq!(all[0]["data"]["program_id"], program);
    assert_eq!(all[0]["data"]["card_id"], Value::Null);
    assert_eq!(all[0]["data"]["links"], json!([]));
    let seen = |bounds: Value| {
        let mut key = json!({"name": "bound", "scopes": ["webhooks:read", "rules:read"]});
        for (name, value) in bounds.as_object().unwrap() {
            key[name] = value.clone();
        }
        told(&switch, &with_key(&root, key), "")
    };
    assert_eq!(seen(json!({ "program_ids": [program] })), all[..1]);
    // What is of a whole program is of none of its accounts.
    assert_eq!(
        seen(json!({ "account_ids": [account] })),
        Vec::<Value>::new()
    );
    // And so for who subscribes.
    let only = subscribe(&root, json!({"events": ["rule.*"], "program_ids": [other]}));
    assert!(only.starts_with("we_"));
}

#[test]
fn an_authorization_is_told_as_it_is_read_then() {
    let switch = Switch::start();
    let client = switch.client();
    let (account, card) = funded_card(&client, json!({}));
    subscribe(
        &client,
        json!({"events": ["authorization.*", "transaction.*"]}),
    );
    let ask = |amount: i64| {
        let body = json!({"card_id": card, "amount": amount, "currency": "USD"});
        client.post("/v1/simulate/authorizations", body).created()
    };
    let approved = ask(700);
    let path = format!("/v1/authorizations/{approved}");
    let at_first = client.get(&path).ok();
    let part = json!({"authorization_id": approved, "amount": 300});
    client.post("/v1/simulate/clearings", part).created();
    let declined = ask(1_000_000_000);
    let directly = authorize(&switch, &account, &card, 5);
    let all = told(&switch, &client, "");
    assert_eq!(
        types(&all),
        [
            "authorization.approved",
            "transaction.settled",
            "authorization.declined",
            "authorization.approved"
        ]
    );
    let authorization = |place: usize| &all[place]["data"]["authorization"];
    // As it was then: nothing posted.
    assert_eq!(authorization(0), &at_first);
    assert_eq!(authorization(0)["transactions"], json!([]));
    assert_eq!(authorization(0)["decision"]["response_code"], "00");
    // With what was posted since, by its id.
    let now = client.get(&path).ok();
    let transaction = &all[1]["data"]["transaction"];
    assert_eq!(authorization(1)["transactions"], json!([transaction["id"]]));
    assert_eq!(authorization(1), &now);
    let read = client.get(&format!("/v1/authorizations/{declined}")).ok();
    assert_eq!(authorization(2), &read);
    assert_eq!(authorization(2)["decision"]["reason"], "insufficient_funds");
    assert_eq!(authorization(2)["decision"]["response_code"], "51");
    assert_eq!(authorization(3)["id"], directly);
}

/// A card is told of as it is read, whatever it is linked to.
#[test]
fn the_status_of_a_card_in_an_event_is_that_of_its_links_too() {
    let switch = Switch::start();
    let client = switch.client();
    subscribe(&client, json!({"events": ["card.*"]}));
    let (account, card) = funded_card(&client, json!({}));
    let post = |path: &str| drop(client.post(path, json!({})).ok());
    post("/v1/links/project/p1/freeze");
    switch.projected();
    post(&format!("/v1/cards/{card}/freeze"));
    post(&format!("/v1/cards/{card}/unfreeze"));
    // Linked to what is frozen already.
    let links = json!([{"type": "project", "id": "p1"}]);
    let later = json!({"account_id": account, "links": links});
    let later = client.post("/v1/cards", later).created();
    post("/v1/links/project/p1/unfreeze");
    let all = told(&switch, &client, "");
    let told = |event: &Value| {
        let card = &event["data"]["card"];
        json!([event["type"], card["status"], card["own_status"]])
    };
    let of = |id: &str| {
        let own = all.iter().filter(|event| event["data"]["card_id"] == id);
        own.map(told).collect::<Vec<_>>()
    };
    assert_eq!(
        of(&card),
        [
            json!(["card.created", "active", "active"]),
            json!(["card.frozen", "frozen", "active"]),
            json!(["card.frozen", "frozen", "frozen"]),
            json!(["card.unfrozen", "frozen", "active"]),
            json!(["card.unfrozen", "active", "active"]),
        ]
    );
    let of_later = of(&later);
    assert_eq!(of_later[0], json!(["card.created", "frozen", "active"]));
    assert_eq!(of_later[1], json!(["card.unfrozen", "active", "active"]));
}

/// With the last try that is compared; again only after tries were given back.
#[test]
fn that_a_card_was_tried_too_often_is_told_once() {
    let switch = Switch::start();
    let client = switch.client();
    subscribe(
        &client,
        json!({"events": ["card.verification_tries_exceeded"]}),
    );
    let (_, card) = funded_card(&client, json!({}));
    let reason = |cvv2: &str| {
        let body = json!({"card_id": card, "amount": 100, "cvv2": cvv2});
        let paid = client.post("/v1/simulate/authorizations", body);
        paid.created();
        paid.json()["decision"]["reason"].clone()
    };
    let exceeded = || told(&switch, &client, "").len();
    for _ in 0..9 {
        assert_eq!(reason("wrong"), "cvv_mismatch");
    }
    assert_eq!(exceeded(), 0);
    assert_eq!(reason("wrong"), "cvv_mismatch");
    assert_eq!(exceeded(), 1);
    for cvv2 in ["right", "wrong"] {
        assert_eq!(reason(cvv2), "verification_tries_exceeded");
    }
    assert_eq!(exceeded(), 1);
    let path = format!("/v1/cards/{card}");
    let failed = || client.get(&path).ok()["failed_verifications_today"].clone();
    assert_eq!(failed(), 10);
    let reset = format!("{path}/reset_verification_tries");
    assert_eq!(
        client.post(&reset, json!({})).ok()["failed_verifications_today"],
        0
    );
    assert_eq!((failed(), reason("right")), (json!(0), Value::Null));
    for _ in 0..10 {
        assert_eq!(reason("wrong"), "cvv_mismatch");
    }
    let all = told(&switch, &client, "");
    assert_eq!(all.len(), 2);
    for event in &all {
        let data = &event["data"];
        assert_eq!(
            (&data["card_id"], &data["card"]["id"]),
            (&json!(card), &json!(card))
        );
    }
    let audited = client.get(&format!("/v1/audit_log?object_id={card}")).ok();
    let entries = audited["data"].as_array().unwrap();
    let entry = entries.iter().find(|entry| {
        entry["action"]
            .as_str()
            .is_some_and(|action| action.ends_with("/reset_verification_tries"))
    });
    assert!(entry.is_some(), "{audited}");
}

/// Wherever a decline is told: whose state it was, and which rate was missing.
#[test]
fn a_decline_says_what_is_frozen_and_which_rate_is_missing() {
    let switch = Switch::start();
    let client = switch.client();
    let links = json!([{"type": "user", "id": "u1"}, {"type": "project", "id": "p1"}]);
    let (account, _) = funded_card(&client, json!({}));
    let card = json!({"account_id": account, "links": links});
    let card = client.post("/v1/cards", card).created();
    subscribe(&client, json!({"events": ["authorization.declined"]}));
    let post = |path: &str| drop(client.post(path, json!({})).ok());
    let decline = |currency: &str| {
        let body = json!({"card_id": card, "amount": 100, "currency": currency});
        let id = client.post("/v1/simulate/authorizations", body).created();
        client.get(&format!("/v1/authorizations/{id}")).ok()
    };
    post("/v1/links/project/p1/freeze");
    let of_link = decline("USD");
    post("/v1/links/project/p1/unfreeze");
    post(&format!("/v1/cards/{card}/freeze"));
    let of_card = decline("USD");
    post(&format!("/v1/cards/{card}/unfreeze"));
    post(&format!("/v1/accounts/{account}/freeze"));
    let of_account = decline("USD");
    post(&format!("/v1/accounts/{account}/unfreeze"));
    let of_rate = decline("JPY");
    let why = |told: &Value| {
        let steps = told["trace"].as_array().unwrap();
        let step = steps.iter().find(|step| step["result"] == "fail").unwrap();
        json!([told["decision"]["reason"], step["detail"]])
    };
    let link = json!({"link": {"type": "project", "id": "p1"}});
    let declined = [of_link, of_card, of_account, of_rate];
    let expected = [
        json!(["card_frozen", link]),
        json!(["card_frozen", {}]),
        json!(["account_frozen", {"scope": "account", "account_id": account}]),
        json!(["exchange_rate_missing", {"rate_from": "JPY", "rate_to": "USD"}]),
    ];
    assert_eq!(declined.each_ref().map(why), expected);
    switch.projected();
    let events = told(&switch, &client, "");
    let events = events.iter().map(|event| &event["data"]["authorization"]);
    assert_eq!(events.map(why).collect::<Vec<_>>(), expected);
    // The list is from the tables.
    let list = client.get("/v1/authorizations?limit=4").ok();
    let mut listed: Vec<Value> = list["data"].as_array().unwrap().iter().map(why).collect();
    listed.reverse();
    assert_eq!(listed, expected);
}

#[test]
fn who_hears_of_an_approval_hears_of_all_that_it_comes_to() {
    let switch = Switch::start();
    let root = switch.client();
    let two = Two::new(&switch);
    subscribe(&root, json!({"events": ["approval.*"]}));
    switch.projected();
    let id_of = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let asked: Vec<String> = (0..3)
        .map(|more| waits(&two.top_up(&two.ann, 2_000 + more)))
        .collect();
    // What happened before is in the tables: an event finds there where it belongs, and the count of those before it.
    switch.projected();
    act(&two.bob, &asked[0], "approve").ok();
    act(&two.bob, &asked[1], "reject").ok();
    act(&two.ann, &asked[2], "cancel").ok();
    // Approved, and there is nothing any more that could be done.
    let closed = root.account(&two.program);
    let body = json!({"amount": 5_000, "currency": "USD", "method": "swift"});
    let late = waits(
        &two.ann
            .post(&format!("/v1/accounts/{closed}/top_ups"), body),
    );
    root.post(&format!("/v1/accounts/{closed}/close"), json!({}))
        .ok();
    switch.projected();
    act(&two.bob, &late, "approve");
    let all = told(&switch, &root, "");
    assert_eq!(
        types(&all),
        [
            "approval.requested",
            "approval.requested",
            "approval.requested",
            "approval.approved",
            "approval.rejected",
            "approval.cancelled",
            "approval.requested",
            "approval.approved",
            "approval.failed",
        ]
    );
    for (event, path) in all.iter().zip([&asked[0], &asked[1], &asked[2]].repeat(2)) {
        assert_eq!(event["data"]["approval"]["id"], id_of(path));
    }
    let requested = &all[0]["data"];
    for event in &all[..6] {
        assert_eq!(event["data"]["program_id"], two.program);
        assert_eq!(event["data"]["balance_id"], two.account);
    }
    for event in &all[6..] {
        assert_eq!(event["data"]["balance_id"], closed);
    }
    assert_eq!(requested["approval"]["requested_by"]["name"], "Ann");
    for (place, status, by) in [
        (3, "approved", "Bob"),
        (4, "rejected", "Bob"),
        (5, "cancelled", "Ann"),
    ] {
        let approval = &all[place]["data"]["approval"];
        assert_eq!(
            (&approval["status"], &approval["decided_by"]["name"]),
            (&json!(status), &json!(by))
        );
    }
    for event in &all[6..] {
        assert_eq!(event["data"]["approval"]["id"], id_of(&late));
    }
    assert_eq!(all[6]["data"]["balance_id"], closed);
    assert_eq!(all[8]["data"]["approval"]["status"], "failed");
    let sequences: Vec<&Value> = all.iter().map(|event| &event["data"]["sequence"]).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6, 1, 2, 3]);
    // A key that may not read approvals does not hear of them.
    let key = json!({"name": "reader", "scopes": ["webhooks:read", "cards:read"]});
    assert_eq!(
        told(&switch, &with_key(&root, key), ""),
        Vec::<Value>::new()
    );
}

#[test]
fn writes_of_one_endpoint_take_turns() {
    const WRITERS: usize = 8;
    const WRITES: usize = 10;
    let switch = Switch::start();
    let client = switch.client();
    let id = subscribe(&client, json!({"events": ["card.*"]}));
    let path = format!("/v1/webhook_endpoints/{id}");
    let together = Barrier::new(WRITERS);
    let rotate = |writer: usize| -> Vec<String> {
        together.wait();
        let rotated = (0..WRITES).map(|write| {
            if write % 2 == 0 {
                let name = json!({"name": format!("{writer} {write}")});
                client.patch(&path, name).ok();
            }
            let answer = client
                .post(&format!("{path}/rotate_secret"), json!({}))
                .ok();
            answer["secret"].as_str().unwrap().to_owned()
        });
        rotated.collect()
    };
    let secrets: Vec<String> = std::thread::scope(|scope| {
        let rotate = &rotate;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || rotate(writer)))
            .collect();
        let each = writers.into_iter().map(|writer| writer.join().unwrap());
        each.flatten().collect()
    });
    // Each made a secret of its own: none put the endpoint back as it was before another.
    let different: BTreeSet<&String> = secrets.iter().collect();
    assert_eq!(different.len(), WRITERS * WRITES);
}

#[test]
fn what_is_not_named_of_a_filter_stays() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, account) = client.program_and_account();
    linked_card(&client, &account, "p1");
    let body = json!({"events": ["card.*"], "program_ids": [program], "account_ids": [account], "links": of_project("p1")});
    let id = subscribe(&client, body);
    let path = format!("/v1/webhook_endpoints/{id}");
    let nothing = client.patch(&path, json!({}));
    assert_error(
        &nothing,
        (400, "invalid_request", "nothing_named", None),
        "nothing",
    );
    let changed = client.patch(&path, json!({"links": of_project("p2")})).ok();
    assert_eq!(changed["links"], of_project("p2"));
    assert_eq!(changed["program_ids"], json!([program]));
    assert_eq!(changed["account_ids"], json!([account]));
    let changed = client.patch(&path, json!({"account_ids": []})).ok();
    assert_eq!(changed["account_ids"], json!([]));
    assert_eq!(changed["program_ids"], json!([program]));
    assert_eq!(changed["links"], of_project("p2"));
}

#[test]
fn nothing_is_told_again_from_a_place_that_nothing_has_come_to() {
    let switch = Switch::start();
    let client = switch.client();
    let url = json!({"url": "https://example.com/hooks", "events": ["card.*"]});
    let id = subscribe(&client, url);
    switch.projected();
    let path = format!("/v1/webhook_endpoints/{id}/replay");
    for after in ["evt_7zzzzzzzzzzzz", "evt_fzzzzzzzzzzzz"] {
        let answer = client.post(&path, json!({ "after": after }));
        let expected = (404, "not_found", "event_not_found", Some("after"));
        assert_error(&answer, expected, after);
    }
    // Nor does the list break on a place that no event will ever have.
    let page = client
        .get("/v1/events?starting_after=evt_fzzzzzzzzzzzz")
        .ok();
    assert_eq!(page["data"], json!([]));
}

#[test]
fn what_was_told_of_a_payment_is_found_by_its_id() {
    let switch = Switch::start();
    let root = switch.client();
    subscribe(&root, json!({"events": ["*"]}));
    let (account, card) = funded_card(&root, json!({"mcc": {"block": ["7995"]}}));
    let other = linked_card(&root, &account, "p2");
    let first = authorize(&switch, &account, &card, 100);
    authorize(&switch, &account, &card, 200);
    let of_other = authorize(&switch, &account, &other, 300);
    let of = |client: &Client, id: &str| told(&switch, client, &format!("&authorization_id={id}"));
    let found = of(&root, &first);
    assert_eq!(types(&found), ["authorization.approved", "balance.updated"]);
    assert_eq!(found[0]["data"]["authorization"]["id"], first);
    assert_eq!(found[1]["data"]["authorization_id"], first);
    assert_eq!(of(&root, "auth_0000000000000").len(), 0);
    // An increment is told under what it adds to.
    let paid = json!({"card_id": card, "amount": 100, "kind": "pre_authorization"});
    let paid = root.post("/v1/simulate/authorizations", paid).created();
    let more = json!({"authorization_id": paid, "amount": 50});
    root.post("/v1/simulate/increments", more).created();
    let increased = of(&root, &paid);
    assert_eq!(
        types(&increased)[1..],
        [
            "balance.updated",
            "authorization.incremented",
            "balance.updated"
        ]
    );
    // With another filter both must fit; a key that is bound sees its own alone.
    let both = format!("&authorization_id={first}&card_id={other}");
    assert_eq!(told(&switch, &root, &both).len(), 0);
    let bound = json!({"name": "bound", "links": of_project("p1"), "scopes": ["webhooks:read", "authorizations:read"]});
    let bound = with_key(&root, bound);
    // The balance is that of others too.
    assert_eq!(of(&bound, &first), found[..1]);
    assert_eq!(of(&bound, &of_other).len(), 0);
    assert_eq!(of(&root, &of_other).len(), 2);
    // What no event is counted of finds nothing, ever: that is said.
    for list in ["events", "deliveries"] {
        for id in [
            &*first,
            "txn_0000000000001",
            "tok_0000000000001",
            "fee_0000000000001",
            "card_1",
        ] {
            let refused = root.get(&format!("/v1/{list}?object_id={id}"));
            let expected = (400, "invalid_request", "id_malformed", Some("object_id"));
            assert_error(&refused, expected, id);
        }
        for id in [
            &*card,
            &*account,
            "rule_0000000000001",
            "appr_0000000000001",
            "unknown_card",
        ] {
            root.get(&format!("/v1/{list}?object_id={id}")).ok();
        }
    }
    assert!(!told(&switch, &root, &format!("&object_id={card}")).is_empty());
}
