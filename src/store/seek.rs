//! What a list is to the search: its order, and of each filter which rows it lets through and how they are found. The search itself
//! is in `search.rs`.

use super::database::Value;
use super::sql::Sql;

/// What a list is ordered by: a column that is unique, and which way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub key: &'static str,
    pub newest_first: bool,
    pub key_is_text: bool,
    /// Rows of which this is true are listed, and the indexes have no others: a column and what it is, in these very words.
    pub only: Option<&'static str>,
}

impl Order {
    pub const NEWEST_RECORD_FIRST: Order = Order {
        key: "sequence",
        newest_first: true,
        key_is_text: false,
        only: None,
    };

    pub fn direction(self) -> &'static str {
        if self.newest_first { "DESC" } else { "ASC" }
    }

    /// A key that is behind all others.
    pub fn end(self) -> Value {
        match (self.key_is_text, self.newest_first) {
            (true, true) => Value::Text(String::new()),
            (true, false) => Value::Text(char::MAX.to_string()),
            (false, true) => Value::Int(0),
            (false, false) => Value::Int(i64::MAX),
        }
    }
}

/// One filter: which rows it lets through, and how they are found.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub clause: Sql,
    pub seek: Seek,
    /// What is sought is more than what fits: the rest has to be told apart.
    pub finds_more: bool,
    /// It says what the caller sees at all.
    pub is_of_bounds: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Seek {
    /// Nothing finds them: they are told apart among what another filter finds.
    Apart,
    /// An index has them in the order of the list; of each of these, where there are several.
    InOrder(Vec<Indexed>),
    /// An index has them in another order: for where they are few.
    Sorted,
    /// An index on each of these columns has those of each of the keys in the order of the list.
    ByKeys(Vec<&'static str>, Keys),
    /// Either of the two: those of a value, and those of each of the keys.
    InOrderOrByKeys(Indexed, &'static str, Keys),
}

/// A column that has a value, and an index on it and the key of the list.
#[derive(Debug, Clone)]
pub(super) struct Indexed {
    pub column: &'static str,
    pub clause: Sql,
    /// The same in other words: see `Search::pinned`.
    pub between: Sql,
}

impl Indexed {
    /// Where the index has only a part of the rows, `part` says it in its words.
    pub fn new(column: &'static str, value: Value, part: Option<Sql>) -> Indexed {
        let mut between = Sql::compare(column, "BETWEEN", value.clone());
        between.push(" AND ");
        between.bind(value.clone());
        let equal = Sql::compare(column, "=", value);
        let whole = |clause: Sql| match &part {
            Some(part) => Sql::all(&[clause, part.clone()]),
            None => clause,
        };
        Indexed {
            column,
            clause: whole(equal),
            between: whole(between),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Keys {
    Known(Vec<String>),
    /// What this query gives, without a limit.
    Asked(Sql),
}

impl Filter {
    fn new(clause: Sql, seek: Seek) -> Filter {
        Filter {
            clause,
            seek,
            finds_more: false,
            is_of_bounds: false,
        }
    }

    pub fn of_bounds(mut self) -> Filter {
        self.is_of_bounds = true;
        self
    }

    /// What is sought is more than this clause lets through.
    pub fn of_which(mut self, clause: Sql) -> Filter {
        self.clause = clause;
        self.also_tells_apart()
    }

    pub fn also_tells_apart(mut self) -> Filter {
        self.finds_more = true;
        self
    }

    pub fn apart(clause: Sql) -> Filter {
        let seek = Seek::Apart;
        Filter::new(clause, seek)
    }

    pub fn in_order(indexed: Indexed) -> Filter {
        Filter::new(indexed.clause.clone(), Seek::InOrder(vec![indexed]))
    }

    /// Either of two.
    pub fn either(one: Indexed, other: Indexed) -> Filter {
        let clause = Sql::either(&one.clause, &other.clause);
        Filter::new(clause, Seek::InOrder(vec![one, other]))
    }

    /// Those that fit the clause are found by a value or by keys.
    pub fn in_order_or_by_keys(
        clause: Sql,
        indexed: Indexed,
        (column, keys): (&'static str, Keys),
    ) -> Filter {
        let seek = Seek::InOrderOrByKeys(indexed, column, keys);
        Filter::new(clause, seek).also_tells_apart()
    }

    pub fn sorted(clause: Sql) -> Filter {
        let seek = Seek::Sorted;
        Filter::new(clause, seek)
    }

    pub fn by_keys(clause: Sql, column: &'static str, keys: Keys) -> Filter {
        Filter::by_keys_of_any(clause, &[column], keys)
    }

    /// One of these columns has one of the keys.
    pub fn by_keys_of_any(clause: Sql, columns: &[&'static str], keys: Keys) -> Filter {
        let seek = Seek::ByKeys(columns.to_vec(), keys);
        Filter::new(clause, seek)
    }
}
