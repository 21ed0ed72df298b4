//! The log of calls to webhook endpoints. It cannot be made from the journal: a rebuild leaves it as it is, and without
//! it nothing is told twice or not at all.

use super::database::{Database, Store, Value, Writer};
use super::error::StoreError;
use super::query::{Conditions, Page};
use super::rows::{names, table};
use crate::engine::ids::{DeliveryId, EventId, WebhookEndpointId};
use crate::engine::time::Timestamp;

table! {
    /// One call.
    DeliveryRow in "deliveries" {
        id: DeliveryId,
        event_id: EventId,
        event_type: String,
        webhook_endpoint_id: WebhookEndpointId,
        /// From 1.
        attempt: u8,
        outcome: DeliveryOutcome,
        /// Of HTTP; absent where nothing came back.
        response_status: Option<u16>,
        /// Its beginning.
        response_body: Option<String>,
        error: Option<String>,
        duration_ms: u64,
        next_attempt_at_ms: Option<Timestamp>,
        created_at_ms: Timestamp,
    }
}

names! {
    DeliveryOutcome {
        Succeeded = "succeeded",
        // It is tried again.
        Failed = "failed",
        // All calls were made, or the endpoint is called no more.
        Exhausted = "exhausted",
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub endpoint_id: Option<WebhookEndpointId>,
    pub event_id: Option<EventId>,
    pub event_type: Option<String>,
    pub outcome: Option<DeliveryOutcome>,
    /// Not before this, and before that.
    pub created_from: Option<Timestamp>,
    pub created_until: Option<Timestamp>,
    /// Of these endpoints only.
    pub endpoint_ids: Option<Vec<WebhookEndpointId>>,
}

impl Store {
    pub async fn add_deliveries(&self, rows: &[DeliveryRow]) -> Result<(), StoreError> {
        let added = match &self.database {
            Database::Sqlite(sqlite) => add(sqlite.begin().await, rows).await,
            Database::Postgres(postgres) => add(postgres.begin().await, rows).await,
        };
        added.map_err(|error| self.error("add to the log of deliveries", error))
    }

    /// Removes calls and events that are older; gives how many events went.
    pub async fn forget_events(&self, before: Timestamp) -> Result<u64, StoreError> {
        let forgotten = match &self.database {
            Database::Sqlite(sqlite) => forget(sqlite.begin().await, before).await,
            Database::Postgres(postgres) => forget(postgres.begin().await, before).await,
        };
        forgotten.map_err(|error| self.error("forget old events", error))
    }

    /// Calls, newest first, from behind `starting_after` on.
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        starting_after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        let mut conditions = Conditions::default();
        let endpoint_id = filter.endpoint_id.map(|id| id.to_string());
        conditions.equal("webhook_endpoint_id", endpoint_id);
        conditions.equal("event_id", filter.event_id.map(|id| id.to_string()));
        conditions.equal("event_type", filter.event_type.clone());
        conditions.equal(
            "outcome",
            filter.outcome.map(|outcome| outcome.name().to_owned()),
        );
        conditions.between("created_at_ms", filter.created_from, filter.created_until);
        if let Some(ids) = &filter.endpoint_ids {
            match ids.is_empty() {
                true => conditions.clauses.push("1 = 0".to_owned()),
                false => conditions.one_of("webhook_endpoint_id", ids.iter()),
            }
        }
        // Ids grow with time.
        if let Some(id) = starting_after {
            let place = conditions.place(Value::Text(id.to_string()));
            conditions.clauses.push(format!("id < {place}"));
        }
        self.page(conditions, "id DESC", limit).await
    }

    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
        let mut conditions = Conditions::default();
        conditions.equal("id", Some(id.to_string()));
        Ok(self.page(conditions, "id", 1).await?.data.pop())
    }
}

async fn add<W: Writer>(
    begun: Result<W, sqlx::Error>,
    rows: &[DeliveryRow],
) -> Result<(), sqlx::Error> {
    let mut writer = begun?;
    writer.insert(rows).await?;
    writer.commit().await
}

async fn forget<W: Writer>(
    begun: Result<W, sqlx::Error>,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let mut writer = begun?;
    writer.remove_older("deliveries", before).await?;
    let events = writer.remove_older("events", before).await?;
    writer.commit().await?;
    Ok(events)
}
