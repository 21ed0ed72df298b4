//! The system's clock as messages state it. How long things take is measured elsewhere, by a clock that does
//! not go back.

use super::keys::Stamp;
use std::time::Duration;
use tokio::time::Instant;

/// UTC by the second, read from the system at most every 10 ms.
#[derive(Default)]
pub struct WallClock {
    read_at: Option<Instant>,
    second: u64,
    stamp: Stamp,
}

impl WallClock {
    /// The time now.
    #[inline]
    pub fn stamp(&mut self, now: Instant) -> Stamp {
        if self
            .read_at
            .is_some_and(|at| now < at + Duration::from_millis(10))
        {
            return self.stamp;
        }
        self.read_at = Some(now);
        let second = unix_time().as_secs();
        if second != self.second {
            (self.second, self.stamp) = (second, Stamp::from_unix(second));
        }
        self.stamp
    }
}

/// Time since 1970 by the system's clock.
pub fn unix_time() -> Duration {
    // A clock before 1970 gives 1970.
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
}
