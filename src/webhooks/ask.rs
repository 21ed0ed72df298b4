//! Asking the registry, one thing at a time.

use crate::shard::inbox::Priority;
use crate::shard::reply::{Replies, Reply, ReplySink};
use crate::shard::request::{Batch, RegistryRequest};
use crate::shard::switchboard::Switchboard;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often a full queue is tried again.
const RETRY: Duration = Duration::from_millis(50);

struct One(Mutex<Option<oneshot::Sender<Reply>>>);

impl ReplySink for One {
    fn deliver(&self, replies: Replies) {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(sender), Some((_, reply))) = (sender.take(), replies.into_iter().next()) {
            // Whoever asked has gone.
            let _ = sender.send(reply);
        }
    }
}

/// The answer, once it is durable; `None` where the registry is gone.
pub async fn registry(switchboard: &Switchboard, request: RegistryRequest) -> Option<Reply> {
    let (sender, receiver) = oneshot::channel();
    let mut batch = Batch {
        items: vec![(0, request)],
        reply_to: Arc::new(One(Mutex::new(Some(sender)))),
        deadline: None,
        requester: None,
    };
    while let Err(back) = switchboard.offer_registry(batch, Priority::Reserved) {
        batch = back;
        tokio::time::sleep(RETRY).await;
    }
    receiver.await.ok()
}
