//! The one interface to both databases. What is written, and when, does not live here.

use super::batch::Move;
use super::columns::{Source, TableRow};
use super::effect::Change;
use super::error::StoreError;
use super::postgres::{self, Postgres};
use super::projection::ProjectionState;
use super::rows::Sequence;
use super::sql::Sql;
use super::sqlite::{self, Sqlite};
use super::url::{self, Target};
use crate::engine::ids::{AccountId, AuthorizationId, CardId};
use crate::engine::time::{Expiry, Timestamp};
use crate::journal::ChainHash;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One step of the tables' history, as SQL; its place in the list is its version, from 1.
pub(super) type Migration = &'static str;

/// What is rebuilt from the journal. Anything else in the database is left alone.
pub(super) const DERIVED_TABLES: &[&str] = &[
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

/// Which migrations the tables have.
pub(super) const VERSIONS: &str = "schema_version";

/// Every table that the migrations make.
pub(super) fn all_tables() -> Vec<&'static str> {
    let derived = DERIVED_TABLES.iter().copied();
    derived.chain(["deliveries", VERSIONS]).collect()
}

/// How long one query for a page of a list may take.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows that one transaction removes, so that it holds nobody up.
pub(super) const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// How far the projection has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub sequence: Sequence,
    /// The latest time of any record up to it.
    pub through: Timestamp,
    /// The furthest that any record up to it was behind the latest time before it.
    pub behind_ms: i64,
    /// The journal's chain hash there, where it is known.
    pub chain: Option<ChainHash>,
}

/// A parameter of a query.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Null,
}

/// New values of a row that is there, by its id.
#[derive(Debug, Clone)]
pub(super) struct RowChange {
    pub table: &'static str,
    pub id: String,
    pub columns: Vec<(&'static str, Value)>,
}

impl RowChange {
    /// The statement, and its parameters in order.
    pub fn statement(&self) -> (String, Vec<Value>) {
        let places = self.columns.iter().zip(1..);
        let set: Vec<String> = places
            .map(|((column, _), place)| format!("{column} = ${place}"))
            .collect();
        let sql = format!(
            "UPDATE {} SET {} WHERE id = ${}",
            self.table,
            set.join(", "),
            set.len() + 1
        );
        let values = self.columns.iter().map(|(_, value)| value.clone());
        let id = Value::Text(self.id.clone());
        (sql, values.chain([id]).collect())
    }
}

/// One transaction of the projection; dropped without a commit, it leaves no trace.
pub(super) trait Writer: Send + Sized {
    /// Makes the position's row, at 0, if there is none.
    async fn adopt(&mut self, journal: &str) -> Result<(), sqlx::Error>;

    /// False if the projection is not of this journal or not at `from`.
    async fn move_position(
        &mut self,
        journal: &str,
        from: Sequence,
        to: Position,
    ) -> Result<bool, sqlx::Error>;

    async fn insert<R: TableRow + Sync>(&mut self, rows: &[R]) -> Result<(), sqlx::Error>;

    /// The rows with these keys go, and others come in their place.
    async fn replace<R: TableRow + Sync>(
        &mut self,
        key: &str,
        keys: &[String],
        rows: &[R],
    ) -> Result<(), sqlx::Error>;

    /// The number of authorizations found.
    async fn change_authorizations(
        &mut self,
        changes: &BTreeMap<AuthorizationId, Change>,
    ) -> Result<u64, sqlx::Error>;

    /// The number of accounts found.
    async fn move_accounts(
        &mut self,
        moves: &BTreeMap<AccountId, Move>,
    ) -> Result<u64, sqlx::Error>;

    /// Sets the status of rows of a table by their ids. The number of rows found.
    async fn set_statuses(
        &mut self,
        table: &'static str,
        statuses: &[(String, &'static str)],
    ) -> Result<u64, sqlx::Error>;

    /// At most [`FORGOTTEN_AT_ONCE`] rows whose time is before this; how many there were.
    async fn remove_older(
        &mut self,
        table: &'static str,
        before: Timestamp,
    ) -> Result<u64, sqlx::Error>;
    /// One statement, whatever it finds. For what happens seldom.
    async fn change(&mut self, statement: &str, values: &[Value]) -> Result<u64, sqlx::Error>;

    /// The number of rows found, 1 or 0. For what happens seldom: each is a statement of its own.
    async fn change_row(&mut self, change: &RowChange) -> Result<u64, sqlx::Error>;

    /// Sets the expiry of cards. The number of cards found.
    async fn set_expiries(
        &mut self,
        expiries: &BTreeMap<CardId, Expiry>,
    ) -> Result<u64, sqlx::Error>;

    async fn commit(self) -> Result<(), sqlx::Error>;
}

#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// The SQL side of cardswitch; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) database: Database,
    /// Without a password.
    url: String,
    noted: Option<Arc<Mutex<Vec<String>>>>,
}

/// What became of preparing the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    UpToDate,
    /// Nothing is written for now; what is there may be read all the same.
    Refused,
    Away,
}

impl Store {
    /// Says whether `store.url` is well-formed; opens nothing.
    ///
    /// # Errors
    /// [`StoreError::BadUrl`].
    pub fn check_url(url: &str, data_dir: &Path) -> Result<(), StoreError> {
        url::parse(url, data_dir).map(|_| ())
    }

    /// Opens `store.url`: `sqlite` (a file in the data folder), `sqlite:FILE`, or
    /// `postgres://user@host/database`, and brings its tables up to date. A Postgres that is away is no
    /// error: it is asked again whenever it is needed.
    ///
    /// # Errors
    /// [`StoreError::BadUrl`], [`StoreError::NewerTables`], and what SQLite or Postgres refuse.
    pub async fn connect(url: &str, data_dir: &Path) -> Result<Store, StoreError> {
        let store = Store::open(url, data_dir)?;
        match store.prepare().await {
            Err(error @ StoreError::Away { .. })
                if matches!(store.database, Database::Postgres(_)) =>
            {
                tracing::warn!("{error}");
            }
            prepared => prepared?,
        }
        Ok(store)
    }

    /// The same without asking the database anything yet.
    ///
    /// # Errors
    /// [`StoreError::BadUrl`].
    pub fn open(url: &str, data_dir: &Path) -> Result<Store, StoreError> {
        let target = url::parse(url, data_dir)?;
        let url = target.shown();
        let database = match target {
            Target::Sqlite(path) => Database::Sqlite(Sqlite::new(&path)),
            Target::Postgres(options) => Database::Postgres(Postgres::new(*options)),
        };
        let noted = None;
        Ok(Store {
            database,
            url,
            noted,
        })
    }

    /// As [`Store::prepare`], but a database that is away, or says no for now (a full disk, a standby that takes no writes), is
    /// no error: the follower tries it again.
    ///
    /// # Errors
    /// As [`Store::prepare`], of what trying again cannot help.
    pub async fn prepare_if_possible(&self) -> Result<Prepared, StoreError> {
        match self.prepare().await {
            Ok(()) => Ok(Prepared::UpToDate),
            Err(error @ StoreError::Away { .. }) => {
                tracing::warn!("{error}");
                Ok(Prepared::Away)
            }
            Err(error) if error.needs_the_operator() => {
                tracing::error!(
                    "{error}; until then decisions go on without tables, lists and webhooks do not"
                );
                Ok(Prepared::Refused)
            }
            Err(error) if error.is_passing() => {
                tracing::warn!(
                    "{error}; decisions go on without the tables, and the projection tries them again"
                );
                Ok(Prepared::Refused)
            }
            Err(error) => Err(error),
        }
    }

    /// Brings the tables up to date; does nothing where they are.
    ///
    /// # Errors
    /// [`StoreError::Away`], [`StoreError::NewerTables`], [`StoreError::Unfit`], [`StoreError::Damaged`], [`StoreError::Sql`].
    pub async fn prepare(&self) -> Result<(), StoreError> {
        let (migrated, known) = match &self.database {
            Database::Sqlite(sqlite) => (sqlite.migrate().await, sqlite::MIGRATIONS.len()),
            Database::Postgres(postgres) => (postgres.migrate().await, postgres::MIGRATIONS.len()),
        };
        let found = migrated.map_err(|error| self.error("prepare its tables", error))?;
        self.check_version(found, known as i64)
    }

    fn check_version(&self, found: i64, known: i64) -> Result<(), StoreError> {
        let url = self.url.clone();
        match found > known {
            true => Err(StoreError::NewerTables { url, found, known }),
            false => Ok(()),
        }
    }

    /// What keeps the switch from working with this database, if anything, and how far the tables are that are there; changes
    /// nothing, and makes no file.
    ///
    /// # Errors
    /// [`StoreError::Away`], [`StoreError::NewerTables`], [`StoreError::Unfit`], [`StoreError::Damaged`], [`StoreError::Sql`].
    pub async fn look(&self) -> Result<Option<ProjectionState>, StoreError> {
        let (looked, known) = match &self.database {
            Database::Sqlite(sqlite) => (sqlite.look().await, sqlite::MIGRATIONS.len()),
            Database::Postgres(postgres) => (postgres.look().await, postgres::MIGRATIONS.len()),
        };
        let (found, state) = looked.map_err(|error| self.error("let the switch in", error))?;
        self.check_version(found, known as i64)?;
        Ok(state)
    }

    /// That a SQLite file has a folder to be made in; `serve` makes the data folder only.
    ///
    /// # Errors
    /// [`StoreError::NoFolder`].
    pub fn check_folder(&self, data_dir: &Path) -> Result<(), StoreError> {
        let Database::Sqlite(sqlite) = &self.database else {
            return Ok(());
        };
        match sqlite.file().parent() {
            Some(folder) if folder != data_dir && !folder.exists() => Err(StoreError::NoFolder {
                url: self.url.clone(),
                folder: folder.display().to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// The address, without a password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Closes all connections, waiting for the statements that run.
    pub async fn close(&self) {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.close().await,
            Database::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Puts a damaged SQLite file aside, so that it is made anew when it is opened again; gives its new name. Closes all
    /// connections. Nothing is done to Postgres.
    ///
    /// # Errors
    /// [`StoreError::NotPutAside`].
    pub async fn put_aside(&self) -> Result<Option<PathBuf>, StoreError> {
        let Database::Sqlite(sqlite) = &self.database else {
            return Ok(None);
        };
        let file = self.url.clone();
        let put = sqlite.put_aside().await;
        put.map(Some)
            .map_err(|source| StoreError::NotPutAside { file, source })
    }

    pub(super) fn error(&self, doing: &'static str, source: sqlx::Error) -> StoreError {
        StoreError::sql(&self.url, doing, source)
    }

    pub(super) async fn fetch<T>(
        &self,
        sql: String,
        values: &[Value],
        decode: impl Fn(&dyn Source) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let fetched = match &self.database {
            Database::Sqlite(sqlite) => sqlite.fetch(sql, values, decode).await,
            Database::Postgres(postgres) => postgres.fetch(sql, values, decode).await,
        };
        fetched.map_err(|error| self.error("answer a query", error))
    }

    /// As [`Store::fetch`], for what a caller may make too large: interrupted after [`QUERY_TIMEOUT`].
    pub(super) async fn fetch_in_time<T>(
        &self,
        sql: Sql,
        decode: impl Fn(&dyn Source) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        if let Some(noted) = &self.noted {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.push(sql.inlined());
        }
        let Sql { text, values } = sql;
        let fetched = match &self.database {
            Database::Sqlite(sqlite) => sqlite.fetch_in_time(text, &values, decode).await,
            Database::Postgres(postgres) => postgres.fetch_in_time(text, &values, decode).await,
        };
        fetched.map_err(|error| self.error("answer a query", error))
    }

    /// The same store, and the statements of lists that it will run, for tests that look at their plans.
    #[doc(hidden)]
    pub fn with_statements_noted(mut self) -> (Store, Arc<Mutex<Vec<String>>>) {
        let noted = Arc::default();
        self.noted = Some(Arc::clone(&noted));
        (self, noted)
    }

    /// Makes all tables anew, where one is missing: none of them is filled then.
    pub(super) async fn remake(&self) -> Result<(), StoreError> {
        let remade = match &self.database {
            Database::Sqlite(sqlite) => sqlite.remake().await,
            Database::Postgres(postgres) => postgres.remake().await,
        };
        remade.map_err(|error| self.error("make its tables anew", error))
    }

    /// Empties every table that the journal can fill again.
    pub(super) async fn empty_derived(&self) -> Result<(), StoreError> {
        let emptied = match &self.database {
            Database::Sqlite(sqlite) => sqlite.empty(DERIVED_TABLES).await,
            Database::Postgres(postgres) => postgres.empty(DERIVED_TABLES).await,
        };
        emptied.map_err(|error| self.error("empty its derived tables", error))
    }
}
