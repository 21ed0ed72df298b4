//! A run over several connections, whatever they play: all lines at once, how they stand while they run,
//! and what they come to together.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{task::JoinSet, time::Instant};

use super::{
    SimError,
    client::{Plan, Script, Tally, histogram},
    line::Line,
    report::{Quantiles, Totals},
};

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
    /// Payments that the issuer could not decide.
    pub undecided: u64,
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

/// Refuses what no run can be made with.
pub fn check_bounds(
    connections: usize,
    in_flight: usize,
    rates: &[Option<f64>],
) -> Result<(), SimError> {
    let wrong = |text: &str| Err(SimError::Options(text.to_owned()));
    if connections == 0 || connections > 1296 {
        return wrong("connections must be 1 to 1296");
    }
    if in_flight == 0 || in_flight > 100_000 {
        return wrong("in-flight must be 1 to 100000");
    }
    let in_range = |rate: &f64| (0.001..=1e9).contains(rate);
    if !rates.iter().flatten().all(in_range) {
        return wrong("a rate must be 0.001 to 1000000000 messages per second");
    }
    Ok(())
}

/// Plays each script on its line until all are done, and tells `observer` about four times a second how
/// they stand. Gives what the lines counted together, and the scripts.
pub async fn play_all<S>(
    start: Instant,
    lines: Vec<(Line, S, Plan)>,
    observer: &(impl Fn(Progress) + Send),
) -> Result<(Totals, Vec<S>), SimError>
where
    S: Script<Ticket: Send> + Send + 'static,
{
    let mut boards = Vec::new();
    let mut tasks = JoinSet::new();
    for (line, script, plan) in lines {
        let board = Arc::new(Board::default());
        boards.push(board.clone());
        tasks.spawn(async move { line.play(script, plan, &board).await });
    }
    let (mut totals, mut scripts) = (Totals::default(), Vec::new());
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
                totals.add(tally);
                scripts.push(script);
            }
            _ = ticks.tick() => observer(progress(start, &boards)),
        }
    }
    totals.took(start.elapsed(), &latency, &lateness);
    observer(progress(start, &boards));
    Ok((totals, scripts))
}

fn progress(start: Instant, boards: &[Arc<Board>]) -> Progress {
    let mut all = Progress {
        elapsed: start.elapsed(),
        ..Progress::default()
    };
    let mut recent = histogram();
    for board in boards {
        let Ok(board) = board.0.lock() else { continue };
        all.sent += board.progress.sent;
        all.answered += board.progress.answered;
        all.approved += board.progress.approved;
        all.declined += board.progress.declined;
        all.undecided += board.progress.undecided;
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

/// What a connection shows of itself while it runs.
#[derive(Default)]
pub struct Board(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    progress: Progress,
    recent: Option<Histogram<u64>>,
}

impl Board {
    /// For the connection's own task.
    pub fn writer(&self) -> BoardWriter<'_> {
        let now = Instant::now();
        BoardWriter {
            board: self,
            shown_at: now,
            second_began: now,
            before: histogram(),
        }
    }
}

/// Writes on a board, seldom enough to cost nothing.
pub struct BoardWriter<'a> {
    board: &'a Board,
    shown_at: Instant,
    second_began: Instant,
    /// Latencies up to when the second began.
    before: Histogram<u64>,
}

impl BoardWriter<'_> {
    /// Shows how the connection stands, every tenth of a second.
    pub fn look(&mut self, now: Instant, tally: &Tally, script: &impl Script, in_flight: usize) {
        if now >= self.shown_at + Duration::from_millis(100) {
            self.show(now, tally, script, in_flight);
        }
    }

    /// Shows how the connection stands.
    pub fn show(&mut self, now: Instant, tally: &Tally, script: &impl Script, in_flight: usize) {
        self.shown_at = now;
        let Ok(mut shown) = self.board.0.lock() else {
            return;
        };
        shown.progress = Progress {
            sent: tally.sent,
            answered: tally.answered,
            in_flight: in_flight as u64,
            findings: tally.findings.count(),
            ..Progress::default()
        };
        script.show(&mut shown.progress);
        if now >= self.second_began + Duration::from_secs(1) {
            let mut recent = tally.latency_ns.clone();
            // Cannot fail: what was there a second ago is still there.
            let _ = recent.subtract(&self.before);
            shown.recent = Some(recent);
            (self.second_began, self.before) = (now, tally.latency_ns.clone());
        }
    }
}
