//! Card numbers: unique, with their check digit, and nowhere but in a reveal.

use super::harness::{Client, Switch};
use cardswitch::engine::record::{self, Record};
use cardswitch::engine::registry::RegistryAction;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex};
use tracing_subscriber::{filter::Targets, prelude::*};

fn reveal(client: &Client, card_id: &str) -> Value {
    let body = json!({"reason": "support call"});
    client
        .post(&format!("/v1/cards/{card_id}/reveal"), body)
        .ok()
}

fn luhn(pan: &str) -> bool {
    let digits = pan.bytes().rev().map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[test]
fn a_reveal_gives_the_number_that_the_card_shows_parts_of() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let card = client.post("/v1/cards", json!({ "account_id": account_id }));
    let (card_id, card) = (card.created(), card.json());
    let secrets = reveal(&client, &card_id);
    let pan = secrets["pan"].as_str().unwrap();
    assert!(luhn(pan) && pan.len() == 16);
    assert_eq!(pan[..6], *card["first6"].as_str().unwrap());
    assert_eq!(pan[12..], *card["last4"].as_str().unwrap());
    assert_eq!(secrets["exp_year"], card["exp_year"]);
    assert_eq!(secrets["exp_month"], card["exp_month"]);
    assert_eq!(secrets["cvv2"].as_str().unwrap().len(), 3);
    assert_eq!(reveal(&client, &card_id), secrets);
}

#[test]
fn a_reveal_needs_a_reason() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let path = format!("/v1/cards/{}/reveal", client.card(&account_id));
    for (body, code) in [
        (json!({}), "field_missing"),
        (json!({"reason": null}), "field_missing"),
        (json!({"reason": ""}), "text_invalid"),
        (json!({"reason": 7}), "type_invalid"),
        (json!({"reason": "x".repeat(501)}), "text_invalid"),
    ] {
        let (status, _, found, param) = client.post(&path, body).error();
        assert_eq!(
            (status, found.as_str(), param.as_deref()),
            (400, code, Some("reason"))
        );
    }
    let nobody = client.post(
        "/v1/cards/card_0000000000001/reveal",
        json!({"reason": "x"}),
    );
    assert_eq!(nobody.error().2, "card_not_found");
}

/// The reveals in the journal: card, reason, key.
fn recorded(switch: &Switch) -> Vec<(String, String, String)> {
    let mut reader = switch.journal.reader(1).unwrap();
    let mut reveals = Vec::new();
    while let Some((_, bytes)) = reader.next().unwrap() {
        if let Record::Registry { command, .. } = record::read(bytes).unwrap()
            && let RegistryAction::RevealCard(reveal) = command.action
        {
            let (card_id, reason) = (reveal.card_id.to_string(), reveal.reason.into());
            reveals.push((card_id, reason, reveal.api_key_id.into()));
        }
    }
    reveals
}

#[test]
fn each_reveal_is_in_the_journal_before_its_answer_and_a_repeat_is_none() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let card_id = client.card(&account_id);
    let path = format!("/v1/cards/{card_id}/reveal");
    let expected = |reason: &str| (card_id.clone(), reason.to_owned(), "root".to_owned());
    client.post(&path, json!({"reason": "lost phone"})).ok();
    assert_eq!(recorded(&switch), [expected("lost phone")]);
    let keyed = client.header("Idempotency-Key", "k");
    for _ in 0..2 {
        keyed.post(&path, json!({"reason": "call"})).ok();
    }
    let both = [expected("lost phone"), expected("call")];
    assert_eq!(recorded(&switch), both);
    // What is refused shows no number and leaves no record.
    client.post(&path, json!({})).error();
    assert_eq!(recorded(&switch), both);
}

#[test]
fn a_repeated_reveal_repeats_no_secret() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let path = format!("/v1/cards/{}/reveal", client.card(&account_id));
    let keyed = client.header("Idempotency-Key", "k");
    let first = keyed.post(&path, json!({"reason": "call"}));
    assert_eq!(first.header("Cache-Control"), Some("no-store"));
    let again = keyed.post(&path, json!({"reason": "call"}));
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    let (first, again) = (first.ok(), again.ok());
    assert_eq!(
        (&again["pan"], &again["cvv2"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(again["card_id"], first["card_id"]);
}

#[test]
fn no_number_leaves_but_in_a_reveal_and_none_lies_on_the_disk() {
    let switch = Switch::start();
    let client = switch.client();
    let (program_id, account_id) = client.program_and_account();
    let issued = client.post("/v1/cards", json!({ "account_id": account_id }));
    let card_id = issued.created();
    let keyed = client.header("Idempotency-Key", "k");
    let path = format!("/v1/cards/{card_id}");
    let secrets = keyed.post(&format!("{path}/reveal"), json!({"reason": "call"}));
    let pan = secrets.ok()["pan"].as_str().unwrap().to_owned();
    let answers = [
        issued,
        client.get(&path),
        client.post(&format!("{path}/freeze"), json!({})),
        client.get(&format!("/v1/programs/{program_id}")),
        client.get(&format!("/v1/accounts/{account_id}")),
        client.get("/metrics"),
        client.get(&format!("/v1/cards/{pan}")),
        client.get(&format!("/{pan}")),
        client.post("/v1/cards", json!({"account_id": pan})),
        client.post(
            "/v1/cards",
            json!({"account_id": account_id, pan.as_str(): 1}),
        ),
        client.send("POST", "/v1/cards", format!("{{\"{pan}\"").as_bytes()),
        keyed.post(&format!("{path}/reveal"), json!({"reason": "call"})),
    ];
    for answer in answers {
        assert!(
            !answer.text.contains(&pan),
            "a response shows a card number"
        );
    }
    let names = cardswitch::journal::Storage::list(&*switch.disk.storage).unwrap();
    for name in names {
        let content = switch.disk.storage.content(&name).unwrap();
        let found = content
            .windows(pan.len())
            .any(|bytes| bytes == pan.as_bytes());
        assert!(!found, "{name} holds a card number in the clear");
    }
}

#[test]
fn no_text_is_taken_with_a_card_number_in_it() {
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let card_id = client.card(&account_id);
    let program =
        |name: &str| json!({"name": name, "network": "visa", "bin": "411111", "currency": "USD"});
    let link = |link_type: &str, id: &str| {
        let links = json!([{"type": "user", "id": "u1"}, {"type": link_type, "id": id}]);
        json!({"account_id": account_id, "links": links})
    };
    for pan in ["4111111111111111", "4111 1111 1111 1111", "371449635398431"] {
        let within = format!("card {pan}");
        let top_up = json!({"amount": 1, "currency": "USD", "method": "swift", "external_reference": within});
        for (path, body, param) in [
            ("/v1/programs".to_owned(), program(&within), "name"),
            (
                "/v1/accounts".into(),
                json!({"program_id": "prog_0000000000001", "name": within}),
                "name",
            ),
            (
                format!("/v1/accounts/{account_id}/top_ups"),
                top_up,
                "external_reference",
            ),
            ("/v1/cards".into(), link("user", pan), "links[1].id"),
            (
                "/v1/cards".into(),
                link(&pan.replace(' ', ""), "x"),
                "links[1].type",
            ),
            (
                format!("/v1/cards/{card_id}/reveal"),
                json!({"reason": within}),
                "reason",
            ),
        ] {
            let keyed = client.header(
                "Idempotency-Key",
                &format!("{path} {param} {}", pan.len()).replace(' ', "-"),
            );
            let answer = keyed.post(&path, body);
            assert!(!answer.text.contains(pan), "{path}");
            let (status, _, code, found) = answer.error();
            assert_eq!(
                (status, code.as_str(), found.as_deref()),
                (400, "card_number_in_text", Some(param)),
                "{path}"
            );
        }
    }
    for name in cardswitch::journal::Storage::list(&*switch.disk.storage).unwrap() {
        let content = switch.disk.storage.content(&name).unwrap();
        let holds = |text: &str| {
            content
                .windows(text.len())
                .any(|bytes| bytes == text.as_bytes())
        };
        assert!(
            !holds("4111111111111111") && !holds("4111 1111 1111 1111"),
            "{name}"
        );
    }
    // Numbers of other kinds are welcome: an order, an IMEI, an IBAN.
    for id in [
        "1234567890123452",
        "356938035643809",
        "DE89 3704 0044 0532 0130 00",
    ] {
        client.post("/v1/cards", link("device", id)).created();
    }
}

#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that the process logs, at its most talkative.
fn logged() -> Arc<Mutex<Vec<u8>>> {
    static LOG: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let line_to = Log(log.clone());
        // Without what the client in this process says of its own requests.
        let filter: Targets = "trace,ureq=off,ureq_proto=off".parse().unwrap();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || line_to.clone());
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .init();
        log
    });
    LOG.clone()
}

#[test]
fn no_log_line_shows_a_number_or_a_key() {
    let log = logged();
    let switch = Switch::start();
    let client = switch.client();
    let (_, account_id) = client.program_and_account();
    let card_id = client.card(&account_id);
    let path = format!("/v1/cards/{card_id}/reveal");
    let pan = reveal(&client, &card_id)["pan"]
        .as_str()
        .unwrap()
        .to_owned();
    let repeated = json!({"reason": format!("the caller said {pan}")});
    assert_eq!(
        client.post(&path, repeated).error().2,
        "card_number_in_text"
    );
    client.get(&format!("/v1/cards/{pan}"));
    let links = format!("/v1/cards/{card_id}/reveal_links");
    let link = client.post(&links, json!({"reason": "in the app"})).json()["url"].clone();
    let link = link.as_str().unwrap();
    let token = link.rsplit('/').next().unwrap();
    client.get(link).ok();
    client.get(link).error();
    client.get(&format!("{link}/more")).error();
    client.post(link, json!({})).error();
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    assert!(text.contains(&card_id));
    // It is in the journal; a log of one line for each card that a simulator is given hides the others.
    let mut revealed = text.lines().filter(|line| line.contains("card revealed"));
    assert!(revealed.next().unwrap().contains("DEBUG"));
    // The route is in it, and no token.
    assert!(text.contains("/v1/reveals/*"));
    for line in text.lines() {
        assert!(!line.contains(token), "a log line shows a token: {line}");
        assert!(
            !line.contains(&pan),
            "a log line shows a card number: {line}"
        );
    }
    assert!(
        !text.contains(super::harness::ROOT_KEY),
        "a log line shows a key"
    );
}

#[test]
fn two_thousand_numbers_of_two_programs_in_one_bin_are_all_different() {
    let switch = Switch::start();
    let client = switch.client();
    let accounts = [
        client.program_and_account().1,
        client.program_and_account().1,
    ];
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (client, account_id) = (switch.client(), accounts[worker % 2].clone());
            std::thread::spawn(move || -> Vec<String> {
                let card = |_| {
                    let card_id = client.card(&account_id);
                    let pan = reveal(&client, &card_id)["pan"].clone();
                    pan.as_str().unwrap().to_owned()
                };
                (0..500).map(card).collect()
            })
        })
        .collect();
    let pans: Vec<String> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();
    assert_eq!(pans.iter().collect::<HashSet<_>>().len(), 2_000);
    for pan in &pans {
        assert!(pan.len() == 16 && pan.starts_with("411111") && luhn(pan));
    }
}

#[test]
fn a_bin_of_a_number_scheme_with_fifteen_digits_gives_fifteen() {
    let switch = Switch::start();
    let client = switch.client();
    let body = json!({"name": "A", "network": "amex", "bin": "371449", "currency": "USD"});
    let program_id = client.post("/v1/programs", body).created();
    let account_id = client.account(&program_id);
    let pan = reveal(&client, &client.card(&account_id))["pan"].clone();
    assert_eq!(pan.as_str().unwrap().len(), 15);
}
