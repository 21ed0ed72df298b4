//! The filters that several lists have, and how each finds its rows. The lists themselves are in `query*.rs`.

use super::database::Value;
use super::search::{Filter, Keys};
use super::sql::Sql;
use super::times;
use crate::engine::money::Currency;
use crate::engine::time::Timestamp;

/// What a list may be asked for, and the names of it.
macro_rules! filters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: Option<$type>,)* }

        impl $name {
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)*];
        }
    };
}
pub(super) use filters;

/// The filters of one list, as they are gathered.
pub(super) struct Gathered {
    table: &'static str,
    pub filters: Vec<Filter>,
}

impl Gathered {
    pub fn of(table: &'static str) -> Gathered {
        let filters = Vec::new();
        Gathered { table, filters }
    }

    /// A column with an index that goes on with the key of the list.
    pub fn equal(&mut self, column: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.filters
                .push(Filter::in_order(Sql::equal(column, value)));
        }
    }

    pub fn number(&mut self, column: &str, value: Option<impl Into<i64>>) {
        if let Some(value) = value {
            let clause = Sql::compare(column, "=", Value::Int(value.into()));
            self.filters.push(Filter::in_order(clause));
        }
    }

    /// Texts that begin so. Those that there are have an index.
    pub fn begins(&mut self, column: &'static str, beginning: Option<&str>) {
        let Some(beginning) = beginning else {
            return;
        };
        let end = format!("{beginning}{}", char::MAX);
        let clause = Sql::all(&[
            Sql::compare(column, ">=", Value::Text(beginning.to_owned())),
            Sql::compare(column, "<", Value::Text(end)),
        ]);
        let keys = Keys::Asked(self.distinct(column, &clause));
        self.filters.push(Filter::by_keys(clause, column, keys));
    }

    /// Each text once, by steps of the index, so that one that many rows have is one step.
    fn distinct(&self, column: &str, clause: &Sql) -> Sql {
        let table = self.table;
        let mut sql = Sql::of(&format!(
            "WITH RECURSIVE found (text) AS (SELECT (SELECT {column} FROM {table} WHERE "
        ));
        sql.append(clause);
        sql.push(&format!(
            " ORDER BY {column} LIMIT 1) UNION ALL SELECT (SELECT {column} FROM {table} WHERE \
             {column} > found.text AND "
        ));
        sql.append(clause);
        sql.push(&format!(
            " ORDER BY {column} LIMIT 1) FROM found WHERE found.text IS NOT NULL) \
             SELECT text FROM found WHERE text IS NOT NULL"
        ));
        sql
    }

    /// From one amount on and below another, of one currency. An index has them by currency and amount.
    pub fn amount(&mut self, amount: &AmountFilter) {
        let mut clauses = Vec::new();
        if let Some(currency) = amount.currency {
            clauses.push(Sql::equal("currency", currency.alpha()));
        }
        for (value, comparison) in [(amount.from, ">="), (amount.until, "<")] {
            if let Some(value) = value {
                clauses.push(Sql::compare("amount_minor", comparison, Value::Int(value)));
            }
        }
        if !clauses.is_empty() {
            self.filters.push(Filter::sorted(Sql::all(&clauses)));
        }
    }

    /// The exact times; which records those are among is asked for beside it.
    pub fn created(&mut self, from: Option<Timestamp>, until: Option<Timestamp>) {
        let clauses = times::between("created_at_ms", from, until);
        if !clauses.is_empty() {
            self.filters.push(Filter::apart(Sql::all(&clauses)));
        }
    }

    /// The card in a column has such a link: any of a type, or this very one.
    pub fn linked(&mut self, column: &'static str, link_type: Option<&str>, id: Option<&str>) {
        let clauses: Vec<Sql> = [("link_type", link_type), ("link_id", id)]
            .into_iter()
            .filter_map(|(column, value)| Some(Sql::equal(column, value?)))
            .collect();
        if clauses.is_empty() {
            return;
        }
        let link = Sql::all(&clauses);
        let mut keys = Sql::of("SELECT DISTINCT card_id FROM card_links WHERE ");
        keys.append(&link);
        let mut clause = Sql::of(&format!(
            "EXISTS (SELECT 1 FROM card_links WHERE card_links.card_id = {}.{column} AND ",
            self.table
        ));
        clause.append(&link);
        clause.push(")");
        let keys = Keys::Asked(keys);
        self.filters.push(Filter::by_keys(clause, column, keys));
    }

    /// The card in `card_id` is of this cardholder.
    pub fn of_cardholder(&mut self, id: Option<impl ToString>) {
        let Some(id) = id else {
            return;
        };
        let holder = Sql::equal("cards.cardholder_id", id);
        let mut keys = Sql::of("SELECT cards.id FROM cards WHERE ");
        keys.append(&holder);
        let mut clause = Sql::of(&format!(
            "EXISTS (SELECT 1 FROM cards WHERE cards.id = {}.card_id AND ",
            self.table
        ));
        clause.append(&holder);
        clause.push(")");
        let keys = Keys::Asked(keys);
        self.filters.push(Filter::by_keys(clause, "card_id", keys));
    }
}

/// Amounts from one on and below another, in minor units of this currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AmountFilter {
    pub currency: Option<Currency>,
    pub from: Option<i64>,
    pub until: Option<i64>,
}
