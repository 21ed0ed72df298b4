//! How a page of a list is found among very many rows, in the same way in both databases: by the filter that fits the
//! fewest, found out by asking and not guessed from statistics. Which filters a list has is in `query*.rs`.
//!
//! A filter finds rows by an index that has them in the order of the list. The first few of each filter say which is the
//! rarest; its keys are then read a portion at a time, and the other filters are held against the rows behind them. So no
//! plan of a database ever walks the whole table for a value that it takes to be common.

use super::columns::{Source, TableRow};
use super::database::{Database, Store, Value};
use super::error::StoreError;
use super::query::{LIMIT_MAX, Page};
pub(super) use super::seek::Order;
use super::seek::{Filter, Indexed, Keys, Seek};
use super::sql::Sql;
use std::time::{Duration, Instant};

/// Keys that are read to see how rare a filter is, and then at first.
const PORTION: usize = 512;
const PORTION_MAX: usize = 1 << 15;
/// Objects whose rows are sought each for itself.
const KEYS_MAX: usize = 2_000;
/// Rows that an index has in another order are sorted up to this many.
const SORTED_MAX: usize = 10_000;
/// How long rows are looked at for one page.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What is looked for.
#[derive(Debug)]
pub(super) struct Search {
    pub order: Order,
    pub filters: Vec<Filter>,
    /// The page goes on behind this key.
    pub starting_after: Option<Value>,
    /// No key of the page is at or before the first of these, nor at or behind the other.
    pub after: Option<Value>,
    pub before: Option<Value>,
}

/// A filter, or none, by which keys are found.
#[derive(Debug)]
struct Way {
    /// Its place among the filters.
    filter: Option<usize>,
    keys: Option<Vec<String>>,
    /// How many it has at least, and how far from the start the last of those is.
    count: usize,
    last: Option<Value>,
}

impl Store {
    pub(super) async fn search<R: TableRow>(
        &self,
        search: &Search,
        limit: u32,
    ) -> Result<Page<R>, StoreError> {
        let wanted = limit.clamp(1, LIMIT_MAX) as usize + 1;
        // The position first: the rows may be newer than it, never older.
        let projected_through = self.projection().await?.position;
        let mut data: Vec<R> = match self.way::<R>(search).await? {
            Some(way) => self.walk(search, &way, wanted).await?,
            None => Vec::new(),
        };
        let has_more = data.len() == wanted;
        data.truncate(wanted - 1);
        Ok(Page {
            data,
            has_more,
            projected_through,
        })
    }

    /// By which filter to look; `None` where one of them fits nothing.
    async fn way<R: TableRow>(&self, search: &Search) -> Result<Option<Way>, StoreError> {
        let mut ways = Vec::new();
        for (place, filter) in search.filters.iter().enumerate() {
            let mut way = Way {
                filter: Some(place),
                keys: None,
                count: 0,
                last: None,
            };
            match &filter.seek {
                Seek::Apart => continue,
                Seek::InOrder(_) => {}
                Seek::Sorted => {
                    way.count = self.count_sorted::<R>(search, filter).await?;
                    if way.count > SORTED_MAX {
                        continue;
                    }
                }
                Seek::ByKeys(_, keys) => {
                    let Some(keys) = self.keys(keys).await? else {
                        continue;
                    };
                    if keys.is_empty() {
                        return Ok(None);
                    }
                    way.keys = Some(keys);
                }
                Seek::InOrderOrByKeys(_, _, keys) => {
                    let Some(keys) = self.keys(keys).await? else {
                        continue;
                    };
                    way.keys = Some(keys);
                }
            }
            ways.push(way);
        }
        if ways.len() > 1 || ways.is_empty() {
            return self.rarest::<R>(search, ways).await;
        }
        Ok(ways.pop())
    }

    /// The rarest of several ways. Where there is none, all rows are one.
    async fn rarest<R: TableRow>(
        &self,
        search: &Search,
        ways: Vec<Way>,
    ) -> Result<Option<Way>, StoreError> {
        let mut best: Option<Way> = None;
        for mut way in ways {
            if way.count == 0 {
                let keys = self.sought::<R>(search, &way, &search.start(), PORTION);
                (way.count, way.last) = self.extent(search.order, &keys).await?;
            }
            if way.count == 0 {
                return Ok(None);
            }
            let better = best
                .as_ref()
                .is_none_or(|best| way.is_rarer(best, search.order));
            if better {
                best = Some(way);
            }
        }
        let all = Way {
            filter: None,
            keys: None,
            count: 0,
            last: None,
        };
        Ok(Some(best.unwrap_or(all)))
    }

    /// Each once; `None` where they are too many to be sought each for itself.
    async fn keys(&self, keys: &Keys) -> Result<Option<Vec<String>>, StoreError> {
        let asked = match keys {
            Keys::Known(keys) => return Ok((keys.len() <= KEYS_MAX).then(|| keys.clone())),
            Keys::Asked(asked) => asked,
        };
        let mut sql = asked.clone();
        sql.push(&format!(" LIMIT {}", KEYS_MAX + 1));
        let read = |row: &dyn Source| row.text(0).map(str::to_owned);
        let mut keys = self.fetch_in_time(sql, read).await?;
        // Before some of them are the same: there may be more behind.
        let all = keys.len() <= KEYS_MAX;
        keys.sort_unstable();
        keys.dedup();
        Ok(all.then_some(keys))
    }

    async fn count_sorted<R: TableRow>(
        &self,
        search: &Search,
        filter: &Filter,
    ) -> Result<usize, StoreError> {
        let table = R::TABLE;
        let mut sql = Sql::of(&format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE "
        ));
        sql.append(&filter.clause);
        search.within(&mut sql, &search.unsorted_key(), &search.start());
        sql.push(&format!(" LIMIT {}) AS fitting", SORTED_MAX + 1));
        let counts = self.fetch_in_time(sql, |row| row.int(0)).await?;
        Ok(counts.first().map_or(0, |count| *count as usize))
    }

    /// How many keys there are, and the last of them.
    async fn extent(&self, order: Order, keys: &Sql) -> Result<(usize, Option<Value>), StoreError> {
        let last = if order.newest_first { "MIN" } else { "MAX" };
        let mut sql = Sql::of(&format!("SELECT COUNT(*), {last}(sought) FROM ("));
        sql.append(keys);
        sql.push(") AS seek");
        let found = self.fetch_in_time(sql, |row| {
            let count = row.int(0)? as usize;
            let last = match row.is_null(1)? {
                true => None,
                false if order.key_is_text => Some(Value::Text(row.text(1)?.to_owned())),
                false => Some(Value::Int(row.int(1)?)),
            };
            Ok((count, last))
        });
        Ok(found.await?.pop().unwrap_or_default())
    }

    /// The rows that all filters fit, up to as many as are wanted.
    async fn walk<R: TableRow>(
        &self,
        search: &Search,
        way: &Way,
        wanted: usize,
    ) -> Result<Vec<R>, StoreError> {
        let begun = Instant::now();
        let others = search.filters.iter().enumerate();
        let others =
            others.filter(|(place, filter)| Some(*place) != way.filter || filter.finds_more);
        let others: Vec<&Sql> = others.map(|(_, filter)| &filter.clause).collect();
        let (mut data, mut at) = (Vec::new(), search.start());
        let mut portion = match others.is_empty() {
            true => wanted,
            false => PORTION,
        };
        loop {
            let keys = self.sought::<R>(search, way, &at, portion);
            let rows = self.join::<R>(search.order, &keys, &others, wanted - data.len());
            let rows = self.fetch_in_time(rows, |row| R::take(row, 0));
            data.extend(rows.await?);
            if data.len() >= wanted || others.is_empty() {
                return Ok(data);
            }
            let (count, last) = self.extent(search.order, &keys).await?;
            let Some(last) = last.filter(|_| count >= portion) else {
                return Ok(data);
            };
            if begun.elapsed() > PATIENCE {
                return Err(StoreError::TooWide);
            }
            at = Some(last);
            portion = (portion * 4).min(PORTION_MAX);
        }
    }

    /// The keys behind a place that a way finds, in order, as a query whose only column is `sought`.
    fn sought<R: TableRow>(
        &self,
        search: &Search,
        way: &Way,
        at: &Option<Value>,
        portion: usize,
    ) -> Sql {
        let filter = way.filter.map(|place| &search.filters[place]);
        match filter.map(|filter| (&filter.seek, &filter.clause)) {
            Some((Seek::ByKeys(columns, _), _)) => {
                let keys = way.keys.as_deref().unwrap_or_default();
                let several = columns
                    .iter()
                    .map(|column| self.sought_by_keys::<R>(search, column, keys, at, portion));
                search.first_of(several.collect(), portion)
            }
            Some((Seek::InOrder(several), _)) => {
                let keys = several
                    .iter()
                    .map(|indexed| self.sought_in_order::<R>(search, indexed, at, portion));
                search.first_of(keys.collect(), portion)
            }
            Some((Seek::InOrderOrByKeys(indexed, column, _), _)) => {
                let mut several = vec![self.sought_in_order::<R>(search, indexed, at, portion)];
                let keys = way.keys.as_deref().unwrap_or_default();
                if !keys.is_empty() {
                    several.push(self.sought_by_keys::<R>(search, column, keys, at, portion));
                }
                search.first_of(several, portion)
            }
            Some((Seek::Sorted, clause)) => {
                let key = search.unsorted_key();
                search.keys_of::<R>(Some(clause), &key, at, portion)
            }
            Some((Seek::Apart, _)) | None => {
                search.keys_of::<R>(None, search.order.key, at, portion)
            }
        }
    }

    fn sought_in_order<R: TableRow>(
        &self,
        search: &Search,
        indexed: &Indexed,
        at: &Option<Value>,
        portion: usize,
    ) -> Sql {
        let key = search.order.key;
        match &self.database {
            Database::Sqlite(_) => search.keys_of::<R>(Some(&indexed.clause), key, at, portion),
            Database::Postgres(_) => {
                let (table, order) = (R::TABLE, search.pinned(indexed.column));
                let mut sql = Sql::of(&format!("SELECT {key} AS sought FROM {table} WHERE "));
                sql.append(&indexed.between);
                search.within(&mut sql, key, at);
                sql.push(&format!(" ORDER BY {order} LIMIT {portion}"));
                sql
            }
        }
    }

    /// As many rows of each key, and the first of those together.
    fn sought_by_keys<R: TableRow>(
        &self,
        search: &Search,
        column: &str,
        keys: &[String],
        at: &Option<Value>,
        portion: usize,
    ) -> Sql {
        let (table, key) = (R::TABLE, search.order.key);
        let direction = search.order.direction();
        let list = Value::Text(serde_json::json!(keys).to_string());
        let mut sql = Sql::of(&format!("SELECT of_key.{key} AS sought FROM "));
        match &self.database {
            Database::Postgres(_) => {
                sql.push("json_array_elements_text(");
                sql.bind(list);
                sql.push(&format!(
                    "::json) AS keys (value) CROSS JOIN LATERAL (SELECT {key} FROM {table} \
                     WHERE {column} BETWEEN keys.value AND keys.value"
                ));
                search.within(&mut sql, key, at);
                let order = search.pinned(column);
                sql.push(&format!(" ORDER BY {order} LIMIT {portion}) AS of_key"));
            }
            Database::Sqlite(_) => {
                // It knows no LATERAL: each key's rows up to the last that could be in the portion.
                let comparison = if search.order.newest_first {
                    ">="
                } else {
                    "<="
                };
                sql.push("json_each(");
                sql.bind(list);
                sql.push(&format!(
                    ") AS keys CROSS JOIN {table} AS of_key WHERE of_key.{column} = keys.value"
                ));
                search.within(&mut sql, &format!("of_key.{key}"), at);
                sql.push(&format!(
                    " AND of_key.{key} {comparison} COALESCE((SELECT each.{key} FROM {table} AS each \
                     WHERE each.{column} = keys.value"
                ));
                search.within(&mut sql, &format!("each.{key}"), at);
                let last = portion - 1;
                sql.push(&format!(
                    " ORDER BY each.{key} {direction} LIMIT 1 OFFSET {last}), "
                ));
                sql.bind(search.order.end());
                sql.push(")");
            }
        }
        sql.push(&format!(" ORDER BY sought {direction} LIMIT {portion}"));
        sql
    }

    /// The rows of these keys that fit.
    fn join<R: TableRow>(&self, order: Order, keys: &Sql, clauses: &[&Sql], wanted: usize) -> Sql {
        let (table, key) = (R::TABLE, order.key);
        let columns: Vec<String> = R::COLUMNS
            .iter()
            .map(|column| format!("{table}.{column}"))
            .collect();
        let mut sql = Sql::of(&format!("SELECT {} FROM (", columns.join(", ")));
        sql.append(keys);
        let mut of_key = format!("{table}.{key} = seek.sought");
        if let Some(only) = order.only {
            of_key.push_str(&format!(" AND {table}.{only}"));
        }
        sql.push(&match &self.database {
            Database::Sqlite(_) => format!(") AS seek CROSS JOIN {table} WHERE {of_key}"),
            // With OFFSET each row is got by its key: a plan that has not counted the rows yet goes through all that one of
            // the clauses fits, for each key.
            Database::Postgres(_) => format!(
                ") AS seek CROSS JOIN LATERAL (SELECT * FROM {table} WHERE {of_key} OFFSET 0) AS {table} \
                 WHERE 1 = 1"
            ),
        });
        for clause in clauses {
            sql.push(" AND ");
            sql.append(clause);
        }
        let direction = order.direction();
        sql.push(&format!(" ORDER BY seek.sought {direction} LIMIT {wanted}"));
        sql
    }
}

impl Way {
    fn is_rarer(&self, other: &Way, order: Order) -> bool {
        // What is known whole is counted; of the others the one that goes back the furthest has the fewest.
        let whole = |way: &Way| way.last.is_none() || way.count < PORTION;
        match (whole(self), whole(other)) {
            (true, true) => self.count < other.count,
            (true, false) => true,
            (false, true) => false,
            (false, false) => match (&self.last, &other.last) {
                (Some(Value::Int(one)), Some(Value::Int(two))) => (one < two) == order.newest_first,
                (Some(Value::Text(one)), Some(Value::Text(two))) => {
                    (one < two) == order.newest_first
                }
                _ => false,
            },
        }
    }
}

impl Search {
    /// The place from which the page goes on.
    fn start(&self) -> Option<Value> {
        let bound = match self.order.newest_first {
            true => &self.before,
            false => &self.after,
        };
        match (&self.starting_after, bound) {
            (Some(Value::Int(one)), Some(Value::Int(two))) => {
                Some(Value::Int(match self.order.newest_first {
                    true => *one.min(two),
                    false => *one.max(two),
                }))
            }
            (Some(one), _) => Some(one.clone()),
            (None, bound) => bound.clone(),
        }
    }

    /// An order for which Postgres has no other index than that on the column and the key. For a column that is equal
    /// to something it would do without the column, and walk the whole table by its key for a value that it takes
    /// to be common.
    fn pinned(&self, column: &str) -> String {
        let (key, direction) = (self.order.key, self.order.direction());
        format!("{column} {direction}, {key} {direction}")
    }

    /// The first of what several queries find together.
    fn first_of(&self, mut several: Vec<Sql>, portion: usize) -> Sql {
        if several.len() == 1 {
            return several.pop().unwrap_or_default();
        }
        let mut sql = Sql::of("SELECT sought FROM (");
        for (place, keys) in several.iter().enumerate() {
            sql.push(if place > 0 { " UNION " } else { "" });
            sql.push("SELECT sought FROM (");
            sql.append(keys);
            sql.push(&format!(") AS way_{place}"));
        }
        let direction = self.order.direction();
        sql.push(&format!(
            ") AS ways ORDER BY sought {direction} LIMIT {portion}"
        ));
        sql
    }

    /// The key, written so that no index is walked for its order.
    fn unsorted_key(&self) -> String {
        match self.order.key_is_text {
            true => format!("{} || ''", self.order.key),
            false => format!("+{}", self.order.key),
        }
    }

    /// Further conditions: of the part that is listed, behind a place, and up to where the list ends.
    fn within(&self, sql: &mut Sql, key: &str, at: &Option<Value>) {
        if let Some(only) = self.order.only {
            let named = key.rsplit_once('.');
            let of_table = named.map_or_else(String::new, |(table, _)| format!("{table}."));
            sql.push(&format!(" AND {of_table}{only}"));
        }
        let (behind, ahead) = match self.order.newest_first {
            true => ("<", ">"),
            false => (">", "<"),
        };
        let end = match self.order.newest_first {
            true => &self.after,
            false => &self.before,
        };
        for (value, comparison) in [(at, behind), (end, ahead)] {
            if let Some(value) = value {
                sql.push(&format!(" AND {key} {comparison} "));
                sql.bind(value.clone());
            }
        }
    }

    fn keys_of<R: TableRow>(
        &self,
        clause: Option<&Sql>,
        key: &str,
        at: &Option<Value>,
        portion: usize,
    ) -> Sql {
        let (table, direction) = (R::TABLE, self.order.direction());
        let column = self.order.key;
        let mut sql = Sql::of(&format!("SELECT {column} AS sought FROM {table} WHERE "));
        match clause {
            Some(clause) => sql.append(clause),
            None => sql.push("1 = 1"),
        }
        self.within(&mut sql, key, at);
        sql.push(&format!(" ORDER BY {key} {direction} LIMIT {portion}"));
        sql
    }
}
