//! Which tables a SQLite file has, asked before anything is written, by `serve` and by `check`.

use super::database::{VERSIONS, all_tables};
use super::error::Unfit;
use super::sqlite::MIGRATIONS;
use sqlx::{Row, SqliteConnection};

/// The names of those that are not there.
pub(super) async fn missing_tables(
    connection: &mut SqliteConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT value FROM json_each($1) WHERE value NOT IN \
        (SELECT name FROM sqlite_schema WHERE type = 'table') ORDER BY value";
    let query = sqlx::query(sql).bind(serde_json::json!(all_tables()).to_string());
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

pub(super) async fn check_tables(
    connection: &mut SqliteConnection,
    version: i64,
) -> Result<(), sqlx::Error> {
    if version != MIGRATIONS.len() as i64 {
        return Ok(());
    }
    let missing = missing_tables(connection).await?;
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Unfit::TablesMissing {
            tables: missing.join(", "),
        }
        .into()),
    }
}

/// That not all others are there where the table of versions is not: of a few with such names nobody knows whose they are.
pub(super) async fn check_versions_are_there(
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    match &*missing_tables(connection).await? {
        [missing] if missing == VERSIONS => Err(Unfit::TablesMissing {
            tables: VERSIONS.to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}
