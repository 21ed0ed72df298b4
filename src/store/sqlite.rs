//! The projection in SQLite: one writer connection, multi-row inserts, one transaction each batch.

use super::batch::Move;
use super::columns::{Sink, Source, TableRow};
use super::database::{Migration, Position, Value, Writer};
use super::rows::Sequence;
use crate::engine::ids::{AccountId, AuthorizationId};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{
    Arguments, AssertSqlSafe, ConnectOptions, Row, SqliteConnection, SqlitePool, SqliteTransaction,
    ValueRef,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

pub(super) const MIGRATIONS: &[Migration] = &[
    include_str!("migrations/sqlite/0001_projection.sql"),
    include_str!("migrations/sqlite/0002_card_reveals.sql"),
];

const READERS_MAX: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows of one INSERT; the rest of a batch goes in halves of it, so that few statements serve all.
const ROWS_PER_INSERT: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
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
        Sqlite {
            writer: pool(1).connect_lazy_with(options),
            readers: pool(READERS_MAX).connect_lazy_with(readers),
        }
    }

    /// The version that the tables have after all migrations above it were run.
    pub async fn migrate(&self) -> Result<i64, sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let connection = &mut *transaction;
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT",
        )
        .execute(&mut *connection)
        .await?;
        let found: i64 = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM schema_version")
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        for (migration, version) in MIGRATIONS.iter().zip(1i64..).skip(found.max(0) as usize) {
            sqlx::raw_sql(*migration).execute(&mut *connection).await?;
            sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *connection)
                .await?;
        }
        transaction.commit().await?;
        Ok(found.max(MIGRATIONS.len() as i64))
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

    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn bind(sql: String, values: &[Value]) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(sql));
    values.iter().fold(query, |query, value| match value {
        Value::Int(value) => query.bind(*value),
        Value::Text(value) => query.bind(value.clone()),
    })
}

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
        let sql = "INSERT INTO projection (singleton, journal_id, position, updated_at_ms) \
                   VALUES (1, $1, 0, 0) ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql).bind(journal.to_owned());
        query.execute(self.connection()).await.map(drop)
    }

    async fn move_position(
        &mut self,
        journal: &str,
        from: Sequence,
        to: Position,
    ) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE projection SET position = $1, updated_at_ms = $2 \
                   WHERE journal_id = $3 AND position = $4";
        let query = sqlx::query(sql)
            .bind(to.sequence as i64)
            .bind(to.through.0)
            .bind(journal.to_owned())
            .bind(from as i64);
        Ok(query.execute(self.connection()).await?.rows_affected() == 1)
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

    async fn reverse(
        &mut self,
        ids: &[AuthorizationId],
    ) -> Result<Vec<(AuthorizationId, Option<AccountId>)>, sqlx::Error> {
        let ids: Vec<String> = ids.iter().map(AuthorizationId::to_string).collect();
        let sql = "UPDATE authorizations SET status = 'reversed' \
                   WHERE id IN (SELECT value FROM json_each($1)) RETURNING id, account_id";
        let query = sqlx::query(sql).bind(serde_json::json!(ids).to_string());
        let rows = query.fetch_all(self.connection()).await?;
        rows.iter()
            .map(|row| super::database::reversed_account(row))
            .collect()
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

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}

impl Source for SqliteRow {
    fn is_null(&self, at: usize) -> Result<bool, sqlx::Error> {
        Ok(self.try_get_raw(at)?.is_null())
    }

    fn int(&self, at: usize) -> Result<i64, sqlx::Error> {
        self.try_get(at)
    }

    fn text(&self, at: usize) -> Result<&str, sqlx::Error> {
        self.try_get(at)
    }

    fn bytes(&self, at: usize) -> Result<&[u8], sqlx::Error> {
        self.try_get(at)
    }
}
