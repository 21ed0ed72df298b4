//! What the registry knows of linked objects beside their names: their controls, which hold for every card that is
//! linked, and the account trees of those cards. What a link is, is in `registry.rs`; their limits count in
//! `shared_counters.rs`.

use super::by_link::ByLink;
use super::controls::Controls;
use super::ids::{AccountId, ApiKeyId, EventId, LimitId, LinkId};
use super::link_states::LinkStatus;
use super::registry::{
    LinkKey, Registry, RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView,
};
use super::shares::{ShareBounds, Shares};
use super::state::Card;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Linked objects with controls.
pub const LINKS_WITH_CONTROLS_MAX: usize = 100_000;

/// Of them those that one tenant gave their controls.
pub const LINKS_WITH_CONTROLS_OF_TENANT_MAX: usize = 10_000;

/// Limits that one linked object gave up and may take up again, with their counters.
pub const LIMITS_GIVEN_UP_MAX: usize = 20;

/// Cards of one linked object, closed ones among them: what it does is an event for each, and a record has no more.
pub const CARDS_OF_LINK_MAX: u32 = 1_000_000;
const _: () = assert!((CARDS_OF_LINK_MAX as u64) < EventId::PER_RECORD);

const SHARES: ShareBounds =
    ShareBounds::new(LINKS_WITH_CONTROLS_MAX, LINKS_WITH_CONTROLS_OF_TENANT_MAX);

/// The controls of linked objects, of those that have any.
#[derive(Debug, Clone, Default)]
pub struct LinkControls(ByLink<Option<Arc<Controls>>>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLinkControls {
    pub key: LinkKey,
    /// As a whole.
    pub controls: Controls,
    /// Whose share an object takes of that has none yet; `None` is the operator's.
    pub tenant: Option<ApiKeyId>,
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
    /// Which link has a limit, or has had it.
    of_limit: HashMap<LimitId, LinkId>,
    /// The limits that links gave up, the last ones, from the first to the last.
    given_up: BTreeMap<LinkId, Vec<LimitId>>,
    /// Who gave it its controls, of those that have any. Who changes them later takes nothing of it.
    given_by: HashMap<LinkId, Option<ApiKeyId>>,
    taken: Shares,
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
    /// Limits that it had before, as far as they are known.
    pub given_up: Vec<LimitId>,
}

impl KnownLink {
    /// Whether it has this limit, or has had it.
    pub fn knows_limit(&self, id: LimitId) -> bool {
        let limits = self.controls.iter().flat_map(|controls| &controls.limits);
        self.given_up.contains(&id) || limits.into_iter().any(|limit| limit.id == id)
    }

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
        self.0.get(id)?.as_ref()
    }

    /// Those of everything that a card is linked to, each once, in the order of its links.
    pub fn of_card<'a>(&'a self, card: &'a Card) -> impl Iterator<Item = (LinkId, &'a Controls)> {
        let some = if self.0.is_empty() {
            0
        } else {
            card.links.len()
        };
        let links = card.links[..some].iter().enumerate();
        let once = links.filter(|(place, id)| !card.links[..*place].contains(id));
        once.filter_map(|(_, id)| Some((*id, self.get(*id)?.as_ref())))
    }

    /// Without controls a link is not kept here.
    pub(super) fn set(&mut self, id: LinkId, controls: Controls) {
        let some = (!controls.is_empty()).then(|| Arc::new(controls));
        self.0.set(id, some);
    }

    pub fn in_order(&self) -> impl Iterator<Item = (LinkId, &Controls)> {
        self.0
            .iter()
            .filter_map(|(id, controls)| Some((id, controls.as_deref()?)))
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

    /// The limits of a link are these now; the others that it had stay its own for a while.
    pub(super) fn set_limits(&mut self, id: LinkId, before: Option<&Controls>, now: &Controls) {
        let has = |limit_id: LimitId| now.limits.iter().any(|limit| limit.id == limit_id);
        let mut given_up = self.given_up.remove(&id).unwrap_or_default();
        let before = before.iter().flat_map(|controls| &controls.limits);
        given_up.extend(before.map(|limit| limit.id));
        given_up.retain(|limit_id| !has(*limit_id));
        let forgotten = given_up.len().saturating_sub(LIMITS_GIVEN_UP_MAX);
        for limit_id in given_up.drain(..forgotten) {
            self.of_limit.remove(&limit_id);
        }
        let now = now.limits.iter().map(|limit| (limit.id, id));
        self.of_limit.extend(now);
        self.set_given_up(id, given_up);
    }

    /// As a snapshot has them.
    pub(super) fn set_given_up(&mut self, id: LinkId, given_up: Vec<LimitId>) {
        let all = given_up.iter().map(|limit_id| (*limit_id, id));
        self.of_limit.extend(all);
        if !given_up.is_empty() {
            self.given_up.insert(id, given_up);
        }
    }

    /// The limits that links gave up, as far as they are known.
    pub fn given_up(&self) -> impl Iterator<Item = (LinkId, &Vec<LimitId>)> {
        self.given_up.iter().map(|(id, limits)| (*id, limits))
    }

    /// It has controls now, by whom it got them first; or it has none any more.
    pub(super) fn set_giver(&mut self, id: LinkId, has_any: bool, tenant: Option<ApiKeyId>) {
        match (has_any, self.given_by.get(&id).copied()) {
            (true, None) => {
                self.given_by.insert(id, tenant);
                self.taken.add(tenant, 1);
            }
            (false, Some(giver)) => {
                self.given_by.remove(&id);
                self.taken.remove(giver, 1);
            }
            _ => {}
        }
    }

    /// Whose share a link with controls takes of.
    pub fn giver(&self, id: LinkId) -> Option<ApiKeyId> {
        self.given_by.get(&id).copied().flatten()
    }
}

/// Whether a card of this tree may be linked to all of these.
pub(super) fn refusal_of_card(
    registry: &Registry,
    keys: &[LinkKey],
    root: AccountId,
) -> Option<RegistryRefusal> {
    let known = keys.iter().filter_map(|key| known(registry, key));
    for link in known {
        if !link.takes_card_of(root) {
            return Some(link.other_tree());
        }
        if link.cards >= CARDS_OF_LINK_MAX {
            return Some(RegistryRefusal::TooManyCardsOfLink);
        }
    }
    None
}

pub(super) fn decide_set(registry: &Registry, set: &SetLinkControls) -> RegistryOutcome {
    let SetLinkControls {
        key,
        controls,
        tenant,
    } = set;
    let known = registry.link_ids.get(key).copied();
    let id = known.unwrap_or(LinkId(registry.link_keys.len() as u64 + 1));
    let view = &registry.view;
    let takes_share = !controls.is_empty() && view.links.get(id).is_none();
    let refusal = if !view.programs.contains_key(&key.program_id) {
        Some(RegistryRefusal::ProgramNotFound(key.program_id))
    } else if let Some(limit_id) = controls.limit_id_twice() {
        Some(RegistryRefusal::LimitIdTwice(limit_id))
    } else if takes_share
        && registry
            .link_facts
            .taken
            .check(*tenant, 1, &SHARES)
            .is_err()
    {
        Some(RegistryRefusal::TooManyLinksWithControls)
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
    facts.set_giver(id, !set.controls.is_empty(), set.tenant);
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
        given_up: registry
            .link_facts
            .given_up
            .get(&id)
            .cloned()
            .unwrap_or_default(),
    })
}
