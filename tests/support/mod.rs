//! For the tests that need a running switch: the real binary ([`Switch`]), the same parts inside the
//! test ([`rig`]), and a network that talks to either ([`client`]).

// Each test binary uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod api;
pub mod client;
pub mod endpoint;
pub mod gate;
pub mod messages;
pub mod rig;
pub mod small_disk;
pub mod switch;
pub mod told;

pub use client::{Client, Received};
pub use switch::Switch;

use std::time::{Duration, Instant};

/// How long anything that must happen may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `holds`; panics with `what` when that takes too long.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let latest = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < latest, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Test card numbers of the networks.
pub const VISA: &str = "4111111111111111";
pub const MASTERCARD: &str = "5555555555554444";
