//! What keeps a Postgres that answers from being of use: asked before anything is written, by `serve` and by `check`.

use super::database::{VERSIONS, all_tables};
use super::error::Unfit;
use super::postgres::MIGRATIONS;
use sqlx::{PgConnection, Row};

/// That it keeps all letters of all names.
pub(super) async fn check_encoding(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let encoding: String = sqlx::query("SELECT getdatabaseencoding()::text")
        .fetch_one(connection)
        .await?
        .try_get(0)?;
    // SQL_ASCII keeps bytes as they are.
    match &*encoding {
        "UTF8" | "SQL_ASCII" => Ok(()),
        _ => Err(Unfit::Encoding(encoding).into()),
    }
}

/// The version of the tables that are there; none is 0.
pub(super) async fn tables_version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let is_there: bool = sqlx::query("SELECT to_regclass('schema_version') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    match is_there {
        false => Ok(0),
        true => sqlx::query("SELECT COALESCE(MAX(version), 0) FROM schema_version")
            .fetch_one(connection)
            .await?
            .try_get(0),
    }
}

/// What keeps our user from bringing tables of this version up to date, and from working with them. Asked, not tried: nothing
/// is changed.
pub(super) async fn check_rights(
    connection: &mut PgConnection,
    version: i64,
) -> Result<(), sqlx::Error> {
    let sql = "SELECT current_user::text, current_setting('transaction_read_only') = 'on', \
        pg_is_in_recovery(), current_schema()::text, \
        COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE)";
    let row = sqlx::query(sql).fetch_one(&mut *connection).await?;
    let user: String = row.try_get(0)?;
    if row.try_get(1)? {
        let is_standby = row.try_get(2)?;
        return Err(Unfit::TakesNoWrites { is_standby }.into());
    }
    if version >= MIGRATIONS.len() as i64 {
        return check_tables(connection, user).await;
    }
    if version == 0 {
        check_versions_are_there(connection).await?;
    }
    match (row.try_get(3)?, row.try_get(4)?) {
        (None::<String>, _) => return Err(Unfit::NoSchema { user }.into()),
        (Some(schema), false) => return Err(Unfit::MayMakeNoTables { user, schema }.into()),
        (Some(_), true) => {}
    }
    let sql = "SELECT string_agg(relname::text, ', ' ORDER BY relname) FROM pg_class \
        JOIN unnest($1::text[]) AS ours (name) ON pg_class.oid = to_regclass(ours.name) \
        WHERE NOT pg_has_role(relowner, 'USAGE')";
    let query = sqlx::query(sql).bind(all_tables());
    let of_others: Option<String> = query.fetch_one(connection).await?.try_get(0)?;
    match of_others {
        Some(tables) => Err(Unfit::MayAlterNoTables {
            user,
            version,
            tables,
        }
        .into()),
        None => Ok(()),
    }
}

/// That not all others are there where the table of versions is not: of a few with such names nobody knows whose they are.
async fn check_versions_are_there(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "SELECT bool_and(to_regclass(name) IS NOT NULL OR name = $2) FROM unnest($1::text[]) AS ours (name)";
    let query = sqlx::query(sql).bind(all_tables()).bind(VERSIONS);
    match query.fetch_one(connection).await?.try_get(0)? {
        true => Err(Unfit::TablesMissing {
            tables: VERSIONS.to_owned(),
        }
        .into()),
        false => Ok(()),
    }
}

/// That none of them is missing, and that the user may write to all.
async fn check_tables(connection: &mut PgConnection, user: String) -> Result<(), sqlx::Error> {
    let sql = "SELECT string_agg(name, ', ' ORDER BY name) FILTER (WHERE to_regclass(name) IS NULL), \
        string_agg(name, ', ' ORDER BY name) FILTER (WHERE \
        NOT has_table_privilege(to_regclass(name), 'SELECT') OR name <> 'schema_version' AND ( \
        NOT has_table_privilege(to_regclass(name), 'INSERT') OR \
        NOT has_table_privilege(to_regclass(name), 'UPDATE') OR \
        NOT has_table_privilege(to_regclass(name), 'DELETE'))) \
        FROM unnest($1::text[]) AS ours (name)";
    let query = sqlx::query(sql).bind(all_tables());
    let row = query.fetch_one(connection).await?;
    if let Some(tables) = row.try_get(0)? {
        return Err(Unfit::TablesMissing { tables }.into());
    }
    match row.try_get(1)? {
        Some(tables) => Err(Unfit::MayNotWrite { user, tables }.into()),
        None => Ok(()),
    }
}
