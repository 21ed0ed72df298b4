//! The reads of transfers and top-ups. Those of ledger entries are in `query_ledger.rs`.

use super::bounds;
use super::columns::TableRow;
use super::database::{Store, Value};
use super::error::StoreError;
use super::filters::{AmountFilter, Gathered, filters};
use super::query::Page;
use super::rows::{Sequence, TopUpRow, TransferRow};
use super::seek::{Filter, Indexed};
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, CardId, ProgramId, TopUpId, TransferId};
use crate::engine::money::Currency;
use crate::engine::time::Timestamp;
use crate::engine::top_ups::TopUpStatus;
use crate::engine::transfers::TransferStatus;

filters! {
    TransferFilter {
        /// On either side.
        account_id: AccountId,
        from_account_id: AccountId,
        to_account_id: AccountId,
        /// Of the account on either side, like the four below.
        program_id: ProgramId,
        /// One that was opened for this card.
        card_id: CardId,
        /// One that was opened for the first of this chain.
        card_chain_id: CardId,
        /// One that was opened for a card with any link of this type, or with this very one together with `link_id`.
        link_type: String,
        link_id: String,
        status: TransferStatus,
        currency: Currency,
        /// From this one on, and below that.
        amount_from: i64,
        amount_until: i64,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// Only what these cover, on either side.
        bounds: Bounds,
    }
}

filters! {
    TopUpFilter {
        account_id: AccountId,
        /// Of the account.
        program_id: ProgramId,
        /// The account was opened for this card.
        card_id: CardId,
        /// It was opened for the first of this chain.
        card_chain_id: CardId,
        /// It was opened for a card with any link of this type, or with this very one together with `link_id`.
        link_type: String,
        link_id: String,
        status: TopUpStatus,
        method: &'static str,
        external_reference: String,
        currency: Currency,
        /// From this one on, and below that.
        amount_from: i64,
        amount_until: i64,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// Only what these cover.
        bounds: Bounds,
    }
}

const ACCOUNT: &[&str] = &["account_id"];
const SIDES: &[&str] = &["from_account_id", "to_account_id"];

impl TransferFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(TransferRow::TABLE);
        of.seen_accounts = self.bounds.as_ref().map(bounds::accounts_within);
        of.equal("from_account_id", self.from_account_id);
        of.equal("to_account_id", self.to_account_id);
        if let Some(id) = self.account_id {
            let value = Value::Text(id.to_string());
            let side = |column| Indexed::new(column, value.clone(), None);
            let (sender, receiver) = (side(SIDES[0]), side(SIDES[1]));
            of.filters.push(Filter::either(sender, receiver));
        }
        of.of_account_with(SIDES, "program_id", self.program_id);
        of.of_account_with(SIDES, "card_id", self.card_id);
        of.of_account_of_chain(SIDES, self.card_chain_id);
        let (link_type, link_id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.of_linked_account(SIDES, link_type, link_id);
        of.equal("status", self.status.map(TransferStatus::name));
        of.amount(&AmountFilter {
            currency: self.currency,
            from: self.amount_from,
            until: self.amount_until,
        });
        of.created(self.created_from, self.created_until);
        let bounds = bounds::of_accounts_money(self.bounds.as_ref(), TransferRow::TABLE, SIDES);
        of.filters.extend(bounds);
        of.filters
    }
}

impl TopUpFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(TopUpRow::TABLE);
        of.equal("account_id", self.account_id);
        of.of_account_with(ACCOUNT, "program_id", self.program_id);
        of.of_account_with(ACCOUNT, "card_id", self.card_id);
        of.of_account_of_chain(ACCOUNT, self.card_chain_id);
        let (link_type, link_id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.of_linked_account(ACCOUNT, link_type, link_id);
        of.equal("status", self.status.map(TopUpStatus::name));
        of.equal("method", self.method);
        of.equal("external_reference", self.external_reference.as_ref());
        of.amount(&AmountFilter {
            currency: self.currency,
            from: self.amount_from,
            until: self.amount_until,
        });
        of.created(self.created_from, self.created_until);
        let bounds = bounds::of_accounts_money(self.bounds.as_ref(), TopUpRow::TABLE, ACCOUNT);
        of.filters.extend(bounds);
        of.filters
    }
}

impl Store {
    /// Top-ups, newest first, from behind `starting_after` on.
    pub async fn top_ups(
        &self,
        filter: &TopUpFilter,
        starting_after: Option<TopUpId>,
        limit: u32,
    ) -> Result<Page<TopUpRow>, StoreError> {
        let times = (filter.created_from, filter.created_until);
        let after = starting_after.map(|id| id.to_string());
        self.newest(filter.gathered(), times, after, limit).await
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
        let times = (filter.created_from, filter.created_until);
        let after = starting_after.map(|id| id.to_string());
        self.newest(filter.gathered(), times, after, limit).await
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
