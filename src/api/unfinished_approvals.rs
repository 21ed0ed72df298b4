//! What was approved and not carried out to its end when the process before ended: finished at the start, or a while later.
//! Carrying out an approval lives in `approvals.rs`.

use super::approvals::{all, approver_of, find, finish};
use super::error::ApiError;
use super::{ApiState, guarded};
use crate::engine::ids::ApprovalId;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Before what could not be carried out is tried again.
const LATER_AFTER: Duration = Duration::from_secs(5);

/// What was approved and cut off by the end of the process before; once, and before anything else is written. What cannot be
/// carried out now is tried again beside what is written then, and holds up nobody.
pub async fn finish_what_was_cut_off(state: &Arc<ApiState>) -> Result<(), ApiError> {
    let finish = || finish_all(state);
    state.unfinished_approvals.get_or_try_init(finish).await?;
    Ok(())
}

/// What somebody has changed since is left as it is.
async fn finish_all(state: &Arc<ApiState>) -> Result<(), ApiError> {
    let all = all(state).await?;
    let unfinished = all.iter().filter(|known| known.is_unfinished());
    let mut left = Vec::new();
    for id in unfinished.map(|known| known.id) {
        // All other writes wait for this, some of them in the turn of their object: it takes none.
        left.extend(finish_after_restart(state, id).await.err());
    }
    if !left.is_empty() {
        tokio::spawn(finish_later(Arc::downgrade(state), left));
    }
    Ok(())
}

/// Gives it back where it has to be tried again.
async fn finish_after_restart(state: &Arc<ApiState>, id: ApprovalId) -> Result<(), ApprovalId> {
    let finished = async {
        let approval = find(state, id).await?;
        if !approval.is_unfinished() {
            return Ok(());
        }
        let approver = approver_of(state, &approval).await?;
        finish(state, &approval, approver, 1).await
    };
    let finished: Result<(), ApiError> = finished.await;
    finished.map_err(|error| {
        tracing::warn!(approval = %id, error = %error.message, "what was approved before the start cannot be carried out now, and is tried again");
        id
    })
}

/// The same in the turn of its object, as the first try was.
async fn finish_in_turn(state: &Arc<ApiState>, id: ApprovalId) -> Result<(), ApprovalId> {
    let approval = find(state, id).await.map_err(|_| id)?;
    let path = guarded::route_of(&approval.write).path(&approval.write);
    let _turn = state.turns.wait_for(&path).await;
    finish_after_restart(state, id).await
}

async fn finish_later(state: Weak<ApiState>, mut left: Vec<ApprovalId>) {
    while !left.is_empty() {
        tokio::time::sleep(LATER_AFTER).await;
        let Some(state) = state.upgrade() else {
            return;
        };
        let mut still_left = Vec::new();
        for id in left {
            still_left.extend(finish_in_turn(&state, id).await.err());
        }
        left = still_left;
    }
}
