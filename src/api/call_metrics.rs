//! What calls to customers count, for `/metrics`. The calls themselves live in `decision_call`.

use super::metrics::{Sample, encode};
use crate::decision_call::CallStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

#[derive(Debug)]
pub struct Calls(pub Arc<CallStats>);

impl Collector for Calls {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let ended: Vec<Sample> = self
            .0
            .ended()
            .map(|(outcome, count)| (vec![("outcome", outcome.name().to_owned())], count))
            .collect();
        let one = |value| vec![(Vec::new(), value)];
        encode(
            &mut encoder,
            (
                "cardswitch_decision_calls",
                "Calls to customers that have ended",
                MetricType::Counter,
            ),
            &ended,
        )?;
        encode(
            &mut encoder,
            (
                "cardswitch_decision_call_milliseconds",
                "How long they took in all",
                MetricType::Counter,
            ),
            &one(self.0.duration_ms()),
        )?;
        encode(
            &mut encoder,
            (
                "cardswitch_decision_calls_waiting",
                "Calls to customers under way",
                MetricType::Gauge,
            ),
            &one(self.0.waiting()),
        )
    }
}
