//! The simulated network in every dialect, framing and header.

#[path = "sim_responder/mod.rs"]
mod responder;

use std::{sync::Arc, time::Duration};

use cardswitch::{
    iso8583::{Dialect, Framing, Header},
    sim::{NetworkOptions, NetworkReport, run_network},
};
use responder::{Fault, cards, codec};

async fn play(dialect: &str, framing: Framing, header: Header) -> NetworkReport {
    let dialect = Arc::new(Dialect::builtin(dialect).unwrap());
    let target = responder::start(dialect.clone(), codec(framing, header), Fault::None).await;
    let mut options = NetworkOptions::new(&target, dialect, framing);
    options.header = header;
    options.connections = 2;
    options.count = Some(2_000);
    options.grace = Duration::from_millis(300);
    run_network(options, cards(), |_| {}).await.unwrap()
}

#[tokio::test]
async fn every_dialect() {
    for name in Dialect::builtin_names() {
        let report = play(name, Framing::Length2Be, Header::None).await;
        assert!(
            report.is_clean() && report.totals.answered == 2_000,
            "{name}: {report}"
        );
        assert!(
            report.approved > 1_000 && report.reversals > 20,
            "{name}: {report}"
        );
    }
}

#[tokio::test]
async fn every_framing_and_header() {
    for name in Framing::names() {
        let report = play("iso8583-1987-ascii", name.parse().unwrap(), Header::None).await;
        assert!(
            report.is_clean() && report.totals.answered == 2_000,
            "{name}: {report}"
        );
    }
    for header in [Header::Tpdu, Header::Base1] {
        let report = play("visa-base1", Framing::Length2BeZeros, header).await;
        assert!(
            report.is_clean() && report.totals.answered == 2_000,
            "{header}: {report}"
        );
    }
}
