//! Changes on their way: from the key in the registry to nginx. Observations and their times go in.
//!
//! A change is seen in the registry, then written by the agent (its log says up to which revision), then
//! reloaded (the first reload after that), and at last served: nginx says so itself. The agent may be killed
//! between a swap and the line that tells it; so only the first and the last are sure to be seen.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use waypost_model::Endpoint;

use crate::records::Picture;

/// How long the agent's own words on a change are waited for after nginx serves it.
const WORDS_WITHIN: Duration = Duration::from_millis(500);

/// Whether a service came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Came,
    Went,
}

/// A service that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: Kind,
    revision: u64,
    /// When the registry told of it.
    pub(crate) seen: Instant,
    /// When the agent had replaced the file.
    pub(crate) written: Option<Instant>,
    /// When its reload had run.
    pub(crate) reloaded: Option<Instant>,
    /// When nginx ran with it.
    pub(crate) served: Option<Instant>,
    /// It was undone before it got there.
    is_overtaken: bool,
    is_told: bool,
}

impl Change {
    /// True while nginx does not run with it, and should.
    pub(crate) fn is_pending(&self) -> bool {
        self.served.is_none() && !self.is_overtaken
    }

    /// How long after the key something was.
    pub(crate) fn after(&self, at: Option<Instant>) -> Option<Duration> {
        at.map(|at| at.saturating_duration_since(self.seen))
    }
}

/// All changes, in the order in which they were seen.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    all: Vec<Change>,
    registered: Picture,
    in_nginx: BTreeSet<Endpoint>,
    /// The agent may be faster than what tells us of keys: its last words count for what is seen later.
    applied: Option<(u64, Instant)>,
    reloaded: Option<Instant>,
}

impl Changes {
    /// Who is registered now; gives what changed, in the order in which it was written.
    pub(crate) fn registered(&mut self, picture: Picture, at: Instant) -> Vec<Change> {
        let before = std::mem::replace(&mut self.registered, picture);
        let now = &self.registered;
        let came = now.services.iter().filter(|(endpoint, _)| !before.services.contains_key(endpoint));
        let came = came.map(|(endpoint, (name, revision))| (Kind::Came, endpoint, name, *revision));
        let went = before.services.iter().filter(|(endpoint, _)| !now.services.contains_key(endpoint));
        let went = went.map(|(endpoint, (name, _))| (Kind::Went, endpoint, name, now.revision));
        let mut new: Vec<Change> = went
            .chain(came)
            .map(|(kind, endpoint, name, revision)| Change {
                name: name.clone(),
                endpoint: endpoint.clone(),
                kind,
                revision,
                seen: at,
                written: None,
                reloaded: None,
                served: None,
                is_overtaken: false,
                is_told: false,
            })
            .collect();
        new.sort_by_key(|change| change.revision);
        for change in &new {
            self.overtake(&change.endpoint);
        }
        self.all.extend(new.iter().cloned());
        self.settle(at);
        new
    }

    /// The agent replaced the file, with the registry as it is at `revision`.
    pub(crate) fn applied(&mut self, revision: u64, at: Instant) {
        self.applied = Some((revision, at));
        self.settle(at);
    }

    /// The agent's reload has run.
    pub(crate) fn reloaded(&mut self, at: Instant) {
        self.reloaded = Some(at);
        self.settle(at);
    }

    /// nginx runs with these.
    pub(crate) fn in_nginx(&mut self, upstreams: BTreeSet<Endpoint>, at: Instant) {
        self.in_nginx = upstreams;
        self.settle(at);
    }

    /// Those that arrived, each once, with the agent's words on them if they came in time.
    pub(crate) fn arrived(&mut self, now: Instant) -> Vec<Change> {
        let is_ripe = |change: &&mut Change| {
            let words = |served: Instant| change.reloaded.is_some() || now >= served + WORDS_WITHIN;
            !change.is_told && change.served.is_some_and(words)
        };
        let tell = |change: &mut Change| {
            change.is_told = true;
            change.clone()
        };
        self.all.iter_mut().filter(is_ripe).map(tell).collect()
    }

    /// True while one is on its way.
    pub(crate) fn is_any_pending(&self) -> bool {
        self.all.iter().any(Change::is_pending)
    }

    /// All of them but those that were undone on the way.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Change> {
        self.all.iter().filter(|change| !change.is_overtaken)
    }

    fn overtake(&mut self, endpoint: &Endpoint) {
        let pending =
            self.all.iter_mut().filter(|change| change.endpoint == *endpoint && change.is_pending());
        pending.for_each(|change| change.is_overtaken = true);
    }

    /// Fills in what is known of those that are not complete.
    fn settle(&mut self, now: Instant) {
        for change in self.all.iter_mut().filter(|change| !change.is_overtaken) {
            if let (None, Some((revision, at))) = (change.written, self.applied)
                && revision >= change.revision
            {
                change.written = Some(at);
            }
            if let (None, Some(written), Some(reloaded)) = (change.reloaded, change.written, self.reloaded)
                && reloaded >= written
            {
                change.reloaded = Some(reloaded);
            }
            let is_in_nginx = self.in_nginx.contains(&change.endpoint);
            if change.served.is_none() && is_in_nginx == (change.kind == Kind::Came) {
                change.served = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::{endpoint, picture};

    struct Clock(Instant);

    impl Clock {
        fn at(&self, milliseconds: u64) -> Instant {
            self.0 + Duration::from_millis(milliseconds)
        }
    }

    fn timings(change: &Change) -> [Option<u128>; 3] {
        [change.written, change.reloaded, change.served]
            .map(|at| change.after(at).map(|after| after.as_millis()))
    }

    #[test]
    fn a_change_is_followed_from_the_key_to_nginx() {
        let (mut changes, clock) = (Changes::default(), Clock(Instant::now()));
        changes.registered(picture(5, &[("one", 1, 5)]), clock.at(0));
        changes.applied(4, clock.at(1));
        changes.reloaded(clock.at(2));
        assert_eq!(timings(changes.all().next().unwrap()), [None; 3], "an earlier state was applied");

        changes.applied(5, clock.at(3));
        changes.reloaded(clock.at(5));
        assert!(changes.is_any_pending() && changes.arrived(clock.at(6)).is_empty());
        changes.in_nginx([endpoint(1)].into(), clock.at(9));

        let arrived = changes.arrived(clock.at(9));
        assert_eq!(timings(&arrived[0]), [Some(3), Some(5), Some(9)]);
        assert!(!changes.is_any_pending() && changes.arrived(clock.at(99)).is_empty(), "told once");
    }

    #[test]
    fn an_agent_that_is_faster_than_our_own_watch_counts() {
        let (mut changes, clock) = (Changes::default(), Clock(Instant::now()));
        changes.applied(7, clock.at(0));
        changes.reloaded(clock.at(1));
        changes.in_nginx([endpoint(1)].into(), clock.at(2));
        changes.registered(picture(7, &[("one", 1, 7)]), clock.at(3));
        assert_eq!(timings(changes.all().next().unwrap()), [Some(0); 3]);
    }

    #[test]
    fn a_killed_agents_missing_words_are_not_waited_for_long() {
        let (mut changes, clock) = (Changes::default(), Clock(Instant::now()));
        changes.registered(picture(5, &[("one", 1, 5)]), clock.at(0));
        changes.in_nginx([endpoint(1)].into(), clock.at(10));
        assert!(changes.arrived(clock.at(11)).is_empty());
        assert_eq!(timings(&changes.arrived(clock.at(9_999))[0]), [None, None, Some(10)]);
    }

    #[test]
    fn what_is_undone_on_the_way_is_no_change() {
        let (mut changes, clock) = (Changes::default(), Clock(Instant::now()));
        changes.registered(picture(5, &[("one", 1, 5)]), clock.at(0));
        changes.registered(picture(6, &[]), clock.at(1));
        assert!(!changes.is_any_pending());
        let kinds: Vec<Kind> = changes.all().map(|change| change.kind).collect();
        assert_eq!(kinds, [Kind::Went], "nginx never had it");
    }
}
