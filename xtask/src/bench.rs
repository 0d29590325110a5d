//! `cargo xtask bench`: builds what is compared and becomes the rig that compares it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::Workspace;
use crate::{Outcome, cargo, packages, root};

/// Becomes the benchmark, with the binaries that it compares named in variables.
pub(crate) fn run(args: &[String]) -> Outcome<()> {
    match args.split_first() {
        Some((what, rest)) if what == "templates" => templates(rest),
        Some((what, rest)) if what == "lookup" => lookup(rest),
        Some((what, rest)) if what == "site" => site(rest),
        _ => servers(args),
    }
}

/// waypost beside a bare watch, and its store beside etcd.
fn servers(args: &[String]) -> Outcome<()> {
    packages::ensure(packages::BENCH)?;
    let workspace = Workspace::load()?;
    // In one build: the same versions and features of everything in both.
    cargo::run(cargo::command(["build", "--release", "--package=waypost-cli", "--package=waypost-bench"]))?;
    let binaries = [("WAYPOST_BIN", "waypost"), ("FLOOR_BIN", "floor"), ("LOAD_BIN", "load")];
    rig("bench.py", args, binaries.map(|(variable, binary)| (variable, workspace.released(binary))))
}

/// Templates beside Go's text/template.
fn templates(args: &[String]) -> Outcome<()> {
    packages::ensure(packages::BENCH_TEMPLATES)?;
    let workspace = Workspace::load()?;
    let examples = ["--example=bodies", "--example=allocations"];
    cargo::run(cargo::command(
        ["build", "--release", "--package=waypost-template"].into_iter().chain(examples),
    ))?;
    let go = build_go("bodies", workspace.target())?;
    let example = |name| workspace.released("examples").join(name);
    let ours = [("BODIES_BIN", example("bodies")), ("ALLOCATIONS_BIN", example("allocations"))];
    rig("templates.py", args, ours.into_iter().chain([("GO_BODIES_BIN", go)]))
}

/// Look-ups of a service, in Rust and in PHP.
fn lookup(args: &[String]) -> Outcome<()> {
    packages::ensure(&packages::bench_lookup())?;
    let workspace = Workspace::load()?;
    cargo::run(cargo::command(["build", "--release", "--package=waypost-cli", "--package=waypost-bench"]))?;
    let example = ["build", "--release", "--package=waypost-discover", "--example=lookup"];
    cargo::run(cargo::command(example))?;
    let binaries = [("WAYPOST_BIN", "waypost"), ("ASKS_BIN", "asks"), ("LOOKUP_BIN", "examples/lookup")];
    rig("lookup.py", args, binaries.map(|(variable, binary)| (variable, workspace.released(binary))))
}

/// The site's pages as PHP makes them, and through Varnish.
fn site(args: &[String]) -> Outcome<()> {
    packages::ensure(&packages::bench_site())?;
    let workspace = Workspace::load()?;
    cargo::run(cargo::command(["build", "--release", "--package=waypost-cli", "--package=waypost-bench"]))?;
    let mut site = Command::new(workspace.released("site"));
    site.args(args).env("WAYPOST_BIN", workspace.released("waypost"));
    Err(format!("cannot run the benchmark of the site: {}", site.exec()))
}

/// Builds one of the programs in bench/go; returns its binary.
pub(crate) fn build_go(program: &str, target: &Path) -> Outcome<PathBuf> {
    let binary = target.join("go").join(program);
    let mut go = Command::new("go");
    // Its one module needs no other, so nothing is to come over the network.
    go.current_dir(root().join("bench/go")).env("GOFLAGS", "-mod=mod").env("GOPROXY", "off");
    go.args(["build", "-o"]).arg(&binary).arg(format!("./{program}"));
    cargo::run(go)?;
    Ok(binary)
}

fn rig(
    script: &str,
    args: &[String],
    binaries: impl IntoIterator<Item = (&'static str, PathBuf)>,
) -> Outcome<()> {
    let mut rig = Command::new("python3");
    rig.arg(root().join("bench").join(script)).args(args).envs(binaries);
    Err(format!("cannot run python3: {}", rig.exec()))
}
