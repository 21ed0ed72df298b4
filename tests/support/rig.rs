//! The switch without its process: loops over a journal in memory, cards issued through the registry,
//! networks on real sockets.

use super::client::{Client, Language};
use super::gate::{Gate, GatedStorage};
use cardswitch::decision_call::{self, Caller};
use cardswitch::engine::command::{Action, CardType, OpenAccount, TopUp};
use cardswitch::engine::controls::Controls;
use cardswitch::engine::decision_endpoints::{DecisionEndpoint, Fallback};
use cardswitch::engine::ids::{AccountId, CardId, DecisionEndpointId, ProgramId, TokenId, TopUpId};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::registry::{IssueCard, IssuedCard, Program, RegistryAction, SealedPan};
use cardswitch::engine::state::Account;
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::token_numbers::TokenNumber;
use cardswitch::engine::world::World;
use cardswitch::journal::{Handle, Journal, MemoryStorage, RunningJournal, Settings, Storage};
use cardswitch::network::listener::{self, Peer};
use cardswitch::network::settings::NetworkSettings;
use cardswitch::security::{CardRoute, PanIndex, Vault, VaultSettings};
use cardswitch::shard::clock::Clock;
use cardswitch::shard::inbox::{Priority, QueueSettings};
use cardswitch::shard::reply::{Replies, Reply, ReplySink};
use cardswitch::shard::request::{Batch, RegistryRequest, ShardRequest};
use cardswitch::shard::switchboard::{Loops, Switchboard, Wiring, start};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub const EXPIRY: (u16, u8) = (2031, 12);
const USD: Currency = Currency(840);

pub struct Rig {
    pub switchboard: Arc<Switchboard>,
    pub vault: Vault,
    pub gate: Arc<Gate>,
    /// Where the journal lies.
    pub memory: Arc<MemoryStorage>,
    pub journal: Handle,
    storage: Arc<GatedStorage>,
    pan_index: Arc<PanIndex>,
    runtime: Runtime,
    drain: watch::Sender<bool>,
    tasks: TaskTracker,
    running: Option<(Loops, RunningJournal, Caller)>,
    _folder: TempDir,
}

struct Waiting(mpsc::Sender<Replies>);

impl ReplySink for Waiting {
    fn deliver(&self, replies: Replies) {
        let _ = self.0.send(replies);
    }
}

impl Rig {
    pub fn start() -> Rig {
        Rig::with(1, QueueSettings::default(), 1 << 20)
    }

    /// `pending_limit_bytes` may wait for the disk until the loops have to wait too.
    pub fn with(shards: usize, queues: QueueSettings, pending_limit_bytes: u64) -> Rig {
        let settings = Settings {
            segment_size_bytes: 4 << 20,
            pending_limit_bytes,
            reserve_bytes: 0,
            ..Settings::default()
        };
        Rig::over(shards, queues, settings)
    }

    pub fn over(shards: usize, queues: QueueSettings, settings: Settings) -> Rig {
        let gate = Arc::new(Gate::default());
        let storage = GatedStorage::new(gate.clone());
        let memory = storage.memory.clone();
        let (journal, _) = Journal::open(storage.clone(), &settings, 7).unwrap();
        let journal = journal.start(Box::new(|error| panic!("{error}"))).unwrap();
        let folder = TempDir::new().unwrap();
        let vault = Vault::open(folder.path(), &VaultSettings::default()).unwrap();
        let pan_index = Arc::new(PanIndex::new());
        let index = pan_index.clone();
        let on_card_issued = Box::new(move |card_id: CardId, issued: &IssuedCard| {
            let route = CardRoute {
                card_id: card_id.0,
                root_account_id: issued.root.0,
                expiry: issued.expiry.0,
                token_id: None,
            };
            index.insert(issued.pan_hash, route);
        });
        let index = pan_index.clone();
        let on_token_requested = Box::new(move |id: TokenId, number: &TokenNumber| {
            let route = CardRoute {
                card_id: number.card_id.0,
                root_account_id: number.root.0,
                expiry: 0,
                token_id: std::num::NonZeroU64::new(id.0),
            };
            index.insert(number.number_hash, route);
        });
        let (decision_calls, to_call) = decision_call::calls();
        let wiring = Wiring {
            decision_calls,
            journal: journal.handle(),
            clock: Clock::System,
            queues,
            on_card_issued,
            on_token_requested,
            last_sequence: 0,
            archive: None,
            projected_through: Arc::new(|| u64::MAX),
        };
        let (switchboard, loops) = start(World::new(shards), wiring).unwrap();
        let secrets = vault.endpoint_secrets().clone();
        let caller = Caller::start(to_call, switchboard.clone(), secrets, (true, 256)).unwrap();
        Rig {
            switchboard,
            vault,
            gate,
            memory,
            journal: journal.handle(),
            storage,
            pan_index,
            runtime: Runtime::new().unwrap(),
            drain: watch::channel(false).0,
            tasks: TaskTracker::new(),
            running: Some((loops, journal, caller)),
            _folder: folder,
        }
    }

    /// Opens a network with these settings (`name`, `listen` and whatever else a test needs).
    pub fn open(&self, settings: &str) -> (Arc<Peer>, Option<SocketAddr>) {
        let settings: NetworkSettings = toml::from_str(settings).unwrap();
        let peer = Peer::new(
            settings,
            &self.vault,
            self.pan_index.clone(),
            self.switchboard.clone(),
        );
        let peer = peer.unwrap();
        let listener = self.runtime.block_on(listener::bind(&peer.settings));
        let listener = listener.unwrap();
        let address = listener.as_ref().map(|l| l.local_addr().unwrap());
        let tasks = self.tasks.clone();
        let run = listener::run(peer.clone(), listener, self.drain.subscribe(), tasks);
        self.tasks.spawn_on(run, self.runtime.handle());
        (peer, address)
    }

    /// Listens, in this language and with these further settings, and connects to it.
    pub fn connected(&self, language: &Language, settings: &str) -> (Arc<Peer>, Client) {
        let (peer, address) = self.listen(language, settings);
        (peer, Client::speaking(language.clone(), address))
    }

    pub fn listen(&self, language: &Language, settings: &str) -> (Arc<Peer>, SocketAddr) {
        let name = if settings.contains("name =") {
            ""
        } else {
            "name = \"net\""
        };
        let (dialect, codec) = (language.dialect.name(), &language.codec);
        let (peer, address) = self.open(&format!(
            "{name}\nlisten = \"127.0.0.1:0\"\ndialect = \"{dialect}\"\nframing = \"{}\"\nheader = \"{}\"\n{settings}",
            codec.framing, codec.header
        ));
        (peer, address.unwrap())
    }

    /// A card with so much money behind it, in an account tree of its own.
    pub fn issue(&self, pan: &str, balance_minor: i64) -> CardId {
        self.issue_with(pan, balance_minor, Controls::default())
    }

    /// As [`Rig::issue`], in a program with these controls.
    pub fn issue_with(&self, pan: &str, balance_minor: i64, controls: Controls) -> CardId {
        let ids = &self.switchboard.ids;
        let (program_id, root, card_id) = (
            ProgramId(ids.one()),
            AccountId(ids.one()),
            CardId(ids.one()),
        );
        let program = Program {
            id: program_id,
            name: "test".into(),
            network: "visa".into(),
            bin: pan[..6]
                .parse::<String>()
                .unwrap()
                .as_str()
                .try_into()
                .unwrap(),
            currency: USD,
            controls,
            hold_expiry: Default::default(),
            created_at: Timestamp(0),
            foreign_exchange_mark_up_basis_points: 0,
            ..Program::default()
        };
        self.ask_registry(RegistryAction::CreateProgram(Box::new(program)));
        let open = OpenAccount {
            account_id: root,
            parent_id: None,
            program_id,
            currency: USD,
            name: None,
            controls: Controls::default(),
        };
        self.ask_shard(root, Action::OpenAccount(Box::new(open)));
        let top_up = TopUp {
            top_up_id: TopUpId(ids.one()),
            account_id: root,
            amount: Money {
                amount_minor: balance_minor,
                currency: USD,
            },
            method: "internal".into(),
            external_reference: None,
            tenant: None,
        };
        self.ask_shard(root, Action::TopUp(Box::new(top_up)));
        let issue = IssueCard {
            card_id,
            root,
            account_id: root,
            program_id,
            card_type: CardType::Virtual,
            pan_hash: self.vault.pan_hasher().pan_hash(pan.as_bytes()),
            sealed_pan: SealedPan::new(),
            first6: pan[..6].parse().unwrap(),
            last4: pan[pan.len() - 4..].parse().unwrap(),
            expiry: Expiry::new(EXPIRY.0, EXPIRY.1).unwrap(),
            links: Default::default(),
            controls: Controls::default(),
            wallet: None,
            cardholder_id: None,
            paid_by: None,
            shipping: None,
        };
        self.ask_registry(RegistryAction::IssueCard(Box::new(issue)));
        card_id
    }

    /// Has the customer of the card's program asked at this URL; gives the endpoint.
    pub fn ask_customers(
        &self,
        card_id: CardId,
        url: &str,
        timeout_ms: u32,
        fallback: Fallback,
    ) -> DecisionEndpoint {
        let endpoint = DecisionEndpoint {
            id: DecisionEndpointId(self.switchboard.ids.one()),
            program_id: self.account_of(card_id).program_id,
            url: url.into(),
            timeout_ms,
            fallback,
            enabled: true,
            secret_version: 1,
            created_at: Timestamp(0),
            tenant: None,
        };
        let put = RegistryAction::PutDecisionEndpoint(Box::new(endpoint.clone()));
        assert!(matches!(self.ask_registry(put), Reply::Done));
        // The shard has the new view once it answers after it.
        self.money(card_id);
        endpoint
    }

    /// The money of a card's account: posted and held, in minor units.
    pub fn money(&self, card_id: CardId) -> (i64, i64) {
        let account = self.account_of(card_id);
        (account.posted_minor, account.held_minor)
    }

    pub fn account_of(&self, card_id: CardId) -> Account {
        let shards = 0..self.switchboard.shard_count();
        let card =
            shards
                .clone()
                .find_map(|shard| match self.ask(shard, ShardRequest::Card(card_id)) {
                    Reply::Card(card) => Some(card),
                    _ => None,
                });
        let account_id = card.unwrap().account_id;
        let account = shards.into_iter().find_map(|shard| {
            match self.ask(shard, ShardRequest::Account(account_id)) {
                Reply::Account(account) => Some(account),
                _ => None,
            }
        });
        *account.unwrap()
    }

    fn ask_shard(&self, root: AccountId, action: Action) -> Reply {
        let shard = self.switchboard.shard_of(root);
        self.ask(shard, ShardRequest::Command { root, action })
    }

    fn ask(&self, shard: usize, request: ShardRequest) -> Reply {
        self.ask_by(shard, request, None)
    }

    /// Asks a shard; after the deadline it decides nothing any more.
    pub fn ask_by(&self, shard: usize, request: ShardRequest, deadline: Option<Instant>) -> Reply {
        let (sender, replies) = mpsc::channel();
        let batch = Batch {
            items: vec![(0, request)],
            reply_to: Arc::new(Waiting(sender)),
            deadline,
            requester: None,
        };
        let offered = self
            .switchboard
            .offer_shard(shard, batch, Priority::Reserved);
        assert!(offered.is_ok(), "the queue is full");
        let mut replies = replies.recv_timeout(super::DEADLINE).unwrap();
        replies.pop().unwrap().1
    }

    fn ask_registry(&self, action: RegistryAction) -> Reply {
        let (sender, replies) = mpsc::channel();
        let batch = Batch {
            items: vec![(0, RegistryRequest::Command(action))],
            reply_to: Arc::new(Waiting(sender)),
            deadline: None,
            requester: None,
        };
        let offered = self.switchboard.offer_registry(batch, Priority::Reserved);
        assert!(offered.is_ok(), "the queue is full");
        // An issued card is answered by its shard; the registry's own part is empty.
        loop {
            let mut replies = replies.recv_timeout(super::DEADLINE).unwrap();
            if let Some((_, reply)) = replies.pop() {
                return reply;
            }
        }
    }

    /// All bytes of all files of the journal.
    pub fn journal_content(&self) -> Vec<u8> {
        let names = self.storage.list().unwrap();
        let contents = names
            .iter()
            .map(|name| self.storage.memory.content(name).unwrap());
        contents.collect::<Vec<_>>().concat()
    }

    /// Tells every connection to finish what it has.
    pub fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Waits until every connection has ended; it must have been told to drain.
    pub fn wait_for_connections(&self) {
        self.tasks.close();
        let ended = self
            .runtime
            .block_on(async { tokio::time::timeout(super::DEADLINE, self.tasks.wait()).await });
        ended.expect("connections that do not end");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.gate.open();
        self.drain();
        self.switchboard.stop();
        if let Some((loops, journal, caller)) = self.running.take() {
            let well = loops.join();
            let closed = journal.close();
            let well = caller.join() && well;
            if !std::thread::panicking() {
                assert!(well, "a loop panicked");
                closed.unwrap();
            }
        }
    }
}
