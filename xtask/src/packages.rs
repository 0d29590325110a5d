//! The servers and tools that chores start, and the Debian packages that bring them.
//!
//! What is missing is installed when this runs as root on Debian, without starting anything: the
//! packages of etcd and nginx would otherwise serve on their well-known ports from then on.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, cargo};

/// A binary or a file that a chore needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needed {
    /// The name of a program, or the path of a library's file.
    binary: &'static str,
    package: &'static str,
    /// The units that the package, and those it brings along, would start.
    services: &'static [&'static str],
}

const fn tool(binary: &'static str, package: &'static str) -> Needed {
    Needed { binary, package, services: &[] }
}

const ETCD: Needed = Needed { binary: "etcd", package: "etcd-server", services: &["etcd"] };
const NGINX: Needed = Needed { binary: "nginx", package: "nginx", services: &["nginx"] };
const DOCKERD: Needed = Needed {
    binary: "dockerd",
    package: "docker.io",
    services: &["docker.socket", "docker.service", "containerd.service"],
};
/// Another one may be on `PATH`; dockerd's package brings the one that is used.
const DOCKER: Needed = tool("docker", "docker.io");
const ETCDCTL: Needed = tool("etcdctl", "etcd-client");
const SETPRIV: Needed = tool("setpriv", "util-linux");
const STRACE: Needed = tool("strace", "strace");
const IP: Needed = tool("ip", "iproute2");
const PYTHON: Needed = tool("python3", "python3");
const PIP: Needed = tool("pip3", "python3-pip");
const BUSYBOX: Needed = tool("busybox", "busybox-static");
const NETCAT: Needed = tool("nc.openbsd", "netcat-openbsd");
const GO: Needed = tool("go", "golang-go");
const CXX: Needed = tool("c++", "g++");
const UNSHARE: Needed = tool("unshare", "util-linux");
const MEMCACHED: Needed = Needed { binary: "memcached", package: "memcached", services: &["memcached"] };
const REDIS: Needed = Needed { binary: "redis-server", package: "redis-server", services: &["redis-server"] };
const POSTGRES: Needed = Needed { binary: "pg_ctlcluster", package: "postgresql", services: &["postgresql"] };
const MARIADB: Needed = Needed { binary: "mariadbd", package: "mariadb-server", services: &["mariadb"] };
const VARNISH: Needed =
    Needed { binary: "varnishd", package: "varnish", services: &["varnish", "varnishncsa"] };
const PHP_FPM: Needed = Needed { binary: "php-fpm8.2", package: "php-fpm", services: &["php8.2-fpm"] };
const PHP: Needed = tool("php", "php-cli");
const WRK: Needed = tool("wrk", "wrk");
const PHPUNIT: Needed = tool("phpunit", "phpunit");
const COMPOSER: Needed = tool("composer", "composer");

/// What the PHP client, its tests and the site are made of besides; WordPress brings an Apache module, and no
/// Apache.
const PHP_LIBRARIES: [Needed; 17] = [
    tool("/usr/lib/php/20220829/apcu.so", "php-apcu"),
    tool("/usr/lib/php/20220829/curl.so", "php-curl"),
    tool("/usr/lib/php/20220829/intl.so", "php-intl"),
    tool("/usr/lib/php/20220829/mbstring.so", "php-mbstring"),
    tool("/usr/lib/php/20220829/memcached.so", "php-memcached"),
    tool("/usr/lib/php/20220829/mysqli.so", "php-mysql"),
    tool("/usr/lib/php/20220829/opcache.so", "php8.2-opcache"),
    tool("/usr/lib/php/20220829/pdo_pgsql.so", "php-pgsql"),
    tool("/usr/lib/php/20220829/redis.so", "php-redis"),
    tool("/usr/lib/php/20220829/dom.so", "php-xml"),
    tool("/usr/share/php/Doctrine/DBAL/autoload.php", "php-doctrine-dbal"),
    tool("/usr/share/php/Doctrine/ORM/autoload.php", "php-doctrine-orm"),
    tool("/usr/share/php/Symfony/Bundle/FrameworkBundle/autoload.php", "php-symfony-framework-bundle"),
    tool(
        "/usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php",
        "php-symfony-expression-language",
    ),
    tool("/usr/share/php/Symfony/Component/Yaml/autoload.php", "php-symfony-yaml"),
    tool("/usr/share/wordpress/wp-includes/version.php", "wordpress"),
    tool(
        "/usr/share/wordpress/wp-content/themes/twentytwentythree/style.css",
        "wordpress-theme-twentytwentythree",
    ),
];

/// What the demo starts.
pub(crate) const DEMO: &[Needed] = &[NGINX];

/// What the tests start.
pub(crate) const TEST: &[Needed] = &[
    ETCD, ETCDCTL, NGINX, SETPRIV, STRACE, IP, PYTHON, PIP, DOCKERD, DOCKER, BUSYBOX, NETCAT, UNSHARE,
    MEMCACHED, REDIS, POSTGRES, MARIADB, VARNISH, PHP_FPM, PHP, PHPUNIT, COMPOSER,
];

/// What the tests start or load.
pub(crate) fn test() -> Vec<Needed> {
    [TEST, &PHP_LIBRARIES].concat()
}

/// What the benchmark starts.
pub(crate) const BENCH: &[Needed] = &[ETCD, PYTHON];

/// What look-ups are compared with.
pub(crate) fn bench_lookup() -> Vec<Needed> {
    [&[ETCD, PYTHON, PHP_FPM, REDIS][..], &PHP_LIBRARIES].concat()
}

/// What the site is made of, and what asks for its pages.
pub(crate) fn bench_site() -> Vec<Needed> {
    let servers = [ETCD, NGINX, MARIADB, VARNISH, PHP_FPM, PHP, SETPRIV, WRK];
    [&servers[..], &PHP_LIBRARIES].concat()
}

/// What builds the programs in bench/go, and compares them with ours.
pub(crate) const BENCH_TEMPLATES: &[Needed] = &[GO, PYTHON];

/// What libFuzzer is built with.
pub(crate) const FUZZ: &[Needed] = &[CXX];

/// Where Debian keeps servers; an ordinary user's `PATH` does not look there.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Makes sure that all of `needed` are there, by installing if that is possible.
pub(crate) fn ensure(needed: &[Needed]) -> Outcome<()> {
    let missing = missing(needed, is_there);
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install --no-install-recommends {}", packages(&missing).join(" "));
    if !is_root() || find("apt-get").is_none() {
        return Err(format!("{} missing; on Debian, as root: {install}", binaries(&missing)));
    }
    println!("{} missing: {install}", binaries(&missing));
    apt_get(&["update"])?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(packages(&missing));
    apt_get(&args)?;
    disable_services(&missing);

    let still = self::missing(&missing, is_there);
    if still.is_empty() {
        Ok(())
    } else {
        Err(format!("{} still missing after: {install}", binaries(&still)))
    }
}

/// Finds a binary on `PATH` or in the system directories.
pub(crate) fn find(binary: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM_DIRECTORIES.iter().map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|dir| dir.join(binary)).find(|file| is_executable(file))
}

/// True for a program that can be found, and for a file that exists.
fn is_there(binary: &str) -> bool {
    if binary.starts_with('/') { Path::new(binary).exists() } else { find(binary).is_some() }
}

fn missing(needed: &[Needed], is_there: impl Fn(&str) -> bool) -> Vec<Needed> {
    needed.iter().copied().filter(|needed| !is_there(needed.binary)).collect()
}

fn packages(needed: &[Needed]) -> Vec<&'static str> {
    let packages: BTreeSet<&str> = needed.iter().map(|needed| needed.package).collect();
    packages.into_iter().collect()
}

fn binaries(needed: &[Needed]) -> String {
    let names: Vec<&str> = needed.iter().map(|needed| needed.binary).collect();
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

fn apt_get(args: &[&str]) -> Outcome<()> {
    let mut command = Command::new("apt-get");
    // Somebody else's installation may be at work for a while.
    command.args(["--option", "DPkg::Lock::Timeout=300", "--quiet"]).args(args);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Started nowhere: SysV's runlevel 1 starts no servers, and an offline systemctl starts nothing.
    command.env("RUNLEVEL", "1").env("SYSTEMD_OFFLINE", "1");
    cargo::run(command)
}

/// Keeps the installed services from starting at the next boot, where systemd would.
fn disable_services(installed: &[Needed]) {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    for service in installed.iter().flat_map(|needed| needed.services) {
        let mut systemctl = Command::new("systemctl");
        systemctl.args(["disable", "--now", service]);
        if let Err(why) = cargo::run(systemctl) {
            eprintln!("xtask: {service} may start at the next boot: {why}");
        }
    }
}

fn is_root() -> bool {
    // Without a dependency or `id`: /proc/self belongs to the effective user.
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let missing = missing(TEST, |binary| !["etcd", "etcdctl"].contains(&binary));
        assert_eq!(packages(&missing), ["etcd-client", "etcd-server"]);
        assert_eq!(binaries(&missing), "etcd, etcdctl are");
    }

    #[test]
    fn the_test_servers_crate_starts_nothing_that_is_not_installed_for_tests() {
        for (binary, package) in waypost_servers::PACKAGES {
            let known = TEST.iter().any(|needed| needed.binary == *binary && needed.package == *package);
            assert!(known, "{binary} of {package} is not in the table of packages");
        }
    }
}
