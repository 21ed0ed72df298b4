//! A simulated card network: signs on over several connections, sends the mix, checks every answer.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Mix, NetworkReport, Progress, SimCard, SimError,
    client::Plan,
    line::{Line, Peer},
    malformed,
    pace::Metronome,
    player::Player,
    run::{check_bounds, play_all},
    traffic::Generator,
    wall_clock::unix_time,
    wire::Wire,
};
use crate::iso8583::{Dialect, FrameCodec, Framing, Header};

/// What to play, and against whom.
#[derive(Clone)]
pub struct NetworkOptions {
    /// Host and port of the switch.
    pub target: String,
    /// Dialect to speak.
    pub dialect: Arc<Dialect>,
    /// Framing to speak.
    pub framing: Framing,
    /// Header of each message.
    pub header: Header,
    /// Connections.
    pub connections: usize,
    /// Requests of one connection that may wait for an answer at a time.
    pub in_flight: usize,
    /// Messages per second over all connections; `None` is as fast as answers allow.
    pub rate: Option<f64>,
    /// Stop after so many messages.
    pub count: Option<u64>,
    /// Stop after so long.
    pub duration: Option<Duration>,
    /// What is sent.
    pub mix: Mix,
    /// Holds are presented (0220) once they are a few hundred payments old.
    pub clears: bool,
    /// Malformed messages per second, on a connection of their own.
    pub malformed_rate: Option<f64>,
    /// Send a sign-on first and a sign-off last.
    pub sign_on: bool,
    /// Answer keep-alives with keep-alives.
    pub answer_keep_alives: bool,
    /// The peer sends back what it gets (see `echo`): only times and matches are looked at.
    pub echo: bool,
    /// Decides the traffic.
    pub seed: u64,
    /// How long answers are waited for after the last message.
    pub grace: Duration,
    /// Ends the run early, in good order.
    pub stop: CancellationToken,
}

impl NetworkOptions {
    /// One connection with 32 in flight, the default mix, until stopped.
    pub fn new(target: &str, dialect: Arc<Dialect>, framing: Framing) -> NetworkOptions {
        NetworkOptions {
            target: target.to_owned(),
            dialect,
            framing,
            header: Header::None,
            connections: 1,
            in_flight: 32,
            rate: None,
            count: None,
            duration: None,
            mix: Mix::default(),
            clears: false,
            malformed_rate: None,
            sign_on: true,
            answer_keep_alives: false,
            echo: false,
            seed: 1,
            grace: Duration::from_secs(5),
            stop: CancellationToken::new(),
        }
    }

    /// The frame codec of these options.
    pub fn codec(&self) -> FrameCodec {
        FrameCodec {
            framing: self.framing,
            header: self.header,
            max_frame_len: 16 * 1024,
        }
    }
}

/// Plays a card network until the options say that it is over. `observer` is called about four times
/// a second.
pub async fn run_network(
    options: NetworkOptions,
    cards: Vec<SimCard>,
    observer: impl Fn(Progress) + Send,
) -> Result<NetworkReport, SimError> {
    check_options(&options, &cards)?;
    let cards: Arc<[SimCard]> = cards.into();
    let peer = Peer {
        target: options.target.clone(),
        codec: options.codec(),
        wire: Arc::new(Wire::new(options.dialect.clone(), &cards)?),
        sign_on: options.sign_on,
    };
    let mut lines = Vec::new();
    for at in 0..options.connections {
        lines.push(Line::open(&peer, at).await?);
    }
    let start = Instant::now();
    let metronome = Metronome::start(start, options.connections, options.rate);
    let run = unix_time().as_millis() as u64;
    let (cards_of, mix) = (&cards, &options.mix);
    let lines = lines.into_iter().enumerate().map(|(at, line)| {
        let generator = Generator::new(cards_of.clone(), mix.clone(), options.seed, run, at);
        let generator = generator
            .completing_in_parts(peer.wire.says_final())
            .clearing(options.clears);
        let player = Player::new(peer.wire.clone(), generator);
        (line, player, plan(&options, at, &metronome))
    });
    let noise = options.malformed_rate.map(|rate| {
        let noise = malformed::run(options.clone(), peer.clone(), cards.clone(), rate);
        tokio::spawn(noise)
    });
    let (totals, players) = play_all(start, lines.collect(), &observer).await?;
    drop(metronome);
    options.stop.cancel();
    let mut report = NetworkReport {
        totals,
        ..NetworkReport::default()
    };
    for player in players {
        report.add(&player);
    }
    if let Some(noise) = noise {
        // A task neither panics nor is aborted.
        let (malformed, findings) = noise.await.expect("the malformed connection's task");
        report.malformed = malformed;
        report.totals.findings.merge(findings);
    }
    Ok(report)
}

fn check_options(options: &NetworkOptions, cards: &[SimCard]) -> Result<(), SimError> {
    if cards.is_empty() {
        let text = "there is no card to pay with";
        return Err(SimError::Options(text.to_owned()));
    }
    let rates = [options.rate, options.malformed_rate];
    check_bounds(options.connections, options.in_flight, &rates)
}

fn plan(options: &NetworkOptions, at: usize, metronome: &Metronome) -> Plan {
    let connections = options.connections as u64;
    let share = |count: u64| count / connections + u64::from((at as u64) < count % connections);
    Plan {
        codec: options.codec(),
        pace: metronome.pace(at, 1.0 / connections as f64),
        in_flight: options.in_flight,
        count: options.count.map(share),
        until: options
            .duration
            .map(|duration| metronome.began() + duration),
        grace: options.grace,
        stop: options.stop.clone(),
        answer_keep_alives: options.answer_keep_alives,
        echo: options.echo,
    }
}

impl NetworkReport {
    fn add(&mut self, player: &Player) {
        self.approved += player.approved;
        self.declined += player.declined;
        self.undecided += player.undecided;
        self.reversals += player.reversals;
        self.repeats += player.repeats;
        self.increments += player.increments;
        self.advices += player.advices;
        self.echoes += player.echoes;
    }
}
