//! The log of calls to webhook endpoints. It cannot be made from the journal: a rebuild leaves it as it is, and without
//! it nothing is told twice or not at all.

use super::bounds;
use super::columns::TableRow;
use super::database::{Database, Store, Value, Writer};
use super::error::StoreError;
use super::filters::{AmountFilter, Gathered, filters};
use super::filters_joined::PaymentFilter;
use super::query::Page;
use super::rows::{names, table};
use super::search::{Order, Search};
use super::seek::{Filter, Keys};
use super::sql::Sql;
use super::times;
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, DeliveryId, EventId, ProgramId,
    WebhookEndpointId,
};
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
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
        /// What its event is about, as that says.
        program_id: Option<ProgramId>,
        account_id: Option<AccountId>,
        object_id: Option<String>,
        authorization_id: Option<AuthorizationId>,
        card_id: Option<CardId>,
        /// By which a link finds it: the card, also of its own account; else the object.
        place_id: Option<String>,
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

filters! {
    DeliveryFilter {
        endpoint_id: WebhookEndpointId,
        event_id: EventId,
        event_type: String,
        outcome: DeliveryOutcome,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// These are of its event.
        program_id: ProgramId,
        account_id: AccountId,
        card_id: CardId,
        card_chain_id: CardId,
        object_id: String,
        authorization_id: AuthorizationId,
        /// Of its card.
        cardholder_id: CardholderId,
        /// Of its authorization, like those below.
        reason: DeclineReason,
        merchant_id: String,
        currency: Currency,
        /// From this one on, and below that.
        amount_from: i64,
        amount_until: i64,
        link_type: String,
        link_id: String,
        /// Of these endpoints only.
        endpoint_ids: Vec<WebhookEndpointId>,
    }
}

const NEWEST_FIRST: Order = Order {
    key: "id",
    newest_first: true,
    key_is_text: true,
    only: None,
};

impl DeliveryFilter {
    fn gathered(&self) -> Vec<Filter> {
        let mut of = Gathered::of(DeliveryRow::TABLE);
        of.equal("webhook_endpoint_id", self.endpoint_id);
        of.equal("event_id", self.event_id);
        of.equal("event_type", self.event_type.as_ref());
        of.equal("outcome", self.outcome.map(DeliveryOutcome::name));
        of.equal("program_id", self.program_id);
        of.equal("account_id", self.account_id);
        of.equal("card_id", self.card_id);
        of.of_chain("card_id", self.card_chain_id);
        of.equal("object_id", self.object_id.as_ref());
        of.equal("authorization_id", self.authorization_id);
        of.of_card_with("cardholder_id", self.cardholder_id);
        of.of_payment(&PaymentFilter {
            reason: self.reason,
            merchant_id: self.merchant_id.as_deref(),
            amount: AmountFilter {
                currency: self.currency,
                from: self.amount_from,
                until: self.amount_until,
            },
        });
        let (link_type, id) = (self.link_type.as_deref(), self.link_id.as_deref());
        of.filters.extend(bounds::of_linked_deliveries(
            link_type,
            id,
            self.endpoint_ids.is_none(),
        ));
        let times = times::between("created_at_ms", self.created_from, self.created_until);
        if !times.is_empty() {
            of.filters.push(Filter::sorted(Sql::all(&times)));
        }
        if let Some(ids) = &self.endpoint_ids {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let clause = match ids.is_empty() {
                true => Sql::of("1 = 0"),
                false => Sql::one_of("webhook_endpoint_id", &ids),
            };
            let filter = Filter::by_keys(clause, "webhook_endpoint_id", Keys::Known(ids));
            of.filters.push(filter);
        }
        of.filters
    }
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
        // Ids grow with time.
        let search = Search {
            order: NEWEST_FIRST,
            filters: filter.gathered(),
            starting_after: starting_after.map(|id| Value::Text(id.to_string())),
            after: None,
            before: None,
        };
        self.search(&search, limit).await
    }

    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM deliveries WHERE id = $1",
            DeliveryRow::select()
        );
        let values = [Value::Text(id.to_string())];
        let rows = self.fetch(sql, &values, |row| DeliveryRow::take(row, 0));
        Ok(rows.await?.pop())
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
