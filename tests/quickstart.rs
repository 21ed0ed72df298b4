//! `docs/quickstart.md`, and the examples of other pages, as a reader types them, against a running switch: what the commands
//! print is what the page shows, but for ids and times. And the receiver of webhooks that it names.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cardswitch::cli::Cli;
use cardswitch::config::Config;
use clap::Parser;
use hmac::{Hmac, KeyInit, Mac};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use support::api::ROOT_KEY;
use support::switch::Switch;
use support::told::told;

const PAGE: &str = "docs/quickstart.md";

/// Language and text of each block of a page, in order.
fn blocks(page: &str) -> Vec<(String, String)> {
    let page = std::fs::read_to_string(page).unwrap();
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(language), false) => blocks.push((language.to_owned(), String::new())),
            (Some(_), true) => {}
            (None, true) => {
                let text = &mut blocks.last_mut().unwrap().1;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
        inside ^= line.starts_with("```");
    }
    blocks
}

/// With what differs from run to run told alike: ids, times, STAN and RRN, the number of a record, the card's expiry.
fn alike(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-:.".contains(letter);
    let (mut told, mut before) = (String::new(), String::new());
    let mut rest = text.trim_end();
    while let Some(letter) = rest.chars().next() {
        let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end.max(letter.len_utf8()));
        rest = after;
        if end == 0 {
            told.push_str(word);
            continue;
        }
        let bare = word.trim_end_matches([':', '.', ',']);
        let is_id = |word: &str| word.split_once('_').is_some_and(|(_, id)| id.len() == 13);
        let is_time = bare.len() == 24 && bare.ends_with('Z');
        let is_month = bare.len() == 7 && bare.as_bytes()[4] == b'-' && bare.starts_with("20");
        let is_numbered = ["STAN", "RRN", "record"].contains(&before.as_str());
        match is_id(bare) {
            true => told.push_str(&format!("{}_…", bare.split_once('_').unwrap().0)),
            false if is_time || is_month || is_numbered => told.push('…'),
            false => told.push_str(word),
        }
        before = bare.to_owned();
    }
    told
}

#[test]
fn what_differs_from_run_to_run_is_told_alike_and_nothing_else() {
    let first = "auth_0709k2an40000: STAN 337570, RRN 1X2LOF5MPBEO, record 11 at 2026-11-28T21:00:39.465Z, 2029-11";
    let other = "auth_1709k2an40001: STAN 1, RRN 2X2LOF5MPBEO, record 12 at 2027-11-28T21:00:39.465Z, 2030-01";
    assert_eq!(alike(first), alike(other));
    for other in ["card_0709k2an40000: STAN 337570", "auth_0709k2an40000 STAN"] {
        assert_ne!(alike(&first[..other.len()]), alike(other));
    }
    assert_ne!(alike("available=50000"), alike("available=50001"));
}

#[test]
fn the_first_command_starts_the_switch_that_the_others_talk_to() {
    let (language, command) = blocks(PAGE).remove(0);
    let words: Vec<&str> = command.split_whitespace().collect();
    let expected = "CARDSWITCH_ROOT_KEY=change-me-0123456789 CARDSWITCH__SANDBOX__ENABLED=true cargo run --release --";
    let expected: Vec<&str> = expected.split(' ').collect();
    let (start, rest) = words.split_at(expected.len());
    assert_eq!((&*language, start), ("sh", &*expected));
    if let Err(error) = Cli::try_parse_from(["cardswitch"].iter().chain(rest)) {
        panic!("{PAGE}: {error}");
    }
    assert_eq!(rest, ["serve", "--config", "config/cardswitch.toml"]);
    let config = Config::load(Path::new("config/cardswitch.toml"), std::iter::empty()).unwrap();
    assert_eq!(config.http.listen, "127.0.0.1:8080");
    let visa = &config.network[0];
    assert_eq!(
        (&*visa.name, visa.listen.as_deref()),
        ("visa", Some("127.0.0.1:8583"))
    );
}

#[test]
fn the_page_shows_what_its_commands_print() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let steps = page.lines().filter(|line| line.starts_with("**")).count();
    assert_eq!(steps, 9, "under ten commands");
    show_what_they_print(PAGE, blocks(PAGE));
}

#[test]
fn the_examples_of_other_pages_show_what_their_commands_print() {
    let shorthands = blocks(PAGE).remove(1);
    assert!(shorthands.1.starts_with("call() {"));
    for page in ["docs/fees.md", "docs/tokens.md", "docs/approvals.md"] {
        let mut all = vec![shorthands.clone()];
        all.extend(blocks(page));
        let examples = all.iter().filter(|(language, _)| language == "bash");
        assert!(examples.count() > 1, "{page} has lost its example");
        show_what_they_print(page, all);
    }
}

/// The commands of a page, in their order, on a switch of their own.
fn show_what_they_print(page: &str, blocks: Vec<(String, String)>) {
    let config =
        "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let switch = Switch::start(config);
    switch.wait_until_ready();
    let port = free_port();
    let receiver = std::fs::canonicalize("docs/webhook_receiver.py").unwrap();
    let receiver = receiver.display();
    let (mut script, mut shown) = (String::new(), Vec::new());
    for (language, text) in blocks {
        match &*language {
            "bash" => {
                script += &format!("{text}echo '== end of block'\n");
                shown.push(String::new());
            }
            "text" => *shown.last_mut().unwrap() = text,
            _ => {}
        }
    }
    for (stands, here) in [
        ("change-me-0123456789", ROOT_KEY),
        ("127.0.0.1:8080", &switch.http_address().to_string()),
        (
            "./target/release/cardswitch",
            env!("CARGO_BIN_EXE_cardswitch"),
        ),
        ("config/cardswitch.toml", "cardswitch.toml"),
        ("127.0.0.1:9999", &format!("127.0.0.1:{port}")),
        ("docs/webhook_receiver.py", &format!("{receiver} {port}")),
    ] {
        let is_there = script.contains(stands) || page != PAGE;
        assert!(is_there, "{page} has lost {stands}");
        script = script.replace(stands, here);
    }
    // What waits for something that does not come is ended.
    let mut bash = Command::new("timeout");
    let bash = bash.args(["60", "bash", "-e", "-u", "-c", &script]);
    let heard = told(bash.current_dir(switch.folder()));
    assert_eq!(heard.code, Some(0), "{}{}", heard.out, heard.error);
    let printed: Vec<&str> = heard.out.split("== end of block\n").collect();
    assert_eq!(printed.len(), shown.len() + 1);
    for (printed, shown) in printed.iter().zip(&shown) {
        assert_eq!(alike(printed), alike(shown), "{page}");
    }
}

/// A port that nobody has: the page's receiver needs to know its own.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The receiver, and what it prints.
struct Receiver {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Receiver {
    fn start(secret: &str) -> Receiver {
        let mut child = Command::new("python3")
            .args(["docs/webhook_receiver.py", "0"])
            .env("WEBHOOK_SECRET", secret)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Receiver { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_receiver_prints_what_is_signed_and_refuses_the_rest() {
    let secret = [7; 32];
    let mut receiver = Receiver::start(&format!("whsec_{}", STANDARD.encode(secret)));
    let url = receiver
        .line()
        .strip_prefix("listening on ")
        .unwrap()
        .to_owned();
    let body = r#"{"id":"evt_1","type":"authorization.declined","data":{"card_id":"card_1"}}"#;
    let signature = |sent: u64, body: &str| {
        let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(&secret).unwrap();
        mac.update(format!("evt_1.{sent}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    let send = |sent: u64, signature: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let request = agent.post(&url);
        let request = request.header("webhook-id", "evt_1");
        let request = request.header("webhook-timestamp", sent.to_string());
        let request = request.header("webhook-signature", signature);
        request.send(body).unwrap().status().as_u16()
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(send(now, &signature(now, body)), 204);
    assert_eq!(receiver.line(), "evt_1 authorization.declined");
    for line in ["{", "  \"card_id\": \"card_1\"", "}"] {
        assert_eq!(receiver.line(), line);
    }
    // One of several signatures is enough, as while a secret is changed.
    let several = format!("v1,AAAA {}", signature(now, body));
    assert_eq!(send(now, &several), 204);
    (0..4).for_each(|_| drop(receiver.line()));
    assert_eq!(send(now, &signature(now, "{}")), 401);
    assert_eq!(
        receiver.line(),
        "refused: webhook-signature is not of this body"
    );
    assert_eq!(send(now, "v2,AAAA"), 401);
    assert_eq!(
        receiver.line(),
        "refused: webhook-signature is not of this body"
    );
    assert_eq!(send(now - 3_600, &signature(now - 3_600, body)), 401);
    assert_eq!(receiver.line(), "refused: webhook-timestamp is not of now");
}

/// A step that failed is not waited for without end.
#[test]
fn what_the_page_waits_for_has_an_end_that_says_what_is_missing() {
    let blocks = blocks(PAGE);
    for (_, text) in &blocks {
        assert!(
            !text.contains("until ") && !text.contains("while "),
            "{text}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("webhooks.txt"), "no secret\n").unwrap();
    let script = format!("{}heard listening", blocks[1].1);
    let mut bash = Command::new("timeout");
    let bash = bash.args(["30", "bash", "-u", "-c", &script]);
    let heard = told(bash.current_dir(folder.path()));
    assert_eq!(heard.code, Some(1), "{}{}", heard.out, heard.error);
    assert!(heard.error.contains("has no listening after 10 s"));
    assert!(heard.error.contains("the steps before"), "{}", heard.error);
}
