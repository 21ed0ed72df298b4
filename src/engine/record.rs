//! What one journal record holds: the command with its facts, the event that came of it, and the
//! version of the engine that decided. Frames, sequence and checksums live in `journal`.

use super::command::Command;
use super::event::Event;
use super::registry::{RegistryCommand, RegistryEvent};
use serde::{Deserialize, Serialize};

/// Raised when `decide` comes to another result on the same input; records keep theirs.
pub const ENGINE_VERSION: u16 = 2;

/// The layout of the bytes below; a record of another layout is refused.
const FORMAT: u8 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    Shard {
        engine_version: u16,
        command: Command,
        event: Event,
    },
    Registry {
        engine_version: u16,
        command: RegistryCommand,
        event: RegistryEvent,
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
    #[error("the record cannot be read ({0}); run `cardswitch journal verify` on this folder")]
    Unreadable(postcard::Error),
}

/// The same shape by reference, for writing without a copy.
#[derive(Serialize)]
enum RecordRef<'a> {
    Shard {
        engine_version: u16,
        command: &'a Command,
        event: &'a Event,
    },
    Registry {
        engine_version: u16,
        command: &'a RegistryCommand,
        event: &'a RegistryEvent,
    },
}

/// Appends the record of a shard's event to `bytes`.
pub fn write_shard(bytes: &mut Vec<u8>, command: &Command, event: &Event) {
    write(
        bytes,
        &RecordRef::Shard {
            engine_version: ENGINE_VERSION,
            command,
            event,
        },
    );
}

/// Appends the record of a registry event to `bytes`.
pub fn write_registry(bytes: &mut Vec<u8>, command: &RegistryCommand, event: &RegistryEvent) {
    write(
        bytes,
        &RecordRef::Registry {
            engine_version: ENGINE_VERSION,
            command,
            event,
        },
    );
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
        Some((&FORMAT, body)) => postcard::from_bytes(body).map_err(RecordError::Unreadable),
        Some((&found, _)) => Err(RecordError::OtherFormat { found }),
    }
}
