//! Takes up what the process before has left, and issues the cards of batches in the background, a portion at a time. The registry says what comes next and keeps what
//! came of it, so that nothing has to be remembered here: after a restart the portion that was under way is issued again,
//! with the same ids, and what was there already is found.

use super::approvals;
use super::audit::Asked;
use super::body_bounds;
use super::bounds::About;
use super::card_batches::row_error;
use super::error::ApiError;
use super::fields::Fields;
use super::issue::{self, Wanted};
use super::{ApiState, Gate, ask};
use crate::engine::api_keys::Bounds;
use crate::engine::card_batches::{BatchChange, BatchPortion, BatchRow, CardOrder, RowError};
use crate::engine::registry::RegistryAction;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use axum::http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long to wait where nothing could be issued, as too much waits elsewhere or the disk is full.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Runs until it is dropped; begins once the switch has recovered.
pub async fn run(gate: Gate) {
    let state = gate.opened().await;
    while let Err(error) = approvals::finish_what_was_cut_off(&state).await {
        tracing::warn!(error.message, "what was approved waits");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    loop {
        match next(&state).await {
            Ok(Some(portion)) => {
                if let Err(error) = carry_out(&state, portion).await {
                    tracing::warn!(error.message, "a part of a card batch waits");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
            Ok(None) => state.card_batch_work.notified().await,
            Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

async fn next(state: &ApiState) -> Result<Option<BatchPortion>, ApiError> {
    match ask::registry(state, RegistryRequest::CardBatchPortion).await? {
        Reply::CardBatchPortion(portion) => Ok(portion.map(|portion| *portion)),
        reply => Err(ask::unexpected(&reply)),
    }
}

/// An error means that it is not known of a row what came of it: all of them are done again.
async fn carry_out(state: &Arc<ApiState>, portion: BatchPortion) -> Result<(), ApiError> {
    let BatchPortion { order, from, rows } = portion;
    let to = from + rows.len() as u32;
    let mut issuing = JoinSet::new();
    for (row, what) in (from..).zip(rows) {
        let (state, bounds) = (state.clone(), order.bounds.clone());
        let first_id = order.first_id_of(row);
        let asked = order.requester.as_deref().map(Asked::in_background);
        issuing.spawn(async move {
            let issued = issue_row(&state, bounds, first_id, what);
            let issued = match asked {
                Some(asked) => asked.carry_out(issued).await,
                None => issued.await,
            };
            (row, issued)
        });
    }
    let mut errors = Vec::new();
    while let Some(done) = issuing.join_next().await {
        let (row, done) = done.map_err(|failure| ApiError::internal(&failure))?;
        if let Some(error) = done? {
            errors.push((row, error));
        }
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

/// What is wrong with the row, if anything is; an error where that is not known yet.
async fn issue_row(
    state: &Arc<ApiState>,
    bounds: Option<Bounds>,
    first_id: u64,
    row: BatchRow,
) -> Result<Option<RowError>, ApiError> {
    let order = match row {
        BatchRow::Wrong(error) => return Ok(Some(*error)),
        BatchRow::Order(order) => *order,
    };
    let ids = issue::ids_of(first_id);
    let issued = async {
        if let Some(bounds) = &bounds {
            let fields = Fields::of("", named(&order))?;
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
        Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => Err(error),
        Err(error) => {
            if issue::is_final(&error) {
                issue::close_unused(state, ids).await;
            }
            Ok(Some(row_error(&error)))
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
