//! What a command of ours told: its exit code and what it wrote.

use std::process::Command;

pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

/// Runs a command to its end.
pub fn told(command: &mut Command) -> Told {
    let output = command.output().unwrap();
    Told {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}
