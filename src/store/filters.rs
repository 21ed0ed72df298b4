//! The filters that several lists have, and how each finds its rows. Those by what another table says are in `filters_joined.rs`, the lists
//! themselves in `query*.rs`.

use super::database::Value;
use super::seek::{Filter, Indexed, Keys};
use super::sql::Sql;
use super::times;
use crate::engine::ids::CardId;
use crate::engine::money::{BALANCE_MAX_MINOR, Currency};
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
    pub table: &'static str,
    pub filters: Vec<Filter>,
    /// Which accounts the caller sees; all, where there is nothing.
    pub seen_accounts: Option<Sql>,
}

impl Gathered {
    pub fn of(table: &'static str) -> Gathered {
        Gathered {
            table,
            filters: Vec::new(),
            seen_accounts: None,
        }
    }

    /// A column with an index that goes on with the key of the list.
    pub fn equal(&mut self, column: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            let value = Value::Text(value.to_string());
            let indexed = Indexed::new(column, value, None);
            self.filters.push(Filter::in_order(indexed));
        }
    }

    pub fn number(&mut self, column: &'static str, value: Option<impl Into<i64>>) {
        if let Some(value) = value {
            let indexed = Indexed::new(column, Value::Int(value.into()), None);
            self.filters.push(Filter::in_order(indexed));
        }
    }

    /// Texts that begin so. Those that there are have an index.
    pub fn begins(&mut self, column: &'static str, beginning: Option<&str>) {
        let Some(beginning) = beginning else {
            return;
        };
        let clause = begins(column, beginning);
        let keys = Keys::Asked(self.distinct(column, &clause));
        self.filters.push(Filter::by_keys(clause, column, keys));
    }

    /// Each text once, by steps of the index, so that one that many rows have is one step.
    pub fn distinct(&self, column: &str, clause: &Sql) -> Sql {
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

    /// A column whose index leaves out the value that nearly all rows have. The index says so in these very words.
    pub fn rare(&mut self, column: &'static str, value: Option<&str>, common: &str) {
        let Some(value) = value else {
            return;
        };
        let filter = match value == common {
            true => Filter::apart(Sql::equal(column, value)),
            false => {
                let part = Sql::of(&format!("{column} <> '{common}'"));
                let value = Value::Text(value.to_owned());
                Filter::in_order(Indexed::new(column, value, Some(part)))
            }
        };
        self.filters.push(filter);
    }

    /// A merchant whose name begins so: the names that there are say which merchants are meant.
    pub fn merchant_named(&mut self, beginning: Option<&str>) {
        let Some(beginning) = beginning else {
            return;
        };
        let clause = begins("merchant_name", beginning);
        let mut keys = Sql::of("SELECT merchant_id FROM merchant_names WHERE ");
        keys.append(&clause);
        let keys = Keys::Asked(keys);
        let filter = Filter::by_keys(clause, "merchant_id", keys).also_tells_apart();
        self.filters.push(filter);
    }

    /// From one amount on and below another, of one currency. An index has them by bucket.
    pub fn amount_in_buckets(&mut self, amount: &AmountFilter) {
        let Some(clause) = amount.clause() else {
            return;
        };
        let filter = match (amount.currency, amount.buckets()) {
            (Some(_), Some(buckets)) => {
                Filter::by_keys(clause, "amount_bucket", Keys::Known(buckets)).also_tells_apart()
            }
            (Some(currency), None) => {
                let of_currency = begins("amount_bucket", &format!("{} ", currency.alpha()));
                let keys = Keys::Asked(self.distinct("amount_bucket", &of_currency));
                Filter::by_keys(clause, "amount_bucket", keys)
            }
            (None, _) => Filter::apart(clause),
        };
        self.filters.push(filter);
    }

    /// The same where an index has them by currency and amount.
    pub fn amount(&mut self, amount: &AmountFilter) {
        if let Some(clause) = amount.clause() {
            self.filters.push(Filter::sorted(clause));
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
        let mut keys = Sql::of("SELECT card_id FROM card_links WHERE ");
        keys.append(&Sql::all(&clauses));
        let card = format!("{}.{column}", self.table);
        let clause = is_linked(&card, link_type, id);
        let keys = Keys::Asked(keys);
        self.filters.push(Filter::by_keys(clause, column, keys));
    }

    /// The card in a column is this one, one that it replaced or one that replaced it, over any number of reissues.
    pub fn of_chain(&mut self, column: &'static str, id: Option<CardId>) {
        let Some(id) = id else {
            return;
        };
        let keys = chain_of(id);
        let mut clause = Sql::of(&format!("{}.{column} IN (", self.table));
        clause.append(&keys);
        clause.push(")");
        let keys = Keys::Asked(keys);
        self.filters.push(Filter::by_keys(clause, column, keys));
    }
}

/// The card in a column has such a link. It is looked for among those of the card, which are few: of a type alone, written so that no
/// index goes through all links of that type for each card.
pub(super) fn is_linked(card: &str, link_type: Option<&str>, id: Option<&str>) -> Sql {
    let mut sql = Sql::of(&format!(
        "EXISTS (SELECT 1 FROM card_links WHERE card_links.card_id = {card}"
    ));
    let type_column = match id {
        Some(_) => "link_type",
        None => "link_type || ''",
    };
    for (column, value) in [(type_column, link_type), ("link_id", id)] {
        if let Some(value) = value {
            sql.push(" AND ");
            sql.append(&Sql::equal(column, value));
        }
    }
    sql.push(")");
    sql
}

/// The ids of the cards that replaced one another, of which this is one. They are few, and each is looked up by itself.
pub(super) fn chain_of(id: CardId) -> Sql {
    let mut sql =
        Sql::of("WITH RECURSIVE earlier (id) AS (SELECT one.id FROM cards AS one WHERE one.id = ");
    sql.bind(Value::Text(id.to_string()));
    sql.push(
        " UNION SELECT one.replacement_for FROM earlier JOIN cards AS one ON one.id = earlier.id \
         WHERE one.replacement_for IS NOT NULL), \
         chain (id) AS (SELECT earlier.id FROM earlier \
         UNION SELECT one.id FROM chain JOIN cards AS one ON one.replacement_for = chain.id) \
         SELECT chain.id FROM chain",
    );
    sql
}

/// Amounts from one on and below another, in minor units of this currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AmountFilter {
    pub currency: Option<Currency>,
    pub from: Option<i64>,
    pub until: Option<i64>,
}

impl AmountFilter {
    pub(super) fn clause(&self) -> Option<Sql> {
        let mut clauses = Vec::new();
        if let Some(currency) = self.currency {
            clauses.push(Sql::equal("currency", currency.alpha()));
        }
        for (value, comparison) in [(self.from, ">="), (self.until, "<")] {
            if let Some(value) = value {
                clauses.push(Sql::compare("amount_minor", comparison, Value::Int(value)));
            }
        }
        (!clauses.is_empty()).then(|| Sql::all(&clauses))
    }

    /// The buckets that its amounts are in; `None` where it names no amount.
    pub(super) fn buckets(&self) -> Option<Vec<String>> {
        let currency = self.currency?;
        if self.from.is_none() && self.until.is_none() {
            return None;
        }
        let first = self
            .from
            .unwrap_or(-BALANCE_MAX_MINOR)
            .max(-BALANCE_MAX_MINOR);
        let last = self
            .until
            .map_or(BALANCE_MAX_MINOR, |until| until.saturating_sub(1));
        let last = last.min(BALANCE_MAX_MINOR);
        let mut buckets = Vec::new();
        let mut amount = first;
        while amount <= last {
            let text = amount.to_string();
            let start: String = text.chars().take(2).collect();
            let length = text.len();
            buckets.push(format!("{} {start}/{length}", currency.alpha()));
            amount = next_bucket(amount);
        }
        Some(buckets)
    }
}

/// The least amount behind the bucket of this one.
fn next_bucket(amount: i64) -> i64 {
    let digits = amount.unsigned_abs().to_string().len() as u32;
    // Of an amount below zero one of the two characters is its sign.
    let kept = if amount < 0 { 1 } else { 2 };
    let step = 10_i64.saturating_pow(digits.saturating_sub(kept));
    if amount < 0 {
        // Upwards: -1999 to -1000 are one bucket, -999 to -900 the next.
        let top = amount / step * step;
        return top + 1;
    }
    (amount / step + 1) * step
}

pub(super) fn begins(column: &str, beginning: &str) -> Sql {
    let mut bounds = vec![Sql::compare(
        column,
        ">=",
        Value::Text(beginning.to_owned()),
    )];
    bounds.extend(end_of(beginning).map(|end| Sql::compare(column, "<", Value::Text(end))));
    Sql::all(&bounds)
}

/// The first text after all that begin so; nothing where none is.
fn end_of(beginning: &str) -> Option<String> {
    let kept = beginning.trim_end_matches(char::MAX);
    let mut letters = kept.chars();
    let last = letters.next_back()?;
    let next = (last..=char::MAX).nth(1)?;
    Some(letters.chain([next]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_so_ends_before_the_next_letter() {
        for (beginning, end) in [
            ("zz", Some("z{")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(end_of(beginning).as_deref(), end, "{beginning}");
        }
    }

    fn bucket(amount: i64) -> String {
        let text = amount.to_string();
        let start: String = text.chars().take(2).collect();
        format!("USD {start}/{}", text.len())
    }

    #[test]
    fn the_buckets_of_a_span_are_those_of_its_amounts_each_once() {
        for (from, until) in [(-1200, 1200), (5, 6), (95, 2_001), (-10_050, -880), (0, 1)] {
            let filter = AmountFilter {
                currency: Currency::from_alpha("USD"),
                from: Some(from),
                until: Some(until),
            };
            let mut expected: Vec<String> = (from..until).map(bucket).collect();
            expected.dedup();
            assert_eq!(filter.buckets().unwrap(), expected, "{from} {until}");
        }
        let all = AmountFilter {
            currency: Currency::from_alpha("USD"),
            from: Some(1_000_000),
            until: None,
        };
        assert!(all.buckets().unwrap().len() < 2_000);
    }
}
