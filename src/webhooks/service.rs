//! The thread of all webhooks: a worker for each endpoint that is to be called, so that one that is dead holds no other
//! up. Reads the tables; nobody waits for it.

use super::client::Client;
use super::delivery_log;
use super::event_reader::EventReader;
use super::stats::WebhookStats;
use super::turns::Turns;
use super::untold;
use super::worker;
use crate::engine::ids::{EventId, WebhookEndpointId};
use crate::engine::webhook_endpoints::KnownWebhook;
use crate::security::EndpointSecrets;
use crate::shard::switchboard::Switchboard;
use crate::store::Store;
use crate::store::deliveries::DeliveryRow;
use crate::store::events::ResponseCodes;
use crate::store::lag::ProjectionLag;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often new endpoints are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the end of the thread may take once nothing is called any more.
const CLOSE: Duration = Duration::from_secs(2);

/// What it needs from outside.
pub struct Wiring {
    pub switchboard: Arc<Switchboard>,
    pub secrets: EndpointSecrets,
    /// With connections of its own.
    pub store: Store,
    pub lag: Arc<ProjectionLag>,
    /// This machine may be called.
    pub sandbox: bool,
    pub calls_at_once: usize,
    /// Events and calls are kept so long.
    pub retain_days: u32,
    pub stats: Arc<WebhookStats>,
    pub response_codes: ResponseCodes,
}

/// What all workers share.
pub(super) struct Shared {
    pub switchboard: Arc<Switchboard>,
    pub secrets: EndpointSecrets,
    pub store: Store,
    pub events: EventReader,
    pub lag: Arc<ProjectionLag>,
    pub client: Client,
    pub turns: Arc<Turns>,
    pub stats: Arc<WebhookStats>,
    pub log: Sender<DeliveryRow>,
    pub stop: CancellationToken,
    pub response_codes: ResponseCodes,
}

pub struct Webhooks {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Webhooks {
    pub fn start(wiring: Wiring) -> std::io::Result<Webhooks> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        let (log, logged) = delivery_log::channel_of_rows();
        let writing = delivery_log::write(logged, wiring.store.clone(), wiring.stats.clone());
        let clock = wiring.switchboard.clock.clone();
        let forgetting = delivery_log::forget(wiring.store.clone(), clock, wiring.retain_days);
        let shared = Shared {
            client: Client::new(wiring.sandbox, wiring.calls_at_once)?,
            turns: Turns::new(wiring.calls_at_once),
            switchboard: wiring.switchboard,
            secrets: wiring.secrets,
            events: EventReader::new(wiring.store.clone(), wiring.stats.clone()),
            store: wiring.store,
            lag: wiring.lag,
            stats: wiring.stats,
            log,
            stop: stop.clone(),
            response_codes: wiring.response_codes,
        };
        let thread = std::thread::Builder::new().name("webhooks".into());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                let store = shared.store.clone();
                let forgetting = tokio::spawn(forgetting);
                let writing = tokio::spawn(writing);
                supervise(Arc::new(shared)).await;
                forgetting.abort();
                // Ends with the last one that writes.
                let _ = tokio::time::timeout(CLOSE, writing).await;
                // A database that says nothing is not waited for.
                let _ = tokio::time::timeout(CLOSE, store.close()).await;
            });
        })?;
        Ok(Webhooks { stop, thread })
    }

    /// Notes where each endpoint stands, and ends. To be called while the registry runs.
    pub fn stop(self) -> bool {
        self.stop.cancel();
        self.thread.join().is_ok()
    }
}

async fn supervise(shared: Arc<Shared>) {
    let mut workers: JoinSet<()> = JoinSet::new();
    workers.spawn(untold::tell(shared.clone()));
    let mut running: HashMap<WebhookEndpointId, tokio::task::AbortHandle> = HashMap::new();
    while !shared.stop.is_cancelled() {
        running.retain(|_, worker| !worker.is_finished());
        let view = shared.switchboard.view();
        let called = view
            .webhook_endpoints
            .iter()
            .filter(|known| known.endpoint.is_called());
        for known in called {
            let id = known.endpoint.id;
            running
                .entry(id)
                .or_insert_with(|| workers.spawn(worker::serve(shared.clone(), id)));
        }
        while workers.try_join_next().is_some() {}
        let _ = tokio::time::timeout(LOOK_EVERY, shared.stop.cancelled()).await;
    }
    while workers.join_next().await.is_some() {}
}

impl Shared {
    /// The endpoint as it is now, if it is to be called.
    pub fn called(&self, id: WebhookEndpointId) -> Option<KnownWebhook> {
        if self.stop.is_cancelled() {
            return None;
        }
        let view = self.switchboard.view();
        let known = view.webhook_endpoints.get(id)?;
        known.endpoint.is_called().then(|| known.clone())
    }

    /// Where an endpoint begins that has heard nothing yet: behind the record that made it. `None` while the tables
    /// do not have that.
    pub async fn start_of(&self, id: WebhookEndpointId) -> Option<EventId> {
        let since = self.store.webhook_endpoint_since(id).await.ok()??;
        Some(EventId::end_of(since))
    }

    /// Counts a call as under way until it is dropped.
    pub fn under_way(self: &Arc<Self>) -> UnderWay {
        self.stats.begin();
        UnderWay(self.stats.clone())
    }
}

pub(super) struct UnderWay(Arc<WebhookStats>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}
