//! One connection of the simulator: pipelines requests, matches answers, takes times, and answers
//! what the peer asks. What to send and what an answer should be is the script's business.

use std::{collections::VecDeque, io, time::Duration};

use bytes::{Buf, BytesMut};
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Progress, SimError,
    check::{Code, Findings, name},
    in_flight::InFlight,
    keys::{Rrn, Stamp},
    pace::Pace,
    wall_clock::WallClock,
};
use crate::iso8583::{
    Dialect, Encoder, FrameCodec, Message, frame_view::Content, framing::HeaderBytes,
};

/// What a connection sends, and who looks at the answers.
pub trait Script {
    /// What comes back with the answer.
    type Ticket: Copy;

    /// Appends the next message, unframed; `None` when there is no more. `due` is when it should
    /// leave, which for an open loop may have passed.
    fn next(
        &mut self,
        now: Stamp,
        out: &mut BytesMut,
    ) -> Result<Option<Sent<Self::Ticket>>, SimError>;

    /// Looks at the answer to a request.
    fn answered(
        &mut self,
        ticket: Self::Ticket,
        request: &Message<'_>,
        answer: &Message<'_>,
        findings: &mut Findings,
    );

    /// Adds what it counts itself to how the run stands.
    fn show(&self, _: &mut Progress) {}
}

/// A message that a script wrote.
pub struct Sent<T> {
    /// Comes back with the answer.
    pub ticket: T,
    /// MTI class, STAN, RRN (zeros without one); `None` for what is never answered.
    pub key: Option<(u8, u32, Rrn)>,
}

/// How one connection runs.
#[derive(Clone)]
pub struct Plan {
    /// Framing.
    pub codec: FrameCodec,
    /// Closed or open loop.
    pub pace: Pace,
    /// Requests that may wait for an answer at a time.
    pub in_flight: usize,
    /// Stop after so many messages.
    pub count: Option<u64>,
    /// Stop then.
    pub until: Option<Instant>,
    /// How long answers are waited for after the last message.
    pub grace: Duration,
    /// Stop now.
    pub stop: CancellationToken,
    /// Answer a keep-alive with one. Two sides that both do so keep each other busy.
    pub answer_keep_alives: bool,
    /// The peer sends back what it gets: nothing else is looked at.
    pub echo: bool,
}

/// What one connection counted.
pub struct Tally {
    /// Messages sent.
    pub sent: u64,
    /// Answers that belong to a request.
    pub answered: u64,
    /// Answers that belong to none, and frames that are no message.
    pub unmatched: u64,
    /// Requests without an answer at the end.
    pub unanswered: u64,
    /// Requests of the peer that were answered.
    pub asked: u64,
    /// Answers by DE39, empty where it is missing; the codes in the order in which they came up.
    pub by_code: Vec<(Code, u64)>,
    /// Nanoseconds from when a message should have left to its answer.
    pub latency_ns: Histogram<u64>,
    /// Nanoseconds that the sender itself was late.
    pub lateness_ns: Histogram<u64>,
    /// What was wrong.
    pub findings: Findings,
    /// Why the connection ended early.
    pub lost: Option<String>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            sent: 0,
            answered: 0,
            unmatched: 0,
            unanswered: 0,
            asked: 0,
            by_code: Vec::new(),
            latency_ns: histogram(),
            lateness_ns: histogram(),
            findings: Findings::default(),
            lost: None,
        }
    }
}

impl Tally {
    #[inline]
    fn answered(&mut self, intended: Instant, now: Instant) {
        let latency = now.saturating_duration_since(intended);
        self.latency_ns.saturating_record(latency.as_nanos() as u64);
        self.answered += 1;
    }

    #[inline]
    fn count_code(&mut self, code: Code) {
        match self.by_code.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.by_code.push((code, 1)),
        }
    }
}

/// From a nanosecond to two minutes with three digits.
pub fn histogram() -> Histogram<u64> {
    // The bounds are valid: low above 0, high at least twice low, digits up to 5.
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("valid bounds")
}

/// A connection at work.
pub struct Client<S: Script> {
    /// What it sends.
    pub script: S,
    /// What it counted.
    pub tally: Tally,
    dialect: std::sync::Arc<Dialect>,
    plan: Plan,
    input: BytesMut,
    output: BytesMut,
    header: HeaderBytes,
    in_flight: InFlight<S::Ticket>,
    /// What an echo sends back next, in this order.
    sent_keys: VecDeque<(u8, u32, Rrn)>,
    /// Keys answered of late, by STAN, to tell an answer given twice from a stray one.
    settled: Vec<(u8, u32, Rrn)>,
    exhausted: bool,
    heard_at: Option<Instant>,
    clock: WallClock,
}

const SETTLED: usize = 512;
const READ_SIZE: usize = 64 * 1024;
/// Bytes of output that are enough for one write.
const WRITE_SIZE: usize = 256 * 1024;

impl<S: Script> Client<S> {
    /// `input` holds what was read before, such as behind the answer to a sign-on.
    pub fn new(script: S, dialect: std::sync::Arc<Dialect>, plan: Plan, input: BytesMut) -> Self {
        Client {
            script,
            tally: Tally::default(),
            dialect,
            in_flight: InFlight::new(plan.in_flight.max(1)),
            input,
            output: BytesMut::with_capacity(READ_SIZE),
            header: plan.codec.header.answer(&[]),
            sent_keys: VecDeque::new(),
            settled: vec![(0, 0, [0; 12]); SETTLED],
            exhausted: false,
            heard_at: None,
            clock: WallClock::default(),
            plan,
        }
    }

    /// Sends and receives until the plan is done; `each_wakeup` sees the tally once per wake-up.
    pub async fn run<R, W>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        mut each_wakeup: impl FnMut(Instant, &Tally, &S, usize),
    ) -> Result<(), SimError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let stop = self.plan.stop.clone();
        let stopped = stop.cancelled();
        tokio::pin!(stopped);
        let alarm = tokio::time::sleep_until(self.next_alarm(Instant::now()));
        tokio::pin!(alarm);
        let mut sending = true;
        loop {
            let now = Instant::now();
            let due = if sending { self.fill(now)? } else { None };
            if sending && (self.is_done(now) || stop.is_cancelled()) {
                sending = false;
                alarm.as_mut().reset(now + self.plan.grace);
            }
            each_wakeup(now, &self.tally, &self.script, self.in_flight.len());
            if !sending && self.in_flight.is_empty() && self.output.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                written = writer.write_buf(&mut self.output), if !self.output.is_empty() => {
                    if let Err(error) = written {
                        self.lose(&error);
                        break;
                    }
                }
                read = read_some(reader, &mut self.input) => match read {
                    Ok(()) => if !self.receive(Instant::now())? { break },
                    Err(error) => { self.lose(&error); break }
                },
                () = self.plan.pace.wait(due.unwrap_or(now)), if due.is_some() => {}
                () = &mut alarm => {
                    let now = Instant::now();
                    if !sending || self.is_stuck(now) {
                        break;
                    }
                    alarm.as_mut().reset(self.next_alarm(now));
                }
                () = &mut stopped, if sending => {}
            }
        }
        self.count_unanswered();
        Ok(())
    }

    fn is_done(&self, now: Instant) -> bool {
        self.exhausted
            || self
                .plan
                .count
                .is_some_and(|count| self.tally.sent >= count)
            || self.plan.until.is_some_and(|until| now >= until)
    }

    /// When to look at the time again: at the end, and to see whether answers still come.
    fn next_alarm(&self, now: Instant) -> Instant {
        let check = now + self.plan.grace;
        self.plan
            .until
            .filter(|until| *until > now)
            .map_or(check, |until| until.min(check))
    }

    /// No room to send, and no answer for as long as answers are waited for.
    fn is_stuck(&self, now: Instant) -> bool {
        let heard_lately = self.heard_at.is_some_and(|at| now < at + self.plan.grace);
        self.in_flight.is_full() && !heard_lately
    }

    /// Writes all messages that are due and have room; gives when the next is due, if only time
    /// stands in its way.
    fn fill(&mut self, now: Instant) -> Result<Option<Instant>, SimError> {
        let stamp = self.clock.stamp(now);
        while !self.in_flight.is_full() && !self.is_done(now) && self.output.len() < WRITE_SIZE {
            let due = self.plan.pace.due(self.tally.sent, now);
            if due > now {
                return Ok(Some(due));
            }
            let codec = self.plan.codec;
            let open = codec.begin_frame(&mut self.output, &self.header);
            let start = self.output.len();
            let Some(sent) = self.script.next(stamp, &mut self.output)? else {
                codec.abandon_frame(&mut self.output, open);
                self.exhausted = true;
                break;
            };
            let end = self.output.len();
            codec.end_frame(&mut self.output, open)?;
            if let Some(key) = sent.key {
                let request = &self.output[start..end];
                self.in_flight.insert(key, sent.ticket, due, request);
                if self.plan.echo {
                    self.sent_keys.push_back(key);
                }
            }
            self.tally.sent += 1;
            if self.plan.pace.is_open() {
                self.tally
                    .lateness_ns
                    .saturating_record((now - due).as_nanos() as u64);
            }
        }
        Ok(None)
    }

    /// Takes in all whole frames; `false` when the stream is no longer one of frames.
    fn receive(&mut self, now: Instant) -> Result<bool, SimError> {
        self.heard_at = Some(now);
        let dialect = self.dialect.clone();
        // Taken out, so that frames can be looked at where they stand while all else changes.
        let mut input = std::mem::take(&mut self.input);
        let mut done = 0;
        let in_order = loop {
            match self.plan.codec.view(&input[done..]) {
                Ok(None) => break true,
                Ok(Some(frame)) => {
                    match frame.content {
                        Content::Message { header, body } => {
                            self.message(&dialect, header, body, now)?;
                        }
                        Content::KeepAlive if self.plan.answer_keep_alives => {
                            self.plan.codec.put_keep_alive(&mut self.output);
                        }
                        Content::KeepAlive => {}
                    }
                    done += frame.length;
                }
                Err(error) => {
                    self.tally.unmatched += 1;
                    let problem = error.to_string();
                    self.tally.findings.add("garbage_frame", || problem.clone());
                    self.tally.lost = Some(problem);
                    break false;
                }
            }
        };
        input.advance(done);
        self.input = input;
        Ok(in_order)
    }

    #[inline]
    fn message(
        &mut self,
        dialect: &Dialect,
        header: &[u8],
        body: &[u8],
        now: Instant,
    ) -> Result<(), SimError> {
        if self.plan.echo {
            self.echoed(body, now);
            return Ok(());
        }
        let answer = match Message::parse(dialect, body) {
            Ok(answer) => answer,
            Err(error) => {
                self.tally.unmatched += 1;
                let findings = &mut self.tally.findings;
                findings.add("garbage_answer", || error.to_string());
                return Ok(());
            }
        };
        if !answer.mti().is_response() {
            return self.request_of_peer(header, &answer);
        }
        let class = answer.mti().class();
        let stan = answer.digits(11).unwrap_or(0) as u32;
        let rrn = rrn_of(&answer);
        let Some(at) = self.in_flight.take(class, stan, rrn) else {
            self.stray((class, stan, rrn.unwrap_or([0; 12])), &answer);
            return Ok(());
        };
        let slot = self.in_flight.slot(at);
        self.tally.answered(slot.intended, now);
        self.tally.count_code(answer.text(39).unwrap_or_default());
        // What was sent parses: it was written with the same dialect, or recorded and parsed before.
        if let Ok(request) = Message::parse_again(dialect, &slot.request) {
            self.script
                .answered(slot.ticket, &request, &answer, &mut self.tally.findings);
        }
        self.in_flight.release(at);
        self.settled[stan as usize % SETTLED] = (class, stan, rrn.unwrap_or([0; 12]));
        Ok(())
    }

    /// An echo sends back what it got, in its order.
    #[inline]
    fn echoed(&mut self, body: &[u8], now: Instant) {
        let key = self.sent_keys.pop_front();
        let at = key.and_then(|(class, stan, rrn)| self.in_flight.take(class, stan, Some(rrn)));
        let Some(at) = at else {
            self.tally.unmatched += 1;
            return;
        };
        let slot = self.in_flight.slot(at);
        self.tally.answered(slot.intended, now);
        if slot.request != body {
            let findings = &mut self.tally.findings;
            findings.add("echo_differs", || "another message came back".to_owned());
        }
        self.in_flight.release(at);
    }

    #[cold]
    fn stray(&mut self, key: (u8, u32, Rrn), answer: &Message<'_>) {
        self.tally.unmatched += 1;
        let kind = match self.settled[key.1 as usize % SETTLED] == key {
            true => "answered_twice",
            false => "unmatched_answer",
        };
        self.tally.findings.add(kind, || name(answer));
    }

    /// Network management is accepted; other requests of an issuer are not for a simulator.
    #[cold]
    fn request_of_peer(&mut self, header: &[u8], request: &Message<'_>) -> Result<(), SimError> {
        if let (8, Some(_)) = (request.mti().class(), request.mti().response()) {
            let codec = self.plan.codec;
            let open = codec.begin_frame(&mut self.output, &codec.header.answer(header));
            let written = answer_management(request, &mut self.output);
            codec.end_frame(&mut self.output, open)?;
            self.tally.asked += 1;
            return written;
        }
        Ok(())
    }

    fn lose(&mut self, error: &io::Error) {
        self.tally.lost = Some(error.to_string());
        self.tally
            .findings
            .add("connection_lost", || error.to_string());
    }

    fn count_unanswered(&mut self) {
        self.tally.unanswered = self.in_flight.len() as u64;
        for slot in self.in_flight.waiting() {
            let request = Message::parse(&self.dialect, &slot.request);
            self.tally.findings.add("unanswered", || {
                request.map_or_else(|error| error.to_string(), |request| name(&request))
            });
        }
    }
}

/// Accepts a network management request.
pub fn answer_management(request: &Message<'_>, out: &mut BytesMut) -> Result<(), SimError> {
    let dialect = request.dialect();
    let failed = |source| SimError::Encode {
        dialect: dialect.name().to_owned(),
        what: "an answer to network management",
        source,
    };
    // The caller saw that it has a response.
    let mti = request.mti().response().unwrap_or(request.mti());
    let mut encoder = Encoder::new(dialect, out, mti);
    let mut code = dialect.response_code("network_management_accepted");
    for field in dialect.mirrored_fields(8) {
        if *field > 39
            && let Some(code) = code.take()
        {
            encoder.text(39, code).map_err(failed)?;
        }
        encoder.mirror(request, *field).map_err(failed)?;
    }
    if let Some(code) = code {
        encoder.text(39, code).map_err(failed)?;
    }
    encoder.finish();
    Ok(())
}

/// DE37 as a key; `None` when absent.
#[inline]
pub fn rrn_of(message: &Message<'_>) -> Option<Rrn> {
    let text = message.text::<12>(37)?;
    let mut rrn = [b' '; 12];
    rrn[..text.len()].copy_from_slice(text.as_bytes());
    Some(rrn)
}

async fn read_some<R: AsyncRead + Unpin>(reader: &mut R, input: &mut BytesMut) -> io::Result<()> {
    input.reserve(READ_SIZE);
    match reader.read_buf(input).await? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the peer closed the connection",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
