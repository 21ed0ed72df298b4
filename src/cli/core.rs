//! Everything below the sockets: recovery from snapshot and journal, the vault, the loops, the thread that
//! makes snapshots. What listens lives in `node.rs`.

use super::vault;
use crate::config::Config;
use crate::decision_call::{self, Caller};
use crate::engine::ids::{AccountId, CardId, TokenId};
use crate::engine::registry::RegistryAction;
use crate::engine::time::Expiry;
use crate::engine::token_numbers::TokenNumber;
use crate::engine::world::World;
use crate::journal::{FileStorage, Handle, RunningJournal, Sequence, Storage};
use crate::security::{CardRoute, PanIndex, Vault, VaultSettings};
use crate::shard::archive::{Archive, refill};
use crate::shard::bulk::ProjectedThrough;
use crate::shard::clock::Clock;
use crate::shard::inbox::Priority;
use crate::shard::recovery::recover;
use crate::shard::registry_worker::{CardIssuedHook, TokenRequestedHook};
use crate::shard::request::{Batch, RegistryRequest};
use crate::shard::snapshots;
use crate::shard::switchboard::{self, Loops, Switchboard, Wiring};
use crate::shard::worker::Nobody;
use anyhow::{Context, Result};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// The exit code of a process whose journal has failed.
pub const JOURNAL_FAILED: i32 = 3;

/// The exit code of a process in which a loop has panicked.
pub const LOOP_PANICKED: i32 = 4;

/// A loop that panics has found money or sequence not adding up. The others must not go on without
/// it, and nothing may be answered that is not in the journal yet.
fn end_when_a_loop_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        if name == "registry" || name.starts_with("shard-") || name.starts_with("journal-") {
            std::process::exit(LOOP_PANICKED);
        }
    }));
}

/// After so long a disk that was in the way of filling the archive is tried again.
const REFILLED_AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// How soon who waits sees that it has to stop.
const STOP_SEEN: std::time::Duration = std::time::Duration::from_millis(200);

/// Everything below the sockets.
pub struct Core {
    pub journal: RunningJournal,
    pub switchboard: Arc<Switchboard>,
    pub vault: Arc<Vault>,
    pub pan_index: Arc<PanIndex>,
    loops: Loops,
    pub caller: Caller,
    snapshots: Snapshots,
    archive: Archive,
    archive_thread: std::thread::JoinHandle<()>,
}

/// The state that the journal folds to, before any loop runs.
struct Recovered {
    storage: Arc<dyn Storage>,
    world: World,
    journal: crate::journal::Journal,
    last_sequence: Sequence,
    last_snapshot: Sequence,
    archive: Archive,
    /// The archive has to hold what was forgotten up to here.
    archived_through: Sequence,
}

/// The thread that makes snapshots.
struct Snapshots {
    /// The record that the older of the two that are kept stands at; 0 until one is known.
    older: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Recovers the state and starts the loops.
pub fn start_core(config: &Config, projected_through: ProjectedThrough) -> Result<Core> {
    end_when_a_loop_panics();
    let recovered = recover_world(config)?;
    let vault = open_vault(config, recovered.last_sequence > 0)?;
    let pan_index = Arc::new(index_of(&recovered.world));
    let journal = recovered.journal.start(Box::new(|error| {
        tracing::error!(%error, "the journal has failed; no answer leaves any more");
        std::process::exit(JOURNAL_FAILED);
    }))?;
    let settings = config.limits.engine_settings();
    let settings_changed = recovered.world.registry.view.version == 0
        || recovered.world.registry.view.settings != settings;
    let (on_card_issued, on_token_requested) = hooks(&pan_index);
    let (decision_calls, to_call) = decision_call::calls();
    let wiring = Wiring {
        journal: journal.handle(),
        clock: Clock::System,
        queues: config.shards.queues(),
        on_card_issued,
        on_token_requested,
        decision_calls,
        last_sequence: recovered.last_sequence,
        archive: Some(recovered.archive.clone()),
        projected_through,
    };
    let archive = recovered.archive;
    let archive_thread = start_archive(&archive, &journal.handle())?;
    let snapshots = start_snapshots(
        config,
        recovered.storage,
        (journal.handle(), archive.clone()),
        recovered.last_snapshot,
        recovered.archived_through,
    )?;
    let (switchboard, loops) =
        switchboard::start(recovered.world, wiring).context("cannot start a thread")?;
    let caller = Caller::start(
        to_call,
        switchboard.clone(),
        vault.endpoint_secrets().clone(),
        (config.sandbox.enabled, config.webhooks.calls_at_once_max),
    )
    .context("cannot prepare calls to customers")?;
    if settings_changed {
        let change = RegistryRequest::Command(RegistryAction::ChangeSettings(Box::new(settings)));
        let batch = Batch {
            items: vec![(0, change)],
            reply_to: Arc::new(Nobody),
            deadline: None,
            requester: None,
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
        caller,
        snapshots,
        archive,
        archive_thread,
    })
}

/// What tells the index of each number that is given out.
fn hooks(pan_index: &Arc<PanIndex>) -> (CardIssuedHook, TokenRequestedHook) {
    let index = pan_index.clone();
    let on_card_issued: CardIssuedHook = Box::new(move |card_id, issued| {
        let route = route(card_id, issued.root, issued.expiry);
        index.insert(issued.pan_hash, route);
    });
    let index = pan_index.clone();
    let on_token_requested: TokenRequestedHook = Box::new(move |id, number| {
        index.insert(number.number_hash, token_route(id, number));
    });
    (on_card_issued, on_token_requested)
}

/// The way from each card number that was issued to its card.
fn index_of(world: &World) -> PanIndex {
    let index = PanIndex::new();
    for (card_id, issued) in world.registry.issued_cards.iter() {
        index.insert(issued.pan_hash, route(card_id, issued.root, issued.expiry));
    }
    for (id, number) in world.registry.token_numbers.iter() {
        index.insert(number.number_hash, token_route(id, number));
    }
    index
}

/// The thread that writes what shards forget.
fn start_archive(archive: &Archive, journal: &Handle) -> Result<std::thread::JoinHandle<()>> {
    let (archive, progress) = (archive.clone(), journal.subscribe());
    let thread = std::thread::Builder::new().name("archive".into());
    Ok(thread.spawn(move || {
        // What is not written yet is found in memory. A refusal leaves everything as it was.
        let _ = rustix::process::nice(19);
        archive.run(&progress);
    })?)
}

fn route(card_id: CardId, root: AccountId, expiry: Expiry) -> CardRoute {
    CardRoute {
        card_id: card_id.0,
        root_account_id: root.0,
        expiry: expiry.0,
        token_id: None,
    }
}

/// The shard knows for which card it stands now; here is the one with which it was asked for.
fn token_route(id: TokenId, number: &TokenNumber) -> CardRoute {
    CardRoute {
        token_id: NonZeroU64::new(id.0),
        ..route(number.card_id, number.root, Expiry::default())
    }
}

fn start_snapshots(
    config: &Config,
    storage: Arc<dyn Storage>,
    (journal, archive): (Handle, Archive),
    last: Sequence,
    archived_through: Sequence,
) -> Result<Snapshots> {
    let stop = Arc::new(AtomicBool::new(false));
    let settings = config.snapshots;
    let older = Arc::new(AtomicU64::new(0));
    let through = archive.complete_through();
    let is_complete = through.is_ok_and(|through| through >= archived_through);
    if settings.every_records == 0 && is_complete {
        return Ok(Snapshots {
            older,
            stop,
            thread: None,
        });
    }
    let stopping = stop.clone();
    let (mut newest, noted) = (last, older.clone());
    let done = move |result| match result {
        Ok((at, bytes)) => {
            noted.store(std::mem::replace(&mut newest, at), Ordering::Release);
            tracing::info!(at, bytes, "made a snapshot");
        }
        // The journal is whole without it: recovery takes longer, and that is all.
        Err(error) => tracing::error!(%error, "a snapshot cannot be made; the next one is tried"),
    };
    let thread = std::thread::Builder::new()
        .name("snapshots".into())
        .spawn(move || {
            // A snapshot may lag, answers may not. A refusal leaves everything as it was.
            let _ = rustix::process::nice(19);
            refill_until_done(&archive, &journal, archived_through, &stopping);
            if settings.every_records > 0 {
                snapshots::follow(
                    &storage,
                    &journal,
                    Some(&archive),
                    settings,
                    last,
                    &stopping,
                    done,
                );
            }
        })?;
    Ok(Snapshots {
        older,
        stop,
        thread: Some(thread),
    })
}

/// Fills the archive, and tries again where the disk is in the way.
fn refill_until_done(archive: &Archive, journal: &Handle, until: Sequence, stop: &AtomicBool) {
    while let Err(error) = refill(archive, journal, until, stop) {
        if !matches!(error, snapshots::SnapshotsError::Archive(_)) {
            tracing::error!(%error, "the archive cannot be filled again; the next start tries it");
            return;
        }
        tracing::error!(%error, "the archive cannot be filled again yet; it is tried in {} s", REFILLED_AGAIN.as_secs());
        let again_at = Instant::now() + REFILLED_AGAIN;
        while Instant::now() < again_at {
            if stop.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(STOP_SEEN);
        }
    }
}

fn recover_world(config: &Config) -> Result<Recovered> {
    let folder = config.data.dir.join("journal");
    let storage = FileStorage::create(&folder).with_context(|| {
        format!(
            "cannot use the data folder {}; check `[data] dir`",
            config.data.dir.display()
        )
    })?;
    let archive = Archive::open(&config.data.dir.join("archive"), config.archive)?;
    let opening = archive.opening().ok();
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
        Some(&archive),
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
    // One that was another journal's is empty now, without what this start has put into it; and so may be one whose file
    // an error of the disk had opened anew. One that cannot be opened may lack anything.
    let is_ours = archive.claim(found.journal_id, found.durable);
    let was_open = opening.is_some() && archive.opening().ok() == opening;
    let is_whole = was_open && is_ours.unwrap_or(false);
    let archived_through = match is_whole {
        true => last_snapshot,
        false => last_sequence,
    };
    Ok(Recovered {
        storage,
        world,
        journal,
        last_sequence,
        last_snapshot,
        archive,
        archived_through,
    })
}

fn open_vault(config: &Config, journal_has_records: bool) -> Result<Vault> {
    let folder = vault::folder(config);
    let settings = VaultSettings {
        must_exist: journal_has_records,
        ..config.vault.clone()
    };
    let vault = Vault::open(&folder, &settings)?;
    match vault.remove_leftovers() {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => tracing::warn!(
            ?removed,
            "a change of the vault was cut off; what it left in the folder is removed"
        ),
        Err(error) => {
            tracing::warn!(%error, "what cut off changes of the vault left may still be in its folder")
        }
    }
    if vault.created_key() {
        let told = format!(
            "created a vault key in {}; keep a copy: without it no card number can be read again",
            folder.display()
        );
        // A sandbox holds no card of anybody.
        match config.sandbox.enabled {
            true => tracing::info!("{told}"),
            false => tracing::warn!("{told}"),
        }
    }
    Ok(vault)
}

impl Core {
    /// Lets the journal remove, as far as `retain` allows, what neither a restart nor the tables, which
    /// hold everything up to the record given, need any more.
    pub fn record_keeper(&self) -> impl Fn(Sequence) + Send + 'static {
        let (journal, older) = (self.journal.handle(), self.snapshots.older.clone());
        move |projected_through| {
            journal.set_floor(older.load(Ordering::Acquire).min(projected_through));
        }
    }

    /// Stops the loops after what they have, then the journal.
    pub fn stop(self) -> Result<()> {
        self.switchboard.stop();
        let mut well = self.loops.join();
        self.snapshots.stop.store(true, Ordering::Release);
        if let Some(thread) = self.snapshots.thread {
            well &= thread.join().is_ok();
        }
        self.archive.stop();
        well &= self.archive_thread.join().is_ok();
        self.journal.close()?;
        // What it took from the shards is gone with them.
        well &= self.caller.join();
        anyhow::ensure!(well, "a shard or the registry panicked; see the log");
        Ok(())
    }
}
