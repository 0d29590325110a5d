//! Child processes that cannot outlive the demonstration.
//!
//! Each is started through `setpriv --pdeathsig`, if that is installed: then the kernel ends it when we die,
//! even by SIGKILL. It then looks whether we live still, since that may have been before there was somebody
//! to signal. The signal is tied to the thread that started the child, so all is started from the main
//! thread; the binary's runtime has no other.
//!
//! Each leads a process group of its own, so that Ctrl-C in a terminal is for us alone, and so that what it
//! has started can be killed with it. A child that has ended is not reaped before it is dropped: until then
//! its number, which is its group's, cannot be somebody else's.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

pub(crate) use rustix::process::Signal;

use crate::Error;

/// How many lines of a log an error shows.
const TAIL: usize = 6;

/// How often it is looked whether a child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a killed child may take to be gone. The kernel needs microseconds, unless a disk hangs.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Servers are here on Debian, where an ordinary user's `PATH` does not look.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Settings of waypost and etcd that are meant for others than the ones we start.
const FOREIGN_VARIABLES: [&str; 2] = ["WAYPOST_", "ETCD_"];

/// Goes on only if the process that is given first is the parent, as it was at the start.
const GO_ON_WITH_PARENT: &str = r#"test "$PPID" = "$0" && exec "$@""#;

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// What the child gets when we die.
    pub(crate) on_our_death: Signal,
    /// Whether standard input is a pipe that ends with us; otherwise it is empty.
    pub(crate) has_input: bool,
}

impl Line {
    pub(crate) fn new<A: Into<OsString>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Line {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Line { program: program.to_owned(), arguments, on_our_death: Signal::KILL, has_input: false }
    }

    fn command(&self) -> Command {
        let mut command = match find("setpriv") {
            Some(setpriv) => {
                // By name: setpriv takes no number.
                let signal = if self.on_our_death == Signal::TERM { "TERM" } else { "KILL" };
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", signal, "--", "/bin/sh", "-c", GO_ON_WITH_PARENT]);
                command.arg(std::process::id().to_string()).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        let input = if self.has_input { Stdio::piped() } else { Stdio::null() };
        command.args(&self.arguments).process_group(0).stdin(input);
        for (name, _) in env::vars_os() {
            let name_bytes = name.as_encoded_bytes();
            if FOREIGN_VARIABLES.iter().any(|start| name_bytes.starts_with(start.as_bytes())) {
                command.env_remove(name);
            }
        }
        command
    }
}

/// A child, running or ended. Dropping it kills it and all that it has started.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `line`; what it prints goes to a file of its name in `logs`.
    pub(crate) fn start(name: &str, line: &Line, logs: &Path) -> Result<Process, Error> {
        let (log, output) = open_log(name, logs)?;
        let errors = output.try_clone().map_err(Error::system(format!("open {}", log.display())))?;
        Process::spawn(name, line.command().stdout(output).stderr(errors), log)
    }

    /// The same, and gives what it prints to standard error to the caller, who writes it to its log.
    pub(crate) fn start_heard(
        name: &str,
        line: &Line,
        logs: &Path,
    ) -> Result<(Process, ChildStderr, File), Error> {
        let (log, output) = open_log(name, logs)?;
        let copy = output.try_clone().map_err(Error::system(format!("open {}", log.display())))?;
        let mut process = Process::spawn(name, line.command().stdout(output).stderr(Stdio::piped()), log)?;
        let heard = process.child.stderr.take().expect("it was just made a pipe");
        Ok((process, heard, copy))
    }

    fn spawn(name: &str, command: &mut Command, log: PathBuf) -> Result<Process, Error> {
        let child = command.spawn().map_err(Error::system(format!("start {name}")))?;
        let pid = Pid::from_child(&child);
        Ok(Process { name: name.to_owned(), child, pid, log })
    }

    /// Its number; `setpriv` and the shell become the program, so it is the program's.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal` to the child alone; one that has ended does not mind.
    pub(crate) fn tell(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let seen = waitid(WaitId::Pid(self.pid), look).ok().flatten()?;
        // wait(2)'s word: the exit code in the second byte, or the signal in the first.
        let code = seen.exit_status().map(|code| code << 8);
        code.or(seen.terminating_signal()).map(ExitStatus::from_raw)
    }

    /// Waits for its end, until `deadline`; true if it came.
    pub(crate) async fn ended_by(&self, deadline: Instant) -> bool {
        while self.ended().is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    /// An error that tells that it did not come up.
    pub(crate) fn not_started(&self, why: impl Into<String>) -> Error {
        Error::NotStarted { name: self.name.clone(), why: why.into(), log: self.tail() }
    }

    /// An error that tells that it ended by itself.
    pub(crate) fn has_ended(&self, status: ExitStatus) -> Error {
        Error::Ended { name: self.name.clone(), how: status.to_string(), log: self.tail() }
    }

    /// True if it has ended since somebody else listens on its port; its log says so.
    pub(crate) fn found_its_port_taken(&self) -> bool {
        self.ended().is_some() && self.tail().to_lowercase().contains("address already in use")
    }

    fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Process {
    /// Waits for the end as well, so that it writes to no file any more.
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let deadline = Instant::now() + GONE_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn open_log(name: &str, logs: &Path) -> Result<(PathBuf, File), Error> {
    let log = logs.join(format!("{name}.log"));
    // Emptied: an error shows what this life printed, not a former one.
    let file = File::create(&log).and_then(|_| File::options().append(true).open(&log));
    let file = file.map_err(Error::system(format!("open {}", log.display())))?;
    Ok((log, file))
}

/// Finds a program on `PATH` or in the system directories.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM_DIRECTORIES.iter().map(PathBuf::from);
    let is_executable =
        |file: &PathBuf| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    env::split_paths(&path).chain(system).map(|directory| directory.join(program)).find(is_executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Process, tempfile::TempDir) {
        let logs = tempfile::tempdir().unwrap();
        let line = Line::new(Path::new("/bin/sh"), ["-c", script]);
        (Process::start("sh", &line, logs.path()).unwrap(), logs)
    }

    #[tokio::test]
    async fn the_end_is_seen_and_told_with_the_log() {
        let (process, _logs) = shell("echo bind: Address already in use; exit 3");
        assert!(process.ended_by(Instant::now() + Duration::from_secs(20)).await);
        let status = process.ended().unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.ended(), Some(status), "and again");
        assert!(process.found_its_port_taken());
        let error = process.has_ended(status).to_string();
        assert!(error.starts_with("sh has ended by itself: exit status: 3\n    bind: "), "{error}");
    }

    #[tokio::test]
    async fn dropping_kills_what_the_child_has_started_too() {
        let (process, logs) = shell("sleep 600 & echo $!; wait");
        let pid = loop {
            let printed = fs::read_to_string(logs.path().join("sh.log")).unwrap();
            if let Ok(pid) = printed.trim().parse::<i32>() {
                break Pid::from_raw(pid).unwrap();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        drop(process);
        let stat = || fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok();
        let is_alive = || stat().is_some_and(|stat| !stat.contains(") Z "));
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_alive() {
            assert!(Instant::now() < deadline, "it lives on");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
