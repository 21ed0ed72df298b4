//! The `cardswitch` program: reads the command line and says in one sentence what went wrong.

use cardswitch::cli::{Cli, end_when_nobody_reads, run, sentence};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    end_when_nobody_reads();
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("cardswitch: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}
