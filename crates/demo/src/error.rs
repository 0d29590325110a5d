//! Why a demonstration did not take place, or broke off.

use std::io;
use std::time::Duration;

/// Why a demonstration did not take place, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Programs that it starts are not installed.
    #[error("{} not installed; on Debian, as root: apt-get install --no-install-recommends {}", list(.programs), .packages.join(" "))]
    Missing {
        /// The programs' names.
        programs: Vec<&'static str>,
        /// The Debian packages that bring them.
        packages: Vec<&'static str>,
    },
    /// The script does not fit into the time.
    #[error("the script needs at least {shortest:?}, and has {given:?}")]
    TooShort {
        /// The time that was given.
        given: Duration,
        /// The least that is enough.
        shortest: Duration,
    },
    /// A process did not come up.
    #[error("{name} did not start: {why}{}", indented(.log))]
    NotStarted {
        /// Which one.
        name: String,
        /// What was seen of it.
        why: String,
        /// The last lines of its log.
        log: String,
    },
    /// A process that nobody ended has ended.
    #[error("{name} has ended by itself: {how}{}", indented(.log))]
    Ended {
        /// Which one.
        name: String,
        /// Its exit code, or the signal that it died of.
        how: String,
        /// The last lines of its log.
        log: String,
    },
    /// The registry does not answer, or refuses.
    #[error(transparent)]
    Registry(#[from] waypost_backend::Error),
    /// Somebody's registry could not be cleaned up: it went away.
    #[error("keys below {prefix} may be left in the registry")]
    Left {
        /// Where all that was written is.
        prefix: String,
        /// What keeps them from being removed.
        source: waypost_backend::Error,
    },
    /// The services have no address that nginx could reach them at.
    #[error(transparent)]
    Address(#[from] waypost_announce::AddressError),
    /// Every port that was tried is taken.
    #[error("no port between {lowest} and {highest} is free on {host}")]
    NoPort {
        /// The address of the ports.
        host: String,
        /// The first port that may be tried.
        lowest: u16,
        /// The last one.
        highest: u16,
    },
    /// Ports that were free were taken by others, again and again.
    #[error("{attempts} free ports on {host} were taken by others, one after the other")]
    PortsTaken {
        /// The address of the ports.
        host: String,
        /// How many were tried.
        attempts: usize,
    },
    /// The system refused something.
    #[error("cannot {doing}")]
    System {
        /// What was to be done, and on what.
        doing: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It was stopped while it came up.
    #[error("interrupted before everything was up")]
    Interrupted,
    /// Nobody reads what is told.
    #[error("cannot print")]
    Output(#[source] io::Error),
}

impl Error {
    /// For `map_err`: the system refused to do `doing`.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let doing = doing.into();
        move |source| Error::System { doing, source }
    }
}

fn list(names: &[&str]) -> String {
    format!("{} {}", names.join(" and "), if names.len() == 1 { "is" } else { "are" })
}

fn indented(log: &str) -> String {
    log.lines().map(|line| format!("\n    {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_packages() {
        let missing = |programs: &[&'static str], packages: &[&'static str]| {
            Error::Missing { programs: programs.into(), packages: packages.into() }.to_string()
        };
        assert_eq!(
            missing(&["etcd", "nginx"], &["etcd-server", "nginx"]),
            "etcd and nginx are not installed; on Debian, as root: \
             apt-get install --no-install-recommends etcd-server nginx"
        );
        assert!(missing(&["nginx"], &["nginx"]).starts_with("nginx is not installed; "));
    }
}
