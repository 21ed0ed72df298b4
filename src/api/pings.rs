//! Calls to endpoints that a caller waits for: so many at once, as each keeps a connection of the interface for as long as
//! the endpoint says nothing. Calls that nobody waits for live in `webhooks`.

use super::auth::Caller;
use super::error::ApiError;
use crate::engine::ids::ApiKeyId;
use crate::engine::shares::{ShareBounds, Shares};
use std::sync::{Arc, Mutex, PoisonError};

pub const PINGS_MAX: usize = 16;
pub const PINGS_OF_TENANT_MAX: usize = 4;
const SHARES: ShareBounds = ShareBounds::new(PINGS_MAX, PINGS_OF_TENANT_MAX);

#[derive(Default)]
pub struct Pings(Mutex<Shares>);

/// One of them, until dropped.
pub struct Ping {
    all: Arc<Pings>,
    tenant: Option<ApiKeyId>,
}

impl Pings {
    /// # Errors
    /// 503 `too_many_pings`.
    pub fn begin(self: &Arc<Pings>, caller: &Caller) -> Result<Ping, ApiError> {
        self.begin_of(caller.tenant())
    }

    fn begin_of(self: &Arc<Pings>, tenant: Option<ApiKeyId>) -> Result<Ping, ApiError> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.check(tenant, 1, &SHARES).is_err() {
            let message = format!(
                "{PINGS_MAX} pings are under way already, or {PINGS_OF_TENANT_MAX} of one tenant; wait for one"
            );
            return Err(ApiError::unavailable("too_many_pings", message));
        }
        under_way.add(tenant, 1);
        let all = self.clone();
        Ok(Ping { all, tenant })
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        let mut under_way = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(self.tenant, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_share_and_gets_it_back() {
        let pings = Arc::new(Pings::default());
        let tenant = |id: u64| Some(ApiKeyId(id));
        let begin = |id: u64| pings.begin_of(tenant(id));
        let own: Vec<Ping> = (0..PINGS_OF_TENANT_MAX)
            .map(|_| begin(1).unwrap())
            .collect();
        assert!(begin(1).is_err());
        assert!(begin(2).is_ok());
        drop(own);
        assert!(begin(1).is_ok());
    }
}
