//! A child process that cannot outlive the test that started it.
//!
//! It is started through `setpriv --pdeathsig`, so the kernel ends it when its parent dies, even by
//! SIGKILL. That signal is tied to the thread that forked, not to the process, and a test's thread
//! ends with the test: so one keeper thread, which lives as long as the process, does all spawning.
//!
//! Each child leads a process group of its own, which is killed with it: nginx's workers do not
//! notice that their master was killed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::binaries::path_of;
use crate::wait::poll;
use crate::{Outcome, must};

pub use rustix::process::Signal;

/// How many lines of a log an error shows.
const TAIL: usize = 30;

/// A child, running or ended; dropping it kills it and all of its process group.
///
/// One that has ended stays unreaped until then: so its pid, which is its group's, is nobody else's.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    reaped: OnceLock<ExitStatus>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no stdin, and stdout and stderr appended to the file `log`.
    ///
    /// Program, arguments, directory and variables of `command` are kept; its stdio settings and an
    /// `env_clear` are not. `name` is for messages.
    ///
    /// # Panics
    ///
    /// When the program or `setpriv` is not installed, or the log cannot be opened.
    #[track_caller]
    pub fn start(name: &str, command: &Command, log: &Path) -> Process {
        must(Process::try_start(name, command, log, Signal::KILL))
    }

    /// As [`Process::start`]; `death` is what the child gets when the starting process dies.
    pub(crate) fn try_start(name: &str, command: &Command, log: &Path, death: Signal) -> Outcome<Process> {
        let program = program_of(command)?;
        let output = open_log(log).map_err(|why| format!("{name}: cannot open {}: {why}", log.display()))?;
        let errors = output.try_clone().map_err(|why| format!("{name}: cannot share its log: {why}"))?;

        let mut wrapped = Command::new(path_of("setpriv")?);
        // By name: setpriv takes no number.
        let death = if death == Signal::TERM { "TERM" } else { "KILL" };
        wrapped.args(["--pdeathsig", death, "--"]).arg(program);
        wrapped.args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(variable, value),
                None => wrapped.env_remove(variable),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            wrapped.current_dir(dir);
        }
        wrapped.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);

        let child = spawn(wrapped).map_err(|why| format!("{name}: cannot be started: {why}"))?;
        let pid = Pid::from_child(&child);
        Ok(Process {
            name: name.to_owned(),
            pid,
            child: Mutex::new(child),
            reaped: OnceLock::new(),
            log: log.to_owned(),
        })
    }

    /// The child's process id; `setpriv` becomes the program, so it is the program's.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Everything the child has printed.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines the child has printed, for a message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- end of {}'s log\n{}\n---", self.name, tail.join("\n"))
    }

    /// True until the child has ended.
    pub fn is_running(&self) -> bool {
        self.ended().is_none()
    }

    /// Sends `signal` to the child alone; one that has ended does not mind.
    pub fn signal(&self, signal: Signal) {
        self.unless_reaped(|| kill_process(self.pid, signal));
    }

    /// Stops the child and all it has started (SIGSTOP), until [`Process::resume`].
    pub fn pause(&self) {
        self.unless_reaped(|| kill_process_group(self.pid, Signal::STOP));
    }

    /// Continues what [`Process::pause`] stopped.
    pub fn resume(&self) {
        self.unless_reaped(|| kill_process_group(self.pid, Signal::CONT));
    }

    /// Kills the child and all it has started (SIGKILL). One that has ended is fine.
    pub fn kill(&self) {
        self.unless_reaped(|| kill_process_group(self.pid, Signal::KILL));
        // This cannot hang: it was sent SIGKILL, or had ended.
        if let Ok(status) = self.child().wait() {
            let _ = self.reaped.set(status);
        }
    }

    /// Waits until the child has ended, and returns how.
    ///
    /// # Panics
    ///
    /// When it is still running after `deadline`; the message shows the end of its log.
    #[track_caller]
    pub fn wait(&self, deadline: Duration) -> ExitStatus {
        let ended = poll(deadline, || self.ended().map(Ok));
        must(ended.unwrap_or_else(|| {
            Err(format!("{} is still running after {deadline:?}\n{}", self.name, self.log_tail()))
        }))
    }

    /// Asks the child to end (SIGTERM), and returns how it did.
    ///
    /// # Panics
    ///
    /// When it is still running after `deadline`.
    #[track_caller]
    pub fn stop(&self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(deadline)
    }

    /// How the child has ended, if it has; looking does not reap it.
    fn ended(&self) -> Option<ExitStatus> {
        let _child = self.child(); // Nobody reaps it meanwhile.
        if let Some(status) = self.reaped.get() {
            return Some(*status);
        }
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let seen = waitid(WaitId::Pid(self.pid), look).ok().flatten()?;
        // wait(2)'s word: the exit code in the second byte, or the signal in the first.
        let code = seen.exit_status().map(|code| code << 8);
        code.or(seen.terminating_signal()).map(ExitStatus::from_raw)
    }

    /// Sends something to the pid while that is certain to be this child's.
    fn unless_reaped(&self, send: impl FnOnce() -> rustix::io::Result<()>) {
        let _child = self.child();
        if self.reaped.get().is_none() {
            // An error says that it has just ended, which is not news to the caller.
            let _ = send();
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program as a path, because a program that `setpriv` cannot find would be its error, not ours.
fn program_of(command: &Command) -> Outcome<PathBuf> {
    let program = Path::new(command.get_program());
    if program.components().count() > 1 {
        return if program.exists() {
            Ok(program.to_owned())
        } else {
            Err(format!("{} does not exist", program.display()))
        };
    }
    path_of(&program.to_string_lossy())
}

fn open_log(log: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(log)
}

/// A command for the keeper thread, and where the child goes.
type Order = (Command, mpsc::Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let gone = || io::Error::other("the thread that starts servers is gone");
    let (reply, answer) = mpsc::channel();
    keeper.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
