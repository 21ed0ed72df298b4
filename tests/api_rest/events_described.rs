//! The table of events in `docs/webhooks.md` has what the OpenAPI document has of them. What the tests of this program are told is
//! held against that document in `described.rs`.

use cardswitch::api::openapi::{EventData, data_of, document};
use cardswitch::store::events::types::EventType;
use std::collections::BTreeSet;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/webhooks.md");

/// What a type has in the table: its scope, when it comes, the members of its data beside where it happened.
fn line(event: EventType) -> String {
    let EventData {
        always, sometimes, ..
    } = data_of(event);
    let always = always.iter().map(|(name, _)| format!("`{name}`"));
    let sometimes = sometimes
        .iter()
        .map(|(name, _)| format!("`{name}` or nothing"));
    let members: Vec<String> = always.chain(sometimes).collect();
    let (name, scope, when) = (event.name(), event.scope().name(), event.when());
    format!("| `{name}` | `{scope}` | {when} | {} |", members.join(", "))
}

#[test]
fn the_table_says_what_the_data_of_each_type_holds() {
    let mut page = std::fs::read_to_string(PAGE).unwrap();
    if std::env::var_os("CARDSWITCH_REGENERATE_EVENTS").is_some() {
        let of_type = |text: &str| {
            let mut all = EventType::ALL.iter();
            let begins = |event: &&EventType| text.starts_with(&format!("| `{}` |", event.name()));
            all.find(begins)
                .map_or_else(|| text.to_owned(), |event| line(*event))
        };
        let lines: Vec<String> = page.lines().map(of_type).collect();
        page = lines.join("\n") + "\n";
        std::fs::write(PAGE, &page).unwrap();
    }
    for event in EventType::ALL {
        assert!(page.contains(&line(*event)), "lacks: {}", line(*event));
    }
}

#[test]
fn every_type_has_a_schema_for_its_data_and_one_for_its_call() {
    let document = document();
    let event = &document["components"]["schemas"]["Event"];
    let by_type = event["properties"]["data"]["x-data-by-type"]
        .as_object()
        .unwrap();
    let all: BTreeSet<&str> = EventType::ALL.iter().map(|event| event.name()).collect();
    assert_eq!(
        by_type.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        all
    );
    for (name, reference) in by_type {
        let place = reference["$ref"].as_str().unwrap().trim_start_matches('#');
        let schema = document.pointer(place);
        let schema = schema.unwrap_or_else(|| panic!("{name}: {place}"));
        let family = name.split('.').next().unwrap();
        // Nothing falls through to the schema of something else.
        let is_of_endpoints = schema["properties"].get("webhook_endpoint").is_some();
        assert_eq!(is_of_endpoints, family == "webhook_endpoint", "{name}");
        assert!(document["webhooks"][name].is_object(), "{name}");
    }
}
