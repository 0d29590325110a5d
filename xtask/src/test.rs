//! `cargo xtask test`: what CI checks, in the order that finds the cheap mistakes first.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::cargo::{Workspace, build_waypost, command, run as run_command, typed};
use crate::steps::Steps;
use crate::{Outcome, etcd3, fuzz, packages, php_libraries, tidy};

/// Makes a missing server a failure where a bare `cargo test` skips.
const REQUIRE_SERVERS: (&str, &str) = ("WAYPOST_TEST_REQUIRE_SERVERS", "1");

/// Says which server of etcd's API some tests ask: `store`, or `etcd`.
const API_SERVER: &str = "WAYPOST_API_SERVER";

/// Those tests.
const API_TESTS: [&str; 2] = ["--test=store_api", "--test=store_clients"];

/// How long each target gets hostile input.
const FUZZ_SECONDS: u64 = 20;

/// All checks; with `filters`, only the tests whose names contain one of them.
pub(crate) fn run(filters: &[String]) -> Outcome<()> {
    let mut steps = Steps::default();
    steps.run("packages", || packages::ensure(&packages::test()))?;
    if filters.is_empty() {
        check(&mut steps)?;
    }
    let workspace = Workspace::load()?;
    if workspace.has("waypost-cli") {
        steps.run("released binary", || run_command(build_waypost()))?;
    }
    let client = steps.run("foreign client", || etcd3::ensure(&workspace))?;
    let libraries = steps.run("foreign PHP libraries", || php_libraries::ensure(&workspace))?;
    let mut totals = Totals::default();
    let mut tests = |targets: &[&str], api_server: &str| {
        let mut cargo = tests(&workspace, targets, filters);
        cargo.env("WAYPOST_ETCD3", &client).env("WAYPOST_PHP_OTHER", &libraries);
        cargo.env(API_SERVER, api_server);
        count(cargo, &mut totals)
    };
    let ours = steps.run("tests", || tests(&[], "store"));
    // Also if those failed: what etcd itself fails is wrong in the test.
    let etcds = steps.run("tests of etcd's API, on etcd", || tests(&API_TESTS, "etcd"));
    ours.and(etcds)?;
    // A filter that is misspelt, or a harness that found nothing, is not a pass.
    if totals.passed == 0 {
        return Err("no test was run".to_owned());
    }
    if filters.is_empty() {
        steps.run("documentation", document)?;
        let build = steps.run("build of the fuzz targets", fuzz::Build::make)?;
        let fuzz = || fuzz::TARGETS.iter().try_for_each(|target| build.fuzz(target, FUZZ_SECONDS));
        steps.run("hostile input", fuzz)?;
    }
    println!("{}", steps.summary());
    println!("{}", totals.line());
    Ok(())
}

/// What needs no test to run. clippy takes all targets and features, so what it builds of the
/// dependencies is what the documentation needs too.
fn check(steps: &mut Steps) -> Outcome<()> {
    steps.run("tidy", tidy::run)?;
    steps.run("format", || run_command(command(["fmt", "--all", "--check"])))?;
    steps.run("clippy", || {
        let scope = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        run_command(command(scope))
    })
}

fn document() -> Outcome<()> {
    let mut doc = command(["doc", "--workspace", "--no-deps", "--all-features"]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    run_command(doc)
}

/// The run of the tests in `targets`, which may be none for all, with what they look for.
///
/// Whatever the targets, it is the whole workspace: a part of it would want its dependencies with other features,
/// and build them again.
fn tests(workspace: &Workspace, targets: &[&str], filters: &[String]) -> Command {
    // All failures at once: a run is long, and the next one would show only the next failure.
    let mut cargo = command(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    cargo.args(targets).arg("--").args(filters);
    cargo.env(REQUIRE_SERVERS.0, REQUIRE_SERVERS.1).env("WAYPOST_BIN", workspace.released("waypost"));
    cargo
}

/// Runs tests, and counts them as they are reported.
fn count(mut cargo: Command, totals: &mut Totals) -> Outcome<()> {
    let typed = typed(&cargo);
    let failed = |why: std::io::Error| format!("cannot run `{typed}`: {why}");

    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(failed)?;
            println!("{line}");
            totals.add(&line);
        }
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("`{typed}` failed ({status})")) }
}

/// What all test binaries reported together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
}

impl Totals {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; …`; others count nothing.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.trim_start().strip_prefix("test result: ") else { return };
        let count = |word: &str| {
            let before = counts.split(word).next()?.trim_end();
            before.rsplit([' ', '.', ';']).next()?.parse::<u64>().ok()
        };
        self.passed += count(" passed").unwrap_or(0);
        self.failed += count(" failed").unwrap_or(0);
    }

    fn line(&self) -> String {
        format!("tests: {} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_over_the_test_binaries() {
        let mut totals = Totals::default();
        totals.add("running 12 tests");
        totals.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        totals.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(totals.line(), "tests: 15 passed, 2 failed");
    }
}
