//! Any bytes against the dialect `iso8583-1993-ascii`.
#![no_main]

#[path = "../dialect.rs"]
mod dialect;

use std::sync::LazyLock;

use cardswitch::iso8583::Dialect;
use libfuzzer_sys::fuzz_target;

static DIALECT: LazyLock<Dialect> =
    LazyLock::new(|| Dialect::builtin("iso8583-1993-ascii").unwrap());

fuzz_target!(|bytes: &[u8]| dialect::run(&DIALECT, bytes));
