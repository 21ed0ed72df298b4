//! The real program against its own OpenAPI document: `schemathesis` makes requests of it, and what `tests/api_rest` has
//! nobody for (deliveries, the stream of events) is called here.

mod support;

use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use support::api::ROOT_KEY;
use support::{Switch, wait_until};

const CONFIG: &str =
    "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";

/// What a schema cannot say: which ids there are, which fields go together, that 1.0 is no whole number.
const SETTINGS: &str = "\
[checks]
positive_data_acceptance.enabled = false
# An If-Match of something else is refused before the body is read.
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 409, 412, 413, 415]
# Ten thousand rows are too many for it to make: it gives up on a busy machine, with an error of its own.
[[operations]]
include-name = 'POST /v1/card_batches'
phases.coverage.enabled = false
";

/// Ids in the document's examples.
const SHOWN: &str = "0h2k9m4p7r1t3";

/// Objects to ask for, by the prefix of their ids.
type Known = Map<String, Value>;

#[test]
fn schemathesis_finds_no_failure_of_ours_and_no_answer_that_is_not_described() {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let (status, document) = switch.api("GET", "/openapi.json", &Value::Null);
    assert_eq!(status, 200);
    let known = scene(&switch);
    let file = switch.folder().join("openapi.json");
    let narrowed = narrowed(document, &known);
    std::fs::write(&file, narrowed.to_string()).unwrap();
    std::fs::write(switch.folder().join("schemathesis.toml"), SETTINGS).unwrap();
    let examples = std::env::var("CARDSWITCH_SCHEMATHESIS_EXAMPLES");
    let thorough = examples.is_ok();
    let mut command = Command::new("schemathesis");
    command
        .args(["run", file.to_str().unwrap()])
        .args(["--url", &format!("http://{}", switch.http_address())])
        .args(["--header", &format!("Authorization: Bearer {ROOT_KEY}")])
        // The stream has no end.
        .args(["--exclude-path", "/v1/events/stream"])
        .args(["--seed", "1", "--generation-database", "none"])
        .args(["--max-examples", examples.as_deref().unwrap_or("2")])
        .args([
            "--phases",
            match thorough {
                true => "examples,coverage,fuzzing,stateful",
                false => "examples,coverage,fuzzing",
            },
        ])
        .args(["--continue-on-failure", "--no-color", "--workers", "2"])
        .args(["--request-timeout", "30"])
        .current_dir(switch.folder());
    let output = command.output().unwrap_or_else(|error| {
        panic!("schemathesis does not run ({error}); pip install schemathesis brings it")
    });
    let told = String::from_utf8_lossy(&output.stdout);
    if thorough {
        println!("{told}");
    }
    assert!(output.status.success(), "{told}");
    // That it did something.
    assert!(told.contains("Tested: "), "{told}");
}

/// One of each object at least, for what is only asked of those that are there.
fn scene(switch: &Switch) -> Known {
    let mut known = Known::new();
    let made = |known: &mut Known, path: &str, body: Value| {
        let id = switch.good("POST", path, &body)["id"].clone();
        let prefix = id.as_str().unwrap().split('_').next().unwrap().to_owned();
        let of_kind = known.entry(prefix).or_insert_with(|| json!([]));
        of_kind.as_array_mut().unwrap().push(id.clone());
        id
    };
    let all = json!({"events": ["*"]});
    let called = json!({"events": ["*"], "url": "http://127.0.0.1:9/closed"});
    made(&mut known, "/v1/webhook_endpoints", all);
    made(&mut known, "/v1/webhook_endpoints", called);
    let program = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"});
    let program = made(&mut known, "/v1/programs", program);
    let endpoint =
        json!({"program_id": program, "url": "http://127.0.0.1:9/closed", "enabled": false});
    made(&mut known, "/v1/decision_endpoints", endpoint);
    let holder = json!({"program_id": program, "home_country": "US"});
    let holder = made(&mut known, "/v1/cardholders", holder);
    for number in 0..3 {
        let account = json!({"program_id": program, "name": format!("account {number}")});
        let account = made(&mut known, "/v1/accounts", account);
        let money = json!({"amount": 1_000_000, "currency": "USD", "method": "swift"});
        let of_account = format!("/v1/accounts/{}/top_ups", account.as_str().unwrap());
        made(&mut known, &of_account, money);
        let waits = json!({"amount": 5_000, "currency": "USD", "method": "sepa", "settle": false});
        made(&mut known, &of_account, waits);
        let links = json!([{"type": "project", "id": format!("p{number}")}]);
        let card = json!({"account_id": account, "links": links, "cardholder_id": holder});
        let card = made(&mut known, "/v1/cards", card);
        let token = json!({"card_id": card, "wallet": "apple_pay"});
        made(&mut known, "/v1/tokens", token);
        for _ in 0..2 {
            let asked = json!({"card_id": card, "amount": 1_000});
            let paid = made(&mut known, "/v1/simulate/authorizations", asked);
            let posted = json!({"authorization_id": paid, "amount": 400, "final": false});
            made(&mut known, "/v1/simulate/clearings", posted);
        }
        let rule = json!({"program_id": program, "name": "r", "action": "flag", "expression": "amount > 5"});
        made(&mut known, "/v1/rules", rule);
        let exception = json!({"card_id": card, "ends_at": "2090-01-01T00:00:00Z", "reason": "r",
            "lifts": {"countries": ["JP"]}});
        made(&mut known, "/v1/exceptions", exception);
        let key = json!({"name": "k", "preset": "support"});
        made(&mut known, "/v1/api_keys", key);
    }
    made(
        &mut known,
        "/v1/mcc_groups",
        json!({"name": "g", "mcc": ["7311"]}),
    );
    let list = json!({"name": "l", "merchants": [{"id": "M1"}]});
    made(&mut known, "/v1/merchant_lists", list);
    let (first, second) = (&known["acct"][0], &known["acct"][1]);
    let moved =
        json!({"from_account_id": first, "to_account_id": second, "amount": 10, "currency": "USD"});
    made(&mut known, "/v1/transfers", moved);
    let row = json!({"account_id": known["acct"][0]});
    made(&mut known, "/v1/card_batches", json!({ "rows": [row] }));
    for path in ["/v1/events", "/v1/deliveries"] {
        let first = first_of(switch, path);
        let prefix = first.split('_').next().unwrap().to_owned();
        known.insert(prefix, json!([first]));
    }
    known
}

/// The id of the first entry, once there is one.
fn first_of(switch: &Switch, path: &str) -> String {
    let mut first = None;
    wait_until(path, || {
        let page = switch.good("GET", path, &Value::Null);
        first = page["data"][0]["id"].as_str().map(str::to_owned);
        first.is_some()
    });
    first.unwrap()
}

/// The document with the ids that there are in place of all that there could be, in what is asked.
fn narrowed(mut document: Value, known: &Known) -> Value {
    for of_path in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in of_path.as_object_mut().unwrap().values_mut() {
            for part in ["parameters", "requestBody"] {
                if let Some(part) = operation.get_mut(part) {
                    narrow(part, known);
                }
            }
        }
    }
    document
}

fn narrow(value: &mut Value, known: &Known) {
    match value {
        Value::Object(map) => {
            let pattern = map.get("pattern").and_then(Value::as_str);
            let prefix = pattern.and_then(|pattern| pattern.strip_prefix('^')?.split_once("_["));
            let ids = prefix.and_then(|(prefix, _)| known.get(prefix));
            if let Some(ids) = ids {
                let may_be_null = map["type"].is_array();
                let mut words = ids.as_array().unwrap().clone();
                words.extend(may_be_null.then_some(Value::Null));
                map.clear();
                map.insert("enum".into(), words.into());
            }
            map.values_mut().for_each(|inner| narrow(inner, known));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| narrow(inner, known)),
        Value::String(text) => {
            let prefix = text
                .strip_suffix(SHOWN)
                .and_then(|text| text.strip_suffix('_'));
            if let Some(id) = prefix.and_then(|prefix| known.get(prefix)) {
                *text = id[0].as_str().unwrap().to_owned();
            }
        }
        _ => {}
    }
}

/// Whether a value has exactly the fields of a schema of `components`.
fn fits(switch: &Switch, name: &str, value: &Value) {
    let (_, document) = switch.api("GET", "/openapi.json", &Value::Null);
    let schema = json!({"$ref": format!("#/components/schemas/{name}"), "components": document["components"]});
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    if let Err(error) = validator.validate(value) {
        panic!("{name}: {error}\n{value}");
    }
    let described = document["components"]["schemas"][name]["properties"]
        .as_object()
        .unwrap();
    let names: Vec<_> = value.as_object().unwrap().keys().collect();
    let unknown: Vec<_> = names
        .into_iter()
        .filter(|name| !described.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "{name} does not describe {unknown:?}");
}

#[test]
fn deliveries_and_the_stream_are_as_described() {
    let switch = Switch::start(CONFIG);
    switch.wait_until_ready();
    let endpoint = json!({"events": ["account.*"], "url": "http://127.0.0.1:9/closed"});
    switch.good("POST", "/v1/webhook_endpoints", &endpoint);
    switch.account(100_000);
    let delivery = format!("/v1/deliveries/{}", first_of(&switch, "/v1/deliveries"));
    let told = switch.good("GET", &delivery, &Value::Null);
    fits(&switch, "DeliveryWithBody", &told);
    let page = switch.good("GET", "/v1/deliveries", &Value::Null);
    fits(&switch, "Delivery", &page["data"][0]);
    let again = switch.good("POST", &format!("{delivery}/resend"), &json!({}));
    fits(&switch, "Resend", &again);
    fits(&switch, "Event", &first_streamed(&switch));
}

/// The data of the first event that the stream has.
fn first_streamed(switch: &Switch) -> Value {
    let mut stream = TcpStream::connect(switch.http_address()).unwrap();
    let path = "/v1/events/stream?starting_after=evt_0000000000000";
    let asked =
        format!("GET {path} HTTP/1.1\r\nHost: switch\r\nAuthorization: Bearer {ROOT_KEY}\r\n\r\n");
    stream.write_all(asked.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("HTTP/1.1 200 OK"));
    let mut is_stream = false;
    let data = lines.find_map(|line| {
        is_stream |= line == "content-type: text/event-stream";
        line.strip_prefix("data: ").map(str::to_owned)
    });
    assert!(is_stream);
    serde_json::from_str(&data.unwrap()).unwrap()
}
