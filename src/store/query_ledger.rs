//! The reads of ledger entries: of customers' accounts, without the contra legs.

use super::bounds;
use super::columns::TableRow;
use super::database::{Store, Value};
use super::error::StoreError;
use super::filters::{Gathered, filters};
use super::query::Page;
use super::rows::{LedgerEntryRow, Sequence};
use super::search::{Order, Search};
use super::seek::{Filter, Indexed};
use super::sql::Sql;
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, AuthorizationId, CardId, CardholderId, ProgramId};
use crate::engine::money::Currency;
use crate::engine::time::Timestamp;

filters! {
    LedgerFilter {
        account_id: AccountId,
        card_id: CardId,
        /// This card, what it replaced, and what replaced it.
        card_chain_id: CardId,
        authorization_id: AuthorizationId,
        /// Of the account.
        program_id: ProgramId,
        /// Of the card.
        cardholder_id: CardholderId,
        /// Of the payment.
        merchant_id: String,
        currency: Currency,
        /// `top_up`, `transaction`, `transfer`, and what else posts money.
        source_type: String,
        source_id: String,
        /// From this one on, and below that, in the currency of each account; below zero it left the account.
        amount_from: i64,
        amount_until: i64,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// Of cards with any link of this type, or with this very one together with `link_id`.
        link_type: String,
        link_id: String,
        /// Only what these cover.
        bounds: Bounds,
    }
}

/// Where a page goes on: after this leg of this record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryCursor {
    pub sequence: Sequence,
    pub leg: u16,
}

/// Places that a record has among all entries.
const LEGS: i64 = 100;

const NEWEST_FIRST: Order = Order {
    key: "number",
    newest_first: true,
    key_is_text: false,
    only: Some("ledger_account = 'customer'"),
};

/// What posts by far the most entries. Those of others have indexes of their own.
const MOST_ENTRIES: &str = "transaction";

const ACCOUNT: &[&str] = &["account_id"];

impl LedgerFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(LedgerEntryRow::TABLE);
        let rare = self.source_type.as_deref();
        let rare = rare.filter(|source_type| *source_type != MOST_ENTRIES);
        match (self.account_id, rare) {
            (Some(id), Some(source_type)) => of.filters.push(rare_of_account(id, source_type)),
            _ => {
                of.equal("account_id", self.account_id);
                of.rare("source_type", self.source_type.as_deref(), MOST_ENTRIES);
            }
        }
        of.equal("card_id", self.card_id);
        of.of_chain("card_id", self.card_chain_id);
        of.equal("authorization_id", self.authorization_id);
        of.of_account_with(ACCOUNT, "program_id", self.program_id);
        of.of_account_with(ACCOUNT, "currency", self.currency.map(Currency::alpha));
        of.of_card_with("cardholder_id", self.cardholder_id);
        of.of_source_with("merchant_id", self.merchant_id.as_ref());
        of.equal("source_id", self.source_id.as_ref());
        for (value, comparison) in [(self.amount_from, ">="), (self.amount_until, "<")] {
            if let Some(value) = value {
                let clause = Sql::compare("amount_minor", comparison, Value::Int(value));
                of.filters.push(Filter::apart(clause));
            }
        }
        of.created(self.created_from, self.created_until);
        let (link_type, link_id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.linked("card_id", link_type, link_id);
        let bounds = self.bounds.as_ref();
        of.filters.extend(bounds::of_ledger_entries(bounds));
        let by_card = self.card_id.is_some()
            || self.card_chain_id.is_some()
            || self.authorization_id.is_some()
            || self.cardholder_id.is_some()
            || self.merchant_id.is_some()
            || self.link_type.is_some();
        if by_card {
            let seen = bounds::of_seen_cards(bounds, "ledger_entries.card_id");
            of.filters.extend(seen);
        }
        of.filters
    }
}

/// An account has few entries of other sources among very many: an index has them by both.
fn rare_of_account(id: AccountId, source_type: &str) -> Filter {
    let part = Sql::all(&[
        Sql::equal("source_type", source_type),
        Sql::of(&format!("source_type <> '{MOST_ENTRIES}'")),
    ]);
    let id = Value::Text(id.to_string());
    Filter::in_order(Indexed::new("account_id", id, Some(part)))
}

impl Store {
    /// Entries, newest first, from behind `starting_after` on.
    pub async fn ledger_entries(
        &self,
        filter: &LedgerFilter,
        starting_after: Option<EntryCursor>,
        limit: u32,
    ) -> Result<Page<LedgerEntryRow>, StoreError> {
        let records = self
            .records_within(filter.created_from, filter.created_until)
            .await?;
        let number = |sequence: Sequence, leg: i64| {
            Value::Int((sequence as i64).saturating_mul(LEGS).saturating_add(leg))
        };
        let search = Search {
            order: NEWEST_FIRST,
            filters: filter.gathered(),
            starting_after: starting_after
                .map(|cursor| number(cursor.sequence, i64::from(cursor.leg))),
            after: records.after.map(|sequence| number(sequence, LEGS - 1)),
            before: records.before.map(|sequence| number(sequence, 0)),
        };
        self.search(&search, limit).await
    }
}
