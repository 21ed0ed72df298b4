//! What the archive counts, for `/metrics`. Counting does not live here.

use super::metrics::encode;
use crate::shard::archive::LOOKUP_BOUNDS_US;
use crate::shard::switchboard::Switchboard;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

pub(super) struct Archive(pub Arc<Switchboard>);

impl fmt::Debug for Archive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Archive")
    }
}

impl Collector for Archive {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(archive) = &self.0.archive else {
            return Ok(());
        };
        let stats = archive.stats();
        let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);
        for (name, help, kind, value) in [
            (
                "cardswitch_archive_found",
                "Lookups that found what was forgotten",
                counter,
                stats.found(),
            ),
            (
                "cardswitch_archive_dropped",
                "What was forgotten and not taken because too much waited; found after the next start",
                counter,
                stats.dropped(),
            ),
            (
                "cardswitch_archive_pruned",
                "What was removed because its days are over",
                counter,
                stats.pruned(),
            ),
            (
                "cardswitch_archive_failures",
                "Reads and writes of the archive that failed",
                counter,
                stats.failures(),
            ),
            (
                "cardswitch_archive_waiting",
                "What was forgotten and is not written yet",
                gauge,
                stats.waiting(),
            ),
            (
                "cardswitch_archive_refilling",
                "1 while a lost archive is filled again from the journal",
                gauge,
                stats.refilling(),
            ),
        ] {
            encode(&mut encoder, (name, help, kind), &[(Vec::new(), value)])?;
        }
        let bounds = LOOKUP_BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6);
        let bounds = bounds.chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(stats.lookup_buckets()).collect();
        let mut metric = encoder.encode_descriptor(
            "cardswitch_archive_lookup_seconds",
            "Time of each lookup of what was forgotten, on the thread of a shard",
            None,
            MetricType::Histogram,
        )?;
        let time = stats.lookup_time().as_secs_f64();
        metric.encode_histogram::<NoLabelSet>(time, stats.lookups(), &buckets, None)
    }
}
