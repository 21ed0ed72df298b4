//! The reads of the audit log.

use super::database::Store;
use super::error::StoreError;
use super::query::{AuditFilter, Conditions, Page};
use super::rows::AuditRow;
use crate::engine::ids::AuditId;

impl Store {
    /// Entries, newest first, from behind `starting_after` on.
    pub async fn audit_log(
        &self,
        filter: &AuditFilter,
        starting_after: Option<AuditId>,
        limit: u32,
    ) -> Result<Page<AuditRow>, StoreError> {
        let mut conditions = Conditions::default();
        conditions.equal("api_key_id", filter.api_key_id.clone());
        conditions.equal("object_id", filter.object_id.clone());
        conditions.equal("action", filter.action.clone());
        conditions.between("created_at_ms", filter.created_from, filter.created_until);
        if let Some(program_ids) = &filter.program_ids {
            conditions.one_of("program_id", program_ids.iter());
        }
        // An entry's id is the place of its record.
        conditions.before(starting_after.map(|id| id.0));
        self.page(conditions, "sequence DESC", limit).await
    }
}
