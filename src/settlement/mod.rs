//! Settlement: what the switch owes the networks, by business date. Clearing input and matching come
//! here later.

mod render;
pub mod report;

pub use render::{Format, render};
pub use report::{ReportError, ReportRequest, SettlementReport, check_network, settlement_report};
