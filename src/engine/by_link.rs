//! What some linked objects have and most have not, by the links' numbers, in pages: a change copies one page and the table of
//! them, however many links have something. What it is that they have lives with each thing.

use super::ids::LinkId;
use std::sync::Arc;

/// Links in one page.
const PAGE: usize = 1_024;

type Page<T> = [T; PAGE];

/// The default value stands for nothing; there is no page where nobody has anything.
#[derive(Debug, Clone)]
pub struct ByLink<T>(Arc<Vec<Option<Arc<Page<T>>>>>);

impl<T> Default for ByLink<T> {
    fn default() -> ByLink<T> {
        ByLink(Arc::new(Vec::new()))
    }
}

impl<T: Clone + Default + PartialEq> ByLink<T> {
    pub fn get(&self, id: LinkId) -> Option<&T> {
        let (page, place) = place_of(id)?;
        Some(&self.0.get(page)?.as_ref()?[place])
    }

    /// Nobody ever had anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn set(&mut self, id: LinkId, value: T) {
        let Some((page, place)) = place_of(id) else {
            return;
        };
        let pages = Arc::make_mut(&mut self.0);
        if page >= pages.len() {
            pages.resize(page + 1, None);
        }
        let nothing = || Arc::new(std::array::from_fn(|_| T::default()));
        let known = pages[page].get_or_insert_with(nothing);
        Arc::make_mut(known)[place] = value;
        if known.iter().all(|value| *value == T::default()) {
            pages[page] = None;
        }
    }

    /// Those that have something, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &T)> {
        let pages = self.0.iter().enumerate();
        let pages = pages.filter_map(|(page, values)| Some((page, values.as_ref()?)));
        let all = pages.flat_map(|(page, values)| {
            let values = values.iter().enumerate();
            values.map(move |(place, value)| (LinkId((page * PAGE + place) as u64 + 1), value))
        });
        all.filter(|(_, value)| **value != T::default())
    }

    /// The very same table. Whoever keeps one to compare with has each change make another.
    pub fn is_same(&self, other: &ByLink<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether one had something before, and has nothing now.
    pub fn has_lost_since(&self, before: &ByLink<T>) -> bool {
        let nothing = T::default();
        let has_lost = |(page, was): (usize, &Option<Arc<Page<T>>>)| {
            let now = self.0.get(page).and_then(Option::as_ref);
            match (was, now) {
                (None, _) => false,
                (Some(was), Some(now)) if Arc::ptr_eq(was, now) => false,
                (Some(was), now) => was.iter().enumerate().any(|(place, was)| {
                    *was != nothing && now.is_none_or(|now| now[place] == nothing)
                }),
            }
        };
        !self.is_same(before) && before.0.iter().enumerate().any(has_lost)
    }
}

/// Links are numbered from 1.
fn place_of(id: LinkId) -> Option<(usize, usize)> {
    let place = usize::try_from(id.0).ok()?.checked_sub(1)?;
    Some((place / PAGE, place % PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Close together, and some pages apart.
    fn any_change() -> impl Strategy<Value = (LinkId, u8)> {
        let id = prop_oneof![1u64..4, 1_023u64..1_027, 20_000u64..20_002];
        (id.prop_map(LinkId), 0u8..3)
    }

    proptest! {
        #[test]
        fn it_is_a_plain_map_whatever_page_a_link_is_in(
            changes in proptest::collection::vec(any_change(), 0..40), kept in 0usize..40
        ) {
            let (mut by_link, mut map) = (ByLink::default(), BTreeMap::new());
            let mut before = (by_link.clone(), map.clone());
            for (place, (id, value)) in changes.iter().enumerate() {
                if place == kept {
                    before = (by_link.clone(), map.clone());
                }
                by_link.set(*id, *value);
                map.insert(*id, *value);
                map.retain(|_, value| *value != 0);
            }
            let all = |by_link: &ByLink<u8>| by_link.iter().map(|(id, value)| (id, *value)).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(all(&by_link), map.clone());
            for (id, _) in &changes {
                let known = by_link.get(*id).copied().unwrap_or_default();
                prop_assert_eq!(known, map.get(id).copied().unwrap_or_default());
            }
            let has_lost = before.1.keys().any(|id| !map.contains_key(id));
            prop_assert_eq!(by_link.has_lost_since(&before.0), has_lost);
            prop_assert_eq!(all(&before.0), before.1);
        }
    }

    #[test]
    fn a_change_copies_one_page_and_what_nobody_has_any_more_takes_none() {
        let mut by_link = ByLink::default();
        for id in 1..=3 * PAGE as u64 {
            by_link.set(LinkId(id), 1);
        }
        let before = by_link.clone();
        by_link.set(LinkId(PAGE as u64 + 7), 2);
        let is_shared = |page: usize| match (&by_link.0[page], &before.0[page]) {
            (Some(now), Some(was)) => Arc::ptr_eq(now, was),
            _ => false,
        };
        assert_eq!([0, 1, 2].map(is_shared), [true, false, true]);
        for id in 1..=PAGE as u64 {
            by_link.set(LinkId(id), 0);
        }
        assert!(by_link.0[0].is_none() && by_link.0[2].is_some());
        assert_eq!([0, u64::MAX].map(|id| by_link.get(LinkId(id))), [None; 2]);
    }
}
