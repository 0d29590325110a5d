//! What is known of the registry at a moment: its keys as they are believed, and since when it is away.
//!
//! A registry that does not answer changes nothing. One that answers as another one, or from an earlier time, is
//! doubted: what it says is taken, and what it lacks is kept beside for a while, so that live services can register
//! again; a service of which it has no instance, and a prefix of which it has no key, are kept without end.
//!
//! The time is an argument here; the task that passes it in is in `mod.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use waypost_backend::{Update, View};
use waypost_model::{Entry, Key, Prefix};

/// How a registry is judged.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The root of all services: each is judged by itself.
    pub(crate) services: Prefix,
    /// The other prefixes that are followed.
    pub(crate) keys: Vec<Prefix>,
    /// How long a registry that went back, or is another one, is given to be complete again.
    pub(crate) settle: Duration,
}

impl Rules {
    /// What is lost as a whole: the service that `key` is in, or the prefix.
    fn around(&self, key: &Key) -> Option<Prefix> {
        if !self.services.contains(key) {
            return self.keys.iter().find(|prefix| prefix.contains(key)).cloned();
        }
        let (service, _) = key.as_str().rsplit_once('/')?;
        let is_service = service.len() > self.services.as_str().len();
        Some(Prefix::new(if is_service { service } else { key.as_str() }))
    }
}

/// What is known. Cloning is cheap, unless the registry is doubted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    /// The keys as they are believed; none before the registry was read.
    view: Option<View>,
    unreachable_since: Option<Instant>,
    doubt: Option<Doubt>,
}

/// What is not believed of a registry: that it lacks these keys.
#[derive(Debug, Clone)]
struct Doubt {
    /// What it says.
    said: View,
    /// What it lacks.
    kept: BTreeMap<Key, Entry>,
    /// Since when it is not believed, or was not even there.
    since: Instant,
    /// Since when it answers without a gap; none once it was given its time.
    settling_since: Option<Instant>,
}

impl Doubt {
    /// What it says and what is kept; what it says is shared, not copied.
    fn view(&self) -> View {
        self.said.with(self.kept.iter().map(|(key, entry)| (key.clone(), entry.clone())))
    }
}

impl Picture {
    /// The keys; none before the registry was read for the first time.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Whether the registry answers now, and is believed in what it says of `prefix`.
    pub(crate) fn is_reachable(&self, prefix: &Prefix) -> bool {
        self.view.is_some() && self.away_since(prefix).is_none()
    }

    /// How long ago the registry last answered and was believed; zero while it is, none if it never was.
    pub(crate) fn age(&self, prefix: &Prefix, now: Instant) -> Option<Duration> {
        self.view.as_ref()?;
        Some(self.away_since(prefix).map_or(Duration::ZERO, |since| now.saturating_duration_since(since)))
    }

    fn away_since(&self, prefix: &Prefix) -> Option<Instant> {
        let is_kept = |doubt: &&Doubt| doubt.kept.keys().any(|key| prefix.contains(key));
        let doubted = self.doubt.as_ref().filter(is_kept).map(|doubt| doubt.since);
        self.unreachable_since.into_iter().chain(doubted).min()
    }

    /// When [`Picture::reconsider`] is wanted.
    pub(crate) fn due(&self, rules: &Rules) -> Option<Instant> {
        let settling_since = self.doubt.as_ref()?.settling_since?;
        self.unreachable_since.is_none().then(|| settling_since + rules.settle)
    }

    /// Takes note of what the Mirror tells; what is believed then says [`Picture::reconsider`], once for several.
    pub(crate) fn take(&mut self, update: Update, rules: &Rules, now: Instant) {
        let (said, changed, continuity) = match update {
            Update::Changed { view, changed, continuity } => (view, changed, continuity),
            Update::Unreachable(_) => {
                self.unreachable_since.get_or_insert(now);
                return;
            }
        };
        if !continuity.is_continued() {
            // What is kept anew is what was believed up to here; while it was away it did not settle.
            self.reconsider(rules, now);
        }
        let away_since = self.unreachable_since.take();
        if !continuity.is_continued() {
            self.begin_to_doubt(said, away_since, now);
        } else if let Some(doubt) = &mut self.doubt {
            for key in changed.iter().filter(|key| said.get(key.as_str()).is_some()) {
                doubt.kept.remove(key);
            }
            doubt.said = said;
            if away_since.is_some() {
                // What could not register meanwhile needs time again.
                doubt.settling_since = Some(now);
            }
        } else {
            self.view = Some(said);
        }
    }

    fn begin_to_doubt(&mut self, said: View, away_since: Option<Instant>, now: Instant) {
        let believed = self.view.iter().flat_map(|view| view.starting_with("", ""));
        let lacks = believed.filter(|(key, _)| said.get(key.as_str()).is_none());
        let kept = lacks.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let since = self.doubt.as_ref().map(|doubt| doubt.since).or(away_since).unwrap_or(now);
        self.doubt = Some(Doubt { said, kept, since, settling_since: Some(now) });
    }

    /// Believes that what was kept is gone, once the time for it has come.
    pub(crate) fn reconsider(&mut self, rules: &Rules, now: Instant) {
        let is_due = self.due(rules).is_some_and(|due| due <= now);
        let Some(doubt) = &mut self.doubt else { return };
        if is_due {
            doubt.settling_since = None;
        }
        if doubt.settling_since.is_none() {
            let Doubt { said, kept, .. } = doubt;
            let has_any = |prefix: Prefix| said.below(&prefix).next().is_some();
            kept.retain(|key, _| !rules.around(key).is_some_and(has_any));
        }
        self.view = Some(doubt.view());
        if doubt.kept.is_empty() {
            self.doubt = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use waypost_backend::{Continuity, Error, ErrorKind};
    use waypost_model::{Entry, Exactness, Position, Snapshot};

    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    fn rules() -> Rules {
        Rules { services: Prefix::new("/services"), keys: vec![Prefix::new("/app")], settle: SETTLE }
    }

    fn changed(keys: &[&str], continuity: Continuity) -> Update {
        let entry = |key: &&str| (key.parse().unwrap(), Entry::unnumbered("h:1".to_owned()));
        let entries = keys.iter().map(entry).collect();
        let view = Snapshot { position: Position::fixed(), exactness: Exactness::Exact, entries }.into();
        Update::Changed { view, changed: keys.iter().map(|key| key.parse().unwrap()).collect(), continuity }
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
            self.picture.reconsider(&rules(), self.now);
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.picture.reconsider(&rules(), self.now);
        }

        /// The number of keys, whether the registry is there, and for how many seconds it is not.
        fn state(&self) -> (Option<usize>, bool, Option<u64>) {
            self.state_of("")
        }

        fn state_of(&self, prefix: &str) -> (Option<usize>, bool, Option<u64>) {
            let prefix = Prefix::new(prefix);
            let age = self.picture.age(&prefix, self.now).map(|age| age.as_secs());
            let keys = self.picture.view().map(|view| view.below(&prefix).count());
            (keys, self.picture.is_reachable(&prefix), age)
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
    fn a_doubted_registry_that_comes_back_as_yet_another_one_after_an_outage_settles_anew() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/db/2"]);
        bench.take(changed(&["/services/db/1"], Continuity::Rewritten));
        bench.take(unreachable());
        bench.pass(SETTLE * 2);
        bench.take(changed(&["/services/db/1"], Continuity::Rewritten));
        assert_eq!(bench.state(), (Some(2), false, Some(60)));
        assert_eq!(bench.picture.due(&rules()), Some(bench.now + SETTLE));
    }

    #[test]
    fn what_lost_everything_is_kept_without_end_and_holds_up_nothing_else() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/web/1", "/services/web/2", "/app/a"]);
        bench.take(changed(&["/services/web/1"], Continuity::Emptied));
        bench.pass(SETTLE * 100);
        assert_eq!(bench.state_of("/services/db"), (Some(1), false, Some(3000)));
        assert_eq!(bench.state_of("/services/web"), (Some(1), true, Some(0)));
        assert_eq!(
            (bench.state_of("/app"), bench.picture.due(&rules())),
            ((Some(1), false, Some(3000)), None)
        );

        bench.take(changed(&["/services/web/3", "/services/db/7"], Continuity::Continued));
        assert_eq!(bench.state_of("/services"), (Some(2), true, Some(0)), "one is enough, the time is over");
        assert_eq!(bench.state_of("/app"), (Some(1), false, Some(3000)));
    }

    #[test]
    fn what_a_registry_lacks_after_an_outage_is_as_old_as_the_outage() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/web/1"]);
        bench.take(unreachable());
        bench.pass(Duration::from_secs(3600));
        bench.take(changed(&["/services/web/1"], Continuity::Rewritten));
        assert_eq!(bench.state_of("/services/db"), (Some(1), false, Some(3600)));
        assert_eq!(bench.state_of("/services/web"), (Some(1), true, Some(0)));
    }

    #[test]
    fn what_is_new_in_a_doubted_registry_is_taken_and_what_is_deleted_there_is_gone() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/db/2"]);
        bench.take(changed(&["/services/db/2", "/services/db/3"], Continuity::Rewritten));
        assert_eq!(bench.state(), (Some(3), false, Some(0)));
        bench.take(changed(&["/services/db/3"], Continuity::Continued));
        assert_eq!(bench.state(), (Some(2), false, Some(0)), "1 is kept, and 2 was seen to go");
    }

    #[test]
    fn what_came_and_went_in_one_burst_is_gone() {
        let mut bench = Bench::holding(&["/services/db/1", "/services/db/2"]);
        bench.take(changed(&[], Continuity::Emptied));
        bench.picture.take(changed(&["/services/db/1"], Continuity::Continued), &rules(), bench.now);
        bench.take(changed(&[], Continuity::Continued));
        assert_eq!(bench.state(), (Some(1), false, Some(0)), "only 2 is kept");
        bench.picture.take(changed(&["/services/db/3"], Continuity::Continued), &rules(), bench.now);
        bench.take(changed(&[], Continuity::Emptied));
        assert_eq!(bench.state(), (Some(2), false, Some(0)), "and what came before all was lost again");
    }

    #[test]
    fn a_service_that_is_one_key_is_judged_by_itself() {
        let mut bench = Bench::holding(&["/services/db", "/services/web"]);
        bench.take(changed(&["/services/web"], Continuity::Rewritten));
        bench.pass(SETTLE);
        assert_eq!(bench.state_of("/services/db"), (Some(1), false, Some(30)));
    }
}
