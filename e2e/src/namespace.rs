//! waypost in a mount namespace of its own, where a disk is read-only or a file is mounted.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::share_environment;
use crate::{command, unavailable};

/// Mounts that only what is started in here sees.
#[derive(Debug)]
pub struct Namespace {
    mount: String,
    path: PathBuf,
    /// Flags of unshare(1) that are permitted here.
    flags: &'static [&'static str],
}

impl Namespace {
    /// One in which `mount` has been run, a line for the shell that finds `path` as `$0`.
    ///
    /// None where that is not permitted: the calling test is skipped, or fails, as for a missing server.
    #[track_caller]
    pub fn with(mount: &str, path: &Path) -> Option<Namespace> {
        // Root needs no user namespace; others, and root in some containers, may only with one.
        let choices: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
        let mut why = String::new();
        for flags in choices {
            let namespace = Namespace { mount: mount.to_owned(), path: path.to_owned(), flags };
            match namespace.unshare("true").output() {
                Ok(output) if output.status.success() => return Some(namespace),
                Ok(output) => String::from_utf8_lossy(&output.stderr).trim().clone_into(&mut why),
                Err(error) => why = error.to_string(),
            }
        }
        unavailable(&format!("no mount namespace is permitted here: {why}"));
        None
    }

    /// waypost in it, without arguments yet.
    ///
    /// # Panics
    ///
    /// When waypost is not built.
    #[track_caller]
    pub fn command(&self) -> Command {
        let waypost = command();
        let mut unshared = self.unshare("exec \"$@\"");
        unshared.arg(waypost.get_program());
        share_environment(&waypost, &mut unshared);
        unshared
    }

    /// `line` for the shell, in the namespace that process `pid` is in; it finds the path as `$0`, too.
    pub fn enter(&self, pid: u32, line: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--mount", "--target", &pid.to_string()]);
        if self.flags.len() > 1 {
            nsenter.args(["--user", "--preserve-credentials"]);
        }
        nsenter.args(["sh", "-c", line]).arg(&self.path);
        nsenter
    }

    fn unshare(&self, then: &str) -> Command {
        let mut unshare = Command::new("unshare");
        let line = format!("{} && {then}", self.mount);
        unshare.args(self.flags).args(["sh", "-c", &line]).arg(&self.path);
        unshare
    }
}
