//! `examples/containers` as it is, both ways, on Docker's own daemon: web servers come, stop and are killed,
//! and nginx, which is told by a signal and never restarted, serves exactly those that live.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use waypost_e2e::{DEADLINE, Load, command, require};
use waypost_servers::{Docker, docker_is_permitted, get, wait_until};

/// What nginx is published as, in the daemon's network.
const URL: &str = "http://127.0.0.1/";

/// Both ways have scripts of these names in their directories.
struct Way {
    /// Below `examples/containers`.
    directory: &'static str,
    /// The container that keeps nginx's file.
    keeper: &'static str,
    /// How long a key outlives its container, as `web.sh` takes it.
    ttl: &'static str,
}

/// The example, on a daemon of its own.
struct Example {
    docker: Docker,
    way: Way,
}

/// What changes when nginx is started again.
#[derive(Debug, PartialEq, Eq)]
struct Start {
    pid: String,
    at: String,
    restarts: String,
}

impl Example {
    /// Makes the images, and starts everything.
    #[track_caller]
    fn start(way: Way) -> Example {
        let example = Example { docker: Docker::start(), way };
        example.run("images.sh", &[]);
        example.run(&format!("{}up.sh", example.way.directory), &[]);
        example
    }

    /// Runs a script of the example, as an operator on the daemon's host does.
    #[track_caller]
    fn run(&self, script: &str, arguments: &[&str]) {
        let client = self.docker.client();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/containers");
        let mut run = Command::new(example.join(script));
        run.args(arguments).env("DOCKER", client.get_program()).env("WAYPOST", command().get_program());
        run.env("TTL", self.way.ttl).env("INTERVAL", "1");
        for (variable, value) in client.get_envs() {
            value.map(|value| run.env(variable, value));
        }
        let output = self.docker.within(|| run.output()).unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[track_caller]
    fn start_web(&self, name: &str) -> String {
        self.run(&format!("{}web.sh", self.way.directory), &[name]);
        self.address(name)
    }

    /// What nginx calls it.
    #[track_caller]
    fn address(&self, container: &str) -> String {
        let format = "{{.NetworkSettings.IPAddress}}:8080";
        self.docker.docker(&["inspect", "--format", format, container])
    }

    #[track_caller]
    fn start_of_nginx(&self) -> Start {
        let look = |what: &str| self.docker.docker(&["inspect", "--format", what, "nginx"]);
        Start {
            pid: look("{{.State.Pid}}"),
            at: look("{{.State.StartedAt}}"),
            restarts: look("{{.RestartCount}}"),
        }
    }

    /// The workers that take connections.
    #[track_caller]
    fn workers(&self) -> BTreeSet<String> {
        let processes = self.docker.docker(&["top", "nginx", "-o", "pid,args"]);
        let workers = processes.lines().filter(|line| line.ends_with("nginx: worker process"));
        workers.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    }

    /// Kills nginx's master, as a fault would: not through Docker.
    #[track_caller]
    fn kill_nginx(&self) {
        let (daemon, master) = (self.docker.pid().to_string(), self.start_of_nginx().pid);
        let mut kill = Command::new("nsenter");
        kill.args(["--target", &daemon, "--pid", "--mount", "sh", "-c", &format!("kill -KILL {master}")]);
        assert!(kill.status().unwrap().success());
    }

    /// Everything that this way's keeper logged, for a message.
    fn log(&self) -> String {
        let output = self.docker.client().args(["logs", self.way.keeper]).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Waits until exactly `webs` answer, told to nginx by a signal since it had the workers `before`.
    #[track_caller]
    fn wait_for_exactly(&self, load: &Load, webs: &[&str], before: &BTreeSet<String>) {
        load.wait_for_exactly(webs);
        let what = format!("new workers for {webs:?}; {}", self.log());
        wait_until(what, DEADLINE, || {
            let workers = self.workers();
            !workers.is_empty() && workers.is_disjoint(before)
        });
    }
}

fn web_servers_come_and_go_and_nginx_is_told_by_a_signal(way: Way) -> Example {
    let example = Example::start(way);
    let start = example.start_of_nginx();
    let (one, two) = (example.address("web-1"), example.address("web-2"));
    wait_until("the first good answer", DEADLINE, || example.docker.within(is_served));
    // How often nginx was told until now depends on who was quicker, and its first workers may still answer.
    example.docker.within(|| Load::on(URL)).wait_for_exactly(&[&one, &two]);
    let load = example.docker.within(|| Load::on(URL));

    let workers = example.workers();
    let three = example.start_web("web-3");
    example.wait_for_exactly(&load, &[&one, &two, &three], &workers);

    let workers = example.workers();
    example.docker.docker(&["stop", "web-1"]);
    example.wait_for_exactly(&load, &[&two, &three], &workers);

    // Its key goes with its lease.
    let workers = example.workers();
    example.docker.docker(&["kill", "web-2"]);
    example.wait_for_exactly(&load, &[&three], &workers);

    // One request is under way at a time: each of the two that ended may have cut off an answer that it had begun.
    let (cut, lost): (Vec<String>, Vec<String>) =
        load.failures().into_iter().partition(|why| why == "unexpected end of file");
    assert_eq!(lost, [""; 0], "while one server lived, every request was answered");
    assert!(cut.len() <= 2, "{cut:?}");
    assert_eq!(example.start_of_nginx(), start, "it was told, not restarted");
    example
}

fn is_served() -> bool {
    get(URL).is_ok_and(|answer| answer.status == 200)
}

#[test]
fn nginx_follows_etcd_by_a_signal_from_an_image_without_a_shell_and_nothing_is_left_of_the_example() {
    require!("dockerd", "docker", "unshare", "ip", "etcd", "nginx", "busybox", "nc.openbsd");
    if !docker_is_permitted() {
        return;
    }
    let way = Way { directory: "", keeper: "waypost", ttl: "5s" };
    let example = web_servers_come_and_go_and_nginx_is_told_by_a_signal(way);
    let log = example.log();
    assert!(log.contains("HUP to container nginx"), "{log}");
    example.docker.docker(&["exec", "waypost", "/bin/waypost", "--version"]);
    assert!(example.docker.try_docker(&["exec", "waypost", "/bin/sh", "-c", "exit 0"]).is_err());

    // Docker takes some signals for the wish that a container may end: not with the flags that this one has.
    example.kill_nginx();
    wait_until("nginx started again", DEADLINE, || example.start_of_nginx().restarts == "1");
    wait_until("the same configuration", DEADLINE, || example.docker.within(is_served));

    example.run("down.sh", &[]);
    for what in [&["ps", "-aq"][..], &["volume", "ls", "-q"], &["images", "-q", "waypost-example/*"]] {
        assert_eq!(example.docker.docker(what), "", "{what:?}");
    }
}

#[test]
fn so_it_does_under_confds_name_with_its_flags_and_etcds_v2_keys() {
    require!("dockerd", "docker", "unshare", "ip", "etcd", "nginx", "busybox", "bash", "nc.openbsd");
    if !docker_is_permitted() {
        return;
    }
    let way = Way { directory: "confd/", keeper: "confd", ttl: "5" };
    let example = web_servers_come_and_go_and_nginx_is_told_by_a_signal(way);

    // The exact words of such setups; what has changed while it was away is seen at the start.
    let (three, workers) = (example.address("web-3"), example.workers());
    example.docker.docker(&["rm", "--force", "confd"]);
    let four = example.start_web("web-4");
    let keys = "http://172.17.0.1:4001/v2/keys/test/web-4";
    let is_registered = || get(keys).is_ok_and(|answer| answer.status == 200);
    wait_until("the fourth key", DEADLINE, || example.docker.within(is_registered));
    example.run("confd/confd.sh", &["60"]);
    let line = example.docker.docker(&["inspect", "--format", "{{.Path}} {{join .Args \" \"}}", "confd"]);
    assert_eq!(line, "/bin/confd -interval=60 -node=http://172.17.0.1:4001 -backend etcd");
    let load = example.docker.within(|| Load::on(URL));
    example.wait_for_exactly(&load, &[&three, &four], &workers);
}
