//! Any bytes against the dialect `visa-base1`.
#![no_main]

#[path = "../dialect.rs"]
mod dialect;

use std::sync::LazyLock;

use cardswitch::iso8583::Dialect;
use libfuzzer_sys::fuzz_target;

static DIALECT: LazyLock<Dialect> = LazyLock::new(|| Dialect::builtin("visa-base1").unwrap());

fuzz_target!(|bytes: &[u8]| dialect::run(&DIALECT, bytes));
