//! The REST interface: one file per resource, and what all of them share. Decisions live in `engine`;
//! a write here becomes commands to the loops, and its answer leaves once those are durable.

mod account_settings;
pub(crate) mod accounts;
pub mod api_keys;
pub(crate) mod approvals;
mod archive_metrics;
mod as_of_now;
mod ask;
pub(crate) mod audit;
mod auth;
mod authorizations;
mod backtests;
mod bins;
mod body;
mod body_bounds;
pub mod bounds;
mod call_metrics;
mod card_batch_worker;
mod card_batches;
mod card_changes;
mod card_links;
mod card_orders;
pub(crate) mod cardholders;
pub(crate) mod cards;
pub(crate) mod controls_json;
mod csv;
pub(crate) mod decision_endpoints;
mod deliveries;
mod envelope;
mod error;
pub mod error_codes;
mod etags;
mod events;
pub(crate) mod exceptions;
pub(crate) mod exchange_rates;
pub(crate) mod fee_schedules;
mod fees;
mod fields;
mod filters;
mod freed_cards;
pub(crate) mod groups;
pub(crate) mod guarded;
mod health;
pub(crate) mod hold_expiry_json;
mod idempotency;
mod incoming_payments;
mod issue;
mod ledger_entries;
mod lifts_json;
mod limits_json;
mod links;
mod list;
mod merchants_json;
mod metrics;
mod narrower;
mod network_metrics;
pub mod openapi;
mod places;
mod programs;
mod rails;
mod rate_limits;
mod reissue;
mod reveal;
mod reveal_links;
mod reveals;
mod routes;
mod rules;
mod serving;
mod settlement_reports;
mod shipping;
mod simulate;
mod spend;
mod three_ds_json;
mod time_windows_json;
mod tokens;
mod top_ups;
mod transactions;
mod transfers;
mod unambiguous;
mod under_way;
mod unfinished_approvals;
pub(crate) mod webhook_endpoints;
mod webhook_metrics;
mod webhook_moves;

pub use body::BODY_MAX_BYTES;
pub use places::Bounds as ConnectionBounds;
pub use routes::{Route, router, serve, table};

use crate::backtest::desk::Desk;
use crate::decision_call::CallStats;
use crate::engine::registry::IdempotencyKey;
use crate::journal::Handle;
use crate::network::loopback::Loopback;
use crate::security::{ApiKeyHasher, Vault};
use crate::shard::switchboard::Switchboard;
use crate::store::Store;
use crate::store::events::ResponseCodes;
use crate::store::lag::ProjectionLag;
use crate::webhooks::{Client, WebhookStats};
use error::ApiError;
use etags::Turns;
use freed_cards::FreedCards;
use rate_limits::RateLimits;
pub use rate_limits::Rates;
use reveal_links::RevealLinks;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::CancellationToken;
use under_way::UnderWay;

/// What the interface needs from outside.
pub struct Wiring {
    pub switchboard: Arc<Switchboard>,
    pub journal: Handle,
    pub vault: Arc<Vault>,
    pub store: Store,
    pub lag: Arc<ProjectionLag>,
    /// `CARDSWITCH_ROOT_KEY`; without one, every request is refused.
    pub root_key: Option<String>,
    /// When a business date ends, in UTC.
    pub cut_over: jiff::civil::Time,
    /// Top-ups settle at once, and endpoints may be on this machine.
    pub sandbox: bool,
    pub call_stats: Arc<CallStats>,
    pub webhook_stats: Arc<WebhookStats>,
    /// Ends the streams of events, which have no end of their own, and backtests.
    pub stop_streams: CancellationToken,
    pub request_rates: Rates,
    pub response_codes: ResponseCodes,
    /// With what others have registered; the interface adds its own.
    pub metrics: prometheus_client::registry::Registry,
    /// The counters of each network, by its name.
    pub networks: Vec<(String, Arc<crate::network::stats::NetworkStats>)>,
    /// `answer_within_ms` of each network, by its name.
    pub answer_within_ms: HashMap<String, u64>,
    /// Ways to the networks that stay inside the process, for what is simulated.
    pub loopbacks: Vec<Loopback>,
}

/// Everything that a request may need; shared by all.
pub struct ApiState {
    switchboard: Arc<Switchboard>,
    journal: Handle,
    vault: Arc<Vault>,
    store: Store,
    lag: Arc<ProjectionLag>,
    api_key_hasher: ApiKeyHasher,
    root_key_hash: Option<[u8; 32]>,
    cut_over: jiff::civil::Time,
    sandbox: bool,
    /// Tries endpoints.
    calls: Client,
    webhook_stats: Arc<WebhookStats>,
    response_codes: ResponseCodes,
    /// Names of the networks that are configured.
    networks: Vec<String>,
    event_streams: Arc<events::Taken>,
    rate_limits: RateLimits,
    freed_cards: FreedCards,
    reveal_links: RevealLinks,
    backtests: Desk,
    pings: Arc<UnderWay>,
    large_bodies: Arc<UnderWay>,
    stop_streams: CancellationToken,
    answer_within_ms: HashMap<String, u64>,
    metrics: prometheus_client::registry::Registry,
    /// Idempotency keys of requests that are being carried out now.
    keys_in_use: Mutex<HashSet<IdempotencyKey>>,
    /// One top-up of an external reference at a time, from its reservation until its shard has answered.
    reference_turns: Turns,
    /// Of changes of one object; those of the gate, which has them before there is a state.
    turns: Arc<Turns>,
    /// In the order of their sections.
    loopbacks: Vec<Loopback>,
    /// Told when there is a batch of cards to be issued.
    card_batch_work: Notify,
    /// Set once what was approved before the start is carried out.
    unfinished_approvals: OnceCell<()>,
}

/// Fewest characters of a root key.
pub const ROOT_KEY_MIN: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    #[error("CARDSWITCH_ROOT_KEY must be set to any text of {ROOT_KEY_MIN} or more characters")]
    RootKey,
    #[error("no HTTPS calls can be made: {0}")]
    Calls(#[from] std::io::Error),
}

/// Says whether a root key is long enough; having none is no error.
pub fn check_root_key(root_key: Option<&str>) -> Result<(), WiringError> {
    match root_key {
        Some(key) if key.chars().count() < ROOT_KEY_MIN => Err(WiringError::RootKey),
        _ => Ok(()),
    }
}

impl ApiState {
    pub fn new(wiring: Wiring) -> Result<ApiState, WiringError> {
        let api_key_hasher = wiring.vault.api_key_hasher().clone();
        check_root_key(wiring.root_key.as_deref())?;
        let root_key = wiring.root_key.as_deref().map(str::trim_ascii);
        let root_key_hash = root_key.map(|key| api_key_hasher.api_key_hash(key.as_bytes()));
        let mut metrics = wiring.metrics;
        let names = wiring.networks.iter().map(|(name, _)| name.clone());
        let networks = names.collect();
        metrics.register_collector(Box::new(network_metrics::Networks(wiring.networks)));
        metrics.register_collector(Box::new(call_metrics::Calls(wiring.call_stats)));
        let webhooks = webhook_metrics::Webhooks(wiring.webhook_stats.clone());
        metrics.register_collector(Box::new(webhooks));
        metrics::register(
            &mut metrics,
            &wiring.switchboard,
            &wiring.journal,
            &wiring.lag,
        );
        let (clock, stop) = (&wiring.switchboard.clock, wiring.stop_streams.clone());
        let is_stopping = move || stop.is_cancelled();
        Ok(ApiState {
            backtests: Desk::new(wiring.journal.clone(), clock.clone(), is_stopping),
            switchboard: wiring.switchboard,
            journal: wiring.journal,
            vault: wiring.vault,
            store: wiring.store,
            lag: wiring.lag,
            api_key_hasher,
            root_key_hash,
            cut_over: wiring.cut_over,
            sandbox: wiring.sandbox,
            calls: Client::new(wiring.sandbox, under_way::PINGS_MAX)?,
            webhook_stats: wiring.webhook_stats,
            response_codes: wiring.response_codes,
            networks,
            event_streams: Arc::default(),
            freed_cards: FreedCards::default(),
            reveal_links: RevealLinks::default(),
            pings: UnderWay::pings(),
            large_bodies: UnderWay::large_bodies(),
            rate_limits: RateLimits::new(wiring.request_rates),
            stop_streams: wiring.stop_streams,
            answer_within_ms: wiring.answer_within_ms,
            metrics,
            keys_in_use: Mutex::default(),
            reference_turns: Turns::default(),
            turns: Arc::default(),
            loopbacks: wiring.loopbacks,
            card_batch_work: Notify::new(),
            unfinished_approvals: OnceCell::new(),
        })
    }
}

/// Lets the server answer `/healthz` while recovery still runs; everything else waits for `open`.
#[derive(Clone, Default)]
pub struct Gate(Arc<Opening>);

#[derive(Default)]
struct Opening {
    state: OnceLock<Arc<ApiState>>,
    opened: Notify,
    turns: Arc<Turns>,
}

impl Gate {
    pub fn open(&self, mut state: ApiState) {
        state.turns = self.turns();
        // A second opening would be a mistake of the wiring; the first state stays.
        let _ = self.0.state.set(Arc::new(state));
        self.0.opened.notify_waiters();
    }

    /// Changes of one object come one after the other.
    fn turns(&self) -> Arc<Turns> {
        self.0.turns.clone()
    }

    /// The state, once there is one.
    async fn opened(&self) -> Arc<ApiState> {
        loop {
            // Before the look, so that no opening is missed.
            let opened = self.0.opened.notified();
            if let Some(state) = self.0.state.get() {
                return state.clone();
            }
            opened.await;
        }
    }

    fn state(&self) -> Result<Arc<ApiState>, ApiError> {
        self.0.state.get().cloned().ok_or_else(|| {
            let message = "the state is being restored from the journal; repeat this in a second";
            ApiError::unavailable("recovering", message)
        })
    }
}
