//! `cardsim talk` says the conversation that stands in `config/` to a running switch, in every dialect: every kind of
//! message is answered as the file expects, and what the switch has on record of each is printed.

mod support;

use cardswitch::iso8583::Dialect;
use cardswitch::sim::conversation::read;
use std::process::Command;
use support::api::ROOT_KEY;
use support::switch::Switch;
use support::told::{Told, told};

const CONVERSATION: &str = "config/conversation.txt";

/// A switch with a network for each dialect, called by its place: n0, n1 and so on. Each wants a sign-on.
fn speaking_all() -> Switch {
    let mut config = String::from("[sandbox]\nenabled = true\n");
    for (at, dialect) in Dialect::builtin_names().iter().enumerate() {
        config += &format!(
            "[[network]]\nname = \"n{at}\"\nlisten = \"127.0.0.1:0\"\ndialect = \"{dialect}\"\n\
             sign_on = \"required\"\n"
        );
    }
    let switch = Switch::start(&config);
    switch.wait_until_ready();
    switch
}

fn talk(switch: &Switch, dialect: &str, file: &str, options: &[&str]) -> Told {
    let mut names = Dialect::builtin_names().iter();
    let at = names.position(|name| *name == dialect).unwrap();
    let network = format!("n{at}");
    told(
        Command::new(env!("CARGO_BIN_EXE_cardsim"))
            .args(["talk", file, "--dialect", dialect, "--key", ROOT_KEY])
            .args(["--target", &switch.address(&network).to_string()])
            .args(["--api", &format!("http://{}", switch.http_address())])
            .args(["--network", &network])
            .args(options),
    )
}

/// The words in the first column of the first table of `docs/kinds.md`.
fn kinds() -> Vec<String> {
    let page = std::fs::read_to_string("docs/kinds.md").unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| kind "));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let kinds = rows.map(|row| row.split('`').nth(1).unwrap().to_owned());
    kinds.collect()
}

/// In lines of output, what stands behind a line that begins with this word.
fn after<'a>(out: &'a str, name: &str) -> &'a str {
    let start = out.find(&format!("\n{name} ")).unwrap();
    let rest = &out[start + 1..];
    let end = rest
        .match_indices('\n')
        .find(|(at, _)| !rest[at + 1..].starts_with(' '))
        .map_or(rest.len(), |(at, _)| at);
    &rest[..end]
}

/// The conversation has every kind and every message of `docs/kinds.md`.
#[test]
fn the_conversation_has_every_kind_of_message() {
    let text = std::fs::read_to_string(CONVERSATION).unwrap();
    let dialect = Dialect::builtin("iso8583-1987-ascii").unwrap();
    let sayings = read(&text, &dialect).unwrap();
    let kinds = kinds();
    assert_eq!(kinds.len(), 15, "{kinds:?}");
    for kind in &kinds {
        let said = |saying: &cardswitch::sim::conversation::Saying| match &**kind {
            "fuel_dispenser" => saying.word("mcc") == Some("5542"),
            "purchase" => saying.word("kind").is_none() && saying.mti / 100 < 3,
            kind => saying.word("kind") == Some(kind),
        };
        assert!(sayings.iter().any(said), "{CONVERSATION} has no {kind}");
    }
    for mti in [100, 101, 120, 200, 220, 221, 400, 401, 420] {
        assert!(
            sayings.iter().any(|saying| saying.mti == mti),
            "{CONVERSATION} has no {mti:04}"
        );
    }
}

#[test]
fn every_kind_of_message_is_answered_and_explained_in_every_dialect() {
    let switch = speaking_all();
    for dialect in Dialect::builtin_names() {
        let told = talk(&switch, dialect, CONVERSATION, &["--sign-on"]);
        assert_eq!(told.code, Some(0), "{dialect}: {}{}", told.out, told.error);
        assert!(!told.out.contains("no record of it"), "{}", told.out);
        for kind in kinds() {
            let part = format!(": {kind} ");
            assert!(
                told.out.contains(&part),
                "{dialect}: no {kind}: {}",
                told.out
            );
        }
        for (name, parts) in [
            (
                "p1",
                &["purchase approved, status", "balance        pass"][..],
            ),
            ("r1", &["purchase approved, status reversed"]),
            ("r1r", &["purchase approved, status reversed"]),
            ("i1", &["incremental approved, status merged, 25.00 USD"]),
            (
                "r2",
                &["pre_authorization approved, status pending, 90.00 USD"],
            ),
            (
                "c1",
                &["pre_authorization approved", "payment -40.00 USD, of auth_"],
            ),
            (
                "c2",
                &["pre_authorization approved", "payment -50.00 USD, of auth_"],
            ),
            ("r3", &["status reversed", "reversal 90.00 USD, of auth_"]),
            (
                "s6",
                &["quasi_cash approved", "payment -8.00 USD, of auth_"],
            ),
            (
                "s7",
                &["original_credit approved", "refund 6.00 USD, of auth_"],
            ),
            ("d2", &["payment -1.50 USD, of auth_"]),
            ("a2", &["declined (stand_in_declined)"]),
            (
                "x1",
                &["status cleared, 7.00 USD, posted 7.00; flags [\"force_post\"]"],
            ),
            (
                "x3",
                &["status cleared, 7.00 USD, posted 7.00; flags [\"force_post\"]"],
            ),
            (
                "e1",
                &[
                    "declined (insufficient_funds)",
                    "balance        fail    available=",
                ],
            ),
            ("u1", &["incremental declined (original_not_found)"]),
        ] {
            let said = after(&told.out, name);
            for part in parts {
                assert!(
                    said.contains(part),
                    "{dialect}: {part:?} is not in {said}\n{}",
                    told.out
                );
            }
        }
    }
}

#[test]
fn another_answer_than_the_expected_one_is_told() {
    let switch = speaking_all();
    let file = switch.folder().join("talk.txt");
    std::fs::write(&file, "p1 0100 amount=100 -> insufficient_funds\n").unwrap();
    let file = file.to_str().unwrap();
    let told = talk(&switch, "iso8583-1987-ascii", file, &["--sign-on"]);
    assert_eq!(told.code, Some(1), "{}", told.out);
    assert!(told.out.contains("EXPECTED 51"), "{}", told.out);
    let told = talk(&switch, "iso8583-1987-ascii", file, &[]);
    assert_eq!(told.code, Some(1), "nobody signed on: {}", told.out);
}

/// Nothing is sent, and no card is made, where a later line is wrong.
#[test]
fn a_mistake_is_told_with_its_line_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.txt");
    std::fs::write(&file, "p1 0100 amount=100\n\nr1 0400 off=p1\n").unwrap();
    let file = file.display().to_string();
    let nowhere = ["--target", "127.0.0.1:1", "--api", "http://127.0.0.1:1"];
    let talk = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardsim"));
        told(command.args(["talk", &file, "--key", "x"]).args(options))
    };
    let heard = talk(&nowhere);
    assert_eq!(heard.code, Some(2), "{}", heard.error);
    let expected = format!("cardsim: {file}: line 3: there is no key `off`; there are amount, ");
    assert!(heard.error.starts_with(&expected), "{}", heard.error);
    let heard = talk(&nowhere[..2]);
    assert_eq!(heard.code, Some(2));
    assert!(
        heard.error.contains("--cards") && heard.error.contains("--api"),
        "{}",
        heard.error
    );
}
