//! Calling cargo, always with `protoc` at hand, and asking it what the workspace is.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::protoc::Protoc;
use crate::{Outcome, root};

/// What cargo says about the workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    packages: Vec<String>,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo, without the network.
    pub(crate) fn load() -> Outcome<Workspace> {
        let Output { status, stdout, stderr } = command(["metadata", "--no-deps", "--format-version=1"])
            .output()
            .map_err(|why| format!("cannot run cargo: {why}"))?;
        if !status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&stderr).trim()));
        }
        let metadata: Value =
            serde_json::from_slice(&stdout).map_err(|why| format!("cargo metadata: {why}"))?;
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let packages = packages.iter().filter_map(|package| package["name"].as_str().map(str::to_owned));
        let target = metadata["target_directory"].as_str().ok_or("cargo metadata: no target directory")?;
        Ok(Workspace { packages: packages.collect(), target: PathBuf::from(target) })
    }

    /// True if the workspace has a package of that name.
    pub(crate) fn has(&self, package: &str) -> bool {
        self.packages.iter().any(|name| name == package)
    }

    /// Where everything is put that is made.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where a binary of the release profile is put.
    pub(crate) fn released(&self, binary: &str) -> PathBuf {
        self.target.join("release").join(binary)
    }
}

/// The cargo that runs xtask, in the repository, with `protoc`.
pub(crate) fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    Protoc::find().tell(&mut command);
    command
}

/// The build of the released binary, which demo, benchmark and end-to-end tests run.
pub(crate) fn build_waypost() -> Command {
    command(["build", "--release", "--package", "waypost-cli", "--bin", "waypost"])
}

/// Runs a command to its end; a failure names it as one would type it.
pub(crate) fn run(mut command: Command) -> Outcome<()> {
    let typed = typed(&command);
    let status = command.status().map_err(|why| format!("cannot run `{typed}`: {why}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{typed}` failed ({status})")) }
}

/// The command line as one would type it: cargo without its directory.
pub(crate) fn typed(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    [program].into_iter().chain(args).collect::<Vec<_>>().join(" ")
}
