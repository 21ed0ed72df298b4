//! The same session that our own clients have, driven by a client that is built on `pyiso8583`: what goes
//! over the wire is judged by somebody else's codec.

mod support;

use serde_json::{Value, json};
use std::process::Command;
use support::Switch;

const CONFIG: &str = "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\nsign_on = \"required\"\n";

#[test]
fn a_client_built_on_pyiso8583_has_the_whole_session() {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let account = switch.account(100_000);
    let card = switch.card(&account, &json!({}));
    let blocked = switch.card(&account, &json!({"mcc": {"block": ["7995"]}}));
    let address = switch.address("visa");
    let output = Command::new("python3")
        .arg("tests/oracles/session.py")
        .args([address.ip().to_string(), address.port().to_string()])
        .args([&card.pan, &card.expiry, &card.cvv2, &blocked.pan])
        .output()
        .expect("python3 runs the oracle");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let steps: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let codes: Vec<_> = steps
        .iter()
        .map(|step| (text(step, "step"), text(step, "mti"), text(step, "code")))
        .collect();
    let expected = [
        ("sign-on", "0810", "00"),
        ("echo", "0810", "00"),
        ("approved", "0110", "00"),
        ("repeat", "0110", "00"),
        ("same key, other amount", "0110", "94"),
        ("right CVV2", "0110", "00"),
        ("wrong CVV2", "0110", "05"),
        ("wrong expiry", "0110", "54"),
        ("blocked MCC", "0110", "57"),
        ("above the balance", "0110", "51"),
        ("unknown card", "0110", "14"),
        ("unknown BIN", "0110", "15"),
        ("reversal", "0410", "00"),
        ("reversal, repeated", "0410", "00"),
        ("reversal, doubled", "0410", "00"),
        ("reversal before its original", "0410", "00"),
        ("original after its reversal", "0110", "05"),
        ("sign-off", "0810", "00"),
    ];
    assert_eq!(codes, expected);
    assert!(
        steps.iter().all(|step| step["mirrored"] == true),
        "{steps:?}"
    );
    assert_eq!(
        steps[2]["approval_code"], steps[3]["approval_code"],
        "a repeat gets the first answer"
    );
    for step in &steps {
        let approved = step["mti"] == "0110" && step["code"] == "00";
        assert_eq!(step["approval_code"].is_string(), approved, "{step}");
    }
    let now = switch.good("GET", &format!("/v1/accounts/{account}"), &Value::Null);
    assert_eq!(
        (&now["posted"], &now["held"], &now["available"]),
        (&json!(100_000), &json!(100), &json!(99_900))
    );
}

fn text<'a>(step: &'a Value, name: &str) -> &'a str {
    step[name].as_str().unwrap()
}
