//! The SQL projection, on SQLite and on a private Postgres alike.

mod cluster;
mod decisions;
#[allow(dead_code)]
#[path = "../support/event_data.rs"]
mod event_data;
mod filters;
mod fixture;
mod following;
mod history;
mod history_asks;
mod history_own;
mod link_events;
mod many_rows;
mod messages;
mod projecting;
mod reading;
mod thresholds;
mod throughput;
mod told_of;
mod told_status;
