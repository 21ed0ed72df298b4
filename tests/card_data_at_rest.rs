//! No card number stays anywhere: not in the journal, the tables, the log, a webhook, a metric or an answer, wherever in a
//! message or a request it stood.

mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::api::{ROOT_KEY, TestCard};
use support::client::{Client, Language};
use support::endpoint::Endpoint;
use support::messages::{Fields, Purchase, borrowed};
use support::{Switch, wait_until};

const CONFIG: &str =
    "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";

/// A purchase that names the card wherever the message has room for it.
fn talkative(language: &Language, pan: &str, expiry: &str) -> Fields {
    let mut fields = language.authorization(Purchase::of(1, 100));
    for (field, text) in &mut fields {
        match field {
            2 => *text = pan.into(),
            14 => *text = expiry.into(),
            42 => *text = pan[..15].into(),
            43 => *text = format!("{:22}{:16}DE", format!("SHOP {pan}"), pan),
            _ => {}
        }
    }
    fields
}

/// Every file below a folder that holds the text.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, text, found);
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        let mut windows = content.windows(text.len());
        if windows.any(|bytes| bytes == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
}

/// The journal as text.
fn dump(folder: &Path) -> String {
    let dump = std::process::Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(["journal", "dump", "--data"])
        .arg(folder.join("data"))
        .output()
        .unwrap();
    assert!(dump.status.success());
    String::from_utf8(dump.stdout).unwrap()
}

/// A switch with a card on an account, and somebody who hears of everything.
fn heard_by_one() -> (Switch, Endpoint, String, TestCard) {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let hooks = Endpoint::start();
    let subscription = json!({"url": hooks.url(), "events": ["*"]});
    switch.good("POST", "/v1/webhook_endpoints", &subscription);
    let account = switch.account(10_000);
    let card = switch.card(&account, &json!({}));
    (switch, hooks, account, card)
}

#[test]
fn a_card_number_in_free_text_is_nowhere_afterwards() {
    let (mut switch, hooks, account, card) = heard_by_one();
    // Whoever is called may answer with the number that it knows.
    hooks.always("500 Oops", &format!("no card {} here", card.pan));
    let mut client = Client::connect(switch.address("visa"));
    let fields = talkative(&client.language, &card.pan, &card.expiry);
    let answer = client.exchange(100, &borrowed(&fields));
    assert_eq!(answer.field(39), "00");

    // Into the parse error of another version, an unreadable amount, and a frame that is no message.
    client.send(1100, &borrowed(&fields));
    client.next_frame().unwrap();
    let frame = client.language.frame(&[], 100, &borrowed(&fields));
    let mut bad_amount = frame.clone();
    bad_amount[2 + 44] = b'x';
    client.send_bytes(&bad_amount);
    assert_eq!(client.receive().field(39), "30");
    let no_message = format!("?{0}{0}{0}", card.pan);
    let length = (no_message.len() as u16).to_be_bytes();
    client.send_bytes(&[&length, no_message.as_bytes()].concat());
    client.wait_for_close();

    let spaced = format!(
        "{} {} {} {}",
        &card.pan[..4],
        &card.pan[4..8],
        &card.pan[8..12],
        &card.pan[12..]
    );
    for pan in [&card.pan, &spaced] {
        let requests = [
            (
                "/v1/programs",
                json!({"name": pan, "network": "visa", "bin": "411111", "currency": "USD"}),
            ),
            (
                "/v1/accounts",
                json!({"program_id": "prog_0000000000001", "name": pan}),
            ),
            (
                "/v1/cards",
                json!({"account_id": account, "links": [{"type": "user", "id": pan}]}),
            ),
        ];
        for (path, body) in requests {
            let (status, answer) = switch.api("POST", path, &body);
            let code = &answer["error"]["code"];
            assert_eq!(
                (status, code),
                (400, &json!("card_number_in_text")),
                "{path}"
            );
        }
        switch.api(
            "GET",
            &format!("/v1/cards/{}", pan.replace(' ', "-")),
            &Value::Null,
        );
    }

    let authorization = |switch: &Switch| {
        let list = switch.good(
            "GET",
            &format!("/v1/authorizations?card_id={}", card.id),
            &Value::Null,
        );
        list["data"].get(0).cloned()
    };
    wait_until("the tables have it", || authorization(&switch).is_some());
    let shown = authorization(&switch).unwrap();
    let masked = format!("{}******{}", &card.pan[..6], &card.pan[12..]);
    assert_eq!(shown["merchant"]["name"], format!("SHOP {masked}"));
    assert!(!shown.to_string().contains(&card.pan[..13]));

    wait_until("everything was told", || {
        let calls = hooks.calls();
        calls
            .iter()
            .any(|call| call.body.contains("authorization.approved"))
    });
    let told: String = hooks.calls().iter().map(|call| call.body.clone()).collect();
    assert!(
        told.contains(&masked) && !told.contains(&card.pan[..13]),
        "{told}"
    );
    wait_until("the log of deliveries has it", || {
        let log = switch.good("GET", "/v1/deliveries", &Value::Null);
        log.to_string().contains(&masked)
    });
    for path in [
        "/metrics",
        "/v1/events",
        "/v1/deliveries",
        "/v1/audit_log",
        "/v1/cards",
    ] {
        let shown = switch.api("GET", path, &Value::Null).1.to_string();
        assert!(!shown.contains(&card.pan[..13]), "{path}: {shown}");
    }

    assert_eq!(switch.stop().code(), Some(0));
    let (mut with_number, mut with_masked) = (Vec::new(), Vec::new());
    // Of sixteen digits, thirteen are too many already.
    holding(switch.folder(), &card.pan[..13], &mut with_number);
    assert_eq!(with_number, Vec::<String>::new());
    holding(switch.folder(), &masked, &mut with_masked);
    for place in ["journal", "sqlite"] {
        let found = with_masked.iter().any(|file| file.contains(place));
        assert!(found, "{place} is not among {with_masked:?}");
    }
    let dump = dump(switch.folder());
    assert!(dump.contains(&masked));
    for secret in [
        &card.pan[..13],
        &card.pan[6..],
        &*spaced,
        ROOT_KEY,
        "sealed",
        "cvv2",
    ] {
        assert!(!dump.contains(secret), "{secret} in {dump}");
    }
    let cvv2 = format!("\"{}\"", card.cvv2);
    assert!(!dump.contains(&cvv2), "{cvv2} in {dump}");
    let log = format!("{:?}", switch.log());
    assert!(!log.contains(&card.pan[..13]) && !log.contains(&spaced.replace(' ', "-")));
}

/// Of the token service; of another BIN than the program's.
const TOKEN: &str = "5555551234567899";

#[test]
fn the_number_of_a_token_is_nowhere_afterwards() {
    let (mut switch, hooks, _, card) = heard_by_one();
    let wanted = json!({"card_id": card.id, "wallet": "apple_pay", "token_number": TOKEN});
    let token = switch.good("POST", "/v1/tokens", &wanted);
    let id = token["id"].as_str().unwrap().to_owned();
    switch.good("POST", &format!("/v1/tokens/{id}/activate"), &json!({}));
    // Taken, in text, and as an id: each is refused without being repeated.
    let answers = [
        switch.api("POST", "/v1/tokens", &wanted).1,
        switch
            .api(
                "POST",
                "/v1/tokens",
                &json!({"card_id": card.id, "wallet": TOKEN}),
            )
            .1,
        switch
            .api("GET", &format!("/v1/tokens/{TOKEN}"), &Value::Null)
            .1,
    ];
    for answer in answers {
        assert!(!answer.to_string().contains(&TOKEN[..13]), "{answer}");
    }
    let mut client = Client::connect(switch.address("visa"));
    let fields = talkative(&client.language, TOKEN, "");
    let fields: Fields = fields
        .into_iter()
        .filter(|(field, _)| *field != 14)
        .collect();
    assert_eq!(client.exchange(100, &borrowed(&fields)).field(39), "00");
    let mut beside = talkative(&client.language, &card.pan, &card.expiry);
    for (field, text) in &mut beside {
        match field {
            11 => *text = "000777".into(),
            37 => *text = "000000000777".into(),
            _ => {}
        }
    }
    beside.push((48, format!("7116{TOKEN}")));
    beside.sort_by_key(|(field, _)| *field);
    assert_eq!(client.exchange(100, &borrowed(&beside)).field(39), "00");
    let path = format!("/v1/authorizations?token_id={id}");
    let paid = || {
        switch.good("GET", &path, &Value::Null)["data"]
            .as_array()
            .unwrap()
            .len()
    };
    wait_until("the tables have both", || paid() == 2);
    wait_until("everything was told", || {
        let told = hooks.calls();
        told.iter()
            .filter(|call| call.body.contains("authorization.approved"))
            .count()
            == 2
    });
    for path in [
        "/metrics",
        "/v1/events",
        "/v1/deliveries",
        "/v1/audit_log",
        "/v1/tokens",
        "/v1/authorizations",
    ] {
        let shown = switch.api("GET", path, &Value::Null).1.to_string();
        assert!(!shown.contains(&TOKEN[..13]), "{path}: {shown}");
    }
    let told: String = hooks.calls().iter().map(|call| call.body.clone()).collect();
    assert!(told.contains(&id) && !told.contains(&TOKEN[..13]), "{told}");
    assert_eq!(switch.stop().code(), Some(0));
    let (mut with_number, mut with_id) = (Vec::new(), Vec::new());
    holding(switch.folder(), &TOKEN[..13], &mut with_number);
    assert_eq!(with_number, Vec::<String>::new());
    holding(switch.folder(), &id, &mut with_id);
    assert!(!with_id.is_empty(), "the folder holds nothing of it at all");
    let dump = dump(switch.folder());
    assert!(dump.contains(&id) && dump.contains(&TOKEN[12..]));
    for secret in [&TOKEN[..13], &TOKEN[6..], "sealed"] {
        assert!(!dump.contains(secret), "{secret} in {dump}");
    }
    let log = format!("{:?}", switch.log());
    assert!(!log.contains(&TOKEN[..13]), "{log}");
}

#[test]
fn what_a_reveal_link_has_shown_is_nowhere_afterwards_nor_is_its_token() {
    let (mut switch, hooks, _, card) = heard_by_one();
    let path = format!("/v1/cards/{}/reveal_links", card.id);
    let made = [(); 2].map(|()| switch.good("POST", &path, &json!({"reason": "in the app"})));
    let urls = made.map(|made| made["url"].as_str().unwrap().to_owned());
    let shown = switch.good("GET", &urls[0], &Value::Null);
    assert_eq!(shown["pan"], json!(card.pan));
    let (status, _) = switch.api("GET", &urls[0], &Value::Null);
    assert_eq!(status, 410);
    // The other one stays unused.
    let tokens = urls.map(|url| url.rsplit('/').next().unwrap().to_owned());
    let used = || {
        switch.good(
            "GET",
            "/v1/audit_log?action=GET%20%2Fv1%2Freveals%2F%7Btoken%7D",
            &Value::Null,
        )
    };
    wait_until("the audit log has it", || used()["data"].get(0).is_some());
    wait_until("everything was told", || {
        let calls = hooks.calls();
        let told = calls
            .iter()
            .filter(|call| call.body.contains("card.revealed"));
        // With the one that the card was first asked for.
        told.count() == 3
    });
    let told: String = hooks.calls().iter().map(|call| call.body.clone()).collect();
    let read: Vec<String> = ["/metrics", "/v1/events", "/v1/deliveries", "/v1/audit_log"]
        .map(|path| switch.api("GET", path, &Value::Null).1.to_string())
        .into();
    assert_eq!(switch.stop().code(), Some(0));
    let (dump, log) = (dump(switch.folder()), format!("{:?}", switch.log()));
    assert!(dump.contains("GET /v1/reveals/{token}"), "{dump}");
    for secret in [&tokens[0], &tokens[1], &card.pan[..13]] {
        let mut found = Vec::new();
        holding(switch.folder(), secret, &mut found);
        assert_eq!(found, Vec::<String>::new());
        for text in [&told, &dump, &log].into_iter().chain(&read) {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
