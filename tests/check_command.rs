//! `cardswitch check`, as an operator runs it: one sentence with the place of what is wrong, and exit codes.

mod support;

use serde_json::{Value, json};
use std::process::Command;
use support::told::{Told, told};
use support::{Switch, wait_until};
use tempfile::TempDir;

/// Runs a command on a configuration file with this text, with these variables only.
fn run(command: &str, config: &str, variables: &[(&str, &str)]) -> Told {
    run_in(&TempDir::new().unwrap(), command, config, variables)
}

fn run_in(folder: &TempDir, command: &str, config: &str, variables: &[(&str, &str)]) -> Told {
    let file = folder.path().join("c.toml");
    std::fs::write(&file, config).unwrap();
    told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .args([command, "--config", "c.toml"])
            .current_dir(folder.path())
            .env_clear()
            .envs(variables.iter().copied()),
    )
}

const KEY: (&str, &str) = ("CARDSWITCH_ROOT_KEY", "0123456789abcdef");

#[test]
fn a_good_file_is_good_and_a_missing_root_key_is_worth_a_warning() {
    let config = "[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:8583\"\n";
    let good = run("check", config, &[KEY]);
    assert_eq!((good.code, &*good.error), (Some(0), ""));
    assert_eq!(good.out, "c.toml: good (1 network)\n");
    let folder = TempDir::new().unwrap();
    assert_eq!(run_in(&folder, "check", config, &[KEY]).code, Some(0));
    let files: Vec<_> = folder.path().read_dir().unwrap().flatten().collect();
    assert_eq!(files.len(), 1, "nothing is made: {files:?}");
    let without = run("check", config, &[]);
    assert_eq!(without.code, Some(0));
    assert!(
        without
            .error
            .starts_with("warning: CARDSWITCH_ROOT_KEY is not set"),
        "{}",
        without.error
    );
}

#[test]
fn what_is_wrong_is_told_in_one_line_with_its_place() {
    let network = "[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:8583\"\n";
    for (config, told) in [
        (
            "\n[store]\nurl = \"mysql://x\"".to_owned(),
            "c.toml:3:1: `store.url` cannot be used",
        ),
        (
            "[log]\nfilter = \"info,cardswitch=loud\"".into(),
            "c.toml:2:1: [log] `filter`: ",
        ),
        (
            "[vault]\nkey = \"short\"".into(),
            "c.toml:2:1: the vault key in vault.key is neither",
        ),
        (
            "[vault]\nkey_file = \"nowhere\"".into(),
            "c.toml:2:1: cannot read nowhere: No such file",
        ),
        (
            format!("{network}dialect = \"iso\""),
            "c.toml:4:1: network `visa`: there is no dialect `iso`",
        ),
        (
            format!("{network}dialect_file = \"nowhere.toml\""),
            "c.toml:4:1: network `visa`: cannot read the dialect file nowhere.toml",
        ),
        (
            format!("{network}connect = \"127.0.0.1:1\""),
            "c.toml:4:1: network `visa`: give either `listen` or `connect`",
        ),
        (
            format!("[http]\nlisten = \"0.0.0.0:8583\"\n{network}"),
            "c.toml:5:1: network `visa`: [http] (`0.0.0.0:8583`) listens on that address and port already",
        ),
        (
            format!("{network}\n{}", network.replace("visa", "other")),
            "c.toml:7:1: network `other`: network `visa` listens on that address and port already",
        ),
        (
            format!("{network}\n{network}"),
            "c.toml:6:1: another [[network]] section has the name `visa` already",
        ),
    ] {
        // `serve` says the same, before it touches anything.
        for command in ["check", "serve"] {
            if command == "serve" && config.contains("vault") {
                continue;
            }
            let refused = run(command, &config, &[KEY]);
            assert_eq!(refused.code, Some(1), "{config}: {}", refused.error);
            let sentence = refused.error.strip_prefix("cardswitch: ").unwrap();
            assert!(sentence.starts_with(told), "{command}: {sentence}");
            assert_eq!(sentence.lines().count(), 1, "{sentence}");
        }
    }
}

#[test]
fn variables_are_named_where_they_are_to_blame() {
    for (variable, told) in [
        (
            ("CARDSWITCH_ROOT_KEY", "short"),
            "CARDSWITCH_ROOT_KEY must be set to any text of 16 or more characters",
        ),
        (
            ("CARDSWITCH__STORE__URL", "mysql://x"),
            "CARDSWITCH__STORE__URL: `store.url` cannot be used",
        ),
        (
            ("CARDSWITCH__SHARDS__COUNT", "0"),
            "CARDSWITCH__SHARDS__COUNT: [shards] `count` must be 1 to 256",
        ),
    ] {
        for command in ["check", "serve"] {
            let refused = run(command, "[store]\nurl = \"sqlite\"\n", &[variable]);
            assert_eq!(refused.code, Some(1), "{}", refused.error);
            let sentence = refused.error.strip_prefix("cardswitch: ").unwrap();
            assert!(sentence.starts_with(told), "{command}: {sentence}");
        }
    }
}

#[test]
fn a_cause_is_told_once() {
    let config = "[data]\ndir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/vault"), "").unwrap();
    let refused = run_in(&folder, "serve", config, &[KEY]);
    assert_eq!(refused.code, Some(1));
    let sentence = refused.error.lines().last().unwrap();
    assert!(sentence.contains("data/vault"), "{sentence}");
    assert_eq!(sentence.matches("os error").count(), 1, "{sentence}");
}

/// A Postgres is asked whether it takes the switch; nothing is made there.
#[test]
fn a_postgres_that_is_wrong_is_told_and_one_that_is_away_is_worth_a_warning() {
    let mut cluster = tmp_postgrust::new_default_process().expect("the tests need Postgres");
    let log = cluster.stderr_reader.take();
    std::thread::spawn(move || log.into_iter().flatten().for_each(drop));
    let url = cluster.connection_string();
    let check = |url: &str| run("check", &format!("[store]\nurl = \"{url}\"\n"), &[KEY]);
    for _ in 0..2 {
        let good = check(&url);
        assert_eq!((good.code, &*good.error), (Some(0), ""), "nothing is made");
    }
    let other_database = url.replace("dbname=tmp-postgrust", "dbname=cards");
    let network = "[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let switch = Switch::start(&format!("[store]\nurl = \"{other_database}\"\n{network}"));
    switch.wait_until_ready();
    wait_until("the state is told", || {
        let (status, told) = switch.api("GET", "/readyz", &Value::Null);
        (status, &told["projection"]) == (200, &json!("refused"))
    });
    let is_loud = |line: &Value| {
        line["level"] == "ERROR" && line.to_string().contains("make it (`createdb`)")
    };
    assert!(switch.log().iter().any(is_loud), "{:?}", switch.log());
    let (place, _) = url.split_once("&user=").unwrap();
    for (url, told) in [
        (
            other_database,
            r#"refused to let the switch in: database "cards" does not exist; make it (`createdb`), or name another one in `[store] url`"#,
        ),
        (
            format!("{place}&user=missing"),
            r#"refused to let the switch in: role "missing" does not exist; check the user in `[store] url`, and the password there, in PGPASSWORD or in ~/.pgpass"#,
        ),
    ] {
        let refused = check(&url);
        assert_eq!(refused.code, Some(1), "{}", refused.error);
        let error = refused.error.trim_end();
        assert!(error.starts_with("cardswitch: c.toml:2:1: "), "{error}");
        assert!(error.ends_with(told), "{error}");
    }
    let away = check("postgres://u@127.0.0.1:1/d");
    assert_eq!(away.code, Some(0));
    assert!(
        away.error
            .starts_with("warning: the database at postgres://u@127.0.0.1:1/d cannot be reached"),
        "{}",
        away.error
    );
}
