//! Prints a message for people and for scripts: every field with its name, nested parts, card data
//! masked. Never panics and never fails: what does not parse is shown as far as it does.

use std::{fmt::Write, ops::ControlFlow};

use serde_json::{Map, Value as Json, json};

use super::{
    dialect::Dialect,
    field::{Content, FieldSpec, Length, Mask},
    message::{Message, ParseError, Partial},
    mti::Mti,
    structure::Structure,
    subfields::each_part,
    value::{self, Cut},
};

/// One unframed message as annotated lines.
pub fn describe_text(dialect: &Dialect, bytes: &[u8]) -> String {
    let Partial { message, error } = Message::parse_partial(dialect, bytes);
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(format_args!("{}, {} bytes", dialect.name(), bytes.len()));
    if mti_is_known(error.as_ref()) {
        line(format_args!(
            "{:<8}{}  {}",
            "MTI",
            message.mti(),
            meaning(message.mti())
        ));
    }
    let mut leaves = Vec::new();
    for number in 2..=super::dialect::MAX_FIELD {
        let Some((spec, cut)) = message.spec_and_cut(number) else {
            continue;
        };
        leaves.clear();
        let whole = shown(spec, cut, spec.structure.as_deref(), &mut leaves);
        let note = annotation(&message, number);
        let format = format(spec);
        let name = &spec.name;
        line(format_args!(
            "{:<8}{whole}{note}  ({name}, {format})",
            format!("DE{number}")
        ));
        for leaf in &leaves {
            let Leaf {
                depth,
                key,
                value,
                name,
            } = leaf;
            let indent = " ".repeat(8 + 2 * depth);
            match name.is_empty() || name == key {
                true => line(format_args!("{indent}{key}: {value}")),
                false => line(format_args!("{indent}{key}: {value}  ({name})")),
            }
        }
    }
    if let Some(error) = error {
        line(format_args!("does not parse: {error}"));
    }
    out
}

/// One unframed message as `{"mti":…,"fields":{"2":…}}`, nested parts by name or tag; what does not
/// parse adds `"error"`.
pub fn describe_json(dialect: &Dialect, bytes: &[u8]) -> Json {
    let Partial { message, error } = Message::parse_partial(dialect, bytes);
    let mut fields = Map::new();
    for number in 2..=super::dialect::MAX_FIELD {
        if let Some((spec, cut)) = message.spec_and_cut(number) {
            let value = json_value(spec, cut, spec.structure.as_deref());
            fields.insert(number.to_string(), value);
        }
    }
    let mti = match mti_is_known(error.as_ref()) {
        true => Json::String(message.mti().to_string()),
        false => Json::Null,
    };
    let mut described = Map::new();
    described.insert("mti".to_owned(), mti);
    described.insert("fields".to_owned(), Json::Object(fields));
    if let Some(error) = error {
        described.insert("error".to_owned(), json_error(&error));
    }
    Json::Object(described)
}

fn mti_is_known(error: Option<&ParseError>) -> bool {
    error.is_none_or(|error| error.field != 0 || error.is_version())
}

fn json_error(error: &ParseError) -> Json {
    json!({
        "field": error.field,
        "offset": error.offset,
        "expected": error.expected.to_string(),
        "found": error.found.as_str(),
        "message": error.to_string(),
    })
}

/// The bytes of a message from what somebody pasted: the bytes themselves, with or without a line
/// end, or their hexadecimal text with or without spaces, colons and `0x`. What parses wins.
pub fn sniff(dialect: &Dialect, input: &[u8]) -> Vec<u8> {
    let parses = |bytes: &[u8]| Message::parse(dialect, bytes).is_ok();
    let trimmed = input.trim_ascii_end();
    if parses(input) {
        return input.to_vec();
    }
    let decoded = from_hex(input);
    match decoded {
        _ if parses(trimmed) => trimmed.to_vec(),
        Some(decoded) if parses(&decoded) || !looks_like(dialect, trimmed) => decoded,
        _ => trimmed.to_vec(),
    }
}

/// Whether the bytes begin with an MTI of the dialect.
fn looks_like(dialect: &Dialect, bytes: &[u8]) -> bool {
    let error = Message::parse_partial(dialect, bytes).error;
    error.is_none_or(|error| error.field != 0)
}

fn from_hex(input: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(input).ok()?.trim();
    let text = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b':')
        .map(|byte| value::hex_value(byte, None))
        .collect::<Option<_>>()?;
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    Some(
        digits
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[high, low]| high << 4 | low)
            .collect(),
    )
}

/// A nested part on its line.
struct Leaf {
    depth: usize,
    key: String,
    value: String,
    name: String,
}

/// The value of a field on its own line; nested parts go to `leaves`, and their field then shows
/// nothing on its own, so that nothing is shown twice or past its mask.
fn shown(
    spec: &FieldSpec,
    cut: Cut<'_>,
    structure: Option<&Structure>,
    leaves: &mut Vec<Leaf>,
) -> String {
    let start = leaves.len();
    match structure {
        Some(structure) if spec.mask == Mask::Show => {
            match collect(structure, spec, cut, 0, leaves) {
                true if leaves.len() > start => String::new(),
                true => masked(spec, cut),
                false => {
                    leaves.truncate(start);
                    unparsed(structure, spec, cut)
                }
            }
        }
        _ => masked(spec, cut),
    }
}

fn collect(
    structure: &Structure,
    spec: &FieldSpec,
    cut: Cut<'_>,
    depth: usize,
    leaves: &mut Vec<Leaf>,
) -> bool {
    let walked = each_part(structure, &spec.layout, cut, &mut |part| {
        let at = leaves.len();
        leaves.push(Leaf {
            depth,
            key: part.key.to_owned(),
            value: String::new(),
            name: part.spec.name.to_string(),
        });
        let nested = part.structure.filter(|_| part.spec.mask == Mask::Show);
        leaves[at].value = match nested {
            None => masked(part.spec, part.cut),
            Some(inner) => match collect(inner, part.spec, part.cut, depth + 1, leaves) {
                true if leaves.len() > at + 1 => String::new(),
                true => masked(part.spec, part.cut),
                false => {
                    leaves.truncate(at + 1);
                    unparsed(inner, part.spec, part.cut)
                }
            },
        };
        ControlFlow::Continue(())
    });
    walked.is_ok()
}

/// A value whose structure does not hold: it may have something to hide anywhere.
fn unparsed(structure: &Structure, spec: &FieldSpec, cut: Cut<'_>) -> String {
    match structure.hides_something() {
        true => hidden(cut.units),
        false => masked(spec, cut),
    }
}

fn json_value(spec: &FieldSpec, cut: Cut<'_>, structure: Option<&Structure>) -> Json {
    let Some(structure) = structure.filter(|_| spec.mask == Mask::Show) else {
        return Json::String(masked(spec, cut));
    };
    let mut parts = Map::new();
    let walked = each_part(structure, &spec.layout, cut, &mut |part| {
        let value = json_value(part.spec, part.cut, part.structure);
        // A tag may come more than once: its values become a list.
        match parts.get_mut(part.key) {
            None => drop(parts.insert(part.key.to_owned(), value)),
            Some(Json::Array(values)) => values.push(value),
            Some(first) => *first = Json::Array(vec![first.take(), value]),
        }
        ControlFlow::Continue(())
    });
    match walked {
        Err(_) => Json::String(unparsed(structure, spec, cut)),
        Ok(_) if parts.is_empty() => Json::String(masked(spec, cut)),
        Ok(_) => Json::Object(parts),
    }
}

fn hidden(length: usize) -> String {
    "*".repeat(length)
}

/// The canonical text of a value as far as it may be shown.
fn masked(spec: &FieldSpec, cut: Cut<'_>) -> String {
    let mut text = String::new();
    value::characters(&spec.layout, cut, |byte| {
        text.push(if (0x20..0x7f).contains(&byte) {
            byte as char
        } else {
            '.'
        });
    });
    match spec.mask {
        Mask::Hide => hidden(text.len()),
        Mask::Pan => first_six_last_four(&text),
        // Private fields may hold an account number that their dialect does not know of.
        Mask::Show if matches!(spec.layout.content, Content::Ans | Content::An | Content::B) => {
            without_account_numbers(text)
        }
        Mask::Show => text,
    }
}

/// `411111******1111`; shorter numbers show at most what that leaves.
fn first_six_last_four(text: &str) -> String {
    let digits = text.trim_end_matches('F');
    let length = digits.len();
    match length {
        13.. => format!(
            "{}{}{}",
            &digits[..6],
            hidden(length - 10),
            &digits[length - 4..]
        ),
        8.. => format!("{}{}", hidden(length - 4), &digits[length - 4..]),
        _ => hidden(length),
    }
}

/// Masks runs of 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1 annex B).
fn without_account_numbers(text: String) -> String {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let piece = &text[at..at + run.max(1)];
        match run {
            13..=19 if passes_luhn(piece) => out.push_str(&first_six_last_four(piece)),
            _ => out.push_str(piece),
        }
        at += run.max(1);
    }
    out
}

fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| match (at % 2, u32::from(byte - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// `n ..19`, `ans 40`.
fn format(spec: &FieldSpec) -> String {
    let layout = &spec.layout;
    let dots = match layout.length {
        Length::Fixed => "",
        Length::Prefixed(_) | Length::Open => "..",
    };
    format!("{} {dots}{}", layout.content.name(), layout.max)
}

/// What the codes of the best-known fields mean in this dialect.
fn annotation(message: &Message<'_>, number: u8) -> String {
    let dialect = message.dialect();
    let mappings = dialect.mappings();
    let code = || message.text::<16>(number);
    let word = if number == mappings.kind.at.field {
        code().and_then(|code| mappings.kind.word(&code).map(str::to_owned))
    } else if number == dialect.network_management_field() && message.mti().class() == 8 {
        code().and_then(|code| {
            dialect
                .network_management_function(&code)
                .map(str::to_owned)
        })
    } else if number == 39 {
        code().and_then(|code| reason(dialect, &code))
    } else {
        None
    };
    word.map(|word| format!(" = {word}")).unwrap_or_default()
}

/// A response code stands for many reasons: named when for one only, or when it is an approval.
fn reason(dialect: &Dialect, code: &str) -> Option<String> {
    let reasons = super::dialect::RESPONSE_REASONS;
    if dialect.response_code("approved") == Some(code) {
        return Some("approved".to_owned());
    }
    let meant: Vec<_> = reasons
        .iter()
        .filter(|reason| dialect.response_code(reason) == Some(code))
        .collect();
    match meant[..] {
        [] => None,
        [one] => Some((*one).to_string()),
        [first, ..] => Some(format!("{first} or {} others", meant.len() - 1)),
    }
}

fn meaning(mti: Mti) -> String {
    let class = match mti.class() {
        1 => "authorization",
        2 => "financial",
        3 => "file action",
        4 => "reversal",
        5 => "reconciliation",
        6 => "administrative",
        7 => "fee collection",
        8 => "network management",
        _ => "reserved class",
    };
    let function = match mti.function() {
        0 => "request",
        1 => "response",
        2 => "advice",
        3 => "advice response",
        4 => "notification",
        _ => "of a reserved function",
    };
    let repeat = if mti.is_repeat() { ", repeat" } else { "" };
    format!("{class} {function}{repeat}")
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
