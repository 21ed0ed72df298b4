//! `cardswitch demo`: switch, sample program and cards, and a simulated card network over real TCP, in one
//! process, with a live view.

use super::node::{self, Node, Start};
use super::serve::{start_log, told_to_stop};
use crate::config::Config;
use crate::iso8583::Dialect;
use crate::sim::{NetworkOptions, NetworkReport, Progress, SimCard, run_network, seed};
use anyhow::{Context, Result};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// See it work: switch, cards and a simulated card network in one process. It pays until Ctrl-C, and writes
/// about 40 MB a minute.
///
/// Example: cardswitch demo --rate 2000
#[derive(clap::Args)]
pub struct Demo {
    /// Where journal, vault and database go; kept for `serve` and the other commands.
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    data: PathBuf,
    /// Where the REST interface listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    http: String,
    /// Where the card network connects.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8583")]
    network: String,
    /// Cards to issue.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    cards: usize,
    /// Messages per second that the simulated network sends.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 500.0)]
    rate: f64,
    /// Connections of the simulated network.
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    connections: usize,
    /// Stop by itself after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// How long the tables may take at the end. Usually they are a few records behind.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Between two lines that say how many cards there are.
const TELL_ISSUED_EVERY_S: u64 = 2;

/// On the account of all cards: enough for weeks.
const FUNDS_MINOR: u64 = 100_000_000_000_000;

/// The dialect and framing that the demo speaks.
const DIALECT: &str = "iso8583-1987-ascii";

pub fn run(demo: &Demo) -> Result<u8> {
    anyhow::ensure!(
        demo.rate > 0.0 && demo.cards > 0 && demo.connections > 0,
        "--rate, --cards and --connections take numbers above zero"
    );
    let file = demo.data.join("cardswitch.toml");
    let text = config_text(demo);
    let config = Config::parse(&file, &text, std::env::vars())?;
    let log = Config {
        log: crate::config::Log {
            filter: "warn".into(),
            ..config.log.clone()
        },
        ..config.clone()
    };
    start_log(&log);
    std::fs::create_dir_all(&demo.data)
        .and_then(|()| std::fs::write(&file, &text))
        .with_context(|| {
            format!(
                "cannot write {}; choose another folder with --data",
                file.display()
            )
        })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(play(demo, &config))?;
    if let Some(report) = &report {
        println!("\n{report}");
    }
    println!(
        "The data folder stays. To go on with it:\n  \
         CARDSWITCH_ROOT_KEY=$(cat {}/root-key) {} serve --config {}",
        demo.data.display(),
        program(),
        file.display()
    );
    Ok(u8::from(report.is_some_and(|report| !report.is_clean())))
}

/// This program as it was started, so that what is printed can be run as it stands.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "cardswitch".into())
}

/// The configuration of the demo, written into the data folder so that `serve` can go on with it.
fn config_text(demo: &Demo) -> String {
    // Whole, so that `serve` finds it from any folder.
    let data = std::path::absolute(&demo.data).unwrap_or_else(|_| demo.data.clone());
    let (http, network, data) = (&demo.http, &demo.network, data.display());
    format!(
        "# Written by `cardswitch demo`; see config/cardswitch.toml for every key.\n\
         [data]\ndir = {data:?}\n[http]\nlisten = {http:?}\n[sandbox]\nenabled = true\n\
         [[network]]\nname = \"visa\"\nlisten = {network:?}\nframing = \"length-2-be\"\ndialect = {DIALECT:?}\n",
        data = data.to_string()
    )
}

/// Nothing to report where it was stopped before the first message.
async fn play(demo: &Demo, config: &Config) -> Result<Option<NetworkReport>> {
    let told = told_to_stop()?;
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            told.await;
            stop.cancel();
        }
    });
    let key = root_key(&demo.data)?;
    let node = node::start(
        config,
        Start {
            root_key: Some(key.clone()),
        },
    )
    .await?;
    let network = node
        .network_address("visa")
        .context("the demo's own network is not listening")?;
    introduce(demo, &node, network, &key);
    let cards = issue_cards(demo, &node, &key, &stop).await?;
    let report = if stop.is_cancelled() {
        println!("stopped after {} of {} cards", cards.len(), demo.cards);
        None
    } else {
        Some(drive(demo, network, cards, stop).await?)
    };
    println!("\nletting the tables catch up with the journal");
    match node.tables_catch_up(CATCH_UP).await {
        0 => println!("the tables hold everything"),
        behind => println!("the tables lack {behind} records, which `serve` goes on with"),
    }
    node.stop().await?;
    Ok(report)
}

/// One key per data folder, so that what was copied from the first lines goes on working.
fn root_key(folder: &Path) -> Result<String> {
    if let Ok(key) = std::env::var("CARDSWITCH_ROOT_KEY") {
        return Ok(key);
    }
    let file = folder.join("root-key");
    if let Ok(key) = std::fs::read_to_string(&file) {
        return Ok(key.trim().to_owned());
    }
    let mut random = [0u8; 12];
    getrandom::fill(&mut random).context("the system gives no random numbers")?;
    let key = format!("demo_{}", random.map(|byte| format!("{byte:02x}")).concat());
    write_secret(&file, &key).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(key)
}

fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?
        .write_all(text.as_bytes())
}

fn introduce(demo: &Demo, node: &Node, network: SocketAddr, key: &str) {
    let (http, data) = (node.http_address(), demo.data.display());
    println!("cardswitch demo");
    println!("  card network   {network}   ({DIALECT}, framing length-2-be)");
    println!("  REST and more  http://{http}   (/v1, /metrics, /healthz)");
    println!("  root key       {key}");
    println!("  data folder    {data}");
    let program = program();
    println!("Try in another terminal:");
    println!(
        "  curl -s -H 'Authorization: Bearer {key}' 'http://{http}/v1/authorizations?status=declined&limit=1'"
    );
    println!("  {program} report settlement --config {data}/cardswitch.toml --date $(date -u +%F)");
    println!("  {program} journal verify --config {data}/cardswitch.toml");
    println!(
        "Ctrl-C ends the demo and keeps the data folder, which grows by about 40 MB a minute.\n"
    );
}

async fn issue_cards(
    demo: &Demo,
    node: &Node,
    key: &str,
    stop: &CancellationToken,
) -> Result<Vec<SimCard>> {
    println!(
        "issuing {} cards over the REST interface, one after another; 2,000 take up to half a minute",
        demo.cards
    );
    let (api, key) = (format!("http://{}", node.http_address()), key.to_owned());
    let options = seed::SeedOptions {
        count: demo.cards,
        funds_minor: FUNDS_MINOR,
        stop: stop.clone(),
        ..seed::SeedOptions::default()
    };
    let bar = indicatif::ProgressBar::new(demo.cards as u64);
    let (shown, all) = (bar.clone(), demo.cards);
    let (began, told_at) = (Instant::now(), AtomicU64::new(0));
    let seeded = tokio::task::spawn_blocking(move || {
        seed::seed(&api, &key, &options, |issued| {
            shown.set_position(issued as u64);
            let now = began.elapsed().as_secs() / TELL_ISSUED_EVERY_S;
            let is_due = told_at.swap(now, Ordering::Relaxed) != now || issued == all;
            // Where there is no terminal there is no bar.
            if shown.is_hidden() && is_due {
                println!("issued {issued} of {all} cards");
            }
        })
    });
    let cards = seeded.await??;
    bar.finish();
    Ok(cards)
}

async fn drive(
    demo: &Demo,
    network: SocketAddr,
    cards: Vec<SimCard>,
    stop: CancellationToken,
) -> Result<NetworkReport> {
    // The dialect is built in, and a test proves that it compiles.
    let dialect = Dialect::builtin(DIALECT).context("the demo's dialect is missing")?;
    let mut options = NetworkOptions::new(
        &network.to_string(),
        Arc::new(dialect),
        "length-2-be".parse()?,
    );
    options.connections = demo.connections;
    options.rate = Some(demo.rate);
    options.duration = demo.seconds.map(Duration::from_secs);
    // As networks do: without it, holds would pile up to what an account may have open.
    options.clears = true;
    options.stop = stop;
    let view = View::new();
    Ok(run_network(options, cards, move |progress| view.show(&progress)).await?)
}

/// One line that is written over, on a terminal; otherwise a line every few seconds.
struct View {
    bar: Option<indicatif::ProgressBar>,
    last_line: AtomicU64,
}

impl View {
    fn new() -> View {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = indicatif::ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        View {
            bar,
            last_line: Default::default(),
        }
    }

    fn show(&self, progress: &Progress) {
        let latency = &progress.recent_latency_us;
        let seconds = progress.elapsed.as_secs();
        let per_second = progress.answered as f64 / progress.elapsed.as_secs_f64().max(0.001);
        let line = format!(
            "{seconds:>4} s  {:>8} answered  {per_second:>7.0}/s  approved {}  declined {}  undecided {}  reversals {}  repeats {}  last second: p50 {:.0} us  p99 {:.0} us  wrong {}",
            progress.answered,
            progress.approved,
            progress.declined,
            progress.undecided,
            progress.reversals,
            progress.repeats,
            latency.p50,
            latency.p99,
            progress.findings,
        );
        match &self.bar {
            Some(bar) => bar.set_message(line),
            // Before the first second is over there is nothing to show.
            None if latency.max > 0.0
                && self.last_line.swap(seconds, Ordering::Relaxed) != seconds =>
            {
                println!("{line}")
            }
            None => {}
        }
    }
}
