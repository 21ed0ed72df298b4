//! Places in a list, found by hash: entries of 64 bits and nothing else, so that looking one up, most
//! often in vain, reads one line of memory. What is at the places lives with whoever keeps the list.
//!
//! Equal hashes have to be rare: what shares one stands in one row. Names, which an acquirer may give to
//! many messages, are in `match_index.rs`.
//!
//! The table is in parts, and each grows by itself: nobody ever waits for all of it to be moved.

/// Where something is in its list: below `SLOTS`.
pub type Slot = u32;

/// How many slots there are. The bit above says that an entry is taken.
pub const SLOTS: u32 = 1 << 31;

/// A power of two. At ten million entries moving one part takes a millisecond.
const PARTS: usize = 64;

/// Entries that a part begins with; from then on it grows by half.
const ENTRIES_MIN: usize = 8;

/// Of three places two are taken at the most: what is not there is then missed after few looks.
const fn taken_max(places: usize) -> usize {
    places / 3 * 2
}

/// Slots by hash. Equal hashes may stand for different things: who asks has to compare.
#[derive(Debug, Clone)]
pub struct SlotIndex {
    parts: Box<[Part]>,
    len: usize,
}

/// An open-addressing table without tombstones: an entry is never behind a free place on the way from
/// its home.
#[derive(Debug, Clone, Default)]
struct Part {
    /// The upper half of the hash, a bit that is set, and the slot; zero where free.
    entries: Box<[u64]>,
    taken: usize,
}

const FREE: u64 = 0;

impl Default for SlotIndex {
    fn default() -> SlotIndex {
        SlotIndex {
            parts: vec![Part::default(); PARTS].into(),
            len: 0,
        }
    }
}

/// The hash of an id of ours. Ids count up, so they are mixed (splitmix64's finaliser).
pub fn hash_of_id(id: u64) -> u64 {
    let mut mixed = id;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

impl SlotIndex {
    /// The first slot under this hash that is the one.
    pub fn find(&self, hash: u64, is_it: impl Fn(Slot) -> bool) -> Option<Slot> {
        self.find_all(hash).find(|slot| is_it(*slot))
    }

    /// Every slot under this hash, in no order.
    fn find_all(&self, hash: u64) -> impl Iterator<Item = Slot> {
        let part = self.part(hash);
        let wanted = (hash >> 32) as u32;
        part.probe(wanted)
            .filter(move |(_, entry)| (entry >> 32) as u32 == wanted)
            .map(|(_, entry)| slot_of(entry))
    }

    /// Reads the place of this hash (see `touch.rs`).
    pub(super) fn touch(&self, hash: u64) -> u64 {
        let part = self.part(hash);
        let home = part.home((hash >> 32) as u32);
        part.entries.get(home).copied().unwrap_or(FREE)
    }

    /// Adds a slot, beside those that have the same hash.
    pub fn insert(&mut self, hash: u64, slot: Slot) {
        let part = self.part_mut(hash);
        if part.taken >= taken_max(part.entries.len()) {
            part.grow();
        }
        part.put(entry_of(hash, slot));
        part.taken += 1;
        self.len += 1;
    }

    /// Takes this slot out; does nothing where it is not.
    pub fn remove(&mut self, hash: u64, slot: Slot) {
        let part = self.part_mut(hash);
        if let Some(place) = part.place_of(hash, slot) {
            part.take_out(place);
            self.len -= 1;
        }
    }

    /// Puts a slot in place of another one of the same hash.
    pub fn replace(&mut self, hash: u64, slot: Slot, by: Slot) {
        let part = self.part_mut(hash);
        if let Some(place) = part.place_of(hash, slot) {
            part.entries[place] = entry_of(hash, by);
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn part(&self, hash: u64) -> &Part {
        &self.parts[part_of(hash)]
    }

    fn part_mut(&mut self, hash: u64) -> &mut Part {
        &mut self.parts[part_of(hash)]
    }
}

/// By bits that choose neither the shard (those at the end) nor the place within the part.
fn part_of(hash: u64) -> usize {
    (hash >> 26) as usize % PARTS
}

fn entry_of(hash: u64, slot: Slot) -> u64 {
    hash >> 32 << 32 | u64::from(slot | SLOTS)
}

fn slot_of(entry: u64) -> Slot {
    entry as u32 & (SLOTS - 1)
}

impl Part {
    /// Where an entry would be if no other were in its way. In the order of the hashes, so that
    /// growing reads and writes memory from end to end.
    fn home(&self, upper: u32) -> usize {
        ((u64::from(upper) * self.entries.len() as u64) >> 32) as usize
    }

    fn next(&self, place: usize) -> usize {
        let next = place + 1;
        if next == self.entries.len() { 0 } else { next }
    }

    /// Places with their entries, from the home of this hash up to the first free one.
    fn probe(&self, upper: u32) -> impl Iterator<Item = (usize, u64)> {
        let mut place = self.home(upper);
        std::iter::from_fn(move || {
            let entry = *self.entries.get(place)?;
            let here = place;
            place = self.next(place);
            (entry != FREE).then_some((here, entry))
        })
    }

    fn place_of(&self, hash: u64, slot: Slot) -> Option<usize> {
        let wanted = entry_of(hash, slot);
        let mut places = self.probe((hash >> 32) as u32);
        places
            .find(|(_, entry)| *entry == wanted)
            .map(|(place, _)| place)
    }

    fn put(&mut self, entry: u64) {
        let mut place = self.home((entry >> 32) as u32);
        while self.entries[place] != FREE {
            place = self.next(place);
        }
        self.entries[place] = entry;
    }

    /// Frees a place, and moves up what would otherwise be behind it.
    fn take_out(&mut self, place: usize) {
        let (mut free, mut place) = (place, self.next(place));
        while self.entries[place] != FREE {
            let entry = self.entries[place];
            let home = self.home((entry >> 32) as u32);
            if self.distance(home, place) >= self.distance(free, place) {
                self.entries[free] = entry;
                free = place;
            }
            place = self.next(place);
        }
        self.entries[free] = FREE;
        self.taken -= 1;
    }

    /// Steps from one place to another, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.entries.len() - from
        }
    }

    fn grow(&mut self) {
        let places = (self.entries.len() * 3 / 2).max(ENTRIES_MIN);
        let before = std::mem::replace(&mut self.entries, vec![FREE; places].into());
        before
            .iter()
            .filter(|entry| **entry != FREE)
            .for_each(|entry| self.put(*entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Debug, Clone)]
    enum Change {
        Insert(u64, Slot),
        Remove(u64, Slot),
        Replace(u64, Slot, Slot),
    }

    /// Few hashes, so that they meet and wrap around the end.
    fn any_hash() -> impl Strategy<Value = u64> {
        let upper = prop_oneof![0u64..6, u64::from(u32::MAX) - 5..=u64::from(u32::MAX)];
        (upper, 0u64..2).prop_map(|(upper, part)| upper << 32 | part << 26)
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => (any_hash(), 0u32..12).prop_map(|(hash, slot)| Change::Insert(hash, slot)),
            2 => (any_hash(), 0u32..12).prop_map(|(hash, slot)| Change::Remove(hash, slot)),
            1 => (any_hash(), 0u32..12, 0u32..12).prop_map(|(hash, slot, by)| Change::Replace(hash, slot, by)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_pairs(changes in proptest::collection::vec(any_change(), 0..300)) {
            let mut index = SlotIndex::default();
            let mut pairs = BTreeSet::new();
            for change in changes {
                match change {
                    Change::Insert(hash, slot) => {
                        if pairs.insert((hash, slot)) {
                            index.insert(hash, slot);
                        }
                    }
                    Change::Remove(hash, slot) => {
                        index.remove(hash, slot);
                        pairs.remove(&(hash, slot));
                    }
                    Change::Replace(hash, slot, by) => {
                        if pairs.contains(&(hash, slot)) && pairs.insert((hash, by)) {
                            pairs.remove(&(hash, slot));
                            index.replace(hash, slot, by);
                        }
                    }
                }
                prop_assert_eq!(index.len(), pairs.len());
                for hash in [0, 1 << 26, 2 << 32, 5 << 32 | 1 << 26, u64::from(u32::MAX) << 32] {
                    let mut found: Vec<_> = index.find_all(hash).collect();
                    found.sort_unstable();
                    let expected = pairs.iter().filter(|(of, _)| *of == hash).map(|(_, slot)| *slot);
                    prop_assert_eq!(found, expected.collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn many_come_and_go() {
        let mut index = SlotIndex::default();
        for slot in 0..50_000 {
            index.insert(hash_of_id(u64::from(slot)), slot);
        }
        for slot in (0..50_000).step_by(2) {
            index.remove(hash_of_id(u64::from(slot)), slot);
        }
        for slot in 0..50_000 {
            let found = index.find(hash_of_id(u64::from(slot)), |found| found == slot);
            assert_eq!(found, (slot % 2 == 1).then_some(slot));
        }
        assert_eq!(index.len(), 25_000);
    }
}
