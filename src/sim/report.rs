//! What a run came to, as JSON and as text.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::check::Findings;

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// Longest.
    pub max: f64,
}

impl Quantiles {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Quantiles {
        let at = |quantile| microseconds(histogram.value_at_quantile(quantile));
        Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: microseconds(histogram.max()),
        }
    }
}

fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 100.0).round() / 10.0
}

/// What a simulated network saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NetworkReport {
    /// Messages sent, network management but sign-on and sign-off included.
    pub sent: u64,
    /// Answers that belong to a request.
    pub answered: u64,
    /// Answers that belong to none, and frames that are no message.
    pub unmatched: u64,
    /// Requests without an answer after the grace period.
    pub unanswered: u64,
    /// Answers by DE39.
    pub by_response_code: BTreeMap<String, u64>,
    /// Payments approved, in full or in part.
    pub approved: u64,
    /// Payments declined.
    pub declined: u64,
    /// Payments that the issuer could not decide (overload, internal error).
    pub undecided: u64,
    /// Reversals sent.
    pub reversals: u64,
    /// Repeats sent.
    pub repeats: u64,
    /// Echoes sent.
    pub echoes: u64,
    /// Requests of the peer that were answered.
    pub asked_by_peer: u64,
    /// Malformed messages sent, and what came of them.
    pub malformed: Malformed,
    /// Everything that was wrong.
    pub findings: Findings,
    /// Length of the run.
    pub seconds: f64,
    /// Answers per second.
    pub per_second: f64,
    /// From when a message should have left to its answer.
    pub latency_us: Quantiles,
    /// How late the sender itself was (open loop only): where this is large, latencies say as much
    /// about this machine as about the peer.
    pub sender_lateness_us: Quantiles,
}

/// What came of malformed messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Malformed {
    /// Sent.
    pub sent: u64,
    /// Answered with a format error, or another refusal.
    pub refused: u64,
    /// Not answered.
    pub ignored: u64,
    /// Answered by closing the connection.
    pub closed: u64,
}

impl NetworkReport {
    /// Nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.count() == 0 && self.unmatched == 0 && self.unanswered == 0
    }

    /// Sets length and rate.
    pub fn took(&mut self, elapsed: Duration) {
        self.seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        self.per_second = (self.answered as f64 / elapsed.as_secs_f64().max(1e-9)).round();
    }
}

impl fmt::Display for NetworkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name, value| writeln!(f, "{name:<24}{value:>14}");
        row(f, "sent", self.sent)?;
        row(f, "answered", self.answered)?;
        row(f, "approved", self.approved)?;
        row(f, "declined", self.declined)?;
        row(f, "undecided", self.undecided)?;
        row(f, "reversals", self.reversals)?;
        row(f, "repeats", self.repeats)?;
        row(f, "echoes", self.echoes)?;
        row(f, "unmatched", self.unmatched)?;
        row(f, "unanswered", self.unanswered)?;
        if self.malformed.sent > 0 {
            let Malformed {
                sent,
                refused,
                ignored,
                closed,
            } = self.malformed;
            row(f, "malformed", sent)?;
            writeln!(
                f,
                "  refused {refused}, ignored {ignored}, connection closed {closed}"
            )?;
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

pub(super) fn quantiles(f: &mut fmt::Formatter<'_>, name: &str, values: &Quantiles) -> fmt::Result {
    let Quantiles {
        p50,
        p90,
        p99,
        p999,
        max,
    } = values;
    writeln!(
        f,
        "{name:<18} p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  p99.9 {p999:.1}  max {max:.1}"
    )
}

pub(super) fn show_findings(f: &mut fmt::Formatter<'_>, findings: &Findings) -> fmt::Result {
    if findings.count() == 0 {
        return writeln!(f, "\nnothing wrong found");
    }
    writeln!(f, "\nwrong: {}", findings.count())?;
    for (kind, count) in &findings.by_kind {
        writeln!(f, "  {kind:<22}{count:>14}")?;
    }
    for finding in &findings.first {
        writeln!(f, "  {}: {}", finding.kind, finding.detail)?;
    }
    Ok(())
}
