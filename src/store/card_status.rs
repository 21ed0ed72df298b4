//! The status that a card is told with, as a filter in SQL: the worse of its own and its links', or `expired`. That of a card
//! in memory is in `api::cards`.

use super::database::Value;
use super::filters::Gathered;
use super::rows::names;
use super::seek::{Filter, Indexed, Keys};
use super::sql::Sql;
use crate::engine::time::Timestamp;
use std::fmt::Display;

names! {
    ToldStatus {
        Inactive = "inactive",
        Active = "active",
        Frozen = "frozen",
        Blocked = "blocked",
        Closed = "closed",
        Expired = "expired",
    }
}

/// A status, and the moment for which it is asked: cards expire by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusAt {
    pub status: ToldStatus,
    pub at: Timestamp,
}

impl StatusAt {
    /// Whoever is frozen or closed by links is found by the links that are: few, as a rule, of very many. Of more cards than
    /// are sought each for itself, rows are told apart.
    pub(super) fn filter(self, of: &Gathered) -> Filter {
        let own = self.own_filter(of);
        let which = own.clause.clone();
        match self.status {
            ToldStatus::Active | ToldStatus::Inactive | ToldStatus::Expired => {
                own.of_which(Sql::all(&[which, no_link("IN ('frozen', 'closed')")]))
            }
            ToldStatus::Blocked => own.of_which(Sql::all(&[which, no_link("= 'closed'")])),
            ToldStatus::Frozen => {
                let by_links = Sql::all(&[Sql::of(OPEN), a_link("= 'frozen'")]);
                let frozen = Sql::either(&which, &by_links);
                let clause = Sql::all(&[frozen, no_link("= 'closed'")]);
                Filter::in_order_or_by_keys(clause, self.indexed(), cards_of("frozen"))
            }
            ToldStatus::Closed => {
                let clause = Sql::either(&which, &a_link("= 'closed'"));
                Filter::in_order_or_by_keys(clause, self.indexed(), cards_of("closed"))
            }
        }
    }

    /// Whatever its links are.
    pub(super) fn own_filter(self, of: &Gathered) -> Filter {
        let own = Sql::equal("cards.status", self.status.name());
        match self.status {
            ToldStatus::Active | ToldStatus::Inactive => {
                let is_good = Sql::compare("cards.expiry", ">=", self.month());
                let clause = Sql::all(&[own, is_good]);
                Filter::in_order(self.indexed()).of_which(clause)
            }
            ToldStatus::Expired => {
                let is_past = Sql::compare("cards.expiry", "<", self.month());
                let months = Keys::Asked(of.distinct("expiry", &is_past));
                let clause = Sql::all(&[Sql::of(OPEN), is_past]);
                Filter::by_keys(clause, "expiry", months).also_tells_apart()
            }
            ToldStatus::Frozen | ToldStatus::Blocked | ToldStatus::Closed => {
                Filter::in_order(self.indexed())
            }
        }
    }

    fn indexed(self) -> Indexed {
        Indexed::new("status", Value::Text(self.status.name().to_owned()), None)
    }

    /// As the column `expiry` has it: a card is good through the last moment of its month.
    fn month(self) -> Value {
        let (year, month) = self.at.year_month();
        Value::Text(expiry(year, month))
    }
}

impl Gathered {
    /// Cards that expire in this year, or in a month of it.
    pub(super) fn expiring(&mut self, year: Option<u16>, month: Option<u8>) {
        let Some(year) = year else {
            return;
        };
        let months = month.map_or(1..=12, |month| month..=month);
        let months: Vec<String> = months.map(|month| expiry(year, month)).collect();
        let clause = Sql::one_of("cards.expiry", &months);
        let filter = Filter::by_keys(clause, "expiry", Keys::Known(months));
        self.filters.push(filter);
    }
}

/// As the column has it.
fn expiry(year: impl Display, month: impl Display) -> String {
    format!("{year:0>4}-{month:0>2}")
}

/// Cards that a link could freeze, and that could expire.
const OPEN: &str = "cards.status IN ('active', 'inactive')";

/// A link of the card has such a state.
fn a_link(state: &str) -> Sql {
    // The limit keeps Postgres from joining with all cards: it is asked for the few rows that are sought.
    Sql::of(&format!(
        "EXISTS (SELECT 1 FROM card_links WHERE card_links.card_id = cards.id AND \
         (SELECT link_states.status FROM link_states WHERE link_states.link_key = card_links.program_id \
         || '/' || card_links.link_type || '/' || card_links.link_id) {state} LIMIT 1 OFFSET 0)"
    ))
}

fn no_link(state: &str) -> Sql {
    let mut sql = Sql::of("NOT ");
    sql.append(&a_link(state));
    sql
}

/// The cards of all links that are so.
fn cards_of(state: &str) -> (&'static str, Keys) {
    let mut cards = Sql::of(
        "SELECT card_links.card_id FROM link_states CROSS JOIN card_links WHERE card_links.link_type = \
         link_states.link_type AND card_links.link_id = link_states.link_id AND card_links.program_id = \
         link_states.program_id AND ",
    );
    cards.append(&Sql::equal("link_states.status", state));
    ("id", Keys::Asked(cards))
}
