//! Top-ups in two steps, and the payments that settle them.

use super::authorizations::{asked, carry_out, dollars};
use super::harness::{Client, Disk, Options, Switch};
use super::keys::{with_key, with_key_and_id};
use super::refusals::assert_error;
use super::transfers::posted;
use cardswitch::engine::command::{Action, TopUp};
use cardswitch::engine::ids::{AccountId, ApiKeyId, TopUpId};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::engine::top_ups::{PENDING_TOP_UPS_OF_TENANT_MAX, ReserveReference};
use cardswitch::shard::inbox::Priority;
use cardswitch::shard::request::RegistryRequest;
use serde_json::{Value, json};

fn without_sandbox() -> Switch {
    let options = Options {
        sandbox: false,
        ..Options::default()
    };
    Switch::start_on(Disk::new(), options)
}

fn announce(client: &Client, account_id: &str, amount: i64, reference: &str) -> String {
    let body = json!({"amount": amount, "currency": "USD", "method": "swift", "external_reference": reference});
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let made = client.post(&path, body);
    assert_eq!(made.json()["status"], "pending", "{}", made.text);
    made.created()
}

fn top_up(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/top_ups/{id}")).ok()
}

#[test]
fn a_top_up_waits_for_its_money_and_is_settled_with_what_arrives() {
    let switch = without_sandbox();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let id = announce(&client, &account_id, 10_000, "W1");
    assert_eq!(posted(&client, &account_id), 0, "nothing is there yet");
    let waiting = top_up(&client, &id);
    assert_eq!(
        [
            &waiting["status"],
            &waiting["amount"],
            &waiting["settled_amount"]
        ],
        [&json!("pending"), &json!(10_000), &Value::Null]
    );
    let settle = format!("/v1/top_ups/{id}/settle");
    let told = client.post(
        &settle,
        json!({"amount": 9_990, "received_on": "2026-11-28"}),
    );
    let settled = told.ok();
    assert_eq!(settled["status"], "settled");
    assert_eq!(
        [
            &settled["amount"],
            &settled["settled_amount"],
            &settled["arrived_amount"]
        ],
        [&json!(10_000), &json!(9_990), &json!(9_990)]
    );
    assert_eq!(settled["received_on"], "2026-11-28");
    assert_eq!(top_up(&client, &id), settled);
    assert_eq!(posted(&client, &account_id), 9_990);
    // Never twice.
    let again = client.post(&settle, json!({}));
    assert_error(
        &again,
        (409, "conflict", "top_up_not_pending", None),
        "again",
    );
    let failed = client.post(&format!("/v1/top_ups/{id}/fail"), json!({"reason": "late"}));
    assert_error(
        &failed,
        (409, "conflict", "top_up_not_pending", None),
        "fail",
    );
    assert_eq!(posted(&client, &account_id), 9_990);
    switch.projected();
    assert_eq!(top_up(&client, &id), settled, "as SQL has it");
    let entries = client.get(&format!("/v1/accounts/{account_id}/ledger_entries"));
    assert_eq!(
        entries.ok()["data"][0]["source"],
        json!({"type": "top_up", "id": id})
    );
}

#[test]
fn a_top_up_fails_with_a_reason_and_lists_tell_which() {
    let switch = without_sandbox();
    let client = switch.client();
    let (program, account_id) = client.program_and_account();
    let other = client.account(&program);
    let (one, two) = (
        announce(&client, &account_id, 100, "W1"),
        announce(&client, &other, 200, "W2"),
    );
    let failed = client.post(
        &format!("/v1/top_ups/{one}/fail"),
        json!({"reason": "recalled"}),
    );
    assert_eq!(failed.ok()["status"], "failed");
    assert_eq!(failed.json()["failure_reason"], "recalled");
    assert_eq!(posted(&client, &account_id), 0);
    switch.projected();
    for (query, expected) in [
        ("", vec![&two, &one]),
        ("status=failed", vec![&one]),
        ("status=pending", vec![&two]),
        ("status=settled", vec![]),
        ("external_reference=W2", vec![&two]),
        ("method=sepa", vec![]),
        (&format!("account_id={account_id}"), vec![&one]),
        (&format!("starting_after={two}"), vec![&one]),
    ] {
        let listed = client.get(&format!("/v1/top_ups?{query}")).ok();
        let ids = listed["data"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{query}");
    }
}

#[test]
fn an_external_reference_is_one_top_ups_of_a_tree_for_each_method() {
    let switch = without_sandbox();
    let client = switch.client();
    let (program, account_id) = client.program_and_account();
    let below = json!({"program_id": program, "parent_id": account_id});
    let other = client.post("/v1/accounts", below).created();
    announce(&client, &account_id, 100, "W1");
    let body = |method: &str| json!({"amount": 100, "currency": "USD", "method": method, "external_reference": "W1"});
    let path = format!("/v1/accounts/{other}/top_ups");
    let taken = client.post(&path, body("swift"));
    let expected = (
        409,
        "conflict",
        "external_reference_taken",
        Some("external_reference"),
    );
    assert_error(&taken, expected, "the same");
    client.post(&path, body("sepa")).created();
    // Without one, as many as are wanted.
    for _ in 0..2 {
        let body = json!({"amount": 100, "currency": "USD", "method": "swift"});
        client.post(&path, body).created();
    }
}

#[test]
fn usdt_is_taken_one_to_one_for_whole_cents_and_the_rest_is_told() {
    let switch = without_sandbox();
    let client = switch.client();
    let (program, account_id) = client.program_and_account();
    let euro = json!({"program_id": program, "currency": "EUR"});
    let euro = client.post("/v1/accounts", euro).created();
    let body = |amount: i64| json!({"amount": amount, "currency": "USDT", "method": "usdt"});
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let expected = (400, "invalid_request", "amount_not_whole", Some("amount"));
    for uneven in [1_000_001, 9_999] {
        let refused = client.post(&path, body(uneven));
        assert_error(&refused, expected, "a part of a cent");
    }
    let to_euro = client.post(&format!("/v1/accounts/{euro}/top_ups"), body(1_000_000));
    let expected = (409, "conflict", "currency_mismatch", Some("currency"));
    assert_error(&to_euro, expected, "for euros");
    let id = client.post(&path, body(1_000_000)).created();
    // 1.029999 USDT arrive: 102 cents, and 9999 millionths that are none.
    let settle = format!("/v1/top_ups/{id}/settle");
    let settled = client.post(&settle, json!({"amount": 1_029_999})).ok();
    assert_eq!(
        [
            &settled["settled_amount"],
            &settled["settled_currency"],
            &settled["rest"]
        ],
        [&json!(102), &json!("USD"), &json!(9_999)]
    );
    assert_eq!(
        [&settled["arrived_amount"], &settled["arrived_currency"]],
        [&json!(1_029_999), &json!("USDT")]
    );
    assert_eq!(posted(&client, &account_id), 102);
    switch.projected();
    assert_eq!(top_up(&client, &id), settled, "as SQL has it");
    let in_euros = json!({"amount": 100, "currency": "EUR", "method": "usdt"});
    let expected = (409, "conflict", "currency_mismatch", Some("currency"));
    assert_error(&client.post(&path, in_euros), expected, "no dollars");
    // Announced in dollars, told in USDT; less than a cent is nothing.
    let in_dollars = json!({"amount": 100, "currency": "USD", "method": "usdt"});
    let id = client.post(&path, in_dollars).created();
    let settle = format!("/v1/top_ups/{id}/settle");
    let too_little = client.post(&settle, json!({"amount": 9_999, "currency": "USDT"}));
    let expected = (409, "conflict", "amount_out_of_range", Some("amount"));
    assert_error(&too_little, expected, "less than a cent");
    client
        .post(&settle, json!({"amount": 1_000_000, "currency": "USDT"}))
        .ok();
    assert_eq!(posted(&client, &account_id), 202);
}

#[test]
fn the_sandbox_settles_at_once_unless_it_is_asked_not_to() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let body = json!({"amount": 100, "currency": "USD", "method": "sepa", "settle": false});
    let waits = client.post(&path, body);
    assert_eq!(waits.json()["status"], "pending");
    let body = json!({"amount": 1_000_000, "currency": "USDT", "method": "usdt"});
    let at_once = client.post(&path, body);
    let id = at_once.created();
    assert_eq!(
        [&at_once.json()["status"], &at_once.json()["settled_amount"]],
        [&json!("settled"), &json!(100)]
    );
    assert_eq!(top_up(&client, &id), at_once.json());
    assert_eq!(posted(&client, &account_id), 100);
    let strict = without_sandbox();
    let client = strict.client();
    let (_, account_id) = client.program_and_account();
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let body = json!({"amount": 100, "currency": "USD", "method": "sepa", "settle": true});
    let expected = (400, "not_supported", "not_supported", Some("settle"));
    assert_error(&client.post(&path, body), expected, "no money appears");
    assert_eq!(posted(&client, &account_id), 0);
}

/// A crash at any record: the same request again comes to the same top-up, and to its money once.
#[test]
fn a_crash_at_any_record_neither_loses_nor_doubles_a_top_up() {
    let switch = without_sandbox();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let before = switch.journal.durable();
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let body =
        json!({"amount": 100, "currency": "USD", "method": "swift", "external_reference": "W1"});
    let keyed = |client: &Client, key: &str| client.header("Idempotency-Key", key);
    let id = keyed(&client, "a").post(&path, body.clone()).created();
    let settle = format!("/v1/top_ups/{id}/settle");
    keyed(&client, "b").post(&settle, json!({})).ok();
    let after = switch.journal.durable();
    let disk = switch.disk.clone();
    drop(switch);
    for cut in before..=after {
        let options = Options {
            sandbox: false,
            ..Options::default()
        };
        let switch = Switch::start_on(disk.cut_after(cut), options);
        let client = switch.client();
        let again = keyed(&client, "a").post(&path, body.clone()).created();
        let settle = format!("/v1/top_ups/{again}/settle");
        let settled = keyed(&client, "b").post(&settle, json!({}));
        assert_eq!(settled.ok()["status"], "settled", "cut after {cut}");
        assert_eq!(posted(&client, &account_id), 100, "cut after {cut}");
        switch.projected();
        let listed = client.get("/v1/top_ups").ok();
        assert_eq!(
            listed["data"].as_array().unwrap().len(),
            1,
            "cut after {cut}"
        );
    }
}

/// A crash at any record: the payment that settled a top-up is told to have done so again, and no other one is.
#[test]
fn a_payment_that_a_crash_cut_off_is_matched_when_it_is_told_again() {
    let switch = without_sandbox();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let ids = ["W1", "W2"].map(|reference| announce(&client, &account_id, 100, reference));
    let keyed = |client: &Client, key: &str| client.header("Idempotency-Key", key);
    let payment = json!({"reference": "W1", "amount": 100, "currency": "USD"});
    let file = "reference,amount,currency\nW2,100,USD\nW2,100,USD\n";
    let told = |client: &Client| {
        let one = keyed(client, "a").post("/v1/incoming_payments", payment.clone());
        let file = keyed(client, "b").header("Content-Type", "text/csv").send(
            "POST",
            "/v1/incoming_payments",
            file.as_bytes(),
        );
        let (one, file) = (one.ok(), file.ok());
        let lines = file["payments"].as_array().unwrap().iter();
        let results: Vec<Value> = std::iter::once(&one)
            .chain(lines)
            .map(|line| line["result"].clone())
            .collect();
        results
    };
    let before = switch.journal.durable();
    assert_eq!(told(&client), ["matched", "matched", "duplicate"]);
    let after = switch.journal.durable();
    switch.projected();
    let log = client
        .get("/v1/audit_log?action=POST%20/v1/incoming_payments")
        .ok();
    let entry = &log["data"][1];
    assert_eq!(
        [&entry["object_id"], &entry["program_id"]],
        [&json!(ids[0]), &json!(program_id)]
    );
    let disk = switch.disk.clone();
    drop(switch);
    for cut in before..=after {
        let options = Options {
            sandbox: false,
            ..Options::default()
        };
        let switch = Switch::start_on(disk.cut_after(cut), options);
        let client = switch.client();
        assert_eq!(
            told(&client),
            ["matched", "matched", "duplicate"],
            "cut after {cut}"
        );
        let other = client.post("/v1/incoming_payments", payment.clone());
        assert_eq!(other.ok()["result"], "duplicate", "cut after {cut}");
        assert_eq!(posted(&client, &account_id), 200, "cut after {cut}");
    }
}

#[test]
fn of_payments_that_are_told_at_once_one_is_matched() {
    let switch = without_sandbox();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    for round in 0..10 {
        let reference = format!("W{round}");
        announce(&client, &account_id, 100, &reference);
        let payment = json!({"reference": reference, "amount": 100, "currency": "USD"});
        let results: Vec<Value> = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| client.post("/v1/incoming_payments", payment.clone()).ok()))
                .collect();
            let told = calls.into_iter().map(|call| call.join().unwrap());
            told.map(|told| told["result"].clone()).collect()
        });
        let count = |what: &str| results.iter().filter(|result| *result == what).count();
        assert_eq!(
            [count("matched"), count("duplicate")],
            [1, 7],
            "{results:?}"
        );
    }
    assert_eq!(posted(&client, &account_id), 1_000);
}

/// As its API call does, which then ends before its shard makes the top-up, or is refused by it.
fn reserve(switch: &Switch, account_id: &str, program_id: &str, reference: &str) -> TopUpId {
    let account_id: AccountId = account_id.parse().unwrap();
    let top_up_id = TopUpId(switch.switchboard.ids.one());
    let reserve = ReserveReference {
        root: switch.switchboard.directory.root_of(account_id),
        top_up: TopUp {
            top_up_id,
            account_id,
            amount: dollars(100),
            method: "swift".into(),
            external_reference: Some(reference.into()),
            tenant: None,
        },
        settles: false,
        program_id: program_id.parse().unwrap(),
        in_place_of: None,
    };
    let action = RegistryAction::ReserveReference(Box::new(reserve));
    let (batch, answered) = asked(RegistryRequest::Command(action));
    let offered = switch.switchboard.offer_registry(batch, Priority::Reserved);
    assert!(offered.is_ok());
    answered.recv().unwrap();
    top_up_id
}

#[test]
fn the_reference_of_a_top_up_that_was_never_made_is_taken_again_by_its_tree() {
    let switch = without_sandbox();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let never_made = reserve(&switch, &account_id, &program_id, "W1");
    let path = format!("/v1/top_ups/{never_made}");
    assert_eq!(client.get(&path).status, 404);
    let id = announce(&client, &account_id, 100, "W1");
    // Once: this one is there.
    let body =
        json!({"amount": 100, "currency": "USD", "method": "swift", "external_reference": "W1"});
    let again = client.post(&format!("/v1/accounts/{account_id}/top_ups"), body);
    let expected = (
        409,
        "conflict",
        "external_reference_taken",
        Some("external_reference"),
    );
    assert_error(&again, expected, "again");
    let disk = switch.disk.clone();
    drop(switch);
    // Nor is the other one made when the process starts again.
    let options = Options {
        sandbox: false,
        ..Options::default()
    };
    let switch = Switch::start_on(disk, options);
    let client = switch.client();
    let payment = json!({"reference": "W1", "amount": 100, "currency": "USD"});
    let told = client.post("/v1/incoming_payments", payment).ok();
    assert_eq!(
        [&told["result"], &told["top_up_id"]],
        [&json!("matched"), &json!(id)]
    );
    assert_eq!(client.get(&path).status, 404);
}

/// Whether the registry has heard that it failed, as a start from this disk finds it.
fn is_noted(disk: &Disk, reference: &str) -> bool {
    let world = disk.world();
    let mut known = world.registry.references.iter();
    known.any(|(_, known, of)| known == reference && of.has_failed)
}

#[test]
fn the_registry_hears_of_a_top_up_that_failed_wherever_the_process_ends() {
    let switch = without_sandbox();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let id = announce(&client, &account_id, 100, "W1");
    let before = switch.journal.durable();
    let path = format!("/v1/top_ups/{id}/fail");
    client.post(&path, json!({"reason": "recalled"})).ok();
    assert_eq!(
        switch.journal.durable() - before,
        3,
        "end, reference, audit"
    );
    for (kept, noted) in [(before, false), (before + 1, true), (before + 2, true)] {
        let disk = switch.disk.cut_after(kept);
        let options = Options {
            sandbox: false,
            ..Options::default()
        };
        let restarted = Switch::start_on(disk.clone(), options);
        // The registry has its queue in order.
        restarted.client().get("/v1/programs").ok();
        restarted.client().program();
        drop(restarted);
        assert_eq!(is_noted(&disk, "W1"), noted, "{kept}");
    }
}

#[test]
fn what_failed_or_was_never_made_stands_in_no_others_way() {
    let switch = without_sandbox();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let [failed, never_made, second] = [(); 3].map(|()| client.account(&program_id));
    let fail = |id: &str| {
        let path = format!("/v1/top_ups/{id}/fail");
        client.post(&path, json!({"reason": "no"})).ok();
    };
    let first_failed = announce(&client, &failed, 100, "W1");
    fail(&first_failed);
    reserve(&switch, &never_made, &program_id, "W1");
    let pay = || {
        let payment = json!({"reference": "W1", "amount": 100, "currency": "USD"});
        client.post("/v1/incoming_payments", payment).ok()
    };
    let told = pay();
    assert_eq!(
        [&told["reason"], &told["top_up_id"]],
        [&json!("top_up_failed"), &json!(first_failed)]
    );
    let other_failed = announce(&client, &second, 100, "W1");
    fail(&other_failed);
    assert_eq!(pay()["reason"], "reference_of_several_accounts");
    let id = announce(&client, &account_id, 100, "W1");
    let told = pay();
    assert_eq!(
        [&told["result"], &told["top_up_id"]],
        [&json!("matched"), &json!(id)]
    );
    assert_eq!(posted(&client, &account_id), 100);
}

#[test]
fn a_top_up_that_is_refused_for_want_of_room_keeps_no_reference() {
    let switch = without_sandbox();
    let root = switch.client();
    let (program_id, account_id) = root.program_and_account();
    let body = json!({"name": "tenant", "scopes": ["funds:topup"], "program_ids": [program_id]});
    let (tenant, key_id) = with_key_and_id(&root, body);
    let tree: AccountId = account_id.parse().unwrap();
    let key_id: ApiKeyId = key_id.parse().unwrap();
    let first = switch
        .switchboard
        .ids
        .reserve(PENDING_TOP_UPS_OF_TENANT_MAX as u64);
    for place in 0..PENDING_TOP_UPS_OF_TENANT_MAX as u64 {
        let top_up = TopUp {
            top_up_id: TopUpId(first + place),
            account_id: tree,
            amount: dollars(1),
            method: "swift".into(),
            external_reference: None,
            tenant: Some(key_id),
        };
        carry_out(&switch, tree, Action::AnnounceTopUp(Box::new(top_up)));
    }
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let body =
        json!({"amount": 100, "currency": "USD", "method": "swift", "external_reference": "W1"});
    let before = switch.journal.durable();
    for _ in 0..2 {
        let told = tenant.post(&path, body.clone());
        assert_eq!(told.error().2, "too_many_pending_top_ups");
    }
    assert_eq!(switch.journal.durable(), before, "nothing of it is kept");
    let one = TopUpId(first);
    root.post(&format!("/v1/top_ups/{one}/fail"), json!({"reason": "no"}))
        .ok();
    tenant.post(&path, body).created();
}

#[test]
fn a_file_of_payments_settles_what_waits_and_tells_the_rest() {
    let switch = without_sandbox();
    let client = switch.client();
    let (program, account_id) = client.program_and_account();
    let closed = client.account(&program);
    let (one, two, three, four) = (
        announce(&client, &account_id, 10_000, "W1"),
        announce(&client, &account_id, 20_000, "W 2, or so"),
        announce(&client, &account_id, 300, "W3"),
        announce(&client, &closed, 400, "W4"),
    );
    client
        .post(
            &format!("/v1/top_ups/{three}/fail"),
            json!({"reason": "recalled"}),
        )
        .ok();
    client
        .send("POST", &format!("/v1/accounts/{closed}/close"), b"")
        .ok();
    let file = "reference,amount,currency,date\r\n\
                W1,10000,USD,2026-11-27\r\n\
                \"W 2, or so\",19950,USD,2026-11-27\r\n\
                W3,300,USD,2026-11-27\r\n\
                W4,400,USD,2026-11-27\r\n\
                W5,500,USD,2026-11-28\r\n\
                W1,10000,USD,2026-11-27\r\n\
                W1,10000,USD,2026-11-28\r\n";
    let csv = client.header("Content-Type", "text/csv");
    let told = |told: &Value| -> Vec<String> {
        let lines = told["payments"].as_array().unwrap().iter();
        let of = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
        lines
            .map(|line| {
                format!(
                    "{} {} {}",
                    line["line"],
                    of(line, "result"),
                    of(line, "reason")
                )
            })
            .collect()
    };
    let first = csv
        .send("POST", "/v1/incoming_payments", file.as_bytes())
        .ok();
    assert_eq!(
        told(&first),
        [
            "2 matched -",
            "3 matched -",
            "4 refused top_up_failed",
            "5 refused account_closed",
            "6 unmatched reference_unknown",
            "7 duplicate settled_before",
            "8 refused top_up_settled",
        ]
    );
    assert_eq!(
        first["counts"],
        json!({"matched": 2, "refused": 3, "unmatched": 1, "duplicate": 1})
    );
    assert_eq!(first["payments"][0]["top_up_id"], json!(one));
    assert_eq!(posted(&client, &account_id), 29_950);
    assert_eq!(top_up(&client, &two)["settled_amount"], json!(19_950));
    assert_eq!(top_up(&client, &four)["status"], "pending");
    // The whole file again changes nothing.
    let again = csv
        .send("POST", "/v1/incoming_payments", file.as_bytes())
        .ok();
    assert_eq!(again["counts"]["duplicate"], 3);
    assert_eq!(again["counts"]["matched"], Value::Null);
    assert_eq!(posted(&client, &account_id), 29_950);
}

#[test]
fn what_a_payer_writes_keeps_no_other_payment_from_being_booked() {
    let switch = without_sandbox();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    announce(&client, &account_id, 100, "W1");
    let long = "W".repeat(141);
    let file = format!(
        "reference,amount,currency\n\
         RE 4111111111111111,1,USD\n\
         \"two\nlines\",2,USD\n\
         {long},3,USD\n\
         ,4,USD\n\
         bell\u{7},5,USD\n\
         W1,100,USD\n"
    );
    let csv = client.header("Content-Type", "text/csv");
    let csv = csv.header("Idempotency-Key", "file");
    let send = || csv.send("POST", "/v1/incoming_payments", file.as_bytes());
    let first = send();
    let told = first.ok();
    assert_eq!(told["counts"], json!({"unmatched": 5, "matched": 1}));
    let lines = told["payments"].as_array().unwrap().iter();
    let lines: Vec<Value> = lines
        .map(|line| json!([line["line"], line["reference"], line["reason"]]))
        .collect();
    let invalid = "reference_invalid";
    assert_eq!(
        lines,
        [
            json!([2, "RE 411111******1111", invalid]),
            json!([3, "two lines", invalid]),
            json!([5, long[1..], invalid]),
            json!([6, "", invalid]),
            json!([7, "bell", invalid]),
            json!([8, "W1", null]),
        ]
    );
    assert_eq!(posted(&client, &account_id), 100);
    assert_eq!(send().text, first.text);
    let payment = |reference: &str| json!({"reference": reference, "amount": 1, "currency": "USD"});
    let one = client
        .post("/v1/incoming_payments", payment("RE 4111 1111-11111111"))
        .ok();
    assert_eq!(
        [&one["result"], &one["reason"], &one["reference"]],
        [
            &json!("unmatched"),
            &json!(invalid),
            &json!("RE 4111 11**-****1111")
        ]
    );
    switch.projected();
    let log = client.get("/v1/audit_log?action=POST%20/v1/incoming_payments");
    assert!(!log.text.contains("41111111") && !log.text.contains("11111111"));
    for wrong in [json!(4111111111111111i64), json!(["W1"])] {
        let mut body = payment("W1");
        body["reference"] = wrong;
        let told = client.post("/v1/incoming_payments", body);
        let expected = (400, "invalid_request", "type_invalid", Some("reference"));
        assert_error(&told, expected, "no text");
    }
}

#[test]
fn one_payment_is_told_in_json_by_its_reference_or_by_the_top_up() {
    let switch = without_sandbox();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let id = announce(&client, &account_id, 100, "W1");
    let unnamed = json!({"amount": 50, "currency": "USD", "method": "sepa"});
    let path = format!("/v1/accounts/{account_id}/top_ups");
    let unnamed = client.post(&path, unnamed).created();
    let pay = |body: Value| client.post("/v1/incoming_payments", body);
    let payment = |reference: &str, amount: i64| json!({"reference": reference, "amount": amount, "currency": "USD"});
    let mut wrong_method = payment("W1", 100);
    wrong_method["method"] = json!("sepa");
    assert_eq!(pay(wrong_method).ok()["result"], "unmatched");
    let told = pay(payment("W1", 100)).ok();
    assert_eq!(
        [&told["result"], &told["top_up_id"]],
        [&json!("matched"), &json!(id)]
    );
    assert_eq!(pay(payment("W1", 100)).ok()["result"], "duplicate");
    assert_eq!(pay(payment("W1", 99)).ok()["reason"], "top_up_settled");
    assert_eq!(pay(payment(&unnamed, 50)).ok()["result"], "matched");
    assert_eq!(
        pay(payment("topup_0000000000001", 50)).ok()["result"],
        "unmatched"
    );
    let other = json!({"reference": "W9", "amount": 1, "currency": "EUR"});
    assert_eq!(pay(other).ok()["result"], "unmatched");
    assert_eq!(posted(&client, &account_id), 150);
    // The same reference under two methods means neither, unless the method is said.
    for method in ["swift", "sepa"] {
        let body =
            json!({"amount": 10, "currency": "USD", "method": method, "external_reference": "W7"});
        client.post(&path, body).created();
    }
    assert_eq!(
        pay(payment("W7", 10)).ok()["reason"],
        "reference_of_several_methods"
    );
    let mut by_sepa = payment("W7", 10);
    by_sepa["method"] = json!("sepa");
    assert_eq!(pay(by_sepa).ok()["result"], "matched");
}

#[test]
fn what_is_wrong_with_payments_and_ends_is_told_with_its_place() {
    let switch = without_sandbox();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let id = announce(&client, &account_id, 100, "W1");
    let csv = client.header("Content-Type", "Text/CSV; charset=utf-8");
    let heads = "reference,amount,currency,date";
    for (file, code, param) in [
        ("".to_owned(), "csv_malformed", "csv line 1"),
        ("W1,100,USD".into(), "csv_malformed", "csv line 1"),
        (
            "reference,reference,amount,currency\nA,B,100,USD".into(),
            "csv_malformed",
            "csv line 1",
        ),
        (
            format!("{heads}\nW1,100,USD"),
            "csv_malformed",
            "csv line 2",
        ),
        (
            format!("{heads}\n\"W1,100,USD,"),
            "csv_malformed",
            "csv line 2",
        ),
        (
            format!("{heads}\nW1,100,USD,\nW1,1.00,USD,"),
            "number_invalid",
            "csv line 3: amount",
        ),
        (
            format!("{heads}\nW1,,USD,"),
            "field_missing",
            "csv line 2: amount",
        ),
        (
            format!("{heads}\nW1,1,usd,"),
            "currency_unknown",
            "csv line 2: currency",
        ),
        (
            format!("{heads}\nW1,1,USD,28.11.2026"),
            "date_invalid",
            "csv line 2: date",
        ),
    ] {
        let told = csv.send("POST", "/v1/incoming_payments", file.as_bytes());
        assert_error(&told, (400, "invalid_request", code, Some(param)), &file);
    }
    let many = format!("{heads}\n{}", "W1,1,USD,\n".repeat(1_001));
    let told = csv.send("POST", "/v1/incoming_payments", many.as_bytes());
    assert_error(
        &told,
        (400, "invalid_request", "too_many", Some("csv")),
        "too many",
    );
    // What takes no file refuses one.
    let told = csv.send("POST", "/v1/transfers", b"a,b");
    assert_eq!(told.error().0, 415);
    assert_eq!(
        posted(&client, &account_id),
        0,
        "nothing of a bad file is carried out"
    );
    for (path, body, code, param) in [
        (
            format!("/v1/top_ups/{id}/fail"),
            json!({}),
            "field_missing",
            "reason",
        ),
        (
            format!("/v1/top_ups/{id}/settle"),
            json!({"amount": 0}),
            "number_invalid",
            "amount",
        ),
        (
            format!("/v1/top_ups/{id}/settle"),
            json!({"received_on": "today"}),
            "date_invalid",
            "received_on",
        ),
    ] {
        let told = client.post(&path, body);
        assert_error(&told, (400, "invalid_request", code, Some(param)), &path);
    }
    let euro = client.post(
        &format!("/v1/top_ups/{id}/settle"),
        json!({"currency": "EUR"}),
    );
    assert_error(
        &euro,
        (409, "conflict", "currency_mismatch", Some("currency")),
        "euro",
    );
    for path in ["/v1/top_ups/topup_0000000000001", "/v1/top_ups/x"] {
        let expected = (404, "not_found", "top_up_not_found", None);
        assert_error(&client.get(path), expected, path);
    }
}

#[test]
fn who_announces_money_does_not_say_that_it_arrived() {
    let switch = without_sandbox();
    let root = switch.client();
    let (_, account_id) = root.program_and_account();
    let id = announce(&root, &account_id, 100, "W1");
    let finance = with_key(&root, json!({"name": "f", "preset": "finance"}));
    for path in [
        format!("/v1/top_ups/{id}/settle"),
        "/v1/incoming_payments".into(),
    ] {
        let told = finance.post(&path, json!({}));
        let expected = (403, "permission", "scope_missing", Some("funds:settle"));
        assert_error(&told, expected, &path);
    }
}
