//! nginx in the foreground, with its files in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::binaries::path_of;
use crate::process::{Process, Signal};
use crate::wait::poll;
use crate::{Outcome, Ports, Scratch, Storage, must};

/// How long nginx may take to listen, or to end.
const DEADLINE: Duration = Duration::from_secs(20);

/// Attempts at starting on a port that somebody else took meanwhile.
const ATTEMPTS: usize = 5;

/// Logged once for each generation of workers: at the start, and at each reload that took effect.
const GENERATION: &str = "start worker processes";

/// Logged for each SIGHUP that the master saw, whether the configuration was good or not.
const HANGUP: &str = "signal 1 (SIGHUP)";

/// Where an nginx started here keeps its files, and the port it should listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxLayout {
    dir: PathBuf,
    port: u16,
}

impl NginxLayout {
    /// The directory for everything, which goes when nginx does.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A free port for `listen`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A directory whose `*.conf` the generated configuration includes in its `http` block.
    pub fn conf_d(&self) -> PathBuf {
        self.dir.join("conf.d")
    }

    /// Lines for the top of a configuration: who the workers are and how many.
    pub fn main_lines(&self) -> String {
        // Started by root, workers would change to a user that cannot read this directory.
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        format!("{user}worker_processes 1;\nevents {{ worker_connections 512; }}\n")
    }

    /// Lines for the `http` block: temporary paths that need no privilege, and no access log.
    pub fn http_lines(&self) -> String {
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let path = |kind| format!("{kind}_temp_path {};\n", self.dir.join("temp").join(kind).display());
        let paths: String = kinds.into_iter().map(path).collect();
        format!("access_log off;\n{paths}")
    }

    /// A whole configuration: answers `nginx` on the port, and includes `conf.d/*.conf`.
    pub fn simple_config(&self) -> String {
        format!(
            "{}http {{\n{}include {}/*.conf;\n\
             server {{ listen 127.0.0.1:{}; location / {{ return 200 \"nginx\\n\"; }} }}\n}}\n",
            self.main_lines(),
            self.http_lines(),
            self.conf_d().display(),
            self.port,
        )
    }
}

/// A running nginx; dropping it ends master and workers.
///
/// Its prefix, so what relative paths in the configuration begin at, is its directory. Its error log
/// is there too, at level `notice`.
#[derive(Debug)]
pub struct Nginx {
    layout: NginxLayout,
    config: PathBuf,
    /// A `pid` line of the configuration's own goes before ours.
    pid_file: PathBuf,
    own_pid_line: bool,
    starts: AtomicUsize,
    process: Mutex<Option<Process>>,
    _scratch: Scratch,
}

impl Nginx {
    /// Starts nginx on [`NginxLayout::simple_config`].
    ///
    /// # Panics
    ///
    /// When nginx is not installed or does not start.
    #[track_caller]
    pub fn start() -> Nginx {
        Nginx::start_with(NginxLayout::simple_config)
    }

    /// Starts nginx on the text that `config` makes, kept as `nginx.conf` in its directory.
    ///
    /// The text must not set `daemon`. It is asked for again, with another port, when somebody else
    /// took the port meanwhile.
    ///
    /// # Panics
    ///
    /// When nginx is not installed or does not start; the message shows its log.
    #[track_caller]
    pub fn start_with(config: impl Fn(&NginxLayout) -> String) -> Nginx {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let (scratch, layout) = must(lay_out());
            let file = layout.dir().join("nginx.conf");
            must(write(&file, &config(&layout)));
            match Nginx::launch(scratch, layout, file) {
                Ok(nginx) => return nginx,
                Err(why) if why.contains("Address already in use") => last = why,
                Err(why) => panic!("{why}"),
            }
        }
        panic!("nginx: {ATTEMPTS} ports were taken one after the other: {last}");
    }

    /// Starts nginx on a file that belongs to the caller, which it also reads at each reload.
    ///
    /// [`Nginx::port`] is a free port that the file may or may not use.
    ///
    /// # Panics
    ///
    /// When nginx is not installed or does not start; the message shows its log.
    #[track_caller]
    pub fn start_on(config: &Path) -> Nginx {
        let (scratch, layout) = must(lay_out());
        must(Nginx::launch(scratch, layout, config.to_owned()))
    }

    fn launch(scratch: Scratch, layout: NginxLayout, config: PathBuf) -> Outcome<Nginx> {
        let text = fs::read_to_string(&config)
            .map_err(|why| format!("nginx: cannot read {}: {why}", config.display()))?;
        let own_pid = pid_line(&text);
        let nginx = Nginx {
            pid_file: layout.dir().join(own_pid.clone().unwrap_or_else(|| PathBuf::from("nginx.pid"))),
            own_pid_line: own_pid.is_some(),
            layout,
            config,
            starts: AtomicUsize::new(0),
            process: Mutex::new(None),
            _scratch: scratch,
        };
        nginx.try_start()?;
        Ok(nginx)
    }

    /// Its directory, port and configuration lines.
    pub fn layout(&self) -> &NginxLayout {
        &self.layout
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// The port the configuration was made for.
    pub fn port(&self) -> u16 {
        self.layout.port()
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The configuration file it runs on.
    pub fn config_file(&self) -> &Path {
        &self.config
    }

    /// The file with the master's pid.
    pub fn pid_file(&self) -> &Path {
        &self.pid_file
    }

    /// A shell command that makes it reload: a `reload_cmd`.
    pub fn reload_command(&self) -> String {
        format!("kill -HUP $(cat {})", self.pid_file.display())
    }

    /// A shell command that tests the configuration file whose path is appended: a `check_cmd`.
    pub fn check_command(&self) -> String {
        let words: Vec<String> = match self.test_command() {
            Ok(command) => {
                let arguments = command.get_args().map(|word| word.to_string_lossy());
                let quoted = arguments.map(|word| format!("'{word}'"));
                [command.get_program().to_string_lossy().into_owned()].into_iter().chain(quoted).collect()
            }
            Err(_) => vec!["nginx".to_owned()],
        };
        format!("{} -t -q -c", words.join(" "))
    }

    /// Tests a configuration file as this nginx would load it; the error is what nginx printed.
    ///
    /// # Errors
    ///
    /// When nginx finds the configuration faulty.
    pub fn test(&self, config: &Path) -> Result<(), String> {
        let output = self.test_command()?.args(["-t", "-q", "-c"]).arg(config).output();
        let output = output.map_err(|why| format!("nginx: cannot be started: {why}"))?;
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(printed) }
    }

    /// Asks the master to reload (SIGHUP); [`Nginx::reloads`] tells when that took effect.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn reload(&self) {
        must(self.with(|process| process.signal(Signal::HUP)));
    }

    /// Reloads that took effect since the first start, whoever asked for them.
    pub fn reloads(&self) -> usize {
        self.logged(GENERATION).saturating_sub(self.starts.load(Ordering::SeqCst))
    }

    /// Reloads that the master was asked for, those with a faulty configuration included.
    ///
    /// Two signals that arrive before the master looks are one.
    pub fn reload_signals(&self) -> usize {
        self.logged(HANGUP)
    }

    /// nginx's error log, with the notices.
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.error_log_file()).unwrap_or_default()
    }

    /// The master's pid.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        must(self.with(Process::pid))
    }

    /// The pids of all workers, those of older generations that still finish requests included.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn workers(&self) -> Vec<u32> {
        let master = self.pid();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        let children = children.unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.filter(|pid| title(*pid).contains("worker process")).collect()
    }

    /// The pids of workers of older generations, which only finish the requests they have.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn workers_shutting_down(&self) -> Vec<u32> {
        self.workers().into_iter().filter(|pid| title(*pid).contains("is shutting down")).collect()
    }

    /// True while the master runs.
    pub fn is_running(&self) -> bool {
        self.with(Process::is_running).unwrap_or(false)
    }

    /// Kills master and workers (SIGKILL).
    pub fn kill(&self) {
        drop(self.lock().take());
    }

    /// Ends it fast but orderly (SIGTERM).
    ///
    /// # Panics
    ///
    /// When it has not ended within 20 s.
    #[track_caller]
    pub fn stop(&self) {
        if let Some(process) = self.lock().take() {
            process.stop(DEADLINE);
        }
    }

    /// Starts it again on the same configuration file; one that runs is left alone.
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

    /// Stops master and workers in their tracks (SIGSTOP), until [`Nginx::resume`].
    pub fn pause(&self) {
        let _ = self.with(Process::pause);
    }

    /// Continues what [`Nginx::pause`] stopped.
    pub fn resume(&self) {
        let _ = self.with(Process::resume);
    }

    fn try_start(&self) -> Outcome<()> {
        // A killed master leaves its pid file, which would look like the new one's.
        let _ = fs::remove_file(&self.pid_file);
        let mut command = self.command(&self.pid_file, &self.error_log_file())?;
        command.arg("-c").arg(&self.config);
        let generations = self.logged(GENERATION);
        let output = self.dir().join("output.log");
        // Not SIGKILL: the master must live to end its workers.
        let process = Process::try_start("nginx", &command, &output, Signal::TERM)?;
        self.wait_ready(&process, generations)?;
        self.starts.fetch_add(1, Ordering::SeqCst);
        *self.lock() = Some(process);
        Ok(())
    }

    /// The master writes its pid once it listens on every port; then comes one more generation.
    fn wait_ready(&self, process: &Process, generations: usize) -> Outcome<()> {
        let up = || {
            let pid = fs::read_to_string(&self.pid_file).unwrap_or_default();
            pid.trim() == process.pid().to_string() && self.logged(GENERATION) > generations
        };
        let ready = poll(DEADLINE, || match (up(), process.is_running()) {
            (true, _) => Some(Ok(())),
            (false, true) => None,
            (false, false) => Some(Err("ended at once".to_owned())),
        });
        ready.unwrap_or_else(|| Err(format!("wrote no pid file within {DEADLINE:?}"))).map_err(|why| {
            format!("nginx on {} {why}\n{}\n{}", self.config.display(), process.log_tail(), self.error_log())
        })
    }

    /// nginx with this directory's prefix, in the foreground.
    fn command(&self, pid_file: &Path, log: &Path) -> Outcome<Command> {
        let mut globals = format!("daemon off; error_log {} notice;", log.display());
        if !self.own_pid_line {
            globals.push_str(&format!(" pid {};", pid_file.display()));
        }
        let mut command = Command::new(path_of("nginx")?);
        command.arg("-p").arg(self.dir()).arg("-e").arg(log).arg("-g").arg(globals);
        Ok(command)
    }

    /// A test makes a missing pid file and logs what it finds: not in the files of the running one.
    fn test_command(&self) -> Outcome<Command> {
        self.command(&self.dir().join("test.pid"), &self.dir().join("test.log"))
    }

    fn error_log_file(&self) -> PathBuf {
        self.dir().join("error.log")
    }

    fn logged(&self, words: &str) -> usize {
        // The workers' own lines say "start worker process 123".
        self.error_log().lines().filter(|line| line.contains(words)).count()
    }

    fn with<T>(&self, act: impl FnOnce(&Process) -> T) -> Outcome<T> {
        self.lock().as_ref().map(act).ok_or_else(|| "nginx is not running".to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lay_out() -> Outcome<(Scratch, NginxLayout)> {
    let scratch = Scratch::new("nginx", Storage::Memory);
    let layout = NginxLayout { dir: scratch.path().to_owned(), port: Ports::free() };
    for dir in [layout.conf_d(), layout.dir().join("temp")] {
        fs::create_dir(&dir).map_err(|why| format!("cannot make {}: {why}", dir.display()))?;
    }
    Ok((scratch, layout))
}

fn write(file: &Path, text: &str) -> Outcome<()> {
    fs::write(file, text).map_err(|why| format!("cannot write {}: {why}", file.display()))
}

/// The path that a `pid` directive of the configuration names; a second directive is an error there.
fn pid_line(config: &str) -> Option<PathBuf> {
    let directive = config.lines().find_map(|line| line.trim_start().strip_prefix("pid "))?;
    directive.split(';').next().map(|path| PathBuf::from(path.trim()))
}

/// What nginx calls the process: its command line says which role it has.
fn title(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_with_a_pid_line_keeps_it() {
        assert_eq!(pid_line("user www;\n  pid /run/x.pid; # here\n"), Some(PathBuf::from("/run/x.pid")));
        assert_eq!(pid_line("# pid /run/x.pid;\nevents {}\n"), None);
    }
}
