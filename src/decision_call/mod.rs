//! Asking customers whether an authorization may be approved: an HTTP call outside the shards, signed like a webhook,
//! whose answer goes back to the shard as a command. What an answer comes to, and what holds without one, is decided in
//! `engine/resolve.rs`; the time is kept by the shard.

mod address;
mod body;
mod breaker;
mod caller;
mod client;
mod signature;
mod stats;

pub use body::ping_body;
pub use caller::{Caller, Calls, calls};
pub use client::{CallError, Client, UrlError, check_url};
pub use signature::Signed;
pub use stats::CallStats;
