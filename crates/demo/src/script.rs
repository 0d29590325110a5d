//! The script: what is done when, and what is waited for before the next step.

use std::time::Duration;

use crate::Error;

/// The least time that all steps fit into: a killed service's key stays for its lease, and a real etcd takes
/// a second to start.
pub(crate) const SHORTEST: Duration = Duration::from_secs(15);

/// What is taken off the end for stopping everything.
const END: Duration = Duration::from_secs(1);

/// What the steps get at the least, if starting everything took long.
const LEAST: Duration = Duration::from_secs(10);

/// The services that are there from the start.
pub(crate) const FIRST: [&str; 3] = ["one", "two", "three"];

/// Something that is done to the arrangement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a service and its announcer.
    Start(&'static str),
    /// Ask an announcer to stop its service (SIGTERM).
    Stop(&'static str),
    /// Kill a service and its announcer at once, as when their host dies.
    Kill(&'static str),
    KillAgent,
    StartAgent,
    KillRegistry,
    StartRegistry,
}

/// What must be so before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// nginx runs with exactly the services that are to be there.
    InNginx,
    /// The registry holds exactly these.
    Registered,
    RegistryAway,
    RegistryBack,
    Nothing,
}

/// A step: not before `at`, counted from the first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) action: Action,
    pub(crate) until: Until,
}

/// All steps, each at its share of the time. A killed service's key lives on for its lease; the steps after
/// that wait, at short times too.
const STEPS: [(f64, Action, Until); 10] = [
    (0.03, Action::Start("four"), Until::InNginx),
    (0.11, Action::Stop("one"), Until::InNginx),
    (0.19, Action::Kill("two"), Until::InNginx),
    (0.55, Action::KillAgent, Until::Nothing),
    (0.59, Action::Start("five"), Until::Registered),
    (0.65, Action::StartAgent, Until::InNginx),
    (0.72, Action::KillRegistry, Until::RegistryAway),
    (0.76, Action::StartRegistry, Until::RegistryBack),
    (0.83, Action::Stop("three"), Until::InNginx),
    (0.89, Action::Start("six"), Until::InNginx),
];

/// The steps within `time`, without those on the registry if it is somebody else's.
pub(crate) fn steps(time: Duration, is_own: bool) -> Vec<Step> {
    let is_on_registry = |action| matches!(action, Action::KillRegistry | Action::StartRegistry);
    let steps = STEPS.into_iter().filter(|(_, action, _)| is_own || !is_on_registry(*action));
    steps.map(|(share, action, until)| Step { at: time.mul_f64(share), action, until }).collect()
}

/// Checks that the script fits into all the time there is.
pub(crate) fn check(given: Duration) -> Result<(), Error> {
    if given < SHORTEST { Err(Error::TooShort { given, shortest: SHORTEST }) } else { Ok(()) }
}

/// The time for the steps, of all the time that is `given`, after starting everything took a part of it.
pub(crate) fn time_for_steps(given: Duration, starting: Duration) -> Duration {
    given.saturating_sub(starting + END).max(LEAST)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_steps_scale_into_the_time_and_stay_in_order() {
        for seconds in [10, 30, 3600] {
            let time = Duration::from_secs(seconds);
            let steps = steps(time, true);
            assert!(steps.is_sorted_by(|one, next| one.at < next.at), "{steps:?}");
            assert!(steps.iter().all(|step| step.at < time));
        }
    }

    #[test]
    fn somebody_elses_registry_is_left_alone() {
        let steps = steps(SHORTEST, false);
        assert!(
            steps.iter().all(|step| !matches!(step.action, Action::KillRegistry | Action::StartRegistry))
        );
        assert_eq!(steps.len(), STEPS.len() - 2);
    }

    #[test]
    fn only_what_runs_is_stopped_and_two_services_are_always_there() {
        let mut live: BTreeSet<&str> = FIRST.into();
        for step in steps(SHORTEST, true) {
            match step.action {
                Action::Start(name) => assert!(live.insert(name), "{name} twice"),
                Action::Stop(name) | Action::Kill(name) => assert!(live.remove(name), "no {name}"),
                _ => {}
            }
            assert!(live.len() >= 2, "{step:?}");
        }
    }

    #[test]
    fn a_slow_start_leaves_time_for_the_steps() {
        let seconds = Duration::from_secs;
        assert_eq!(time_for_steps(seconds(30), seconds(4)), seconds(25));
        assert_eq!(time_for_steps(seconds(15), seconds(14)), LEAST);
        assert!(check(seconds(15)).is_ok());
        assert_eq!(check(seconds(14)).unwrap_err().to_string(), "the script needs at least 15s, and has 14s");
    }
}
