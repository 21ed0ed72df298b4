//! Who did something, as JSON.

use crate::engine::signers::Signer;
use serde_json::{Value, json};

pub fn signer(signer: &Signer) -> Value {
    let id = signer.api_key_id;
    let id = id.map_or_else(|| "root".to_owned(), |id| id.to_string());
    json!({ "api_key_id": id, "name": signer.name })
}
