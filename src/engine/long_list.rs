//! A list that may become very long: it grows without moving what is in it, so that no message waits
//! for that. What is in one does not live here.

use super::slot_index::Slot;
use std::ops::{Index, IndexMut};

/// Items of a piece. Several megabytes of most things: enough for the system to use large pages.
const PIECE: usize = 32_768;

/// Items by slot, from 0 on, in the order in which they were added.
#[derive(Debug, Clone)]
pub struct LongList<T> {
    /// All of them full but the last.
    pieces: Vec<Vec<T>>,
}

impl<T> Default for LongList<T> {
    fn default() -> LongList<T> {
        LongList { pieces: Vec::new() }
    }
}

impl<T> LongList<T> {
    /// Adds an item, and gives its slot.
    pub fn push(&mut self, item: T) -> Slot {
        if self.pieces.last().is_none_or(|last| last.len() == PIECE) {
            // The first piece grows as it is needed: most lists are short.
            let room = if self.pieces.is_empty() { 0 } else { PIECE };
            self.pieces.push(Vec::with_capacity(room));
        }
        let before = self.pieces.len() - 1;
        let last = &mut self.pieces[before];
        last.push(item);
        (before * PIECE + last.len() - 1) as Slot
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    pub fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl<T> Index<Slot> for LongList<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        &self.pieces[slot as usize / PIECE][slot as usize % PIECE]
    }
}

impl<T> IndexMut<Slot> for LongList<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        &mut self.pieces[slot as usize / PIECE][slot as usize % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_slots_over_many_pieces() {
        let mut list = LongList::default();
        assert!(list.is_empty());
        for number in 0..3 * PIECE as Slot + 7 {
            assert_eq!(list.push(number), number);
        }
        list[PIECE as Slot] = 1;
        assert_eq!(
            [list[PIECE as Slot], list[3 * PIECE as Slot]],
            [1, 3 * PIECE as Slot]
        );
        assert_eq!(
            (list.len(), list.iter().count()),
            (3 * PIECE + 7, 3 * PIECE + 7)
        );
    }
}
