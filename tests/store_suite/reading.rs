//! What the API reads: pages, filters, the tail, a rebuilt store, and settlement figures.

use crate::fixture::{Fixture, MemoryJournal, project};
use crate::history::{EUR, History, START, USD};
use crate::on_both;
use crate::projecting::{expected_rows, history};
use cardswitch::engine::command::Action;
use cardswitch::engine::event::{Event, LedgerAccount};
use cardswitch::engine::facts::Kind;
use cardswitch::engine::ids::{AuthorizationId, CardId};
use cardswitch::engine::kinds::Direction;
use cardswitch::engine::money::Currency;
use cardswitch::engine::programs::ProgramStatus;
use cardswitch::engine::record::Record;
use cardswitch::engine::time::Timestamp;
use cardswitch::engine::top_ups::TopUpStatus;
use cardswitch::settlement::{Format, ReportRequest, render, settlement_report};
use cardswitch::store::query::{AccountFilter, CardFilter};
use cardswitch::store::query_ledger::{EntryCursor, LedgerFilter};
use cardswitch::store::query_money::TopUpFilter;
use cardswitch::store::query_payments::{AuthorizationFilter, TransactionFilter};
use cardswitch::store::rebuild::rebuild;
use cardswitch::store::rows::{
    AuthorizationRow, AuthorizationStatus, TransactionRow, TransactionType,
};
use cardswitch::store::tail::TailFold;
use cardswitch::store::{Store, StoreError};

on_both! {
    pages_stay_stable_while_rows_are_added,
    filters_find_what_they_name,
    the_tail_over_a_stored_row_is_the_row_to_come,
    a_rebuild_gives_the_same_tables_and_leaves_the_others,
    settlement_figures_are_what_was_posted_and_what_is_open,
    settlement_figures_that_are_too_large_are_an_error_in_words,
    transactions_are_listed_and_read,
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
    let programs = store.programs(None, None, 10).await.unwrap().data;
    let [program] = &programs[..] else {
        panic!("{programs:?}");
    };
    let told = [&*program.name, &*program.bins, program.bin.as_str()];
    assert_eq!(told, ["Travel", "422222 411111", "422222"]);
    let of = [&program.product_type, &program.region].map(|word| word.as_deref());
    assert_eq!(of, [Some("prepaid"), Some("US")]);
    assert_eq!(program.status, ProgramStatus::Active);
    let account = history.accounts[0].0;
    let of_account = LedgerFilter {
        account_id: Some(account),
        ..LedgerFilter::default()
    };
    let all = store
        .ledger_entries(&of_account, None, 1000)
        .await
        .unwrap()
        .data;
    let page = store.ledger_entries(&of_account, None, 1).await.unwrap();
    assert!(page.has_more && all.len() > 1);
    let (sequence, leg) = (page.data[0].sequence, page.data[0].leg);
    let cursor = Some(EntryCursor { sequence, leg });
    let rest = store
        .ledger_entries(&of_account, cursor, 1000)
        .await
        .unwrap();
    assert_eq!(rest.data, all[1..]);
    let filter = TopUpFilter {
        account_id: Some(account),
        status: Some(TopUpStatus::Settled),
        ..TopUpFilter::default()
    };
    let top_ups = store.top_ups(&filter, None, 1000).await.unwrap();
    let is_top_up = all.iter().filter(|entry| entry.source_type == "top_up");
    assert_eq!(top_ups.data.len(), is_top_up.count());
    assert!(top_ups.data.len() < all.len(), "nothing was posted");
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
    let merged = rows
        .iter()
        .find(|row| row.status == AuthorizationStatus::Merged);
    let filters = [
        AuthorizationFilter {
            original_authorization_id: merged.unwrap().original_authorization_id,
            ..any.clone()
        },
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
                && (filter.original_authorization_id.is_none()
                    || row.original_authorization_id == filter.original_authorization_id)
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
    assert!(!reversals.is_empty());
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
            let facts_of = |account| history.facts_of(account);
            let row = TailFold::authorization(expected.id, stored, tail, facts_of);
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
    fixture
        .sql("INSERT INTO deliveries (id, event_id, event_type, webhook_endpoint_id, attempt, outcome, response_status, response_body, error, duration_ms, next_attempt_at_ms, created_at_ms) VALUES ('kept', 'evt_1', 'card.frozen', 'we_1', 1, 'succeeded', 200, NULL, NULL, 5, NULL, 1)")
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
    // Where tables are missing, all are made anew.
    for lost in [
        "DROP TABLE cards; DROP TABLE event_counts",
        "DROP TABLE schema_version",
    ] {
        fixture.sql(lost).await;
        let journal = MemoryJournal::new(&history.records);
        let opened = Store::connect(&fixture.url, fixture.dir.path()).await;
        assert!(opened.is_err(), "{lost}");
        rebuild(&store, journal, |_| {}).await.unwrap();
        assert_eq!(fixture.dump().await, before);
        assert_eq!(fixture.dump_table("deliveries").await.len(), 1);
    }
    // Of another journal, too: it replaces what is there.
    let mut other = MemoryJournal::new(&history.records[..300]);
    other.id += 1;
    let done = rebuild(&store, other, |_| {}).await.unwrap();
    assert_eq!(done.projected_through, 300);
}

async fn settlement_figures_are_what_was_posted_and_what_is_open(fixture: Fixture) {
    let mut history = History::new(25, 6, 12);
    // About three days.
    history.go_on(3_000);
    for kind in [
        Kind::Refund,
        Kind::OriginalCredit,
        Kind::DebitAdjustment,
        Kind::CreditAdjustment,
        Kind::Deposit,
        Kind::AccountVerification,
    ] {
        (0..20).for_each(|_| history.authorize(700, kind, 5411));
    }
    let store = fixture.store().await;
    project(&store, &history.records, 1000).await;
    let rows = expected_rows(&history);
    let day = jiff::civil::date(2026, 11, 24);
    let (mut lines_seen, mut reversed_seen) = (0, 0);
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
            let within = |at: Timestamp| at >= from && at < from.plus_ms(24 * 3_600_000);
            let of_network = |name: &str| network.is_none_or(|network| name == network);
            for (currency, alpha) in [(USD, "USD"), (EUR, "EUR")] {
                let posted = posted_of(&history, currency, within, of_network);
                let open = rows.iter().filter(|row| {
                    row.currency == currency
                        && within(row.created_at_ms)
                        && of_network(&row.network)
                });
                let open = open_of(&history, open);
                let total = report.totals.iter().find(|total| total.currency == alpha);
                let told = total.map_or((0, 0, 0, 0), |total| {
                    (total.count, total.posted, total.authorized, total.net)
                });
                let expected = (posted.0 + open.0, posted.1);
                assert_eq!((told.0, told.1), expected, "{date} {network:?} {alpha}");
                assert_eq!(told.2, open.1, "{date} {network:?} {alpha}");
                assert_eq!(told.3, told.1 + told.2);
            }
            let net: i64 = report.lines.iter().map(|line| line.net).sum();
            assert_eq!(
                net,
                report.totals.iter().map(|total| total.net).sum::<i64>()
            );
            for line in &report.lines {
                assert_eq!(line.net, line.gross + line.interchange + line.fees);
                assert_eq!(line.gross, line.posted + line.authorized);
                reversed_seen += usize::from(line.kind.ends_with("_reversal"));
            }
            assert_eq!(report.projected_through, history.last());
            let csv = render(&report, Format::Csv);
            assert_eq!(csv.lines().count(), report.lines.len() + 1);
            lines_seen += report.lines.len();
        }
    }
    let with_mark_up = rows.iter().filter(|row| row.mark_up_minor != 0).count();
    assert!(with_mark_up > 20, "{with_mark_up}");
    assert!(
        lines_seen > 20 && reversed_seen > 0,
        "{lines_seen} {reversed_seen}"
    );
}

async fn settlement_figures_that_are_too_large_are_an_error_in_words(fixture: Fixture) {
    let history = history(26, 800);
    let store = fixture.store().await;
    project(&store, &history.records, 60).await;
    let request = ReportRequest {
        business_date: jiff::civil::date(2026, 11, 24),
        network: None,
        cut_over: jiff::civil::Time::midnight(),
        now: history.at,
    };
    fixture
        .sql("UPDATE transactions SET network_minor = 0")
        .await;
    settlement_report(&store, &request).await.unwrap();
    // One unit of a small currency comes to nothing in the account's, and the network gets its own.
    fixture
        .sql(
            "UPDATE authorizations SET network_minor = 1, mark_up_minor = 0, rounding_minor = -1, \
             amount_minor = 0, posted_minor = 0 WHERE status = 'pending'",
        )
        .await;
    settlement_report(&store, &request).await.unwrap();
    // Two of these go beyond 64 bits, and two and their negatives come to nothing.
    let large = i64::MAX - 5;
    let to_large = |sign: &str, place: u32| {
        format!(
            "UPDATE transactions SET kind = 'purchase', transaction_type = 'payment', network_minor = {sign}{large} \
             WHERE id IN (SELECT id FROM transactions ORDER BY sequence LIMIT 2 OFFSET {place})"
        )
    };
    let start = START.0;
    fixture
        .sql(&format!(
            "UPDATE transactions SET currency = 'USD', created_at_ms = {start}"
        ))
        .await;
    fixture.sql(&to_large("", 0)).await;
    let refused = settlement_report(&store, &request).await.unwrap_err();
    assert!(
        refused.to_string().contains("too large to add up"),
        "{refused}"
    );
    fixture.sql(&to_large("-", 2)).await;
    settlement_report(&store, &request).await.unwrap();
}

/// How many messages posted then, and what the network got by them; from the events alone.
fn posted_of(
    history: &History,
    currency: Currency,
    within: impl Fn(Timestamp) -> bool,
    of_network: impl Fn(&str) -> bool,
) -> (u64, i64) {
    let (mut count, mut sum_minor) = (0, 0);
    for (_, record) in &history.records {
        let Record::Shard { command, event, .. } = record else {
            continue;
        };
        let (postings, network) = match (&command.action, event) {
            (Action::Authorize(authorize), Event::Authorized(authorized)) => {
                (&authorized.postings, &authorize.reference.network)
            }
            (Action::Advise(advise), Event::Advised(advised)) => {
                (&advised.postings, &advise.payment.reference.network)
            }
            (Action::Reverse(reverse), Event::Reversed(reversed)) => {
                (&reversed.postings, &reverse.reference.network)
            }
            (Action::Withhold(withhold), Event::Withheld(withheld)) => {
                (&withheld.postings, &withhold.payment.reference.network)
            }
            (Action::Resolve(resolve), Event::Resolved(resolved)) => {
                let mut sent = history.sent.iter().map(|(_, payment)| payment);
                let sent = sent.find(|sent| sent.authorization_id == resolve.authorization_id);
                match sent {
                    Some(sent) => (&resolved.postings, &sent.reference.network),
                    None => continue,
                }
            }
            _ => continue,
        };
        let in_currency = history.currency_of(command.root) == Some(currency);
        if in_currency && within(command.at) && of_network(network) && !postings.is_empty() {
            count += 1;
            let settled = postings.iter();
            let settled =
                settled.filter(|leg| leg.ledger_account == LedgerAccount::NetworkSettlement);
            sum_minor += settled.map(|leg| leg.amount_minor).sum::<i64>();
        }
    }
    (count, sum_minor)
}

/// How many of these are open in memory, what the network may still get for them, and by how much that may be
/// off: a minor unit for each that was converted and has changed since.
fn open_of<'a>(history: &History, rows: impl Iterator<Item = &'a AuthorizationRow>) -> (u64, i64) {
    let (mut count, mut sum_minor) = (0, 0);
    for row in rows {
        let mut shards = history.world.shards.iter();
        let known = shards.find_map(|shard| shard.authorizations.get(row.id));
        let known = known.filter(|known| known.is_open());
        let asks_nothing = row.kind == Kind::Purchase && row.amount_minor == 0;
        if known.is_none() && !(asks_nothing && row.status == AuthorizationStatus::Pending) {
            continue;
        }
        count += 1;
        let is_credit = known.is_some_and(|known| known.direction == Direction::Credit);
        let open_minor = match known {
            Some(_) if is_credit => row.amount_minor,
            known => known.map_or(0, |known| known.held.account_minor),
        };
        let ours_minor = row.mark_up_minor + row.rounding_minor;
        let came_minor = row.network_minor + ours_minor;
        let network_minor = match ours_minor {
            0 => open_minor,
            _ => {
                let ours = i128::from(ours_minor) * i128::from(open_minor) / i128::from(came_minor);
                open_minor - ours as i64
            }
        };
        sum_minor += if is_credit {
            -network_minor
        } else {
            network_minor
        };
    }
    (count, sum_minor)
}

async fn transactions_are_listed_and_read(fixture: Fixture) {
    let history = history(26, 800);
    let store = fixture.store().await;
    project(&store, &history.records, 60).await;
    let any = TransactionFilter::default();
    let page = store.transactions(&any, None, 1000).await.unwrap();
    let all = page.data;
    assert!(!page.has_more && all.len() > 50, "{}", all.len());
    assert!(all.is_sorted_by(|one, other| one.sequence > other.sequence));
    for row in &all {
        let (position, stored) = store.transaction_at(row.id).await.unwrap();
        assert_eq!((position, stored.as_ref()), (history.last(), Some(row)));
    }
    let one = all
        .iter()
        .filter(|row| row.transaction_type == TransactionType::Reversal)
        .find(|row| {
            let of_account = |other: &&TransactionRow| other.account_id == row.account_id;
            let paid = |other: &TransactionRow| other.transaction_type == TransactionType::Payment;
            all.iter().filter(of_account).any(paid)
        });
    let one = one.unwrap();
    let middle = all[all.len() / 2].created_at_ms;
    for filter in [
        TransactionFilter {
            card_id: Some(one.card_id),
            ..any.clone()
        },
        TransactionFilter {
            account_id: Some(one.account_id),
            transaction_type: Some(TransactionType::Payment),
            ..any.clone()
        },
        TransactionFilter {
            authorization_id: Some(one.authorization_id),
            ..any.clone()
        },
        TransactionFilter {
            created_from: Some(middle),
            ..any.clone()
        },
        TransactionFilter {
            created_until: Some(middle),
            ..any.clone()
        },
    ] {
        let matches = |row: &&TransactionRow| {
            filter.card_id.is_none_or(|id| row.card_id == id)
                && filter.account_id.is_none_or(|id| row.account_id == id)
                && filter
                    .authorization_id
                    .is_none_or(|id| row.authorization_id == id)
                && filter
                    .transaction_type
                    .is_none_or(|kind| row.transaction_type == kind)
                && filter
                    .created_from
                    .is_none_or(|from| row.created_at_ms >= from)
                && filter
                    .created_until
                    .is_none_or(|until| row.created_at_ms < until)
        };
        let expected: Vec<TransactionRow> = all.iter().filter(matches).cloned().collect();
        let found = store.transactions(&filter, None, 1000).await.unwrap().data;
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{filter:?}"
        );
        assert_eq!(found, expected, "{filter:?}");
    }
    let first = store.transactions(&any, None, 7).await.unwrap();
    let after = first.data.last().map(|row| row.id);
    let rest = store.transactions(&any, after, 1000).await.unwrap();
    assert!(first.has_more && rest.data == all[7..]);
    let of = store.transactions_of(&[one.authorization_id], None).await;
    let mut expected = all
        .iter()
        .filter(|row| row.authorization_id == one.authorization_id);
    let ids = of.unwrap().into_iter().rev().map(|(_, id)| id);
    assert!(ids.eq(expected.by_ref().map(|row| row.id)));
    let before = store
        .transactions_of(&[one.authorization_id], Some(one.sequence - 1))
        .await;
    assert!(before.unwrap().iter().all(|(_, id)| *id != one.id));
}
