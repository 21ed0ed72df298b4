//! Fees: schedules and their versions, previews, and what is charged for what.

use super::harness::{Client, Switch};
use super::keys::with_key;
use super::refusals::assert_error;
use super::transfers::{posted, top_up};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

fn items() -> Value {
    json!([
        {"kind": "set_up", "fee": {"amount": 1_000}, "reseller_mark_up": {"amount": 500}},
        {"kind": "issue_virtual", "fee": {"amount": 200}, "reseller_mark_up": {"amount": 50}},
        {"kind": "issue_physical", "fee": {"amount": 1_000}},
        {"kind": "monthly", "fee": {"amount": 100}, "reseller_mark_up": {"amount": 25}},
        {"kind": "top_up", "fee": {"basis_points": 300, "min": 100}, "reseller_mark_up": {"basis_points": 100}},
        {"kind": "foreign_exchange", "fee": {"basis_points": 150}, "reseller_mark_up": {"basis_points": 50}},
        {"kind": "decline", "fee": {"amount": 30}, "reseller_mark_up": {"amount": 5}},
    ])
}

/// One by which a virtual card costs so much, and nothing else anything.
pub fn schedule_for_cards(client: &Client, amount: i64) -> String {
    let items = json!([{"kind": "issue_virtual", "fee": {"amount": amount}}]);
    let schedule = json!({"name": "Cards", "currency": "USD", "items": items});
    client.post("/v1/fee_schedules", schedule).created()
}

fn schedule(client: &Client) -> String {
    let body = json!({"name": "Standard", "currency": "USD", "items": items()});
    client.post("/v1/fee_schedules", body).created()
}

/// A program that charges, and its schedule.
fn program(client: &Client) -> (String, String) {
    let schedule = schedule(client);
    let body = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD", "fee_schedule": schedule});
    let made = client.post("/v1/programs", body);
    assert_eq!(made.json()["fee_schedule"], *schedule);
    (made.created(), schedule)
}

/// The newest charge, as the list has it.
fn newest(switch: &Switch, client: &Client, query: &str) -> Value {
    switch.projected();
    let list = client.get(&format!("/v1/fees?{query}")).ok();
    let fee = list["data"][0].clone();
    let id = fee["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no fee: {list}"));
    assert_eq!(client.get(&format!("/v1/fees/{id}")).ok(), fee);
    fee
}

fn preview(client: &Client, program: &str, asked: Value) -> Value {
    client
        .post(&format!("/v1/programs/{program}/fee_preview"), asked)
        .ok()
}

/// What is charged has the parts that the preview says, and the cause that it has.
fn assert_charged(fee: &Value, preview: &Value, cause: (&str, &str)) {
    let previewed = &preview["fees"][0];
    for part in ["kind", "amount", "fee_amount", "reseller_mark_up_amount"] {
        assert_eq!(fee[part], previewed[part], "{part}: {fee} {preview}");
    }
    for name in ["fee_schedule_id", "fee_schedule_version", "currency"] {
        assert_eq!(fee[name], preview[name], "{name}: {fee} {preview}");
    }
    assert_eq!(fee["cause"], json!({"type": cause.0, "id": cause.1}));
}

#[test]
fn everything_is_charged_as_it_was_previewed() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, _) = program(&client);
    let account = client.account(&program);
    let by_account = format!("account_id={account}");
    let asked = |kind: &str| json!({ "kind": kind });
    let set_up = newest(&switch, &client, &by_account);
    assert_charged(
        &set_up,
        &preview(&client, &program, asked("set_up")),
        ("account", &account),
    );
    assert_eq!(
        (&set_up["amount"], &set_up["overdrawn"]),
        (&json!(1_500), &json!(true))
    );
    assert_eq!(posted(&client, &account), -1_500);

    top_up(&client, &account, 50_000);
    let fee = newest(&switch, &client, "kind=top_up");
    let told = preview(
        &client,
        &program,
        json!({"kind": "top_up", "amount": 50_000}),
    );
    let top_ups = client.get("/v1/top_ups").ok();
    assert_charged(
        &fee,
        &told,
        ("top_up", top_ups["data"][0]["id"].as_str().unwrap()),
    );
    assert_eq!(
        (&fee["fee_amount"], &fee["basis_amount"]),
        (&json!(1_500), &json!(50_000))
    );
    assert_eq!(posted(&client, &account), 48_000 - 1_500);

    let card = client.card(&account);
    let fee = newest(&switch, &client, &format!("card_id={card}"));
    assert_charged(
        &fee,
        &preview(&client, &program, asked("issue_virtual")),
        ("card", &card),
    );

    let declined = client.post(
        "/v1/simulate/authorizations",
        json!({"card_id": card, "amount": 900_000, "currency": "USD"}),
    );
    let declined = declined.created();
    let fee = newest(
        &switch,
        &client,
        &format!("program_id={program}&kind=decline"),
    );
    assert_charged(
        &fee,
        &preview(&client, &program, asked("decline")),
        ("authorization", &declined),
    );
    let before = posted(&client, &account);

    let paid = json!({"card_id": card, "amount": 10_000, "currency": "EUR", "billing_amount": 11_000,
                      "billing_currency": "USD", "message": "financial_request"});
    let paid = client.post("/v1/simulate/authorizations", paid);
    let authorization = paid.created();
    let fee = newest(&switch, &client, "kind=foreign_exchange");
    let told = preview(
        &client,
        &program,
        json!({"kind": "foreign_exchange", "amount": 11_000}),
    );
    let transaction = authorization.replace("auth_", "txn_");
    assert_charged(&fee, &told, ("transaction", &transaction));
    assert_eq!(
        (&fee["fee_amount"], &fee["reseller_mark_up_amount"]),
        (&json!(165), &json!(55))
    );
    assert_eq!(posted(&client, &account), before - 11_220);
    // The network gets what it got before there were fees.
    let transaction = client.get(&format!("/v1/transactions/{transaction}")).ok();
    assert_eq!(
        (&transaction["amount"], &transaction["network_amount"]),
        (&json!(-11_220), &json!(-11_000))
    );

    let date = &transaction["created_at"].as_str().unwrap()[..10];
    let report = client
        .get(&format!("/v1/settlement_reports?date={date}&network=visa"))
        .ok();
    assert_eq!(report["lines"][0]["gross"], 11_000, "{report}");
    assert_eq!(report["lines"].as_array().unwrap().len(), 1, "{report}");

    // And all that was charged by itself is in the account's ledger.
    let entries = client
        .get(&format!("/v1/accounts/{account}/ledger_entries?limit=100"))
        .ok();
    let entries = entries["data"].as_array().unwrap();
    let of_fees = entries
        .iter()
        .filter(|entry| entry["source"]["type"] == "fee");
    let sum: i64 = of_fees.map(|entry| entry["amount"].as_i64().unwrap()).sum();
    assert_eq!(sum, -(1_500 + 2_000 + 250 + 35));
    let all: i64 = entries
        .iter()
        .map(|entry| entry["amount"].as_i64().unwrap())
        .sum();
    assert_eq!(all, posted(&client, &account));
}

#[test]
fn a_card_that_cannot_be_paid_for_is_refused_and_leaves_nothing_behind() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, _) = program(&client);
    let account = client.account(&program);
    let order = json!({"account_id": account});
    let refused = client.post("/v1/cards", order.clone());
    assert_error(
        &refused,
        (409, "conflict", "insufficient_funds", None),
        "no money",
    );
    top_up(&client, &account, 1_500 + 350);
    // 250 are left after what was charged for the top-up.
    assert_eq!(posted(&client, &account), 1_850 - 100 - 18 - 1_500);
    let refused = client.post("/v1/cards", order.clone());
    assert_error(
        &refused,
        (409, "conflict", "insufficient_funds", None),
        "too little",
    );
    switch.projected();
    let cards = client.get(&format!("/v1/cards?account_id={account}")).ok();
    assert_eq!(cards["data"], json!([]));
    top_up(&client, &account, 10_000);
    let before = posted(&client, &account);
    // One with an account of its own is paid by the one above.
    let own = client.post(
        "/v1/cards",
        json!({"account_id": account, "funding": "own"}),
    );
    let own = own.json();
    assert_eq!(posted(&client, own["account_id"].as_str().unwrap()), 0);
    assert_eq!(posted(&client, &account), before - 250);
    let id = own["id"].as_str().unwrap();
    let other = client.post(
        &format!("/v1/cards/{id}/reissue"),
        json!({"reason": "lost"}),
    );
    assert_error(
        &other,
        (409, "conflict", "insufficient_funds", None),
        "its own account has nothing",
    );
    let ours = client.post(
        &format!("/v1/cards/{id}/reissue"),
        json!({"reason": "fulfillment_error"}),
    );
    ours.created();
    // Of a batch as many are issued as can be paid for, and no more.
    let rows: Vec<Value> = vec![json!({"account_id": account}); 40];
    let batch = client
        .post("/v1/card_batches", json!({ "rows": rows }))
        .created();
    let done = super::card_batches::over(&client, &batch);
    let left = posted(&client, &account);
    assert!((0..250).contains(&left), "{left} of {before}: {done}");
    assert_eq!(
        done["issued"].as_i64().unwrap(),
        (before - 250) / 250,
        "{done}"
    );
}

#[test]
fn each_change_is_a_version_and_charges_name_it() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, schedule) = program(&client);
    let path = format!("/v1/fee_schedules/{schedule}");
    let before = client.get(&path).ok();
    assert_eq!(
        (&before["version"], &before["time_zone"]),
        (&json!(1), &json!("UTC"))
    );
    assert_eq!(before["items"].as_array().unwrap().len(), 7);
    let same = client.patch(&path, json!({"name": "Standard"})).ok();
    assert_eq!(same, before, "nothing changed");
    let dearer = json!([{"kind": "set_up", "fee": {"amount": 1}}]);
    let after = client
        .patch(&path, json!({"items": dearer, "time_zone": "Asia/Tokyo"}))
        .ok();
    assert_eq!(
        (&after["version"], &after["name"]),
        (&json!(2), &json!("Standard"))
    );
    assert_eq!(client.get("/v1/fee_schedules").ok()["data"], json!([after]));
    let account = client.account(&program);
    let fee = newest(&switch, &client, &format!("account_id={account}"));
    assert_eq!(
        (&fee["fee_schedule_version"], &fee["amount"]),
        (&json!(2), &json!(1))
    );
    // A program without a schedule charges nothing.
    let none = client
        .patch(
            &format!("/v1/programs/{program}"),
            json!({"fee_schedule": "none"}),
        )
        .ok();
    assert_eq!(none["fee_schedule"], Value::Null);
    assert_eq!(posted(&client, &client.account(&program)), 0);
    let nothing = preview(&client, &program, json!({"kind": "set_up"}));
    assert_eq!(
        (&nothing["fees"], &nothing["total"]),
        (&json!([]), &json!(0))
    );
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, schedule) = program(&client);
    for (items, code, param) in [
        (json!([{"kind": "gift"}]), "value_unknown", "items[0].kind"),
        (
            json!([{"fee": {"amount": 1}}]),
            "field_missing",
            "items[0].kind",
        ),
        (
            json!([{"kind": "decline", "fee": {"amount": -1}}]),
            "number_invalid",
            "items[0].fee.amount",
        ),
        (
            json!([{"kind": "decline", "fee": {"basis_points": 1}}]),
            "fee_item_invalid",
            "items",
        ),
        (
            json!([{"kind": "decline"}, {"kind": "decline"}]),
            "fee_item_invalid",
            "items",
        ),
        (
            json!([{"kind": "foreign_exchange", "fee": {"amount": 1}}]),
            "fee_item_invalid",
            "items",
        ),
        (
            json!([{"kind": "top_up", "fee": {"basis_points": 1, "min": 2, "max": 1}}]),
            "fee_item_invalid",
            "items",
        ),
        (
            json!([{"kind": "monthly", "fee": {"amount": 1, "max": 2}}]),
            "fee_item_invalid",
            "items",
        ),
    ] {
        let body = json!({"name": "x", "currency": "USD", "items": items});
        let answer = client.post("/v1/fee_schedules", body);
        assert_error(
            &answer,
            (400, "invalid_request", code, Some(param)),
            &items.to_string(),
        );
    }
    let path = format!("/v1/programs/{program}");
    let both = client.patch(&path, json!({"foreign_exchange_mark_up_basis_points": 100}));
    assert_error(
        &both,
        (409, "conflict", "mark_up_twice", Some("fee_schedule")),
        "both",
    );
    let unknown = "feesch_0000000000009";
    let made = json!({"name": "x", "network": "visa", "bin": "411111", "currency": "USD", "fee_schedule": unknown});
    for told in [
        client.patch(&path, json!({ "fee_schedule": unknown })),
        client.post("/v1/programs", made),
    ] {
        assert_error(
            &told,
            (
                404,
                "not_found",
                "fee_schedule_not_found",
                Some("fee_schedule"),
            ),
            "unknown",
        );
    }
    let euros = json!({"name": "x", "currency": "EUR", "items": []});
    let euros = client.post("/v1/fee_schedules", euros).created();
    let other = client.patch(&path, json!({ "fee_schedule": euros }));
    assert_error(
        &other,
        (409, "conflict", "currency_mismatch", Some("fee_schedule")),
        "euros",
    );
    let previews = format!("/v1/fee_schedules/{schedule}/preview");
    let answer = client.post(&previews, json!({"kind": "top_up"}));
    assert_error(
        &answer,
        (400, "invalid_request", "field_missing", Some("amount")),
        "no amount",
    );
    let answer = client.post(&previews, json!({"kind": "decline", "amount": 1}));
    assert_error(
        &answer,
        (400, "invalid_request", "field_unknown", Some("amount")),
        "an amount",
    );
    for missing in [
        "/v1/fee_schedules/feesch_0000000000009",
        "/v1/fees/fee_0000000000009",
        "/v1/fees/x",
    ] {
        assert_eq!(client.get(missing).error().0, 404, "{missing}");
    }
}

#[test]
fn a_month_is_charged_when_it_begins_and_somebody_hears_of_it() {
    let (switch, now_ms) = Switch::start_with_clock();
    let client = switch.client();
    let (program, _) = program(&client);
    client
        .post("/v1/webhook_endpoints", json!({"events": ["fee.charged"]}))
        .created();
    let account = client.account(&program);
    top_up(&client, &account, 50_000);
    let card = client.card(&account);
    let before = posted(&client, &account);
    // From 2026-11-18 to 2026-12-02.
    now_ms.fetch_add(14 * 86_400_000, Ordering::AcqRel);
    assert_eq!(posted(&client, &account), before - 125);
    let fee = newest(&switch, &client, "kind=monthly");
    assert_charged(
        &fee,
        &preview(&client, &program, json!({"kind": "monthly"})),
        ("card", &card),
    );
    assert_eq!(fee["month"], "2026-12");
    let events = client.get(&format!("/v1/events?card_id={card}")).ok();
    let told: Vec<&Value> = events["data"].as_array().unwrap().iter().collect();
    assert_eq!(told.last().unwrap()["data"]["fee"], fee);
    let kinds: Vec<_> = told
        .iter()
        .map(|event| &event["data"]["fee"]["kind"])
        .collect();
    assert_eq!(kinds, ["issue_virtual", "monthly"]);
}

#[test]
fn who_may_read_fees_sees_those_of_its_accounts_and_sets_none() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, schedule) = program(&client);
    let (own, other) = (client.account(&program), client.account(&program));
    switch.projected();
    let bound = with_key(
        &client,
        json!({"name": "b", "scopes": ["fees:read"], "account_ids": [own]}),
    );
    let list = bound.get("/v1/fees").ok();
    let fees = list["data"].as_array().unwrap();
    assert_eq!((fees.len(), &fees[0]["account_id"]), (1, &json!(own)));
    let others = client.get(&format!("/v1/fees?account_id={other}")).ok();
    let others = others["data"][0]["id"].as_str().unwrap();
    assert_eq!(bound.get(&format!("/v1/fees/{others}")).error().0, 404);
    let path = format!("/v1/fee_schedules/{schedule}");
    assert_eq!(bound.get(&path).error().0, 403);
    let reads = with_key(&client, json!({"name": "r", "scopes": ["fees:read"]}));
    reads.get(&path).ok();
    reads
        .post(&format!("{path}/preview"), json!({"kind": "set_up"}))
        .ok();
    assert_eq!(reads.patch(&path, json!({"name": "x"})).error().0, 403);
}

#[test]
fn so_many_declines_of_a_day_cost_as_the_preview_says_and_no_more() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, schedule) = program(&client);
    let path = format!("/v1/fee_schedules/{schedule}");
    let max = "decline_fees_per_card_per_day_max";
    assert_eq!(client.get(&path).ok()[max], Value::Null);
    for wrong in [json!(-1), json!(65_536), json!("2")] {
        let (status, _, _, param) = client.patch(&path, json!({ max: wrong })).error();
        assert_eq!((status, param.as_deref()), (400, Some(max)), "{wrong}");
    }
    let changed = client.patch(&path, json!({ max: 2 })).ok();
    assert_eq!((&changed[max], &changed["version"]), (&json!(2), &json!(2)));
    // What else changes leaves it.
    let changed = client.patch(&path, json!({"name": "Standard 2"})).ok();
    assert_eq!((&changed[max], &changed["version"]), (&json!(2), &json!(3)));
    let account = client.account(&program);
    top_up(&client, &account, 50_000);
    let card = client.card(&account);
    for charged_today in 0..4 {
        let before = posted(&client, &account);
        let told = preview(
            &client,
            &program,
            json!({"kind": "decline", "charged_today": charged_today}),
        );
        let declined = json!({"card_id": card, "amount": 900_000, "currency": "USD"});
        client
            .post("/v1/simulate/authorizations", declined)
            .created();
        let total = if charged_today < 2 { 35 } else { 0 };
        assert_eq!(told["total"], total, "{told}");
        assert_eq!(before - posted(&client, &account), total);
    }
    let of_another = json!({"kind": "monthly", "charged_today": 1});
    let path = format!("/v1/programs/{program}/fee_preview");
    let (status, _, code, _) = client.post(&path, of_another).error();
    assert_eq!((status, &*code), (400, "field_unknown"));
    let ended = client.patch(
        &format!("/v1/fee_schedules/{schedule}"),
        json!({ max: "none" }),
    );
    assert_eq!(ended.ok()[max], Value::Null);
}

#[test]
fn an_order_that_a_crash_cut_off_and_is_then_refused_leaves_no_account_open() {
    let switch = Switch::start();
    let client = switch.client();
    let (program, _) = program(&client);
    let [account, elsewhere] = [(); 2].map(|()| client.account(&program));
    top_up(&client, &account, 10_000);
    let body = json!({"account_id": account, "funding": "own"});
    let order = |client: &Client| {
        let client = client.header("Idempotency-Key", "k");
        client.post("/v1/cards", body.clone())
    };
    let before = switch.journal.durable();
    order(&client).created();
    let after = switch.journal.durable();
    let sub_accounts = |switch: &Switch| {
        switch.projected();
        let list = switch.client();
        let list = list.get(&format!("/v1/accounts?parent_id={account}")).ok();
        let status = |one: &Value| one["status"].as_str().unwrap().to_owned();
        let all = list["data"].as_array().unwrap().iter();
        all.map(status).collect::<Vec<_>>()
    };
    // Begun, account, issued, opened, audit, answered.
    for (kept, refused, left) in [
        (before + 1, true, vec![]),
        (before + 2, true, vec!["closed"]),
        (before + 3, false, vec!["active"]),
        (before + 4, false, vec!["active"]),
        (after, false, vec!["active"]),
    ] {
        let disk = switch.disk.cut_after(kept);
        let cut = Switch::start_on(disk, super::harness::Options::default());
        let client = cut.client();
        let left_over = client.get(&format!("/v1/accounts/{account}")).ok()["available"].clone();
        let all = json!({"from_account_id": account, "to_account_id": elsewhere, "amount": left_over, "currency": "USD"});
        client.post("/v1/transfers", all).created();
        let again = order(&client);
        match refused {
            true => assert_eq!(again.error().2, "insufficient_funds", "{kept}"),
            false => drop(again.created()),
        }
        assert_eq!(sub_accounts(&cut), left, "{kept}");
    }
}

/// Each was looked at when there was money for it: what the others take meanwhile counts.
#[test]
fn reissues_at_the_same_moment_take_no_more_than_there_is() {
    let switch = Switch::start();
    let client = switch.client();
    let schedule = schedule_for_cards(&client, 100);
    let (program, account) = client.program_and_account();
    top_up(&client, &account, 300);
    for round in 0..4 {
        let cards: Vec<String> = (0..8).map(|_| client.card(&account)).collect();
        let charges = json!({"fee_schedule": schedule});
        client
            .patch(&format!("/v1/programs/{program}"), charges)
            .ok();
        let reissue = |card: &String| {
            let path = format!("/v1/cards/{card}/reissue");
            client.post(&path, json!({"reason": "damaged"}))
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = cards
                .iter()
                .map(|card| scope.spawn(move || reissue(card)))
                .collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let count = |status| answers.iter().filter(|one| one.status == status).count();
        assert_eq!((count(201), count(409)), (3, 5), "{round}");
        assert_eq!(posted(&client, &account), 0, "{round}");
        // Those that were refused go on as they were.
        for (card, answer) in cards.iter().zip(&answers) {
            let status = match answer.status {
                201 => "closed",
                _ => {
                    assert_eq!(answer.error().2, "insufficient_funds");
                    "active"
                }
            };
            let card = client.get(&format!("/v1/cards/{card}")).ok();
            assert_eq!(card["status"], status);
        }
        top_up(&client, &account, 300);
        let free = json!({"fee_schedule": "none"});
        client.patch(&format!("/v1/programs/{program}"), free).ok();
    }
}
