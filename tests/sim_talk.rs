//! `cardsim talk` says the conversation that stands in `config/` to a running switch, in two dialects: every kind of
//! message is answered as the file expects, and the switch's own record explains each payment.

mod support;

use std::process::Command;
use support::api::ROOT_KEY;
use support::switch::Switch;
use support::told::{Told, told};

/// A switch whose network speaks this dialect; the card that `talk` creates is of a network called visa.
fn speaking(dialect: &str) -> Switch {
    let config = format!(
        "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n\
         framing = \"length-2-be\"\ndialect = \"{dialect}\"\n"
    );
    let switch = Switch::start(&config);
    switch.wait_until_ready();
    switch
}

fn talk(switch: &Switch, dialect: &str, file: &str) -> Told {
    told(
        Command::new(env!("CARGO_BIN_EXE_cardsim"))
            .args(["talk", file, "--dialect", dialect, "--key", ROOT_KEY])
            .args(["--target", &switch.address("visa").to_string()])
            .args(["--api", &format!("http://{}", switch.http_address())]),
    )
}

#[test]
fn every_kind_of_message_is_answered_and_explained() {
    for dialect in ["iso8583-1987-ascii", "iso8583-1993-binary"] {
        let switch = speaking(dialect);
        let told = talk(&switch, dialect, "config/conversation.txt");
        assert_eq!(told.code, Some(0), "{}{}", told.out, told.error);
        for part in [
            "status merged, 2500 USD",
            "payment -5000 USD, of auth_",
            "status cleared, 700 USD; flags [\"force_post\"]",
            "declined (stand_in_declined)",
            "declined (insufficient_funds)",
            "balance        fail    available=",
            "declined (original_not_found)",
        ] {
            assert!(
                told.out.contains(part),
                "{dialect}: {part:?} is not in\n{}",
                told.out
            );
        }
        assert!(!told.out.contains("no record of it"), "{}", told.out);
    }
}

#[test]
fn another_answer_than_the_expected_one_is_told() {
    let switch = speaking("iso8583-1987-ascii");
    let file = switch.folder().join("talk.txt");
    std::fs::write(&file, "p1 0100 amount=100 -> insufficient_funds\n").unwrap();
    let file = file.to_str().unwrap();
    let told = talk(&switch, "iso8583-1987-ascii", file);
    assert_eq!(told.code, Some(1), "{}", told.out);
    assert!(told.out.contains("EXPECTED 51"), "{}", told.out);
}
