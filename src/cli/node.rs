//! The running switch, put together: recovery, loops, networks. `serve` and `demo` start one each.

use crate::api::{self, ApiState, Gate};
use crate::config::Config;
use crate::engine::reason::DeclineReason;
use crate::engine::registry::{IssueCard, RegistryAction};
use crate::engine::world::World;
use crate::journal::{FileStorage, Handle, RunningJournal, Sequence, Storage};
use crate::network::listener::{self, Peer};
use crate::security::{CardRoute, PanIndex, Vault, VaultSettings};
use crate::shard::clock::Clock;
use crate::shard::inbox::Priority;
use crate::shard::recovery::recover;
use crate::shard::request::{Batch, RegistryRequest};
use crate::shard::snapshots;
use crate::shard::switchboard::{self, Loops, Switchboard, Wiring};
use crate::shard::worker::Nobody;
use crate::store::JournalSource;
use crate::store::Store;
use crate::store::follow::{self, FollowSettings};
use crate::store::lag::ProjectionLag;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long peers get to read their last answers when the switch stops.
const DRAIN: Duration = Duration::from_secs(10);

/// The exit code of a process whose journal has failed.
pub const JOURNAL_FAILED: i32 = 3;

/// Lets this process open as many files and sockets as the system allows it at all: connections are
/// bounded by the configuration, and the usual soft limit of 1,024 lies far below that bound.
pub fn raise_open_files_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files (ulimit -n)");
    }
}

/// Everything below the sockets.
pub struct Core {
    pub journal: RunningJournal,
    pub switchboard: Arc<Switchboard>,
    pub vault: Arc<Vault>,
    pub pan_index: Arc<PanIndex>,
    loops: Loops,
    snapshots: Snapshots,
}

/// The state that the journal folds to, before any loop runs.
struct Recovered {
    storage: Arc<dyn Storage>,
    world: World,
    journal: crate::journal::Journal,
    last_sequence: Sequence,
    last_snapshot: Sequence,
}

/// The thread that makes snapshots.
struct Snapshots {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Recovers the state and starts the loops.
pub fn start_core(config: &Config) -> Result<Core> {
    let recovered = recover_world(config)?;
    let vault = open_vault(config, recovered.last_sequence > 0)?;
    let pan_index = Arc::new(PanIndex::new());
    for (card_id, issued) in &recovered.world.registry.issued_cards {
        let (root, expiry) = (issued.root.0, issued.expiry.0);
        pan_index.insert(
            issued.pan_hash,
            CardRoute {
                card_id: card_id.0,
                root_account_id: root,
                expiry,
            },
        );
    }
    let journal = recovered.journal.start(Box::new(|error| {
        tracing::error!(%error, "the journal has failed; no answer leaves any more");
        std::process::exit(JOURNAL_FAILED);
    }))?;
    let settings = config.limits.engine_settings();
    let settings_changed = recovered.world.registry.view.version == 0
        || recovered.world.registry.view.settings != settings;
    let index = pan_index.clone();
    let on_card_issued = Box::new(move |issue: &IssueCard| {
        let (card_id, root_account_id, expiry) = (issue.card_id.0, issue.root.0, issue.expiry.0);
        index.insert(
            issue.pan_hash,
            CardRoute {
                card_id,
                root_account_id,
                expiry,
            },
        );
    });
    let wiring = Wiring {
        journal: journal.handle(),
        clock: Clock::System,
        queues: config.shards.queues(),
        on_card_issued,
        last_sequence: recovered.last_sequence,
    };
    let snapshots = start_snapshots(
        config,
        recovered.storage,
        journal.handle(),
        recovered.last_snapshot,
    )?;
    let (switchboard, loops) =
        switchboard::start(recovered.world, wiring).context("cannot start a thread")?;
    if settings_changed {
        let change = RegistryRequest::Command(RegistryAction::ChangeSettings(Box::new(settings)));
        let batch = Batch {
            items: vec![(0, change)],
            reply_to: Arc::new(Nobody),
        };
        // The queue is empty: nobody else has it yet.
        let _ = switchboard.offer_registry(batch, Priority::Reserved);
    }
    Ok(Core {
        journal,
        switchboard,
        vault: Arc::new(vault),
        pan_index,
        loops,
        snapshots,
    })
}

fn start_snapshots(
    config: &Config,
    storage: Arc<dyn Storage>,
    journal: Handle,
    last: Sequence,
) -> Result<Snapshots> {
    let stop = Arc::new(AtomicBool::new(false));
    let settings = config.snapshots;
    if settings.every_records == 0 {
        return Ok(Snapshots { stop, thread: None });
    }
    let stopping = stop.clone();
    let made = |at, bytes| tracing::info!(at, bytes, "made a snapshot");
    let thread = std::thread::Builder::new()
        .name("snapshots".into())
        .spawn(move || {
            if let Err(error) =
                snapshots::follow(&storage, &journal, settings, last, &stopping, made)
            {
                // The journal is whole without them: recovery takes longer, and that is all.
                tracing::error!(%error, "no more snapshots are made");
            }
        })?;
    Ok(Snapshots {
        stop,
        thread: Some(thread),
    })
}

fn recover_world(config: &Config) -> Result<Recovered> {
    let folder = config.data.dir.join("journal");
    let storage = FileStorage::create(&folder).with_context(|| {
        format!(
            "cannot use the data folder {}; check `[data] dir`",
            config.data.dir.display()
        )
    })?;
    let started = Instant::now();
    let storage: Arc<dyn Storage> = storage;
    let (mut world, after) = snapshots::newest(&storage, config.shards.count, |error| {
        tracing::warn!(%error, "a snapshot cannot be used");
    })?;
    let mut new_id = [0; 16];
    getrandom::fill(&mut new_id).context("the system gives no random numbers")?;
    let mut progress = |sequence: Sequence| tracing::debug!(sequence, "recovering");
    let (journal, found) = recover(
        storage.clone(),
        &config.journal,
        u128::from_le_bytes(new_id),
        &mut world,
        after,
        &mut progress,
    )?;
    if let Some(cut) = &found.truncated {
        tracing::warn!(file = %cut.file, offset = cut.offset, bytes = cut.bytes, "cut off an unfinished write; nothing in it was answered");
    }
    if !config.journal.sync {
        tracing::warn!("[journal] sync = false: nothing is durable; for benchmarks only");
    }
    tracing::info!(
        records = found.durable,
        from_snapshot_at = after.sequence,
        elapsed_ms = started.elapsed().as_millis() as u64,
        "recovered"
    );
    let (last_sequence, last_snapshot) = (found.durable, after.sequence);
    Ok(Recovered {
        storage,
        world,
        journal,
        last_sequence,
        last_snapshot,
    })
}

fn open_vault(config: &Config, journal_has_records: bool) -> Result<Vault> {
    let folder = config.data.dir.join("vault");
    let settings = VaultSettings {
        must_exist: journal_has_records,
        ..config.vault.clone()
    };
    let vault = Vault::open(&folder, &settings)?;
    if vault.created_key() {
        tracing::warn!(
            "created a vault key in {}; keep a copy: without it no card number can be read again",
            folder.display()
        );
    }
    Ok(vault)
}

impl Core {
    /// Stops the loops after what they have, then the journal.
    pub fn stop(self) -> Result<()> {
        self.switchboard.stop();
        let mut well = self.loops.join();
        self.snapshots.stop.store(true, Ordering::Release);
        if let Some(thread) = self.snapshots.thread {
            well &= thread.join().is_ok();
        }
        self.journal.close()?;
        anyhow::ensure!(well, "a shard or the registry panicked; see the log");
        Ok(())
    }
}

/// A running switch with everything around it.
pub struct Node {
    core: Core,
    projection: Projection,
    networks: Networks,
    http: Http,
}

/// The REST interface while it runs.
struct Http {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
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
    let core = tokio::task::spawn_blocking(move || start_core(&for_core)).await??;
    let projection = start_projection(config, &core).await?;
    let networks = start_networks(config, &core).await?;
    gate.open(api_state(config, start, &core, &projection, &networks)?);
    Ok(Node {
        core,
        projection,
        networks,
        http,
    })
}

/// The follower that fills the SQL tables.
struct Projection {
    store: Store,
    lag: Arc<ProjectionLag>,
    stop: CancellationToken,
    follower: JoinHandle<()>,
}

async fn start_projection(config: &Config, core: &Core) -> Result<Projection> {
    let store = Store::connect(&config.store.url, &config.data.dir).await?;
    let (lag, stop) = (Arc::new(ProjectionLag::default()), CancellationToken::new());
    let source = JournalSource::new(core.journal.handle());
    let following = follow::run(
        source,
        store.clone(),
        FollowSettings::default(),
        lag.clone(),
        stop.clone(),
    );
    let follower = tokio::spawn(async move {
        // It has logged what it ended with; decisions go on without tables.
        let _ = following.await;
    });
    Ok(Projection {
        store,
        lag,
        stop,
        follower,
    })
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
    let server = tokio::spawn(api::serve(listener, gate, stop.clone().cancelled_owned()));
    Ok(Http {
        address,
        stop,
        server,
    })
}

fn api_state(
    config: &Config,
    start: Start,
    core: &Core,
    projection: &Projection,
    networks: &Networks,
) -> Result<ApiState> {
    let peers = networks.peers.clone();
    let response_codes = move |network: &str, reason: Option<DeclineReason>| {
        let map = &peers
            .iter()
            .find(|peer| peer.settings.name == network)?
            .translator
            .map;
        Some(
            reason
                .map_or(map.approved, |reason| map.declined(reason))
                .to_string(),
        )
    };
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
        response_codes: Box::new(response_codes),
        metrics: prometheus_client::registry::Registry::default(),
        networks: networks
            .peers
            .iter()
            .map(|peer| (peer.settings.name.clone(), peer.stats.clone()))
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

    /// Stops in the order in which messages flow: sockets, loops, journal.
    pub async fn stop(self) -> Result<()> {
        self.networks.stop().await;
        self.http.stop.cancel();
        if let Ok(served) = tokio::time::timeout(DRAIN, self.http.server).await {
            served??;
        }
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
    let (mut peers, mut addresses) = (Vec::new(), Vec::new());
    for (peer, listener) in opened {
        let settings = &peer.settings;
        match (&listener, &settings.connect) {
            (Some(listener), _) => {
                let address = listener.local_addr()?;
                addresses.push((settings.name.clone(), address));
                tracing::info!(network = %settings.name, %address, dialect = %settings.dialect, framing = %settings.framing, "listening");
            }
            (None, address) => {
                tracing::info!(network = %settings.name, address = address.as_deref(), "connecting");
            }
        }
        tasks.spawn(listener::run(
            peer.clone(),
            listener,
            draining.clone(),
            tasks.clone(),
        ));
        peers.push(peer);
    }
    Ok(Networks {
        peers,
        listening: addresses,
        tasks,
        drain,
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
    }
}
