//! phpunit, with the servers that its tests are about.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use waypost_e2e::unavailable;
use waypost_servers::{MariaDb, Memcached, Postgres, Process, Redis, Scratch, Storage, find, require};

use crate::package;

/// It takes half a minute, most of it waiting for servers that do not answer.
const LIMIT: Duration = Duration::from_secs(240);

/// How many tests there are at least: a run that found fewer did not find what it should.
const FEWEST: usize = 200;

/// Two databases of each kind, between which the tests move, and the caches.
struct Servers {
    mariadb: [MariaDb; 2],
    postgres: [Postgres; 2],
    memcached: [Memcached; 3],
    redis: Redis,
}

impl Servers {
    fn start() -> Servers {
        let servers = Servers {
            mariadb: [MariaDb::start(), MariaDb::start()],
            postgres: [Postgres::start(), Postgres::start()],
            memcached: [Memcached::start(), Memcached::start(), Memcached::start()],
            redis: Redis::start(),
        };
        servers.mariadb.iter().for_each(|one| one.create_database("app", "app", "secret"));
        for one in &servers.postgres {
            one.query("CREATE ROLE app LOGIN PASSWORD 'secret'");
            one.query("CREATE DATABASE app OWNER app");
        }
        servers
    }

    /// The variables that tests/Servers reads.
    fn variables(&self) -> [(&'static str, String); 5] {
        let sockets = self.mariadb.each_ref().map(|one| one.socket().display().to_string());
        [
            ("WAYPOST_TEST_MYSQL", list(self.mariadb.iter().map(MariaDb::port))),
            ("WAYPOST_TEST_MYSQL_SOCKETS", sockets.join(",")),
            ("WAYPOST_TEST_PGSQL", list(self.postgres.iter().map(Postgres::port))),
            ("WAYPOST_TEST_MEMCACHED", list(self.memcached.iter().map(Memcached::port))),
            ("WAYPOST_TEST_REDIS", self.redis.port().to_string()),
        ]
    }
}

fn list(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| port.to_string()).collect::<Vec<_>>().join(",")
}

/// Runs all of phpunit's tests with the `libraries` of another release, or with this machine's.
#[track_caller]
fn passes(libraries: Option<&Path>) {
    // One at a time: most of a suite is waiting, and two of them are many servers for a small machine.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (servers, scratch) = (Servers::start(), Scratch::new("phpunit", Storage::Memory));
    let mut command = Command::new("php");
    command.args(["-d", "apc.enable_cli=1", "-d", "opcache.enable_cli=1"]).arg(find("phpunit").unwrap());
    command.current_dir(package(".")).envs(servers.variables()).env("TMPDIR", scratch.path());
    command.env("WAYPOST_PHP_LIBRARIES", libraries.unwrap_or(Path::new("")));

    let phpunit = Process::start("phpunit", &command, &scratch.join("phpunit.log"));
    let ended = phpunit.wait(LIMIT);

    let log = phpunit.log();
    assert!(ended.success(), "{log}");
    assert!(tests(&log) >= Some(FEWEST), "{log}");
    let line = |needle: &str| log.lines().find(|line| line.contains(needle)).unwrap_or_default().to_owned();
    println!("{}\n{}", line("PHP "), line("OK ("));
    let major = if libraries.is_some() { ("Symfony 6.4.", "DBAL 4 ") } else { ("Symfony 5.4.", "DBAL 3 ") };
    assert!(log.contains(major.0) && log.contains(major.1), "{log}");
}

/// How many tests ran, from phpunit's last line: `OK (215 tests, 559 assertions)`.
fn tests(log: &str) -> Option<usize> {
    let (_, rest) = log.rsplit_once("OK (")?;
    rest.split(' ').next()?.parse().ok()
}

#[test]
fn its_own_tests_pass_with_symfony_5_4_and_dbal_3() {
    require!("php", "phpunit", "mariadbd", "pg_ctlcluster", "memcached", "redis-server");
    passes(None);
}

#[test]
fn t15_its_own_tests_pass_with_symfony_6_4_and_dbal_4() {
    require!("php", "phpunit", "mariadbd", "pg_ctlcluster", "memcached", "redis-server");
    let target = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target");
    let libraries = env::var_os("WAYPOST_PHP_OTHER")
        .map_or_else(|| target().join("php-libraries/usr/share/php"), PathBuf::from);
    if !libraries.join("Doctrine/DBAL").is_dir() {
        unavailable(&format!("DBAL 4 is not in {}; `cargo xtask test` brings it", libraries.display()));
        return;
    }
    passes(Some(&libraries));
}

#[test]
fn a_run_that_found_no_test_is_told_from_one_that_did() {
    assert_eq!(tests("…\nOK (215 tests, 559 assertions)\n"), Some(215));
    assert_eq!(tests("No tests executed!\n"), None);
}
