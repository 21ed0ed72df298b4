//! What was told of something: events by what they name, and the calls of those events by the same.

use crate::fixture::{Fixture, project};
use crate::on_both;
use crate::projecting::history;
use cardswitch::engine::ids::{DeliveryId, WebhookEndpointId};
use cardswitch::store::Store;
use cardswitch::store::deliveries::{DeliveryFilter, DeliveryOutcome, DeliveryRow};
use cardswitch::store::events::{EventFilter, EventRow, PlacedEvent, UNKNOWN_CARD};
use serde_json::Value;
use std::collections::BTreeMap;

on_both! {
    events_and_their_calls_are_found_by_what_they_are_about,
}

fn call_of(event: &EventRow) -> DeliveryRow {
    DeliveryRow {
        id: DeliveryId(event.number),
        event_id: event.id(),
        event_type: event.event_type.clone(),
        webhook_endpoint_id: WebhookEndpointId(1),
        attempt: 1,
        outcome: DeliveryOutcome::Succeeded,
        response_status: Some(200),
        response_body: None,
        error: None,
        duration_ms: 1,
        next_attempt_at_ms: None,
        created_at_ms: event.created_at_ms,
        program_id: event.program_id,
        account_id: event.account_id,
        object_id: Some(event.object_id.clone()),
        authorization_id: event.authorization_id,
        card_id: event.card_id,
        place_id: Some(PlacedEvent::of(event.clone()).place_id()),
    }
}

/// All of them, oldest first.
async fn events(store: &Store, filter: &EventFilter) -> Vec<EventRow> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.events(filter, after, 1000).await.unwrap();
        after = page.data.last().map(EventRow::id);
        all.extend(page.data);
        if !page.has_more {
            return all;
        }
    }
}

async fn told_in_calls(store: &Store, filter: &DeliveryFilter) -> Vec<u64> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.deliveries(filter, after, 1000).await.unwrap();
        after = page.data.last().map(|row| row.id);
        all.extend(page.data.iter().map(|row| row.id.0));
        if !page.has_more {
            all.reverse();
            return all;
        }
    }
}

/// By the words of the event.
fn names_payment(event: &EventRow, id: &str) -> bool {
    let data: Value = serde_json::from_str(&event.data_json).unwrap();
    let cause = &data["fee"]["cause"];
    data["authorization"]["id"] == id
        || data["authorization_id"] == id
        || data["transaction"]["authorization_id"] == id
        || data["reversal"]["authorization_id"] == id
        || cause["type"] == "authorization" && cause["id"] == id
}

async fn events_and_their_calls_are_found_by_what_they_are_about(fixture: Fixture) {
    let history = history(22, 800);
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    let all = events(&store, &EventFilter::default()).await;
    let calls: Vec<DeliveryRow> = all.iter().map(call_of).collect();
    store.add_deliveries(&calls).await.unwrap();
    let mut types = BTreeMap::new();
    let payments: Vec<_> = all
        .iter()
        .filter_map(|event| event.authorization_id)
        .collect();
    assert!(payments.len() > 100, "{}", payments.len());
    for id in payments.iter().step_by(7) {
        let filter = EventFilter {
            authorization_id: Some(*id),
            ..EventFilter::default()
        };
        let found = events(&store, &filter).await;
        let named = all
            .iter()
            .filter(|event| names_payment(event, &id.to_string()));
        assert_eq!(found, named.cloned().collect::<Vec<_>>(), "{id}");
        for event in &found {
            *types.entry(event.event_type.clone()).or_insert(0) += 1;
        }
        let filter = DeliveryFilter {
            authorization_id: Some(*id),
            ..DeliveryFilter::default()
        };
        let numbers: Vec<u64> = found.iter().map(|event| event.number).collect();
        assert_eq!(told_in_calls(&store, &filter).await, numbers, "{id}");
    }
    assert!(types.len() >= 5, "{types:?}");
    let link = |link_type: &str, id: Option<&str>| EventFilter {
        link_type: Some(link_type.to_owned()),
        link_id: id.map(str::to_owned),
        ..EventFilter::default()
    };
    let of_link = events(&store, &link("project", Some("project1"))).await;
    let of_card = of_link.iter().rev().find(|event| event.card_id.is_some());
    let of_card = of_card.unwrap();
    let filters = [
        EventFilter {
            program_id: of_card.program_id,
            ..EventFilter::default()
        },
        EventFilter {
            account_id: of_card.account_id,
            ..EventFilter::default()
        },
        EventFilter {
            card_id: of_card.card_id,
            ..EventFilter::default()
        },
        EventFilter {
            object_id: of_card.account_id.map(|id| id.to_string()),
            ..EventFilter::default()
        },
        EventFilter {
            card_id: of_card.card_id,
            authorization_id: of_card.authorization_id,
            ..link("project", Some("project1"))
        },
        link("project", Some("project1")),
        link("user", None),
    ];
    for filter in filters {
        let found = events(&store, &filter).await;
        let numbers: Vec<u64> = found.iter().map(|event| event.number).collect();
        let same = DeliveryFilter {
            program_id: filter.program_id,
            account_id: filter.account_id,
            card_id: filter.card_id,
            object_id: filter.object_id.clone(),
            authorization_id: filter.authorization_id,
            link_type: filter.link_type.clone(),
            link_id: filter.link_id.clone(),
            ..DeliveryFilter::default()
        };
        assert_eq!(told_in_calls(&store, &same).await, numbers, "{filter:?}");
        assert!(!numbers.is_empty(), "nothing fits {filter:?}");
        assert!(numbers.len() < all.len(), "{filter:?}");
    }
    let of_unknown = EventFilter {
        object_id: Some(UNKNOWN_CARD.to_owned()),
        ..EventFilter::default()
    };
    let unknown = events(&store, &of_unknown).await;
    assert!(unknown.iter().all(|event| event.card_id.is_none()));
}
