//! The repository's chores, in Rust: `cargo xtask demo`, `test`, `tidy`, `bench`, `fuzz`, `deny`.
//!
//! A fresh clone needs Rust and nothing else: xtask brings `protoc` (`protoc.rs`) and, as root on
//! Debian, installs the servers that tests and demo start (`packages.rs`); tests get a foreign client
//! (`etcd3.rs`) and PHP libraries of another release (`php_libraries.rs`) as well. It depends on
//! nothing that needs `protoc` to build.

mod bench;
mod cargo;
mod etcd3;
mod fuzz;
mod packages;
mod php_libraries;
mod protoc;
mod steps;
mod test;
mod tidy;

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::cargo::Workspace;

/// What a chore returns: the error is the line to print before exiting with a failure.
type Outcome<T> = Result<T, String>;

const USAGE: &str = "\
Usage: cargo xtask <chore>

  demo [ARGS…]     Install what the demo needs, build waypost and run `waypost demo ARGS…`
  test [FILTER…]   All that CI checks; with filters, only the tests whose names contain one
  tidy             The repository's own rules: who may depend on whom, links, file lengths, …
  bench [ARGS…]    Build waypost and measure it, also its store beside etcd, and `bench templates`
                   beside Go's: bench/README.md
  fuzz [TARGET] [--for 60s]
                   Hostile input for the targets in fuzz/, all or one; what is found is kept there;
                   `fuzz --go` compares random templates with Go's text/template
  deny             Check licences, bans and sources of all dependencies (needs cargo-deny)

Servers that a chore needs and that are missing are installed when it runs as root on Debian, and
named otherwise. protoc is taken from $PROTOC, from $PATH, or from the one that comes with xtask.
";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let chore = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match (chore.as_str(), rest.as_slice()) {
        ("demo", _) => demo(&rest),
        ("test", _) => test::run(&rest),
        ("tidy", []) => tidy::run(),
        ("bench", _) => bench::run(&rest),
        ("fuzz", _) => fuzz::run(&rest),
        ("deny", []) => deny(),
        ("help" | "--help" | "-h", []) => {
            print!("{USAGE}");
            Ok(())
        }
        ("tidy" | "deny", _) => Err(format!("`{chore}` takes no arguments")),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes `waypost demo`, so that signals and the exit code are its own.
fn demo(args: &[String]) -> Outcome<()> {
    packages::ensure(packages::DEMO)?;
    let waypost = build_waypost()?;
    let failed = Command::new(&waypost).arg("demo").args(args).exec();
    Err(format!("cannot run {}: {failed}", waypost.display()))
}

fn deny() -> Outcome<()> {
    let there = cargo::command(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !there {
        return Err("cargo-deny is missing: cargo install --locked cargo-deny".to_owned());
    }
    let checks = ["deny", "check", "bans", "licenses", "sources"];
    cargo::run(cargo::command(checks))
}

fn build_waypost() -> Outcome<PathBuf> {
    let workspace = Workspace::load()?;
    if !workspace.has("waypost-cli") {
        return Err("this workspace has no package waypost-cli to build".to_owned());
    }
    cargo::run(cargo::build_waypost())?;
    Ok(workspace.released("waypost"))
}

/// The repository, wherever xtask was called from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
