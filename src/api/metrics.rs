//! `/metrics`: what loops and journal count, in Prometheus' text form, prefix `cardswitch_`. Counting
//! does not live here.

use super::Gate;
use super::archive_metrics::Archive;
use super::error::ApiError;
use crate::journal::{Handle, SYNC_BOUNDS_US, Space};
use crate::shard::switchboard::Switchboard;
use crate::store::lag::ProjectionLag;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub async fn metrics(State(gate): State<Gate>) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let mut body = String::new();
    text::encode(&mut body, &state.metrics).map_err(|error| ApiError::internal(&error))?;
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}

pub fn register(
    registry: &mut Registry,
    switchboard: &Arc<Switchboard>,
    journal: &Handle,
    lag: &Arc<ProjectionLag>,
) {
    registry.register_collector(Box::new(Projection(journal.clone(), lag.clone())));
    registry.register_collector(Box::new(Loops(switchboard.clone())));
    registry.register_collector(Box::new(Journal(journal.clone())));
    registry.register_collector(Box::new(Archive(switchboard.clone())));
}

/// One number with its labels.
pub(super) type Sample<'a> = (Vec<(&'a str, String)>, u64);

pub(super) fn encode(
    encoder: &mut DescriptorEncoder,
    (name, help, kind): (&str, &str, MetricType),
    samples: &[Sample],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    let write = |sample: MetricEncoder, value: u64| match kind {
        MetricType::Gauge => ConstGauge::new(value).encode(sample),
        _ => ConstCounter::new(value).encode(sample),
    };
    if let [(labels, value)] = samples
        && labels.is_empty()
    {
        return write(metric, *value);
    }
    for (labels, value) in samples {
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|(label, value)| (*label, value.as_str()))
            .collect();
        write(metric.encode_family(&labels)?, *value)?;
    }
    Ok(())
}

struct Loops(Arc<Switchboard>);

impl fmt::Debug for Loops {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Loops")
    }
}

impl Loops {
    /// The name of the loop at a place of `Switchboard::stats`.
    fn label(&self, at: usize) -> Vec<(&'static str, String)> {
        let registry = at == self.0.shard_count();
        vec![(
            "loop",
            if registry {
                "registry".into()
            } else {
                format!("shard-{at}")
            },
        )]
    }

    /// What the registry keeps for repeats, and what shards have still to do.
    fn encode_kept(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let total = |count: fn(&crate::shard::stats::ShardStats) -> u64| {
            self.0.stats.iter().map(|stats| count(stats)).sum::<u64>()
        };
        for (name, help, count) in [
            (
                "cardswitch_idempotency_keys",
                "Idempotency keys that are kept",
                total(|stats| stats.idempotency_keys()),
            ),
            (
                "cardswitch_idempotency_bytes",
                "Memory that idempotency keys and their responses take, about",
                total(|stats| stats.idempotency_bytes()),
            ),
            (
                "cardswitch_cards_due",
                "Monthly fees and expiries of cards that wait for the SQL tables",
                total(|stats| stats.cards_due()),
            ),
        ] {
            let named = (name, help, MetricType::Gauge);
            encode(encoder, named, &[(Vec::new(), count)])?;
        }
        Ok(())
    }
}

impl Collector for Loops {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let stats = &self.0.stats;
        let result = |result: &str, reason: &str| {
            vec![("result", result.to_owned()), ("reason", reason.to_owned())]
        };
        let total = |count: fn(&crate::shard::stats::ShardStats) -> u64| {
            stats.iter().map(|stats| count(stats)).sum::<u64>()
        };
        let mut decisions = vec![(result("approved", ""), total(|stats| stats.approved()))];
        for reason in crate::engine::reason::DeclineReason::ALL {
            let counts = stats.iter().flat_map(|stats| stats.declined());
            let count: u64 = counts
                .filter(|(known, _)| known == reason)
                .map(|(_, count)| count)
                .sum();
            if count > 0 {
                decisions.push((result("declined", reason.name()), count));
            }
        }
        let counter = MetricType::Counter;
        let decided = ("cardswitch_decisions", "Authorizations decided", counter);
        encode(&mut encoder, decided, &decisions)?;
        let reversals = [(Vec::new(), total(|stats| stats.reversals()))];
        let reversed = ("cardswitch_reversals", "Reversals decided", counter);
        encode(&mut encoder, reversed, &reversals)?;
        let advices = [(Vec::new(), total(|stats| stats.advices()))];
        let advised = ("cardswitch_advices", "Advices carried out", counter);
        encode(&mut encoder, advised, &advices)?;
        let repeats = [(Vec::new(), total(|stats| stats.repeats()))];
        let repeated = (
            "cardswitch_repeats",
            "Repeats given their first answer",
            counter,
        );
        encode(&mut encoder, repeated, &repeats)?;
        let left_out = [(Vec::new(), total(|stats| stats.fees_out_of_range()))];
        let out_of_range = (
            "cardswitch_fees_out_of_range",
            "Fees that were not taken, because a balance or a sum of fees would have left its range",
            counter,
        );
        encode(&mut encoder, out_of_range, &left_out)?;
        self.encode_kept(&mut encoder)?;
        let each = |count: fn(&crate::shard::stats::ShardStats) -> u64| -> Vec<Sample> {
            let counts = stats.iter().map(|stats| count(stats));
            counts
                .enumerate()
                .map(|(at, count)| (self.label(at), count))
                .collect()
        };
        let turns = ("cardswitch_loop_turns", "Turns of each loop", counter);
        encode(&mut encoder, turns, &each(|stats| stats.turns()))?;
        let records = ("cardswitch_loop_records", "Records of each loop", counter);
        encode(&mut encoder, records, &each(|stats| stats.records()))?;
        let depths = self.0.queue_depths().into_iter().enumerate();
        let depths: Vec<Sample> = depths
            .map(|(at, depth)| (self.label(at), depth as u64))
            .collect();
        let queues = (
            "cardswitch_queue_depth",
            "Requests waiting",
            MetricType::Gauge,
        );
        encode(&mut encoder, queues, &depths)
    }
}

struct Journal(Handle);

impl fmt::Debug for Journal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Journal")
    }
}

impl Collector for Journal {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let stats = self.0.stats().read();
        let counters = [
            ("cardswitch_journal_frames", "Frames written", stats.frames),
            ("cardswitch_journal_bytes", "Bytes written", stats.bytes),
            (
                "cardswitch_journal_rotations",
                "Changes to the next segment",
                stats.rotations,
            ),
            (
                "cardswitch_journal_rotation_waits",
                "Waits for a segment to be prepared",
                stats.rotation_waits,
            ),
        ];
        for (name, help, count) in counters {
            let named = (name, help, MetricType::Counter);
            encode(&mut encoder, named, &[(Vec::new(), count)])?;
        }
        let gauges = [
            (
                "cardswitch_journal_durable",
                "Last durable record",
                self.0.durable(),
            ),
            (
                "cardswitch_journal_disk_full",
                "1 while the disk is full and only reversals and advices are taken",
                u64::from(self.0.space() == Space::Reserve),
            ),
            (
                "cardswitch_journal_reserve_bytes",
                "Zero-filled bytes that lie ready behind the segment in use",
                self.0.reserve_bytes(),
            ),
            (
                "cardswitch_journal_commit_milliseconds",
                "How long the group that is being written has been on its way to the disk",
                self.0.commit_time().as_millis() as u64,
            ),
        ];
        for (name, help, value) in gauges {
            let named = (name, help, MetricType::Gauge);
            encode(&mut encoder, named, &[(Vec::new(), value)])?;
        }
        self.encode_syncs(&mut encoder)
    }
}

impl Journal {
    fn encode_syncs(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let stats = self.0.stats().read();
        let seconds = |us: u64| us as f64 / 1e6;
        let bounds = SYNC_BOUNDS_US.iter().map(|bound| seconds(*bound));
        let buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .zip(stats.sync_buckets)
            .collect();
        let mut metric = encoder.encode_descriptor(
            "cardswitch_journal_sync_seconds",
            "Time of each fdatasync of the journal",
            None,
            MetricType::Histogram,
        )?;
        metric.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
            stats.sync_time.as_secs_f64(),
            stats.syncs,
            &buckets,
            None,
        )
    }
}

struct Projection(Handle, Arc<ProjectionLag>);

impl fmt::Debug for Projection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Projection")
    }
}

impl Collector for Projection {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Projection(journal, lag) = self;
        lag.note_durable(journal.durable());
        let gauges = [
            (
                "cardswitch_projection_through",
                "Last record in the SQL tables",
                lag.projected_through(),
            ),
            (
                "cardswitch_projection_behind_records",
                "Durable records that are not in the SQL tables yet",
                lag.behind_records(),
            ),
            (
                "cardswitch_projection_lag_milliseconds",
                "Time since the SQL tables last held all that was durable",
                lag.behind_ms(),
            ),
        ];
        for (name, help, value) in gauges {
            let named = (name, help, MetricType::Gauge);
            encode(&mut encoder, named, &[(Vec::new(), value)])?;
        }
        let following = (
            "cardswitch_projection_state",
            "What the projection does",
            MetricType::Gauge,
        );
        let state = vec![("state", lag.state().name().to_owned())];
        encode(&mut encoder, following, &[(state, 1)])
    }
}
