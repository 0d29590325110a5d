//! The endpoints that failed of late, so that the next connection does not begin with them.

use std::time::{Duration, Instant};

use waypost_model::Endpoint;

/// How many are remembered.
const AT_MOST: usize = 64;

/// Endpoints, each with the time of its last failure, in the order of these times.
#[derive(Debug, Default)]
pub(crate) struct Suspects(Vec<(Endpoint, Instant)>);

impl Suspects {
    /// A connection to it failed.
    pub(crate) fn failed(&mut self, endpoint: &Endpoint, now: Instant) {
        self.succeeded(endpoint);
        if self.0.len() == AT_MOST {
            self.0.remove(0);
        }
        self.0.push((endpoint.clone(), now));
    }

    /// A connection to it was made.
    pub(crate) fn succeeded(&mut self, endpoint: &Endpoint) {
        self.0.retain(|(suspect, _)| suspect != endpoint);
    }

    /// Those that failed less than `lasting` ago, the oldest failure first.
    pub(crate) fn since(&mut self, lasting: Duration, now: Instant) -> Vec<Endpoint> {
        self.0.retain(|(_, failed)| now.saturating_duration_since(*failed) < lasting);
        self.0.iter().map(|(endpoint, _)| endpoint.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_one_until_it_answers_or_time_has_passed() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let [a, b, c] = [1, 2, 3].map(|port| Endpoint::new("h", port));
        let mut suspects = Suspects::default();
        suspects.failed(&a, start);
        suspects.failed(&b, start);
        suspects.failed(&c, start);
        suspects.failed(&a, start + second);
        suspects.succeeded(&b);
        assert_eq!(suspects.since(second * 10, start + second * 9), [c, a.clone()]);
        assert_eq!(suspects.since(second * 10, start + second * 10), [a]);
    }

    #[test]
    fn the_oldest_are_forgotten_when_there_are_too_many() {
        let mut suspects = Suspects::default();
        let now = Instant::now();
        for port in 1..=100 {
            suspects.failed(&Endpoint::new("h", port), now);
        }
        let left = suspects.since(Duration::from_secs(1), now);
        assert_eq!((left.len(), left[0].port()), (AT_MOST, 37));
    }
}
