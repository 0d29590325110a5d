//! How an application looks for its servers.

use std::path::PathBuf;
use std::time::Duration;

use waypost_model::Prefix;

use crate::Retry;

/// How an application looks for its servers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The root of all services in the registry. The local agent has its own.
    pub root: Prefix,
    /// The zone that this process is in; instances of it are preferred.
    pub zone: Option<String>,
    /// How connections are tried.
    pub retry: Retry,
    /// The file that keeps what was known last for the next start; none without. Processes that ask for the same
    /// services may share one; its directory must be there.
    pub last_good: Option<PathBuf>,
    /// How long [`Handle::ready`](crate::Handle::ready) waits for the registry.
    pub patience: Duration,
    /// How long a registry that went back to an earlier state is given to be complete again.
    pub settle: Duration,
    /// Makes every choice repeatable, for tests.
    pub seed: Option<u64>,
}

impl Default for Settings {
    /// Services below `/services`, no zone, no last-good file, 2 s of patience, 30 s to settle.
    fn default() -> Settings {
        Settings {
            root: Prefix::new("/services"),
            zone: None,
            retry: Retry::default(),
            last_good: None,
            patience: Duration::from_secs(2),
            settle: Duration::from_secs(30),
            seed: None,
        }
    }
}
