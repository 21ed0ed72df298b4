//! The command line: one file per subcommand.

pub mod describe;
pub mod node;
pub mod serve;

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
    Serve(serve::Serve),
    Check(serve::Check),
    Describe(describe::Describe),
}

/// Runs a subcommand and gives the process's exit code.
pub fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Check(check) => serve::check(&check),
        Command::Describe(describe) => describe::run(&describe),
    }
}
