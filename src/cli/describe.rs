//! `cardswitch describe`: one unframed message, annotated and masked.

use crate::iso8583::Dialect;
use crate::iso8583::describe::{describe_json, describe_text, sniff};
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Print a message field by field, with card data masked.
///
/// Errors show the shape of what was found, not its characters: every digit as 9, every letter as A.
///
/// Examples:
///   cardswitch describe 0800822000000000000004000000000000001124010203000001301
///   cardswitch describe --dialect visa-base1 --json message.bin
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Describe {
    /// One of the built-in dialects.
    #[arg(long, value_name = "NAME", default_value = "iso8583-1987-ascii")]
    dialect: String,
    /// A dialect file of your own in place of a built-in one.
    #[arg(long, value_name = "FILE", conflicts_with = "dialect")]
    dialect_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The message as text or hexadecimal digits, a file that holds it, or `-` for standard input.
    #[arg(value_name = "HEX|FILE|-", default_value = "-")]
    input: String,
}

pub fn run(describe: &Describe) -> Result<u8> {
    let dialect = dialect(describe)?;
    let bytes = sniff(&dialect, &input(&describe.input)?);
    if describe.json {
        let json = describe_json(&dialect, &bytes);
        println!("{}", serde_json::to_string_pretty(&json)?);
        return Ok(u8::from(json.get("error").is_some()));
    }
    print!("{}", describe_text(&dialect, &bytes));
    Ok(u8::from(
        crate::iso8583::Message::parse(&dialect, &bytes).is_err(),
    ))
}

fn dialect(describe: &Describe) -> Result<Dialect> {
    if let Some(file) = &describe.dialect_file {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        return Ok(Dialect::from_toml(&file.display().to_string(), &text)?);
    }
    match Dialect::builtin(&describe.dialect) {
        Some(dialect) => Ok(dialect),
        None => bail!(
            "there is no dialect `{}`; built in are {}",
            describe.dialect,
            Dialect::builtin_names().join(", ")
        ),
    }
}

fn input(named: &str) -> Result<Vec<u8>> {
    if named == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
        return Ok(bytes);
    }
    match std::fs::read(named) {
        Ok(bytes) => Ok(bytes),
        // Not a file: the message itself, which no error may repeat.
        Err(_) if named.len() >= 12 && !Path::new(named).exists() => Ok(named.as_bytes().to_vec()),
        // Anything may have been meant, even a card number: it is not repeated.
        Err(_) if !Path::new(named).exists() && !named.contains(['/', '.']) => bail!(
            "the argument is neither a message (as text or hexadecimal digits, twelve characters at least) nor a file \
             that is there"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot read {named}")),
    }
}
