//! Reads the events once for all who tell them: who misses a page reads it, and the others wait for that one.

use super::pages::{PAGE_ROWS, Page, Pages};
use super::stats::WebhookStats;
use crate::engine::ids::EventId;
use crate::store::events::PlacedEvent;
use crate::store::{Store, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the reading of somebody else is waited for. With a database that says nothing all wait for one, and have calls
/// to look after meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);

pub struct EventReader {
    store: Store,
    stats: Arc<WebhookStats>,
    pages: Mutex<Pages>,
    /// Held by who reads on where what is known ends, and by who reads further back: a replay holds up nothing new.
    head: tokio::sync::Mutex<()>,
    past: tokio::sync::Mutex<()>,
}

impl EventReader {
    pub fn new(store: Store, stats: Arc<WebhookStats>) -> EventReader {
        EventReader {
            store,
            stats,
            pages: Mutex::default(),
            head: tokio::sync::Mutex::default(),
            past: tokio::sync::Mutex::default(),
        }
    }

    /// What there is right behind a place, some of it at once; nothing while somebody else reads for long.
    pub async fn behind(&self, after: EventId) -> Result<Option<Page>, StoreError> {
        if let Some(page) = self.pages().behind(after) {
            return Ok(Some(page));
        }
        loop {
            let is_past = self.pages().begins_behind(after).is_some();
            let lock = if is_past { &self.past } else { &self.head };
            let Ok(_reading) = tokio::time::timeout(PATIENCE, lock.lock()).await else {
                return Ok(None);
            };
            // Somebody may have read it meanwhile, or what is known ends elsewhere.
            if let Some(page) = self.pages().behind(after) {
                return Ok(Some(page));
            }
            let before = self.pages().begins_behind(after);
            if before.is_some() == is_past {
                return self.read(after, before).await.map(Some);
            }
        }
    }

    async fn read(&self, after: EventId, before: Option<EventId>) -> Result<Page, StoreError> {
        let read = self.store.events_behind(after, before, PAGE_ROWS as u32);
        let (rows, through) = read.await?;
        self.stats.count_read(rows.len());
        let events = rows.into_iter().map(|row| Arc::new(PlacedEvent::of(row)));
        let page = Page {
            after,
            through,
            events: events.collect(),
        };
        self.pages().keep(page.clone());
        Ok(page)
    }

    /// One event, wherever it is; nothing where it is kept no more.
    pub async fn one(&self, id: EventId) -> Result<Option<Arc<PlacedEvent>>, StoreError> {
        let before = EventId(id.0.saturating_sub(1));
        if let Some(page) = self.pages().behind(before) {
            let found = page.events.first().filter(|event| event.row.id() == id);
            return Ok(found.cloned());
        }
        let row = self.store.event(id).await?;
        self.stats.count_read(usize::from(row.is_some()));
        Ok(row.map(|row| Arc::new(PlacedEvent::of(row))))
    }

    /// Never held over a wait.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
