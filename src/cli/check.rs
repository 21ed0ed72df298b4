//! `cardswitch check` says whether `serve` would start and have its tables. It asks, and changes nothing.

use super::serve::{check_networks, load, root_key};
use super::vault;
use crate::api::check_root_key;
use crate::config::{Config, WrongKey};
use crate::journal::FileStorage;
use crate::security::{Vault, VaultError};
use crate::store::projection::ProjectionState;
use crate::store::{Store, StoreError, WrittenJournal};
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Read the configuration, every dialect it names and the keys, and say what is wrong. A vault that is there is opened with its
/// key; the database is asked whether it takes the switch, and tables that are there are held against the journal. Nothing is
/// made or changed, beside a running switch too.
///
/// Example: cardswitch check --config config/cardswitch.toml
#[derive(clap::Args)]
pub struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(check: &Check) -> Result<u8> {
    let config = load(&check.config)?;
    check_networks(&check.config, &config)?;
    check_vault(&check.config, &config)?;
    check_store(&check.config, &config)?;
    let root_key = root_key();
    check_root_key(root_key.as_deref())?;
    if root_key.is_none() {
        eprintln!("warning: CARDSWITCH_ROOT_KEY is not set: every request to /v1 will be refused");
    }
    println!(
        "{}: good ({} network{})",
        check.config.display(),
        config.network.len(),
        plural(config.network.len())
    );
    Ok(0)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Says whether the key that is named is one, and opens the vault, where there is one.
fn check_vault(file: &Path, config: &Config) -> Result<()> {
    let wrong = |error: VaultError| {
        let key = match (&config.vault.key_file, &config.vault.pkcs11_module) {
            (Some(_), _) => "key_file",
            (None, Some(_)) => "pkcs11_module",
            (None, None) => "key",
        };
        let wrong = WrongKey::new(&["vault", key], error);
        Config::wrong_key(file, std::env::vars(), wrong)
    };
    config.vault.check().map_err(wrong)?;
    match Vault::check(&vault::folder(config), &config.vault) {
        Err(error @ VaultError::WrongKey { .. }) => Err(wrong(error).into()),
        checked => Ok(checked?),
    }
}

/// Asks the database. One that cannot be reached now is worth a warning: the switch starts without it.
fn check_store(file: &Path, config: &Config) -> Result<()> {
    let wrong = |error: StoreError| {
        let wrong = WrongKey::new(&["store", "url"], error);
        anyhow::Error::from(Config::wrong_key(file, std::env::vars(), wrong))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store = runtime.block_on(async { Store::open(&config.store.url, &config.data.dir) })?;
    match runtime.block_on(store.look()) {
        Err(away @ StoreError::Away { .. }) => {
            eprintln!("warning: {away}");
            Ok(())
        }
        Err(error) => Err(wrong(error)),
        Ok(None) => store.check_folder(&config.data.dir).map_err(wrong),
        // A running switch is ahead of its tables: they are asked first.
        Ok(Some(tables)) => check_fit(&store, &tables, &config.data.dir)?.map_err(wrong),
    }
}

/// Whether the journal, as the next start would find it, fits tables that are so far. Outside: a journal that cannot be read.
fn check_fit(
    store: &Store,
    tables: &ProjectionState,
    data: &Path,
) -> Result<Result<(), StoreError>> {
    let folder = data.join("journal");
    let journal = match FileStorage::existing(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => WrittenJournal::default(),
        storage => {
            let cannot = || format!("cannot use the data folder {}", data.display());
            WrittenJournal::read(storage.with_context(cannot)?, tables.position)?
        }
    };
    Ok(match (journal.id, &tables.journal_id) {
        (Some(id), _) => store.check_state(tables, id, journal.through, |_| Ok(journal.chain)),
        (None, Some(stored)) => Err(StoreError::NoJournal {
            url: store.url().to_owned(),
            stored: stored.clone(),
            folder: folder.display().to_string(),
        }),
        (None, None) => Ok(()),
    })
}
