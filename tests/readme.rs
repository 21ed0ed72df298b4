//! Keeps the README's commands and the commented configuration true. What those do that work on the demo's folder is
//! tried in `demo.rs`.

use cardswitch::cli::Cli;
use cardswitch::config::Config;
use clap::Parser;
use std::path::Path;
use std::process::Command;

/// Commands that stand in ```sh blocks, one a line.
fn commands(markdown: &str) -> Vec<String> {
    let (mut inside, mut found) = (false, Vec::new());
    for line in markdown.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => found.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

/// On some day, and with an id where a command before it finds one.
fn as_the_shell_reads_it(command: &str) -> String {
    let command = command.replace("$(date -u +%F)", "2026-11-24");
    match command.split_once("$(") {
        Some((before, _)) => format!("{before}auth_0000000000001"),
        None => command,
    }
}

#[test]
fn every_command_of_the_readme_is_one_that_the_programs_take() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let mut seen = 0;
    for command in commands(&readme) {
        let command = as_the_shell_reads_it(&command);
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["cargo", "test"] | ["cargo", "build", "--release", "--bins"] | ["export", _] => {}
            ["cargo", "run", "--release", "--", rest @ ..]
            | ["./target/release/cardswitch", rest @ ..] => {
                seen += 1;
                if let Err(error) = Cli::try_parse_from(["cardswitch"].iter().chain(rest)) {
                    panic!("README.md: `{command}`: {error}");
                }
            }
            ["./target/release/cardsim", rest @ ..] => {
                seen += 1;
                // With `--help` it reads the options and does nothing.
                let status = Command::new(env!("CARGO_BIN_EXE_cardsim"))
                    .args(rest)
                    .arg("--help")
                    .output()
                    .unwrap()
                    .status;
                assert!(status.success(), "README.md: `{command}`: {status}");
            }
            _ => panic!("README.md: nobody checks `{command}`: teach this test"),
        }
    }
    assert!(seen >= 5, "the README has lost its commands");
}

#[test]
fn the_described_message_of_the_readme_describes() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let described = commands(&readme)
        .into_iter()
        .find(|command| command.contains(" describe "))
        .unwrap();
    let message = described.split_whitespace().last().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(["describe", message])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("0800"), "{text}");
}

#[test]
fn what_is_no_message_and_no_file_is_told_so_and_not_repeated() {
    let output = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(["describe", "hello"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("neither a message (as text or hexadecimal digits")
            && !told.contains("hello"),
        "{told}"
    );
}

/// `FILE::TEST`, or a file or folder, in backticks.
#[test]
fn every_test_that_the_durability_page_names_is_there() {
    let page = std::fs::read_to_string("docs/durability.md").unwrap();
    let named = page.split('`').skip(1).step_by(2);
    let mut tests = 0;
    for name in named.filter(|name| {
        ["tests/", "src/", "tools/", "fuzz/"]
            .iter()
            .any(|p| name.starts_with(p))
    }) {
        let (file, test) = name.split_once("::").unwrap_or((name, ""));
        assert!(
            Path::new(file).exists(),
            "docs/durability.md: there is no {file}"
        );
        if !test.is_empty() {
            tests += 1;
            let text = std::fs::read_to_string(file).unwrap();
            assert!(
                text.contains(&format!("fn {test}(")),
                "docs/durability.md: {file} has no test {test}"
            );
        }
    }
    assert!(tests >= 30, "the page has lost its tests");
}

#[test]
fn every_subcommand_has_help_with_an_example() {
    for words in [
        &["demo"][..],
        &["serve"],
        &["check"],
        &["describe"],
        &["backtest"],
        &["explain"],
        &["journal", "verify"],
        &["journal", "dump"],
        &["report", "settlement"],
        &["store", "rebuild"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .args(words)
            .arg("--help")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("Example"),
            "{words:?}: {text}"
        );
    }
}

#[test]
fn the_commented_configuration_has_every_key_with_its_default() {
    let text = std::fs::read_to_string("config/cardswitch.toml").unwrap();
    let parse = |text: &str| {
        Config::parse(
            Path::new("config/cardswitch.toml"),
            text,
            std::iter::empty(),
        )
        .unwrap()
    };
    let commented = format!("{:#?}", parse(&text));
    let defaults = format!(
        "{:#?}",
        parse("[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:8583\"")
    );
    assert_eq!(
        commented, defaults,
        "a value in the file is not the default"
    );
    for line in defaults.lines() {
        let Some((key, _)) = line.trim().split_once(": ") else {
            continue;
        };
        // What is no key: a setting that a section computes, or one that no file may set.
        if ["must_exist"].contains(&key) {
            continue;
        }
        let known = [
            format!("{key} ="),
            format!("# {key} ="),
            format!("[{key}]"),
            format!("[[{key}]]"),
        ];
        let found = text
            .lines()
            .any(|line| known.iter().any(|known| line.starts_with(known.as_str())));
        assert!(found, "config/cardswitch.toml does not explain `{key}`");
    }
}
