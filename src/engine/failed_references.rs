//! The references of top-ups that failed. They stay known for a while, so that a payment which comes late is told from one
//! that nobody has announced; a bounded number of them, as whoever announces may fail as often as he likes. References
//! that somebody waits for, or has paid by, are in `top_ups.rs`.

use super::ids::{AccountId, ApiKeyId, TopUpId};
use super::registry::{RegistryEvent, RegistryOutcome};
use super::top_ups::{EndTopUp, ReferenceKey, Referenced, References, TopUpEnd};
use super::world::World;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Those of the oldest top-ups are forgotten first.
pub const FAILED_REFERENCES_MAX: usize = 100_000;
pub const FAILED_REFERENCES_OF_TENANT_MAX: usize = 10_000;

/// The registry hears that a top-up with a reference has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailReference {
    pub top_up_id: TopUpId,
    /// Of its account's tree.
    pub root: AccountId,
    pub method: Box<str>,
    pub reference: Box<str>,
}

impl FailReference {
    fn key(&self) -> ReferenceKey {
        (self.reference.clone(), self.method.clone(), self.root)
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct FailedReferences {
    by_id: BTreeMap<TopUpId, (Option<ApiKeyId>, ReferenceKey)>,
    by_tenant: BTreeMap<ApiKeyId, BTreeSet<TopUpId>>,
}

impl FailedReferences {
    /// Those that make room for it.
    pub(super) fn insert(&mut self, known: &Referenced, key: ReferenceKey) -> Vec<ReferenceKey> {
        self.by_id.insert(known.top_up_id, (known.tenant, key));
        let mut oldest = None;
        if let Some(tenant) = known.tenant {
            let own = self.by_tenant.entry(tenant).or_default();
            own.insert(known.top_up_id);
            if own.len() > FAILED_REFERENCES_OF_TENANT_MAX {
                oldest = own.first().copied();
            }
        }
        if oldest.is_none() && self.by_id.len() > FAILED_REFERENCES_MAX {
            oldest = self.by_id.keys().next().copied();
        }
        let forgotten = oldest.and_then(|id| self.take(id));
        forgotten.into_iter().collect()
    }

    pub(super) fn remove(&mut self, known: &Referenced) {
        if known.has_failed {
            self.take(known.top_up_id);
        }
    }

    fn take(&mut self, id: TopUpId) -> Option<ReferenceKey> {
        let (tenant, key) = self.by_id.remove(&id)?;
        if let Some(tenant) = tenant
            && let Some(own) = self.by_tenant.get_mut(&tenant)
        {
            own.remove(&id);
            if own.is_empty() {
                self.by_tenant.remove(&tenant);
            }
        }
        Some(key)
    }
}

pub(super) fn decide(references: &References, failed: &FailReference) -> RegistryOutcome {
    match references.get(&failed.key()) {
        Some(known) if known.top_up_id == failed.top_up_id && !known.has_failed => {
            RegistryOutcome::Event(RegistryEvent::ReferenceFailed)
        }
        // Noted before, or forgotten since.
        _ => RegistryOutcome::AlreadyDone,
    }
}

pub(super) fn apply(references: &mut References, failed: &FailReference) {
    if let Some(known) = references.get(&failed.key()) {
        let known = Referenced {
            has_failed: true,
            ..known
        };
        references.insert(&failed.method, &failed.reference, known);
    }
}

/// What the process had not told the registry when it ended: the shards still know which top-ups failed last.
pub fn not_noted(world: &World) -> Vec<FailReference> {
    let ended = world
        .shards
        .iter()
        .flat_map(|shard| shard.announced.ended.iter());
    let failed = |(id, _, end): (TopUpId, _, &EndTopUp)| {
        matches!(end.end, TopUpEnd::Failed { .. }).then_some(id)
    };
    let failed: BTreeSet<TopUpId> = ended.filter_map(failed).collect();
    let references = world.registry.references.iter();
    let missing =
        references.filter(|(_, _, known)| !known.has_failed && failed.contains(&known.top_up_id));
    let missing = missing.map(|(method, reference, known)| FailReference {
        top_up_id: known.top_up_id,
        root: known.root,
        method: method.into(),
        reference: reference.into(),
    });
    missing.collect()
}
