//! The single-writer loops: one thread per shard and one for the registry, each the only one to touch
//! its state. They take batches from bounded queues, decide, hand records to the journal, and let
//! answers go once those are durable. What is decided lives in `engine`.

pub mod archive;
pub mod bulk;
mod card_expiries;
mod card_walk;
pub mod clock;
mod customer_waits;
pub mod directory;
mod exception_expiries;
pub mod inbox;
mod monthly_fees;
pub mod recovery;
pub mod registry_worker;
pub mod reply;
pub mod request;
mod shown;
pub mod snapshots;
pub mod stats;
pub mod switchboard;
mod told_again;
mod transfers;
mod waiters;
mod watches;
pub mod worker;
