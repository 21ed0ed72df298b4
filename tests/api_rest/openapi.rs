//! `docs/openapi.json` is written from the code, and describes every route; each answers as it says.

use super::described::succeeded;
use super::harness::{Client, Switch};
use crate::endpoint::Endpoint;
use cardswitch::api::openapi::{document, operations};
use cardswitch::api::table;
use cardswitch::store::events::types::EventType;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

#[test]
fn the_document_is_as_the_code_has_it() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("CARDSWITCH_REGENERATE_OPENAPI").is_some() {
        std::fs::write(CHECKED_IN, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(CHECKED_IN).unwrap();
    let differs = checked_in.lines().zip(text.lines()).find(|(a, b)| a != b);
    assert!(
        checked_in == text,
        "docs/openapi.json is not as the code has it, first at {differs:?}; \
         CARDSWITCH_REGENERATE_OPENAPI=1 cargo test --test api_rest openapi writes it"
    );
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let routes: Vec<_> = table().iter().map(|r| (r.method, r.path)).collect();
    let described: Vec<_> = operations().iter().map(|o| (o.method, o.path)).collect();
    let (all, known) = (
        BTreeSet::from_iter(&routes),
        BTreeSet::from_iter(&described),
    );
    assert_eq!(known.len(), described.len(), "one is described twice");
    let missing: Vec<_> = all.difference(&known).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
    let gone: Vec<_> = known.difference(&all).collect();
    assert!(gone.is_empty(), "described, and no routes: {gone:?}");
}

/// Every schema with an example beside it.
fn examples(value: &Value, place: &str, found: &mut Vec<(String, Value, Value)>) {
    match value {
        Value::Object(map) => {
            if let (Some(schema), Some(example)) = (map.get("schema"), map.get("example")) {
                found.push((place.to_owned(), schema.clone(), example.clone()));
            }
            for (name, inner) in map {
                examples(inner, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|inner| examples(inner, place, found)),
        _ => {}
    }
}

#[test]
fn every_example_fits_its_schema_and_every_schema_is_one() {
    let document = document();
    let mut found = Vec::new();
    examples(&document["paths"], "", &mut found);
    assert!(found.len() > 2 * table().len() - 60, "{}", found.len());
    for (place, schema, example) in found {
        let whole = json!({ "allOf": [schema], "components": document["components"] });
        let validator = jsonschema::draft202012::new(&whole);
        let validator = validator.unwrap_or_else(|error| panic!("{place}: {error}"));
        if let Err(error) = validator.validate(&example) {
            panic!("{place}: {error}\n{example}");
        }
    }
}

#[test]
fn every_request_schema_is_closed() {
    for operation in operations() {
        let place = format!("{} {}", operation.method, operation.path);
        match operation.body {
            Some(body) => assert_eq!(body.schema["additionalProperties"], false, "{place}"),
            None => assert_eq!(operation.method, "GET", "{place}"),
        }
    }
}

#[test]
fn the_document_and_its_page_need_no_key_and_no_network() {
    let switch = Switch::start();
    let client = switch.client().without_key();
    let served = client.get("/openapi.json");
    assert_eq!(served.ok(), document());
    let page = client.get("/docs");
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
    assert!(!page.text.contains("//"), "{}", page.text);
    let script = client.get("/docs/rapidoc-min.js");
    assert_eq!(script.status, 200);
    assert!(page.text.contains("src=\"/docs/rapidoc-min.js\""));
    assert_eq!(script.header("Content-Encoding"), Some("gzip"));
    // RFC 1952, 2.3.1; the rest is no text.
    assert!(script.text.starts_with('\u{1f}'));
}

/// What the harness has nobody for: deliveries need the process that calls, the stream has no end. `tests/openapi.rs` has
/// both. A batch may be done before it is cancelled; `card_batches.rs` has one that is not.
const ELSEWHERE: [(&str, &str); 4] = [
    ("POST", "/v1/card_batches/{id}/cancel"),
    ("GET", "/v1/deliveries/{id}"),
    ("POST", "/v1/deliveries/{id}/resend"),
    ("GET", "/v1/events/stream"),
];

/// A `POST` to an object that makes another one, or asks something of it, and changes nothing of it.
const CHANGES_NOTHING: [&str; 11] = [
    "/v1/accounts/{id}/top_ups",
    "/v1/cards/{id}/reveal",
    "/v1/cards/{id}/reveal_links",
    "/v1/rules/{id}/backtests",
    "/v1/fee_schedules/{id}/preview",
    "/v1/programs/{id}/fee_preview",
    "/v1/decision_endpoints/{id}/ping",
    "/v1/webhook_endpoints/{id}/ping",
    "/v1/webhook_endpoints/{id}/replay",
    "/v1/events/{id}/resend",
    "/v1/deliveries/{id}/resend",
];

/// Types of events that the walk gives no cause for.
const NOT_TOLD_HERE: [&str; 15] = [
    "card.renewed",
    "card.expired",
    "card.verification_tries_exceeded",
    "limit.threshold_reached",
    "transfer.returned",
    "transfer.failed",
    "balance.low",
    "authorization.requested",
    "authentication.succeeded",
    "authentication.failed",
    "authorization.partially_approved",
    "transaction.over_cleared",
    "exception.expired",
    "approval.failed",
    "webhook_endpoint.disabled",
];

#[test]
fn every_route_answers_as_it_is_described() {
    let switch = Switch::start();
    let client = switch.client();
    let walk = Walk {
        switch: &switch,
        client: client.clone(),
    };
    let endpoint = walk.webhook_endpoint();
    let (program, account, card) = walk.objects();
    walk.deciding(&program, &card);
    walk.payments(&card, &account);
    walk.fees(&program);
    walk.keys();
    walk.events(&endpoint);
    walk.ends(&account, &card);
    walk.told(&endpoint);
    walk.audited();
    let succeeded = succeeded();
    let without = table().into_iter().filter(|route| {
        let place = (route.method.to_owned(), route.path.to_owned());
        !succeeded.contains(&place) && !ELSEWHERE.contains(&(route.method, route.path))
    });
    let without: Vec<_> = without.map(|route| (route.method, route.path)).collect();
    assert!(without.is_empty(), "no success with {without:?}");
}

/// One good call of each route; the client holds each answer against the document.
struct Walk<'a> {
    switch: &'a Switch,
    client: Client,
}

impl Walk<'_> {
    #[track_caller]
    fn made(&self, path: &str, body: Value) -> String {
        self.client.post(path, body).created()
    }

    /// Success, whatever its status.
    #[track_caller]
    fn done(&self, path: &str, body: Value) -> Value {
        let answer = self.client.post(path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text);
        answer.json()
    }

    #[track_caller]
    fn read(&self, paths: &[&str]) {
        for path in paths {
            let answer = self.client.get(path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        }
    }

    fn webhook_endpoint(&self) -> String {
        let made = json!({"events": ["*"], "name": "all"});
        self.made("/v1/webhook_endpoints", made)
    }

    fn fees(&self, program: &str) {
        let item = json!({"kind": "top_up", "fee": {"amount": 5, "basis_points": 300, "min": 10, "max": 900},
                          "reseller_mark_up": {"basis_points": 50}});
        let made = json!({"name": "Standard", "currency": "USD", "time_zone": "Europe/Berlin", "items": [item]});
        let schedule = self.made("/v1/fee_schedules", made);
        let of_schedule = format!("/v1/fee_schedules/{schedule}");
        let set_up = json!({"kind": "set_up", "fee": {"amount": 100}});
        let changed = json!({ "items": [item, set_up] });
        self.client.patch(&of_schedule, changed).ok();
        let asked = json!({"kind": "top_up", "amount": 100_000});
        self.done(&format!("{of_schedule}/preview"), asked.clone());
        let of_program = format!("/v1/programs/{program}");
        let names = json!({ "fee_schedule": schedule });
        self.client.patch(&of_program, names).ok();
        self.done(&format!("{of_program}/fee_preview"), asked);
        self.made("/v1/accounts", json!({ "program_id": program }));
        self.switch.projected();
        let fees = self.client.get("/v1/fees").ok();
        let fee = fees["data"][0]["id"].as_str().unwrap().to_owned();
        self.read(&[
            "/v1/fee_schedules",
            &of_schedule,
            &format!("/v1/fees/{fee}"),
        ]);
        let ends = json!({"fee_schedule": "none"});
        self.client.patch(&of_program, ends).ok();
    }

    fn objects(&self) -> (String, String, String) {
        let client = &self.client;
        let controls = json!({
            "limits": [
                {"window": "day", "amount": 900_000, "count": 50, "filter": {"mcc": ["7311", "travel"], "kinds": ["purchase"]}},
                {"window": "rolling", "window_seconds": 3_600, "amount": 900_000, "refunds": "restore", "until_verified": true},
            ],
            "mcc": {"block": ["7995", "gambling"]}, "countries": {"allow": ["US", "ZZ"]}, "currencies": {"allow": ["USD"]},
            "merchants": {"block": [{"id": "M9", "acquirer_id": "1"}, {"name": "CASINO*"}]},
            "channels": {"block": ["atm"]}, "entry_modes": {"block": ["fallback"]}, "three_ds": {"policy": "required", "above": 5},
            "time_windows": [{"days": ["mon"], "from": "00:00", "to": "24:00"}],
        });
        let mut free = controls.clone();
        free.as_object_mut().unwrap().remove("time_windows");
        free.as_object_mut().unwrap().remove("three_ds");
        let hold = json!({"hours": 168, "rules": [{"kinds": ["pre_authorization"], "mcc": ["7011"], "hours": 744}]});
        let program = self.made(
            "/v1/programs",
            json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD", "hold_expiry": hold,
                   "controls": free}),
        );
        let of_program = format!("/v1/programs/{program}");
        client
            .patch(
                &of_program,
                json!({"bins": ["411111", {"bin": "422222", "network": "amex", "region": "EU"}]}),
            )
            .ok();
        for action in ["suspend", "resume"] {
            self.done(&format!("{of_program}/{action}"), json!({}));
        }
        let account = self.made(
            "/v1/accounts",
            json!({"program_id": program, "name": "master"}),
        );
        let below = self.made(
            "/v1/accounts",
            json!({"program_id": program, "parent_id": account}),
        );
        let of_account = format!("/v1/accounts/{account}");
        let money = json!({"amount": 500_000, "currency": "USD", "method": "swift"});
        self.made(&format!("{of_account}/top_ups"), money);
        let waits = json!({"amount": 5_000, "currency": "USD", "method": "sepa", "settle": false, "external_reference": "INV-7"});
        let waiting = self.made(&format!("{of_account}/top_ups"), waits.clone());
        let payment =
            json!({"reference": "INV-7", "amount": 5_000, "currency": "USD", "date": "2026-11-28"});
        self.done("/v1/incoming_payments", payment);
        let file = self.client.header("Content-Type", "text/csv");
        let file = file.send(
            "POST",
            "/v1/incoming_payments",
            b"reference,amount,currency\nINV-7,5000,USD\nINV-8,1,USD\n",
        );
        assert_eq!(file.status, 200, "{}", file.text);
        for (action, body) in [
            ("settle", json!({})),
            ("fail", json!({"reason": "sent back"})),
        ] {
            let mut waits = waits.clone();
            waits["external_reference"] = action.into();
            let waiting = self.made(&format!("{of_account}/top_ups"), waits);
            self.done(&format!("/v1/top_ups/{waiting}/{action}"), body);
        }
        client
            .patch(
                &of_account,
                json!({"credit_line": 100, "low_balance": {"below": 50}}),
            )
            .ok();
        let moved = json!({"from_account_id": account, "to_account_id": below, "amount": 10, "currency": "USD"});
        let moved = self.made("/v1/transfers", moved);
        let back = json!({"from_account_id": below, "to_account_id": account, "amount": 10, "currency": "USD"});
        self.made("/v1/transfers", back);
        let rule = json!({"below": 0, "amount": 10, "per_day": 1, "from_account_id": account});
        client
            .patch(
                &format!("/v1/accounts/{below}"),
                json!({"auto_top_up": rule}),
            )
            .ok();
        client
            .patch(&format!("/v1/accounts/{below}"), json!({"auto_top_up": {}}))
            .ok();
        self.switch.projected();
        self.read(&[
            "/v1/top_ups",
            &format!("/v1/top_ups/{waiting}"),
            "/v1/transfers",
            &format!("/v1/transfers/{moved}"),
        ]);
        for (account, action) in [
            (&account, "freeze"),
            (&account, "unfreeze"),
            (&below, "close"),
        ] {
            self.done(&format!("/v1/accounts/{account}/{action}"), json!({}));
        }
        let holder = self.made(
            "/v1/cardholders",
            json!({"program_id": program, "name": "Ann", "home_country": "US"}),
        );
        let of_holder = format!("/v1/cardholders/{holder}");
        self.done(&format!("{of_holder}/verify"), json!({}));
        client.patch(&of_holder, json!({"name": "Ann B."})).ok();
        let card = self.made(
            "/v1/cards",
            json!({"account_id": account, "links": [{"type": "project", "id": "p1"}], "cardholder_id": holder,
                   "controls": free}),
        );
        let of_card = format!("/v1/cards/{card}");
        client.patch(&of_card, json!({"controls": free})).ok();
        let body = json!({"program_id": program, "home_country": "US", "verified": true});
        let second = self.made("/v1/cardholders", body);
        client
            .patch(&of_card, json!({ "cardholder_id": second }))
            .ok();
        client
            .patch(&of_program, json!({ "master_account_id": account }))
            .ok();
        self.done(&format!("{of_card}/reveal"), json!({"reason": "a test"}));
        let link = self.done(
            &format!("{of_card}/reveal_links"),
            json!({"reason": "a test", "expires_in_seconds": 300}),
        );
        self.read(&[link["url"].as_str().unwrap()]);
        let of_link = "/v1/links/project/p1";
        client
            .put(
                of_link,
                json!({"controls": {"limits": [{"window": "month", "amount": 900_000}]}}),
            )
            .ok();
        for action in ["freeze", "unfreeze"] {
            self.done(&format!("{of_card}/{action}"), json!({}));
            self.done(&format!("{of_link}/{action}"), json!({}));
        }
        self.switch.projected();
        self.read(&[
            "/v1/programs",
            &format!("/v1/programs/{program}"),
            "/v1/bins",
            "/v1/accounts",
            &of_account,
            "/v1/cards",
            &of_card,
            "/v1/cardholders",
            &of_holder,
            &format!("{of_card}/spend"),
            &format!("{of_account}/spend"),
            of_link,
            &format!("{of_link}/spend"),
            &format!("{of_account}/ledger_entries"),
        ]);
        (program, account, card)
    }

    /// What waits for a second person: approved, rejected, cancelled.
    fn approvals(&self, second: &Client) {
        let client = &self.client;
        let program = json!({"name": "Two", "network": "visa", "bin": "411111", "currency": "USD",
                             "second_approver": {"top_ups": {"above": 1_000}, "limit_raises": true}});
        let program = self.made("/v1/programs", program);
        let account = self.made("/v1/accounts", json!({"program_id": program}));
        let ask = |amount: i64| {
            let top_up = json!({"amount": amount, "currency": "USD", "method": "swift"});
            let asked = client.post(&format!("/v1/accounts/{account}/top_ups"), top_up);
            assert_eq!(asked.status, 202, "{}", asked.text);
            format!("/v1/approvals/{}", asked.json()["id"].as_str().unwrap())
        };
        let [one, other, third] = [2_000, 3_000, 4_000].map(ask);
        second.post(&format!("{one}/approve"), json!({})).ok();
        second
            .post(&format!("{other}/reject"), json!({"note": "no"}))
            .ok();
        self.done(&format!("{third}/cancel"), json!({}));
        self.read(&["/v1/approvals", &one]);
    }

    fn deciding(&self, program: &str, card: &str) {
        let client = &self.client;
        let rates =
            json!({"source": "ECB", "rates": [{"from": "EUR", "to": "USD", "rate": "1.0833"}]});
        client.put("/v1/exchange_rates", rates).ok();
        let rule = json!({"program_id": program, "name": "r", "action": "flag", "expression": "amount > 900000"});
        let rule = format!("/v1/rules/{}", self.made("/v1/rules", rule));
        let backtests = format!("{rule}/backtests");
        let backtest = self.made(&backtests, json!({"from": "2026-11-01"}));
        let backtest = format!("{backtests}/{backtest}");
        self.read(&[&backtests, &backtest]);
        self.done(&format!("{backtest}/cancel"), json!({}));
        for action in ["promote", "demote", "retire"] {
            self.done(&format!("{rule}/{action}"), json!({}));
        }
        let group = self.made("/v1/mcc_groups", json!({"name": "ads", "mcc": ["7311"]}));
        let group = format!("/v1/mcc_groups/{group}");
        client.patch(&group, json!({"mcc": ["7311", "7333"]})).ok();
        let list = self.made(
            "/v1/merchant_lists",
            json!({"name": "l", "merchants": [{"id": "M1"}, {"name": "*HOTEL*"}]}),
        );
        let list = format!("/v1/merchant_lists/{list}");
        client.patch(&list, json!({"name": "hotels"})).ok();
        let asked = json!({"card_id": card, "ends_at": "2090-01-01T00:00:00Z", "reason": "r",
            "lifts": {"mcc": ["7011"], "countries": ["JP"], "merchants": [{"name": "*HOTEL*"}]}});
        let one = format!(
            "/v1/exceptions/{}",
            self.made("/v1/exceptions", asked.clone())
        );
        let second = json!({"name": "second", "preset": "owner"});
        let second = super::keys::with_key(client, second);
        self.approvals(&second);
        second.post(&format!("{one}/approve"), json!({})).ok();
        self.done(&format!("{one}/end"), json!({}));
        let other = format!("/v1/exceptions/{}", self.made("/v1/exceptions", asked));
        self.done(&format!("{other}/reject"), json!({}));
        let customer = Endpoint::start();
        customer.always("200 OK", "{}");
        let endpoint = self.made(
            "/v1/decision_endpoints",
            json!({"program_id": program, "url": customer.url()}),
        );
        let endpoint = format!("/v1/decision_endpoints/{endpoint}");
        client
            .patch(
                &endpoint,
                json!({"enabled": false, "fallback": {"type": "approve_up_to", "amount": 5}}),
            )
            .ok();
        for action in ["ping", "rotate_secret"] {
            self.done(&format!("{endpoint}/{action}"), json!({}));
        }
        self.read(&[
            "/v1/exchange_rates",
            "/v1/rules",
            &rule,
            "/v1/mcc_groups",
            &group,
            "/v1/mcc_groups/travel",
            "/v1/merchant_lists",
            &list,
            "/v1/exceptions",
            &one,
            "/v1/decision_endpoints",
            &endpoint,
        ]);
    }

    fn payments(&self, card: &str, account: &str) {
        let simulated = |what: &str, body: Value| self.made(&format!("/v1/simulate/{what}"), body);
        let asks = json!({"card_id": card, "amount": 1_000});
        let paid = simulated("authorizations", asks.clone());
        simulated(
            "increments",
            json!({"authorization_id": paid, "amount": 300}),
        );
        simulated(
            "advices",
            json!({"authorization_id": paid, "amount": 1_200}),
        );
        let posted = simulated("clearings", json!({"authorization_id": paid}));
        simulated("refunds", json!({"authorization_id": paid, "amount": 100}));
        simulated("force_posts", asks.clone());
        simulated("balance_inquiries", json!({"card_id": card}));
        let declined = json!({"card_id": card, "amount": 1_000, "merchant": {"mcc": "7995"}});
        simulated("authorizations", declined);
        self.tokens(card);
        let returned = simulated("authorizations", asks.clone());
        simulated(
            "reversals",
            json!({"authorization_id": returned, "remaining_amount": 400}),
        );
        let held = simulated("authorizations", asks);
        self.done(&format!("/v1/authorizations/{held}/expire"), json!({}));
        self.switch.projected();
        self.read(&[
            "/v1/authorizations",
            &format!("/v1/authorizations/{paid}"),
            "/v1/transactions",
            &format!("/v1/transactions/{posted}"),
            "/v1/settlement_reports?date=2026-11-24",
            "/v1/settlement_reports.csv?date=2026-11-24",
            &format!("/v1/accounts/{account}/ledger_entries"),
            "/v1/ledger_entries?source_type=transaction",
        ]);
    }

    fn tokens(&self, card: &str) {
        let token = json!({"card_id": card, "wallet": "apple_pay", "device": {"type": "phone", "name": "Phone of A."},
            "token_number": "5555550000000010", "exp_month": 12, "exp_year": 2031});
        let token = format!("/v1/tokens/{}", self.made("/v1/tokens", token));
        for action in ["activate", "suspend", "resume", "delete"] {
            self.done(&format!("{token}/{action}"), json!({}));
        }
        let plain = json!({"card_id": card, "wallet": "google_pay"});
        let plain = self.made("/v1/tokens", plain);
        self.done(&format!("/v1/tokens/{plain}/activate"), json!({}));
        let asks = json!({"token_id": plain, "amount": 100, "token_in": "token_field"});
        self.made("/v1/simulate/authorizations", asks);
        self.switch.projected();
        self.read(&[
            "/v1/tokens",
            &token,
            &format!("/v1/authorizations?token_id={plain}"),
        ]);
    }

    fn keys(&self) {
        let key = json!({"name": "shop", "preset": "support", "links": [{"type": "project", "id": "p1"}],
            "allowed_ips": ["192.0.2.0/24"], "expires_at": "2090-01-01T00:00:00Z"});
        let key = format!("/v1/api_keys/{}", self.made("/v1/api_keys", key));
        self.done(&format!("{key}/roll"), json!({"overlap_seconds": 60}));
        self.done(&format!("{key}/revoke"), json!({}));
        self.switch.projected();
        self.read(&["/v1/api_keys", &key, "/v1/audit_log?limit=100"]);
    }

    fn events(&self, silent: &str) {
        let customer = Endpoint::start();
        customer.always("200 OK", "{}");
        let called = self.made(
            "/v1/webhook_endpoints",
            json!({"events": ["*"], "url": customer.url()}),
        );
        let of_called = format!("/v1/webhook_endpoints/{called}");
        self.client
            .patch(&of_called, json!({"payload": "thin"}))
            .ok();
        self.read(&[
            "/v1/webhook_endpoints",
            &format!("/v1/webhook_endpoints/{silent}"),
            "/v1/deliveries",
        ]);
        let page = self.client.get("/v1/events?limit=100").ok();
        let event = page["data"][0]["id"].as_str().unwrap();
        self.read(&[&format!("/v1/events/{event}")]);
        self.done(
            &format!("/v1/events/{event}/resend"),
            json!({"webhook_endpoint_id": called}),
        );
        self.done(&format!("{of_called}/replay"), json!({"after": event}));
        for action in ["ping", "rotate_secret"] {
            self.done(&format!("{of_called}/{action}"), json!({}));
        }
    }

    /// All events, each of which the client holds against the schema of its type; and the end of the endpoint for which they
    /// were kept.
    fn told(&self, endpoint: &str) {
        self.switch.projected();
        let (mut types, mut after) = (BTreeSet::new(), String::new());
        loop {
            let path = format!("/v1/events?limit=100{after}");
            let page = self.client.get(&path).ok();
            for event in page["data"].as_array().unwrap() {
                types.insert(event["type"].as_str().unwrap().to_owned());
                after = format!("&starting_after={}", event["id"].as_str().unwrap());
            }
            if page["has_more"] == false {
                break;
            }
        }
        let all = EventType::ALL.iter().map(|event| event.name());
        let missing: Vec<&str> = all.filter(|name| !types.contains(*name)).collect();
        assert_eq!(missing, NOT_TOLD_HERE);
        let gone = format!("/v1/webhook_endpoints/{endpoint}");
        let gone = self.client.send("DELETE", &gone, b"");
        assert_eq!(gone.status, 200, "{}", gone.text);
    }

    /// The audit log says of every change how it was before, and how it is after.
    fn audited(&self) {
        self.switch.projected();
        let changes = table().into_iter().filter(|route| {
            let of_one = route.method == "POST" && route.path.contains("{id}");
            let is_change = of_one && !CHANGES_NOTHING.contains(&route.path);
            is_change || ["PATCH", "PUT", "DELETE"].contains(&route.method)
        });
        let mut unseen: BTreeSet<String> = changes
            .filter(|route| !ELSEWHERE.contains(&(route.method, route.path)))
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        let all = unseen.clone();
        let mut after = String::new();
        loop {
            let page = format!("/v1/audit_log?limit=100{after}");
            let page = self.client.get(&page).ok();
            for entry in page["data"].as_array().unwrap() {
                after = format!("&starting_after={}", entry["id"].as_str().unwrap());
                let action = entry["action"].as_str().unwrap();
                if all.contains(action) && entry["outcome"] == "done" {
                    assert!(entry["before"].is_object(), "{action}: {entry}");
                    assert!(entry["after"].is_object(), "{action}: {entry}");
                    unseen.remove(action);
                }
            }
            if page["has_more"] == false {
                break;
            }
        }
        assert!(unseen.is_empty(), "no entry of {unseen:?}");
    }

    fn ends(&self, account: &str, card: &str) {
        let physical = self.made(
            "/v1/cards",
            json!({"account_id": account, "type": "physical"}),
        );
        let address = json!({"name": "Ann", "line1": "1 Main St", "city": "X", "postal_code": "1", "country": "US"});
        let shipped =
            json!({"account_id": account, "type": "physical", "shipping": {"address": address}});
        let shipped = self.made("/v1/cards", shipped);
        let sent = json!({"status": "shipped", "carrier": "DHL", "tracking_number": "JD01", "eta": "2026-12-01"});
        self.done(&format!("/v1/cards/{shipped}/shipping"), sent);
        self.done(&format!("/v1/cards/{physical}/activate"), json!({}));
        self.done(&format!("/v1/cards/{physical}/renew"), json!({}));
        let reset = format!("/v1/cards/{physical}/reset_verification_tries");
        self.done(&reset, json!({}));
        let damaged = json!({"reason": "damaged"});
        self.done(&format!("/v1/cards/{physical}/reissue"), damaged);
        let rows = json!([{"account_id": account}, {"account_id": "acct_0000000000000"}, 7]);
        let batch = self.made("/v1/card_batches", json!({ "rows": rows }));
        let batch = format!("/v1/card_batches/{batch}");
        // One that is done cannot be cancelled, and which comes first is not known.
        let cancelled = self.client.post(&format!("{batch}/cancel"), json!({}));
        assert!([200, 409].contains(&cancelled.status), "{}", cancelled.text);
        self.read(&["/v1/card_batches", &batch, &format!("{batch}/rows")]);
        self.done(
            &format!("/v1/cards/{card}/block"),
            json!({"reason": "lost"}),
        );
        self.done(&format!("/v1/cards/{card}/close"), json!({}));
        self.done("/v1/links/project/p1/close", json!({}));
    }
}
