//! Holds the source to the table in ARCHITECTURE.md: which module may name which, and which of
//! them may touch the outside world. A new arrow is a change to that table, in the same diff. Also
//! keeps every file opening with `//!`, and files and functions from growing out of hand.

use std::{collections::BTreeMap, fs, path::Path};

/// Names that reach outside the process, or that make a run impossible to repeat.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "getrandom",
    "tokio",
    "sqlx",
    "cryptoki",
    "redb",
    "rand",
    "ureq",
    "reqwest",
    "axum",
    "hyper",
];

/// Lines of a source file without its tests, and of a function.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn modules_use_only_what_the_table_allows() {
    let table = allowed(&fs::read_to_string("ARCHITECTURE.md").unwrap());
    let mut broken = Vec::new();
    for (module, allowed) in &table {
        for (file, text) in sources(Path::new("src"), module) {
            let code = without_tests(&file, &without_comments_and_strings(&text));
            for name in modules_named(&file, &code, &table)
                .into_iter()
                .chain(outside_named(&code))
            {
                if name != *module && !allowed.contains(&name) {
                    broken.push(format!("{file}: `{module}` may not use `{name}`"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_module_is_in_the_table() {
    let table = allowed(&fs::read_to_string("ARCHITECTURE.md").unwrap());
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    for line in lib
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['/', '#']))
    {
        // A re-export here would be a way round the table, so the root holds modules only.
        let name = line
            .strip_prefix("pub mod ")
            .and_then(|rest| rest.strip_suffix(';'));
        let name = name.unwrap_or_else(|| panic!("src/lib.rs may hold only modules: {line}"));
        assert!(
            table.contains_key(name),
            "`{name}` is missing from ARCHITECTURE.md"
        );
    }
}

#[test]
fn every_file_opens_with_what_lives_in_it_and_stays_small() {
    let mut broken = Vec::new();
    for (file, text) in sources(Path::new("src"), "")
        .into_iter()
        .chain(sources(Path::new("tools"), ""))
    {
        if !text.starts_with("//!") {
            broken.push(format!(
                "{file}: the first line has to say what lives here (`//! …`)"
            ));
        }
        let lines = without_tests(&file, &text).lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!(
                "{file}: {lines} lines without its tests, more than {FILE_LINES_MAX}"
            ));
        }
        let code = without_tests(&file, &without_comments_and_strings(&text));
        for (name, lines) in functions(&code) {
            if lines > FUNCTION_LINES_MAX {
                broken.push(format!(
                    "{file}: fn {name} has {lines} lines, more than {FUNCTION_LINES_MAX}"
                ));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_checks_can_fail() {
    let table = allowed("| `engine` | | |\n| `shard` | `engine` | `std::thread` |\n");
    assert_eq!(table["shard"], ["engine", "std::thread"]);
    assert_eq!(
        modules_named(
            "src/x/y.rs",
            "use crate::{shard::x, engine::{a, b}};",
            &table
        ),
        ["shard", "engine"]
    );
    assert_eq!(
        outside_named("let t = std::time::Instant::now();"),
        ["Instant::now"]
    );
    assert!(outside_named("use tokio_util::codec;").is_empty());
    let long = format!(
        "fn long() {{\n{}}}\nfn short() {{ '{{'; }}\n",
        "x();\n".repeat(80)
    );
    assert_eq!(functions(&long), [("long".into(), 82), ("short".into(), 1)]);
    assert_eq!(
        without_tests("a.rs", "code\n#[cfg(test)]\nmod tests {\n}\n"),
        "code\n"
    );
}

/// Rows of the table: the first back-quoted word is the module, the rest is what it may use.
fn allowed(markdown: &str) -> BTreeMap<String, Vec<String>> {
    let rows = markdown.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut words = row.split('`').skip(1).step_by(2).map(str::to_owned);
        (words.next().unwrap(), words.collect())
    })
    .collect()
}

fn sources(src: &Path, module: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![src.join(module), src.join(format!("{module}.rs"))];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
            found.push((
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
    found
}

/// Tests beside the code may use what they like: what follows the first `#[cfg(test)]`, and whole
/// files of tests.
fn without_tests(file: &str, text: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    if name == "tests.rs" || name.ends_with("_tests.rs") || file.contains("/tests/") {
        return String::new();
    }
    let code: Vec<&str> = text
        .split_inclusive('\n')
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .collect();
    code.concat()
}

/// Top-level modules reached through `crate::x`, `crate::{x, y}`, or as many `super::` as lead there.
fn modules_named(file: &str, code: &str, table: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut named = Vec::new();
    // From `src/a/mod.rs` one step leads to the root, from `src/a/b.rs` two.
    let depth = file.matches('/').count() - usize::from(file.ends_with("/mod.rs"));
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&root) {
            let rest = &code[at + root.len()..];
            let heads = if rest.starts_with('{') {
                group_heads(rest)
            } else {
                vec![word(rest)]
            };
            named.extend(heads.into_iter().filter(|head| table.contains_key(head)));
        }
    }
    named
}

/// `{a::b, c::{d, e}, f}` gives `a`, `c`, `f`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut expect) = (Vec::new(), 0, true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expect = true,
            letter if expect && letter.is_alphabetic() => {
                heads.push(word(&group[at..]));
                expect = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn outside_named(code: &str) -> Vec<String> {
    let is_word = |letter: Option<char>| letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
    let bounded = |name: &&&str| {
        code.match_indices(**name).any(|(at, _)| {
            let after = code[at + name.len()..].chars().next();
            let before = code[..at].chars().next_back();
            !is_word(before) && !is_word(after)
        })
    };
    OUTSIDE
        .iter()
        .filter(bounded)
        .map(|name| name.to_string())
        .collect()
}

/// Name and number of lines of each function that has a body.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<String> = code
        .lines()
        .map(|line| line.replace("'{'", "").replace("'}'", ""))
        .collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let mut depth = 0i32;
        let mut opened = false;
        for (count, body) in lines[at..].iter().enumerate() {
            if !opened && body.trim_end().ends_with(';') && !body.contains('{') {
                break;
            }
            depth += body.matches('{').count() as i32 - body.matches('}').count() as i32;
            opened |= body.contains('{');
            if opened && depth <= 0 {
                found.push((name, count + 1));
                break;
            }
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let plain = before
        .split_whitespace()
        .all(|w| w.starts_with("pub") || ["async", "const", "unsafe"].contains(&w));
    plain.then(|| word(after)).filter(|name| !name.is_empty())
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap();
        code.extend(line.split('"').step_by(2));
        code.push('\n');
    }
    code
}
