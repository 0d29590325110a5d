//! waypost under strace(1): which calls it makes, and what comes of being killed at one of them.
//!
//! strace is not the parent here (`-D`), so the process that is started is waypost itself. Its `when=N`
//! counts the calls of each thread apart, so a call is not known by its number but by what it is about:
//! the log of a run that was killed tells which one it was killed at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use waypost_servers::wait_for;

use crate::binary::share_environment;
use crate::{DEADLINE, command};

/// What is traced, by every name that the kernel has for it.
const TRACED: &str = "trace=?rename,?renameat,renameat2,fsync,fdatasync,execve,clone,?clone3,?fork,?vfork";

/// A call that a traced run made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The system call.
    pub name: String,
    /// The files it is about, without what differs from run to run; of one that makes a process, `process`,
    /// and of one that makes a thread, `thread`.
    pub about: String,
    /// How many calls like it there were before.
    pub before: usize,
}

/// A run under strace: its command, and the log of its calls.
#[derive(Debug)]
pub struct Strace {
    log: PathBuf,
    inject: Vec<String>,
}

impl Strace {
    /// A run that is only listened to; `log` must not exist.
    pub fn listening(log: &Path) -> Strace {
        Strace { log: log.to_owned(), inject: Vec::new() }
    }

    /// A run in which the first thread that comes to its call number `when` of `name` dies there with all
    /// of its process.
    pub fn killing(log: &Path, name: &str, when: usize) -> Strace {
        let inject = vec!["-e".to_owned(), format!("inject={name}:signal=KILL:when={when}")];
        Strace { log: log.to_owned(), inject }
    }

    /// A run in which each process that is to become `program` dies at that.
    pub fn killing_execs_of(log: &Path, program: &str) -> Strace {
        let mut strace = Strace { log: log.to_owned(), inject: Vec::new() };
        strace.inject = ["-P", program, "-e", "inject=execve:signal=KILL"].map(str::to_owned).to_vec();
        strace
    }

    /// Why processes cannot be traced here, if they cannot.
    pub fn obstacle() -> Option<String> {
        let output = Command::new("strace").args(["-f", "-D", "-o", "/dev/null", "true"]).output();
        match output {
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
                Some(format!("strace may not trace processes here (ptrace is not permitted?): {why}"))
            }
            Err(why) => Some(format!("strace cannot be started: {why}")),
        }
    }

    /// waypost under strace, without arguments yet.
    ///
    /// # Panics
    ///
    /// When waypost is not built.
    #[track_caller]
    pub fn command(&self) -> Command {
        let waypost = command();
        let mut strace = Command::new("strace");
        // Not with `--seccomp-bpf`: strace 6.1 then injects nothing into a thread after its first call.
        strace.args(["-D", "-f", "-y", "-s", "4096", "-e", TRACED, "-o"]).arg(&self.log);
        strace.args(&self.inject).arg(waypost.get_program());
        share_environment(&waypost, &mut strace);
        strace
    }

    /// True if process `pid` was killed, rather than ended by itself; waits until strace has noted either.
    ///
    /// # Panics
    ///
    /// When it notes nothing in time.
    #[track_caller]
    pub fn was_killed(&self, pid: u32) -> bool {
        let pid = pid.to_string();
        let end = || {
            let log = self.log();
            // strace pads short ids with spaces.
            let mut ends = log.lines().filter_map(|line| line.split_once(" +++ "));
            ends.find(|(id, _)| id.trim_end() == pid).map(|(_, end)| end.to_owned())
        };
        wait_for("the end of the process in strace's log", DEADLINE, end).starts_with("killed by SIGKILL")
    }

    /// The calls that were made or begun, in their order. Paths are given as they are below `directory`.
    ///
    /// Those of the programs that waypost started are left out, except that they were started.
    pub fn calls(&self, directory: &Path) -> Vec<Call> {
        let log = self.log();
        let pid = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let waypost = log.lines().next().map(pid).unwrap_or_default();
        let programs: BTreeSet<String> =
            log.lines().filter(|line| line.contains(" execve(")).map(pid).collect();
        let is_ours = |line: &&str| {
            let pid = pid(line);
            pid == waypost || !programs.contains(&pid) || line.contains(" execve(")
        };
        let mut calls: Vec<Call> = Vec::new();
        for line in log.lines().filter(is_ours) {
            let Some((name, about)) = parse(line, &directory.display().to_string()) else { continue };
            let before = calls.iter().filter(|call| call.name == name && call.about == about).count();
            calls.push(Call { name, about, before });
        }
        calls
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Reads a line such as `7 rename("/t/a", "/t/b") = 0` or `7 fsync(9</t/a> <unfinished ...>`.
fn parse(line: &str, directory: &str) -> Option<(String, String)> {
    let (_, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None; // `<... fsync resumed>`, `+++ exited with 0 +++`, `--- SIGCHLD {...} ---`
    }
    let about = match name {
        "fork" | "vfork" => "process".to_owned(),
        "clone" | "clone3" if arguments.contains("CLONE_THREAD") => "thread".to_owned(),
        "clone" | "clone3" => "process".to_owned(),
        "execve" => quoted(arguments).next().unwrap_or_default().to_owned(),
        _ if arguments.contains('"') => quoted(arguments).collect::<Vec<_>>().join(" to "),
        _ => arguments.split(['<', '>']).nth(1).unwrap_or_default().to_owned(),
    };
    Some((name.to_owned(), without_hashes(&about.replace(directory, ""))))
}

/// The agent's notes are called by a hash of the destination's path, which is another one in each run.
fn without_hashes(about: &str) -> String {
    let is_hash = |part: &str| part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let part = |part: &str| {
        let word = part.trim_end_matches(['/', '.', ' ']);
        if is_hash(word) { part.replace(word, "HASH") } else { part.to_owned() }
    };
    about.split_inclusive(['/', '.', ' ']).map(part).collect()
}

fn quoted(arguments: &str) -> impl Iterator<Item = &str> {
    arguments.split('"').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_what_they_are_about() {
        let about = |line| parse(line, "/t/x").map(|(name, about)| format!("{name} {about}"));
        let cases = [
            ("7 rename(\"/t/x/a\", \"/t/x/b\") = 0", Some("rename /a to /b")),
            (
                "7 rename(\"/t/x/0123456789abcdef0123456789abcdef.new\", \"/b\") = 0",
                Some("rename /HASH.new to /b"),
            ),
            ("7 fsync(9</t/x/out>) = ?", Some("fsync /out")),
            ("7 fsync(9</t/x/out> <unfinished ...>", Some("fsync /out")),
            ("7 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 9", Some("clone3 process")),
            ("7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 9", Some("clone3 thread")),
            (
                "9 execve(\"/bin/sh\", [\"/bin/sh\", \"-c\", \"x\"], 0x1 /* 3 vars */) = 0",
                Some("execve /bin/sh"),
            ),
            ("7 <... fsync resumed>) = 0", None),
            ("7 +++ exited with 0 +++", None),
            ("7 --- SIGCHLD {si_signo=SIGCHLD} ---", None),
        ];
        for (line, wanted) in cases {
            assert_eq!(about(line).as_deref(), wanted, "{line}");
        }
    }
}
