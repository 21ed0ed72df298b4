//! Programs, accounts, top-ups and cards: made, read back at once, changed.

use super::harness::{Client, Switch, serve_in_background};
use cardswitch::api::Gate;
use cardswitch::engine::money::BALANCE_MAX_MINOR;
use serde_json::{Value, json};

#[test]
fn what_was_made_is_read_back_at_once() {
    let switch = Switch::start();
    let client = switch.client();
    let controls = json!({"limits": [{"window": "day", "amount": 50_000}], "mcc": {"block": ["7995", "0742"]}});
    let program = client.post(
        "/v1/programs",
        json!({"name": "Ads", "network": "visa", "bin": "41111122", "currency": "USD", "controls": controls}),
    );
    let program_id = program.created();
    assert!(program_id.starts_with("prog_"));
    assert_eq!(
        client.get(&format!("/v1/programs/{program_id}")).ok(),
        program.json()
    );
    let made = program.json();
    assert_eq!(
        (
            &made["object"],
            &made["name"],
            &made["bin"],
            &made["network"]
        ),
        (
            &json!("program"),
            &json!("Ads"),
            &json!("41111122"),
            &json!("visa")
        )
    );
    assert_eq!(made["controls"]["mcc"]["block"], json!(["0742", "7995"]));

    let account = client.post(
        "/v1/accounts",
        json!({"program_id": program_id, "currency": "USD", "parent_id": null, "name": "master"}),
    );
    let account_id = account.created();
    assert!(account_id.starts_with("acct_"));
    let zero = json!(0);
    let made = account.json();
    assert_eq!(
        [&made["posted"], &made["held"], &made["available"]],
        [&zero, &zero, &zero]
    );
    assert_eq!(made["status"], "active");
    assert_eq!(made["parent_id"], Value::Null);
    assert_eq!(client.get(&format!("/v1/accounts/{account_id}")).ok(), made);

    let top_up = client.post(
        &format!("/v1/accounts/{account_id}/top_ups"),
        json!({"amount": 100_000, "currency": "USD", "method": "swift", "external_reference": "W1"}),
    );
    assert!(top_up.created().starts_with("topup_"));
    assert_eq!(top_up.json()["status"], "settled");
    assert_eq!(top_up.json()["external_reference"], "W1");
    let account = client.get(&format!("/v1/accounts/{account_id}")).ok();
    assert_eq!(
        [&account["posted"], &account["available"]],
        [&json!(100_000), &json!(100_000)]
    );
}

#[test]
fn a_card_has_its_links_and_controls_and_starts_active() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let links = json!([{"type": "project", "id": "p1"}, {"type": "user", "id": "u 7"}]);
    let card = client.post(
        "/v1/cards",
        json!({"account_id": account_id, "type": "virtual", "links": links,
               "controls": {"countries": {"allow": ["US", "DE"]}, "currencies": {"block": ["USDT", "EUR"]}}}),
    );
    let card_id = card.created();
    let made = card.json();
    assert_eq!(client.get(&format!("/v1/cards/{card_id}")).ok(), made);
    assert_eq!(made["links"], links);
    assert_eq!(made["program_id"], json!(program_id));
    assert_eq!(
        (&made["status"], &made["type"], &made["funding"]),
        (&json!("active"), &json!("virtual"), &json!("shared"))
    );
    assert_eq!(made["first6"], "411111");
    assert_eq!(made["last4"].as_str().unwrap().len(), 4);
    assert!(made["exp_year"].as_u64().unwrap() >= 2029);
    assert_eq!(made["controls"]["countries"]["allow"], json!(["DE", "US"]));
    assert_eq!(
        made["controls"]["currencies"]["block"],
        json!(["EUR", "USDT"])
    );
    assert!(
        made["controls"]["countries"]["id"]
            .as_str()
            .unwrap()
            .starts_with("ctl_")
    );
}

#[test]
fn controls_come_back_as_they_went_in() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let controls = json!({
        "limits": [
            {"id": "lim_0000000000001", "window": "transaction", "amount": 50_000, "count": null, "time_zone": "UTC"},
            {"id": "lim_0000000000002", "window": "day", "amount": null, "count": 5, "time_zone": "Europe/Berlin",
             "filter": {"mcc": ["7311", "5411"]}},
            {"id": "lim_0000000000003", "window": "lifetime", "amount": BALANCE_MAX_MINOR, "count": u32::MAX, "time_zone": "UTC"},
            {"id": "lim_0000000000004", "window": "rolling", "window_seconds": 86_400, "amount": 1, "count": null, "time_zone": "UTC",
             "filter": {"mcc": ["6011"], "countries": ["US", "ZZ"], "channels": ["atm", "unknown"],
                        "kinds": ["quasi_cash", "cash_withdrawal"], "merchant_ids": ["411111111111111", "M 2"]}},
        ],
        "mcc": {"id": "ctl_0000000000001", "allow": ["5411", "7311"]},
        "countries": {"id": "ctl_0000000000002", "block": ["KP", "US"]},
        "currencies": {"id": "ctl_0000000000003", "allow": ["EUR", "USD"]},
        "channels": {"id": "ctl_0000000000004", "block": ["atm", "unknown"]},
        "entry_modes": {"id": "ctl_0000000000005", "allow": ["chip", "contactless"]},
        "merchants": {"id": "ctl_0000000000006",
                      "allow": [{"id": "M2"}, {"id": "M1", "acquirer_id": "412345"}, {"name": "AMAZON*"}]},
        "time_windows": [
            {"id": "ctl_0000000000007", "days": ["mon", "fri"], "from": "22:00", "to": "06:30", "time_zone": "Europe/Berlin"},
            {"id": "ctl_0000000000008", "days": ["sun"], "from": "00:00", "to": "24:00", "time_zone": "UTC"},
        ],
        "single_use": true,
        "merchant_lock": true,
        "three_ds": {"policy": "required", "above": 5_000, "accepted_exemptions": ["low_value", "secure_corporate"]},
    });
    let card_id = client.card(&account_id);
    let path = format!("/v1/cards/{card_id}");
    let patched = client.patch(&path, json!({ "controls": controls })).ok();
    assert_eq!(patched["controls"], controls);
    assert_eq!(client.get(&path).ok()["controls"], controls);
    let fewer = json!({"limits": [controls["limits"][1]]});
    client.patch(&path, json!({ "controls": fewer })).ok();
    assert_eq!(
        client.get(&path).ok()["controls"],
        fewer,
        "replaced, not merged"
    );
    for policy in ["off", "silent", "required"] {
        let controls = json!({ "three_ds": policy });
        client.patch(&path, json!({ "controls": controls })).ok();
        assert_eq!(client.get(&path).ok()["controls"], controls);
    }
    client.patch(&path, json!({"controls": {}})).ok();
    assert_eq!(client.get(&path).ok()["controls"], json!({}));
}

#[test]
fn a_card_of_its_own_funds_draws_on_a_sub_account() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let body = json!({"account_id": account_id, "funding": "own"});
    let card = client.post("/v1/cards", body);
    card.created();
    let own_id = card.json()["account_id"].as_str().unwrap().to_owned();
    assert_ne!(own_id, account_id);
    assert_eq!(card.json()["funding"], "own");
    let own = client.get(&format!("/v1/accounts/{own_id}")).ok();
    assert_eq!(own["parent_id"], json!(account_id));
    assert_eq!(own["program_id"], json!(program_id));
    let below = json!({"program_id": program_id, "parent_id": own_id});
    for refused in [
        client.post("/v1/cards", json!({"account_id": own_id})),
        client.post("/v1/accounts", below),
    ] {
        let (status, _, code, _) = refused.error();
        assert_eq!(
            (status, &*code),
            (409, "account_of_card"),
            "it is that card's"
        );
    }
    let beside = json!({"program_id": program_id, "parent_id": account_id});
    let beside = client.post("/v1/accounts", beside).created();
    let second = client.card(&beside);
    let second = client.get(&format!("/v1/cards/{second}")).ok();
    assert_eq!(second["funding"], "shared");
}

#[test]
fn sub_accounts_stay_in_their_tree() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let sub = json!({"program_id": program_id, "parent_id": account_id});
    let sub = client.post("/v1/accounts", sub);
    let sub_id = sub.created();
    assert_eq!(
        (&sub.json()["parent_id"], &sub.json()["currency"]),
        (&json!(account_id), &json!("USD"))
    );
    let below = json!({"program_id": program_id, "parent_id": sub_id});
    client.post("/v1/accounts", below).created();
    let cases = [
        (
            json!({"program_id": client.program(), "parent_id": account_id}),
            "program_mismatch",
        ),
        (
            json!({"program_id": program_id, "parent_id": account_id, "currency": "EUR"}),
            "currency_mismatch",
        ),
    ];
    for (body, code) in cases {
        let error = client.post("/v1/accounts", body).error();
        assert_eq!((error.0, error.2.as_str()), (409, code));
    }
}

#[test]
fn a_card_goes_through_its_states() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let physical = json!({"account_id": account_id, "type": "physical"});
    let card = client.post("/v1/cards", physical);
    let card_id = card.created();
    assert_eq!(card.json()["status"], "inactive");
    let steps = [
        ("unfreeze", Ok("inactive")),
        ("freeze", Ok("frozen")),
        ("activate", Err("card_status_forbids")),
        ("unfreeze", Ok("inactive")),
        ("activate", Ok("active")),
        ("activate", Ok("active")),
        ("freeze", Ok("frozen")),
        ("freeze", Ok("frozen")),
        ("activate", Err("card_status_forbids")),
        ("unfreeze", Ok("active")),
        ("close", Ok("closed")),
        ("close", Ok("closed")),
        ("unfreeze", Err("card_status_forbids")),
        ("freeze", Err("card_status_forbids")),
    ];
    for (action, expected) in steps {
        let answer = client.send("POST", &format!("/v1/cards/{card_id}/{action}"), b"");
        match expected {
            Ok(status) => {
                assert_eq!(answer.ok()["status"], status, "{action}");
                let read = client.get(&format!("/v1/cards/{card_id}")).ok();
                assert_eq!(read, answer.json(), "{action}");
            }
            Err(code) => assert_eq!(
                (answer.error().0, answer.error().2.as_str()),
                (409, code),
                "{action}"
            ),
        }
    }
}

#[test]
fn an_account_goes_through_its_states() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let path = format!("/v1/accounts/{account_id}");
    let sub = json!({"program_id": program_id, "parent_id": account_id});
    let sub_id = client.post("/v1/accounts", sub.clone()).created();
    let act = |action: &str| client.send("POST", &format!("{path}/{action}"), b"");
    for (action, expected) in [
        ("unfreeze", Ok("active")),
        ("freeze", Ok("frozen")),
        ("freeze", Ok("frozen")),
        ("unfreeze", Ok("active")),
        ("close", Err("account_has_sub_accounts")),
    ] {
        assert_state(&client, &path, action, act(action), expected);
    }
    let sub_path = format!("/v1/accounts/{sub_id}");
    let closed = client.post(&format!("{sub_path}/close"), json!({}));
    assert_state(&client, &sub_path, "close", closed, Ok("closed"));
    let card_id = client.card(&account_id);
    for (action, expected) in [
        ("close", Ok("closed")),
        ("close", Ok("closed")),
        ("freeze", Err("account_status_forbids")),
        ("unfreeze", Err("account_status_forbids")),
    ] {
        assert_state(&client, &path, action, act(action), expected);
    }
    let top_up = json!({"amount": 1, "currency": "USD", "method": "swift"});
    for (path, body) in [
        (format!("{path}/top_ups"), top_up),
        ("/v1/accounts".into(), sub),
        ("/v1/cards".into(), json!({"account_id": account_id})),
    ] {
        let error = client.post(&path, body).error();
        assert_eq!((error.0, error.2.as_str()), (409, "account_closed"));
    }
    // Its card is as it was, and is declined for the account.
    let card = client.get(&format!("/v1/cards/{card_id}")).ok();
    assert_eq!(card["status"], "active");
    let unknown = client.post("/v1/accounts/acct_0000000000001/freeze", json!({}));
    assert_eq!(unknown.error().2, "account_not_found");
}

#[track_caller]
fn assert_state(
    client: &Client,
    path: &str,
    action: &str,
    answer: super::harness::Answer,
    expected: Result<&str, &str>,
) {
    match expected {
        Ok(status) => {
            assert_eq!(answer.ok()["status"], status, "{action}");
            assert_eq!(client.get(path).ok(), answer.json(), "{action}");
        }
        Err(code) => {
            let error = answer.error();
            assert_eq!((error.0, error.2.as_str()), (409, code), "{action}");
        }
    }
}

#[test]
fn an_account_with_money_stays_open() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let path = format!("/v1/accounts/{account_id}");
    let top_up = json!({"amount": 500, "currency": "USD", "method": "swift"});
    client.post(&format!("{path}/top_ups"), top_up).created();
    let refused = client.post(&format!("{path}/close"), json!({}));
    assert_eq!(refused.error().2, "account_not_empty");
    assert!(refused.text.contains("500 are posted"), "{}", refused.text);
}

#[test]
fn accounts_lie_five_deep_at_most() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, mut parent_id) = client.program_and_account();
    let below = |parent_id: &str| {
        let body = json!({"program_id": program_id, "parent_id": parent_id});
        client.post("/v1/accounts", body)
    };
    for _ in 0..4 {
        parent_id = below(&parent_id).created();
    }
    let own = client.post(
        "/v1/cards",
        json!({"account_id": parent_id, "funding": "own"}),
    );
    for refused in [below(&parent_id), own] {
        let error = refused.error();
        assert_eq!((error.0, error.2.as_str()), (409, "account_tree_too_deep"));
    }
    client.card(&parent_id);
}

#[test]
fn a_card_past_its_month_reads_expired() {
    use std::sync::atomic::Ordering;
    let (switch, now_ms) = Switch::start_with_clock();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let card_id = client.card(&account_id);
    let path = format!("/v1/cards/{card_id}");
    assert_eq!(client.get(&path).ok()["status"], "active");
    now_ms.fetch_add(4 * 366 * 86_400_000, Ordering::Release);
    assert_eq!(client.get(&path).ok()["status"], "expired");
}

#[test]
fn health_and_readiness_need_no_key() {
    let switch = Switch::start();
    let client = switch.client().without_key();
    client.get("/healthz").ok();
    client.get("/readyz").ok();
    let (address, _stop, _runtime) = serve_in_background(Gate::default());
    let recovering = Client::of(address);
    recovering.get("/healthz").ok();
    for path in ["/readyz", "/metrics", "/v1/cards/card_0000000000001"] {
        let answer = recovering.get(path);
        assert_eq!(
            (answer.error().0, answer.error().2.as_str()),
            (503, "recovering"),
            "{path}"
        );
        assert_eq!(answer.header("Retry-After"), Some("1"));
    }
}

#[test]
fn metrics_are_in_prometheus_form() {
    let switch = Switch::start();
    let client = switch.client();
    client.program_and_account();
    let metrics = client.without_key().get("/metrics");
    assert_eq!(metrics.status, 200);
    for line in [
        "# TYPE cardswitch_decisions counter",
        "cardswitch_decisions_total{result=\"approved\",reason=\"\"} 0",
        "# TYPE cardswitch_queue_depth gauge",
        "cardswitch_queue_depth{loop=\"registry\"} ",
        "cardswitch_journal_durable 4",
        "# TYPE cardswitch_projection_behind_records gauge",
        "cardswitch_projection_state{state=",
        "cardswitch_journal_sync_seconds_bucket{le=\"+Inf\"}",
        "# EOF",
    ] {
        assert!(
            metrics.text.contains(line),
            "{line} is not in\n{}",
            metrics.text
        );
    }
}

#[test]
fn a_card_is_blocked_for_a_reason_and_for_good() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let card = client.card(&account_id);
    let path = format!("/v1/cards/{card}");
    assert_eq!(client.get(&path).ok()["status_reason"], Value::Null);
    let block = |reason: Value| client.post(&format!("{path}/block"), json!({"reason": reason}));
    let (status, _, code, param) = block(json!("bored")).error();
    assert_eq!(
        (status, &*code, param.as_deref()),
        (400, "value_unknown", Some("reason"))
    );
    let missing = client.post(&format!("{path}/block"), json!({})).error();
    assert_eq!((missing.0, missing.3.as_deref()), (400, Some("reason")));
    for reason in ["lost", "stolen", "fraud"] {
        let blocked = block(json!(reason)).ok();
        assert_eq!(
            (&blocked["status"], &blocked["status_reason"]),
            (&json!("blocked"), &json!(reason))
        );
        assert_eq!(client.get(&path).ok(), blocked);
    }
    let (status, _, code, _) = client.post(&format!("{path}/unfreeze"), json!({})).error();
    assert_eq!((status, &*code), (409, "card_status_forbids"));
    let closed = client.post(&format!("{path}/close"), json!({})).ok();
    assert_eq!(
        (&closed["status"], &closed["status_reason"]),
        (&json!("closed"), &json!("fraud"))
    );
}

#[test]
fn nobody_overwrites_what_somebody_else_has_set() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account) = client.program_and_account();
    let card = client.card(&account);
    let path = format!("/v1/cards/{card}");
    let read = client.get(&path);
    let etag = read.header("etag").unwrap().to_owned();
    let limits =
        |amount: u64| json!({"controls": {"limits": [{"window": "day", "amount": amount}]}});
    let mine = client.header("If-Match", &etag);
    // A state moves it not: what is replaced is the same.
    client.post(&format!("{path}/freeze"), json!({})).ok();
    mine.patch(&path, limits(100)).ok();
    // The second one has not seen that.
    let refused = mine.patch(&path, limits(900)).error();
    assert_eq!(
        (refused.0, &*refused.1, &*refused.2, refused.3.as_deref()),
        (412, "conflict", "precondition_failed", Some("If-Match"))
    );
    let now = client.get(&path);
    assert_eq!(now.json()["controls"]["limits"][0]["amount"], 100);
    assert_ne!(now.header("etag"), Some(&*etag));
    let again = client.header("If-Match", now.header("etag").unwrap());
    again.patch(&path, limits(50)).ok();
    client.header("If-Match", "*").patch(&path, limits(40)).ok();
    let (status, _, code, _) = mine.post(&format!("{path}/unfreeze"), json!({})).error();
    assert_eq!((status, &*code), (400, "if_match_unsupported"));
    // Of linked objects too.
    let linked = json!({"account_id": account, "links": [{"type": "team", "id": "t"}]});
    client.post("/v1/cards", linked).created();
    let etag = client
        .get("/v1/links/team/t")
        .header("etag")
        .unwrap()
        .to_owned();
    let mine = client.header("If-Match", &etag);
    mine.put("/v1/links/team/t", limits(5)).ok();
    assert_eq!(mine.put("/v1/links/team/t", limits(6)).status, 412);
}

#[test]
fn if_match_of_what_is_not_there_is_404() {
    let switch = Switch::start();
    let client = switch.client().header("If-Match", "*");
    for path in ["/v1/cards/card_0000000000001", "/v1/links/project/none"] {
        let method = if path.contains("links") {
            "PUT"
        } else {
            "PATCH"
        };
        let answer = client.send(method, path, b"{\"controls\":{}}");
        let (status, kind, ..) = answer.error();
        assert_eq!((status, &*kind), (404, "not_found"), "{path}");
    }
}
