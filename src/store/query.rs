//! The reads that lists and single objects of the API come from: plain rows, newest first, with a
//! cursor that stays where it is while rows are added. How they print does not live here.

use super::bounds::{self, Of};
use super::card_status::StatusAt;
use super::columns::{self, Column, Source, TableRow};
use super::database::{Store, Value};
use super::error::StoreError;
use super::filters::{Gathered, filters};
use super::rows::{AccountRow, CardLinkRow, CardRow, ProgramRow, Sequence};
use super::search::{Order, Search};
use super::seek::{Filter, Keys};
use super::sql::Sql;
use crate::engine::api_keys::Bounds;
use crate::engine::command::CardType;
use crate::engine::ids::{AccountId, CardId, CardholderId, ProgramId};
use crate::engine::money::Currency;
use crate::engine::shipping::ShippingStatus;
use crate::engine::state::AccountStatus;
use crate::engine::time::Timestamp;

/// Rows of one page at most.
pub const LIMIT_MAX: u32 = 1000;
/// Objects that one query asks about.
pub(super) const ASK_MAX: usize = 500;

/// One page of a list. All that happened up to `projected_through` is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<R> {
    pub data: Vec<R>,
    pub has_more: bool,
    pub projected_through: Sequence,
}

filters! {
    AccountFilter {
        program_id: ProgramId,
        parent_id: AccountId,
        /// The account at the top, and all below it.
        root_account_id: AccountId,
        status: AccountStatus,
        currency: Currency,
        /// It was opened for this card.
        card_id: CardId,
        /// It was opened for the first of this chain.
        card_chain_id: CardId,
        /// It was opened for a card with any link of this type, or with this very one together with `link_id`.
        link_type: String,
        link_id: String,
        /// How it begins.
        name: String,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// Only what these cover.
        bounds: Bounds,
    }
}

filters! {
    CardFilter {
        account_id: AccountId,
        program_id: ProgramId,
        cardholder_id: CardholderId,
        status: StatusAt,
        /// Whatever its links are.
        own_status: StatusAt,
        /// `lost`, `stolen` or `fraud`.
        status_reason: String,
        card_type: CardType,
        last4: String,
        link_type: String,
        link_id: String,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// Only what these cover.
        bounds: Bounds,
        /// The card that was issued in place of this one.
        replacement_for: CardId,
        /// This card, what it replaced, and what replaced it.
        card_chain_id: CardId,
        shipping_status: ShippingStatus,
        first6: String,
        /// Of its expiry as of its last renewal.
        exp_year: u16,
        exp_month: u8,
        /// The card in whose place this one was issued.
        replaced_by: CardId,
    }
}

impl AccountFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(AccountRow::TABLE);
        of.equal("program_id", self.program_id);
        of.equal("parent_id", self.parent_id);
        of.equal("root_id", self.root_account_id);
        of.equal("status", self.status.map(AccountStatus::name));
        of.equal("currency", self.currency.map(Currency::alpha));
        of.equal("card_id", self.card_id);
        of.of_chain("card_id", self.card_chain_id);
        let (link_type, link_id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.linked("card_id", link_type, link_id);
        of.begins("name", self.name.as_deref());
        of.created(self.created_from, self.created_until);
        let bounds = bounds::of_rows(self.bounds.as_ref(), &Of::ACCOUNTS);
        of.filters.extend(bounds);
        of.filters
    }
}

/// One card, if any.
fn replaced_by(id: CardId) -> Filter {
    let mut keys =
        Sql::of("SELECT replacement_for FROM cards WHERE replacement_for IS NOT NULL AND ");
    keys.append(&Sql::equal("id", id));
    let mut clause = Sql::of("cards.id = (SELECT by.replacement_for FROM cards AS by WHERE ");
    clause.append(&Sql::equal("by.id", id));
    clause.push(")");
    Filter::by_keys(clause, "id", Keys::Asked(keys))
}

impl CardFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(CardRow::TABLE);
        of.equal("account_id", self.account_id);
        of.equal("program_id", self.program_id);
        of.equal("cardholder_id", self.cardholder_id);
        of.equal("replacement_for", self.replacement_for);
        of.of_chain("id", self.card_chain_id);
        of.equal(
            "shipping_status",
            self.shipping_status.map(ShippingStatus::name),
        );
        let status = self.status.map(|status| status.filter(&of));
        let own_status = self.own_status.map(|status| status.own_filter(&of));
        of.filters.extend(status.into_iter().chain(own_status));
        of.rare("status_reason", self.status_reason.as_deref(), "");
        of.equal("card_type", self.card_type.map(columns::card_type_name));
        of.equal("last4", self.last4.as_ref());
        of.equal("first6", self.first6.as_ref());
        of.expiring(self.exp_year, self.exp_month);
        of.filters.extend(self.replaced_by.map(replaced_by));
        of.created(self.created_from, self.created_until);
        of.linked("id", self.link_type.as_deref(), self.link_id.as_deref());
        let bounds = bounds::of_rows(self.bounds.as_ref(), &Of::CARDS);
        of.filters.extend(bounds);
        of.filters
    }
}

impl Store {
    pub async fn accounts(
        &self,
        filter: &AccountFilter,
        starting_after: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<AccountRow>, StoreError> {
        let times = (filter.created_from, filter.created_until);
        let after = starting_after.map(|id| id.to_string());
        self.newest(filter.gathered(), times, after, limit).await
    }

    pub async fn cards(
        &self,
        filter: &CardFilter,
        starting_after: Option<CardId>,
        limit: u32,
    ) -> Result<Page<CardRow>, StoreError> {
        let times = (filter.created_from, filter.created_until);
        let after = starting_after.map(|id| id.to_string());
        self.newest(filter.gathered(), times, after, limit).await
    }

    /// The links of these cards, by card.
    pub async fn card_links(&self, cards: &[CardId]) -> Result<Vec<CardLinkRow>, StoreError> {
        let (columns, mut links) = (CardLinkRow::select(), Vec::new());
        for cards in cards.chunks(ASK_MAX) {
            let cards: Vec<String> = cards.iter().map(ToString::to_string).collect();
            let mut sql = Sql::of(&format!("SELECT {columns} FROM card_links WHERE "));
            sql.append(&Sql::one_of("card_id", &cards));
            sql.push(" ORDER BY card_id, link_type, link_id");
            let found = self.fetch(sql.text, &sql.values, |row| CardLinkRow::take(row, 0));
            links.extend(found.await?);
        }
        Ok(links)
    }

    /// The accounts on which these cards are, as far as there are such cards.
    pub async fn accounts_of_cards(
        &self,
        cards: &[CardId],
    ) -> Result<Vec<(CardId, AccountId)>, StoreError> {
        let mut accounts = Vec::new();
        for cards in cards.chunks(ASK_MAX) {
            let cards: Vec<String> = cards.iter().map(ToString::to_string).collect();
            let mut sql = Sql::of("SELECT id, account_id FROM cards WHERE ");
            sql.append(&Sql::one_of("id", &cards));
            let found = self.fetch(sql.text, &sql.values, |row| {
                Ok((Column::take(row, 0)?, Column::take(row, 1)?))
            });
            accounts.extend(found.await?);
        }
        Ok(accounts)
    }

    pub async fn programs(
        &self,
        bounds: Option<&Bounds>,
        starting_after: Option<ProgramId>,
        limit: u32,
    ) -> Result<Page<ProgramRow>, StoreError> {
        let filters = bounds::of_rows(bounds, &Of::PROGRAMS);
        let after = starting_after.map(|id| id.to_string());
        self.newest(filters, (None, None), after, limit).await
    }

    /// The journal sequence of the row that a page is to go on behind. One that the caller does not see is not there.
    pub(super) async fn cursor<R: TableRow>(
        &self,
        starting_after: Option<String>,
        filters: &[Filter],
    ) -> Result<Option<Sequence>, StoreError> {
        let Some(id) = starting_after else {
            return Ok(None);
        };
        let mut sql = Sql::of(&format!("SELECT sequence FROM {} WHERE ", R::TABLE));
        sql.append(&Sql::equal("id", &id));
        for filter in filters.iter().filter(|filter| filter.is_of_bounds) {
            sql.push(" AND ");
            sql.append(&filter.clause);
        }
        let read = |row: &dyn Source| Column::take(row, 0);
        let found = self.fetch(sql.text, &sql.values, read).await?;
        match found.first() {
            None => Err(StoreError::UnknownCursor(id)),
            Some(sequence) => Ok(Some(*sequence)),
        }
    }

    /// A page of a list whose newest records come first.
    pub(super) async fn newest<R: TableRow>(
        &self,
        filters: Vec<Filter>,
        times: (Option<Timestamp>, Option<Timestamp>),
        starting_after: Option<String>,
        limit: u32,
    ) -> Result<Page<R>, StoreError> {
        let cursor = self.cursor::<R>(starting_after, &filters).await?;
        self.newest_before(filters, times, cursor, limit).await
    }

    pub(super) async fn newest_before<R: TableRow>(
        &self,
        filters: Vec<Filter>,
        (from, until): (Option<Timestamp>, Option<Timestamp>),
        before: Option<Sequence>,
        limit: u32,
    ) -> Result<Page<R>, StoreError> {
        let records = self.records_within(from, until).await?;
        let value = |sequence: Option<Sequence>| sequence.map(|s| Value::Int(s as i64));
        let search = Search {
            order: Order::NEWEST_RECORD_FIRST,
            filters,
            starting_after: value(before),
            after: value(records.after),
            before: value(records.before),
        };
        self.search(&search, limit).await
    }
}
