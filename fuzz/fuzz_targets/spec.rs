//! Any text as a dialect file: an error or a dialect, never a panic; an error points into the text.
#![no_main]

use cardswitch::iso8583::Dialect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for text in [
        text.to_owned(),
        format!("extends = \"iso8583-1987-ascii\"\nname = \"x\"\n{text}"),
    ] {
        if let Err(error) = Dialect::from_toml("fuzz.toml", &text) {
            assert!(error.line >= 1 && error.line <= text.lines().count().max(400));
        }
    }
});
