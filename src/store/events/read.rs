//! The reads of events: by whoever delivers them, and by the interface.

use super::row::{EventRow, WebhookEndpointRow};
use crate::engine::api_keys::Bounds;
use crate::engine::ids::{AccountId, CardId, EventId, WebhookEndpointId};
use crate::engine::time::Timestamp;
use crate::store::bounds::Of;
use crate::store::columns::{Column, TableRow};
use crate::store::database::{Store, Value};
use crate::store::error::StoreError;
use crate::store::query::{Conditions, Page};
use crate::store::rows::Sequence;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Any of these types; of all, where there are none.
    pub types: Vec<String>,
    pub card_id: Option<CardId>,
    pub account_id: Option<AccountId>,
    pub object_id: Option<String>,
    pub link_type: Option<String>,
    pub link_id: Option<String>,
    /// Not before this, and before that.
    pub created_from: Option<Timestamp>,
    pub created_until: Option<Timestamp>,
    /// Only what these cover.
    pub bounds: Option<Bounds>,
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
        let mut conditions = Conditions::default();
        if !filter.types.is_empty() {
            conditions.one_of("event_type", filter.types.iter());
        }
        conditions.equal("card_id", filter.card_id.map(|id| id.to_string()));
        conditions.equal("account_id", filter.account_id.map(|id| id.to_string()));
        conditions.equal("object_id", filter.object_id.clone());
        conditions.linked(
            "card_id",
            filter.link_type.as_deref(),
            filter.link_id.as_deref(),
        );
        conditions.between("created_at_ms", filter.created_from, filter.created_until);
        conditions.within(filter.bounds.as_ref(), &Of::EVENTS);
        if let Some(after) = after {
            let place = conditions.place(Value::Int(i64::try_from(after.0).unwrap_or(i64::MAX)));
            conditions.clauses.push(format!("number > {place}"));
        }
        self.page(conditions, "number", limit).await
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
