//! The REST interface from outside: real loops over a journal in memory, real HTTP on loopback.

mod harness;
mod idempotency;
mod refusals;
mod resources;
mod secrets;
