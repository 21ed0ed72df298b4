//! The pieces that schemas are made of (JSON Schema 2020-12, as OpenAPI 3.1 has it). What resources look like is in the
//! files of their groups.

use crate::engine::facts::{Channel, EntryMode, Kind};
use crate::engine::money::BALANCE_MAX_MINOR;
use crate::engine::reason::DeclineReason;
use serde_json::{Map, Value, json};

/// The fields of an object, in the order in which they are shown.
pub type Fields = Vec<(&'static str, Value)>;

/// The letters and digits of ids: a number of 64 bits, five at a time.
const ID_DIGITS: &str = "[0-9a-f][0-9a-hjkmnp-tv-z]{12}";

/// What texts of a request are made of.
const NO_CONTROL_CHARACTERS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// An id of ours.
pub fn id(prefix: &str) -> Value {
    json!({
        "type": "string",
        "pattern": format!("^{prefix}_{ID_DIGITS}$"),
        "examples": [format!("{prefix}_0h2k9m4p7r1t3")],
    })
}

/// Text in an answer.
pub fn said(example: &str) -> Value {
    json!({ "type": "string", "examples": [example] })
}

/// Text of a request.
pub fn text(length_max: usize, example: &str) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": length_max,
        "pattern": NO_CONTROL_CHARACTERS, "examples": [example],
    })
}

/// Text of a form of its own.
pub fn pattern(pattern: &str, example: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "examples": [example] })
}

pub fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// A whole number in an answer.
pub fn number(example: i64) -> Value {
    json!({ "type": "integer", "format": "int64", "examples": [example] })
}

pub fn number_within(least: i64, most: i64) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": least, "maximum": most })
}

/// Minor units, in an answer.
pub fn amount() -> Value {
    noted(number(1250), "In minor units of the currency.")
}

/// Minor units, in a request.
pub fn amount_from(least: i64) -> Value {
    let amount = number_within(least, BALANCE_MAX_MINOR);
    with(
        noted(amount, "In minor units of the currency."),
        "examples",
        json!([1250]),
    )
}

/// Minor units above or below zero, in a query.
pub fn amount_between() -> Value {
    number_within(-BALANCE_MAX_MINOR, BALANCE_MAX_MINOR)
}

/// A point in time.
pub fn moment() -> Value {
    json!({ "type": "string", "format": "date-time", "examples": ["2026-11-28T12:00:00.000Z"] })
}

pub fn currency() -> Value {
    noted(
        pattern("^[A-Z]{3,4}$", "USD"),
        "ISO 4217 letters, or `USDT`, `USDC` (six decimals) or `BTC` (eight).",
    )
}

pub fn mcc() -> Value {
    pattern("^[0-9]{4}$", "5942")
}

pub fn country() -> Value {
    noted(pattern("^[A-Z]{2}$", "US"), "ISO 3166-1 alpha-2.")
}

/// What a request may choose from.
pub fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// What an answer tells, and may tell more of later.
pub fn open_word(words: &[&str]) -> Value {
    let note = "Open: new values may come.";
    noted(json!({ "type": "string", "examples": words }), note)
}

/// The words of pairs, as the engine keeps them.
pub fn words<T>(pairs: &[(T, &'static str)]) -> Vec<&'static str> {
    pairs.iter().map(|(_, word)| *word).collect()
}

pub fn kinds() -> Vec<&'static str> {
    words(Kind::ALL)
}

pub fn channels() -> Vec<&'static str> {
    words(Channel::ALL)
}

pub fn entry_modes() -> Vec<&'static str> {
    words(EntryMode::ALL)
}

pub fn decline_reasons() -> Vec<&'static str> {
    let all = DeclineReason::ALL.iter();
    all.map(|reason| reason.name()).collect()
}

/// What an object is.
pub fn of_type(name: &str) -> Value {
    json!({ "type": "string", "const": name })
}

pub fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub fn list_within(least: usize, most: usize, items: Value) -> Value {
    json!({ "type": "array", "minItems": least, "maxItems": most, "items": items })
}

/// A schema of `components`.
pub fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object of an answer: all of `always` is there, `sometimes` may be. It may have more later.
pub fn answer(always: Fields, sometimes: Fields) -> Value {
    let required: Vec<&str> = always.iter().map(|(name, _)| *name).collect();
    let fields = always.into_iter().chain(sometimes);
    json!({ "type": "object", "required": required, "properties": map(fields) })
}

/// An object of a request, in which nothing else may be. What is not needed may be `null`, which counts as absent.
pub fn request(needed: Fields, optional: Fields) -> Value {
    let required: Vec<&str> = needed.iter().map(|(name, _)| *name).collect();
    let optional = optional
        .into_iter()
        .map(|(name, schema)| (name, or_null(schema)));
    let fields = needed.into_iter().chain(optional);
    json!({
        "type": "object", "required": required, "properties": map(fields), "additionalProperties": false,
    })
}

fn map(fields: impl Iterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    fields
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// The same, or `null`.
pub fn or_null(mut schema: Value) -> Value {
    if let Some(Value::Array(ways)) = schema.get_mut("anyOf") {
        ways.push(json!({ "type": "null" }));
        return schema;
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
    }
    match schema.get("type").and_then(Value::as_str) {
        Some(name) => {
            let both = json!([name, "null"]);
            with(schema, "type", both)
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// The same, and not there in the example: what only some of a kind have.
pub fn unset(schema: Value) -> Value {
    with(or_null(schema), "example", Value::Null)
}

pub fn either(ways: Vec<Value>) -> Value {
    json!({ "anyOf": ways })
}

pub fn with(mut schema: Value, name: &str, value: Value) -> Value {
    schema[name] = value;
    schema
}

/// With what it means.
pub fn noted(schema: Value, note: &str) -> Value {
    with(schema, "description", note.into())
}

/// An answer with further fields that are always there.
pub fn extended(mut schema: Value, further: Fields) -> Value {
    for (name, field) in further {
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(name.into());
        }
        schema["properties"][name] = field;
    }
    schema
}

/// The type and id of an object of the customer's.
pub fn link() -> Value {
    answer(
        vec![("type", said("project")), ("id", said("p1"))],
        Vec::new(),
    )
}

pub fn link_request() -> Value {
    request(link_fields(), Vec::new())
}

pub fn link_fields() -> Fields {
    vec![
        (
            "type",
            noted(
                pattern("^[a-z0-9_]{1,32}$", "project"),
                "Not `authorization`, `balance`, `card` or `program`: their `_id` is the event's own.",
            ),
        ),
        ("id", text(128, "p1")),
    ]
}

/// A value that fits a schema, from the examples of its parts.
pub fn example(schema: &Value, components: &Map<String, Value>) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return components
            .get(name)
            .map_or(Value::Null, |found| example(found, components));
    }
    for whole in ["example", "const"] {
        if let Some(value) = schema.get(whole) {
            return value.clone();
        }
    }
    for first in ["examples", "enum"] {
        if let Some(value) = schema[first].as_array().and_then(|values| values.first()) {
            return value.clone();
        }
    }
    if let Some(way) = schema["anyOf"].as_array().and_then(|ways| ways.first()) {
        return example(way, components);
    }
    let name = match &schema["type"] {
        Value::Array(names) => names.first().and_then(Value::as_str),
        name => name.as_str(),
    };
    match name {
        Some("object") => {
            let fields = schema["properties"].as_object();
            let required = schema["required"].as_array();
            let always = |name: &str| required.is_none_or(|all| all.iter().any(|one| one == name));
            let fields = fields.into_iter().flatten();
            let fields = fields.filter(|(name, _)| always(name));
            let fields = fields.map(|(name, field)| (name.clone(), example(field, components)));
            Value::Object(fields.collect())
        }
        Some("array") => json!([example(&schema["items"], components)]),
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => Value::Bool(false),
        Some("string") => "text".into(),
        _ => Value::Null,
    }
}
