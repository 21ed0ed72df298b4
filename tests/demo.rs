//! `cardswitch demo`, as whoever tries it first runs it: what it says, how Ctrl-C ends it, and what it leaves.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// Runs a command on the folder that the demo left, from another folder than the demo's.
fn on_what_it_left(folder: &std::path::Path, words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(words)
        .arg("--config")
        .arg(folder.join("left/cardswitch.toml"))
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn ctrl_c_ends_the_demo_when_the_tables_have_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(["demo", "--data", "left", "--cards", "20", "--rate", "300"])
        .args(["--http", "127.0.0.1:0", "--network", "127.0.0.1:0"])
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .env_remove("CARDSWITCH_ROOT_KEY")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut next = || lines.next().map(Result::unwrap);
    let mut told = Vec::new();
    let live = std::iter::from_fn(&mut next)
        .inspect(|line| told.push(line.clone()))
        .find(|line| line.contains(" answered "));
    assert!(live.unwrap().contains("last second: p50"));
    // How far it is, before the first payment.
    let said = |line: &str| told.iter().any(|told| told == line);
    assert!(said("issued 20 of 20 cards"), "{told:?}");
    let id = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = std::iter::from_fn(&mut next).collect();
    assert!(demo.wait().unwrap().success(), "{rest:?}");
    assert!(
        rest.iter().any(|line| line == "the tables hold everything"),
        "{rest:?}"
    );
    // Nothing to be frightened of.
    let mut log = String::new();
    let mut errors = demo.stderr.take().unwrap();
    errors.read_to_string(&mut log).unwrap();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");

    let journal = on_what_it_left(folder.path(), &["journal", "verify", "--json"]);
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let date = now.date().to_string();
    let report = ["report", "settlement", "--format", "json", "--date", &date];
    let report = on_what_it_left(folder.path(), &report);
    assert_eq!(report["projected_through"], journal["last_sequence"]);
    assert_no_such_network(folder.path());
}

/// A name that nobody knows is no network without figures.
fn assert_no_such_network(folder: &std::path::Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(["report", "settlement", "--date", "2026-11-24"])
        .args(["--network", "nope", "--config"])
        .arg(folder.join("left/cardswitch.toml"))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("no network is called `nope`"), "{told}");
}

/// The README's commands on the demo's folder, as they stand there, on what a demo of a few seconds left.
#[test]
fn the_commands_of_the_readme_work_on_what_the_demo_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("left");
    let output = Command::new(env!("CARGO_BIN_EXE_cardswitch"))
        .args(["demo", "--cards", "10", "--rate", "200", "--seconds", "2"])
        .args([
            "--http",
            "127.0.0.1:0",
            "--network",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(&left)
        .env_remove("CARDSWITCH_ROOT_KEY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let readme = std::fs::read_to_string("README.md").unwrap();
    let commands: Vec<&str> = readme
        .lines()
        .filter(|line| line.contains(" demo-data/") && line.starts_with("./target"))
        .collect();
    assert!(commands.len() >= 6, "{commands:?}");
    for command in commands {
        let here = command
            .replace("demo-data", left.to_str().unwrap())
            .replace(
                "./target/release/cardswitch",
                env!("CARGO_BIN_EXE_cardswitch"),
            );
        let output = Command::new("sh").args(["-c", &here]).output().unwrap();
        assert!(output.status.success(), "`{command}`: {output:?}");
        assert!(!output.stdout.is_empty(), "`{command}` prints nothing");
    }
}
