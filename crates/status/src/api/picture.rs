//! What is known of the registry at a moment: its keys as they are believed, and since when it is away.
//!
//! A registry that does not answer changes nothing. One that answers as another one, or from an earlier time, is
//! not believed at once: while keys are missing, the last ones stay for a while, so that live services can register
//! again; and as long as it holds none of a prefix that had some, without end.
//!
//! The time is an argument here; the task that passes it in is in `mod.rs`.

use std::time::{Duration, Instant};

use waypost_backend::{Update, View};
use waypost_model::Prefix;

/// How a registry is judged.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The prefixes that are followed.
    pub(crate) followed: Vec<Prefix>,
    /// How long a registry that went back, or is another one, is given to be complete again.
    pub(crate) settle: Duration,
}

/// What is known. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    /// The keys as they are believed; none before the registry was read.
    view: Option<View>,
    /// Since when the registry does not answer, or is not believed.
    away_since: Option<Instant>,
    /// Whether it answers, believed or not.
    answers: bool,
    doubt: Option<Doubt>,
}

/// What a registry says that is not believed yet.
#[derive(Debug, Clone)]
struct Doubt {
    view: View,
    since: Instant,
}

impl Picture {
    /// The keys; none before the registry was read for the first time.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Whether the registry answers now, and is believed.
    pub(crate) fn is_reachable(&self) -> bool {
        self.view.is_some() && self.away_since.is_none()
    }

    /// How long ago the registry last answered and was believed; zero while it does, none if it never did.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.view.as_ref()?;
        Some(self.away_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)))
    }

    /// When [`Picture::reconsider`] is wanted.
    pub(crate) fn due(&self, rules: &Rules) -> Option<Instant> {
        let doubt = self.doubt.as_ref().filter(|_| self.answers)?;
        (!self.is_emptied(&doubt.view, rules)).then(|| doubt.since + rules.settle)
    }

    /// Takes note of what the Mirror tells.
    pub(crate) fn take(&mut self, update: Update, rules: &Rules, now: Instant) {
        let (view, continuity) = match update {
            Update::Changed { view, continuity, .. } => (view, continuity),
            Update::Unreachable(_) => {
                self.answers = false;
                self.away_since.get_or_insert(now);
                return;
            }
        };
        // What could not register while it was away needs time again.
        let was_away = !std::mem::replace(&mut self.answers, true);
        let since = self.doubt.as_ref().map(|doubt| if was_away { now } else { doubt.since });
        match since.or_else(|| (!continuity.is_continued()).then_some(now)) {
            None => self.believe(view),
            Some(since) => {
                self.away_since.get_or_insert(now);
                self.doubt = Some(Doubt { view, since });
                self.reconsider(rules, now);
            }
        }
    }

    /// Believes what was doubted, if nothing is missing or the time has come.
    pub(crate) fn reconsider(&mut self, rules: &Rules, now: Instant) {
        let Some(doubt) = &self.doubt else { return };
        let has_settled = self.due(rules).is_some_and(|due| due <= now);
        if has_settled || !self.lacks(&doubt.view) {
            let view = doubt.view.clone();
            self.believe(view);
        }
    }

    fn believe(&mut self, view: View) {
        *self = Picture { view: Some(view), away_since: None, answers: true, doubt: None };
    }

    /// Whether keys that are believed in are missing in `view`.
    fn lacks(&self, view: &View) -> bool {
        let Some(believed) = &self.view else { return false };
        believed.differences(view).iter().any(|key| view.get(key.as_str()).is_none())
    }

    /// Whether a prefix that had keys has none in `view`.
    fn is_emptied(&self, view: &View, rules: &Rules) -> bool {
        let Some(believed) = &self.view else { return false };
        let has = |view: &View, prefix: &Prefix| view.below(prefix).next().is_some();
        rules.followed.iter().any(|prefix| has(believed, prefix) && !has(view, prefix))
    }
}

#[cfg(test)]
mod tests {
    use waypost_backend::{Continuity, Error, ErrorKind};
    use waypost_model::{Entry, Exactness, Position, Snapshot};

    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    fn rules() -> Rules {
        Rules { followed: vec![Prefix::new("/services"), Prefix::new("/app")], settle: SETTLE }
    }

    fn changed(keys: &[&str], continuity: Continuity) -> Update {
        let entry = |key: &&str| (key.parse().unwrap(), Entry::unnumbered("h:1".to_owned()));
        let entries = keys.iter().map(entry).collect();
        let view = Snapshot { position: Position::fixed(), exactness: Exactness::Exact, entries }.into();
        Update::Changed { view, changed: Vec::new(), continuity }
    }

    fn unreachable() -> Update {
        Update::Unreachable(Error::new(ErrorKind::Unavailable, "test", "read", "/"))
    }

    /// A picture, and the time, to which things happen.
    struct Bench {
        picture: Picture,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { picture: Picture::default(), now: Instant::now() }
        }

        fn holding(keys: &[&str]) -> Bench {
            let mut bench = Bench::new();
            bench.take(changed(keys, Continuity::First));
            bench
        }

        fn take(&mut self, update: Update) {
            self.picture.take(update, &rules(), self.now);
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.picture.reconsider(&rules(), self.now);
        }

        /// The number of keys, whether the registry is there, and for how many seconds it is not.
        fn state(&self) -> (Option<usize>, bool, Option<u64>) {
            let age = self.picture.age(self.now).map(|age| age.as_secs());
            (self.picture.view().map(View::len), self.picture.is_reachable(), age)
        }
    }

    #[test]
    fn before_the_first_read_nothing_is_known_and_nothing_has_an_age() {
        let mut bench = Bench::new();
        assert_eq!(bench.state(), (None, false, None));
        bench.take(unreachable());
        bench.pass(SETTLE);
        assert_eq!(bench.state(), (None, false, None));
        bench.take(changed(&["/app/a"], Continuity::First));
        assert_eq!(bench.state(), (Some(1), true, Some(0)));
    }

    #[test]
    fn what_was_known_stays_and_ages_while_the_registry_is_away() {
        let mut bench = Bench::holding(&["/app/a"]);
        bench.take(unreachable());
        bench.pass(Duration::from_secs(5));
        bench.take(unreachable());
        bench.pass(Duration::from_secs(3595));
        assert_eq!(bench.state(), (Some(1), false, Some(3600)), "counted from the first time");
        bench.take(changed(&["/app/a", "/app/b"], Continuity::Continued));
        assert_eq!(bench.state(), (Some(2), true, Some(0)));
    }

    #[test]
    fn keys_that_were_deleted_are_believed_at_once() {
        let mut bench = Bench::holding(&["/app/a"]);
        bench.take(changed(&[], Continuity::Continued));
        assert_eq!(bench.state(), (Some(0), true, Some(0)));
    }

    #[test]
    fn a_registry_that_went_back_is_believed_once_nothing_is_missing() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/db/2"]);
        bench.take(changed(&["/services/db/1"], Continuity::Rewritten));
        bench.pass(SETTLE / 2);
        assert_eq!(bench.state(), (Some(2), false, Some(15)));
        bench.take(changed(&["/services/db/1", "/services/db/2"], Continuity::Continued));
        assert_eq!(bench.state(), (Some(2), true, Some(0)));
    }

    #[test]
    fn what_is_missing_for_long_is_gone() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/db/2"]);
        bench.take(changed(&["/services/db/1"], Continuity::Rewritten));
        assert_eq!(bench.picture.due(&rules()), Some(bench.now + SETTLE));
        bench.pass(SETTLE);
        assert_eq!(bench.state(), (Some(1), true, Some(0)));
    }

    #[test]
    fn a_registry_that_is_away_does_not_settle() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/db/2"]);
        bench.take(changed(&["/services/db/1"], Continuity::Rewritten));
        bench.take(unreachable());
        bench.pass(SETTLE);
        assert_eq!((bench.state(), bench.picture.due(&rules())), ((Some(2), false, Some(30)), None));
        bench.take(changed(&["/services/db/1"], Continuity::Continued));
        assert_eq!(bench.picture.due(&rules()), Some(bench.now + SETTLE), "its time begins anew");
    }

    #[test]
    fn a_prefix_that_lost_all_its_keys_keeps_the_old_ones_without_end() {
        let mut bench = Bench::holding(&["/services/db/1", "/app/a"]);
        bench.take(changed(&["/app/a"], Continuity::Emptied));
        assert_eq!(bench.picture.due(&rules()), None);
        bench.pass(SETTLE * 100);
        assert_eq!(bench.state(), (Some(2), false, Some(3000)));
        bench.take(changed(&["/app/a", "/services/db/7"], Continuity::Continued));
        assert_eq!(bench.state(), (Some(2), true, Some(0)), "one is enough, the time is over");
    }
}
