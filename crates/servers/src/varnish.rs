//! varnishd in the foreground, with a working directory, a port, and a door for its administration.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::binaries::path_of;
use crate::process::{Process, Signal};
use crate::wait::poll;
use crate::{Outcome, Ports, Scratch, Storage, must};

/// How long varnishd may take to compile its first VCL and to listen, or to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// What varnishd begins with.
#[derive(Debug, Clone)]
enum Start {
    /// One backend at HOST:PORT, or `none` (`-b`).
    Backend(String),
    /// A VCL file, loaded as `boot` (`-f`).
    File(PathBuf),
    /// Nothing: the cache process is not started before a VCL is in use and somebody says `start` (`-f ''`).
    Nothing,
}

/// A running varnishd; dropping it ends both of its processes.
#[derive(Debug)]
pub struct Varnish {
    start: Start,
    more: Vec<String>,
    port: u16,
    admin: u16,
    process: Mutex<Option<Process>>,
    scratch: Scratch,
}

impl Varnish {
    /// Starts it without any backend: all that is asked of it is a 503.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; so do the other ways to start it.
    #[track_caller]
    pub fn start() -> Varnish {
        must(Varnish::launch(Start::Backend("none".to_owned()), &[]))
    }

    /// Starts it before one backend, `HOST:PORT`.
    #[track_caller]
    pub fn before(backend: &str) -> Varnish {
        must(Varnish::launch(Start::Backend(backend.to_owned()), &[]))
    }

    /// Starts it on the text of a VCL, which is loaded as `boot`.
    #[track_caller]
    pub fn start_with(vcl: &str) -> Varnish {
        Varnish::start_with_options(vcl, &[])
    }

    /// As [`Varnish::start_with`], with more arguments: `["-p", "vcc_allow_inline_c=on"]`.
    #[track_caller]
    pub fn start_with_options(vcl: &str, arguments: &[&str]) -> Varnish {
        let scratch = Scratch::new("varnish", Storage::Disk);
        let file = scratch.join("boot.vcl");
        must(fs::write(&file, vcl).map_err(|why| format!("cannot write {}: {why}", file.display())));
        must(Varnish::launch_in(scratch, Start::File(file), arguments))
    }

    /// Starts it on a VCL file of the caller's, which is read again at each start.
    #[track_caller]
    pub fn start_on(file: &Path) -> Varnish {
        must(Varnish::launch(Start::File(file.to_owned()), &[]))
    }

    /// Starts it without a VCL; its cache process is started by `adm(["start"])` once there is one.
    #[track_caller]
    pub fn start_empty() -> Varnish {
        must(Varnish::launch(Start::Nothing, &[]))
    }

    fn launch(start: Start, more: &[&str]) -> Outcome<Varnish> {
        Varnish::launch_in(Scratch::new("varnish", Storage::Disk), start, more)
    }

    /// On a disk, because what it compiles must be executable, which memory's file system may not allow.
    fn launch_in(scratch: Scratch, start: Start, more: &[&str]) -> Outcome<Varnish> {
        let more = more.iter().map(|argument| (*argument).to_owned()).collect();
        let (port, admin) = (Ports::free(), Ports::free());
        let secret = scratch.join("secret");
        fs::write(&secret, format!("{:032x}\n", fastrand::u128(..)))
            .map_err(|why| format!("cannot write {}: {why}", secret.display()))?;
        let varnish = Varnish { start, more, port, admin, process: Mutex::new(None), scratch };
        varnish.try_start()?;
        Ok(varnish)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it serves on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is administrated: `127.0.0.1:PORT`.
    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.admin)
    }

    /// The file with the secret that the administration asks for.
    pub fn secret_file(&self) -> PathBuf {
        self.scratch.join("secret")
    }

    /// A directory that goes with it.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Sends a command to the administration, as `varnishadm` does: `adm(["vcl.list"])`.
    ///
    /// # Panics
    ///
    /// When varnishd does not answer or refuses.
    #[track_caller]
    pub fn adm<const N: usize>(&self, words: [&str; N]) -> String {
        must(self.try_adm(&words))
    }

    /// As [`Varnish::adm`], for those who expect a refusal.
    ///
    /// # Errors
    ///
    /// What `varnishadm` printed, if varnishd does not answer or refuses.
    pub fn try_adm(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(path_of("varnishadm")?);
        command.args(["-T", &self.admin_address(), "-S"]).arg(self.secret_file()).args(words);
        let output = command.output().map_err(|why| format!("varnishadm: cannot be started: {why}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(format!("varnishadm {words:?}: {}{}", text(&output.stderr), text(&output.stdout))),
        }
    }

    /// The name of the VCL that is in use.
    ///
    /// # Panics
    ///
    /// When varnishd does not answer.
    #[track_caller]
    pub fn active_vcl(&self) -> Option<String> {
        let list = self.adm(["vcl.list"]);
        let active = list.lines().find(|line| line.starts_with("active"))?;
        // Status, state, temperature, how many use it, name, and perhaps labels.
        active.split_whitespace().nth(4).map(str::to_owned)
    }

    /// The pid of the managing process.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        must(self.lock().as_ref().map(Process::pid).ok_or_else(|| "varnishd is not running".to_owned()))
    }

    /// True while the managing process runs.
    pub fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(Process::is_running)
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Kills both processes (SIGKILL).
    pub fn kill(&self) {
        drop(self.lock().take());
    }

    /// Ends it orderly (SIGTERM).
    ///
    /// # Panics
    ///
    /// When it has not ended within 60 s.
    #[track_caller]
    pub fn stop(&self) {
        if let Some(process) = self.lock().take() {
            process.stop(DEADLINE);
        }
    }

    /// Stops both processes in their tracks (SIGSTOP), until [`Varnish::resume`].
    pub fn pause(&self) {
        self.lock().as_ref().into_iter().for_each(Process::pause);
    }

    /// Continues what [`Varnish::pause`] stopped.
    pub fn resume(&self) {
        self.lock().as_ref().into_iter().for_each(Process::resume);
    }

    /// Starts it again as it was, with an empty cache and its first VCL only; one that runs is left alone.
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
        let process = Process::try_start("varnishd", &self.command()?, &self.log_file(), Signal::TERM)?;
        self.wait_ready(&process)?;
        *self.lock() = Some(process);
        Ok(())
    }

    fn command(&self) -> Outcome<Command> {
        let mut command = Command::new(path_of("varnishd")?);
        command.arg("-F").arg("-n").arg(self.scratch.join("work"));
        // Started by root, it would change to a user that cannot read this directory.
        command.args(["-j", "none", "-s", "malloc,64m", "-l", "8m", "-p", "thread_pool_min=20"]);
        command.args(["-a", &format!("127.0.0.1:{}", self.port), "-T", &self.admin_address()]);
        command.arg("-S").arg(self.secret_file());
        match &self.start {
            Start::Backend(backend) => command.args(["-b", backend]),
            Start::File(file) => command.arg("-f").arg(file),
            Start::Nothing => command.args(["-f", ""]),
        };
        command.args(&self.more);
        Ok(command)
    }

    fn wait_ready(&self, process: &Process) -> Outcome<()> {
        let serves = || TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        let answers = || self.try_adm(&["ping"]).is_ok();
        let is_up = || answers() && (matches!(self.start, Start::Nothing) || serves());
        let ready = poll(DEADLINE, || match (is_up(), process.is_running()) {
            (true, _) => Some(Ok(())),
            (false, true) => None,
            (false, false) => Some(Err("ended at once".to_owned())),
        });
        let late = || Err(format!("did not answer within {DEADLINE:?}"));
        ready.unwrap_or_else(late).map_err(|why| format!("varnishd {why}\n{}", process.log_tail()))
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.join("output.log")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
