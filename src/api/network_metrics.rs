//! What the networks count, for `/metrics`: sessions, messages, refusals, and the latency from the read that
//! brought a message to the write of its answer.

use super::metrics::{Sample, encode};
use crate::network::stats::{LATENCY_BOUNDS_US, NetworkStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of each network, by its name.
pub struct Networks(pub Vec<(String, Arc<NetworkStats>)>);

impl fmt::Debug for Networks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Networks")
    }
}

type Count = fn(&NetworkStats) -> &AtomicU64;

const COUNTS: &[(&str, &str, MetricType, Count)] = &[
    (
        "cardswitch_sessions",
        "Connections open",
        MetricType::Gauge,
        |s| &s.sessions_open,
    ),
    (
        "cardswitch_sessions_opened",
        "Connections so far",
        MetricType::Counter,
        |s| &s.sessions_total,
    ),
    (
        "cardswitch_sessions_refused",
        "Connections above the bound",
        MetricType::Counter,
        |s| &s.sessions_refused,
    ),
    (
        "cardswitch_sessions_signed_off",
        "Connections open on which nobody is signed on",
        MetricType::Gauge,
        |s| &s.sessions_signed_off,
    ),
    (
        "cardswitch_sign_offs",
        "Sign-offs by peers",
        MetricType::Counter,
        |s| &s.sign_offs,
    ),
    (
        "cardswitch_messages_received",
        "Messages received",
        MetricType::Counter,
        |s| &s.messages_received,
    ),
    (
        "cardswitch_messages_answered",
        "Decided messages answered",
        MetricType::Counter,
        |s| &s.messages_answered,
    ),
    (
        "cardswitch_format_errors",
        "Messages that did not parse",
        MetricType::Counter,
        |s| &s.format_errors,
    ),
    (
        "cardswitch_frame_errors",
        "Connections closed for their bytes",
        MetricType::Counter,
        |s| &s.frame_errors,
    ),
    (
        "cardswitch_overload_refusals",
        "Messages answered 91 undecided",
        MetricType::Counter,
        |s| &s.overload_refusals,
    ),
    (
        "cardswitch_late_approvals",
        "Approvals whose answer was too late for the network",
        MetricType::Counter,
        |s| &s.late_approvals,
    ),
];

impl Collector for Networks {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for (name, help, kind, count) in COUNTS {
            let samples = self.0.iter().map(|(network, stats)| {
                (
                    vec![("network", network.clone())],
                    count(stats).load(Ordering::Relaxed),
                )
            });
            encode(
                &mut encoder,
                (name, help, *kind),
                &samples.collect::<Vec<Sample>>(),
            )?;
        }
        let help = "From the read of a message to the write of its answer";
        let name = "cardswitch_answer_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (network, stats) in &self.0 {
            let (counts, sum_us) = stats.latency();
            let bounds = LATENCY_BOUNDS_US
                .iter()
                .map(|bound| *bound as f64 / 1e6)
                .chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            let labels = [("network", network.as_str())];
            let labelled = metric.encode_family(&labels)?;
            Latency {
                sum: sum_us as f64 / 1e6,
                count: counts.iter().sum(),
                buckets,
            }
            .encode(labelled)?;
        }
        Ok(())
    }
}

struct Latency {
    sum: f64,
    count: u64,
    buckets: Vec<(f64, u64)>,
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: prometheus_client::encoding::MetricEncoder) -> fmt::Result {
        encoder.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
            self.sum,
            self.count,
            &self.buckets,
            None,
        )
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
