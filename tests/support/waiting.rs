//! Waiting for what must happen.

use std::time::{Duration, Instant};

/// How long anything that must happen may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `holds`; panics with `what` when that takes too long.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let latest = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < latest, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
