//! Reading one object as of everything that is durable now: what SQL has of it, and the journal behind that. What
//! the object is does not live here.

use super::ApiState;
use super::error::ApiError;
use super::list::{self, store_error};
use crate::engine::record::{self, Record};
use crate::journal::JournalError;
use crate::store::StoreError;
use crate::store::lag::FollowState;
use std::sync::Arc;
use std::time::Duration;

/// The projection usually is this close behind; it is cheaper to wait than to read the journal.
const PROJECTION_PATIENCE: Duration = Duration::from_millis(250);

/// Records read behind the projection for one answer at the most.
const TAIL_MAX: u64 = 200_000;

/// What SQL says.
pub struct Stored<T> {
    pub value: T,
    /// The journal record that it is as of.
    pub position: u64,
    /// Nothing is known, because the database cannot be read.
    pub is_away: bool,
    /// Whether that is all there is.
    pub is_current: bool,
}

/// What SQL found, and how far that is; nothing where the database cannot be read.
pub type Found<T> = Option<(u64, T)>;

pub async fn unless_away<T>(
    state: &ApiState,
    asking: impl Future<Output = Result<(u64, T), StoreError>>,
) -> Result<Found<T>, ApiError> {
    if list::check_store(state).is_err() {
        return Ok(None);
    }
    match asking.await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "an object is read from the journal alone");
            Ok(None)
        }
        Err(error) => Err(store_error(error)),
    }
}

/// What SQL has of it; asked once more where SQL was behind and has caught up since.
pub async fn in_sql<T: Default, Asked>(
    state: &ApiState,
    asking: impl Fn() -> Asked,
) -> Result<Stored<T>, ApiError>
where
    Asked: Future<Output = Result<(u64, T), StoreError>>,
{
    let durable = state.journal.durable();
    let mut found = unless_away(state, asking()).await?;
    if caught_up(state, &found, durable).await {
        found = unless_away(state, asking()).await?;
    }
    stored(state, found, durable)
}

/// True where SQL was behind and has caught up since: to be asked again.
async fn caught_up<T>(state: &ApiState, found: &Found<T>, durable: u64) -> bool {
    matches!(found, Some((position, _)) if *position < durable)
        && state.lag.state() == FollowState::Following
        && state.lag.reached(durable, PROJECTION_PATIENCE).await
}

/// What was found, if the rest is not too much to be read from the journal.
pub fn stored<T: Default>(
    state: &ApiState,
    found: Found<T>,
    durable: u64,
) -> Result<Stored<T>, ApiError> {
    let is_away = found.is_none();
    let (position, value) = found.unwrap_or_else(|| (state.lag.projected_through(), T::default()));
    let is_current = position >= durable && !is_away;
    if !is_current && durable.saturating_sub(position) > TAIL_MAX {
        let message = format!(
            "the SQL database is {} records behind, too many to read for one answer; repeat this later",
            durable - position
        );
        return Err(ApiError::unavailable("store_behind", message));
    }
    Ok(Stored {
        value,
        position,
        is_away,
        is_current,
    })
}

/// Folds every record behind what SQL has, if there is any.
pub async fn tail<T: Send + 'static, S>(
    state: &Arc<ApiState>,
    stored: &Stored<S>,
    mut folded: T,
    fold: fn(&mut T, u64, &Record),
) -> Result<T, ApiError> {
    if stored.is_current {
        return Ok(folded);
    }
    let position = stored.position;
    let state = state.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let internal = |error: &dyn std::fmt::Display| ApiError::internal(error);
        let mut reader = match state.journal.reader(position + 1) {
            Err(JournalError::NotKept { .. }) => return Err(not_kept()),
            reader => reader.map_err(|error| internal(&error))?,
        };
        while let Some((sequence, bytes)) = reader.next().map_err(|error| internal(&error))? {
            let record = record::read(bytes).map_err(|error| internal(&error))?;
            fold(&mut folded, sequence, &record);
        }
        Ok(folded)
    });
    reading.await.map_err(|error| ApiError::internal(&error))?
}

/// What SQL lacks is no longer in the journal either: trying again does not help before the tables are put back.
fn not_kept() -> ApiError {
    let message = "the SQL tables lack records that the journal no longer keeps ([journal] retain); restore the database from a \
                   copy";
    ApiError::unavailable("store_behind", message)
}

/// SQL is away, and the object is none of those that the journal's tail tells of.
pub fn too_old(what: &str) -> ApiError {
    let message = format!(
        "this {what}, if there is one, is in the SQL database only, and that cannot be read now; repeat this later"
    );
    ApiError::unavailable("store_unavailable", message)
}
