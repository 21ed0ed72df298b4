//! What of a list a bound API key sees, as conditions in SQL. The same of single objects is in `api::bounds`.

use super::database::Value;
use super::query::Conditions;
use crate::engine::api_keys::{BoundLink, Bounds};

/// By which columns the rows of a table are told apart; what a table has no column for, its rows do not have.
pub(super) struct Of {
    program: Option<&'static str>,
    account: Option<&'static str>,
    card: Option<&'static str>,
}

impl Of {
    pub const PROGRAMS: Of = Of {
        program: Some("id"),
        account: None,
        card: None,
    };
    pub const ACCOUNTS: Of = Of {
        program: Some("program_id"),
        account: Some("id"),
        card: None,
    };
    pub const CARDS: Of = Of {
        program: Some("program_id"),
        account: Some("account_id"),
        card: Some("id"),
    };
    pub const EVENTS: Of = Of {
        program: Some("program_id"),
        account: Some("account_id"),
        card: Some("card_id"),
    };
    pub const FEES: Of = Of {
        program: Some("program_id"),
        account: Some("account_id"),
        card: Some("card_id"),
    };
    /// Authorizations, transactions and tokens: they are where their card is.
    pub const CARDS_MONEY: Of = Of {
        program: None,
        account: None,
        card: Some("card_id"),
    };
}

/// Of money that belongs to an account: it is where its account is.
impl Of {
    pub const SENDERS: Of = Of::accounts_money("from_account_id");
    pub const TOP_UPS: Of = Of::accounts_money("account_id");
    pub const RECEIVERS: Of = Of::accounts_money("to_account_id");

    const fn accounts_money(column: &'static str) -> Of {
        Of {
            program: None,
            account: Some(column),
            card: None,
        }
    }
}

const NOTHING: &str = "1 = 0";

impl Conditions {
    pub(super) fn within(&mut self, bounds: Option<&Bounds>, of: &Of) {
        let Some(bounds) = bounds else {
            return;
        };
        if let (None, None, Some(card)) = (of.program, of.account, of.card) {
            // Unknown cards are in no row of the table of cards, and so within no bounds.
            let clauses = std::mem::take(&mut self.clauses);
            self.within(Some(bounds), &Of::CARDS);
            let inner = std::mem::replace(&mut self.clauses, clauses).join(" AND ");
            self.clauses
                .push(format!("{card} IN (SELECT id FROM cards WHERE {inner})"));
            return;
        }
        if let (None, Some(account), None) = (of.program, of.account, of.card) {
            let clauses = std::mem::take(&mut self.clauses);
            self.within(Some(bounds), &Of::ACCOUNTS);
            let inner = std::mem::replace(&mut self.clauses, clauses).join(" AND ");
            self.clauses.push(format!(
                "{account} IN (SELECT id FROM accounts WHERE {inner})"
            ));
            return;
        }
        if !bounds.program_ids.is_empty() {
            match of.program {
                Some(column) => self.one_of(column, bounds.program_ids.iter()),
                None => self.clauses.push(NOTHING.to_owned()),
            }
        }
        if !bounds.account_ids.is_empty() {
            match of.account {
                Some(column) => self.below(column, bounds),
                None => self.clauses.push(NOTHING.to_owned()),
            }
        }
        if !bounds.links.is_empty() {
            match of.card {
                Some(column) => self.linked_to_any(column, &bounds.links),
                None => self.clauses.push(NOTHING.to_owned()),
            }
        }
    }

    /// What is within the bounds by one of the columns.
    pub(super) fn within_either(&mut self, bounds: Option<&Bounds>, of: [&Of; 2]) {
        if bounds.is_none() {
            return;
        }
        let clauses = std::mem::take(&mut self.clauses);
        let either = of.map(|of| {
            self.within(bounds, of);
            std::mem::take(&mut self.clauses).join(" AND ")
        });
        self.clauses = clauses;
        self.clauses.push(format!("({})", either.join(" OR ")));
    }

    /// An account of the bounds, or one below it.
    fn below(&mut self, column: &str, bounds: &Bounds) {
        let ids = bounds.account_ids.iter();
        let places: Vec<String> = ids
            .map(|id| self.place(Value::Text(id.to_string())))
            .collect();
        self.clauses.push(format!(
            "{column} IN (WITH RECURSIVE tree(id) AS (SELECT id FROM accounts WHERE id IN ({}) \
             UNION SELECT accounts.id FROM accounts JOIN tree ON accounts.parent_id = tree.id) \
             SELECT id FROM tree)",
            places.join(", ")
        ));
    }

    fn linked_to_any(&mut self, column: &str, links: &[BoundLink]) {
        let one = |link: &BoundLink| {
            let link_type = self.place(Value::Text(link.link_type.to_string()));
            let id = self.place(Value::Text(link.id.to_string()));
            format!("(link_type = {link_type} AND link_id = {id})")
        };
        let any: Vec<String> = links.iter().map(one).collect();
        self.clauses.push(format!(
            "{column} IN (SELECT card_id FROM card_links WHERE {})",
            any.join(" OR ")
        ));
    }
}
