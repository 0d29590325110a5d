//! How long to wait before the next try.

use std::time::{Duration, Instant};

/// Waits that double from `base` to `cap`, each drawn at random between half of it and the whole, so that
/// many clients of one store do not come back at the same moment.
///
/// Trouble that is over is forgotten: a failure that comes later than twice `cap` after the last one starts
/// again from `base`.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    last: Option<Instant>,
    random: fastrand::Rng,
}

impl Backoff {
    /// Waits from `base` to `cap`, with jitter from `random`.
    pub fn new(base: Duration, cap: Duration, random: fastrand::Rng) -> Backoff {
        Backoff { base, cap, failures: 0, last: None, random }
    }

    /// Counts a failure at `now` and gives the wait before the next try.
    pub fn failed(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > self.cap * 2) {
            self.failures = 0;
        }
        self.last = Some(now);
        let doubled = self.base.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.cap).mul_f64(self.random.f64().mul_add(0.5, 0.5))
    }

    /// Forgets the failures.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.last = None;
    }

    /// How many failures in a row are counted.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn waits_double_up_to_the_cap_with_jitter_below() {
        let start = Instant::now();
        let mut backoff = Backoff::new(seconds(1), seconds(8), fastrand::Rng::with_seed(7));
        for expected in [1, 2, 4, 8, 8, 8] {
            let wait = backoff.failed(start);
            assert!(wait > seconds(expected) / 2 - seconds(1) / 100 && wait <= seconds(expected), "{wait:?}");
        }
    }

    #[test]
    fn trouble_that_is_over_is_forgotten() {
        let start = Instant::now();
        let mut backoff = Backoff::new(seconds(1), seconds(8), fastrand::Rng::with_seed(7));
        for _ in 0..5 {
            backoff.failed(start);
        }
        assert!(backoff.failed(start + seconds(17)) <= seconds(1));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(seconds(1), seconds(60), fastrand::Rng::with_seed(7));
        let now = Instant::now();
        assert!((0..1000).map(|_| backoff.failed(now)).all(|wait| wait <= seconds(60)));
    }
}
