//! Asking the loops from async code: one request, one answer, which comes once it is durable.

use super::ApiState;
use super::error::ApiError;
use crate::engine::command::Action;
use crate::engine::ids::AccountId;
use crate::engine::registry::RegistryAction;
use crate::shard::inbox::Priority;
use crate::shard::reply::{Reply, ReplySink, Unavailable};
use crate::shard::request::{Batch, RegistryRequest, ShardRequest, Token};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A loop answers in milliseconds; one that takes this long is not going to.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the first reply; a loop may deliver an empty list before it.
struct OneReply(Mutex<Option<oneshot::Sender<Reply>>>);

impl ReplySink for OneReply {
    fn deliver(&self, replies: Vec<(Token, Reply)>) {
        let Some((_, reply)) = replies.into_iter().next() else {
            return;
        };
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // Nobody waits any more where this fails; the command stands all the same.
            let _ = sender.send(reply);
        }
    }
}

fn batch<Request>(request: Request) -> (Batch<Request>, oneshot::Receiver<Reply>) {
    let (sender, receiver) = oneshot::channel();
    let batch = Batch {
        items: vec![(0, request)],
        reply_to: Arc::new(OneReply(Mutex::new(Some(sender)))),
    };
    (batch, receiver)
}

async fn answer(receiver: oneshot::Receiver<Reply>) -> Result<Reply, ApiError> {
    let lost = |why: &str| {
        let message = format!(
            "{why}, so it is not known whether this was done: repeat it with the same Idempotency-Key"
        );
        ApiError::unavailable("outcome_unknown", message)
    };
    match tokio::time::timeout(PATIENCE, receiver).await {
        Ok(Ok(Reply::Unavailable(why))) => Err(unavailable(why)),
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(_)) => Err(lost("the switch is stopping or its journal has failed")),
        Err(_) => Err(lost("no answer came in time")),
    }
}

fn unavailable(why: Unavailable) -> ApiError {
    match why {
        Unavailable::Overloaded => overloaded(),
        Unavailable::DiskFull => ApiError::unavailable(
            "disk_full",
            "the disk is almost full and takes reversals only; free space, then repeat this",
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
    let (batch, receiver) = batch(request);
    let shard = state.switchboard.shard_of(root);
    state
        .switchboard
        .offer_shard(shard, batch, Priority::Ordinary)
        .map_err(|_| overloaded())?;
    answer(receiver).await
}

pub async fn shard_command(
    state: &ApiState,
    root: AccountId,
    action: Action,
) -> Result<Reply, ApiError> {
    shard(state, root, ShardRequest::Command { root, action }).await
}

pub async fn registry(state: &ApiState, request: RegistryRequest) -> Result<Reply, ApiError> {
    let (batch, receiver) = batch(request);
    state
        .switchboard
        .offer_registry(batch, Priority::Ordinary)
        .map_err(|_| overloaded())?;
    answer(receiver).await
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
        Reply::Card(_) => "Card",
        Reply::Done => "Done",
        Reply::Refused(refusal) => return ApiError::internal(refusal),
        Reply::RegistryRefused(refusal) => return ApiError::internal(refusal),
        Reply::IssuedCard(_) => "IssuedCard",
        Reply::Program(_) => "Program",
        Reply::IdempotencyKnown(_) => "IdempotencyKnown",
        Reply::NotFound => "NotFound",
    };
    ApiError::internal(&format_args!("unexpected reply {kind}"))
}
