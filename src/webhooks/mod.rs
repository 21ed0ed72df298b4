//! Telling others what has happened: calls to webhook endpoints, each event until it was taken or given up. Which
//! events there are lives in `store/events`; who wants which, and how far each has heard, in
//! `engine/webhook_endpoints.rs`. The HTTP client, the signature and the turns are `decision_call`'s too.

mod address;
mod ask;
mod call;
mod client;
mod delivery_log;
mod event_reader;
mod pages;
mod queue;
pub mod schedule;
mod service;
mod signature;
mod stats;
mod turns;
mod untold;
mod worker;

pub use call::{Called, post, secrets_of};
pub use client::{Answered, CallError, Client, UrlError, check_url};
pub use service::{Webhooks, Wiring};
pub use signature::Signed;
pub use stats::WebhookStats;
pub use turns::{Party, Turns};
