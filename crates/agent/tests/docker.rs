//! Signals to containers, sent to Docker's own daemon.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use waypost_agent::docker::{Signal, send};
use waypost_servers::{Docker, available, docker_is_permitted, install, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// Prints what it is sent; 35 is RTMIN+1.
const LISTENS: &str = "trap 'echo hangup' HUP; trap 'echo realtime' 35; trap 'exit 0' TERM; echo ready; \
                       while true; do sleep 1000 & wait $!; done";

/// A daemon with an image `busybox`; none where that is not permitted.
fn start() -> Option<Docker> {
    require_all()?;
    let docker = Docker::start();
    let root = docker.dir().join("root");
    install("busybox", &root, "/bin/busybox");
    symlink("busybox", root.join("bin/sh")).unwrap();
    docker.import("busybox", &root, &[]);
    fs::remove_dir_all(root).unwrap();
    Some(docker)
}

fn require_all() -> Option<()> {
    available(&["dockerd", "docker", "unshare", "ip", "busybox"]).then_some(())?;
    docker_is_permitted().then_some(())
}

/// Starts a container with more `arguments`, and returns its id.
fn run(docker: &Docker, name: &str, arguments: &[&str], script: &str) -> String {
    let own = ["run", "--detach", "--name", name];
    let command = ["busybox", "sh", "-c", script];
    docker.docker(&[&own, arguments, &command].concat())
}

fn signal(docker: &Docker, container: &str, signal: &str) -> Result<(), String> {
    let signal = Signal::parse(container, signal, docker.socket(), DEADLINE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(send(&signal)).map_err(|failure| failure.message)
}

fn wait_for_status(docker: &Docker, container: &str, format: &str, status: &str) {
    let look = || docker.docker(&["inspect", "--format", format, container]) == status;
    wait_until(format!("{container} to be {status}"), DEADLINE, look);
}

#[test]
fn a_signal_reaches_the_first_process_of_a_container_by_name_or_id() {
    let Some(docker) = start() else { return };
    let id = run(&docker, "web", &[], LISTENS);
    let printed = |words: &str| {
        wait_until(words, DEADLINE, || docker.docker(&["logs", "web"]).lines().any(|line| line == words));
    };
    printed("ready");
    signal(&docker, "web", "HUP").unwrap();
    printed("hangup");
    signal(&docker, &id[..12], "SIGRTMIN+1").unwrap();
    printed("realtime");
    signal(&docker, &id, "15").unwrap();
    wait_for_status(&docker, "web", "{{.State.Status}} {{.State.ExitCode}}", "exited 0");
}

#[test]
fn a_container_that_is_not_there_or_does_not_run_is_an_error_in_one_line() {
    let Some(docker) = start() else { return };
    let cannot = |container: &str| format!("cannot send HUP to container {container}: ");
    assert_eq!(
        signal(&docker, "none", "HUP").unwrap_err(),
        cannot("none") + "the Docker daemon refuses (404): No such container: none"
    );

    run(&docker, "over", &[], "exit 0");
    wait_for_status(&docker, "over", "{{.State.Status}}", "exited");
    assert_eq!(signal(&docker, "over", "HUP").unwrap_err(), cannot("over") + "it is not running, but exited");

    // The pauses between the starts double; the sixth is some seconds long.
    run(&docker, "again", &["--restart", "always"], "exit 1");
    wait_for_status(&docker, "again", "{{.RestartCount}} {{.State.Status}}", "6 restarting");
    let restarting = signal(&docker, "again", "HUP").unwrap_err();
    assert_eq!(restarting, cannot("again") + "it is not running, but restarting");
    // Which the daemon itself does not mind, and there is nobody to be sent anything.
    docker.docker(&["kill", "--signal", "HUP", "again"]);
}
