//! What tells one message from another, and what leads from a later one to an earlier one, as a dialect file says
//! it. Values of messages do not live here.

use super::spec::{Section, SpecError, Value};

/// By what a message may name an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// The network's own id of the transaction.
    NetworkTransactionId,
    /// Retrieval reference number.
    Rrn,
    /// STAN and time of transmission, as in the original data elements.
    Sent,
    /// STAN and local time.
    Local,
    ApprovalCode,
}

impl NameKind {
    /// As dialect files call them.
    pub const ALL: &'static [(NameKind, &'static str)] = &[
        (NameKind::NetworkTransactionId, "network_transaction_id"),
        (NameKind::Rrn, "rrn"),
        (NameKind::Sent, "sent"),
        (NameKind::Local, "local"),
        (NameKind::ApprovalCode, "approval_code"),
    ];
}

/// What tells one message from another, and what leads from a later one to an earlier one.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub repeat_key: Vec<u8>,
    pub match_keys: Vec<NameKind>,
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

/// `match_keys = ["rrn", "sent"]`: each of [`NameKind::ALL`] at most once, and one at least.
fn match_keys(section: &mut Section) -> Result<Vec<NameKind>, SpecError> {
    let place = section.place.clone();
    let Some(items) = section.list("match_keys")? else {
        let all = NameKind::ALL.iter().skip(1);
        return Ok(all.map(|(kind, _)| *kind).collect());
    };
    let mut keys = Vec::new();
    for item in items {
        let Value::Text(text) = &item.value else {
            return Err(item.place.error("`match_keys` are texts in quotes"));
        };
        let mut all = NameKind::ALL.iter();
        match all.find(|(_, name)| *name == text.as_str()) {
            Some((kind, _)) if !keys.contains(kind) => keys.push(*kind),
            Some(_) => return Err(item.place.error(format!("{text:?} stands there twice"))),
            None => {
                let names: Vec<_> = NameKind::ALL.iter().map(|(_, name)| *name).collect();
                let problem = format!("{text:?} is not known; use: {}", names.join(", "));
                return Err(item.place.error(problem));
            }
        }
    }
    if keys.is_empty() {
        let problem = "`match_keys` is empty: no reversal would find its original";
        return Err(place.error(problem));
    }
    Ok(keys)
}
