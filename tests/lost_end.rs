//! A journal that has lost its end, while the tables prove that there was more: the switch must not decide on
//! what is left.

mod support;

use serde_json::json;
use sqlx::Connection;
use std::process::Command;
use support::client::Client;
use support::messages::Purchase;
use support::told::told;
use support::{Switch, wait_until};

const CONFIG: &str =
    "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn a_journal_behind_its_tables_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, kept) = (
        folder.path().join("data/journal"),
        folder.path().join("kept"),
    );
    let mut switch = Switch::start_in(folder, CONFIG);
    switch.wait_until_ready();
    let account = switch.account(100_000);
    assert!(switch.stop().success());
    copy_all(&journal, &kept);
    let mut switch = switch.restart();
    switch.wait_until_ready();
    issue_and_stop(&mut switch, &account);
    copy_all(&kept, &journal);
    assert_refused(switch);
}

/// The tables have records that the journal has lost.
fn assert_refused(switch: Switch) {
    let mut refused = switch.respawn();
    assert_eq!(refused.wait_for_end().code(), Some(1));
    let is_said = refused.has_logged("the journal has lost its end");
    assert!(is_said, "{:?}", refused.log());
}

/// A standby, after a failover: just when folders get restored.
#[test]
fn tables_that_take_no_writes_prove_a_lost_end_too() {
    let mut cluster = tmp_postgrust::new_default_process().expect("the tests need Postgres");
    let log = cluster.stderr_reader.take();
    std::thread::spawn(move || log.into_iter().flatten().for_each(drop));
    let url = cluster.connection_string();
    let folder = tempfile::tempdir().unwrap();
    let (journal, kept) = (
        folder.path().join("data/journal"),
        folder.path().join("kept"),
    );
    let config = format!("{CONFIG}[store]\nurl = {url:?}\n");
    let mut switch = Switch::start_in(folder, &config);
    switch.wait_until_ready();
    let account = switch.account(100_000);
    assert!(switch.stop().success());
    copy_all(&journal, &kept);
    let mut switch = switch.restart();
    switch.wait_until_ready();
    issue_and_stop(&mut switch, &account);
    read_only(&url);
    // Nothing is wrong with a journal that they fit, and it goes on.
    let mut switch = switch.restart();
    switch.wait_for_log("HTTP listening");
    assert!(switch.stop().success());
    copy_all(&kept, &journal);
    assert_refused(switch);
}

/// From the next connection on.
fn read_only(url: &str) {
    let sql = "ALTER DATABASE \"tmp-postgrust\" SET default_transaction_read_only = on";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    });
}

#[test]
fn a_journal_that_went_on_without_its_end_is_refused_at_every_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (journal, kept, tables) = (
        data.join("journal"),
        folder.path().join("kept"),
        folder.path().join("tables"),
    );
    let mut switch = Switch::start_in(folder, CONFIG);
    switch.wait_until_ready();
    let account = switch.account(100_000);
    assert!(switch.stop().success());
    copy_all(&journal, &kept);
    let mut switch = switch.restart();
    switch.wait_until_ready();
    issue_and_stop(&mut switch, &account);
    // The end is lost while the tables are away, and more comes than was lost.
    std::fs::create_dir(&tables).unwrap();
    for file in ["cardswitch.sqlite", "cardswitch.sqlite-wal"] {
        let _ = std::fs::rename(data.join(file), tables.join(file));
    }
    copy_all(&kept, &journal);
    let mut switch = switch.restart();
    switch.wait_until_ready();
    for _ in 0..5 {
        switch.card(&account, &json!({}));
    }
    assert!(switch.stop().success());
    for file in ["cardswitch.sqlite", "cardswitch.sqlite-wal"] {
        let _ = std::fs::remove_file(data.join(file));
    }
    copy_all(&tables, &data);
    let mut refused = switch.respawn();
    for _ in 0..2 {
        assert_eq!(refused.wait_for_end().code(), Some(1));
        assert!(
            refused.has_logged("had lost its end and has gone on since"),
            "{:?}",
            refused.log()
        );
        refused = refused.respawn();
    }
    assert_eq!(refused.wait_for_end().code(), Some(1));
}

/// The file is only a copy: it is made anew, and its damaged pages are kept for who wants to look.
#[test]
fn a_damaged_file_of_tables_is_put_aside_and_made_anew() {
    for damage in ["cut off", "written over"] {
        let mut switch = Switch::start(CONFIG);
        switch.wait_until_ready();
        let account = switch.account(100_000);
        let file = switch.folder().join("data/cardswitch.sqlite");
        assert!(switch.stop().success());
        let mut bytes = std::fs::read(&file).unwrap();
        match damage {
            "cut off" => bytes.truncate(bytes.len() / 2 + 100),
            _ => bytes[50..].fill(0xa5),
        }
        std::fs::write(&file, &bytes).unwrap();
        let mut refused = switch.respawn();
        assert_eq!(refused.wait_for_end().code(), Some(1), "{damage}");
        assert!(
            refused.has_logged("run `cardswitch store rebuild`, which puts the file aside"),
            "{damage}: {:?}",
            refused.log()
        );
        let rebuilt = told(
            Command::new(env!("CARGO_BIN_EXE_cardswitch"))
                .args(["store", "rebuild", "--config"])
                .arg(refused.folder().join("cardswitch.toml")),
        );
        assert_eq!(rebuilt.code, Some(0), "{damage}: {}", rebuilt.error);
        assert!(
            rebuilt.out.contains("cardswitch.sqlite.damaged now"),
            "{}",
            rebuilt.out
        );
        let aside = file.with_extension("sqlite.damaged");
        assert_eq!(std::fs::read(aside).unwrap(), bytes);
        let mut switch = refused.restart();
        switch.wait_until_ready();
        let listed = switch.good("GET", "/v1/accounts", &serde_json::Value::Null);
        assert_eq!(listed["data"][0]["id"], json!(account), "{damage}");
        assert!(switch.stop().success());
    }
}

/// The tables are gone, and the journal no longer has its beginning (`[journal] retain`): they cannot be filled, and
/// nobody is told that there is nothing.
#[test]
fn tables_that_cannot_be_filled_are_not_told_as_empty() {
    let small = "[journal]\nsegment_size_bytes = 2097152\npending_limit_bytes = 1048576\nreserve_bytes = 2097152\n[snapshots]\nevery_records = 500\n";
    let mut switch = Switch::start(&format!("{small}{CONFIG}"));
    switch.wait_until_ready();
    switch.account(100_000);
    let data = switch.folder().join("data");
    let segment =
        |number: u32, end: &str| data.join(format!("journal/journal-{number:010}.segment{end}"));
    // Declined: nobody has this card. Until the first segment is behind a snapshot.
    let mut payer = Client::connect(switch.address("visa"));
    let (mut stan, mut begun_at) = (0, None);
    loop {
        stan += 1;
        assert!(stan < 60_000, "no segment was filled");
        assert_ne!(payer.authorize(Purchase::of(stan, 100)).field(39), "00");
        if begun_at.is_none() && segment(1, ".lz4").exists() {
            begun_at = Some(stan);
        }
        if begun_at.is_some_and(|begun_at| stan == begun_at + 1_500) {
            break;
        }
    }
    wait_until("a snapshot is behind the first segment", || {
        let at = switch.logged_number("made a snapshot", "at");
        at > begun_at.map(u64::from)
    });
    let payments = || switch.good("GET", "/v1/authorizations", &serde_json::Value::Null);
    let mut payment = serde_json::Value::Null;
    wait_until("a payment is in the tables", || {
        payment = payments()["data"][0]["id"].clone();
        payment.is_string()
    });
    assert!(switch.stop().success());
    std::fs::remove_file(segment(1, ".lz4")).unwrap();
    let _ = std::fs::remove_file(segment(1, ""));
    std::fs::remove_file(data.join("cardswitch.sqlite")).unwrap();
    let mut switch = switch.restart();
    switch.wait_until_ready();
    switch.wait_for_log("the projection stopped");
    let payment = format!("/v1/authorizations/{}", payment.as_str().unwrap());
    for (path, code) in [
        ("/v1/authorizations", "store_unavailable"),
        ("/v1/accounts", "store_unavailable"),
        (&payment, "store_behind"),
    ] {
        let (status, body) = switch.api("GET", path, &serde_json::Value::Null);
        assert_eq!(
            (status, &body["error"]["code"]),
            (503, &json!(code)),
            "{path}: {body}"
        );
    }
    // Decisions go on.
    let mut payer = Client::connect(switch.address("visa"));
    assert_ne!(payer.authorize(Purchase::of(60_000, 100)).field(39), "");
    assert!(switch.stop().success());
}

/// A card, which is in the tables as it stops.
fn issue_and_stop(switch: &mut Switch, account: &str) {
    switch.card(account, &json!({}));
    let cards = || switch.good("GET", "/v1/cards", &serde_json::Value::Null);
    wait_until("the card is in the tables", || {
        cards()["data"].as_array().unwrap().len() == 1
    });
    assert!(switch.stop().success());
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A database that takes the login and then says nothing more.
fn mute_postgres() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0u8; 1_024];
                let _ = stream.read(&mut bytes);
                // AuthenticationOk, ReadyForQuery.
                let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
                while stream.read(&mut bytes).is_ok_and(|length| length > 0) {}
            });
        }
    });
    address
}

#[test]
fn a_start_waits_for_no_database_that_says_nothing() {
    let url = format!("postgres://nobody@{}/none?sslmode=disable", mute_postgres());
    let config = format!("{CONFIG}[store]\nurl = \"{url}\"\n");
    let mut switch = Switch::start(&config);
    switch.wait_until_ready();
    assert!(switch.has_logged("does not answer"), "{:?}", switch.log());
    switch.address("visa");
    assert!(switch.stop().success());
}
