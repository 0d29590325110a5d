//! The middle of an announcer: events and the time go in, actions come out. No clock, network or process.
//!
//! It promises that
//!
//! - the key is registered only after `rise` passed health checks in a row, and is revoked in the very step
//!   that takes in the `fall`th failure in a row;
//! - at most one registration or revocation is in flight: the next one waits until it has ended;
//! - a command is told to stop only when the key is gone, or when `stop_timeout` is over;
//! - it finishes only when the key is gone or `stop_timeout` is over, and, with a command, when that has
//!   ended.
//!
//! A step first takes the event in ([`Machine::take_in`]) and then does what the new state asks for
//! ([`Machine::go_on`]), so that no order of events can leave something undone.
//!
//! The I/O is in `announcer.rs`.

use std::time::{Duration, Instant};

use waypost_backend::Backoff;
use waypost_model::Position;

use crate::{Happening, Outcome, Signal};

/// The shortest and the longest wait before a registration is tried again.
pub(crate) const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What the decisions depend on.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// How many passed checks in a row make the service healthy.
    pub rise: u32,
    /// How many failed ones in a row make it unhealthy.
    pub fall: u32,
    /// From the start of a check to the start of the next one; none if there is no check.
    pub interval: Option<Duration>,
    /// How long the registry is waited for at the end.
    pub stop_timeout: Duration,
    /// The signals that ask to stop.
    pub stop_on: Vec<Signal>,
    /// Whether there is a command.
    pub wraps: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Started,
    Passed,
    Failed {
        why: String,
    },
    Registered,
    RegistrationFailed {
        why: String,
        is_transient: bool,
    },
    Revoked {
        position: Position,
    },
    RevokeFailed {
        why: String,
    },
    Signalled(Signal),
    CommandEnded {
        code: u8,
        how: String,
    },
    /// The time of [`Machine::deadline`] has come.
    Due,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Check,
    Register,
    Revoke,
    Tell(Signal),
    Report(Happening),
    Finish(Outcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckPhase {
    Off,
    Due { at: Instant },
    Running { since: Instant },
}

/// Where the key is. A registration of which nothing is known (it failed without an answer) counts as
/// absent: the registry takes care of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyPhase {
    Absent { not_before: Option<Instant> },
    Registering,
    Held,
    Revoking,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandPhase {
    None,
    Running,
    Ended { code: u8 },
}

/// The end has begun.
#[derive(Debug)]
struct Ending {
    /// When the registry is not waited for any longer.
    deadline: Instant,
    /// What the command is not told before.
    held_back: Vec<Signal>,
    is_wait_over: bool,
}

/// Counts results of health checks in a row.
#[derive(Debug)]
struct Health {
    is_up: bool,
    passes: u32,
    failures: u32,
    /// The reason that was reported last; none after a passed check.
    reported: Option<String>,
}

/// Decides what an announcer does.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    health: Health,
    check: CheckPhase,
    key: KeyPhase,
    backoff: Backoff,
    command: CommandPhase,
    ending: Option<Ending>,
    /// The registry was not told that the key was given up.
    is_left: bool,
    is_finished: bool,
}

impl Machine {
    pub(crate) fn new(rules: Rules, random: fastrand::Rng) -> Machine {
        let is_up = rules.interval.is_none();
        Machine {
            health: Health { is_up, passes: 0, failures: 0, reported: None },
            check: CheckPhase::Off,
            key: KeyPhase::Absent { not_before: None },
            backoff: Backoff::new(RETRY.0, RETRY.1, random),
            command: if rules.wraps { CommandPhase::Running } else { CommandPhase::None },
            ending: None,
            is_left: false,
            is_finished: false,
            rules,
        }
    }

    /// Takes in what happened at `now`; what to do comes in the order in which it is to be done.
    pub(crate) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.is_finished {
            actions.extend(self.take_in(event, now));
            self.go_on(now, &mut actions);
        }
        actions
    }

    /// When [`Event::Due`] is wanted.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if let Some(ending) = &self.ending {
            return (!ending.is_wait_over).then_some(ending.deadline);
        }
        let check = match self.check {
            CheckPhase::Due { at } => Some(at),
            _ => None,
        };
        let retry = match self.key {
            KeyPhase::Absent { not_before } if self.is_wanted() => not_before,
            _ => None,
        };
        check.into_iter().chain(retry).min()
    }

    /// Whether the key is to be in the registry.
    fn is_wanted(&self) -> bool {
        self.health.is_up && self.ending.is_none()
    }

    fn take_in(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let happening = match event {
            Event::Started => {
                self.check = self.rules.interval.map_or(CheckPhase::Off, |_| CheckPhase::Due { at: now });
                None
            }
            Event::Passed => self.checked(None),
            Event::Failed { why } => self.checked(Some(why)),
            Event::Registered => {
                (self.key, self.is_left) = (KeyPhase::Held, false);
                self.backoff.succeeded();
                Some(Happening::Registered)
            }
            Event::RegistrationFailed { why, is_transient } => {
                Some(self.registration_failed(why, is_transient, now))
            }
            Event::Revoked { position } => {
                self.key = KeyPhase::Absent { not_before: None };
                Some(Happening::Revoked { position })
            }
            Event::RevokeFailed { why } => {
                (self.key, self.is_left) = (KeyPhase::Absent { not_before: None }, true);
                Some(Happening::RevokeFailed { why })
            }
            Event::Signalled(signal) => return self.signalled(signal, now),
            Event::CommandEnded { code, how } => {
                self.command = CommandPhase::Ended { code };
                self.end(now);
                Some(Happening::CommandEnded { code, how })
            }
            Event::Due => None,
        };
        happening.map(Action::Report).into_iter().collect()
    }

    fn checked(&mut self, failure: Option<String>) -> Option<Happening> {
        if let (CheckPhase::Running { since }, Some(interval)) = (self.check, self.rules.interval) {
            self.check = CheckPhase::Due { at: since + interval };
        }
        if self.ending.is_some() {
            return None;
        }
        match failure {
            None => self.health.passed(self.rules.rise),
            Some(why) => self.health.failed(why, self.rules.fall),
        }
    }

    /// What nobody else can mend is tried again too: rights can be granted while the service runs. It is
    /// tried at the slowest pace.
    fn registration_failed(&mut self, why: String, is_transient: bool, now: Instant) -> Happening {
        let again_in = if is_transient { self.backoff.failed(now) } else { RETRY.1 };
        self.key = KeyPhase::Absent { not_before: Some(now + again_in) };
        Happening::RegistrationFailed { why, is_transient, again_in }
    }

    fn signalled(&mut self, signal: Signal, now: Instant) -> Vec<Action> {
        let is_running = self.command == CommandPhase::Running;
        if !self.rules.stop_on.contains(&signal) {
            return if is_running { tell(signal).into() } else { Vec::new() };
        }
        let is_first = self.ending.is_none();
        let ending = self.end(now);
        // Equal signals that wait are one, as with the system's own pending signals.
        if is_running && !ending.held_back.contains(&signal) {
            ending.held_back.push(signal);
        }
        let happening = is_first.then_some(Happening::StopAsked { signal });
        happening.map(Action::Report).into_iter().collect()
    }

    fn end(&mut self, now: Instant) -> &mut Ending {
        let deadline = now + self.rules.stop_timeout;
        self.ending.get_or_insert(Ending { deadline, held_back: Vec::new(), is_wait_over: false })
    }

    fn go_on(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.go_on_with_check(now, actions);
        self.go_on_with_key(now, actions);
        self.go_on_with_ending(now, actions);
    }

    fn go_on_with_check(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.check, CheckPhase::Due { at } if at <= now) && self.ending.is_none() {
            self.check = CheckPhase::Running { since: now };
            actions.push(Action::Check);
        }
    }

    fn go_on_with_key(&mut self, now: Instant, actions: &mut Vec<Action>) {
        match self.key {
            KeyPhase::Absent { not_before } if self.is_wanted() && not_before <= Some(now) => {
                self.key = KeyPhase::Registering;
                actions.push(Action::Register);
            }
            KeyPhase::Held if !self.is_wanted() => {
                self.key = KeyPhase::Revoking;
                actions.push(Action::Revoke);
            }
            _ => {}
        }
    }

    fn go_on_with_ending(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let is_gone = matches!(self.key, KeyPhase::Absent { .. });
        let Some(ending) = &mut self.ending else { return };
        if !ending.is_wait_over && !is_gone && ending.deadline <= now {
            let waited = self.rules.stop_timeout;
            actions.push(Action::Report(Happening::NotWaitedFor { waited }));
        }
        ending.is_wait_over |= is_gone || ending.deadline <= now;
        if !ending.is_wait_over {
            return;
        }
        let exit_code = match self.command {
            CommandPhase::Running => return actions.extend(ending.held_back.drain(..).flat_map(tell)),
            CommandPhase::Ended { code } => code,
            CommandPhase::None => 0,
        };
        self.is_finished = true;
        actions.push(Action::Finish(Outcome { exit_code, is_key_left: self.is_left || !is_gone }));
    }
}

fn tell(signal: Signal) -> [Action; 2] {
    [Action::Report(Happening::CommandTold { signal }), Action::Tell(signal)]
}

impl Health {
    fn passed(&mut self, rise: u32) -> Option<Happening> {
        self.failures = 0;
        self.reported = None;
        if self.is_up {
            return None;
        }
        self.passes += 1;
        self.is_up = self.passes >= rise;
        Some(Happening::CheckPassed { passes: self.passes, rise })
    }

    fn failed(&mut self, why: String, fall: u32) -> Option<Happening> {
        self.passes = 0;
        let was_up = self.is_up;
        self.failures = self.failures.saturating_add(1).min(fall);
        self.is_up &= self.failures < fall;
        if !was_up && self.reported.as_ref() == Some(&why) {
            return None;
        }
        self.reported = Some(why.clone());
        Some(Happening::CheckFailed { failures: self.failures, fall, why })
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
