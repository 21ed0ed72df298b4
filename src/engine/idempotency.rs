//! Idempotency keys in use: which request each stands for, and the response once there is one. They are kept in memory for
//! as long as `idempotency_retention_ms` says, so how many bytes they may take is bounded, in all and for each tenant: a
//! key is refused where there is no room for it, and none is forgotten before its time.
//! Carrying a write out once lives in `api`.

use super::ids::ApiKeyId;
use super::kept_text::KeptText;
use super::recent::Recent;
use super::registry::{EngineSettings, Registry, RegistryEvent, RegistryOutcome, RegistryRefusal};
use super::shares::{Full, ShareBounds, Shares};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What an entry takes beside the body of its response: its place, its way to be found, and what allocating costs.
pub const ENTRY_BYTES: u64 = 256;

/// Times that memory is freed after a refusal.
const RECLAIMED_AT_ONCE: usize = 1_000;

/// An `Idempotency-Key` within its API key and those that it was rolled to, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdempotencyKey(#[serde(with = "postcard::fixint::le")] pub u128);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotentRequest {
    pub key: IdempotencyKey,
    /// Hash of method, path and body.
    #[serde(with = "postcard::fixint::le")]
    pub request_hash: u128,
    /// Ids from here on belong to this request, so that doing it again makes the same objects.
    pub first_id: u64,
    /// Whose share it takes of.
    pub tenant: Option<ApiKeyId>,
    /// Under which what it changes stands in the journal.
    pub request_number: u64,
}

/// An idempotency key in use: its request, and the response once there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyEntry {
    pub request: IdempotentRequest,
    pub response: Option<(u16, KeptText)>,
}

impl IdempotencyEntry {
    fn bytes(&self) -> u64 {
        let body = self.response.as_ref().map(|(_, body)| body.bytes());
        ENTRY_BYTES + body.unwrap_or_default()
    }
}

/// All that are in use, with the bytes that they take.
#[derive(Debug, Clone, Default)]
pub struct IdempotencyKeys {
    entries: Recent<IdempotencyKey, IdempotencyEntry>,
    taken: Shares,
}

impl IdempotencyKeys {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// About what they take in memory.
    pub fn bytes(&self) -> u64 {
        self.taken.all()
    }

    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (IdempotencyKey, Timestamp, &IdempotencyEntry)> {
        self.entries.iter()
    }

    /// Puts one, new or restored, in its place.
    pub(super) fn insert(&mut self, at: Timestamp, entry: IdempotencyEntry) {
        let key = entry.request.key;
        // One that is over and not reclaimed yet may have the same key.
        if let Some(before) = self.entries.find(key, at, i64::MAX) {
            self.taken.remove(before.request.tenant, before.bytes());
        }
        self.taken.add(entry.request.tenant, entry.bytes());
        self.entries.remember(key, at, entry);
    }

    /// There is room for one more, now that those that are over by then are gone, reclaimed or not.
    fn check(
        &self,
        tenant: Option<ApiKeyId>,
        at: Timestamp,
        settings: &EngineSettings,
    ) -> Result<(), Full> {
        let bounds = ShareBounds {
            all: settings.idempotency_bytes_max,
            of_tenant: settings.idempotency_bytes_of_tenant_max,
        };
        let check = |taken: &Shares| taken.check(tenant, ENTRY_BYTES, &bounds);
        let Err(mut full) = check(&self.taken) else {
            return Ok(());
        };
        let retention_ms = settings.idempotency_retention_ms;
        let is_over = |begun_at: Timestamp| begun_at.plus_ms(retention_ms) <= at;
        let over = self.entries.iter();
        let mut over = over.take_while(|entry| is_over(entry.1)).peekable();
        if over.peek().is_none() {
            return Err(full);
        }
        let mut left = self.taken.clone();
        for (_, _, entry) in over {
            left.remove(entry.request.tenant, entry.bytes());
            match check(&left) {
                Ok(()) => return Ok(()),
                Err(still) => full = still,
            }
        }
        Err(full)
    }

    pub(super) fn complete(
        &mut self,
        key: IdempotencyKey,
        at: Timestamp,
        retention_ms: i64,
        response: (u16, KeptText),
    ) {
        let Some(entry) = self.entries.find_mut(key, at, retention_ms) else {
            return;
        };
        self.taken.remove(entry.request.tenant, entry.bytes());
        entry.response = Some(response);
        self.taken.add(entry.request.tenant, entry.bytes());
    }

    /// More of what is over than a change frees: after a refusal, which has looked at all of it in vain and would again.
    pub fn reclaim(&mut self, now: Timestamp, retention_ms: i64) {
        for _ in 0..RECLAIMED_AT_ONCE {
            self.forget(now, retention_ms);
        }
    }

    pub(super) fn forget(&mut self, now: Timestamp, retention_ms: i64) {
        let IdempotencyKeys { entries, taken } = self;
        entries.forget_into(now, retention_ms, |_, _, entry| {
            taken.remove(entry.request.tenant, entry.bytes());
        });
    }
}

pub(super) fn decide_begin(
    registry: &Registry,
    at: Timestamp,
    request: &IdempotentRequest,
) -> RegistryOutcome {
    let (keys, settings) = (&registry.idempotency, &registry.view.settings);
    let retention_ms = settings.idempotency_retention_ms;
    if let Some(entry) = keys.entries.find(request.key, at, retention_ms) {
        return RegistryOutcome::Known(entry.clone());
    }
    match keys.check(request.tenant, at, settings) {
        Ok(()) => RegistryOutcome::Event(RegistryEvent::IdempotentBegun),
        Err(full) => RegistryOutcome::Refused(RegistryRefusal::IdempotencyKeysFull(full)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const RETENTION_MS: i64 = 1_000;

    fn request(key: u128, tenant: Option<u64>) -> IdempotentRequest {
        IdempotentRequest {
            key: IdempotencyKey(key),
            request_hash: 0,
            first_id: 0,
            tenant: tenant.map(ApiKeyId),
            request_number: 0,
        }
    }

    /// One with room for eight keys without response, four of one tenant.
    fn registry() -> Registry {
        let mut registry = Registry::default();
        let settings = &mut Arc::make_mut(&mut registry.view).settings;
        settings.idempotency_retention_ms = RETENTION_MS;
        settings.idempotency_bytes_max = 8 * ENTRY_BYTES;
        settings.idempotency_bytes_of_tenant_max = 4 * ENTRY_BYTES;
        registry
    }

    fn begin(registry: &mut Registry, at: i64, request: IdempotentRequest) -> RegistryOutcome {
        let at = Timestamp(at);
        let outcome = decide_begin(registry, at, &request);
        if matches!(outcome, RegistryOutcome::Event(_)) {
            let response = None;
            let entry = IdempotencyEntry { request, response };
            registry.idempotency.insert(at, entry);
        }
        outcome
    }

    #[test]
    fn a_tenant_that_is_full_leaves_room_for_others_and_no_key_goes_before_its_time() {
        let mut registry = registry();
        let full = |full| RegistryOutcome::Refused(RegistryRefusal::IdempotencyKeysFull(full));
        let begun = RegistryOutcome::Event(RegistryEvent::IdempotentBegun);
        for key in 0..4 {
            let outcome = begin(&mut registry, 10 + key, request(key as u128, Some(1)));
            assert_eq!(outcome, begun);
        }
        let fifth = request(5, Some(1));
        assert_eq!(begin(&mut registry, 20, fifth), full(Full::Tenant));
        // Another tenant has what is left of three quarters, the operator the rest.
        for key in 6..8 {
            assert_eq!(begin(&mut registry, 20, request(key, Some(2))), begun);
        }
        assert_eq!(
            begin(&mut registry, 20, request(9, Some(2))),
            full(Full::All)
        );
        for key in 10..12 {
            assert_eq!(begin(&mut registry, 20, request(key, None)), begun);
        }
        assert_eq!(begin(&mut registry, 20, request(12, None)), full(Full::All));
        // The first is known as long as it counts, and makes room once it does not, reclaimed or not.
        let first = begin(&mut registry, 9 + RETENTION_MS, request(0, Some(1)));
        assert!(matches!(first, RegistryOutcome::Known(_)));
        let at = 10 + RETENTION_MS;
        assert_eq!(begin(&mut registry, at, fifth), begun);
        assert_eq!(
            begin(&mut registry, at, request(13, Some(1))),
            full(Full::Tenant)
        );
    }

    #[test]
    fn a_response_counts_with_the_bytes_that_it_takes_until_it_is_forgotten() {
        let mut registry = registry();
        begin(&mut registry, 0, request(1, Some(1)));
        let body = KeptText::of("{}");
        let response = (201, body.clone());
        let keys = &mut registry.idempotency;
        keys.complete(IdempotencyKey(1), Timestamp(5), RETENTION_MS, response);
        assert_eq!(keys.bytes(), ENTRY_BYTES + 2);
        // It began at 0, and counts from there.
        keys.forget(Timestamp(RETENTION_MS - 1), RETENTION_MS);
        assert_eq!(keys.len(), 1);
        keys.forget(Timestamp(RETENTION_MS), RETENTION_MS);
        assert_eq!((keys.len(), keys.bytes()), (0, 0));
        // Too late.
        keys.complete(
            IdempotencyKey(1),
            Timestamp(RETENTION_MS),
            RETENTION_MS,
            (201, body),
        );
        assert!(keys.is_empty());
    }

    #[test]
    fn a_key_that_comes_again_after_its_time_counts_once() {
        let mut registry = registry();
        begin(&mut registry, 0, request(1, Some(1)));
        let again = begin(&mut registry, RETENTION_MS, request(1, None));
        assert!(matches!(again, RegistryOutcome::Event(_)));
        let keys = &mut registry.idempotency;
        assert_eq!((keys.len(), keys.bytes()), (1, ENTRY_BYTES));
        keys.forget(Timestamp(2 * RETENTION_MS), RETENTION_MS);
        assert_eq!((keys.len(), keys.bytes()), (0, 0));
    }
}
