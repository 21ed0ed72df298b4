//! Records that are an event for each card of a linked object. They are told in pieces, in the one transaction of their
//! record: an object may have more cards than would fit into memory with all that is told of them.

use super::database::{Store, Writer};
use super::error::StoreError;
use super::events::{self, EventContext, EventFold};
use super::projection::write_events;
use super::rows::Sequence;
use crate::engine::ids::CardId;
use crate::engine::record::Record;
use crate::engine::registry::{LinkKey, RegistryAction, RegistryEvent};
use std::collections::{HashMap, HashSet};

/// One of them, with its cards in the order of their ids.
pub(super) struct FanOut<'a> {
    sequence: Sequence,
    record: &'a Record,
    key: &'a LinkKey,
    cards: Vec<CardId>,
}

/// The object whose cards a record freezes, frees or closes.
fn link_of(record: &Record) -> Option<&LinkKey> {
    match record {
        Record::Registry { command, event, .. } => match (&command.action, event) {
            (RegistryAction::ChangeLinkStatus(change), RegistryEvent::LinkStatusChanged { .. }) => {
                Some(&change.key)
            }
            _ => None,
        },
        Record::Shard { .. } => None,
    }
}

/// How many cards linked objects have, as far as it matters.
pub(super) type CountedCards<'a> = HashMap<&'a LinkKey, usize>;

impl Store {
    /// How many of these go into one transaction: their objects have so many cards at most, but one that has more is alone.
    pub(super) async fn length_of_run<'a>(
        &self,
        records: &'a [(Sequence, Record)],
        counted: &mut CountedCards<'a>,
        cards_max: usize,
    ) -> Result<usize, StoreError> {
        let (mut keys, mut cards) = (HashSet::new(), 0);
        for (place, (_, record)) in records.iter().enumerate() {
            let Some(key) = link_of(record).filter(|key| keys.insert(*key)) else {
                continue;
            };
            cards += match counted.get(key) {
                Some(count) => *count,
                None => {
                    let count = self.count_cards_linked_to(key, cards_max + 1).await?;
                    counted.insert(key, count);
                    count
                }
            };
            if cards > cards_max {
                return Ok(place.max(1));
            }
        }
        Ok(records.len())
    }

    /// Where these are one of them.
    pub(super) async fn fan_out<'a>(
        &self,
        records: &'a [(Sequence, Record)],
    ) -> Result<Option<FanOut<'a>>, StoreError> {
        let [(sequence, record)] = records else {
            return Ok(None);
        };
        let Some(key) = link_of(record) else {
            return Ok(None);
        };
        let mut cards = self.cards_linked_to(key).await?;
        cards.sort_unstable();
        cards.dedup();
        Ok(Some(FanOut {
            sequence: *sequence,
            record,
            key,
            cards,
        }))
    }

    /// So many cards at once.
    pub(super) async fn write_fan_out<W: Writer>(
        &self,
        writer: &mut W,
        fan_out: &FanOut<'_>,
        context: &mut EventContext,
        cards_at_once: usize,
    ) -> Result<(), StoreError> {
        let sql = |error| self.error("write the events of a linked object's cards", error);
        let mut pieces = fan_out.cards.chunks(cards_at_once.max(1));
        // The object's state is noted where it has no cards, too.
        let mut piece = Some(pieces.next().unwrap_or_default());
        let mut place = 0;
        while let Some(cards) = piece {
            let needs = events::needs_of_cards(cards, fan_out.key);
            self.learn_for_events(context, needs).await?;
            let mut fold = EventFold::from_place(context, place);
            place += fold.record(fan_out.sequence, fan_out.record);
            write_events(writer, &fold.finish()).await.map_err(sql)?;
            piece = pieces.next();
        }
        Ok(())
    }
}
