//! Writes what became of calls into the log, some at a time; and forgets events and calls that are old.

use super::stats::WebhookStats;
use crate::engine::time::Timestamp;
use crate::shard::clock::Clock;
use crate::store::Store;
use crate::store::deliveries::DeliveryRow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Calls that wait to be written. With the database away nothing is called either, so few ever do.
const WAITING_MAX: usize = 4_096;

/// Rows of one transaction.
const BATCH_MAX: usize = 256;

/// How long rows may gather.
const GATHER: Duration = Duration::from_millis(50);

/// Tries, a second apart, until rows are given up.
const TRIES: u32 = 60;

/// How often what is old is looked for.
const FORGET_EVERY: Duration = Duration::from_secs(60);

pub fn channel_of_rows() -> (Sender<DeliveryRow>, Receiver<DeliveryRow>) {
    channel(WAITING_MAX)
}

/// Until all who write are gone.
pub async fn write(mut rows: Receiver<DeliveryRow>, store: Store, stats: Arc<WebhookStats>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while rows.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut tries = 0;
        while let Err(error) = store.add_deliveries(&batch).await {
            tries += 1;
            if tries == 1 {
                tracing::warn!(%error, "the log of deliveries waits");
            }
            if tries == TRIES || rows.is_closed() {
                stats.count_unlogged(batch.len() as u64);
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        batch.clear();
        tokio::time::sleep(GATHER).await;
    }
}

/// Removes events and calls that are older than so many days, for ever.
pub async fn forget(store: Store, clock: Clock, retain_days: u32) {
    let retain_ms = i64::from(retain_days) * 24 * 3_600_000;
    loop {
        let before = Timestamp(clock.now().0.saturating_sub(retain_ms));
        match store.forget_events(before).await {
            // There may be more.
            Ok(removed) if removed > 0 => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(_) => tokio::time::sleep(FORGET_EVERY).await,
            Err(error) => {
                tracing::debug!(%error, "old events stay for now");
                tokio::time::sleep(FORGET_EVERY).await;
            }
        }
    }
}
