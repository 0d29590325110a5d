//! php-fpm in the foreground, with a pool and settings of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::binaries::path_of;
use crate::process::{Process, Signal};
use crate::wait::poll;
use crate::{Outcome, Ports, Response, Scratch, Storage, fastcgi, must};

/// Debian's name for it; the package `php-fpm` brings the version of the release.
const BINARY: &str = "php-fpm8.2";

/// How long php-fpm may take to listen, or to end.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long a script may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How php-fpm is to be: without more, two children on a Unix socket, and Debian's settings.
#[derive(Debug, Clone, Default)]
pub struct PhpFpmOptions {
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    children: Option<usize>,
    is_on_port: bool,
}

impl PhpFpmOptions {
    /// None of them.
    pub fn new() -> PhpFpmOptions {
        PhpFpmOptions::default()
    }

    /// A setting of `php.ini`, given at the start, where all of opcache's count: `opcache.revalidate_freq`.
    #[must_use]
    pub fn ini(mut self, name: &str, value: &str) -> PhpFpmOptions {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable that scripts see in their environment, without double quotes in it.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> PhpFpmOptions {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How many requests are worked on at once.
    #[must_use]
    pub fn children(mut self, count: usize) -> PhpFpmOptions {
        self.children = Some(count);
        self
    }

    /// On a loopback port instead of a Unix socket.
    #[must_use]
    pub fn on_port(mut self) -> PhpFpmOptions {
        self.is_on_port = true;
        self
    }

    fn configuration(&self, address: &str, dir: &Path) -> String {
        // Started by root, children would change to a user that cannot read this directory.
        let user = if rustix::process::geteuid().is_root() { "user = root\ngroup = root\n" } else { "" };
        let variable = |(name, value): &(String, String)| format!("env[{name}] = \"{value}\"\n");
        let variables: String = self.variables.iter().map(variable).collect();
        format!(
            "[global]\nerror_log = {}\ndaemonize = no\n[www]\n{user}listen = {address}\nlisten.mode = 0666\n\
             pm = static\npm.max_children = {}\ncatch_workers_output = yes\n{variables}",
            dir.join("error.log").display(),
            self.children.unwrap_or(2),
        )
    }
}

/// A running php-fpm; dropping it ends master and children.
#[derive(Debug)]
pub struct PhpFpm {
    options: PhpFpmOptions,
    address: String,
    process: Mutex<Option<Process>>,
    scratch: Scratch,
}

impl PhpFpm {
    /// Starts it without options.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    #[track_caller]
    pub fn start() -> PhpFpm {
        PhpFpm::start_with(PhpFpmOptions::new())
    }

    /// Starts it with `options`.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message shows its log.
    #[track_caller]
    pub fn start_with(options: PhpFpmOptions) -> PhpFpm {
        must(PhpFpm::launch(options))
    }

    fn launch(options: PhpFpmOptions) -> Outcome<PhpFpm> {
        let scratch = Scratch::new("php-fpm", Storage::Memory);
        let address = match options.is_on_port {
            true => format!("127.0.0.1:{}", Ports::free()),
            false => scratch.join("fpm.sock").display().to_string(),
        };
        let text = options.configuration(&address, scratch.path());
        let file = scratch.join("fpm.conf");
        fs::write(&file, text).map_err(|why| format!("cannot write {}: {why}", file.display()))?;
        let fpm = PhpFpm { options, address, process: Mutex::new(None), scratch };
        fpm.try_start()?;
        Ok(fpm)
    }

    /// Where it listens: the path of a Unix socket, or `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A directory that goes with it.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs `script` with `params` besides the few that PHP needs, such as `("QUERY_STRING", "a=1")`.
    ///
    /// # Panics
    ///
    /// When nobody answers, or not within 30 s; the message shows php-fpm's log.
    #[track_caller]
    pub fn request(&self, script: &Path, params: &[(&str, &str)]) -> Response {
        must(self.try_request(script, params).map_err(|why| {
            format!("php-fpm at {}: {}: {why}\n{}", self.address, script.display(), self.error_log())
        }))
    }

    /// As [`PhpFpm::request`], for those who expect that nobody answers.
    ///
    /// # Errors
    ///
    /// When nobody answers, or not within 30 s.
    pub fn try_request(&self, script: &Path, params: &[(&str, &str)]) -> std::io::Result<Response> {
        let script = script.display().to_string();
        let own = [("SCRIPT_FILENAME", &*script), ("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/")];
        let all = own.iter().chain(params).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        fastcgi::request(&self.address, &all.collect::<Vec<_>>(), b"", TIMEOUT)
    }

    /// What php-fpm and its scripts' errors have logged.
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.scratch.join("error.log")).unwrap_or_default()
    }

    /// The master's pid.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        must(self.lock().as_ref().map(Process::pid).ok_or_else(|| "php-fpm is not running".to_owned()))
    }

    /// True while the master runs.
    pub fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(Process::is_running)
    }

    /// Kills master and children (SIGKILL).
    pub fn kill(&self) {
        drop(self.lock().take());
    }

    /// Ends it orderly (SIGQUIT): requests in hand are finished.
    ///
    /// # Panics
    ///
    /// When it has not ended within 20 s.
    #[track_caller]
    pub fn stop(&self) {
        if let Some(process) = self.lock().take() {
            process.signal(Signal::QUIT);
            process.wait(DEADLINE);
        }
    }

    /// Starts it again on the same address, with an empty opcache; one that runs is left alone.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_again(&self) {
        if !self.is_running() {
            must(self.try_start());
        }
    }

    fn try_start(&self) -> Outcome<()> {
        // A killed master leaves its socket, which would look like the new one's.
        let _ = fs::remove_file(self.scratch.join("fpm.sock"));
        let mut command = Command::new(path_of(BINARY)?);
        command.arg("--nodaemonize").arg("--fpm-config").arg(self.scratch.join("fpm.conf"));
        if rustix::process::geteuid().is_root() {
            command.arg("--allow-to-run-as-root");
        }
        for (name, value) in &self.options.settings {
            command.arg("-d").arg(format!("{name}={value}"));
        }
        // Not SIGKILL: the master must live to end its children.
        let process = Process::try_start("php-fpm", &command, &self.output(), Signal::TERM)?;
        self.wait_ready(&process)?;
        *self.lock() = Some(process);
        Ok(())
    }

    fn wait_ready(&self, process: &Process) -> Outcome<()> {
        let listens = || match self.address.starts_with('/') {
            true => std::os::unix::net::UnixStream::connect(&self.address).is_ok(),
            false => std::net::TcpStream::connect(&self.address).is_ok(),
        };
        let ready = poll(DEADLINE, || match (listens(), process.is_running()) {
            (true, _) => Some(Ok(())),
            (false, true) => None,
            (false, false) => Some(Err("ended at once".to_owned())),
        });
        let late = || Err(format!("did not listen within {DEADLINE:?}"));
        ready.unwrap_or_else(late).map_err(|why| {
            format!("php-fpm on {} {why}\n{}\n{}", self.address, process.log_tail(), self.error_log())
        })
    }

    fn output(&self) -> PathBuf {
        self.scratch.join("output.log")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
