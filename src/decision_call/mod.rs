//! Asking customers whether an authorization may be approved: an HTTP call outside the shards, signed like a webhook,
//! whose answer goes back to the shard as a command. What an answer comes to, and what holds without one, is decided in
//! `engine/resolve.rs`; the time is kept by the shard.

mod body;
mod breaker;
mod caller;
mod stats;

pub use body::ping_body;
pub use caller::{Caller, Calls, calls};
pub use stats::CallStats;
