//! Where things of the registry, new or restored, are put, and how they are found again. What it is made of is in
//! `registry.rs`.

use super::cardholders::{Cardholder, KnownCardholder};
use super::exceptions::Subject;
use super::ids::{CardId, LinkId};
use super::registry::{IssuedCard, LinkKey, Program, Registry, RegistryView};
use smallvec::SmallVec;
use std::sync::Arc;

impl RegistryView {
    pub fn programs_in_order(&self) -> Vec<&Program> {
        let mut programs: Vec<_> = self.programs.values().map(Arc::as_ref).collect();
        programs.sort_unstable_by_key(|program| program.id);
        programs
    }
}

impl Registry {
    /// Puts the next link, new or restored, in its place.
    pub(super) fn insert_link(&mut self, key: LinkKey) {
        self.link_keys.push(key.clone());
        self.link_facts.add_link();
        self.link_ids
            .insert(key, LinkId(self.link_keys.len() as u64));
    }

    /// Puts an issued card, new or restored, in its place, and among those of its holder.
    pub(super) fn insert_issued(&mut self, id: CardId, card: IssuedCard) {
        let holder = card
            .cardholder_id
            .and_then(|id| self.cardholders.get_mut(&id));
        if let Some(holder) = holder {
            holder.cards.push((id, card.root));
        }
        self.link_facts.add_card(&card.links, card.root);
        self.issued_cards.insert(id, card);
    }

    /// Under whom an exception is found: exceptions of a card are its chain's.
    pub(super) fn subject_of_chain(&self, subject: Subject) -> Subject {
        let Subject::Card(id) = subject else {
            return subject;
        };
        let chain = self.issued_cards.get(id).and_then(|card| card.chain);
        Subject::Card(chain.map_or(id, |chain| chain.first))
    }

    pub(super) fn insert_cardholder(&mut self, cardholder: Cardholder) {
        let known = KnownCardholder {
            cardholder,
            cards: SmallVec::new(),
        };
        self.cardholders.insert(known.cardholder.id, known);
    }

    /// Links are numbered from 1 in the order in which they became known.
    pub fn link_key(&self, id: LinkId) -> Option<&LinkKey> {
        self.link_keys.get((id.0 as usize).checked_sub(1)?)
    }
}
