//! The reads of events: by whoever delivers them, and by the interface.

use super::row::{EventRow, WebhookEndpointRow};
use super::types::EventType;
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, EventId, ProgramId, WebhookEndpointId,
};
use crate::engine::reason::DeclineReason;
use crate::engine::time::Timestamp;
use crate::store::bounds::{self, Of};
use crate::store::columns::{Column, TableRow};
use crate::store::database::{Store, Value};
use crate::store::error::StoreError;
use crate::store::filters::{AmountFilter, Gathered};
use crate::store::filters_joined::PaymentFilter;
use crate::store::query::Page;
use crate::store::rows::Sequence;
use crate::store::search::{Order, Search};
use crate::store::seek::{Filter, Keys};
use crate::store::sql::Sql;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Any of these types; of all, where there are none.
    pub types: Vec<String>,
    pub program_id: Option<ProgramId>,
    pub card_id: Option<CardId>,
    /// This card, what it replaced, and what replaced it.
    pub card_chain_id: Option<CardId>,
    pub account_id: Option<AccountId>,
    pub object_id: Option<String>,
    pub link_type: Option<String>,
    pub link_id: Option<String>,
    pub authorization_id: Option<AuthorizationId>,
    /// Of the card.
    pub cardholder_id: Option<CardholderId>,
    /// Of the authorization, like those below.
    pub reason: Option<DeclineReason>,
    pub merchant_id: Option<String>,
    pub amount: AmountFilter,
    /// Not before this, and before that.
    pub created_from: Option<Timestamp>,
    pub created_until: Option<Timestamp>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
}

const OLDEST_FIRST: Order = Order {
    key: "number",
    newest_first: false,
    key_is_text: false,
    only: None,
};

impl EventFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(EventRow::TABLE);
        if !self.types.is_empty() {
            let clause = Sql::one_of("event_type", &self.types);
            let keys = Keys::Known(self.types.clone());
            of.filters.push(Filter::by_keys(clause, "event_type", keys));
        }
        of.equal("program_id", self.program_id);
        of.equal("card_id", self.card_id);
        of.of_chain("card_id", self.card_chain_id);
        of.equal("account_id", self.account_id);
        of.equal("object_id", self.object_id.as_ref());
        of.equal("authorization_id", self.authorization_id);
        of.of_card_with("cardholder_id", self.cardholder_id);
        of.of_payment(&PaymentFilter {
            reason: self.reason,
            merchant_id: self.merchant_id.as_deref(),
            amount: self.amount,
        });
        let is_of_payment = self.reason.is_some()
            || self.merchant_id.is_some()
            || self.amount != AmountFilter::default();
        if is_of_payment && self.types.is_empty() {
            of.filters.push(of_payments());
        }
        let (link_type, id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.filters.extend(bounds::of_linked_events(
            link_type,
            id,
            bounds::see_whole_programs(self.bounds.as_ref()),
        ));
        of.created(self.created_from, self.created_until);
        let bounds = bounds::of_rows(self.bounds.as_ref(), &Of::EVENTS);
        of.filters.extend(bounds);
        of.filters
    }
}

/// What names a payment is of few types: where very many payments are meant, all that is told of cards and accounts before the
/// first of them is passed over.
fn of_payments() -> Filter {
    let types = EventType::ALL.iter().filter(|told| told.may_name_payment());
    let types: Vec<String> = types.map(|told| told.name().to_owned()).collect();
    let clause = Sql::of("authorization_id IS NOT NULL");
    Filter::by_keys(clause, "event_type", Keys::Known(types)).also_tells_apart()
}

impl Store {
    /// Events behind `after`, oldest first: in this order they were written, so that none appears later among those
    /// that were read.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Page<EventRow>, StoreError> {
        let times = (filter.created_from, filter.created_until);
        let records = self.records_within(times.0, times.1).await?;
        let number = |id: EventId| Value::Int(i64::try_from(id.0).unwrap_or(i64::MAX));
        let search = Search {
            order: OLDEST_FIRST,
            filters: filter.gathered(),
            starting_after: after.map(number),
            after: records.after.map(|last| number(EventId::end_of(last))),
            before: records
                .before
                .map(|first| number(EventId::of_record(first, 0))),
        };
        self.search(&search, limit).await
    }

    /// Some of all events behind `after`, oldest first and none behind `through`, with the place up to which these are all.
    pub async fn events_behind(
        &self,
        after: EventId,
        through: Option<EventId>,
        limit: u32,
    ) -> Result<(Vec<EventRow>, EventId), StoreError> {
        let number = |id: u64| Value::Int(i64::try_from(id).unwrap_or(i64::MAX));
        let search = Search {
            order: OLDEST_FIRST,
            filters: Vec::new(),
            starting_after: Some(number(after.0)),
            after: None,
            before: through.map(|through| number(through.0.saturating_add(1))),
        };
        let page: Page<EventRow> = self.search(&search, limit).await?;
        let last = page.data.last().map(EventRow::id);
        // Rows may be newer than the position: one that is there says that all before it are.
        let projected = EventId::end_of(page.projected_through).max(last.unwrap_or_default());
        let read_to = match last.filter(|_| page.has_more) {
            Some(last) => last,
            None => through.map_or(projected, |through| projected.min(through)),
        };
        Ok((page.data, read_to))
    }

    pub async fn event(&self, id: EventId) -> Result<Option<EventRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM events WHERE number = $1",
            EventRow::select()
        );
        let values = [Value::Int(id.0 as i64)];
        let rows = self
            .fetch(sql, &values, |row| EventRow::take(row, 0))
            .await?;
        Ok(rows.into_iter().next())
    }

    /// The first event that is not before a moment; nothing where all are.
    pub async fn first_event_since(&self, at: Timestamp) -> Result<Option<EventId>, StoreError> {
        let sql = "SELECT MIN(number) FROM events WHERE created_at_ms >= $1".to_owned();
        let values = [Value::Int(at.0)];
        let rows = self.fetch(sql, &values, |row| {
            let number: Option<u64> = Column::take(row, 0)?;
            Ok(number.map(EventId))
        });
        Ok(rows.await?.into_iter().next().flatten())
    }

    /// The record that made an endpoint, once the tables have it.
    pub async fn webhook_endpoint_since(
        &self,
        id: WebhookEndpointId,
    ) -> Result<Option<Sequence>, StoreError> {
        let sql = format!(
            "SELECT sequence FROM {} WHERE id = $1",
            WebhookEndpointRow::TABLE
        );
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| Column::take(row, 0));
        Ok(rows.await?.into_iter().next())
    }
}
