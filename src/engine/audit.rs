//! What somebody changed over the interface, as the audit log keeps it. The log is the journal: entries are never changed,
//! and nothing is decided by them; an entry is named by the place of its record. Where they are made is `api::audit`.

use super::ids::{ApiKeyId, ProgramId};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// `None` is the root key.
    pub api_key_id: Option<ApiKeyId>,
    /// Method and route, as in `POST /v1/cards/{id}/freeze`.
    pub action: Box<str>,
    /// Of what was changed or made.
    pub object_id: Option<Box<str>>,
    pub program_id: Option<ProgramId>,
    pub request_id: Box<str>,
    /// The caller's address, without its port.
    pub address: Option<Box<str>>,
    /// The object before and after, as the interface shows it: without secrets.
    pub before: Option<Box<str>>,
    pub after: Option<Box<str>>,
}
