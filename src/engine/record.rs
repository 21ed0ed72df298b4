//! What one journal record holds: the command with its facts, the event that came of it, the version of
//! the engine that decided, and who asked. Frames, sequence and checksums live in `journal`.

use super::audit::Requester;
use super::command::Command;
use super::event::Event;
use super::registry::{RegistryCommand, RegistryEvent};
use serde::{Deserialize, Serialize};

/// Raised when `decide` comes to another result on the same input; records keep theirs.
pub const ENGINE_VERSION: u16 = 2;

/// The layout of the bytes below; a record of another layout is refused.
const FORMAT: u8 = 11;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    Shard {
        engine_version: u16,
        command: Command,
        event: Event,
        /// Who asked for it over the interface; nobody, where a network or time did.
        requester: Option<Box<Requester>>,
    },
    Registry {
        engine_version: u16,
        command: RegistryCommand,
        event: RegistryEvent,
        requester: Option<Box<Requester>>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record is empty")]
    Empty,
    #[error(
        "the record has format {found}, this program reads format {FORMAT}; use the version that wrote it"
    )]
    OtherFormat { found: u8 },
    #[error(
        "the record cannot be read ({0}): another version of this program wrote it, or it is damaged; `cardswitch journal verify` \
         tells which"
    )]
    Unreadable(postcard::Error),
}

/// The same shape by reference, for writing without a copy.
#[derive(Serialize)]
enum RecordRef<'a> {
    Shard {
        engine_version: u16,
        command: &'a Command,
        event: &'a Event,
        requester: Option<&'a Requester>,
    },
    Registry {
        engine_version: u16,
        command: &'a RegistryCommand,
        event: &'a RegistryEvent,
        requester: Option<&'a Requester>,
    },
}

/// Appends the record of a shard's event to `bytes`.
pub fn write_shard(
    bytes: &mut Vec<u8>,
    command: &Command,
    event: &Event,
    requester: Option<&Requester>,
) {
    write(
        bytes,
        &RecordRef::Shard {
            engine_version: ENGINE_VERSION,
            command,
            event,
            requester,
        },
    );
}

/// Appends the record of a registry event to `bytes`.
pub fn write_registry(
    bytes: &mut Vec<u8>,
    command: &RegistryCommand,
    event: &RegistryEvent,
    requester: Option<&Requester>,
) {
    write(
        bytes,
        &RecordRef::Registry {
            engine_version: ENGINE_VERSION,
            command,
            event,
            requester,
        },
    );
}

impl Record {
    pub fn requester(&self) -> Option<&Requester> {
        let (Record::Shard { requester, .. } | Record::Registry { requester, .. }) = self;
        requester.as_deref()
    }
}

fn write(bytes: &mut Vec<u8>, record: &RecordRef) {
    bytes.push(FORMAT);
    let written = postcard::to_extend(record, std::mem::take(bytes));
    // Writing to a growing vector fails only for types without a known length, which a record has none of.
    *bytes = written.unwrap_or_else(|error| panic!("a record could not be encoded: {error}"));
}

pub fn read(bytes: &[u8]) -> Result<Record, RecordError> {
    match bytes.split_first() {
        None => Err(RecordError::Empty),
        Some((&FORMAT, body)) => match postcard::take_from_bytes(body) {
            Ok((record, [])) => Ok(record),
            // Another shape may begin as this one does.
            Ok(_) => Err(RecordError::Unreadable(
                postcard::Error::DeserializeBadEncoding,
            )),
            Err(error) => Err(RecordError::Unreadable(error)),
        },
        Some((&found, _)) => Err(RecordError::OtherFormat { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::command::{Action, ChangeCardStatus, StatusChange};
    use crate::engine::ids::{AccountId, CardId};
    use crate::engine::state::CardStatus;
    use crate::engine::time::Timestamp;

    #[test]
    fn a_record_keeps_who_asked_and_costs_a_byte_where_nobody_did() {
        let command = Command {
            root: AccountId(1),
            at: Timestamp(2),
            action: Action::ChangeCardStatus(ChangeCardStatus {
                card_id: CardId(3),
                change: StatusChange::Freeze,
            }),
        };
        let event = Event::CardStatusChanged {
            from: CardStatus::Active,
            to: CardStatus::Frozen,
            tokens: Box::default(),
            cancels_shipping: false,
        };
        let requester = Requester {
            api_key_id: None,
            action: "POST /v1/cards/{id}/freeze".into(),
            object_id: Some("card_1".into()),
            request_id: "req_1".into(),
            address: None,
            in_background: false,
        };
        let written = |requester: Option<&Requester>| {
            let mut bytes = Vec::new();
            write_shard(&mut bytes, &command, &event, requester);
            assert_eq!(read(&bytes).unwrap().requester(), requester);
            bytes
        };
        let (by_nobody, by_somebody) = (written(None), written(Some(&requester)));
        assert_eq!(by_nobody.last(), Some(&0));
        assert_eq!(
            by_somebody[..by_nobody.len() - 1],
            by_nobody[..by_nobody.len() - 1]
        );
    }
}
