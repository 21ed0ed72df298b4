//! How far the projection is, as its own row says it. What moves it is `projection.rs`.

use super::columns::{Column, Source};
use super::database::Store;
use super::error::StoreError;
use super::rows::Sequence;
use crate::engine::time::Timestamp;

/// What the projection's own row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionState {
    /// 32 hexadecimal digits; absent before the first record.
    pub journal_id: Option<String>,
    /// The last record in the tables; 0 before the first.
    pub position: Sequence,
    /// The latest time of any record in the tables.
    pub through: Timestamp,
    /// The furthest that any of them was behind the latest time before it.
    pub behind_ms: i64,
    /// The journal's chain hash at the position, in hexadecimal digits: it names all records up to there.
    pub chain: Option<String>,
}

/// The migration since which the chain hash is kept, and the one since which it is known how far records are behind.
const CHAIN_SINCE: i64 = 17;
const BEHIND_SINCE: i64 = 13;

impl ProjectionState {
    /// The statement that reads the row, of tables of this version.
    pub(super) fn select(version: i64) -> String {
        let since = |first, column, none| if version >= first { column } else { none };
        format!(
            "SELECT journal_id, position, updated_at_ms, {}, {} FROM projection",
            since(BEHIND_SINCE, "behind_ms", "CAST(0 AS BIGINT)"),
            since(CHAIN_SINCE, "chain", "CAST(NULL AS TEXT)"),
        )
    }

    pub(super) fn take(row: &dyn Source) -> Result<ProjectionState, sqlx::Error> {
        Ok(ProjectionState {
            journal_id: Some(row.text(0)?.to_owned()),
            position: Column::take(row, 1)?,
            through: Column::take(row, 2)?,
            behind_ms: Column::take(row, 3)?,
            chain: Column::take(row, 4)?,
        })
    }
}

impl Store {
    /// How far the projection is, and of which journal.
    pub async fn projection(&self) -> Result<ProjectionState, StoreError> {
        let sql = ProjectionState::select(i64::MAX);
        let rows = self.fetch(sql, &[], ProjectionState::take);
        let nothing = ProjectionState {
            journal_id: None,
            position: 0,
            through: Timestamp(0),
            behind_ms: 0,
            chain: None,
        };
        Ok(rows.await?.pop().unwrap_or(nothing))
    }
}
