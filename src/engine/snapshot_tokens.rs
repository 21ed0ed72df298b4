//! The items of a snapshot that are of tokens.

use super::snapshot::{SnapshotError, SnapshotItem};
use super::snapshot_bytes::Writer;
use super::state::State;
use super::world::World;
use std::borrow::Cow;

pub(super) fn write(writer: &mut Writer, state: &State) -> Result<(), SnapshotError> {
    for token in state.tokens.iter() {
        writer.put(&SnapshotItem::Token(Cow::Borrowed(token)))?;
    }
    Ok(())
}

/// What the registry knows, and what shards have to open.
pub(super) fn write_numbers(writer: &mut Writer, world: &World) -> Result<(), SnapshotError> {
    for (id, number) in world.registry.token_numbers.iter() {
        writer.put(&SnapshotItem::TokenNumber(id, Cow::Borrowed(number)))?;
    }
    for pending in world.pending_tokens.values() {
        writer.put(&SnapshotItem::PendingToken(Cow::Borrowed(pending)))?;
    }
    Ok(())
}

/// Puts an item in its place; `None` where it has none.
pub(super) fn take(world: &mut World, item: SnapshotItem) -> Option<()> {
    match item {
        SnapshotItem::TokenNumber(id, number) => {
            let registry = &mut world.registry;
            registry.insert_token_number(id, number.into_owned());
        }
        SnapshotItem::Token(token) => {
            let token = token.into_owned();
            let card_id = token.card_id;
            let mut shards = world.shards.iter_mut();
            let state = shards.find(|state| state.card(card_id).is_some())?;
            state.tokens.insert(token);
        }
        SnapshotItem::PendingToken(pending) => {
            let pending = pending.into_owned();
            world.pending_tokens.insert(pending.open.token_id, pending);
        }
        _ => return None,
    }
    Some(())
}
