//! What to do next on the way to a connection: try an endpoint, ask the registry, wait, or give up.
//!
//! Never the same endpoint again while there is another that has not failed. After each failure the registry
//! is asked afresh; and there is a pause only if all that it names has failed already: an address that moved
//! is tried at once.
//!
//! The time is an argument here; the I/O is in `connect.rs`.

use std::time::{Duration, Instant};

use waypost_backend::Backoff;
use waypost_model::{Endpoint, Instance};

use crate::choose::choose;

/// How often, how long and how fast a connection is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How many attempts there are at most.
    pub attempts: u32,
    /// How long all of it may take. It should outlast a fail-over.
    pub budget: Duration,
    /// How long one attempt may take. It finds the peer that accepts and never speaks.
    pub attempt: Duration,
    /// How long the registry may take to answer.
    pub ask: Duration,
    /// The first pause and the longest; they double in between, and each is drawn between half of it and the
    /// whole.
    pub pause: (Duration, Duration),
    /// For how long an endpoint that failed is tried after all others.
    pub suspect: Duration,
}

impl Default for Retry {
    /// 8 attempts of 1 s each in 2 s, which is what ends it first; pauses from 0.1 s to 0.8 s, 0.5 s for the
    /// registry, suspects for 10 s.
    fn default() -> Retry {
        Retry {
            attempts: 8,
            budget: Duration::from_secs(2),
            attempt: Duration::from_secs(1),
            ask: Duration::from_millis(500),
            pause: (Duration::from_millis(100), Duration::from_millis(800)),
            suspect: Duration::from_secs(10),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Connect to it.
    Try { instance: Instance, within: Duration },
    /// Ask the registry.
    Ask { within: Duration },
    /// Wait; a change of what is known ends it early.
    Pause { lasting: Duration },
    /// No more.
    GiveUp(GaveUp),
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// All attempts were made.
    Attempts,
    /// The time was over.
    Budget,
    /// The last error was one that no other attempt mends.
    Final,
}

/// One way to a connection.
#[derive(Debug)]
pub(crate) struct Attempts {
    retry: Retry,
    zone: Option<String>,
    end: Instant,
    /// What is known of the service.
    instances: Vec<Instance>,
    /// What failed before this began, the oldest failure first.
    suspects: Vec<Endpoint>,
    /// What failed here, the oldest failure first.
    failed: Vec<Endpoint>,
    tries: u32,
    /// There was a pause since the last failure.
    is_rested: bool,
    /// When the last pause is over.
    resting_until: Instant,
    backoff: Backoff,
    random: fastrand::Rng,
}

impl Attempts {
    /// Begins at `now`, with endpoints that are to be tried last.
    pub(crate) fn new(
        retry: &Retry,
        zone: Option<&str>,
        suspects: Vec<Endpoint>,
        mut random: fastrand::Rng,
        now: Instant,
    ) -> Attempts {
        let (shortest, longest) = retry.pause;
        Attempts {
            retry: retry.clone(),
            zone: zone.map(str::to_owned),
            // A time without end is a year.
            end: now.checked_add(retry.budget).unwrap_or(now + Duration::from_secs(365 * 24 * 3600)),
            instances: Vec::new(),
            suspects,
            failed: Vec::new(),
            tries: 0,
            is_rested: false,
            resting_until: now,
            backoff: Backoff::new(shortest, longest, random.fork()),
            random,
        }
    }

    /// The first step, with what is known already. What is all suspect is not worth trying: it is asked for
    /// first.
    pub(crate) fn begin(&mut self, known: Vec<Instance>, now: Instant) -> Step {
        self.instances = known;
        match self.candidate() {
            Some(instance) if !self.suspects.contains(&instance.endpoint) => self.attempt(instance, now),
            _ => self.ask(now),
        }
    }

    /// The endpoint did not serve.
    pub(crate) fn failed(&mut self, endpoint: &Endpoint, now: Instant) -> Step {
        self.failed.retain(|other| other != endpoint);
        self.failed.push(endpoint.clone());
        self.is_rested = false;
        if self.tries >= self.retry.attempts { Step::GiveUp(GaveUp::Attempts) } else { self.ask(now) }
    }

    /// The registry answered, or this is what is known without it.
    pub(crate) fn told(&mut self, instances: Vec<Instance>, now: Instant) -> Step {
        match self.worth_trying(instances) {
            Some(instance) => self.attempt(instance, now),
            None => self.pause(now),
        }
    }

    /// One that has not failed, or any one after a pause.
    fn worth_trying(&mut self, instances: Vec<Instance>) -> Option<Instance> {
        self.instances = instances;
        let candidate = self.candidate()?;
        (self.is_rested || !self.failed.contains(&candidate.endpoint)).then_some(candidate)
    }

    /// The pause is over.
    pub(crate) fn rested(&mut self, now: Instant) -> Step {
        self.is_rested = true;
        self.ask(now)
    }

    /// The pause was ended by a change: something else may be there to be tried. If not, the pause goes on, and is
    /// no longer for it.
    pub(crate) fn woken(&mut self, instances: Vec<Instance>, now: Instant) -> Step {
        match (self.worth_trying(instances), self.resting_until.saturating_duration_since(now)) {
            (Some(instance), _) => self.attempt(instance, now),
            (None, Duration::ZERO) => self.rested(now),
            (None, left) => self.bounded(left, now, |_, lasting| Step::Pause { lasting }),
        }
    }

    fn candidate(&mut self) -> Option<Instance> {
        let is_older = |suspect: &&Endpoint| !self.failed.contains(suspect);
        let avoid: Vec<Endpoint> =
            self.suspects.iter().filter(is_older).chain(&self.failed).cloned().collect();
        choose(&self.instances, self.zone.as_deref(), &avoid, &mut self.random).cloned()
    }

    fn attempt(&mut self, instance: Instance, now: Instant) -> Step {
        self.bounded(self.retry.attempt, now, |attempts, within| {
            attempts.tries += 1;
            Step::Try { instance, within }
        })
    }

    fn ask(&mut self, now: Instant) -> Step {
        self.bounded(self.retry.ask, now, |_, within| Step::Ask { within })
    }

    fn pause(&mut self, now: Instant) -> Step {
        let lasting = self.backoff.failed(now);
        self.resting_until = now + lasting;
        self.bounded(lasting, now, |_, lasting| Step::Pause { lasting })
    }

    /// A step of this length, or what is left of the budget.
    fn bounded(
        &mut self,
        length: Duration,
        now: Instant,
        step: impl FnOnce(&mut Attempts, Duration) -> Step,
    ) -> Step {
        match self.end.saturating_duration_since(now) {
            Duration::ZERO => Step::GiveUp(GaveUp::Budget),
            left => step(self, length.min(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STALE: u16 = 1;
    const NEW: u16 = 2;
    const MS: Duration = Duration::from_millis(1);

    fn instances(ports: &[u16]) -> Vec<Instance> {
        ports.iter().map(|port| Instance::new(port.to_string(), Endpoint::new("h", *port))).collect()
    }

    /// Attempts at a time that only passes when it is told to.
    struct Bench {
        attempts: Attempts,
        start: Instant,
        now: Instant,
    }

    impl Bench {
        fn new(suspects: &[u16]) -> Bench {
            let now = Instant::now();
            let suspects = suspects.iter().map(|port| Endpoint::new("h", *port)).collect();
            let random = fastrand::Rng::with_seed(7);
            let retry = Retry { attempts: 5, ..Retry::default() };
            Bench { attempts: Attempts::new(&retry, None, suspects, random, now), start: now, now }
        }

        fn begin(&mut self, ports: &[u16]) -> Step {
            self.attempts.begin(instances(ports), self.now)
        }

        fn failed(&mut self, port: u16) -> Step {
            self.attempts.failed(&Endpoint::new("h", port), self.now)
        }

        fn told(&mut self, ports: &[u16]) -> Step {
            self.attempts.told(instances(ports), self.now)
        }

        fn woken(&mut self, ports: &[u16]) -> Step {
            self.attempts.woken(instances(ports), self.now)
        }

        /// Lets the pause of `step` pass.
        fn rest(&mut self, step: &Step) -> Step {
            let Step::Pause { lasting } = step else { panic!("{step:?}") };
            self.now += *lasting;
            self.attempts.rested(self.now)
        }
    }

    fn tries(step: &Step) -> u16 {
        let Step::Try { instance, .. } = step else { panic!("{step:?}") };
        instance.endpoint.port()
    }

    fn asks(step: &Step) -> bool {
        matches!(step, Step::Ask { .. })
    }

    #[test]
    fn an_address_that_moved_is_tried_at_once() {
        let mut bench = Bench::new(&[]);
        assert_eq!(tries(&bench.begin(&[STALE])), STALE);
        assert!(asks(&bench.failed(STALE)));
        assert_eq!(tries(&bench.told(&[NEW])), NEW);
    }

    #[test]
    fn t2_a_registry_that_is_stale_twice_is_asked_afresh_each_time_with_a_pause_and_then_answers() {
        let mut bench = Bench::new(&[]);
        bench.begin(&[STALE]);
        assert!(asks(&bench.failed(STALE)));
        let pause = bench.told(&[STALE]);
        assert!(asks(&bench.rest(&pause)));
        assert_eq!(tries(&bench.told(&[STALE])), STALE, "it may be back");
        assert!(asks(&bench.failed(STALE)));
        assert_eq!(tries(&bench.told(&[NEW])), NEW);
    }

    #[test]
    fn a_dead_endpoint_is_not_tried_again_while_there_is_another_and_nobody_waits() {
        let mut bench = Bench::new(&[]);
        let mut seen = Vec::new();
        let mut step = bench.begin(&[1, 2, 3]);
        for _ in 0..3 {
            let port = tries(&step);
            seen.push(port);
            bench.failed(port);
            step = bench.told(&[1, 2, 3]);
        }
        let first = seen[0];
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
        bench.rest(&step);
        assert_eq!(tries(&bench.told(&[1, 2, 3])), first, "that failed longest ago");
    }

    #[test]
    fn what_failed_for_somebody_else_comes_last_and_if_there_is_nothing_else_the_registry_is_asked_first() {
        for _ in 0..20 {
            assert_eq!(tries(&Bench::new(&[STALE]).begin(&[STALE, NEW])), NEW);
        }
        let mut bench = Bench::new(&[STALE]);
        assert!(asks(&bench.begin(&[STALE])));
        assert_eq!(tries(&bench.told(&[STALE])), STALE, "it has not failed here, so nobody waits");
    }

    #[test]
    fn a_change_that_brings_nothing_new_does_not_end_the_waiting() {
        let mut bench = Bench::new(&[]);
        bench.begin(&[STALE]);
        bench.failed(STALE);
        bench.told(&[STALE]);
        assert!(matches!(bench.woken(&[STALE]), Step::Pause { .. }));
        assert_eq!(tries(&bench.woken(&[STALE, NEW])), NEW);
    }

    #[test]
    fn changes_that_bring_nothing_new_do_not_prolong_a_pause() {
        let mut bench = Bench::new(&[]);
        bench.begin(&[STALE]);
        bench.failed(STALE);
        let mut step = bench.told(&[STALE]);
        for _ in 0..100 {
            if asks(&step) {
                break;
            }
            bench.now += 10 * MS;
            step = bench.woken(&[STALE]);
        }
        assert!(asks(&step) && bench.now - bench.start <= 110 * MS, "{:?}", bench.now - bench.start);
        assert_eq!(tries(&bench.told(&[STALE])), STALE, "it may be back");
    }

    #[test]
    fn a_budget_without_end_is_one() {
        let retry = Retry { budget: Duration::MAX, ..Retry::default() };
        let random = fastrand::Rng::with_seed(7);
        let mut attempts = Attempts::new(&retry, None, Vec::new(), random, Instant::now());
        assert_eq!(tries(&attempts.begin(instances(&[NEW]), Instant::now())), NEW);
    }

    #[test]
    fn t5_all_dead_gives_up_within_attempts_and_budget() {
        let mut bench = Bench::new(&[]);
        let mut step = bench.begin(&[STALE]);
        let (mut tried, mut pauses) = (0, Vec::new());
        let gave_up = loop {
            step = match &step {
                Step::Try { .. } => {
                    tried += 1;
                    bench.now += MS;
                    bench.failed(STALE)
                }
                Step::Ask { .. } => bench.told(&[STALE]),
                Step::Pause { lasting } => {
                    pauses.push(*lasting);
                    bench.rest(&step)
                }
                Step::GiveUp(gave_up) => break *gave_up,
            };
        };
        assert_eq!((gave_up, tried, pauses.len()), (GaveUp::Attempts, 5, 4));
        for (pause, longest) in pauses.iter().zip([100, 200, 400, 800]) {
            assert!(*pause <= longest * MS && *pause >= (longest / 2 - 1) * MS, "{pauses:?}");
        }
    }

    #[test]
    fn t6_an_attempt_gets_no_more_than_its_time_and_no_more_than_is_left() {
        let mut bench = Bench::new(&[]);
        let Step::Try { within, .. } = bench.begin(&[1, 2, 3]) else { panic!() };
        assert_eq!(within, 1000 * MS);
        bench.now += 1500 * MS;
        let Step::Ask { within } = bench.failed(1) else { panic!() };
        assert_eq!(within, 500 * MS);
        bench.now += 400 * MS;
        let Step::Try { within, .. } = bench.told(&[2]) else { panic!() };
        assert_eq!(within, 100 * MS);
        bench.now += 100 * MS;
        assert_eq!(bench.failed(2), Step::GiveUp(GaveUp::Budget));
        assert_eq!(bench.now - bench.start, Retry::default().budget);
    }

    #[test]
    fn without_any_endpoint_it_waits_for_one_until_the_time_is_over() {
        let mut bench = Bench::new(&[]);
        assert!(asks(&bench.begin(&[])));
        let mut step = bench.told(&[]);
        while let Step::Pause { .. } = step {
            step = bench.rest(&step);
            if asks(&step) {
                step = bench.told(&[]);
            }
        }
        assert_eq!(step, Step::GiveUp(GaveUp::Budget));
        assert_eq!(bench.now - bench.start, Retry::default().budget);
    }

    proptest! {
        /// However the registry changes, and however long everything takes.
        #[test]
        fn no_dead_endpoint_is_tried_twice_before_another_and_budget_and_attempts_hold(
            suspects in proptest::collection::vec(1..6_u16, 0..3),
            lists in proptest::collection::vec(proptest::collection::vec(1..6_u16, 0..5), 1..20),
            takes in proptest::collection::vec(0..1200_u32, 1..20),
            alive in 1..9_u16,
        ) {
            let mut bench = Bench::new(&suspects);
            let (mut lists, mut takes) = (lists.iter().cycle(), takes.iter().cycle());
            let mut known = lists.next().expect("it has no end").clone();
            let (mut failed, mut tried) = (Vec::new(), 0);
            let mut step = bench.begin(&known);
            loop {
                let took = *takes.next().expect("it has no end") * MS;
                step = match step {
                    Step::Try { instance, within } => {
                        let port = instance.endpoint.port();
                        prop_assert!(known.contains(&port));
                        let has_other = known.iter().any(|port| !failed.contains(port));
                        prop_assert!(!failed.contains(&port) || !has_other, "{port}: {known:?}, {failed:?}");
                        tried += 1;
                        bench.now += took.min(within);
                        if port == alive && took <= within {
                            break;
                        }
                        failed.push(port);
                        bench.failed(port)
                    }
                    Step::Ask { within } => {
                        bench.now += took.min(within);
                        known.clone_from(lists.next().expect("it has no end"));
                        bench.told(&known)
                    }
                    Step::Pause { .. } => bench.rest(&step),
                    Step::GiveUp(_) => break,
                };
            }
            prop_assert!(tried <= bench.attempts.retry.attempts);
            prop_assert!(bench.now - bench.start <= bench.attempts.retry.budget);
        }
    }
}
