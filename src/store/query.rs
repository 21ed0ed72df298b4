//! The reads that lists and single objects of the API come from: plain rows, newest first, with a
//! cursor that stays where it is while rows are added. How they print does not live here.

use super::bounds::Of;
use super::columns::{Column, TableRow};
use super::database::{Store, Value};
use super::error::StoreError;
use super::rows::{
    AccountRow, AuthorizationRow, AuthorizationStatus, CardLinkRow, CardRow, LedgerEntryRow,
    ProgramRow, ReversalRow, Sequence, TransactionRow, TransactionType,
};
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, AuthorizationId, CardId, ProgramId, TokenId, TransactionId};
use crate::engine::reason::DeclineReason;
use crate::engine::shipping::ShippingStatus;
use crate::engine::time::Timestamp;

/// Rows of one page at most.
pub const LIMIT_MAX: u32 = 1000;
/// Objects that one query asks about.
const ASK_MAX: usize = 500;

/// One page of a list. All that happened up to `projected_through` is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<R> {
    pub data: Vec<R>,
    pub has_more: bool,
    pub projected_through: Sequence,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizationFilter {
    pub card_id: Option<CardId>,
    pub account_id: Option<AccountId>,
    /// What became part of this one.
    pub original_authorization_id: Option<AuthorizationId>,
    pub token_id: Option<TokenId>,
    pub status: Option<AuthorizationStatus>,
    pub reason: Option<DeclineReason>,
    /// Any link of this type, or this very one together with `link_id`.
    pub link_type: Option<String>,
    pub link_id: Option<String>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    pub program_id: Option<ProgramId>,
    pub parent_id: Option<AccountId>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardFilter {
    pub account_id: Option<AccountId>,
    pub program_id: Option<ProgramId>,
    pub link_type: Option<String>,
    pub link_id: Option<String>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
    /// The card that was issued in place of this one.
    pub replacement_for: Option<CardId>,
    pub shipping_status: Option<ShippingStatus>,
}

/// Where a page of ledger entries goes on: after this leg of this record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryCursor {
    pub sequence: Sequence,
    pub leg: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    pub card_id: Option<CardId>,
    pub account_id: Option<AccountId>,
    pub authorization_id: Option<AuthorizationId>,
    pub transaction_type: Option<TransactionType>,
    /// Not before this, and before that.
    pub created_from: Option<Timestamp>,
    pub created_until: Option<Timestamp>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// An id, or `root`.
    pub api_key_id: Option<String>,
    pub object_id: Option<String>,
    pub action: Option<String>,
    /// Not before this, and before that.
    pub created_from: Option<Timestamp>,
    pub created_until: Option<Timestamp>,
    /// What is of one of these programs only.
    pub program_ids: Option<Box<[ProgramId]>>,
}

/// Conditions of a WHERE, with their parameters numbered as they come.
#[derive(Default)]
pub(super) struct Conditions {
    pub clauses: Vec<String>,
    pub values: Vec<Value>,
}

impl Conditions {
    /// The placeholder of a further parameter.
    pub fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    pub fn equal(&mut self, column: &str, value: Option<String>) {
        if let Some(value) = value {
            let place = self.place(Value::Text(value));
            self.clauses.push(format!("{column} = {place}"));
        }
    }

    /// The card in `column` has such a link.
    pub(super) fn linked(&mut self, column: &str, link_type: Option<&str>, link_id: Option<&str>) {
        let mut link = Conditions {
            clauses: Vec::new(),
            values: std::mem::take(&mut self.values),
        };
        link.equal("link_type", link_type.map(str::to_owned));
        link.equal("link_id", link_id.map(str::to_owned));
        self.values = link.values;
        if !link.clauses.is_empty() {
            let clause = link.clauses.join(" AND ");
            self.clauses.push(format!(
                "{column} IN (SELECT card_id FROM card_links WHERE {clause})"
            ));
        }
    }

    pub fn one_of(&mut self, column: &str, ids: impl Iterator<Item = impl ToString>) {
        let places: Vec<String> = ids
            .map(|id| self.place(Value::Text(id.to_string())))
            .collect();
        self.clauses
            .push(format!("{column} IN ({})", places.join(", ")));
    }

    /// From one moment on, and before another.
    pub fn between(&mut self, column: &str, from: Option<Timestamp>, until: Option<Timestamp>) {
        for (at, comparison) in [(from, ">="), (until, "<")] {
            if let Some(at) = at {
                let place = self.place(Value::Int(at.0));
                self.clauses.push(format!("{column} {comparison} {place}"));
            }
        }
    }

    pub(super) fn before(&mut self, sequence: Option<Sequence>) {
        if let Some(sequence) = sequence {
            let place = self.place(Value::Int(sequence as i64));
            self.clauses.push(format!("sequence < {place}"));
        }
    }

    pub fn sql(&self) -> String {
        if self.clauses.is_empty() {
            return String::new();
        }
        format!(" WHERE {}", self.clauses.join(" AND "))
    }
}

impl Store {
    /// An authorization as the tables have it, and the position that they have it at, both of the same
    /// moment: what is needed to go on with the journal's tail (see `tail.rs`).
    pub async fn authorization_at(
        &self,
        id: AuthorizationId,
    ) -> Result<(Sequence, Option<AuthorizationRow>), StoreError> {
        let columns = AuthorizationRow::select();
        let sql = format!(
            "SELECT at.position, {columns} FROM (SELECT COALESCE(MAX(position), 0) AS position \
             FROM projection) AS at LEFT JOIN authorizations ON authorizations.id = $1"
        );
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| {
            let found = !row.is_null(1)?;
            let stored = found.then(|| AuthorizationRow::take(row, 1)).transpose()?;
            Ok((Column::take(row, 0)?, stored))
        });
        Ok(rows.await?.pop().unwrap_or((0, None)))
    }

    pub async fn authorization(
        &self,
        id: AuthorizationId,
    ) -> Result<Option<AuthorizationRow>, StoreError> {
        Ok(self.authorization_at(id).await?.1)
    }

    /// Authorizations, newest first, from behind `starting_after` on.
    pub async fn authorizations(
        &self,
        filter: &AuthorizationFilter,
        starting_after: Option<AuthorizationId>,
        limit: u32,
    ) -> Result<Page<AuthorizationRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<AuthorizationRow>(after).await?;
        let mut conditions = Conditions::default();
        conditions.equal("card_id", filter.card_id.map(|id| id.to_string()));
        conditions.equal("account_id", filter.account_id.map(|id| id.to_string()));
        conditions.equal("token_id", filter.token_id.map(|id| id.to_string()));
        conditions.equal(
            "original_authorization_id",
            filter.original_authorization_id.map(|id| id.to_string()),
        );
        conditions.equal(
            "status",
            filter.status.map(|status| status.name().to_owned()),
        );
        conditions.equal(
            "reason",
            filter.reason.map(|reason| reason.name().to_owned()),
        );
        conditions.linked(
            "card_id",
            filter.link_type.as_deref(),
            filter.link_id.as_deref(),
        );
        conditions.within(filter.bounds.as_ref(), &Of::CARDS_MONEY);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }

    /// A transaction as the tables have it, and a position that they had at most by then.
    pub async fn transaction_at(
        &self,
        id: TransactionId,
    ) -> Result<(Sequence, Option<TransactionRow>), StoreError> {
        // The position first: the row may be newer than it, never older.
        let position = self.projection().await?.position;
        let columns = TransactionRow::select();
        let sql = format!("SELECT {columns} FROM transactions WHERE id = $1");
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| TransactionRow::take(row, 0));
        Ok((position, rows.await?.pop()))
    }

    /// What was posted for these authorizations, in the order in which it came; up to a position, where one is
    /// given.
    pub async fn transactions_of(
        &self,
        authorizations: &[AuthorizationId],
        through: Option<Sequence>,
    ) -> Result<Vec<(AuthorizationId, TransactionId)>, StoreError> {
        let mut transactions = Vec::new();
        for ids in authorizations.chunks(ASK_MAX) {
            let mut conditions = Conditions::default();
            let places: Vec<String> = ids
                .iter()
                .map(|id| conditions.place(Value::Text(id.to_string())))
                .collect();
            let of = format!("authorization_id IN ({})", places.join(", "));
            conditions.clauses.push(of);
            conditions.before(through.map(|through| through + 1));
            let sql = format!(
                "SELECT authorization_id, id FROM transactions{} ORDER BY sequence",
                conditions.sql()
            );
            let found = self.fetch(sql, &conditions.values, |row| {
                Ok((Column::take(row, 0)?, Column::take(row, 1)?))
            });
            transactions.extend(found.await?);
        }
        Ok(transactions)
    }

    /// Transactions, newest first, from behind `starting_after` on.
    pub async fn transactions(
        &self,
        filter: &TransactionFilter,
        starting_after: Option<TransactionId>,
        limit: u32,
    ) -> Result<Page<TransactionRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<TransactionRow>(after).await?;
        let mut conditions = Conditions::default();
        conditions.equal("card_id", filter.card_id.map(|id| id.to_string()));
        conditions.equal("account_id", filter.account_id.map(|id| id.to_string()));
        conditions.equal(
            "authorization_id",
            filter.authorization_id.map(|id| id.to_string()),
        );
        conditions.equal(
            "transaction_type",
            filter.transaction_type.map(|kind| kind.name().to_owned()),
        );
        conditions.between("created_at_ms", filter.created_from, filter.created_until);
        conditions.within(filter.bounds.as_ref(), &Of::CARDS_MONEY);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }

    /// What became of an authorization's reversals, oldest first.
    pub async fn reversals(&self, of: AuthorizationId) -> Result<Vec<ReversalRow>, StoreError> {
        let columns = ReversalRow::select();
        let sql = format!(
            "SELECT {columns} FROM reversals WHERE authorization_id = $1 ORDER BY sequence"
        );
        let values = [Value::Text(of.to_string())];
        self.fetch(sql, &values, |row| ReversalRow::take(row, 0))
            .await
    }

    /// The entries of a customer's account, newest first; contra legs are left out.
    pub async fn ledger_entries(
        &self,
        account_id: AccountId,
        starting_after: Option<EntryCursor>,
        limit: u32,
    ) -> Result<Page<LedgerEntryRow>, StoreError> {
        let mut conditions = Conditions::default();
        conditions.equal("account_id", Some(account_id.to_string()));
        conditions.equal("ledger_account", Some("customer".to_owned()));
        if let Some(cursor) = starting_after {
            let sequence = conditions.place(Value::Int(cursor.sequence as i64));
            let leg = conditions.place(Value::Int(i64::from(cursor.leg)));
            let clause = format!("(sequence, leg) < ({sequence}, {leg})");
            conditions.clauses.push(clause);
        }
        self.page(conditions, "sequence DESC, leg DESC", limit)
            .await
    }

    pub async fn accounts(
        &self,
        filter: &AccountFilter,
        starting_after: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<AccountRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<AccountRow>(after).await?;
        let mut conditions = Conditions::default();
        conditions.equal("program_id", filter.program_id.map(|id| id.to_string()));
        conditions.equal("parent_id", filter.parent_id.map(|id| id.to_string()));
        conditions.within(filter.bounds.as_ref(), &Of::ACCOUNTS);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }

    pub async fn cards(
        &self,
        filter: &CardFilter,
        starting_after: Option<CardId>,
        limit: u32,
    ) -> Result<Page<CardRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<CardRow>(after).await?;
        let mut conditions = Conditions::default();
        conditions.equal("account_id", filter.account_id.map(|id| id.to_string()));
        conditions.equal("program_id", filter.program_id.map(|id| id.to_string()));
        let replaced = filter.replacement_for.map(|id| id.to_string());
        conditions.equal("replacement_for", replaced);
        let shipping = filter
            .shipping_status
            .map(|status| status.name().to_owned());
        conditions.equal("shipping_status", shipping);
        conditions.linked("id", filter.link_type.as_deref(), filter.link_id.as_deref());
        conditions.within(filter.bounds.as_ref(), &Of::CARDS);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }

    /// The links of these cards, by card.
    pub async fn card_links(&self, cards: &[CardId]) -> Result<Vec<CardLinkRow>, StoreError> {
        let (columns, mut links) = (CardLinkRow::select(), Vec::new());
        for cards in cards.chunks(ASK_MAX) {
            let mut conditions = Conditions::default();
            let places: Vec<String> = cards
                .iter()
                .map(|id| conditions.place(Value::Text(id.to_string())))
                .collect();
            let sql = format!(
                "SELECT {columns} FROM card_links WHERE card_id IN ({}) \
                 ORDER BY card_id, link_type, link_id",
                places.join(", ")
            );
            let found = self.fetch(sql, &conditions.values, |row| CardLinkRow::take(row, 0));
            links.extend(found.await?);
        }
        Ok(links)
    }

    pub async fn programs(
        &self,
        bounds: Option<&Bounds>,
        starting_after: Option<ProgramId>,
        limit: u32,
    ) -> Result<Page<ProgramRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let before = self.cursor::<ProgramRow>(after).await?;
        let mut conditions = Conditions::default();
        conditions.within(bounds, &Of::PROGRAMS);
        conditions.before(before);
        self.page(conditions, "sequence DESC", limit).await
    }

    /// The journal sequence of the row that a page is to go on behind.
    pub(super) async fn cursor<R: TableRow>(
        &self,
        starting_after: Option<String>,
    ) -> Result<Option<Sequence>, StoreError> {
        let Some(id) = starting_after else {
            return Ok(None);
        };
        let sql = format!("SELECT sequence FROM {} WHERE id = $1", R::TABLE);
        let values = [Value::Text(id.clone())];
        let found = self.fetch(sql, &values, |row| Column::take(row, 0)).await?;
        match found.first() {
            None => Err(StoreError::UnknownCursor(id)),
            Some(sequence) => Ok(Some(*sequence)),
        }
    }

    pub(super) async fn page<R: TableRow>(
        &self,
        mut conditions: Conditions,
        order: &str,
        limit: u32,
    ) -> Result<Page<R>, StoreError> {
        let limit = limit.clamp(1, LIMIT_MAX) as usize;
        let wanted = conditions.place(Value::Int(limit as i64 + 1));
        let (columns, table, clause) = (R::select(), R::TABLE, conditions.sql());
        let sql = format!("SELECT {columns} FROM {table}{clause} ORDER BY {order} LIMIT {wanted}");
        // The position first: the rows may be newer than it, never older.
        let projected_through = self.projection().await?.position;
        let mut data = self
            .fetch(sql, &conditions.values, |row| R::take(row, 0))
            .await?;
        let has_more = data.len() > limit;
        data.truncate(limit);
        Ok(Page {
            data,
            has_more,
            projected_through,
        })
    }
}
