//! PyPI's `etcd3` 0.12.0: its own tests, as they are, on a server of ours.
//!
//! `cargo xtask test` brings the client's source, which holds the tests, and what they need, into `etcd3` below the
//! target directory. Much of their time they sleep, so they are run in parts side by side, each on a server of its own.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use waypost_e2e::unavailable;
use waypost_servers::{Process, Scratch, Storage};

use crate::new_server;
use crate::server::{Server, is_etcd};

/// Those that are not run, and why. They fail on a single real etcd as well.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "TestEtcd3::test_member_list",
        "it wants three members by the names of its own cluster; there is one here",
    ),
    ("TestClient::test_user_pwd_auth", "it mocks the server, in a module that the client does not have"),
];

/// Those that are not run on the store, and why: each is a difference that COMPATIBILITY.md lists.
const NOT_OF_THE_STORE: [(&str, &str); 5] = [
    ("TestEtcd3::test_snapshot", "it has etcdctl open the backup as a bolt file; the store's is its own"),
    ("TestAlarms::test_create_alarm_all_members", RAISED),
    ("TestAlarms::test_create_alarm_specific_member", RAISED),
    ("TestAlarms::test_list_alarms", RAISED),
    ("TestAlarms::test_disarm_alarm", RAISED),
];
const RAISED: &str = "it raises an alarm by hand; the store's tells whether there is room";

/// The parts by pytest's expressions, and how many tests pass in each: a part that finds none is not a pass.
const PARTS: [(&str, usize); 4] = [
    ("watch and prefix", 3),
    ("watch and not prefix", 6),
    ("lock_refresh or lock_expire", 2),
    ("(lock and not lock_refresh and not lock_expire) or lease", 12),
];

/// How many others pass on etcd.
const REST: usize = 57;

/// The slowest part sleeps for some 20 s.
const LIMIT: Duration = Duration::from_secs(180);

/// What `cargo xtask test` has brought: the client's source, and what it imports.
struct Client {
    source: PathBuf,
    packages: PathBuf,
}

impl Client {
    /// `None`, with a printed line, when it is not there.
    fn find() -> Option<Client> {
        let target = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target");
        let dir = env::var_os("WAYPOST_ETCD3").map_or_else(|| target().join("etcd3"), PathBuf::from);
        let client = Client { source: dir.join("etcd3-0.12.0"), packages: dir.join("packages") };
        if client.source.join("tests/test_etcd3.py").is_file() && client.packages.is_dir() {
            return Some(client);
        }
        unavailable(&format!("PyPI's etcd3 is not in {}; `cargo xtask test` brings it", dir.display()));
        None
    }

    fn pytest(&self, server: &Server, path: &Path) -> Command {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store_clients");
        let modules = [&self.source, &self.packages, &ours];
        let mut command = Command::new("python3");
        command.args(["-m", "pytest", "-p", "etcd3_plugin", "-p", "no:cacheprovider"]);
        command.args(["-q", "--durations=3", "-W", "ignore", "tests/test_etcd3.py"]);
        command.current_dir(&self.source);
        command.env("PYTHONPATH", env::join_paths(modules).unwrap());
        // Nothing but what is pinned, and nothing written beside it.
        command.env("PYTHONNOUSERSITE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1");
        command.env("PYTHON_ETCD_HTTP_URL", server.url()).env("TEST_ETCD_VERSION", "v3.4.23");
        // The tests' etcdctl is told by a flag, which it refuses beside this one.
        command.env_remove("ETCDCTL_ENDPOINTS");
        let others = env::var_os("PATH").unwrap_or_default();
        let paths = [path.to_owned()].into_iter().chain(env::split_paths(&others));
        command.env("PATH", env::join_paths(paths).unwrap());
        command
    }
}

/// What the chosen server is spared.
fn left_out() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_the_store = if is_etcd() { &[][..] } else { &NOT_OF_THE_STORE };
    LEFT_OUT.iter().chain(of_the_store).copied()
}

/// Two tests stop the other members of their cluster, which they look for with pgrep, to read without a quorum.
/// Here are no others, so it finds none, and the reads remain.
fn find_no_other_members(dir: &Path) {
    let pgrep = dir.join("pgrep");
    fs::write(&pgrep, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&pgrep, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A part of the tests that runs, on a server of its own.
struct Part {
    server: Server,
    passed: usize,
    pytest: Process,
    _scratch: Scratch,
}

impl Part {
    fn start(client: &Client, server: Server, (expression, passed): (&str, usize)) -> Part {
        let scratch = Scratch::new("etcd3", Storage::Memory);
        find_no_other_members(scratch.path());
        let mut command = client.pytest(&server, scratch.path());
        command.args(["-k", expression]);
        for (test, _why) in left_out() {
            command.arg(format!("--deselect=tests/test_etcd3.py::{test}"));
        }
        let pytest = Process::start("pytest", &command, &scratch.join("pytest.log"));
        Part { server, passed, pytest, _scratch: scratch }
    }

    #[track_caller]
    fn passes(&self) {
        let ended = self.pytest.wait(LIMIT);
        let log = self.pytest.log();
        let told = || format!("{log}\n--- the server's log\n{}", self.server.log_tail());
        assert!(ended.success(), "{}", told());
        let summary = log.lines().next_back().unwrap_or_default();
        let expected = format!("{} passed, ", self.passed);
        assert!(summary.starts_with(&expected), "expected {expected}and nothing skipped\n{}", told());
        assert!(!summary.contains("skipped"), "{}", told());
    }
}

#[test]
fn its_own_tests_pass() {
    let Some(client) = Client::find() else { return };
    let rest = format!("not ({})", PARTS.map(|(expression, _)| format!("({expression})")).join(" or "));
    let mut parts = Vec::new();
    let passed = REST - (left_out().count() - LEFT_OUT.len());
    for part in PARTS.into_iter().chain([(rest.as_str(), passed)]) {
        parts.push(Part::start(&client, new_server!(), part));
    }
    parts.iter().for_each(Part::passes);
}
