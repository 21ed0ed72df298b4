//! `cardswitch serve` runs the switch.

use super::{node, open_files};
use crate::api::check_root_key;
use crate::config::{Config, LogFormat, WrongKey};
use crate::network::listener::compile;
use crate::store::Store;
use anyhow::Result;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Run the switch until it is told to stop (SIGINT or SIGTERM).
///
/// Example: cardswitch serve --config config/cardswitch.toml
#[derive(clap::Args)]
pub struct Serve {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn load(file: &Path) -> Result<Config> {
    let config = Config::load(file, std::env::vars())?;
    let wrong = |path: &[&str], what: &dyn std::fmt::Display| {
        Config::wrong_key(file, std::env::vars(), WrongKey::new(path, what))
    };
    Store::check_url(&config.store.url, &config.data.dir)
        .map_err(|error| wrong(&["store", "url"], &error))?;
    config
        .log
        .filter
        .parse::<Targets>()
        .map_err(|error| wrong(&["log", "filter"], &format!("[log] `filter`: {error}")))?;
    Ok(config)
}

/// Reads every dialect that the configuration names.
pub fn check_networks(file: &Path, config: &Config) -> Result<()> {
    for (number, network) in config.network.iter().enumerate() {
        if let Err(error) = compile(network) {
            let wrong = WrongKey::of_network(number, error.key(), error);
            return Err(Config::wrong_key(file, std::env::vars(), wrong).into());
        }
    }
    Ok(())
}

pub fn root_key() -> Option<String> {
    std::env::var("CARDSWITCH_ROOT_KEY").ok()
}

pub fn run(serve: &Serve) -> Result<u8> {
    let mut config = load(&serve.config)?;
    check_networks(&serve.config, &config)?;
    check_root_key(root_key().as_deref())?;
    start_log(&config);
    open_files::fit(&mut config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve_until_told(&config));
    // A start that was cut off may still be reading the journal, which loses nothing.
    runtime.shutdown_background();
    served.map(|()| 0)
}

async fn serve_until_told(config: &Config) -> Result<()> {
    let stop = told_to_stop()?;
    tokio::pin!(stop);
    let root_key = root_key();
    let node = tokio::select! {
        started = node::start(config, node::Start { root_key }) => started?,
        () = &mut stop => return Ok(()),
    };
    let lost = tokio::select! {
        () = stop => None,
        error = node.lost_end() => Some(error),
    };
    tracing::info!("stopping");
    node.stop().await?;
    lost.map_or(Ok(()), Err)
}

pub fn start_log(config: &Config) {
    let by_variable = std::env::var("RUST_LOG").ok();
    let by_variable = by_variable.and_then(|filter| filter.parse::<Targets>().ok());
    // `load` has parsed the configured one.
    let filter = by_variable.unwrap_or_else(|| config.log.filter.parse().unwrap_or_default());
    let log = tracing_subscriber::registry().with(filter);
    let out = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call, as in tests, keeps the first log.
    let _ = match config.log.format {
        LogFormat::Text => log.with(out).try_init(),
        LogFormat::Json => log.with(out.json()).try_init(),
    };
}

/// Ready on SIGINT or SIGTERM, from now on.
pub fn told_to_stop() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
