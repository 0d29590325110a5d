//! `cargo xtask tidy`: the rules of this repository that no other tool checks.
//!
//! Each rule is a function from plain data to findings, so that each has a test with a bad example.
//! What clippy can say (`clippy.toml`, the workspace's lints) is left to clippy.

mod arrows;
mod links;
mod manifest;
mod source;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use manifest::Manifest;

use crate::{Outcome, root};

/// A file of the repository, by its path from the root.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

/// Checks all rules; every finding is printed, and one is enough to fail.
pub(crate) fn run() -> Outcome<()> {
    let paths = paths()?;
    let files: Vec<File> = paths.iter().filter_map(|path| read(path)).collect();
    let findings = findings(&files, &paths)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("{count} finding(s)")),
    }
}

fn findings(files: &[File], paths: &BTreeSet<String>) -> Outcome<Vec<String>> {
    let manifests = manifest::members(files)?;
    let mut findings = Vec::new();
    findings.extend(manifests.iter().flat_map(Manifest::not_inherited));
    findings.extend(manifests.iter().flat_map(arrows::check));
    for file in files {
        findings.extend(source::check(file));
        findings.extend(source::private_paths(file, &private_places()));
        findings.extend(links::check(file, paths));
    }
    Ok(findings)
}

/// The places of this machine that nobody else has; every container has the homes left out here.
fn private_places() -> Vec<String> {
    let home = env::var("HOME").ok().filter(|home| !["", "/", "/root"].contains(&home.as_str()));
    let root = root().canonicalize().ok().map(|root| root.display().to_string());
    root.into_iter().chain(home).collect()
}

/// All files that are or could be committed.
fn paths() -> Outcome<BTreeSet<String>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().map_err(|why| format!("cannot run git: {why}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let paths = String::from_utf8_lossy(&output.stdout).into_owned();
    // A file that is deleted and not yet committed so is still listed.
    Ok(paths.split_terminator('\0').filter(|path| root().join(path).exists()).map(str::to_owned).collect())
}

/// A text file; `None` for a binary, which no rule is about.
fn read(path: &str) -> Option<File> {
    let text = fs::read_to_string(root().join(Path::new(path))).ok()?;
    Some(File { path: path.to_owned(), text })
}
