//! Decisions as the interface tells them, at once after they were made.

use super::harness::{Client, Disk, Options, Sql, Switch};
use cardswitch::engine::audit::Requester;
use cardswitch::engine::command::{Action, Authorize, Reverse};
use cardswitch::engine::facts::{
    Amounts, Country, EntryMode, MatchKey, Merchant, NetworkReference, RepeatKey,
};
use cardswitch::engine::ids::{AccountId, AuthorizationId, ReversalId};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::registry::RegistryAction;
use cardswitch::engine::time::Timestamp;
use cardswitch::shard::inbox::Priority;
use cardswitch::shard::reply::{Replies, ReplySink};
use cardswitch::shard::request::{Batch, RegistryRequest, ShardRequest};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};

/// Waits for the answer of a loop, as a network's connection would.
struct Answered(Mutex<mpsc::Sender<()>>);

impl ReplySink for Answered {
    fn deliver(&self, replies: Replies) {
        for _ in replies {
            self.0.lock().unwrap().send(()).unwrap();
        }
    }
}

pub fn asked<Request>(request: Request) -> (Batch<Request>, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    let reply_to = Arc::new(Answered(Mutex::new(sender)));
    let items = vec![(0, request)];
    (
        Batch {
            items,
            reply_to,
            deadline: None,
            requester: None,
        },
        receiver,
    )
}

pub fn carry_out(switch: &Switch, root: AccountId, action: Action) {
    carry_out_for(switch, root, action, None);
}

pub fn carry_out_for(
    switch: &Switch,
    root: AccountId,
    action: Action,
    requester: Option<Arc<Requester>>,
) {
    let (mut batch, answered) = asked(ShardRequest::Command { root, action });
    batch.requester = requester;
    let shard = switch.switchboard.shard_of(root);
    let offered = switch
        .switchboard
        .offer_shard(shard, batch, Priority::Reserved);
    assert!(offered.is_ok());
    answered.recv().unwrap();
}

pub fn carry_out_in_registry(switch: &Switch, action: RegistryAction) {
    let (batch, answered) = asked(RegistryRequest::Command(action));
    let offered = switch.switchboard.offer_registry(batch, Priority::Reserved);
    assert!(offered.is_ok());
    answered.recv().unwrap();
}

pub fn dollars(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: Currency(840),
    }
}

pub fn request(switch: &Switch, card_id: &str, amount_minor: i64) -> Authorize {
    let number = switch.switchboard.ids.one();
    let mut authorize = Authorize {
        authorization_id: AuthorizationId(number),
        card_id: card_id.parse().unwrap(),
        amounts: Amounts {
            transaction: dollars(amount_minor),
            billing: None,
        },
        merchant: Merchant {
            id: "M1".try_into().unwrap(),
            name: "ADS INC".try_into().unwrap(),
            city: "DUBLIN".try_into().unwrap(),
            country: Country(*b"IE"),
            country_is_acquirers: false,
            mcc: 7311,
        },
        entry_mode: EntryMode::Ecommerce,
        reference: NetworkReference {
            network: "visa".try_into().unwrap(),
            rrn: "630012345678".try_into().unwrap(),
            stan: 42,
            ..NetworkReference::default()
        },
        repeat_key: RepeatKey(u128::from(number)),
        ..Authorize::default()
    };
    authorize.match_keys.by_authority[0] = MatchKey(number);
    authorize
}

/// Authorizes on a card of a root account; gives the authorization's id.
pub fn authorize(switch: &Switch, account_id: &str, card_id: &str, amount_minor: i64) -> String {
    let authorize = request(switch, card_id, amount_minor);
    let id = authorize.authorization_id.to_string();
    carry_out(
        switch,
        account_id.parse().unwrap(),
        Action::Authorize(authorize),
    );
    id
}

pub fn reverse(
    switch: &Switch,
    account_id: &str,
    card_id: &str,
    authorization_id: &str,
    amount: i64,
) {
    let original: AuthorizationId = authorization_id.parse().unwrap();
    let number = switch.switchboard.ids.one();
    let mut reverse = Reverse {
        reversal_id: ReversalId(number),
        card_id: card_id.parse().unwrap(),
        amount: dollars(amount),
        repeat_key: RepeatKey(u128::from(number)),
        ..Reverse::default()
    };
    reverse.original_keys.by_authority[0] = MatchKey(original.0);
    carry_out(
        switch,
        account_id.parse().unwrap(),
        Action::Reverse(reverse),
    );
}

pub fn funded_card(client: &Client, controls: Value) -> (String, String) {
    let (_, account_id) = client.program_and_account();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{account_id}/top_ups"), top_up)
        .created();
    let links = json!([{"type": "project", "id": "p1"}]);
    let card = json!({"account_id": account_id, "links": links, "controls": controls});
    let card_id = client.post("/v1/cards", card).created();
    (account_id, card_id)
}

fn step<'a>(authorization: &'a Value, name: &str) -> &'a Value {
    let steps = authorization["trace"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap()
}

#[test]
fn a_decision_is_told_with_its_reason_numbers_and_links() {
    let switch = Switch::start();
    let client = switch.client();
    let controls = json!({"limits": [{"id": "lim_0000000000001", "window": "day", "amount": 1_000}],
                          "mcc": {"id": "ctl_0000000000001", "block": ["7995"]}});
    let (account_id, card_id) = funded_card(&client, controls);
    let id = authorize(&switch, &account_id, &card_id, 800);
    let approved = client.get(&format!("/v1/authorizations/{id}")).ok();
    assert_eq!(approved["id"], json!(id));
    assert_eq!(approved["card_id"], json!(card_id));
    assert_eq!(approved["account_id"], json!(account_id));
    assert_eq!(
        (&approved["amount"], &approved["currency"]),
        (&json!(800), &json!("USD"))
    );
    assert_eq!(approved["status"], "pending");
    assert_eq!(approved["approval_code"].as_str().unwrap().len(), 6);
    assert_eq!(
        approved["merchant"],
        json!({"id": "M1", "name": "ADS INC", "city": "DUBLIN", "mcc": "7311", "country": "IE"})
    );
    assert_eq!(
        approved["decision"],
        json!({"result": "approved", "reason": null, "step": null, "rule_id": null, "response_code": "00"})
    );
    assert_eq!(approved["links"], json!([{"type": "project", "id": "p1"}]));
    assert_eq!(
        (&approved["network"]["stan"], &approved["network"]["rrn"]),
        (&json!("000042"), &json!("630012345678"))
    );
    assert_eq!(approved["entry_mode"], "ecommerce");

    let id = authorize(&switch, &account_id, &card_id, 300);
    let declined = client.get(&format!("/v1/authorizations/{id}")).ok();
    assert_eq!(
        (&declined["status"], &declined["approval_code"]),
        (&json!("declined"), &Value::Null)
    );
    assert_eq!(
        declined["decision"],
        json!({"result": "declined", "reason": "daily_limit_exceeded", "step": "limits",
               "rule_id": "lim_0000000000001", "response_code": "57"})
    );
    let limits = step(&declined, "limits");
    assert_eq!(limits["result"], "fail");
    let detail = &limits["detail"];
    let numbers = ["allowed", "used", "requested", "left"].map(|name| detail[name].as_i64());
    assert_eq!(numbers, [Some(1_000), Some(800), Some(300), Some(200)]);
    assert_eq!(detail["limit_id"], "lim_0000000000001");
    assert!(
        detail["resets_at"]
            .as_str()
            .unwrap()
            .ends_with("T00:00:00.000Z")
    );
    let mcc = step(&declined, "mcc");
    assert_eq!(mcc["result"], "pass");
    assert_eq!(
        mcc["detail"],
        json!({"control_id": "ctl_0000000000001", "scope": "card", "value": "7311"})
    );
    let balance = step(&declined, "balance");
    assert_eq!(
        balance["detail"],
        json!({"available": 99_200, "requested": 300})
    );
    let account = client.get(&format!("/v1/accounts/{account_id}")).ok();
    assert_eq!(
        (&account["held"], &account["available"]),
        (&json!(800), &json!(99_200))
    );
}

#[test]
fn a_card_for_one_use_at_one_merchant_shows_what_became_of_it() {
    let switch = Switch::start();
    let client = switch.client();
    let controls = json!({
        "single_use": true, "merchant_lock": true,
        "merchants": {"id": "ctl_0000000000001", "allow": [{"id": "M0"}, {"name": "ads*"}]},
        "channels": {"id": "ctl_0000000000002", "block": ["atm"]},
        "entry_modes": {"id": "ctl_0000000000003", "allow": ["ecommerce"]},
        "time_windows": [{"id": "ctl_0000000000004"}],
        "limits": [{"window": "rolling", "window_seconds": 3_600, "amount": 1_000,
                    "filter": {"countries": ["IE"]}}],
    });
    let (account_id, card_id) = funded_card(&client, controls);
    let path = format!("/v1/cards/{card_id}");
    let card = client.get(&path).ok();
    assert_eq!(
        (&card["used_by"], &card["locked_to"]),
        (&Value::Null, &Value::Null)
    );
    let first = authorize(&switch, &account_id, &card_id, 800);
    let card = client.get(&path).ok();
    assert_eq!(card["used_by"], json!(first));
    assert_eq!(card["locked_to"], json!({"id": "M1", "acquirer_id": null}));
    let second = authorize(&switch, &account_id, &card_id, 300);
    let declined = client.get(&format!("/v1/authorizations/{second}")).ok();
    assert_eq!(declined["decision"]["reason"], "card_used");
    assert_eq!(declined["decision"]["step"], "card_status");
    let detail = |name: &str| step(&declined, name)["detail"].clone();
    let of_card = |id: u64, name: &str, value: Value| json!({"control_id": format!("ctl_{id:013}"), "scope": "card", name: value});
    assert_eq!(detail("merchant"), of_card(1, "entry", json!(1)));
    assert_eq!(detail("channel"), of_card(2, "value", Value::Null));
    assert_eq!(
        detail("entry_mode"),
        of_card(3, "value", json!("ecommerce"))
    );
    assert!(detail("time_window")["local_time"].is_string());
    assert_eq!(step(&declined, "limits")["result"], "fail");
    assert_eq!(detail("limits")["used"], 800);
    reverse(&switch, &account_id, &card_id, &first, 800);
    let card = client.get(&path).ok();
    assert_eq!(
        (&card["used_by"], &card["locked_to"]["id"]),
        (&Value::Null, &json!("M1"))
    );
}

#[test]
fn a_soft_decline_says_what_the_message_said_and_who_asked_for_more() {
    let switch = Switch::start();
    let client = switch.client();
    let (account_id, card_id) = funded_card(&client, json!({"three_ds": "required"}));
    let id = authorize(&switch, &account_id, &card_id, 800);
    let declined = client.get(&format!("/v1/authorizations/{id}")).ok();
    let decision = &declined["decision"];
    assert_eq!(
        (&decision["reason"], &decision["step"], &decision["rule_id"]),
        (
            &json!("three_ds_required"),
            &json!("three_ds"),
            &Value::Null
        )
    );
    let expected = json!({
        "eci": null, "authentication": "absent", "cryptogram": "absent", "exemption": null,
        "initiated_by": "cardholder", "policy": "required", "scope": "card",
    });
    assert_eq!(step(&declined, "three_ds")["detail"], expected);
}

#[test]
fn a_decision_reads_back_at_once_wherever_sql_is() {
    for sql in [Sql::Follows, Sql::StandsStill, Sql::Away] {
        let options = Options {
            sql,
            ..Options::default()
        };
        let switch = Switch::start_on(Disk::new(), options);
        let client = switch.client();
        let (account_id, card_id) = funded_card(&client, json!({}));
        for _ in 0..5 {
            let id = authorize(&switch, &account_id, &card_id, 100);
            let path = format!("/v1/authorizations/{id}");
            let read = client.get(&path).ok();
            assert_eq!(
                (&read["status"], &read["currency"]),
                (&json!("pending"), &json!("USD"))
            );
            assert_eq!(read["links"][0]["id"], "p1");
            reverse(&switch, &account_id, &card_id, &id, 100);
            assert_eq!(client.get(&path).ok()["status"], "reversed");
        }
        let unknown = client.get("/v1/authorizations/auth_0000000000001");
        match sql {
            Sql::Away => {
                assert_eq!(
                    (unknown.error().0, unknown.error().2.as_str()),
                    (503, "store_unavailable")
                );
            }
            _ => assert_eq!(
                (unknown.error().0, unknown.error().2.as_str()),
                (404, "authorization_not_found")
            ),
        }
        client.get("/readyz").ok();
        let list = client.get("/v1/authorizations");
        assert_eq!(
            list.status,
            if sql == Sql::Away { 503 } else { 200 },
            "{}",
            list.text
        );
    }
}

#[test]
fn a_decision_on_a_card_that_nobody_issued_is_told_too() {
    let switch = Switch::start();
    let client = switch.client();
    let authorize = request(&switch, "card_0000000000000", 500);
    let id = authorize.authorization_id;
    let action = RegistryAction::AuthorizeUnknownCard {
        authorize,
        bin_known: true,
    };
    carry_out_in_registry(&switch, action);
    let declined = client.get(&format!("/v1/authorizations/{id}")).ok();
    assert_eq!(
        (&declined["card_id"], &declined["account_id"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(declined["decision"]["reason"], "card_not_found");
    assert_eq!(declined["decision"]["response_code"], "14");
    assert_eq!(declined["links"], json!([]));
}

#[test]
fn authorizations_are_listed_by_card_account_reason_status_and_link() {
    let switch = Switch::start();
    let client = switch.client();
    let (account_id, card_id) = funded_card(&client, json!({}));
    let other_card = client.card(&account_id);
    let approved: Vec<String> = (1..=3)
        .map(|amount| authorize(&switch, &account_id, &card_id, amount))
        .collect();
    let declined = authorize(&switch, &account_id, &other_card, 1_000_000);
    reverse(&switch, &account_id, &card_id, &approved[0], 1);
    switch.projected();
    let ids = |query: &str| -> Vec<String> {
        let list = client.get(&format!("/v1/authorizations?{query}")).ok();
        assert_eq!(list["object"], "list");
        let data = list["data"].as_array().unwrap().iter();
        data.map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let newest_first: Vec<String> = approved.iter().rev().cloned().collect();
    assert_eq!(ids(&format!("card_id={card_id}")), newest_first);
    assert_eq!(ids("link_type=project&link_id=p1"), newest_first);
    assert_eq!(ids("link_type=project"), newest_first);
    assert_eq!(ids("link_type=project&link_id=p2"), [""; 0]);
    assert_eq!(ids("reason=insufficient_funds"), [declined.as_str()]);
    assert_eq!(ids("status=declined"), [declined.as_str()]);
    assert_eq!(ids("status=reversed"), [approved[0].as_str()]);
    assert_eq!(ids("status=cleared"), [""; 0]);
    assert_eq!(ids(&format!("account_id={account_id}")).len(), 4);
    assert_eq!(
        ids(&format!("account_id={account_id}&status=pending&limit=1")),
        [approved[2].as_str()]
    );
    let list = client
        .get(&format!("/v1/authorizations?card_id={card_id}&limit=2"))
        .ok();
    assert_eq!(
        (&list["has_more"], list["data"].as_array().unwrap().len()),
        (&json!(true), 2)
    );
    assert_eq!(list["projected_through"], json!(switch.journal.durable()));
    let single = client
        .get(&format!("/v1/authorizations/{}", approved[2]))
        .ok();
    assert_eq!(list["data"][0], single);
    let rest = client.get(&format!(
        "/v1/authorizations?card_id={card_id}&limit=2&starting_after={}",
        approved[1]
    ));
    assert_eq!(
        (&rest.ok()["has_more"], &rest.ok()["data"][0]["id"]),
        (&json!(false), &json!(approved[0]))
    );
}

#[test]
fn a_settlement_report_sums_what_was_posted_on_a_date_and_what_is_open() {
    let switch = Switch::start();
    let client = switch.client();
    let (account_id, card_id) = funded_card(&client, json!({}));
    for amount in [100, 200] {
        authorize(&switch, &account_id, &card_id, amount);
    }
    let id = authorize(&switch, &account_id, &card_id, 1);
    let mut single = request(&switch, &card_id, 50);
    single.posts = true;
    carry_out(
        &switch,
        account_id.parse().unwrap(),
        Action::Authorize(single),
    );
    let created_at = client.get(&format!("/v1/authorizations/{id}")).ok()["created_at"].clone();
    let date = &created_at.as_str().unwrap()[..10];
    switch.projected();
    let path = format!("/v1/settlement_reports?date={date}&network=visa");
    let report = client.get(&path).ok();
    assert_eq!(report["object"], "settlement_report");
    assert_eq!(report["business_date"], json!(date));
    assert_eq!(report["status"], "open");
    let line = &report["lines"][0];
    assert_eq!(
        (&line["type"], &line["count"], &line["gross"], &line["net"]),
        (&json!("purchase"), &json!(4), &json!(351), &json!(351))
    );
    assert_eq!(
        (&line["posted"], &line["authorized"]),
        (&json!(50), &json!(301))
    );
    let csv = client.get(&path.replace('?', ".csv?"));
    assert_eq!(csv.header("Content-Type"), Some("text/csv; charset=utf-8"));
    assert!(csv.text.contains("purchase"), "{}", csv.text);
    let other = client
        .get(&format!("/v1/settlement_reports?date={date}&network=amex"))
        .ok();
    assert_eq!(other["lines"], json!([]));
    for (query, code, param) in [
        ("", "field_missing", "date"),
        ("?date=2026-13-01", "date_invalid", "date"),
        ("?date=today", "date_invalid", "date"),
        ("?date=2026-01-01&year=1", "field_unknown", "year"),
        (
            "?date=2026-01-01&network=nope",
            "network_unknown",
            "network",
        ),
    ] {
        let error = client
            .get(&format!("/v1/settlement_reports{query}"))
            .error();
        assert_eq!(
            (error.0, error.2.as_str(), error.3.as_deref()),
            (400, code, Some(param))
        );
    }
}

#[test]
fn a_hold_ends_when_its_programs_time_is_over_or_by_hand() {
    let (switch, now_ms) = Switch::start_with_clock();
    let client = switch.client();
    let hold_expiry =
        json!({"hours": 48, "rules": [{"kinds": ["purchase"], "mcc": ["7311"], "hours": 2}]});
    let program = json!({"name": "Ads", "network": "visa", "bin": "41111122", "currency": "USD", "hold_expiry": hold_expiry});
    let program = client.post("/v1/programs", program);
    assert_eq!(program.json()["hold_expiry"], hold_expiry);
    let account_id = client.account(&program.created());
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    client
        .post(&format!("/v1/accounts/{account_id}/top_ups"), top_up)
        .created();
    let card_id = client.card(&account_id);
    let [by_rule, by_hand] =
        [100, 200].map(|amount| authorize(&switch, &account_id, &card_id, amount));
    let held = || client.get(&format!("/v1/accounts/{account_id}")).ok()["held"].clone();
    let told = |id: &str| client.get(&format!("/v1/authorizations/{id}")).ok();
    let expires_at = Timestamp(now_ms.load(Ordering::Acquire) + 2 * 3_600_000);
    assert_eq!(told(&by_rule)["expires_at"], expires_at.to_string());

    let expire = format!("/v1/authorizations/{by_hand}/expire");
    let released = client.post(&expire, json!({})).ok();
    assert_eq!(released["status"], "expired");
    assert_eq!(client.post(&expire, json!({})).ok(), released);
    assert_eq!(held(), 100);

    now_ms.fetch_add(2 * 3_600_000 - 1, Ordering::Release);
    // A write, which the loop serves after it has looked for what is over.
    authorize(&switch, &account_id, &card_id, 1);
    assert_eq!(
        (told(&by_rule)["status"].as_str(), held()),
        (Some("pending"), json!(101))
    );
    now_ms.fetch_add(1, Ordering::Release);
    authorize(&switch, &account_id, &card_id, 1);
    assert_eq!(
        (told(&by_rule)["status"].as_str(), held()),
        (Some("expired"), json!(2))
    );

    let refused = authorize(&switch, &account_id, &card_id, 1_000_000);
    for (id, status, code) in [
        (refused.as_str(), 409, "nothing_held"),
        ("auth_0000000000001", 404, "authorization_not_found"),
    ] {
        let answer = client.post(&format!("/v1/authorizations/{id}/expire"), json!({}));
        assert_eq!(
            (answer.error().0, answer.error().2.as_str()),
            (status, code)
        );
    }
}

#[test]
fn spend_says_what_is_used_of_each_limit_and_what_is_left() {
    let switch = Switch::start();
    let client = switch.client();
    let limit =
        |id: &str, window: &str, amount: i64| json!({"id": id, "window": window, "amount": amount});
    let (day, month) = ("lim_0000000000001", "lim_0000000000002");
    let mut of_day = limit(day, "day", 1_000);
    of_day["count"] = json!(3);
    let controls = json!({"limits": [of_day, limit(month, "month", 5_000)]});
    let (account_id, card_id) = funded_card(&client, controls);
    let budget = json!({"controls": {"limits": [{"window": "lifetime", "amount": 700}]}});
    let set = client.put("/v1/links/project/p1", budget).ok();
    let budget = set["controls"]["limits"][0]["id"].as_str().unwrap();
    let path = format!("/v1/cards/{card_id}/spend");
    authorize(&switch, &account_id, &card_id, 300);
    let refused = authorize(&switch, &account_id, &card_id, 900);
    let spend = client.get(&path).ok();
    let rows = spend["limits"].as_array().unwrap();
    let told = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
    for (id, scope, used, left) in [
        (day, "card", 300, 700),
        (month, "card", 300, 4_700),
        (budget, "link", 300, 400),
    ] {
        let row = told(id);
        let expected = (&json!(scope), &json!(used), &json!(left));
        assert_eq!(
            (&row["scope"], &row["used"], &row["left"]),
            expected,
            "{id}"
        );
    }
    assert_eq!(
        (&told(day)["used_count"], &told(day)["left_count"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(told(month)["left_count"], Value::Null);
    // The same numbers as those of the decline.
    let declined = client.get(&format!("/v1/authorizations/{refused}")).ok();
    let steps = declined["trace"].as_array().unwrap().iter();
    let mut failed = steps.filter(|step| step["detail"]["limit_id"] == day);
    let detail = &failed.next().unwrap()["detail"];
    for name in ["used", "left", "resets_at"] {
        assert_eq!(detail[name], told(day)[name], "{name}");
    }
    assert_eq!(told(budget)["resets_at"], Value::Null);
    let nothing = client.get("/v1/cards/card_000000000000z/spend").error();
    assert_eq!((nothing.0, &*nothing.2), (404, "card_not_found"));
}
