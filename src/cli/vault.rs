//! `cardswitch vault`: what the vault holds, a new key for card numbers, and another key around all of them.

use super::serve::load;
use crate::config::Config;
use crate::security::{Vault, VaultSettings};
use anyhow::{Result, bail};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Work on the keys of the vault.
///
/// Example: cardswitch vault status --config config/cardswitch.toml
#[derive(clap::Subcommand)]
pub enum VaultCommand {
    Status(Status),
    RotateDataKey(RotateDataKey),
    Rewrap(Rewrap),
}

/// Say which key wraps the others, and which keys card numbers are sealed under.
///
/// Example: cardswitch vault status --config config/cardswitch.toml --json
#[derive(clap::Args)]
pub struct Status {
    #[command(flatten)]
    of: Of,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Add a key that seals card numbers from now on; those before go on to open what they sealed. A switch that runs takes it
/// up when it is started again.
///
/// Example: cardswitch vault rotate-data-key --config config/cardswitch.toml
#[derive(clap::Args)]
pub struct RotateDataKey {
    #[command(flatten)]
    of: Of,
}

/// Wrap all keys under another key-encryption key, in a file, in a hardware security module, or made beside the vault. The
/// switch may run; the configuration has to name the new key before it is started again.
///
/// Example: cardswitch vault rewrap --config config/cardswitch.toml --new-key-file /run/secrets/new-key
#[derive(clap::Args)]
pub struct Rewrap {
    #[command(flatten)]
    of: Of,
    /// A file with the new key: 32 bytes in hexadecimal or base64.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_config", "new_key_beside_vault"])]
    new_key_file: Option<PathBuf>,
    /// A configuration file whose [vault] section names the new key, as one in a hardware security module.
    #[arg(long, value_name = "FILE", conflicts_with = "new_key_beside_vault")]
    new_config: Option<PathBuf>,
    /// Make a new key in the vault's folder.
    #[arg(long)]
    new_key_beside_vault: bool,
}

/// What the names of variables begin with that override keys of `[vault]`.
const OF_VAULT: &str = "CARDSWITCH__VAULT__";
const PIN: &str = "CARDSWITCH__VAULT__PKCS11_PIN";

#[derive(clap::Args)]
struct Of {
    /// The configuration file that names the data folder and the key.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(command: &VaultCommand) -> Result<u8> {
    match command {
        VaultCommand::Status(status) => tell(&open(&status.of)?, status.json),
        VaultCommand::RotateDataKey(rotate) => {
            let id = open(&rotate.of)?.rotate_data_key()?;
            println!(
                "card numbers are sealed under data key {id} from the next start of the switch on"
            );
        }
        VaultCommand::Rewrap(rewrap) => rewrap_keys(rewrap)?,
    }
    Ok(0)
}

/// The vault that is there; none is made.
fn open(of: &Of) -> Result<Vault> {
    let config = load(&of.config)?;
    let settings = VaultSettings {
        must_exist: true,
        ..config.vault.clone()
    };
    Ok(Vault::open(&folder(&config), &settings)?)
}

pub fn folder(config: &Config) -> PathBuf {
    config.data.dir.join("vault")
}

fn tell(vault: &Vault, as_json: bool) {
    let (check, origin) = vault.key_encryption_key();
    let ids = vault.data_key_ids();
    if as_json {
        println!(
            "{}",
            json!({ "key_check": check, "key_origin": origin, "data_keys": ids })
        );
        return;
    }
    println!("all keys are wrapped under {origin} (check value {check})");
    let newest = ids.iter().max().copied().unwrap_or_default();
    println!(
        "a switch that starts now seals card numbers under data key {newest}, the newest of {}; one that runs goes on under the \
         newest of its start",
        ids.len()
    );
}

fn rewrap_keys(rewrap: &Rewrap) -> Result<()> {
    let new = match (&rewrap.new_key_file, &rewrap.new_config) {
        (Some(file), _) => VaultSettings {
            key_file: Some(file.clone()),
            ..VaultSettings::default()
        },
        (None, Some(file)) => named_in(file)?,
        (None, None) if rewrap.new_key_beside_vault => VaultSettings::default(),
        (None, None) => bail!(
            "say which key is the new one: --new-key-file, --new-config or --new-key-beside-vault"
        ),
    };
    let mut vault = open(&rewrap.of)?;
    let removed = vault.rewrap(&new)?;
    let (check, origin) = vault.key_encryption_key();
    println!("all keys are wrapped under {origin} (check value {check}) now");
    println!("before the next start {}", to_be_named(rewrap, origin));
    println!("keep the old key as long as backups of the vault from before are kept");
    let folder = std::path::absolute(folder(&load(&rewrap.of.config)?))?;
    for name in removed {
        let file = folder.join(name);
        println!("removed {}; backups of the folder hold it", file.display());
    }
    Ok(())
}

/// What the configuration has to say of the new key.
fn to_be_named(rewrap: &Rewrap, origin: &str) -> String {
    match (&rewrap.new_key_file, &rewrap.new_config) {
        (Some(_), _) => format!("name it alone in [vault]: key_file = {origin:?}"),
        (None, Some(file)) => format!("[vault] has to name it as {} does", file.display()),
        (None, None) => {
            "take the key that was named so far out of [vault]: this one is found beside the vault"
                .to_owned()
        }
    }
}

/// A key that this file names. The environment names the old one, but for the PIN, which it may hold.
fn named_in(file: &Path) -> Result<VaultSettings> {
    let is_of_new = |(name, _): &(String, String)| name == PIN || !name.starts_with(OF_VAULT);
    let settings = Config::load(file, std::env::vars().filter(is_of_new))?.vault;
    if settings.key.is_none() && settings.key_file.is_none() && settings.pkcs11_module.is_none() {
        bail!("[vault] of {} names no key", file.display());
    }
    Ok(settings)
}
