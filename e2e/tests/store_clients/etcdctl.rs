//! `etcdctl`, run to its end with what it printed, or in the background with what it prints.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use waypost_e2e::DEADLINE;
use waypost_servers::{Process, Scratch, Storage, wait_until};

use crate::server::Server;

/// How a run ended, and what it printed.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    typed: String,
    server_log: String,
}

/// `etcdctl` for the server at `endpoint`, with more `arguments`.
fn command(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    // A variable of the user's would make it refuse the flag.
    for (variable, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ETCDCTL_")) {
        command.env_remove(variable);
    }
    command.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]).args(arguments);
    command
}

/// Runs it to its end.
#[track_caller]
pub fn run(server: &Server, arguments: &[&str]) -> Run {
    run_with_input(server, arguments, "")
}

/// Runs it to its end, with the server's address as it is given.
#[track_caller]
pub fn run_at(server: &Server, endpoint: &str, arguments: &[&str]) -> Run {
    finish(server, command(endpoint, arguments), "")
}

/// Runs it to its end, with `input` to read.
#[track_caller]
pub fn run_with_input(server: &Server, arguments: &[&str], input: &str) -> Run {
    finish(server, command(&server.endpoint(), arguments), input)
}

#[track_caller]
fn finish(server: &Server, mut command: Command, input: &str) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("etcdctl is installed");
    // It reads before it prints; a pipe that it closes early is its own business.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it was started");
    let typed: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        typed: typed.join(" "),
        server_log: server.log_tail(),
    }
}

impl Run {
    /// What it printed, after a look at its exit code.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.told());
        self.stdout
    }

    /// What it printed as JSON, with the header looked at and taken out but for its revision.
    ///
    /// Its numbers for cluster, member and term are the server's own; etcd's clients need them to be there.
    #[track_caller]
    pub fn json(self) -> Value {
        let told = self.told();
        let mut json: Value = serde_json::from_str(&self.ok()).unwrap_or_else(|why| panic!("{why}: {told}"));
        strip_headers(&mut json, &told);
        json
    }

    /// Looks at the error: the status' code as gRPC names it, and its message. etcdctl prints both.
    #[track_caller]
    pub fn fails(self, code: &str, message: &str) {
        assert_ne!(self.code, Some(0), "{}", self.told());
        let status = format!("code = {code} desc = {message}");
        assert!(self.stderr.contains(&status), "expected {status}\n{}", self.told());
        let last = self.stderr.lines().next_back().unwrap_or_default();
        assert!(last.starts_with("Error: ") && last.contains(message), "{}", self.told());
    }

    fn told(&self) -> String {
        let Run { code, stdout, stderr, typed, server_log } = self;
        format!("etcdctl {typed}\n{code:?}\n{stdout}{stderr}--- the server's log\n{server_log}")
    }
}

/// Replaces each header by its revision. etcdctl flattens those of leases into the answer.
#[track_caller]
pub fn strip_headers(json: &mut Value, told: &str) {
    let Value::Object(object) = json else {
        if let Value::Array(array) = json {
            array.iter_mut().for_each(|inner| strip_headers(inner, told));
        }
        return;
    };
    if object.contains_key("cluster_id") {
        for own in ["cluster_id", "member_id", "raft_term"] {
            let number = object.remove(own).and_then(|number| number.as_u64());
            assert!(number.is_some_and(|number| number > 0), "{own} in the header of {told}");
        }
    }
    object.values_mut().for_each(|inner| strip_headers(inner, told));
}

/// One that keeps running; dropping it kills it, and what it has started.
pub struct Background {
    process: Process,
    _scratch: Scratch,
}

impl Background {
    /// Starts it.
    #[track_caller]
    pub fn start(server: &Server, arguments: &[&str]) -> Background {
        Background::start_command(&command(&server.endpoint(), arguments))
    }

    /// Starts it with lines to read; its standard input stays open after them.
    #[track_caller]
    pub fn start_with_input(server: &Server, arguments: &[&str], input: &str) -> Background {
        let mut shell = Command::new("sh");
        // The process group is killed as a whole, with the sleep in it.
        shell.args(["-c", "(printf %s \"$INPUT\"; exec sleep 600) | \"$@\"", "sh"]);
        let etcdctl = command(&server.endpoint(), arguments);
        shell.arg(etcdctl.get_program()).args(etcdctl.get_args());
        for (name, value) in etcdctl.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.env("INPUT", input);
        Background::start_command(&shell)
    }

    #[track_caller]
    fn start_command(command: &Command) -> Background {
        let scratch = Scratch::new("etcdctl", Storage::Memory);
        let process = Process::start("etcdctl", command, &scratch.join("etcdctl.log"));
        Background { process, _scratch: scratch }
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        self.process.log()
    }

    /// Waits until what it has printed fulfils `condition`, and returns that.
    #[track_caller]
    pub fn wait_printed(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let what = format!("etcdctl to print {what}");
        let shown = Shown { what: &what, process: &self.process };
        wait_until(shown, DEADLINE, || condition(&self.printed()));
        self.printed()
    }

    /// Waits until it has printed `expected` and nothing else.
    #[track_caller]
    pub fn prints(&self, expected: &str) {
        let printed = self.wait_printed(expected, |printed| printed.len() >= expected.len());
        assert_eq!(printed, expected);
    }

    /// Interrupts it (SIGINT), and waits until it has ended.
    #[track_caller]
    pub fn interrupt(&self) {
        self.process.signal(waypost_servers::Signal::INT);
        self.process.wait(DEADLINE);
    }

    /// Waits until it has ended by itself; true if with 0.
    #[track_caller]
    pub fn ended_well(&self) -> bool {
        self.process.wait(DEADLINE).success()
    }
}

/// What is waited for, with what was printed when the waiting is over.
struct Shown<'a> {
    what: &'a str,
    process: &'a Process,
}

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.what, self.process.log_tail())
    }
}
