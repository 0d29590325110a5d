//! What an announcer is told to do, with its defaults, and what makes no sense in it.

use std::fmt;
use std::time::Duration;

use waypost_backend::LeaseLimits;
use waypost_model::{Endpoint, Instance, Key};

use crate::machine::Rules;
use crate::{CommandLine, HealthCheck, Signal};

/// What to announce, and when.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The key that is registered: `PREFIX/NAME`.
    pub key: Key,
    /// What it says: where the service answers, and what is told beside it.
    pub instance: Instance,
    /// How long the key outlives a crash of its announcer. Within the registry's [`LeaseLimits`].
    pub ttl: Duration,
    /// Whether the service can serve.
    pub check: HealthCheck,
    /// From the start of a check to the start of the next one. A check that takes longer delays the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How many passed checks in a row make the service healthy.
    pub rise: u32,
    /// How many failed checks in a row make it unhealthy.
    pub fall: u32,
    /// The command that serves, if it is to be run.
    pub command: Option<CommandLine>,
    /// The signals on which the key is revoked before the command is told; the others are passed on at
    /// once. A command that stops on another one, as nginx does on SIGQUIT, needs that one here too.
    pub stop_on: Vec<Signal>,
    /// How long the registry is waited for before the command is told to stop, or, once it has ended, before
    /// the announcer ends.
    pub stop_timeout: Duration,
}

impl Settings {
    /// `key` stands for the service at `endpoint`, of which no more is told, with the defaults: 10 s to live, a
    /// TCP connection to `endpoint` every 2 s that may take 1 s, 2 to rise and 3 to fall, no command, SIGTERM and
    /// SIGINT stop it, and the registry is waited for 3 s (of the 10 s that `docker stop` gives).
    pub fn new(key: Key, endpoint: Endpoint) -> Settings {
        Settings {
            key,
            check: HealthCheck::Tcp(endpoint.clone()),
            // By which id it is known is its key's business.
            instance: Instance::new("", endpoint),
            ttl: Duration::from_secs(10),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            command: None,
            stop_on: vec![Signal::Term, Signal::Int],
            stop_timeout: Duration::from_secs(3),
        }
    }

    /// Tells everything that makes no sense, for a registry with these limits.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`] with all of it.
    pub fn validate(&self, limits: &LeaseLimits) -> Result<(), InvalidSettings> {
        let ttl = self.ttl;
        let lease = limits.objection(ttl);
        let zero = |is_zero: bool, name: &str| is_zero.then(|| format!("{name} must be more than zero"));
        let check = match &self.check {
            HealthCheck::Http(check) => check.problem(),
            HealthCheck::Tcp(_) | HealthCheck::None => None,
        };
        let problems: Vec<String> = [
            lease,
            zero(self.interval.is_zero(), "the interval"),
            zero(self.timeout.is_zero(), "the timeout"),
            zero(self.rise == 0, "rise"),
            zero(self.fall == 0, "fall"),
            check,
        ]
        .into_iter()
        .flatten()
        .collect();
        if problems.is_empty() { Ok(()) } else { Err(InvalidSettings { problems }) }
    }

    /// Without a command there is nobody to pass a signal on to: then those that end a process by default
    /// and are meant to, end the announcer.
    pub(crate) fn rules(&self) -> Rules {
        let mut stop_on = self.stop_on.clone();
        if self.command.is_none() {
            stop_on.extend([Signal::Hup, Signal::Quit]);
        }
        Rules {
            rise: self.rise,
            fall: self.fall,
            interval: (self.check != HealthCheck::None).then_some(self.interval),
            stop_timeout: self.stop_timeout,
            stop_on,
            wraps: self.command.is_some(),
        }
    }
}

/// What makes no sense in [`Settings`]: everything, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSettings {
    problems: Vec<String>,
}

impl InvalidSettings {
    /// One line each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for InvalidSettings {}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LeaseLimits = LeaseLimits {
        shortest: Duration::from_secs(2),
        longest: Duration::from_secs(60),
        slack: Duration::from_secs(1),
    };

    fn settings() -> Settings {
        Settings::new(Key::new("/test/a").unwrap(), Endpoint::new("10.0.0.5", 8001))
    }

    #[test]
    fn without_a_health_check_given_the_announced_address_is_asked() {
        assert_eq!(settings().check, HealthCheck::Tcp("10.0.0.5:8001".parse().unwrap()));
        assert_eq!(settings().validate(&LIMITS), Ok(()));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let ttl = Duration::from_secs(1);
        let bad = Settings { ttl, rise: 0, fall: 0, interval: Duration::ZERO, ..settings() };
        let problems = bad.validate(&LIMITS).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "the time to live 1s is not within 2s to 60s; the interval must be more than zero; \
             rise must be more than zero; fall must be more than zero"
        );
    }

    #[test]
    fn alone_it_stops_on_what_would_end_a_process_and_around_a_command_on_what_it_is_told() {
        let is_stop = |settings: &Settings, signal| settings.rules().stop_on.contains(&signal);
        assert!(is_stop(&settings(), Signal::Hup) && !is_stop(&settings(), Signal::Usr1));

        let command = Some(CommandLine { program: "true".into(), arguments: Vec::new() });
        let around = Settings { command, ..settings() };
        assert!(is_stop(&around, Signal::Term) && !is_stop(&around, Signal::Hup));
    }
}
