//! The reads of transfers and top-ups.

use super::bounds;
use super::columns::TableRow;
use super::database::{Store, Value};
use super::error::StoreError;
use super::filters::{AmountFilter, Gathered, filters};
use super::query::{LIMIT_MAX, Page};
use super::rows::{LedgerEntryRow, Sequence, TopUpRow, TransferRow};
use super::seek::{Filter, Indexed};
use super::sql::Sql;
use super::times;
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, ProgramId, TopUpId, TransferId};
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

filters! {
    /// Of the entries of one account.
    LedgerFilter {
        /// `top_up`, `transaction`, `transfer`, and what else posts money.
        source_type: String,
        source_id: String,
        /// From this one on, and below that; below zero it left the account.
        amount_from: i64,
        amount_until: i64,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
    }
}

/// Where a page of ledger entries goes on: after this leg of this record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryCursor {
    pub sequence: Sequence,
    pub leg: u16,
}

/// What posts by far the most entries. Those of others have an index of their own.
const MOST_ENTRIES: &str = "transaction";

impl TransferFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(TransferRow::TABLE);
        of.equal("from_account_id", self.from_account_id);
        of.equal("to_account_id", self.to_account_id);
        if let Some(id) = self.account_id {
            let sides = ["from_account_id", "to_account_id"];
            let value = Value::Text(id.to_string());
            let side = |column| Indexed::new(column, value.clone(), None);
            let [sender, receiver] = sides.map(side);
            of.filters.push(Filter::either(sender, receiver));
        }
        of.equal("status", self.status.map(TransferStatus::name));
        of.amount(&AmountFilter {
            currency: self.currency,
            from: self.amount_from,
            until: self.amount_until,
        });
        of.created(self.created_from, self.created_until);
        let sides = ["transfers.from_account_id", "transfers.to_account_id"];
        let bounds = bounds::of_accounts_money(self.bounds.as_ref(), &sides);
        of.filters.extend(bounds);
        of.filters
    }
}

impl TopUpFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(TopUpRow::TABLE);
        of.equal("account_id", self.account_id);
        of.of_account_with("program_id", self.program_id);
        of.equal("status", self.status.map(TopUpStatus::name));
        of.equal("method", self.method);
        of.equal("external_reference", self.external_reference.as_ref());
        of.amount(&AmountFilter {
            currency: self.currency,
            from: self.amount_from,
            until: self.amount_until,
        });
        of.created(self.created_from, self.created_until);
        let account = ["top_ups.account_id"];
        let bounds = bounds::of_accounts_money(self.bounds.as_ref(), &account);
        of.filters.extend(bounds);
        of.filters
    }
}

impl LedgerFilter {
    fn clauses(&self, account_id: AccountId) -> Vec<Sql> {
        let mut clauses = vec![
            Sql::equal("account_id", account_id),
            Sql::equal("ledger_account", "customer"),
        ];
        if let Some(source_type) = &self.source_type {
            clauses.push(Sql::equal("source_type", source_type));
            if source_type != MOST_ENTRIES {
                // In these very words the index says what it has.
                clauses.push(Sql::of(&format!("source_type <> '{MOST_ENTRIES}'")));
            }
        }
        clauses.extend(
            self.source_id
                .as_ref()
                .map(|id| Sql::equal("source_id", id)),
        );
        for (value, comparison) in [(self.amount_from, ">="), (self.amount_until, "<")] {
            if let Some(value) = value {
                clauses.push(Sql::compare("amount_minor", comparison, Value::Int(value)));
            }
        }
        let (from, until) = (self.created_from, self.created_until);
        clauses.extend(times::between("created_at_ms", from, until));
        clauses
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

    /// The entries of a customer's account, newest first; contra legs are left out.
    pub async fn ledger_entries(
        &self,
        account_id: AccountId,
        filter: &LedgerFilter,
        starting_after: Option<EntryCursor>,
        limit: u32,
    ) -> Result<Page<LedgerEntryRow>, StoreError> {
        let limit = limit.clamp(1, LIMIT_MAX) as usize;
        let records = self
            .records_within(filter.created_from, filter.created_until)
            .await?;
        let mut clauses = filter.clauses(account_id);
        for (sequence, comparison) in [(records.after, ">"), (records.before, "<")] {
            let value = sequence.map(|sequence| Value::Int(sequence as i64));
            clauses.extend(value.map(|value| Sql::compare("sequence", comparison, value)));
        }
        if let Some(cursor) = starting_after {
            let mut behind =
                Sql::compare("(sequence, leg)", "< (", Value::Int(cursor.sequence as i64));
            behind.push(", ");
            behind.bind(Value::Int(i64::from(cursor.leg)));
            behind.push(")");
            clauses.push(behind);
        }
        let columns = LedgerEntryRow::select();
        let mut sql = Sql::of(&format!("SELECT {columns} FROM ledger_entries WHERE "));
        sql.append(&Sql::all(&clauses));
        sql.push(&format!(
            " ORDER BY sequence DESC, leg DESC LIMIT {}",
            limit + 1
        ));
        // The position first: the rows may be newer than it, never older.
        let projected_through = self.projection().await?.position;
        let read = self.fetch_in_time(sql, |row| LedgerEntryRow::take(row, 0));
        let mut data = read.await?;
        let has_more = data.len() > limit;
        data.truncate(limit);
        Ok(Page {
            data,
            has_more,
            projected_through,
        })
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
