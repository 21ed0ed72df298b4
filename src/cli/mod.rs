//! The command line: one file per subcommand.

mod approval_json;
pub mod backtest;
mod backtest_report;
mod card_json;
pub mod check;
pub mod core;
pub mod demo;
pub mod describe;
mod exception_json;
pub mod explain;
mod explain_text;
pub mod journal;
mod message_json;
mod money_json;
pub mod node;
mod open_files;
mod program_json;
mod record_json;
pub mod report;
pub mod serve;
pub mod store;
mod token_json;
pub mod vault;
mod webhook_json;

use clap::{Parser, Subcommand};

/// An issuer-side ISO 8583 authorization switch with a card-issuing control plane.
#[derive(Parser)]
#[command(name = "cardswitch", version, about, long_about = None)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Check(check::Check),
    Describe(describe::Describe),
    Backtest(backtest::BacktestCommand),
    Explain(explain::Explain),
    #[command(subcommand)]
    Journal(journal::Journal),
    #[command(subcommand)]
    Report(report::Report),
    #[command(subcommand)]
    Store(store::StoreCommand),
    #[command(subcommand)]
    Vault(vault::VaultCommand),
}

/// An error and its causes as one line. A cause that the text before it tells already is left out: many
/// errors say what their cause said.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// Lets the process end without a word when whoever reads its output has seen enough (`| head`).
pub fn end_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        // What `print!` panics with; it has no other way to say so.
        if text.is_some_and(|text| text.starts_with("failed printing to stdout: Broken pipe")) {
            // As a shell reports a program that the closed pipe has ended.
            std::process::exit(141);
        }
        usual(panic);
    }));
}

/// Runs a subcommand and gives the process's exit code.
pub fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.command {
        Command::Demo(demo) => demo::run(&demo),
        Command::Serve(serve) => serve::run(&serve),
        Command::Check(check) => check::run(&check),
        Command::Describe(describe) => describe::run(&describe),
        Command::Backtest(command) => backtest::run(&command),
        Command::Explain(options) => explain::run(&options),
        Command::Journal(journal) => journal::run(&journal),
        Command::Report(report) => report::run(&report),
        Command::Store(command) => store::run(&command),
        Command::Vault(command) => vault::run(&command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JournalError;
    use anyhow::Context;
    use std::io::ErrorKind::PermissionDenied;

    #[test]
    fn nothing_is_said_twice() {
        let cause = JournalError::Io {
            action: "open",
            file: "data/journal".into(),
            source: PermissionDenied.into(),
        };
        let told = Err::<(), _>(cause).context("cannot use the data folder data");
        assert_eq!(
            sentence(&told.unwrap_err()),
            "cannot use the data folder data: cannot open data/journal: permission denied"
        );
    }
}
