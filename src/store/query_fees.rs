//! The reads of charges.

use super::bounds::Of;
use super::columns::TableRow;
use super::database::{Store, Value};
use super::error::StoreError;
use super::query::{Conditions, Page};
use super::rows::{FeeRow, Sequence};
use crate::engine::api_keys::Bounds;
use crate::engine::fees::schedule::FeeKind;
use crate::engine::ids::{AccountId, CardId, FeeId, ProgramId};
use crate::engine::time::Timestamp;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeeFilter {
    pub account_id: Option<AccountId>,
    pub card_id: Option<CardId>,
    pub program_id: Option<ProgramId>,
    pub kind: Option<FeeKind>,
    /// Not before this, and before that.
    pub created_from: Option<Timestamp>,
    pub created_until: Option<Timestamp>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
}

impl Store {
    /// Charges, newest first, from behind `starting_after` on.
    pub async fn fees(
        &self,
        filter: &FeeFilter,
        starting_after: Option<FeeId>,
        limit: u32,
    ) -> Result<Page<FeeRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        // A record may charge more than once, so that its number does not say where a page ends.
        self.cursor::<FeeRow>(after.clone()).await?;
        let mut conditions = Conditions::default();
        conditions.equal("account_id", filter.account_id.map(|id| id.to_string()));
        conditions.equal("card_id", filter.card_id.map(|id| id.to_string()));
        conditions.equal("program_id", filter.program_id.map(|id| id.to_string()));
        conditions.equal("kind", filter.kind.map(|kind| kind.name().to_owned()));
        conditions.between("created_at_ms", filter.created_from, filter.created_until);
        conditions.within(filter.bounds.as_ref(), &Of::FEES);
        if let Some(after) = after {
            let place = conditions.place(Value::Text(after));
            conditions.clauses.push(format!("id < {place}"));
        }
        self.page(conditions, "id DESC", limit).await
    }

    /// A charge as the tables have it, and a position that they had at most by then.
    pub async fn fee_at(&self, id: FeeId) -> Result<(Sequence, Option<FeeRow>), StoreError> {
        let position = self.projection().await?.position;
        let columns = FeeRow::select();
        let sql = format!("SELECT {columns} FROM fees WHERE id = $1");
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| FeeRow::take(row, 0));
        Ok((position, rows.await?.pop()))
    }
}
