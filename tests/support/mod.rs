//! For the tests that need a running switch: the real binary ([`Switch`]), the same parts inside the
//! test ([`rig`]), and a network that talks to either ([`client`]).

// Each test binary uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod api;
pub mod client;
pub mod endpoint;
pub mod event_data;
pub mod gate;
pub mod messages;
pub mod rig;
pub mod small_disk;
pub mod switch;
pub mod told;
pub mod waiting;

pub use client::{Client, Received};
pub use switch::Switch;
pub use waiting::{DEADLINE, wait_until};

/// Test card numbers of the networks.
pub const VISA: &str = "4111111111111111";
pub const MASTERCARD: &str = "5555555555554444";
