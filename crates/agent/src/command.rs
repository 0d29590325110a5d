//! Runs checks and reloads: `/bin/sh -c`, for a bounded time.
//!
//! A command runs in a process group of its own, so that a timeout ends all it started. What it prints goes
//! to memory that needs no reader: a command that leaves a process behind cannot keep us waiting. That memory
//! is sealed once the command has ended, so that what is left behind cannot fill it: its writes fail.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Pid, Signal};
use waypost_template::expand;

use crate::{Command, Failure, Resource, Step};

/// How much of the end of a command's output a failure shows, in bytes.
const SHOWN: u64 = 2048;

/// Fills in the paths of `resource`; `source` is the staged file.
pub(crate) fn line(command: &Command, resource: &Resource, step: Step) -> Result<String, Failure> {
    if !command.is_template {
        return Ok(command.line.clone());
    }
    let (stage, destination) = (resource.stage(), &resource.destination);
    let data = [("src", &*stage.to_string_lossy()), ("dest", &*destination.to_string_lossy())];
    let name = format!("{step}_cmd");
    let expanded = expand(&name, command.line.as_bytes(), &data);
    let expanded = expanded.map_err(|error| Failure::new(step, error.to_string()))?;
    String::from_utf8(expanded).map_err(|_| Failure::new(step, "the command is not UTF-8"))
}

/// Runs `line`; anything but exit code 0 within `timeout` is a failure.
pub(crate) async fn run(line: &str, timeout: Duration, step: Step) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(step, format!("cannot run `{line}`: {error}"));
    let output = File::from(
        rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(io::Error::from)
            .map_err(failed)?,
    );
    let copy = || output.try_clone().map(Stdio::from).map_err(failed);
    let mut child = tokio::process::Command::new("/bin/sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(copy()?)
        .stderr(copy()?)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let ended = tokio::time::timeout(timeout, child.wait()).await;
    // Without the seal it works as well, only without the bound.
    let _ = rustix::fs::fcntl_add_seals(&output, SealFlags::GROW);
    match ended {
        Ok(status) => judge(line, status.map_err(failed)?, step, output),
        Err(_) => {
            if let Some(group) = group {
                // It may have ended just now.
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait().await;
            let failure =
                Failure::new(step, format!("`{line}` did not end within {timeout:?} and was killed"));
            Err(failure.with_detail(tail(output)))
        }
    }
}

fn judge(line: &str, status: ExitStatus, step: Step, output: File) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(step, format!("`{line}` ended with {status}")).with_detail(tail(output)))
}

fn tail(mut output: File) -> String {
    let mut bytes = Vec::new();
    let length = output.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    let start = SeekFrom::Start(length.saturating_sub(SHOWN));
    // Without the output the failure still says what ended how.
    let _ = output.seek(start).and_then(|_| output.take(SHOWN).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(line: &str, timeout: Duration) -> Failure {
        run(line, timeout, Step::Check).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_failure_shows_the_exit_code_and_what_was_printed() {
        let failure = failure("echo bad line 3 >&2; exit 7", Duration::from_secs(20)).await;
        assert!(failure.message.ends_with("ended with exit status: 7"), "{failure}");
        assert_eq!(failure.detail, "bad line 3");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let line = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let failure = failure(&line, Duration::from_millis(300)).await;
        assert!(failure.message.contains("did not end within 300ms"), "{failure}");
        let pid = std::fs::read_to_string(&file).unwrap();
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            !(stat.is_empty() || stat.contains(") Z ") || stat.contains(") X "))
        };
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while is_alive() {
            assert!(std::time::Instant::now() < deadline, "the process lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_process_left_behind_finds_no_room_for_what_it_prints() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ended");
        let line = format!("(while echo x; do :; done; : > {}) & exit 0", file.display());
        run(&line, Duration::from_secs(60), Step::Reload).await.unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !file.exists() {
            assert!(std::time::Instant::now() < deadline, "it still prints");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_process_left_behind_does_not_keep_us_waiting() {
        let started = std::time::Instant::now();
        run("sleep 5 & exit 0", Duration::from_secs(60), Step::Reload).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn paths_are_filled_in() {
        let resource = crate::resource::tests::resource(std::path::Path::new("/etc"));
        let mut command =
            Command { line: "t {{.src}} {{ .dest }}".into(), timeout: Duration::ZERO, is_template: true };
        let filled = line(&command, &resource, Step::Check).unwrap();
        assert_eq!(filled, "t /etc/.web.conf.waypost /etc/web.conf");
        command.is_template = false;
        assert_eq!(line(&command, &resource, Step::Reload).unwrap(), "t {{.src}} {{ .dest }}");
    }
}
