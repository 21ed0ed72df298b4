//! The reads of authorizations and transactions: lists, newest first, and single ones. How they print does not live here.

use super::bounds;
use super::columns::{Column, TableRow};
use super::database::{Store, Value};
use super::error::StoreError;
use super::filters::{AmountFilter, Gathered, filters};
use super::filters_joined::{of_transaction, under_exception};
use super::query::{ASK_MAX, Page};
use super::rows::{
    AuthorizationResult, AuthorizationRow, AuthorizationStatus, MessageName, ReversalRow, Sequence,
    TransactionRow, TransactionType,
};
use super::seek::Filter;
use super::sql::Sql;
use crate::engine::api_keys::Bounds;
use crate::engine::facts::{Country, Kind};
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, ExceptionId, ProgramId, TokenId,
    TransactionId,
};
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::engine::time::Timestamp;
use crate::engine::trace::Step;

filters! {
    AuthorizationFilter {
        card_id: CardId,
        /// This card, what it replaced, and what replaced it.
        card_chain_id: CardId,
        account_id: AccountId,
        program_id: ProgramId,
        cardholder_id: CardholderId,
        /// What became part of this one, or is a refund of it.
        original_authorization_id: AuthorizationId,
        token_id: TokenId,
        /// What was posted for it.
        transaction_id: TransactionId,
        /// The limit, the list or the risk rule that said no, as it is told.
        rule_id: String,
        /// That let it pass.
        exception_id: ExceptionId,
        status: AuthorizationStatus,
        result: AuthorizationResult,
        reason: DeclineReason,
        step: Step,
        kind: Kind,
        message: MessageName,
        merchant_id: String,
        /// How its name begins.
        merchant_name: String,
        mcc: u16,
        merchant_country: Country,
        stan: u32,
        rrn: String,
        approval_code: String,
        currency: Currency,
        /// From this one on, and below that.
        amount_from: i64,
        amount_until: i64,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// Any link of this type, or this very one together with `link_id`.
        link_type: String,
        link_id: String,
        /// Only what these cover.
        bounds: Bounds,
    }
}

filters! {
    TransactionFilter {
        card_id: CardId,
        /// This card, what it replaced, and what replaced it.
        card_chain_id: CardId,
        account_id: AccountId,
        program_id: ProgramId,
        cardholder_id: CardholderId,
        authorization_id: AuthorizationId,
        /// Of the authorization, like the one below.
        token_id: TokenId,
        approval_code: String,
        transaction_type: TransactionType,
        kind: Kind,
        merchant_id: String,
        /// How its name begins.
        merchant_name: String,
        mcc: u16,
        merchant_country: Country,
        stan: u32,
        rrn: String,
        currency: Currency,
        /// From this one on, and below that; below zero the account paid.
        amount_from: i64,
        amount_until: i64,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        link_type: String,
        link_id: String,
        /// Only what these cover.
        bounds: Bounds,
    }
}

/// What authorizations and transactions both have. They are two types with fields of the same names, so it is a macro.
macro_rules! of_every_payment {
    ($of:ident, $filter:ident) => {
        $of.equal("card_id", $filter.card_id);
        $of.of_chain("card_id", $filter.card_chain_id);
        $of.equal("account_id", $filter.account_id);
        $of.equal("program_id", $filter.program_id);
        $of.of_card_with("cardholder_id", $filter.cardholder_id);
        $of.rare("kind", $filter.kind.map(Kind::name), "purchase");
        $of.equal("merchant_id", $filter.merchant_id.as_ref());
        $of.merchant_named($filter.merchant_name.as_deref());
        $of.number("mcc", $filter.mcc);
        let country = $filter.merchant_country;
        $of.equal("merchant_country", country.map(|c| c.alpha2().to_owned()));
        $of.number("stan", $filter.stan);
        $of.equal("rrn", $filter.rrn.as_ref());
        $of.amount_in_buckets(&AmountFilter {
            currency: $filter.currency,
            from: $filter.amount_from,
            until: $filter.amount_until,
        });
        $of.created($filter.created_from, $filter.created_until);
        $of.linked(
            "card_id",
            $filter.link_type.as_deref(),
            $filter.link_id.as_deref(),
        );
    };
}

impl AuthorizationFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(AuthorizationRow::TABLE);
        of_every_payment!(of, self);
        of.equal("original_authorization_id", self.original_authorization_id);
        of.equal("token_id", self.token_id);
        of.filters.extend(self.transaction_id.map(of_transaction));
        of.equal("rule_id", self.rule_id.as_ref());
        of.filters.extend(self.exception_id.map(under_exception));
        of.equal("status", self.status.map(AuthorizationStatus::name));
        of.rare(
            "result",
            self.result.map(AuthorizationResult::name),
            "approved",
        );
        of.equal("reason", self.reason.map(DeclineReason::name));
        of.equal("step", self.step.map(Step::name));
        of.rare("message", self.message.map(MessageName::name), "request");
        of.equal("approval_code", self.approval_code.as_ref());
        let bounds = bounds::of_payments(self.bounds.as_ref(), "authorizations.card_id");
        of.filters.extend(bounds);
        of.filters
    }
}

impl TransactionFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(TransactionRow::TABLE);
        of_every_payment!(of, self);
        of.equal("authorization_id", self.authorization_id);
        of.of_authorization_with("token_id", self.token_id);
        of.of_authorization_with("approval_code", self.approval_code.as_ref());
        let transaction_type = self.transaction_type.map(TransactionType::name);
        of.rare("transaction_type", transaction_type, "payment");
        let bounds = bounds::of_payments(self.bounds.as_ref(), "transactions.card_id");
        of.filters.extend(bounds);
        of.filters
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
        let times = (filter.created_from, filter.created_until);
        let after = starting_after.map(|id| id.to_string());
        self.newest(filter.gathered(), times, after, limit).await
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
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let mut sql = Sql::of("SELECT authorization_id, id FROM transactions WHERE ");
            sql.append(&Sql::one_of("authorization_id", &ids));
            if let Some(through) = through {
                sql.push(" AND ");
                let through = Value::Int(through as i64);
                sql.append(&Sql::compare("sequence", "<=", through));
            }
            sql.push(" ORDER BY sequence");
            let found = self.fetch(sql.text, &sql.values, |row| {
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
        let times = (filter.created_from, filter.created_until);
        let after = starting_after.map(|id| id.to_string());
        self.newest(filter.gathered(), times, after, limit).await
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
}
