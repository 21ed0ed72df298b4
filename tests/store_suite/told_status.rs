//! Cards by the status that they are told with: their own, their links', their expiry, in every combination.

use crate::fixture::{Fixture, project};
use crate::on_both;
use crate::projecting::history;
use cardswitch::engine::ids::CardId;
use cardswitch::engine::link_states::LinkStatus;
use cardswitch::engine::state::CardStatus;
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::store::Store;
use cardswitch::store::card_status::{StatusAt, ToldStatus};
use cardswitch::store::query::CardFilter;
use cardswitch::store::rows::CardRow;
use std::collections::BTreeMap;

on_both! {
    a_status_finds_the_cards_that_are_told_with_it,
    cards_of_very_many_held_links_are_told_apart,
}

const NAMES: [(&str, CardStatus); 5] = [
    ("inactive", CardStatus::Inactive),
    ("active", CardStatus::Active),
    ("frozen", CardStatus::Frozen),
    ("blocked", CardStatus::Blocked),
    ("closed", CardStatus::Closed),
];

/// As `api::cards` tells it.
fn told(card: &CardRow, of_links: LinkStatus, at: Timestamp) -> &'static str {
    let own = card.status;
    let expiry = Expiry::new(card.exp_year, card.exp_month).unwrap();
    match (of_links.over(own), own) {
        (Some(of_links), _) => of_links.name(),
        (None, CardStatus::Active | CardStatus::Inactive) if expiry.is_past_at(at) => "expired",
        _ => own.name(),
    }
}

async fn all(store: &Store) -> Vec<CardRow> {
    let cards = store.cards(&CardFilter::default(), None, 1000).await;
    cards.unwrap().data
}

/// Cards of every own status, expired or not, with no link that is held, one that is frozen, one that is closed, and both;
/// a link of the same name in another program is another one, and so is one whose type and id are parted elsewhere.
async fn cards_of_all_kinds(fixture: &Fixture, store: &Store) -> BTreeMap<CardId, LinkStatus> {
    // Those of the history are others.
    let (mut sql, mut held) = ("DELETE FROM link_states;".to_owned(), BTreeMap::new());
    let program = all(store).await[0].program_id;
    for (key, status) in [
        (format!("{program}/team/cold"), "frozen"),
        (format!("{program}/team/shut/2026"), "closed"),
        (format!("{program}/crew/warm"), "frozen"),
        ("prog_0000000000zzz/team/warm".to_owned(), "closed"),
    ] {
        sql.push_str(&format!(
            "INSERT INTO link_states (link_key, status, sequence) VALUES ('{key}', '{status}', 1);"
        ));
    }
    for (place, card) in all(store).await.iter().enumerate() {
        let (own, place) = (NAMES[place % 5].0, place / 5);
        let (year, month) = [(2030, 9), (2030, 10), (2031, 1), (2029, 12)][place % 4];
        sql.push_str(&format!(
            "UPDATE cards SET status = '{own}', exp_year = {year}, exp_month = {month} WHERE id = '{}';",
            card.id
        ));
        let (links, status): (&[&str], _) = match place / 4 % 4 {
            0 => (&["warm"], LinkStatus::Active),
            1 => (&["cold", "warm"], LinkStatus::Frozen),
            2 => (&["shut/2026"], LinkStatus::Closed),
            _ => (&["cold", "shut/2026"], LinkStatus::Closed),
        };
        for link in links {
            sql.push_str(&format!(
                "INSERT INTO card_links (card_id, program_id, link_type, link_id) VALUES \
                 ('{}', '{program}', 'team', '{link}');",
                card.id
            ));
        }
        held.insert(card.id, status);
    }
    fixture.sql(&sql).await;
    held
}

async fn check(
    store: &Store,
    held: &BTreeMap<CardId, LinkStatus>,
) -> BTreeMap<&'static str, usize> {
    // Its last moment is good yet, the next is not.
    let october = Timestamp(
        "2030-10-01T00:00:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_millisecond(),
    );
    let (rows, mut seen) = (all(store).await, BTreeMap::new());
    for at in [october.plus_ms(-1), october] {
        for (status, name) in ToldStatus::ALL {
            let own_statuses = ToldStatus::ALL.iter().map(Some);
            for own in own_statuses.chain([None]) {
                let filter = CardFilter {
                    status: Some(StatusAt {
                        status: *status,
                        at,
                    }),
                    own_status: own.map(|(status, _)| StatusAt {
                        status: *status,
                        at,
                    }),
                    ..CardFilter::default()
                };
                let fits = |card: &&CardRow| {
                    told(card, held[&card.id], at) == *name
                        && own.is_none_or(|(_, own)| told(card, LinkStatus::Active, at) == *own)
                };
                let expected: Vec<CardId> = rows.iter().filter(fits).map(|card| card.id).collect();
                let found = store.cards(&filter, None, 1000).await.unwrap().data;
                let found: Vec<CardId> = found.iter().map(|card| card.id).collect();
                assert_eq!(found, expected, "{filter:?}");
                *seen.entry(*name).or_default() += found.len();
                if let [first, second, ..] = expected[..] {
                    let page = store.cards(&filter, Some(first), 1).await.unwrap();
                    assert_eq!(page.data[0].id, second, "{filter:?}");
                }
            }
        }
    }
    seen
}

async fn a_status_finds_the_cards_that_are_told_with_it(fixture: Fixture) {
    let mut history = history(31, 400);
    (0..200).for_each(|_| history.issue_card());
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    let held = cards_of_all_kinds(&fixture, &store).await;
    let seen = check(&store, &held).await;
    assert!(
        seen.values().all(|count| *count > 4) && seen.len() == 6,
        "{seen:?}"
    );
}

/// More cards than are sought each for itself.
async fn cards_of_very_many_held_links_are_told_apart(fixture: Fixture) {
    let mut history = history(31, 400);
    (0..200).for_each(|_| history.issue_card());
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    let held = cards_of_all_kinds(&fixture, &store).await;
    let program = all(&store).await[0].program_id;
    for link in ["cold", "shut/2026"] {
        fixture
            .sql(&format!(
                "INSERT INTO card_links (card_id, program_id, link_type, link_id) WITH RECURSIVE n (n) AS (SELECT 1 \
                 UNION ALL SELECT n + 1 FROM n WHERE n < 2500) SELECT 'card_x' || n, '{program}', 'team', '{link}' FROM n"
            ))
            .await;
    }
    check(&store, &held).await;
}
