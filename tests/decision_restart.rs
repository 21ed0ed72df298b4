//! The real program dies while a customer is being asked: what waited is released when its time is over, and never
//! approved.

mod support;

use serde_json::{Value, json};
use support::api::TestCard;
use support::endpoint::Endpoint;
use support::{Client, Switch, wait_until};

const CONFIG: &str = r#"
[sandbox]
enabled = true
[[network]]
name = "visa"
listen = "127.0.0.1:0"
"#;

fn answer(client: &mut Client) -> (u16, String) {
    let answer = client.receive();
    (answer.mti, answer.field(39).to_owned())
}

/// A program whose customer is asked at this endpoint, with what the endpoint's definition says beside; a card, and its
/// account's path.
fn asked_at(endpoint: &Endpoint, more: Value) -> (Switch, TestCard, String) {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let account = switch.account(10_000);
    let card = switch.card(&account, &json!({}));
    let account_path = format!("/v1/accounts/{account}");
    let mut definition = more;
    definition["program_id"] =
        switch.good("GET", &account_path, &Value::Null)["program_id"].clone();
    definition["url"] = json!(endpoint.url());
    let created = switch.good("POST", "/v1/decision_endpoints", &definition);
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    (switch, card, account_path)
}

#[test]
fn what_waited_when_the_program_died_is_declined_when_its_time_is_over() {
    let endpoint = Endpoint::start();
    // Even so it must not be approved.
    let fallback = json!({ "type": "approve_up_to", "amount": 1_000_000 });
    let definition = json!({ "timeout_ms": 3_000, "fallback": fallback });
    let (switch, card, account_path) = asked_at(&endpoint, definition);
    let mut client = Client::connect(switch.address("visa"));
    client.send_bytes(&card.frame(100, 1, 700, None));
    wait_until("the customer is asked", || endpoint.calls().len() == 1);
    let held = |switch: &Switch| switch.good("GET", &account_path, &Value::Null)["held"].clone();
    assert_eq!(held(&switch), 700);

    let switch = switch.kill_and_restart();
    switch.wait_until_ready();
    // Its repeat waits, and gets the no.
    let mut client = Client::connect(switch.address("visa"));
    client.send_bytes(&card.frame(101, 1, 700, None));
    assert_eq!(answer(&mut client), (110, "05".to_owned()));
    assert_eq!(held(&switch), 0);
    assert_eq!(endpoint.calls().len(), 1);
    let listed = switch.good("GET", "/v1/authorizations?limit=1", &Value::Null);
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    let record = switch.good("GET", &format!("/v1/authorizations/{id}"), &Value::Null);
    assert_eq!(
        (
            &record["status"],
            &record["decision"]["result"],
            &record["decision"]["reason"]
        ),
        (
            &json!("declined"),
            &json!("declined"),
            &json!("decision_timeout")
        )
    );
    assert_eq!(record["decision_call"]["outcome"], "lost");
    // The next one is asked about as ever.
    client.send_bytes(&card.frame(100, 2, 900, None));
    wait_until("the customer is asked", || endpoint.calls().len() == 2);
    // The first call hung in the dead process's connection, and takes the first answer if it still can.
    endpoint.say(r#"{"decision":"approve"}"#);
    endpoint.say(r#"{"decision":"approve"}"#);
    assert_eq!(answer(&mut client), (110, "00".to_owned()));
    assert_eq!(held(&switch), 900);
}

/// Nobody was answered yet, so there is no response code, in the list as by id.
#[test]
fn while_its_customer_is_asked_an_authorization_has_no_response_code() {
    let endpoint = Endpoint::start();
    let definition = json!({ "timeout_ms": 4_500, "fallback": { "type": "decline" } });
    let (switch, card, _) = asked_at(&endpoint, definition);
    let mut client = Client::connect(switch.address("visa"));
    client.send_bytes(&card.frame(100, 1, 700, None));
    let listed = || {
        let list = switch.good("GET", "/v1/authorizations?limit=1", &Value::Null);
        list["data"][0].clone()
    };
    wait_until("it is in the list", || listed()["id"].is_string());
    let told = listed();
    let path = format!("/v1/authorizations/{}", told["id"].as_str().unwrap());
    let decision = |told: &Value| {
        let decision = &told["decision"];
        json!([decision["result"], decision["response_code"]])
    };
    for told in [told, switch.good("GET", &path, &Value::Null)] {
        assert_eq!(decision(&told), json!(["waiting", null]), "{told}");
    }
    endpoint.say(r#"{"decision":"approve"}"#);
    assert_eq!(answer(&mut client), (110, "00".to_owned()));
    let told = switch.good("GET", &path, &Value::Null);
    assert_eq!(decision(&told), json!(["approved", "00"]), "{told}");
}
