//! A simulated card network: signs on over several connections, sends the mix, checks every answer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Mix, NetworkReport, SimCard, SimError,
    client::{Client, Plan, Tally, histogram, unix_time},
    keys::Stamp,
    malformed,
    pace::{Beat, Bell, Metronome, Pace},
    player::Player,
    report::Quantiles,
    traffic::Generator,
    wire::Wire,
};
use crate::iso8583::{Dialect, Frame, FrameCodec, Framing, Header, Message};

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

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Messages sent.
    pub sent: u64,
    /// Answers that belong to a request.
    pub answered: u64,
    /// Payments approved.
    pub approved: u64,
    /// Payments declined.
    pub declined: u64,
    /// Reversals sent.
    pub reversals: u64,
    /// Repeats sent.
    pub repeats: u64,
    /// Requests that wait for an answer.
    pub in_flight: u64,
    /// Things that were wrong.
    pub findings: u64,
    /// Latency over about the last second.
    pub recent_latency_us: Quantiles,
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
    let wire = Arc::new(Wire::new(options.dialect.clone(), cards.clone())?);
    let mut lines = Vec::new();
    for at in 0..options.connections {
        lines.push(Line::open(&options, &wire, at).await?);
    }
    let start = Instant::now();
    let beats: Vec<_> = lines.iter().map(|_| Arc::new(Beat::default())).collect();
    let metronome = options.rate.map(|_| Metronome::start(start, beats.clone()));
    let run = unix_time().as_millis() as u64;
    let mut boards = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (at, line) in lines.into_iter().enumerate() {
        let generator = Generator::new(cards.clone(), options.mix.clone(), options.seed, run, at);
        let script = Player::new(wire.clone(), generator);
        let plan = plan(&options, at, start, &beats[at]);
        let board = Arc::new(Mutex::new(Board::default()));
        boards.push(board.clone());
        tasks.spawn(line.play(script, plan, board));
    }
    let noise = options.malformed_rate.map(|rate| {
        tokio::spawn(malformed::run(
            options.clone(),
            wire.clone(),
            cards.clone(),
            rate,
        ))
    });
    let mut report = NetworkReport::default();
    let (mut latency, mut lateness) = (histogram(), histogram());
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            done = tasks.join_next() => match done {
                None => break,
                // A task neither panics nor is aborted.
                Some(done) => {
                    let (tally, player) = done.expect("a connection's task")?;
                    add(&mut report, tally, player, &mut latency, &mut lateness);
                }
            },
            _ = ticks.tick() => observer(progress(start, &boards)),
        }
    }
    report.took(start.elapsed());
    drop(metronome);
    options.stop.cancel();
    if let Some(noise) = noise {
        let (malformed, findings) = noise.await.expect("the malformed connection's task");
        report.malformed = malformed;
        report.findings.merge(findings);
    }
    report.latency_us = Quantiles::of(&latency);
    report.sender_lateness_us = Quantiles::of(&lateness);
    observer(progress(start, &boards));
    Ok(report)
}

fn check_options(options: &NetworkOptions, cards: &[SimCard]) -> Result<(), SimError> {
    let wrong = |text: &str| Err(SimError::Options(text.to_owned()));
    if cards.is_empty() {
        return wrong("there is no card to pay with");
    }
    if options.connections == 0 || options.connections > 1296 {
        return wrong("connections must be 1 to 1296");
    }
    if options.in_flight == 0 || options.in_flight > 100_000 {
        return wrong("in-flight must be 1 to 100000");
    }
    let rates = [options.rate, options.malformed_rate];
    if rates
        .iter()
        .flatten()
        .any(|rate| !rate.is_finite() || *rate <= 0.0)
    {
        return wrong("a rate must be above zero");
    }
    Ok(())
}

fn plan(options: &NetworkOptions, at: usize, start: Instant, beat: &Arc<Beat>) -> Plan {
    let connections = options.connections as u64;
    let share = |count: u64| count / connections + u64::from((at as u64) < count % connections);
    Plan {
        codec: options.codec(),
        pace: match options.rate {
            None => Pace::Closed,
            Some(rate) => Pace::Open {
                start,
                first: Duration::from_secs_f64(at as f64 / rate),
                every_ns: 1e9 * connections as f64 / rate,
                bell: Bell::Metronome(beat.clone()),
            },
        },
        in_flight: options.in_flight,
        count: options.count.map(share),
        until: options.duration.map(|duration| start + duration),
        grace: options.grace,
        stop: options.stop.clone(),
        answer_keep_alives: options.answer_keep_alives,
        echo: options.echo,
    }
}

fn add(
    report: &mut NetworkReport,
    tally: Tally,
    player: Player,
    latency: &mut Histogram<u64>,
    lateness: &mut Histogram<u64>,
) {
    report.sent += tally.sent;
    report.answered += tally.answered;
    report.unmatched += tally.unmatched;
    report.unanswered += tally.unanswered;
    report.asked_by_peer += tally.asked;
    report.approved += player.approved;
    report.declined += player.declined;
    report.undecided += player.undecided;
    report.reversals += player.reversals;
    report.repeats += player.repeats;
    report.echoes += player.echoes;
    for (code, count) in player.by_code {
        *report.by_response_code.entry(code.to_string()).or_default() += count;
    }
    report.findings.merge(tally.findings);
    // Cannot fail: all histograms have the same bounds.
    let _ = latency.add(&tally.latency_ns);
    let _ = lateness.add(&tally.lateness_ns);
}

/// What a connection shows of itself while it runs.
#[derive(Default)]
struct Board {
    progress: Progress,
    recent: Option<Histogram<u64>>,
}

fn progress(start: Instant, boards: &[Arc<Mutex<Board>>]) -> Progress {
    let mut all = Progress {
        elapsed: start.elapsed(),
        ..Progress::default()
    };
    let mut recent = histogram();
    for board in boards {
        let Ok(board) = board.lock() else { continue };
        all.sent += board.progress.sent;
        all.answered += board.progress.answered;
        all.approved += board.progress.approved;
        all.declined += board.progress.declined;
        all.reversals += board.progress.reversals;
        all.repeats += board.progress.repeats;
        all.in_flight += board.progress.in_flight;
        all.findings += board.progress.findings;
        if let Some(latency) = &board.recent {
            let _ = recent.add(latency);
        }
    }
    all.recent_latency_us = Quantiles::of(&recent);
    all
}

/// A connection that is up and signed on.
struct Line {
    stream: TcpStream,
    input: BytesMut,
    wire: Arc<Wire>,
    codec: FrameCodec,
    sign_on: bool,
}

impl Line {
    async fn open(options: &NetworkOptions, wire: &Arc<Wire>, at: usize) -> Result<Line, SimError> {
        let mut line = Line {
            stream: connect(&options.target).await?,
            input: BytesMut::new(),
            wire: wire.clone(),
            codec: options.codec(),
            sign_on: options.sign_on,
        };
        if line.sign_on {
            let (stream, input) = (&mut line.stream, &mut line.input);
            manage("sign_on", at as u32, stream, input, wire, line.codec).await?;
        }
        Ok(line)
    }

    async fn play(
        self,
        player: Player,
        plan: Plan,
        board: Arc<Mutex<Board>>,
    ) -> Result<(Tally, Player), SimError> {
        let Line {
            mut stream,
            input,
            wire,
            codec,
            sign_on,
        } = self;
        let mut client = Client::new(player, wire.dialect().clone(), plan, input);
        let mut shown_at = Instant::now();
        let mut recent_from = (shown_at, histogram());
        let (mut reader, mut writer) = stream.split();
        let show = |tally: &mut Tally, player: &mut Player, in_flight: usize| {
            let now = Instant::now();
            if now < shown_at + Duration::from_millis(100) && in_flight > 0 {
                return;
            }
            shown_at = now;
            show_on(&board, tally, player, in_flight, now, &mut recent_from);
        };
        client.run(&mut reader, &mut writer, show).await?;
        if sign_on && client.tally.lost.is_none() {
            let mut input = BytesMut::new();
            // A peer that does not answer a sign-off any more is no finding.
            let _ = manage("sign_off", 0, &mut stream, &mut input, &wire, codec).await;
        }
        Ok((client.tally, client.script))
    }
}

fn show_on(
    board: &Mutex<Board>,
    tally: &Tally,
    player: &Player,
    in_flight: usize,
    now: Instant,
    recent_from: &mut (Instant, Histogram<u64>),
) {
    let Ok(mut board) = board.lock() else { return };
    board.progress = Progress {
        elapsed: Duration::ZERO,
        sent: tally.sent,
        answered: tally.answered,
        approved: player.approved,
        declined: player.declined,
        reversals: player.reversals,
        repeats: player.repeats,
        in_flight: in_flight as u64,
        findings: tally.findings.count(),
        recent_latency_us: Quantiles::default(),
    };
    if now >= recent_from.0 + Duration::from_secs(1) {
        let mut recent = tally.latency_ns.clone();
        // Cannot fail: what was there a second ago is still there.
        let _ = recent.subtract(&recent_from.1);
        board.recent = Some(recent);
        *recent_from = (now, tally.latency_ns.clone());
    }
}

/// Connects, trying again for two seconds while nobody listens.
pub(super) async fn connect(target: &str) -> Result<TcpStream, SimError> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match TcpStream::connect(target).await {
            Ok(stream) => {
                // Fails only on a socket that is gone, which the first write will say.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionRefused
                    && Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(source) => {
                let target = target.to_owned();
                return Err(SimError::Connect { target, source });
            }
        }
    }
}

const MANAGEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a network management request and waits for its answer, answering nothing else meanwhile.
pub(super) async fn manage<S: AsyncRead + AsyncWrite + Unpin>(
    function: &'static str,
    number: u32,
    stream: &mut S,
    input: &mut BytesMut,
    wire: &Wire,
    codec: FrameCodec,
) -> Result<(), SimError> {
    let stamp = Stamp::from_unix(unix_time().as_secs());
    let mut out = BytesMut::new();
    let stan = unix_time().subsec_micros() % 999_000 + number % 999 + 1;
    let open = codec.begin_frame(&mut out, &codec.header.answer(&[]));
    wire.management(function, stan, stamp, &mut out)
        .map_err(|source| SimError::Encode {
            dialect: wire.dialect().name().to_owned(),
            what: "network management",
            source,
        })?;
    codec.end_frame(&mut out, open)?;
    let failed = |what: String| SimError::SignOn(what);
    let answer = async {
        stream
            .write_all(&out)
            .await
            .map_err(|error| failed(error.to_string()))?;
        loop {
            while let Some(frame) = codec.cut(input)? {
                let Frame::Message { body, .. } = frame else {
                    continue;
                };
                let message = Message::parse(wire.dialect(), &body)
                    .map_err(|error| failed(format!("was answered with garbage: {error}")))?;
                if message.mti().is_response() && message.digits(11) == Some(u64::from(stan)) {
                    return Ok(message.text::<3>(39).unwrap_or_default());
                }
            }
            match stream.read_buf(input).await {
                Ok(0) => return Err(failed("was answered by closing the connection".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    };
    let code = tokio::time::timeout(MANAGEMENT_TIMEOUT, answer)
        .await
        .map_err(|_| failed("was not answered within 5 s".to_owned()))??;
    let accepted = wire.dialect().response_code("network_management_accepted");
    match accepted == Some(code.as_str()) {
        true => Ok(()),
        false => Err(failed(format!("was answered with DE39 {code}"))),
    }
}
