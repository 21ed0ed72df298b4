//! Record, convert and replay, through the library and through the `cardsim` binary.

#[path = "sim_responder/mod.rs"]
mod responder;

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use cardswitch::{
    iso8583::{Dialect, Framing, Header},
    sim::{
        NetworkOptions, ReplayOptions, ReplayReport, SimCard,
        capture::{Direction, Format, Record, read_capture, write_capture},
        record::run_record,
        run_network, run_replay,
    },
};
use responder::{Fault, cards, codec};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

fn dialect(name: &str) -> Arc<Dialect> {
    Arc::new(Dialect::builtin(name).unwrap())
}

/// Plays 300 messages through the recording proxy; gives the file.
async fn record(name: &str, folder: &Path) -> std::path::PathBuf {
    record_mix(name, folder, "default").await
}

async fn record_mix(name: &str, folder: &Path, mix: &str) -> std::path::PathBuf {
    let (dialect, codec) = (dialect(name), codec(Framing::Length2Be, Header::None));
    let target = responder::start(dialect.clone(), codec, Fault::None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    let out = folder.join("capture.jsonl");
    let stop = CancellationToken::new();
    let recording = {
        let (dialect, out, stop) = (dialect.clone(), out.clone(), stop.clone());
        tokio::spawn(async move {
            run_record(listener, target, codec, dialect, &out, stop)
                .await
                .unwrap()
        })
    };
    let mut options = NetworkOptions::new(&proxy, dialect, Framing::Length2Be);
    options.count = Some(300);
    options.sign_on = false;
    options.mix = mix.parse().unwrap();
    let report = run_network(options, cards(), |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    stop.cancel();
    assert_eq!(recording.await.unwrap(), 600);
    out
}

fn read(path: &Path) -> Vec<Record> {
    read_capture("x", &std::fs::read(path).unwrap(), &Format::JsonLines).unwrap()
}

async fn replay(
    name: &str,
    records: &[Record],
    fault: Fault,
    change: impl FnOnce(&mut ReplayOptions),
) -> ReplayReport {
    let (dialect, codec) = (dialect(name), codec(Framing::Length2Be, Header::None));
    let mut options = ReplayOptions {
        target: responder::start(dialect.clone(), codec, fault).await,
        dialect,
        codec,
        connections: 1,
        in_flight: 16,
        rate: None,
        times: 1,
        keep_keys: false,
        sign_on: false,
        grace: Duration::from_millis(300),
        stop: CancellationToken::new(),
    };
    change(&mut options);
    run_replay(options, records, |_| {}).await.unwrap()
}

#[tokio::test]
async fn what_was_recorded_replays_without_a_difference() {
    for name in Dialect::builtin_names() {
        let folder = tempfile::tempdir().unwrap();
        let records = read(&record(name, folder.path()).await);
        let report = replay(name, &records, Fault::None, |_| {}).await;
        assert!(report.is_clean(), "{name}: {report}");
        assert_eq!(
            (report.totals.sent, report.totals.answered, report.compared),
            (300, 300, 300),
            "{name}"
        );
    }
}

/// A reversal names what is sent only after it, by the keys that it will be sent with.
#[tokio::test]
async fn reversals_before_their_originals_replay_without_a_difference() {
    for name in Dialect::builtin_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = record_mix(name, folder.path(), "early_reversal=100").await;
        let records = read(&file);
        let report = replay(name, &records, Fault::None, |options| {
            (options.times, options.connections) = (2, 2);
        })
        .await;
        assert!(report.is_clean(), "{name}: {report}");
        assert_eq!(report.compared, 600, "{name}");
    }
}

#[tokio::test]
async fn it_replays_many_times_over_many_connections_and_with_its_own_keys() {
    let name = "iso8583-1987-ascii";
    let folder = tempfile::tempdir().unwrap();
    let records = read(&record(name, folder.path()).await);
    let report = replay(name, &records, Fault::None, |options| {
        (options.times, options.connections) = (3, 4);
    })
    .await;
    assert!(report.is_clean() && report.totals.sent == 900, "{report}");
    let report = replay(name, &records, Fault::None, |options| {
        options.keep_keys = true
    })
    .await;
    assert!(report.is_clean() && report.totals.sent == 300, "{report}");
    let report = replay(name, &records, Fault::None, |options| {
        options.rate = Some(2_000.0)
    })
    .await;
    assert!(report.is_clean() && report.totals.sent == 300, "{report}");
    assert!(report.totals.sender_lateness_us.max > 0.0);
}

#[tokio::test]
async fn differences_and_missing_answers_are_told() {
    let name = "iso8583-1987-ascii";
    let folder = tempfile::tempdir().unwrap();
    let records = read(&record(name, folder.path()).await);
    let report = replay(name, &records, Fault::ApprovesFrozen, |_| {}).await;
    assert!(
        report.de39_differences > 0 && !report.is_clean(),
        "{report}"
    );
    let found = &report.totals.findings.first[0].detail;
    assert!(
        found.contains("recorded 62, now 00") && found.contains("555555…4444"),
        "{found}"
    );
    let report = replay(name, &records, Fault::NeverAnswers, |_| {}).await;
    assert_eq!(
        (report.totals.unanswered, report.is_clean()),
        (1, false),
        "{report}"
    );
    let report = replay(name, &records, Fault::AnswersTwice, |_| {}).await;
    assert_eq!(
        (report.totals.unmatched, report.is_clean()),
        (1, false),
        "{report}"
    );
}

fn cardsim(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cardsim"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_says_by_its_exit_code_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let capture = record("iso8583-1987-ascii", folder.path()).await;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (framed, hex, cards_file) = (path("c.bin"), path("c.hex"), path("cards.jsonl"));
    SimCard::save(Path::new(&cards_file), &cards()).unwrap();
    let dialect = dialect("iso8583-1987-ascii");
    let start = |fault| {
        let (dialect, codec) = (dialect.clone(), codec(Framing::Length2Be, Header::None));
        async move { responder::start(dialect, codec, fault).await }
    };
    let capture = capture.display().to_string();
    assert_eq!(cardsim(&["convert", &capture, &framed]).0, 0);
    assert_eq!(cardsim(&["convert", &framed, &hex]).0, 0);
    let target = start(Fault::None).await;
    for file in [&capture, &framed, &hex] {
        let (code, out, error) = cardsim(&["replay", file, "--target", &target, "--json"]);
        assert_eq!(code, 0, "{out}{error}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&report["sent"], &report["answered"]),
            (&300.into(), &300.into())
        );
        assert_eq!(
            (&report["unmatched"], &report["de39_differences"]),
            (&0.into(), &0.into())
        );
        for quantile in ["p50", "p99", "p999", "max"] {
            assert!(report["latency_us"][quantile].as_f64().unwrap() > 0.0);
        }
    }
    let wrong = start(Fault::ApprovesFrozen).await;
    assert_eq!(cardsim(&["replay", &capture, "--target", &wrong]).0, 1);
    let network = [
        "network",
        "--count",
        "200",
        "--cards",
        &cards_file,
        "--json",
        "--target",
    ];
    assert_eq!(cardsim(&[&network[..], &[&target]].concat()).0, 0);
    assert_eq!(cardsim(&[&network[..], &[&wrong]].concat()).0, 1);
    assert_eq!(cardsim(&["network", "--target", &target]).0, 2);
    assert_eq!(cardsim(&["replay", &cards_file, "--target", &target]).0, 2);
    let (code, _, error) = cardsim(&["replay", &capture, "--target", &target, "--dialect", "x"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("no builtin dialect (iso8583-1987-ascii"),
        "{error}"
    );
}

/// A capture of each way to be none, the options, and how the sentence goes on behind the file's name.
fn bad_captures(records: &[Record]) -> Vec<(&'static str, Vec<u8>, Vec<&'static str>, String)> {
    let lines = write_capture(records, &Format::JsonLines).unwrap();
    let framed = Format::Framed(codec(Framing::Length2Be, Header::None));
    let frames = |records: &[Record]| write_capture(records, &framed).unwrap();
    let (whole, ten) = (frames(records), frames(&records[..10]));
    let last = frames(&records[..599]).len();
    let is_answer = |record: &&Record| record.direction == Some(Direction::Response);
    let answers: Vec<Record> = records.iter().filter(is_answer).cloned().collect();
    let answers = write_capture(&answers, &Format::JsonLines).unwrap();
    let ten_lines = write_capture(&records[..10], &Format::JsonLines).unwrap();
    let garbage = |before: &[u8]| [before, b"garbage\n"].concat();
    let text = str::to_owned;
    vec![
        (
            "empty.jsonl",
            vec![],
            vec![],
            text(": there is no message in it; `cardsim record`"),
        ),
        ("empty", vec![], vec![], text(": there is no message in it")),
        (
            "cut.jsonl",
            lines[..lines.len() - 20].to_vec(),
            vec![],
            text(", line 600: the line ends at column "),
        ),
        (
            "cut.bin",
            whole[..whole.len() - 1].to_vec(),
            vec![],
            format!(
                ", byte {last}: the file ends inside a frame: it was cut off, or try another --framing"
            ),
        ),
        (
            "cut.hex",
            b"0800822\n".to_vec(),
            vec![],
            text(", line 1: an odd number of hexadecimal digits; was the file cut off?"),
        ),
        (
            "garbage.jsonl",
            garbage(&ten_lines),
            vec![],
            text(", line 11: no JSON at column 1; a line is {\"at_us\""),
        ),
        (
            "garbage.hex",
            garbage(b"0800\n"),
            vec![],
            text(", line 2: character 1 of the message is no hexadecimal digit; mend or remove"),
        ),
        (
            "garbage.bin",
            garbage(&ten),
            vec![],
            format!(
                ", byte {}: frame of 26465 bytes, at most 16384 are taken; try another --framing",
                ten.len()
            ),
        ),
        (
            "framing.bin",
            whole.clone(),
            vec!["--file-framing", "ascii-4"],
            text(", byte 0: expected four ASCII digits at the start of a frame"),
        ),
        (
            "text.txt",
            b"no capture\n".to_vec(),
            vec![],
            text(", byte 0: frame of 28271 bytes"),
        ),
        (
            "binary.jsonl",
            vec![0xff, 0xfe],
            vec![],
            text(", line 1: not text; if it is frames, say --format framed"),
        ),
        (
            "dialect.jsonl",
            lines,
            vec!["--dialect", "visa-base1"],
            text(
                ": none of its 600 messages is a request; message 1 cannot be read in visa-base1: ",
            ),
        ),
        (
            "answers.jsonl",
            answers,
            vec![],
            text(": none of its 300 messages is a request; message 1 is an answer (0"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_capture_is_told_with_its_file_the_place_and_a_way_out() {
    let name = "iso8583-1987-ascii";
    let folder = tempfile::tempdir().unwrap();
    let records = read(&record(name, folder.path()).await);
    let codec = codec(Framing::Length2Be, Header::None);
    let target = responder::start(dialect(name), codec, Fault::None).await;
    let replay = |file: &str, options: &[&str]| {
        cardsim(&[&["replay", file, "--target", &target], options].concat())
    };
    for (name, bytes, options, expected) in bad_captures(&records) {
        let path = folder.path().join(name).display().to_string();
        std::fs::write(&path, bytes).unwrap();
        let (code, out, error) = replay(&path, &options);
        assert_eq!((code, &*out), (2, ""), "{name}: {error}");
        let told = error.strip_prefix(&format!("cardsim: {path}"));
        let told = told.unwrap_or_else(|| panic!("{name}: {error}"));
        assert!(told.starts_with(&expected), "{name}: {told}");
        assert_eq!(told.lines().count(), 1, "{name}: {told}");
    }
    let (code, _, error) = replay(&folder.path().display().to_string(), &[]);
    assert_eq!(code, 2);
    assert!(
        error.contains("cannot read ") && error.contains("Is a directory"),
        "{error}"
    );

    let capture = folder.path().join("capture.jsonl").display().to_string();
    for option in [
        ["--rate", "nan"],
        ["--rate", "0"],
        ["--in-flight", "999999999"],
        ["--times", "0"],
    ] {
        let (code, _, error) = replay(&capture, &option);
        assert_eq!(code, 2, "{option:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{option:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_is_left_out_and_told() {
    let name = "iso8583-1987-ascii";
    let folder = tempfile::tempdir().unwrap();
    let mut records = read(&record(name, folder.path()).await);
    let junk = Record {
        at_us: None,
        direction: Some(Direction::Request),
        bytes: b"garbage".to_vec(),
    };
    records.insert(10, junk);
    let report = replay(name, &records, Fault::None, |_| {}).await;
    assert_eq!((report.totals.sent, report.skipped), (300, 1));
    assert!(!report.is_clean());
    let told = &report.totals.findings.first[0].detail;
    assert!(
        told.starts_with("message 11 of the capture: MTI at offset 0"),
        "{told}"
    );
}
