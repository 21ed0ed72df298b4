//! The running switch, put together: core, projection, networks, REST interface. `serve` and `demo` start one each.

use super::core::{Core, start_core};
use crate::api::{self, ApiState, Gate};
use crate::config::Config;
use crate::journal::Sequence;
use crate::network::listener::{self, Peer};
use crate::network::loopback::Loopback;
use crate::network::threads::NetworkThreads;
use crate::store::events::{Answered, ResponseCodes};
use crate::store::follow::{self, FollowSettings};
use crate::store::lag::ProjectionLag;
use crate::store::rows::{AuthorizationResult, MessageName};
use crate::store::{JournalSource, Prepared, Store};
use crate::webhooks::{self, WebhookStats, Webhooks};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the journal hears what is no longer needed.
const KEEP_RECORDS_EVERY: Duration = Duration::from_secs(10);

/// How long a start waits for the tables to say whether the journal is whole.
const TABLES_PATIENCE: Duration = Duration::from_secs(4);

/// Added to the niceness of threads whose work may lag: the projection.
const GIVE_WAY: i32 = 19;

/// How long peers get to read their last answers when the switch stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A running switch with everything around it.
pub struct Node {
    core: Core,
    projection: Projection,
    networks: Networks,
    http: Http,
    webhooks: Webhooks,
}

/// The REST interface while it runs.
struct Http {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// What `start` needs beside the configuration.
pub struct Start {
    pub root_key: Option<String>,
}

/// Starts everything: the HTTP port answers from the first moment, networks once the state is there.
pub async fn start(config: &Config, start: Start) -> Result<Node> {
    let gate = Gate::default();
    let http = start_http(config, gate.clone()).await?;
    let for_core = config.clone();
    let lag = Arc::new(ProjectionLag::default());
    let known = lag.clone();
    let projected_through = Arc::new(move || known.projected_through());
    let core = tokio::task::spawn_blocking(move || start_core(&for_core, projected_through));
    let core = core.await??;
    let projection = start_projection(config, &core, lag).await?;
    tokio::spawn(keep_records(
        core.record_keeper(),
        projection.lag.clone(),
        projection.stop.clone(),
    ));
    let networks = start_networks(config, &core).await?;
    let stats = Arc::new(WebhookStats::default());
    let webhooks = start_webhooks(config, &core, &projection, (&networks, &stats))?;
    let told = (stats, http.stop.clone());
    gate.open(api_state(
        config,
        start,
        (&core, &projection, &networks),
        told,
    )?);
    Ok(Node {
        webhooks,
        core,
        projection,
        networks,
        http,
    })
}

/// The follower that fills the SQL tables, on a thread of its own that gives way to all others.
struct Projection {
    /// For reads; the follower has connections of its own.
    store: Store,
    lag: Arc<ProjectionLag>,
    stop: CancellationToken,
    follower: tokio::sync::oneshot::Receiver<()>,
    /// Why nothing may be decided any more, once the tables have proved it.
    loss: watch::Receiver<Option<String>>,
}

async fn start_projection(
    config: &Config,
    core: &Core,
    lag: Arc<ProjectionLag>,
) -> Result<Projection> {
    let stop = CancellationToken::new();
    let store = Store::open(&config.store.url, &config.data.dir)?;
    let began_at = core.journal.handle().durable();
    match tokio::time::timeout(TABLES_PATIENCE, refuse_a_lost_end(&store, core, began_at)).await {
        Ok(fit) => fit?,
        Err(_) => tracing::warn!(
            "the database at {} does not answer; decisions go on without it, and the projection catches up once it does",
            store.url()
        ),
    }
    let settings = FollowSettings {
        began_at: Some(began_at),
        ..FollowSettings::default()
    };
    // Tables are read through connections of their own.
    let following = Store::open(&config.store.url, &config.data.dir)?;
    let source = JournalSource::new(core.journal.handle());
    let (following_lag, following_stop) = (lag.clone(), stop.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ended, follower) = tokio::sync::oneshot::channel();
    let (prove, loss) = watch::channel(None);
    std::thread::Builder::new()
        .name("projection".into())
        .spawn(move || {
            // What this thread starts gives way as well. A refusal leaves everything as it was.
            let _ = rustix::process::nice(GIVE_WAY);
            runtime.block_on(async {
                let store = following.clone();
                let ran = follow::run(source, store, settings, following_lag, following_stop);
                if let Err(error) = ran.await
                    && error.proves_a_loss()
                {
                    prove.send_replace(Some(error.to_string()));
                }
                following.close().await;
            });
            let _ = ended.send(());
        })?;
    Ok(Projection {
        store,
        lag,
        stop,
        follower,
        loss,
    })
}

/// Tables of another journal, ahead of this one, or of another end of it, prove that answered records are lost: nothing may be
/// decided on what is left. Tables that are away, or say no, prove nothing yet: the follower asks them again.
async fn refuse_a_lost_end(store: &Store, core: &Core, durable: Sequence) -> Result<()> {
    // One that takes no writes can prove a loss too: what it holds is read.
    if store.prepare_if_possible().await? == Prepared::Away {
        return Ok(());
    }
    let mut source = JournalSource::new(core.journal.handle());
    match store.check_fit(&mut source, durable).await {
        Err(error) if error.proves_a_loss() => Err(error.into()),
        // Anything else is told by the follower.
        _ => Ok(()),
    }
}

/// Tells the journal now and then which records are no longer needed.
async fn keep_records(keeper: impl Fn(Sequence), lag: Arc<ProjectionLag>, stop: CancellationToken) {
    while tokio::time::timeout(KEEP_RECORDS_EVERY, stop.cancelled())
        .await
        .is_err()
    {
        keeper(lag.projected_through());
    }
}

impl Projection {
    async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, self.follower).await.is_err() {
            tracing::warn!("the projection did not stop in time; it goes on at the next start");
        }
        self.store.close().await;
    }
}

async fn start_http(config: &Config, gate: Gate) -> Result<Http> {
    let listen = &config.http.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| {
            format!("cannot listen on {listen} ([http] listen); is another process using it?")
        })?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "HTTP listening");
    let stop = CancellationToken::new();
    let server = tokio::spawn(api::serve(
        listener,
        gate,
        api::ConnectionBounds {
            connections_max: config.http.connections_max,
            connections_per_address_max: config.http.connections_per_address_max,
        },
        stop.clone().cancelled_owned(),
    ));
    Ok(Http {
        address,
        stop,
        server,
    })
}

fn start_webhooks(
    config: &Config,
    core: &Core,
    projection: &Projection,
    (networks, stats): (&Networks, &Arc<WebhookStats>),
) -> Result<Webhooks> {
    let wiring = webhooks::Wiring {
        switchboard: core.switchboard.clone(),
        secrets: core.vault.endpoint_secrets().clone(),
        store: Store::open(&config.store.url, &config.data.dir)?,
        lag: projection.lag.clone(),
        sandbox: config.sandbox.enabled,
        calls_at_once: config.webhooks.calls_at_once_max,
        retain_days: config.webhooks.retain_days,
        stats: stats.clone(),
        response_codes: response_codes(networks),
    };
    Webhooks::start(wiring).context("cannot prepare calls to webhook endpoints")
}

fn response_codes(networks: &Networks) -> ResponseCodes {
    let peers = networks.peers.clone();
    Arc::new(move |network: &str, answered: Answered| {
        let peer = peers.iter().find(|peer| peer.settings.name == network)?;
        let map = &peer.translator.map;
        let code = match (answered.message, answered.result) {
            // Taken, whatever the network had decided.
            (MessageName::Advice | MessageName::FinancialAdvice, _) => map.advice_accepted,
            (_, AuthorizationResult::Waiting) => return None,
            (_, AuthorizationResult::PartiallyApproved) => map.partially_approved,
            _ => answered
                .reason
                .map_or(map.approved, |reason| map.declined(reason)),
        };
        Some(code.to_string())
    })
}

fn api_state(
    config: &Config,
    start: Start,
    (core, projection, networks): (&Core, &Projection, &Networks),
    (webhook_stats, stop_streams): (Arc<WebhookStats>, CancellationToken),
) -> Result<ApiState> {
    if start.root_key.is_none() {
        tracing::warn!("CARDSWITCH_ROOT_KEY is not set: every request to /v1 will be refused");
    }
    Ok(ApiState::new(api::Wiring {
        switchboard: core.switchboard.clone(),
        journal: core.journal.handle(),
        vault: core.vault.clone(),
        store: projection.store.clone(),
        lag: projection.lag.clone(),
        cut_over: jiff::civil::Time::midnight(),
        root_key: start.root_key,
        sandbox: config.sandbox.enabled,
        call_stats: core.caller.stats.clone(),
        webhook_stats,
        stop_streams,
        request_rates: api::Rates {
            of_key: config.http.requests_per_second,
            of_tenant: config.http.requests_per_second_of_tenant,
        },
        response_codes: response_codes(networks),
        metrics: prometheus_client::registry::Registry::default(),
        networks: networks
            .peers
            .iter()
            .map(|peer| (peer.settings.name.clone(), peer.stats.clone()))
            .collect(),
        answer_within_ms: networks
            .peers
            .iter()
            .map(|peer| (peer.settings.name.clone(), peer.settings.answer_within_ms))
            .collect(),
        loopbacks: networks
            .peers
            .iter()
            .map(|peer| Loopback::new(peer.clone(), networks.drain.subscribe()))
            .collect(),
    })?)
}

impl Node {
    pub fn http_address(&self) -> SocketAddr {
        self.http.address
    }

    pub fn network_address(&self, name: &str) -> Option<SocketAddr> {
        let listening = &self.networks.listening;
        listening
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, address)| *address)
    }

    /// Waits until the tables hold all that is durable now; gives how many records they lack if that takes
    /// longer than `at_most`.
    pub async fn tables_catch_up(&self, at_most: Duration) -> u64 {
        let (lag, durable) = (&self.projection.lag, self.core.journal.handle().durable());
        lag.reached(durable, at_most).await;
        durable.saturating_sub(lag.projected_through())
    }

    /// Ends when tables that were away at the start prove that the journal has lost its end.
    pub async fn lost_end(&self) -> anyhow::Error {
        let mut loss = self.projection.loss.clone();
        let proof = match loss.wait_for(Option::is_some).await {
            Ok(proof) => proof.clone(),
            // The follower has ended, and proved nothing.
            Err(_) => std::future::pending().await,
        };
        anyhow::Error::msg(proof.unwrap_or_default())
    }

    /// Stops in the order in which messages flow: sockets, loops, journal.
    pub async fn stop(self) -> Result<()> {
        self.networks.stop().await;
        self.http.stop.cancel();
        if let Ok(served) = tokio::time::timeout(DRAIN, self.http.server).await {
            served?;
        }
        // Where each endpoint stands is noted while the registry runs.
        let webhooks = self.webhooks;
        tokio::task::spawn_blocking(move || webhooks.stop()).await?;
        self.projection.stop().await;
        let core = self.core;
        tokio::task::spawn_blocking(move || core.stop()).await?
    }
}

/// The open sockets of all networks.
pub struct Networks {
    pub peers: Vec<Arc<Peer>>,
    /// Where each listening network listens, by its name.
    listening: Vec<(String, SocketAddr)>,
    tasks: TaskTracker,
    drain: watch::Sender<bool>,
    threads: NetworkThreads,
}

/// Opens every listening socket, then takes connections.
pub async fn start_networks(config: &Config, core: &Core) -> Result<Networks> {
    let mut opened = Vec::new();
    for settings in &config.network {
        let peer = Peer::new(
            settings.clone(),
            &core.vault,
            core.pan_index.clone(),
            core.switchboard.clone(),
        )?;
        opened.push((peer, listener::bind(settings).await?));
    }
    let (drain, draining) = watch::channel(false);
    let tasks = TaskTracker::new();
    let mut threads = NetworkThreads::start(config.connections).context("cannot start a thread")?;
    let (mut peers, mut addresses) = (Vec::new(), Vec::new());
    for (peer, listener) in opened {
        let settings = &peer.settings;
        match (&listener, &settings.connect) {
            (Some(listener), _) => {
                let address = listener.local_addr()?;
                addresses.push((settings.name.clone(), address));
                let dialect = peer.translator.map.dialect.name();
                tracing::info!(network = %settings.name, %address, dialect, framing = %settings.framing, "listening");
            }
            (None, address) => {
                tracing::info!(network = %settings.name, address = address.as_deref(), "connecting");
            }
        }
        threads.serve(&peer, listener, &draining, &tasks)?;
        peers.push(peer);
    }
    Ok(Networks {
        peers,
        listening: addresses,
        tasks,
        drain,
        threads,
    })
}

impl Networks {
    /// Takes no more business, lets answers go out, closes the connections.
    pub async fn stop(self) {
        self.drain.send_replace(true);
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some peers did not read their last answers in time");
        }
        // Threads that have nothing left to serve end at once.
        self.threads.stop();
    }
}
