//! The exceptions that a list asks for, newest first, a part of them in one go: the registry has other work to do meanwhile.
//! Where the subject of one is was noted with it, so that who sees it is known without asking anybody.

use super::api_keys::{Bounds, Place};
use super::exceptions::{ControlException, ExceptionState, Subject};
use super::ids::ExceptionId;
use super::registry::{LinkKey, Registry};
use super::time::Timestamp;
use std::sync::Arc;

/// Looked at in one go, whether they fit or not.
const LOOKED_AT_MAX: usize = 1_000;

/// With the name of the link that it is of, if it is of one.
pub type KnownException = (Arc<ControlException>, Option<LinkKey>);

#[derive(Debug, Clone, Default)]
pub struct ExceptionFilter {
    pub older_than: Option<ExceptionId>,
    /// Each of them is its own.
    pub subjects: Vec<Subject>,
    pub state: Option<ExceptionState>,
    /// Of the linked object itself, and of cards that have such a link: any of a type, or one id of it.
    pub link: Option<(Box<str>, Option<Box<str>>)>,
    /// Of the key that asks, if it is bound.
    pub bounds: Option<Bounds>,
    pub count: usize,
}

#[derive(Debug, Clone, Default)]
pub struct ExceptionsPage {
    pub found: Vec<KnownException>,
    /// Those that were not looked at are older than this one; nothing, where all were.
    pub next: Option<ExceptionId>,
}

pub fn page(registry: &Registry, filter: &ExceptionFilter, now: Timestamp) -> ExceptionsPage {
    let mut page = ExceptionsPage::default();
    let older = registry.exceptions.older_than(filter.older_than);
    for (looked_at, exception) in (1..).zip(older) {
        if filter.fits(registry, exception, now) {
            page.found.push(known(registry, exception));
        }
        if page.found.len() >= filter.count || looked_at >= LOOKED_AT_MAX {
            page.next = Some(exception.id);
            break;
        }
    }
    page
}

pub fn find(registry: &Registry, id: ExceptionId) -> Option<KnownException> {
    let found = registry.exceptions.get(id);
    found.map(|exception| known(registry, exception))
}

fn known(registry: &Registry, exception: &Arc<ControlException>) -> KnownException {
    let link = match exception.subject {
        Subject::Link(id) => registry.link_key(id).cloned(),
        Subject::Card(_) | Subject::Account(_) => None,
    };
    (Arc::clone(exception), link)
}

impl ExceptionFilter {
    fn fits(&self, registry: &Registry, exception: &ControlException, now: Timestamp) -> bool {
        let mut subjects = self.subjects.iter();
        subjects.all(|subject| *subject == exception.subject)
            && self
                .state
                .is_none_or(|state| state == exception.state_at(now))
            && self.link.as_ref().is_none_or(|(link_type, id)| {
                let mut links = links_of(registry, exception.subject).into_iter();
                links.any(|key| {
                    key.link_type == *link_type && id.as_ref().is_none_or(|id| key.id == *id)
                })
            })
            && self
                .bounds
                .as_ref()
                .is_none_or(|bounds| is_within(registry, exception, bounds))
    }
}

fn is_within(registry: &Registry, exception: &ControlException, bounds: &Bounds) -> bool {
    let links = match bounds.links.is_empty() {
        true => Vec::new(),
        false => links_of(registry, exception.subject),
    };
    let links: Vec<_> = links
        .iter()
        .map(|key| (&*key.link_type, &*key.id))
        .collect();
    bounds.cover(&Place {
        program_id: exception.program_id,
        accounts: &exception.account_ids,
        links: &links,
    })
}

/// What its subject is linked to, or is.
fn links_of(registry: &Registry, subject: Subject) -> Vec<&LinkKey> {
    let ids = match subject {
        Subject::Card(id) => {
            let issued = registry.issued_cards.get(id);
            issued.map_or(&[][..], |issued| &issued.links)
        }
        Subject::Account(_) => &[],
        Subject::Link(id) => return registry.link_key(id).into_iter().collect(),
    };
    let keys = ids.iter().map(|id| registry.link_key(*id));
    keys.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::api_keys::BoundLink;
    use crate::engine::exceptions::Lifts;
    use crate::engine::ids::{AccountId, LinkId, ProgramId};
    use crate::engine::signers::Signer;

    /// Of accounts 12 below 11 of program 1, in turn with those of account 20 of program 2, and one of a link of program 1.
    fn registry(count: u64) -> Registry {
        let mut registry = Registry::default();
        registry.insert_link(LinkKey {
            program_id: ProgramId(1),
            link_type: "user".into(),
            id: "u1".into(),
        });
        let mut put = |id: u64, subject, program_id: u64, accounts: &[u64]| {
            let exception = ControlException {
                id: ExceptionId(id),
                subject,
                lifts: Lifts::default(),
                starts_at: Timestamp(0),
                ends_at: Timestamp(1_000),
                uses_max: None,
                reason: "trip".into(),
                requested_by: Signer {
                    api_key_id: None,
                    name: "root".into(),
                },
                created_at: Timestamp(0),
                state: ExceptionState::Requested,
                decided: None,
                ended: None,
                tenant: None,
                program_id: ProgramId(program_id),
                account_ids: accounts.iter().copied().map(AccountId).collect(),
            };
            registry.exceptions.put(Arc::new(exception));
        };
        for id in 1..=count {
            match id % 2 {
                0 => put(id, Subject::Account(AccountId(12)), 1, &[12, 11]),
                _ => put(id, Subject::Account(AccountId(20)), 2, &[20]),
            }
        }
        put(count + 1, Subject::Link(LinkId(1)), 1, &[]);
        registry
    }

    fn ids(registry: &Registry, mut filter: ExceptionFilter) -> (Vec<u64>, usize) {
        let (mut ids, mut rounds) = (Vec::new(), 0);
        loop {
            let page = page(registry, &filter, Timestamp(5));
            ids.extend(page.found.iter().map(|(exception, _)| exception.id.0));
            rounds += 1;
            match page.next {
                Some(next) => filter.older_than = Some(next),
                None => return (ids, rounds),
            }
        }
    }

    #[test]
    fn each_key_finds_what_is_within_its_bounds_newest_first() {
        let registry = registry(6);
        let of = |programs: &[u64], accounts: &[u64], links: &[&str]| {
            let link = |id: &&str| BoundLink {
                link_type: "user".into(),
                id: (*id).into(),
            };
            let bounds = Bounds {
                program_ids: programs.iter().copied().map(ProgramId).collect(),
                account_ids: accounts.iter().copied().map(AccountId).collect(),
                links: links.iter().map(link).collect(),
            };
            let filter = ExceptionFilter {
                bounds: Some(bounds),
                count: 100,
                ..ExceptionFilter::default()
            };
            ids(&registry, filter).0
        };
        assert_eq!(of(&[], &[], &[]), [7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(of(&[1], &[], &[]), [7, 6, 4, 2]);
        assert_eq!(of(&[2], &[], &[]), [5, 3, 1]);
        assert_eq!(of(&[], &[11], &[]), [6, 4, 2]);
        assert_eq!(of(&[2], &[11], &[]), [0; 0]);
        assert_eq!(of(&[], &[], &["u1"]), [7]);
        assert_eq!(of(&[], &[], &["u2"]), [0; 0]);
    }

    #[test]
    fn a_bounded_number_is_looked_at_in_one_go_and_none_twice_or_never() {
        let most = LOOKED_AT_MAX as u64;
        let registry = registry(2 * most + 1);
        let filter = ExceptionFilter {
            subjects: vec![Subject::Account(AccountId(20))],
            count: 10 * LOOKED_AT_MAX,
            ..ExceptionFilter::default()
        };
        let (found, rounds) = ids(&registry, filter.clone());
        let odd: Vec<u64> = (1..=2 * most + 1).rev().filter(|id| id % 2 == 1).collect();
        assert_eq!((found, rounds), (odd, 3));
        let mut none = filter;
        none.state = Some(ExceptionState::Ended);
        let first = page(&registry, &none, Timestamp(5));
        assert!(first.found.is_empty() && first.next == Some(ExceptionId(most + 3)));
    }
}
