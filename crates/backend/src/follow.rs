//! Following a store: when to read, watch, audit and wait. Events and the time go in, actions come out.
//!
//! A watch goes on only as long as nothing breaks. After any trouble everything is read again and compared
//! with what was held, value by value: a store that comes back may be another one, or an older state of the
//! same one under the same ids and even the same revisions, and only the values tell (etcd: a restored
//! member keeps its cluster id and counts on from the restored revision).
//!
//! The I/O is in `mirror.rs`.

use std::fmt;
use std::time::{Duration, Instant};

use waypost_model::{Batch, Entry, Key, Position, Snapshot, StoreId};

use crate::{Audit, Backoff, Error, ErrorKind, Result, Update, View};

/// How a store is followed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often the store is asked whether the watch missed something; a cheap question.
    pub audit_every: Duration,
    /// How often everything is read again, whatever the watch says.
    pub reread_every: Duration,
    /// Whether the store is watched; if not, it is only read again and again.
    pub watches: bool,
    /// How long the watch may take to deliver what an audit found.
    pub grace: Duration,
    /// The shortest and the longest wait before a retry.
    pub retry: (Duration, Duration),
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            audit_every: Duration::from_secs(30),
            reread_every: Duration::from_secs(600),
            watches: true,
            grace: Duration::from_secs(1),
            retry: (Duration::from_millis(100), Duration::from_secs(5)),
        }
    }
}

/// How a view follows from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// There was none before.
    First,
    /// It is a later state of the same history.
    Continued,
    /// It answers under another identity.
    OtherStore {
        /// The store that was followed.
        was: StoreId,
        /// The one that answers now.
        is: StoreId,
    },
    /// The store is at an earlier revision than it was: restored, or emptied.
    WentBack {
        /// The position that was held.
        was: Position,
        /// The one that the store is at.
        is: Position,
    },
    /// The revision is not earlier, but writes that had been seen differ: restored, and written to since.
    Rewritten,
    /// Nothing that had been seen is there, and no deletion was: emptied, and written to since.
    Emptied,
}

impl Continuity {
    /// True if the view belongs to the history that was followed.
    pub fn is_continued(self) -> bool {
        matches!(self, Continuity::First | Continuity::Continued)
    }

    fn between(old: &View, new: &View) -> Continuity {
        let (was, is) = (old.position(), new.position());
        if was.store != is.store {
            return Continuity::OtherStore { was: was.store, is: is.store };
        }
        if is.is_before(&was) {
            return Continuity::WentBack { was, is };
        }
        let is_seen = |entry: &Entry| entry.revision != 0 && entry.revision <= was.revision;
        let differs = |key: &Key, entry: &Entry| old.get(key.as_str()) != Some(entry);
        if new.starting_with("", "").any(|(key, entry)| is_seen(entry) && differs(key, entry)) {
            return Continuity::Rewritten;
        }
        let survives = |(key, _): (&Key, &Entry)| new.get(key.as_str()).is_some();
        if !old.is_empty() && !old.starting_with("", "").any(survives) {
            return Continuity::Emptied;
        }
        Continuity::Continued
    }
}

impl fmt::Display for Continuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Continuity::First => f.write_str("first view"),
            Continuity::Continued => f.write_str("continued"),
            Continuity::OtherStore { was, is } => write!(f, "another store answers: {is} instead of {was}"),
            Continuity::WentBack { was, is } => {
                write!(f, "the store went back from revision {} to {}", was.revision, is.revision)
            }
            Continuity::Rewritten => f.write_str("the store's history was replaced"),
            Continuity::Emptied => f.write_str("every key is gone, and no deletion was seen"),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    Started,
    Read(Result<Snapshot>),
    Batch(Result<Batch>),
    Audited(Result<Option<Audit>>),
    /// The time of [`Follower::deadline`] has come.
    Due,
}

/// What to do. Reading ends a watch.
#[derive(Debug)]
pub(crate) enum Action {
    Read,
    Watch(Position),
    Audit(Position),
    Publish(Update),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    Waiting { until: Instant },
    Watching { audit_at: Instant, reread_at: Instant, audit: AuditPhase },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuditPhase {
    Quiet,
    /// The last one found writes that the watch had not delivered.
    Suspicious,
    Asked {
        since: Position,
        suspicious: bool,
    },
}

/// Decides how a store is followed.
#[derive(Debug)]
pub(crate) struct Follower {
    settings: Settings,
    backoff: Backoff,
    view: Option<View>,
    phase: Phase,
    unreachable: bool,
}

impl Follower {
    pub(crate) fn new(settings: Settings, random: fastrand::Rng) -> Follower {
        let (base, cap) = settings.retry;
        Follower {
            settings,
            backoff: Backoff::new(base, cap, random),
            view: None,
            phase: Phase::Reading,
            unreachable: false,
        }
    }

    /// The newest view, if the store was ever read.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// When [`Event::Due`] is wanted.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Reading => None,
            Phase::Waiting { until } => Some(until),
            Phase::Watching { reread_at, audit: AuditPhase::Asked { .. }, .. } => Some(reread_at),
            Phase::Watching { audit_at, reread_at, .. } => Some(audit_at.min(reread_at)),
        }
    }

    pub(crate) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match (event, self.phase) {
            (Event::Started, _) => self.read(),
            (Event::Read(Ok(snapshot)), Phase::Reading) => self.adopt(snapshot.into(), now),
            (Event::Batch(Ok(batch)), Phase::Watching { .. }) => self.apply(batch),
            (Event::Audited(Ok(found)), Phase::Watching { audit: AuditPhase::Asked { .. }, .. }) => {
                self.audited(found, now)
            }
            (Event::Batch(Err(error)), Phase::Watching { .. })
                if error.kind() == ErrorKind::Lost && self.backoff.failures() == 0 =>
            {
                self.backoff.failed(now);
                self.read()
            }
            (Event::Read(Err(error)) | Event::Batch(Err(error)) | Event::Audited(Err(error)), _) => {
                self.fail(error, now)
            }
            (Event::Due, Phase::Waiting { .. }) => self.read(),
            (Event::Due, Phase::Watching { audit_at, reread_at, audit }) => {
                if now >= reread_at {
                    self.read()
                } else if now >= audit_at {
                    self.ask(audit)
                } else {
                    Vec::new()
                }
            }
            // An answer that came after the trouble that made it worthless.
            (Event::Read(_) | Event::Batch(_) | Event::Audited(_) | Event::Due, _) => Vec::new(),
        }
    }

    fn read(&mut self) -> Vec<Action> {
        self.phase = Phase::Reading;
        vec![Action::Read]
    }

    fn fail(&mut self, error: Error, now: Instant) -> Vec<Action> {
        self.unreachable = true;
        self.phase = Phase::Waiting { until: now + self.backoff.failed(now) };
        vec![Action::Publish(Update::Unreachable(error))]
    }

    fn adopt(&mut self, new: View, now: Instant) -> Vec<Action> {
        let (continuity, changed) = match &self.view {
            None => (Continuity::First, new.starting_with("", "").map(|(key, _)| key.clone()).collect()),
            Some(old) => (self.continuity(old, &new), old.differences(&new)),
        };
        let position = new.position();
        let is_news = continuity != Continuity::Continued || !changed.is_empty() || self.unreachable;
        self.unreachable = false;
        self.view = Some(new.clone());
        let Settings { audit_every, reread_every, watches, .. } = self.settings;
        let reread_at = now + reread_every;
        self.phase = Phase::Watching {
            // Without a watch there is none that could have missed something.
            audit_at: if watches { now + audit_every } else { reread_at },
            reread_at,
            audit: AuditPhase::Quiet,
        };
        let publish = is_news.then(|| Action::Publish(Update::Changed { view: new, changed, continuity }));
        publish.into_iter().chain(watches.then_some(Action::Watch(position))).collect()
    }

    /// Without a watch no deletion is ever seen, so that one of all keys is no sign of another history.
    fn continuity(&self, old: &View, new: &View) -> Continuity {
        match Continuity::between(old, new) {
            Continuity::Emptied if !self.settings.watches => Continuity::Continued,
            continuity => continuity,
        }
    }

    fn apply(&mut self, batch: Batch) -> Vec<Action> {
        let view = self.view.as_mut().expect("a watch follows a read");
        let changed = view.apply(batch);
        if changed.is_empty() {
            return Vec::new();
        }
        let view = view.clone();
        vec![Action::Publish(Update::Changed { view, changed, continuity: Continuity::Continued })]
    }

    fn ask(&mut self, before: AuditPhase) -> Vec<Action> {
        let since = self.view.as_ref().expect("a watch follows a read").position();
        self.set_audit(AuditPhase::Asked { since, suspicious: before == AuditPhase::Suspicious }, None);
        vec![Action::Audit(since)]
    }

    fn audited(&mut self, found: Option<Audit>, now: Instant) -> Vec<Action> {
        let Phase::Watching { audit: AuditPhase::Asked { since, suspicious }, .. } = self.phase else {
            return Vec::new();
        };
        let later = now + self.settings.audit_every;
        let view = self.view.as_mut().expect("a watch follows a read");
        let Some(found) = found else {
            self.set_audit(AuditPhase::Quiet, Some(later));
            return Vec::new();
        };
        if found.position.store != since.store || found.position.is_before(&since) {
            return self.read();
        }
        let has_moved = view.position() != since;
        let agrees = !found.is_newer && found.keys == view.len();
        if agrees && !has_moved {
            view.advance(found.position);
        }
        // A watch that moved while the audit was out is alive, and its keys cannot be compared.
        if agrees || has_moved {
            self.set_audit(AuditPhase::Quiet, Some(later));
        } else if suspicious {
            return self.read();
        } else {
            self.set_audit(AuditPhase::Suspicious, Some(now + self.settings.grace));
        }
        Vec::new()
    }

    fn set_audit(&mut self, next: AuditPhase, at: Option<Instant>) {
        if let Phase::Watching { audit_at, audit, .. } = &mut self.phase {
            *audit = next;
            *audit_at = at.unwrap_or(*audit_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use waypost_model::{Change, Exactness};

    use super::*;
    use crate::view::tests::{at, gone, key, put};

    struct Bench {
        follower: Follower,
        now: Instant,
    }

    #[test]
    fn all_keys_that_are_gone_are_a_deletion_to_who_does_not_watch() {
        let settings = Settings { watches: false, ..Settings::default() };
        let follower = Follower::new(settings, fastrand::Rng::with_seed(1));
        let mut bench = Bench { follower, now: Instant::now() };
        bench.step(Event::Started);
        bench.step(Event::Read(Ok(snapshot(5, &[("/a", "x", 5)]))));
        bench.now = bench.follower.deadline().unwrap();
        bench.step(Event::Due);
        let actions = bench.step(Event::Read(Ok(snapshot(6, &[]))));
        let [Action::Publish(Update::Changed { continuity, .. })] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!(*continuity, Continuity::Continued);
    }

    #[test]
    fn a_store_that_is_not_watched_is_read_again_and_again() {
        let settings = Settings { watches: false, ..Settings::default() };
        let follower = Follower::new(settings, fastrand::Rng::with_seed(1));
        let mut bench = Bench { follower, now: Instant::now() };
        bench.step(Event::Started);
        for revision in 5..8 {
            let value = revision.to_string();
            let actions = bench.step(Event::Read(Ok(snapshot(revision, &[("/a", &value, revision)]))));
            assert!(matches!(actions[..], [Action::Publish(_)]), "{actions:?}");
            bench.now = bench.follower.deadline().unwrap();
            assert!(matches!(bench.step(Event::Due)[..], [Action::Read]));
        }
    }

    impl Bench {
        fn new() -> Bench {
            let follower = Follower::new(Settings::default(), fastrand::Rng::with_seed(1));
            Bench { follower, now: Instant::now() }
        }

        /// A follower that watches `entries` at `revision`.
        fn watching(revision: u64, entries: &[(&str, &str, u64)]) -> Bench {
            let mut bench = Bench::new();
            bench.step(Event::Started);
            bench.step(Event::Read(Ok(snapshot(revision, entries))));
            bench
        }

        fn step(&mut self, event: Event) -> Vec<Action> {
            self.follower.step(event, self.now)
        }

        fn wait_until_due(&mut self) -> Vec<Action> {
            self.now = self.now.max(self.follower.deadline().expect("something is due"));
            self.step(Event::Due)
        }

        /// What is published when the store is read again and has `entries` at `revision`.
        fn reread(&mut self, revision: u64, entries: &[(&str, &str, u64)]) -> (Vec<Key>, Continuity) {
            self.step(Event::Batch(Err(unavailable())));
            self.wait_until_due();
            let actions = self.step(Event::Read(Ok(snapshot(revision, entries))));
            let [Action::Publish(Update::Changed { changed, continuity, .. }), Action::Watch(_)] =
                &actions[..]
            else {
                panic!("{actions:?}")
            };
            (changed.clone(), *continuity)
        }
    }

    fn snapshot(revision: u64, entries: &[(&str, &str, u64)]) -> Snapshot {
        let entry = |(name, value, revision): &(&str, &str, u64)| {
            (key(name), put(name, value, *revision).entry.unwrap())
        };
        let entries: BTreeMap<_, _> = entries.iter().map(entry).collect();
        Snapshot { position: at(revision), exactness: Exactness::Exact, entries }
    }

    fn batch(revision: u64, changes: impl Into<Vec<Change>>) -> Event {
        Event::Batch(Ok(Batch { position: at(revision), changes: changes.into() }))
    }

    fn unavailable() -> Error {
        Error::new(ErrorKind::Unavailable, "test", "watch", "/")
    }

    fn audit(revision: u64, keys: usize, is_newer: bool) -> Event {
        Event::Audited(Ok(Some(Audit { position: at(revision), keys, is_newer })))
    }

    #[test]
    fn a_read_is_published_and_watched_from_where_it_was() {
        let mut bench = Bench::new();
        assert!(matches!(bench.step(Event::Started)[..], [Action::Read]));
        let actions = bench.step(Event::Read(Ok(snapshot(5, &[("/a", "1", 3)]))));
        let [Action::Publish(Update::Changed { changed, continuity, .. }), Action::Watch(from)] =
            &actions[..]
        else {
            panic!("{actions:?}")
        };
        assert_eq!((&changed[..], *continuity, *from), (&[key("/a")][..], Continuity::First, at(5)));
    }

    #[test]
    fn a_batch_that_changes_no_value_is_not_published() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
        assert!(bench.step(batch(6, [put("/a", "1", 6)])).is_empty());
        assert_eq!(bench.follower.view().map(View::position), Some(at(6)));
        assert!(matches!(bench.step(batch(7, [gone("/a")]))[..], [Action::Publish(_)]));
    }

    #[test]
    fn a_store_that_does_not_answer_keeps_its_keys_and_is_asked_again() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
        let actions = bench.step(Event::Batch(Err(unavailable())));
        assert!(matches!(actions[..], [Action::Publish(Update::Unreachable(_))]));
        assert_eq!(bench.follower.view().map(View::len), Some(1));
        assert!(matches!(bench.wait_until_due()[..], [Action::Read]));
    }

    #[test]
    fn a_lost_position_is_read_again_at_once_and_only_then_with_pauses() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
        let lost = || Event::Batch(Err(Error::new(ErrorKind::Lost, "test", "watch", "/")));
        assert!(matches!(bench.step(lost())[..], [Action::Read]));
        bench.step(Event::Read(Ok(snapshot(9, &[("/a", "1", 3)]))));
        assert!(matches!(bench.step(lost())[..], [Action::Publish(Update::Unreachable(_))]));
    }

    #[test]
    fn a_later_state_of_the_same_history_continues() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3), ("/b", "1", 4)]);
        let reread = bench.reread(8, &[("/a", "1", 3), ("/c", "1", 8)]);
        assert_eq!(reread, (vec![key("/b"), key("/c")], Continuity::Continued));
    }

    #[test]
    fn a_restored_store_is_recognised_even_at_the_same_revision() {
        let held = [("/a", "1", 3), ("/b", "1", 5)];
        let verdict =
            |revision, entries: &[(&str, &str, u64)]| Bench::watching(5, &held).reread(revision, entries).1;
        assert_eq!(verdict(4, &[("/a", "1", 3)]), Continuity::WentBack { was: at(5), is: at(4) });
        assert_eq!(verdict(5, &[("/a", "1", 3), ("/b", "2", 5)]), Continuity::Rewritten);
        assert_eq!(verdict(9, &[("/a", "1", 3), ("/b", "1", 4)]), Continuity::Rewritten);
        assert_eq!(verdict(9, &[("/z", "1", 9)]), Continuity::Emptied);
        assert_eq!(verdict(9, &[]), Continuity::Emptied);
    }

    #[test]
    fn an_audit_that_agrees_moves_the_position_on() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
        assert!(matches!(bench.wait_until_due()[..], [Action::Audit(since)] if since == at(5)));
        assert!(bench.step(audit(90, 1, false)).is_empty());
        assert_eq!(bench.follower.view().map(View::position), Some(at(90)));
    }

    #[test]
    fn a_watch_that_keeps_silent_about_a_change_is_given_up_after_a_grace() {
        for missed in [(1, true), (0, false), (2, true)] {
            let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
            bench.wait_until_due();
            assert!(bench.step(audit(9, missed.0, missed.1)).is_empty(), "it may still come");
            assert!(matches!(bench.wait_until_due()[..], [Action::Audit(_)]));
            assert!(matches!(bench.step(audit(9, missed.0, missed.1))[..], [Action::Read]));
        }
    }

    #[test]
    fn a_watch_that_moved_meanwhile_is_alive() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
        bench.wait_until_due();
        bench.step(batch(6, [put("/b", "1", 6)]));
        assert!(bench.step(audit(6, 2, true)).is_empty());
        assert!(bench.follower.deadline() > Some(bench.now + Duration::from_secs(2)));
    }

    #[test]
    fn an_audit_that_finds_an_earlier_revision_leads_to_a_read() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
        bench.wait_until_due();
        assert!(matches!(bench.step(audit(4, 1, false))[..], [Action::Read]));
    }

    #[test]
    fn everything_is_read_again_from_time_to_time() {
        let mut bench = Bench::watching(5, &[("/a", "1", 3)]);
        for _ in 0..100 {
            let actions = bench.wait_until_due();
            if matches!(actions[..], [Action::Read]) {
                return assert!(bench.step(Event::Read(Ok(snapshot(5, &[("/a", "1", 3)])))).len() == 1);
            }
            bench.step(audit(5, 1, false));
        }
        panic!("never read again");
    }
}
