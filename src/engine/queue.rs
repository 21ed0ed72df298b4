//! A queue whose items are found by slot while they are in it. What is in one does not live here.

use super::slot_index::{SLOTS, Slot};
use std::collections::VecDeque;

/// Items of a piece of a queue.
pub(super) const PIECE: usize = 1024;

/// First in, first out. In pieces, so that it grows without moving anything, and gives back memory as
/// it shrinks. Slots are given out in turn and begin anew after the last; an item keeps its own.
#[derive(Debug, Clone)]
pub(super) struct Queue<T> {
    /// All of them full but the last.
    pub(super) pieces: VecDeque<Vec<T>>,
    /// The slot of the first item of the first piece, a multiple of `PIECE`.
    pub(super) first_piece: Slot,
    /// How many items of the first piece were removed.
    removed: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            pieces: VecDeque::new(),
            first_piece: 0,
            removed: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Where the item of a slot is: its piece, and its place there.
    fn place(&self, slot: Slot) -> (usize, usize) {
        let from_first = (slot.wrapping_sub(self.first_piece) % SLOTS) as usize;
        (from_first / PIECE, from_first % PIECE)
    }

    pub fn get(&self, slot: Slot) -> &T {
        let (piece, place) = self.place(slot);
        &self.pieces[piece][place]
    }

    pub fn get_mut(&mut self, slot: Slot) -> &mut T {
        let (piece, place) = self.place(slot);
        &mut self.pieces[piece][place]
    }

    pub fn push(&mut self, item: T) -> Slot {
        if self.pieces.back().is_none_or(|last| last.len() == PIECE) {
            self.pieces.push_back(Vec::with_capacity(PIECE));
        }
        let pieces = self.pieces.len();
        let last = &mut self.pieces[pieces - 1];
        last.push(item);
        let from_first = (pieces - 1) * PIECE + last.len() - 1;
        self.first_piece.wrapping_add(from_first as u32) % SLOTS
    }

    pub fn first(&self) -> Option<(Slot, &T)> {
        let first = self.pieces.front()?.get(self.removed)?;
        Some((self.first_piece + self.removed as u32, first))
    }

    /// Leaves the first item to be freed with its piece.
    pub fn remove_first(&mut self) {
        self.removed += 1;
        if self.removed == PIECE {
            self.pieces.pop_front();
            self.first_piece = self.first_piece.wrapping_add(PIECE as u32) % SLOTS;
            self.removed = 0;
        }
    }

    pub fn len(&self) -> usize {
        let last = self.pieces.back();
        last.map_or(0, |last| {
            (self.pieces.len() - 1) * PIECE + last.len() - self.removed
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten().skip(self.removed)
    }
}
