//! The command line of `cardsim`: what may be given, and its help. What is done with it lives in
//! `cardsim.rs`.

use cardswitch::{
    iso8583::{Framing, Header},
    sim::Mix,
};
use clap::{ArgGroup, Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(
    version,
    about = "Card network simulator and load tester for ISO 8583",
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Network(Network),
    Replay(Replay),
    Record(RecordCommand),
    Convert(Convert),
    Seed(Seed),
    Echo(Echo),
    Talk(Talk),
}

/// How messages stand on the wire.
#[derive(Args, Clone)]
pub struct WireOptions {
    /// Dialect: a builtin name, or the path of a dialect file
    #[arg(long, default_value = "iso8583-1987-ascii")]
    pub dialect: String,
    /// Framing, such as length-2-be, ascii-4, length-4-be
    #[arg(long, default_value = "length-2-be")]
    pub framing: Framing,
    /// Header of each message: none, tpdu or base1
    #[arg(long, default_value = "none")]
    pub header: Header,
}

/// Where the cards to pay with come from.
#[derive(Args)]
#[command(group(ArgGroup::new("card source").args(["cards", "api"]).required(true)))]
pub struct CardSource {
    /// JSON-lines file of the cards to pay with
    #[arg(long)]
    pub cards: Option<PathBuf>,
    /// Create cards over the REST API at this address instead, as `cardsim seed` does; the switch
    /// needs `[sandbox] enabled = true` for that
    #[arg(long)]
    pub api: Option<String>,
    /// With --api: network of the cards, one of those that the switch has
    #[arg(long, default_value = "visa")]
    pub network: String,
    /// API key for --api; else CARDSWITCH_API_KEY of the environment
    #[arg(long)]
    pub key: Option<String>,
}

/// Play a card network: sign on, send a believable mix, check every answer
///
/// Exit code 1 when something was wrong, 2 on bad usage.
#[derive(Args)]
#[command(
    after_help = "Example:\n  cardsim network --target 127.0.0.1:8583 --cards cards.jsonl \
    --connections 8 --rate 5000 --duration 60"
)]
pub struct Network {
    /// Host and port of the switch
    #[arg(long)]
    pub target: String,
    #[command(flatten)]
    pub wire: WireOptions,
    #[command(flatten)]
    pub source: CardSource,
    /// How many cards to create with --api
    #[arg(long, default_value_t = 20)]
    pub api_cards: usize,
    /// TCP connections
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Requests per connection that may wait for an answer at a time
    #[arg(long, default_value_t = 32)]
    pub in_flight: usize,
    /// Messages per second over all connections; without it as fast as answers allow
    #[arg(long)]
    pub rate: Option<f64>,
    /// Stop after so many messages
    #[arg(long)]
    pub count: Option<u64>,
    /// Stop after so many seconds
    #[arg(long)]
    pub duration: Option<f64>,
    /// What to send: default, purchases, or weights such as purchase=90,repeat=10
    #[arg(long, default_value = "default", value_parser = parse_mix)]
    pub mix: Mix,
    /// Present each hold (0220) once it is a few hundred payments old, so that holds do not pile up
    #[arg(long)]
    pub clear: bool,
    /// Malformed messages per second, on a connection of their own
    #[arg(long)]
    pub malformed: Option<f64>,
    /// Neither sign on nor off
    #[arg(long)]
    pub no_sign_on: bool,
    /// Answer keep-alives (not when the peer does so too)
    #[arg(long)]
    pub answer_keep_alives: bool,
    /// The peer is `cardsim echo`: measure only, check nothing
    #[arg(long)]
    pub against_echo: bool,
    /// The same seed sends the same traffic
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Seconds that answers are waited for after the last message
    #[arg(long, default_value_t = 5.0)]
    pub grace: f64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Play a capture back with fresh keys and compare DE39 with what was recorded
///
/// STAN, RRN, DE7, DE12 and DE13 are drawn anew; repeats stay repeats, and reversals name their
/// rewritten original. Exit code 1 on a difference, an unmatched or a missing answer, 2 on bad usage.
#[derive(Args)]
#[command(
    after_help = "Example:\n  cardsim replay day.jsonl --target 127.0.0.1:8583 \
    --dialect iso8583-1987-ascii --framing length-2-be --rate 2000 --json"
)]
pub struct Replay {
    /// The capture
    pub file: PathBuf,
    /// Host and port of the switch
    #[arg(long)]
    pub target: String,
    #[command(flatten)]
    pub wire: WireOptions,
    /// How the file stands: auto, framed, hex or jsonl
    #[arg(long, default_value = "auto")]
    pub format: String,
    /// Framing of a framed file, where it differs from that of the connection
    #[arg(long)]
    pub file_framing: Option<Framing>,
    /// Messages per second; without it as fast as answers allow
    #[arg(long)]
    pub rate: Option<f64>,
    /// TCP connections; the messages of a card stay on one, in their order
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Requests per connection that may wait for an answer at a time
    #[arg(long, default_value_t = 32)]
    pub in_flight: usize,
    /// Play the capture so many times
    #[arg(long, default_value_t = 1)]
    pub times: u64,
    /// Send the keys as recorded
    #[arg(long)]
    pub keep_keys: bool,
    /// Sign on first and off last
    #[arg(long)]
    pub sign_on: bool,
    /// Seconds that answers are waited for after the last message
    #[arg(long, default_value_t = 5.0)]
    pub grace: f64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Say what a conversation file says, message by message, and print each answer
///
/// The first card of --cards pays. With --api, one is created for it, and what the switch has on record
/// of each message is printed behind its answer.
///
/// The file is read to its end before anything is sent. A line is a name, a message type in 1987
/// numbers, what it says, and the expected answer, as in `p1 0100 amount=4000 kind=refund -> approved`.
/// Exit code 1 when an answer was not the one that the file expects, 2 on bad usage.
#[derive(Args)]
#[command(
    after_help = "Example:\n  cardsim talk config/conversation.txt --target 127.0.0.1:8583 \
    --api http://127.0.0.1:8080 --key 0123456789abcdef"
)]
pub struct Talk {
    /// The conversation; `config/conversation.txt` has one of every kind of message
    pub file: PathBuf,
    /// Host and port of the switch
    #[arg(long)]
    pub target: String,
    #[command(flatten)]
    pub wire: WireOptions,
    #[command(flatten)]
    pub source: CardSource,
    /// Sign on first and off last
    #[arg(long)]
    pub sign_on: bool,
}

/// Pass connections on to a switch and write what goes by to a JSON-lines capture
///
/// The capture holds card data in clear: its file is readable by its owner only.
#[derive(Args)]
#[command(after_help = "Example:\n  cardsim record --listen 127.0.0.1:9583 \
    --target 127.0.0.1:8583 --out day.jsonl\nEnds with Ctrl-C.")]
pub struct RecordCommand {
    /// Address to listen on
    #[arg(long)]
    pub listen: String,
    /// Host and port of the switch
    #[arg(long)]
    pub target: String,
    #[command(flatten)]
    pub wire: WireOptions,
    /// The capture to write
    #[arg(long)]
    pub out: PathBuf,
}

/// Convert a capture between frames, hexadecimal lines and JSON lines
#[derive(Args)]
#[command(after_help = "Example:\n  cardsim convert day.jsonl day.bin --framing ascii-4")]
pub struct Convert {
    /// The capture to read
    pub input: PathBuf,
    /// The capture to write
    pub output: PathBuf,
    #[command(flatten)]
    pub wire: WireOptions,
    /// How the input stands: auto, framed, hex or jsonl
    #[arg(long, default_value = "auto")]
    pub from: String,
    /// How the output is to stand; auto goes by its ending (.jsonl, .hex, else framed)
    #[arg(long, default_value = "auto")]
    pub to: String,
}

/// Create cards over the REST API and write them to a file for `cardsim network`
///
/// The switch needs `[sandbox] enabled = true`. The file holds card data in clear: it is readable by
/// its owner only.
#[derive(Args)]
#[command(
    after_help = "Example:\n  cardsim seed --api http://127.0.0.1:8080 --key KEY --count 50 \
    --out cards.jsonl"
)]
pub struct Seed {
    /// Address of the REST API
    #[arg(long)]
    pub api: String,
    /// API key; else CARDSWITCH_API_KEY of the environment
    #[arg(long)]
    pub key: Option<String>,
    /// How many cards
    #[arg(long, default_value_t = 20)]
    pub count: usize,
    /// BIN of the program
    #[arg(long, default_value = "411111")]
    pub bin: String,
    /// Network of the program
    #[arg(long, default_value = "visa")]
    pub network: String,
    /// Currency of program and accounts
    #[arg(long, default_value = "USD")]
    pub currency: String,
    /// The file to write
    #[arg(long)]
    pub out: PathBuf,
}

/// Send every frame back as it came: what this machine could do at most
#[derive(Args)]
#[command(after_help = "Example:\n  cardsim echo --listen 127.0.0.1:9000")]
pub struct Echo {
    /// Address to listen on
    #[arg(long)]
    pub listen: String,
    #[command(flatten)]
    pub wire: WireOptions,
    /// Answer every request with an approval, as an issuer that decides nothing
    #[arg(long)]
    pub approve: bool,
}

fn parse_mix(text: &str) -> Result<Mix, String> {
    text.parse()
}
