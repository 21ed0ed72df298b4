//! Tells one endpoint everything, until it is gone, disabled, or the switch stops.

use super::ask;
use super::call::{self, Called};
use super::queue::{Call, Outcome, Queue, Then};
use super::service::Shared;
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
use crate::store::events::{EventFilter, EventRow};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often progress is noted in the journal, where there is any.
const NOTE_EVERY: Duration = Duration::from_secs(1);

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
    rows: HashMap<EventId, Arc<EventRow>>,
    calls: JoinSet<(Call, Arc<EventRow>, Called)>,
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
            projected.borrow_and_update();
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "events cannot be read");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            self.start_calls().await;
            if self.queue.is_changed && self.noted_at.elapsed() >= NOTE_EVERY {
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
            self.read_page().await?;
        }
        Ok(())
    }

    async fn read_page(&mut self) -> Result<(), crate::store::StoreError> {
        let (after, nothing) = (self.queue.read_to(), EventFilter::default());
        let room = self.queue.room() as u32;
        let page = self
            .shared
            .store
            .events(&nothing, Some(after), room)
            .await?;
        self.shared.stats.count_read(page.data.len());
        let read_to = match page.data.last().filter(|_| page.has_more) {
            Some(last) => last.id(),
            None => EventId::end_of(page.projected_through),
        };
        let wanted = page
            .data
            .into_iter()
            .filter(|row| row.is_for(&self.endpoint));
        let wanted: Vec<Arc<EventRow>> = wanted.map(Arc::new).collect();
        let events = wanted.iter().map(|row| (row.id(), row.card_id));
        self.queue.take(events, read_to);
        self.rows
            .extend(wanted.into_iter().map(|row| (row.id(), row)));
        Ok(())
    }

    async fn start_calls(&mut self) {
        let now = self.shared.switchboard.clock.now();
        while let Some(call) = self.queue.next(now) {
            let row = match self.rows.remove(&call.event_id) {
                Some(row) => Ok(Some(row)),
                None => {
                    let found = self.shared.store.event(call.event_id).await;
                    found.map(|row| row.map(Arc::new))
                }
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

    fn start(&mut self, call: Call, row: Arc<EventRow>) {
        let (shared, endpoint) = (self.shared.clone(), self.endpoint.clone());
        self.calls.spawn(async move {
            let _under_way = shared.under_way();
            let now = shared.switchboard.clock.now();
            let called = call::deliver(
                &shared.client,
                &shared.secrets,
                &endpoint,
                (&row, &shared.response_codes),
                now,
            )
            .await;
            (call, row, called)
        });
    }

    /// The state that it comes to, if it is called no more.
    async fn ended(&mut self, call: Call, row: &EventRow, called: Called) -> Option<WebhookState> {
        let now = self.shared.switchboard.clock.now();
        let then = self.queue.ended(call, called.outcome, now);
        let gives_up = self.queue.gives_up(called.outcome, now);
        let (outcome, next_at) = match then {
            Then::Over => (DeliveryOutcome::Succeeded, None),
            Then::Again(at) => (DeliveryOutcome::Failed, Some(at)),
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
        };
        if self.shared.log.try_send(logged).is_err() {
            self.shared.stats.count_unlogged(1);
        }
        gives_up
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
        if self.queue.is_changed {
            self.note().await;
        }
    }
}
