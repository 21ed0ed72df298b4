//! The customer's own decision over real sockets: the network on one side, the customer's HTTP endpoint on the other.
//! What each answer does to money: `scenarios/25_customer_decides.txt`; restarts: `decision_restart.rs`.

mod support;

use cardswitch::engine::decision_endpoints::Fallback;
use cardswitch::engine::ids::CardId;
use cardswitch::webhooks::Signed;
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};
use support::client::{Client, Language};
use support::endpoint::{Call, Endpoint};
use support::messages::{Naming, Purchase, borrowed};
use support::rig::Rig;
use support::{Switch, VISA, wait_until};

/// Far longer than a test takes: who decides is the test.
const PATIENT_MS: u32 = 60_000;

struct Bench {
    rig: Rig,
    card: CardId,
    endpoint: Endpoint,
    client: Client,
    secret: [u8; 32],
}

fn bench(timeout_ms: u32, fallback: Fallback) -> Bench {
    bench_of(timeout_ms, fallback, 120_000)
}

fn bench_of(timeout_ms: u32, fallback: Fallback, answer_within_ms: u64) -> Bench {
    let (rig, endpoint) = (Rig::start(), Endpoint::start());
    let card = rig.issue(VISA, 10_000);
    let of = rig.ask_customers(card, &endpoint.url(), timeout_ms, fallback);
    let secret = rig.vault.endpoint_secrets().secret(of.id.0, 1);
    let within = format!("answer_within_ms = {answer_within_ms}");
    let (_, client) = rig.connected(&Language::default(), &within);
    Bench {
        rig,
        card,
        endpoint,
        client,
        secret,
    }
}

impl Bench {
    fn send(&mut self, mti: u16, purchase: Purchase) {
        let fields = self.client.language.authorization(purchase);
        self.client.send(mti, &borrowed(&fields));
    }

    /// Waits until so many calls have come in all, and gives the last.
    fn called(&self, count: usize) -> Call {
        wait_until("the customer is asked", || {
            self.endpoint.calls().len() == count
        });
        self.endpoint.calls().pop().unwrap()
    }
}

#[test]
fn the_customer_is_asked_about_what_is_held_and_says_yes_or_no() {
    let mut bench = bench(PATIENT_MS, Fallback::Decline);
    bench.send(100, Purchase::of(1, 700));
    let call = bench.called(1);
    // It is held, and nobody has been answered.
    assert_eq!(bench.rig.money(bench.card), (10_000, 700));
    let body: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(body["type"], "authorization.requested");
    let data = &body["data"];
    assert_eq!(data["card_id"], json!(bench.card.to_string()));
    assert_eq!(
        (
            &data["amount"],
            &data["currency"],
            &data["available"],
            &data["kind"]
        ),
        (
            &json!(700),
            &json!("USD"),
            &json!(9_300),
            &json!("purchase")
        )
    );
    assert_eq!(data["merchant"]["mcc"], "5411");
    assert_eq!(call.path, "/decide?of=test");
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(call.header("webhook-id"), data["authorization_id"]);
    let timestamp = call.header("webhook-timestamp").parse().unwrap();
    let id = call.header("webhook-id").to_owned();
    let signed = Signed::new(&[bench.secret], id, timestamp, call.body.as_bytes());
    assert_eq!(call.header("webhook-signature"), signed.signature);

    bench.endpoint.say(r#"{"decision":"approve"}"#);
    let answer = bench.client.receive();
    assert_eq!(
        (answer.mti, answer.field(39), answer.field(38).len()),
        (110, "00", 6)
    );
    assert_eq!(bench.rig.money(bench.card), (10_000, 700));

    bench.send(200, Purchase::of(2, 300));
    bench.called(2);
    assert_eq!(bench.rig.money(bench.card), (10_000, 1_000));
    bench.endpoint.say(r#"{"decision":"approve"}"#);
    assert_eq!(bench.client.receive().field(39), "00");
    assert_eq!(bench.rig.money(bench.card), (9_700, 700));

    bench.send(100, Purchase::of(3, 500));
    bench.called(3);
    bench.endpoint.say(r#"{"decision":"decline"}"#);
    let answer = bench.client.receive();
    assert_eq!((answer.field(39), answer.field(38)), ("05", ""));
    assert_eq!(bench.rig.money(bench.card), (9_700, 700));
    // What was declined is declined again, and nobody is asked.
    bench.send(101, Purchase::of(3, 500));
    assert_eq!(bench.client.receive().field(39), "05");
    // What the checks decline is not asked about.
    bench.send(100, Purchase::of(4, 100_000));
    assert_eq!(bench.client.receive().field(39), "51");
    assert_eq!(bench.endpoint.calls().len(), 3);
}

#[test]
fn less_than_was_asked_goes_out_where_the_terminal_can_take_it() {
    let mut bench = bench(PATIENT_MS, Fallback::Decline);
    let purchase = Purchase::of(1, 700);
    let mut fields = bench.client.language.authorization(purchase);
    let (field, value) = bench.client.language.partial_approval_supported();
    fields.push((field, value.to_owned()));
    fields.sort_unstable_by_key(|(field, _)| *field);
    bench.client.send(100, &borrowed(&fields));
    let call = bench.called(1);
    let body: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(body["data"]["partial_approval_supported"], true);
    bench.endpoint.say(r#"{"decision":"approve","amount":250}"#);
    let answer = bench.client.receive();
    assert_eq!((answer.field(39), answer.field(4)), ("10", "000000000250"));
    assert_eq!(bench.rig.money(bench.card), (10_000, 250));
}

#[test]
fn a_repeat_while_waiting_gets_the_one_answer_and_a_reversal_wins() {
    let mut bench = bench(PATIENT_MS, Fallback::Decline);
    bench.send(100, Purchase::of(1, 700));
    bench.called(1);
    let repeats = || bench.rig.switchboard.stats[0].repeats();
    let fields = bench.client.language.authorization(Purchase::of(1, 700));
    bench.client.send(101, &borrowed(&fields));
    wait_until("the repeat waits too", || repeats() == 1);
    bench.endpoint.say(r#"{"decision":"approve"}"#);
    let answers = [bench.client.receive(), bench.client.receive()];
    assert_eq!(
        answers.each_ref().map(|answer| answer.field(39)),
        ["00", "00"]
    );
    assert_eq!(answers[0].field(38), answers[1].field(38));
    assert_eq!(bench.endpoint.calls().len(), 1);

    bench.send(100, Purchase::of(2, 400));
    bench.called(2);
    let fields = bench
        .client
        .language
        .reversal(Purchase::of(2, 400), 9, Naming::OriginalData);
    bench.client.send(400, &borrowed(&fields));
    let mut codes = [(); 2].map(|()| {
        let answer = bench.client.receive();
        (answer.mti, answer.field(39).to_owned())
    });
    codes.sort();
    let declined = &codes[0];
    assert_eq!(declined.0, 110);
    assert_ne!(declined.1, "00");
    assert_eq!(codes[1], (410, "00".to_owned()));
    assert_eq!(bench.rig.money(bench.card), (10_000, 700));
    // The answer that comes now changes nothing, and is on record.
    let records = || bench.rig.switchboard.stats[0].records();
    let before = records();
    bench.endpoint.say(r#"{"decision":"approve"}"#);
    wait_until("it is recorded", || records() == before + 1);
    assert_eq!(bench.rig.money(bench.card), (10_000, 700));
}

#[test]
fn a_late_yes_that_a_repeat_is_told_too_stays() {
    let mut bench = bench_of(PATIENT_MS, Fallback::Decline, 1_500);
    bench.send(100, Purchase::of(1, 700));
    bench.called(1);
    bench.send(101, Purchase::of(1, 700));
    let repeats = || bench.rig.switchboard.stats[0].repeats();
    wait_until("the repeat waits too", || repeats() == 1);
    let since = Instant::now();
    wait_until("the first message is late", || {
        since.elapsed() > Duration::from_millis(1_500)
    });
    bench.endpoint.say(r#"{"decision":"approve"}"#);
    let answers = [bench.client.receive(), bench.client.receive()];
    let codes = answers.each_ref().map(|answer| answer.field(39));
    assert_eq!(codes, ["00", "00"]);
    assert_eq!(bench.rig.money(bench.card), (10_000, 700));
}

#[test]
fn when_the_time_is_over_the_fallback_decides_and_a_late_answer_is_recorded() {
    for (fallback, code, held_minor) in [
        (Fallback::Decline, "05", 0),
        (Fallback::ApproveUpTo { amount_minor: 700 }, "00", 700),
        (Fallback::ApproveUpTo { amount_minor: 699 }, "05", 0),
    ] {
        let mut bench = bench(60, fallback);
        bench.send(100, Purchase::of(1, 700));
        assert_eq!(bench.client.receive().field(39), code, "{fallback:?}");
        assert_eq!(bench.rig.money(bench.card), (10_000, held_minor));
        bench.called(1);
        let records = || bench.rig.switchboard.stats[0].records();
        let before = records();
        bench.endpoint.say(r#"{"decision":"approve"}"#);
        wait_until("it is recorded", || records() == before + 1);
        assert_eq!(bench.rig.money(bench.card), (10_000, held_minor));
    }
}

#[test]
fn an_endpoint_that_fails_is_not_waited_for_and_after_five_times_not_asked() {
    let mut bench = bench(PATIENT_MS, Fallback::ApproveUpTo { amount_minor: 100 });
    let mut held_minor = 0;
    for stan in 1..=4 {
        bench.send(100, Purchase::of(stan, 100));
        bench.called(stan as usize);
        match stan % 2 {
            0 => bench.endpoint.hang_up(),
            _ => bench.endpoint.respond("500 Internal Server Error", "{}"),
        }
        assert_eq!(bench.client.receive().field(39), "00");
        held_minor += 100;
    }
    bench.send(100, Purchase::of(5, 101));
    bench.called(5);
    bench.endpoint.respond("302 Found", "");
    assert_eq!(bench.client.receive().field(39), "05");
    // The circuit is open: the fallback decides, and nothing is sent.
    bench.send(100, Purchase::of(6, 100));
    assert_eq!(bench.client.receive().field(39), "00");
    held_minor += 100;
    assert_eq!(bench.endpoint.calls().len(), 5);
    assert_eq!(bench.rig.money(bench.card), (10_000, held_minor));
}

#[test]
fn a_body_that_says_nothing_leaves_it_to_the_fallback() {
    let mut bench = bench(PATIENT_MS, Fallback::Decline);
    for (stan, body) in (1..).zip(["", "yes", "{}", r#"{"decision":"approve","amount":"1"}"#]) {
        bench.send(100, Purchase::of(stan, 100));
        bench.called(stan as usize);
        bench.endpoint.say(body);
        assert_eq!(bench.client.receive().field(39), "05", "{body}");
    }
    assert_eq!(bench.rig.money(bench.card), (10_000, 0));
}

#[test]
fn the_record_says_in_a_word_why_a_call_came_to_nothing() {
    let config =
        "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let switch = Switch::start(config);
    switch.wait_until_ready();
    let account = switch.account(10_000);
    let card = switch.card(&account, &json!({}));
    let program = format!("/v1/accounts/{account}");
    let program = switch.good("GET", &program, &Value::Null)["program_id"].clone();
    let endpoint = Endpoint::start();
    // Says something that is no TLS.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            let _ = stream
                .unwrap()
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    // Nobody listens there any more.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let made = json!({"program_id": program, "url": endpoint.url(), "timeout_ms": 10_000, "fallback": {"type": "decline"}});
    let made = switch.good("POST", "/v1/decision_endpoints", &made);
    let path = format!("/v1/decision_endpoints/{}", made["id"].as_str().unwrap());
    let outcome = |url: String| {
        switch.good("PATCH", &path, &json!({ "url": url }));
        let body = json!({"card_id": card.id, "amount": 100, "currency": "USD"});
        let told = switch.good("POST", "/v1/simulate/authorizations", &body);
        assert_eq!(told["status"], "declined", "{told}");
        told["decision_call"]["outcome"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    endpoint.always("500 Internal Server Error", "{}");
    assert_eq!(outcome(endpoint.url()), "wrong_status");
    endpoint.always("200 OK", "perhaps");
    assert_eq!(outcome(endpoint.url()), "invalid");
    assert_eq!(
        outcome(format!("http://127.0.0.1:{closed}/")),
        "not_connected"
    );
    assert_eq!(outcome(format!("https://127.0.0.1:{port}/")), "tls_failed");
}

/// A program with a card; the ids of both.
fn program_with_card(switch: &Switch, bin: u32) -> (Value, Value) {
    let program =
        json!({"name": "Ads", "network": "visa", "bin": bin.to_string(), "currency": "USD"});
    let program = switch.good("POST", "/v1/programs", &program)["id"].clone();
    let account = json!({"program_id": program, "currency": "USD", "name": "test"});
    let account = switch.good("POST", "/v1/accounts", &account)["id"].clone();
    let top_up = json!({"amount": 100_000, "currency": "USD", "method": "internal"});
    let path = format!("/v1/accounts/{}/top_ups", account.as_str().unwrap());
    switch.good("POST", &path, &top_up);
    let card = json!({"account_id": account, "type": "virtual"});
    let card = switch.good("POST", "/v1/cards", &card)["id"].clone();
    (program, card)
}

/// A tenant with programs that ask this endpoint, each with one of its own there; their cards.
fn tenant_that_decides(switch: &Switch, bins: std::ops::Range<u32>, url: &str) -> Vec<Value> {
    let made: Vec<(Value, Value)> = bins.map(|bin| program_with_card(switch, bin)).collect();
    let programs: Vec<&Value> = made.iter().map(|(program, _)| program).collect();
    let key = json!({"name": "tenant", "preset": "developer", "program_ids": programs});
    let key = switch.good("POST", "/v1/api_keys", &key)["key"].clone();
    for program in programs {
        let body = json!({"program_id": program, "url": url, "timeout_ms": 2_000, "fallback": {"type": "decline"}});
        let key = key.as_str().unwrap();
        let (status, told) = switch.api_as(key, "POST", "/v1/decision_endpoints", &body);
        assert_eq!(status, 201, "{told}");
    }
    made.into_iter().map(|(_, card)| card).collect()
}

/// With few calls at once: all endpoints of one tenant take calls and say nothing, for longer than a payment waits.
#[test]
fn a_tenant_whose_endpoints_hang_costs_another_no_fallback() {
    let config = "[webhooks]\ncalls_at_once_max = 4\n[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let switch = Switch::start(config);
    switch.wait_until_ready();
    let (hangs, answers) = (Endpoint::start(), Endpoint::start());
    answers.always("200 OK", r#"{"decision":"approve"}"#);
    let others = tenant_that_decides(&switch, 411_101..411_102, &answers.url());
    let hanging = tenant_that_decides(&switch, 411_102..411_106, &hangs.url());
    let pay = |card: &Value| {
        let body = json!({"card_id": card, "amount": 100, "currency": "USD"});
        switch.good("POST", "/v1/simulate/authorizations", &body)["decision_call"]["outcome"]
            .clone()
    };
    std::thread::scope(|scope| {
        for card in &hanging {
            scope.spawn(|| assert_eq!(pay(card), "timed_out"));
        }
        wait_until("some hang", || hangs.calls().len() >= 2);
        for _ in 0..5 {
            assert_eq!(pay(&others[0]), "answered");
        }
    });
    // Theirs are waited for longer than their payments were.
    for _ in 0..5 {
        assert_eq!(pay(&others[0]), "answered");
    }
    assert_eq!((answers.calls().len(), hangs.calls().len()), (10, 2));
}
