//! Who is told besides the log: systemd, and those who ask for metrics and health.

use std::os::unix::net::UnixDatagram;

use waypost_e2e::{DEADLINE, Resource, require};
use waypost_servers::{Ports, Signal, get, wait_until};

use crate::{New, TEXT, confd_toml, one};

/// What is told next, with all its lines.
fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Waits until `word` is told.
#[track_caller]
fn wait_told(socket: &UnixDatagram, word: &str) {
    wait_until(word, DEADLINE, || next(socket).lines().any(|line| line == word));
}

#[test]
fn systemd_is_told_that_it_is_ready_reloads_and_stops() {
    require!();
    for in_the_file in [false, true] {
        one(New, |tree, confd| {
            let path = tree.join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            Resource::new("web").write_to(tree);
            let confd = confd.flags("--watch").variable("NOTIFY_SOCKET", &path);
            let confd = if in_the_file { confd } else { confd.flags("--systemd-notify") };
            confd_toml(tree, if in_the_file { "systemd_notify = true\n" } else { "" });
            let agent = confd.start(tree);
            wait_told(&socket, "READY=1");
            assert_eq!(tree.text("web").as_deref(), Some(TEXT), "what runs is what is wanted");
            agent.signal(Signal::HUP);
            wait_told(&socket, "RELOADING=1");
            wait_told(&socket, "READY=1");
            agent.signal(Signal::TERM);
            wait_told(&socket, "STOPPING=1");
            assert!(agent.wait().success(), "{}", agent.log());
        });
    }
}

#[test]
fn the_watchdog_is_told_at_its_interval() {
    require!();
    one(New, |tree, confd| {
        let path = tree.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Resource::new("web").write_to(tree);
        let confd = confd.flags("--watch --systemd-notify --watchdog-interval 100ms");
        let agent = confd.variable("NOTIFY_SOCKET", &path).start(tree);
        wait_told(&socket, "WATCHDOG=1");
        wait_told(&socket, "WATCHDOG=1");
        assert!(agent.stop().success(), "{}", agent.log());
    });
}

#[test]
fn metrics_and_health_are_served_at_metrics_addr() {
    require!();
    for in_the_file in [false, true] {
        one(New, |tree, confd| {
            let address = format!("127.0.0.1:{}", Ports::free());
            Resource::new("web").write_to(tree);
            let confd = if in_the_file {
                confd_toml(tree, &format!("metrics_addr = \"{address}\"\n"));
                confd
            } else {
                confd.flags(&format!("--metrics-addr {address}"))
            };
            let agent = confd.flags("--watch").start(tree);
            agent.wait_for_text(tree, "web", TEXT);
            let status = |path: &str| get(&format!("http://{address}{path}")).map(|it| it.status).ok();
            agent.wait_until("readiness", || status("/ready") == Some(200));
            assert_eq!((status("/health"), status("/ready/detailed")), (Some(200), Some(200)));
            let metrics = get(&format!("http://{address}/metrics")).unwrap().text();
            assert!(metrics.contains("web.toml"), "{metrics}");
            assert!(agent.stop().success(), "{}", agent.log());
        });
    }
}

#[test]
fn it_is_not_ready_while_a_resource_fails() {
    require!();
    one(New, |tree, confd| {
        let address = format!("127.0.0.1:{}", Ports::free());
        Resource::new("web").template("{{getv \"/no/such\"}}").write_to(tree);
        let agent = confd.flags(&format!("--watch --metrics-addr {address}")).start(tree);
        agent.wait_logged(&["render failed"]);
        let answer = get(&format!("http://{address}/ready")).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(agent.is_running() && agent.stop().success(), "{}", agent.log());
    });
}

#[test]
fn it_is_not_ready_while_a_file_of_conf_d_cannot_be_worked_on() {
    require!();
    one(New, |tree, confd| {
        let address = format!("127.0.0.1:{}", Ports::free());
        Resource::new("web").write_to(tree);
        Resource::new("db").line("owner = \"no-such-user\"").write_to(tree);
        let agent = confd.flags(&format!("--watch --metrics-addr {address}")).start(tree);
        agent.wait_for_text(tree, "web", TEXT);
        let answer = get(&format!("http://{address}/ready/detailed")).unwrap();
        let (status, told) = (answer.status, answer.text());
        assert_eq!(status, 503, "{told}");
        assert!(told.contains("there is no user `no-such-user`"), "{told}");
        assert!(agent.stop().success(), "{}", agent.log());
    });
}
