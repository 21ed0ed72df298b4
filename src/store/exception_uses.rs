//! Which payments an exception had a part in, for whoever asks what became of it.

use super::rows::{AuthorizationRow, Sequence, table};
use crate::engine::ids::{AuthorizationId, ExceptionId};
use crate::engine::trace::Detail;

table! {
    /// A payment in whose decision an exception let a step pass.
    ExceptionUseRow in "exception_uses" {
        exception_id: ExceptionId,
        sequence: Sequence,
        authorization_id: AuthorizationId,
    }
}

/// Each exception once.
pub(super) fn rows_of(row: &AuthorizationRow) -> Vec<ExceptionUseRow> {
    let mut rows: Vec<ExceptionUseRow> = Vec::new();
    for step in row.trace.steps() {
        if let Detail::Exception { exception_id } = step.detail
            && rows.iter().all(|row| row.exception_id != exception_id)
        {
            rows.push(ExceptionUseRow {
                exception_id,
                sequence: row.sequence,
                authorization_id: row.id,
            });
        }
    }
    rows
}
