//! What of a list a bound API key sees, as filters in SQL. The same of single objects is in `api::bounds`.

use super::database::Value;
use super::events::PlaceJson;
use super::filters::{begins, is_linked};
use super::seek::{Filter, Keys};
use super::sql::Sql;
use crate::engine::api_keys::{BoundLink, Bounds};
use crate::engine::ids::AccountId;
use serde_json::json;

/// By which columns the rows of a table are told apart; what a table has no column for, its rows do not have.
pub(super) struct Of {
    program: Option<&'static str>,
    account: Option<&'static str>,
    card: Option<&'static str>,
}

const NOTHING: &str = "1 = 0";

impl Of {
    pub const PROGRAMS: Of = Of {
        program: Some("programs.id"),
        account: None,
        card: None,
    };
    pub const ACCOUNTS: Of = Of {
        program: Some("accounts.program_id"),
        account: Some("accounts.id"),
        // That it was opened for.
        card: Some("accounts.card_id"),
    };
    /// They are of a program, and on no account.
    pub const CARDHOLDERS: Of = Of {
        program: Some("cardholders.program_id"),
        account: None,
        card: None,
    };
    pub const CARDS: Of = Of {
        program: Some("cards.program_id"),
        account: Some("cards.account_id"),
        card: Some("cards.id"),
    };
    pub const EVENTS: Of = Of {
        program: Some("events.program_id"),
        account: Some("events.seen_at_account_id"),
        // Of an account that names a card, the place says who sees it.
        card: Some("events.object_id"),
    };
    pub const FEES: Of = Of {
        program: Some("fees.program_id"),
        account: Some("fees.account_id"),
        card: Some("fees.card_id"),
    };
}

impl Of {
    fn is_of_events(&self) -> bool {
        self.card == Of::EVENTS.card
    }
}

/// A link, or any of a type.
type LinkNames<'a> = Vec<(&'a str, Option<&'a str>)>;

fn names(links: &[BoundLink]) -> LinkNames<'_> {
    let names = links.iter().map(|link| (&*link.link_type, Some(&*link.id)));
    names.collect()
}

/// What is of no card, and of the link itself: an exception of it, what is asked of it. In the words of the index `events_of_links`.
fn event_of_link(links: &[(&str, Option<&str>)]) -> Sql {
    let mut sql = Sql::of("(events.card_id IS NULL AND events.account_id IS NULL AND (");
    for (place, (link_type, id)) in links.iter().enumerate() {
        sql.push(if place > 0 { " OR " } else { "" });
        sql.append(&match id {
            Some(id) => Sql::equal("events.place_json", PlaceJson::of_link(link_type, id)),
            None => begins("events.place_json", &PlaceJson::start_of_links(link_type)),
        });
    }
    sql.push("))");
    sql
}

fn event_of_no_own_card(links: &[(&str, Option<&str>)]) -> Sql {
    Sql::either(&event_of_link(links), &event_of_own_account(links))
}

/// What is of the account of one card alone, and names that card: its place says who sees it.
fn event_of_own_account(links: &[(&str, Option<&str>)]) -> Sql {
    let mut sql = Sql::of("(events.card_id <> events.object_id AND (");
    for (place, (link_type, id)) in links.iter().enumerate() {
        // As `PlaceJson` has them. A quotation mark in a name has a stroke before it, so no name looks like this.
        let mut begins = json!([link_type]).to_string();
        begins.pop();
        let as_json = match id {
            Some(id) => json!([link_type, id]).to_string(),
            None => begins + ",",
        };
        sql.push(if place > 0 { " OR " } else { "" });
        // `LIKE` would take one letter for another.
        sql.push("replace(events.place_json, ");
        sql.bind(Value::Text(as_json));
        sql.push(", '') <> events.place_json");
    }
    sql.push("))");
    sql
}

/// The objects of events of links that are of no card, as an exception.
fn with_objects_of_links(keys: &mut Sql, links: &[(&str, Option<&str>)]) {
    keys.push(" UNION ALL SELECT DISTINCT object_id FROM events WHERE ");
    keys.append(&event_of_link(links));
}

/// Events of cards that have such a link, of the accounts that are theirs alone, and of the link itself. They are found by the
/// place, which is the card, also of its account, and else the object.
pub(super) fn of_linked_events(
    link_type: Option<&str>,
    id: Option<&str>,
    sees_all: bool,
) -> Option<Filter> {
    let names = [(link_type?, id)];
    // Of a shared account (`balance.updated`) who is bound may not know whose card it was that moved it.
    let card = match sees_all {
        true => "events.place_id",
        false => "events.object_id",
    };
    let clause = Sql::either(
        &is_linked(card, link_type, id),
        &event_of_no_own_card(&names),
    );
    Some(by_objects_of_link(clause, &[EVENT_PLACE], &names))
}

/// Calls with those events.
pub(super) fn of_linked_deliveries(
    link_type: Option<&str>,
    id: Option<&str>,
    sees_all: bool,
) -> Option<Filter> {
    let names = [(link_type?, id)];
    let mut linked = is_linked("deliveries.place_id", link_type, id);
    if sees_all {
        linked = Sql::either(&linked, &is_linked("deliveries.card_id", link_type, id));
    }
    let mut of_link =
        Sql::of("EXISTS (SELECT 1 FROM events WHERE events.object_id = deliveries.object_id AND ");
    of_link.append(&event_of_link(&names));
    of_link.push(")");
    let clause = Sql::either(&linked, &of_link);
    let columns: &[&str] = match sees_all {
        true => &[EVENT_PLACE, "card_id"],
        false => &[EVENT_PLACE],
    };
    Some(by_objects_of_link(clause, columns, &names))
}

const EVENT_PLACE: &str = "place_id";

fn by_objects_of_link(
    clause: Sql,
    columns: &[&'static str],
    names: &[(&str, Option<&str>)],
) -> Filter {
    let mut keys = Sql::of("SELECT card_id FROM card_links WHERE ");
    for (place, (link_type, id)) in names.iter().enumerate() {
        keys.push(if place > 0 { " OR " } else { "" });
        keys.append(&Sql::equal("link_type", *link_type));
        if let Some(id) = id {
            keys.push(" AND ");
            keys.append(&Sql::equal("link_id", *id));
        }
    }
    with_objects_of_links(&mut keys, names);
    Filter::by_keys_of_any(clause, columns, Keys::Asked(keys)).also_tells_apart()
}

/// The rows of a table that has these columns itself.
pub(super) fn of_rows(bounds: Option<&Bounds>, of: &Of) -> Vec<Filter> {
    let Some(bounds) = bounds else {
        return Vec::new();
    };
    let column = |name: Option<&'static str>| Some(name?.split_once('.')?.1);
    let clause = within(bounds, of);
    // The keys are of one kind of bounds only, links first, for they have fewer rows: the others are held against each row.
    let filter = match (column(of.account), column(of.card)) {
        (_, Some(column)) if !bounds.links.is_empty() => {
            let mut keys = Sql::of("SELECT card_id FROM card_links WHERE ");
            keys.append(&any_link(&bounds.links));
            let column = if of.is_of_events() {
                with_objects_of_links(&mut keys, &names(&bounds.links));
                EVENT_PLACE
            } else {
                column
            };
            Filter::by_keys(clause, column, Keys::Asked(keys)).also_tells_apart()
        }
        (Some(column), _) if !bounds.account_ids.is_empty() => {
            Filter::by_keys(clause, column, Keys::Asked(tree(bounds))).also_tells_apart()
        }
        _ => Filter::apart(clause),
    };
    let programs = column(of.program).filter(|column| *column == "program_id");
    let programs = programs.and_then(|_| of_programs(bounds));
    let all = programs.into_iter().chain([filter]);
    all.map(Filter::of_bounds).collect()
}

/// Payments: they are where their card is. Unknown cards are in no row of the table of cards, and so within no bounds.
pub(super) fn of_payments(bounds: Option<&Bounds>, card: &str) -> Vec<Filter> {
    let Some(bounds) = bounds else {
        return Vec::new();
    };
    let mut filters: Vec<Filter> = of_programs(bounds).into_iter().collect();
    if !bounds.account_ids.is_empty() || !bounds.links.is_empty() {
        filters.push(by_card(bounds, card));
    }
    filters.into_iter().map(Filter::of_bounds).collect()
}

/// Tokens: they are where the card is for which they stand now, and say nothing of its program themselves.
pub(super) fn of_tokens(bounds: Option<&Bounds>) -> Vec<Filter> {
    let filter = bounds.map(|bounds| by_card(bounds, "tokens.card_id").of_bounds());
    filter.into_iter().collect()
}

/// Ledger entries: on an account within the bounds, and of a card with one of their links.
pub(super) fn of_ledger_entries(bounds: Option<&Bounds>) -> Vec<Filter> {
    let Some(bounds) = bounds else {
        return Vec::new();
    };
    let without_links = Bounds {
        links: Box::default(),
        ..bounds.clone()
    };
    let mut clause = Sql::of(
        "EXISTS (SELECT 1 FROM accounts WHERE accounts.id = ledger_entries.account_id AND ",
    );
    clause.append(&within(&without_links, &Of::ACCOUNTS));
    clause.push(")");
    let filter = if !bounds.links.is_empty() {
        clause.push(" AND ");
        clause.append(&linked_to_any("ledger_entries.card_id", &bounds.links));
        let mut keys = Sql::of("SELECT card_id FROM card_links WHERE ");
        keys.append(&any_link(&bounds.links));
        Filter::by_keys(clause, "card_id", Keys::Asked(keys))
    } else if !bounds.account_ids.is_empty() {
        Filter::by_keys(clause, "account_id", Keys::Asked(tree(bounds)))
    } else {
        let mut keys = Sql::of("SELECT accounts.id FROM accounts WHERE ");
        keys.append(&within(bounds, &Of::ACCOUNTS));
        Filter::by_keys(clause, "account_id", Keys::Asked(keys))
    };
    vec![filter.also_tells_apart().of_bounds()]
}

/// What a list by cards of a key that is bound by account leaves out: money of its accounts that a card of another one moved.
pub(super) fn of_seen_cards(bounds: Option<&Bounds>, card: &str) -> Option<Filter> {
    let bounds = bounds.filter(|bounds| !bounds.account_ids.is_empty());
    Some(by_card(bounds?, card).of_bounds())
}

fn by_card(bounds: &Bounds, card: &str) -> Filter {
    let mut clause = Sql::of(&format!(
        "EXISTS (SELECT 1 FROM cards WHERE cards.id = {card} AND "
    ));
    clause.append(&within(bounds, &Of::CARDS));
    clause.push(")");
    let keys = Keys::Asked(cards_within(bounds));
    Filter::by_keys(clause, "card_id", keys)
}

/// Whose card moved a shared account is known to whoever sees all of its program.
pub(super) fn see_whole_programs(bounds: Option<&Bounds>) -> bool {
    bounds.is_none_or(|bounds| bounds.account_ids.is_empty() && bounds.links.is_empty())
}

/// An account is within bounds.
pub(super) fn accounts_within(bounds: &Bounds) -> Sql {
    within(bounds, &Of::ACCOUNTS)
}

/// Money of accounts: it is where its account is, or one of its accounts.
pub(super) fn of_accounts_money(
    bounds: Option<&Bounds>,
    table: &str,
    columns: &[&'static str],
) -> Vec<Filter> {
    let Some(bounds) = bounds else {
        return Vec::new();
    };
    let mut any = Sql::of("(");
    for (place, column) in columns.iter().enumerate() {
        any.push(if place > 0 { " OR " } else { "" });
        any.push(&format!(
            "EXISTS (SELECT 1 FROM accounts WHERE accounts.id = {table}.{column} AND "
        ));
        any.append(&within(bounds, &Of::ACCOUNTS));
        any.push(")");
    }
    any.push(")");
    // The keys are of one kind of bounds only, links first: the others are held against each row.
    let keys = if !bounds.links.is_empty() {
        let mut keys = Sql::of(
            "SELECT accounts.id FROM card_links JOIN accounts ON accounts.card_id = card_links.card_id \
             WHERE ",
        );
        keys.append(&any_link(&bounds.links));
        keys
    } else if !bounds.account_ids.is_empty() {
        tree(bounds)
    } else {
        let mut keys = Sql::of("SELECT accounts.id FROM accounts WHERE ");
        keys.append(&within(bounds, &Of::ACCOUNTS));
        keys
    };
    let filter = Filter::by_keys_of_any(any, columns, Keys::Asked(keys));
    vec![filter.also_tells_apart().of_bounds()]
}

fn of_programs(bounds: &Bounds) -> Option<Filter> {
    let ids: Vec<String> = bounds.program_ids.iter().map(ToString::to_string).collect();
    (!ids.is_empty()).then(|| {
        let clause = Sql::one_of("program_id", &ids);
        Filter::by_keys(clause, "program_id", Keys::Known(ids))
    })
}

fn within(bounds: &Bounds, of: &Of) -> Sql {
    let mut clauses = Vec::new();
    if !bounds.program_ids.is_empty() {
        let ids: Vec<String> = bounds.program_ids.iter().map(ToString::to_string).collect();
        clauses.push(match of.program {
            Some(column) => Sql::one_of(column, &ids),
            None => Sql::of(NOTHING),
        });
    }
    if !bounds.account_ids.is_empty() {
        clauses.push(match of.account {
            Some(column) => at_or_below(column, &bounds.account_ids),
            None => Sql::of(NOTHING),
        });
    }
    if !bounds.links.is_empty() {
        let linked = of.card.map(|column| linked_to_any(column, &bounds.links));
        clauses.push(match linked {
            Some(linked) if of.is_of_events() => {
                Sql::either(&linked, &event_of_no_own_card(&names(&bounds.links)))
            }
            Some(linked) => linked,
            None => Sql::of(NOTHING),
        });
    }
    if clauses.is_empty() {
        clauses.push(Sql::of("1 = 1"));
    }
    Sql::all(&clauses)
}

fn texts(ids: &[AccountId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// An account of the bounds, or one below it: what is above each row is looked through, which is little.
fn at_or_below(column: &str, ids: &[AccountId]) -> Sql {
    let mut sql = Sql::of(&format!(
        "EXISTS (WITH RECURSIVE above (id) AS (SELECT {column} \
         UNION SELECT upper.parent_id FROM accounts AS upper JOIN above ON upper.id = above.id \
         WHERE upper.parent_id IS NOT NULL) SELECT 1 FROM above WHERE "
    ));
    sql.append(&Sql::one_of("above.id", &texts(ids)));
    sql.push(")");
    sql
}

fn linked_to_any(column: &str, links: &[BoundLink]) -> Sql {
    let mut sql = Sql::of(&format!(
        "EXISTS (SELECT 1 FROM card_links WHERE card_links.card_id = {column} AND "
    ));
    sql.append(&any_link(links));
    // Keeps Postgres from joining with all rows of those cards: it is asked for the few rows that are sought.
    sql.push(" LIMIT 1 OFFSET 0)");
    sql
}

fn any_link(links: &[BoundLink]) -> Sql {
    let mut sql = Sql::of("(");
    for (place, link) in links.iter().enumerate() {
        sql.push(if place > 0 { " OR (" } else { "(" });
        sql.append(&Sql::all(&[
            Sql::equal("link_type", &link.link_type),
            Sql::equal("link_id", &link.id),
        ]));
        sql.push(")");
    }
    sql.push(")");
    sql
}

/// The accounts of the bounds, and all below them.
fn tree(bounds: &Bounds) -> Sql {
    let mut sql = below(bounds);
    sql.push("SELECT id FROM tree");
    sql
}

fn below(bounds: &Bounds) -> Sql {
    let mut sql = Sql::of("WITH RECURSIVE tree (id) AS (SELECT id FROM accounts WHERE ");
    sql.append(&Sql::one_of("id", &texts(&bounds.account_ids)));
    sql.push(" UNION SELECT accounts.id FROM accounts JOIN tree ON accounts.parent_id = tree.id) ");
    sql
}

/// The cards within bounds.
fn cards_within(bounds: &Bounds) -> Sql {
    let mut sql;
    if bounds.account_ids.is_empty() && bounds.links.is_empty() {
        sql = Sql::of("SELECT cards.id FROM cards WHERE 1 = 1");
    } else if bounds.account_ids.is_empty() {
        sql = Sql::of(
            "SELECT cards.id FROM card_links JOIN cards ON cards.id = card_links.card_id WHERE ",
        );
        sql.append(&any_link(&bounds.links));
    } else {
        sql = below(bounds);
        sql.push("SELECT cards.id FROM tree CROSS JOIN cards WHERE cards.account_id = tree.id");
    }
    sql.push(" AND ");
    sql.append(&within(bounds, &Of::CARDS));
    sql
}
