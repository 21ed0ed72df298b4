//! How fast the projection is, beside a plain COPY of the same rows into the same table. Prints its
//! figures and asserts none; `CARDSWITCH_STORE_RECORDS` sets how many records (`--release
//! --nocapture` to measure), `CARDSWITCH_STORE_TCP=1` goes over TCP instead of a Unix socket.

use crate::cluster;
use crate::fixture::{Fixture, JOURNAL, MemoryJournal};
use crate::history::History;
use crate::on_both;
use cardswitch::engine::facts::Kind;
use cardswitch::store::follow::RecordSource;
use cardswitch::store::projection::Projector;
use cardswitch::store::query_payments::AuthorizationFilter;
use cardswitch::store::rebuild::rebuild;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::time::{Duration, Instant};

on_both! {
    all_records_arrive,
}

fn count() -> usize {
    let asked = std::env::var("CARDSWITCH_STORE_RECORDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// Authorizations on many cards, one in five of them posted at once; one in ten reversed, one in ten completed.
fn traffic(count: usize) -> History {
    let mut history = History::new(31, 200, 2_000);
    while (history.last() as usize) < count {
        history.at = history.at.plus_ms(1);
        let amount_minor = 1 + history.last() as i64 % 900;
        if history.last().is_multiple_of(5) {
            history.pay(amount_minor);
        } else {
            history.authorize(amount_minor, Kind::Purchase, 5411);
        }
        let place = history.authorizations.len().saturating_sub(200);
        match history.last() % 10 {
            _ if place == 0 => {}
            0 => history.reverse(place),
            5 => history.complete(place),
            _ => {}
        }
    }
    history
}

async fn all_records_arrive(fixture: Fixture) {
    let history = traffic(count());
    let overhead = if fixture.url == "sqlite" || std::env::var("CARDSWITCH_STORE_TCP").is_err() {
        None
    } else {
        let stopped = cluster::stop(&fixture).await;
        Some(cluster::start(&stopped, &fixture, &["listen_addresses=127.0.0.1"]).await)
    };
    let mut fixture = fixture;
    if overhead.is_some() {
        let socket = fixture.url.split("host=").nth(1).unwrap();
        let socket = socket.split('&').next().unwrap().to_owned();
        fixture.url = fixture.url.replace(&socket, "127.0.0.1");
    }
    let store = fixture.store().await;
    let mut journal = MemoryJournal::new(&history.records);
    let mut projector = Projector::open(&store, JOURNAL).await.unwrap();
    let begun = Instant::now();
    loop {
        let batch = journal.next_batch(4096, Duration::ZERO).unwrap();
        if batch.is_empty() {
            break;
        }
        projector.apply(&batch).await.unwrap();
    }
    let rate = |begun: Instant, rows: u64| rows as f64 / begun.elapsed().as_secs_f64();
    let projected = rate(begun, history.last());
    let journal = MemoryJournal::new(&history.records);
    let begun = Instant::now();
    rebuild(&store, journal, |_| {}).await.unwrap();
    println!(
        "{}: projected {projected:.0} records/s, rebuilt {:.0} records/s",
        store.url().split(':').next().unwrap(),
        rate(begun, history.last())
    );
    if fixture.url != "sqlite" {
        println!(
            "postgres: plain COPY {:.0} rows/s",
            plain_copy(&fixture.url).await
        );
    }
    let page = store
        .authorizations(&AuthorizationFilter::default(), None, 1)
        .await;
    assert_eq!(page.unwrap().projected_through, history.last());
    let authorized = fixture.dump_table("authorizations").await.len();
    assert_eq!(authorized, history.authorizations.len());
}

/// The rows of the authorizations, as one COPY into a table with the same columns and indexes.
async fn plain_copy(url: &str) -> f64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE plain (LIKE authorizations INCLUDING ALL)")
        .execute(&mut connection)
        .await
        .unwrap();
    let data: String = sqlx::query("SHOW data_directory")
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    let file = format!("{data}/plain.copy");
    let sql = format!(
        "COPY (SELECT * FROM authorizations ORDER BY sequence) TO '{file}' (FORMAT binary)"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    let rows = std::fs::read(file).unwrap();
    let begun = Instant::now();
    let mut copy = connection
        .copy_in_raw("COPY plain FROM STDIN (FORMAT binary)")
        .await
        .unwrap();
    copy.send(rows).await.unwrap();
    let copied = copy.finish().await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let counted: i64 = sqlx::query("SELECT COUNT(*) FROM plain")
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    assert_eq!(counted as u64, copied);
    copied as f64 / seconds
}
