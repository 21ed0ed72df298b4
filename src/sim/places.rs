//! Builds a field whose facts stand in parts of it, or in parts of parts, as the dialect says.

use std::sync::Arc;

use bytes::BytesMut;

use super::SimError;
use crate::iso8583::{Dialect, Encoder, Message, Mti, mapping::Location};

/// The wire bytes of one field, built from its parts.
pub fn field_bytes(
    dialect: &Arc<Dialect>,
    field: u8,
    parts: &[(&Location, &str)],
    what: &'static str,
) -> Result<Vec<u8>, SimError> {
    let mut out = BytesMut::new();
    let mti = Mti::new(u16::from(dialect.version()) * 1000 + 100);
    let mut encoder = Encoder::new(dialect, &mut out, mti);
    let here: Vec<_> = parts.iter().filter(|(at, _)| at.field == field).collect();
    let written = match here.as_slice() {
        [(at, text)] if at.path.is_empty() => encoder.text(field, text).map(drop),
        here => {
            let parts: Vec<_> = here.iter().map(|(at, text)| (&*at.path, *text)).collect();
            encoder.parts(field, &parts).map(drop)
        }
    };
    written.map_err(|source| SimError::Encode {
        dialect: dialect.name().to_owned(),
        what,
        source,
    })?;
    encoder.finish();
    // What was just encoded with a dialect parses with it.
    let message = Message::parse(dialect, &out).ok();
    let raw = message.as_ref().and_then(|message| message.raw(field));
    Ok(raw.unwrap_or_default().to_vec())
}
