//! Plays the requests of a capture against a switch and compares DE39 with what was recorded.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use serde::Serialize;
use tokio::{net::TcpStream, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Progress, SimError,
    capture::{Direction, Record},
    check::{Code, Findings, name},
    client::{Client, Plan, Script, Sent, Tally, histogram, rrn_of, unix_time},
    keys::{Keys, Rrn, Stamp},
    network::{connect, manage},
    pace::{Beat, Bell, Metronome, Pace},
    report::{Quantiles, quantiles, show_findings},
    rewrite::{Rewriter, kept_key},
    wire::Wire,
};
use crate::iso8583::{Dialect, FrameCodec, Message};

/// What to replay against whom.
#[derive(Clone)]
pub struct ReplayOptions {
    /// Host and port of the switch.
    pub target: String,
    /// Dialect of the capture and of the switch.
    pub dialect: Arc<Dialect>,
    /// Framing to speak.
    pub codec: FrameCodec,
    /// Connections; the messages of a card stay on one and in their order.
    pub connections: usize,
    /// Requests of one connection that may wait for an answer at a time.
    pub in_flight: usize,
    /// Messages per second over all connections; `None` is as fast as answers allow.
    pub rate: Option<f64>,
    /// How often the capture is played.
    pub times: u64,
    /// Send STAN, RRN, dates and times as recorded.
    pub keep_keys: bool,
    /// Sign on first and off last.
    pub sign_on: bool,
    /// How long answers are waited for after the last message.
    pub grace: Duration,
    /// Ends the run early, in good order.
    pub stop: CancellationToken,
}

/// What a replay came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayReport {
    /// Messages sent.
    pub sent: u64,
    /// Answers that belong to a request.
    pub answered: u64,
    /// Answers that belong to none, and frames that are no message.
    pub unmatched: u64,
    /// Requests without an answer after the grace period.
    pub unanswered: u64,
    /// Answers whose recorded DE39 is known.
    pub compared: u64,
    /// Of these, answers with another DE39.
    pub de39_differences: u64,
    /// Messages of the capture that do not parse and were not sent.
    pub skipped: u64,
    /// Answers by DE39.
    pub by_response_code: BTreeMap<String, u64>,
    /// Everything that was wrong.
    pub findings: Findings,
    /// Length of the run.
    pub seconds: f64,
    /// Answers per second.
    pub per_second: f64,
    /// From when a message should have left to its answer.
    pub latency_us: Quantiles,
    /// How late the sender itself was (fixed rate only).
    pub sender_lateness_us: Quantiles,
}

impl ReplayReport {
    /// No difference, no answer too many, none too few.
    pub fn is_clean(&self) -> bool {
        self.de39_differences == 0 && self.unmatched == 0 && self.unanswered == 0
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [
            ("sent", self.sent),
            ("answered", self.answered),
            ("unmatched", self.unmatched),
            ("unanswered", self.unanswered),
            ("compared", self.compared),
            ("DE39 differences", self.de39_differences),
            ("skipped", self.skipped),
        ] {
            writeln!(f, "{name:<24}{value:>14}")?;
        }
        writeln!(f, "\nDE39")?;
        for (code, count) in &self.by_response_code {
            writeln!(f, "  {code:<22}{count:>14}")?;
        }
        let (rate, seconds) = (self.per_second, self.seconds);
        writeln!(f, "\n{rate:.0} answers per second over {seconds:.3} s")?;
        quantiles(f, "latency (µs)", &self.latency_us)?;
        if self.sender_lateness_us != Quantiles::default() {
            quantiles(f, "sender late (µs)", &self.sender_lateness_us)?;
        }
        show_findings(f, &self.findings)
    }
}

/// One request of a capture.
#[derive(Clone)]
struct Recorded {
    bytes: Vec<u8>,
    /// DE39 of its recorded answer.
    code: Option<Code>,
}

/// The requests of a capture with the DE39 that each got, and how many messages do not parse.
fn pair(dialect: &Dialect, records: &[Record]) -> (Vec<Recorded>, u64) {
    let mut requests = Vec::new();
    let mut waiting: HashMap<(u8, u32, Rrn), VecDeque<usize>> = HashMap::new();
    let mut early: HashMap<(u8, u32, Rrn), VecDeque<Option<Code>>> = HashMap::new();
    let mut skipped = 0;
    for record in records {
        let Ok(message) = Message::parse(dialect, &record.bytes) else {
            skipped += 1;
            continue;
        };
        let (stan, rrn) = kept_key(&message);
        let key = (message.mti().class(), stan, rrn);
        match record.direction(dialect) {
            Some(Direction::Response) => {
                let code = message.text::<3>(39);
                match waiting.get_mut(&key).and_then(VecDeque::pop_front) {
                    Some(at) => {
                        let request: &mut Recorded = &mut requests[at];
                        request.code = code;
                    }
                    // Two directions captured apart may stand one behind the other.
                    None => early.entry(key).or_default().push_back(code),
                }
            }
            _ => {
                let code = early.get_mut(&key).and_then(VecDeque::pop_front).flatten();
                if code.is_none() {
                    waiting.entry(key).or_default().push_back(requests.len());
                }
                requests.push(Recorded {
                    bytes: record.bytes.clone(),
                    code,
                });
            }
        }
    }
    (requests, skipped)
}

/// Which connection a message goes over: by card, so that its messages stay in order.
fn share(dialect: &Dialect, recorded: &Recorded, connections: usize) -> usize {
    let Ok(message) = Message::parse(dialect, &recorded.bytes) else {
        return 0;
    };
    let mut hasher = DefaultHasher::new();
    message.raw(2).or(message.raw(37)).hash(&mut hasher);
    (hasher.finish() % connections as u64) as usize
}

/// Replays a capture. `observer` is called about four times a second.
pub async fn run_replay(
    options: ReplayOptions,
    records: &[Record],
    observer: impl Fn(Progress) + Send,
) -> Result<ReplayReport, SimError> {
    let (requests, skipped) = pair(&options.dialect, records);
    if requests.is_empty() {
        let problem =
            "the capture holds no request of this dialect; are dialect and framing right?";
        return Err(SimError::Options(problem.to_owned()));
    }
    let shares = shares(&options, requests);
    let wire = Arc::new(Wire::new(options.dialect.clone(), Arc::new([]))?);
    let mut streams = Vec::new();
    for at in 0..shares.len() {
        let mut stream = connect(&options.target).await?;
        let mut input = BytesMut::new();
        if options.sign_on {
            let codec = options.codec;
            manage("sign_on", at as u32, &mut stream, &mut input, &wire, codec).await?;
        }
        streams.push((stream, input));
    }
    let start = Instant::now();
    let beats: Vec<_> = streams.iter().map(|_| Arc::new(Beat::default())).collect();
    let metronome = options.rate.map(|_| Metronome::start(start, beats.clone()));
    let run = unix_time().as_millis() as u64;
    let counters = Arc::new(Counters::default());
    let total: usize = shares.iter().map(Vec::len).sum();
    let mut tasks = tokio::task::JoinSet::new();
    for (at, (requests, (stream, input))) in shares.into_iter().zip(streams).enumerate() {
        // Each connection sends its part of the rate, so that all end together.
        let part = requests.len() as f64 / total as f64;
        let plan = plan(&options, start, at, part, &beats[at]);
        let script = Replayer::new(&options, requests, Keys::new(run, at));
        let client = Client::new(script, options.dialect.clone(), plan, input);
        let sign_off = options.sign_on.then(|| wire.clone());
        tasks.spawn(play(
            client,
            stream,
            options.codec,
            sign_off,
            counters.clone(),
        ));
    }
    let mut report = ReplayReport {
        skipped,
        ..ReplayReport::default()
    };
    let (mut latency, mut lateness) = (histogram(), histogram());
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            done = tasks.join_next() => {
                let Some(done) = done else { break };
                // A task neither panics nor is aborted.
                let (tally, script) = done.expect("a connection's task")?;
                // Cannot fail: all histograms have the same bounds.
                let _ = latency.add(&tally.latency_ns);
                let _ = lateness.add(&tally.lateness_ns);
                report.add(tally, script);
            }
            _ = ticks.tick() => observer(counters.progress(start)),
        }
    }
    drop(metronome);
    let elapsed = start.elapsed();
    report.seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
    report.per_second = (report.answered as f64 / elapsed.as_secs_f64().max(1e-9)).round();
    report.latency_us = Quantiles::of(&latency);
    report.sender_lateness_us = Quantiles::of(&lateness);
    Ok(report)
}

/// The requests of each connection.
fn shares(options: &ReplayOptions, requests: Vec<Recorded>) -> Vec<Vec<Recorded>> {
    let mut shares = vec![Vec::new(); options.connections.max(1)];
    for request in requests {
        let at = share(&options.dialect, &request, shares.len());
        shares[at].push(request);
    }
    shares.retain(|share| !share.is_empty());
    shares
}

async fn play(
    mut client: Client<Replayer>,
    mut stream: TcpStream,
    codec: FrameCodec,
    sign_off: Option<Arc<Wire>>,
    counters: Arc<Counters>,
) -> Result<(Tally, Replayer), SimError> {
    let (mut reader, mut writer) = stream.split();
    let mut shown = (0, 0);
    let show = |tally: &mut Tally, _: &mut Replayer, _: usize| counters.add(tally, &mut shown);
    client.run(&mut reader, &mut writer, show).await?;
    if let Some(wire) = sign_off
        && client.tally.lost.is_none()
    {
        let mut input = BytesMut::new();
        // A peer that does not answer a sign-off any more is no finding.
        let _ = manage("sign_off", 0, &mut stream, &mut input, &wire, codec).await;
    }
    Ok((client.tally, client.script))
}

impl ReplayReport {
    fn add(&mut self, tally: Tally, script: Replayer) {
        self.sent += tally.sent;
        self.answered += tally.answered;
        self.unmatched += tally.unmatched;
        self.unanswered += tally.unanswered;
        self.compared += script.compared;
        self.de39_differences += script.differences;
        for (code, count) in script.by_code {
            *self.by_response_code.entry(code.to_string()).or_default() += count;
        }
        self.findings.merge(tally.findings);
    }
}

fn plan(options: &ReplayOptions, start: Instant, at: usize, part: f64, beat: &Arc<Beat>) -> Plan {
    Plan {
        codec: options.codec,
        pace: match options.rate {
            None => Pace::Closed,
            Some(rate) => Pace::Open {
                start,
                first: Duration::from_secs_f64(at as f64 / rate),
                every_ns: 1e9 / (rate * part),
                bell: Bell::Metronome(beat.clone()),
            },
        },
        in_flight: options.in_flight,
        count: None,
        until: None,
        grace: options.grace,
        stop: options.stop.clone(),
        answer_keep_alives: false,
        echo: false,
    }
}

/// What all connections together have done so far.
#[derive(Default)]
struct Counters {
    sent: std::sync::atomic::AtomicU64,
    answered: std::sync::atomic::AtomicU64,
}

impl Counters {
    fn add(&self, tally: &Tally, shown: &mut (u64, u64)) {
        use std::sync::atomic::Ordering::Relaxed;
        self.sent.fetch_add(tally.sent - shown.0, Relaxed);
        self.answered.fetch_add(tally.answered - shown.1, Relaxed);
        *shown = (tally.sent, tally.answered);
    }

    fn progress(&self, start: Instant) -> Progress {
        use std::sync::atomic::Ordering::Relaxed;
        Progress {
            elapsed: start.elapsed(),
            sent: self.sent.load(Relaxed),
            answered: self.answered.load(Relaxed),
            ..Progress::default()
        }
    }
}

/// Sends recorded requests and compares the answers.
struct Replayer {
    dialect: Arc<Dialect>,
    requests: Vec<Recorded>,
    next: usize,
    times: u64,
    rewriter: Option<Rewriter>,
    compared: u64,
    differences: u64,
    by_code: BTreeMap<Code, u64>,
}

impl Replayer {
    fn new(options: &ReplayOptions, requests: Vec<Recorded>, keys: Keys) -> Replayer {
        let rewriter = || Rewriter::new(options.dialect.clone(), keys);
        Replayer {
            dialect: options.dialect.clone(),
            requests,
            next: 0,
            times: options.times,
            rewriter: (!options.keep_keys).then(rewriter),
            compared: 0,
            differences: 0,
            by_code: BTreeMap::new(),
        }
    }
}

impl Script for Replayer {
    type Ticket = u32;

    fn next(&mut self, now: Stamp, out: &mut BytesMut) -> Result<Option<Sent<u32>>, SimError> {
        if self.next == self.requests.len() {
            self.next = 0;
            self.times = self.times.saturating_sub(1);
            if let Some(rewriter) = &mut self.rewriter {
                rewriter.restart();
            }
        }
        if self.times == 0 {
            return Ok(None);
        }
        let at = self.next;
        self.next += 1;
        let failed = |what: String| SimError::Options(what);
        // Messages that do not parse were left out before.
        let message = Message::parse(&self.dialect, &self.requests[at].bytes)
            .map_err(|error| failed(error.to_string()))?;
        let (stan, rrn) = match &mut self.rewriter {
            None => {
                out.extend_from_slice(message.wire());
                kept_key(&message)
            }
            Some(rewriter) => rewriter.rewrite(&message, now, out).map_err(|source| {
                let dialect = self.dialect.name().to_owned();
                let what = "a recorded message with fresh keys";
                SimError::Encode {
                    dialect,
                    what,
                    source,
                }
            })?,
        };
        let answerable = message.mti().response().is_some();
        Ok(Some(Sent {
            ticket: at as u32,
            key: answerable.then_some((message.mti().class(), stan, rrn)),
        }))
    }

    fn answered(
        &mut self,
        ticket: u32,
        request: &Message<'_>,
        answer: &Message<'_>,
        findings: &mut Findings,
    ) {
        let code = answer.text::<3>(39);
        *self.by_code.entry(code.unwrap_or_default()).or_default() += 1;
        if rrn_of(request).is_some() && rrn_of(request) != rrn_of(answer) {
            findings.add("mirrored_field", || {
                format!("{}: DE37 differs", name(request))
            });
        }
        let Some(expected) = self.requests[ticket as usize].code else {
            return;
        };
        self.compared += 1;
        if code != Some(expected) {
            self.differences += 1;
            findings.add("de39_difference", || {
                let came = code.unwrap_or_default();
                format!("{}: recorded {expected}, now {came}", name(request))
            });
        }
    }
}
