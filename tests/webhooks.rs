//! Webhooks of the real binary, with either database: each event reaches whoever wants it, signed, at least once, after
//! kills and rebuilds too; what fails is tried again; what is dead holds nobody up.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cardswitch::webhooks::Signed;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::endpoint::{Call, Endpoint};
use support::event_data::check_event;
use support::{Client, Switch, wait_until};
use tmp_postgrust::synchronous::ProcessGuard;

/// A private Postgres, where the test is of that.
struct Database(Option<ProcessGuard>);

impl Database {
    fn config(&self) -> String {
        let url = match &self.0 {
            None => "sqlite".to_owned(),
            Some(cluster) => cluster.connection_string(),
        };
        format!(
            "[store]\nurl = \"{url}\"\n[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n"
        )
    }
}

/// Each test twice, once with each database.
macro_rules! with_both {
    ($($name:ident;)*) => {
        mod with_sqlite { $(#[test] fn $name() { super::$name(super::Database(None)); })* }
        mod with_postgres { $(#[test] fn $name() { super::$name(super::postgres()); })* }
    };
}

fn postgres() -> Database {
    let mut cluster = tmp_postgrust::new_default_process().expect("the tests need Postgres");
    let log = cluster.stderr_reader.take();
    std::thread::spawn(move || log.into_iter().flatten().for_each(drop));
    Database(Some(cluster))
}

with_both! {
    what_happens_is_told_signed_and_in_full;
    what_fails_is_tried_again_and_a_dead_endpoint_holds_nobody_up;
    nothing_is_lost_when_the_program_is_killed;
    filters_bounds_and_thin_bodies;
    events_are_read_and_streamed_and_told_again;
}

fn start(database: &Database) -> Switch {
    let switch = Switch::start(&database.config());
    switch.wait_until_ready();
    switch
}

fn subscribe(switch: &Switch, endpoint: &Endpoint, more: Value) -> Value {
    let mut body = json!({ "url": endpoint.url(), "events": ["*"] });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    switch.good("POST", "/v1/webhook_endpoints", &body)
}

fn body(call: &Call) -> Value {
    serde_json::from_str(&call.body).unwrap()
}

/// What was told, in the order in which it happened: calls overtake one another. Each event once.
fn told(endpoint: &Endpoint) -> Vec<Value> {
    let calls = endpoint.calls();
    let by_id: BTreeMap<String, Value> = calls
        .iter()
        .map(|call| (call.header("webhook-id").to_owned(), body(call)))
        .collect();
    let told: Vec<Value> = by_id.into_values().collect();
    for event in told
        .iter()
        .filter(|event| event["type"] != "webhook_endpoint.ping")
    {
        check_event(event);
    }
    told
}

fn types(endpoint: &Endpoint) -> Vec<String> {
    let told = told(endpoint);
    let types = told
        .iter()
        .map(|body| body["type"].as_str().unwrap().to_owned());
    types.collect()
}

/// Those of one type.
fn of_type(endpoint: &Endpoint, event_type: &str) -> Vec<Value> {
    let mut told = told(endpoint);
    told.retain(|body| body["type"] == event_type);
    told
}

fn wait_for(endpoint: &Endpoint, event_type: &str, count: usize) -> Vec<Value> {
    wait_until(event_type, || of_type(endpoint, event_type).len() >= count);
    of_type(endpoint, event_type)
}

fn check_signature(call: &Call, secret: &Value) {
    let secret = secret.as_str().unwrap().strip_prefix("whsec_").unwrap();
    let secret: [u8; 32] = STANDARD.decode(secret).unwrap().try_into().unwrap();
    let timestamp: i64 = call.header("webhook-timestamp").parse().unwrap();
    let id = call.header("webhook-id").to_owned();
    assert_eq!(body(call)["id"], *id);
    let expected = Signed::new(&[secret], id, timestamp, call.body.as_bytes()).signature;
    let signatures = call.header("webhook-signature");
    assert!(signatures.split(' ').any(|signature| signature == expected));
}

fn pay(client: &mut Client, card: &support::api::TestCard, stan: u32, amount_minor: i64) -> String {
    client.send_bytes(&card.frame(100, stan, amount_minor, None));
    client.receive().field(39).to_owned()
}

fn what_happens_is_told_signed_and_in_full(database: Database) {
    let switch = start(&database);
    let endpoint = Endpoint::start();
    endpoint.always("204 No Content", "");
    let created = subscribe(&switch, &endpoint, json!({}));
    let account = switch.account(10_000);
    let body_of_card = json!({
        "account_id": account, "type": "virtual",
        "links": [{"type": "user", "id": "u1"}, {"type": "project", "id": "p1"}],
    });
    let card = switch.good("POST", "/v1/cards", &body_of_card)["id"].clone();
    let card_path = format!("/v1/cards/{}", card.as_str().unwrap());
    wait_for(&endpoint, "card.created", 1);
    let shown = switch.good(
        "POST",
        &format!("{card_path}/reveal"),
        &json!({"reason": "test"}),
    );
    let test_card = support::api::TestCard {
        id: card.as_str().unwrap().to_owned(),
        pan: shown["pan"].as_str().unwrap().to_owned(),
        cvv2: shown["cvv2"].as_str().unwrap().to_owned(),
        expiry: format!(
            "{}{:02}",
            &shown["exp_year"].to_string()[2..],
            shown["exp_month"].as_u64().unwrap()
        ),
    };
    let mut client = Client::connect(switch.address("visa"));
    assert_eq!(pay(&mut client, &test_card, 1, 700), "00");
    client.send_bytes(&test_card.frame(400, 2, 700, Some((100, 1))));
    client.receive();
    switch.good("POST", &format!("{card_path}/freeze"), &Value::Null);
    assert_eq!(pay(&mut client, &test_card, 3, 500), "62");
    switch.good("POST", &format!("{card_path}/unfreeze"), &Value::Null);
    // All cards of an object, and no other.
    switch.good("POST", "/v1/links/project/p1/freeze", &Value::Null);
    let but_balances = || {
        let told = told(&endpoint).into_iter();
        told.filter(|event| event["type"] != "balance.updated")
            .count()
    };
    wait_until("all is told", || but_balances() == 10);
    let frozen = of_type(&endpoint, "card.frozen");
    assert_eq!(
        frozen[1]["data"]["cause"],
        json!({"type": "project", "id": "p1"})
    );
    assert_eq!(
        types(&endpoint),
        [
            "account.created",
            "topup.settled",
            "balance.updated",
            "card.created",
            "card.revealed",
            "authorization.approved",
            "balance.updated",
            "reversal.created",
            "balance.updated",
            "card.frozen",
            "authorization.declined",
            "card.unfrozen",
            "card.frozen",
        ]
    );
    for call in endpoint.calls() {
        check_signature(&call, &created["secret"]);
        assert!(!call.body.contains(&test_card.pan), "{}", call.body);
    }
    let declined = &of_type(&endpoint, "authorization.declined")[0]["data"];
    let expected = json!({
        "card_id": card, "user_id": "u1", "project_id": "p1", "balance_id": account,
        "sequence": 6,
        "links": [{"type": "project", "id": "p1"}, {"type": "user", "id": "u1"}],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&declined[name], value, "{name}");
    }
    let authorization = &declined["authorization"];
    assert_eq!(authorization["decision"]["reason"], "card_frozen");
    assert_eq!(authorization["amount"], 500);
    // What is told is what the interface tells.
    let id = authorization["id"].as_str().unwrap();
    let mut shown = switch.good("GET", &format!("/v1/authorizations/{id}"), &Value::Null);
    // A list of links has no order.
    let links = shown["links"].as_array_mut().unwrap();
    links.sort_by_key(|link| link["type"].as_str().map(str::to_owned));
    for (name, value) in shown.as_object().unwrap() {
        assert_eq!(authorization[name], *value, "{name}");
    }
    assert_eq!(
        authorization.as_object().unwrap().len(),
        shown.as_object().unwrap().len()
    );
    let reversal = &of_type(&endpoint, "reversal.created")[0]["data"];
    assert_eq!(reversal["reversal"]["released"], 700);
    assert_eq!(reversal["authorization"]["status"], "reversed");
    // Of each card's events the numbers go up one by one.
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for body in self::told(&endpoint) {
        let data = &body["data"];
        let object = data["object_id"].as_str();
        let count = counts.entry(object.unwrap().to_owned()).or_default();
        *count += 1;
        assert_eq!(data["sequence"], *count, "{data}");
    }
}

fn what_fails_is_tried_again_and_a_dead_endpoint_holds_nobody_up(database: Database) {
    let switch = start(&database);
    let (good, bad, dead) = (Endpoint::start(), Endpoint::start(), Endpoint::start());
    good.always("200 OK", "thanks");
    let bad_one = subscribe(&switch, &bad, json!({"events": ["account.created"]}));
    // Takes calls and never answers.
    subscribe(&switch, &dead, json!({}));
    subscribe(&switch, &good, json!({}));
    let account = switch.account(5_000);
    wait_for(&good, "topup.settled", 1);
    bad.respond("500 Oops", "no");
    let metric = |name: &str| {
        let (_, text) = switch.api("GET", "/metrics", &Value::Null);
        let text = text.as_str().unwrap_or_default().to_owned();
        let of = |line: &str| line.strip_prefix(name)?.trim().parse::<u64>().ok();
        text.lines().find_map(of)
    };
    let waits = || metric("cardswitch_webhook_events_waiting ") == Some(1);
    wait_until("it is told that one waits", waits);
    assert_eq!(metric("cardswitch_webhook_endpoints_failing "), Some(1));
    wait_until("a second call", || bad.calls().len() == 2);
    bad.respond("200 OK", "yes");
    wait_until("nothing waits", || {
        metric("cardswitch_webhook_events_waiting ") == Some(0)
    });
    assert!(metric("cardswitch_webhook_lag_milliseconds ").is_some());
    let calls = bad.calls();
    assert_eq!(calls[0].body, calls[1].body);
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    let id = bad_one["id"].as_str().unwrap();
    let path = format!("/v1/deliveries?webhook_endpoint_id={id}");
    wait_until("both calls are in the log", || {
        switch.good("GET", &path, &Value::Null)["data"]
            .as_array()
            .unwrap()
            .len()
            == 2
    });
    let log = switch.good("GET", &path, &Value::Null)["data"].clone();
    let told = |place: usize| {
        let call = &log[place];
        json!([
            call["attempt"],
            call["outcome"],
            call["response_status"],
            call["response_body"]
        ])
    };
    assert_eq!(told(0), json!([2, "succeeded", 200, "yes"]));
    assert_eq!(told(1), json!([1, "failed", 500, "no"]));
    // What the event is about finds its calls.
    let of = |account: &str| {
        let path = format!("{path}&account_id={account}");
        switch.good("GET", &path, &Value::Null)["data"].clone()
    };
    assert_eq!(of(&account), log);
    assert_eq!(of("acct_0000000000000"), json!([]));
    let one = log[1]["id"].as_str().unwrap();
    let one = switch.good("GET", &format!("/v1/deliveries/{one}"), &Value::Null);
    assert_eq!(one["request_body"], body(&calls[0]));
    assert_eq!(one["request_body"]["data"]["balance_id"], *account);
    assert!(one["next_attempt_at"].is_string());
    // One that says that it is gone is called no more, and others hear of it.
    switch.account(1);
    wait_until("a third call", || bad.calls().len() == 3);
    bad.respond("410 Gone", "");
    let disabled = wait_for(&good, "webhook_endpoint.disabled", 1);
    assert_eq!(
        disabled[0]["data"]["webhook_endpoint"],
        json!({"id": id, "object": "webhook_endpoint", "status": "gone"})
    );
    let path = format!("/v1/webhook_endpoints/{id}");
    assert_eq!(switch.good("GET", &path, &Value::Null)["status"], "gone");
    let log = format!("/v1/deliveries?webhook_endpoint_id={id}&outcome=failed");
    wait_until("the last call is in the log", || {
        let last = &switch.good("GET", &log, &Value::Null)["data"][0];
        last["response_status"] == 410 && last["next_attempt_at"].is_null()
    });
    switch.account(1);
    wait_for(&good, "topup.settled", 3);
    assert_eq!(bad.calls().len(), 3);
    // Enabled again it goes on with what it did not take.
    bad.always("200 OK", "");
    switch.good("PATCH", &path, &json!({"status": "enabled"}));
    wait_until("what it missed", || bad.calls().len() >= 5);
    let seen: std::collections::BTreeSet<String> = bad
        .calls()
        .iter()
        .map(|call| call.header("webhook-id").to_owned())
        .collect();
    assert_eq!(seen.len(), 3);
}

fn nothing_is_lost_when_the_program_is_killed(database: Database) {
    let mut switch = start(&database);
    let endpoint = Endpoint::start();
    endpoint.always("200 OK", "");
    let created = subscribe(&switch, &endpoint, json!({"events": ["topup.settled"]}));
    let account = switch.account(1);
    let top_up = |switch: &Switch| {
        let body = json!({"amount": 5, "currency": "USD", "method": "internal"});
        switch.good("POST", &format!("/v1/accounts/{account}/top_ups"), &body)["id"].clone()
    };
    let mut wanted: Vec<Value> = Vec::new();
    for _ in 0..3 {
        for _ in 0..10 {
            wanted.push(top_up(&switch));
        }
        switch = switch.kill_and_restart();
        switch.wait_until_ready();
    }
    let told_of = || -> Vec<Value> {
        let all = of_type(&endpoint, "topup.settled");
        all.iter()
            .map(|body| body["data"]["top_up"]["id"].clone())
            .collect()
    };
    wait_until("everything is told", || {
        wanted.iter().all(|id| told_of().contains(id))
    });
    // Where it stands is noted, and a rebuilt database does not send history again.
    let path = format!("/v1/webhook_endpoints/{}", created["id"].as_str().unwrap());
    let last = || {
        of_type(&endpoint, "topup.settled")
            .iter()
            .map(|body| body["id"].as_str().unwrap().to_owned())
            .max()
    };
    wait_until("it is noted", || {
        let progress = switch.good("GET", &path, &Value::Null)["progress"].clone();
        progress["waiting"] == 0 && progress["after"].as_str() >= last().as_deref()
    });
    let before = endpoint.calls().len();
    assert!(switch.stop().success());
    let config = switch.folder().join("cardswitch.toml");
    let rebuilt = std::process::Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(["store", "rebuild", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let switch = switch.restart();
    switch.wait_until_ready();
    let one_more = top_up(&switch);
    wait_until("the next one is told", || told_of().contains(&one_more));
    assert_eq!(endpoint.calls().len(), before + 1);
    // The events are there again, under the ids that they had.
    let listed = switch.good(
        "GET",
        "/v1/events?type=topup.settled&limit=100",
        &Value::Null,
    );
    let ids: Vec<&Value> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["id"])
        .collect();
    assert_eq!(ids.len(), wanted.len() + 2);
    for told in of_type(&endpoint, "topup.settled") {
        assert!(ids.contains(&&told["id"]));
    }
    // The log of deliveries is not the journal's: it stayed.
    let log = switch.good("GET", "/v1/deliveries?limit=100", &Value::Null);
    assert!(log["data"].as_array().unwrap().len() >= wanted.len());
}

fn filters_bounds_and_thin_bodies(database: Database) {
    let switch = start(&database);
    let (of_link, of_program, alerts) = (Endpoint::start(), Endpoint::start(), Endpoint::start());
    for endpoint in [&of_link, &of_program, &alerts] {
        endpoint.always("200 OK", "");
    }
    let account = switch.account(1_000);
    let other = switch.account(1_000);
    let program =
        switch.good("GET", &format!("/v1/accounts/{account}"), &Value::Null)["program_id"].clone();
    subscribe(
        &switch,
        &of_link,
        json!({"events": ["card.*"], "links": [{"type": "project", "id": "p1"}]}),
    );
    subscribe(&switch, &of_program, json!({"program_ids": [program]}));
    subscribe(
        &switch,
        &alerts,
        json!({"events": ["authorization.declined"], "payload": "thin"}),
    );
    let card = |account: &str, project: &str| {
        let body = json!({"account_id": account, "type": "virtual", "links": [{"type": "project", "id": project}],
            "controls": {"mcc": {"block": ["7311"]}}});
        switch.good("POST", "/v1/cards", &body)["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, second, third) = (
        card(&account, "p1"),
        card(&account, "p2"),
        card(&other, "p1"),
    );
    for id in [&first, &second, &third] {
        switch.good("POST", &format!("/v1/cards/{id}/freeze"), &Value::Null);
    }
    let ids = |bodies: Vec<Value>| -> Vec<String> {
        bodies
            .iter()
            .map(|body| body["data"]["card_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ids(wait_for(&of_link, "card.frozen", 2)),
        [first.clone(), third]
    );
    assert_eq!(
        ids(wait_for(&of_program, "card.frozen", 2)),
        [first.clone(), second]
    );
    let shown = switch.good(
        "POST",
        &format!("/v1/cards/{first}/reveal"),
        &json!({"reason": "test"}),
    );
    let test_card = support::api::TestCard {
        id: first,
        pan: shown["pan"].as_str().unwrap().to_owned(),
        cvv2: shown["cvv2"].as_str().unwrap().to_owned(),
        expiry: format!(
            "{}{:02}",
            &shown["exp_year"].to_string()[2..],
            shown["exp_month"].as_u64().unwrap()
        ),
    };
    let mut client = Client::connect(switch.address("visa"));
    pay(&mut client, &test_card, 1, 500);
    let alert = &wait_for(&alerts, "authorization.declined", 1)[0]["data"];
    assert_eq!(
        alert["authorization"]["decision"],
        json!({"result": "declined", "reason": "card_frozen"})
    );
    assert_eq!(alert["project_id"], "p1");
    let text = alert.to_string();
    assert!(
        !text.contains("MERCHANT") && !text.contains("amount") && !text.contains("trace"),
        "{text}"
    );
    assert_eq!(types(&alerts).len(), 1);
    assert!(types(&of_link).iter().all(|t| t.starts_with("card.")));
}

fn events_are_read_and_streamed_and_told_again(database: Database) {
    let switch = start(&database);
    // Nobody has subscribed: nothing is kept.
    switch.account(1);
    let pull = switch.good("POST", "/v1/webhook_endpoints", &json!({"events": ["*"]}));
    assert_eq!(pull["url"], Value::Null);
    let mut stream = Stream::open(&switch, "");
    let account = switch.account(2);
    let created = stream.next();
    assert_eq!(
        (
            created["type"].as_str(),
            created["data"]["balance_id"].as_str()
        ),
        (Some("account.created"), Some(account.as_str()))
    );
    let settled = stream.next();
    assert_eq!(settled["type"], "topup.settled");
    let listed = switch.good("GET", "/v1/events", &Value::Null);
    let moved = stream.next();
    assert_eq!(moved["type"], "balance.updated");
    assert_eq!(listed["data"], json!([created, settled, moved]));
    let after = format!(
        "/v1/events?starting_after={}",
        created["id"].as_str().unwrap()
    );
    assert_eq!(
        switch.good("GET", &after, &Value::Null)["data"],
        json!([settled, moved])
    );
    let one = format!("/v1/events/{}", settled["id"].as_str().unwrap());
    assert_eq!(switch.good("GET", &one, &Value::Null), settled);
    // A stream goes on where another one ended.
    let mut stream = Stream::open(
        &switch,
        &format!("Last-Event-ID: {}\r\n", created["id"].as_str().unwrap()),
    );
    assert_eq!(stream.next(), settled);
    // Resent by hand, and replayed from a moment on, to somebody who came later.
    let endpoint = Endpoint::start();
    endpoint.always("200 OK", "");
    let called = subscribe(&switch, &endpoint, json!({}));
    let id = called["id"].as_str().unwrap();
    let refused = switch.api(
        "POST",
        &format!("{one}/resend"),
        &json!({"webhook_endpoint_id": pull["id"]}),
    );
    assert_eq!(
        (refused.0, &refused.1["error"]["code"]),
        (409, &json!("endpoint_not_called"))
    );
    switch.good(
        "POST",
        &format!("{one}/resend"),
        &json!({"webhook_endpoint_id": id}),
    );
    assert_eq!(wait_for(&endpoint, "topup.settled", 1)[0], settled);
    assert_eq!(endpoint.calls().len(), 1);
    let replay = json!({"since": created["timestamp"]});
    switch.good(
        "POST",
        &format!("/v1/webhook_endpoints/{id}/replay"),
        &replay,
    );
    assert_eq!(wait_for(&endpoint, "account.created", 1)[0], created);
    wait_until("it is told again", || {
        let calls = endpoint.calls();
        calls.iter().filter(|call| body(call) == settled).count() == 2
    });
    // Two secrets are good while one is changed.
    let rotated = switch.good(
        "POST",
        &format!("/v1/webhook_endpoints/{id}/rotate_secret"),
        &Value::Null,
    );
    assert_ne!(rotated["secret"], called["secret"]);
    let ping = switch.good(
        "POST",
        &format!("/v1/webhook_endpoints/{id}/ping"),
        &Value::Null,
    );
    assert_eq!(ping["status"], 200);
    let call = endpoint.calls().pop().unwrap();
    check_signature(&call, &rotated["secret"]);
    check_signature(&call, &called["secret"]);
    let now = json!({"overlap_seconds": 0});
    let rotated = switch.good(
        "POST",
        &format!("/v1/webhook_endpoints/{id}/rotate_secret"),
        &now,
    );
    switch.good(
        "POST",
        &format!("/v1/webhook_endpoints/{id}/ping"),
        &Value::Null,
    );
    let call = endpoint.calls().pop().unwrap();
    check_signature(&call, &rotated["secret"]);
    assert!(!call.header("webhook-signature").contains(' '));
    let deleted = switch.good(
        "DELETE",
        &format!("/v1/webhook_endpoints/{id}"),
        &Value::Null,
    );
    assert_eq!(deleted["deleted"], true);
    assert_eq!(
        switch
            .api("GET", &format!("/v1/webhook_endpoints/{id}"), &Value::Null)
            .0,
        404
    );
}

/// A stream of server-sent events.
struct Stream(std::io::BufReader<std::net::TcpStream>);

impl Stream {
    fn open(switch: &Switch, headers: &str) -> Stream {
        use std::io::{BufRead, Write};
        let address = switch.http_address();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(support::DEADLINE)).unwrap();
        let key = support::api::ROOT_KEY;
        write!(
            stream,
            "GET /v1/events/stream HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n{headers}\r\n"
        )
        .unwrap();
        let mut reader = std::io::BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("200"), "{line}");
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        Stream(reader)
    }

    /// The data of the next event.
    fn next(&mut self) -> Value {
        use std::io::BufRead;
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

#[test]
fn a_key_hears_of_what_it_may_see() {
    let switch = start(&Database(None));
    let account = switch.account(1_000);
    let other = switch.account(1_000);
    let endpoint = Endpoint::start();
    endpoint.always("200 OK", "");
    let key = |scopes: Value, more: Value| {
        let mut body = json!({"name": "test", "scopes": scopes});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        switch.good("POST", "/v1/api_keys", &body)["key"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let post = |key: &str, body: Value| {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!(
                "http://{}/v1/webhook_endpoints",
                switch.http_address()
            ))
            .header("authorization", format!("Bearer {key}"));
        let mut response = agent.run(request.body(body.to_string()).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (
            response.status().as_u16(),
            serde_json::from_str::<Value>(&text).unwrap(),
        )
    };
    let url = endpoint.url();
    let alerts = key(json!(["webhooks:write", "alerts:declines"]), json!({}));
    let (status, refused) = post(&alerts, json!({"url": url, "events": ["*"]}));
    assert_eq!(
        (status, &refused["error"]["param"]),
        (403, &json!("cards:read"))
    );
    let (status, refused) = post(
        &alerts,
        json!({"url": url, "events": ["authorization.declined"]}),
    );
    assert_eq!(
        (status, &refused["error"]["param"]),
        (403, &json!("authorizations:read"))
    );
    let thin = json!({"url": url, "events": ["authorization.declined"], "payload": "thin"});
    assert_eq!(post(&alerts, thin).0, 201);
    // A key bound to one account hears of that one, whatever it asks for.
    let bound = key(
        json!(["webhooks:write", "accounts:read"]),
        json!({"account_ids": [account]}),
    );
    assert_eq!(
        post(
            &bound,
            json!({"url": url, "events": ["account.*", "topup.settled"]})
        )
        .0,
        201
    );
    let beyond = json!({"url": url, "events": ["account.*"], "account_ids": [other]});
    assert_eq!(
        post(&bound, beyond).1["error"]["code"],
        "bounds_beyond_caller"
    );
    for id in [&other, &account] {
        switch.good("POST", &format!("/v1/accounts/{id}/freeze"), &Value::Null);
    }
    let frozen = wait_for(&endpoint, "account.frozen", 1);
    assert_eq!(frozen[0]["data"]["balance_id"], *account);
    assert_eq!(endpoint.calls().len(), 1);
    // The log tells no more of an event than the key may see of it.
    let reader = key(json!(["webhooks:read", "webhooks:write"]), json!({}));
    let get = |key: &str, path: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .uri(format!("http://{}{path}", switch.http_address()))
            .header("authorization", format!("Bearer {key}"));
        let mut response = agent.run(request.body(String::new()).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let mut listed = Value::Null;
    wait_until("the log has it", || {
        listed = get(&reader, "/v1/deliveries");
        listed["data"]
            .as_array()
            .is_some_and(|data| !data.is_empty())
    });
    let path = format!(
        "/v1/deliveries/{}",
        listed["data"][0]["id"].as_str().unwrap()
    );
    assert_eq!(get(&reader, &path)["request_body"], Value::Null);
    assert_eq!(
        get(support::api::ROOT_KEY, &path)["request_body"]["type"],
        "account.frozen"
    );
    // What nobody but another endpoint wanted is sent to none that does not want it.
    let event = frozen[0]["id"].as_str().unwrap();
    let others = json!({"url": url, "events": ["card.created"]});
    let others = switch.good("POST", "/v1/webhook_endpoints", &others);
    let resend = json!({"webhook_endpoint_id": others["id"]});
    let (status, refused) = switch.api("POST", &format!("/v1/events/{event}/resend"), &resend);
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("event_not_for_endpoint"))
    );
}

#[test]
fn of_one_card_in_order() {
    let switch = start(&Database(None));
    let endpoint = Endpoint::start();
    subscribe(
        &switch,
        &endpoint,
        json!({"events": ["card.*"], "ordering": "card"}),
    );
    let account = switch.account(1_000);
    let body = json!({"account_id": account, "type": "virtual"});
    let card = switch.good("POST", "/v1/cards", &body)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for change in ["freeze", "unfreeze", "freeze", "close"] {
        switch.good("POST", &format!("/v1/cards/{card}/{change}"), &Value::Null);
    }
    wait_until("the first call", || endpoint.calls().len() == 1);
    // It fails: the others wait for it, though they could be told.
    endpoint.respond("503 Later", "");
    wait_until("the first call again", || endpoint.calls().len() == 2);
    assert_eq!(endpoint.calls()[0].body, endpoint.calls()[1].body);
    endpoint.always("200 OK", "");
    endpoint.say("");
    wait_until("all calls", || endpoint.calls().len() == 6);
    let calls = endpoint.calls();
    let types: Vec<Value> = calls
        .iter()
        .map(|call| self::body(call)["type"].clone())
        .collect();
    assert_eq!(
        types[1..],
        [
            "card.created",
            "card.frozen",
            "card.unfrozen",
            "card.frozen",
            "card.closed"
        ]
    );
}

/// A receiver on an official library, in another language.
fn takes_every_call(program: &str, script: &str) {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let script = format!("{}/tests/oracles/{script}", env!("CARGO_MANIFEST_DIR"));
    let global = Command::new("npm").args(["root", "--global"]).output();
    let global = global.map(|output| String::from_utf8(output.stdout).unwrap());
    let mut receiver = Command::new(program)
        .arg(&script)
        .env("NODE_PATH", global.unwrap_or_default().trim())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("the tests need {program}: {error}"));
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next();
        line.expect("it needs a package: pip install standardwebhooks, npm install --global standardwebhooks")
            .unwrap()
    };
    let port: u16 = next().parse().unwrap();
    let switch = start(&Database(None));
    let url = format!("http://127.0.0.1:{port}/");
    let created = switch.good(
        "POST",
        "/v1/webhook_endpoints",
        &json!({ "url": url, "events": ["*"] }),
    );
    let secret = created["secret"].as_str().unwrap();
    writeln!(receiver.stdin.take().unwrap(), "{secret}").unwrap();
    let id = created["id"].as_str().unwrap();
    let ping = switch.good(
        "POST",
        &format!("/v1/webhook_endpoints/{id}/ping"),
        &Value::Null,
    );
    assert_eq!(ping["status"], 204);
    switch.account(500);
    let mut taken: Vec<String> = (0..4).map(|_| next()).collect();
    taken.sort();
    let types: Vec<&str> = taken
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert!(
        taken.iter().all(|line| line.starts_with("ok ")),
        "{taken:?}"
    );
    assert_eq!(
        types,
        [
            "account.created",
            "topup.settled",
            "balance.updated",
            "webhook_endpoint.ping"
        ]
    );
    receiver.kill().unwrap();
    receiver.wait().unwrap();
}

#[test]
fn the_official_library_for_python_takes_every_call() {
    takes_every_call("python3", "webhook_receiver.py");
}

/// It was taken: what the answer says beyond what is read, or does not say any more, changes nothing.
#[test]
fn an_answer_that_is_too_long_or_breaks_off_counts_by_its_status() {
    let switch = start(&Database(None));
    let endpoint = Endpoint::start();
    subscribe(&switch, &endpoint, json!({"events": ["account.created"]}));
    let log = || switch.good("GET", "/v1/deliveries", &Value::Null)["data"].clone();
    endpoint.respond("200 OK", &"x".repeat(100_000));
    switch.account(1);
    wait_until("the first is logged", || {
        log().as_array().unwrap().len() == 1
    });
    endpoint.respond_with("HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\nhalf");
    switch.account(1);
    wait_until("the second is logged", || {
        log().as_array().unwrap().len() == 2
    });
    for told in log().as_array().unwrap() {
        assert_eq!(told["outcome"], "succeeded", "{told}");
        assert_eq!(told["response_status"], 200);
    }
    assert_eq!(endpoint.calls().len(), 2);
}

/// With few calls at once: all endpoints of one tenant take calls and say nothing.
#[test]
fn a_tenant_whose_endpoints_hang_holds_up_no_other() {
    let config = Database(None).config();
    let switch = Switch::start(&format!("[webhooks]\ncalls_at_once_max = 4\n{config}"));
    switch.wait_until_ready();
    let account = switch.account(5_000);
    let path = format!("/v1/accounts/{account}");
    let program = switch.good("GET", &path, &Value::Null)["program_id"].clone();
    let (hangs, hears) = (Endpoint::start(), Endpoint::start());
    hears.always("200 OK", "");
    let tenants = [(6, &hangs), (1, &hears)].map(|(endpoints, at)| {
        let key = json!({"name": "tenant", "preset": "owner", "program_ids": [program]});
        let key = switch.good("POST", "/v1/api_keys", &key)["key"].clone();
        let body = json!({"url": at.url(), "events": ["topup.settled"]});
        for _ in 0..endpoints {
            let key = key.as_str().unwrap();
            let (status, told) = switch.api_as(key, "POST", "/v1/webhook_endpoints", &body);
            assert_eq!(status, 201, "{told}");
        }
        at
    });
    let top_up = json!({"amount": 100, "currency": "USD", "method": "internal"});
    for count in 1..=10 {
        let began = Instant::now();
        switch.good("POST", &format!("{path}/top_ups"), &top_up);
        wait_until("the other hears of it", || {
            tenants[1].calls().len() == count
        });
        // An endpoint has 15 s to answer.
        assert!(began.elapsed() < Duration::from_secs(5), "{count}");
        wait_until("some hang", || tenants[0].calls().len() >= 2);
    }
    assert_eq!(tenants[0].calls().len(), 2);
}

/// The program of docs/webhooks.md, as it stands there.
#[test]
fn the_receiver_of_the_documents_takes_what_is_signed_and_each_event_once() {
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};
    let document = include_str!("../docs/webhooks.md");
    let (_, program) = document.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let program = program.replace("9000", &address.port().to_string());
    let switch = start(&Database(None));
    let url = format!("http://{address}/");
    let body = json!({ "url": url, "events": ["account.*"] });
    let created = switch.good("POST", "/v1/webhook_endpoints", &body);
    let mut receiver = Command::new("python3")
        .args(["-c", &program])
        .env("WEBHOOK_SECRET", created["secret"].as_str().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("the tests need python3: {error}"));
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    wait_until(
        "the receiver listens (it needs pip install standardwebhooks)",
        || TcpStream::connect(address).is_ok(),
    );
    let account = switch.account(500);
    assert_eq!(lines.next().unwrap().unwrap(), "account.created 1");
    // Told once more it is answered, and not done again.
    let events = switch.good("GET", "/v1/events?type=account.created", &Value::Null);
    let event = events["data"][0]["id"].as_str().unwrap();
    let resend = json!({"webhook_endpoint_id": created["id"]});
    switch.good("POST", &format!("/v1/events/{event}/resend"), &resend);
    wait_until("two calls were taken", || {
        let log = switch.good("GET", "/v1/deliveries?outcome=succeeded", &Value::Null);
        log["data"].as_array().unwrap().len() == 2
    });
    switch.good(
        "POST",
        &format!("/v1/accounts/{account}/freeze"),
        &Value::Null,
    );
    assert_eq!(lines.next().unwrap().unwrap(), "account.frozen 2");
    // What somebody else has signed, or nobody, is refused.
    let forged = ureq::post(&url)
        .header("webhook-id", event)
        .header("webhook-timestamp", "1")
        .header("webhook-signature", "v1,AAAA")
        .send("{}");
    assert!(
        matches!(forged, Err(ureq::Error::StatusCode(400))),
        "{forged:?}"
    );
    receiver.kill().unwrap();
    receiver.wait().unwrap();
}

#[test]
fn the_official_library_for_javascript_takes_every_call() {
    takes_every_call("node", "webhook_receiver.js");
}

/// It asked for an hour, and its operator has mended it before.
#[test]
fn a_ping_that_is_taken_ends_a_pause() {
    let switch = start(&Database(None));
    let endpoint = Endpoint::start();
    let created = subscribe(&switch, &endpoint, json!({"events": ["account.created"]}));
    let id = created["id"].as_str().unwrap();
    let path = format!("/v1/webhook_endpoints/{id}");
    let ping = || switch.good("POST", &format!("{path}/ping"), &json!({}))["status"].clone();
    let progress = || switch.good("GET", &path, &Value::Null)["progress"].clone();
    switch.account(1);
    wait_until("it is called", || endpoint.calls().len() == 1);
    endpoint.respond_with("HTTP/1.1 503 Not Now\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n");
    wait_until("it waits", || {
        progress()["waiting"] == 1 && progress()["failing_since"].is_string()
    });
    // One that fails ends nothing.
    endpoint.always("500 Oops", "");
    assert_eq!(ping(), 500);
    switch.account(2);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(of_type(&endpoint, "account.created").len(), 1);
    endpoint.always("204 No Content", "");
    assert_eq!(ping(), 204);
    wait_for(&endpoint, "account.created", 2);
    wait_until("nothing waits", || {
        progress()["waiting"] == 0 && progress()["failing_since"].is_null()
    });
}
