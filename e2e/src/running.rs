//! A waypost that keeps running, with its log.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};

use waypost_servers::{Process, Scratch, Signal, Storage, wait_until};

use crate::{DEADLINE, Tree, command};

/// A process of waypost's; dropping it kills it.
///
/// What it logs is appended to one file over all its starts.
#[derive(Debug)]
pub struct Waypost {
    command: Command,
    log: PathBuf,
    process: Process,
    _scratch: Option<Scratch>,
}

impl Waypost {
    /// Starts `waypost run` on `tree`, with more `arguments`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn agent<S: AsRef<OsStr>>(tree: &Tree, arguments: impl IntoIterator<Item = S>) -> Waypost {
        let mut command = command();
        command.arg("run").args(tree.arguments()).args(arguments);
        Waypost::start(command, tree)
    }

    /// Starts `command`, which ends up as waypost, with its log in `tree`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn start(command: Command, tree: &Tree) -> Waypost {
        // Two agents of one tree have a log each.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let log = tree.join(format!("waypost-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let process = Process::start("waypost", &command, &log);
        Waypost { command, log, process, _scratch: None }
    }

    /// Starts `waypost` with `arguments`, for instance an announcer.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn with<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Waypost {
        let scratch = Scratch::new("e2e-log", Storage::Disk);
        let mut command = command();
        command.args(arguments);
        let log = scratch.join("waypost.log");
        let process = Process::start("waypost", &command, &log);
        Waypost { command, log, process, _scratch: Some(scratch) }
    }

    /// Starts `waypost announce NAME` under `/web` on the etcd at `node`, with more `arguments`; checks come
    /// quickly one after the other, and a key outlives its announcer by 2 s.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn announcer(name: &str, port: u16, node: &str, arguments: &[&str]) -> Waypost {
        let port = port.to_string();
        let own = ["announce", name, "--port", &port, "--prefix", "/web", "--node", node];
        let pace = ["--ttl", "2s", "--interval", "100ms"];
        Waypost::with(own.iter().chain(&pace).chain(arguments))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything it has logged, over all its starts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The file that it logs to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// How many lines of its log contain all of `words`.
    pub fn logged(&self, words: &[&str]) -> usize {
        self.log().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Waits until a line of its log contains all of `words`.
    ///
    /// # Panics
    ///
    /// When none does in time; the message shows the end of the log.
    #[track_caller]
    pub fn wait_logged(&self, words: &[&str]) {
        self.wait_until(&format!("{words:?} in the log"), || self.logged(words) > 0);
    }

    /// Waits until `condition` holds.
    ///
    /// # Panics
    ///
    /// When it does not in time; the message shows the end of the log.
    #[track_caller]
    pub fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let what = Waited { what, process: &self.process };
        wait_until(what, DEADLINE, condition);
    }

    /// Waits until the destination of `name` in `tree` holds `text`.
    ///
    /// # Panics
    ///
    /// When it does not in time; the message shows the end of the log.
    #[track_caller]
    pub fn wait_for_text(&self, tree: &Tree, name: &str, text: &str) {
        let what = format!("{text:?} in {}", tree.destination(name).display());
        self.wait_until(&what, || tree.text(name).as_deref() == Some(text));
    }

    /// Waits until the resource `name` of `tree`, which counts its reloads, holds `text` and was reloaded so.
    ///
    /// # Panics
    ///
    /// When it is not in time; the message shows the end of the log.
    #[track_caller]
    pub fn wait_for_reload(&self, tree: &Tree, name: &str, text: &str) {
        self.wait_for_text(tree, name, text);
        let is_seen = || tree.reloads(name).last().map(String::as_str) == Some(text.trim_end_matches('\n'));
        self.wait_until(&format!("a reload with {text:?}"), is_seen);
    }

    /// How often the resource `name` of `tree` was reloaded, after a look at why: a reload only after
    /// another file was swapped in, and the last one has seen the last file.
    ///
    /// Two in a row may have seen the same content: when it was swapped in while the first was under way.
    ///
    /// # Panics
    ///
    /// When that is not so.
    #[track_caller]
    pub fn reloads_with_a_cause(&self, tree: &Tree, name: &str) -> usize {
        let (reloads, text, log) = (tree.reloads(name), tree.text(name), self.log());
        let resource = format!("resource=\"{name}.toml\"");
        let swaps = self.logged(&[" applied ", &resource]);
        assert!(reloads.len() <= swaps, "{swaps} files, and reloads: {reloads:#?}\n{log}");
        let text = text.map(|text| text.trim_end_matches('\n').to_owned());
        assert_eq!(reloads.last(), text.as_ref(), "the last reload saw what is there: {reloads:#?}\n{log}");
        reloads.len()
    }

    /// True until it has ended.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has ended by itself, and returns how.
    ///
    /// # Panics
    ///
    /// When it has not in time.
    #[track_caller]
    pub fn wait(&self) -> ExitStatus {
        self.process.wait(DEADLINE)
    }

    /// Asks it to end (SIGTERM), and returns how it did.
    ///
    /// # Panics
    ///
    /// When it has not in time.
    #[track_caller]
    pub fn stop(&self) -> ExitStatus {
        self.process.stop(DEADLINE)
    }

    /// Kills it (SIGKILL).
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again as it was; one that still runs is killed.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.kill();
        self.process = Process::start("waypost", &self.command, &self.log);
    }
}

/// What is waited for, with the end of the log as it is when the waiting is over.
struct Waited<'a> {
    what: &'a str,
    process: &'a Process,
}

impl std::fmt::Display for Waited<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.what, self.process.log_tail())
    }
}
