//! Events that were read a moment ago, in memory for whoever tells them next. Pure: who reads what is missing lives in
//! `event_reader.rs`.

use crate::engine::ids::EventId;
use crate::store::events::PlacedEvent;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one page at most.
pub const PAGE_ROWS: usize = 256;

/// What is kept at most: pages, rows, and bytes of rows. Below 2 KB for a row all of the first two fit.
const PAGES_MAX: usize = 512;
const ROWS_MAX: usize = 32_768;
const BYTES_MAX: usize = 64 << 20;

/// All events of a stretch of the journal: behind `after`, up to `through`.
#[derive(Debug, Clone)]
pub struct Page {
    pub after: EventId,
    pub through: EventId,
    pub events: Vec<Arc<PlacedEvent>>,
}

/// Pages that do not overlap, by their ends. Those that nobody asked for the longest are dropped first.
#[derive(Debug, Default)]
pub struct Pages {
    by_end: BTreeMap<EventId, Kept>,
    rows: usize,
    bytes: usize,
    /// Counts what was asked for.
    asked: u64,
}

#[derive(Debug)]
struct Kept {
    page: Page,
    bytes: usize,
    asked: u64,
}

impl Pages {
    /// What is known right behind a place: `None` where nothing is.
    pub fn behind(&mut self, after: EventId) -> Option<Page> {
        self.asked += 1;
        let asked = self.asked;
        let mut behind = self.by_end.range_mut(next(after)..);
        let (_, kept) = behind.next().filter(|(_, kept)| kept.page.after <= after)?;
        kept.asked = asked;
        let first = kept
            .page
            .events
            .partition_point(|event| event.row.id() <= after);
        Some(Page {
            after,
            through: kept.page.through,
            events: kept.page.events[first..].to_vec(),
        })
    }

    /// Where what is known begins again behind a place that nothing is known of: a page of that place goes no further.
    pub fn begins_behind(&self, after: EventId) -> Option<EventId> {
        let (_, kept) = self.by_end.range(next(after)..).next()?;
        Some(kept.page.after)
    }

    /// Keeps a page, as one with that before it where both are small.
    pub fn keep(&mut self, page: Page) {
        let overlaps = |begin: EventId| begin < page.through;
        if page.through <= page.after || self.begins_behind(page.after).is_some_and(overlaps) {
            return;
        }
        let mut bytes = page.events.iter().map(|event| event.bytes()).sum();
        self.rows += page.events.len();
        self.bytes += bytes;
        let mut whole = page;
        let before = self.by_end.get(&whole.after);
        if before.is_some_and(|before| before.page.events.len() + whole.events.len() <= PAGE_ROWS)
            && let Some(mut before) = self.by_end.remove(&whole.after)
        {
            before.page.events.append(&mut whole.events);
            before.page.through = whole.through;
            (whole, bytes) = (before.page, before.bytes + bytes);
        }
        let kept = Kept {
            bytes,
            asked: self.asked,
            page: whole,
        };
        self.by_end.insert(kept.page.through, kept);
        self.drop_what_is_too_much();
    }

    fn drop_what_is_too_much(&mut self) {
        let is_too_much = |pages: &Pages| {
            pages.by_end.len() > PAGES_MAX || pages.rows > ROWS_MAX || pages.bytes > BYTES_MAX
        };
        while is_too_much(self) {
            let oldest = self.by_end.iter().min_by_key(|(_, kept)| kept.asked);
            let Some(kept) = oldest
                .map(|(end, _)| *end)
                .and_then(|end| self.by_end.remove(&end))
            else {
                return;
            };
            self.rows -= kept.page.events.len();
            self.bytes -= kept.bytes;
        }
    }
}

fn next(after: EventId) -> EventId {
    EventId(after.0.saturating_add(1))
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
