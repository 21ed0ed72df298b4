//! Tests of `pages.rs`.

use super::*;
use crate::engine::time::Timestamp;
use crate::store::events::EventRow;

fn event(number: u64, bytes: usize) -> Arc<PlacedEvent> {
    Arc::new(PlacedEvent::of(EventRow {
        number,
        event_type: "card.created".to_owned(),
        program_id: None,
        account_id: None,
        card_id: None,
        object_id: "card_1".to_owned(),
        object_sequence: number,
        place_json: None,
        data_json: "x".repeat(bytes),
        created_at_ms: Timestamp(0),
        authorization_id: None,
        seen_at_account_id: None,
    }))
}

/// Each number behind `after` up to `through` that can be divided by `step` is an event.
fn page(after: u64, through: u64, step: usize) -> Page {
    let numbers = (after + 1..=through).filter(|number| number % step as u64 == 0);
    Page {
        after: EventId(after),
        through: EventId(through),
        events: numbers.map(|number| event(number, 10)).collect(),
    }
}

fn numbers(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.row.number).collect()
}

#[test]
fn a_page_serves_everybody_who_stands_within_it() {
    let mut pages = Pages::default();
    pages.keep(page(100, 200, 30));
    assert!(pages.behind(EventId(99)).is_none());
    assert!(pages.behind(EventId(200)).is_none());
    for (after, expected) in [
        (100, vec![120, 150, 180]),
        (119, vec![120, 150, 180]),
        (120, vec![150, 180]),
        (180, vec![]),
        (199, vec![]),
    ] {
        let found = pages.behind(EventId(after)).unwrap();
        assert_eq!(numbers(&found), expected, "behind {after}");
        assert_eq!((found.after.0, found.through.0), (after, 200));
    }
    assert_eq!(pages.begins_behind(EventId(5)), Some(EventId(100)));
    assert_eq!(pages.begins_behind(EventId(200)), None);
}

#[test]
fn small_pages_become_one_and_none_overlap() {
    let mut pages = Pages::default();
    for after in 0..1_000 {
        pages.keep(page(after, after + 1, 2));
    }
    // Of 500 events 256 fit into one page.
    assert_eq!(pages.by_end.len(), 2);
    assert_eq!(pages.rows, 500);
    assert_eq!(numbers(&pages.behind(EventId(0)).unwrap()).len(), PAGE_ROWS);
    // What is there already, or begins or ends within it, is not kept twice.
    for (after, through) in [(0, 1_000), (5, 7), (990, 1_010), (7, 7), (9, 3)] {
        pages.keep(page(after, through, 1));
    }
    assert_eq!((pages.by_end.len(), pages.rows), (2, 500));
    // Without events the journal goes on too.
    for after in 1_000..5_000 {
        pages.keep(page(after, after + 1, usize::MAX));
    }
    assert_eq!(pages.by_end.len(), 2);
    assert_eq!(pages.behind(EventId(999)).unwrap().through, EventId(5_000));
}

#[test]
fn memory_is_bounded_in_pages_rows_and_bytes_and_the_latest_stays() {
    let mut pages = Pages::default();
    let first = EventId(0);
    for place in 0..1_000 {
        pages.keep(page(place * 10, place * 10 + 5, 1));
        assert!(pages.behind(first).is_some(), "what is asked for stays");
    }
    assert_eq!(pages.by_end.len(), PAGES_MAX);
    for place in 100..400 {
        pages.keep(page(place * 1_000, place * 1_000 + 256, 1));
    }
    assert!(pages.rows <= ROWS_MAX && pages.rows > ROWS_MAX - 300);
    assert!(pages.behind(EventId(399_000)).is_some());
    assert!(pages.behind(EventId(100_000)).is_none());
    let large = |place: u64| Page {
        after: EventId(place * 1_000_000),
        through: EventId(place * 1_000_000 + 1),
        events: vec![event(place * 1_000_000 + 1, 10 << 20)],
    };
    for place in 1..20 {
        pages.keep(large(place));
    }
    assert!(pages.bytes <= BYTES_MAX, "{}", pages.bytes);
    assert!(pages.behind(EventId(19_000_000)).is_some());
    let counted = |of: &dyn Fn(&Kept) -> usize| pages.by_end.values().map(of).sum::<usize>();
    assert_eq!(pages.rows, counted(&|kept| kept.page.events.len()));
    assert_eq!(pages.bytes, counted(&|kept| kept.bytes));
    // One that is too much by itself is not kept, and nothing breaks.
    pages.keep(Page {
        after: EventId(90_000_000),
        through: EventId(90_000_001),
        events: vec![event(90_000_001, BYTES_MAX)],
    });
    assert!(pages.bytes <= BYTES_MAX);
}
