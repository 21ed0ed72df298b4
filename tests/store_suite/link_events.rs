//! What linked objects do to their cards, told piece by piece among everything else.

use crate::fixture::{Fixture, JOURNAL, assert_same};
use crate::history::History;
use crate::on_both;
use cardswitch::engine::ids::CardId;
use cardswitch::engine::link_states::{LinkStatus, TellCardsOfLink};
use cardswitch::engine::record::Record;
use cardswitch::engine::registry::RegistryAction;
use cardswitch::store::events::{EventFilter, EventRow};
use cardswitch::store::projection::{BatchStep, Projector};
use cardswitch::store::{Store, StoreError};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

on_both! {
    cards_are_told_of_piece_by_piece_and_each_is_at_last_what_it_was_told_to_be,
    others_come_between_the_pieces,
    who_stops_listening_is_told_no_more,
}

const AT_ONCE: usize = 2;

async fn apply(store: &Store, records: &[(u64, Record)], batch: usize) {
    let projector = Projector::open(store, JOURNAL).await.unwrap();
    let mut projector = projector.with_cards_told_at_once(AT_ONCE);
    for records in records.chunks(batch) {
        projector.apply(records).await.unwrap();
    }
}

/// Killed again and again on the way.
async fn apply_killed(store: &Store, records: &[(u64, Record)], steps: &Arc<AtomicUsize>) {
    loop {
        let steps = steps.clone();
        let projector = Projector::open(store, JOURNAL).await.unwrap();
        let mut projector = projector
            .with_cards_told_at_once(AT_ONCE)
            .with_fault(Arc::new(move |step| {
                let count = steps.fetch_add(1, Ordering::SeqCst);
                count % 29 == 28 && step != BatchStep::Committed
            }));
        match projector.apply(records).await {
            Ok(()) => return,
            Err(error) => assert!(matches!(error, StoreError::Interrupted), "{error}"),
        }
    }
}

/// Asks for the next piece of what is left, or for all of it; and for the last one again.
async fn tell(store: &Store, history: &mut History) -> bool {
    let untold = store.untold_link_changes().await.unwrap();
    for change in &untold {
        let tell = TellCardsOfLink {
            changed_at: change.sequence,
        };
        history.registry(RegistryAction::TellCardsOfLink(tell));
        if history.below(3) == 0 {
            history.registry(RegistryAction::TellCardsOfLink(tell));
        }
    }
    !untold.is_empty()
}

async fn all_events(store: &Store) -> Vec<EventRow> {
    let page = store.events(&EventFilter::default(), None, 20_000).await;
    let page = page.unwrap();
    assert!(!page.has_more);
    page.data
}

fn data(row: &EventRow) -> Value {
    serde_json::from_str(&row.data_json).unwrap()
}

/// As REST tells it.
fn status_now(history: &History, id: CardId) -> Option<&'static str> {
    let (_, root) = history.cards.iter().find(|(known, _)| *known == id)?;
    let card = history.world.shard(*root).card(id)?;
    let of_links = history.world.registry.view.link_states.of_card(card);
    let over = of_links.over(card.status);
    Some(over.map_or(card.status.name(), LinkStatus::name))
}

async fn cards_are_told_of_piece_by_piece_and_each_is_at_last_what_it_was_told_to_be(
    fixture: Fixture,
) {
    let steps = Arc::new(AtomicUsize::new(0));
    let (mut pieces, mut waited, mut of_links) = (0, 0, 0);
    for seed in 1..=4 {
        let store = fixture.store().await;
        for table in crate::fixture::TABLES {
            fixture.sql(&format!("DELETE FROM {table}")).await;
        }
        let mut history = History::new(seed, 4, 15);
        history.subscribe();
        let mut done = 0;
        for _ in 0..12 {
            for step in 0..8 {
                change_something(&mut history);
                if step % 3 == 0 {
                    apply_killed(&store, &history.records[done..], &steps).await;
                    done = history.records.len();
                    if history.below(2) == 0 && tell(&store, &mut history).await {
                        pieces += 1;
                    }
                }
                waited = waited.max(store.untold_link_changes().await.unwrap().len());
            }
            loop {
                apply(&store, &history.records[done..], 7).await;
                done = history.records.len();
                if !tell(&store, &mut history).await {
                    break;
                }
            }
            of_links += check(&store, &history).await;
        }
        let live = fixture.dump().await;
        for batch in [1, 4_000] {
            for table in crate::fixture::TABLES {
                fixture.sql(&format!("DELETE FROM {table}")).await;
            }
            apply(&store, &history.records, batch).await;
            assert_same(&fixture.dump().await, &live);
        }
        store.close().await;
    }
    assert!(
        pieces > 20 && waited > 0 && of_links > 500,
        "{pieces}, {waited}, {of_links}"
    );
}

fn change_something(history: &mut History) {
    match history.below(8) {
        0 => history.issue_card(),
        kind @ 1..=5 => {
            let to = match history.below(60) {
                0 => LinkStatus::Closed,
                1..=35 => LinkStatus::Frozen,
                _ => LinkStatus::Active,
            };
            let (link_type, number) = match kind {
                3..=5 => ("user", history.below(15)),
                _ => ("project", history.below(3)),
            };
            history.change_link(link_type, number, to);
        }
        _ => history.go_on(3),
    }
}

/// Who follows the events of a card knows at last what it is, and none comes back from closed.
async fn check(store: &Store, history: &History) -> usize {
    let mut known: HashMap<CardId, (String, u64)> = HashMap::new();
    let mut of_links = 0;
    for row in all_events(store).await {
        let data = data(&row);
        let (Some(id), Some(status)) = (row.card_id, data["card"]["status"].as_str()) else {
            continue;
        };
        of_links += usize::from(data["cause"]["type"].is_string());
        let before = known.insert(id, (status.to_owned(), row.object_sequence));
        let (before, count) = before.unwrap_or_default();
        assert!(row.object_sequence > count, "{row:?}");
        if before == "closed" {
            assert_eq!(status, "closed", "{row:?}");
        }
    }
    for (id, (told, _)) in known {
        if let Some(status) = status_now(history, id) {
            assert_eq!(told, status, "{id}");
        }
    }
    of_links
}

async fn others_come_between_the_pieces(fixture: Fixture) {
    let mut history = History::new(7, 2, 24);
    history.subscribe();
    history.change_link("project", 0, LinkStatus::Frozen);
    let changed_at = history.last();
    history.change_link("user", 1, LinkStatus::Frozen);
    let store = fixture.store().await;
    apply(&store, &history.records, 4_000).await;
    let frozen = EventFilter {
        types: vec!["card.frozen".to_owned()],
        ..EventFilter::default()
    };
    let first = store.events(&frozen, None, 100).await.unwrap().data;
    let records: Vec<u64> = first.iter().map(|row| row.id().sequence()).collect();
    assert_eq!(records, [changed_at, changed_at, changed_at + 1]);
    // The tables have the state at once.
    let states = "SELECT COUNT(*) FROM link_states";
    assert_eq!(fixture.number(states).await, 2);
    // What has nothing left tells nothing; a card of the object that is issued meanwhile is frozen from its beginning.
    let mut done = history.records.len();
    let stale = TellCardsOfLink {
        changed_at: changed_at + 1,
    };
    history.registry(RegistryAction::TellCardsOfLink(stale));
    for _ in 0..6 {
        history.issue_card();
    }
    loop {
        apply(&store, &history.records[done..], 4_000).await;
        done = history.records.len();
        if !tell(&store, &mut history).await {
            break;
        }
    }
    let told = store.events(&frozen, None, 100).await.unwrap().data;
    let mut cards: Vec<CardId> = told.iter().filter_map(|row| row.card_id).collect();
    let of_project = cards.len() - 1;
    cards.sort_unstable();
    cards.dedup();
    assert_eq!((of_project, cards.len()), (8, 9));
    for row in &told {
        let expected = match row.id().sequence() == changed_at + 1 {
            true => ("user", "user1"),
            false => ("project", "project0"),
        };
        let cause = &data(row)["cause"];
        assert_eq!(
            (cause["type"].as_str(), cause["id"].as_str()),
            (Some(expected.0), Some(expected.1))
        );
    }
}

async fn who_stops_listening_is_told_no_more(fixture: Fixture) {
    let mut history = History::new(8, 2, 24);
    history.subscribe();
    let (_, Record::Registry { command, .. }) = history.records.last().unwrap() else {
        panic!("a registry record");
    };
    let RegistryAction::PutWebhookEndpoint(endpoint) = &command.action else {
        panic!("an endpoint");
    };
    let id = endpoint.id;
    history.change_link("project", 0, LinkStatus::Frozen);
    let store = fixture.store().await;
    apply(&store, &history.records, 4_000).await;
    let done = history.records.len();
    history.registry(RegistryAction::DeleteWebhookEndpoint(id));
    assert!(tell(&store, &mut history).await);
    history.subscribe();
    apply(&store, &history.records[done..], 4_000).await;
    assert!(store.untold_link_changes().await.unwrap().is_empty());
    let told = all_events(&store).await;
    let frozen = told.iter().filter(|row| row.event_type == "card.frozen");
    assert_eq!(frozen.count(), AT_ONCE);
}
