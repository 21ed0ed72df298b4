//! Tells one endpoint everything, until it is gone, disabled, or the switch stops.

use super::ask;
use super::call::{self, Called};
use super::queue::{Call, Outcome, Queue, Then};
use super::service::Shared;
use super::stats::Behind;
use super::turns::Party;
use crate::engine::ids::DeliveryId;
use crate::engine::ids::{EventId, WebhookEndpointId};
use crate::engine::registry::RegistryAction;
use crate::engine::time::Timestamp;
use crate::engine::webhook_endpoints::{
    KnownWebhook, NoteWebhookProgress, WebhookEndpoint, WebhookProgress, WebhookState,
};
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use crate::store::deliveries::{DeliveryOutcome, DeliveryRow};
use crate::store::events::PlacedEvent;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often progress is noted in the journal, where there is any.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Who hears of nothing notes its place after so many records, or up to twice as many: not all endpoints at once.
const NOTE_AFTER_RECORDS: u64 = 10_000;

/// The longest sleep: by then changes of the endpoint are seen.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The pause after a database that is away, or does not have the endpoint yet.
const RETRY: Duration = Duration::from_millis(500);

/// Pages of events that are read before calls that have ended are looked at.
const PAGES_AT_ONCE: usize = 32;

/// How long calls under way may take when the endpoint is changed or the switch stops.
const DRAIN: Duration = Duration::from_secs(2);

pub struct Worker {
    shared: Arc<Shared>,
    endpoint: Arc<WebhookEndpoint>,
    generation: u32,
    queue: Queue,
    /// Of events in the window.
    rows: HashMap<EventId, Arc<PlacedEvent>>,
    calls: JoinSet<(Call, Arc<PlacedEvent>, Called)>,
    noted_at: Instant,
}

/// Why a worker stops.
enum End {
    /// It is loaded anew.
    Moved,
    Gone,
}

/// Tells an endpoint everything from where it was, again and again from where somebody moved it.
pub async fn serve(shared: Arc<Shared>, id: WebhookEndpointId) {
    // What an endpoint asked for holds also where it was changed, unless it is another one now.
    let mut paused: Option<(Option<Box<str>>, Timestamp)> = None;
    while let Some(mut worker) = Worker::load(&shared, id).await {
        if let Some((url, until)) = paused
            && url == worker.endpoint.url
        {
            worker.queue.pause_until(until);
        }
        let end = worker.run().await;
        worker.drain().await;
        shared.stats.forget(id);
        paused = Some((worker.endpoint.url.clone(), worker.queue.paused_until()));
        if matches!(end, End::Gone) {
            return;
        }
    }
}

impl Worker {
    /// `None` where it is not to be called.
    async fn load(shared: &Arc<Shared>, id: WebhookEndpointId) -> Option<Worker> {
        loop {
            let known = shared.called(id)?;
            let wanted = RegistryRequest::WebhookProgress(id);
            let progress = match ask::registry(&shared.switchboard, wanted).await? {
                Reply::WebhookProgress(progress) => progress.map(|progress| *progress),
                _ => None,
            };
            let start = match progress.as_ref().and_then(|progress| progress.after) {
                Some(after) => Some(after),
                None => shared.start_of(id).await,
            };
            if let Some(start) = start {
                let progress = progress.unwrap_or_default();
                return Some(Worker::new(shared, known, &progress, start));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn new(
        shared: &Arc<Shared>,
        known: KnownWebhook,
        progress: &WebhookProgress,
        start: EventId,
    ) -> Worker {
        Worker {
            shared: shared.clone(),
            queue: Queue::restore(progress, start, known.endpoint.in_order),
            endpoint: known.endpoint,
            generation: known.generation,
            rows: HashMap::new(),
            calls: JoinSet::new(),
            noted_at: Instant::now(),
        }
    }

    async fn run(&mut self) -> End {
        let mut projected = self.shared.lag.subscribe();
        loop {
            let Some(known) = self.shared.called(self.endpoint.id) else {
                return End::Gone;
            };
            if known.endpoint != self.endpoint {
                return End::Moved;
            }
            if known.generation != self.generation && !self.take_resends(known.generation).await {
                return End::Moved;
            }
            if self.shared.stats.has_taken_ping(self.endpoint.id) {
                self.queue.is_back(self.shared.switchboard.clock.now());
            }
            projected.borrow_and_update();
            self.tell_behind();
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "events cannot be read");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            self.start_calls().await;
            if self.has_to_note() && self.noted_at.elapsed() >= NOTE_EVERY {
                self.note().await;
            }
            let sleep = self.sleep();
            tokio::select! {
                Some(ended) = self.calls.join_next() => {
                    if let Ok((call, row, called)) = ended
                        && let Some(state) = self.ended(call, &row, called).await
                    {
                        self.disable(state).await;
                        return End::Gone;
                    }
                }
                _ = projected.changed(), if self.queue.room() > 0 => {}
                () = tokio::time::sleep(sleep) => {}
                () = self.shared.stop.cancelled() => return End::Gone,
            }
        }
    }

    /// Somebody moved the endpoint: false where it is to be loaded anew. What is under way and what was heard since the
    /// last note is kept, so that whoever asks again and again for an event holds up no other.
    async fn take_resends(&mut self, generation: u32) -> bool {
        let wanted = RegistryRequest::WebhookProgress(self.endpoint.id);
        match ask::registry(&self.shared.switchboard, wanted).await {
            // It is of this generation or of a later one, whose resends are seen in it again then.
            Some(Reply::WebhookProgress(Some(progress))) if self.queue.take_resends(&progress) => {
                self.generation = generation;
                true
            }
            // What this one notes from now on is of a generation that is over, and changes nothing.
            _ => false,
        }
    }

    /// For `/metrics`: at least as often as the endpoint is looked at.
    fn tell_behind(&self) {
        let now = self.shared.switchboard.clock.now();
        let first = self.queue.first_new();
        let first = first.and_then(|event_id| self.rows.get(&event_id));
        let age_ms = first.map_or(0, |event| now.0.saturating_sub(event.row.created_at_ms.0));
        let behind = Behind {
            lag_ms: age_ms.max(0) as u64,
            waiting: self.queue.waiting() as u64,
            failing: u64::from(self.queue.is_failing()),
        };
        let next_at = self.queue.wakes_at();
        self.shared
            .stats
            .note_behind(self.endpoint.id, behind, next_at);
    }

    /// Until something is due, or the endpoint has to be looked at.
    fn sleep(&self) -> Duration {
        let now = self.shared.switchboard.clock.now();
        let due_ms = self
            .queue
            .wakes_at()
            .map_or(i64::MAX, |at| at.0.saturating_sub(now.0));
        // Never at once again: a queue that cannot call now would be asked without end.
        Duration::from_millis(due_ms.max(5) as u64).min(LOOK_EVERY)
    }

    /// Reads ahead, where there is room and something new: what it does not want takes none.
    async fn read(&mut self) -> Result<(), crate::store::StoreError> {
        for _ in 0..PAGES_AT_ONCE {
            let projected = EventId::end_of(self.shared.lag.projected_through());
            if self.queue.room() == 0 || self.queue.read_to() >= projected {
                break;
            }
            let before = self.queue.read_to();
            self.read_page().await?;
            if self.queue.read_to() == before {
                break;
            }
            // What is known already is there at once: others have their turn between.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn read_page(&mut self) -> Result<(), crate::store::StoreError> {
        let Some(page) = self.shared.events.behind(self.queue.read_to()).await? else {
            return Ok(());
        };
        let (room, mut read_to) = (self.queue.room(), page.through);
        let mut wanted = Vec::new();
        for event in page.events {
            if wanted.len() == room {
                // The rest is read again when there is room.
                read_to = EventId(event.row.number - 1);
                break;
            }
            if event.is_for(&self.endpoint) {
                wanted.push(event);
            }
        }
        let events = wanted
            .iter()
            .map(|event| (event.row.id(), event.row.card_id));
        self.queue.take(events, read_to);
        self.rows
            .extend(wanted.into_iter().map(|event| (event.row.id(), event)));
        Ok(())
    }

    async fn start_calls(&mut self) {
        let now = self.shared.switchboard.clock.now();
        while let Some(call) = self.queue.next(now) {
            let row = match self.rows.remove(&call.event_id) {
                Some(row) => Ok(Some(row)),
                None => self.shared.events.one(call.event_id).await,
            };
            match row {
                Ok(Some(row)) if row.is_for(&self.endpoint) => self.start(call, row),
                // It was older than what is kept, or is nothing for the endpoint as it is now.
                Ok(_) => drop(self.queue.ended(call, Outcome::Taken, now)),
                Err(error) => {
                    tracing::debug!(%error, "an event cannot be read");
                    self.queue.not_made(call);
                    return;
                }
            }
        }
    }

    fn start(&mut self, call: Call, row: Arc<PlacedEvent>) {
        let (shared, endpoint) = (self.shared.clone(), self.endpoint.clone());
        let party = Party::of(endpoint.tenant, endpoint.id.0);
        self.calls.spawn(async move {
            // Waiting for it is not the endpoint's time to answer.
            let _turn = shared.turns.take(party).await;
            let _under_way = shared.under_way();
            let now = shared.switchboard.clock.now();
            let called = call::deliver(
                &shared.client,
                &shared.secrets,
                &endpoint,
                (&row.row, &shared.response_codes),
                now,
            )
            .await;
            (call, row, called)
        });
    }

    /// The state that it comes to, if it is called no more.
    async fn ended(
        &mut self,
        call: Call,
        event: &PlacedEvent,
        called: Called,
    ) -> Option<WebhookState> {
        let row = &event.row;
        let now = self.shared.switchboard.clock.now();
        let then = self.queue.ended(call, called.outcome, now);
        let gives_up = self.queue.gives_up(called.outcome, now);
        let (outcome, next_at) = match then {
            Then::Over => (DeliveryOutcome::Succeeded, None),
            // One that is called no more is not called then either.
            Then::Again(at) => (
                DeliveryOutcome::Failed,
                Some(at).filter(|_| gives_up.is_none()),
            ),
            Then::GivenUp => (DeliveryOutcome::Exhausted, None),
        };
        self.shared.stats.count(outcome, called.duration_ms);
        let logged = DeliveryRow {
            id: DeliveryId(self.shared.switchboard.ids.one()),
            event_id: call.event_id,
            event_type: row.event_type.clone(),
            webhook_endpoint_id: self.endpoint.id,
            attempt: call.attempt,
            outcome,
            response_status: called.status,
            response_body: called.body,
            error: called.error,
            duration_ms: called.duration_ms,
            next_attempt_at_ms: next_at,
            created_at_ms: now,
            program_id: row.program_id,
            account_id: row.account_id,
            object_id: Some(row.object_id.clone()),
            authorization_id: row.authorization_id,
            card_id: row.card_id,
            place_id: Some(event.place_id()),
        };
        if self.shared.log.try_send(logged).is_err() {
            self.shared.stats.count_unlogged(1);
        }
        gives_up
    }

    /// Something was told, or so much came to nothing that a restart should not look at it again.
    fn has_to_note(&self) -> bool {
        let later = self.endpoint.id.0 % NOTE_AFTER_RECORDS;
        self.queue.is_changed || self.queue.unnoted_records() > NOTE_AFTER_RECORDS + later
    }

    async fn note(&mut self) {
        self.noted_at = Instant::now();
        let progress = self.queue.progress();
        let note = NoteWebhookProgress {
            endpoint_id: self.endpoint.id,
            generation: self.generation,
            progress: progress.clone(),
        };
        let action = RegistryAction::NoteWebhookProgress(Box::new(note));
        let noted = ask::registry(&self.shared.switchboard, RegistryRequest::Command(action)).await;
        // What could not be noted is noted the next time, or told again after a restart.
        if matches!(noted, Some(Reply::Done)) {
            self.queue.is_noted(progress);
        }
    }

    async fn disable(&mut self, state: WebhookState) {
        self.note().await;
        let (id, url) = (self.endpoint.id, self.endpoint.url.as_deref());
        tracing::warn!(endpoint = %id, url, state = state.name(), "a webhook endpoint is called no more");
        let action = RegistryAction::DisableWebhookEndpoint { id, state };
        ask::registry(&self.shared.switchboard, RegistryRequest::Command(action)).await;
        self.queue.is_changed = false;
    }

    /// Waits a little for calls under way, and notes where it stands.
    async fn drain(&mut self) {
        let deadline = tokio::time::Instant::now() + DRAIN;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.calls.join_next()).await
        {
            if let Ok((call, row, called)) = ended {
                self.ended(call, &row, called).await;
            }
        }
        self.calls.shutdown().await;
        if self.has_to_note() {
            self.note().await;
        }
    }
}
