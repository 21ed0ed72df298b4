//! Builds a field whose facts stand in parts of it, or in parts of parts, as the dialect says.

use std::sync::Arc;

use bytes::BytesMut;

use super::SimError;
use crate::iso8583::{
    Dialect, Encoder, Message, Mti,
    field::{Layout, Pad},
    mapping::Location,
    structure::Structure,
};

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
            let parts = nested(dialect, field, here);
            let parts: Vec<_> = parts.iter().map(|(key, text)| (*key, &**text)).collect();
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

/// Parts of parts (`place.country`) put together as the text of the part that holds them.
fn nested<'a>(
    dialect: &Dialect,
    field: u8,
    parts: &[&(&'a Location, &'a str)],
) -> Vec<(&'a str, String)> {
    let structure = dialect
        .field(field)
        .and_then(|spec| spec.structure.as_deref());
    let mut whole: Vec<(&str, String)> = Vec::new();
    for (at, text) in parts {
        let Some((outer, _)) = at.path.split_once('.') else {
            whole.push((&at.path, (*text).to_owned()));
            continue;
        };
        let spec = structure.and_then(|structure| structure.part(outer));
        let Some(Structure::Positional(inner)) = spec.and_then(|spec| spec.structure.as_deref())
        else {
            continue;
        };
        if whole.iter().any(|(known, _)| *known == outer) {
            continue;
        }
        let given = |key: &str| {
            let mut parts = parts.iter();
            let found = parts.find(|(at, _)| at.path.split_once('.') == Some((outer, key)));
            match (found, key) {
                (Some((_, text)), _) => text,
                // Visa: the CVV2 is there, and its result is wanted.
                (None, "presence_indicator" | "response_type") => "1",
                (None, _) => "",
            }
        };
        let text = inner
            .iter()
            .map(|part| padded(&part.spec.layout, given(&part.key)));
        whole.push((outer, text.collect()));
    }
    whole
}

fn padded(layout: &Layout, text: &str) -> String {
    let width = usize::from(layout.max);
    match layout.pad {
        Pad::LeftZero => format!("{text:0>width$}"),
        Pad::LeftSpace => format!("{text:>width$}"),
        _ => format!("{text:<width$}"),
    }
}
