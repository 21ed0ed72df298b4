//! Captures of ISO 8583 traffic in three formats: frames back to back, a line of hexadecimal digits per
//! message, and JSON lines. What to do with them is in `replay` and `record`.

use std::path::Path;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::SimError;
use crate::iso8583::{Dialect, Frame, FrameCodec, Message};

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Asks for an answer, or tells without one.
    Request,
    /// Answers.
    Response,
}

/// One message of a capture, unframed and without header.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Microseconds since the capture began, where it says so.
    pub at_us: Option<u64>,
    /// Which way it went, where the capture says so.
    pub direction: Option<Direction>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// How a capture stands in its file.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// Frames back to back, as on a connection.
    Framed(FrameCodec),
    /// A line of hexadecimal digits for each message; `#` begins a comment.
    Hex,
    /// A line `{"at_us":…,"direction":"request|response","hex":"…"}` for each message.
    JsonLines,
}

/// For messages: what to do about a file that is not as many frames.
const NOT_FRAMES: &str = "try another --framing (--file-framing of replay), or --format hex or jsonl (--from of convert)";

/// For messages: how a line of JSON stands.
const LINE: &str = r#"{"at_us":…,"direction":"request|response","hex":"…"}"#;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(borrow)]
    hex: std::borrow::Cow<'a, str>,
}

impl Format {
    /// By name: `framed` (with that codec), `hex`, `jsonl`, or `auto`, which looks at the file's ending
    /// and then at its bytes.
    pub fn named(
        name: &str,
        codec: FrameCodec,
        path: &Path,
        bytes: &[u8],
    ) -> Result<Format, String> {
        match name {
            "framed" => Ok(Format::Framed(codec)),
            "hex" => Ok(Format::Hex),
            "jsonl" => Ok(Format::JsonLines),
            "auto" => Ok(Format::guess(codec, path, bytes)),
            _ => Err(format!(
                "{name:?} is no format; use auto, framed, hex or jsonl"
            )),
        }
    }

    fn guess(codec: FrameCodec, path: &Path, bytes: &[u8]) -> Format {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl" | "ndjson" | "json") => return Format::JsonLines,
            Some("hex") => return Format::Hex,
            Some("bin" | "raw") => return Format::Framed(codec),
            _ => {}
        }
        let text = |byte: &u8| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace();
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Format::JsonLines,
            Some(b'#') => Format::Hex,
            Some(_) if bytes.iter().all(text) && bytes.contains(&b'\n') => Format::Hex,
            _ => Format::Framed(codec),
        }
    }
}

/// Reads the bytes of a capture; `path` is for messages only.
pub fn read_capture(path: &str, bytes: &[u8], format: &Format) -> Result<Vec<Record>, SimError> {
    match format {
        Format::Framed(codec) => read_framed(path, bytes, codec),
        Format::Hex => read_lines(path, bytes, |line| {
            let hex = line.split('#').next().unwrap_or_default();
            match hex.trim() {
                "" => Ok(None),
                hex => Ok(Some(Record {
                    at_us: None,
                    direction: None,
                    bytes: from_hex(hex)?,
                })),
            }
        }),
        Format::JsonLines => read_lines(path, bytes, |line| {
            if line.trim().is_empty() {
                return Ok(None);
            }
            // serde's message may quote the value, which may be card data.
            let line: Line = serde_json::from_str(line).map_err(|error| not_a_line(&error))?;
            Ok(Some(Record {
                at_us: line.at_us,
                direction: line.direction,
                bytes: from_hex(&line.hex)?,
            }))
        }),
    }
}

/// What a line should be, in place of what serde says of it.
fn not_a_line(error: &serde_json::Error) -> String {
    let column = error.column();
    let what = match error.classify() {
        Category::Eof => format!("the line ends at column {column} (was the file cut off?)"),
        Category::Syntax | Category::Io => format!("no JSON at column {column}"),
        Category::Data => format!("no line of a capture at column {column}"),
    };
    format!("{what}; a line is {LINE}, for another format say --format (--from of convert)")
}

fn read_framed(path: &str, bytes: &[u8], codec: &FrameCodec) -> Result<Vec<Record>, SimError> {
    let mut left = BytesMut::from(bytes);
    let mut records = Vec::new();
    let error = |left: &BytesMut, problem: String| SimError::Capture {
        path: path.to_owned(),
        place: format!("byte {}", bytes.len() - left.len()),
        problem,
    };
    loop {
        match codec.cut(&mut left) {
            Ok(Some(Frame::Message { body, .. })) => records.push(Record {
                at_us: None,
                direction: None,
                bytes: body.to_vec(),
            }),
            Ok(Some(Frame::KeepAlive)) => {}
            Ok(None) if left.is_empty() => return Ok(records),
            Ok(None) => {
                let problem =
                    format!("the file ends inside a frame: it was cut off, or {NOT_FRAMES}");
                return Err(error(&left, problem));
            }
            Err(fault) => return Err(error(&left, format!("{fault}; {NOT_FRAMES}"))),
        }
    }
}

fn read_lines(
    path: &str,
    bytes: &[u8],
    mut read: impl FnMut(&str) -> Result<Option<Record>, String>,
) -> Result<Vec<Record>, SimError> {
    let error = |line: usize, problem: String| SimError::Capture {
        path: path.to_owned(),
        place: format!("line {line}"),
        problem,
    };
    let text = std::str::from_utf8(bytes).map_err(|fault| {
        let before = &bytes[..fault.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        error(
            line,
            "not text; if it is frames, say --format framed (--from of convert)".into(),
        )
    })?;
    // Some editors begin a text with this mark.
    let text = text.trim_start_matches('\u{feff}');
    let mut records = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(record) = read(line).map_err(|problem| error(at + 1, problem))? {
            records.push(record);
        }
    }
    Ok(records)
}

/// The bytes of a capture in a format. Frames and hexadecimal lines keep the messages only.
pub fn write_capture(records: &[Record], format: &Format) -> Result<Vec<u8>, SimError> {
    let mut out = BytesMut::new();
    for record in records {
        match format {
            Format::Framed(codec) => {
                let open = codec.begin_frame(&mut out, &codec.header.answer(&[]));
                out.extend_from_slice(&record.bytes);
                codec.end_frame(&mut out, open)?;
            }
            Format::Hex => out.extend_from_slice(format!("{}\n", to_hex(&record.bytes)).as_bytes()),
            Format::JsonLines => {
                out.extend_from_slice(json_line(record).as_bytes());
                out.extend_from_slice(b"\n");
            }
        }
    }
    Ok(out.to_vec())
}

/// One line of a JSON-lines capture, without its end.
pub fn json_line(record: &Record) -> String {
    let line = Line {
        at_us: record.at_us,
        direction: record.direction,
        hex: to_hex(&record.bytes).into(),
    };
    // Numbers and strings always serialize.
    serde_json::to_string(&line).unwrap_or_default()
}

impl std::fmt::Debug for Record {
    /// Shows no bytes: they hold card data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.bytes.len();
        write!(
            f,
            "Record({:?}, {:?}, {length} bytes)",
            self.at_us, self.direction
        )
    }
}

impl Record {
    /// Which way the message went: as recorded, else by its MTI, where it has one.
    pub fn direction(&self, dialect: &Dialect) -> Option<Direction> {
        self.direction
            .or_else(|| direction_of(dialect, &self.bytes))
    }
}

/// Which way a message goes, by its MTI.
pub fn direction_of(dialect: &Dialect, bytes: &[u8]) -> Option<Direction> {
    let mti = Message::parse_partial(dialect, bytes).message.mti();
    match (mti.number(), mti.is_response()) {
        (0, _) => None,
        (_, true) => Some(Direction::Response),
        (_, false) => Some(Direction::Request),
    }
}

/// Upper-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let letters = text.chars().filter(|letter| !letter.is_ascii_whitespace());
    let digits = letters.enumerate().map(|(at, letter)| {
        let digit = letter.to_digit(16).map(|digit| digit as u8);
        digit.ok_or_else(|| {
            let at = at + 1;
            format!(
                "character {at} of the message is no hexadecimal digit; mend or remove the line"
            )
        })
    });
    let digits = digits.collect::<Result<Vec<u8>, String>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err("an odd number of hexadecimal digits; was the file cut off?".to_owned());
    }
    Ok(digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| high << 4 | low)
        .collect())
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
