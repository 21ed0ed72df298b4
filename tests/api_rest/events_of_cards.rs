//! Whose events are: the card and the links that moved the money of an account, the account of one card alone, changes of
//! controls, exceptions by their end; and names that nothing tells yet. Who else hears what is in `events_told.rs`.

use super::approvals::{Two, waits};
use super::events_told::{subscribe, told, types};
use super::harness::{Client, Options, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use super::transfers::top_up;
use super::waiting::wait_until;
use cardswitch::shard::clock::Clock;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

fn user(id: &str) -> Value {
    json!([{"type": "user", "id": id}])
}

/// Of an account, linked to a user.
fn card_of(client: &Client, account: &str, user_id: &str, funding: &str) -> Value {
    let body = json!({"account_id": account, "type": "virtual", "funding": funding, "links": user(user_id)});
    let card = client.post("/v1/cards", body).created();
    client.get(&format!("/v1/cards/{card}")).ok()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn pay(client: &Client, card: &str, amount: i64) -> String {
    let body = json!({"card_id": card, "amount": amount, "currency": "USD"});
    client.post("/v1/simulate/authorizations", body).created()
}

/// A key that hears of everything there is of the links of a user.
fn bound_to(root: &Client, user_id: &str) -> Client {
    let scopes = [
        "webhooks:read",
        "webhooks:write",
        "accounts:read",
        "cards:read",
        "authorizations:read",
        "transactions:read",
        "exceptions:read",
        "approvals:read",
    ];
    with_key(
        root,
        json!({"name": user_id, "scopes": scopes, "links": user(user_id)}),
    )
}

fn data(event: &Value) -> &Value {
    &event["data"]
}

#[test]
fn the_account_of_a_card_alone_carries_its_card_and_its_links() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, master) = root.program_and_account();
    top_up(&root, &master, 10_000);
    let (ann, bob) = (bound_to(&root, "ann"), bound_to(&root, "bob"));
    subscribe(
        &ann,
        json!({"events": ["balance.*", "topup.*", "transfer.*", "account.*"]}),
    );
    subscribe(&bob, json!({"events": ["balance.*", "account.*"]}));
    subscribe(&root, json!({"events": ["balance.*", "account.*"]}));
    let card = card_of(&root, &master, "ann", "own");
    let (id, own) = (text(&card, "id"), text(&card, "account_id"));
    assert_ne!(own, master);
    let shared = card_of(&root, &master, "bob", "shared");
    let moved =
        json!({"from_account_id": master, "to_account_id": own, "amount": 900, "currency": "USD"});
    root.post("/v1/transfers", moved).created();
    top_up(&root, own, 100);
    let low = json!({"low_balance": {"below": 500}});
    root.patch(&format!("/v1/accounts/{own}"), low).ok();
    let paid = pay(&root, id, 700);
    root.post(&format!("/v1/accounts/{own}/freeze"), json!({}))
        .ok();
    let of_master = pay(&root, text(&shared, "id"), 60);
    let reissued = json!({"reason": "damaged"});
    let newer = root
        .post(&format!("/v1/cards/{id}/reissue"), reissued)
        .created();
    root.post(&format!("/v1/accounts/{own}/unfreeze"), json!({}))
        .ok();

    let all = told(&switch, &ann, "");
    let expected = [
        "transfer.settled",
        "balance.updated",
        "topup.settled",
        "balance.updated",
        "balance.updated",
        "balance.low",
        "account.frozen",
        "account.unfrozen",
    ];
    let told_types = types(&all);
    let of_types: Vec<&str> = told_types
        .iter()
        .copied()
        .filter(|name| expected.contains(name))
        .collect();
    assert_eq!(of_types, expected);
    for event in &all {
        let data = data(event);
        let card = match event["type"] == "account.unfrozen" {
            true => &newer,
            false => id,
        };
        let place = [
            &data["card_id"],
            &data["balance_id"],
            &data["user_id"],
            &data["links"],
        ];
        let named = [&json!(card), &json!(own), &json!("ann"), &user("ann")];
        assert_eq!(place, named, "{event}");
    }
    // Numbered among those of the account, none is missing but that of its opening, which came before the card.
    let sequences: Vec<&Value> = all.iter().map(|event| &data(event)["sequence"]).collect();
    let from_second: Vec<Value> = (2..=all.len() as u64 + 1).map(Value::from).collect();
    assert_eq!(sequences, from_second.iter().collect::<Vec<_>>());
    let of_payment = all
        .iter()
        .find(|event| data(event)["authorization_id"] == paid);
    assert_eq!(data(of_payment.unwrap())["balance"]["held_change"], 700);
    let low = all
        .iter()
        .find(|event| event["type"] == "balance.low")
        .unwrap();
    assert_eq!(
        data(low)["balance"],
        json!({"account_id": own, "available": 300, "below": 500})
    );

    // The balance that others share names who paid, and is told to nobody who sees only that card.
    assert_eq!(told(&switch, &bob, ""), Vec::<Value>::new());
    let every = told(&switch, &root, "&type=balance.updated");
    let shared_moved = every
        .iter()
        .find(|event| data(event)["authorization_id"] == of_master);
    let shared_moved = data(shared_moved.unwrap());
    let place = [
        &shared_moved["card_id"],
        &shared_moved["balance_id"],
        &shared_moved["user_id"],
    ];
    assert_eq!(place, [&shared["id"], &json!(master), &json!("bob")]);
    let of_card = told(
        &switch,
        &root,
        &format!("&type=balance.*&card_id={}", text(&shared, "id")),
    );
    assert_eq!(of_card.len(), 1);
    let of_link = |id: &str| told(&switch, &root, &format!("&link_type=user&link_id={id}"));
    assert_eq!(
        of_link("bob"),
        of_card,
        "who sees all of it finds it by what it carries"
    );
    let ids = |events: &[Value]| {
        events
            .iter()
            .map(|event| event["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&of_link("ann")), ids(&all));
    // Tables that are made anew, with all records at once, have the same.
    let disk = switch.disk.cut_after(switch.journal.durable());
    let again = Switch::start_on(disk, Options::default());
    let every = told(&switch, &root, "");
    assert_eq!(told(&again, &again.client(), ""), every);
}

#[test]
fn a_change_of_controls_says_whose_and_is_told_to_who_sees_that() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account) = root.program_and_account();
    let card = card_of(&root, &account, "ann", "shared");
    let (ann, bob) = (bound_to(&root, "ann"), bound_to(&root, "bob"));
    subscribe(&root, json!({"events": ["limit.updated"]}));
    let limits = || json!({"controls": {"limits": [{"window": "day", "amount": 5}]}});
    let card = text(&card, "id");
    root.header("If-Match", "*")
        .patch(&format!("/v1/cards/{card}"), limits())
        .ok();
    root.patch(&format!("/v1/accounts/{account}"), limits())
        .ok();
    root.put("/v1/links/user/ann", limits()).ok();
    root.put("/v1/links/user/ann", json!({"controls": {}})).ok();
    root.patch(&format!("/v1/programs/{program}"), limits())
        .ok();
    // Nothing of its controls.
    root.patch(
        &format!("/v1/accounts/{account}"),
        json!({"name": "wallet"}),
    )
    .ok();
    let all = told(&switch, &root, "");
    let owners: Vec<&Value> = all.iter().map(|event| &data(event)["owner"]).collect();
    let of_link = json!({"object": "link", "type": "user", "id": "ann"});
    let expected = [
        &json!({"object": "card", "id": card}),
        &json!({"object": "account", "id": account}),
        &of_link,
        &of_link,
        &json!({"object": "program", "id": program}),
    ];
    assert_eq!(owners, expected);
    let place = |at: usize, name: &str| data(&all[at])[name].clone();
    assert_eq!(place(0, "card_id"), card);
    assert_eq!(place(1, "balance_id"), json!(account));
    assert_eq!(place(2, "links"), user("ann"));
    assert_eq!(
        [place(2, "sequence"), place(3, "sequence")],
        [json!(1), json!(2)]
    );
    assert_eq!(
        [place(4, "program_id"), place(4, "links")],
        [json!(program), json!([])]
    );
    let owners = |client: &Client| {
        let told = told(&switch, client, "");
        told.iter()
            .map(|event| data(event)["owner"]["object"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(owners(&ann), ["card", "link", "link"]);
    assert_eq!(owners(&bob), Vec::<Value>::new());
    let of_account =
        json!({"name": "a", "scopes": ["webhooks:read", "cards:read"], "account_ids": [account]});
    assert_eq!(owners(&with_key(&root, of_account)), ["card", "account"]);
    let by_link = told(&switch, &root, "&link_type=user&link_id=ann");
    assert_eq!(by_link.len(), 3);
}

#[test]
fn an_approval_of_a_linked_object_carries_it() {
    let switch = Switch::start();
    let two = Two::new(&switch);
    let root = switch.client();
    card_of(&root, &two.account, "ann", "shared");
    subscribe(&root, json!({"events": ["approval.*"]}));
    let (ann, bob) = (bound_to(&root, "ann"), bound_to(&root, "bob"));
    let limits =
        |amount: i64| json!({"controls": {"limits": [{"window": "day", "amount": amount}]}});
    two.ann.put("/v1/links/user/ann", limits(5)).ok();
    let asked = waits(&two.ann.put("/v1/links/user/ann", limits(50)));
    two.bob.post(&format!("{asked}/reject"), json!({})).ok();
    let all = told(&switch, &root, "");
    assert_eq!(types(&all), ["approval.requested", "approval.rejected"]);
    for event in &all {
        assert_eq!(data(event)["user_id"], "ann", "{event}");
        assert_eq!(data(event)["links"], user("ann"), "{event}");
        assert_eq!(data(event)["program_id"], two.program, "{event}");
    }
    assert_eq!(told(&switch, &ann, ""), all);
    assert_eq!(told(&switch, &bob, ""), Vec::<Value>::new());
}

#[test]
fn events_say_why_a_card_is_blocked_and_what_an_exception_lifts() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, account) = root.program_and_account();
    let card = card_of(&root, &account, "ann", "shared");
    let card = text(&card, "id");
    subscribe(&root, json!({"events": ["card.*", "exception.*"]}));
    let lifts = json!({"limits": [{"id": "lim_0000000000001", "amount": 5, "count": null}], "countries": ["JP"],
                       "merchants": [{"name": "HOTEL"}]});
    let body = json!({"card_id": card, "lifts": lifts, "ends_at": "2100-01-01T00:00:00Z", "reason": "trip"});
    let id = root.post("/v1/exceptions", body).created();
    let other = json!({"name": "other", "scopes": ["exceptions:approve"]});
    let other = with_key(&root, other);
    other
        .post(&format!("/v1/exceptions/{id}/approve"), json!({}))
        .ok();
    other
        .post(&format!("/v1/exceptions/{id}/end"), json!({}))
        .ok();
    root.post(
        &format!("/v1/cards/{card}/block"),
        json!({"reason": "stolen"}),
    )
    .ok();
    let all = told(&switch, &root, "");
    let expected = [
        "exception.requested",
        "exception.approved",
        "exception.ended",
        "card.blocked",
    ];
    assert_eq!(types(&all), expected);
    let read = root.get(&format!("/v1/exceptions/{id}")).ok();
    for event in &all[..3] {
        let told = &data(event)["exception"];
        for name in [
            "id",
            "card_id",
            "account_id",
            "link",
            "lifts",
            "starts_at",
            "ends_at",
            "reason",
        ] {
            assert_eq!(told[name], read[name], "{name}: {event}");
        }
    }
    assert_eq!(data(&all[3])["card"]["status_reason"], "stolen");
}

/// Over a start after a crash too, from whatever was durable: the tables are made anew there.
#[test]
fn that_the_time_of_an_exception_is_over_is_told_once() {
    let (switch, now_ms) = Switch::start_with_clock();
    let root = switch.client();
    let (_, account) = root.program_and_account();
    let card = card_of(&root, &account, "ann", "shared");
    let card = text(&card, "id");
    subscribe(&root, json!({"events": ["exception.*"]}));
    let ask = |ends_at: &str| {
        let lifts = json!({"countries": ["JP"]});
        let body = json!({"card_id": card, "lifts": lifts, "ends_at": ends_at, "reason": "trip"});
        root.post("/v1/exceptions", body).created()
    };
    let ids = [
        "2026-11-18T12:00:00Z",
        "2026-11-18T12:00:00Z",
        "2026-11-18T12:00:00Z",
        "2026-11-19T12:00:00Z",
    ]
    .map(ask);
    let other = with_key(
        &root,
        json!({"name": "other", "scopes": ["exceptions:approve"]}),
    );
    let act = |id: &str, what: &str| {
        drop(
            other
                .post(&format!("/v1/exceptions/{id}/{what}"), json!({}))
                .ok(),
        )
    };
    act(&ids[0], "approve");
    act(&ids[1], "approve");
    act(&ids[1], "end");
    act(&ids[3], "approve");
    let before = switch.journal.durable();
    let expired =
        |switch: &Switch, client: &Client| told(switch, client, "&type=exception.expired");
    assert_eq!(expired(&switch, &root), Vec::<Value>::new());
    // 12:00:00 of that day.
    now_ms.store(1_795_003_200_000, Ordering::Release);
    wait_until("the end of the exception", || {
        expired(&switch, &root).len() == 1
    });
    let first = expired(&switch, &root).remove(0);
    let exception = &data(&first)["exception"];
    assert_eq!(
        [&exception["id"], &exception["state"]],
        [&json!(ids[0]), &json!("ended")]
    );
    assert_eq!(exception["lifts"], json!({"countries": ["JP"]}));
    assert_eq!(data(&first)["card_id"], card);
    let path = format!("/v1/exceptions/{}", ids[0]);
    assert_eq!(root.get(&path).ok()["state"], "ended");
    // Ended by hand once more: it is so.
    act(&ids[0], "end");
    let listed = root.get("/v1/exceptions?state=ended").ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let after = switch.journal.durable();
    for kept in [before, before + 1, after] {
        let clock = Clock::Manual(Arc::new(AtomicI64::new(1_795_003_300_000)));
        let options = Options {
            clock,
            ..Options::default()
        };
        let again = Switch::start_on(switch.disk.cut_after(kept), options);
        let client = again.client();
        wait_until("the end of the exception", || {
            expired(&again, &client).len() == 1
        });
        let told = expired(&again, &client).remove(0);
        assert_eq!(data(&told)["exception"], *exception, "{kept} records kept");
        // Something else happens, and nothing of it.
        client.post("/v1/links/user/ann/freeze", json!({})).ok();
        assert_eq!(expired(&again, &client).len(), 1, "{kept} records kept");
    }
}

#[test]
fn names_that_nothing_tells_yet_can_be_subscribed_to() {
    let switch = Switch::start();
    let root = switch.client();
    let article = json!({"events": ["card.created", "card.frozen", "authorization.approved", "authorization.declined",
                                    "transaction.settled", "reversal.created", "chargeback.opened"]});
    let id = subscribe(&root, article.clone());
    let made = root.get(&format!("/v1/webhook_endpoints/{id}")).ok();
    assert_eq!(made["events"], article["events"]);
    subscribe(
        &root,
        json!({"events": ["chargeback.*", "dispute.*", "settlement_report.ready", "rule.backtest_completed"]}),
    );
    let unknown = root.post(
        "/v1/webhook_endpoints",
        json!({"events": ["chargeback.melted"]}),
    );
    let refused = (
        400,
        "invalid_request",
        "event_type_unknown",
        Some("events[0]"),
    );
    assert_error(&unknown, refused, "chargeback.melted");
    let listed = told(&switch, &root, "&type=chargeback.opened");
    assert_eq!(listed, Vec::<Value>::new());
    let key = json!({"name": "cards", "scopes": ["webhooks:write", "webhooks:read", "cards:read"]});
    let cards = with_key(&root, key);
    let refused = cards.post(
        "/v1/webhook_endpoints",
        json!({"events": ["card.*", "chargeback.opened"]}),
    );
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(
        refused.text.contains("disputes:read") && refused.text.contains("chargeback.opened"),
        "{}",
        refused.text
    );
    assert_eq!(cards.get("/v1/events?type=chargeback.*").status, 403);
    subscribe(&cards, json!({"events": ["card.*"]}));
}

#[test]
fn what_a_request_says_of_the_authentication_of_its_cardholder_is_told() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, account) = root.program_and_account();
    top_up(&root, &account, 10_000);
    let card = card_of(&root, &account, "ann", "shared");
    subscribe(
        &root,
        json!({"events": ["authentication.*", "authorization.*"]}),
    );
    let mut ids = Vec::new();
    // What is claimed is told, whatever the proof of it is.
    let unproven = json!({"authentication": "authenticated", "cryptogram": "invalid"});
    let attempted = json!("attempted");
    for said in [json!("authenticated"), json!("failed"), unproven, attempted] {
        let body = json!({"card_id": card["id"], "amount": 5, "currency": "USD", "entry_mode": "ecommerce", "three_ds": said});
        ids.push(root.post("/v1/simulate/authorizations", body).created());
    }
    let all = told(&switch, &root, "&type=authentication.*");
    assert_eq!(
        types(&all),
        [
            "authentication.succeeded",
            "authentication.failed",
            "authentication.succeeded"
        ]
    );
    assert_eq!(data(&all[2])["authentication"]["cryptogram"], "invalid");
    for (event, id) in all.iter().zip(&ids) {
        assert_eq!(data(event)["authorization_id"], *id);
        let authorization = root.get(&format!("/v1/authorizations/{id}")).ok();
        let steps = authorization["trace"].as_array().unwrap();
        let step = steps
            .iter()
            .find(|step| step["step"] == "three_ds")
            .unwrap();
        let told = &data(event)["authentication"];
        for name in [
            "eci",
            "authentication",
            "cryptogram",
            "exemption",
            "initiated_by",
        ] {
            assert_eq!(told[name], step["detail"][name], "{name}");
        }
    }
}

/// Nobody answers in the place of the customer here: what was set for that case decides.
#[test]
fn that_a_payment_waits_for_its_customer_is_told_and_then_what_came_of_it() {
    let switch = Switch::start();
    let root = switch.client();
    let (program, account) = root.program_and_account();
    top_up(&root, &account, 10_000);
    let card = card_of(&root, &account, "ann", "shared");
    let endpoint = json!({"program_id": program, "url": "https://example.com/decide", "timeout_ms": 100,
                          "fallback": {"type": "decline"}});
    root.post("/v1/decision_endpoints", endpoint).created();
    subscribe(&root, json!({"events": ["authorization.*"]}));
    let paid = pay(&root, text(&card, "id"), 700);
    wait_until("what came of it", || told(&switch, &root, "").len() == 2);
    let all = told(&switch, &root, "");
    assert_eq!(
        types(&all),
        ["authorization.requested", "authorization.declined"]
    );
    for (event, result) in all.iter().zip(["waiting", "declined"]) {
        let authorization = &data(event)["authorization"];
        assert_eq!(
            [&authorization["id"], &authorization["decision"]["result"]],
            [&json!(paid), &json!(result)]
        );
        assert_eq!(data(event)["user_id"], "ann");
    }
}
