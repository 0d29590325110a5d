//! What happens to an announcement: one enum, and the one place where it is logged.

use std::time::Duration;

use tracing::{debug, info, warn};
use waypost_model::{Endpoint, Key, Position};

use crate::Signal;

/// What happened to an announcement. It holds no value, only what an operator gave: key and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The wrapped command runs.
    CommandStarted {
        /// Its process, which also is its process group.
        pid: u32,
    },
    /// The health check passed while the service was not healthy yet.
    CheckPassed {
        /// How often in a row.
        passes: u32,
        /// How often it takes.
        rise: u32,
    },
    /// The health check failed: while healthy each time; while not, when the reason is another one.
    CheckFailed {
        /// How often in a row, counted up to `fall`.
        failures: u32,
        /// How often it takes to be unhealthy.
        fall: u32,
        /// The reason, in one line.
        why: String,
    },
    /// The key is in the registry.
    Registered,
    /// The registry did not take the key.
    RegistrationFailed {
        /// The registry's reason, in one line.
        why: String,
        /// True if the registry may take it later without anyone changing anything: it is away.
        is_transient: bool,
        /// When the next try is.
        again_in: Duration,
    },
    /// The key is gone from the registry.
    Revoked {
        /// Where the registry was then, or later.
        position: Position,
    },
    /// The registry could not be told; the key goes when its lease ends.
    RevokeFailed {
        /// The registry's reason, in one line.
        why: String,
    },
    /// The announcer is to stop.
    StopAsked {
        /// How it was told.
        signal: Signal,
    },
    /// The registry does not answer in time and is not waited for any longer; unless it still does, the
    /// key goes when its lease ends.
    NotWaitedFor {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The wrapped command gets a signal.
    CommandTold {
        /// Which one.
        signal: Signal,
    },
    /// The wrapped command ended.
    CommandEnded {
        /// Its exit code; 128 and the signal if it died of one.
        code: u8,
        /// The same in words.
        how: String,
    },
}

impl Happening {
    pub(crate) fn log(&self, key: &Key, endpoint: &Endpoint, ttl: Duration) {
        match self {
            Happening::CommandStarted { pid } => info!(%key, pid, "command started"),
            Happening::CheckPassed { passes, rise } => debug!(%key, passes, rise, "health check passed"),
            Happening::CheckFailed { failures, fall, why } => {
                warn!(%key, %endpoint, failures, fall, why, "health check failed");
            }
            Happening::Registered => info!(%key, %endpoint, ?ttl, "registered"),
            Happening::RegistrationFailed { why, is_transient: true, again_in } => {
                warn!(%key, why, ?again_in, "the registry is away; not registered");
            }
            Happening::RegistrationFailed { why, is_transient: false, again_in } => {
                warn!(%key, why, ?again_in, "the registry refuses the key; not registered");
            }
            Happening::Revoked { position } => info!(%key, %position, "revoked"),
            Happening::RevokeFailed { why } => {
                warn!(%key, why, ?ttl, "cannot revoke; the key goes when its lease ends");
            }
            Happening::StopAsked { signal } => info!(%key, %signal, "stopping"),
            Happening::NotWaitedFor { waited } => {
                warn!(%key, ?waited, ?ttl, "the registry does not answer; the key goes when its lease ends");
            }
            Happening::CommandTold { signal } => debug!(%key, %signal, "signal passed on"),
            Happening::CommandEnded { code, how } => info!(%key, code, how, "command ended"),
        }
    }
}
