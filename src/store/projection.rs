//! Applies batches of journal records to the tables, each in one transaction with the position it
//! ends at: exactly once, whatever is killed and when. Pulling the records lives in `follow.rs`.

use super::batch::{self, Batch, Known};
use super::columns::{Column, TableRow};
use super::database::{Database, Position, Store, Value, Writer};
use super::error::StoreError;
use super::events::{self, EventContext, EventFold, EventRows, Piece};
use super::fan_out;
#[doc(hidden)]
pub use super::fault::{BatchStep, Fault};
use super::from_posting::Purchase;
use super::merchants::MerchantNames;
use super::own_accounts;
pub use super::projection_state::ProjectionState;
use super::rows::{AccountFacts, AuthorizationRow, Sequence};
use crate::engine::ids::{AccountId, AuditId, AuthorizationId};
use crate::engine::link_states::CARDS_TOLD_AT_ONCE;
use crate::engine::record::Record;
use crate::engine::time::Timestamp;
use crate::journal::ChainHash;
use std::collections::BTreeMap;

/// What is known of accounts is remembered up to this many, then asked for again.
const ACCOUNTS_MAX: usize = 1 << 20;
/// Events of one transaction, but for what its last record adds: what records tell must fit into memory.
const EVENTS_MAX: usize = 5_000;
/// Rows asked for by one query.
const ASK_MAX: usize = 500;

/// How a journal's id is written in SQL and in sentences.
pub fn journal_text(journal_id: u128) -> String {
    format!("{journal_id:032x}")
}

/// Writes one journal into one database, batch by batch.
pub struct Projector {
    store: Store,
    journal: String,
    position: Position,
    known: Known,
    merchants: MerchantNames,
    events: EventContext,
    events_max: usize,
    cards_told_at_once: usize,
    fault: Option<Fault>,
}

impl Projector {
    /// Takes up where the database is, its tables brought up to date first.
    ///
    /// # Errors
    /// [`StoreError::OtherJournal`] where the tables are of another journal; else what SQL says.
    pub async fn open(store: &Store, journal_id: u128) -> Result<Projector, StoreError> {
        store.prepare().await?;
        let state = store.projection().await?;
        let journal = store.check_journal(&state, journal_id)?;
        let events = store.event_endpoints().await?;
        Ok(Projector {
            events,
            events_max: EVENTS_MAX,
            cards_told_at_once: CARDS_TOLD_AT_ONCE,
            store: store.clone(),
            journal,
            position: Position {
                sequence: state.position,
                through: state.through,
                behind_ms: state.behind_ms,
                chain: None,
            },
            known: Known::default(),
            merchants: MerchantNames::default(),
            fault: None,
        })
    }

    #[doc(hidden)]
    pub fn with_fault(mut self, fault: Fault) -> Projector {
        self.fault = Some(fault);
        self
    }

    #[doc(hidden)]
    pub fn with_events_max(mut self, events_max: usize) -> Projector {
        self.events_max = events_max;
        self
    }

    #[doc(hidden)]
    pub fn with_cards_told_at_once(mut self, cards_told_at_once: usize) -> Projector {
        self.cards_told_at_once = cards_told_at_once;
        self
    }

    /// The last record in the tables.
    pub fn position(&self) -> Sequence {
        self.position.sequence
    }

    /// Applies records that follow one another; those at or below the position are skipped. After an
    /// error the projector is to be opened again: only the database knows whether the batch is in.
    ///
    /// # Errors
    /// [`StoreError::Gap`] where a record is missing before or among them; [`StoreError::Mismatch`],
    /// [`StoreError::Missing`] where journal and tables do not fit; else what SQL says.
    pub async fn apply(&mut self, records: &[(Sequence, Record)]) -> Result<(), StoreError> {
        self.apply_up_to(records, None).await
    }

    /// As [`Projector::apply`], with the journal's chain hash at the last of the records.
    ///
    /// # Errors
    /// As [`Projector::apply`].
    pub async fn apply_up_to(
        &mut self,
        records: &[(Sequence, Record)],
        chain: Option<ChainHash>,
    ) -> Result<(), StoreError> {
        let from = self.position.sequence;
        let done = records.partition_point(|(sequence, _)| *sequence <= from);
        let records = &records[done..];
        if records.is_empty() {
            return Ok(());
        }
        for ((found, _), expected) in records.iter().zip(from + 1..) {
            if *found != expected {
                let found = *found;
                return Err(StoreError::Gap { expected, found });
            }
        }
        let has_subscribers = !self.events.endpoints.is_empty();
        let is_told = has_subscribers || events::subscribe(records) || fan_out::tell_more(records);
        let ends = match is_told {
            true => self.store.runs(records, self.cards_told_at_once).await?,
            false => vec![records.len()],
        };
        let mut begin = 0;
        for end in ends {
            while begin < end {
                let chain = chain.filter(|_| end == records.len());
                begin += self.take(&records[begin..end], chain).await?;
            }
        }
        Ok(())
    }

    /// One transaction: of these records as many as it takes, which is what it gives. The chain's hash is that of the last.
    async fn take(
        &mut self,
        records: &[(Sequence, Record)],
        chain: Option<ChainHash>,
    ) -> Result<usize, StoreError> {
        let has_subscribers = !self.events.endpoints.is_empty();
        let piece = self
            .store
            .piece(records, has_subscribers, self.cards_told_at_once);
        let piece = piece.await?;
        let (events, taken) = self.events_of(records, piece).await?;
        let chain = chain.filter(|_| taken == records.len());
        let records = &records[..taken];
        self.learn(records).await?;
        let mut batch = Batch::fold(records, self.position, &self.known)?;
        batch.position.chain = chain;
        self.keep_audit_places(&mut batch).await?;
        own_accounts::name_cards(&self.store, &mut batch).await?;
        batch.merchant_names = self.merchants.lacking(&self.store, &batch).await?;
        let store = self.store.clone();
        match &store.database {
            Database::Sqlite(sqlite) => self.write(sqlite.begin().await, &batch, &events).await?,
            Database::Postgres(postgres) => {
                self.write(postgres.begin().await, &batch, &events).await?
            }
        }
        self.position = batch.position;
        self.merchants.written(&batch.merchant_names);
        Ok(taken)
    }

    /// What the rows of these records need to know of rows of earlier batches.
    async fn learn(&mut self, records: &[(Sequence, Record)]) -> Result<(), StoreError> {
        let accounts = &mut self.known.accounts;
        if accounts.len() > ACCOUNTS_MAX {
            accounts.clear();
        }
        batch::note_opened(records, accounts);
        let needed = batch::accounts_needed(records, accounts);
        for ids in needed.chunks(ASK_MAX) {
            accounts.extend(self.store.account_facts(ids).await?);
        }
        self.known.purchases.clear();
        let needed = batch::originals_needed(records);
        for ids in needed.chunks(ASK_MAX) {
            let found = self.store.purchases(ids).await?;
            self.known.purchases.extend(found);
        }
        let last = records.last().map_or(0, |(sequence, _)| *sequence);
        let found = self.known.purchases.len();
        self.all_found("authorizations", needed.len(), found, last)
    }

    /// The entry of a request keeps the id and the place that an earlier batch gave it: who pages through the list meets it
    /// once.
    async fn keep_audit_places(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let requests = batch.audit_log.iter().map(|row| row.request_id.clone());
        let requests: Vec<String> = requests.collect();
        let mut known = BTreeMap::new();
        for ids in requests.chunks(ASK_MAX) {
            known.extend(self.store.audit_places(ids).await?);
        }
        for row in &mut batch.audit_log {
            if let Some((sequence, at)) = known.get(&row.request_id) {
                row.sequence = *sequence;
                row.id = AuditId(*sequence);
                row.created_at_ms = *at;
            }
        }
        Ok(())
    }

    /// The events of these records, as many as may be of one transaction, of how many records they are, and who has
    /// subscribed after those.
    async fn events_of(
        &mut self,
        records: &[(Sequence, Record)],
        piece: Option<Piece>,
    ) -> Result<(EventRows, usize), StoreError> {
        let context = &mut self.events;
        let has_subscribers = !context.endpoints.is_empty();
        let needs = match &piece {
            Some(piece) => has_subscribers.then(|| events::needs_of_piece(piece)),
            None => events::needs(records, has_subscribers),
        };
        let learns = needs.is_some();
        if let Some(needs) = needs {
            self.store.learn_for_events(context, needs).await?;
        }
        context.piece = piece;
        let mut fold = EventFold::new(context, learns);
        let mut taken = 0;
        for (sequence, record) in records {
            fold.record(*sequence, record);
            taken += 1;
            if fold.rows.len() >= self.events_max {
                break;
            }
        }
        Ok((fold.finish(), taken))
    }

    async fn write<W: Writer>(
        &self,
        begun: Result<W, sqlx::Error>,
        batch: &Batch,
        events: &EventRows,
    ) -> Result<(), StoreError> {
        let sql = |error| self.store.error("take a batch of the projection", error);
        let mut writer = begun.map_err(sql)?;
        self.strike(BatchStep::Begun)?;
        self.move_position(&mut writer, batch).await?;
        self.strike(BatchStep::PositionMoved)?;
        writer.insert(&batch.programs).await.map_err(sql)?;
        writer.insert(&batch.accounts).await.map_err(sql)?;
        writer.insert(&batch.cards).await.map_err(sql)?;
        writer.insert(&batch.card_links).await.map_err(sql)?;
        self.strike(BatchStep::ObjectsInserted)?;
        writer.insert(&batch.authorizations).await.map_err(sql)?;
        self.strike(BatchStep::AuthorizationsInserted)?;
        writer.insert(&batch.exception_uses).await.map_err(sql)?;
        writer.insert(&batch.reversals).await.map_err(sql)?;
        writer.insert(&batch.transactions).await.map_err(sql)?;
        writer.insert(&batch.top_ups).await.map_err(sql)?;
        writer.insert(&batch.ledger_entries).await.map_err(sql)?;
        writer.insert(&batch.card_reveals).await.map_err(sql)?;
        let requests: Vec<String> = batch
            .audit_log
            .iter()
            .map(|row| row.request_id.clone())
            .collect();
        let replaced = writer.replace("request_id", &requests, &batch.audit_log);
        replaced.await.map_err(sql)?;
        write_events(&mut writer, events).await.map_err(sql)?;
        writer.insert(&batch.transfers).await.map_err(sql)?;
        writer.insert(&batch.fees).await.map_err(sql)?;
        writer.insert(&batch.tokens).await.map_err(sql)?;
        writer.insert(&batch.cardholders).await.map_err(sql)?;
        writer.insert(&batch.record_times).await.map_err(sql)?;
        writer.insert(&batch.merchant_names).await.map_err(sql)?;
        self.strike(BatchStep::RowsInserted)?;
        self.change_rows(&mut writer, batch).await?;
        writer.commit().await.map_err(sql)?;
        self.strike(BatchStep::Committed)
    }

    async fn move_position<W: Writer>(
        &self,
        writer: &mut W,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let sql = |error| self.store.error("move the projection's position", error);
        let from = self.position.sequence;
        if from == 0 {
            writer.adopt(&self.journal).await.map_err(sql)?;
        }
        let moved = writer
            .move_position(&self.journal, from, batch.position)
            .await;
        if !moved.map_err(sql)? {
            return Err(StoreError::PositionMoved {
                url: self.store.url().to_owned(),
                expected: from,
            });
        }
        Ok(())
    }

    /// Changes rows of earlier batches. Each must be there: one that is not was lost.
    async fn change_rows<W: Writer>(
        &self,
        writer: &mut W,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let sql = |error| self.store.error("change rows of the projection", error);
        let last = batch.position.sequence;
        if !batch.changes.is_empty() {
            let found = writer.change_authorizations(&batch.changes).await;
            let found = found.map_err(sql)? as usize;
            self.all_found("authorizations", batch.changes.len(), found, last)?;
        }
        self.strike(BatchStep::AuthorizationsChanged)?;
        if !batch.moves.is_empty() {
            let found = writer.move_accounts(&batch.moves).await.map_err(sql)?;
            self.all_found("accounts", batch.moves.len(), found as usize, last)?;
        }
        self.strike(BatchStep::AccountsMoved)?;
        for (table, statuses) in batch.statuses() {
            if !statuses.is_empty() {
                let found = writer.set_statuses(table, &statuses).await.map_err(sql)?;
                self.all_found(table, statuses.len(), found as usize, last)?;
            }
        }
        if !batch.card_expiries.is_empty() {
            let found = writer.set_expiries(&batch.card_expiries).await;
            let found = found.map_err(sql)? as usize;
            self.all_found("cards", batch.card_expiries.len(), found, last)?;
        }
        for account_id in &batch.owned_late {
            for (statement, values) in own_accounts::late_names(*account_id) {
                let named = writer.change(statement, &values).await;
                named.map_err(sql)?;
            }
        }
        for change in &batch.row_changes {
            let found = writer.change_row(change).await.map_err(sql)?;
            self.all_found(change.table, 1, found as usize, last)?;
        }
        self.strike(BatchStep::StatusesSet)
    }

    fn all_found(
        &self,
        what: &'static str,
        wanted: usize,
        found: usize,
        last: Sequence,
    ) -> Result<(), StoreError> {
        if found == wanted {
            return Ok(());
        }
        Err(StoreError::Missing {
            url: self.store.url().to_owned(),
            what,
            wanted,
            missing: wanted.saturating_sub(found),
            sequence: last,
        })
    }

    fn strike(&self, step: BatchStep) -> Result<(), StoreError> {
        match &self.fault {
            Some(fault) if fault(step) => Err(StoreError::Interrupted),
            _ => Ok(()),
        }
    }
}

async fn write_events<W: Writer>(writer: &mut W, rows: &EventRows) -> Result<(), sqlx::Error> {
    writer.insert(&rows.events).await?;
    writer
        .replace("object_id", &rows.counted, &rows.counts)
        .await?;
    let changed = &rows.endpoints_changed;
    writer.replace("id", changed, &rows.endpoints).await?;
    let changed = &rows.link_states_changed;
    writer
        .replace("link_key", changed, &rows.link_states)
        .await?;
    let changed = &rows.untold_changed;
    writer
        .replace("id", changed, &rows.untold_link_changes)
        .await
}

impl Store {
    /// The record and the time of the entries of these requests, as far as the tables know them.
    async fn audit_places(
        &self,
        requests: &[String],
    ) -> Result<Vec<(String, (Sequence, Timestamp))>, StoreError> {
        let places: Vec<String> = (1..=requests.len())
            .map(|place| format!("${place}"))
            .collect();
        let places = places.join(", ");
        let sql = format!(
            "SELECT request_id, sequence, created_at_ms FROM audit_log WHERE request_id IN ({places})"
        );
        let values: Vec<Value> = requests.iter().cloned().map(Value::Text).collect();
        self.fetch(sql, &values, |row| {
            let place = (Column::take(row, 1)?, Column::take(row, 2)?);
            Ok((row.text(0)?.to_owned(), place))
        })
        .await
    }

    /// What rows of messages need of these accounts, as far as the tables know them.
    async fn account_facts(
        &self,
        ids: &[AccountId],
    ) -> Result<Vec<(AccountId, AccountFacts)>, StoreError> {
        let places: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
        let places = places.join(", ");
        let sql = format!("SELECT id, currency, program_id FROM accounts WHERE id IN ({places})");
        let values: Vec<Value> = ids.iter().map(|id| Value::Text(id.to_string())).collect();
        self.fetch(sql, &values, |row| {
            let facts = AccountFacts {
                currency: Column::take(row, 1)?,
                program_id: Column::take(row, 2)?,
            };
            Ok((Column::take(row, 0)?, facts))
        })
        .await
    }

    /// What these authorizations are about, as far as the tables know them.
    async fn purchases(
        &self,
        ids: &[AuthorizationId],
    ) -> Result<Vec<(AuthorizationId, Purchase)>, StoreError> {
        let places: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
        let (columns, places) = (AuthorizationRow::select(), places.join(", "));
        let sql = format!("SELECT {columns} FROM authorizations WHERE id IN ({places})");
        let values: Vec<Value> = ids.iter().map(|id| Value::Text(id.to_string())).collect();
        self.fetch(sql, &values, |row| {
            let row = AuthorizationRow::take(row, 0)?;
            Ok((row.id, Purchase::of(&row)))
        })
        .await
    }
}
