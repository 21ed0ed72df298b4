//! What the registry knows of linked objects beside their names: their controls, which hold for every card that is
//! linked, and the account trees of those cards. What a link is, is in `registry.rs`; their limits count in
//! `shared_counters.rs`.

use super::controls::Controls;
use super::ids::{AccountId, LimitId, LinkId};
use super::link_states::LinkStatus;
use super::registry::{
    LinkKey, Registry, RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView,
};
use super::state::Card;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Linked objects with controls: each change copies the table of them.
pub const LINKS_WITH_CONTROLS_MAX: usize = 100_000;

/// The controls of linked objects, of those that have any.
#[derive(Debug, Clone, Default)]
pub struct LinkControls(Arc<HashMap<LinkId, Arc<Controls>>>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLinkControls {
    pub key: LinkKey,
    /// As a whole.
    pub controls: Controls,
}

/// The account trees of the cards that are linked to an object, closed ones among them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum LinkedTrees {
    /// No card is linked yet.
    #[default]
    None,
    One(AccountId),
    Several,
}

/// What the registry keeps of links for itself. Found again when it is restored.
#[derive(Debug, Default, Clone)]
pub struct LinkFacts {
    /// In the order of the links' numbers.
    trees: Vec<LinkedTrees>,
    /// How many cards are linked, closed ones among them. In the same order.
    cards: Vec<u32>,
    /// Which link has a limit.
    of_limit: HashMap<LimitId, LinkId>,
}

/// A linked object as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLink {
    pub link_id: LinkId,
    pub key: LinkKey,
    pub controls: Option<Arc<Controls>>,
    pub status: LinkStatus,
    pub trees: LinkedTrees,
    /// Closed ones among them.
    pub cards: u32,
}

impl KnownLink {
    /// Limits are shared within one tree only.
    pub fn takes_card_of(&self, root: AccountId) -> bool {
        let controls = self.controls.as_ref();
        let has_limits = controls.is_some_and(|controls| !controls.limits.is_empty());
        !has_limits || [LinkedTrees::None, LinkedTrees::One(root)].contains(&self.trees)
    }

    pub fn other_tree(&self) -> RegistryRefusal {
        RegistryRefusal::LinkOfOtherTree {
            link_type: self.key.link_type.clone(),
            id: self.key.id.clone(),
        }
    }
}

impl LinkControls {
    pub fn get(&self, id: LinkId) -> Option<&Arc<Controls>> {
        self.0.get(&id)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of everything that a card is linked to, each once, in the order of its links.
    pub fn of_card<'a>(&'a self, card: &'a Card) -> impl Iterator<Item = &'a Controls> {
        let some = if self.0.is_empty() {
            0
        } else {
            card.links.len()
        };
        let links = card.links[..some].iter().enumerate();
        let once = links.filter(|(place, id)| !card.links[..*place].contains(id));
        once.filter_map(|(_, id)| self.get(*id).map(Arc::as_ref))
    }

    /// Without controls a link is not kept here.
    pub(super) fn set(&mut self, id: LinkId, controls: Controls) {
        let table = Arc::make_mut(&mut self.0);
        match controls.is_empty() {
            true => drop(table.remove(&id)),
            false => drop(table.insert(id, Arc::new(controls))),
        }
    }

    pub fn in_order(&self) -> Vec<(LinkId, &Controls)> {
        let all = self.0.iter();
        let mut all: Vec<_> = all.map(|(id, controls)| (*id, controls.as_ref())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

impl LinkFacts {
    pub(super) fn add_link(&mut self) {
        self.trees.push(LinkedTrees::None);
        self.cards.push(0);
    }

    /// A card of this tree is linked to all of these.
    pub(super) fn add_card(&mut self, links: &[LinkId], root: AccountId) {
        for id in links {
            let place = (id.0 as usize).wrapping_sub(1);
            let (Some(trees), Some(cards)) = (self.trees.get_mut(place), self.cards.get_mut(place))
            else {
                continue;
            };
            *cards = cards.saturating_add(1);
            *trees = match *trees {
                LinkedTrees::None => LinkedTrees::One(root),
                LinkedTrees::One(known) if known == root => LinkedTrees::One(root),
                LinkedTrees::One(_) | LinkedTrees::Several => LinkedTrees::Several,
            };
        }
    }

    pub fn trees(&self, id: LinkId) -> LinkedTrees {
        let place = (id.0 as usize).checked_sub(1);
        let trees = place.and_then(|place| self.trees.get(place));
        trees.copied().unwrap_or_default()
    }

    pub fn cards(&self, id: LinkId) -> u32 {
        let place = (id.0 as usize).wrapping_sub(1);
        self.cards.get(place).copied().unwrap_or_default()
    }

    /// The limits of a link are these, and no others any more.
    pub(super) fn set_limits(&mut self, id: LinkId, before: Option<&Controls>, now: &Controls) {
        let before = before.iter().flat_map(|controls| &controls.limits);
        for limit in before {
            self.of_limit.remove(&limit.id);
        }
        let now = now.limits.iter().map(|limit| (limit.id, id));
        self.of_limit.extend(now);
    }
}

/// Whether a card of this tree may be linked to all of these.
pub(super) fn refusal_of_card(
    registry: &Registry,
    keys: &[LinkKey],
    root: AccountId,
) -> Option<RegistryRefusal> {
    let mut known = keys.iter().filter_map(|key| known(registry, key));
    let refusing = known.find(|link| !link.takes_card_of(root))?;
    Some(refusing.other_tree())
}

pub(super) fn decide_set(registry: &Registry, set: &SetLinkControls) -> RegistryOutcome {
    let SetLinkControls { key, controls } = set;
    let known = registry.link_ids.get(key).copied();
    let id = known.unwrap_or(LinkId(registry.link_keys.len() as u64 + 1));
    let view = &registry.view;
    let refusal = if !view.programs.contains_key(&key.program_id) {
        Some(RegistryRefusal::ProgramNotFound(key.program_id))
    } else if let Some(limit_id) = controls.limit_id_twice() {
        Some(RegistryRefusal::LimitIdTwice(limit_id))
    } else if view.links.len() >= LINKS_WITH_CONTROLS_MAX && view.links.get(id).is_none() {
        Some(RegistryRefusal::TooManyLinks)
    } else {
        refusal_of_limits(registry, id, controls)
    };
    match refusal {
        Some(refusal) => RegistryOutcome::Refused(refusal),
        None => RegistryOutcome::Event(RegistryEvent::LinkControlsSet {
            version: view.version + 1,
            link: id,
        }),
    }
}

fn refusal_of_limits(
    registry: &Registry,
    id: LinkId,
    controls: &Controls,
) -> Option<RegistryRefusal> {
    let facts = &registry.link_facts;
    if !controls.limits.is_empty() && facts.trees(id) == LinkedTrees::Several {
        return Some(RegistryRefusal::LinkOfSeveralTrees);
    }
    let mut taken = controls.limits.iter().filter(|limit| {
        let owner = facts.of_limit.get(&limit.id);
        owner.is_some_and(|owner| *owner != id)
    });
    let taken = taken.next();
    taken.map(|limit| RegistryRefusal::LimitOfOtherLink(limit.id))
}

/// The link becomes known with its first controls.
pub(super) fn apply_set(registry: &mut Registry, set: &SetLinkControls, id: LinkId) {
    if id.0 > registry.link_keys.len() as u64 {
        registry.insert_link(set.key.clone());
    }
    let before = registry.view.links.get(id).cloned();
    let facts = &mut registry.link_facts;
    facts.set_limits(id, before.as_deref(), &set.controls);
}

/// The linked objects of this type and id, in the order of their programs.
pub fn find(registry: &Registry, link_type: &str, id: &str) -> Vec<KnownLink> {
    let programs = RegistryView::programs_in_order(&registry.view).into_iter();
    let keys = programs.map(|program| LinkKey {
        program_id: program.id,
        link_type: link_type.into(),
        id: id.into(),
    });
    keys.filter_map(|key| known(registry, &key)).collect()
}

fn known(registry: &Registry, key: &LinkKey) -> Option<KnownLink> {
    let id = *registry.link_ids.get(key)?;
    Some(KnownLink {
        link_id: id,
        key: key.clone(),
        controls: registry.view.links.get(id).cloned(),
        status: registry.view.link_states.get(id),
        trees: registry.link_facts.trees(id),
        cards: registry.link_facts.cards(id),
    })
}
