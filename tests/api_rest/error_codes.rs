//! `docs/errors.md` is written from the code, and the list that it comes from is held against every refusal in the source.
//! What the tests of this program are answered is held against it in `described.rs`.

use cardswitch::api::error_codes::CODES;
use cardswitch::engine::transfers::ReturnReason;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api");

const INTRODUCTION: &str = "\
# Error codes

This page is written by a test (`CARDSWITCH_REGENERATE_ERRORS=1 cargo test --test api_rest error_codes`); other tests hold it against
the code and against every answer that they get.

An error is `{\"error\":{\"type\",\"code\",\"message\",\"param\",\"request_id\"}}`. Act on the status and the `code`; the `message` is for people,
and says what of the request it was about, with its bounds. Expect codes that are not here yet, and treat them as their status. What
is refused with 4xx is refused again as long as nothing changes (408, 429 and `idempotency_key_in_use`: try again); with 5xx, repeat it
with the same `Idempotency-Key`. A row of a card batch, an approval and an entry of the audit log that failed have the same codes.

";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for group in CODES {
        let (status, name) = (group.status, group.error_type.name());
        let _ = write!(
            page,
            "## {status}, `{name}`\n\n| code | means |\n|---|---|\n"
        );
        for (code, meaning) in group.codes {
            let _ = writeln!(page, "| `{code}` | {meaning} |");
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

#[test]
fn the_page_of_error_codes_is_as_the_code_has_it() {
    if std::env::var_os("CARDSWITCH_REGENERATE_ERRORS").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PAGE).unwrap(), page());
}

#[test]
fn the_list_is_in_order_and_says_something_of_each() {
    for group in CODES {
        let codes: Vec<&str> = group.codes.iter().map(|(code, _)| *code).collect();
        let sorted = BTreeSet::from_iter(&codes);
        assert!(codes.iter().eq(sorted), "{} is not sorted", group.status);
        for (code, meaning) in group.codes {
            assert!(meaning.ends_with('.') && !meaning.contains('|'), "{code}");
        }
    }
}

#[test]
fn every_refusal_in_the_source_has_a_code_of_the_list_and_every_code_is_one_of_them() {
    let listed: BTreeSet<(u16, &str)> = CODES
        .iter()
        .flat_map(|group| group.codes.iter().map(|(code, _)| (group.status, *code)))
        .collect();
    let mut sources = Vec::new();
    read(Path::new(SOURCE), &mut sources);
    assert!(sources.len() > 60, "{}", sources.len());
    let whole = sources.iter().map(|(_, text)| text.as_str());
    let whole: String = whole.collect();
    let mut given = BTreeSet::new();
    for (file, text) in &sources {
        for made in refusals(text) {
            for code in codes_of(&made, text, &whole) {
                let code = code.unwrap_or_else(|| panic!("{file}: what is the code of {made:?}?"));
                let is_listed = listed
                    .iter()
                    .any(|(status, known)| *known == code && made.has(*status));
                assert!(is_listed, "{file}: {code} of {made:?} is not in the list");
                given.insert(code);
            }
        }
    }
    let idle = listed.iter().filter(|(_, code)| !given.contains(*code));
    let idle: Vec<_> = idle.collect();
    assert!(
        idle.is_empty(),
        "in the list, and nothing gives them: {idle:?}"
    );
}

/// Source of the interface without its tests, its description and the list itself.
fn read(folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "openapi" {
            read(&path, sources);
        } else if name.ends_with(".rs") && name != "error_codes.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            sources.push((name, code));
        }
    }
}

/// A call that makes an error.
#[derive(Debug)]
struct Made {
    maker: &'static str,
    arguments: Vec<String>,
}

/// The makers of errors: with their status, where that is theirs, and the place of the code among their arguments.
const MAKERS: [(&str, Option<u16>, usize); 8] = [
    ("ApiError::invalid", Some(400), 0),
    ("ApiError::not_found", Some(404), 0),
    ("ApiError::conflict", Some(409), 0),
    ("ApiError::unavailable", Some(503), 0),
    ("ApiError::new", None, 2),
    (" forbidden", Some(403), 0),
    ("unauthorized", Some(401), 0),
    (" refused", None, 1),
];

impl Made {
    fn place(&self) -> (Option<u16>, usize) {
        let known = MAKERS.iter().find(|(maker, ..)| *maker == self.maker);
        let (_, status, place) = known.unwrap();
        (*status, *place)
    }

    fn has(&self, status: u16) -> bool {
        self.place().0.is_none_or(|of_maker| of_maker == status)
    }
}

fn refusals(text: &str) -> Vec<Made> {
    let mut found = Vec::new();
    let text = text
        .replace("auth::forbidden", " forbidden")
        .replace("(forbidden", "( forbidden")
        .replace("(refused", "( refused");
    for (maker, _, place) in MAKERS {
        for (at, _) in text.match_indices(&format!("{maker}(")) {
            let is_declared = text[..at].trim_end().ends_with("fn");
            let arguments = arguments(&text[at + maker.len() + 1..]);
            // Those of a name alone turn a refusal of the engine into an error.
            if !is_declared
                && arguments.len() > place
                && !(maker == " refused" && arguments.len() < 3)
            {
                found.push(Made { maker, arguments });
            }
        }
    }
    found
}

/// Up to the bracket that closes them, or the end of a statement; cut at the commas between them.
fn arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut argument) = (Vec::new(), String::new());
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for letter in text.chars() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            _ if is_text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ';' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            _ => {}
        }
        argument.push(letter);
    }
    if !argument.trim().is_empty() {
        arguments.push(argument.trim().to_owned());
    }
    arguments
}

/// The codes that a call may give. `None` where the source does not say.
fn codes_of(made: &Made, text: &str, whole: &str) -> Vec<Option<String>> {
    let argument = made.arguments[made.place().1].as_str();
    let name = argument.rsplit("::").next().unwrap();
    let constant = format!("const {name}: &str = ");
    if let Some(rest) = argument.strip_prefix('"') {
        return vec![Some(rest.trim_end_matches('"').to_owned())];
    }
    if let Some((_, value)) = whole.split_once(&constant) {
        return vec![quoted(value).first().cloned()];
    }
    match argument {
        // Made ready before; in this file, each `let` of it.
        "code" => {
            let lets = text
                .match_indices("    let ")
                .map(|(at, _)| &text[at + 8..]);
            let lets = lets.filter(|it| it.split(" = ").next().unwrap().contains("code"));
            let values = lets.flat_map(arguments);
            let codes: Vec<_> = values.flat_map(|value| quoted(&value)).map(Some).collect();
            match codes.is_empty() {
                // Passed on by a maker of errors.
                true if text.contains("code: &'static str") => Vec::new(),
                true => vec![None],
                false => codes,
            }
        }
        "reason.name()" => ReturnReason::ALL
            .iter()
            .map(|(_, name)| Some((*name).to_owned()))
            .collect(),
        // One that was made before.
        "error.code" => Vec::new(),
        _ => vec![None],
    }
}

/// The texts in source that look like codes.
fn quoted(text: &str) -> Vec<String> {
    let is_code = |text: &&str| {
        let mut letters = text.chars();
        letters.all(|letter| letter.is_ascii_lowercase() || letter == '_') && text.contains('_')
    };
    let texts = text.split('"').skip(1).step_by(2);
    texts.filter(is_code).map(str::to_owned).collect()
}
