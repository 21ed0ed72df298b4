//! What callers may have under way at once, so many of a tenant and of all, as it costs for as long as it lasts: calls to
//! endpoints that somebody waits for keep a connection of the interface, large bodies memory. Streams are in `events.rs`.

use super::auth::Caller;
use super::error::ApiError;
use crate::engine::ids::ApiKeyId;
use crate::engine::shares::{ShareBounds, Shares};
use std::sync::{Arc, Mutex, PoisonError};

pub const PINGS_MAX: usize = 16;
const PINGS_OF_TENANT_MAX: usize = 4;
/// Each with all that is made of it.
const LARGE_BODIES_MAX: usize = 8;
const LARGE_BODIES_OF_TENANT_MAX: usize = 2;

/// Things of one kind.
pub struct UnderWay {
    bounds: ShareBounds,
    taken: Mutex<Shares>,
}

/// One of them, until dropped.
pub struct Place {
    of: Arc<UnderWay>,
    tenant: Option<ApiKeyId>,
}

impl UnderWay {
    pub fn pings() -> Arc<UnderWay> {
        UnderWay::new(ShareBounds::new(PINGS_MAX, PINGS_OF_TENANT_MAX))
    }

    pub fn large_bodies() -> Arc<UnderWay> {
        UnderWay::new(ShareBounds::new(
            LARGE_BODIES_MAX,
            LARGE_BODIES_OF_TENANT_MAX,
        ))
    }

    fn new(bounds: ShareBounds) -> Arc<UnderWay> {
        let taken = Mutex::default();
        Arc::new(UnderWay { bounds, taken })
    }

    /// `None` where there is no room.
    fn enter(self: &Arc<UnderWay>, tenant: Option<ApiKeyId>) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.check(tenant, 1, &self.bounds).ok()?;
        taken.add(tenant, 1);
        let of = self.clone();
        Some(Place { of, tenant })
    }

    /// # Errors
    /// 503 `too_many_pings`.
    pub fn enter_ping(self: &Arc<UnderWay>, caller: &Caller) -> Result<Place, ApiError> {
        self.enter(caller.tenant()).ok_or_else(|| {
            let message = format!(
                "{PINGS_MAX} pings are under way already, or {PINGS_OF_TENANT_MAX} of one tenant; wait for one"
            );
            ApiError::unavailable("too_many_pings", message)
        })
    }

    /// # Errors
    /// 503 `too_many_large_bodies`.
    pub fn enter_large_body(self: &Arc<UnderWay>, caller: &Caller) -> Result<Place, ApiError> {
        self.enter(caller.tenant()).ok_or_else(|| {
            let message = format!(
                "{LARGE_BODIES_MAX} requests with more than 256 KiB are under way already, or {LARGE_BODIES_OF_TENANT_MAX} of \
                 one tenant; send one after the other"
            );
            ApiError::unavailable("too_many_large_bodies", message)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(self.tenant, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_share_and_gets_it_back() {
        let pings = UnderWay::pings();
        let enter = |id: u64| pings.enter(Some(ApiKeyId(id)));
        let own: Vec<Place> = (0..PINGS_OF_TENANT_MAX).filter_map(|_| enter(1)).collect();
        assert_eq!(own.len(), PINGS_OF_TENANT_MAX);
        assert!(enter(1).is_none());
        assert!(enter(2).is_some());
        drop(own);
        assert!(enter(1).is_some());
    }
}
