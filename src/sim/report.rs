//! What a run came to, as JSON and as text.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{check::Findings, client::Tally};

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

/// What the connections of any run counted together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Messages sent, network management but sign-on and sign-off included.
    pub sent: u64,
    /// Answers that belong to a request.
    pub answered: u64,
    /// Answers that belong to none, and frames that are no message.
    pub unmatched: u64,
    /// Requests without an answer after the grace period.
    pub unanswered: u64,
    /// Requests of the peer that were answered.
    pub asked_by_peer: u64,
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
    /// How late the sender itself was (open loop only): where this is large, latencies say as much
    /// about this machine as about the peer.
    pub sender_lateness_us: Quantiles,
}

impl Totals {
    /// Adds what one connection counted.
    pub(super) fn add(&mut self, tally: Tally) {
        self.sent += tally.sent;
        self.answered += tally.answered;
        self.unmatched += tally.unmatched;
        self.unanswered += tally.unanswered;
        self.asked_by_peer += tally.asked;
        for (code, count) in tally.by_code {
            *self.by_response_code.entry(code.to_string()).or_default() += count;
        }
        self.findings.merge(tally.findings);
    }

    /// Sets length, rate and times.
    pub(super) fn took(
        &mut self,
        elapsed: Duration,
        latency_ns: &Histogram<u64>,
        lateness_ns: &Histogram<u64>,
    ) {
        self.seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        self.per_second = (self.answered as f64 / elapsed.as_secs_f64().max(1e-9)).round();
        self.latency_us = Quantiles::of(latency_ns);
        self.sender_lateness_us = Quantiles::of(lateness_ns);
    }

    /// Every answer belongs to a request, and every request has one.
    pub fn is_complete(&self) -> bool {
        self.unmatched == 0 && self.unanswered == 0
    }
}

/// What a simulated network saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NetworkReport {
    /// What its connections counted.
    #[serde(flatten)]
    pub totals: Totals,
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
    /// Requests to add to a pre-authorization sent.
    pub increments: u64,
    /// Advices sent: of amendments, completions, and payments that nobody was asked about.
    pub advices: u64,
    /// Echoes sent.
    pub echoes: u64,
    /// Malformed messages sent, and what came of them.
    pub malformed: Malformed,
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
        self.totals.findings.count() == 0 && self.totals.is_complete()
    }
}

impl fmt::Display for NetworkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = [
            ("approved", self.approved),
            ("declined", self.declined),
            ("undecided", self.undecided),
            ("reversals", self.reversals),
            ("repeats", self.repeats),
            ("increments", self.increments),
            ("advices", self.advices),
            ("echoes", self.echoes),
        ];
        self.totals.show(f, &own, |f| {
            let Malformed {
                sent,
                refused,
                ignored,
                closed,
            } = self.malformed;
            if sent == 0 {
                return Ok(());
            }
            row(f, "malformed", sent)?;
            writeln!(
                f,
                "  refused {refused}, ignored {ignored}, connection closed {closed}"
            )
        })?;
        if self.undecided == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "but {} payments were refused without a decision (91, 96 and the like); /v1/authorizations says why",
            self.undecided
        )
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: u64) -> fmt::Result {
    writeln!(f, "{name:<24}{value:>14}")
}

impl Totals {
    /// The text of a report: the counts, with those of its own kind, and all that follows.
    pub(super) fn show(
        &self,
        f: &mut fmt::Formatter<'_>,
        own: &[(&str, u64)],
        more: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        row(f, "sent", self.sent)?;
        row(f, "answered", self.answered)?;
        row(f, "unmatched", self.unmatched)?;
        row(f, "unanswered", self.unanswered)?;
        for (name, value) in own {
            row(f, name, *value)?;
        }
        more(f)?;
        writeln!(f, "\nDE39")?;
        for (code, count) in &self.by_response_code {
            let code = if code.is_empty() { "(none)" } else { code };
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

fn quantiles(f: &mut fmt::Formatter<'_>, name: &str, values: &Quantiles) -> fmt::Result {
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

fn show_findings(f: &mut fmt::Formatter<'_>, findings: &Findings) -> fmt::Result {
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
