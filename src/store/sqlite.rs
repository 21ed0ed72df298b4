//! The projection in SQLite: one writer connection, multi-row inserts, one transaction each batch.

use super::batch::Move;
use super::both::same_in_both;
use super::columns::{Sink, Source, TableRow};
use super::database::{
    FORGOTTEN_AT_ONCE, Migration, Position, QUERY_TIMEOUT, RowChange, VERSIONS, Value, Writer,
    all_tables,
};
use super::effect::Change;
use super::projection::ProjectionState;
use super::rows::{AuthorizationResult, AuthorizationStatus, Sequence};
use super::sqlite_tables::{check_tables, check_versions_are_there, missing_tables};
use crate::engine::ids::{AccountId, AuthorizationId, CardId};
use crate::engine::time::{Expiry, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{
    Arguments, AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    SqliteTransaction, ValueRef,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) const MIGRATIONS: &[Migration] = &[
    include_str!("migrations/sqlite/0001_projection.sql"),
    include_str!("migrations/sqlite/0002_card_reveals.sql"),
    include_str!("migrations/sqlite/0003_requested_amount.sql"),
    include_str!("migrations/sqlite/0004_postings.sql"),
    include_str!("migrations/sqlite/0005_conversions.sql"),
    include_str!("migrations/sqlite/0006_decision_calls.sql"),
    include_str!("migrations/sqlite/0007_audit_log.sql"),
    include_str!("migrations/sqlite/0008_events.sql"),
    include_str!("migrations/sqlite/0009_reissued_cards.sql"),
    include_str!("migrations/sqlite/0010_money.sql"),
    include_str!("migrations/sqlite/0011_fees.sql"),
    include_str!("migrations/sqlite/0012_tokens.sql"),
    include_str!("migrations/sqlite/0013_lists.sql"),
    include_str!("migrations/sqlite/0014_programs.sql"),
    include_str!("migrations/sqlite/0015_audit_outcomes.sql"),
    include_str!("migrations/sqlite/0016_limit_thresholds.sql"),
    include_str!("migrations/sqlite/0017_journal_chain.sql"),
    include_str!("migrations/sqlite/0020_card_link_numbers.sql"),
    include_str!("migrations/sqlite/0021_approved_part.sql"),
    include_str!("migrations/sqlite/0022_untold_link_changes.sql"),
    include_str!("migrations/sqlite/0023_sought_alone.sql"),
    include_str!("migrations/sqlite/0024_told_status.sql"),
    include_str!("migrations/sqlite/0025_ledger_lists.sql"),
    include_str!("migrations/sqlite/0026_event_places.sql"),
    include_str!("migrations/sqlite/0027_cardholders.sql"),
    include_str!("migrations/sqlite/0028_program_bins.sql"),
    include_str!("migrations/sqlite/0029_status_reasons.sql"),
    include_str!("migrations/sqlite/0030_own_money.sql"),
];

const VERSIONS_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT";

const READERS_MAX: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Steps of SQLite's machine between two looks at the clock: a few milliseconds at most.
const STEPS_BETWEEN_LOOKS: i32 = 20_000;
/// Rows of one INSERT; the rest of a batch goes in halves of it, so that few statements serve all.
const ROWS_PER_INSERT: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    file: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    /// For what callers ask for, and may make large: it keeps nobody else waiting.
    lists: SqlitePool,
}

impl Sqlite {
    pub fn new(path: &Path) -> Sqlite {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A crash of the machine may take the last commits, position included: pulled again.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", "-65536")
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        let readers = options.clone().pragma("query_only", "ON");
        let pool = |max| {
            SqlitePoolOptions::new()
                .max_connections(max)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        // On a full disk SQLite rolls back by itself. sqlx's own rollback then fails, and from there on it
        // takes the connection to be inside a transaction: every BEGIN on it is refused, for ever.
        let writer = pool(1).after_release(|connection, _| {
            Box::pin(async move {
                // Answered once the rollback before it was tried.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        });
        Sqlite {
            file: path.to_owned(),
            writer: writer.connect_lazy_with(options),
            readers: pool(READERS_MAX).connect_lazy_with(readers.clone()),
            lists: pool(READERS_MAX).connect_lazy_with(readers),
        }
    }

    /// The version that the tables have after all migrations above it were run.
    pub async fn migrate(&self) -> Result<i64, sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        check_versions_are_there(&mut transaction).await?;
        let version = run_migrations(&mut transaction, VERSIONS_TABLE).await?;
        check_tables(&mut transaction, version).await?;
        transaction.commit().await?;
        Ok(version)
    }

    /// The version of the tables that are there, none is 0, and how far they are. Changes nothing, and makes no file.
    pub async fn look(&self) -> Result<(i64, Option<ProjectionState>), sqlx::Error> {
        if !self.file.try_exists()? {
            return Ok((0, None));
        }
        // Without its log nobody has it open, and SQLite is to make none for us. With one, as after a crash, SQLite builds the
        // index of the log (`-shm`) anew, as for any reader; that holds nothing.
        let is_at_rest = !self.beside("-wal").try_exists()?;
        let options = SqliteConnectOptions::new()
            .filename(&self.file)
            .read_only(true)
            .immutable(is_at_rest)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let looked = look_at_tables(&mut connection).await;
        connection.close().await?;
        looked
    }

    /// Makes all tables anew, empty but for what is in no journal.
    pub async fn remake(&self) -> Result<(), sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let missing = missing_tables(&mut transaction).await?;
        let has_deliveries = !missing.iter().any(|table| table == "deliveries");
        remake_tables(&mut transaction, has_deliveries).await?;
        transaction.commit().await
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A file that SQLite keeps beside its own.
    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(end);
        PathBuf::from(path)
    }

    pub async fn fetch<T>(
        &self,
        sql: String,
        values: &[Value],
        decode: impl Fn(&dyn Source) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let rows = bind(sql, values).fetch_all(&self.readers).await?;
        rows.iter().map(|row| decode(row)).collect()
    }

    /// The same, interrupted where it takes too long.
    pub async fn fetch_in_time<T>(
        &self,
        sql: String,
        values: &[Value],
        decode: impl Fn(&dyn Source) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let mut connection = self.lists.acquire().await?;
        let until = Instant::now() + QUERY_TIMEOUT;
        let in_time = move || Instant::now() < until;
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS_BETWEEN_LOOKS, in_time);
        drop(handle);
        let rows = bind(sql, values).fetch_all(&mut *connection).await;
        connection.lock_handle().await?.remove_progress_handler();
        rows?.iter().map(|row| decode(row)).collect()
    }

    pub async fn begin(&self) -> Result<SqliteWriter, sqlx::Error> {
        Ok(SqliteWriter(
            self.writer.begin_with("BEGIN IMMEDIATE").await?,
        ))
    }

    pub async fn empty(&self, tables: &[&str]) -> Result<(), sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for table in tables {
            let sql = format!("DELETE FROM {table}");
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Closes the file and renames it, with what belongs to it; gives its new name.
    pub async fn put_aside(&self) -> std::io::Result<PathBuf> {
        self.close().await;
        let beside = |end| self.beside(end);
        let aside = beside(".damaged");
        std::fs::rename(&self.file, &aside)?;
        let rest = [
            std::fs::rename(beside("-wal"), beside(".damaged-wal")),
            std::fs::remove_file(beside("-shm")),
        ];
        for done in rest {
            match done {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(aside)
    }

    pub async fn close(&self) {
        self.readers.close().await;
        self.lists.close().await;
        self.writer.close().await;
    }
}

async fn look_at_tables(
    connection: &mut SqliteConnection,
) -> Result<(i64, Option<ProjectionState>), sqlx::Error> {
    check_versions_are_there(connection).await?;
    let missing = missing_tables(connection).await?;
    if missing.iter().any(|table| table == VERSIONS) {
        return Ok((0, None));
    }
    let sql = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
    let row = sqlx::query(sql).fetch_one(&mut *connection).await?;
    let version = row.try_get(0)?;
    check_tables(connection, version).await?;
    let state = projection_state(connection, version).await?;
    Ok((version, state))
}

same_in_both!(sqlx::Sqlite, SqliteConnection, SqliteArguments, SqliteRow);

/// The first encoding error, if any, is kept for when the statement is run.
#[derive(Default)]
struct Binds {
    arguments: SqliteArguments,
    error: Option<sqlx::Error>,
}

impl Binds {
    fn note(&mut self, added: Result<(), sqlx::error::BoxDynError>) {
        if let Err(error) = added {
            self.error.get_or_insert(sqlx::Error::Encode(error));
        }
    }
}

impl Sink for Binds {
    fn null(&mut self) {
        let added = Arguments::add(&mut self.arguments, None::<i64>);
        self.note(added);
    }

    fn int(&mut self, value: i64) {
        let added = Arguments::add(&mut self.arguments, value);
        self.note(added);
    }

    fn text(&mut self, value: &str) {
        let added = Arguments::add(&mut self.arguments, value.to_owned());
        self.note(added);
    }

    fn bytes(&mut self, value: &[u8]) {
        let added = Arguments::add(&mut self.arguments, value.to_owned());
        self.note(added);
    }
}

fn insert_sql<R: TableRow>(rows: usize) -> String {
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", R::TABLE, R::select());
    let row = format!("({})", vec!["?"; R::COLUMNS.len()].join(","));
    for place in 0..rows {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(sql, "{comma}{row}");
    }
    sql
}

pub(super) struct SqliteWriter(SqliteTransaction<'static>);

impl SqliteWriter {
    fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

impl Writer for SqliteWriter {
    async fn adopt(&mut self, journal: &str) -> Result<(), sqlx::Error> {
        adopt(self.connection(), journal).await
    }

    async fn move_position(
        &mut self,
        journal: &str,
        from: Sequence,
        to: Position,
    ) -> Result<bool, sqlx::Error> {
        move_position(self.connection(), journal, from, to).await
    }

    async fn insert<R: TableRow + Sync>(&mut self, rows: &[R]) -> Result<(), sqlx::Error> {
        let mut rest = rows;
        let mut size = ROWS_PER_INSERT;
        while !rest.is_empty() {
            while size > rest.len() {
                size /= 2;
            }
            let (chunk, after) = rest.split_at(size);
            let mut binds = Binds::default();
            chunk.iter().for_each(|row| row.put(&mut binds));
            if let Some(error) = binds.error {
                return Err(error);
            }
            let sql = AssertSqlSafe(insert_sql::<R>(size));
            let query = sqlx::query_with(sql, binds.arguments);
            query.execute(self.connection()).await?;
            rest = after;
        }
        Ok(())
    }

    async fn replace<R: TableRow + Sync>(
        &mut self,
        key: &str,
        keys: &[String],
        rows: &[R],
    ) -> Result<(), sqlx::Error> {
        if !keys.is_empty() {
            let table = R::TABLE;
            let sql =
                format!("DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each($1))");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(serde_json::json!(keys).to_string());
            query.execute(self.connection()).await?;
        }
        self.insert(rows).await
    }

    async fn change_authorizations(
        &mut self,
        changes: &BTreeMap<AuthorizationId, Change>,
    ) -> Result<u64, sqlx::Error> {
        let changes: Vec<_> = changes
            .iter()
            .map(|(id, change)| {
                let status = change.status.map(AuthorizationStatus::name);
                let expires_at_ms = change.expires_at.map(|at| at.0);
                serde_json::json!([
                    id.to_string(),
                    change.amount_minor,
                    change.added_minor,
                    change.posted_minor,
                    status,
                    expires_at_ms,
                    change.declined.map(|(step, _)| step.name()),
                    change.declined.map(|(_, reason)| reason.name()),
                    change.result.map(AuthorizationResult::name),
                    change
                        .if_waiting
                        .filter(|_| change.is_undecided())
                        .map(|ends| ends as i64),
                    change.call.map(|call| call.outcome.name()),
                    change.call.map(|call| call.duration_ms),
                    change.call.map(|call| i64::from(call.fallback_used)),
                    change.approved_transaction_minor,
                ])
            })
            .collect();
        let sql = "UPDATE authorizations SET \
                   amount_minor = COALESCE(changed.value ->> 1, amount_minor) + (changed.value ->> 2), \
                   posted_minor = posted_minor + (changed.value ->> 3), \
                   status = COALESCE(changed.value ->> 4, status), \
                   expires_at_ms = COALESCE(changed.value ->> 5, expires_at_ms), \
                   step = COALESCE(changed.value ->> 6, \
                     CASE WHEN result = 'waiting' AND changed.value ->> 9 = 0 THEN 'customer_decision' END, step), \
                   reason = COALESCE(changed.value ->> 7, \
                     CASE WHEN result = 'waiting' AND changed.value ->> 9 = 0 THEN 'reversed_before_original' END, reason), \
                   approval_code = CASE WHEN changed.value ->> 7 IS NOT NULL \
                     OR result = 'waiting' AND changed.value ->> 9 = 0 THEN NULL ELSE approval_code END, \
                   approved_transaction_minor = CASE WHEN changed.value ->> 7 IS NOT NULL \
                     OR result = 'waiting' AND changed.value ->> 9 = 0 THEN NULL \
                     ELSE COALESCE(changed.value ->> 13, approved_transaction_minor) END, \
                   result = CASE WHEN changed.value ->> 7 IS NOT NULL THEN 'declined' \
                     WHEN changed.value ->> 8 IS NOT NULL THEN changed.value ->> 8 \
                     WHEN result = 'waiting' AND changed.value ->> 9 = 0 THEN 'declined' \
                     WHEN result = 'waiting' AND changed.value ->> 9 = 1 THEN 'approved' \
                     WHEN result = 'waiting' AND changed.value ->> 9 = 2 THEN 'partially_approved' ELSE result END, \
                   decision_call_outcome = COALESCE(changed.value ->> 10, decision_call_outcome), \
                   decision_call_ms = COALESCE(changed.value ->> 11, decision_call_ms), \
                   decision_call_fallback_used = COALESCE(changed.value ->> 12, decision_call_fallback_used) \
                   FROM json_each($1) AS changed WHERE authorizations.id = changed.value ->> 0";
        let query = sqlx::query(sql).bind(serde_json::json!(changes).to_string());
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn move_accounts(
        &mut self,
        moves: &BTreeMap<AccountId, Move>,
    ) -> Result<u64, sqlx::Error> {
        let moves: Vec<_> = moves
            .iter()
            .map(|(id, sums)| {
                serde_json::json!([id.to_string(), sums.posted_minor, sums.held_minor])
            })
            .collect();
        let sql = "UPDATE accounts SET posted_minor = posted_minor + (moved.value ->> 1), \
                   held_minor = held_minor + (moved.value ->> 2) \
                   FROM json_each($1) AS moved WHERE accounts.id = moved.value ->> 0";
        let query = sqlx::query(sql).bind(serde_json::json!(moves).to_string());
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn set_statuses(
        &mut self,
        table: &'static str,
        statuses: &[(String, &'static str)],
    ) -> Result<u64, sqlx::Error> {
        let sql = format!(
            "UPDATE {table} SET status = changed.value ->> 1 \
             FROM json_each($1) AS changed WHERE {table}.id = changed.value ->> 0"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(serde_json::json!(statuses).to_string());
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn change(&mut self, statement: &str, values: &[Value]) -> Result<u64, sqlx::Error> {
        let query = bind(statement.to_owned(), values);
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn change_row(&mut self, change: &RowChange) -> Result<u64, sqlx::Error> {
        let (sql, values) = change.statement();
        self.change(&sql, &values).await
    }

    async fn remove_older(
        &mut self,
        table: &'static str,
        before: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        remove_older(self.connection(), table, before).await
    }

    async fn set_expiries(
        &mut self,
        expiries: &BTreeMap<CardId, Expiry>,
    ) -> Result<u64, sqlx::Error> {
        let sql = "UPDATE cards SET exp_month = changed.value ->> 1, exp_year = changed.value ->> 2 \
             FROM json_each($1) AS changed WHERE cards.id = changed.value ->> 0";
        let expiries = expiries.iter();
        let expiries = expiries.map(|(id, e)| (id.to_string(), e.month(), e.year()));
        let expiries: Vec<_> = expiries.collect();
        let query = sqlx::query(sql).bind(serde_json::json!(expiries).to_string());
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn long_lists_keep_no_single_object_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::new(&folder.path().join("tables.sqlite"));
        sqlite.migrate().await.unwrap();
        let endless = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) \
                       SELECT COUNT(*) FROM numbers";
        let lists: Vec<_> = (0..2 * READERS_MAX)
            .map(|_| {
                let sqlite = sqlite.clone();
                tokio::spawn(async move {
                    let counted = sqlite.fetch_in_time(endless.to_owned(), &[], |row| row.int(0));
                    counted.await.is_err()
                })
            })
            .collect();
        let all_taken = || sqlite.lists.size() == READERS_MAX && sqlite.lists.num_idle() == 0;
        while !all_taken() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let one = sqlite.fetch("SELECT 1".to_owned(), &[], |row| row.int(0));
        assert_eq!(one.await.unwrap(), [1]);
        assert!(
            lists.iter().all(|list| !list.is_finished()),
            "it waited for a list"
        );
        for list in lists {
            assert!(list.await.unwrap(), "interrupted");
        }
    }

    #[tokio::test]
    async fn after_a_full_disk_transactions_begin_again() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::new(&folder.path().join("tables.sqlite"));
        sqlite.migrate().await.unwrap();
        let mut writer = sqlite.begin().await.unwrap();
        // No page more than there are: the disk is full for this connection.
        let grown = "PRAGMA max_page_count = 1; CREATE TABLE grown AS SELECT randomblob(1000000)";
        let full = sqlx::raw_sql(grown).execute(writer.connection()).await;
        assert!(full.unwrap_err().to_string().contains("full"));
        drop(writer);
        sqlite.begin().await.unwrap().commit().await.unwrap();
    }
}
