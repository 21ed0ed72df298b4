//! A span of time as a span of the journal's records. Times of records hardly ever run backwards, but they do: shards have
//! clocks of their own, and a machine's clock is set. So each mark says how late it had become, and how far records were
//! ever behind that is kept beside the position.

use super::columns::Column;
use super::database::{Position, Store, Value};
use super::error::StoreError;
use super::rows::{Sequence, table};
use super::sql::Sql;
use crate::engine::time::Timestamp;

/// One record in so many is a mark.
const MARK_EVERY: Sequence = 256;

table! {
    /// The latest time of any record up to this one.
    RecordTimeRow in "record_times" {
        sequence: Sequence,
        latest_ms: Timestamp,
    }
}

/// Records after one, and before another.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Records {
    pub after: Option<Sequence>,
    pub before: Option<Sequence>,
}

impl Position {
    /// Takes the record that follows; gives the mark that it makes, if it makes one.
    pub fn go_on(&mut self, sequence: Sequence, at: Timestamp) -> Option<RecordTimeRow> {
        self.sequence = sequence;
        let behind_ms = self.through.0.saturating_sub(at.0);
        self.behind_ms = self.behind_ms.max(behind_ms);
        self.through = self.through.max(at);
        let is_mark = sequence.is_multiple_of(MARK_EVERY);
        is_mark.then_some(RecordTimeRow {
            sequence,
            latest_ms: self.through,
        })
    }
}

/// A column from one moment on, and before another.
pub(super) fn between(column: &str, from: Option<Timestamp>, until: Option<Timestamp>) -> Vec<Sql> {
    [(from, ">="), (until, "<")]
        .into_iter()
        .filter_map(|(at, comparison)| Some(Sql::compare(column, comparison, Value::Int(at?.0))))
        .collect()
}

impl Store {
    /// Records among which are all from one moment on and before another, and few others.
    pub(super) async fn records_within(
        &self,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Records, StoreError> {
        let mut records = Records::default();
        if let Some(from) = from {
            // Up to this mark nothing is as late.
            let sql = "SELECT sequence FROM record_times WHERE latest_ms < $1 ORDER BY latest_ms DESC, sequence DESC LIMIT 1";
            records.after = self.mark(sql, from.0).await?;
        }
        if let Some(until) = until {
            // What comes after this mark is as far behind at most.
            let sql = "SELECT sequence FROM record_times WHERE latest_ms >= $1 ORDER BY latest_ms, sequence LIMIT 1";
            let behind_ms = self.projection().await?.behind_ms;
            records.before = self.mark(sql, until.0.saturating_add(behind_ms)).await?;
        }
        Ok(records)
    }

    async fn mark(&self, sql: &str, at_ms: i64) -> Result<Option<Sequence>, StoreError> {
        let values = [Value::Int(at_ms)];
        let found = self.fetch(sql.to_owned(), &values, |row| Column::take(row, 0));
        Ok(found.await?.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_say_how_late_it_had_become_and_the_position_how_far_behind_a_record_was() {
        let mut position = Position::default();
        let marks: Vec<_> = (1..=600)
            .filter_map(|sequence| {
                let late_ms = if sequence == 300 { 70 } else { 0 };
                position.go_on(sequence, Timestamp(1_000 + sequence as i64 - late_ms))
            })
            .collect();
        let marks: Vec<_> = marks.iter().map(|m| (m.sequence, m.latest_ms.0)).collect();
        assert_eq!(marks, [(256, 1_256), (512, 1_512)]);
        assert_eq!((position.behind_ms, position.through.0), (69, 1_600));
    }
}
