//! The wrapped command: starts it, passes signals on to it, tells its end.
//!
//! It has our standard streams, environment and directory, and a process group of its own. In ours,
//! Ctrl-C would reach it at the same moment as us, and it would stop listening while its key is still in
//! the registry. The price: a terminal takes it for a background job, so that it may write but is stopped
//! if it reads from the terminal (SIGTTIN), and Ctrl-Z stops only the announcer, whose key then lapses.
//!
//! A signal goes to the command alone, as a supervisor would send it. SIGINT goes to its whole group, as a
//! terminal would send it: the shells and build tools of this world count on that. systemd's default
//! `KillMode=control-group` signals the command itself, at once; units need `KillMode=mixed`.
//!
//! Dropping it kills the command (SIGKILL). When the announcer is killed that way itself, the command lives
//! on, without its key; that is for the supervisor to clean up.
//!
//! When a signal is passed on is decided in `machine.rs`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use crate::Signal;

/// A program and its arguments; no shell is involved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// A path, or a name that is looked up in `PATH`.
    pub program: OsString,
    /// What it is given.
    pub arguments: Vec<OsString>,
}

/// The command could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start `{}`", .program.display())]
pub struct CommandNotStarted {
    program: OsString,
    #[source]
    cause: io::Error,
}

impl CommandNotStarted {
    /// `program` could not be started because of `cause`.
    pub fn new(program: impl Into<OsString>, cause: io::Error) -> CommandNotStarted {
        CommandNotStarted { program: program.into(), cause }
    }

    /// 127 if there is no such program, 126 if it cannot be run: as shells and `env` have it (POSIX,
    /// "Exit Status for Commands").
    pub fn exit_code(&self) -> u8 {
        if self.cause.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }
}

/// A command that runs, or whose end was not yet told. Dropping it kills the command.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// The exit code, or 128 and the signal that it died of.
    pub code: u8,
    /// The same in words.
    pub how: String,
}

impl Running {
    /// Starts it with our environment, standard streams and directory, and a process group of its own.
    ///
    /// # Errors
    ///
    /// [`CommandNotStarted`] if there is no such program, or it cannot be run.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with I/O enabled.
    pub fn start(line: &CommandLine) -> Result<Running, CommandNotStarted> {
        Running::start_with(line, &[])
    }

    /// As [`Running::start`], with more variables in its environment.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn start_with(
        line: &CommandLine,
        variables: &[(String, String)],
    ) -> Result<Running, CommandNotStarted> {
        let mut command = Command::new(&line.program);
        command.args(&line.arguments).process_group(0).kill_on_drop(true);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().map_err(|cause| CommandNotStarted::new(&line.program, cause))?;
        Ok(Running { child })
    }

    /// The process; none once its end was seen.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Passes `signal` on. That the command is gone already is no error: its end is about to be told.
    pub fn tell(&self, signal: Signal) {
        // The number cannot be another process's by now: it is free only after `ended` has seen the end.
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let Some(pid) = pid else { return };
        let _ = match signal {
            Signal::Int => kill_process_group(pid, signal.to_os()),
            _ => kill_process(pid, signal.to_os()),
        };
    }

    /// Kills it, without a word; its end is still to be waited for.
    pub fn kill(&mut self) {
        // One that has ended meanwhile does not mind.
        let _ = self.child.start_kill();
    }

    /// Waits for the end. May be dropped and asked again.
    pub async fn ended(&mut self) -> End {
        End::of(self.child.wait().await)
    }
}

impl End {
    fn of(result: io::Result<ExitStatus>) -> End {
        match result {
            Ok(status) => End { code: exit_code(status), how: status.to_string() },
            // When SIGCHLD was ignored by whoever started us, the system throws exit codes away.
            Err(error) => End { code: 1, how: format!("its end cannot be read: {error}") },
        }
    }
}

/// The code as shells have it. Signals are below 128, exit codes below 256.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> CommandLine {
        CommandLine { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    async fn code_of(script: &str) -> u8 {
        Running::start(&shell(script)).unwrap().ended().await.code
    }

    #[tokio::test]
    async fn an_exit_code_is_kept_and_a_death_by_signal_is_128_and_more() {
        assert_eq!(code_of("exit 0").await, 0);
        assert_eq!(code_of("exit 255").await, 255);
        assert_eq!(code_of("kill -KILL $$").await, 128 + 9);
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_started_has_the_shells_exit_code() {
        let start = |program: &str| {
            Running::start(&CommandLine { program: program.into(), arguments: Vec::new() }).unwrap_err()
        };
        assert_eq!(start("/no/such/program").exit_code(), 127);
        assert_eq!(start("/").exit_code(), 126);
        assert_eq!(start("/").to_string(), "cannot start `/`");
    }

    #[tokio::test]
    async fn every_signal_that_ends_a_process_reaches_the_command() {
        let ignored = crate::signal::ignored(&std::fs::read_to_string("/proc/self/status").unwrap());
        let is_deadly = |signal: &Signal| !matches!(signal, Signal::Winch | Signal::Cont);
        let deadly = Signal::ALL.into_iter().filter(is_deadly);
        for signal in deadly.filter(|signal| !ignored.contains(signal)) {
            let mut running = Running::start(&shell("exec sleep 60")).unwrap();
            running.tell(signal);
            assert_eq!(i32::from(running.ended().await.code), 128 + signal.to_os().as_raw(), "{signal}");
        }
    }

    #[tokio::test]
    async fn the_command_has_a_process_group_of_its_own() {
        let running = Running::start(&shell("exec sleep 60")).unwrap();
        let pid = Pid::from_raw(running.pid().unwrap().cast_signed()).unwrap();
        assert_eq!(rustix::process::getpgid(Some(pid)).unwrap(), pid);
    }
}
