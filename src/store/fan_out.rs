//! What a linked object does to its cards is an event for each of them. Here: which records go into one transaction, so that
//! what they tell fits into memory, and which cards one record tells of. The events are in `events/links.rs`; who has the rest
//! told is in `webhooks/untold.rs`.

use super::database::Store;
use super::error::StoreError;
use super::events::{Piece, UntoldLinkChangeRow};
use super::rows::Sequence;
use crate::engine::ids::{CardId, EventId};
use crate::engine::link_states::{ChangeLinkStatus, TellCardsOfLink};
use crate::engine::record::Record;
use crate::engine::registry::{LinkKey, RegistryAction, RegistryEvent};
use std::collections::HashMap;

/// A record that tells of the cards of a linked object.
enum Telling<'a> {
    Change(&'a ChangeLinkStatus),
    Next(TellCardsOfLink),
}

fn telling(record: &Record) -> Option<Telling<'_>> {
    let Record::Registry { command, event, .. } = record else {
        return None;
    };
    match (&command.action, event) {
        (RegistryAction::ChangeLinkStatus(change), RegistryEvent::LinkStatusChanged { .. }) => {
            Some(Telling::Change(change))
        }
        (RegistryAction::TellCardsOfLink(tell), _) => Some(Telling::Next(*tell)),
        _ => None,
    }
}

/// Whether one of these tells of cards that an earlier record has left.
pub(super) fn tell_more(records: &[(Sequence, Record)]) -> bool {
    let is_next = |record| matches!(telling(record), Some(Telling::Next(_)));
    records.iter().any(|(_, record)| is_next(record))
}

/// What the card that a record issues is linked to.
fn links_issued(record: &Record) -> &[LinkKey] {
    match record {
        Record::Registry { command, event, .. } => match (&command.action, event) {
            (RegistryAction::IssueCard(issue), RegistryEvent::CardIssued { .. }) => &issue.links,
            (RegistryAction::ReissueCard(reissue), RegistryEvent::CardIssued { .. }) => {
                &reissue.issue.links
            }
            _ => &[],
        },
        Record::Shard { .. } => &[],
    }
}

impl Store {
    /// The ends of the runs of these records that go into one transaction. What linked objects do to so many cards goes
    /// together; what one does to more, and what tells of more of them, is alone: then the tables have all its cards.
    pub(super) async fn runs(
        &self,
        records: &[(Sequence, Record)],
        cards_max: usize,
    ) -> Result<Vec<usize>, StoreError> {
        let mut ends = Vec::new();
        let mut counted: HashMap<&LinkKey, usize> = HashMap::new();
        let mut issued: HashMap<&LinkKey, usize> = HashMap::new();
        let mut cards = 0;
        for (place, (_, record)) in records.iter().enumerate() {
            let links = links_issued(record);
            for (place, key) in links.iter().enumerate() {
                let is_twice = links[..place].contains(key);
                *issued.entry(key).or_default() += usize::from(!is_twice);
            }
            let told = match telling(record) {
                None => continue,
                Some(Telling::Next(_)) => cards_max + 1,
                Some(Telling::Change(ChangeLinkStatus { key, .. })) => {
                    let in_tables = match counted.get(key) {
                        Some(count) => *count,
                        None => self.count_cards_linked_to(key, cards_max + 1).await?,
                    };
                    counted.insert(key, in_tables);
                    in_tables + issued.get(key).copied().unwrap_or_default()
                }
            };
            cards += told;
            if cards > cards_max {
                ends.push(place);
                cards = told;
            }
            if told > cards_max {
                ends.push(place + 1);
                cards = 0;
            }
        }
        ends.push(records.len());
        ends.dedup();
        Ok(ends)
    }

    /// The cards that a record tells of, where it is alone and does. Nobody is told of none, and then none are left.
    pub(super) async fn piece(
        &self,
        records: &[(Sequence, Record)],
        has_subscribers: bool,
        cards_max: usize,
    ) -> Result<Option<Piece>, StoreError> {
        let [(sequence, record)] = records else {
            return Ok(None);
        };
        let change = match telling(record) {
            Some(Telling::Change(change)) if has_subscribers => Some(untold(*sequence, change)),
            None | Some(Telling::Change(_)) => None,
            Some(Telling::Next(tell)) => self.untold_link_change(tell.changed_at).await?,
        };
        let Some(change) = change else {
            return Ok(None);
        };
        let mut piece = Piece {
            change,
            cards: Vec::new(),
            is_last: true,
        };
        if !has_subscribers {
            return Ok(Some(piece));
        }
        let (key, after) = (piece.key(), piece.change.after_card_id);
        piece.cards = self.cards_linked_to(&key, after, cards_max + 1).await?;
        piece.is_last = piece.cards.len() <= cards_max;
        piece.cards.truncate(cards_max);
        Ok(Some(piece))
    }
}

/// A change that no card is told of yet.
fn untold(sequence: Sequence, change: &ChangeLinkStatus) -> UntoldLinkChangeRow {
    UntoldLinkChangeRow {
        id: EventId::of_record(sequence, 0).to_string(),
        sequence,
        program_id: change.key.program_id,
        link_type: change.key.link_type.to_string(),
        link_id: change.key.id.to_string(),
        status: change.to.name().to_owned(),
        after_card_id: CardId::default(),
    }
}
