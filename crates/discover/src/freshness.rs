//! How old what is known is.

use std::time::Duration;

use tokio::time::Instant;

/// Whether the registry is there, and since when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Nothing was ever heard of it.
    Unknown,
    /// It answers, and is believed.
    Fresh,
    /// It was so old `then`, and has aged since.
    Aging { age: Duration, then: Instant },
}

impl Freshness {
    /// How old what is known is at `now`; none if nothing is.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        match self {
            Freshness::Unknown => None,
            Freshness::Fresh => Some(Duration::ZERO),
            Freshness::Aging { age, then } => Some(*age + now.saturating_duration_since(*then)),
        }
    }

    /// The same once contact is lost; what ages already goes on.
    pub(crate) fn lost(self, now: Instant) -> Freshness {
        match self {
            Freshness::Fresh => Freshness::Aging { age: Duration::ZERO, then: now },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ages_from_the_moment_of_the_first_loss() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(Freshness::Unknown.lost(start).age(start), None);
        assert_eq!(Freshness::Fresh.age(start + second), Some(Duration::ZERO));
        let lost = Freshness::Fresh.lost(start).lost(start + second);
        assert_eq!(lost.age(start + second * 2), Some(second * 2));
        let old = Freshness::Aging { age: second * 9, then: start };
        assert_eq!(old.lost(start + second).age(start + second), Some(second * 10));
    }
}
