//! `cardswitch report settlement`: the figures of a business date, from the tables, beside a running switch.

use super::serve::load;
use crate::engine::time::Timestamp;
use crate::settlement::{Format, render};
use crate::settlement::{ReportRequest, check_network, settlement_report};
use crate::store::Store;
use anyhow::{Context, Result};
use jiff::civil::{Date, Time};
use std::path::PathBuf;

/// Print a report.
///
/// Example: cardswitch report settlement --config config/cardswitch.toml --date 2026-11-24
#[derive(clap::Subcommand)]
pub enum Report {
    Settlement(Settlement),
}

/// What we owe a network for a business date.
///
/// Example: cardswitch report settlement --config config/cardswitch.toml --date 2026-11-24 --format table
#[derive(clap::Args)]
pub struct Settlement {
    /// The configuration file that names the data folder and the database.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The business date.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Date,
    /// One network by its name; all together without it.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// When a business date ends, in UTC.
    #[arg(long, value_name = "HH:MM", default_value = "00:00")]
    cut_over: Time,
    /// How to print it.
    #[arg(long, default_value = "table", value_parser = ["table", "csv", "json", "html"])]
    format: String,
}

pub fn run(report: &Report) -> Result<u8> {
    let Report::Settlement(options) = report;
    let config = load(&options.config)?;
    // The parser above takes only names that are formats.
    let format = Format::from_name(&options.format).context("no such format")?;
    let request = ReportRequest {
        business_date: options.date,
        network: options.network.clone(),
        cut_over: options.cut_over,
        now: Timestamp(jiff::Timestamp::now().as_millisecond()),
    };
    let configured = config
        .network
        .iter()
        .map(|network| network.name.to_string());
    let configured: Vec<String> = configured.collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        let store = Store::connect(&config.store.url, &config.data.dir).await?;
        let report = async {
            check_network(&store, request.network.as_deref(), &configured).await?;
            settlement_report(&store, &request).await
        };
        let report = report.await;
        store.close().await;
        anyhow::Ok(report?)
    })?;
    print!("{}", render(&report, format));
    Ok(0)
}
