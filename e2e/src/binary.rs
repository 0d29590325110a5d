//! The built binary, run to its end.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::Tree;

/// Variables that would change what a test asks for.
const VARIABLES: [&str; 24] = [
    "ETCD_ENDPOINT",
    "NO_COLOR",
    "WAYPOST_BACKEND",
    "WAYPOST_CLIENT_CAKEYS",
    "WAYPOST_CLIENT_CERT",
    "WAYPOST_CLIENT_KEY",
    "WAYPOST_CONFDIR",
    "WAYPOST_LOG_FORMAT",
    "NOTIFY_SOCKET",
    "WAYPOST_LOG_LEVEL",
    "WAYPOST_METRICS_ADDR",
    "WAYPOST_PREFIX",
    "WAYPOST_STATE_DIR",
    "WAYPOST_STORE_CERT",
    "WAYPOST_STORE_CLIENT_CA",
    "WAYPOST_STORE_CONFIG",
    "WAYPOST_STORE_DATA_DIR",
    "WAYPOST_STORE_HISTORY_AGE",
    "WAYPOST_STORE_HISTORY_REVISIONS",
    "WAYPOST_STORE_INSECURE",
    "WAYPOST_STORE_KEY",
    "WAYPOST_STORE_LISTEN",
    "WAYPOST_STORE_MAX_BYTES",
    "WAYPOST_USERNAME",
];

/// How a run ended, and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
}

/// A command that starts waypost, without the variables of the environment that it would read.
///
/// # Panics
///
/// When it is not built.
#[track_caller]
pub fn command() -> Command {
    let Some(binary) = find() else { panic!("{}", not_built()) };
    let mut command = Command::new(binary);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    for (variable, _) in env::vars_os() {
        if is_confds(&variable) {
            command.env_remove(variable);
        }
    }
    // Checks and reloads call nginx, which Debian keeps where an ordinary user's `PATH` does not look.
    let path = env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
    command
}

/// True for the variables that are read when it is called as confd.
fn is_confds(variable: &OsStr) -> bool {
    let variable = variable.to_string_lossy();
    variable.starts_with("CONFD_") || variable == "ETCDCTL_PEERS" || variable == "VAULT_TOKEN"
}

/// Gives `wrapper`, which is to start waypost, the environment that waypost itself would get.
pub(crate) fn share_environment(waypost: &Command, wrapper: &mut Command) {
    for (variable, value) in waypost.get_envs() {
        match value {
            Some(value) => wrapper.env(variable, value),
            None => wrapper.env_remove(variable),
        };
    }
}

/// Runs waypost with `arguments` to its end.
///
/// # Panics
///
/// When it cannot be started.
#[track_caller]
pub fn run_to_end<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = command();
    command.args(arguments);
    finish(&mut command)
}

/// Runs `waypost render --once` on `tree`, with more `arguments`.
///
/// # Panics
///
/// When it cannot be started.
#[track_caller]
pub fn once<S: AsRef<OsStr>>(tree: &Tree, arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = command();
    command.args(["render", "--once"]).args(tree.arguments()).args(arguments);
    finish(&mut command)
}

/// Runs `command`, which ends up as waypost, to its end.
///
/// # Panics
///
/// When it cannot be started.
#[track_caller]
pub fn finish(command: &mut Command) -> Output {
    let output = match command.output() {
        Ok(output) => output,
        Err(why) => panic!("{} cannot be started: {why}", command.get_program().display()),
    };
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// True when waypost is built and all `servers` are installed; otherwise says which test is skipped, and why.
///
/// [`require!`](crate::require) is this with the `return`.
///
/// # Panics
///
/// When something is missing and `WAYPOST_TEST_REQUIRE_SERVERS` is `1`, as `cargo xtask test` sets it.
#[track_caller]
pub fn available(servers: &[&str]) -> bool {
    match find() {
        Some(_) => waypost_servers::available(servers),
        None => unavailable(&not_built()),
    }
}

/// Says that the calling test is skipped, and why; false, for the caller to return it.
///
/// # Panics
///
/// When `WAYPOST_TEST_REQUIRE_SERVERS` is `1`: then nothing may be skipped.
#[track_caller]
pub fn unavailable(why: &str) -> bool {
    if env::var_os("WAYPOST_TEST_REQUIRE_SERVERS").is_some_and(|value| value == "1") {
        panic!("{why}");
    }
    // Written past the test harness's capture: a skip that nobody sees looks like a pass.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "skipped: {test}: {why}");
    false
}

fn find() -> Option<PathBuf> {
    if let Some(chosen) = env::var_os("WAYPOST_BIN") {
        return Some(PathBuf::from(chosen)).filter(|path| path.is_file());
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("target");
    ["release", "debug"]
        .into_iter()
        .map(|profile| target.join(profile).join("waypost"))
        .find(|it| it.is_file())
}

fn not_built() -> String {
    let chosen = env::var_os("WAYPOST_BIN").map(|path| format!(" at {} (WAYPOST_BIN)", path.display()));
    let chosen = chosen.unwrap_or_default();
    format!("there is no waypost{chosen}; build it with `cargo build --release -p waypost-cli`")
}
