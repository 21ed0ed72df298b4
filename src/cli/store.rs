//! `cardswitch store rebuild`: the tables made anew from the journal, while no switch runs on it.

use super::serve::load;
use crate::journal::{FileStorage, Journal};
use crate::store::rebuild::rebuild;
use crate::store::{JournalSource, Store, StoreError};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Work on the SQL tables.
///
/// Example: cardswitch store rebuild --config config/cardswitch.toml
#[derive(clap::Subcommand)]
pub enum StoreCommand {
    Rebuild(Rebuild),
}

/// Empty the derived tables and fill them from the journal; a damaged SQLite file is put aside first. The switch must not be
/// running.
///
/// Example: cardswitch store rebuild --config config/cardswitch.toml
#[derive(clap::Args)]
pub struct Rebuild {
    /// The configuration file that names the data folder and the database.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(command: &StoreCommand) -> Result<u8> {
    let StoreCommand::Rebuild(options) = command;
    let config = load(&options.config)?;
    let data = &config.data.dir;
    let storage = FileStorage::existing(&data.join("journal"))
        .with_context(|| format!("there is no journal in {}", data.display()))?;
    // Opening locks the folder, and checks the journal on the way. The id is used for a new journal only.
    let (journal, _) = Journal::open(storage, &config.journal, 0)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let bar = ProgressBar::new(journal.handle().durable());
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} records, {per_sec}, {eta} left",
    )?);
    let rebuilt = || async {
        let store = Store::open(&config.store.url, data)?;
        let source = JournalSource::new(journal.handle());
        let done = rebuild(&store, source, |progress| {
            bar.set_position(progress.projected_through)
        })
        .await;
        store.close().await;
        Ok::<_, StoreError>((store.url().to_owned(), done?))
    };
    let mut put_aside = None;
    let (url, done) = runtime.block_on(async {
        match rebuilt().await {
            Err(StoreError::Damaged { .. }) => {
                put_aside = Store::open(&config.store.url, data)?.put_aside().await?;
                rebuilt().await
            }
            done => done,
        }
    })?;
    bar.finish_and_clear();
    if let Some(file) = put_aside {
        println!(
            "the damaged file is {} now; remove it when nobody wants to look at it any more",
            file.display()
        );
    }
    println!(
        "{url}: rebuilt through record {} of {}",
        done.projected_through, done.durable
    );
    Ok(0)
}
