//! MariaDB with its files in a directory of its own, without anything of the machine's configuration.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::binaries::path_of;
use crate::process::Process;
use crate::wait::poll;
use crate::{Outcome, Ports, Scratch, Storage, must};

/// How long it may take to answer, or to end, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running MariaDB on 127.0.0.1; dropping it kills it and removes its data.
///
/// It keeps its port, its socket and its data over [`MariaDb::kill`] and [`MariaDb::stop`].
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    process: Mutex<Option<Process>>,
    scratch: Scratch,
}

impl MariaDb {
    /// Starts an empty one, its data in memory, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message shows its log.
    #[track_caller]
    pub fn start() -> MariaDb {
        must(MariaDb::launch(install))
    }

    /// Starts one on a copy of what `other` holds, which must be stopped.
    ///
    /// # Panics
    ///
    /// When `other` is running, and as for [`MariaDb::start`].
    #[track_caller]
    pub fn start_on_copy_of(other: &MariaDb) -> MariaDb {
        assert!(!other.is_running(), "a copy of the files of a running MariaDB is no database");
        must(MariaDb::launch(|data| copy(&other.data(), data)))
    }

    fn launch(fill: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<MariaDb> {
        let scratch = Scratch::new("mariadb", Storage::Memory);
        let mariadb = MariaDb { port: Ports::free(), process: Mutex::new(None), scratch };
        fill(&mariadb.data())?;
        mariadb.try_start()?;
        Ok(mariadb)
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address for clients, as `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The Unix socket, where `root` needs no password.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("mariadb.sock")
    }

    /// Makes the database `name`, if it is not there, and the user `user`, who may do everything in it and
    /// logs in over TCP from 127.0.0.1 with `password`. None of them may hold a quote or a backslash.
    ///
    /// # Panics
    ///
    /// When it does not answer or refuses.
    #[track_caller]
    pub fn create_database(&self, name: &str, user: &str, password: &str) {
        self.execute(&format!(
            "CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4;
             CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
             GRANT ALL ON `{name}`.* TO '{user}'@'127.0.0.1';"
        ));
    }

    /// Runs statements as root, with semicolons between them.
    ///
    /// # Panics
    ///
    /// When it does not answer or refuses one.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        must(self.ask(sql));
    }

    /// Runs statements as root, and returns the rows: a line each, with tabs between the columns.
    ///
    /// # Panics
    ///
    /// When it does not answer or refuses one.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<String> {
        must(self.ask(sql)).lines().map(str::to_owned).collect()
    }

    /// Makes it refuse what users other than root write, or accept it again.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    #[track_caller]
    pub fn read_only(&self, is_on: bool) {
        self.execute(&format!("SET GLOBAL read_only = {is_on}"));
    }

    /// Its pid.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        must(self.lock().as_ref().map(Process::pid).ok_or_else(not_running))
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// True while it runs.
    pub fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(Process::is_running)
    }

    /// Kills it (SIGKILL).
    pub fn kill(&self) {
        drop(self.lock().take());
    }

    /// Ends it orderly (SIGTERM); connections that are open are cut.
    ///
    /// # Panics
    ///
    /// When it has not ended within a minute.
    #[track_caller]
    pub fn stop(&self) {
        if let Some(process) = self.lock().take() {
            process.stop(DEADLINE);
        }
    }

    /// Starts it again on its data and its port; one that runs is left alone.
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

    /// Stops it in its tracks (SIGSTOP): it accepts connections and does not speak, until [`MariaDb::resume`].
    pub fn pause(&self) {
        if let Some(process) = &*self.lock() {
            process.pause();
        }
    }

    /// Continues what [`MariaDb::pause`] stopped.
    pub fn resume(&self) {
        if let Some(process) = &*self.lock() {
            process.resume();
        }
    }

    fn try_start(&self) -> Outcome<()> {
        // A killed one leaves its socket, at which nobody answers.
        let _ = fs::remove_file(self.socket());
        let process = Process::try_start("mariadb", &self.command()?, &self.log_file(), crate::Signal::KILL)?;
        let ready = poll(DEADLINE, || match (self.ask("SELECT 1"), process.is_running()) {
            (Ok(_), _) => Some(Ok(())),
            (Err(_), true) => None,
            (Err(_), false) => Some(Err("ended at once".to_owned())),
        });
        ready
            .unwrap_or_else(|| Err(format!("did not answer within {DEADLINE:?}")))
            .map_err(|why| format!("mariadb {why}\n{}", process.log_tail()))?;
        *self.lock() = Some(process);
        Ok(())
    }

    fn command(&self) -> Outcome<Command> {
        let mut command = Command::new(path_of("mariadbd")?);
        command.arg("--no-defaults").args(as_root()).arg(format!("--datadir={}", self.data().display()));
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", &format!("--port={}", self.port)]);
        command.arg(format!("--socket={}", self.socket().display()));
        command.arg(format!("--pid-file={}", self.scratch.join("mariadb.pid").display()));
        command.arg(format!("--tmpdir={}", self.scratch.path().display()));
        command.args([SMALL_LOG, "--innodb-buffer-pool-size=32M", "--max-connections=300"]);
        Ok(command)
    }

    fn ask(&self, sql: &str) -> Outcome<String> {
        let mut client = Command::new(path_of("mariadb")?);
        client.args(["--no-defaults", "--user=root", "--batch", "--raw", "--skip-column-names"]);
        client.arg(format!("--socket={}", self.socket().display()));
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |why| format!("mariadb: the client cannot be run: {why}");
        let mut client = client.spawn().map_err(failed)?;
        if let Some(mut input) = client.stdin.take() {
            // One that cannot connect ends without reading, and says why.
            let _ = input.write_all(sql.as_bytes());
        }
        let output = client.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("mariadb: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.join("mariadb.log")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log is as large as it is told, whatever is in it, and memory is what it costs.
const SMALL_LOG: &str = "--innodb-log-file-size=8M";

/// Run by root it refuses to start unless told who it is to be.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn not_running() -> String {
    "mariadb is not running".to_owned()
}

/// Makes a data directory with the user `root`, who needs no password at the socket.
fn install(data: &Path) -> Outcome<()> {
    let mut command = Command::new(path_of("mariadb-install-db")?);
    command.arg("--no-defaults").args(as_root()).arg(format!("--datadir={}", data.display()));
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db", SMALL_LOG]);
    run(command)
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    let mut command = Command::new("cp");
    command.arg("--archive").arg(from).arg(to);
    run(command)
}

fn run(mut command: Command) -> Outcome<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|why| format!("{program} cannot be run: {why}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{program} failed: {}", String::from_utf8_lossy(&said).trim()))
}
