//! Docker's daemon as tests use it.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use waypost_servers::{Docker, docker_is_permitted, get, install, require, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// An image `busybox` with a shell and a web server in it.
fn import_busybox(docker: &Docker) {
    let root = docker.dir().join("root");
    install("busybox", &root, "/bin/busybox");
    fs::create_dir(root.join("www")).unwrap();
    fs::write(root.join("www/index.html"), "served\n").unwrap();
    for program in ["sh", "httpd"] {
        symlink("busybox", root.join("bin").join(program)).unwrap();
    }
    docker.import(
        "busybox",
        &root,
        &["CMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]", "ENV A=b"],
    );
}

/// Processes that are in the PID namespace `link`.
fn processes_in(link: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|it| fs::read_link(it.path().join("ns/pid")).is_ok_and(|its| its == link)).count()
}

fn control_groups(name: &str) -> Vec<PathBuf> {
    let all = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path().join(name));
    all.chain([Path::new("/sys/fs/cgroup").join(name)]).filter(|path| path.exists()).collect()
}

fn network_devices() -> Vec<String> {
    let text = fs::read_to_string("/proc/net/dev").unwrap();
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

#[test]
fn containers_are_reached_by_their_addresses_and_published_ports_and_nothing_is_left_of_them() {
    require!("dockerd", "unshare", "ip", "busybox");
    if !docker_is_permitted() {
        return;
    }
    let devices = network_devices();
    let docker = Docker::start();
    import_busybox(&docker);
    docker.docker(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox"]);
    let address = docker.docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"]);
    for url in [format!("http://{address}/"), "http://127.0.0.1:8080/".to_owned()] {
        let is_served = || get(&url).is_ok_and(|answer| answer.text() == "served\n");
        wait_until(&url, DEADLINE, || docker.within(is_served));
        assert!(!is_served(), "the network is the daemon's alone");
    }
    assert_eq!(docker.docker(&["exec", "web", "sh", "-c", "echo $A"]), "b");
    assert!(docker.try_docker(&["kill", "none"]).unwrap_err().contains("No such container: none"));

    let directory = docker.dir().to_owned();
    let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
    let processes = fs::read_link(format!("/proc/{}/ns/pid_for_children", docker.pid())).unwrap();
    assert!(processes_in(&processes) > 1, "dockerd and containerd");
    assert!(!control_groups(&name).is_empty());
    drop(docker);

    assert_eq!(processes_in(&processes), 0);
    assert!(!directory.exists());
    assert!(control_groups(&name).is_empty());
    assert_eq!(network_devices(), devices);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&name));
}
