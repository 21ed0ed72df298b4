//! Takes up what the process before has left, and issues the cards of batches in the background, a portion at a time. The registry says what comes next and keeps what
//! came of it, so that nothing has to be remembered here: after a restart the portion that was under way is issued again,
//! with the same ids, and what was there already is found.

use super::audit::Asked;
use super::body_bounds;
use super::bounds::About;
use super::card_batches::row_error;
use super::error::ApiError;
use super::fields::Fields;
use super::issue::{self, Wanted};
use super::{ApiState, Gate, ask, cards, unfinished_approvals};
use crate::engine::card_batches::{
    BatchChange, BatchPortion, BatchRow, CardOrder, NewCardBatch, RowError,
};
use crate::engine::ids::CardBatchId;
use crate::engine::registry::RegistryAction;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use axum::http::StatusCode;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long to wait where nothing could be issued, as too much waits elsewhere or the disk is full.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a portion is issued of which rows fail inside; then these have failed, and others do not wait for them. What is
/// busy or full is that for all rows, and is waited for as long as it takes.
const TRIES_MAX: u32 = 10;

/// Runs until it is dropped; begins once the switch has recovered.
pub async fn run(gate: Gate) {
    let state = gate.opened().await;
    while let Err(error) = unfinished_approvals::finish_what_was_cut_off(&state).await {
        tracing::warn!(error.message, "what was approved waits");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    let mut tries = Tries::default();
    loop {
        match next(&state).await {
            Ok(Some(portion)) => {
                let is_last = tries.is_last(&portion);
                if let Err(error) = carry_out(&state, portion, is_last).await {
                    tries.note(&error);
                    tracing::warn!(error.message, "a part of a card batch waits");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
            Ok(None) => state.card_batch_work.notified().await,
            Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

/// Those of one portion, which comes again until it is done, that failed inside.
#[derive(Default)]
struct Tries {
    portion: Option<(CardBatchId, u32)>,
    failed: u32,
}

impl Tries {
    /// Whether what fails inside this time has failed.
    fn is_last(&mut self, portion: &BatchPortion) -> bool {
        let this = Some((portion.order.id, portion.from));
        if self.portion != this {
            *self = Tries {
                portion: this,
                failed: 0,
            };
        }
        self.failed + 1 >= TRIES_MAX
    }

    fn note(&mut self, error: &ApiError) {
        self.failed += u32::from(!waits(error));
    }
}

/// Too much waits, or the disk is full: that passes by itself.
fn waits(error: &ApiError) -> bool {
    error.status == StatusCode::SERVICE_UNAVAILABLE
}

async fn next(state: &ApiState) -> Result<Option<BatchPortion>, ApiError> {
    match ask::registry(state, RegistryRequest::CardBatchPortion).await? {
        Reply::CardBatchPortion(portion) => Ok(portion.map(|portion| *portion)),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// An error means that it is not known of a row what came of it: all of them are done again.
async fn carry_out(
    state: &Arc<ApiState>,
    portion: BatchPortion,
    is_last: bool,
) -> Result<(), ApiError> {
    let BatchPortion { order, from, rows } = portion;
    let to = from + rows.len() as u32;
    let mut issuing = JoinSet::new();
    let mut under_way = HashMap::new();
    for (row, what) in (from..).zip(rows) {
        let (state, order) = (state.clone(), order.clone());
        let issue = async move {
            let issued = issue_row(&state, &order, row, what);
            in_its_name(&order, issued).await
        };
        under_way.insert(issuing.spawn(issue).id(), row);
    }
    let (mut errors, mut again) = (Vec::new(), None::<ApiError>);
    // All of them end before any is done again.
    while let Some(done) = issuing.join_next_with_id().await {
        // One that panics has failed inside as well.
        let (task, done) = done.unwrap_or_else(|panicked| {
            let error = ApiError::internal(&panicked);
            (panicked.id(), Err(error))
        });
        let row = under_way.get(&task).copied().unwrap_or(from);
        let done = match done {
            Err(error) if is_last && !waits(&error) => {
                in_its_name(&order, give_up(state, &order, row, &error)).await
            }
            done => done,
        };
        match done {
            Ok(error) => errors.extend(error.map(|error| (row, error))),
            // Where some fail inside it is no matter that others wait.
            Err(error) => again = again.filter(|known| !waits(known)).or(Some(error)),
        }
    }
    if let Some(error) = again {
        return Err(error);
    }
    errors.sort_unstable_by_key(|(row, _)| *row);
    let note = BatchChange::Note {
        id: order.id,
        from,
        to,
        errors,
    };
    let action = RegistryAction::ChangeCardBatch(Box::new(note));
    match ask::registry_command(state, action).await? {
        Reply::Done => Ok(()),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// In the name of who ordered the batch.
async fn in_its_name<T>(batch: &NewCardBatch, work: impl Future<Output = T>) -> T {
    match batch.requester.as_deref().map(Asked::in_background) {
        Some(asked) => asked.carry_out(work).await,
        None => work.await,
    }
}

/// What is wrong with the row, if anything is; an error where that is not known yet.
async fn issue_row(
    state: &Arc<ApiState>,
    batch: &NewCardBatch,
    row: u32,
    what: BatchRow,
) -> Result<Option<RowError>, ApiError> {
    let order = match what {
        BatchRow::Wrong(error) => return Ok(Some(*error)),
        BatchRow::Order(order) => *order,
    };
    let ids = issue::ids_of(batch.first_id_of(row));
    let issued = async {
        if let Some(bounds) = &batch.bounds {
            let fields = Fields::of("", named(&order))?;
            body_bounds::check_order(bounds, &fields)?;
            body_bounds::check_body(state, bounds, About::Body, &fields).await?;
        }
        let wanted = Wanted {
            card_id: ids.0,
            sub_account_id: ids.1,
            order,
        };
        issue::issue(state, wanted).await.map(drop)
    };
    match issued.await {
        Ok(()) => Ok(None),
        // The fault is ours.
        Err(error) if error.status.is_server_error() => Err(error),
        Err(error) => {
            if issue::is_final(&error) {
                issue::close_unused(state, ids).await;
            }
            Ok(Some(row_error(&error)))
        }
    }
}

/// It failed inside again and again: a card that is there all the same is issued, and without one the row has failed.
async fn give_up(
    state: &ApiState,
    batch: &NewCardBatch,
    row: u32,
    error: &ApiError,
) -> Result<Option<RowError>, ApiError> {
    let ids = issue::ids_of(batch.first_id_of(row));
    match cards::find_full(state, ids.0).await {
        Ok(_) => Ok(None),
        Err(unknown) if waits(&unknown) => Err(unknown),
        Err(_) => {
            issue::close_unused(state, ids).await;
            Ok(Some(row_error(error)))
        }
    }
}

/// What an order names, as the body of a request would.
fn named(order: &CardOrder) -> serde_json::Value {
    let links = order.links.iter();
    let links = links.map(|(link_type, id)| json!({ "type": link_type, "id": id }));
    let wallet = order.wallet.iter().flat_map(|wallet| wallet.iter());
    json!({
        "account_id": order.account_id.to_string(),
        "links": links.collect::<Vec<_>>(),
        "wallet_account_ids": wallet.map(|id| id.to_string()).collect::<Vec<_>>(),
        "cardholder_id": order.cardholder_id.map(|id| id.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Timestamp;

    fn portion(id: u64, from: u32) -> BatchPortion {
        let order = NewCardBatch {
            id: CardBatchId(id),
            first_row_id: 1,
            total: 100,
            bounds: None,
            created_at: Timestamp(0),
            requester: None,
            tenant: None,
        };
        let rows = Vec::new();
        BatchPortion { order, from, rows }
    }

    #[test]
    fn what_fails_inside_is_tried_so_often_and_what_waits_as_long_as_it_takes() {
        let (inside, busy) = (
            ApiError::internal(&"a test"),
            ApiError::unavailable("disk_full", "a test"),
        );
        let mut tries = Tries::default();
        for _ in 0..1_000 {
            assert!(!tries.is_last(&portion(1, 0)));
            tries.note(&busy);
        }
        for _ in 1..TRIES_MAX {
            assert!(!tries.is_last(&portion(1, 0)));
            tries.note(&inside);
        }
        assert!(tries.is_last(&portion(1, 0)));
        // While it cannot be said what came of it, it stays the last one.
        tries.note(&busy);
        assert!(tries.is_last(&portion(1, 0)));
        assert!(!tries.is_last(&portion(1, 32)) && !tries.is_last(&portion(2, 32)));
    }
}
