//! The exceptions that are known: all that are to come or count, and those that are over until some time later, so that their
//! number is bounded by what is asked for and not by how long the switch has run. What one is lives in `exceptions.rs`.

use super::engine_settings::EngineSettings;
use super::exceptions::{
    ControlException, EXCEPTIONS_MAX, EXCEPTIONS_OF_TENANT_MAX, ExceptionState,
};
use super::ids::{ApiKeyId, ExceptionId};
use super::shares::{ShareBounds, Shares};
use super::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SHARES: ShareBounds = ShareBounds::new(EXCEPTIONS_MAX, EXCEPTIONS_OF_TENANT_MAX);

#[derive(Debug, Clone, Default)]
pub struct KnownExceptions {
    by_id: BTreeMap<ExceptionId, Arc<ControlException>>,
    /// By when they are over.
    by_end: BTreeSet<(Timestamp, ExceptionId)>,
    /// The approved ones by the end of their time, which is not recorded yet.
    to_expire: BTreeSet<(Timestamp, ExceptionId)>,
    taken: Shares,
}

impl KnownExceptions {
    pub fn get(&self, id: ExceptionId) -> Option<&Arc<ControlException>> {
        self.by_id.get(&id)
    }

    /// Those that are older than this one, or all; newest first, as ids sort by age.
    pub(super) fn older_than(
        &self,
        id: Option<ExceptionId>,
    ) -> impl Iterator<Item = &Arc<ControlException>> {
        let older = match id {
            Some(id) => self.by_id.range(..id),
            None => self.by_id.range(..),
        };
        older.rev().map(|(_, exception)| exception)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<ControlException>> {
        self.by_id.values()
    }

    /// One as it is now, new or not.
    pub(super) fn put(&mut self, exception: Arc<ControlException>) {
        self.remove(exception.id);
        self.by_end.insert((exception.over_at(), exception.id));
        if exception.state == ExceptionState::Approved {
            self.to_expire.insert((exception.ends_at, exception.id));
        }
        self.taken.add(exception.tenant, 1);
        self.by_id.insert(exception.id, exception);
    }

    fn remove(&mut self, id: ExceptionId) {
        if let Some(before) = self.by_id.remove(&id) {
            self.by_end.remove(&(before.over_at(), id));
            self.to_expire.remove(&(before.ends_at, id));
            self.taken.remove(before.tenant, 1);
        }
    }

    /// Whose time ends next, and when.
    pub fn first_to_expire(&self) -> Option<(Timestamp, ExceptionId)> {
        self.to_expire.first().copied()
    }

    /// Those that are to be forgotten by then, forgotten or not.
    fn past(&self, at: Timestamp, retention_ms: i64) -> impl Iterator<Item = ExceptionId> {
        let over = self.by_end.iter();
        let past = over.take_while(move |(over_at, _)| over_at.plus_ms(retention_ms) <= at);
        past.map(|(_, id)| *id)
    }

    /// For one more.
    pub(super) fn has_room(
        &self,
        tenant: Option<ApiKeyId>,
        at: Timestamp,
        settings: &EngineSettings,
    ) -> bool {
        let fits = |taken: &Shares| taken.check(tenant, 1, &SHARES).is_ok();
        if fits(&self.taken) {
            return true;
        }
        let mut past = self.past(at, settings.past_exception_retention_ms);
        let mut left = self.taken.clone();
        past.any(|id| {
            left.remove(self.by_id.get(&id).and_then(|past| past.tenant), 1);
            fits(&left)
        })
    }

    /// No more than two at once: whoever calls this with each change keeps up. One whose end is to be recorded waits for that.
    pub(super) fn forget(&mut self, now: Timestamp, retention_ms: i64) {
        let is_recorded = |id: &ExceptionId| {
            let known = self.by_id.get(id);
            known.is_none_or(|known| known.state != ExceptionState::Approved)
        };
        let past = self.past(now, retention_ms).filter(is_recorded);
        let past: Vec<ExceptionId> = past.take(2).collect();
        past.into_iter().for_each(|id| self.remove(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::exceptions::{ExceptionState, Lifts, Subject};
    use crate::engine::ids::{CardId, ProgramId};
    use crate::engine::signers::{Signed, Signer};

    fn exception(id: u64, tenant: Option<u64>, ends_at: i64) -> ControlException {
        ControlException {
            id: ExceptionId(id),
            subject: Subject::Card(CardId(1)),
            lifts: Lifts::default(),
            starts_at: Timestamp(0),
            ends_at: Timestamp(ends_at),
            uses_max: None,
            reason: "trip".into(),
            requested_by: signer(),
            created_at: Timestamp(0),
            state: ExceptionState::Requested,
            decided: None,
            ended: None,
            tenant: tenant.map(ApiKeyId),
            program_id: ProgramId(1),
            account_ids: Box::default(),
        }
    }

    fn signer() -> Signer {
        Signer {
            api_key_id: None,
            name: "root".into(),
        }
    }

    fn ids(known: &KnownExceptions) -> Vec<u64> {
        known.iter().map(|exception| exception.id.0).collect()
    }

    #[test]
    fn what_is_over_is_known_for_a_while_and_then_forgotten() {
        let mut known = KnownExceptions::default();
        for (id, ends_at) in [(1, 100), (2, 50), (3, 1_000)] {
            known.put(Arc::new(exception(id, None, ends_at)));
        }
        known.forget(Timestamp(549), 500);
        assert_eq!(ids(&known), [1, 2, 3]);
        known.forget(Timestamp(550), 500);
        assert_eq!(ids(&known), [1, 3]);
        // One that is rejected is over then, and not at its time.
        let decided = Some(Signed {
            by: signer(),
            at: Timestamp(60),
            note: None,
        });
        known.put(Arc::new(ControlException {
            state: ExceptionState::Rejected,
            decided,
            ..exception(3, None, 1_000)
        }));
        known.forget(Timestamp(560), 500);
        assert_eq!(ids(&known), [1]);
        known.forget(Timestamp(600), 500);
        assert_eq!(ids(&known), [0; 0]);
        assert_eq!(known.taken, Shares::default());
    }

    #[test]
    fn a_tenant_has_its_share_and_past_ones_make_room() {
        let mut known = KnownExceptions::default();
        let settings = EngineSettings::default();
        let of_tenant = EXCEPTIONS_OF_TENANT_MAX as u64;
        let has_room = |known: &KnownExceptions, tenant: Option<u64>, at| {
            known.has_room(tenant.map(ApiKeyId), Timestamp(at), &settings)
        };
        for id in 1..=of_tenant {
            assert!(has_room(&known, Some(1), 0));
            known.put(Arc::new(exception(id, Some(1), 10)));
        }
        let over = 10 + settings.past_exception_retention_ms;
        assert!(!has_room(&known, Some(1), over - 1));
        assert!(has_room(&known, Some(2), 0) && has_room(&known, None, 0));
        assert!(has_room(&known, Some(1), over), "reclaimed or not");
        // Seven more tenants take what is not the operator's.
        let all = 3 * EXCEPTIONS_MAX as u64 / 4;
        for id in of_tenant + 1..=all {
            known.put(Arc::new(exception(id, Some(1 + (id - 1) / of_tenant), 10)));
        }
        assert!(!has_room(&known, Some(9), 0) && has_room(&known, None, 0));
    }
}
