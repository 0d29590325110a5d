//! When leases end. Which leases there are is on disk; how long they have left is not: a start gives all of
//! them their whole time again and a second more, as a new leader does in etcd.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The leases' deadlines. Time is an argument.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: HashMap<i64, Held>,
    queue: BTreeSet<(Instant, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    ttl: u64,
    deadline: Instant,
}

impl Leases {
    /// Starts a lease of `ttl` seconds.
    pub(crate) fn grant(&mut self, id: i64, ttl: u64, now: Instant) {
        self.forget(id);
        let deadline = now + Duration::from_secs(ttl);
        self.held.insert(id, Held { ttl, deadline });
        self.queue.insert((deadline, id));
    }

    pub(crate) fn forget(&mut self, id: i64) {
        if let Some(held) = self.held.remove(&id) {
            self.queue.remove(&(held.deadline, id));
        }
    }

    /// Gives a lease its whole time again and tells how many seconds that is; `None` if it has ended.
    pub(crate) fn renew(&mut self, id: i64, now: Instant) -> Option<u64> {
        // One whose time is up is being revoked, and nothing can stop that any more.
        let ttl = self.held.get(&id).filter(|held| held.deadline > now)?.ttl;
        self.grant(id, ttl, now);
        Some(ttl)
    }

    /// The seconds that a lease was granted, and those it has left.
    pub(crate) fn time_to_live(&self, id: i64, now: Instant) -> Option<(u64, u64)> {
        let held = self.held.get(&id).filter(|held| held.deadline > now)?;
        // Rounded to the nearest second, as etcd's `int64(math.Round(remaining.Seconds()))` of 3.4.
        let left = held.deadline.duration_since(now).as_secs_f64().round();
        // After a start it has a little more than it was granted, which is nobody's business.
        Some((held.ttl, (left as u64).min(held.ttl)))
    }

    /// All leases, those that end first at the front.
    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.queue.iter().map(|(_, id)| *id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The leases whose time is up.
    pub(crate) fn ended(&self, now: Instant) -> Vec<i64> {
        self.queue.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| *id).collect()
    }

    /// When the next one ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.queue.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_ends_when_nobody_renews_it() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.grant(1, 10, start);
        leases.grant(2, 5, start);
        assert_eq!(leases.next_end(), Some(start + 5 * SECOND));
        assert_eq!(leases.renew(2, start + 4 * SECOND), Some(5));
        assert!(leases.ended(start + 8 * SECOND).is_empty());
        assert_eq!(leases.ended(start + 10 * SECOND), [2, 1], "2 was renewed to the ninth second");
    }

    #[test]
    fn a_lease_whose_time_is_up_cannot_be_renewed() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.grant(1, 2, start);
        assert_eq!(leases.time_to_live(1, start + SECOND), Some((2, 1)));
        assert_eq!(leases.renew(1, start + 2 * SECOND), None);
        assert_eq!(leases.time_to_live(1, start + 2 * SECOND), None);
        leases.forget(1);
        assert_eq!((leases.next_end(), leases.len()), (None, 0));
    }
}
