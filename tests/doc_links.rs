//! Links within the documentation lead somewhere: to a file that is there, and to a heading that it has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const DOCS: &[&str] = &["README.md", "ARCHITECTURE.md", "benches/README.md"];

fn documents() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("docs").unwrap();
    let docs = entries.map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    docs.chain(DOCS.iter().map(PathBuf::from)).collect()
}

/// Without blocks of code and code in the line: what looks like a link there is none.
fn prose(markdown: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let parts = line.split('`').step_by(2);
            prose.extend(parts.chain(["\n"]));
        }
    }
    prose
}

/// What `[text](target)` names, but for addresses.
fn targets(markdown: &str) -> Vec<String> {
    let prose = prose(markdown);
    let ends = prose.match_indices("](").map(|(at, _)| &prose[at + 2..]);
    let targets = ends.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
    targets.filter(|target| !target.contains("://")).collect()
}

/// The anchors that GitHub makes of headings: small letters, digits, `-` and `_`, a hyphen for each space.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut is_code = false;
    for line in markdown.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let text = line.trim_start_matches('#');
        if is_code || text.len() == line.len() || !text.starts_with(' ') {
            continue;
        }
        let kept = text.trim().chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
            _ => None,
        });
        let anchor: String = kept.collect();
        let again = |number: &u32| match number {
            0 => anchor.clone(),
            _ => format!("{anchor}-{number}"),
        };
        // The second heading of a name has a number.
        let free = (0..).map(|number| again(&number));
        anchors.extend(free.into_iter().find(|name| !anchors.contains(name)));
    }
    anchors
}

/// What is wrong with a link of this document, if anything.
fn wrong(document: &Path, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => document.to_owned(),
        _ => document.parent().unwrap().join(path),
    };
    let told = |what: &str| Some(format!("{}: ({target}): {what}", document.display()));
    if !file.exists() {
        return told("no such file");
    }
    if anchor.is_empty() {
        return None;
    }
    let markdown = std::fs::read_to_string(&file).unwrap();
    match anchors(&markdown).contains(anchor) {
        true => None,
        false => told("no such heading"),
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut all_wrong = Vec::new();
    let mut followed = 0;
    for document in documents() {
        let markdown = std::fs::read_to_string(&document).unwrap();
        for target in targets(&markdown) {
            followed += 1;
            all_wrong.extend(wrong(&document, &target));
        }
    }
    assert!(followed > 50, "{followed} links found");
    assert!(all_wrong.is_empty(), "\n{}\n", all_wrong.join("\n"));
}

#[test]
fn links_and_headings_are_read_as_they_are_shown() {
    let markdown = "# A `b`: c, d\n[x](y.md#z) and `[no](link)`, [w](https://e/#f)\n```\n# no\n[n](o)\n```\n## Same\n## Same\n#none";
    assert_eq!(targets(markdown), ["y.md#z"]);
    let expected = ["a-b-c-d", "same", "same-1"].map(str::to_owned);
    assert_eq!(anchors(markdown), BTreeSet::from(expected));
    let document = Path::new("docs/api.md");
    assert_eq!(wrong(document, "errors.md"), None);
    for (target, what) in [
        ("errors.md#none", "heading"),
        ("none.md", "file"),
        ("#none", "heading"),
    ] {
        assert!(wrong(document, target).unwrap().ends_with(what), "{target}");
    }
}
