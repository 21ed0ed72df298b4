//! `cardsim`: plays a card network, replays captures, records and converts them. A thin shell over
//! `cardswitch::sim`.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use cardswitch::{
    iso8583::{Dialect, FrameCodec, Framing, Header},
    sim::{Mix, NetworkOptions, Progress, SimCard, echo::run_echo, run_network},
};
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    version,
    about = "Card network simulator and load tester for ISO 8583",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Network(Network),
    Echo(Echo),
}

/// How messages stand on the wire.
#[derive(Args, Clone)]
struct WireOptions {
    /// Dialect: a builtin name, or the path of a dialect file
    #[arg(long, default_value = "iso8583-1987-ascii")]
    dialect: String,
    /// Framing, such as length-2-be, ascii-4, length-4-be
    #[arg(long, default_value = "length-2-be")]
    framing: Framing,
    /// Header of each message: none, tpdu or base1
    #[arg(long, default_value = "none")]
    header: Header,
}

/// Play a card network: sign on, send a believable mix, check every answer
///
/// Exit code 1 when something was wrong, 2 on bad usage.
#[derive(Args)]
#[command(
    after_help = "Example:\n  cardsim network --target 127.0.0.1:8583 --cards cards.jsonl \
    --connections 8 --rate 5000 --duration 60"
)]
struct Network {
    /// Host and port of the switch
    #[arg(long)]
    target: String,
    #[command(flatten)]
    wire: WireOptions,
    /// JSON-lines file of the cards to pay with
    #[arg(long)]
    cards: PathBuf,
    /// TCP connections
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Requests per connection that may wait for an answer at a time
    #[arg(long, default_value_t = 32)]
    in_flight: usize,
    /// Messages per second over all connections; without it as fast as answers allow
    #[arg(long)]
    rate: Option<f64>,
    /// Stop after so many messages
    #[arg(long)]
    count: Option<u64>,
    /// Stop after so many seconds
    #[arg(long)]
    duration: Option<f64>,
    /// What to send: default, purchases, or weights such as purchase=90,repeat=10
    #[arg(long, default_value = "default", value_parser = parse_mix)]
    mix: Mix,
    /// Malformed messages per second, on a connection of their own
    #[arg(long)]
    malformed: Option<f64>,
    /// Neither sign on nor off
    #[arg(long)]
    no_sign_on: bool,
    /// Answer keep-alives (not when the peer does so too)
    #[arg(long)]
    answer_keep_alives: bool,
    /// The same seed sends the same traffic
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds that answers are waited for after the last message
    #[arg(long, default_value_t = 5.0)]
    grace: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Send every frame back as it came: what this machine could do at most
#[derive(Args)]
#[command(after_help = "Example:\n  cardsim echo --listen 127.0.0.1:9000")]
struct Echo {
    /// Address to listen on
    #[arg(long)]
    listen: String,
    #[command(flatten)]
    wire: WireOptions,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cardsim: {error:#}");
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
            Command::Echo(echo) => echo.run().await,
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

impl Network {
    async fn run(self) -> Result<bool> {
        let cards = SimCard::load(&self.cards)?;
        let options = NetworkOptions {
            header: self.wire.header,
            connections: self.connections,
            in_flight: self.in_flight,
            rate: self.rate,
            count: self.count,
            duration: self.duration.map(seconds).transpose()?,
            mix: self.mix,
            malformed_rate: self.malformed,
            sign_on: !self.no_sign_on,
            answer_keep_alives: self.answer_keep_alives,
            seed: self.seed,
            grace: seconds(self.grace)?,
            ..NetworkOptions::new(&self.target, self.wire.dialect()?, self.wire.framing)
        };
        let stop = options.stop.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.cancel();
            }
        });
        let bar = progress_bar(self.json, self.count);
        let report = run_network(options, cards, |progress| show(&bar, &progress)).await;
        bar.finish_and_clear();
        let report = report?;
        match self.json {
            true => println!("{}", serde_json::to_string(&report)?),
            false => print!("{report}"),
        }
        Ok(report.is_clean())
    }
}

impl Echo {
    async fn run(self) -> Result<bool> {
        let listener = tokio::net::TcpListener::bind(&self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        eprintln!("echoing on {}", listener.local_addr()?);
        run_echo(listener, self.wire.codec()).await?;
        Ok(true)
    }
}

fn parse_mix(text: &str) -> Result<Mix, String> {
    text.parse()
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

fn show(bar: &indicatif::ProgressBar, progress: &Progress) {
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
