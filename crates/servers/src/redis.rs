//! Redis, in memory only.

use std::process::Command;

use crate::Outcome;
use crate::binaries::path_of;
use crate::daemon::{Daemon, daemon, started};
use crate::process::{Process, Signal};

/// A running Redis that writes nothing to a disk; dropping it kills it.
#[derive(Debug)]
pub struct Redis {
    daemon: Daemon,
}

daemon!(Redis);

impl Redis {
    /// Starts an empty one.
    ///
    /// # Panics
    ///
    /// When Redis is not installed or does not start.
    #[track_caller]
    pub fn start() -> Redis {
        started(Redis { daemon: Daemon::new("redis-server") }, Redis::try_start)
    }

    /// Its address, as `redis://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.endpoint())
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
        let mut command = Command::new(path_of("redis-server")?);
        command.args(["--bind", "127.0.0.1", "--port", &self.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]);
        command.arg(self.daemon.scratch().path());
        Ok(command)
    }

    fn is_ready(&self, _: &Process) -> bool {
        self.daemon.listens()
    }
}
