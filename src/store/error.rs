//! What can go wrong between the journal and SQL. Never carries a password or card data.

use super::follow::SourceError;
use super::rows::Sequence;
use sqlx::postgres::PgDatabaseError;

/// The way out where tables are not what they were.
pub const REBUILD: &str = "stop the switch, and run `cardswitch store rebuild`";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "`store.url` cannot be used: {reason}; write \"sqlite\", \"sqlite:FILE\" or \"postgres://user@host/database\""
    )]
    BadUrl { reason: String },
    #[error(
        "the database at {url} cannot be reached ({}); decisions go on without it, and the projection catches up once it is back", said(.cause)
    )]
    Away { url: String, cause: sqlx::Error },
    #[error("the database at {url} refused to {doing}: {}", said(.cause))]
    Sql {
        url: String,
        doing: &'static str,
        cause: sqlx::Error,
    },
    #[error(
        "the tables at {url} have version {found}, this program knows {known}; use the newer program or another `store.url`"
    )]
    NewerTables { url: String, found: i64, known: i64 },
    #[error(
        "the tables at {url} hold records of journal {stored}, and the journal here is another one, {journal}: restore the \
         journal's folder from a copy; if this is meant to be a new switch, name other tables in `[store] url`"
    )]
    OtherJournal {
        url: String,
        stored: String,
        journal: String,
    },
    #[error(
        "the journal ended at record {durable}, the tables at {url} hold records up to {position}: the journal has lost its \
         end; restore its folder from a copy, and do not rebuild the tables"
    )]
    AheadOfJournal {
        url: String,
        position: Sequence,
        durable: Sequence,
    },
    #[error(
        "the file of {url} cannot be made: the folder {folder} is not there; make it, or name another file in `[store] url`"
    )]
    NoFolder { url: String, folder: String },
    #[error(
        "the projection expected record {expected} and was given {found}; run `cardswitch journal verify`"
    )]
    Gap { expected: Sequence, found: Sequence },
    #[error(
        "another process moved the projection at {url} on from record {expected}; only one may project into a database"
    )]
    PositionMoved { url: String, expected: Sequence },
    #[error(
        "the projection at {url} lacks {missing} of {wanted} {what} that records up to {sequence} change; run `cardswitch store rebuild`"
    )]
    Missing {
        url: String,
        what: &'static str,
        wanted: usize,
        missing: usize,
        sequence: Sequence,
    },
    #[error(
        "record {sequence} holds an event that its command cannot lead to; run `cardswitch journal verify`"
    )]
    Mismatch { sequence: Sequence },
    #[error("the journal cannot be read for the projection: {0}")]
    Source(#[from] SourceError),
    #[error("`starting_after` names {0}, which is not in the list")]
    UnknownCursor(String),
    #[error(
        "the filters fit few among very many rows, and not all of those were looked at in time: add a filter that fits fewer, \
         or a shorter span of time"
    )]
    TooWide,
    #[error("the database at {url} took too long to answer a query, and was interrupted")]
    TooSlow { url: String },
    #[error(
        "the tables at {url} were made of another record {position} than the one in this journal: the journal had lost its end \
         and has gone on since; restore its folder from a copy. `cardswitch store rebuild` takes the journal as it is, and \
         with the tables goes the proof of what is lost"
    )]
    OtherHistory { url: String, position: Sequence },
    #[error(
        "the file of {url} is damaged ({source}); it is a copy of the journal, but for the log of webhook deliveries: stop the \
         switch and run `cardswitch store rebuild`, which puts the file aside and makes it anew"
    )]
    Damaged {
        url: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the damaged file {file} cannot be put aside ({source}); remove it, with its -wal and -shm, by hand"
    )]
    NotPutAside {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the database at {url} {why}")]
    Unfit { url: String, why: Unfit },
    #[error(
        "the tables at {url} hold records of journal {stored}, and there is no journal in {folder}: restore it from a copy; if \
         this is meant to be a new switch, name other tables in `[store] url`"
    )]
    NoJournal {
        url: String,
        stored: String,
        folder: String,
    },
    /// Only ever made by a test's fault hook.
    #[doc(hidden)]
    #[error("interrupted by a fault hook")]
    Interrupted,
}

impl StoreError {
    /// What the database said, sorted into "gone, come back" and "refused".
    pub(super) fn sql(url: &str, doing: &'static str, source: sqlx::Error) -> StoreError {
        let url = url.to_owned();
        if let Some(why) = Unfit::in_error(&source) {
            StoreError::Unfit { url, why }
        } else if is_damaged(&source) {
            StoreError::Damaged { url, source }
        } else if is_interrupted(&source) {
            StoreError::TooSlow { url }
        } else if is_away(&source) {
            StoreError::Away { url, cause: source }
        } else {
            let cause = source;
            StoreError::Sql { url, doing, cause }
        }
    }

    /// Whether trying again later may help: nothing is wrong with the journal or the tables.
    pub fn is_passing(&self) -> bool {
        if let StoreError::Unfit { why, .. } = self {
            return !matches!(why, Unfit::Encoding(_));
        }
        matches!(
            self,
            StoreError::Away { .. }
                | StoreError::Sql { .. }
                | StoreError::PositionMoved { .. }
                | StoreError::TooSlow { .. }
                | StoreError::Source(SourceError::Passing(_))
                | StoreError::Interrupted
        )
    }
}

impl StoreError {
    /// Whether nobody but the operator mends what the database says no to: it does not know the name, refuses the login, does
    /// not let the user write, or lacks a table.
    pub fn needs_the_operator(&self) -> bool {
        match self {
            StoreError::Unfit { why, .. } => !matches!(why, Unfit::TakesNoWrites { .. }),
            StoreError::Sql { cause, .. } => {
                let codes = ["3D000", "28P01", "28000", "42501", UNDEFINED_TABLE];
                has_code(cause, &codes)
            }
            _ => false,
        }
    }

    /// Whether a table is not there: `store rebuild` makes them anew.
    pub fn lacks_a_table(&self) -> bool {
        match self {
            StoreError::Unfit { why, .. } => matches!(why, Unfit::TablesMissing { .. }),
            StoreError::Sql { cause, .. } => has_code(cause, &[UNDEFINED_TABLE]),
            _ => false,
        }
    }

    /// What the operator does about it, for who is not to see addresses; the whole sentence is in the log.
    pub fn way_out(&self) -> Option<&'static str> {
        match self {
            StoreError::Missing { .. } | StoreError::Damaged { .. } => Some(REBUILD),
            _ if self.lacks_a_table() => Some(REBUILD),
            StoreError::Unfit {
                why: Unfit::TakesNoWrites { .. },
                ..
            } => Some("name a database that takes writes in `[store] url`, or wait for it"),
            StoreError::NoFolder { .. } => Some(NO_FOLDER),
            StoreError::Sql { cause, .. } | StoreError::Away { cause, .. }
                if has_code(cause, &[SQLITE_CANNOT_OPEN]) =>
            {
                Some(NO_FOLDER)
            }
            _ if self.needs_the_operator() => Some(
                "check `[store] url`, and what its user may do; `cardswitch check` says what is wrong",
            ),
            StoreError::NewerTables { .. } => {
                Some("use the newer program, or another `[store] url`")
            }
            StoreError::Gap { .. } | StoreError::Mismatch { .. } => {
                Some("run `cardswitch journal verify`")
            }
            _ if self.proves_a_loss() => Some("restore the journal's folder from a copy"),
            _ => None,
        }
    }

    /// Whether the tables prove that answered records are lost: nothing may be decided on what is left.
    pub fn proves_a_loss(&self) -> bool {
        matches!(
            self,
            StoreError::OtherJournal { .. }
                | StoreError::AheadOfJournal { .. }
                | StoreError::OtherHistory { .. }
        )
    }
}

/// SQLite's SQLITE_CANTOPEN.
const SQLITE_CANNOT_OPEN: &str = "14";

const NO_FOLDER: &str = "see that the folder of the file that `[store] url` names is there and can be written to, or name another file";

/// Postgres: a table that a statement names is not there.
const UNDEFINED_TABLE: &str = "42P01";

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.contains(&&*code))
}

/// What keeps a database that answers from being of use, as `serve` and `check` ask it before anything is written; with the way
/// out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Letters that it cannot keep would stop the projection.
    #[error(
        "has the encoding {0}, which has no place for all letters of all names: make one with ENCODING 'UTF8' TEMPLATE \
         template0, and name it in `[store] url`"
    )]
    Encoding(String),
    #[error(
        "takes no writes: {}; name the primary in `[store] url`, or wait for it",
        if *.is_standby { "it is a standby" } else { "default_transaction_read_only is on" }
    )]
    TakesNoWrites { is_standby: bool },
    #[error(
        "does not let its user {user} make tables in the schema {schema}: GRANT CREATE ON SCHEMA {schema} TO {user}, or name \
         another user in `[store] url`"
    )]
    MayMakeNoTables { user: String, schema: String },
    #[error(
        "has no schema in which its user {user} may make tables: its search_path names none that is there and open to it; make one, \
         or name another user in `[store] url`"
    )]
    NoSchema { user: String },
    #[error(
        "has tables of version {version} that its user {user} does not own ({tables}) and so cannot bring up to date: name \
         their owner in `[store] url`, or give them to {user}"
    )]
    MayAlterNoTables {
        user: String,
        version: i64,
        tables: String,
    },
    #[error(
        "does not let its user {user} read and write all tables ({tables}): GRANT SELECT, INSERT, UPDATE, DELETE on them, or \
         name their owner in `[store] url`"
    )]
    MayNotWrite { user: String, tables: String },
    #[error(
        "lacks tables ({tables}) that were there: stop the switch and run `cardswitch store rebuild`, which makes all of them \
         anew from the journal"
    )]
    TablesMissing { tables: String },
}

impl Unfit {
    fn in_error(error: &sqlx::Error) -> Option<Unfit> {
        let sqlx::Error::Configuration(error) = error else {
            return None;
        };
        error.downcast_ref().cloned()
    }
}

impl From<Unfit> for sqlx::Error {
    fn from(why: Unfit) -> sqlx::Error {
        sqlx::Error::Configuration(why.into())
    }
}

/// What the database said, and the way out where its code names one. Without the line of the server's own source, which
/// sqlx puts behind it.
fn said(error: &sqlx::Error) -> String {
    let of_postgres = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let Some(error) = of_postgres else {
        return error.to_string();
    };
    let way_out = match error.code() {
        "3D000" => "; make it (`createdb`), or name another one in `[store] url`",
        "28P01" | "28000" => {
            "; check the user in `[store] url`, and the password there, in PGPASSWORD or in ~/.pgpass"
        }
        "42501" => "; the user in `[store] url` has to own the tables, or be allowed to make them",
        UNDEFINED_TABLE => {
            "; stop the switch and run `cardswitch store rebuild`, which makes the tables anew"
        }
        "25006" => {
            "; it is a standby, or is set to take no writes: name the primary in `[store] url`, or wait for it"
        }
        _ => "",
    };
    format!("{}{way_out}", error.message())
}

/// SQLite: SQLITE_CORRUPT and SQLITE_NOTADB, in the last byte of an extended code. Postgres' codes have five characters.
fn is_damaged(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.filter(|code| code.len() < 5)
        .and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| [11, 26].contains(&(code & 0xff)))
}

/// Postgres: canceled by `statement_timeout`. SQLite: by the handler that looks at the clock.
fn is_interrupted(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["57014", "9"].contains(&&*code))
}

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // Postgres: connection exceptions, no room, operator intervention (shutting or starting up), and what waited too
        // long for a lock.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57P", "55P03"]
                .iter()
                .any(|class| code.len() == 5 && code.starts_with(class))
        }),
        _ => false,
    }
}
