//! Whether a follower that is behind should rest between its batches. Following itself lives in `follow.rs`.

use std::time::Duration;

/// How much work has to be seen before a judgement.
const SEEN_MIN: Duration = Duration::from_secs(1);

/// What was taken and what came since the last judgement.
#[derive(Debug, Default)]
pub(super) struct Pace {
    taken: u64,
    came: u64,
    /// Time spent on the batches, and in all.
    working: Duration,
    passed: Duration,
    /// More came than could have been taken without any rest: the lag grows in any case.
    hopeless: bool,
}

impl Pace {
    /// After each batch: records in it, records that became durable since the batch before, the time spent on
    /// it, and the time since the batch before. Says how long to rest now: as long as the work took while there is
    /// no hope to catch up, because the machine then belongs to those who answer; else not at all.
    pub fn rest_after(
        &mut self,
        taken: u64,
        came: u64,
        working: Duration,
        passed: Duration,
    ) -> Duration {
        self.taken += taken;
        self.came += came;
        self.working += working;
        self.passed += passed;
        if self.working >= SEEN_MIN {
            let could_be_taken = self.taken as f64 * self.passed.as_secs_f64();
            let hopeless = self.came as f64 * self.working.as_secs_f64() > could_be_taken;
            *self = Pace {
                hopeless,
                ..Pace::default()
            };
        }
        if self.hopeless {
            working
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rests in all of 100 batches of 4,096 records, each worked on for `work_ms`, with so many coming a second.
    fn rests(work_ms: u64, per_second: u64) -> u32 {
        let (mut pace, mut rest, mut rests) = (Pace::default(), Duration::ZERO, 0);
        let work = Duration::from_millis(work_ms);
        for _ in 0..100 {
            let passed = work + rest;
            let came = per_second * passed.as_millis() as u64 / 1_000;
            rest = pace.rest_after(4_096, came, work, passed);
            rests += u32::from(!rest.is_zero());
        }
        rests
    }

    #[test]
    fn it_rests_only_at_a_rate_that_it_could_not_sustain_without() {
        // 4,096 records in 100 ms: 40,960 a second.
        assert_eq!(rests(100, 40_000), 0);
        assert!(rests(100, 42_000) > 80);
        // A slow database all the same.
        assert_eq!(rests(800, 5_000), 0);
        assert!(rests(800, 5_200) > 80);
    }

    #[test]
    fn one_slow_batch_is_no_reason_to_rest() {
        let mut pace = Pace::default();
        let (slow, quick) = (Duration::from_millis(400), Duration::from_millis(100));
        assert!(pace.rest_after(4_096, 8_000, slow, slow).is_zero());
        for _ in 0..50 {
            assert!(pace.rest_after(4_096, 2_000, quick, quick).is_zero());
        }
    }

    #[test]
    fn it_works_on_as_soon_as_there_is_hope() {
        let mut pace = Pace::default();
        let work = Duration::from_millis(500);
        let passed = 2 * work;
        while pace.rest_after(4_096, 100_000, work, passed).is_zero() {}
        let rests = (0..4).filter(|_| !pace.rest_after(4_096, 1_000, work, passed).is_zero());
        assert!(rests.count() <= 2);
    }
}
