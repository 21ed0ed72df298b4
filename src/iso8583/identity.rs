//! What tells one message from another, and what leads from a later one to an earlier one, as a dialect file says
//! it. Values of messages do not live here.

use super::spec::{Section, SpecError, Value};

/// By what a message may name an earlier one: the network's transaction id; RRN; STAN and time of transmission, as
/// in the original data elements; STAN and local time; approval code.
pub const MATCH_KEYS: &[&str] = &[
    "network_transaction_id",
    "rrn",
    "sent",
    "local",
    "approval_code",
];

/// What tells one message from another, and what leads from a later one to an earlier one.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub repeat_key: Vec<u8>,
    pub match_keys: Vec<&'static str>,
}

impl Identity {
    pub fn read(section: &mut Section) -> Result<Identity, SpecError> {
        let repeat_key = section.field_numbers("repeat_key")?;
        Ok(Identity {
            repeat_key: repeat_key.unwrap_or_else(|| vec![2, 11, 12, 13, 32, 37, 41]),
            match_keys: match_keys(section)?,
        })
    }
}

/// `match_keys = ["rrn", "sent"]`: each of [`MATCH_KEYS`] at most once.
fn match_keys(section: &mut Section) -> Result<Vec<&'static str>, SpecError> {
    let Some(items) = section.list("match_keys")? else {
        return Ok(vec!["rrn", "sent", "local", "approval_code"]);
    };
    let mut keys = Vec::new();
    for item in items {
        let Value::Text(text) = &item.value else {
            return Err(item.place.error("`match_keys` are texts in quotes"));
        };
        let known = MATCH_KEYS.iter().find(|known| **known == text.as_str());
        match known {
            Some(known) if !keys.contains(known) => keys.push(*known),
            Some(_) => return Err(item.place.error(format!("{text:?} stands there twice"))),
            None => {
                let problem = format!("{text:?} is not known; use: {}", MATCH_KEYS.join(", "));
                return Err(item.place.error(problem));
            }
        }
    }
    Ok(keys)
}
