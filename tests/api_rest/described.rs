//! Every response that a test of this program gets is held against the OpenAPI document, as if answers were closed: a field
//! that the document does not have fails the test that met it. So does a status, and a code that is not in the list of codes.

use crate::event_data::{check_answer, close};
use cardswitch::api::error_codes::is_known;
use cardswitch::api::openapi::document;
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

static CLOSED: LazyLock<Value> = LazyLock::new(|| {
    let mut document = document();
    close(&mut document["components"]);
    close(&mut document["paths"]);
    document
});

thread_local! {
    /// Method and path of the routes that this test had success with.
    static SUCCEEDED: RefCell<BTreeSet<(String, String)>> = RefCell::default();
}

pub fn succeeded() -> BTreeSet<(String, String)> {
    SUCCEEDED.with_borrow(Clone::clone)
}

/// Panics where the document has the route, and not this answer.
#[track_caller]
pub fn check(method: &str, path: &str, status: u16, media_type: &str, text: &str) {
    let is_page = media_type.starts_with("text/html");
    // What has no body is the answer to a HEAD.
    if !is_page && method != "HEAD" {
        check_error(status, text);
    }
    let path = path.split('?').next().unwrap();
    let paths = CLOSED["paths"].as_object().unwrap();
    let Some(template) = template_of(paths, path) else {
        return;
    };
    let Some(operation) = paths[template].get(method.to_lowercase()) else {
        return;
    };
    let place = format!("{method} {template} {status}");
    let response = &operation["responses"][status.to_string()];
    let response = match response["$ref"].as_str() {
        Some(reference) => CLOSED.pointer(reference.trim_start_matches('#')).unwrap(),
        None => response,
    };
    assert!(
        response.is_object(),
        "{place} is not in the document: {text}"
    );
    let base = media_type.split(';').next().unwrap();
    let content = &response["content"][base];
    assert!(content.is_object(), "{place}: {media_type}");
    if base == "application/json" {
        fits(&place, &content["schema"], text);
        check_answer(path, &serde_json::from_str(text).unwrap());
    }
    if status < 300 {
        let done = (method.to_owned(), template.to_owned());
        SUCCEEDED.with_borrow_mut(|all| all.insert(done));
    }
}

/// Every error has a code that is in the list of them, with this status and type.
#[track_caller]
fn check_error(status: u16, text: &str) {
    let told: Value = serde_json::from_str(text).unwrap_or_default();
    let word = |name: &str| told["error"][name].as_str().unwrap_or_default();
    let (error_type, code) = (word("type"), word("code"));
    assert!(
        status < 400 || is_known(status, error_type, code),
        "{status} {error_type} {code} is not in src/api/error_codes.rs: {text}"
    );
}

#[track_caller]
fn fits(place: &str, schema: &Value, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    let validator = validator(place, schema);
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{place}: {errors:#?}\n{text}");
}

fn validator(place: &str, schema: &Value) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let made = MADE.lock().unwrap().get(place).cloned();
    if let Some(validator) = made {
        return validator;
    }
    let whole = json!({ "allOf": [schema], "components": CLOSED["components"] });
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    let validator = Arc::new(options.build(&whole).unwrap());
    MADE.lock()
        .unwrap()
        .insert(place.to_owned(), validator.clone());
    validator
}

/// One without parameters before one with.
fn template_of<'a>(paths: &'a Map<String, Value>, path: &str) -> Option<&'a str> {
    let fits = |template: &&String| {
        let (mut wanted, mut given) = (template.split('/'), path.split('/'));
        let same = (&mut wanted)
            .zip(&mut given)
            .all(|(wanted, given)| wanted.starts_with('{') || wanted == given);
        same && template.matches('/').count() == path.matches('/').count()
    };
    let mut found: Vec<&String> = paths.keys().filter(fits).collect();
    found.sort_by_key(|template| template.matches('{').count());
    found.first().map(|template| template.as_str())
}
