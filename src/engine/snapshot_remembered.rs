//! The items of a snapshot that are of what a tree remembers for a while: first answers, early reversals, top-ups.

use super::snapshot::{SnapshotError, SnapshotItem};
use super::snapshot_bytes::Writer;
use super::snapshot_money;
use super::state::State;
use super::world::World;

pub(super) fn write(writer: &mut Writer, state: &State) -> Result<(), SnapshotError> {
    for (key, at, first) in state.first_answers.iter() {
        writer.put(&SnapshotItem::FirstAnswer(key, at, *first))?;
    }
    for reversal in state.early_reversals.iter() {
        writer.put(&SnapshotItem::Reversal(*reversal))?;
    }
    for (id, at, account_id) in state.top_ups.iter() {
        writer.put(&SnapshotItem::TopUp(id, at, *account_id))?;
    }
    Ok(())
}

/// Puts an item in its place; `None` where it has none.
pub(super) fn take(world: &mut World, item: SnapshotItem) -> Option<()> {
    match item {
        SnapshotItem::FirstAnswer(key, at, first) => {
            let state = world.shard_mut(first.root);
            state.first_answers.remember(key, at, first);
        }
        SnapshotItem::Reversal(reversal) => {
            let state = world.shard_mut(reversal.root);
            state.early_reversals.remember(reversal);
        }
        SnapshotItem::TopUp(id, at, account_id) => {
            let state = world.shard_with(account_id)?;
            state.top_ups.remember(id, at, account_id);
        }
        item => return snapshot_money::take(world, item),
    }
    Some(())
}
