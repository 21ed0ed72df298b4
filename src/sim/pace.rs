//! When messages are due: as fast as answers allow, or at a fixed rate whatever the answers do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// When the messages of one connection are due.
#[derive(Clone)]
pub enum Pace {
    /// Closed loop: as soon as there is room in flight.
    Closed,
    /// Open loop: message number n is due at `start + first + n * every`.
    Open {
        /// Start of the run.
        start: Instant,
        /// Offset of this connection.
        first: Duration,
        /// Nanoseconds between two of its messages.
        every_ns: f64,
        /// Wakes the connection.
        bell: Bell,
    },
}

/// What wakes a connection when a message is due.
#[derive(Clone)]
pub enum Bell {
    /// The runtime's timer, which has a resolution of a millisecond.
    Timer,
    /// A [`Metronome`], which is finer.
    Metronome(Arc<Beat>),
}

/// One connection's place at the metronome.
#[derive(Default)]
pub struct Beat {
    /// Nanoseconds after the start when the next message is due; zero while nobody waits.
    due_ns: AtomicU64,
    notify: Notify,
}

impl Pace {
    /// Message `number` of the connection, counted from 0, is due then; now, in a closed loop.
    #[inline]
    pub fn due(&self, number: u64, now: Instant) -> Instant {
        match self {
            Pace::Closed => now,
            Pace::Open {
                start,
                first,
                every_ns,
                ..
            } => *start + *first + Duration::from_nanos((number as f64 * every_ns) as u64),
        }
    }

    /// Whether this is an open loop.
    pub fn is_open(&self) -> bool {
        matches!(self, Pace::Open { .. })
    }

    /// Returns at `due` or soon after; may return early.
    pub async fn wait(&self, due: Instant) {
        match self {
            Pace::Closed => {}
            Pace::Open {
                bell: Bell::Timer, ..
            } => tokio::time::sleep_until(due).await,
            Pace::Open {
                start,
                bell: Bell::Metronome(beat),
                ..
            } => {
                let due_ns = due.saturating_duration_since(*start).as_nanos() as u64;
                beat.due_ns.store(due_ns.max(1), Ordering::Release);
                beat.notify.notified().await;
            }
        }
    }
}

/// Gives all connections of a run their pace, and wakes them at the time that they name, finer than the
/// runtime's timer: one blocking thread that sleeps in steps of 50 µs to a millisecond.
pub struct Metronome {
    began: Instant,
    /// Messages per second over all connections; none in a closed loop.
    rate: Option<f64>,
    beats: Vec<Arc<Beat>>,
    stop: Arc<AtomicBool>,
}

const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(1);

impl Metronome {
    /// Runs until dropped; a closed loop needs no thread.
    pub fn start(began: Instant, connections: usize, rate: Option<f64>) -> Metronome {
        let beats: Vec<_> = (0..connections).map(|_| Arc::default()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        if rate.is_some() {
            let (beats, stop) = (beats.clone(), stop.clone());
            tokio::task::spawn_blocking(move || ring(began, &beats, &stop));
        }
        Metronome {
            began,
            rate,
            beats,
            stop,
        }
    }

    /// When the run began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The pace of connection `at`, which sends this part of all messages.
    pub fn pace(&self, at: usize, part: f64) -> Pace {
        match self.rate {
            None => Pace::Closed,
            Some(rate) => Pace::Open {
                start: self.began,
                first: Duration::from_secs_f64(at as f64 / rate),
                every_ns: 1e9 / (rate * part),
                bell: Bell::Metronome(self.beats[at].clone()),
            },
        }
    }
}

fn ring(began: Instant, beats: &[Arc<Beat>], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let now_ns = began.elapsed().as_nanos() as u64;
        let mut nearest = now_ns + LONGEST.as_nanos() as u64;
        for beat in beats {
            match beat.due_ns.load(Ordering::Acquire) {
                0 => {}
                due if due <= now_ns => {
                    beat.due_ns.store(0, Ordering::Relaxed);
                    beat.notify.notify_one();
                }
                due => nearest = nearest.min(due),
            }
        }
        std::thread::sleep(Duration::from_nanos(nearest - now_ns).clamp(SHORTEST, LONGEST));
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_does_not_drift() {
        let start = Instant::now();
        let pace = Pace::Open {
            start,
            first: Duration::from_micros(125),
            every_ns: 1e9 / 3.0,
            bell: Bell::Timer,
        };
        assert_eq!(pace.due(0, start), start + Duration::from_micros(125));
        let hour = pace.due(3 * 3600, start) - start;
        assert_eq!(hour, Duration::from_secs(3600) + Duration::from_micros(125));
    }
}
