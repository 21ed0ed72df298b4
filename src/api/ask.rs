//! Asking the loops from async code: each request gets one answer, which comes once it is durable.

use super::ApiState;
use super::audit;
use super::error::ApiError;
use crate::engine::command::Action;
use crate::engine::ids::AccountId;
use crate::engine::registry::{RegistryAction, RegistryView};
use crate::shard::inbox::Priority;
use crate::shard::reply::{Reply, ReplySink, Unavailable};
use crate::shard::request::{Batch, RegistryRequest, ShardRequest, Token};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A loop answers in milliseconds; one that takes this long is not going to.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gathers the replies of one or more batches, by token; a loop may deliver some of them, or none,
/// at a time.
struct Gathering(Mutex<Gathered>);

struct Gathered {
    replies: Vec<Option<Reply>>,
    missing: usize,
    sender: Option<oneshot::Sender<Vec<Reply>>>,
}

impl ReplySink for Gathering {
    fn deliver(&self, replies: Vec<(Token, Reply)>) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, reply) in replies {
            let place = gathered.replies.get_mut(token as usize);
            if place.is_some_and(|place| place.replace(reply).is_none()) {
                gathered.missing -= 1;
            }
        }
        if gathered.missing == 0
            && let Some(sender) = gathered.sender.take()
        {
            let replies = gathered.replies.drain(..).flatten().collect();
            // Nobody waits any more where this fails; the command stands all the same.
            let _ = sender.send(replies);
        }
    }
}

fn gather(count: usize) -> (Arc<Gathering>, oneshot::Receiver<Vec<Reply>>) {
    let (sender, receiver) = oneshot::channel();
    let gathered = Gathered {
        replies: (0..count).map(|_| None).collect(),
        missing: count,
        sender: Some(sender),
    };
    (Arc::new(Gathering(Mutex::new(gathered))), receiver)
}

async fn answers(receiver: oneshot::Receiver<Vec<Reply>>) -> Result<Vec<Reply>, ApiError> {
    let lost = |why: &str| {
        let message = format!(
            "{why}, so it is not known whether this was done: repeat it with the same Idempotency-Key"
        );
        ApiError::unavailable("outcome_unknown", message)
    };
    let replies = match tokio::time::timeout(PATIENCE, receiver).await {
        Ok(Ok(replies)) => replies,
        Ok(Err(_)) => return Err(lost("the switch is stopping or its journal has failed")),
        Err(_) => return Err(lost("no answer came in time")),
    };
    let refused = replies.iter().find_map(|reply| match reply {
        Reply::Unavailable(why) => Some(unavailable(*why)),
        _ => None,
    });
    refused.map_or(Ok(replies), Err)
}

fn only(replies: Vec<Reply>) -> Result<Reply, ApiError> {
    let first = replies.into_iter().next();
    first.ok_or_else(|| ApiError::internal(&"a loop gave no reply"))
}

fn unavailable(why: Unavailable) -> ApiError {
    match why {
        Unavailable::Overloaded => overloaded(),
        Unavailable::DiskFull => ApiError::unavailable(
            "disk_full",
            "the journal has no room for its next file (as a rule the disk is full, and the log has the cause) and takes reversals \
             only; free space, then repeat this",
        ),
    }
}

fn overloaded() -> ApiError {
    let message = "too much is waiting to be decided; repeat this in a second";
    ApiError::unavailable("overloaded", message)
}

pub async fn shard(
    state: &ApiState,
    root: AccountId,
    request: ShardRequest,
) -> Result<Reply, ApiError> {
    only(shards(state, vec![(root, request)]).await?)
}

/// Asks the shards of several trees at once; the replies are in the order of the requests.
pub async fn shards(
    state: &ApiState,
    requests: Vec<(AccountId, ShardRequest)>,
) -> Result<Vec<Reply>, ApiError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let is_command = matches!(requests[0].1, ShardRequest::Command { .. });
    let (sink, receiver) = gather(requests.len());
    let mut batches: BTreeMap<usize, Vec<(Token, ShardRequest)>> = BTreeMap::new();
    for (token, (root, request)) in (0..).zip(requests) {
        let shard = state.switchboard.shard_of(root);
        batches.entry(shard).or_default().push((token, request));
    }
    for (shard, items) in batches {
        let reply_to = sink.clone();
        let batch = Batch {
            items,
            reply_to,
            deadline: None,
            requester: audit::requester(),
        };
        let offered = state
            .switchboard
            .offer_shard(shard, batch, Priority::Ordinary);
        offered.map_err(|_| overloaded())?;
    }
    drop(sink);
    let replies = answers(receiver).await?;
    if is_command {
        note_changes(&replies);
    }
    Ok(replies)
}

pub async fn shard_command(
    state: &ApiState,
    root: AccountId,
    action: Action,
) -> Result<Reply, ApiError> {
    shard(state, root, ShardRequest::Command { root, action }).await
}

/// The registry's view as of now, once all that is in it is durable.
pub async fn view(state: &ApiState) -> Result<Arc<RegistryView>, ApiError> {
    match registry(state, RegistryRequest::View).await? {
        Reply::View(view) => Ok(view),
        reply => Err(unexpected(&reply)),
    }
}

pub async fn registry(state: &ApiState, request: RegistryRequest) -> Result<Reply, ApiError> {
    only(registry_many(state, vec![request]).await?)
}

/// Asks the registry several things at once; the replies are in the order of the requests.
pub async fn registry_many(
    state: &ApiState,
    requests: Vec<RegistryRequest>,
) -> Result<Vec<Reply>, ApiError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let is_command = matches!(requests[0], RegistryRequest::Command(_));
    let (reply_to, receiver) = gather(requests.len());
    let items = (0..).zip(requests).collect();
    let batch = Batch {
        items,
        reply_to,
        deadline: None,
        requester: audit::requester(),
    };
    let offered = state.switchboard.offer_registry(batch, Priority::Ordinary);
    offered.map_err(|_| overloaded())?;
    let replies = answers(receiver).await?;
    if is_command {
        note_changes(&replies);
    }
    Ok(replies)
}

/// For the audit log: what was not refused stands.
fn note_changes(replies: &[Reply]) {
    let is_refused = |reply: &Reply| {
        matches!(
            reply,
            Reply::Refused(_) | Reply::RegistryRefused(_) | Reply::NotFound
        )
    };
    if !replies.iter().all(is_refused) {
        audit::note_change();
    }
}

pub async fn registry_command(state: &ApiState, action: RegistryAction) -> Result<Reply, ApiError> {
    registry(state, RegistryRequest::Command(action)).await
}

/// A loop that answers something else than what it was asked.
pub fn unexpected(reply: &Reply) -> ApiError {
    let kind = match reply {
        Reply::Message(_) => "Message",
        Reply::Unavailable(_) => "Unavailable",
        Reply::Account(_) => "Account",
        Reply::DecisionCall(_) => "DecisionCall",
        Reply::Card(_) => "Card",
        Reply::Spend(..) => "Spend",
        Reply::Done => "Done",
        Reply::Refused(refusal) => return ApiError::internal(refusal),
        Reply::RegistryRefused(refusal) => return ApiError::internal(refusal),
        Reply::IssuedCard(_) => "IssuedCard",
        Reply::Program(_) => "Program",
        Reply::RiskRule(_) => "RiskRule",
        Reply::View(_) => "View",
        Reply::IdempotencyKnown(_) => "IdempotencyKnown",
        Reply::NotFound => "NotFound",
        Reply::Cardholder(_) => "Cardholder",
        Reply::Links(_) => "Links",
        Reply::Exception(_) => "Exception",
        Reply::ExceptionsPage(_) => "ExceptionsPage",
        Reply::Approvals(_) => "Approvals",
        Reply::CardBatches(_) => "CardBatches",
        Reply::CardBatchRows(_) => "CardBatchRows",
        Reply::CardBatchPortion(_) => "CardBatchPortion",
        Reply::WebhookProgress(_) => "WebhookProgress",
        Reply::Transfer(_) => "Transfer",
        Reply::References(_) => "References",
        Reply::Token(_) => "Token",
        Reply::TokenNumber(_) => "TokenNumber",
    };
    ApiError::internal(&format_args!("unexpected reply {kind}"))
}
