//! Takes the authorizations that wait, once they are durable, calls their customers, and tells the shards what they said.
//! Nothing waits for this: a shard keeps the time itself.

use super::body;
use super::breaker::Breaker;
use super::stats::CallStats;
use crate::engine::command::{Action, CallOutcome, CustomerSays, Resolve};
use crate::engine::ids::DecisionEndpointId;
use crate::security::EndpointSecrets;
use crate::shard::inbox::Priority;
use crate::shard::reply::{DecisionCall, Replies, Reply, ReplySink};
use crate::shard::request::{Batch, ShardRequest};
use crate::shard::switchboard::Switchboard;
use crate::shard::worker::Nobody;
use crate::webhooks::{Answered, CallError, Client, Party, Signed, Turns};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Calls to one endpoint at once, and a quarter of all at most; others wait for their turn, but no longer than for their answer.
const CONCURRENT_MAX: usize = 256;

/// Calls to one endpoint that wait for their turn; with more, the fallback decides at once.
const QUEUED_MAX: usize = 2_048;

/// How much longer than its time an answer is waited for, to have it on record.
const LATE: Duration = Duration::from_secs(10);

/// How often a full queue of a shard is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// Where shards leave what customers are to be asked. Bounded by the holds that may be open.
pub struct Calls(UnboundedSender<Box<DecisionCall>>);

pub type CallReceiver = UnboundedReceiver<Box<DecisionCall>>;

pub fn calls() -> (Arc<Calls>, CallReceiver) {
    let (sender, receiver) = unbounded_channel();
    (Arc::new(Calls(sender)), receiver)
}

impl ReplySink for Calls {
    fn deliver(&self, replies: Replies) {
        for (_, reply) in replies {
            if let Reply::DecisionCall(call) = reply {
                // Without a caller the shard's own time decides.
                let _ = self.0.send(call);
            }
        }
    }
}

pub struct Caller {
    pub stats: Arc<CallStats>,
    thread: JoinHandle<()>,
}

impl Caller {
    /// Calls until all shards are gone; this machine may be called in a sandbox.
    pub fn start(
        receiver: CallReceiver,
        switchboard: Arc<Switchboard>,
        secrets: EndpointSecrets,
        (sandbox, calls_at_once): (bool, usize),
    ) -> std::io::Result<Caller> {
        let stats = Arc::new(CallStats::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            client: Client::new(sandbox, calls_at_once)?,
            turns: Turns::new(calls_at_once),
            of_endpoint: CONCURRENT_MAX.min(calls_at_once.div_ceil(4)),
            switchboard,
            secrets,
            stats: stats.clone(),
            endpoints: Mutex::default(),
        });
        let thread = std::thread::Builder::new()
            .name("decision-calls".into())
            .spawn(move || runtime.block_on(take_all(receiver, shared)))?;
        Ok(Caller { stats, thread })
    }

    /// Waits for the end, which comes when the loops have ended.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

struct Shared {
    client: Client,
    turns: Arc<Turns>,
    switchboard: Arc<Switchboard>,
    secrets: EndpointSecrets,
    stats: Arc<CallStats>,
    /// Calls to one endpoint at once.
    of_endpoint: usize,
    endpoints: Mutex<HashMap<DecisionEndpointId, Arc<Endpoint>>>,
}

/// What is known of an endpoint from earlier calls.
struct Endpoint {
    /// Of calls that are under way or wait for their turn.
    places: Semaphore,
    turns: Semaphore,
    breaker: Mutex<Breaker>,
}

async fn take_all(mut receiver: CallReceiver, shared: Arc<Shared>) {
    while let Some(call) = receiver.recv().await {
        let shared = shared.clone();
        shared.stats.begin();
        tokio::spawn(async move { shared.carry_out(&call, Instant::now()).await });
    }
}

impl Shared {
    async fn carry_out(&self, call: &DecisionCall, since: Instant) {
        let (outcome, says) = self.ask(call, since).await;
        let duration_ms = u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX);
        self.stats.end(outcome, duration_ms);
        let resolve = Resolve {
            authorization_id: call.payment.authorization_id,
            says,
            call: outcome,
            duration_ms,
        };
        // The shard ends the wait when its time is over: a second word on it would say nothing.
        if outcome != CallOutcome::TimedOut {
            self.tell(call, resolve).await;
        }
    }

    async fn ask(&self, call: &DecisionCall, since: Instant) -> (CallOutcome, CustomerSays) {
        let endpoint = self.endpoint(call.endpoint.id);
        let in_time = Duration::from_millis(u64::from(call.endpoint.timeout_ms));
        if !endpoint.breaker().lets_through(since) {
            return (CallOutcome::CircuitOpen, CustomerSays::Nothing);
        }
        let Ok(place) = endpoint.places.try_acquire() else {
            return (CallOutcome::TooMany, CustomerSays::Nothing);
        };
        let party = Party::of(call.endpoint.tenant, call.endpoint.id.0);
        // First of those of its endpoint, then of its tenant.
        let turns = async { (endpoint.turns.acquire().await, self.turns.take(party).await) };
        let Ok(turns) = tokio::time::timeout(in_time, turns).await else {
            return (CallOutcome::TimedOut, CustomerSays::Nothing);
        };
        let made = self.post(call, in_time + LATE);
        tokio::pin!(made);
        let left = in_time.saturating_sub(since.elapsed());
        let soon = tokio::time::timeout(left, &mut made).await;
        // What is late has failed already: the next ones need not find that out for themselves.
        let answered = matches!(&soon, Ok(Ok(Answered { status: 200, .. })));
        endpoint.breaker().note(answered, Instant::now());
        let result = match soon {
            Ok(result) => result,
            Err(_) => made.await,
        };
        drop((turns, place));
        match result {
            Ok(Answered {
                status: 200, body, ..
            }) => match body::said(&body) {
                Some(says) => (CallOutcome::Answered, says),
                None => (CallOutcome::Invalid, CustomerSays::Nonsense),
            },
            // A no is a no, whatever the status.
            Ok(other) if body::says_no(&other.body) => {
                (CallOutcome::Answered, CustomerSays::Decline)
            }
            Ok(_) => (CallOutcome::WrongStatus, CustomerSays::Nonsense),
            Err(CallError::TimedOut(_)) => (CallOutcome::TimedOut, CustomerSays::Nothing),
            Err(error) => {
                let endpoint = call.endpoint.id;
                tracing::debug!(%endpoint, %error, "a customer's endpoint could not be asked");
                let outcome = match error {
                    CallError::NotConnected(_) => CallOutcome::NotConnected,
                    CallError::Tls(_) => CallOutcome::TlsFailed,
                    _ => CallOutcome::Failed,
                };
                (outcome, CustomerSays::Nothing)
            }
        }
    }

    async fn post(&self, call: &DecisionCall, at_most: Duration) -> Result<Answered, CallError> {
        let endpoint = &call.endpoint;
        let now = self.switchboard.clock.now();
        let body = body::request(call, now).to_string().into_bytes();
        let secret = self.secrets.secret(endpoint.id.0, endpoint.secret_version);
        let id = call.payment.authorization_id.to_string();
        let signed = Signed::new(&[secret], id, now.0.div_euclid(1_000), &body);
        self.client.post(&endpoint.url, signed, body, at_most).await
    }

    /// Tells the shard, however full its queue is: until the time is over it can still count.
    async fn tell(&self, call: &DecisionCall, resolve: Resolve) {
        let shard = self.switchboard.shard_of(call.root);
        let patience = Duration::from_millis(u64::from(call.endpoint.timeout_ms));
        let until = Instant::now() + patience;
        let mut batch = Batch {
            items: vec![(
                0,
                ShardRequest::Command {
                    root: call.root,
                    action: Action::Resolve(resolve),
                },
            )],
            reply_to: Arc::new(Nobody),
            deadline: None,
            requester: None,
        };
        loop {
            match self
                .switchboard
                .offer_shard(shard, batch, Priority::Reserved)
            {
                Ok(()) => return,
                Err(_) if Instant::now() >= until => return,
                Err(back) => batch = back,
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn endpoint(&self, id: DecisionEndpointId) -> Arc<Endpoint> {
        let mut endpoints = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Endpoint {
                places: Semaphore::new(self.of_endpoint + QUEUED_MAX),
                turns: Semaphore::new(self.of_endpoint),
                breaker: Mutex::default(),
            })
        };
        endpoints.entry(id).or_insert_with(new).clone()
    }
}

impl Endpoint {
    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
