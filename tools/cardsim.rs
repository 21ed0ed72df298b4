//! `cardsim`: plays a card network, replays captures, records and converts them. A thin shell over
//! `cardswitch::sim`.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use cardswitch::{
    cli::{end_when_nobody_reads, sentence},
    iso8583::{Dialect, FrameCodec},
    sim::{
        NetworkOptions, Progress, ReplayOptions, SeedOptions, SimCard, SimError,
        capture::{Format, Record, read_capture, write_capture},
        echo::run_echo,
        record::run_record,
        run_network, run_replay, seed,
    },
};
use clap::Parser;
use tokio_util::sync::CancellationToken;

#[path = "cardsim/options.rs"]
mod options;
#[path = "cardsim/records.rs"]
mod records;
#[path = "cardsim/talk.rs"]
mod talk;

use options::{
    CardSource, Cli, Command, Convert, Echo, Network, RecordCommand, Replay, Seed, WireOptions,
};

fn main() -> ExitCode {
    end_when_nobody_reads();
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cardsim: {}", sentence(&error));
            ExitCode::from(2)
        }
    }
}

/// Runs the command; `false` when it found something wrong.
fn run(cli: Cli) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Network(network) => network.run().await,
            Command::Replay(replay) => replay.run().await,
            Command::Record(record) => record.run().await,
            Command::Convert(convert) => convert.run(),
            Command::Seed(seed) => seed.run(),
            Command::Echo(echo) => echo.run().await,
            Command::Talk(talk) => tokio::task::spawn_blocking(move || talk.run()).await?,
        }
    })
}

impl WireOptions {
    fn dialect(&self) -> Result<Arc<Dialect>> {
        if let Some(dialect) = Dialect::builtin(&self.dialect) {
            return Ok(Arc::new(dialect));
        }
        if !self.dialect.ends_with(".toml") {
            let names = Dialect::builtin_names().join(", ");
            bail!(
                "{:?} is no builtin dialect ({names}) and no .toml file",
                self.dialect
            );
        }
        let text = std::fs::read_to_string(&self.dialect).context(self.dialect.clone())?;
        Ok(Arc::new(Dialect::from_toml(&self.dialect, &text)?))
    }

    fn codec(&self) -> FrameCodec {
        FrameCodec {
            framing: self.framing,
            header: self.header,
            max_frame_len: 16 * 1024,
        }
    }
}

fn stop_on_ctrl_c(stop: &CancellationToken) {
    let stop = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
}

impl Replay {
    async fn run(self) -> Result<bool> {
        let dialect = self.wire.dialect()?;
        let mut file_codec = self.wire.codec();
        file_codec.framing = self.file_framing.unwrap_or(file_codec.framing);
        let records = read_file(&self.file, &self.format, file_codec)?;
        let options = ReplayOptions {
            target: self.target,
            dialect,
            codec: self.wire.codec(),
            connections: self.connections,
            in_flight: self.in_flight,
            rate: self.rate,
            times: self.times,
            keep_keys: self.keep_keys,
            sign_on: self.sign_on,
            grace: seconds(self.grace)?,
            stop: CancellationToken::new(),
        };
        stop_on_ctrl_c(&options.stop);
        let bar = progress_bar(self.json, None);
        let report = run_replay(options, &records, |progress| {
            bar.set_message(format!(
                "{} sent, {} answered",
                progress.sent, progress.answered
            ));
        });
        let report = report.await;
        bar.finish_and_clear();
        let report = report.map_err(|error| match error {
            SimError::NoRequest { .. } => anyhow::anyhow!("{}: {error}", self.file.display()),
            other => other.into(),
        })?;
        show_report(&report, self.json)?;
        Ok(report.is_clean())
    }
}

impl RecordCommand {
    async fn run(self) -> Result<bool> {
        let listener = tokio::net::TcpListener::bind(&self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        eprintln!(
            "recording {} to {}",
            listener.local_addr()?,
            self.out.display()
        );
        let stop = CancellationToken::new();
        stop_on_ctrl_c(&stop);
        let (codec, dialect) = (self.wire.codec(), self.wire.dialect()?);
        let count = run_record(listener, self.target, codec, dialect, &self.out, stop).await?;
        eprintln!("{count} messages written");
        Ok(true)
    }
}

impl Convert {
    fn run(self) -> Result<bool> {
        let codec = self.wire.codec();
        let records = read_file(&self.input, &self.from, codec)?;
        let format = Format::named(&self.to, codec, &self.output, b"")
            .map_err(|problem| anyhow::anyhow!(problem))?;
        let bytes = write_capture(&records, &format)?;
        write_private(&self.output, &bytes)
            .with_context(|| format!("cannot write {}", self.output.display()))?;
        eprintln!("{} messages written", records.len());
        Ok(true)
    }
}

impl Seed {
    fn run(self) -> Result<bool> {
        let options = SeedOptions {
            count: self.count,
            network: self.network,
            bin: self.bin,
            currency: self.currency,
            ..SeedOptions::default()
        };
        let cards = seed_with_progress(&self.api, self.key.as_deref(), &options)?;
        SimCard::save(&self.out, &cards)?;
        eprintln!("{} cards written to {}", cards.len(), self.out.display());
        Ok(true)
    }
}

fn key_or_environment(key: Option<&str>) -> Result<String> {
    let given = key.map(str::to_owned);
    let key = given.or_else(|| std::env::var("CARDSWITCH_API_KEY").ok());
    key.context("give --key, or set CARDSWITCH_API_KEY")
}

fn seed_with_progress(api: &str, key: Option<&str>, options: &SeedOptions) -> Result<Vec<SimCard>> {
    let key = key_or_environment(key)?;
    let bar = progress_bar(false, Some(options.count as u64));
    bar.set_message("creating cards");
    let cards = seed(api, &key, options, |count| bar.set_position(count as u64))?;
    bar.finish_with_message("cards created");
    Ok(cards)
}

fn read_file(path: &Path, format: &str, codec: FrameCodec) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let format =
        Format::named(format, codec, path, &bytes).map_err(|problem| anyhow::anyhow!(problem))?;
    let records = read_capture(&path.display().to_string(), &bytes, &format)?;
    if records.is_empty() {
        bail!(
            "{}: there is no message in it; `cardsim record` writes a capture",
            path.display()
        );
    }
    Ok(records)
}

/// Captures hold card data: only their owner may read them.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, bytes)
}

impl CardSource {
    /// Those of the file, or `count` new ones.
    fn cards(&self, count: usize) -> Result<Vec<SimCard>> {
        if let Some(path) = &self.cards {
            return Ok(SimCard::load(path)?);
        }
        let options = SeedOptions {
            count,
            network: self.network.clone(),
            ..SeedOptions::default()
        };
        // clap saw to it that one of the two is there.
        let api = self.api.as_deref().unwrap_or_default();
        seed_with_progress(api, self.key.as_deref(), &options)
    }
}

impl Network {
    async fn run(self) -> Result<bool> {
        let cards = self.source.cards(self.api_cards)?;
        let options = NetworkOptions {
            header: self.wire.header,
            connections: self.connections,
            in_flight: self.in_flight,
            rate: self.rate,
            count: self.count,
            duration: self.duration.map(seconds).transpose()?,
            mix: self.mix,
            clears: self.clear,
            malformed_rate: self.malformed,
            sign_on: !self.no_sign_on && !self.against_echo,
            echo: self.against_echo,
            answer_keep_alives: self.answer_keep_alives,
            seed: self.seed,
            grace: seconds(self.grace)?,
            ..NetworkOptions::new(&self.target, self.wire.dialect()?, self.wire.framing)
        };
        stop_on_ctrl_c(&options.stop);
        let bar = progress_bar(self.json, self.count);
        let report = run_network(options, cards, |progress| show_progress(&bar, &progress)).await;
        bar.finish_and_clear();
        let report = report?;
        show_report(&report, self.json)?;
        Ok(report.is_clean())
    }
}

impl Echo {
    async fn run(self) -> Result<bool> {
        let listener = tokio::net::TcpListener::bind(&self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        eprintln!("echoing on {}", listener.local_addr()?);
        let approve = self.approve.then(|| self.wire.dialect()).transpose()?;
        run_echo(listener, self.wire.codec(), approve).await?;
        Ok(true)
    }
}

fn show_report(report: &(impl serde::Serialize + std::fmt::Display), json: bool) -> Result<()> {
    match json {
        true => println!("{}", serde_json::to_string(report)?),
        false => print!("{report}"),
    }
    Ok(())
}

fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{seconds} is no time in seconds"))
}

fn progress_bar(json: bool, count: Option<u64>) -> indicatif::ProgressBar {
    // Drawn on standard error, and only where that is a terminal.
    let bar = match (json, count) {
        (true, _) => indicatif::ProgressBar::hidden(),
        (false, Some(count)) => indicatif::ProgressBar::new(count),
        (false, None) => indicatif::ProgressBar::new_spinner(),
    };
    let template = match count {
        Some(_) => "{elapsed_precise} {wide_bar} {percent}% {msg}",
        None => "{elapsed_precise} {spinner} {msg}",
    };
    if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show_progress(bar: &indicatif::ProgressBar, progress: &Progress) {
    bar.set_position(progress.answered);
    let rate = progress.answered as f64 / progress.elapsed.as_secs_f64().max(0.001);
    bar.set_message(format!(
        "{} answered ({rate:.0}/s), {} approved, {} declined, {} wrong, p50 {:.0} µs, p99 {:.0} µs",
        progress.answered,
        progress.approved,
        progress.declined,
        progress.findings,
        progress.recent_latency_us.p50,
        progress.recent_latency_us.p99,
    ));
}
