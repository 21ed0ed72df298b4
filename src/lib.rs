//! cardswitch: an issuer-side ISO 8583 authorization switch with a card-issuing control plane.

pub mod api;
pub mod backtest;
pub mod cli;
pub mod config;
pub mod decision_call;
pub mod engine;
pub mod iso8583;
pub mod journal;
pub mod json;
pub mod network;
pub mod security;
pub mod settlement;
pub mod shard;
pub mod sim;
pub mod store;
pub mod webhooks;
