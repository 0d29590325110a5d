//! PyPI's client `etcd3`, whose own tests the end-to-end tests run: brought below the target directory.
//!
//! What they import is installed beside it, in the versions that `requirements.txt` says, and nowhere else.
//! It is done once; a stamp beside it says for which versions, and is written last.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::{self, Workspace};
use crate::{Outcome, root};

/// Its source holds the tests; no built package does.
const SOURCE: (&str, &str) = ("etcd3", "0.12.0");

/// What the tests import.
const REQUIREMENTS: &str = "e2e/tests/store_clients/requirements.txt";

/// Makes sure that it is there, and returns the directory of both, `etcd3-0.12.0` and `packages`.
pub(crate) fn ensure(workspace: &Workspace) -> Outcome<PathBuf> {
    let requirements = root().join(REQUIREMENTS);
    let wanted = stamp(&read(&requirements)?, &python_version()?);
    let dir = workspace.target().join(SOURCE.0);
    let stamp = dir.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(dir);
    }
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|why| format!("cannot remove {}: {why}", dir.display()))?;
    }
    let packages = dir.join("packages");
    // Built packages only: building grpcio takes longer than all tests.
    let flags = ["install", "--only-binary=:all:", "--target"];
    pip(&packages, &flags, &[&packages, Path::new("--requirement"), &requirements])?;
    download(&dir, &packages)?;
    fs::write(&stamp, wanted).map_err(|why| format!("cannot write {}: {why}", stamp.display()))?;
    Ok(dir)
}

/// Brings the source and unpacks it. pip looks into it with the setuptools that were just installed: those of
/// the day may understand it no longer.
fn download(dir: &Path, packages: &Path) -> Outcome<()> {
    let (name, version) = SOURCE;
    let exactly = format!("{name}=={version}");
    let flags = ["download", "--no-deps", "--no-build-isolation", "--no-binary=:all:", &exactly, "--dest"];
    pip(packages, &flags, &[dir])?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "tarfile", "--extract"]).arg(dir.join(format!("{name}-{version}.tar.gz"))).arg(dir);
    cargo::run(unpack)
}

fn pip(packages: &Path, flags: &[&str], paths: &[&Path]) -> Outcome<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(flags).args(paths);
    pip.env("PYTHONPATH", packages).env("PIP_ROOT_USER_ACTION", "ignore");
    cargo::run(pip)
}

/// Compiled packages are for one version of Python.
fn python_version() -> Outcome<String> {
    let output = Command::new("python3").arg("--version").output();
    let output = output.map_err(|why| format!("cannot run python3: {why}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn stamp(requirements: &str, python: &str) -> String {
    format!("{python}\n{}=={}\n{requirements}", SOURCE.0, SOURCE.1)
}

fn read(file: &Path) -> Outcome<String> {
    fs::read_to_string(file).map_err(|why| format!("cannot read {}: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_are_brought_again() {
        let stamp = |requirements| stamp(requirements, "Python 3.11.2");
        assert_ne!(stamp("pytest==8.4.2\n"), stamp("pytest==8.4.3\n"));
        assert_eq!(stamp("pytest==8.4.2\n"), "Python 3.11.2\netcd3==0.12.0\npytest==8.4.2\n");
    }

    #[test]
    fn each_requirement_is_one_version() {
        let requirements = read(&root().join(REQUIREMENTS)).unwrap();
        for line in requirements.lines().filter(|line| !line.starts_with('#')) {
            assert!(
                line.split_once("==").is_some_and(|(name, version)| {
                    !name.contains(' ') && version.chars().all(|c| c.is_ascii_digit() || c == '.')
                }),
                "{line}"
            );
        }
    }
}
