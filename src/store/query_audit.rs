//! The reads of the audit log.

use super::columns::TableRow;
use super::database::Store;
use super::error::StoreError;
use super::filters::{Gathered, filters};
use super::query::Page;
use super::rows::AuditRow;
use super::seek::{Filter, Keys};
use super::sql::Sql;
use crate::engine::ids::{AuditId, ProgramId};
use crate::engine::time::Timestamp;

filters! {
    AuditFilter {
        /// An id, or `root`.
        api_key_id: String,
        /// Of a linked object its type, a stroke, and its id.
        object_id: String,
        /// Of linked objects of this type, or of this very one together with `link_id`.
        link_type: String,
        link_id: String,
        action: String,
        program_id: ProgramId,
        request_id: String,
        /// `done`, `failed` or `unknown`.
        outcome: &'static str,
        /// Not before this, and before that.
        created_from: Timestamp,
        created_until: Timestamp,
        /// What is of one of these programs only.
        program_ids: Box<[ProgramId]>,
    }
}

impl Store {
    /// Entries, newest first, from behind `starting_after` on.
    pub async fn audit_log(
        &self,
        filter: &AuditFilter,
        starting_after: Option<AuditId>,
        limit: u32,
    ) -> Result<Page<AuditRow>, StoreError> {
        let mut of = Gathered::of(AuditRow::TABLE);
        of.equal("api_key_id", filter.api_key_id.as_ref());
        of.equal("object_id", filter.object_id.as_ref());
        if let Some(link_type) = &filter.link_type {
            let link = format!("{link_type}/{}", filter.link_id.as_deref().unwrap_or(""));
            match filter.link_id {
                Some(_) => of.equal("object_id", Some(link)),
                None => of.begins("object_id", Some(&link)),
            }
        }
        of.equal("action", filter.action.as_ref());
        of.equal("program_id", filter.program_id);
        of.equal("request_id", filter.request_id.as_ref());
        of.rare("outcome", filter.outcome, "done");
        of.created(filter.created_from, filter.created_until);
        if let Some(ids) = &filter.program_ids {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let clause = Sql::one_of("program_id", &ids);
            let filter = Filter::by_keys(clause, "program_id", Keys::Known(ids));
            of.filters.push(filter);
        }
        let times = (filter.created_from, filter.created_until);
        // An entry's id is the place of its record.
        let before = starting_after.map(|id| id.0);
        self.newest_before(of.filters, times, before, limit).await
    }
}
