//! `cardswitch check`, as an operator runs it: one sentence with the place of what is wrong, and exit codes.

mod support;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::path::Path;
use std::process::Command;
use support::told::{Told, told};
use support::{Switch, wait_until};
use tempfile::TempDir;
use tmp_postgrust::synchronous::ProcessGuard;

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

/// What `check` says of a store, in one line with its place.
fn refused(folder: &TempDir, url: &str) -> String {
    let refused = run_in(
        folder,
        "check",
        &format!("[store]\nurl = \"{url}\"\n"),
        &[KEY],
    );
    assert_eq!(refused.code, Some(1), "{} {}", refused.out, refused.error);
    let error = refused.error.trim_end().to_owned();
    assert!(error.starts_with("cardswitch: c.toml:2:1: "), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// A cluster, its address, and what runs statements in it.
fn postgres() -> (ProcessGuard, String, impl Fn(&str, &str)) {
    let mut cluster = tmp_postgrust::new_default_process().expect("the tests need Postgres");
    let log = cluster.stderr_reader.take();
    std::thread::spawn(move || log.into_iter().flatten().for_each(drop));
    let url = cluster.connection_string();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sql = move |url: &str, sql: &str| {
        runtime.block_on(async {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let sql = AssertSqlSafe(sql.to_owned());
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        });
    };
    (cluster, url, sql)
}

/// Nothing is tried out: rights are asked for.
#[test]
fn a_postgres_that_takes_no_tables_is_told_before_a_start() {
    let (_cluster, url, sql) = postgres();
    sql(&url, "CREATE ROLE u LOGIN");
    let (place, _) = url.split_once("&user=").unwrap();
    let of_other = format!("{place}&user=u");
    let folder = TempDir::new().unwrap();
    let told = |url: &str, way_out: &str| {
        let error = refused(&folder, url);
        assert!(error.contains(way_out), "{error}");
    };
    told(&of_other, "GRANT CREATE ON SCHEMA public TO u, or name");
    let network = "[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let mut switch = Switch::start(&format!("[store]\nurl = \"{of_other}\"\n{network}"));
    switch.wait_until_ready();
    let is_loud = |line: &Value| {
        line["level"] == "ERROR" && line.to_string().contains("GRANT CREATE ON SCHEMA")
    };
    wait_until("it is told as an error", || {
        switch.log().iter().any(is_loud)
    });
    assert!(switch.stop().success());
    sql(&url, "DROP SCHEMA public");
    told(
        &of_other,
        "has no schema in which its user u may make tables",
    );
    sql(
        &url,
        "CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO u",
    );
    let read_only = |is_so: &str| {
        let name = "\"tmp-postgrust\" SET default_transaction_read_only";
        sql(
            &url,
            &format!("BEGIN READ WRITE; ALTER DATABASE {name} = {is_so}; COMMIT"),
        );
    };
    read_only("on");
    told(
        &url,
        "takes no writes: default_transaction_read_only is on; name the primary",
    );
    read_only("off");
    let switch = Switch::start(&format!("[store]\nurl = \"{url}\"\n{network}"));
    switch.wait_until_ready();
    let data = switch.folder().join("data");
    let mut switch = switch;
    assert!(switch.stop().success());
    std::fs::rename(data, folder.path().join("data")).unwrap();
    let good = || {
        let config = format!("[store]\nurl = \"{url}\"\n");
        let good = run_in(&folder, "check", &config, &[KEY]);
        assert_eq!((good.code, &*good.error), (Some(0), ""));
    };
    good();
    told(
        &of_other,
        "permission denied for table schema_version; the user in `[store] url` has to own the tables",
    );
    sql(&url, "GRANT SELECT ON schema_version TO u");
    told(
        &of_other,
        "does not let its user u read and write all tables (accounts, audit_log, ",
    );
    sql(
        &url,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO u; REVOKE UPDATE ON cards FROM u",
    );
    told(
        &of_other,
        "does not let its user u read and write all tables (cards): GRANT",
    );
    sql(&url, "GRANT UPDATE ON cards TO u");
    let config = format!("[store]\nurl = \"{of_other}\"\n");
    // Neither their owner nor allowed to make any: there are none to make.
    assert_eq!(run_in(&folder, "check", &config, &[KEY]).code, Some(0));
    sql(&url, "ALTER TABLE schema_version RENAME TO renamed");
    told(&url, "lacks tables (schema_version) that were there");
    sql(&url, "ALTER TABLE renamed RENAME TO schema_version");
    sql(
        &url,
        "CREATE TABLE kept AS SELECT version FROM schema_version WHERE version > 10; DELETE FROM schema_version WHERE version > 10; GRANT CREATE ON SCHEMA public TO u",
    );
    told(
        &of_other,
        "tables of version 10 that its user u does not own (accounts, ",
    );
    sql(
        &url,
        "INSERT INTO schema_version SELECT version FROM kept; DROP TABLE cards, fees, kept",
    );
    told(
        &url,
        "lacks tables (cards, fees) that were there: stop the switch and run `cardswitch store rebuild`",
    );
}

/// It begins to follow once the folder is made: no restart.
#[test]
fn a_folder_that_is_not_there_is_told_with_its_way_out() {
    let mut switch = Switch::start(
        "[sandbox]\nenabled = true\n[store]\nurl = \"sqlite:not/there/x.db\"\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n",
    );
    switch.wait_until_ready();
    let state = |switch: &Switch| switch.api("GET", "/readyz", &Value::Null).1;
    wait_until("the way out is told", || {
        let way_out = state(&switch)["way_out"].clone();
        way_out
            .as_str()
            .is_some_and(|way_out| way_out.contains("folder of the file"))
    });
    let folder = switch.folder().join("data/not/there");
    std::fs::create_dir_all(folder).unwrap();
    wait_until("it follows", || state(&switch)["projection"] == "following");
    assert_eq!(state(&switch)["way_out"], Value::Null);
    assert!(switch.stop().success());
}

/// A table that is lost is told by the running switch, and made anew.
#[test]
fn a_dropped_table_is_told_with_its_way_out_and_made_anew() {
    let (_cluster, url, sql) = postgres();
    let config = format!(
        "[sandbox]\nenabled = true\n[store]\nurl = \"{url}\"\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n"
    );
    let mut switch = Switch::start(&config);
    switch.wait_until_ready();
    let account = switch.account(100_000);
    let state = |switch: &Switch| switch.api("GET", "/readyz", &Value::Null).1;
    wait_until("it follows", || state(&switch)["projection"] == "following");
    assert_eq!(state(&switch)["way_out"], Value::Null);
    sql(&url, "DROP TABLE cards");
    let card = switch.card(&account, &json!({}));
    let way_out = "stop the switch, and run `cardswitch store rebuild`";
    let is_told = |switch: &Switch| {
        let told = state(switch);
        (&told["projection"], &told["way_out"]) == (&json!("refused"), &json!(way_out))
    };
    wait_until("the way out is told", || is_told(&switch));
    let is_loud = |line: &Value| {
        line["level"] == "ERROR" && line.to_string().contains("run `cardswitch store rebuild`")
    };
    wait_until("the log says so", || switch.log().iter().any(is_loud));
    assert!(switch.stop().success());
    // It starts, and decides.
    let mut switch = switch.restart();
    switch.wait_until_ready();
    wait_until("the way out is told", || is_told(&switch));
    wait_until("the log says so", || switch.log().iter().any(is_loud));
    assert!(switch.stop().success());
    let rebuilt = told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .args(["store", "rebuild", "--config"])
            .arg(switch.folder().join("cardswitch.toml")),
    );
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.error);
    let mut switch = switch.restart();
    switch.wait_until_ready();
    wait_until("it follows", || state(&switch)["projection"] == "following");
    let listed = switch.good("GET", "/v1/cards", &Value::Null);
    assert_eq!(listed["data"][0]["id"], json!(card.id));
    assert!(switch.stop().success());
}

/// What `serve` refuses at its start.
#[test]
fn tables_that_do_not_fit_the_journal_are_told_before_a_start() {
    let config =
        "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";
    let mut switch = Switch::start(config);
    switch.wait_until_ready();
    switch.account(100_000);
    let accounts = || switch.good("GET", "/v1/accounts", &Value::Null);
    wait_until("it is in the tables", || !accounts()["data"][0].is_null());
    let files = |data: &Path| {
        let mut files: Vec<_> = std::fs::read_dir(data)
            .unwrap()
            .flatten()
            .map(|file| {
                (
                    file.file_name(),
                    file.metadata().unwrap().modified().unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    };
    let good = |folder: &TempDir| {
        let good = run_in(folder, "check", "[store]\nurl = \"sqlite\"\n", &[KEY]);
        assert_eq!((good.code, &*good.error), (Some(0), ""));
    };
    let data = switch.folder().join("data");
    // Beside the running switch, whose last record nothing behind it proves durable.
    let beside = told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .args(["check", "--config"])
            .arg(switch.folder().join("cardswitch.toml"))
            .env("CARDSWITCH_ROOT_KEY", KEY.1),
    );
    assert_eq!((beside.code, &*beside.error), (Some(0), ""));
    assert!(switch.stop().success());
    let folder = TempDir::new().unwrap();
    let here = folder.path().join("data");
    std::fs::rename(&data, &here).unwrap();
    let before = files(&here);
    good(&folder);
    assert_eq!(files(&here), before, "nothing is made or changed");
    let told = |way_out: &str| {
        let error = refused(&folder, "sqlite");
        assert!(error.contains(way_out), "{error}");
    };
    let (journal, aside) = (here.join("journal"), folder.path().join("aside"));
    std::fs::rename(&journal, &aside).unwrap();
    let error = refused(&folder, "sqlite:nowhere/cards.sqlite");
    assert!(error.contains("nowhere is not there; make it"), "{error}");
    told("data/journal: restore it from a copy");
    // An earlier copy, and another journal.
    let mut other = Switch::start(config);
    other.wait_until_ready();
    assert!(other.stop().success());
    std::fs::rename(other.folder().join("data/journal"), &journal).unwrap();
    told("and the journal here is another one");
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::rename(&aside, &journal).unwrap();
    good(&folder);
    let tables = here.join("cardswitch.sqlite");
    let moved = |sql: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let file = format!("sqlite:{}", tables.display());
            let mut connection = SqliteConnection::connect(&file).await.unwrap();
            let sql = AssertSqlSafe(sql.to_owned());
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    };
    moved("UPDATE projection SET position = position + 1");
    told("the journal has lost its end");
    moved("UPDATE projection SET position = position - 1");
    good(&folder);
    moved("UPDATE projection SET chain = replace(chain, substr(chain, 1, 4), '0000')");
    told("had lost its end and has gone on since");
    let mut bytes = std::fs::read(&tables).unwrap();
    bytes.truncate(bytes.len() / 2 + 100);
    std::fs::write(&tables, &bytes).unwrap();
    told("run `cardswitch store rebuild`, which puts");
}

/// A Postgres is asked whether it takes the switch; nothing is made there.
#[test]
fn a_postgres_that_is_wrong_is_told_and_one_that_is_away_is_worth_a_warning() {
    let (_cluster, url, _) = postgres();
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
    wait_until("the log says so", || switch.log().iter().any(is_loud));
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
