//! The reads of charges.

use super::bounds::{self, Of};
use super::columns::TableRow;
use super::database::{Store, Value};
use super::error::StoreError;
use super::filters::{AmountFilter, Gathered, filters};
use super::query::Page;
use super::rows::{FeeRow, Sequence};
use super::search::{Order, Search};
use super::seek::Filter;
use super::sql::Sql;
use crate::engine::api_keys::Bounds;
use crate::engine::fees::schedule::FeeKind;
use crate::engine::ids::{AccountId, CardId, FeeId, ProgramId};
use crate::engine::money::Currency;
use crate::engine::time::Timestamp;

filters! {
    FeeFilter {
        account_id: AccountId,
        card_id: CardId,
        /// This card, what it replaced, and what replaced it.
        card_chain_id: CardId,
        program_id: ProgramId,
        kind: FeeKind,
        /// What it was charged for.
        cause_id: String,
        currency: Currency,
        /// From this one on, and below that.
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

impl FeeFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(FeeRow::TABLE);
        of.equal("account_id", self.account_id);
        of.equal("card_id", self.card_id);
        of.of_chain("card_id", self.card_chain_id);
        of.equal("program_id", self.program_id);
        of.equal("kind", self.kind.map(FeeKind::name));
        of.equal("cause_id", self.cause_id.as_ref());
        of.amount(&AmountFilter {
            currency: self.currency,
            from: self.amount_from,
            until: self.amount_until,
        });
        of.created(self.created_from, self.created_until);
        let (link_type, link_id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.linked("card_id", link_type, link_id);
        let by_card =
            self.card_id.is_some() || self.card_chain_id.is_some() || self.link_type.is_some();
        let seen = bounds::of_seen_cards(self.bounds.as_ref(), "fees.card_id");
        if by_card {
            of.filters.extend(seen);
        } else if let Some(seen) = seen.filter(|_| self.cause_id.is_some()) {
            let of_no_card = Sql::of("fees.card_id IS NULL");
            let clause = Sql::either(&of_no_card, &seen.clause);
            of.filters.push(Filter::apart(clause).of_bounds());
        }
        of.filters
            .extend(bounds::of_rows(self.bounds.as_ref(), &Of::FEES));
        of.filters
    }
}

impl Store {
    /// Charges, newest first, from behind `starting_after` on. A record may charge more than once, so they are in the order of
    /// their ids.
    pub async fn fees(
        &self,
        filter: &FeeFilter,
        starting_after: Option<FeeId>,
        limit: u32,
    ) -> Result<Page<FeeRow>, StoreError> {
        let after = starting_after.map(|id| id.to_string());
        let filters = filter.gathered();
        self.cursor::<FeeRow>(after.clone(), &filters).await?;
        let records = self
            .records_within(filter.created_from, filter.created_until)
            .await?;
        let id = |sequence, place| Value::Text(FeeId::of_record(sequence, place).to_string());
        let search = Search {
            order: Order {
                key: "id",
                newest_first: true,
                key_is_text: true,
                only: None,
            },
            filters,
            starting_after: after.map(Value::Text),
            after: records.after.map(|sequence| id(sequence, u64::MAX)),
            before: records.before.map(|sequence| id(sequence, 0)),
        };
        self.search(&search, limit).await
    }

    /// A charge as the tables have it, and a position that they had at most by then.
    pub async fn fee_at(&self, id: FeeId) -> Result<(Sequence, Option<FeeRow>), StoreError> {
        let position = self.projection().await?.position;
        let columns = FeeRow::select();
        let sql = format!("SELECT {columns} FROM fees WHERE id = $1");
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| FeeRow::take(row, 0));
        Ok((position, rows.await?.pop()))
    }
}
