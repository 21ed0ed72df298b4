//! A database of one test's own: a SQLite file, or a private Postgres cluster.

use cardswitch::engine::record::Record;
use cardswitch::store::Store;
use cardswitch::store::follow::{RecordSource, SourceError};
use cardswitch::store::projection::{BatchStep, Fault, Projector};
use cardswitch::store::rows::Sequence;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tmp_postgrust::synchronous::ProcessGuard;

pub const JOURNAL: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

pub const TABLES: &[&str] = &[
    "projection",
    "programs",
    "accounts",
    "cards",
    "card_links",
    "authorizations",
    "exception_uses",
    "reversals",
    "transactions",
    "top_ups",
    "ledger_entries",
    "transfers",
    "fees",
    "tokens",
    "cardholders",
    "card_reveals",
    "audit_log",
    "events",
    "event_counts",
    "webhook_endpoints",
    "link_states",
    "untold_link_changes",
    "record_times",
    "merchant_names",
];

pub struct Fixture {
    pub url: String,
    pub dir: TempDir,
    _cluster: Option<ProcessGuard>,
}

impl Fixture {
    pub fn sqlite() -> Fixture {
        Fixture {
            url: "sqlite".to_owned(),
            dir: tempfile::tempdir().unwrap(),
            _cluster: None,
        }
    }

    pub fn postgres() -> Fixture {
        let started = std::panic::catch_unwind(tmp_postgrust::new_default_process);
        let mut cluster = match started {
            Ok(Ok(cluster)) => cluster,
            Ok(Err(error)) => panic!("the tests' Postgres does not start: {error}"),
            Err(_) => panic!(
                "the tests need Postgres' own `initdb`: install the package `postgresql` (Debian, \
                 Ubuntu: `apt-get install postgresql`)"
            ),
        };
        // The server stops when nobody reads what it logs.
        let log = cluster.stderr_reader.take();
        std::thread::spawn(move || log.into_iter().flatten().for_each(drop));
        Fixture {
            url: cluster.connection_string(),
            dir: tempfile::tempdir().unwrap(),
            _cluster: Some(cluster),
        }
    }

    pub async fn store(&self) -> Store {
        Store::connect(&self.url, self.dir.path()).await.unwrap()
    }

    pub async fn sql(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url == "sqlite" {
            let mut connection = self.open_sqlite().await;
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// The one number that this query gives.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url == "sqlite" {
            let mut connection = self.open_sqlite().await;
            let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
            row.get(0)
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
            row.get(0)
        }
    }

    /// Drops the indexes of a table that were made as such; gives the statements that make them again.
    pub async fn drop_indexes(&self, table: &str) -> Vec<String> {
        let (names, statements) = match self.url.as_str() {
            "sqlite" => (
                format!(
                    "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}' AND sql IS NOT NULL ORDER BY 1"
                ),
                format!(
                    "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}' AND sql IS NOT NULL ORDER BY name"
                ),
            ),
            _ => (
                format!(
                    "SELECT indexname::text FROM pg_indexes WHERE tablename = '{table}' AND indexdef NOT LIKE '%UNIQUE%' ORDER BY 1"
                ),
                format!(
                    "SELECT indexdef FROM pg_indexes WHERE tablename = '{table}' AND indexdef NOT LIKE '%UNIQUE%' ORDER BY indexname"
                ),
            ),
        };
        let statements = self.texts(&statements).await;
        for name in self.texts(&names).await {
            self.sql(&format!("DROP INDEX {name}")).await;
        }
        statements
    }

    /// The columns of a table that can be written.
    pub async fn columns(&self, table: &str) -> String {
        let sql = match self.url.as_str() {
            "sqlite" => {
                format!("SELECT group_concat(name, ', ') FROM pragma_table_info('{table}')")
            }
            _ => format!(
                "SELECT string_agg(attname::text, ', ' ORDER BY attnum) FROM pg_attribute WHERE \
                 attrelid = '{table}'::regclass AND attnum > 0 AND attgenerated = '' AND NOT attisdropped"
            ),
        };
        self.texts(&sql).await.pop().unwrap()
    }

    /// How the database runs a statement: SQLite's words, or what Postgres has counted, as JSON.
    pub async fn plan(&self, statement: &str) -> String {
        match self.url.as_str() {
            "sqlite" => {
                let lines = self
                    .details(&format!("EXPLAIN QUERY PLAN {statement}"))
                    .await;
                lines.join("\n")
            }
            _ => {
                let explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)";
                self.json(&format!("{explain} {statement}")).await
            }
        }
    }

    async fn details(&self, sql: &str) -> Vec<String> {
        let mut connection = self.open_sqlite().await;
        let sql = AssertSqlSafe(sql.to_owned());
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get(3)).collect()
    }

    async fn json(&self, sql: &str) -> String {
        use sqlx::Executor;
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        // The tables of a test are small; of large ones nothing is read whole.
        let off = "SET enable_seqscan = off";
        sqlx::raw_sql(off).execute(&mut connection).await.unwrap();
        let row = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
        let row = row.await.unwrap();
        row.try_get_raw(0).unwrap().as_str().unwrap().to_owned()
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url == "sqlite" {
            let mut connection = self.open_sqlite().await;
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }
    }

    async fn open_sqlite(&self) -> SqliteConnection {
        let file = self.dir.path().join("cardswitch.sqlite");
        let url = format!("sqlite://{}", file.display());
        SqliteConnection::connect(&url).await.unwrap()
    }

    /// Every row of every derived table, as text, in order.
    pub async fn dump(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for table in TABLES {
            rows.extend(
                self.dump_table(table)
                    .await
                    .into_iter()
                    .map(|row| format!("{table}: {row}")),
            );
        }
        rows
    }

    pub async fn dump_table(&self, table: &str) -> Vec<String> {
        let text = |row: &str| row.to_owned();
        if self.url == "sqlite" {
            let mut connection = self.open_sqlite().await;
            let columns = "SELECT group_concat('quote(' || name || ')', ' || '','' || ') \
                           FROM pragma_table_info($1)";
            let columns: String = sqlx::query(columns)
                .bind(table.to_owned())
                .fetch_one(&mut connection)
                .await
                .unwrap()
                .get(0);
            let sql = AssertSqlSafe(format!("SELECT {columns} FROM {table} ORDER BY 1"));
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| text(row.get(0))).collect()
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let sql = AssertSqlSafe(format!("SELECT t::text FROM {table} AS t ORDER BY 1"));
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| text(row.get(0))).collect()
        }
    }
}

/// Projects these records in batches of the given size, to their end.
pub async fn project(store: &Store, records: &[(Sequence, Record)], batch: usize) {
    let mut projector = Projector::open(store, JOURNAL).await.unwrap();
    for records in records.chunks(batch) {
        projector.apply(records).await.unwrap();
    }
}

/// Strikes the first time that this step is reached.
pub fn once(step: BatchStep) -> Fault {
    let struck = AtomicBool::new(false);
    Arc::new(move |at| at == step && !struck.swap(true, Ordering::SeqCst))
}

/// What the tables come to where nothing ever goes wrong, on a database of the same kind.
pub async fn expected_dump(like: &Fixture, records: &[(Sequence, Record)]) -> Vec<String> {
    let reference = match like.url.as_str() {
        "sqlite" => Fixture::sqlite(),
        _ => Fixture::postgres(),
    };
    project(&reference.store().await, records, 500).await;
    reference.dump().await
}

/// Rows of two dumps, one after the other, with the first that differ where they do.
#[track_caller]
pub fn assert_same(found: &[String], expected: &[String]) {
    let differ = found
        .iter()
        .zip(expected)
        .filter(|(found, expected)| found != expected);
    for (found, expected) in differ.take(3) {
        eprintln!("found:    {found}\nexpected: {expected}");
    }
    assert!(
        found == expected,
        "{} rows, expected {}",
        found.len(),
        expected.len()
    );
}

type Shared = (Mutex<Vec<(Sequence, Record)>>, Condvar);

/// A journal in memory that grows while it is followed.
#[derive(Clone)]
pub struct MemoryJournal {
    shared: Arc<Shared>,
    at: usize,
    pub id: u128,
}

impl MemoryJournal {
    pub fn new(records: &[(Sequence, Record)]) -> MemoryJournal {
        MemoryJournal {
            shared: Arc::new((Mutex::new(records.to_vec()), Condvar::new())),
            at: 0,
            id: JOURNAL,
        }
    }

    pub fn append(&self, records: &[(Sequence, Record)]) {
        self.shared.0.lock().unwrap().extend_from_slice(records);
        self.shared.1.notify_all();
    }
}

impl RecordSource for MemoryJournal {
    fn journal_id(&self) -> u128 {
        self.id
    }

    fn durable(&self) -> Sequence {
        self.shared.0.lock().unwrap().len() as Sequence
    }

    fn seek(&mut self, from: Sequence) -> Result<(), SourceError> {
        self.at = from as usize - 1;
        Ok(())
    }

    fn next_batch(
        &mut self,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(Sequence, Record)>, SourceError> {
        let (records, grown) = &*self.shared;
        let records = records.lock().unwrap();
        let (records, _) = grown
            .wait_timeout_while(records, wait, |records| records.len() <= self.at)
            .unwrap();
        let end = records.len().min(self.at + limit);
        let batch = records[self.at.min(end)..end].to_vec();
        self.at = end.max(self.at);
        Ok(batch)
    }
}

/// Runs one suite on both databases.
#[macro_export]
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::fixture::Fixture::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::fixture::Fixture::postgres()).await;
            })*
        }
    };
}
