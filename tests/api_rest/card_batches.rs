//! Many cards in one request: progress, results row by row, restarts.

use crate::authorizations::carry_out;
use crate::fees::schedule_for_cards;
use crate::harness::{Client, Options, Switch};
use crate::keys::with_key;
use crate::waiting::wait_until;
use cardswitch::engine::command::{Action, OpenAccount};
use cardswitch::engine::controls::Controls;
use cardswitch::engine::ids::AccountId;
use cardswitch::engine::money::Currency;
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::RegistryAction;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn order(client: &Client, rows: &[Value]) -> String {
    let made = client.post("/v1/card_batches", json!({"rows": rows}));
    let id = made.created();
    assert_eq!(made.json()["total"], rows.len());
    id
}

/// The batch once it is over. It is asked again and again, as it is issued in the background.
pub fn over(client: &Client, id: &str) -> Value {
    for _ in 0..50_000 {
        let batch = client.get(&format!("/v1/card_batches/{id}")).ok();
        if batch["status"] != "running" {
            return batch;
        }
        std::thread::yield_now();
    }
    panic!("batch {id} is never over");
}

/// All rows, by pages of some.
pub fn rows_of(client: &Client, id: &str, query: &str) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/card_batches/{id}/rows?limit=2{query}{after}");
        let page = client.get(&path).ok();
        rows.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] == false {
            return rows;
        }
        after = format!("&starting_after={}", rows.last().unwrap()["index"]);
    }
}

fn counts(batch: &Value) -> [u64; 3] {
    ["total", "issued", "failed"].map(|name| batch[name].as_u64().unwrap())
}

#[test]
fn rows_become_cards_and_a_wrong_one_stops_none() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let closed = client.account(&client.program());
    client
        .post(&format!("/v1/accounts/{closed}/close"), json!({}))
        .ok();
    let links = json!([{"type": "user", "id": "u1"}]);
    let controls = json!({"limits": [{"window": "day", "amount": 500}]});
    let rows = [
        json!({"account_id": account, "links": links, "controls": controls}),
        json!({"account_id": "acct_0000000000001"}),
        json!({"account_id": account, "type": "physical", "funding": "own"}),
        json!({"account_id": account, "colour": "red"}),
        json!("no object"),
        json!({"account_id": closed}),
        json!({"account_id": account}),
    ];
    let id = order(&client, &rows);
    let batch = over(&client, &id);
    assert_eq!(
        (&batch["status"], counts(&batch)),
        (&json!("done"), [7, 3, 4])
    );
    assert!(batch["finished_at"].is_string());
    let came = rows_of(&client, &id, "");
    let told = came.iter().map(|row| {
        let error = &row["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&row["status"]),
            text(&error["code"]),
            text(&error["param"]),
        )
    });
    let told: Vec<_> = told.collect();
    let told: Vec<_> = told.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
    assert_eq!(
        told,
        [
            ("issued", "", ""),
            ("failed", "account_not_found", "account_id"),
            ("issued", "", ""),
            ("failed", "field_unknown", "colour"),
            ("failed", "type_invalid", ""),
            ("failed", "account_closed", "account_id"),
            ("issued", "", ""),
        ]
    );
    let card = |row: usize| {
        let id = came[row]["card_id"].as_str().unwrap();
        client.get(&format!("/v1/cards/{id}")).ok()
    };
    let first = card(0);
    assert_eq!(
        (&first["links"], &first["status"]),
        (&links, &json!("active"))
    );
    assert_eq!(first["controls"]["limits"][0]["amount"], 500);
    let own = card(2);
    assert_eq!(
        (&own["funding"], &own["status"]),
        (&json!("own"), &json!("inactive"))
    );
    assert_ne!(own["account_id"], json!(account));
    assert_eq!(rows_of(&client, &id, "&status=failed").len(), 4);
    let all = client.get("/v1/card_batches").ok();
    assert_eq!(all["data"], json!([batch]));
    let repeated = client.post(&format!("/v1/card_batches/{id}/cancel"), json!({}));
    let (status, _, code, _) = repeated.error();
    assert_eq!((status, &*code), (409, "card_batch_state_forbids"));
}

#[test]
fn hundreds_of_rows_are_more_than_another_body_may_hold() {
    let switch = Switch::start();
    let client = switch.client().header("Idempotency-Key", "k");
    let (_, account) = switch.client().program_and_account();
    let padding = "x".repeat(120);
    let row = |number| json!({"account_id": account, "links": [{"type": "user", "id": format!("{padding}{number}")}]});
    let rows: Vec<Value> = (0..300).map(row).collect();
    let body = json!({ "rows": rows });
    let made = client.post("/v1/card_batches", body.clone());
    let id = made.created();
    let again = client.post("/v1/card_batches", body);
    assert_eq!((again.status, &again.text), (201, &made.text));
    let batch = over(&switch.client(), &id);
    assert_eq!(counts(&batch), [300, 300, 0]);
    switch.projected();
    let cards = switch.client().get("/v1/cards?limit=100").ok();
    let ids = cards["data"].as_array().unwrap().iter();
    let ids: BTreeSet<_> = ids.map(|card| card["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 100);
    let last = format!("/v1/cards?link_type=user&link_id={padding}299");
    let found = switch.client().get(&last).ok();
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_batch_is_refused() {
    let switch = Switch::start();
    let client = switch.client();
    let refused = |body: Value| {
        let (status, _, code, param) = client.post("/v1/card_batches", body).error();
        (status, code, param.unwrap_or_default())
    };
    let of_rows = |status, code: &str| (status, code.to_owned(), "rows".to_owned());
    assert_eq!(refused(json!({})), of_rows(400, "field_missing"));
    assert_eq!(refused(json!({"rows": []})), of_rows(400, "nothing_named"));
    assert_eq!(refused(json!({"rows": 5})).2, "rows");
    let many = vec![json!({}); 10_001];
    assert_eq!(refused(json!({"rows": many})).2, "rows");
    let large = json!({"rows": ["x".repeat(9 << 20)]});
    assert_eq!(
        refused(large),
        (413, "body_too_large".to_owned(), String::new())
    );
    // Each takes far more memory than its text.
    let values = json!({"rows": vec![0; 1_000_001]});
    assert_eq!(refused(values), (400, "too_many".to_owned(), String::new()));
    let unknown = client.get("/v1/card_batches/batch_0000000000001").error();
    assert_eq!((unknown.0, &*unknown.2), (404, "card_batch_not_found"));
    let rows = "/v1/card_batches/batch_0000000000001/rows";
    let unknown = client.get(rows).error();
    assert_eq!((unknown.0, &*unknown.2), (404, "card_batch_not_found"));
    let wrong = client.get(&format!("{rows}?status=late")).error();
    assert_eq!((wrong.0, wrong.3.as_deref()), (400, Some("status")));
    let wrong = client.get(&format!("{rows}?starting_after=x")).error();
    assert_eq!((wrong.0, wrong.3.as_deref()), (400, Some("starting_after")));
}

/// The journal, cut after each record in turn: what is issued is known, the rest goes on, and no row is issued twice.
#[test]
fn a_batch_cut_off_anywhere_goes_on_and_issues_no_row_twice() {
    let switch = Switch::start();
    let (_, account) = switch.client().program_and_account();
    let row = |n: u64| match n % 5 {
        4 => json!({"account_id": "acct_0000000000001"}),
        3 => json!({"account_id": account, "funding": "own"}),
        _ => json!({"account_id": account}),
    };
    // More than one portion.
    let rows: Vec<Value> = (0..40).map(row).collect();
    let body = json!({ "rows": rows });
    let before = switch.journal.durable();
    let keyed = switch.client().header("Idempotency-Key", "k");
    let id = keyed.post("/v1/card_batches", body.clone()).created();
    over(&switch.client(), &id);
    let expected = rows_of(&switch.client(), &id, "");
    let after = switch.journal.durable();
    // Every record of the beginning and of the end, and some between.
    let cuts = (before..=after).filter(|at| at - before < 8 || after - at < 4 || at % 9 == 0);
    for kept in cuts {
        let restarted = Switch::start_on(switch.disk.cut_after(kept), Options::default());
        let client = restarted.client();
        let keyed = client.header("Idempotency-Key", "k");
        let id = keyed.post("/v1/card_batches", body.clone()).created();
        let batch = over(&client, &id);
        assert_eq!(counts(&batch), [40, 32, 8], "{kept} records kept");
        let came = rows_of(&client, &id, "");
        if kept >= before + 2 {
            assert_eq!(came, expected, "{kept} records kept");
        }
        restarted.projected();
        let cards = client.get("/v1/cards?limit=100").ok();
        assert_eq!(
            cards["data"].as_array().unwrap().len(),
            32,
            "{kept} records kept"
        );
    }
}

/// Nobody repeats the request: the journal alone is enough.
#[test]
fn a_batch_goes_on_by_itself_after_a_restart() {
    let switch = Switch::start();
    let (_, account) = switch.client().program_and_account();
    let rows: Vec<Value> = (0..40).map(|_| json!({"account_id": account})).collect();
    let before = switch.journal.durable();
    let id = order(&switch.client(), &rows);
    over(&switch.client(), &id);
    // Created, and its rows; nothing is issued.
    let disk = switch.disk.cut_after(before + 2);
    let restarted = Switch::start_on(disk, Options::default());
    assert_eq!(counts(&over(&restarted.client(), &id)), [40, 40, 0]);
}

#[test]
fn a_batch_that_is_cancelled_issues_no_more() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let rows: Vec<Value> = (0..200).map(|_| json!({"account_id": account})).collect();
    let id = order(&client, &rows);
    let path = format!("/v1/card_batches/{id}");
    let cancelled = client.post(&format!("{path}/cancel"), json!({})).ok();
    assert_eq!(cancelled["status"], "cancelled");
    let again = client.post(&format!("{path}/cancel"), json!({})).ok();
    assert_eq!(again["status"], "cancelled");
    // What was under way comes to its end.
    let other = order(&client, &rows[..1]);
    over(&client, &other);
    let batch = client.get(&path).ok();
    let issued = rows_of(&client, &id, "&status=issued").len();
    let cancelled = rows_of(&client, &id, "&status=cancelled").len();
    assert_eq!(
        (batch["issued"].as_u64(), issued + cancelled),
        (Some(issued as u64), 200)
    );
    switch.projected();
    let cards = client.get("/v1/cards?limit=100").ok();
    let more = cards["has_more"] == true;
    let found = cards["data"].as_array().unwrap().len();
    assert!(
        more || found == issued + 1,
        "{found} cards, {issued} issued"
    );
}

#[test]
fn a_bound_key_orders_and_sees_within_its_bounds() {
    let switch = Switch::start();
    let root = switch.client();
    let (_, mine) = root.program_and_account();
    let (_, other) = root.program_and_account();
    let scopes = json!(["cards:issue", "cards:read"]);
    let bound = |account: &str| {
        with_key(
            &root,
            json!({"name": "bound", "scopes": scopes, "account_ids": [account]}),
        )
    };
    let (own, stranger) = (bound(&mine), bound(&other));
    let rows = [json!({"account_id": mine}), json!({"account_id": other})];
    let id = order(&own, &rows);
    assert_eq!(counts(&over(&own, &id)), [2, 1, 1]);
    let failed = rows_of(&own, &id, "&status=failed");
    assert_eq!(failed[0]["error"]["code"], "account_not_found");
    let all = |client: &Client| {
        let all = client.get("/v1/card_batches").ok();
        all["data"].as_array().unwrap().len()
    };
    assert_eq!((all(&root), all(&own), all(&stranger)), (1, 1, 0));
    for path in [
        format!("/v1/card_batches/{id}"),
        format!("/v1/card_batches/{id}/rows"),
    ] {
        assert_eq!(stranger.get(&path).error().2, "card_batch_not_found");
    }
    let cancel = stranger.post(&format!("/v1/card_batches/{id}/cancel"), json!({}));
    assert_eq!(cancel.error().2, "card_batch_not_found");
}

/// The journal has the key and the request in the record of each card; the log has the request once, as it ended.
#[test]
fn what_a_batch_issues_is_in_the_name_of_whoever_ordered_it() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let key = with_key(&client, json!({"name": "issuer", "preset": "owner"}));
    let row = |funding: &str| json!({"account_id": account, "funding": funding});
    let made = key.post(
        "/v1/card_batches",
        json!({"rows": [row("shared"), row("own"), row("shared")]}),
    );
    let id = made.created();
    let request_id = made.header("Request-Id").unwrap().to_owned();
    assert_eq!(over(&client, &id)["issued"], 3);
    switch.projected();
    let mut reader = switch.journal.reader(1).unwrap();
    let mut records = Vec::new();
    while let Some((_, bytes)) = reader.next().unwrap() {
        records.push(record::read(bytes).unwrap());
    }
    let asked = |record: &Record| {
        let requester = record.requester().expect("a card that nobody asked for");
        assert_eq!(*requester.action, *"POST /v1/card_batches");
        assert_eq!(*requester.request_id, *request_id);
        assert!(requester.api_key_id.is_some() && requester.in_background);
    };
    let is_issued = |record: &&Record| match record {
        Record::Registry { command, .. } => {
            matches!(command.action, RegistryAction::IssueCard(_))
        }
        Record::Shard { command, .. } => matches!(command.action, Action::OpenCard(_)),
    };
    let issued: Vec<_> = records.iter().filter(is_issued).collect();
    assert_eq!(issued.len(), 6);
    issued.into_iter().for_each(asked);
    let log = client
        .get("/v1/audit_log?action=POST%20/v1/card_batches")
        .ok();
    let entries = log["data"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{log}");
    assert_eq!(entries[0]["outcome"], "done");
    assert_eq!(entries[0]["object_id"], json!(id));
}

/// Rows are issued side by side, so that more begin than there is money for.
#[test]
fn what_cannot_be_paid_for_leaves_no_account_open() {
    let switch = Switch::start();
    let client = switch.client();
    let schedule = schedule_for_cards(&client, 100);
    let (program, account) = client.program_and_account();
    let body = json!({"fee_schedule": schedule});
    client.patch(&format!("/v1/programs/{program}"), body).ok();
    let top_up = json!({"amount": 300, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{account}/top_ups");
    client.post(&path, top_up).created();
    let row = json!({"account_id": account, "funding": "own"});
    let batch = over(&client, &order(&client, &vec![row; 12]));
    assert_eq!(counts(&batch), [12, 3, 9]);
    switch.projected();
    let open = format!("/v1/accounts?parent_id={account}&status=active&limit=100");
    let open = client.get(&open).ok();
    assert_eq!(open["data"].as_array().unwrap().len(), 3);
}

/// A row whose sub-account cannot be opened, as its id is another's: no fault of who ordered it.
#[test]
fn a_row_that_fails_inside_is_tried_again_and_stops_no_other() {
    let switch = Switch::start();
    let (program, account) = switch.client().program_and_account();
    let below = json!({"program_id": program, "currency": "USD", "parent_id": account});
    let below = switch.client().post("/v1/accounts", below).created();
    let mut rows = vec![json!({"account_id": account, "funding": "own"}); 40];
    rows[1] = json!({"account_id": "acct_0000000000001"});
    let before = switch.journal.durable();
    let id = order(&switch.client(), &rows);
    over(&switch.client(), &id);
    let hit = rows_of(&switch.client(), &id, "")[7].clone();
    let of_card = format!("/v1/cards/{}", hit["card_id"].as_str().unwrap());
    let sub_account = switch.client().get(&of_card).ok()["account_id"].clone();
    // Created, and its rows; nothing is issued.
    let disk = switch.disk.cut_after(before + 2);
    let (cut, open) = Switch::start_closed_on(disk, Options::default());
    let root: AccountId = account.parse().unwrap();
    let taken = OpenAccount {
        account_id: sub_account.as_str().unwrap().parse().unwrap(),
        parent_id: Some(below.parse().unwrap()),
        program_id: program.parse().unwrap(),
        currency: Currency(840),
        name: None,
        controls: Controls::default(),
    };
    carry_out(&cut, root, Action::OpenAccount(Box::new(taken)));
    let began = Instant::now();
    open();
    let client = cut.client();
    let status = |row: usize| rows_of(&client, &id, "")[row]["status"].clone();
    wait_until("those beside it are issued", || {
        (0..32).filter(|row| status(*row) == "issued").count() == 30
    });
    // The row that is wrong is done with the others.
    assert_eq!([status(1), status(7)], ["pending", "pending"]);
    wait_until("it has failed", || status(7) == "failed");
    // Ten tries, a second apart.
    assert!(began.elapsed() >= Duration::from_secs(8));
    assert_eq!(counts(&over(&client, &id)), [40, 38, 2]);
    let rows = rows_of(&client, &id, "&status=failed");
    let codes: Vec<&Value> = rows.iter().map(|row| &row["error"]["code"]).collect();
    assert_eq!(codes, ["account_not_found", "internal_error"]);
}
