//! Who holds cards: as much as controls need to know. The registry has them all; a shard has, on each of its
//! cards, what decisions depend on. How that gets there after a change lives in `world.rs` and `api`.

use super::facts::Country;
use super::ids::{AccountId, CardId, CardholderId, ProgramId};
use super::registry::{Registry, RegistryEvent, RegistryOutcome, RegistryRefusal};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cardholder {
    pub id: CardholderId,
    pub program_id: ProgramId,
    pub name: Option<Box<str>>,
    pub home_country: Country,
    /// Who it is was established, by whatever means the customer has.
    pub verified: bool,
    pub created_at: Timestamp,
}

/// What is named is replaced. A verification may be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCardholder {
    pub id: CardholderId,
    pub name: Option<Box<str>>,
    pub home_country: Option<Country>,
    pub verified: Option<bool>,
}

/// To the registry: of a card that was issued, whoever held it before. The cards that it replaced keep theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetCardholder {
    pub card_id: CardId,
    pub cardholder_id: CardholderId,
}

/// What a card knows of its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub id: CardholderId,
    pub home_country: Country,
    pub verified: bool,
}

/// A cardholder of the registry, with the cards that were issued to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCardholder {
    pub cardholder: Cardholder,
    pub cards: SmallVec<[(CardId, AccountId); 1]>,
}

impl ChangeCardholder {
    fn applied_to(&self, before: &Cardholder) -> Cardholder {
        Cardholder {
            name: self.name.clone().or_else(|| before.name.clone()),
            home_country: self.home_country.unwrap_or(before.home_country),
            verified: self.verified.unwrap_or(before.verified),
            ..*before
        }
    }
}

/// Cards have to hear only of what they know of their holder.
pub(super) fn decide_change(registry: &Registry, change: &ChangeCardholder) -> RegistryOutcome {
    let Some(known) = registry.cardholders.get(&change.id) else {
        return RegistryOutcome::Refused(RegistryRefusal::CardholderNotFound(change.id));
    };
    let holder = change.applied_to(&known.cardholder).holder();
    let cards = match holder == known.cardholder.holder() {
        true => SmallVec::new(),
        false => known.cards.clone(),
    };
    RegistryOutcome::Event(RegistryEvent::CardholderChanged { holder, cards })
}

pub(super) fn apply_change(registry: &mut Registry, change: &ChangeCardholder) {
    if let Some(known) = registry.cardholders.get_mut(&change.id) {
        known.cardholder = change.applied_to(&known.cardholder);
    }
}

/// What a card of this program is to know of the cardholder.
pub(super) fn holder_for(
    registry: &Registry,
    id: CardholderId,
    program_id: ProgramId,
) -> Result<Holder, RegistryRefusal> {
    let known = registry.cardholders.get(&id);
    let cardholder = &known
        .ok_or(RegistryRefusal::CardholderNotFound(id))?
        .cardholder;
    match cardholder.program_id == program_id {
        true => Ok(cardholder.holder()),
        false => Err(RegistryRefusal::CardholderOfOtherProgram(id)),
    }
}

pub(super) fn decide_set(registry: &Registry, set: &SetCardholder) -> RegistryOutcome {
    let Some(card) = registry.issued_cards.get(set.card_id) else {
        return RegistryOutcome::Refused(RegistryRefusal::CardNotFound(set.card_id));
    };
    if let Some(by) = card.chain.and_then(|chain| chain.replaced_by) {
        return RegistryOutcome::Refused(RegistryRefusal::CardReplaced(by));
    }
    match holder_for(registry, set.cardholder_id, card.program_id) {
        Err(refusal) => RegistryOutcome::Refused(refusal),
        Ok(_) if card.cardholder_id == Some(set.cardholder_id) => RegistryOutcome::AlreadyDone,
        Ok(holder) => RegistryOutcome::Event(RegistryEvent::CardholderSet {
            root: card.root,
            holder,
        }),
    }
}

pub(super) fn apply_set(registry: &mut Registry, set: &SetCardholder, root: AccountId) {
    let card = registry.issued_cards.get_mut(set.card_id);
    let before = card.and_then(|card| card.cardholder_id.replace(set.cardholder_id));
    let before = before.and_then(|id| registry.cardholders.get_mut(&id));
    if let Some(before) = before {
        before.cards.retain(|(card_id, _)| *card_id != set.card_id);
    }
    if let Some(now) = registry.cardholders.get_mut(&set.cardholder_id) {
        now.cards.push((set.card_id, root));
    }
}

impl Cardholder {
    pub fn holder(&self) -> Holder {
        Holder {
            id: self.id,
            home_country: self.home_country,
            verified: self.verified,
        }
    }
}
