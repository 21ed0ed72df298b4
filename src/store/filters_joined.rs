//! Filters by what a row of another table says of the row that is listed: the card that it names, its account, its payment.

use super::database::Value;
use super::filters::{AmountFilter, Gathered, begins, chain_of, is_linked};
use super::seek::{Filter, Keys};
use super::sql::Sql;
use crate::engine::ids::{CardId, ExceptionId, TransactionId};
use crate::engine::reason::DeclineReason;

/// What is asked of the payment that a row names.
pub(super) struct PaymentFilter<'a> {
    pub reason: Option<DeclineReason>,
    pub merchant_id: Option<&'a str>,
    pub amount: AmountFilter,
}

impl Gathered {
    /// The card in `card_id` has this: a cardholder, an account, a program.
    pub fn of_card_with(&mut self, of: &str, id: Option<impl ToString>) {
        self.of_row_with(("cards", "card_id"), of, id);
    }

    /// The payment in `authorization_id` has this.
    pub fn of_authorization_with(&mut self, of: &str, value: Option<impl ToString>) {
        self.of_row_with(("authorizations", "authorization_id"), of, value);
    }

    /// What posted it is a transaction with this.
    pub fn of_source_with(&mut self, of: &str, value: Option<impl ToString>) {
        self.of_row_with(("transactions", "source_id"), of, value);
    }

    /// The payment in `authorization_id` is so.
    pub fn of_payment(&mut self, asked: &PaymentFilter<'_>) {
        self.of_authorization_with("reason", asked.reason.map(DeclineReason::name));
        self.of_authorization_with("merchant_id", asked.merchant_id);
        let Some(fits) = asked.amount.clause() else {
            return;
        };
        let mut keys = Sql::of("SELECT authorizations.id FROM authorizations WHERE ");
        keys.append(&fits);
        // Those have an index.
        let in_buckets = match (asked.amount.buckets(), asked.amount.currency) {
            (Some(buckets), _) => Some(Sql::one_of("amount_bucket", &buckets)),
            (None, Some(currency)) => {
                Some(begins("amount_bucket", &format!("{} ", currency.alpha())))
            }
            (None, None) => None,
        };
        if let Some(in_buckets) = in_buckets {
            keys.push(" AND ");
            keys.append(&in_buckets);
        }
        let column = "authorization_id";
        self.exists(("authorizations", &[column]), &fits, keys);
    }

    /// An account in one of these columns has this.
    pub fn of_account_with(
        &mut self,
        columns: &'static [&'static str],
        of: &str,
        id: Option<impl ToString>,
    ) {
        if let Some(id) = id {
            let fits = Sql::equal(&format!("accounts.{of}"), id);
            let mut keys = Sql::of("SELECT accounts.id FROM accounts WHERE ");
            keys.append(&fits);
            self.of_accounts(columns, &fits, keys);
        }
    }

    /// An account in one of these columns was opened for a card of this chain.
    pub fn of_account_of_chain(&mut self, columns: &'static [&'static str], id: Option<CardId>) {
        if let Some(id) = id {
            let mut fits = Sql::of("accounts.card_id IN (");
            fits.append(&chain_of(id));
            fits.push(")");
            let mut keys = Sql::of("SELECT accounts.id FROM accounts WHERE ");
            keys.append(&fits);
            self.of_accounts(columns, &fits, keys);
        }
    }

    /// An account in one of these columns was opened for a card with such a link: any of a type, or this very one.
    pub fn of_linked_account(
        &mut self,
        columns: &'static [&'static str],
        link_type: Option<&str>,
        id: Option<&str>,
    ) {
        let Some(link_type) = link_type else {
            return;
        };
        let mut keys = Sql::of(
            "SELECT accounts.id FROM card_links JOIN accounts ON accounts.card_id = card_links.card_id WHERE ",
        );
        keys.append(&Sql::equal("card_links.link_type", link_type));
        if let Some(id) = id {
            keys.push(" AND ");
            keys.append(&Sql::equal("card_links.link_id", id));
        }
        let fits = is_linked("accounts.card_id", Some(link_type), id);
        self.of_accounts(columns, &fits, keys);
    }

    /// Of several accounts one that the caller sees: what the others are is no business of theirs.
    fn of_accounts(&mut self, columns: &'static [&'static str], fits: &Sql, mut keys: Sql) {
        let mut fits = fits.clone();
        if let Some(seen) = &self.seen_accounts {
            for sql in [&mut fits, &mut keys] {
                sql.push(" AND ");
                sql.append(seen);
            }
        }
        self.exists(("accounts", columns), &fits, keys);
    }

    /// The row of another table that a column names has this, in a column with an index.
    fn of_row_with(
        &mut self,
        (other, column): (&str, &'static str),
        of: &str,
        value: Option<impl ToString>,
    ) {
        let Some(value) = value else {
            return;
        };
        let fits = Sql::equal(&format!("{other}.{of}"), value);
        let mut keys = Sql::of(&format!("SELECT {other}.id FROM {other} WHERE "));
        keys.append(&fits);
        let columns: &[&str] = &[column];
        self.exists((other, columns), &fits, keys);
    }

    /// One of these columns names a row of another table that fits; `keys` are the ids of such rows.
    fn exists(&mut self, (other, columns): (&str, &[&'static str]), fits: &Sql, keys: Sql) {
        let table = self.table;
        let mut clause = Sql::of("(");
        for (place, column) in columns.iter().enumerate() {
            clause.push(if place > 0 { " OR " } else { "" });
            clause.push(&format!(
                "EXISTS (SELECT 1 FROM {other} WHERE {other}.id = {table}.{column} AND "
            ));
            clause.append(fits);
            clause.push(")");
        }
        clause.push(")");
        let keys = Keys::Asked(keys);
        self.filters
            .push(Filter::by_keys_of_any(clause, columns, keys));
    }
}

/// The authorization that a transaction is of.
pub(super) fn of_transaction(id: TransactionId) -> Filter {
    let asked = Sql::equal("posted.id", id);
    let mut keys = Sql::of("SELECT posted.authorization_id FROM transactions AS posted WHERE ");
    keys.append(&asked);
    let mut clause = Sql::of("authorizations.id = (");
    clause.append(&keys);
    clause.push(")");
    Filter::by_keys(clause, "id", Keys::Asked(keys))
}

/// The authorizations that an exception let pass.
pub(super) fn under_exception(id: ExceptionId) -> Filter {
    let id = Value::Text(id.to_string());
    let mut keys = Sql::of("SELECT authorization_id FROM exception_uses WHERE exception_id = ");
    keys.bind(id.clone());
    let mut clause = Sql::of(
        "EXISTS (SELECT 1 FROM exception_uses AS used WHERE used.authorization_id = authorizations.id \
         AND used.exception_id = ",
    );
    clause.bind(id);
    clause.push(")");
    Filter::by_keys(clause, "id", Keys::Asked(keys))
}
