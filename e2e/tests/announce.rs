//! `waypost announce` on real etcd: the key is there while the service can serve, and only then.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use waypost_e2e::{DEADLINE, Tree, Waypost, command, finish, require};
use waypost_servers::{Etcd, Http, Ports, Proxy, Signal, wait_until};

/// Whether the service is registered.
fn is_listed(etcd: &Etcd) -> bool {
    etcd.get("/web/one").is_some()
}

#[track_caller]
fn wait_listed(etcd: &Etcd, announcer: &Waypost) {
    announcer.wait_until("the key", || is_listed(etcd));
}

#[track_caller]
fn wait_gone(etcd: &Etcd, announcer: &Waypost) {
    announcer.wait_until("the key to be gone", || !is_listed(etcd));
}

/// The service `one` with a health check that it answers as it is told to.
fn announce_checked(service: &Http, etcd: &Etcd, more: &[&str]) -> Waypost {
    let check = ["--check", "http:/health"];
    Waypost::announcer("one", service.port(), &etcd.endpoint(), &[&check, more].concat())
}

#[test]
fn a_service_is_registered_once_its_check_has_passed_often_enough_and_until_it_has_failed_often_enough() {
    require!("etcd");
    let (etcd, service) = (Etcd::start(), Http::start("one"));
    service.set_healthy(false);
    let pace = ["--rise", "3", "--fall", "4", "--log-level", "debug"];
    let announcer = announce_checked(&service, &etcd, &pace);
    announcer.wait_logged(&["health check failed", "503"]);
    assert!(!is_listed(&etcd), "not healthy yet");

    service.set_healthy(true);
    wait_listed(&etcd, &announcer);
    assert_eq!(etcd.get("/web/one"), Some(service.endpoint()));
    for passes in ["passes=1", "passes=2", "passes=3"] {
        assert_eq!(announcer.logged(&["health check passed", passes, "rise=3"]), 1, "{}", announcer.log());
    }

    service.set_healthy(false);
    wait_gone(&etcd, &announcer);
    announcer.wait_logged(&["revoked"]);
    for failures in ["failures=1", "failures=2", "failures=3", "failures=4"] {
        let told = announcer.logged(&["health check failed", failures, "fall=4"]);
        assert!(told >= 1, "{failures}: {}", announcer.log());
    }

    service.set_healthy(true);
    wait_listed(&etcd, &announcer);
    assert!(announcer.stop().success());
    assert!(!is_listed(&etcd), "stopped: the key is gone before the announcer");
}

#[test]
fn a_service_that_refuses_connections_is_not_registered() {
    require!("etcd");
    let (etcd, service) = (Etcd::start(), Http::start("one"));
    service.stop();
    let announcer = Waypost::announcer("one", service.port(), &etcd.endpoint(), &[]);
    announcer.wait_logged(&["health check failed"]);
    assert!(!is_listed(&etcd));
    service.start_again();
    wait_listed(&etcd, &announcer);
    service.stop();
    wait_gone(&etcd, &announcer);
}

/// A command that notes, when it is told to stop, whether its key was still there; it ends with 42.
fn noting_command(tree: &Tree, etcd: &Etcd) -> Vec<String> {
    let waypost = command().get_program().to_string_lossy().into_owned();
    let note = tree.join("note").display().to_string();
    let started = tree.join("started").display().to_string();
    let look = format!("{waypost} kv get /web/one --node {}", etcd.endpoint());
    let script = format!(
        "trap '{look} >/dev/null 2>&1 && echo there > {note} || echo gone > {note}; exit 42' TERM\n\
         echo $$ > {started}\nwhile :; do sleep 0.05; done"
    );
    ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", &script].map(str::to_owned).to_vec()
}

/// The service `one` around `command`.
fn announce_around(etcd: &Etcd, command: &[String]) -> Waypost {
    let mut arguments = vec!["--check", "none", "--"];
    arguments.extend(command.iter().map(String::as_str));
    Waypost::announcer("one", Ports::free(), &etcd.endpoint(), &arguments)
}

fn pid_in(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

fn is_alive(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

#[test]
fn the_key_is_gone_before_the_command_is_told_to_stop_and_its_exit_code_is_kept() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    let announcer = announce_around(&etcd, &noting_command(&tree, &etcd));
    wait_listed(&etcd, &announcer);
    wait_until("the command", DEADLINE, || !pid_in(&tree.join("started")).is_empty());

    announcer.signal(Signal::TERM);

    assert_eq!(announcer.wait().code(), Some(42), "{}", announcer.log());
    assert_eq!(fs::read_to_string(tree.join("note")).unwrap(), "gone\n");
    assert!(!is_alive(&pid_in(&tree.join("started"))));
}

#[test]
fn a_command_that_ends_takes_its_key_with_it_at_once() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    let go = tree.join("go");
    let script = format!("until test -e {}; do sleep 0.05; done; exit 7", go.display());
    let command = ["sh", "-c", &script].map(str::to_owned);
    let port = Ports::free();
    // A lease so long that only a revocation ends the key in time.
    let around = ["--check", "none", "--ttl", "1h", "--"];
    let arguments: Vec<&str> = around.into_iter().chain(command.iter().map(String::as_str)).collect();
    let node = etcd.endpoint();
    let port = port.to_string();
    let own = ["announce", "one", "--prefix", "/web", "--port", &port, "--node", &node];
    let announcer = Waypost::with(own.iter().chain(&arguments));
    wait_listed(&etcd, &announcer);

    fs::write(go, "").unwrap();

    assert_eq!(announcer.wait().code(), Some(7), "{}", announcer.log());
    assert!(!is_listed(&etcd));
}

#[test]
fn signals_that_do_not_stop_are_passed_on() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    let (noted, started) = (tree.join("noted"), tree.join("started"));
    let script = format!(
        "trap 'echo usr1 >> {}' USR1; echo $$ > {}; while :; do sleep 0.05; done",
        noted.display(),
        started.display()
    );
    let command = ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", &script].map(str::to_owned);
    let announcer = announce_around(&etcd, &command);
    wait_listed(&etcd, &announcer);
    wait_until("the command", DEADLINE, || !pid_in(&started).is_empty());

    // Not HUP, which is ignored where the tests run under nohup(1).
    announcer.signal(Signal::USR1);

    announcer.wait_until("the signal", || noted.exists());
    assert!(announcer.is_running() && is_listed(&etcd), "a reload of the service is none of the registry's");
}

#[test]
fn a_killed_announcers_key_lives_for_its_lease_and_no_longer() {
    require!("etcd");
    let (etcd, service) = (Etcd::start(), Http::start("one"));
    let announcer = announce_checked(&service, &etcd, &[]);
    wait_listed(&etcd, &announcer);
    announcer.kill();
    let killed = Instant::now();
    wait_until("the lease to end", DEADLINE, || !is_listed(&etcd));
    // 2 s were granted; etcd looks twice a second, and the machine may be busy.
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
}

#[test]
fn a_registry_that_is_killed_or_emptied_gets_the_key_again() {
    require!("etcd");
    let (etcd, service) = (Etcd::start(), Http::start("one"));
    let announcer = announce_checked(&service, &etcd, &[]);
    wait_listed(&etcd, &announcer);

    etcd.kill();
    let before = service.health_checks();
    announcer.wait_until("more checks while the registry is away", || service.health_checks() > before + 3);
    assert!(announcer.is_running());
    etcd.start_again();
    wait_listed(&etcd, &announcer);

    etcd.wipe();
    wait_listed(&etcd, &announcer);
    // Still its own lease that keeps it: killed, it goes.
    announcer.kill();
    wait_until("the lease to end", DEADLINE, || !is_listed(&etcd));
}

#[test]
fn a_key_that_somebody_deletes_is_there_again() {
    require!("etcd");
    let (etcd, service) = (Etcd::start(), Http::start("one"));
    let announcer = announce_checked(&service, &etcd, &[]);
    wait_listed(&etcd, &announcer);
    etcd.delete("/web/one");
    wait_listed(&etcd, &announcer);
}

#[test]
fn a_registry_that_cannot_be_reached_at_the_start_is_waited_for() {
    require!("etcd");
    let (etcd, service) = (Etcd::start(), Http::start("one"));
    let proxy = Proxy::to(&etcd.endpoint());
    proxy.cut();
    let announcer = Waypost::announcer("one", service.port(), &proxy.endpoint(), &[]);
    announcer.wait_logged(&["WARN", "not registered"]);
    proxy.resume();
    wait_listed(&etcd, &announcer);

    proxy.black_hole();
    announcer.signal(Signal::TERM);
    assert!(
        announcer.wait().success(),
        "a silent registry holds up the end for a while only: {}",
        announcer.log()
    );
    wait_until("the lease to end", DEADLINE, || !is_listed(&etcd));
}

#[test]
fn a_loopback_address_is_refused_for_a_registry_elsewhere() {
    require!();
    // Nothing is sent there: the address is one of those that no network has (RFC 5737).
    let mut announce = command();
    announce.args(["announce", "one", "--port", "80", "--node", "192.0.2.7:2379", "--address", "127.0.0.1"]);
    let output = finish(&mut announce);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    for words in ["127.0.0.1 is a loopback address", "192.0.2.7:2379 is not on this host", "--interface"] {
        assert_eq!(output.stderr.matches(words).count(), 1, "{words}: {}", output.stderr);
    }
}

#[test]
fn an_address_that_is_given_is_announced() {
    require!("etcd");
    let (etcd, service) = (Etcd::start(), Http::start("one"));
    // The check goes there too, so it is one that answers.
    let announcer = announce_checked(&service, &etcd, &["--address", "127.0.0.1"]);
    wait_listed(&etcd, &announcer);
    assert_eq!(etcd.get("/web/one"), Some(format!("127.0.0.1:{}", service.port())));
}

#[test]
fn what_is_told_beside_the_address_is_registered_with_it_and_a_name_may_hold_a_slash() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    fs::write(tree.join("password"), "hunter2\n").unwrap();
    let password = format!("password={}", tree.join("password").display());
    let told = ["--check", "none", "--role", "primary", "--tag", "ssd", "--meta", "user=app"];
    let told = [&told[..], &["--meta-file", &password, "--address", "10.0.0.5"]].concat();
    let announcer = Waypost::announcer("db/1", 3306, &etcd.endpoint(), &told);
    announcer.wait_until("the key", || etcd.get("/web/db/1").is_some());
    let value = etcd.get("/web/db/1").unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&value).unwrap(),
        serde_json::json!({
            "address": "10.0.0.5:3306", "role": "primary", "tags": ["ssd"], "user": "app", "password": "hunter2"
        })
    );
    assert!(!announcer.log().contains("hunter2"), "{}", announcer.log());
    assert!(announcer.stop().success());
    assert_eq!(etcd.get("/web/db/1"), None);
}
