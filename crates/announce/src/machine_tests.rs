//! The machine without a clock, network or process: by hand, and by arbitrary orders of events.

use proptest::prelude::*;
use waypost_model::StoreId;

use super::*;

const INTERVAL: Duration = Duration::from_secs(2);
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

fn rules() -> Rules {
    Rules {
        rise: 2,
        fall: 3,
        interval: Some(INTERVAL),
        stop_timeout: STOP_TIMEOUT,
        stop_on: vec![Signal::Term, Signal::Int],
        wraps: false,
    }
}

fn machine(rules: Rules) -> Machine {
    Machine::new(rules, fastrand::Rng::with_seed(1))
}

/// A machine and its time.
struct Bench {
    machine: Machine,
    now: Instant,
    reported: Vec<Happening>,
}

impl Bench {
    /// A machine that was started.
    fn new(rules: Rules) -> (Bench, Vec<Action>) {
        let mut bench = Bench { machine: machine(rules), now: Instant::now(), reported: Vec::new() };
        let first = bench.step(Event::Started);
        (bench, first)
    }

    /// A machine without health checks whose key is in the registry.
    fn registered(wraps: bool) -> Bench {
        let (mut bench, first) = Bench::new(Rules { interval: None, wraps, ..rules() });
        assert_eq!(first, [Action::Register]);
        assert_eq!(bench.step(Event::Registered), []);
        bench
    }

    /// A machine with health checks whose key is in the registry; the next check is due after the interval.
    fn healthy() -> Bench {
        let (mut bench, _) = Bench::new(rules());
        bench.step(Event::Passed);
        assert_eq!(bench.wait_until_due(), [Action::Check]);
        assert_eq!(bench.step(Event::Passed), [Action::Register]);
        assert_eq!(bench.step(Event::Registered), []);
        bench
    }

    /// What is to be done; what is to be reported is set aside.
    fn step(&mut self, event: Event) -> Vec<Action> {
        let (mut to_do, mut reported) = (Vec::new(), Vec::new());
        for action in self.machine.step(event, self.now) {
            match action {
                Action::Report(happening) => reported.push(happening),
                action => to_do.push(action),
            }
        }
        self.reported = reported;
        to_do
    }

    fn wait_until_due(&mut self) -> Vec<Action> {
        self.now = self.now.max(self.machine.deadline().expect("something is due"));
        self.step(Event::Due)
    }

    /// Waits for the next health check and has it fail.
    fn fail_next_check(&mut self) -> Vec<Action> {
        assert_eq!(self.wait_until_due(), [Action::Check]);
        self.step(failed())
    }
}

fn failed() -> Event {
    Event::Failed { why: "refused".into() }
}

fn away() -> Event {
    Event::RegistrationFailed { why: "away".into(), is_transient: true }
}

fn denied() -> Event {
    Event::RegistrationFailed { why: "denied".into(), is_transient: false }
}

fn position() -> Position {
    Position::new(StoreId::Lasting(1), 7)
}

fn revoked() -> Event {
    Event::Revoked { position: position() }
}

fn revoke_failed() -> Event {
    Event::RevokeFailed { why: "away".into() }
}

fn command_ended(code: u8) -> Event {
    Event::CommandEnded { code, how: format!("exit status: {code}") }
}

fn finish(exit_code: u8) -> Action {
    Action::Finish(Outcome { exit_code, is_key_left: false })
}

fn finish_with_key_left(exit_code: u8) -> Action {
    Action::Finish(Outcome { exit_code, is_key_left: true })
}

#[test]
fn a_service_is_registered_when_its_check_has_passed_often_enough_in_a_row() {
    let (mut bench, first) = Bench::new(rules());
    assert_eq!(first, [Action::Check], "the first check is due at once");

    assert_eq!(bench.step(Event::Passed), []);
    assert_eq!(bench.fail_next_check(), [], "a failure in between starts the count anew");
    assert_eq!(bench.wait_until_due(), [Action::Check]);
    assert_eq!(bench.step(Event::Passed), []);
    assert_eq!(bench.wait_until_due(), [Action::Check]);
    assert_eq!(bench.step(Event::Passed), [Action::Register]);
    assert_eq!(bench.reported, [Happening::CheckPassed { passes: 2, rise: 2 }]);
}

#[test]
fn a_service_is_revoked_when_its_check_has_failed_often_enough_in_a_row() {
    let mut bench = Bench::healthy();
    assert_eq!(bench.fail_next_check(), []);
    assert_eq!(bench.fail_next_check(), []);
    assert_eq!(bench.reported, [Happening::CheckFailed { failures: 2, fall: 3, why: "refused".into() }]);

    assert_eq!(bench.wait_until_due(), [Action::Check]);
    assert_eq!(bench.step(Event::Passed), [], "a pass in between starts the count anew");

    assert_eq!(bench.fail_next_check(), []);
    assert_eq!(bench.fail_next_check(), []);
    assert_eq!(bench.fail_next_check(), [Action::Revoke]);
}

#[test]
fn a_check_starts_an_interval_after_the_last_one_started_and_never_beside_it() {
    let (mut bench, _) = Bench::new(rules());
    let start = bench.now;
    bench.now += INTERVAL / 4;
    bench.step(Event::Passed);
    assert_eq!(bench.machine.deadline(), Some(start + INTERVAL));

    assert_eq!(bench.wait_until_due(), [Action::Check]);
    assert_eq!(bench.machine.deadline(), None);
    bench.now += INTERVAL * 2;
    assert_eq!(bench.step(Event::Due), []);
    assert_eq!(bench.step(failed()), [Action::Check], "the one that took too long delays the next");
}

#[test]
fn failures_of_a_service_that_is_not_registered_are_reported_once_a_reason() {
    let (mut bench, _) = Bench::new(rules());
    bench.step(failed());
    assert_eq!(bench.reported.len(), 1);
    bench.fail_next_check();
    assert_eq!(bench.reported, []);

    bench.wait_until_due();
    bench.step(Event::Failed { why: "503".into() });
    assert_eq!(bench.reported, [Happening::CheckFailed { failures: 3, fall: 3, why: "503".into() }]);
}

#[test]
fn without_a_check_a_service_is_registered_at_once() {
    assert_eq!(Bench::registered(false).machine.deadline(), None);
}

#[test]
fn a_registration_that_failed_is_tried_again_after_growing_waits() {
    let (mut bench, _) = Bench::new(Rules { interval: None, ..rules() });
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert_eq!(bench.step(away()), []);
        waits.push(bench.machine.deadline().unwrap() - bench.now);
        assert_eq!(bench.wait_until_due(), [Action::Register]);
    }
    assert!(waits[0] <= RETRY.0 && waits[3] > RETRY.0 && waits[9] > RETRY.1 / 3, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= RETRY.1), "{waits:?}");

    bench.step(Event::Registered);
    bench.machine.key = KeyPhase::Registering;
    bench.step(away());
    assert!(bench.machine.deadline().unwrap() - bench.now <= RETRY.0, "trouble that is over is forgotten");
}

#[test]
fn a_registration_that_was_refused_is_tried_again_slowly() {
    let (mut bench, _) = Bench::new(Rules { interval: None, ..rules() });
    assert_eq!(bench.step(denied()), []);
    let refused =
        Happening::RegistrationFailed { why: "denied".into(), is_transient: false, again_in: RETRY.1 };
    assert_eq!(bench.reported, [refused]);
    assert_eq!(bench.machine.deadline(), Some(bench.now + RETRY.1));
    assert_eq!(bench.wait_until_due(), [Action::Register]);
}

#[test]
fn a_service_that_fails_while_it_is_being_registered_is_revoked_once_it_is() {
    let (mut bench, _) = Bench::new(Rules { fall: 1, ..rules() });
    bench.step(Event::Passed);
    bench.wait_until_due();
    assert_eq!(bench.step(Event::Passed), [Action::Register]);
    assert_eq!(bench.fail_next_check(), [], "the registration is in flight");
    assert_eq!(bench.step(Event::Registered), [Action::Revoke]);
}

#[test]
fn a_service_that_recovers_while_it_is_being_revoked_is_registered_after_that() {
    for end_of_revoke in [revoked(), revoke_failed()] {
        let mut bench = Bench::healthy();
        (0..2).for_each(|_| drop(bench.fail_next_check()));
        assert_eq!(bench.fail_next_check(), [Action::Revoke]);
        for _ in 0..2 {
            bench.wait_until_due();
            assert_eq!(bench.step(Event::Passed), [], "the revocation is in flight");
        }
        assert_eq!(bench.step(end_of_revoke), [Action::Register]);
    }
}

#[test]
fn a_failed_service_is_not_registered_when_its_retry_would_be_due() {
    let (mut bench, _) = Bench::new(Rules { rise: 1, fall: 1, ..rules() });
    assert_eq!(bench.step(Event::Passed), [Action::Register]);
    bench.step(denied());
    assert_eq!(bench.fail_next_check(), []);
    bench.now += RETRY.1;
    assert_eq!(bench.step(Event::Due), [Action::Check], "and nothing else");
}

#[test]
fn alone_it_revokes_and_ends_when_asked_to_stop() {
    let mut bench = Bench::registered(false);
    assert_eq!(bench.step(Event::Signalled(Signal::Term)), [Action::Revoke]);
    assert_eq!(bench.reported, [Happening::StopAsked { signal: Signal::Term }]);
    assert_eq!(bench.step(revoked()), [finish(0)]);
    assert_eq!(bench.reported, [Happening::Revoked { position: position() }]);
}

#[test]
fn alone_and_not_registered_it_ends_at_once() {
    let (mut bench, _) = Bench::new(rules());
    assert_eq!(bench.step(Event::Signalled(Signal::Int)), [finish(0)]);
    assert_eq!(bench.step(Event::Passed), [], "and does nothing any more");
}

#[test]
fn alone_it_does_not_care_for_other_signals() {
    let mut bench = Bench::registered(false);
    assert_eq!(bench.step(Event::Signalled(Signal::Usr1)), []);
    assert_eq!(bench.reported, []);
}

#[test]
fn the_command_is_told_to_stop_when_the_key_is_gone() {
    let mut bench = Bench::registered(true);
    assert_eq!(bench.step(Event::Signalled(Signal::Term)), [Action::Revoke]);
    assert_eq!(bench.step(revoked()), [Action::Tell(Signal::Term)]);
    assert_eq!(bench.step(Event::Signalled(Signal::Int)), [Action::Tell(Signal::Int)], "nothing to wait for");
    assert_eq!(bench.step(command_ended(143)), [finish(143)]);
}

#[test]
fn a_registration_in_flight_is_revoked_before_the_command_is_told() {
    let (mut bench, _) = Bench::new(Rules { interval: None, wraps: true, ..rules() });
    assert_eq!(bench.step(Event::Signalled(Signal::Int)), []);
    assert_eq!(bench.step(Event::Registered), [Action::Revoke]);
    assert_eq!(bench.step(revoked()), [Action::Tell(Signal::Int)]);
}

#[test]
fn signals_that_come_while_the_key_goes_wait_in_order_and_once_each() {
    let mut bench = Bench::registered(true);
    for signal in [Signal::Term, Signal::Int, Signal::Term] {
        bench.step(Event::Signalled(signal));
    }
    assert_eq!(bench.step(revoked()), [Action::Tell(Signal::Term), Action::Tell(Signal::Int)]);
}

#[test]
fn signals_that_do_not_stop_are_passed_on_at_once() {
    let mut bench = Bench::registered(true);
    assert_eq!(bench.step(Event::Signalled(Signal::Hup)), [Action::Tell(Signal::Hup)]);
    bench.step(Event::Signalled(Signal::Term));
    assert_eq!(bench.step(Event::Signalled(Signal::Usr1)), [Action::Tell(Signal::Usr1)]);
}

#[test]
fn a_registry_that_is_away_keeps_the_command_from_being_told_for_a_bounded_time_only() {
    let mut bench = Bench::registered(true);
    assert_eq!(bench.step(Event::Signalled(Signal::Term)), [Action::Revoke]);
    assert_eq!(bench.machine.deadline(), Some(bench.now + STOP_TIMEOUT));
    assert_eq!(bench.wait_until_due(), [Action::Tell(Signal::Term)]);
    assert_eq!(bench.reported[0], Happening::NotWaitedFor { waited: STOP_TIMEOUT });
    assert_eq!(bench.step(command_ended(0)), [finish_with_key_left(0)], "nor is the end kept up");
}

#[test]
fn a_revocation_that_ends_after_the_wait_still_counts() {
    let mut bench = Bench::registered(true);
    bench.step(Event::Signalled(Signal::Term));
    bench.wait_until_due();
    assert_eq!(bench.step(revoked()), []);
    assert_eq!(bench.step(command_ended(0)), [finish(0)]);
}

#[test]
fn a_revocation_that_failed_is_not_waited_for_any_longer() {
    let mut bench = Bench::registered(true);
    bench.step(Event::Signalled(Signal::Term));
    assert_eq!(bench.step(revoke_failed()), [Action::Tell(Signal::Term)]);
    assert_eq!(bench.step(command_ended(0)), [finish_with_key_left(0)]);
}

#[test]
fn alone_it_ends_without_a_registry_that_is_away() {
    let mut bench = Bench::registered(false);
    bench.step(Event::Signalled(Signal::Term));
    assert_eq!(bench.wait_until_due(), [finish_with_key_left(0)]);
}

#[test]
fn a_command_that_ends_by_itself_is_revoked_at_once_and_its_exit_code_kept() {
    let mut bench = Bench::registered(true);
    assert_eq!(bench.step(command_ended(7)), [Action::Revoke]);
    assert_eq!(bench.step(revoked()), [finish(7)]);
}

#[test]
fn a_command_that_ends_before_it_is_told_is_not_told() {
    let mut bench = Bench::registered(true);
    bench.step(Event::Signalled(Signal::Term));
    assert_eq!(bench.step(command_ended(1)), []);
    assert_eq!(bench.step(revoked()), [finish(1)]);
}

#[test]
fn a_key_that_was_registered_again_after_a_failed_revocation_is_not_left() {
    let mut bench = Bench::healthy();
    (0..3).for_each(|_| drop(bench.fail_next_check()));
    bench.step(revoke_failed());
    for _ in 0..2 {
        bench.wait_until_due();
        bench.step(Event::Passed);
    }
    bench.step(Event::Registered);
    bench.step(Event::Signalled(Signal::Term));
    assert_eq!(bench.step(revoked()), [finish(0)]);
}

/// The world around a machine: what it was told to do, and what has come of that so far.
struct World {
    machine: Machine,
    rules: Rules,
    now: Instant,
    is_checking: bool,
    key: Key,
    failures_in_a_row: u32,
    passes_in_a_row: u32,
    /// By the rules, from the results in a row.
    is_healthy: bool,
    is_command_running: bool,
    stop_asked_at: Option<Instant>,
    finished: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Absent,
    Registering,
    Held,
    Revoking,
}

impl World {
    fn new(rules: Rules) -> World {
        let mut world = World {
            machine: machine(rules.clone()),
            now: Instant::now(),
            is_checking: false,
            key: Key::Absent,
            failures_in_a_row: 0,
            passes_in_a_row: 0,
            is_healthy: rules.interval.is_none(),
            is_command_running: rules.wraps,
            stop_asked_at: None,
            finished: None,
            rules,
        };
        world.step(Event::Started);
        world
    }

    /// One of the things that can happen now, chosen by `choice`; none if that one cannot, or all is over.
    fn happen(&mut self, choice: u8) -> Option<()> {
        self.finished.is_none().then_some(())?;
        let event = match choice {
            0 | 1 => self.check_ends(choice == 0)?,
            2..=4 => self.registry_answers(choice)?,
            5 => self.due()?,
            6 => self.stop(),
            7 => Event::Signalled(Signal::Usr1),
            _ => self.command_ends()?,
        };
        self.step(event);
        Some(())
    }

    fn check_ends(&mut self, has_passed: bool) -> Option<Event> {
        std::mem::take(&mut self.is_checking).then_some(())?;
        if has_passed {
            (self.passes_in_a_row, self.failures_in_a_row) = (self.passes_in_a_row + 1, 0);
            self.is_healthy |= self.passes_in_a_row >= self.rules.rise;
            return Some(Event::Passed);
        }
        (self.passes_in_a_row, self.failures_in_a_row) = (0, self.failures_in_a_row + 1);
        self.is_healthy &= self.failures_in_a_row < self.rules.fall;
        Some(failed())
    }

    fn registry_answers(&mut self, choice: u8) -> Option<Event> {
        let (key, event) = match (self.key, choice) {
            (Key::Registering, 2) => (Key::Held, Event::Registered),
            (Key::Registering, 3) => (Key::Absent, away()),
            (Key::Registering, _) => (Key::Absent, denied()),
            (Key::Revoking, 2) => (Key::Absent, revoked()),
            (Key::Revoking, _) => (Key::Absent, revoke_failed()),
            (Key::Absent | Key::Held, _) => return None,
        };
        self.key = key;
        Some(event)
    }

    fn due(&mut self) -> Option<Event> {
        self.now = self.now.max(self.machine.deadline()?);
        Some(Event::Due)
    }

    fn stop(&mut self) -> Event {
        self.stop_asked_at.get_or_insert(self.now);
        Event::Signalled(Signal::Term)
    }

    fn command_ends(&mut self) -> Option<Event> {
        std::mem::take(&mut self.is_command_running).then(|| command_ended(5))
    }

    fn step(&mut self, event: Event) {
        for action in self.machine.step(event, self.now) {
            assert_eq!(self.finished, None, "{action:?} after the end");
            self.act(action);
        }
        assert!(self.is_healthy || self.key != Key::Held, "registered, though it fails");
        if let Some(deadline) = self.machine.deadline() {
            assert!(deadline > self.now, "what is due was not done");
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Check => assert!(!std::mem::replace(&mut self.is_checking, true), "two checks"),
            Action::Register => {
                assert_eq!(self.key, Key::Absent, "registered twice");
                assert!(self.is_healthy, "registered, though it was not seen often enough");
                assert!(self.stop_asked_at.is_none(), "registered after being asked to stop");
                self.key = Key::Registering;
            }
            Action::Revoke => {
                assert_eq!(self.key, Key::Held, "revoked what is not registered");
                self.key = Key::Revoking;
            }
            Action::Tell(Signal::Term) => assert!(self.may_stop(), "told before the key was gone"),
            Action::Tell(_) => assert!(self.is_command_running, "told what is gone"),
            Action::Report(_) => {}
            Action::Finish(outcome) => {
                assert!(!self.is_command_running, "ended before its command");
                self.finished = Some(outcome);
            }
        }
    }

    fn may_stop(&self) -> bool {
        let is_over = self.stop_asked_at.is_some_and(|at| self.now >= at + self.rules.stop_timeout);
        self.is_command_running && (self.key == Key::Absent || is_over)
    }

    /// Asks to stop and lets the registry answer everything.
    fn wind_up(&mut self) {
        let stop = self.stop();
        self.step(stop);
        // A registration in flight, and its revocation.
        let _ = (self.happen(2), self.happen(2));
        self.happen(8);
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (1..4u32, 1..4u32, any::<bool>(), any::<bool>()).prop_map(|(rise, fall, checks, wraps)| Rules {
        rise,
        fall,
        interval: checks.then_some(INTERVAL),
        wraps,
        ..rules()
    })
}

proptest! {
    #[test]
    fn whatever_happens_in_whatever_order_the_promises_hold(
        rules in any_rules(),
        choices in proptest::collection::vec(0..9u8, 0..80),
        milliseconds in proptest::collection::vec(0..900u64, 80),
    ) {
        let mut world = World::new(rules);
        for (choice, passing) in choices.into_iter().zip(milliseconds) {
            // Stops and ends of commands would otherwise come too early to see much.
            if choice < 6 || passing < 150 {
                world.happen(choice);
            }
            let next = world.now + Duration::from_millis(passing);
            world.now = world.machine.deadline().map_or(next, |due| due.min(next));
            if world.machine.deadline() == Some(world.now) {
                world.happen(5);
            }
        }
        world.wind_up();
        prop_assert!(world.finished.is_some(), "it did not end");
        prop_assert!(world.key == Key::Absent || world.finished.is_some_and(|end| end.is_key_left));
    }
}
