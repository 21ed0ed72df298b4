//! A switch in this process, a client for it, and a way to crash and restart it.

use super::{described, follower};
use cardswitch::api::{ApiState, ConnectionBounds, Gate, Rates, Wiring, serve};
use cardswitch::engine::ids::{AccountId, CardId, TokenId};
use cardswitch::engine::reason::DeclineReason;
use cardswitch::engine::registry::{EngineSettings, RegistryAction};
use cardswitch::engine::time::Expiry;
use cardswitch::engine::token_numbers::TokenNumber;
use cardswitch::engine::world::World;
use cardswitch::journal::{
    BEGINNING, Handle, Journal, MemoryStorage, Reader, RecordBatch, RunningJournal, Sequence,
    Settings,
};
use cardswitch::network::listener::Peer;
use cardswitch::network::loopback::Loopback;
use cardswitch::network::settings::NetworkSettings;
use cardswitch::security::{CardRoute, PanIndex, Vault, VaultSettings};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::inbox::{Priority, QueueSettings};
use cardswitch::shard::recovery::recover;
use cardswitch::shard::request::{Batch, RegistryRequest};
use cardswitch::shard::switchboard::{self, Loops, Switchboard};
use cardswitch::shard::worker::Nobody;
use cardswitch::store::Store;
use cardswitch::store::events::Answered;
use cardswitch::store::lag::{FollowState, ProjectionLag};
use cardswitch::store::rows::AuthorizationResult;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub const ROOT_KEY: &str = "a root key for tests";

const CONNECTIONS: ConnectionBounds = ConnectionBounds {
    connections_max: 100,
    connections_per_address_max: 100,
};

/// What outlives a crash: the journal's disk and the vault's folder.
#[derive(Clone)]
pub struct Disk {
    pub storage: Arc<MemoryStorage>,
    pub vault: Arc<tempfile::TempDir>,
}

impl Disk {
    pub fn new() -> Disk {
        Disk {
            storage: MemoryStorage::new(),
            vault: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    /// What a start from it finds. Nothing runs on it meanwhile.
    pub fn world(&self) -> World {
        let mut world = World::new(2);
        let storage = self.storage.clone();
        let none = &mut |_| {};
        recover(storage, &settings(), 1, &mut world, BEGINNING, None, none).unwrap();
        world
    }

    /// The disk as a crash would have left it when `records` records were durable.
    pub fn cut_after(&self, records: Sequence) -> Disk {
        let storage = MemoryStorage::new();
        let mut reader = Reader::open(self.storage.copy(), 1).unwrap();
        let (journal, _) = Journal::open(storage.clone(), &settings(), 1).unwrap();
        let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
        let mut batch = RecordBatch::new();
        while let Some((sequence, bytes)) = reader.next().unwrap() {
            if sequence > records {
                break;
            }
            batch.push(bytes);
        }
        journal
            .handle()
            .append(&mut batch, Box::new(|_| {}))
            .unwrap();
        journal.close().unwrap();
        Disk {
            storage,
            vault: self.vault.clone(),
        }
    }
}

fn settings() -> Settings {
    Settings {
        segment_size_bytes: 1 << 20,
        pending_limit_bytes: 1 << 19,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

#[derive(Clone)]
pub struct Options {
    pub sandbox: bool,
    pub clock: Clock,
    pub queues: QueueSettings,
    pub sql: Sql,
    pub request_rates: Rates,
}

/// What the SQL side does during a test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sql {
    Follows,
    /// The database is there, and nothing is projected into it.
    StandsStill,
    /// The database cannot be reached.
    Away,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sandbox: true,
            clock: Clock::System,
            queues: QueueSettings::default(),
            sql: Sql::Follows,
            request_rates: Rates::default(),
        }
    }
}

pub struct Switch {
    pub disk: Disk,
    pub address: SocketAddr,
    pub switchboard: Arc<Switchboard>,
    pub journal: Handle,
    pub lag: Arc<ProjectionLag>,
    running: Option<(RunningJournal, Loops, oneshot::Sender<()>)>,
    runtime: Option<Runtime>,
    stop_following: CancellationToken,
    _drain: watch::Sender<bool>,
    _sql_dir: tempfile::TempDir,
}

impl Switch {
    pub fn start() -> Switch {
        Switch::start_on(Disk::new(), Options::default())
    }

    /// One whose clock stands where the test puts it, in milliseconds.
    pub fn start_with_clock() -> (Switch, Arc<AtomicI64>) {
        let now_ms = Arc::new(AtomicI64::new(1_795_000_000_000));
        let clock = Clock::Manual(now_ms.clone());
        let options = Options {
            clock,
            ..Options::default()
        };
        (Switch::start_on(Disk::new(), options), now_ms)
    }

    pub fn start_on(disk: Disk, options: Options) -> Switch {
        let (switch, open) = Switch::start_closed_on(disk, options);
        open();
        switch
    }

    /// One whose REST interface answers only once it is opened by the second of the two.
    pub fn start_closed_on(disk: Disk, options: Options) -> (Switch, impl FnOnce()) {
        let mut world = World::new(3);
        let (journal, recovered) = recover(
            disk.storage.clone(),
            &settings(),
            1,
            &mut world,
            BEGINNING,
            None,
            &mut |_| {},
        )
        .unwrap();
        let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
        let pan_index = Arc::new(PanIndex::new());
        for (id, card) in world.registry.issued_cards.iter() {
            note(&pan_index, card.pan_hash, (id, card.root, card.expiry));
        }
        for (id, number) in world.registry.token_numbers.iter() {
            note_token(&pan_index, id, number);
        }
        let (index, token_index) = (pan_index.clone(), pan_index.clone());
        let lag = Arc::new(ProjectionLag::default());
        let known = lag.clone();
        let wiring = switchboard::Wiring {
            decision_calls: Arc::new(Nobody),
            journal: journal.handle(),
            clock: options.clock,
            queues: options.queues,
            on_card_issued: Box::new(move |card_id, issued| {
                note(
                    &index,
                    issued.pan_hash,
                    (card_id, issued.root, issued.expiry),
                );
            }),
            on_token_requested: Box::new(move |id, number| note_token(&token_index, id, number)),
            last_sequence: recovered.durable,
            archive: None,
            projected_through: Arc::new(move || known.projected_through()),
        };
        let (switchboard, loops) = switchboard::start(world, wiring).unwrap();
        let gate = Gate::default();
        let (address, stop, runtime) = serve_in_background(gate.clone());
        let sql_dir = tempfile::tempdir().unwrap();
        let url = match options.sql {
            Sql::Away => "postgres://nobody@127.0.0.1:1/nothing",
            Sql::Follows | Sql::StandsStill => "sqlite",
        };
        let store = runtime
            .block_on(Store::connect(url, sql_dir.path()))
            .unwrap();
        let stop_following = CancellationToken::new();
        if options.sql != Sql::StandsStill {
            let (store, lag, stop) = (store.clone(), lag.clone(), stop_following.clone());
            runtime.spawn(follower::run(journal.handle(), store, lag, stop));
        }
        while options.sql == Sql::Away && lag.state() != FollowState::Away {
            std::thread::sleep(Duration::from_millis(5));
        }
        let vault = Vault::open(disk.vault.path(), &VaultSettings::default()).unwrap();
        let peer = Peer::new(visa(), &vault, pan_index, switchboard.clone()).unwrap();
        let (drain, draining) = watch::channel(false);
        let state = ApiState::new(Wiring {
            loopbacks: vec![Loopback::new(peer, draining)],
            call_stats: Arc::default(),
            webhook_stats: Arc::default(),
            stop_streams: CancellationToken::new(),
            request_rates: options.request_rates,
            switchboard: switchboard.clone(),
            journal: journal.handle(),
            vault: Arc::new(vault),
            store,
            lag: lag.clone(),
            root_key: Some(ROOT_KEY.into()),
            cut_over: Default::default(),
            sandbox: options.sandbox,
            response_codes: Arc::new(response_code),
            metrics: Default::default(),
            networks: ["visa", "amex"]
                .map(|name| (name.to_owned(), Default::default()))
                .into(),
            answer_within_ms: [("visa".to_owned(), 5_000)].into(),
        });
        let open = move || gate.open(state.unwrap());
        let switch = Switch {
            disk,
            address,
            switchboard,
            journal: journal.handle(),
            lag,
            running: Some((journal, loops, stop)),
            runtime: Some(runtime),
            stop_following,
            _drain: drain,
            _sql_dir: sql_dir,
        };
        (switch, open)
    }

    /// Waits until all that is durable now is in SQL.
    pub fn projected(&self) {
        let reached = self
            .lag
            .reached(self.journal.durable(), Duration::from_secs(30));
        assert!(self.runtime.as_ref().unwrap().block_on(reached));
    }

    pub fn client(&self) -> Client {
        Client::of(self.address)
    }

    /// Changes what decisions depend on, before whatever is asked next.
    pub fn change_settings(&self, change: impl FnOnce(&mut EngineSettings)) {
        let mut settings = self.switchboard.view().settings.clone();
        change(&mut settings);
        let change = RegistryAction::ChangeSettings(Box::new(settings));
        let batch = Batch {
            items: vec![(0, RegistryRequest::Command(change))],
            reply_to: Arc::new(Nobody),
            deadline: None,
            requester: None,
        };
        let offered = self.switchboard.offer_registry(batch, Priority::Ordinary);
        assert!(offered.is_ok());
    }
}

/// The way from a card's number to it.
fn note(index: &PanIndex, pan_hash: u128, (card_id, root, expiry): (CardId, AccountId, Expiry)) {
    let route = CardRoute {
        card_id: card_id.0,
        root_account_id: root.0,
        expiry: expiry.0,
        token_id: None,
    };
    index.insert(pan_hash, route);
}

fn note_token(index: &PanIndex, id: TokenId, number: &TokenNumber) {
    let route = CardRoute {
        card_id: number.card_id.0,
        root_account_id: number.root.0,
        expiry: 0,
        token_id: std::num::NonZeroU64::new(id.0),
    };
    index.insert(number.number_hash, route);
}

/// A network that nobody connects to: what is simulated speaks as it.
fn visa() -> NetworkSettings {
    toml::from_str("name = \"visa\"\nlisten = \"127.0.0.1:0\"").unwrap()
}

/// As a dialect would say it, for a network called visa.
fn response_code(network: &str, answered: Answered) -> Option<String> {
    let code = match answered.reason {
        None if answered.result == AuthorizationResult::Waiting => return None,
        None if answered.result == AuthorizationResult::PartiallyApproved => "10",
        None => "00",
        Some(DeclineReason::CardNotFound) => "14",
        Some(DeclineReason::InsufficientFunds) => "51",
        Some(_) => "57",
    };
    (network == "visa").then(|| code.to_owned())
}

/// An HTTP server for this gate, with a runtime of its own.
pub fn serve_in_background(gate: Gate) -> (SocketAddr, oneshot::Sender<()>, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    runtime.spawn(serve(listener, gate, CONNECTIONS, async {
        let _ = stopped.await;
    }));
    (address, stop, runtime)
}

impl Drop for Switch {
    fn drop(&mut self) {
        let (Some((journal, loops, stop)), Some(runtime)) =
            (self.running.take(), self.runtime.take())
        else {
            return;
        };
        let _ = stop.send(());
        self.stop_following.cancel();
        runtime.shutdown_timeout(Duration::from_secs(10));
        self.switchboard.stop();
        assert!(loops.join(), "a loop panicked");
        journal.close().unwrap();
    }
}

/// A caller with a key.
#[derive(Clone)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
    headers: Vec<(String, String)>,
}

pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Client {
    pub fn of(address: SocketAddr) -> Client {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Client {
            base: format!("http://{address}"),
            agent: config.build().into(),
            headers: vec![("Authorization".into(), format!("Bearer {ROOT_KEY}"))],
        }
    }

    /// As another client, on this address.
    pub fn with_headers_of(&self, other: &Client) -> Client {
        Client {
            headers: other.headers.clone(),
            ..self.clone()
        }
    }

    pub fn without_key(&self) -> Client {
        Client {
            headers: Vec::new(),
            ..self.clone()
        }
    }

    pub fn header(&self, name: &str, value: &str) -> Client {
        let mut client = self.clone();
        client.headers.retain(|(known, _)| known != name);
        client.headers.push((name.into(), value.into()));
        client
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = if body.is_empty() && method != "POST" {
            self.agent.run(request.body(()).unwrap()).unwrap()
        } else {
            self.agent.run(request.body(body).unwrap()).unwrap()
        };
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.body_mut().read_to_string().unwrap(),
        };
        let media_type = answer.header("Content-Type").unwrap_or_default();
        described::check(method, path, answer.status, media_type, &answer.text);
        answer
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"")
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body.to_string().as_bytes())
    }

    pub fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, body.to_string().as_bytes())
    }

    pub fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, body.to_string().as_bytes())
    }

    /// A program in BIN 411111, in dollars.
    pub fn program(&self) -> String {
        let body = json!({"name": "Ads", "network": "visa", "bin": "411111", "currency": "USD"});
        self.post("/v1/programs", body).created()
    }

    /// A root account in dollars.
    pub fn account(&self, program_id: &str) -> String {
        let body = json!({"program_id": program_id, "currency": "USD", "parent_id": null, "name": "master"});
        self.post("/v1/accounts", body).created()
    }

    pub fn card(&self, account_id: &str) -> String {
        let body = json!({"account_id": account_id, "type": "virtual"});
        self.post("/v1/cards", body).created()
    }

    pub fn program_and_account(&self) -> (String, String) {
        let program_id = self.program();
        let account_id = self.account(&program_id);
        (program_id, account_id)
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The id of what was made.
    #[track_caller]
    pub fn created(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.text);
        self.json()["id"].as_str().unwrap().to_owned()
    }

    /// Checks the form of an error and gives (status, type, code, param).
    #[track_caller]
    pub fn error(&self) -> (u16, String, String, Option<String>) {
        let body = self.json();
        let error = &body["error"];
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        assert_eq!(
            text("request_id").as_deref(),
            self.header("Request-Id"),
            "{}",
            self.text
        );
        assert!(text("message").unwrap().len() > 10, "{}", self.text);
        let (error_type, code) = (text("type").unwrap(), text("code").unwrap());
        (self.status, error_type, code, text("param"))
    }
}
