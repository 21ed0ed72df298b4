//! Who asked for a change over the interface, and what it came to, as the audit log keeps it. The log is the journal: entries
//! are never changed, and nothing is decided by them. Where they are made is `api::audit`.

use super::ids::{ApiKeyId, ProgramId};
use serde::{Deserialize, Serialize};

/// The request that a record was written for. It stands in the record itself, so that no change is without it, wherever the
/// process ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// `None` is the root key.
    pub api_key_id: Option<ApiKeyId>,
    /// Method and route, as in `POST /v1/cards/{id}/freeze`.
    pub action: Box<str>,
    /// Of what the path names.
    pub object_id: Option<Box<str>>,
    pub request_id: Box<str>,
    /// The caller's address, without its port.
    pub address: Option<Box<str>>,
    /// Done in its name after it was answered: the log has its end already.
    pub in_background: bool,
}

/// How a request ended that has changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub requester: Requester,
    /// Of what was changed or made.
    pub object_id: Option<Box<str>>,
    pub program_id: Option<ProgramId>,
    /// The object before and after, as the interface shows it: without secrets.
    pub before: Option<Box<str>>,
    pub after: Option<Box<str>>,
    /// The code of the error, where it was not done to its end.
    pub error_code: Option<Box<str>>,
}
