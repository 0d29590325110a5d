//! PostgreSQL with a cluster of its own, whom everybody on the loopback may use as `postgres`.
//!
//! It refuses to run as root, so there it runs as the user `postgres` that Debian's package makes, or
//! `nobody`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, kill_process};

use crate::binaries::path_of;
use crate::daemon::{Daemon, daemon, started};
use crate::process::{Process, Signal};
use crate::{Outcome, must};

/// Where Debian keeps each version's programs; none of them is on anybody's `PATH`.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What makes it fast to start and leaves nothing behind; no test asks what a power cut leaves of its files.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "max_connections=100",
    "shared_buffers=16MB",
    "dynamic_shared_memory_type=mmap",
    "autovacuum=off",
];

/// A running PostgreSQL; dropping it ends it at once. A test requires `pg_ctlcluster`, which stands for all
/// of it.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon,
}

daemon!(Postgres);

impl Postgres {
    /// Makes a cluster and starts it: database and superuser `postgres`, no password.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed or does not start; the message shows its log.
    #[track_caller]
    pub fn start() -> Postgres {
        let postgres = Postgres { daemon: Daemon::new("postgres") };
        must(postgres.init());
        started(postgres, Postgres::try_start)
    }

    /// Its address, as `postgres://postgres@127.0.0.1:port/postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.endpoint())
    }

    /// Runs `sql` with `psql`: rows in lines, columns between bars.
    ///
    /// # Panics
    ///
    /// When PostgreSQL refuses it.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        must(self.try_query(sql))
    }

    /// Ends it once its clients are thrown out (SIGINT, the "fast" shutdown).
    ///
    /// # Panics
    ///
    /// When it has not ended within 20 s.
    #[track_caller]
    pub fn stop(&self) {
        self.daemon.stop(Signal::INT);
    }

    /// Ends it without a word to its clients or a checkpoint (SIGQUIT, the "immediate" shutdown).
    ///
    /// # Panics
    ///
    /// When it has not ended within 20 s.
    #[track_caller]
    pub fn stop_immediate(&self) {
        self.daemon.stop(Signal::QUIT);
    }

    /// Kills it with all that serve its clients (SIGKILL), as when its machine loses power.
    pub fn kill(&self) {
        // Each of them leads a session of its own, so that killing the group would miss them; and while the
        // parent stands still it starts no more.
        self.daemon.pause();
        let children = self.daemon.pid().map(children).unwrap_or_default();
        self.daemon.kill();
        for child in children.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(child, Signal::KILL);
        }
    }

    fn try_query(&self, sql: &str) -> Outcome<String> {
        let mut psql = Command::new(program("psql")?);
        let output = run(psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()]))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    fn init(&self) -> Outcome<()> {
        let cannot = |why| format!("postgres: cannot make its directory: {why}");
        fs::create_dir(self.data()).map_err(cannot)?;
        if let Some(user) = user() {
            // Its parent belongs to root.
            let enterable = fs::Permissions::from_mode(0o711);
            fs::set_permissions(self.daemon.scratch().path(), enterable).map_err(cannot)?;
            run(Command::new("chown").arg(user).arg(self.data()))?;
        }
        let mut initdb = unprivileged(&program("initdb")?)?;
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"]);
        run(initdb.arg(self.data()).current_dir("/")).map(drop)
    }

    fn command(&self) -> Outcome<Command> {
        let mut command = unprivileged(&program("postgres")?)?;
        command.arg("-D").arg(self.data()).args(["-p", &self.port().to_string()]).current_dir("/");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        Ok(command)
    }

    /// Its pid file says in the last line how far it is; the file of one that was killed stays.
    fn is_ready(&self, process: &Process) -> bool {
        let lines = self.pid_file();
        let is_its = lines.first().is_some_and(|pid| *pid == process.pid().to_string());
        is_its && lines.get(7).is_some_and(|state| state.trim() == "ready")
    }

    fn pid_file(&self) -> Vec<String> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn data(&self) -> PathBuf {
        self.daemon.scratch().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        // What was killed left a few bytes of System V's shared memory: the seventh line has key and number.
        if let Some(line) = self.pid_file().get(6)
            && let Some(number) = line.split_whitespace().nth(1)
        {
            let _ = Command::new("ipcrm").args(["-m", number]).output();
        }
    }
}

/// Who runs it instead of root; none if this is not root.
fn user() -> Option<&'static str> {
    let has = |name: &str| {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        users.lines().any(|line| line.split(':').next() == Some(name))
    };
    let is_root = rustix::process::geteuid().is_root();
    is_root.then(|| if has("postgres") { "postgres" } else { "nobody" })
}

/// A command that is not root's. The kernel forgets who is to die with whom when the user changes (prctl(2),
/// `PR_SET_PDEATHSIG`), so that is said again.
fn unprivileged(program: &Path) -> Outcome<Command> {
    let Some(user) = user() else { return Ok(Command::new(program)) };
    let mut command = Command::new(path_of("setpriv")?);
    command.args([
        "--reuid",
        user,
        "--regid",
        &group_of(user)?,
        "--clear-groups",
        "--pdeathsig",
        "KILL",
        "--",
    ]);
    command.arg(program);
    Ok(command)
}

/// The number of the user's own group: `nobody` has none of its name.
fn group_of(user: &str) -> Outcome<String> {
    let output = run(Command::new("id").args(["-g", user]))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The newest version's program of that name.
fn program(name: &str) -> Outcome<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.path()).max_by_key(number);
    let program = newest.map(|version| version.join("bin").join(name)).filter(|program| program.exists());
    program.ok_or_else(|| format!("{name} is not installed below {VERSIONS} (Debian package postgresql)"))
}

/// Runs a command to its end; the error is what it printed.
fn run(command: &mut Command) -> Outcome<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|why| format!("{name}: cannot be started: {why}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}

fn children(pid: u32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
