//! Tests of `capture.rs`.
use proptest::prelude::*;

use super::*;
use crate::iso8583::{Framing, Header};

fn codec(framing: Framing) -> FrameCodec {
    FrameCodec {
        framing,
        header: Header::None,
        max_frame_len: 4096,
    }
}

fn records(full: bool) -> impl Strategy<Value = Vec<Record>> {
    let direction = prop_oneof![Just(Direction::Request), Just(Direction::Response)];
    let bytes = prop::collection::vec(any::<u8>(), 1..200);
    let record = (
        prop::option::of(any::<u64>()),
        prop::option::of(direction),
        bytes,
    );
    let record = record.prop_map(move |(at_us, direction, bytes)| Record {
        at_us: at_us.filter(|_| full),
        direction: direction.filter(|_| full),
        bytes,
    });
    prop::collection::vec(record, 0..20)
}

fn same(left: &[Record], right: &[Record]) -> bool {
    left == right
}

proptest! {
    #[test]
    fn json_lines_keep_everything(records in records(true)) {
        let bytes = write_capture(&records, &Format::JsonLines).unwrap();
        prop_assert!(same(&read_capture("x", &bytes, &Format::JsonLines).unwrap(), &records));
    }

    #[test]
    fn hexadecimal_lines_keep_the_messages(records in records(false)) {
        let bytes = write_capture(&records, &Format::Hex).unwrap();
        prop_assert!(same(&read_capture("x", &bytes, &Format::Hex).unwrap(), &records));
    }

    #[test]
    fn frames_keep_the_messages(records in records(false), at in 0_usize..11) {
        let name = Framing::names().nth(at).unwrap();
        let format = Format::Framed(codec(name.parse().unwrap()));
        let bytes = write_capture(&records, &format).unwrap();
        prop_assert!(same(&read_capture("x", &bytes, &format).unwrap(), &records));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in [Format::Hex, Format::JsonLines, Format::Framed(codec(Framing::Ascii4))] {
            let _ = read_capture("x", &bytes, &format);
        }
    }
}

#[test]
fn errors_name_the_place() {
    let table: [(&[u8], Format, &str); 8] = [
        (b"0100\n01x0\n", Format::Hex, "x, line 2: character 3 of"),
        (
            b"0100\n\xff",
            Format::Hex,
            "x, line 2: not text; if it is frames, say --format",
        ),
        (
            b"{\"hex\":\"01\"}\n{\"he",
            Format::JsonLines,
            "x, line 2: the line ends at column 4 (was",
        ),
        (
            b"garbage",
            Format::JsonLines,
            "x, line 1: no JSON at column 1; a line is {\"at_us\"",
        ),
        (b"010\n", Format::Hex, "x, line 1: an odd number"),
        (
            b"\n{\"hex\":\"01\",\"pan\":1}",
            Format::JsonLines,
            "x, line 2: no line of a capture",
        ),
        (
            b"\x00\x02ab\x00\x09c",
            Format::Framed(codec(Framing::Length2Be)),
            "x, byte 4: the file",
        ),
        (
            b"\xff\xffab",
            Format::Framed(codec(Framing::Length2Be)),
            "x, byte 0: frame of 65535",
        ),
    ];
    for (bytes, format, expected) in table {
        let error = read_capture("x", bytes, &format).err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn formats_are_guessed_from_ending_and_content() {
    let guess = |path: &str, bytes: &[u8]| {
        let format = Format::named("auto", codec(Framing::Length2Be), Path::new(path), bytes);
        match format.unwrap() {
            Format::Framed(_) => "framed",
            Format::Hex => "hex",
            Format::JsonLines => "jsonl",
        }
    };
    assert_eq!(guess("a.jsonl", b""), "jsonl");
    assert_eq!(guess("a.hex", b""), "hex");
    assert_eq!(guess("a", b"{\"hex\":\"\"}"), "jsonl");
    assert_eq!(guess("a", b"# comment\n0100"), "hex");
    assert_eq!(guess("a", b"0100\n0200\n"), "hex");
    assert_eq!(guess("a", b"\x00\x040100"), "framed");
}

#[test]
fn directions_come_from_the_mti_where_they_are_not_recorded() {
    let dialect = Dialect::builtin("iso8583-1987-ascii").unwrap();
    let record = |bytes: &[u8], direction| Record {
        at_us: None,
        direction,
        bytes: bytes.to_vec(),
    };
    assert_eq!(
        record(b"0100", None).direction(&dialect),
        Some(Direction::Request)
    );
    assert_eq!(
        record(b"0430", None).direction(&dialect),
        Some(Direction::Response)
    );
    assert_eq!(record(b"junk", None).direction(&dialect), None);
    let told = record(b"0100", Some(Direction::Response));
    assert_eq!(told.direction(&dialect), Some(Direction::Response));
}
