//! Any text as a configuration file; its first line, taken off, as the name and the value of overriding
//! variables: a configuration or an error that points into the text, never a panic.
#![no_main]

use std::path::Path;

use cardswitch::config::{Config, ConfigError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (value, text) = input.split_once('\n').unwrap_or(("", input));
    let file = Path::new("fuzz.toml");
    let variables = [
        ("CARDSWITCH__STORE__URL".to_owned(), value.to_owned()),
        (format!("CARDSWITCH__{value}"), "1".to_owned()),
    ];
    for variables in [&[][..], &variables[..1], &variables[1..]] {
        match Config::parse(file, text, variables.iter().cloned()) {
            Err(ConfigError::Invalid { line, column, .. }) => {
                assert!(line >= 1 && line <= text.matches('\n').count() + 1 && column >= 1);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(_) => {}
        }
    }
});
