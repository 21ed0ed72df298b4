//! Plays the requests of a capture against a switch and compares DE39 with what was recorded.

use std::{
    collections::{HashMap, VecDeque, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Progress, SimError,
    capture::{Direction, Record},
    check::{Code, Findings, name},
    client::{Plan, Script, Sent, rrn_of},
    keys::{Keys, Rrn, Stamp},
    line::{Line, Peer},
    pace::{Metronome, Pace},
    report::Totals,
    rewrite::{Rewriter, kept_key},
    run::{check_bounds, play_all},
    wall_clock::unix_time,
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
    /// What its connections counted.
    #[serde(flatten)]
    pub totals: Totals,
    /// Answers whose recorded DE39 is known.
    pub compared: u64,
    /// Of these, answers with another DE39.
    pub de39_differences: u64,
    /// Messages of the capture that do not parse and were not sent.
    pub skipped: u64,
}

impl ReplayReport {
    /// No difference, no answer too many, none too few, and nothing left out.
    pub fn is_clean(&self) -> bool {
        self.de39_differences == 0 && self.skipped == 0 && self.totals.is_complete()
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = [
            ("compared", self.compared),
            ("DE39 differences", self.de39_differences),
            ("skipped", self.skipped),
        ];
        self.totals.show(f, &own, |_| Ok(()))
    }
}

/// One request of a capture.
#[derive(Clone)]
struct Recorded {
    bytes: Vec<u8>,
    /// DE39 of its recorded answer.
    code: Option<Code>,
}

/// The requests of a capture with the DE39 that each got, and the messages that do not parse.
fn pair(dialect: &Dialect, records: &[Record]) -> (Vec<Recorded>, Findings) {
    let mut requests = Vec::new();
    let mut waiting: HashMap<(u8, u32, Rrn), VecDeque<usize>> = HashMap::new();
    let mut early: HashMap<(u8, u32, Rrn), VecDeque<Option<Code>>> = HashMap::new();
    let mut skipped = Findings::default();
    for (at, record) in records.iter().enumerate() {
        let message = match Message::parse(dialect, &record.bytes) {
            Ok(message) => message,
            Err(error) => {
                let detail = || format!("message {} of the capture: {error}", at + 1);
                skipped.add("skipped_message", detail);
                continue;
            }
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
    check_bounds(options.connections, options.in_flight, &[options.rate])?;
    if options.times == 0 {
        let text = "times must be above zero";
        return Err(SimError::Options(text.to_owned()));
    }
    let (requests, skipped) = pair(&options.dialect, records);
    if requests.is_empty() {
        return Err(no_request(&options.dialect, records));
    }
    let shares = shares(&options, requests);
    let peer = Peer {
        target: options.target.clone(),
        codec: options.codec,
        wire: Arc::new(Wire::new(options.dialect.clone(), &[])?),
        sign_on: options.sign_on,
    };
    let mut lines = Vec::new();
    for at in 0..shares.len() {
        lines.push(Line::open(&peer, at).await?);
    }
    let start = Instant::now();
    let metronome = Metronome::start(start, shares.len(), options.rate);
    let run = unix_time().as_millis() as u64;
    let total: usize = shares.iter().map(Vec::len).sum();
    let lines = lines.into_iter().zip(shares).enumerate();
    let lines = lines.map(|(at, (line, requests))| {
        // Each connection sends its part of the rate, so that all end together.
        let part = requests.len() as f64 / total as f64;
        let replayer = Replayer::new(&options, requests, Keys::new(run, at));
        (line, replayer, plan(&options, metronome.pace(at, part)))
    });
    let (mut totals, replayers) = play_all(start, lines.collect(), &observer).await?;
    let skipped_count = skipped.count();
    totals.findings.merge(skipped);
    Ok(ReplayReport {
        totals,
        compared: replayers.iter().map(|replayer| replayer.compared).sum(),
        de39_differences: replayers.iter().map(|replayer| replayer.differences).sum(),
        skipped: skipped_count,
    })
}

/// Says what the first message is, where all are so or otherwise no requests.
fn no_request(dialect: &Dialect, records: &[Record]) -> SimError {
    let first = records.first().map(|record| &record.bytes[..]);
    let first = match Message::parse(dialect, first.unwrap_or_default()) {
        Ok(message) => format!("is an answer ({:04})", message.mti().number()),
        Err(error) => format!("cannot be read in {}: {error}", dialect.name()),
    };
    SimError::NoRequest {
        messages: records.len(),
        first,
    }
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

fn plan(options: &ReplayOptions, pace: Pace) -> Plan {
    Plan {
        codec: options.codec,
        pace,
        in_flight: options.in_flight,
        count: None,
        until: None,
        grace: options.grace,
        stop: options.stop.clone(),
        answer_keep_alives: false,
        echo: false,
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
}

impl Replayer {
    fn new(options: &ReplayOptions, requests: Vec<Recorded>, keys: Keys) -> Replayer {
        let rewriter = || {
            let mut rewriter = Rewriter::new(options.dialect.clone(), keys);
            for request in &requests {
                // Messages that do not parse were left out before.
                if let Ok(message) = Message::parse(&options.dialect, &request.bytes) {
                    rewriter.announce(&message);
                }
            }
            rewriter
        };
        Replayer {
            dialect: options.dialect.clone(),
            rewriter: (!options.keep_keys).then(rewriter),
            requests,
            next: 0,
            times: options.times,
            compared: 0,
            differences: 0,
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
        if rrn_of(request).is_some() && rrn_of(request) != rrn_of(answer) {
            findings.add("mirrored_field", || {
                format!("{}: DE37 differs", name(request))
            });
        }
        let Some(expected) = self.requests[ticket as usize].code else {
            return;
        };
        self.compared += 1;
        let code = answer.text::<3>(39);
        if code != Some(expected) {
            self.differences += 1;
            findings.add("de39_difference", || {
                let came = code.unwrap_or_default();
                format!("{}: recorded {expected}, now {came}", name(request))
            });
        }
    }
}
