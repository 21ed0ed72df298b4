//! Shares of what all who use the interface have in common: how much of it is taken, in all and by each tenant. A tenant is
//! a bound API key that was made with one that is bound to nothing, together with all keys that come from it; keys that are
//! bound to nothing are the operator's and of no tenant. What is shared, and how much there is, lives with each thing.

use super::ids::ApiKeyId;
use std::collections::BTreeMap;

/// How much of something there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareBounds {
    /// Of all, the operator among them.
    pub all: u64,
    pub of_tenant: u64,
}

impl ShareBounds {
    pub const fn new(all: usize, of_tenant: usize) -> ShareBounds {
        ShareBounds {
            all: all as u64,
            of_tenant: of_tenant as u64,
        }
    }

    /// Of all tenants together: the last quarter is the operator's.
    pub const fn of_tenants(&self) -> u64 {
        self.all - self.all / 4
    }
}

/// What there is no room in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The tenant's own share: its own doing.
    Tenant,
    /// What all have, or all tenants.
    All,
}

/// Where something is forgotten to make room: the first one of whoever has most, so that nobody loses his by what others
/// do.
pub fn first_of_most<Item, Of: Ord>(all: impl Iterator<Item = (Of, Item)>) -> Option<Item> {
    let mut by_whom: BTreeMap<Of, (usize, Item)> = BTreeMap::new();
    for (of, item) in all {
        by_whom.entry(of).or_insert((0, item)).0 += 1;
    }
    let most = by_whom.into_values().max_by_key(|(count, _)| *count);
    most.map(|(_, first)| first)
}

/// How much is taken.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Shares {
    all: u64,
    of_tenants: u64,
    by_tenant: BTreeMap<ApiKeyId, u64>,
}

impl Shares {
    /// One for each.
    pub fn of(tenants: impl Iterator<Item = Option<ApiKeyId>>) -> Shares {
        let mut shares = Shares::default();
        tenants.for_each(|tenant| shares.add(tenant, 1));
        shares
    }

    pub fn all(&self) -> u64 {
        self.all
    }

    pub fn add(&mut self, tenant: Option<ApiKeyId>, amount: u64) {
        self.all += amount;
        if let Some(tenant) = tenant {
            self.of_tenants += amount;
            *self.by_tenant.entry(tenant).or_default() += amount;
        }
    }

    /// What was added before.
    pub fn remove(&mut self, tenant: Option<ApiKeyId>, amount: u64) {
        self.all = self.all.saturating_sub(amount);
        let Some(tenant) = tenant else {
            return;
        };
        self.of_tenants = self.of_tenants.saturating_sub(amount);
        if let Some(own) = self.by_tenant.get_mut(&tenant) {
            *own = own.saturating_sub(amount);
            if *own == 0 {
                self.by_tenant.remove(&tenant);
            }
        }
    }

    /// Whether there is room for so much more.
    pub fn check(
        &self,
        tenant: Option<ApiKeyId>,
        amount: u64,
        bounds: &ShareBounds,
    ) -> Result<(), Full> {
        let has_room = |taken: u64, most: u64| taken.saturating_add(amount) <= most;
        if let Some(tenant) = tenant {
            let own = self.by_tenant.get(&tenant).copied().unwrap_or_default();
            if !has_room(own, bounds.of_tenant) {
                return Err(Full::Tenant);
            }
            if !has_room(self.of_tenants, bounds.of_tenants()) {
                return Err(Full::All);
            }
        }
        match has_room(self.all, bounds.all) {
            true => Ok(()),
            false => Err(Full::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: ShareBounds = ShareBounds {
        all: 8,
        of_tenant: 4,
    };

    #[test]
    fn whoever_has_most_makes_room_with_his_first() {
        let of = |who: &'static str| move |id: u32| (who, id);
        let (few, many) = ([3, 9].map(of("few")), [4, 5, 6].map(of("many")));
        assert_eq!(first_of_most(few.into_iter().chain(many)), Some(4));
        assert_eq!(first_of_most(few.into_iter()), Some(3));
        assert_eq!(first_of_most(std::iter::empty::<((), ())>()), None);
    }

    #[test]
    fn a_tenant_has_its_share_and_all_tenants_leave_a_quarter_to_the_operator() {
        let [one, other] = [1, 2].map(|id| Some(ApiKeyId(id)));
        let mut shares = Shares::of([one, one, one, one].into_iter());
        assert_eq!(shares.check(one, 1, &BOUNDS), Err(Full::Tenant));
        assert_eq!(shares.check(other, 2, &BOUNDS), Ok(()));
        assert_eq!(shares.check(other, 3, &BOUNDS), Err(Full::All));
        shares.add(other, 2);
        assert_eq!(shares.check(other, 1, &BOUNDS), Err(Full::All));
        assert_eq!(shares.check(None, 2, &BOUNDS), Ok(()));
        assert_eq!(shares.check(None, 3, &BOUNDS), Err(Full::All));
        shares.add(None, 2);
        assert_eq!(shares.check(None, 1, &BOUNDS), Err(Full::All));
        shares.remove(one, 4);
        assert_eq!(shares.check(one, 4, &BOUNDS), Ok(()));
        assert_eq!(shares.check(other, 3, &BOUNDS), Err(Full::Tenant));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_the_sum_of_what_was_added(
            added in proptest::collection::vec((proptest::option::of(0u64..4), 0u64..9), 0..40), kept in 0usize..40
        ) {
            let added: Vec<_> = added.into_iter().map(|(id, amount)| (id.map(ApiKeyId), amount)).collect();
            let sum = |all: &[(Option<ApiKeyId>, u64)]| {
                let mut shares = Shares::default();
                all.iter().filter(|(_, amount)| *amount > 0).for_each(|(tenant, amount)| shares.add(*tenant, *amount));
                shares
            };
            let kept = kept.min(added.len());
            let mut shares = sum(&added);
            for (tenant, amount) in &added[kept..] {
                shares.remove(*tenant, *amount);
            }
            prop_assert_eq!(shares, sum(&added[..kept]));
        }
    }
}
