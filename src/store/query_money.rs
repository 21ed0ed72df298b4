//! The reads of transfers and top-ups.

use super::bounds::Of;
use super::columns::TableRow;
use super::database::{Store, Value};
use super::error::StoreError;
use super::query::{Conditions, Page};
use super::rows::{Sequence, TopUpRow, TransferRow};
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, TopUpId, TransferId};
use crate::engine::top_ups::TopUpStatus;
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

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopUpFilter {
    pub account_id: Option<AccountId>,
    pub status: Option<TopUpStatus>,
    pub method: Option<&'static str>,
    pub external_reference: Option<String>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
}

impl Store {
    /// Top-ups, newest first, from behind `starting_after` on.
    pub async fn top_ups(
        &self,
        filter: &TopUpFilter,
        starting_after: Option<TopUpId>,
        limit: u32,
    ) -> Result<Page<TopUpRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<TopUpRow>(after).await?;
        let mut conditions = Conditions::default();
        conditions.equal("account_id", filter.account_id.map(|id| id.to_string()));
        let status = filter.status.map(|status| status.name().to_owned());
        conditions.equal("status", status);
        conditions.equal("method", filter.method.map(str::to_owned));
        conditions.equal("external_reference", filter.external_reference.clone());
        conditions.within(filter.bounds.as_ref(), &Of::TOP_UPS);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }

    /// A top-up as the tables have it, and a position that they had at most by then.
    pub async fn top_up_at(&self, id: TopUpId) -> Result<(Sequence, Option<TopUpRow>), StoreError> {
        let position = self.projection().await?.position;
        let columns = TopUpRow::select();
        let sql = format!("SELECT {columns} FROM top_ups WHERE id = $1");
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| TopUpRow::take(row, 0));
        Ok((position, rows.await?.pop()))
    }

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
