//! `cardswitch journal verify` and `journal dump`, as an operator runs them on a data folder.

mod support;

use cardswitch::journal::{
    FileStorage, Journal, Position, RecordBatch, Settings, Storage, verify, write_snapshot,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use support::told::{Told, told};
use tempfile::TempDir;

fn journal(command: &str, data: &Path, options: &[&str]) -> Told {
    told(
        Command::new(env!("CARGO_BIN_EXE_cardswitch"))
            .args(["journal", command, "--data"])
            .arg(data)
            .args(options),
    )
}

/// A data folder with the golden journal: a record of every kind, in several segments.
fn golden() -> TempDir {
    let data = TempDir::new().unwrap();
    std::fs::create_dir(data.path().join("journal")).unwrap();
    for entry in std::fs::read_dir("tests/golden/journal-v2").unwrap() {
        let entry = entry.unwrap();
        let copy = data.path().join("journal").join(entry.file_name());
        std::fs::copy(entry.path(), copy).unwrap();
    }
    data
}

/// The last record of the golden journal, and the first one outside its first segment.
fn bounds(data: &Path) -> (u64, u64) {
    let report = |data: &Path| {
        let told = journal("verify", data, &["--json"]);
        serde_json::from_str::<Value>(&told.out).unwrap()
    };
    let whole = report(data);
    let cut = golden();
    remove_first_segment(cut.path());
    let number = |value: &Value| value.as_u64().unwrap();
    (
        number(&whole["last_sequence"]),
        number(&report(cut.path())["first_sequence"]),
    )
}

/// As `retain` does: with a snapshot that holds what goes.
fn remove_first_segment(data: &Path) {
    let storage: Arc<dyn Storage> = FileStorage::existing(&data.join("journal")).unwrap();
    let report = verify(&storage, |_| {}).unwrap();
    let at = Position {
        sequence: report.last_sequence,
        chain: report.chain,
    };
    write_snapshot(&*storage, report.journal_id.unwrap(), at, |_| Ok(())).unwrap();
    let first = data.join("journal/journal-0000000001.segment.lz4");
    std::fs::remove_file(first).unwrap();
}

#[test]
fn a_journal_that_begins_later_says_so() {
    let data = golden();
    let (last, oldest) = bounds(data.path());
    let whole = journal("verify", data.path(), &[]);
    assert!(
        whole.out.contains(&format!("\nrecords 1 to {last}\n")),
        "{}",
        whole.out
    );
    remove_first_segment(data.path());
    let verified = journal("verify", data.path(), &[]);
    let there = format!("\nrecords {oldest} to {last}; earlier ones are not kept\n");
    assert_eq!(verified.code, Some(0), "{}", verified.error);
    assert!(verified.out.contains(&there), "{}", verified.out);

    let refused = journal("dump", data.path(), &[]);
    assert_eq!((refused.code, &*refused.out), (Some(1), ""));
    assert_eq!(
        refused.error,
        format!(
            "cardswitch: record 1 is not in the journal: the oldest record there is {oldest}, earlier ones are \
             not kept; begin there with `--from {oldest}`\n"
        )
    );
    let from = oldest.to_string();
    let dumped = journal("dump", data.path(), &["--from", &from]);
    assert_eq!((dumped.code, &*dumped.error), (Some(0), ""));
    assert_eq!(dumped.out.lines().count() as u64, last - oldest + 1);
}

/// What no start could make up for is not sound.
#[test]
fn records_that_no_snapshot_holds_are_missing() {
    let data = golden();
    let (_, oldest) = bounds(data.path());
    remove_first_segment(data.path());
    for entry in std::fs::read_dir(data.path().join("journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("snapshot-") {
            std::fs::remove_file(path).unwrap();
        }
    }
    for options in [&[][..], &["--json"]] {
        let refused = journal("verify", data.path(), options);
        assert_eq!((refused.code, &*refused.out), (Some(1), ""));
        assert_eq!(
            refused.error,
            format!(
                "cardswitch: record 1 is not in the journal: the oldest record there is {oldest}, earlier ones \
                 are not kept\n"
            )
        );
    }
}

#[test]
fn a_record_behind_the_end_is_not_there() {
    let data = golden();
    let (last, _) = bounds(data.path());
    let dump = |from: u64| journal("dump", data.path(), &["--from", &from.to_string()]);
    assert_eq!(dump(last).out.lines().count(), 1);
    let beyond = dump(last + 1);
    assert_eq!((beyond.code, &*beyond.out), (Some(1), ""));
    assert!(
        beyond
            .error
            .contains(&format!("its newest durable record is {last}")),
        "{}",
        beyond.error
    );
}

#[test]
fn a_journal_whose_records_were_taken_away_is_not_dumped_as_empty() {
    let data = golden();
    let folder = data.path().join("journal");
    for entry in std::fs::read_dir(&folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let nothing = journal("dump", data.path(), &[]);
    assert_eq!(nothing.code, Some(1));
    assert!(
        nothing.error.contains("it holds no record"),
        "{}",
        nothing.error
    );
    // What was prepared for later is all that is left.
    std::fs::write(folder.join("journal-0000000002.segment"), [0; 2_048]).unwrap();
    for command in ["dump", "verify"] {
        let refused = journal(command, data.path(), &[]);
        assert_eq!((refused.code, &*refused.out), (Some(1), ""));
        assert!(
            refused
                .error
                .contains("journal-0000000001.segment is missing"),
            "{}",
            refused.error
        );
    }
}

#[test]
fn a_journal_that_was_taken_away_or_exchanged_does_not_fit_its_snapshots() {
    let data = golden();
    let folder = data.path().join("journal");
    let segments = || {
        let files = std::fs::read_dir(&folder).unwrap();
        let paths = files.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_string_lossy().contains(".segment"))
    };
    let refused = |reason: &str| {
        let verified = journal("verify", data.path(), &[]);
        assert_eq!((verified.code, &*verified.out), (Some(1), ""));
        assert!(verified.error.contains(reason), "{}", verified.error);
    };
    segments().for_each(|path| std::fs::remove_file(path).unwrap());
    refused("the snapshot at record 12 does not fit the journal: the journal ends at record 0");
    let storage = FileStorage::existing(&folder).unwrap();
    Journal::open(storage, &Settings::default(), 77).unwrap();
    refused("the snapshot at record 12 does not fit the journal: it is of another journal");
}

/// A data folder with one record of these bytes.
fn with_record(bytes: &[u8]) -> TempDir {
    let data = TempDir::new().unwrap();
    let storage = FileStorage::create(&data.path().join("journal")).unwrap();
    let settings = Settings {
        segment_size_bytes: 1 << 20,
        pending_limit_bytes: 1 << 19,
        reserve_bytes: 0,
        ..Settings::default()
    };
    let (mut journal, _) = Journal::open(storage, &settings, 7).unwrap();
    let mut batch = RecordBatch::new();
    batch.push(bytes);
    let appended = journal.handle().append(&mut batch, Box::new(|_| {}));
    appended.unwrap();
    journal.commit_pending().unwrap();
    data
}

#[test]
fn records_that_this_program_cannot_read_are_not_sound() {
    let format = readable_record()[0];
    let before = format - 1;
    let of_another_format = &format!(
        "record 1: the record has format {before}, this program reads format {format}; use the version that wrote it"
    );
    let of_another_shape = "though its checksum is right: another version of this program wrote it";
    for (bytes, sentence) in [
        (&[before, 0, 0][..], &**of_another_format),
        (&[format, 0xff, 0xff], of_another_shape),
        // A shape that is whole, and something behind it.
        (&[&readable_record()[..], &[0]].concat(), of_another_shape),
        (&[], "record 1: the record is empty"),
    ] {
        let data = with_record(bytes);
        for options in [&[][..], &["--json"]] {
            let told = journal("verify", data.path(), options);
            assert_eq!((told.code, &*told.out), (Some(1), ""), "{bytes:?}");
            assert!(told.error.contains(sentence), "{}", told.error);
        }
    }
    let told = journal("verify", with_record(&readable_record()).path(), &[]);
    assert_eq!(told.code, Some(0), "{}", told.error);
    assert!(told.out.starts_with("sound: 1 records"), "{}", told.out);
}

/// The first record of the golden journal.
fn readable_record() -> Vec<u8> {
    let data = golden();
    let storage: Arc<dyn Storage> = FileStorage::existing(&data.path().join("journal")).unwrap();
    let mut first = Vec::new();
    let mut reader = cardswitch::journal::Reader::open(storage, 1).unwrap();
    first.extend_from_slice(reader.next().unwrap().unwrap().1);
    first
}

#[test]
fn beside_a_running_switch_the_end_is_no_damage() {
    let mut switch = support::Switch::start(
        "[sandbox]\nenabled = true\n[[network]]\nname = \"visa\"\nlisten = \"127.0.0.1:0\"\n",
    );
    switch.wait_until_ready();
    let account = switch.account(100_000);
    let data = switch.folder().join("data");
    for _ in 0..10 {
        switch.card(&account, &serde_json::json!({}));
        let told = journal("verify", &data, &[]);
        assert_eq!(told.code, Some(0), "{}", told.error);
        assert!(
            told.out
                .contains("\na running switch writes to it: this is what was there"),
            "{}",
            told.out
        );
        assert!(!told.out.contains("cuts off"), "{}", told.out);
    }
    let told = journal("verify", &data, &["--json"]);
    let report: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(report["in_use"], true);
    assert!(switch.stop().success());
    let told = journal("verify", &data, &["--json"]);
    let report: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(
        (&report["in_use"], &report["unfinished_bytes"]),
        (&false.into(), &0.into())
    );
    let told = journal("verify", &data, &[]);
    assert!(!told.out.contains("a running switch"), "{}", told.out);
}

/// Nothing of Rust, no number that a JSON reader would round, and of each kind of record one.
#[test]
fn a_dump_is_a_json_object_a_line_with_the_names_of_the_rest_interface() {
    let data = golden();
    let dump = journal("dump", data.path(), &[]);
    assert_eq!((dump.code, &*dump.error), (Some(0), ""));
    let (mut commands, mut events) = (BTreeSet::new(), BTreeSet::new());
    for (number, line) in dump.out.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["sequence"], number as u64 + 1);
        assert!(record["at"].as_str().unwrap().ends_with('Z'), "{line}");
        commands.insert(record["command"]["type"].as_str().unwrap().to_owned());
        events.insert(record["event"]["type"].as_str().unwrap().to_owned());
        assert!(!line.contains("Id(") && !line.contains(" { "), "{line}");
        assert_plain(&record, line);
    }
    let named = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(
        named(commands),
        "advise advise_unknown_card announce_top_up authorize authorize_unknown_card auto_top_up \
         begin_idempotent change_account change_account_status change_approval change_card_batch \
         change_card_controls change_card_holder change_card_status change_exception change_mcc_group \
         change_merchant_list change_program change_risk_rule change_settings change_token_status \
         charge_monthly_fee complete_idempotent create_cardholder create_mcc_group create_merchant_list \
         create_program create_risk_rule end_top_up end_transfer fail_reference issue_card \
         note_low_balance open_account open_card open_token put_decision_endpoint put_fee_schedule receive_transfer reissue_card \
         release_hold renew_card replace_card request_approval request_exception request_token \
         reserve_reference reset_verification_tries resolve reveal_card reverse reverse_unknown_card set_cardholder \
         set_exchange_rates set_link_controls tell_cards_of_link top_up transfer verify_cardholder withhold"
    );
    assert_eq!(
        named(events),
        "account_changed account_opened account_status_changed advised approval_changed authorized \
         auto_topped_up balance_low card_batch_changed card_controls_changed card_holder_changed \
         card_issued card_opened card_renewed card_replaced card_revealed card_status_changed \
         cardholder_created cardholder_set cardholder_verified cards_of_link_told decision_endpoint_put exception_changed \
         exception_requested exchange_rates_set fee_schedule_put groups_changed hold_released \
         idempotent_begun idempotent_completed link_controls_set monthly_fee_charged posted \
         program_changed program_created reference_failed reference_reserved resolved reversed risk_rule_changed \
         risk_rule_created settings_changed token_opened token_requested token_status_changed \
         top_up_announced top_up_ended transferred verification_tries_reset withheld"
    );
}

/// Numbers that every JSON reader keeps whole, and names in small letters.
fn assert_plain(value: &Value, line: &str) {
    match value {
        Value::Number(number) => {
            let small = number.as_i64().is_some_and(|n| n.abs() < 1 << 53);
            assert!(small, "{number} in {line}");
        }
        Value::Array(values) => values.iter().for_each(|value| assert_plain(value, line)),
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            assert!(!name.contains(|c: char| c.is_uppercase()), "{name}");
            assert_plain(value, line);
        }),
        _ => {}
    }
}
