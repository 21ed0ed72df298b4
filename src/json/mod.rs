//! How values of the engine look in JSON, for the interface, for events and for the command line. Taking JSON apart
//! is the business of `api`.

pub mod conversion;
pub mod lifts;
pub mod payment;
pub mod signer;
pub mod text;
pub mod three_ds;
pub mod trace;
