//! Where the servers' binaries are, and what to do when one is missing.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use crate::Outcome;

/// The binaries that this crate starts, each with the Debian package that brings it.
pub const PACKAGES: &[(&str, &str)] = &[
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    ("nginx", "nginx"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
    ("ip", "iproute2"),
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("busybox", "busybox-static"),
    ("nc.openbsd", "netcat-openbsd"),
    ("unshare", "util-linux"),
    ("memcached", "memcached"),
    ("redis-server", "redis-server"),
    ("pg_ctlcluster", "postgresql"),
    ("mariadbd", "mariadb-server"),
    ("varnishd", "varnish"),
    ("php-fpm8.2", "php-fpm"),
    ("php", "php-cli"),
    ("phpunit", "phpunit"),
    ("composer", "composer"),
];

/// Set by `cargo xtask test`: a missing server is a failure, not a skip.
const REQUIRED: &str = "WAYPOST_TEST_REQUIRE_SERVERS";

/// Debian keeps servers here, where an ordinary user's `PATH` does not look.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Finds a binary: by the variable `NAME_BIN` (`ETCD_BIN`), on `PATH`, or in the system directories.
pub fn find(name: &str) -> Option<PathBuf> {
    let variable = format!("{}_BIN", name.to_uppercase().replace('-', "_"));
    if let Some(path) = env::var_os(variable) {
        return Some(PathBuf::from(path));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM_DIRECTORIES.iter().map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// True when all `binaries` are there; otherwise says on stderr which test is skipped, and why.
///
/// [`require!`](crate::require) is this with the `return`.
///
/// # Panics
///
/// When one is missing and `WAYPOST_TEST_REQUIRE_SERVERS` is `1`, as `cargo xtask test` sets it.
#[track_caller]
pub fn available(binaries: &[&str]) -> bool {
    let missing: Vec<String> = binaries.iter().filter_map(|name| path_of(name).err()).collect();
    if missing.is_empty() {
        return true;
    }
    unavailable(&missing.join("; "))
}

/// Says that the calling test is skipped, and why; false, for the caller to return it.
#[track_caller]
pub(crate) fn unavailable(why: &str) -> bool {
    if env::var_os(REQUIRED).is_some_and(|value| value == "1") {
        panic!("{why}");
    }
    // Written past the test harness's capture: a skip that nobody sees looks like a pass.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "skipped: {test}: {why}");
    false
}

/// The binary's path, or an error that names the package to install.
pub(crate) fn path_of(name: &str) -> Outcome<PathBuf> {
    find(name).ok_or_else(|| {
        let package =
            PACKAGES.iter().find(|(binary, _)| *binary == name).map_or(name, |(_, package)| package);
        format!("{name} is not installed (Debian package {package})")
    })
}

fn is_executable(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_is_named_with_its_package() {
        assert_eq!(
            path_of("no-such-server"),
            Err("no-such-server is not installed (Debian package no-such-server)".to_owned())
        );
    }

    #[test]
    fn a_binary_on_the_path_is_found() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
    }
}
