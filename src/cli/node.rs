//! The running switch, put together: recovery, loops, networks. `serve` and `demo` start one each.

use crate::config::Config;
use crate::engine::registry::{IssueCard, RegistryAction};
use crate::engine::world::World;
use crate::journal::{FileStorage, Position, RunningJournal, Sequence};
use crate::network::listener::{self, Peer};
use crate::security::{CardRoute, PanIndex, Vault, VaultSettings};
use crate::shard::clock::Clock;
use crate::shard::inbox::Priority;
use crate::shard::recovery::recover;
use crate::shard::request::{Batch, RegistryRequest};
use crate::shard::switchboard::{Loops, Switchboard, Wiring, start};
use crate::shard::worker::Nobody;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
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
}

/// The state that the journal folds to, before any loop runs.
struct Recovered {
    world: World,
    journal: crate::journal::Journal,
    last_sequence: Sequence,
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
    let (switchboard, loops) = start(recovered.world, wiring).context("cannot start a thread")?;
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
    let mut world = World::new(config.shards.count);
    let mut new_id = [0; 16];
    getrandom::fill(&mut new_id).context("the system gives no random numbers")?;
    let mut progress = |sequence: Sequence| tracing::debug!(sequence, "recovering");
    let (journal, found) = recover(
        storage,
        &config.journal,
        u128::from_le_bytes(new_id),
        &mut world,
        Position::default(),
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
        elapsed_ms = started.elapsed().as_millis() as u64,
        "recovered"
    );
    Ok(Recovered {
        world,
        journal,
        last_sequence: found.durable,
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
        let well = self.loops.join();
        self.journal.close()?;
        anyhow::ensure!(well, "a shard or the registry panicked; see the log");
        Ok(())
    }
}

/// The open sockets of all networks.
pub struct Networks {
    pub peers: Vec<Arc<Peer>>,
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
    let mut peers = Vec::new();
    for (peer, listener) in opened {
        let settings = &peer.settings;
        match (&listener, &settings.connect) {
            (Some(listener), _) => {
                let address = listener.local_addr()?;
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
