//! The reads of transfers.

use super::bounds::Of;
use super::columns::TableRow;
use super::database::{Store, Value};
use super::error::StoreError;
use super::query::{Conditions, Page};
use super::rows::{Sequence, TransferRow};
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, TransferId};
use crate::engine::transfers::TransferStatus;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferFilter {
    /// On either side.
    pub account_id: Option<AccountId>,
    pub from_account_id: Option<AccountId>,
    pub to_account_id: Option<AccountId>,
    pub status: Option<TransferStatus>,
    /// Only what these cover, on either side.
    pub bounds: Option<Bounds>,
}

impl Store {
    /// Transfers, newest first, from behind `starting_after` on.
    pub async fn transfers(
        &self,
        filter: &TransferFilter,
        starting_after: Option<TransferId>,
        limit: u32,
    ) -> Result<Page<TransferRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<TransferRow>(after).await?;
        let mut conditions = Conditions::default();
        let text = |id: Option<AccountId>| id.map(|id| id.to_string());
        conditions.equal("from_account_id", text(filter.from_account_id));
        conditions.equal("to_account_id", text(filter.to_account_id));
        if let Some(id) = filter.account_id {
            let place = conditions.place(Value::Text(id.to_string()));
            let either = format!("(from_account_id = {place} OR to_account_id = {place})");
            conditions.clauses.push(either);
        }
        let status = filter.status.map(|status| status.name().to_owned());
        conditions.equal("status", status);
        conditions.within_either(filter.bounds.as_ref(), [&Of::SENDERS, &Of::RECEIVERS]);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }

    /// A transfer as the tables have it, and a position that they had at most by then.
    pub async fn transfer_at(
        &self,
        id: TransferId,
    ) -> Result<(Sequence, Option<TransferRow>), StoreError> {
        let position = self.projection().await?.position;
        let columns = TransferRow::select();
        let sql = format!("SELECT {columns} FROM transfers WHERE id = $1");
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| TransferRow::take(row, 0));
        Ok((position, rows.await?.pop()))
    }
}
