//! What calls to webhook endpoints count, for `/metrics`. The calls themselves live in `webhooks`.

use super::metrics::{Sample, encode};
use crate::webhooks::WebhookStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

#[derive(Debug)]
pub struct Webhooks(pub Arc<WebhookStats>);

impl Collector for Webhooks {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let stats = &self.0;
        let ended = stats.ended().into_iter();
        let ended: Vec<Sample> = ended
            .map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count))
            .collect();
        let one = |value| vec![(Vec::new(), value)];
        let behind = stats.behind();
        let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);
        let all = [
            (
                "cardswitch_webhook_calls",
                "Calls to webhook endpoints that have ended",
                counter,
                ended,
            ),
            (
                "cardswitch_webhook_call_milliseconds",
                "How long they took in all",
                counter,
                one(stats.duration_ms()),
            ),
            (
                "cardswitch_webhook_calls_unlogged",
                "Calls that the log of deliveries does not have",
                counter,
                one(stats.unlogged()),
            ),
            (
                "cardswitch_webhook_events_read",
                "Rows of events that were read to be told",
                counter,
                one(stats.events_read()),
            ),
            (
                "cardswitch_webhook_calls_under_way",
                "Calls to webhook endpoints under way",
                gauge,
                one(stats.under_way()),
            ),
            (
                "cardswitch_webhook_lag_milliseconds",
                "Age of the oldest event that no call was made for, of the endpoint that is furthest behind",
                gauge,
                one(behind.lag_ms),
            ),
            (
                "cardswitch_webhook_events_waiting",
                "Events that an endpoint refused and that are tried again",
                gauge,
                one(behind.waiting),
            ),
            (
                "cardswitch_webhook_endpoints_failing",
                "Webhook endpoints whose last calls have failed",
                gauge,
                one(behind.failing),
            ),
        ];
        for (name, help, kind, samples) in all {
            encode(&mut encoder, (name, help, kind), &samples)?;
        }
        Ok(())
    }
}
