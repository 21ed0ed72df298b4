//! The projection in Postgres: bulk by COPY, changes by arrays, one transaction each batch.

use super::batch::Move;
use super::both::same_in_both;
use super::columns::{Source, TableRow};
use super::copy;
use super::database::{
    FORGOTTEN_AT_ONCE, Migration, Position, QUERY_TIMEOUT, RowChange, Value, Writer, all_tables,
};
use super::effect::Change;
use super::literals;
use super::postgres_rights::{check_encoding, check_rights, tables_version};
use super::projection::ProjectionState;
use super::rows::{AuthorizationResult, AuthorizationStatus, Sequence};
use crate::engine::ids::{AccountId, AuthorizationId, CardId};
use crate::engine::time::{Expiry, Timestamp};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, PgTransaction, Row, ValueRef,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const MIGRATIONS: &[Migration] = &[
    include_str!("migrations/postgres/0001_projection.sql"),
    include_str!("migrations/postgres/0002_card_reveals.sql"),
    include_str!("migrations/postgres/0003_requested_amount.sql"),
    include_str!("migrations/postgres/0004_postings.sql"),
    include_str!("migrations/postgres/0005_conversions.sql"),
    include_str!("migrations/postgres/0006_decision_calls.sql"),
    include_str!("migrations/postgres/0007_audit_log.sql"),
    include_str!("migrations/postgres/0008_events.sql"),
    include_str!("migrations/postgres/0009_reissued_cards.sql"),
    include_str!("migrations/postgres/0010_money.sql"),
    include_str!("migrations/postgres/0011_fees.sql"),
    include_str!("migrations/postgres/0012_tokens.sql"),
    include_str!("migrations/postgres/0013_lists.sql"),
    include_str!("migrations/postgres/0014_programs.sql"),
    include_str!("migrations/postgres/0015_audit_outcomes.sql"),
    include_str!("migrations/postgres/0016_limit_thresholds.sql"),
    include_str!("migrations/postgres/0017_journal_chain.sql"),
    include_str!("migrations/postgres/0020_card_link_numbers.sql"),
    include_str!("migrations/postgres/0021_approved_part.sql"),
    include_str!("migrations/postgres/0022_untold_link_changes.sql"),
    include_str!("migrations/postgres/0023_sought_alone.sql"),
    include_str!("migrations/postgres/0024_told_status.sql"),
    include_str!("migrations/postgres/0025_ledger_lists.sql"),
    include_str!("migrations/postgres/0026_event_places.sql"),
    include_str!("migrations/postgres/0027_cardholders.sql"),
    include_str!("migrations/postgres/0028_program_bins.sql"),
    include_str!("migrations/postgres/0029_status_reasons.sql"),
    include_str!("migrations/postgres/0030_own_money.sql"),
];

const VERSIONS_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)";

/// By rows of new values, absent where they stay as they are.
const CHANGE_AUTHORIZATIONS: &str = "UPDATE authorizations SET \
    amount_minor = COALESCE(changed.amount, authorizations.amount_minor) + changed.added, \
    posted_minor = authorizations.posted_minor + changed.posted, \
    status = COALESCE(changed.status, authorizations.status), \
    expires_at_ms = COALESCE(changed.expires_at_ms, authorizations.expires_at_ms), \
    step = COALESCE(changed.step, CASE WHEN authorizations.result = 'waiting' \
      AND changed.if_waiting = 0 THEN 'customer_decision' END, authorizations.step), \
    reason = COALESCE(changed.reason, CASE WHEN authorizations.result = 'waiting' \
      AND changed.if_waiting = 0 THEN 'reversed_before_original' END, authorizations.reason), \
    approval_code = CASE WHEN changed.reason IS NOT NULL OR authorizations.result = 'waiting' \
      AND changed.if_waiting = 0 THEN NULL ELSE authorizations.approval_code END, \
    approved_transaction_minor = CASE WHEN changed.reason IS NOT NULL OR \
      authorizations.result = 'waiting' AND changed.if_waiting = 0 THEN NULL \
      ELSE COALESCE(changed.approved_minor, authorizations.approved_transaction_minor) END, \
    result = CASE WHEN changed.reason IS NOT NULL THEN 'declined' \
      WHEN changed.result IS NOT NULL THEN changed.result \
      WHEN authorizations.result = 'waiting' AND changed.if_waiting = 0 THEN 'declined' \
      WHEN authorizations.result = 'waiting' AND changed.if_waiting = 1 THEN 'approved' \
      WHEN authorizations.result = 'waiting' AND changed.if_waiting = 2 THEN 'partially_approved' \
      ELSE authorizations.result END, \
    decision_call_outcome = COALESCE(changed.call, authorizations.decision_call_outcome), \
    decision_call_ms = COALESCE(changed.call_ms, authorizations.decision_call_ms), \
    decision_call_fallback_used = \
      COALESCE(changed.fallback_used, authorizations.decision_call_fallback_used) \
    FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], \
    $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bigint[], $13::bigint[], \
    $14::bigint[]) \
    AS changed (id, amount, added, posted, status, expires_at_ms, step, reason, result, if_waiting, \
    call, call_ms, fallback_used, approved_minor) \
    WHERE authorizations.id = changed.id COLLATE \"C\"";

const READERS_MAX: u32 = 8;

/// So many rows of one table go in the text of a statement: more are better copied.
const FEW_ROWS: usize = 100;

/// How long a question waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a question about single rows, or a settlement report, may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one statement of the projection may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a statement waits for what another session has locked before the database counts as away.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// A server that holds still interrupts nothing itself: we give up so much after it should have.
const GRACE: Duration = Duration::from_secs(1);
/// Any number, the same in every cardswitch: two that start at once migrate one after the other.
const MIGRATION_LOCK: i64 = 0x63_6172_6473_7769;

#[derive(Debug, Clone)]
pub(super) struct Postgres {
    /// One connection, for the projection.
    writer: PgPool,
    readers: PgPool,
    /// For what callers ask for: bounded in time, and planned with the values that are asked for.
    lists: PgPool,
    /// Migrations take as long as they take.
    unbounded: PgConnectOptions,
}

impl Postgres {
    /// Connects on first use only: the database may be away.
    pub fn new(options: PgConnectOptions) -> Postgres {
        let options = options
            .application_name("cardswitch")
            .options([
                ("client_min_messages", "warning"),
                // What `literals.rs` writes.
                ("standard_conforming_strings", "on"),
            ])
            .disable_statement_logging();
        let bounded = |timeout: Duration| {
            let (lock, statement) = (LOCK_TIMEOUT.as_millis(), timeout.as_millis());
            options.clone().options([
                ("lock_timeout", lock.to_string()),
                ("statement_timeout", statement.to_string()),
            ])
        };
        // Rows lost with a crash of the server are lost together with the position, and pulled again.
        let unsynced = bounded(WRITE_TIMEOUT).options([("synchronous_commit", "off")]);
        // A plan for any values at all would take a rare one for common.
        let planned = bounded(QUERY_TIMEOUT).options([("plan_cache_mode", "force_custom_plan")]);
        let pool = |max| {
            PgPoolOptions::new()
                .max_connections(max)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        Postgres {
            writer: pool(1).connect_lazy_with(unsynced),
            readers: pool(READERS_MAX).connect_lazy_with(bounded(READ_TIMEOUT)),
            lists: pool(READERS_MAX).connect_lazy_with(planned),
            unbounded: options,
        }
    }

    /// The version that the tables have after all migrations above it were run.
    pub async fn migrate(&self) -> Result<i64, sqlx::Error> {
        let mut connection = self.connect_once().await?;
        let mut version = self.look_at_tables(&mut connection).await?;
        if version < MIGRATIONS.len() as i64 {
            let mut transaction = connection.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(MIGRATION_LOCK)
                .execute(&mut *transaction)
                .await?;
            version = run_migrations(&mut transaction, VERSIONS_TABLE).await?;
            transaction.commit().await?;
        }
        connection.close().await?;
        Ok(version)
    }

    /// The version of the tables that are there, none is 0, and how far they are. Changes nothing.
    pub async fn look(&self) -> Result<(i64, Option<ProjectionState>), sqlx::Error> {
        let mut connection = self.connect_once().await?;
        let version = self.look_at_tables(&mut connection).await?;
        let state = projection_state(&mut connection, version).await?;
        connection.close().await?;
        Ok((version, state))
    }

    /// The version of the tables, where nothing keeps us from working with them. Newer ones are their version only.
    async fn look_at_tables(&self, connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
        check_encoding(connection).await?;
        let version = tables_version(connection).await?;
        if version <= MIGRATIONS.len() as i64 {
            check_rights(connection, version).await?;
        }
        Ok(version)
    }

    /// Makes all tables anew, empty but for what is in no journal.
    pub async fn remake(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.connect_once().await?;
        let mut transaction = connection.begin().await?;
        let sql = "SELECT to_regclass('deliveries') IS NOT NULL";
        let row = sqlx::query(sql).fetch_one(&mut *transaction).await?;
        remake_tables(&mut transaction, row.try_get(0)?).await?;
        transaction.commit().await?;
        connection.close().await
    }

    /// Outside the pools, which ask a server that refuses again and again until their time is over: a
    /// start would wait for it.
    async fn connect_once(&self) -> Result<PgConnection, sqlx::Error> {
        let connecting = PgConnection::connect_with(&self.unbounded);
        let connected = tokio::time::timeout(ACQUIRE_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(timed_out()))
    }

    pub async fn fetch<T>(
        &self,
        sql: String,
        values: &[Value],
        decode: impl Fn(&dyn Source) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let rows = ask(&self.readers, bind(sql, values), READ_TIMEOUT).await?;
        rows.iter().map(|row| decode(row)).collect()
    }

    /// The same, interrupted where it takes too long.
    pub async fn fetch_in_time<T>(
        &self,
        sql: String,
        values: &[Value],
        decode: impl Fn(&dyn Source) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let rows = ask(&self.lists, bind(sql, values), QUERY_TIMEOUT).await?;
        rows.iter().map(|row| decode(row)).collect()
    }

    pub async fn begin(&self) -> Result<PgWriter, sqlx::Error> {
        Ok(PgWriter(self.writer.begin().await?))
    }

    pub async fn empty(&self, tables: &[&str]) -> Result<(), sqlx::Error> {
        let sql = format!("TRUNCATE {}", tables.join(", "));
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
        self.lists.close().await;
    }
}

/// A connection whose question was given up is not used again.
async fn ask(
    pool: &PgPool,
    query: Query<'_, sqlx::Postgres, PgArguments>,
    timeout: Duration,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let asked = query.fetch_all(&mut *connection);
    match tokio::time::timeout(timeout + GRACE, asked).await {
        Ok(answered) => answered,
        Err(_) => {
            drop(connection.detach());
            Err(timed_out())
        }
    }
}

fn timed_out() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

same_in_both!(sqlx::Postgres, PgConnection, PgArguments, PgRow);

pub(super) struct PgWriter(PgTransaction<'static>);

impl PgWriter {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl Writer for PgWriter {
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
        if rows.is_empty() {
            return Ok(());
        }
        let (table, columns) = (R::TABLE, R::select());
        if rows.len() <= FEW_ROWS {
            let sql = format!(
                "INSERT INTO {table} ({columns}) VALUES {}",
                literals::of(rows)
            );
            let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.connection());
            return done.await.map(drop);
        }
        let sql = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
        let stream = copy::encode(rows);
        let mut copy = self.connection().copy_in_raw(&sql).await?;
        copy.send(stream).await?;
        copy.finish().await.map(drop)
    }

    async fn replace<R: TableRow + Sync>(
        &mut self,
        key: &str,
        keys: &[String],
        rows: &[R],
    ) -> Result<(), sqlx::Error> {
        if !keys.is_empty() {
            let table = R::TABLE;
            let sql = format!("DELETE FROM {table} WHERE {key} = ANY($1)");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(keys);
            query.execute(self.connection()).await?;
        }
        self.insert(rows).await
    }

    async fn change_authorizations(
        &mut self,
        changes: &BTreeMap<AuthorizationId, Change>,
    ) -> Result<u64, sqlx::Error> {
        let ids: Vec<String> = changes.keys().map(AuthorizationId::to_string).collect();
        let of = |column: fn(&Change) -> Option<i64>| -> Vec<Option<i64>> {
            changes.values().map(column).collect()
        };
        let status = |change: &Change| change.status.map(AuthorizationStatus::name);
        let statuses: Vec<Option<&str>> = changes.values().map(status).collect();
        let result = |change: &Change| change.result.map(AuthorizationResult::name);
        let results: Vec<Option<&str>> = changes.values().map(result).collect();
        let call = |change: &Change| change.call.map(|call| call.outcome.name());
        let calls: Vec<Option<&str>> = changes.values().map(call).collect();
        let declined = changes.values().map(|change| change.declined);
        let (steps, reasons): (Vec<Option<&str>>, Vec<Option<&str>>) = declined
            .map(|declined| {
                declined
                    .map(|(step, reason)| (step.name(), reason.name()))
                    .unzip()
            })
            .unzip();
        let query = sqlx::query(CHANGE_AUTHORIZATIONS)
            .bind(ids)
            .bind(of(|change| change.amount_minor))
            .bind(of(|change| Some(change.added_minor)))
            .bind(of(|change| Some(change.posted_minor)))
            .bind(statuses)
            .bind(of(|change| change.expires_at.map(|at| at.0)))
            .bind(steps)
            .bind(reasons)
            .bind(results)
            .bind(of(|change| {
                let undecided = change.if_waiting.filter(|_| change.is_undecided());
                undecided.map(|ends| ends as i64)
            }))
            .bind(calls)
            .bind(of(|change| Some(i64::from(change.call?.duration_ms))))
            .bind(of(|change| Some(i64::from(change.call?.fallback_used))))
            .bind(of(|change| change.approved_transaction_minor));
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn move_accounts(
        &mut self,
        moves: &BTreeMap<AccountId, Move>,
    ) -> Result<u64, sqlx::Error> {
        let ids: Vec<String> = moves.keys().map(AccountId::to_string).collect();
        let posted: Vec<i64> = moves.values().map(|sums| sums.posted_minor).collect();
        let held: Vec<i64> = moves.values().map(|sums| sums.held_minor).collect();
        let sql = "UPDATE accounts SET posted_minor = accounts.posted_minor + moved.posted, \
                   held_minor = accounts.held_minor + moved.held \
                   FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS moved (id, posted, held) \
                   WHERE accounts.id = moved.id COLLATE \"C\"";
        let query = sqlx::query(sql).bind(ids).bind(posted).bind(held);
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn set_statuses(
        &mut self,
        table: &'static str,
        statuses: &[(String, &'static str)],
    ) -> Result<u64, sqlx::Error> {
        let ids: Vec<&str> = statuses.iter().map(|(id, _)| &**id).collect();
        let names: Vec<&str> = statuses.iter().map(|(_, name)| *name).collect();
        let sql = format!(
            "UPDATE {table} SET status = changed.status \
             FROM UNNEST($1::text[], $2::text[]) AS changed (id, status) \
             WHERE {table}.id = changed.id COLLATE \"C\""
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(names);
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
        let ids: Vec<String> = expiries.keys().map(CardId::to_string).collect();
        let months: Vec<i64> = expiries.values().map(|e| e.month().into()).collect();
        let years: Vec<i64> = expiries.values().map(|e| e.year().into()).collect();
        let sql = "UPDATE cards SET exp_month = changed.month, exp_year = changed.year \
             FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS changed (id, month, year) \
             WHERE cards.id = changed.id COLLATE \"C\"";
        let query = sqlx::query(sql).bind(ids).bind(months).bind(years);
        Ok(query.execute(self.connection()).await?.rows_affected())
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}
