//! The sums that a settlement report is made of: what was posted, and what is authorized and open. What is owed of
//! it, and how it prints, does not live here.

use super::columns::Column;
use super::database::{Database, Store, Value};
use super::error::StoreError;
use super::rows::{Sequence, SumPart};
use super::sql::Sql;
use super::times;
use crate::engine::facts::Kind;
use crate::engine::money::Currency;
use crate::engine::time::Timestamp;

/// Transactions or open authorizations of one currency and kind, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementSum {
    pub currency: Currency,
    pub kind: Kind,
    pub part: SumPart,
    pub count: u64,
    /// What the network gets of it: mark-up and rounding are ours. Of transactions signed as accounts see them; of
    /// authorizations what is not posted yet, above zero. A sum may be larger than any of its amounts can be.
    pub amount_minor: i128,
}

/// Sums of 64 bits would overflow where their amounts do not: what is above this and what is below it are added up apart.
const SUMMED_APART: i64 = 1_000_000_000;

fn sum_of(amount: &str) -> String {
    format!(
        "CAST(SUM(({amount}) / {SUMMED_APART}) AS BIGINT), CAST(SUM(({amount}) % {SUMMED_APART}) AS BIGINT)"
    )
}

/// What is ours of an authorization that is open: as much of mark-up and rounding as is open of the amount that
/// came with them, rounded down; all of it where what came was rounded to nothing. The product may need more than 64 bits: Postgres has them, and SQLite goes on in floating
/// point there, where the last of 16 digits may be off.
fn ours(database: &Database) -> String {
    let share = "CAST(mark_up_minor + rounding_minor AS NUMERIC) * (amount_minor - posted_minor) \
                 / (network_minor + mark_up_minor + rounding_minor)";
    let whole = match database {
        // Whole numbers are divided as such.
        Database::Sqlite(_) => share.to_owned(),
        Database::Postgres(_) => format!("TRUNC({share})"),
    };
    format!(
        "CASE WHEN mark_up_minor + rounding_minor = 0 THEN 0 \
         WHEN network_minor + mark_up_minor + rounding_minor = 0 THEN mark_up_minor + rounding_minor \
         ELSE CAST({whole} AS BIGINT) END"
    )
}

impl Store {
    /// Whether any program or authorization is of a network of this name.
    pub async fn has_network(&self, name: &str) -> Result<bool, StoreError> {
        for table in ["programs", "authorizations"] {
            let sql = format!("SELECT network FROM {table} WHERE network = $1 LIMIT 1");
            let values = [Value::Text(name.to_owned())];
            let found = self.fetch(sql, &values, |row| {
                let name: String = Column::take(row, 0)?;
                Ok(name)
            });
            if !found.await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was posted from `from` on and before `until`, and what was authorized then and is still open, without
    /// what of that was posted, whenever it was. In one statement: read one after the other, what is posted in
    /// between would be in both. With the position that the sums hold at least.
    pub async fn settlement_sums(
        &self,
        from: Timestamp,
        until: Timestamp,
        network: Option<&str>,
    ) -> Result<(Sequence, Vec<SettlementSum>), StoreError> {
        let records = self.records_within(Some(from), Some(until)).await?;
        let mut then = times::between("created_at_ms", Some(from), Some(until));
        for (sequence, comparison) in [(records.after, ">"), (records.before, "<")] {
            let value = sequence.map(|sequence| Value::Int(sequence as i64));
            then.extend(value.map(|value| Sql::compare("sequence", comparison, value)));
        }
        then.extend(network.map(|network| Sql::equal("network", network)));
        let then = Sql::all(&then);
        let posted = sum_of("network_minor");
        let ours = ours(&self.database);
        let open = sum_of(&format!("amount_minor - posted_minor - {ours}"));
        // The parameters are numbered, so both parts may name them.
        let (then, values) = (&then.text, &then.values);
        let sql = format!(
            "SELECT currency, kind, transaction_type AS part, COUNT(*), {posted} \
             FROM transactions WHERE {then} GROUP BY currency, kind, transaction_type \
             UNION ALL \
             SELECT currency, kind, 'authorized', COUNT(*), {open} \
             FROM authorizations WHERE {then} AND status IN ('pending', 'partially_cleared') \
             GROUP BY currency, kind ORDER BY 1, 2, 3"
        );
        let projected_through = self.projection().await?.position;
        let sums = self.fetch(sql, values, |row| {
            let (above, below): (i64, i64) = (Column::take(row, 4)?, Column::take(row, 5)?);
            Ok(SettlementSum {
                currency: Column::take(row, 0)?,
                kind: Column::take(row, 1)?,
                part: Column::take(row, 2)?,
                count: Column::take(row, 3)?,
                amount_minor: i128::from(above) * i128::from(SUMMED_APART) + i128::from(below),
            })
        });
        Ok((projected_through, sums.await?))
    }
}
