//! Who did something over the interface, as records keep it: an API key, not what somebody says of himself. Whether two keys
//! are one person is said in `api_keys.rs`.

use super::ids::ApiKeyId;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// `None` is the root key.
    pub api_key_id: Option<ApiKeyId>,
    /// The key's.
    pub name: Box<str>,
}

/// Who, when, and what he said to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub by: Signer,
    pub at: Timestamp,
    pub note: Option<Box<str>>,
}
