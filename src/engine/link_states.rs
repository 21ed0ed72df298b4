//! The state of linked objects: frozen or closed, and with them every card that is linked, or ever will be. A card's own
//! state is left as it is.

use super::by_link::ByLink;
use super::ids::LinkId;
use super::registry::{
    LinkKey, Registry, RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView,
};
use super::state::{Card, CardStatus};
use serde::{Deserialize, Serialize};

/// The worse, the greater.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinkStatus {
    #[default]
    Active,
    Frozen,
    /// For good.
    Closed,
}

impl LinkStatus {
    pub fn name(self) -> &'static str {
        match self {
            LinkStatus::Active => "active",
            LinkStatus::Frozen => "frozen",
            LinkStatus::Closed => "closed",
        }
    }

    /// What a card is by its links, where that is worse than its own: closed, blocked, frozen, in this order.
    pub fn over(self, own: CardStatus) -> Option<LinkStatus> {
        match self {
            LinkStatus::Closed => Some(self),
            LinkStatus::Frozen if !own.is_blocked() && !own.is_closed() => Some(self),
            LinkStatus::Frozen | LinkStatus::Active => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeLinkStatus {
    pub key: LinkKey,
    pub to: LinkStatus,
}

/// Cards of an object that are told of with its change, and with each record after it: who has very many keeps nobody else
/// waiting. With another number, a rebuild makes other events of older records.
pub const CARDS_TOLD_AT_ONCE: usize = 1_000;

/// Has the next of them told of. Nothing changes but what others hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TellCardsOfLink {
    /// The sequence of the record of the change.
    pub changed_at: u64,
}

/// Those of all links. Each takes one byte at most, and so there is no bound of its own: to freeze is always possible.
#[derive(Debug, Clone, Default)]
pub struct LinkStates(ByLink<LinkStatus>);

impl LinkStates {
    pub fn get(&self, id: LinkId) -> LinkStatus {
        self.0.get(id).copied().unwrap_or_default()
    }

    /// The worst of what a card is linked to.
    pub fn of_card(&self, card: &Card) -> LinkStatus {
        self.worst_of_card(card)
            .map_or(LinkStatus::Active, |(status, _)| status)
    }

    /// The same with the link that it is of, the first of several; nothing where all are active.
    pub fn worst_of_card(&self, card: &Card) -> Option<(LinkStatus, LinkId)> {
        if self.0.is_empty() {
            return None;
        }
        let states = card.links.iter().map(|id| (self.get(*id), *id));
        states
            .filter(|(status, _)| *status != LinkStatus::Active)
            .reduce(|worst, other| if other.0 > worst.0 { other } else { worst })
    }

    /// Whether a link was frozen before, and is not now.
    pub fn has_freed_since(&self, before: &LinkStates) -> bool {
        self.0.has_lost_since(&before.0)
    }

    /// The very same table. Whoever keeps one to compare with has each change make another.
    pub fn is_same(&self, other: &LinkStates) -> bool {
        self.0.is_same(&other.0)
    }

    pub(super) fn set(&mut self, id: LinkId, status: LinkStatus) {
        self.0.set(id, status);
    }

    /// Those that are not active.
    pub fn in_order(&self) -> impl Iterator<Item = (LinkId, LinkStatus)> {
        self.0.iter().map(|(id, status)| (id, *status))
    }
}

/// The link becomes known with it, where it was not: cards may be linked later.
pub(super) fn decide(registry: &Registry, change: &ChangeLinkStatus) -> RegistryOutcome {
    let ChangeLinkStatus { key, to } = change;
    let view = &registry.view;
    let known = registry.link_ids.get(key).copied();
    let id = known.unwrap_or(LinkId(registry.link_keys.len() as u64 + 1));
    if !view.programs.contains_key(&key.program_id) {
        return RegistryOutcome::Refused(RegistryRefusal::ProgramNotFound(key.program_id));
    }
    match view.link_states.get(id) {
        status if status == *to => RegistryOutcome::AlreadyDone,
        LinkStatus::Closed => RegistryOutcome::Refused(closed(key)),
        _ => RegistryOutcome::Event(RegistryEvent::LinkStatusChanged {
            version: view.version + 1,
            link: id,
        }),
    }
}

pub(super) fn apply(registry: &mut Registry, change: &ChangeLinkStatus, id: LinkId) {
    if id.0 > registry.link_keys.len() as u64 {
        registry.insert_link(change.key.clone());
    }
}

/// No card is linked to what is closed.
pub(super) fn refusal_of_card(registry: &Registry, keys: &[LinkKey]) -> Option<RegistryRefusal> {
    let view: &RegistryView = &registry.view;
    let is_closed = |key: &&LinkKey| {
        let id = registry.link_ids.get(*key);
        id.is_some_and(|id| view.link_states.get(*id) == LinkStatus::Closed)
    };
    keys.iter().find(is_closed).map(closed)
}

fn closed(key: &LinkKey) -> RegistryRefusal {
    RegistryRefusal::LinkClosed {
        link_type: key.link_type.clone(),
        id: key.id.clone(),
    }
}
