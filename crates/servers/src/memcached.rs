//! memcached, which keeps nothing.

use std::process::Command;

use crate::Outcome;
use crate::binaries::path_of;
use crate::daemon::{Daemon, daemon, started};
use crate::process::{Process, Signal};

/// A running memcached; dropping it kills it.
#[derive(Debug)]
pub struct Memcached {
    daemon: Daemon,
}

daemon!(Memcached);

impl Memcached {
    /// Starts one with room for 16 MiB.
    ///
    /// # Panics
    ///
    /// When memcached is not installed or does not start.
    #[track_caller]
    pub fn start() -> Memcached {
        started(Memcached { daemon: Daemon::new("memcached") }, Memcached::try_start)
    }

    /// Ends it in order (SIGTERM).
    ///
    /// # Panics
    ///
    /// When it has not ended within 20 s.
    #[track_caller]
    pub fn stop(&self) {
        self.daemon.stop(Signal::TERM);
    }

    /// Kills it (SIGKILL).
    pub fn kill(&self) {
        self.daemon.kill();
    }

    fn command(&self) -> Outcome<Command> {
        let mut command = Command::new(path_of("memcached")?);
        // As root it wants to be told whom to become; what it may read does not matter here.
        command.args(["-l", "127.0.0.1", "-U", "0", "-m", "16", "-t", "2", "-u", "root"]);
        command.args(["-p", &self.port().to_string()]);
        Ok(command)
    }

    fn is_ready(&self, _: &Process) -> bool {
        self.daemon.listens()
    }
}
