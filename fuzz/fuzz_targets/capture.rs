//! Any bytes as a capture in each format, and as a file of cards; the first two bytes choose framing and
//! header. What was read is written and read again.
#![no_main]

use std::path::Path;

use cardswitch::{
    iso8583::{FrameCodec, Framing, Header},
    sim::{
        SimCard,
        capture::{Format, read_capture, write_capture},
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (framing, header, bytes) = input;
    let names: Vec<_> = Framing::names().collect();
    let codec = FrameCodec {
        framing: names[usize::from(framing) % names.len()].parse().unwrap(),
        header: [Header::None, Header::Tpdu, Header::Base1][usize::from(header) % 3],
        max_frame_len: 512,
    };
    for name in ["framed", "hex", "jsonl", "auto"] {
        let format = Format::named(name, codec, Path::new("capture"), bytes).unwrap();
        let Ok(records) = read_capture("capture", bytes, &format) else {
            continue;
        };
        let Ok(written) = write_capture(&records, &Format::JsonLines) else {
            panic!("JSON lines hold any record");
        };
        let again = read_capture("capture", &written, &Format::JsonLines).unwrap();
        assert!(again == records);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = SimCard::parse_lines("cards", text);
    }
});
