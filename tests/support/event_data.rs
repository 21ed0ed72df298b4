//! Whether the data of an event is as the OpenAPI document describes it for its type, as if it were closed: a member that is
//! not described fails the test that met it.

use cardswitch::api::openapi::{data_of, document};
use cardswitch::store::events::types::EventType;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// The schema of each name, with no further members.
static COMPONENTS: LazyLock<Value> = LazyLock::new(|| {
    let mut components = document()["components"].take();
    close(&mut components);
    components
});

/// Answers of ours have no field that is not described; a client must expect some.
pub fn close(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.contains_key("properties") && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".into(), false.into());
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// An event as it is told in full.
#[track_caller]
pub fn check_event(event: &Value) {
    let name = event["type"].as_str().unwrap_or_default();
    let known = EventType::from_name(name);
    let known = known.unwrap_or_else(|| panic!("there is no such type: {event}"));
    let validator = validator(data_of(known).name);
    let data = &event["data"];
    let errors: Vec<String> = validator
        .iter_errors(data)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{data}");
}

/// The events of a page or a single one, where an answer to this path has some.
#[track_caller]
pub fn check_answer(path: &str, answer: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    if path == "/v1/events" {
        answer["data"]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(check_event);
    } else if path.starts_with("/v1/events/evt_") && answer["type"].is_string() {
        check_event(answer);
    }
}

fn validator(name: &'static str) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<&str, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let made = made.entry(name).or_insert_with(|| {
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        let whole = json!({ "allOf": [reference], "components": *COMPONENTS });
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        Arc::new(options.build(&whole).unwrap())
    });
    made.clone()
}
