//! The items of a snapshot that are of transfers.

use super::snapshot::{SnapshotError, SnapshotItem, Writer};
use super::state::State;
use super::world::World;
use std::borrow::Cow;

pub(super) fn write(writer: &mut Writer, state: &State) -> Result<(), SnapshotError> {
    for known in state.transfers.in_transit.values() {
        writer.put(&SnapshotItem::TransferInTransit(*known))?;
    }
    for (_, at, known) in state.transfers.ended.iter() {
        writer.put(&SnapshotItem::TransferEnded(at, *known))?;
    }
    for (id, at, received) in state.transfers.received.iter() {
        writer.put(&SnapshotItem::TransferReceived(id, at, *received))?;
    }
    Ok(())
}

/// What has to be done next, of all shards.
pub(super) fn write_pending(writer: &mut Writer, world: &World) -> Result<(), SnapshotError> {
    for next in world.pending_transfers.values() {
        writer.put(&SnapshotItem::PendingTransfer(Cow::Borrowed(next)))?;
    }
    Ok(())
}

/// Puts an item in its place; `None` where it has none.
pub(super) fn take(world: &mut World, item: SnapshotItem) -> Option<()> {
    match item {
        SnapshotItem::TransferInTransit(known) => {
            let state = world.shard_with(known.transfer.from_account_id)?;
            state.transfers.in_transit.insert(known.transfer.id, known);
        }
        SnapshotItem::TransferEnded(at, known) => {
            let state = world.shard_with(known.transfer.from_account_id)?;
            let ended = &mut state.transfers.ended;
            ended.remember(known.transfer.id, at, known);
        }
        SnapshotItem::TransferReceived(id, at, received) => {
            let state = world.shard_mut(received.root);
            state.transfers.received.remember(id, at, received);
        }
        SnapshotItem::PendingTransfer(next) => {
            let next = next.into_owned();
            world.pending_transfers.insert(next.transfer_id, next);
        }
        _ => return None,
    }
    Some(())
}
