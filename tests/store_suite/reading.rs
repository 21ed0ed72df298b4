//! What the API reads: pages, filters, the tail, a rebuilt store, and settlement figures.

use crate::fixture::{Fixture, MemoryJournal, project};
use crate::history::{EUR, History, START, USD};
use crate::on_both;
use crate::projecting::{expected_rows, history};
use cardswitch::engine::facts::Kind;
use cardswitch::engine::ids::{AuthorizationId, CardId};
use cardswitch::engine::time::Timestamp;
use cardswitch::settlement::{Format, ReportRequest, render, settlement_report};
use cardswitch::store::StoreError;
use cardswitch::store::query::{AccountFilter, AuthorizationFilter, CardFilter, EntryCursor};
use cardswitch::store::rebuild::rebuild;
use cardswitch::store::rows::{AuthorizationRow, AuthorizationStatus};
use cardswitch::store::tail::TailFold;

on_both! {
    pages_stay_stable_while_rows_are_added,
    filters_find_what_they_name,
    the_tail_over_a_stored_row_is_the_row_to_come,
    a_rebuild_gives_the_same_tables_and_leaves_the_others,
    settlement_figures_are_those_of_the_authorizations,
}

async fn pages_stay_stable_while_rows_are_added(fixture: Fixture) {
    let history = history(21, 500);
    let (store, start) = (fixture.store().await, history.records.len() / 2);
    project(&store, &history.records[..start], 100).await;
    let filter = AuthorizationFilter::default();
    let before = store.authorizations(&filter, None, 1000).await.unwrap();
    let (mut cursor, mut seen, mut fed) = (None, Vec::new(), start);
    loop {
        let page = store.authorizations(&filter, cursor, 7).await.unwrap();
        assert!(page.data.len() == 7 || !page.has_more);
        cursor = page.data.last().map(|row| row.id);
        seen.extend(page.data.into_iter().map(|row| row.id));
        if !page.has_more {
            break;
        }
        let next = (fed + 11).min(history.records.len());
        project(&store, &history.records[fed..next], 100).await;
        fed = next;
    }
    assert!(fed > start, "nothing was added meanwhile");
    assert_eq!(
        seen,
        before.data.iter().map(|row| row.id).collect::<Vec<_>>()
    );
    let unknown = AuthorizationId(u64::MAX);
    let refused = store.authorizations(&filter, Some(unknown), 7).await;
    assert!(matches!(refused, Err(StoreError::UnknownCursor(_))));
    lists_page_alike(&fixture, &history).await;
}

async fn lists_page_alike(fixture: &Fixture, history: &History) {
    let store = fixture.store().await;
    let position = store.projection().await.unwrap().position as usize;
    project(&store, &history.records[position..], 100).await;
    let first = store
        .accounts(&AccountFilter::default(), None, 2)
        .await
        .unwrap();
    assert!(first.has_more);
    assert_eq!(first.projected_through, history.last());
    let after = Some(first.data[1].id);
    let rest = store
        .accounts(&AccountFilter::default(), after, 1000)
        .await
        .unwrap();
    assert_eq!(rest.data.len() + 2, history.accounts.len());
    assert_eq!(store.programs(None, 10).await.unwrap().data.len(), 1);
    let account = history.accounts[0].0;
    let all = store
        .ledger_entries(account, None, 1000)
        .await
        .unwrap()
        .data;
    let page = store.ledger_entries(account, None, 1).await.unwrap();
    assert!(page.has_more && all.len() > 1);
    let (sequence, leg) = (page.data[0].sequence, page.data[0].leg);
    let cursor = Some(EntryCursor { sequence, leg });
    let rest = store.ledger_entries(account, cursor, 1000).await.unwrap();
    assert_eq!(rest.data, all[1..]);
    let top_ups = store.top_ups(Some(account), None, 1000).await.unwrap();
    assert_eq!(top_ups.data.len(), all.len());
    assert_eq!(top_ups.data[0].external_reference.as_deref(), Some("W  1"));
}

async fn filters_find_what_they_name(fixture: Fixture) {
    let history = history(22, 600);
    let store = fixture.store().await;
    project(&store, &history.records, 200).await;
    let rows = expected_rows(&history);
    let cards: Vec<CardId> = history.cards.iter().map(|(id, _)| *id).collect();
    let links = store.card_links(&cards).await.unwrap();
    let linked = |card: CardId, link_type: &str, id: Option<&str>| {
        links.iter().any(|link| {
            link.card_id == card
                && link.link_type == link_type
                && id.is_none_or(|id| link.link_id == id)
        })
    };
    let any = AuthorizationFilter::default();
    let reversed = rows
        .iter()
        .find(|row| row.status == AuthorizationStatus::Reversed);
    let declined = rows
        .iter()
        .find(|row| row.reason.is_some() && row.account_id.is_some());
    let (reversed, declined) = (reversed.unwrap(), declined.unwrap());
    let filters = [
        AuthorizationFilter {
            card_id: Some(declined.card_id),
            ..any.clone()
        },
        AuthorizationFilter {
            account_id: declined.account_id,
            ..any.clone()
        },
        AuthorizationFilter {
            status: Some(reversed.status),
            ..any.clone()
        },
        AuthorizationFilter {
            reason: declined.reason,
            ..any.clone()
        },
        AuthorizationFilter {
            link_type: Some("project".into()),
            link_id: Some("project1".into()),
            ..any.clone()
        },
        AuthorizationFilter {
            link_type: Some("user".into()),
            ..any.clone()
        },
        AuthorizationFilter {
            card_id: Some(declined.card_id),
            reason: declined.reason,
            status: Some(AuthorizationStatus::Declined),
            ..any.clone()
        },
    ];
    for filter in filters {
        let matches = |row: &&AuthorizationRow| {
            filter.card_id.is_none_or(|id| row.card_id == id)
                && (filter.account_id.is_none() || row.account_id == filter.account_id)
                && filter.status.is_none_or(|status| row.status == status)
                && (filter.reason.is_none() || row.reason == filter.reason)
                && filter.link_type.as_deref().is_none_or(|link_type| {
                    linked(row.card_id, link_type, filter.link_id.as_deref())
                })
        };
        let mut expected: Vec<_> = rows.iter().filter(matches).cloned().collect();
        expected.reverse();
        let found = store
            .authorizations(&filter, None, 1000)
            .await
            .unwrap()
            .data;
        assert!(
            !expected.is_empty() && expected.len() < rows.len(),
            "{filter:?}"
        );
        assert_eq!(found, expected, "{filter:?}");
    }
    let filter = CardFilter {
        link_type: Some("project".into()),
        link_id: Some("project1".into()),
        ..CardFilter::default()
    };
    let cards = store.cards(&filter, None, 1000).await.unwrap().data;
    assert!(
        !cards.is_empty()
            && cards
                .iter()
                .all(|card| linked(card.id, "project", Some("project1")))
    );
    let reversals = store.reversals(reversed.id).await.unwrap();
    assert_eq!(reversals.len(), 1);
}

async fn the_tail_over_a_stored_row_is_the_row_to_come(fixture: Fixture) {
    let history = history(23, 250);
    let store = fixture.store().await;
    let rows = expected_rows(&history);
    let mut fed = 0;
    for stop in [0, 40, 120, history.records.len()] {
        project(&store, &history.records[fed..stop], 1000).await;
        fed = stop;
        let mut from_tail = 0;
        for expected in &rows {
            let (position, stored) = store.authorization_at(expected.id).await.unwrap();
            assert_eq!(position, stop as u64);
            from_tail += i32::from(stored.is_none());
            let tail = &history.records[position as usize..];
            let currency_of = |account| history.currency_of(account);
            let row = TailFold::authorization(expected.id, stored, tail, currency_of);
            assert_eq!(row.as_ref(), Some(expected));
        }
        assert!(stop == 0 || stop == history.records.len() || from_tail > 0);
    }
    let unknown = AuthorizationId(u64::MAX);
    assert_eq!(store.authorization(unknown).await.unwrap(), None);
    let nothing = TailFold::authorization(unknown, None, &history.records, |_| None);
    assert_eq!(nothing, None);
}

async fn a_rebuild_gives_the_same_tables_and_leaves_the_others(fixture: Fixture) {
    let history = history(24, 800);
    let store = fixture.store().await;
    project(&store, &history.records, 77).await;
    let before = fixture.dump().await;
    fixture.sql("CREATE TABLE deliveries (id TEXT)").await;
    fixture
        .sql("INSERT INTO deliveries (id) VALUES ('kept')")
        .await;
    fixture.sql("DELETE FROM authorizations").await;
    fixture.sql("UPDATE accounts SET posted_minor = 1").await;
    assert_ne!(fixture.dump().await, before);
    let mut told = Vec::new();
    let journal = MemoryJournal::new(&history.records);
    let done = rebuild(&store, journal, |progress| told.push(progress))
        .await
        .unwrap();
    assert_eq!(done.projected_through, history.last());
    assert_eq!(told.last(), Some(&done));
    assert_eq!(fixture.dump().await, before);
    assert_eq!(fixture.dump_table("deliveries").await.len(), 1);
    // Of another journal, too: it replaces what is there.
    let mut other = MemoryJournal::new(&history.records[..300]);
    other.id += 1;
    let done = rebuild(&store, other, |_| {}).await.unwrap();
    assert_eq!(done.projected_through, 300);
}

async fn settlement_figures_are_those_of_the_authorizations(fixture: Fixture) {
    let mut history = History::new(25, 6, 12);
    // About three days.
    history.go_on(3_000);
    for kind in [
        Kind::Refund,
        Kind::OriginalCredit,
        Kind::AccountVerification,
    ] {
        (0..20).for_each(|_| history.authorize(700, kind, 5411));
    }
    let store = fixture.store().await;
    project(&store, &history.records, 1000).await;
    let day = jiff::civil::date(2026, 11, 24);
    let mut lines_seen = 0;
    for (date, cut_over, from_ms) in [
        (day, 0, 0),
        (day.tomorrow().unwrap(), 0, 24 * 3_600_000),
        (day.tomorrow().unwrap(), 6, 6 * 3_600_000),
        (jiff::civil::date(2026, 1, 1), 0, -400 * 24 * 3_600_000_i64),
    ] {
        for network in [None, Some("visa"), Some("mastercard")] {
            let request = ReportRequest {
                business_date: date,
                network: network.map(str::to_owned),
                cut_over: jiff::civil::time(cut_over, 0, 0, 0),
                now: history.at,
            };
            let report = settlement_report(&store, &request).await.unwrap();
            let from = Timestamp(START.0 + from_ms);
            let until = from.plus_ms(24 * 3_600_000);
            for (currency, alpha) in [(USD, "USD"), (EUR, "EUR")] {
                let kept: Vec<AuthorizationRow> = expected_rows_between(&history, from, until)
                    .into_iter()
                    .filter(|row| row.currency == currency)
                    .filter(|row| network.is_none_or(|network| &row.network == network))
                    .collect();
                let owed: i64 = kept.iter().map(signed).sum();
                let total = report.totals.iter().find(|total| total.currency == alpha);
                assert_eq!(
                    total.map_or(0, |total| total.net),
                    owed,
                    "{date} {network:?} {alpha}"
                );
                let count = kept
                    .iter()
                    .filter(|row| row.kind != Kind::AccountVerification);
                assert_eq!(total.map_or(0, |total| total.count), count.count() as u64);
            }
            let net: i64 = report.lines.iter().map(|line| line.net).sum();
            assert_eq!(
                net,
                report.totals.iter().map(|total| total.net).sum::<i64>()
            );
            assert!(
                report
                    .lines
                    .iter()
                    .all(|l| l.net == l.gross + l.interchange + l.fees)
            );
            assert_eq!(report.projected_through, history.last());
            let csv = render(&report, Format::Csv);
            assert_eq!(csv.lines().count(), report.lines.len() + 1);
            lines_seen += report.lines.len();
        }
    }
    assert!(lines_seen > 20, "{lines_seen}");
    let with_mark_up = expected_rows(&history)
        .iter()
        .filter(|row| row.mark_up_minor != 0)
        .count();
    assert!(with_mark_up > 20, "{with_mark_up}");
}

fn signed(row: &AuthorizationRow) -> i64 {
    match row.kind {
        Kind::Refund | Kind::OriginalCredit => -row.network_minor,
        Kind::AccountVerification => 0,
        _ => row.network_minor,
    }
}

fn expected_rows_between(
    history: &History,
    from: Timestamp,
    until: Timestamp,
) -> Vec<AuthorizationRow> {
    let rows = history.records.iter().filter_map(|(sequence, record)| {
        let currency_of = |account| history.currency_of(account);
        cardswitch::store::from_record::authorization_row(*sequence, record, currency_of)
    });
    let held = |id: AuthorizationId| history.world.shards.iter().any(|s| s.holds.contains(id));
    rows.filter(|row| row.created_at_ms >= from && row.created_at_ms < until)
        .filter(|row| row.status == AuthorizationStatus::Pending)
        .filter(|row| row.amount_minor == 0 || held(row.id))
        .collect()
}
