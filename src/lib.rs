//! cardswitch: an issuer-side ISO 8583 authorization switch with a card-issuing control plane.

pub mod engine;
pub mod settlement;
pub mod store;
