//! The items of a snapshot that are of transfers and top-ups.

use super::snapshot::{SnapshotError, SnapshotItem};
use super::snapshot_bytes::Writer;
use super::snapshot_tokens;
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
    for pending in state.announced.pending() {
        writer.put(&SnapshotItem::TopUpAnnounced(Cow::Borrowed(pending)))?;
    }
    for (_, at, ended) in state.announced.ended.iter() {
        writer.put(&SnapshotItem::TopUpEnded(at, Cow::Borrowed(ended)))?;
    }
    Ok(())
}

/// What has to be done next, of all shards, and external references.
pub(super) fn write_pending(writer: &mut Writer, world: &World) -> Result<(), SnapshotError> {
    for next in world.pending_transfers.values() {
        writer.put(&SnapshotItem::PendingTransfer(Cow::Borrowed(next)))?;
    }
    for (method, reference, known) in world.registry.references.iter() {
        let (method, reference) = (Cow::Borrowed(method), Cow::Borrowed(reference));
        writer.put(&SnapshotItem::Reference(method, reference, known))?;
    }
    for reserve in world.pending_top_ups.values() {
        writer.put(&SnapshotItem::PendingReference(Cow::Borrowed(reserve)))?;
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
        SnapshotItem::TopUpAnnounced(pending) => {
            let pending = pending.into_owned();
            let state = world.shard_with(pending.top_up.account_id)?;
            state.announced.insert_pending(pending);
        }
        SnapshotItem::TopUpEnded(at, ended) => {
            let ended = ended.into_owned();
            let state = world.shard_with(ended.account_id)?;
            let id = ended.top_up_id;
            state.announced.ended.remember(id, at, ended);
        }
        SnapshotItem::Reference(method, reference, known) => {
            let references = &mut world.registry.references;
            references.insert(&method, &reference, known);
        }
        SnapshotItem::PendingReference(reserve) => {
            let reserve = reserve.into_owned();
            let id = reserve.top_up.top_up_id;
            world.pending_top_ups.insert(id, reserve);
        }
        item => return snapshot_tokens::take(world, item),
    }
    Some(())
}
